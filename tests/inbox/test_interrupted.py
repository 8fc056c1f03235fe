"""The subscriber killed at any point: nobody is left out, nobody is told twice, and no mail carries a thing twice.

`PM_LONG_TESTS=1` makes it 100 kills instead of 6.
"""

from __future__ import annotations

import itertools
import random
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from django_pm.events.relay import relay_events
from django_pm.models import Event, Level, Mail, Notification, NotificationPreferences, Watch, Watched
from tests import factories
from tests.events.workers import LONG, spawn

RELAY = "from django_pm.events.relay import relay_events\nwhile True: relay_events()"
KILLS = 100 if LONG else 6
WATCHERS = 5


class Killed(BaseException):
    """Comes from outside: nothing that runs may handle it."""


@pytest.fixture
def task(people, told):
    """A task with watchers who want mail; nothing of it has been told."""
    owner = people("maker")
    task = factories.make_task(people._project, created_by=owner)
    for number in range(WATCHERS):
        user = people(f"watcher{number}")
        Watch.objects.create(user=user, object_type=Watched.TASK, object_id=task.pk, level=Level.WATCHING)
    for user in [owner, *(people(f"watcher{number}") for number in range(WATCHERS))]:
        # In the database, where other processes see it too.
        NotificationPreferences.objects.create(user=user, channels={"commented": ["in_app", "mail"]})
    told()
    Notification.objects.all().delete()
    Mail.objects.all().delete()
    return task


def found() -> tuple[Any, ...]:
    """What everybody was told of, and what carries it."""
    rows = Notification.objects.order_by("event_uuid", "recipient")
    return (
        [*rows.values_list("event_uuid", "recipient", "reason")],
        all(row.mail_id and row.mail.recipient_id == row.recipient_id for row in rows.select_related("mail")),
        Mail.objects.count(),
    )


@pytest.mark.django_db(transaction=True)
def test_killed_before_each_statement(task):
    factories.make_comment(task, content="one")
    factories.make_comment(task, content="two")
    count = 0
    for number in itertools.count():
        if not killed_at(number, relay_events):
            break
        count = number
        if connection.needs_rollback:
            connection.rollback()
    assert count > 10, "it was killed on its way"
    comments = Event.objects.filter(type="comment.created").values_list("uuid", flat=True)
    watchers = Watch.objects.filter(level=Level.WATCHING).values_list("user", flat=True)
    maker = task.created_by_id
    expected = sorted((uuid, user, "commented") for uuid in comments for user in {*watchers, maker})
    told, is_carried, mails = found()
    assert sorted(told) == expected
    assert is_carried
    assert mails == WATCHERS + 1, "both comments leave together"


def killed_at(number: int, work: Callable[[], Any]) -> bool:
    """Whether `work` came to its statement of this number; there it was killed."""
    statements = itertools.count()

    def kill(execute: Any, *arguments: Any) -> Any:
        if next(statements) == number:
            raise Killed
        return execute(*arguments)

    try:
        with connection.execute_wrapper(kill):
            work()
    except Killed:
        return True
    return False


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_process_killed_again_and_again(task):
    """Two relays are killed with -9 at random while comments are written."""
    random_ = random.Random(0)  # noqa: S311
    relays = [spawn(RELAY), spawn(RELAY)]
    comments = 0
    for _kill in range(KILLS):
        until = time.monotonic() + random_.uniform(0.05, 0.4)
        while time.monotonic() < until:
            factories.make_comment(task, content="more")
            comments += 1
        victim = random_.randrange(2)
        kill(relays[victim])
        relays[victim] = spawn(RELAY)
    for relay in relays:
        kill(relay)
    relay_events()
    told, is_carried, mails = found()
    print(f"{comments} comments, {KILLS} kills: {len(told)} told, carried by {mails} messages")  # noqa: T201
    assert len(told) == len(set(told)) == comments * (WATCHERS + 1)
    assert is_carried


def kill(process: subprocess.Popen[str]) -> None:
    """With -9, and nothing of it left open."""
    process.kill()
    process.communicate()
