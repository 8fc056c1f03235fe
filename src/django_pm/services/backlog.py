"""How long what is due has been waiting, and how much of it there is: for metrics and for ``pm_doctor``.

It is asked every few seconds, so each question is answered from an index, by a number of statements and of rows that
does not grow with the tables. Where that is at the price of completeness, its docstring says so.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from django.db.models import BigIntegerField, CharField, Count, Min, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Cast, Coalesce

from django_pm.events import feed
from django_pm.events.subscribers import registered
from django_pm.models import (
    Cursor,
    Event,
    Mail,
    MailKind,
    MailState,
    ParkedEvent,
    Project,
    ProjectStream,
    Report,
    Subscriber,
    Task,
)
from django_pm.models.mail import UNFINISHED
from django_pm.services import reminders, reports

NOTHING = dt.timedelta(0)
DAY = dt.timedelta(days=1)
HOUR = dt.timedelta(hours=1)

MOST_UNNUMBERED = 10_000
LATEST_EVENTS = 1_000
LATEST_PARKED = 1_000
MOST_TASKS = 100
NEWEST_PROJECTS = 1_000

# --- Events ---------------------------------------------------------------------------------------------------------


def unnumbered_for(now: dt.datetime) -> dt.timedelta:
    """The age of the oldest event without a number, at least: where there are very many, some of them are looked at."""
    waiting = Event.objects.using(feed.database()).filter(seq__isnull=True)
    some = waiting.order_by("project_id", "id").values("created_at")[:MOST_UNNUMBERED]
    return _age(some.aggregate(since=Min("created_at"))["since"], now)


def unrelayed_for(now: dt.datetime) -> dict[str, dt.timedelta | None]:
    """By subscriber, the age of the oldest numbered event that it has not been handed; None if no relay has seen it.

    Looked at are the projects of the latest events. Whoever is behind is so there, unless it is one project's own
    trouble, which ends up as a parked event. One statement for each subscriber, and one more.
    """
    names = [subscription.name for subscription in registered()]
    seen = set(Subscriber.objects.using(feed.database()).filter(name__in=names).values_list("name", flat=True))
    return {name: _unrelayed_for(name, now) if name in seen else None for name in names}


def _unrelayed_for(name: str, now: dt.datetime) -> dt.timedelta:
    latest = Event.objects.order_by("-id").values("project_id")[:LATEST_EVENTS]
    streams = ProjectStream.objects.using(feed.database()).filter(pk__in=latest)
    cursor = Cursor.objects.filter(subscriber=name, project_id=OuterRef("project_id")).values("seq")
    behind = Event.objects.filter(project_id=OuterRef("project_id"), seq__gt=OuterRef("place")).order_by("seq")
    streams = streams.annotate(place=Coalesce(Subquery(cursor[:1]), Value(0), output_field=BigIntegerField()))
    ages = streams.annotate(since=Subquery(behind.values("created_at")[:1]))
    return _age(ages.aggregate(oldest=Min("since"))["oldest"], now)


def parked_events() -> dict[str, int]:
    """By subscriber, how many events it has failed on for good, of the latest of all."""
    latest = ParkedEvent.objects.using(feed.database()).order_by("-pk")
    return {subscription.name: 0 for subscription in registered()} | Counter(
        latest.values_list("subscriber", flat=True)[:LATEST_PARKED]
    )


# --- What is due ----------------------------------------------------------------------------------------------------


def mail_due_for(now: dt.datetime) -> dt.timedelta:
    """For how long the message has been due that has waited longest."""
    due = Mail.objects.filter(state__in=UNFINISHED, due_at__lte=now)
    return _age(due.aggregate(since=Min("due_at"))["since"], now)


def reminders_due_for(now: dt.datetime) -> dt.timedelta:
    """How long ago the first task came within 24 hours that somebody is to be reminded of, and nobody has been.

    Looked at are those that came so within the last hour: where nobody queues reminders, there are some. The first
    hundred of them without a message are asked about further.
    """
    soon = Task.objects.open().filter(due_date__gt=now + reminders.AHEAD - HOUR, due_date__lte=now + reminders.AHEAD)
    key = Cast(OuterRef("pk"), CharField(max_length=64))
    queued = Mail.objects.filter(kind=MailKind.REMINDER, object_id=key).values("pk")[:1]
    # A sub-select, not a join: for a join PostgreSQL may read all mail.
    without = soon.annotate(mail=Subquery(queued)).filter(mail__isnull=True).order_by("due_date", "pk")[:MOST_TASKS]
    rows: list[Any] = list(without.values_list("pk", "project", "assignee", "due_date", "updated_at"))
    if not rows:
        return NOTHING
    dues = [reminders.Due(*row[:4]) for row in rows]
    recipients = reminders.recipients_of(dues)
    ages = [now - max(row[3] - reminders.AHEAD, row[4]) for row in rows if recipients[row[0]]]
    return max(ages, default=NOTHING)


def reports_due_for(now: dt.datetime) -> dt.timedelta:
    """For how long the report has been due that has waited longest, of those of the newest projects."""
    newest = Project.objects.order_by("-pk").values_list("pk", "time_zone", "created_at")[:NEWEST_PROJECTS]
    due = {pk: day for pk, zone, made in newest if made < (day := reports.latest_day(zone, now)).since}
    if not due:
        return NOTHING
    first = min(day.date for day in due.values())
    there = set(Report.objects.filter(project__in=due, date__gte=first).values_list("project", "date"))
    return max((now - day.since for pk, day in due.items() if (pk, day.date) not in there), default=NOTHING)


DUE: dict[str, Callable[[dt.datetime], dt.timedelta]] = {
    "mail": mail_due_for,
    "reminders": reminders_due_for,
    "reports": reports_due_for,
}

# --- Mail -----------------------------------------------------------------------------------------------------------


def unfinished_mail() -> dict[tuple[str, str], int]:
    """By kind and state, how many messages are on their way."""
    return _by_kind(Mail.objects.filter(state__in=UNFINISHED), UNFINISHED)


def ended_mail(now: dt.datetime) -> dict[tuple[str, str], int]:
    """By kind and state, how many messages that were queued within a day have ended."""
    ended = [state for state in MailState if state not in UNFINISHED]
    return _by_kind(Mail.objects.filter(created_at__gt=now - DAY, state__in=ended), ended)


def _by_kind(rows: QuerySet[Mail], states: Iterable[MailState]) -> dict[tuple[str, str], int]:
    none = {(kind.value, state.value): 0 for kind in MailKind for state in states}
    found = rows.order_by().values_list("kind", "state").annotate(number=Count("pk"))
    return none | {(kind, state): number for kind, state, number in found}


def _age(since: dt.datetime | None, now: dt.datetime) -> dt.timedelta:
    return NOTHING if since is None else max(NOTHING, now - since)
