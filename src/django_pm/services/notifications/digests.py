"""Digests: what somebody was told of since the last one, and which of their tasks are overdue.

Each goes out once for each day of its recipient, when the hour that they chose has come in their time zone; whoever
looks later makes up for it. A notification is carried by one digest: which, stands in its row. All is read where it is
written: what a replica that is behind does not know would be left out for good.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Exists, Min, OuterRef, QuerySet
from django.utils import timezone

from django_pm import access
from django_pm.conf import app_settings
from django_pm.events import feed
from django_pm.models import (
    Channel,
    Mail,
    MailKind,
    Notification,
    NotificationPreferences,
    Project,
    Reason,
    Status,
    Task,
)
from django_pm.services import local_days, reminders
from django_pm.services.notifications import notices
from django_pm.services.notifications.notices import Item
from django_pm.services.reminders import Due

CHUNK = 500
"""How many people are looked at in one transaction."""

MOST_ITEMS = 100
"""How many notifications, or tasks, a digest tells of; of the rest, how many there are."""


class Day(NamedTuple):
    """The last day of somebody whose hour has come, and when it had."""

    date: dt.date
    since: dt.datetime


def queue_due(*, now: dt.datetime | None = None) -> int:
    """Queue the digests that are due; how many are new. Asked again, or by two at once, it queues none twice."""
    at = now or timezone.now()
    number = 0
    for people, queue in ((_undigested(), _queue_digests), (_overdue(at), _queue_overdue)):
        for keys in _chunks(people):
            number += _once(queue, keys, at)
    return number


def _undigested() -> QuerySet[Any]:
    waiting = {"by_mail": Channel.DIGEST, "mail__isnull": True, "read_at__isnull": True}
    rows = Notification.objects.using(feed.database()).filter(**waiting)
    return rows.order_by("recipient").values_list("recipient", flat=True).distinct()


def _overdue(at: dt.datetime) -> QuerySet[Any]:
    tasks = Task.objects.overdue(at=at).order_by().filter(assignee=OuterRef("user"))
    asking = NotificationPreferences.objects.using(feed.database()).filter(Exists(tasks), overdue_digest=True)
    return asking.order_by("user").values_list("user", flat=True)


def _chunks(people: QuerySet[Any]) -> Iterator[list[Any]]:
    """Their keys, ascending, in pieces. What one piece led to does not move the next."""
    name = people.query.order_by[0]
    behind = people
    while keys := list(behind[:CHUNK]):
        yield keys
        behind = people.filter(**{f"{name}__gt": keys[-1]})


def _once(queue: Callable[[dict[Any, Day]], int], user_ids: list[Any], at: dt.datetime) -> int:
    days = _days(user_ids, at)
    try:
        with transaction.atomic(using=feed.database()):
            return queue(days)
    except IntegrityError:  # somebody else queues the same at this moment
        return 0


def _days(user_ids: Collection[Any], at: dt.datetime) -> dict[Any, Day]:
    preferences = NotificationPreferences.objects.using(feed.database()).in_bulk(user_ids)
    return {user_id: _day(preferences.get(user_id), at) for user_id in user_ids}


def _day(preferences: NotificationPreferences | None, at: dt.datetime) -> Day:
    chosen = preferences.digest_hour if preferences else None
    hour = app_settings.DIGEST_HOUR if chosen is None else chosen
    names = (preferences.time_zone if preferences else "", settings.TIME_ZONE, "UTC")
    zone = next(zone for name in names if name and (zone := local_days.find_zone(name)))
    date = local_days.reached(at, zone, hour)
    return Day(date, local_days.begins(date, zone, hour))


def _queue_digests(days: dict[Any, Day]) -> int:
    """What came before the hour of the day. What came behind it waits for the next."""
    rows = Notification.objects.using(feed.database()).filter(
        recipient__in=days, by_mail=Channel.DIGEST, mail__isnull=True, read_at__isnull=True
    )
    mine = defaultdict(list)
    for row in rows.select_for_update(of=("self",)).order_by("pk"):
        if row.created_at < days[row.recipient_id].since:
            mine[row.recipient_id].append(row)
    mails = _insert(MailKind.DIGEST, {user_id: days[user_id] for user_id in mine})
    carried = []
    for mail in mails:
        for row in mine[mail.recipient_id]:
            row.mail, row.by_mail = mail, ""  # not for a digest any more, also when the message is forgotten
            carried.append(row)
    Notification.objects.using(rows.db).bulk_update(carried, ["mail", "by_mail"], batch_size=CHUNK)
    return len(mails)


def _queue_overdue(days: dict[Any, Day]) -> int:
    """Of those who had something overdue when their hour came. What is due behind it waits for the next."""
    latest = max(day.since for day in days.values())
    rows = Task.objects.using(feed.database()).overdue(at=latest).filter(assignee__in=days).order_by()
    earliest = rows.values_list("assignee").annotate(Min("due_date"))
    return len(_insert(MailKind.OVERDUE, {user: days[user] for user, due in earliest if due < days[user].since}))


def _insert(kind: MailKind, days: dict[Any, Day]) -> list[Mail]:
    """A message of this kind for each day that has none yet."""
    mails = Mail.objects.using(feed.database())
    there = mails.filter(kind=kind, recipient__in=days, occurrence__in={day.date.isoformat() for day in days.values()})
    known = set(there.values_list("recipient", "occurrence"))
    new = [
        Mail(kind=kind, object_id=kind, occurrence=day.date.isoformat(), recipient_id=user_id, due_at=day.since)
        for user_id, day in days.items()
        if (user_id, day.date.isoformat()) not in known
    ]
    inserted: list[Mail] = mails.bulk_create(new)
    return inserted


class Digest(NamedTuple):
    """What a digest tells, task by task and project by project, and of how many more it does not."""

    parts: list[tuple[Project, Task | None, list[Item]]]
    more: int


class Overdue(NamedTuple):
    """The tasks of somebody that are overdue, those that are longest first, and how many more there are."""

    tasks: list[Task]
    more: int


def still_wanted(mails: Collection[Mail]) -> dict[Any, Digest | str]:
    """By the key of the message, what it is to say, or why it is not to be sent any more."""
    using = feed.database()
    rows = Notification.objects.using(using).filter(mail__in=[mail.pk for mail in mails], read_at__isnull=True)
    items = notices.read(list(rows.order_by("pk")))
    wanted = notices.wanting([item.notification for item in items.values()], Channel.DIGEST)
    projects = Project.objects.using(using).in_bulk({item.notification.project_id for item in items.values()})
    keys = {item.notification.task_id for item in items.values() if item.notification.task_id is not None}
    tasks = Task.objects.using(using).in_bulk(keys)
    due = _still_due([item for item in items.values() if item.reason == Reason.DUE_SOON], tasks)
    told = defaultdict(list)
    for key, item in items.items():
        if key in wanted and (item.reason != Reason.DUE_SOON or key in due):
            told[item.notification.mail_id].append(item)

    def verdict(mail: Mail) -> Digest | str:
        parts: dict[Any, list[Item]] = defaultdict(list)
        for item in told[mail.pk]:
            parts[item.notification.project_id, item.notification.task_id].append(item)
        squashed = [
            (projects[project_id], tasks.get(task_id), some)
            for (project_id, task_id), every in parts.items()
            if (some := notices.squashed(every, tasks.get(task_id)))
        ]
        if not squashed:
            return "Nothing is left of it: read, gone, not seen any more, or not wanted."
        return _cut(squashed)

    return {mail.pk: verdict(mail) for mail in mails}


def _still_due(items: Collection[Item], tasks: Mapping[Any, Task]) -> set[Any]:
    """The keys of those whose task is due when they say, is not done, and still concerns their recipient."""
    dues = [
        Due(task.pk, task.project_id, task.assignee_id, task.due_date)
        for task in (tasks[key] for key in {item.notification.task_id for item in items})
        if task.due_date is not None and task.status != Status.COMPLETED
    ]
    concerned = reminders.concerned_by(dues) if dues else {}
    occasions = {due.task_id: reminders.about(due).event_uuid for due in dues}
    return {
        row.pk
        for row in (item.notification for item in items)
        if row.event_uuid == occasions.get(row.task_id) and row.recipient_id in concerned[row.task_id]
    }


def _cut(parts: list[tuple[Project, Task | None, list[Item]]]) -> Digest:
    """As many of these as a digest tells of."""
    kept, room = [], MOST_ITEMS
    for project, task, items in parts:
        if room > 0:
            kept.append((project, task, items[:room]))
        room -= len(items)
    return Digest(kept, max(0, -room))


def still_overdue(mails: Collection[Mail], now: dt.datetime) -> dict[Any, Overdue | str]:
    """By the key of the message, the tasks that it is to tell of, or why it is not to be sent any more."""
    people = {mail.recipient_id for mail in mails}
    using = feed.database()
    asking = NotificationPreferences.objects.using(using).filter(user__in=people, overdue_digest=True)
    wanted = set(asking.values_list("user", flat=True))
    seen = access.visible_to_each(people)
    mine = defaultdict(list)
    rows = Task.objects.using(using).overdue(at=now).filter(assignee__in=people & wanted)
    for key, user_id, project_id in rows.order_by("due_date", "pk").values_list("pk", "assignee", "project"):
        if (keys := seen[user_id]) is None or project_id in keys:
            mine[user_id].append(key)
    # Somebody may have thousands: only those that are told of are read in full.
    told = [key for some in mine.values() for key in some[:MOST_ITEMS]]
    tasks = rows.select_related("project").in_bulk(told)

    def verdict(mail: Mail) -> Overdue | str:
        if mail.recipient_id not in wanted:
            return "The recipient does not want it any more."
        every = mine[mail.recipient_id]
        if not (some := [tasks[key] for key in every[:MOST_ITEMS] if key in tasks]):
            return "Nothing is overdue any more."
        return Overdue(some, max(0, len(every) - MOST_ITEMS))

    return {mail.pk: verdict(mail) for mail in mails}
