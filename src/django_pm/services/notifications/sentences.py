"""What mail says of notifications, in the language and time zone in force when it is asked for."""

from __future__ import annotations

import datetime as dt
from typing import Any, NamedTuple

from django.utils import formats, timezone
from django.utils.functional import cached_property
from django.utils.text import Truncator
from django.utils.translation import gettext

from django_pm.models import Project, Reason, Status, Task
from django_pm.services.notifications.digests import Digest, Overdue
from django_pm.services.notifications.notices import Item, Notice

LONGEST_COMMENT = 2_000
LONGEST_BRIEF = 200
"""In characters."""


class Line(NamedTuple):
    """One notification as a sentence, and what was written, if anything was."""

    sentence: str
    text: str = ""

    @property
    def brief(self) -> str:
        """How what was written begins, on one line."""
        return Truncator(" ".join(self.text.split())).chars(LONGEST_BRIEF)


class Part(NamedTuple):
    """What happened to one task, or to a project itself."""

    project: Project
    task: Task | None
    lines: list[Line]

    @property
    def title(self) -> str:
        return self.task.title if self.task else self.project.name


class NoticeWords:
    """What a notice says."""

    def __init__(self, notice: Notice) -> None:
        self._notice = notice

    @cached_property
    def part(self) -> Part:
        return _part(self._notice.project, self._notice.task, self._notice.items)

    @property
    def subject(self) -> str:
        """The same for all of one task, so that mail programs show them together."""
        return f"{self.part.title} ({self._notice.project.name})" if self.part.task else self.part.title


class DigestWords:
    """What a digest says."""

    def __init__(self, digest: Digest) -> None:
        self._digest = digest

    @cached_property
    def parts(self) -> list[Part]:
        return [_part(*part) for part in self._digest.parts]

    @property
    def more(self) -> int:
        return self._digest.more


class OverdueWords:
    """What a digest of overdue tasks says."""

    def __init__(self, overdue: Overdue) -> None:
        self._overdue = overdue

    @cached_property
    def rows(self) -> list[dict[str, str]]:
        return [
            {"title": task.title, "project": task.project.name, "due": instant(task.due_date)}
            for task in self._overdue.tasks
        ]

    @property
    def more(self) -> int:
        return self._overdue.more

    @property
    def number(self) -> int:
        """Of all of them."""
        return len(self._overdue.tasks) + self._overdue.more


def instant(at: Any) -> str:
    """An instant with the name of the zone that it is told in."""
    local = timezone.localtime(at)
    return f"{formats.date_format(local, 'DATETIME_FORMAT')} ({local.tzname()})"


def _part(project: Project, task: Task | None, items: list[Item]) -> Part:
    return Part(project, task, [_line(item, task) for item in items])


def _line(item: Item, task: Task | None) -> Line:
    text = Truncator(item.comment.content).chars(LONGEST_COMMENT) if item.comment else ""
    return Line(_sentence(item, task), text)


def _sentence(item: Item, task: Task | None) -> str:
    values = {"actor": item.actor}
    if item.reason == Reason.STATUS_CHANGED and item.event:
        old, new = (dict(Status.choices).get(value, value) for value in item.event.changes["status"])
        values |= {"old": str(old), "new": str(new)}
        if item.actor:
            return gettext("%(actor)s changed the status from “%(old)s” to “%(new)s”.") % values
        return gettext("The status changed from “%(old)s” to “%(new)s”.") % values
    if item.reason == Reason.DUE_SOON and task and task.due_date:
        if task.due_date <= timezone.now():
            return gettext("It was due on %(due)s.") % {"due": instant(task.due_date)}
        return gettext("It is due on %(due)s.") % {"due": instant(task.due_date)}
    if item.reason == Reason.REPORT_READY and (day := item.became("date")):
        values |= {"day": formats.date_format(dt.date.fromisoformat(day), "DATE_FORMAT")}
        if item.actor:
            return gettext("%(actor)s had the report of %(day)s made.") % values
        return gettext("The report of %(day)s is ready.") % values
    return (_by_somebody() if item.actor else _by_nobody())[item.reason] % values


def _by_somebody() -> dict[Reason, str]:
    return {
        Reason.MENTIONED: gettext("%(actor)s mentioned you."),
        Reason.ASSIGNED: gettext("%(actor)s gave this task to you."),
        Reason.ADDED: gettext("%(actor)s added you to this project."),
        Reason.ESCALATED: gettext("%(actor)s asks for your attention."),
        Reason.COMMENTED: gettext("%(actor)s commented."),
        Reason.STATUS_CHANGED: gettext("%(actor)s changed the status."),
        Reason.DUE_SOON: gettext("It is due soon."),
        Reason.REPORT_READY: gettext("%(actor)s had a report made."),
    }


def _by_nobody() -> dict[Reason, str]:
    return {
        Reason.MENTIONED: gettext("You were mentioned."),
        Reason.ASSIGNED: gettext("This task was given to you."),
        Reason.ADDED: gettext("You were added to this project."),
        Reason.ESCALATED: gettext("A rule of the project asks for your attention."),
        Reason.COMMENTED: gettext("There is a new comment."),
        Reason.STATUS_CHANGED: gettext("The status changed."),
        Reason.DUE_SOON: gettext("It is due soon."),
        Reason.REPORT_READY: gettext("A report is ready."),
    }
