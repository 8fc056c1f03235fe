"""A mail server that takes everything, notes whom it was for, and does as little as it can besides.

``python -m benchmarks.mailing.sink`` prints its port, reads orders from its input and prints what came of them, JSON
line by line:

``{"expect": n}``     count from nothing; answered at once
``{"wait": true}``    answered when ``n`` messages have come, with the moment (``time.monotonic``) of the last
``{"count": true}``   how many messages have come, and to how many recipients
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from typing import Any, cast

import uvloop

OK = b"250 OK\r\n"
ANSWERS = {
    b"EHLO": b"250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n",
    b"DATA": b"354 Go on\r\n",
    b"QUIT": b"221 Bye\r\n",
}
END = b"\r\n.\r\n"
LONGEST = 600
"""Seconds."""


class Count:
    """What has come since the last ``expect``."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.expect(0)

    def expect(self, number: int) -> None:
        self.expected = number
        self.messages = 0
        self.recipients: set[bytes] = set()
        self.last = 0.0

    def note(self, recipient: bytes) -> None:
        self.messages += 1
        self.recipients.add(recipient)
        if self.messages == self.expected:
            with self.changed:
                self.last = time.monotonic()
                self.changed.notify()


class Session(asyncio.Protocol):
    """One connection. Clients are not checked: they speak SMTP, and wait for answers where it says that they must.

    What it answers to all that has come together goes together, as servers that offer ``PIPELINING`` do.
    """

    def __init__(self, count: Count) -> None:
        self._count = count
        self._buffer = b""
        self._recipient = b""
        self._in_data = False
        self._is_over = False
        self._answers: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(b"220 sink ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._answers = []
        while self._step():
            pass
        if self._answers:
            self._transport.write(b"".join(self._answers))
        if self._is_over:
            self._transport.close()

    def _step(self) -> bool:
        """Take the next command, or the message; whether there was one."""
        text, ending, rest = self._buffer.partition(END if self._in_data else b"\r\n")
        if not ending:
            return False
        self._buffer = rest
        if self._in_data:
            self._in_data = False
            self._count.note(self._recipient)
            self._answers.append(OK)
        else:
            self._command(text)
        return True

    def _command(self, line: bytes) -> None:
        verb = line[:4].upper()
        if verb == b"RCPT":
            self._recipient = line
        self._in_data = verb == b"DATA"
        self._is_over = verb == b"QUIT"
        self._answers.append(ANSWERS.get(verb, OK))


def _answer(order: dict[str, Any], count: Count) -> dict[str, Any]:
    if "expect" in order:
        count.expect(order["expect"])
    if "wait" in order:
        with count.changed:
            count.changed.wait_for(lambda: count.last, timeout=LONGEST)
    return {"last": count.last, "messages": count.messages, "recipients": len(count.recipients)}


def _take_orders(count: Count, done: Any) -> None:
    for line in sys.stdin:
        print(json.dumps(_answer(json.loads(line), count)), flush=True)
    done()


async def main() -> None:
    count = Count()
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    server = await loop.create_server(lambda: Session(count), "127.0.0.1", 0, backlog=1_000)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    threading.Thread(
        target=_take_orders, args=(count, lambda: loop.call_soon_threadsafe(ended.set)), daemon=True
    ).start()
    await ended.wait()


if __name__ == "__main__":
    uvloop.run(main())
