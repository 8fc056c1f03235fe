"""What one event costs that many sockets are told: in a burst, and at a steady rate.

The three servers of ``servers`` take turns, each in a fresh process, with the same users, who all see the project.
Ours is measured with what it does besides: the event is read from the log, and everybody asked about. For the others,
the same number of plain rows is written in the same way, and then the event is published as their consumers want it.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from importlib import import_module
from typing import Any, NamedTuple

import redis
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.conf import settings
from django.contrib import auth
from django.contrib.auth import get_user_model
from django.contrib.sessions.models import Session

from benchmarks.database import empty, tidy
from benchmarks.http import HOST, Server, running
from benchmarks.measure import Samples, Table
from benchmarks.orders import Helper, helper
from benchmarks.plain.models import PlainMembership, PlainProject, PlainTask
from benchmarks.sockets.servers import GROUP, encoded
from django_pm.events import feed
from django_pm.models import Event, Task

SERVERS = ("ours", "conventional", "ceiling")
PROJECTS_EACH = 5


class Size(NamedTuple):
    """So many sockets; bursts of so many events; a steady rate, in events a second, for so many events."""

    sockets: int
    burst: int
    bursts: int
    rate: float
    steady: int


SIZES = (Size(200, 60, 8, 20, 100), Size(1_000, 60, 5, 5, 40))
SHORT = (Size(200, 60, 3, 20, 40),)


def run(*, short: bool) -> list[Table]:
    """Two tables for each number of sockets."""
    tables = []
    for size in SHORT if short else SIZES:
        samples = Samples()
        sessions, project_id = site(size.sockets)
        try:
            for _round in range(1 if short else 2):
                for name in SERVERS:
                    _measure(name, sessions, project_id, size, samples)
        finally:
            empty()
            get_user_model().objects.all().delete()
        tables += [_bursts(size, samples), _steady(size, samples)]
    return tables


def uvicorn(name: str) -> list[str]:
    """The command for one of the servers. It pings nobody: the swarm does not answer."""
    quiet = ["--log-level", "error", "--no-access-log", "--ws-ping-interval", "3600"]
    return ["uvicorn", f"benchmarks.sockets.servers:{name}", "--host", HOST, *quiet]


def site(users: int) -> tuple[list[str], int]:
    """So many users who see one project, and others besides; their sessions, and the project's key."""
    user_model = get_user_model()
    rows = user_model.objects.bulk_create(user_model(username=f"reader{n}") for n in range(users))
    projects = PlainProject.objects.bulk_create(PlainProject(name=f"Project {n}") for n in range(users // 10 + 1))
    PlainMembership.objects.bulk_create(
        PlainMembership(
            project=projects[0 if not turn else 1 + (n + turn) % (len(projects) - 1)], user=user, role="viewer"
        )
        for n, user in enumerate(rows)
        for turn in range(PROJECTS_EACH)
    )
    tidy()
    return list(sessions_of(rows)), projects[0].pk


def sessions_of(users: list[Any]) -> Iterator[str]:
    """A session of each, as signing in makes them, but in one statement."""
    store = import_module(settings.SESSION_ENGINE).SessionStore
    rows = []
    for user in users:
        session = store()
        session[auth.SESSION_KEY] = str(user.pk)
        session[auth.BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
        session[auth.HASH_SESSION_KEY] = user.get_session_auth_hash()
        session._session_key = session._get_new_session_key()
        rows.append(session.create_model_instance(dict(session)))
        yield rows[-1].session_key
    Session.objects.bulk_create(rows)


def swarm(port: int) -> AbstractContextManager[Helper]:
    """The clients, in a process of their own."""
    return helper("benchmarks.sockets.swarm", str(port))


def _measure(name: str, sessions: list[str], project_id: int, size: Size, samples: Samples) -> None:
    publish = _publisher(name, project_id)
    with running(uvicorn(name)) as server, swarm(server.port) as clients:
        before = server.resident()
        start = time.monotonic()
        clients.order(connect=sessions)
        samples.add(f"{name} connecting", (time.monotonic() - start) / size.sockets)
        samples.add(f"{name} memory", (server.resident() - before) / size.sockets)
        for _turn in range(size.bursts + 1):  # the first warms up
            _burst(name, clients, server, publish, size, samples if _turn else Samples())
        _rate(name, clients, server, publish, size, samples)


def _burst(name: str, clients: Helper, server: Server, publish: Any, size: Size, samples: Samples) -> None:
    clients.order(expect=size.burst)
    worked = server.cpu_seconds()
    committed = publish(size.burst)
    receipts = clients.answer()["receipts"]
    seconds = max(map(max, receipts)) - committed
    deliveries = size.burst * size.sockets
    samples.add(f"{name} burst", deliveries / seconds)
    samples.add(f"{name} burst work", (server.cpu_seconds() - worked) / deliveries)


def _rate(name: str, clients: Helper, server: Server, publish: Any, size: Size, samples: Samples) -> None:
    clients.order(expect=size.steady)
    worked = server.cpu_seconds()
    commits = []
    start = time.monotonic()
    for number in range(size.steady):
        time.sleep(max(0.0, start + number / size.rate - time.monotonic()))
        commits.append(publish(1))
    receipts = clients.answer()["receipts"]
    for committed, times in zip(commits, receipts, strict=True):
        for received in times:
            samples.add(f"{name} latency", received - committed)
    samples.add(f"{name} steady work", (server.cpu_seconds() - worked) / (size.steady * size.sockets))


def _publisher(name: str, project_id: int) -> Callable[[int], float]:
    """Writes so many tasks in one transaction and tells of them; returns the moment of the commit."""

    def rows(model: Any, count: int) -> list[Any]:
        return [model(project_id=project_id, title=f"Measure the length of wall {n}") for n in range(count)]

    if name == "ours":

        def publish(count: int) -> float:
            Task.objects.bulk_create(rows(Task, count))
            return time.monotonic()

        return publish

    Task.objects.bulk_create(rows(Task, 1))
    feed.number(project_id)
    row = feed.as_json(Event.objects.order_by("-pk")[0])
    event = json.loads(encoded({"type": row.pop("type"), **row | {"id": str(row["id"]), "at": str(row["at"])}}))
    if name == "conventional":
        send = async_to_sync(get_channel_layer().group_send)

        def tell() -> None:
            send(GROUP, {"type": "event", "content": event})
    else:
        server, frame = redis.from_url(settings.REDIS_URL), encoded(event)

        def tell() -> None:
            server.publish(GROUP, frame)

    def publish_plainly(count: int) -> float:
        PlainTask.objects.bulk_create(rows(PlainTask, count))
        committed = time.monotonic()
        for _ in range(count):
            tell()
        return committed

    return publish_plainly


def _bursts(size: Size, samples: Samples) -> Table:
    columns = ("server", "deliveries / s", "of the conventional", "of the ceiling", "processor µs / delivery", "rounds")
    table = Table(f"{size.sockets:,} sockets, a burst of {size.burst} events in one project", *columns)
    for name in SERVERS:
        speed = samples.median(f"{name} burst")
        table.add(
            name,
            f"{speed:,.0f}",
            f"{speed / samples.median('conventional burst'):.1f}",
            f"{speed / samples.median('ceiling burst'):.2f}",
            f"{samples.median(f'{name} burst work') * 1e6:.1f}",
            str(samples.count(f"{name} burst")),
        )
    return table


def _steady(size: Size, samples: Samples) -> Table:
    columns = ("server", "p50 ms", "p99 ms", "processor µs / delivery", "KB / idle socket", "ms to connect one")
    table = Table(f"{size.sockets:,} sockets, {size.rate:g} events / s: from commit to receipt", *columns)
    for name in SERVERS:
        values = samples.all(f"{name} latency")
        table.add(
            name,
            f"{statistics.median(values) * 1000:.1f}",
            f"{statistics.quantiles(values, n=100)[98] * 1000:.1f}",
            f"{samples.median(f'{name} steady work') * 1e6:.1f}",
            f"{samples.median(f'{name} memory') / 1000:.0f}",
            f"{samples.median(f'{name} connecting') * 1000:.1f}",
        )
    return table
