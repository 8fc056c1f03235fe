"""The reading side of the log: numbering, the versions of many projects, a page of a long stream."""

from __future__ import annotations

from typing import Any

from django.db import connection

from benchmarks.database import empty, tidy
from benchmarks.measure import Samples, Table, interleaved, milliseconds, timing_function
from django_pm.events import feed
from django_pm.models import Event, ProjectStream

PAGE = 200
NUMBERED = 10_000
MANY = (1, 50, 500, 5_000)


def run(*, short: bool) -> list[Table]:
    tables = [
        _numbering(rounds=5 if short else 21),
        _versions(rounds=20 if short else 200),
        _reading(events=100_000 if short else 1_000_000, rounds=30 if short else 200),
    ]
    empty()
    return tables


def _append(project_id: int, count: int) -> None:
    """Append ``count`` unnumbered events to one project, made by the database itself."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO django_pm_event (uuid, project_id, type, object_type, object_id, actor_id, actor_name,"
            " changes, version, origin, created_at)"
            " SELECT gen_random_uuid(), %s, 'task.updated', 'task', (n %% 5000)::text, '1', 'Somebody',"
            """ '{"title": ["The old title of it", "The new title of it"]}', 1, 'api', now()"""
            " FROM generate_series(1, %s) AS n ORDER BY n",
            [project_id, count],
        )


def _numbering(*, rounds: int) -> Table:
    samples = Samples()
    for turn in range(rounds):
        _append(turn % 5 + 1, NUMBERED)
        with samples.timed("number"):
            feed.number(turn % 5 + 1)
        with samples.timed("nothing to number"):
            feed.number(turn % 5 + 1)
    table = Table("Numbering", "what", "ms", "events / s", "rounds")
    seconds = samples.median("number")
    table.add(
        f"number {NUMBERED:,} events of one project", milliseconds(seconds), f"{NUMBERED / seconds:,.0f}", str(rounds)
    )
    table.add("nothing to number", milliseconds(samples.median("nothing to number")), "", str(rounds))
    return table


def _versions(*, rounds: int) -> Table:
    """Every stream has some numbered events, every third one some that wait."""
    first, last = 1_000, 1_000 + max(MANY)
    ProjectStream.objects.bulk_create(ProjectStream(project_id=key, seq=20) for key in range(first, last))
    for waiting in range(3):
        keys = range(first, last, 3 * (waiting + 1))
        Event.objects.bulk_create(
            [Event(project_id=key, type="task.updated", object_type="task", object_id="1") for key in keys]
        )
    tidy()
    samples = Samples()
    variants: dict[str, Any] = {}
    for count in MANY:
        keys = list(range(first, first + count))
        variants[f"versions {count}"] = timing_function(
            samples, f"versions {count}", lambda keys=keys: feed.versions(keys)
        )
        variants[f"rows {count}"] = timing_function(samples, f"rows {count}", lambda keys=keys: _rows(keys))
    interleaved(rounds, variants)
    columns = ("projects", "ms", "the stream rows alone, ms", "rows alone / versions", "us per project", "rounds")
    table = Table("Versions of many projects in one statement", *columns)
    for count in MANY:
        versions, rows = samples.median(f"versions {count}"), samples.median(f"rows {count}")
        cells = (milliseconds(versions), milliseconds(rows), f"{rows / versions:.2f}", f"{versions / count * 1e6:.0f}")
        table.add(f"{count:,}", *cells, str(rounds))
    return table


def _rows(keys: list[int]) -> list[Any]:
    return list(ProjectStream.objects.filter(pk__in=keys).values_list("project_id", "epoch", "seq"))


def _reading(*, events: int, rounds: int) -> Table:
    project_id = 9_999_999
    _append(project_id, events)
    feed.number(project_id)
    tidy()
    samples = Samples()
    places = {"start": 0, "middle": events // 2, "end": events - PAGE}
    variants = {
        name: timing_function(samples, name, lambda s=since: _page(project_id, s)) for name, since in places.items()
    }
    interleaved(rounds, variants)
    by_offset = {
        name: timing_function(samples, f"offset {name}", lambda s=since: _page_by_offset(project_id, s))
        for name, since in places.items()
    }
    interleaved(max(rounds // 10, 3), by_offset)
    table = Table(
        f"A page of {PAGE} events of a stream of {events:,} (ms)",
        "how",
        "start",
        "middle",
        "end",
        "start / end",
        "rounds",
    )
    for how, prefix in (("the feed", ""), ("the same by OFFSET", "offset ")):
        times = [samples.median(f"{prefix}{name}") for name in places]
        count = str(samples.count(f"{prefix}end"))
        table.add(how, *map(milliseconds, times), f"{times[0] / times[2]:.2f}", count)
    return table


def _page(project_id: int, since: int) -> None:
    assert len(feed.read(project_id, since=since, limit=PAGE).events) == PAGE


def _page_by_offset(project_id: int, offset: int) -> None:
    rows = Event.objects.filter(project_id=project_id).order_by("seq")
    assert len(rows[offset : offset + PAGE]) == PAGE
