"""What stands in a daily report, for many projects at once: a fixed number of statements, over one snapshot.

What a project *is* (tasks by status, who has how many, what is overdue) is counted from its rows. What *happened* (the
trend of two weeks, the most active tasks) is read from the event log, since rows do not remember. The two need not
agree: a task that was deleted since, or that came from another project, is in the one and not in the other.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections import defaultdict
from collections.abc import Collection
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from django.db.models import Case, Count, Exists, F, OuterRef, Q, QuerySet, Subquery, Value, When, Window
from django.db.models.fields import BigIntegerField, DateTimeField, IntegerField, TextField
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, Coalesce, NullIf, RowNumber

from django_pm import event_types
from django_pm.events import feed
from django_pm.events.snapshots import snapshot
from django_pm.models import Event, Priority, ProjectStream, Status, Task
from django_pm.services import local_days

TREND_DAYS = 14
ACTIVE_DAYS = 7
LISTED = 5
"""How many tasks are listed as due next, and as most active."""

ALWAYS = dt.datetime.min.replace(tzinfo=dt.UTC)

ASSIGNEES = 20
"""How many assignees are listed, those with the most open tasks."""

HAPPENED = {
    "created": Q(type="task.created"),
    # Also one that was made so, but not one that came from another project as it is.
    "completed": Q(changes__status__1=Status.COMPLETED.value)
    & (Q(type="task.updated") | Q(type="task.created", changes__comments__isnull=True)),
    "comments": Q(type="comment.created"),
}
"""What the trend counts."""


class Place(NamedTuple):
    """A project on a date of its own."""

    project_id: Any
    date: dt.date
    zone: ZoneInfo

    def starts(self) -> tuple[dt.datetime, ...]:
        """When the days of the trend begin, and, last, ``date`` itself."""
        return tuple(start for _day, start in _calendar(self.date, self.zone))


@functools.lru_cache(maxsize=1_024)
def _calendar(date: dt.date, zone: ZoneInfo) -> tuple[tuple[dt.date, dt.datetime], ...]:
    """The days of the trend and ``date`` itself, and when they begin; many projects share them."""
    days = [*local_days.last_days(date, zone, TREND_DAYS), date]
    return tuple((day, local_days.begins(day, zone)) for day in days)


def summarise(places: Collection[Place], now: dt.datetime) -> dict[Any, dict[str, Any]]:
    """By project, what its report says, in JSON's own types; no project may be there twice.

    The keys: ``day`` (the day before, with its date, beginning and end, and how many tasks were created and completed
    and comments made in it), ``tasks``, ``by_status``, ``by_priority`` and ``by_assignee`` (open tasks), ``due_next``,
    ``most_active`` (of the last week) and ``trend`` (``created``, ``completed``, ``comments`` of each of the last 14
    days; not ``complete`` where the log does not tell everything of a day).
    """
    if not places:
        return {}
    using = feed.database()
    starts = {place.project_id: place.starts() for place in places}
    with snapshot(using):
        counts = _counts(using, starts, now)
        assignees = _assignees(using, starts, now)
        due_next = _due_next(using, starts, now)
        trend = _trend(using, starts)
        known_since = _known_since(using, starts)
        active = _most_active(using, starts)
    return {
        place.project_id: _as_data(
            place,
            counts[place.project_id],
            assignees[place.project_id],
            due_next[place.project_id],
            active[place.project_id],
            _days(place, trend[place.project_id], known_since.get(place.project_id, ALWAYS)),
        )
        for place in places
    }


def _as_data(
    place: Place,
    counts: dict[str, int],
    assignees: list[dict[str, Any]],
    due_next: list[dict[str, Any]],
    active: list[dict[str, Any]],
    trend: list[dict[str, Any]],
) -> dict[str, Any]:
    *_earlier, start, end = place.starts()
    by_status = {status.value: counts[status.value] for status in Status}
    total = sum(by_status.values())
    return {
        "day": {
            "date": trend[-1]["date"],
            "start": event_types.encode(start),
            "end": event_types.encode(end),
            "created": counts["made"],
            "completed": counts["finished"],
            "comments": trend[-1]["comments"],
        },
        "tasks": {
            "total": total,
            "open": total - by_status[Status.COMPLETED.value],
            "completed": by_status[Status.COMPLETED.value],
            "overdue": counts["overdue"],
        },
        "by_status": by_status,
        "by_priority": {priority.value: counts[f"priority_{priority.value}"] for priority in Priority},
        "by_assignee": assignees,
        "due_next": due_next,
        "most_active": active,
        "trend": trend,
    }


# From the rows


def _tasks(using: str, starts: dict[Any, Any]) -> QuerySet[Task]:
    return Task.objects.using(using).filter(project__in=starts).order_by()


def _counts(using: str, starts: dict[Any, tuple[dt.datetime, ...]], now: dt.datetime) -> dict[Any, dict[str, int]]:
    open_ = ~Q(status=Status.COMPLETED)
    counted = {status.value: Count("pk", filter=Q(status=status)) for status in Status}
    counted |= {
        f"priority_{priority.value}": Count("pk", filter=open_ & Q(priority=priority.value)) for priority in Priority
    }
    counted["overdue"] = Count("pk", filter=open_ & Q(due_date__lt=now))
    for name, column in (("made", "created_at"), ("finished", "completed_at")):
        yesterday = Q(**{f"{column}__gte": _bound(starts, -2)}) & Q(**{f"{column}__lt": _bound(starts, -1)})
        counted[name] = Count("pk", filter=yesterday)
    found: dict[Any, dict[str, int]] = defaultdict(lambda: dict.fromkeys(counted, 0))
    rows: Any = _tasks(using, starts).values("project").annotate(**counted)
    for row in rows:
        found[row.pop("project")] = row
    return found


def _assignees(using: str, starts: dict[Any, Any], now: dt.datetime) -> dict[Any, list[dict[str, Any]]]:
    """The open tasks of each assignee (None for nobody), who has most first."""
    open_ = ~Q(status=Status.COMPLETED)
    # Counted among all tasks, which have just been read: asked for the open ones, PostgreSQL goes through those of all
    # projects for each part of the projects, by the index that reminders need.
    everybody = (
        _tasks(using, starts)
        .values("project", "assignee")
        .annotate(count=Count("pk", filter=open_), overdue=Count("pk", filter=open_ & Q(due_date__lt=now)))
    )
    rows = everybody.filter(count__gt=0)
    most_first = [F("count").desc(), F("assignee").asc(nulls_last=True)]
    # Cut off there and not here: a project may have thousands of assignees.
    place = Window(RowNumber(), partition_by="project", order_by=most_first)
    found: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for row in rows.annotate(place=place).filter(place__lte=ASSIGNEES).order_by("project", "place"):
        user = event_types.encode(row["assignee"])
        found[row["project"]].append({"user": user, "open": row["count"], "overdue": row["overdue"]})
    return found


def _due_next(using: str, starts: dict[Any, Any], now: dt.datetime) -> dict[Any, list[dict[str, Any]]]:
    upcoming = _tasks(using, starts).exclude(status=Status.COMPLETED).filter(due_date__gte=now)
    place = Window(RowNumber(), partition_by="project", order_by=["due_date", "pk"])
    rows = upcoming.annotate(place=place).filter(place__lte=LISTED).order_by("project", "due_date", "pk")
    found: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for project_id, *values in rows.values_list("project", "pk", "title", "due_date", "assignee"):
        found[project_id].append(dict(zip(("id", "title", "due_date", "assignee"), map(_plain, values), strict=True)))
    return found


# From the log


def _events(using: str, starts: dict[Any, tuple[dt.datetime, ...]], days: int) -> QuerySet[Event]:
    """Of the last ``days`` days before the date of each report."""
    first = -1 - days
    earliest, latest = min(days[first] for days in starts.values()), max(days[-1] for days in starts.values())
    events = Event.objects.using(using).filter(project_id__in=starts).order_by()
    events = events.filter(created_at__gte=earliest, created_at__lt=latest)  # for the index
    return events.filter(created_at__gte=_bound(starts, first), created_at__lt=_bound(starts, -1))


def _trend(using: str, starts: dict[Any, tuple[dt.datetime, ...]]) -> dict[Any, dict[int, dict[str, int]]]:
    """By project and the number of the day, what happened; ``untold`` counts what was not told row by row."""
    counted = {name: Count("pk", filter=condition) for name, condition in HAPPENED.items()}
    counted["untold"] = Count("pk", filter=Q(type=event_types.PROJECT_RESYNC))
    day = _by_zone(starts, lambda bounds: _number_of_day(bounds[:-1]), IntegerField())
    rows: Any = _events(using, starts, TREND_DAYS).annotate(day=day).values("project_id", "day").annotate(**counted)
    found: dict[Any, dict[int, dict[str, int]]] = defaultdict(dict)
    for row in rows:
        found[row.pop("project_id")][row.pop("day")] = row
    return found


def _number_of_day(bounds: tuple[dt.datetime, ...]) -> Case:
    """In which day an event lies, the latest asked first."""
    return Case(
        *(When(created_at__gte=bound, then=Value(number)) for number, bound in reversed(list(enumerate(bounds)))),
        output_field=IntegerField(),
    )


def _known_since(using: str, starts: dict[Any, Any]) -> dict[Any, dt.datetime | None]:
    """When the log begins, where its beginning has been pruned; None where nothing has happened since."""
    # The first of the index: the lowest in a group would be looked for among all events of the project.
    events = Event.objects.using(using).filter(project_id=OuterRef("pk")).order_by("created_at")
    pruned = ProjectStream.objects.using(using).filter(pk__in=starts, floor__gt=1)
    return dict(pruned.annotate(first=Subquery(events.values("created_at")[:1])).values_list("pk", "first"))


def _days(place: Place, happened: dict[int, dict[str, int]], known_since: dt.datetime | None) -> list[dict[str, Any]]:
    trend = []
    for number, (day, start) in enumerate(_calendar(place.date, place.zone)[:-1]):
        counts = happened.get(number, {})
        told = not counts.get("untold") and known_since is not None and known_since <= start
        trend.append({"date": day.isoformat(), **{name: counts.get(name, 0) for name in HAPPENED}, "complete": told})
    return trend


def _most_active(using: str, starts: dict[Any, tuple[dt.datetime, ...]]) -> dict[Any, list[dict[str, Any]]]:
    """The tasks of which most was told in the last days: their own events, and those of their comments.

    An edit of a comment does not tell of which task it is, and is not counted.
    """
    # Not every key that a host has recorded is one of ours.
    task = Case(When(key__regex=r"^[0-9]{1,18}$", then=Cast("key", BigIntegerField())), output_field=BigIntegerField())
    rows = _events(using, starts, ACTIVE_DAYS).annotate(key=_task_key()).annotate(task=task)
    there = Task.objects.using(using).filter(pk=OuterRef("task"), project=OuterRef("project_id"))
    counted = rows.filter(Exists(there)).values("project_id", "task").annotate(count=Count("pk"))
    place = Window(RowNumber(), partition_by="project_id", order_by=[F("count").desc(), "task"])
    best = list(counted.annotate(place=place).filter(place__lte=LISTED).order_by("project_id", "place"))
    titles = dict(Task.objects.using(using).filter(pk__in=[row["task"] for row in best]).values_list("pk", "title"))
    listed: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for row in best:
        if (key := row["task"]) in titles:  # it may be gone by now where a host's transaction is no snapshot
            listed[row["project_id"]].append({"id": key, "title": titles[key], "events": row["count"]})
    return listed


def _task_key() -> Case:
    """Of which task an event tells, as text. SQLite gives a number in JSON as a number, and null as the word."""
    now, before = (Cast(KT(f"changes__task__{side}"), TextField()) for side in (1, 0))
    of_comment = Coalesce(NullIf(now, Value("null")), before)
    keys = (When(object_type="task", then=F("object_id")), When(object_type="comment", then=of_comment))
    return Case(*keys, output_field=TextField())


# Bounds that differ by time zone


def _bound(starts: dict[Any, tuple[dt.datetime, ...]], number: int) -> Any:
    """The instant that is ``number`` in each project's list, for a comparison."""
    return _by_zone(starts, lambda bounds: Value(bounds[number], DateTimeField()), DateTimeField())


def _by_zone(starts: dict[Any, tuple[dt.datetime, ...]], expression: Any, output_field: Any) -> Any:
    """``expression`` of its bounds for each project; projects whose days begin together share one."""
    alike: dict[tuple[dt.datetime, ...], list[Any]] = defaultdict(list)
    for project_id, bounds in starts.items():
        alike[bounds].append(project_id)
    if len(alike) == 1:
        return expression(next(iter(alike)))
    cases = (When(project_id__in=keys, then=expression(bounds)) for bounds, keys in alike.items())
    return Case(*cases, output_field=output_field)


def _plain(value: Any) -> Any:
    """A key, an instant or a text as JSON has it. Unlike in an event, a long title is kept."""
    return value if isinstance(value, (str, int)) else event_types.encode(value)
