"""Daily reports of very many projects: all at once, project by project, and as a loop of counts."""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from itertools import pairwise
from typing import Any
from unittest import mock

from django.core.management import call_command
from django.db import connection, reset_queries
from django.db.models import Count, Q
from django.test.utils import CaptureQueriesContext

from benchmarks import large_site
from benchmarks.database import empty, tidy
from benchmarks.measure import Samples, Table, interleaved, megabytes
from benchmarks.probe import probe
from django_pm import event_types
from django_pm.models import (
    Event,
    Mail,
    MailKind,
    Membership,
    NotificationPreferences,
    Priority,
    Project,
    Report,
    Role,
    Status,
    Task,
)
from django_pm.services import local_days, reports
from django_pm.services.summaries import ACTIVE_DAYS, ASSIGNEES, LISTED, TREND_DAYS, Place, summarise

SEEDED = dt.datetime(2030, 1, 7, 9, tzinfo=dt.UTC)
NOW = SEEDED + dt.timedelta(days=1)
OURS, EACH, LOOP = "ours", "our statements, project by project", "a loop of counts"
SAMPLE = 100
"""So many projects are asked about one by one; what all of them would take follows from that."""


def run(*, short: bool) -> Iterator[Table]:
    """Two tables for each site; the last is one of some years."""
    sizes, large = ([50], (20, 2_000)) if short else ([500, 5_000], (5_000, 1_000_000))
    try:
        for size in sizes:
            furnish(size)
            yield from _measured(size, 20 * size)
        large_site.furnish(*large, until=NOW)
        yield from _measured(*large)
    finally:
        _forget()
        large_site.clear()


def _measured(projects: int, tasks: int) -> Iterator[Table]:
    yield _speed(projects, tasks, rounds=3)
    _forget()
    yield _memory(projects)


def _memory(size: int) -> Table:
    table = Table("The process that makes them (memory above before)", "projects", "s", "peak resident MB")
    taken = probe("benchmarks.reports:make_all", traced=False)
    assert Report.objects.count() == size
    table.add(f"{size:,}", f"{taken.seconds:.1f}", megabytes(taken.resident))
    return table


def furnish(projects: int) -> None:
    """So many projects with twenty tasks each, and their log; everybody wants reports."""
    empty()
    options = {"projects": projects, "tasks": 20 * projects, "comments": 10 * projects, "users": 40}
    call_command("pm_seed", **options, now=SEEDED.isoformat(), verbosity=0)
    people = Membership.objects.order_by().values_list("user", flat=True).distinct()
    wanted = [NotificationPreferences(user_id=key, reports=True) for key in people]
    NotificationPreferences.objects.bulk_create(wanted, ignore_conflicts=True)
    tidy()


def make_all() -> None:
    """What is measured, also in a process of its own."""
    reports.make_due(NOW)


def _forget() -> None:
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE django_pm_report, django_pm_mail, django_pm_notification")
        cursor.execute("DELETE FROM django_pm_event WHERE object_type = 'report'")


def _speed(size: int, tasks: int, rounds: int) -> Table:
    places = [_place(project) for project in Project.objects.order_by("pk")[:SAMPLE]]
    together = summarise(places, NOW)
    assert {place.project_id: counted(place, NOW) for place in places} == together
    assert {place.project_id: summarise([place], NOW)[place.project_id] for place in places} == together
    samples = Samples()
    samples.add(f"{OURS} statements", _statements(lambda: summarise(places, NOW)) * math.ceil(size / reports.CHUNK))
    samples.add(f"{EACH} statements", _statements(lambda: [_summary(place, NOW) for place in places]))
    samples.add(f"{LOOP} statements", _statements(lambda: [counted(place, NOW) for place in places]))
    ways: dict[str, tuple[int, Callable[[], None]]] = {
        OURS: (size, lambda: _at_once(samples)),
        EACH: (len(places), lambda: _one_by_one(EACH, _summary, places, samples)),
        LOOP: (len(places), lambda: _one_by_one(LOOP, counted, places, samples)),
    }
    interleaved(rounds, {name: way for name, (_number, way) in ways.items()})
    times = ("computing", "storing", "together")
    columns = ("how", "statements", *times, "computing, x the loop", "together, x the loop", "rounds")
    title = f"Reports of {size:,} projects with {tasks:,} tasks, ms for each (one by one: for {len(places)} of them)"
    table = Table(title, *columns)
    for name, (number, _way) in ways.items():
        parts = [samples.median(f"{name} {part}") / number * 1000 for part in times]
        loop = [samples.median(f"{LOOP} {part}") / len(places) * 1000 for part in times]
        ratios = [f"{loop[0] / parts[0]:.1f}", f"{loop[2] / parts[2]:.1f}"]
        statements = f"{samples.median(f'{name} statements'):,.0f}"
        table.add(name, statements, *(f"{part:.2f}" for part in parts), *ratios, str(rounds))
    return table


def _statements(work: Callable[[], object]) -> int:
    reset_queries()  # only so many are kept
    with CaptureQueriesContext(connection) as captured:
        work()
    return len(captured)


def _place(project: Project) -> Place:
    zone = local_days.find_zone(project.time_zone)
    assert zone is not None
    return Place(project.pk, local_days.reached(NOW, zone, 6), zone)


def _at_once(samples: Samples) -> None:
    """As the task does it; what goes into ``summarise`` is computing, the rest is storing."""
    _forget()
    spent = Samples()

    def timed(places: Collection[Place], now: dt.datetime) -> Any:
        with spent.timed("computing"):
            return summarise(places, now)

    with mock.patch.object(reports, "summarise", timed), spent.timed("together"):
        make_all()
    assert Report.objects.count() == Project.objects.count()
    computing, together = sum(spent.all("computing")), spent.median("together")
    samples.add(f"{OURS} computing", computing)
    samples.add(f"{OURS} storing", together - computing)
    samples.add(f"{OURS} together", together)


def _one_by_one(name: str, compute: Callable[..., Any], places: list[Place], samples: Samples) -> None:
    _forget()
    with samples.timed(f"{name} together"):
        with samples.timed(f"{name} computing"):
            data = {place: compute(place, NOW) for place in places}
        with samples.timed(f"{name} storing"):
            for place in places:
                _store(place, data[place])
    assert Report.objects.count() == len(places)


def _summary(place: Place, now: dt.datetime) -> dict[str, Any]:
    return summarise([place], now)[place.project_id]


def _store(place: Place, data: dict[str, Any]) -> None:
    """As one would: look whether it is there, write it, and a row of mail for each who wants it."""
    report, is_new = Report.objects.get_or_create(
        project_id=place.project_id, date=place.date, defaults={"time_zone": place.zone.key, "data": data}
    )
    if not is_new:
        return
    asking = NotificationPreferences.objects.filter(reports=True, user__is_active=True).values("user")
    owners = Membership.objects.filter(project=place.project_id, role__in=[Role.OWNER, Role.MANAGER], user__in=asking)
    for membership in owners:
        values = {"object_id": str(report.pk), "occurrence": place.date.isoformat()}
        Mail.objects.get_or_create(kind=MailKind.REPORT, recipient_id=membership.user_id, **values)


# The same figures as one would count them, project by project


def counted(place: Place, now: dt.datetime) -> dict[str, Any]:
    """What ``summarise`` says of one project, by ordinary statements of the ORM."""
    tasks = Task.objects.filter(project=place.project_id)
    still_open = tasks.exclude(status=Status.COMPLETED)
    *_earlier, start, end = place.starts()
    by_status = {status.value: tasks.filter(status=status).count() for status in Status}
    total, completed = tasks.count(), by_status[Status.COMPLETED.value]
    trend = _trend(place)
    return {
        "day": {
            "date": trend[-1]["date"],
            "start": event_types.encode(start),
            "end": event_types.encode(end),
            "created": tasks.filter(created_at__gte=start, created_at__lt=end).count(),
            "completed": tasks.filter(completed_at__gte=start, completed_at__lt=end).count(),
            "comments": trend[-1]["comments"],
        },
        "tasks": {
            "total": total,
            "open": total - completed,
            "completed": completed,
            "overdue": still_open.filter(due_date__lt=now).count(),
        },
        "by_status": by_status,
        "by_priority": {priority.value: still_open.filter(priority=priority).count() for priority in Priority},
        "by_assignee": _by_assignee(still_open, now),
        "due_next": [
            {
                "id": task.pk,
                "title": task.title,
                "due_date": event_types.encode(task.due_date),
                "assignee": task.assignee_id,
            }
            for task in still_open.filter(due_date__gte=now).order_by("due_date", "pk")[:LISTED]
        ],
        "most_active": _most_active(place),
        "trend": trend,
    }


def _by_assignee(tasks: Any, now: dt.datetime) -> list[dict[str, Any]]:
    overdue = Count("pk", filter=Q(due_date__lt=now))
    rows = tasks.order_by().values("assignee").annotate(open=Count("pk"), overdue=overdue)
    return [
        {"user": row["assignee"], "open": row["open"], "overdue": row["overdue"]}
        for row in rows.order_by("-open", "assignee")[:ASSIGNEES]
    ]


def _trend(place: Place) -> list[dict[str, Any]]:
    trend = []
    days = local_days.last_days(place.date, place.zone, TREND_DAYS)
    for day, (start, end) in zip(days, pairwise(place.starts()), strict=True):
        events = Event.objects.filter(project_id=place.project_id, created_at__gte=start, created_at__lt=end)
        created, comments = (events.filter(type=f"{kind}.created").count() for kind in ("task", "comment"))
        completed = events.filter(type="task.updated", changes__status__1="completed").count()
        told = not events.filter(type=event_types.PROJECT_RESYNC).exists()
        counts = {"created": created, "completed": completed, "comments": comments}
        trend.append({"date": day.isoformat(), **counts, "complete": told})
    return trend


def _most_active(place: Place) -> list[dict[str, Any]]:
    bounds = place.starts()
    events = Event.objects.filter(
        project_id=place.project_id,
        created_at__gte=bounds[-1 - ACTIVE_DAYS],
        created_at__lt=bounds[-1],
        object_type__in=["task", "comment"],
    )
    counts = Counter(
        event.object_id if event.object_type == "task" else str(event.changes["task"][1] or event.changes["task"][0])
        for event in events
        if event.object_type == "task" or "task" in (event.changes or {})
    )
    titles = {str(task.pk): task.title for task in Task.objects.filter(project=place.project_id, pk__in=counts)}
    there = sorted((-count, key) for key, count in counts.items() if key in titles)
    return [{"id": int(key), "title": titles[key], "events": -count} for count, key in there[:LISTED]]
