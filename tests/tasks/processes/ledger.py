"""What must have happened, each exactly once, when all is over, whatever was killed on the way."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.utils import timezone

from django_pm.models import Mail
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


class Reminders:
    """Reminders, each of another task and to another recipient; what arrived is asked of the mail server."""

    name = "reminders"

    def __init__(self, sink: Any) -> None:
        self._sink = sink
        self._promised: set[tuple[str, str]] = set()

    def promise(self, number: int) -> None:
        """Make so many tasks that are due soon, each somebody else's."""
        self._promised |= remind_of(number)

    def are_done(self) -> bool:
        """Whether each has been queued, and has come to an end."""
        mail = Mail.objects.all()
        return mail.count() == len(self._promised) and not mail.filter(state__in=UNFINISHED).exists()

    def audit(self) -> Audit:
        """A row is one recipient, task and due instant: two Message-IDs for these would be one that no row has."""
        rows = {str(mail.message_id): mail for mail in Mail.objects.select_related("recipient")}
        arrived = Counter(message["Message-ID"].strip("<>").partition("@")[0] for message in self._sink.messages)
        told = Counter((rows[key].recipient.email, rows[key].object_id) for key in arrived if key in rows)
        twice = {occasion for occasion, number in told.items() if number > 1}
        lost = self._promised - told.keys()
        return Audit(len(self._promised), lost, twice | (arrived.keys() - rows.keys()), arrived.total() - len(arrived))


def remind_of(number: int, **fields: Any) -> set[tuple[str, str]]:
    """Make so many tasks that are due soon, each somebody else's; their addresses and keys."""
    address = get_user_model().get_email_field_name()
    made = set()
    first = get_user_model().objects.count()
    for n in range(first, first + number):
        user = make_user(f"reminded{n}", **{address: f"reminded{n}@example.org"})
        due_date = timezone.now() + dt.timedelta(hours=1)
        task = make_task(make_project(user), **{"assignee": user, "due_date": due_date, **fields})
        made.add((f"reminded{n}@example.org", str(task.pk)))
    return made
