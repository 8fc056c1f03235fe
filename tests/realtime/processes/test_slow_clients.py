"""Clients that never read, among others that do: they are given up when so much waits for them, and delay nobody.

`PM_LONG_TESTS=1` makes it 200 among 1,000 instead of 20 among 100.
"""

import asyncio
import base64
import json
import os
import socket as sockets
import struct
import time
from contextlib import ExitStack

import pytest
from django.db import connection
from websockets.asyncio.client import connect

from django_pm.models import Task
from django_pm.realtime import protocol
from tests.events.workers import LONG
from tests.factories import make_project, make_user
from tests.realtime.conftest import HOST, session_of

pytestmark = pytest.mark.postgres

SLOW, CLIENTS = (200, 1_000) if LONG else (20, 100)
USERS = CLIENTS // 10
BATCH, BATCHES = 10, 15
SIZE = 4_000
GIVEN_UP = 1.0
"""After so many seconds without reading, in this test."""

PATIENCE = 120
KERNEL = 16 * 1024
"""What the kernel may keep for a client, asked of it so that the test need not write megabytes for each."""

BOUND = 2 * protocol.MAX_QUEUED_BYTES
"""What may wait for a client in the server's process: our queue, and the buffer of uvicorn's transport."""


class Slow:
    """Somebody who shakes hands, and then does not read."""

    def __init__(self, server, session):
        self.socket = sockets.socket()
        self.socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, KERNEL // 2)
        self.socket.connect((HOST, server.port))
        lines = [
            "GET /ws/notifications/ HTTP/1.1",
            f"Host: {HOST}:{server.port}",
            f"Origin: {server.origin}",
            f"Cookie: sessionid={session}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        ]
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())

    def greeted(self):
        """Wait until the welcome is there, without taking it."""
        self.socket.settimeout(PATIENCE)
        return self.socket.recv(1, sockets.MSG_PEEK)

    def what_was_kept(self):
        """All that is still there to be read, to the end of the connection: the numbers of the events."""
        self.socket.settimeout(PATIENCE)
        received = b""
        while chunk := self.socket.recv(65_536):
            received += chunk
        frames = received.partition(b"\r\n\r\n")[2]
        numbers = []
        while len(frames) > 1:
            opcode, length, start = frames[0] & 15, frames[1], 2
            if length == 126:
                [length], start = struct.unpack("!H", frames[2:4]), 4
            text, frames = frames[start : start + length], frames[start + length :]
            if opcode == 1 and len(text) == length and "seq" in (frame := json.loads(text)):
                numbers.append(frame["seq"])
        return len(received), numbers


class Reader:
    """Somebody who reads what comes."""

    def __init__(self, server, session):
        self.url = f"ws://{HOST}:{server.port}/ws/notifications/"
        self.options = {"origin": server.origin, "additional_headers": {"Cookie": f"sessionid={session}"}}
        self.numbers = []
        self.here = asyncio.Event()

    async def read(self):
        async with connect(self.url, compression=None, open_timeout=PATIENCE, **self.options) as websocket:
            async for text in websocket:
                self.here.set()
                if "seq" in (frame := json.loads(text)):
                    self.numbers.append(frame["seq"])


def test_nobody_waits_for_them(servers, capsys):
    users = [make_user() for _ in range(USERS)]
    project = make_project(users[0], dict.fromkeys(users[1:], "viewer"))
    sessions = [session_of(user) for user in users]
    first = 1 + USERS

    with sockets.create_server((HOST, 0), backlog=1024) as listener, ExitStack() as stack:
        listener.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, KERNEL)  # what it accepts inherits this
        [server] = stack.enter_context(servers.apart(listener=listener, pace={"connection.DRAIN_SECONDS": GIVEN_UP}))
        slow = [Slow(server, sessions[n % USERS]) for n in range(SLOW)]
        for each in slow:
            stack.callback(each.socket.close)
            each.greeted()
        readers = [Reader(server, sessions[n % USERS]) for n in range(CLIENTS - SLOW)]
        sizes = [server.memory()]

        async def run():
            following = [asyncio.create_task(reader.read()) for reader in readers]
            async with asyncio.timeout(PATIENCE):
                for reader in readers:
                    await reader.here.wait()
            sizes.append(server.memory())
            began, number = time.monotonic(), 0
            while number < BATCHES or time.monotonic() < began + 3 * GIVEN_UP:
                await asyncio.to_thread(write)
                number += 1
                async with asyncio.timeout(PATIENCE):
                    while any(len(reader.numbers) < number * BATCH for reader in readers):
                        assert not any(task.done() for task in following)
                        await asyncio.sleep(0.01)
            sizes.append(server.memory())
            for task in following:
                task.cancel()
            await asyncio.gather(*following, return_exceptions=True)
            return number

        def write():
            Task.objects.bulk_create(Task(project=project, title="Dig", description="y" * SIZE) for _ in range(BATCH))
            connection.close()

        batches = asyncio.run(run())
        everything = list(range(first + 1, first + 1 + BATCH * batches))
        assert all(reader.numbers == everything for reader in readers)
        open_sockets = [server.sockets()]
        kept = [each.what_was_kept() for each in slow]
        open_sockets.append(server.sockets())
    for size, numbers in kept:
        assert numbers == everything[: len(numbers)]
        assert len(numbers) < len(everything)  # given up, they are told nothing more when they begin to read
        assert size < BOUND + 4 * KERNEL + BATCH * SIZE
    with capsys.disabled():
        print(  # noqa: T201
            f"\n{SLOW} of {CLIENTS} never read: each was given up after {max(size for size, _ in kept):,} bytes of "
            f"{BATCH * batches * SIZE:,}; the others got all {len(everything)} events meanwhile. Server: "
            f"{[round(size / 2**20) for size in sizes]} MiB before, connected, after; sockets {open_sockets}"
        )


def test_one_that_reads_is_not_given_up_for_what_others_write_at_once(servers, owner, project):
    with servers("uvicorn").socket(owner) as socket:
        socket.frame("welcome")
        Task.objects.bulk_create(Task(project=project, title="Dig", description="y" * SIZE) for _ in range(100))
        assert [event["seq"] for event in socket.frames(100)] == list(range(3, 103))
