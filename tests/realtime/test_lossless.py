"""Clients that come and go while many write: each event once, in order, none missing, for every one of them.

Writers commit out of order, roll back, and move between projects; clients are cut off at random moments and resume from
the last number they have. `PM_LONG_TESTS=1` makes it 10,000 reconnections instead of 500.
"""

import asyncio
import json
import random
import threading
import time
from contextlib import suppress

import pytest
from django.db import connection, transaction
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from django_pm.events import feed
from django_pm.models import Task
from tests.events.workers import LONG
from tests.factories import make_project, make_user
from tests.realtime.conftest import session_of
from tests.realtime.frames import check

pytestmark = pytest.mark.postgres

CLIENTS = 25
RECONNECTIONS = 10_000 if LONG else 500
WRITERS = 4
PATIENCE = 60


class Client:
    """Follows all that its user sees, by the rules of the protocol alone, and notes what is wrong with it."""

    def __init__(self, site, session, seed):
        self.url = f"ws://127.0.0.1:{site.port}/ws/notifications/"
        self.headers = {"Cookie": f"sessionid={session}"}
        self.origin = site.origin
        self.random = random.Random(seed)  # noqa: S311
        self.since: dict[str, int] = {}
        self.received = 0
        self.visits = 0
        self.wrong: list[str] = []

    async def follow(self, *, until):
        """Connect, listen for a moment, be cut off, and again; at the end stay until `until(self)`."""
        for _ in range(RECONNECTIONS // CLIENTS):
            await self.listen(self.random.choice([0.0, 0.01, 0.05, 0.2, 0.5]))
            self.visits += 1
        await self.listen(PATIENCE, until)

    async def listen(self, seconds, until=lambda client: False):
        query = "?resume=true" if self.since else ""
        headers = {"additional_headers": self.headers, "origin": self.origin, "open_timeout": PATIENCE}
        async with connect(self.url + query, **headers) as socket:
            try:
                async with asyncio.timeout(PATIENCE):
                    welcome = check(json.loads(await socket.recv()))
                if self.since:
                    await socket.send(json.dumps({"type": "resume", "since": self.since}))
                else:
                    self.since = dict(welcome["heads"])
                deadline = time.monotonic() + seconds
                while not until(self) and time.monotonic() < deadline:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(0.2):
                            self.take(check(json.loads(await socket.recv())))
            except ConnectionClosed as error:
                self.wrong.append(f"closed with {error}")
            socket.transport.abort()

    def take(self, frame):
        if "seq" in frame:
            key, seq = str(frame["project"]), frame["seq"]
            if seq != self.since[key] + 1:
                self.wrong.append(f"{key}: {seq} after {self.since[key]}")
            self.since[key] = seq
            self.received += 1
        elif frame["type"] not in {"heartbeat", "resumed"}:
            self.wrong.append(json.dumps(frame))


def write(projects, seed, stop):
    """Write until told to stop: transactions of several projects, some slow, some rolled back."""
    draw = random.Random(seed)  # noqa: S311
    try:
        while not stop.is_set():
            try:
                with transaction.atomic():
                    for project in draw.sample(projects, draw.choice([1, 1, 2])):
                        Task.objects.create(project=project, title=f"{draw.random()}")
                        time.sleep(draw.choice([0, 0, 0.01, 0.1]))
                    if draw.random() < 0.2:
                        raise InterruptedError
            except InterruptedError:
                pass
            time.sleep(0.2)  # all of this shares one process: at full speed, nobody else would get a turn
    finally:
        connection.close()


def test_nobody_misses_anything(site):
    users = [make_user() for _ in range(5)]
    projects = [make_project(users[0], dict.fromkeys(users[1:], "viewer")) for _ in range(3)]
    clients = [Client(site, session_of(users[n % len(users)]), n) for n in range(CLIENTS)]
    stop = threading.Event()
    writers = [threading.Thread(target=write, args=(projects, n, stop)) for n in range(WRITERS)]
    heads: dict[str, int] = {}

    async def run():
        following = [asyncio.create_task(client.follow(until=is_done)) for client in clients]
        while any(client.visits < RECONNECTIONS // CLIENTS for client in clients):
            await asyncio.sleep(0.2)
            for task in following:
                if task.done():
                    task.result()
        stop.set()
        for writer in writers:
            await asyncio.to_thread(writer.join)
        heads.update(await asyncio.to_thread(read_heads))
        await asyncio.gather(*following)

    def read_heads():
        try:
            return {str(project.pk): feed.read(project.pk, limit=1).head for project in projects}
        finally:
            connection.close()

    def is_done(client):
        return bool(heads) and client.since == heads

    for writer in writers:
        writer.start()
    try:
        asyncio.run(run())
    finally:
        stop.set()
    assert [client.wrong for client in clients] == [[]] * CLIENTS
    assert [client.since for client in clients] == [heads] * CLIENTS
    print(  # noqa: T201
        f"\n{RECONNECTIONS} reconnections of {CLIENTS} clients: {sum(heads.values())} events, "
        f"{sum(client.received for client in clients)} received, 0 missed, 0 twice, 0 out of order"
    )
