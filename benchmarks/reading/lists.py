"""A page of 50 tasks over HTTP, by who sees one project, fifty or five hundred, and by who sees all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

from benchmarks.database import tidy
from benchmarks.http import Connection, Server, serving, session_of
from benchmarks.measure import Samples, Table, interleaved
from benchmarks.reading.site import furnish, reader, superuser

CLIENTS = 4
CONVENTIONAL = "conventional"
MADE = "ours, made and kept"
CONSTANT = "a view with constant bytes"
BARE = "WSGI alone, same bytes"
WAYS = {
    CONVENTIONAL: "/conventional/tasks/",
    "ours, by serializer": "/serialized/tasks/",
    "ours, not kept": "/unkept/tasks/",
    MADE: "/made/tasks/",
    "ours, found": "/tasks/",
    "ours, unchanged (304)": "/tasks/",
    CONSTANT: "/constant/",
    BARE: "/",
}
COLUMNS = ("how", "requests / s", "x the conventional", "of constant bytes", "processor ms / request", "rounds")


def run(*, short: bool) -> Iterator[Table]:
    """A table for each reader."""
    furnish(projects=500, tasks=10_000 if short else 100_000)
    # Whoever never finds anything is soon left alone, so it is somebody else for whom each answer is made and kept.
    readers = {
        f"{number} projects": (reader(f"reader{number}", number), reader(f"misser{number}", number))
        for number in (1, 50, 500)
    }
    readers["all projects, a superuser"] = superuser("ana"), superuser("misser")
    tidy()  # the planner has to know of the memberships
    with serving() as site, serving("benchmarks.reading.bare:application") as bare:
        for name, users in readers.items():
            yield _table(name, *users, site, bare, rounds=2 if short else 7, seconds=0.5 if short else 1.5)


def _table(name: str, user: Any, misser: Any, site: Server, bare: Server, *, rounds: int, seconds: float) -> Table:
    samples = Samples()
    sessions = {way: session_of(misser if way == MADE else user) for way in WAYS}
    with ExitStack() as stack:

        def variant(way: str, path: str) -> Callable[[], None]:
            server = bare if way == BARE else site
            clients = [Connection(server.port, sessions[way]) for _ in range(CLIENTS)]
            for client in clients:
                stack.callback(client.close)
                for _warming in range(10):
                    client.send("GET", path)
            known = f"If-None-Match: {clients[0].tag}\r\n" if way.endswith("(304)") else ""
            return lambda: _together(samples, way, server, clients, path, known, seconds)

        interleaved(rounds, {way: variant(way, path) for way, path in WAYS.items()})
    table = Table(f"A page of 50 tasks for who sees {name}, {CLIENTS} clients at once", *COLUMNS)
    for way in WAYS:
        speed = samples.median(f"per second {way}")
        of_others = (speed / samples.median(f"per second {other}") for other in (CONVENTIONAL, CONSTANT))
        work = samples.median(f"processor {way}") * 1000
        table.add(way, f"{speed:,.0f}", *(f"{ratio:.2f}" for ratio in of_others), f"{work:.2f}", str(rounds))
    return table


def _together(
    samples: Samples, way: str, server: Server, clients: list[Connection], path: str, known: str, seconds: float
) -> None:
    """Several clients at once for a while: answers per second, and what one cost the server."""
    expected = 304 if known else 200

    def read(client: Connection) -> int:
        count = 0
        while time.perf_counter() < until:
            status, _body = client.send("GET", path, headers=known)
            assert status in (expected, 200), status
            count += 1
        return count

    worked, start = server.cpu_seconds(), time.perf_counter()
    until = start + seconds
    with ThreadPoolExecutor(len(clients)) as pool:
        answered = sum(pool.map(read, clients))
    samples.add(f"per second {way}", answered / (time.perf_counter() - start))
    samples.add(f"processor {way}", (server.cpu_seconds() - worked) / answered)
