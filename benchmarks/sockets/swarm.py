"""Very many WebSocket clients in one process, and next to no work for each: they count events and note the time.

``python -m benchmarks.sockets.swarm PORT`` reads orders from its input and prints what came of them, JSON line by line:

``{"connect": [session, …]}``   open a socket for each; answered when all of them were accepted
``{"expect": n}``               count from nothing; answered when each has had ``n`` events
                                with the moments (``time.monotonic``) of the receipts, event by event

It parses frames by hand, since what is to be measured is the server. Events are told from other frames by their text.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
import time
from typing import Any, cast

HOST = "127.0.0.1"
EVENT = b'{"type":"task.'


class Client(asyncio.Protocol):
    """One socket."""

    def __init__(self, swarm: Swarm, session: str) -> None:
        self._swarm = swarm
        self._session = session
        self._buffer = b""
        self._accepted = False
        self.events = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        host = f"{HOST}:{self._swarm.port}"
        head = (
            f"GET /ws/notifications/ HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nConnection: Upgrade\r\n"
            f"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
            f"Cookie: sessionid={self._session}\r\n\r\n"
        )
        cast(asyncio.Transport, transport).write(head.encode())

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        data = self._buffer + data if self._buffer else data
        place = 0
        if not self._accepted:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._buffer = data
                return
            if not data.startswith(b"HTTP/1.1 101"):
                raise SystemExit(f"refused: {data[:100]!r}")
            self._accepted = True
            place = end + 4
        total = len(data)
        while place + 2 <= total:
            length, start = data[place + 1], place + 2  # from a server, so without a mask
            if length == 126:
                length, start = int.from_bytes(data[place + 2 : place + 4]), place + 4
            elif length == 127:
                length, start = int.from_bytes(data[place + 2 : place + 10]), place + 10
            if start + length > total:
                break
            self._take(data, place, start, now)
            place = start + length
        self._buffer = data[place:]

    def _take(self, data: bytes, place: int, start: int, now: float) -> None:
        if data.startswith(EVENT, start):
            self._swarm.received(self.events, now)
            self.events += 1
        elif data[place] == 0x88:
            raise SystemExit(f"closed: {data[start : start + 60]!r}")
        elif data.startswith(b'{"type":"welcome"', start):
            self._swarm.welcomed()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._swarm.over:
            raise SystemExit(f"lost: {error}")


class Swarm:
    """All of them."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.over = False
        self._clients: list[Client] = []
        self._receipts: list[list[float]] = []
        self._missing = 0
        self._changed = asyncio.Event()

    def received(self, number: int, now: float) -> None:
        if number >= len(self._receipts):
            raise SystemExit(f"One event too many: number {number}.")
        self._receipts[number].append(now)
        self._missing -= 1
        if not self._missing:
            self._changed.set()

    def welcomed(self) -> None:
        self._missing -= 1
        if not self._missing:
            self._changed.set()

    async def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        """Carry out an order; what is to be told of it."""
        if "connect" in order:
            await self._connect(order["connect"])
            return {"connected": len(self._clients)}
        for client in self._clients:
            client.events = 0
        self._receipts = [[] for _ in range(order["expect"])]
        self._missing = order["expect"] * len(self._clients)
        self._changed.clear()
        say({"ready": True})
        await self._changed.wait()
        return {"receipts": self._receipts}

    async def _connect(self, sessions: list[str]) -> None:
        self._missing = len(sessions)
        self._changed.clear()
        loop = asyncio.get_running_loop()
        gate = asyncio.Semaphore(50)

        async def connect(session: str) -> None:
            async with gate:
                _transport, client = await loop.create_connection(lambda: Client(self, session), HOST, self.port)
                self._clients.append(client)

        await asyncio.gather(*(connect(session) for session in sessions))
        await self._changed.wait()


def say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


async def main(port: int) -> None:
    swarm = Swarm(port)
    while line := await asyncio.to_thread(sys.stdin.readline):
        say(await swarm.obey(json.loads(line)))
    swarm.over = True


if __name__ == "__main__":
    try:
        import uvloop
    except ModuleNotFoundError:
        asyncio.run(main(int(sys.argv[1])))
    else:
        uvloop.run(main(int(sys.argv[1])))
