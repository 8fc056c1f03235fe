"""Every reason, for every role, with every choice of channels: who has a row, where, and what is mailed."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from django.utils import timezone

from django_pm.events import record_external_change
from django_pm.events.relay import relay_events
from django_pm.models import Level, Mail, Notification, NotificationPreferences, Reason, Watched
from django_pm.services import reminders, reports
from django_pm.services.notifications import channels, watching
from tests import factories

pytestmark = pytest.mark.django_db

CHOICES = [[], ["in_app"], ["mail"], ["digest"], ["in_app", "mail"], ["in_app", "digest"]]
ROLES = ["", "viewer", "member", "manager", "owner"]


class Person(NamedTuple):
    user: Any
    role: str
    choice: list[str]


def mention(project: Any, people: list[Any]) -> None:
    text = " ".join(f"@{user.get_username()}" for user in people)
    factories.make_comment(factories.make_task(project), content=text)


def assign(project: Any, people: list[Any]) -> None:
    for user in people:
        factories.make_task(project, assignee=user)


def escalate(project: Any, people: list[Any]) -> None:
    task = factories.make_task(project)
    record_external_change(
        project.pk,
        type="task.escalated",
        object_type="task",
        object_id=task.pk,
        changes={"rule": [None, 1], "role": [None, "viewer"]},
    )


def watched(project: Any, people: list[Any]) -> Any:
    task = factories.make_task(project)
    for user in people:
        watching.say(user=user, kind=Watched.TASK, key=task.pk, level=Level.WATCHING)
    return task


def comment(project: Any, people: list[Any]) -> None:
    factories.make_comment(watched(project, people))


def change_status(project: Any, people: list[Any]) -> None:
    task = watched(project, people)
    task.status = "completed"
    task.save()


def become_due(project: Any, people: list[Any]) -> None:
    for user in people:
        task = factories.make_task(project, due_date=timezone.now() + dt.timedelta(hours=1))
        type(task).objects.filter(pk=task.pk).update(assignee=user)
    relay_events()  # of being given it
    Notification.objects.all().delete()
    Mail.objects.all().delete()
    reminders.queue_due()


def report(project: Any, people: list[Any]) -> None:
    reports.make_today(actor=None, project=project)


OCCASIONS: dict[Reason, Callable[[Any, list[Any]], None]] = {
    Reason.MENTIONED: mention,
    Reason.ASSIGNED: assign,
    Reason.ESCALATED: escalate,
    Reason.COMMENTED: comment,
    Reason.STATUS_CHANGED: change_status,
    Reason.DUE_SOON: become_due,
    Reason.REPORT_READY: report,
}


def everybody(project: Any, reason: Reason) -> list[Person]:
    found = []
    for role, choice in itertools.product(ROLES, CHOICES):
        user = factories.make_user()
        preferences = NotificationPreferences(user=user)
        channels.choose(preferences, {reason: choice})
        preferences.save()
        if role:
            factories.make_member(project, user, role)
        found.append(Person(user, role, choice))
    return found


def expected(person: Person, reason: Reason) -> tuple[bool, str] | None:
    """Whether it is in the inbox, and how it is mailed; None without a row."""
    if not person.role or (reason == Reason.REPORT_READY and person.role not in {"manager", "owner"}):
        return None
    by_mail = set(person.choice) - {"in_app"}
    if reason in channels.MAIL_COLUMNS:
        by_mail -= {"mail"}
    if not by_mail and "in_app" not in person.choice:
        return None
    return "in_app" in person.choice, "".join(by_mail)


@pytest.mark.parametrize("reason", OCCASIONS)
def test_who_is_told_where(project, told, reason):
    people = everybody(project, reason)
    told()
    Notification.objects.all().delete()
    Mail.objects.all().delete()
    OCCASIONS[reason](project, [person.user for person in people])
    relay_events()
    rows = {row.recipient_id: row for row in Notification.objects.filter(reason=reason)}
    mails = set(Mail.objects.filter(kind="notice").values_list("recipient", flat=True))
    for person in people:
        row = rows.get(person.user.pk)
        found = row and (row.in_app, row.by_mail)
        assert found == expected(person, reason), (person.role, person.choice)
        assert (person.user.pk in mails) == bool(row and row.by_mail == "mail"), (person.role, person.choice)
        assert bool(row and row.mail_id) == bool(row and row.by_mail == "mail")


def test_who_is_added(project, told):
    told()
    people = everybody(project, Reason.ADDED)
    relay_events()
    rows = {row.recipient_id: row for row in Notification.objects.filter(reason="added")}
    for person in people:
        row = rows.get(person.user.pk)
        assert (row and (row.in_app, row.by_mail)) == expected(person, Reason.ADDED), (person.role, person.choice)


def test_every_reason_is_in_the_table():
    assert {*OCCASIONS, Reason.ADDED} == set(Reason)
