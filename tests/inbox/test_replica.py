"""A site whose reads go to a replica: whoever decides what somebody is told reads where it is written.

There is no second database here. What would have been asked of the replica is noted, and answered by the only one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import time_machine
from django.contrib.auth import get_user_model
from django.test import override_settings
from django.utils import timezone

from django_pm.events.relay import relay_events
from django_pm.models import Mail, MailKind, Membership, Notification, NotificationPreferences, Project, Role, Watch
from django_pm.services import reports
from django_pm.services.notifications import digests, notices, watching
from tests import factories
from tests.factories import login_name
from tests.inbox.test_digests import DAY, HOUR, MORNING
from tests.inbox.test_mail import reachable

pytestmark = pytest.mark.django_db

TOO_LONG = "dig " * 2_000
"""For the log, so that the text is read from its row."""


class ToReplica:
    """Sends reads to a replica, except of what says who sees what, as ``docs/scaling.md`` demands."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def db_for_read(self, model: Any, **hints: Any) -> str:
        if model not in {Project, Membership, get_user_model()}:
            self.asked.append(model.__name__)
        return "default"

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return "default"


@contextmanager
def replica() -> Iterator[list[str]]:
    """The models that a replica has been asked for within."""
    router = ToReplica()
    with override_settings(DATABASE_ROUTERS=[router]):
        yield router.asked


def test_a_replica_would_be_asked(project, people):
    with replica() as asked:
        assert not Watch.objects.exists()
    assert asked == ["Watch"]


def test_the_relay_asks_no_replica(project, owner, people, told):
    ada, ben, cleo = people("ada"), people("ben"), people("cleo", Role.MANAGER)
    NotificationPreferences.objects.create(user=cleo, channels={"report_ready": ["in_app"]})
    told()
    task = factories.make_task(project, created_by=ada, assignee=ben, description=TOO_LONG)
    comment = factories.make_comment(task, ada, content=TOO_LONG)
    task.status, task.description = "in_progress", f"{TOO_LONG} @{login_name('cleo')}"
    task.save()
    comment.content = f"{TOO_LONG} @{login_name('cleo')}"
    comment.save()
    task.project = factories.make_project(owner, {ada: Role.MEMBER, ben: Role.MEMBER})
    task.save()
    reports.make_today(actor=None, project=project)
    with replica() as asked:
        relay_events()
    assert asked == []
    reasons = {"assigned", "commented", "mentioned", "status_changed", "report_ready", "added"}
    assert set(Notification.objects.values_list("reason", flat=True)) >= reasons


def test_the_beginning_of_the_inbox_asks_no_replica(project, people):
    task = factories.make_task(project, created_by=people("ada"), assignee=people("ben"))
    factories.make_comment(task, people("cleo"))
    with replica() as asked:
        watching.involve_everybody()
    assert asked == []
    assert Watch.objects.count() == 3


def test_mail_that_is_about_to_leave_asks_no_replica(project, people, told):
    """It would be given up for good: what a replica does not know yet is gone."""
    ben = reachable(people("ben"))
    NotificationPreferences.objects.create(user=ben, channels={"commented": ["mail"]})
    told()
    Mail.objects.all().delete()
    task = factories.make_task(project, assignee=ben)
    factories.make_comment(task)
    relay_events()
    mails = list(Mail.objects.filter(kind=MailKind.NOTICE, recipient=ben))
    with replica() as asked:
        [notice] = notices.still_wanted(mails).values()
    assert asked == []
    assert {item.reason for item in notice.items} == {"assigned", "commented"}


def test_digests_ask_no_replica(project, people, told):
    ben = reachable(people("ben"))
    channels = {"assigned": ["digest"], "commented": ["digest"]}
    NotificationPreferences.objects.create(user=ben, digest_hour=7, overdue_digest=True, channels=channels)
    told()
    with time_machine.travel(MORNING, tick=False) as clock:
        task = factories.make_task(project, assignee=ben, due_date=MORNING - DAY)
        factories.make_comment(task)
        relay_events()
        clock.move_to(MORNING + HOUR)
        with replica() as asked:
            assert digests.queue_due() == 2
        assert asked == []
        mails = {mail.kind: mail for mail in Mail.objects.filter(recipient=ben)}
        with replica() as asked:
            [digest] = digests.still_wanted([mails[MailKind.DIGEST]]).values()
            [overdue] = digests.still_overdue([mails[MailKind.OVERDUE]], timezone.now()).values()
    assert asked == []
    assert [told_of for _project, told_of, _items in digest.parts] == overdue.tasks == [task]
