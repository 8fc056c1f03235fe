"""Asks the database from the event loop, in threads. They keep their connections while there are sockets.

Not those of a pool: it keeps them open itself, and one that a thread held would be missing to everybody else.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

T = TypeVar("T")

READERS = 4
ANSWER_SECONDS = 15.0
"""How long a socket waits for the database before it is closed, to try again later or elsewhere."""


class NoAnswer(Exception):
    """The database does not answer."""


class Threads:
    """Some threads for all sockets, and three that never queue up behind these: for what the hub does by itself."""

    def __init__(self) -> None:
        self.keep_connections = False
        self._turns = ThreadPoolExecutor(1, thread_name_prefix="django-pm-turns")
        self._sweeps = ThreadPoolExecutor(1, thread_name_prefix="django-pm-sweeps")
        self._notices = ThreadPoolExecutor(1, thread_name_prefix="django-pm-notices")
        self._sockets = ThreadPoolExecutor(READERS, thread_name_prefix="django-pm-sockets")

    async def ask(self, question: Callable[..., T], *arguments: object) -> T:
        """The answer to one socket. Raises ``NoAnswer``."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._in(self._sockets, question, *arguments)
        except TimeoutError:
            raise NoAnswer(f"No answer in {ANSWER_SECONDS:g} s.") from None

    async def ask_for_turn(self, question: Callable[..., T], *arguments: object) -> T:
        """The answer to the hub, which waits as long as it takes: nothing is lost meanwhile."""
        return await self._in(self._turns, question, *arguments)

    async def ask_for_sweep(self, question: Callable[..., T], *arguments: object) -> T:
        """The same for its sweeps, which take long where a policy is asked user by user."""
        return await self._in(self._sweeps, question, *arguments)

    async def ask_for_notices(self, question: Callable[..., T], *arguments: object) -> T:
        """The same for notifications, for which no event is to wait."""
        return await self._in(self._notices, question, *arguments)

    async def close_connections(self) -> None:
        """Give back those of all threads; each waits for the others, so that none takes two of these jobs."""
        self.keep_connections = False
        all_there = threading.Barrier(READERS + 3)

        def close() -> None:
            with suppress(threading.BrokenBarrierError):
                all_there.wait(timeout=5)

        pools = [self._turns, self._sweeps, self._notices, *[self._sockets] * READERS]
        await asyncio.gather(*(self._in(pool, close) for pool in pools))

    async def _in(self, pool: ThreadPoolExecutor, question: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(pool, self._answer, question, *arguments)

    def _answer(self, question: Callable[..., T], *arguments: object) -> T:
        try:
            return question(*arguments)
        finally:
            for connection in connections.all(initialized_only=True):
                if self.keep_connections and not is_pooled(connection):  # whatever CONN_MAX_AGE is for requests
                    connection.close_at = None
                    connection.close_if_unusable_or_obsolete()
                else:
                    connection.close()


def is_pooled(connection: BaseDatabaseWrapper) -> bool:
    """Whether to close ``connection`` is to give it back to a pool."""
    return bool(connection.settings_dict["OPTIONS"].get("pool"))
