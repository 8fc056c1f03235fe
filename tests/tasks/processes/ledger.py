"""What must have happened, each exactly once, when all is over, whatever was killed on the way.

What arrived is asked of the mail server. A further kind of thing that must happen once is a further class here.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.utils import timezone

from django_pm.models import Event, Mail, MailKind, NotificationPreferences, Project, Report
from django_pm.models.mail import UNFINISHED
from tests.factories import make_project, make_task, make_user


class Audit(NamedTuple):
    """Of one kind of thing: what was promised, what never happened, what happened as two, what came more than once."""

    promised: int
    lost: set[Any]
    doubled: set[Any]
    repeats: int

    def __str__(self) -> str:
        return f"{self.promised}: {len(self.lost)} lost, {len(self.doubled)} doubled, {self.repeats} came again"


class Promise:
    """Mail of one kind, each message to somebody else and about another thing."""

    name: str
    kind: MailKind
    thread: str
    """How the thread of its messages begins."""

    def __init__(self, sink: Any) -> None:
        self._sink = sink
        self.promised: set[tuple[str, str]] = set()
        """To whom, and about which thing."""

    def make(self, number: int) -> None:
        """Make so many things that are due."""
        raise NotImplementedError

    def things(self) -> Mapping[str, str]:
        """What has been promised, by the keys that rows of the queue have for it."""
        return {key: key for _address, key in self.promised}

    def is_done(self) -> bool:
        """Whether each has been queued, and has come to an end."""
        mail = Mail.objects.filter(kind=self.kind)
        return mail.count() == len(self.promised) and not mail.filter(state__in=UNFINISHED).exists()

    def audit(self) -> Audit:
        """A row is one recipient, thing and occasion: two Message-IDs for these would be one that no row has."""
        rows = {str(mail.message_id): mail for mail in Mail.objects.filter(kind=self.kind).select_related("recipient")}
        messages = [message for message in self._sink.messages if message["References"].startswith(f"<{self.thread}")]
        arrived = Counter(message["Message-ID"].strip("<>").partition("@")[0] for message in messages)
        things = self.things()
        told = Counter((rows[key].recipient.email, things[rows[key].object_id]) for key in arrived if key in rows)
        twice = {occasion for occasion, number in told.items() if number > 1}
        lost = self.promised - told.keys()
        return Audit(len(self.promised), lost, twice | (arrived.keys() - rows.keys()), arrived.total() - len(arrived))


class Reminders(Promise):
    """Reminders of tasks."""

    name, kind, thread = "reminders", MailKind.REMINDER, "task-"

    def make(self, number: int) -> None:
        self.promised |= remind_of(number)


class Reports(Promise):
    """Daily reports, one for each project, and the mail that carries it to the owner."""

    name, kind, thread = "reports", MailKind.REPORT, "reports-of-project-"

    def make(self, number: int) -> None:
        for user in people("reported", number):
            NotificationPreferences.objects.create(user=user, reports=True)
            project = make_project(user, time_zone=evening_zone())
            Project.objects.filter(pk=project.pk).update(created_at=timezone.now() - dt.timedelta(days=2))
            self.promised.add((user.email, str(project.pk)))

    def things(self) -> Mapping[str, str]:
        return {str(key): str(project) for key, project in Report.objects.values_list("pk", "project")}

    def audit(self) -> Audit:
        """The mail, and the rows of the reports themselves with their events."""
        audit = super().audit()
        made = Counter(str(report.project_id) for report in Report.objects.all())
        told = Counter(str(event.project_id) for event in Event.objects.filter(type="report.generated"))
        projects = {key for _address, key in self.promised}
        lost = {key for key in projects if not made[key] or not told[key]}
        doubled = {key for key in projects if made[key] > 1 or told[key] > 1}
        return audit._replace(lost=audit.lost | lost, doubled=audit.doubled | doubled)


def remind_of(number: int) -> set[tuple[str, str]]:
    """Make so many tasks that are due soon, each somebody else's; their addresses and keys."""
    due_date = timezone.now() + dt.timedelta(hours=1)
    return {
        (user.email, str(make_task(make_project(user), assignee=user, due_date=due_date).pk))
        for user in people("reminded", number)
    }


def people(name: str, number: int) -> list[Any]:
    """So many new users who have an address."""
    address = get_user_model().get_email_field_name()
    first = get_user_model().objects.count()
    return [make_user(f"{name}{n}", **{address: f"{name}{n}@example.org"}) for n in range(first, first + number)]


def evening_zone() -> str:
    """A time zone where it is about six in the evening: far from the hour at which a day's report becomes due."""
    behind = timezone.now().astimezone(dt.UTC).hour - 18
    return f"Etc/GMT{behind if behind >= -12 else behind + 24:+d}"
