"""Whoever sends is killed with -9 at each point that a message passes: what that leaves, and what becomes of it.

These are all the commits on the way of a message that the server takes, before and after. Where the rows say the same
whether the server has it or not (“being sent”), both are here.
"""

import os
import signal
import subprocess
import sys
from collections import Counter
from typing import NamedTuple

import pytest
from django.db import connection
from django.utils import timezone

from django_pm.mail.sending import CLAIMED_FOR, send_queue
from django_pm.models import Mail, MailState
from django_pm.services.reminders import queue_due
from tests.events.workers import database_url, until
from tests.example.site import ROOT
from tests.tasks.processes.ledger import remind_of

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]

MESSAGES = 3
AT = 2
"""At which of them it is killed."""


class Outcome(NamedTuple):
    rows: dict[str, int]
    """In which states the crash leaves them."""
    arrived: int
    """How many messages were with the server by then."""
    again: int
    """How many of these come a second time."""
    marked: int
    """How many are marked as perhaps repeated."""


IN_HAND = {MailState.SENT: 1, MailState.SENDING: 1, MailState.CLAIMED: 1}
POINTS = {
    "queueing, before its commit": Outcome({}, 0, 0, 0),
    "queueing, after its commit": Outcome({MailState.WAITING: 3}, 0, 0, 0),
    "claim, before its commit": Outcome({MailState.WAITING: 3}, 0, 0, 0),
    "claim, after its commit": Outcome({MailState.CLAIMED: 3}, 0, 0, 0),
    "begun, it is not written": Outcome(IN_HAND, 1, 0, 1),
    "the one before begun, it is being written with that": Outcome(
        {MailState.SENDING: 1, MailState.CLAIMED: 2}, 0, 0, 1
    ),
    "begun, the server has not got it": Outcome(IN_HAND, 1, 0, 1),
    "the server has it, has not answered": Outcome(IN_HAND, 2, 1, 1),
    "the server has taken it, it is not marked": Outcome(IN_HAND, 2, 1, 1),
    "marked, and the next begun": Outcome({MailState.SENT: 2, MailState.SENDING: 1}, 2, 0, 1),
    "all marked, before hanging up": Outcome({MailState.SENT: 3}, 3, 0, 0),
}
WAYS = [
    *(pytest.param(point, "", id=point) for point in POINTS),
    # From the beginning of a message on, what is noted may also be noted by statements that are not kept.
    *(pytest.param(point, "1", id=f"{point}, pooled") for point in list(POINTS)[4:]),
]


def crash(point, sink, pooled):
    """Have a process queue and send, and die there; return when the database has noticed."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
        "PM_TEST_DATABASE_URL": database_url(),
        "PM_TEST_POOLED": pooled,
        "PM_TEST_SMTP_PORT": str(sink.port),
    }
    process = subprocess.Popen([sys.executable, "-m", "tests.mail.crashing", point, str(AT)], cwd=ROOT, env=environment)
    if point == "the server has it, has not answered":
        sink.pace = lambda: process.kill() if len(sink.messages) == AT else None
    assert process.wait(30) == -signal.SIGKILL
    sink.pace = None
    until(is_alone, "the database to let go of it")


def is_alone():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        return cursor.fetchone()[0] == 0


@pytest.mark.parametrize(("point", "pooled"), WAYS)
def test_each_is_sent_once_or_again_under_the_same_name(point, sink, capsys, pooled):
    outcome = POINTS[point]
    remind_of(MESSAGES)
    crash(point, sink, pooled)
    left = Counter(Mail.objects.values_list("state", flat=True))
    arrived = len(sink.messages)

    queue_due()
    send_queue()  # what was claimed stays so for a while
    assert len(sink.messages) in (arrived, MESSAGES)
    in_hand = {MailState.CLAIMED, MailState.SENDING} & left.keys()
    assert (len(sink.messages) == arrived) == (bool(in_hand) or arrived == MESSAGES)
    send_queue(now=timezone.now() + CLAIMED_FOR)
    assert set(Mail.objects.values_list("state", flat=True)) == {MailState.SENT}

    ids = [message["Message-ID"] for message in sink.messages]
    marked = Mail.objects.filter(repeated=True).count()
    found = Outcome(dict(left), arrived, len(ids) - len(set(ids)), marked)
    with capsys.disabled():
        states = ", ".join(f"{count} {state}" for state, count in left.items()) or "no rows"
        print(f"\n{point}: {states}, {arrived} arrived; then {len(set(ids))} of {MESSAGES}, {found.again} again")  # noqa: T201
    assert found == outcome
    assert len(set(ids)) == Mail.objects.count() == MESSAGES
    assert len(set(sink.to())) == MESSAGES
