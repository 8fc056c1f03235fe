"""Reminders: who is to be told that a task is due within a day, and whether they still are when the message leaves.

Nothing is scheduled. Whoever looks, however late, finds the tasks that are due soon and of which a recipient has no
message yet; the row of the message (``models/mail.py``) is what makes it one.
"""

from __future__ import annotations

import datetime as dt
import functools
import logging
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, NamedTuple

from django.db import router
from django.db.models import Q
from django.utils import formats, timezone
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import get_language, gettext

from django_pm import access, event_types
from django_pm.garbage import unsearched
from django_pm.models import (
    Mail,
    MailKind,
    MailState,
    Membership,
    NotificationPreferences,
    Priority,
    Project,
    Reason,
    Role,
    Status,
    Task,
)
from django_pm.models.among import among
from django_pm.services.apart import apart
from django_pm.services.notifications import notifying
from django_pm.services.notifications.notifying import About

logger = logging.getLogger(__name__)

AHEAD = dt.timedelta(hours=24)
CHUNK = 1_000
OCCASIONS = uuid.UUID("c4c9a9a5-4a8c-4c0c-9f0e-5c1a6f3d7b21")
"""What names of occasions are made from."""

LONGEST_DESCRIPTION = 2_000
"""In characters."""


class Due(NamedTuple):
    """As much of a task as decides about its reminders."""

    task_id: Any
    project_id: Any
    assignee_id: Any
    at: dt.datetime

    @property
    def occurrence(self) -> str:
        """What the reminder is for: a task that is moved to another instant is reminded of again."""
        return str(event_types.encode(self.at))


class Phrases(NamedTuple):
    """What every reminder says in one language."""

    subject: str
    sentence: str
    sentence_in_html: str
    priority: str
    status: str
    no_more: str
    priorities: dict[str, str]
    statuses: dict[str, str]


@functools.lru_cache(maxsize=64)
def phrases_in(_language: str | None) -> Phrases:
    """Those of the language in force, which is this one: to look up each again took a seventh of composing."""
    return Phrases(
        gettext("Due soon: %(title)s"),
        gettext("“%(title)s” in %(project)s is due on %(due)s (%(zone)s)."),
        gettext("It is due on <strong>{due}</strong> ({zone})."),
        gettext("Priority"),
        gettext("Status"),
        gettext("No more reminders"),
        {key: str(label) for key, label in Priority.choices},
        {key: str(label) for key, label in Status.choices},
    )


class Told(NamedTuple):
    """An instant as reminders have it."""

    due: str
    time_zone: str
    sentence_in_html: SafeString


@functools.lru_cache(maxsize=1024)
def told_at(at: dt.datetime, zone: dt.tzinfo, _language: str | None, sentence_in_html: str) -> Told:
    """That in UTC, in the language in force, which is this one. Much is due at the same time: at noon, or midnight."""
    local = timezone.localtime(at, zone)
    due, name = formats.date_format(local, "DATETIME_FORMAT"), local.tzname() or ""
    return Told(due, name, format_html(sentence_in_html, due=due, zone=name))


class Words(dict[str, Any]):
    """What a reminder says of its task, in the language and time zone in force when it is first asked for.

    It is found here and not in the templates, where each sentence took as long as a step of the talk with the mail
    server; and what the text and the HTML both say is found once. Django's templates look for a key first.
    """

    def __init__(self, task: Task) -> None:
        super().__init__()
        self._task = task

    def __bool__(self) -> bool:
        """Templates may ask whether there are any, before they have asked for one."""
        return True

    def __missing__(self, name: str) -> Any:
        self[name] = value = getattr(self, name)
        return value

    @cached_property
    def _language(self) -> str | None:
        return get_language()

    @cached_property
    def _phrases(self) -> Phrases:
        return phrases_in(self._language)

    @cached_property
    def _told(self) -> Told:
        at: Any = self._task.due_date
        # In UTC, since local times of two instants may be equal: in the hour that there is twice.
        in_utc = at.astimezone(dt.UTC).replace(microsecond=0)
        return told_at(in_utc, timezone.get_current_timezone(), self._language, self._phrases.sentence_in_html)

    @property
    def subject(self) -> str:
        return self._phrases.subject % {"title": self._task.title}

    @property
    def due(self) -> str:
        return self._told.due

    @property
    def time_zone(self) -> str:
        return self._told.time_zone

    @property
    def priority(self) -> str:
        return self._phrases.priorities.get(self._task.priority, self._task.priority)

    @property
    def status(self) -> str:
        return self._phrases.statuses.get(self._task.status, self._task.status)

    @property
    def priority_line(self) -> str:
        return f"{self._phrases.priority}: {self.priority}"

    @property
    def status_line(self) -> str:
        return f"{self._phrases.status}: {self.status}"

    @property
    def no_more(self) -> str:
        """What the link does that ends them."""
        return self._phrases.no_more

    @property
    def description(self) -> str:
        """As much of it as a mail has room for."""
        description = self._task.description
        return (
            Truncator(description).chars(LONGEST_DESCRIPTION) if len(description) > LONGEST_DESCRIPTION else description
        )

    @property
    def sentence(self) -> str:
        values = {
            "title": self._task.title,
            "project": self._task.project.name,
            "due": self.due,
            "zone": self.time_zone,
        }
        return self._phrases.sentence % values

    @property
    def sentence_in_html(self) -> SafeString:
        """The same below title and project, in HTML."""
        return self._told.sentence_in_html


def queue_due(now: dt.datetime | None = None, *, queued: Callable[[], None] | None = None) -> int:
    """Queue a reminder for every recipient of every open task that is due within 24 hours; how many are new.

    Asked again, or by two at once, it queues none twice. The number of statements grows with the thousands of tasks;
    after each thousand of which some are new, ``queued`` is called.
    """
    total = 0
    for dues in _chunks(now or timezone.now()):
        with unsearched():
            number = sum(apart(_queue, dues, _left_out, using=router.db_for_write(Mail)))
        if number and queued:
            queued()
        total += number
    return total


def _queue(dues: list[Due]) -> int:
    concerned = concerned_by(dues)
    recipients = _without_opted_out(concerned)
    _tell(dues, concerned)
    # The next due are sent first. And whoever else queues the same has the same order, so neither waits for the other.
    keys = [(str(due.task_id), due.occurrence, recipients[due.task_id]) for due in dues]
    wanted = [(key, occurrence, user_id) for key, occurrence, users in keys for user_id in sorted(users, key=str)]
    mail = Mail.objects.using(router.db_for_write(Mail)).filter(kind=MailKind.REMINDER)
    there = mail.filter(among("object_id", [key for key, _occurrence, _users in keys]))
    columns = ("object_id", "occurrence", "recipient", "pk", "state")
    known = {tuple(which): (pk, state) for *which, pk, state in there.values_list(*columns)}
    rows = [
        Mail(kind=MailKind.REMINDER, object_id=key, occurrence=occurrence, recipient_id=user_id)
        for key, occurrence, user_id in wanted
        if (key, occurrence, user_id) not in known
    ]
    mail.bulk_create(rows, ignore_conflicts=True)
    # What cancelled it has been undone since: reopened, given back, moved back.
    there_already = (known[each] for each in wanted if each in known)
    cancelled = [pk for pk, state in there_already if state == MailState.SKIPPED]
    revived = mail.filter(pk__in=cancelled, state=MailState.SKIPPED)
    return len(rows) + int(revived.update(state=MailState.WAITING, due_at=timezone.now(), reason=""))


def _left_out(due: Due, error: Exception) -> int:
    logger.error("Nobody can say whom to remind of task %s.", due.task_id, exc_info=error)
    return 0


def _chunks(now: dt.datetime) -> Iterator[list[Due]]:
    """The open tasks that are due within 24 hours, the next ones first, in pieces."""
    tasks = Task.objects.open().filter(due_date__gt=now, due_date__lte=now + AHEAD).order_by("due_date", "pk")
    columns = ("pk", "project", "assignee", "due_date")
    behind = Q()
    while chunk := [Due(*row) for row in tasks.filter(behind).values_list(*columns)[:CHUNK]]:
        yield chunk
        last = chunk[-1]
        # The first condition is for the index: without it each piece would read all before it again.
        behind = Q(due_date__gte=last.at) & (Q(due_date__gt=last.at) | Q(pk__gt=last.task_id))


def _tell(dues: list[Due], concerned: dict[Any, set[Any]]) -> None:
    """Put it into their inboxes. There is no event of it, so the occasion is named after task and instant."""
    notifying.tell([(about(due), dict.fromkeys(concerned[due.task_id], Reason.DUE_SOON)) for due in dues])


def about(due: Due) -> About:
    """What those are told about whom it concerns: another occasion for each instant that the task is due at."""
    key = str(due.task_id)
    name = uuid.uuid5(OCCASIONS, f"{key} {due.occurrence}")
    return About(name, due.project_id, due.task_id, "task", key)


def recipients_of(dues: Collection[Due]) -> dict[Any, set[Any]]:
    """By task, the keys of the users to remind by mail now: those whom it concerns and who have not opted out.

    An assignee who has opted out has decided that nobody is reminded.
    """
    return _without_opted_out(concerned_by(dues))


def _without_opted_out(concerned: dict[Any, set[Any]]) -> dict[Any, set[Any]]:
    people: set[Any] = set().union(*concerned.values())
    opted_out = set(
        NotificationPreferences.objects.filter(among("user", people), reminders=False).values_list("user", flat=True)
    )
    return {task_id: users - opted_out for task_id, users in concerned.items()}


def concerned_by(dues: Collection[Due]) -> dict[Any, set[Any]]:
    """By task, the keys of whom it concerns that it is due: the assignee, else the owners and managers of the project.

    Each only if active and allowed to see the project. An assignee who is not allowed to see it counts as none.
    """
    managers = _managers({due.project_id for due in dues})
    concerned = {due.assignee_id for due in dues if due.assignee_id is not None}.union(*managers.values())
    seen = access.visible_to_each(concerned)

    def seeing(users: Iterable[Any], project_id: Any) -> set[Any]:
        return {user for user in users if (keys := seen[user]) is None or project_id in keys}

    found: dict[Any, set[Any]] = {}
    for due in dues:
        assignee = seeing([due.assignee_id] if due.assignee_id is not None else [], due.project_id)
        found[due.task_id] = assignee or seeing(managers[due.project_id], due.project_id)
    return found


def _managers(project_ids: Collection[Any]) -> dict[Any, set[Any]]:
    found: dict[Any, set[Any]] = defaultdict(set)
    rows = Membership.objects.filter(project__in=project_ids, role__in=[Role.OWNER, Role.MANAGER]).order_by()
    for project_id, user_id in rows.values_list("project", "user"):
        found[project_id].add(user_id)
    return found


def still_due(mails: Collection[Mail], now: dt.datetime) -> dict[Any, Task | str]:
    """By the key of the message, the task that it is still to be sent for, or why it is not."""
    tasks = _tasks({mail.object_id for mail in mails})
    dues = {
        key: Due(task.pk, task.project_id, task.assignee_id, task.due_date)
        for key, task in tasks.items()
        if task.due_date is not None
    }
    recipients = recipients_of(dues.values())

    def verdict(mail: Mail) -> Task | str:
        task, due = tasks.get(mail.object_id), dues.get(mail.object_id)
        if task is None:
            return "The task is gone."
        if task.status == Status.COMPLETED:
            return "The task is completed."
        if due is None or due.occurrence != mail.occurrence:
            return "The task is due at another time."
        if due.at <= now:
            return "The task was due before the reminder could leave."
        if mail.recipient_id not in recipients[task.pk]:
            return "The recipient is not concerned any more: reassigned, removed, deactivated or opted out."
        if mail.recipient_id == task.assignee_id and mail.recipient._state.db == task._state.db:
            task.assignee = mail.recipient  # which has been read with the message
        return task

    return {mail.pk: verdict(mail) for mail in mails}


def _tasks(keys: Collection[str]) -> dict[str, Task]:
    """Those that are there, by key, with their projects: of which many tasks have the same one, read once."""
    tasks = Task.objects.filter(among("pk", keys))
    projects = Project.objects.using(tasks.db).in_bulk({task.project_id for task in tasks})
    found: dict[str, Task] = {}
    for task in tasks:
        if task.project_id in projects:  # else both have been deleted meanwhile
            task.project = projects[task.project_id]
            found[str(task.pk)] = task
    return found
