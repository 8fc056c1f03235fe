"""What recording costs a write: in process and over HTTP, each beside the same without the recorder."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from django.contrib.auth import get_user_model
from django.utils import timezone

from benchmarks.database import empty, tidy
from benchmarks.http import Connection, Server, serving, session_of
from benchmarks.measure import Samples, Table, interleaved, milliseconds
from benchmarks.plain.models import PlainMembership, PlainProject, PlainTask
from django_pm.events.feed import number_all
from django_pm.models import Role, Task

PROJECTS = 10
CONNECTIONS = 4

_numbers = itertools.count(1)


def run(*, short: bool) -> list[Table]:
    """Both parts; the long form takes some minutes."""
    user, projects = _site(tasks=5_000 if short else 50_000)
    try:
        return [
            _in_process(projects, singles=60 if short else 600, bulks=1 if short else 11),
            *_over_http(user, projects, rounds=5 if short else 40),
        ]
    finally:
        empty()


def _site(*, tasks: int) -> tuple[Any, list[int]]:
    """A user who owns some projects with tasks in them, so that the indexes have a size."""
    user = get_user_model().objects.create(username=f"writer{next(_numbers)}")
    projects = PlainProject.objects.bulk_create(PlainProject(name=f"Project {n}") for n in range(PROJECTS))
    PlainMembership.objects.bulk_create(PlainMembership(project=p, user=user, role=Role.OWNER) for p in projects)
    keys = [project.pk for project in projects]
    PlainTask.objects.bulk_create(_tasks(PlainTask, keys, tasks), batch_size=2_000)
    tidy()
    return user, keys


def _task(projects: list[int]) -> dict[str, Any]:
    number = next(_numbers)
    return {
        "project_id": projects[number % len(projects)],
        "title": f"Measure the length of wall {number}",
        "description": "With the steel tape, twice, on both floors, and write it into the plan.",
        "due_date": timezone.now() + dt.timedelta(days=7),
    }


def _tasks(model: Any, projects: list[int], count: int) -> list[Any]:
    return [model(**_task(projects)) for _ in range(count)]


# In process


def _in_process(projects: list[int], *, singles: int, bulks: int) -> Table:
    samples = Samples()

    def single(label: str, model: Any) -> Callable[[], None]:
        def work() -> None:
            values = _task(projects)
            with samples.timed(f"create one {label}"):
                task = model.objects.create(**values)
            task.title += "."
            with samples.timed(f"save one {label}"):
                task.save()
            with samples.timed(f"delete one {label}"):
                task.delete()

        return work

    def bulk(label: str, model: Any) -> Callable[[], None]:
        def work() -> None:
            rows = model.objects.filter(pk__in=list(model.objects.order_by("pk").values_list("pk", flat=True)[:1_000]))
            title = f"Title {next(_numbers)}"
            with samples.timed(f"update() of 1,000 {label}"):
                rows.update(title=title)
            for kind, keys in (("10 projects", projects), ("1 project", projects[:1])):
                tasks = _tasks(model, keys, 10_000)
                with samples.timed(f"bulk_create of 10,000 in {kind} {label}"):
                    made = model.objects.bulk_create(tasks)
                PlainTask.objects.filter(pk__gte=made[0].pk).delete()
            number_all()

        return work

    variants = {"plain": PlainTask, "ours": Task}
    interleaved(singles, {label: single(label, model) for label, model in variants.items()})
    tidy()
    interleaved(bulks, {label: bulk(label, model) for label, model in variants.items()})
    tidy()
    table = Table("Writes in process (ms; plain models over the same tables, and ours)", *_COLUMNS)
    for name in (
        "create one",
        "save one",
        "delete one",
        "update() of 1,000",
        "bulk_create of 10,000 in 10 projects",
        "bulk_create of 10,000 in 1 project",
    ):
        _compare(table, samples, name, "plain", "ours")
    return table


_COLUMNS = (
    "what", "without", "with", "throughput with / without",
    "processor without", "processor with", "with / without", "rounds",
)  # fmt: skip


def _compare(table: Table, samples: Samples, name: str, reference: str, measured: str) -> None:
    cells = []
    for kind in ("", "processor "):
        without, with_ = (samples.median(f"{kind}{name} {label}") for label in (reference, measured))
        cells += [milliseconds(without), milliseconds(with_), f"{without / with_:.2f}"]
    table.add(name, *cells, str(samples.count(f"{name} {measured}")))


# Over HTTP


PATHS = {"plain": "/plain/tasks/", "unrecorded": "/unrecorded/tasks/", "ours": "/tasks/"}


def _body(projects: list[int]) -> dict[str, Any]:
    values = _task(projects)
    return {"project": values.pop("project_id"), **values, "due_date": values["due_date"].isoformat()}


def _over_http(user: Any, projects: list[int], *, rounds: int) -> list[Table]:
    samples = Samples()
    session = session_of(user)
    with serving() as server:
        with _connected(server, session) as connections:
            for path in PATHS.values():  # every worker has loaded everything before it is measured
                for connection in connections * 3:
                    _one_by_one(Samples(), "", connection, path, projects, 2)
            alone = {name: _alone(samples, name, connections[0], path, projects) for name, path in PATHS.items()}
            interleaved(rounds, alone)
        tidy()
        # New ones: the server closes those that have been idle for long.
        with _connected(server, session) as connections:
            together = {
                name: _together(samples, name, server, connections, path, projects) for name, path in PATHS.items()
            }
            interleaved(rounds, together)
    number_all()
    return [_latency(samples), _throughput(samples)]


@contextmanager
def _connected(server: Server, session: str) -> Iterator[list[Connection]]:
    connections = [Connection(server.port, session) for _ in range(CONNECTIONS)]
    try:
        yield connections
    finally:
        for connection in connections:
            connection.close()


def _alone(samples: Samples, name: str, connection: Connection, path: str, projects: list[int]) -> Callable[[], None]:
    return lambda: _one_by_one(samples, name, connection, path, projects, 10)


def _one_by_one(
    samples: Samples, name: str, connection: Connection, path: str, projects: list[int], count: int
) -> None:
    keys = []
    for _ in range(count):
        body = _body(projects)
        with samples.timed(f"POST {name}"):
            status, answer = connection.send("POST", path, body)
        assert status == 201, answer
        keys.append(json.loads(answer)["id"])
    for key in keys:
        with samples.timed(f"PATCH {name}"):
            status, answer = connection.send("PATCH", f"{path}{key}/", {"title": f"Title {next(_numbers)}"})
        assert status == 200, answer
    for key in keys:
        with samples.timed(f"DELETE {name}"):
            status, answer = connection.send("DELETE", f"{path}{key}/")
        assert status == 204, answer


def _together(
    samples: Samples, name: str, server: Server, connections: list[Connection], path: str, projects: list[int]
) -> Callable[[], None]:
    """POSTs by several clients at once for half a second: answers per second, and what they cost the server."""

    def client(connection: Connection, until: float) -> int:
        count = 0
        while time.perf_counter() < until:
            status, answer = connection.send("POST", path, _body(projects))
            assert status == 201, answer
            count += 1
        return count

    def work() -> None:
        cpu, start = server.cpu_seconds(), time.perf_counter()
        with ThreadPoolExecutor(len(connections)) as clients:
            counts = clients.map(client, connections, [start + 0.5] * len(connections))
            answered = sum(counts)  # raises what a client raised
        samples.add(f"per second {name}", answered / (time.perf_counter() - start))
        samples.add(f"processor {name}", (server.cpu_seconds() - cpu) / answered)

    return work


_HTTP_COLUMNS = (
    "what", "plain DRF", "our view, no recorder", "ours", "no recorder / plain", "ours / plain", "rounds"
)  # fmt: skip


def _latency(samples: Samples) -> Table:
    table = Table("Writes of one task over HTTP, one client (ms; ratios of throughput)", *_HTTP_COLUMNS)
    for verb in ("POST", "PATCH", "DELETE"):
        _beside(table, samples, verb, f"{verb} ")
    return table


def _throughput(samples: Samples) -> Table:
    table = Table(f"POST over HTTP, {CONNECTIONS} clients at once (ratios of throughput)", *_HTTP_COLUMNS)
    plain, unrecorded, ours = (samples.median(f"per second {name}") for name in PATHS)
    rates = (f"{rate:.0f}" for rate in (plain, unrecorded, ours))
    rounds = str(samples.count("per second ours"))
    table.add("requests / s", *rates, f"{unrecorded / plain:.2f}", f"{ours / plain:.2f}", rounds)
    _beside(table, samples, "server's processor time, ms / request", "processor ")
    return table


def _beside(table: Table, samples: Samples, what: str, prefix: str) -> None:
    """A row of times; the ratios are turned, so that more is better as in rates."""
    plain, unrecorded, ours = (samples.median(f"{prefix}{name}") for name in PATHS)
    ratios = (f"{plain / unrecorded:.2f}", f"{plain / ours:.2f}")
    table.add(what, *map(milliseconds, (plain, unrecorded, ours)), *ratios, str(samples.count(f"{prefix}ours")))
