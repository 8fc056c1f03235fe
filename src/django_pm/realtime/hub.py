"""One hub in each server process: it reads every new event once, asks once who may know, and hands out the same text.

It polls, so nothing depends on a message that may be lost; a wake-up only makes it look sooner. Per turn it asks the
database a number of questions that does not depend on how many sockets there are.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from django.db import connections

from django_pm.realtime import layer, protocol, reading
from django_pm.realtime.authentication import no_longer_valid
from django_pm.realtime.connection import Connection
from django_pm.realtime.reading import News, Place, Welcome

T = TypeVar("T")

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.4
SWEEP_SECONDS = 2.0
BACK_OFF_SECONDS = 2.0
READERS = 4
PROJECTS_PER_TURN = 2_000
"""How many streams are looked at in a turn for events that somebody else has numbered; the rest in the next turns."""


class Watcher:
    """A connected user: what they see, as far as they have been told, and their sockets."""

    def __init__(self, visible: set[Any] | None) -> None:
        self.visible = visible
        self.sockets: set[Connection] = set()
        self.turned = 0
        """How often they gained or lost a project."""

    def sees(self, project_id: Any) -> bool:
        return self.visible is None or project_id in self.visible


class Hub:
    """The sockets of one event loop. Everything but ``ask`` runs on that loop, and so needs no lock."""

    def __init__(self) -> None:
        self.places: dict[Any, Place] = {}
        """Up to where each project that somebody follows has been handed out."""
        self._loop = asyncio.get_running_loop()
        self._watchers: dict[Any, Watcher] = {}
        self._open: Counter[Any] = Counter()
        self._hinted: set[Any] = set()
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="django-pm-hub")
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="django-pm-sockets")
        self._swept_at = 0.0
        self._turned_to = 0

    # The sockets

    def admit(self, user_id: Any, limit: int) -> bool:
        """Whether ``user_id`` may have one more socket; each that was admitted is to ``leave``."""
        if self._open[user_id] >= limit:
            return False
        self._open[user_id] += 1
        return True

    def join(self, socket: Connection, welcome: Welcome) -> None:
        """Have ``socket`` told what happens from now on."""
        user_id = socket.credential.user_id
        watcher = self._watchers.setdefault(user_id, Watcher(welcome.visible))
        watcher.sockets.add(socket)
        for key, place in welcome.places.items():
            if self.places.setdefault(key, place) != place:
                socket.places[key] = place
        if self._task is None or self._task.done():
            self._begin()

    def leave(self, socket: Connection) -> None:
        """Forget ``socket``, and with the last one everything else."""
        user_id = socket.credential.user_id
        self._open[user_id] -= 1
        if not self._open[user_id]:
            del self._open[user_id]
        watcher = self._watchers.get(user_id)
        if watcher is not None:
            watcher.sockets.discard(socket)
            if not watcher.sockets:
                del self._watchers[user_id]
        if not self._watchers:
            self.places.clear()

    def is_ahead_of(self, project_id: Any, place: Place) -> bool:
        """Whether more has been handed out than somebody at ``place`` has."""
        here = self.places.get(project_id)
        return here is not None and here.epoch == place.epoch and here.seq > place.seq

    def wake(self, project_ids: Iterable[Any] = ()) -> None:
        """Look sooner; the events may be in these projects."""
        self._hinted.update(project_ids)
        self._woken.set()

    async def ask(self, question: Callable[..., T], *arguments: Any) -> T:
        """The answer of the database to one socket, waited for without holding up the loop."""
        return await self._loop.run_in_executor(self._readers, _answer, question, *arguments)

    async def _ask(self, question: Callable[..., T], *arguments: Any) -> T:
        """The same for the hub itself, which does not queue up behind the sockets."""
        return await self._loop.run_in_executor(self._reader, _answer, question, *arguments)

    async def _close_connections(self) -> None:
        """Give back the connections of all threads; each waits for the others, so that none takes two of these jobs."""
        all_there = threading.Barrier(READERS + 1)

        def close() -> None:
            with suppress(threading.BrokenBarrierError):
                all_there.wait(timeout=5)
            connections.close_all()

        jobs = [self._loop.run_in_executor(self._readers, close) for _ in range(READERS)]
        await asyncio.gather(*jobs, self._loop.run_in_executor(self._reader, close))

    # The turns

    def _begin(self) -> None:
        self._task = self._loop.create_task(self._run())
        self._task.add_done_callback(self._restart)

    def _restart(self, task: asyncio.Task[None]) -> None:
        """The turns end with the last socket; if they end otherwise, that is told, and they begin again."""
        if not task.cancelled() and task.exception() is not None:
            logger.error("The hub stopped; starting it again.", exc_info=task.exception())
            if self._watchers:
                self._begin()

    async def _run(self) -> None:
        listening = self._loop.create_task(layer.listen(self.wake)) if layer.reaches_others() else None
        try:
            await self._take_turns()
        finally:
            if listening is not None:
                listening.cancel()
            await self._close_connections()

    async def _take_turns(self) -> None:
        pause = POLL_SECONDS
        sweep: asyncio.Task[None] | None = None
        while self._watchers:
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._woken.wait()
            self._woken.clear()
            self._heartbeats()
            try:
                await self._turn()
                pause = POLL_SECONDS
            except Exception:  # the database may be away; the sockets stay, and nothing is lost by waiting
                logger.exception("Reading new events failed; trying again.")
                pause = BACK_OFF_SECONDS
            if time.monotonic() - self._swept_at >= SWEEP_SECONDS and (sweep is None or sweep.done()):
                self._swept_at = time.monotonic()
                sweep = self._loop.create_task(self._sweep())

    def _heartbeats(self) -> None:
        now = time.monotonic()
        for socket in self._sockets():
            if now >= socket.next_heartbeat:
                socket.heartbeat()

    def _sockets(self) -> list[Connection]:
        return [socket for watcher in self._watchers.values() for socket in watcher.sockets]

    async def _turn(self) -> None:
        hinted, self._hinted = self._hinted, set()
        places, asked = dict(self.places), list(self._watchers)
        found = await self._ask(self._news, hinted, places, self._some_followed(), asked)
        if not found:
            return
        await self._end_invalid()
        for news in found:
            if self.places.get(news.project_id) == places.get(news.project_id):
                self._hand_out(news)
            else:  # somebody joined at another place meanwhile: read it again from there
                self._woken.set()
            if len(news.frames) == reading.PAGE:
                self._woken.set()

    def _some_followed(self) -> list[Any]:
        """The next stretch of the projects that are followed, round and round."""
        keys = list(self.places)
        if len(keys) <= PROJECTS_PER_TURN:
            return keys
        start = self._turned_to % len(keys)
        self._turned_to = start + PROJECTS_PER_TURN
        return (keys + keys)[start : start + PROJECTS_PER_TURN]

    @staticmethod
    def _news(hinted: set[Any], places: dict[Any, Place], followed: list[Any], user_ids: list[Any]) -> list[News]:
        """What happened since ``places``. In a thread, so it works on copies."""
        moved = {key for key, place in reading.places_of(followed).items() if place != places[key]}
        concerned = reading.unnumbered_projects() | hinted | moved
        return [reading.news(key, places.get(key), user_ids) for key in sorted(concerned)]

    async def _end_invalid(self) -> None:
        """Close whoever is not signed in any more. Asked after the events were read, so none of them is told."""
        sockets = self._sockets()
        invalid = await self._ask(no_longer_valid, {socket.credential for socket in sockets})
        for socket in sockets:
            if socket.credential in invalid:
                socket.end(protocol.CLOSE_NOT_SIGNED_IN, "Not signed in any more.")

    def _hand_out(self, news: News) -> None:
        key = news.project_id
        followed = False
        for user_id, watcher in self._watchers.items():
            if user_id not in news.asked:  # came meanwhile, so nobody has asked whether they may know
                if watcher.sees(key):
                    followed = True
                    self._to_each(watcher, key, lambda socket: socket.miss(news))
            elif user_id in news.seen_by:
                followed = True
                if watcher.sees(key):
                    self._to_each(watcher, key, lambda socket: socket.deliver(news))
                else:
                    self._gained(watcher, key, news.place)
            elif watcher.sees(key):
                self._lost(watcher, key)
        if followed:
            self.places[key] = news.place
        else:
            self.places.pop(key, None)

    def _to_each(self, watcher: Watcher, project_id: Any, tell: Callable[[Connection], None]) -> None:
        for socket in watcher.sockets:
            if socket.allows(project_id):
                tell(socket)

    def _gained(self, watcher: Watcher, project_id: Any, place: Place) -> None:
        watcher.turned += 1
        if watcher.visible is not None:
            watcher.visible.add(project_id)

        def tell(socket: Connection) -> None:
            socket.places[project_id] = place
            socket.tell("access_gained", project=project_id, head=place.seq)

        self._to_each(watcher, project_id, tell)

    def _lost(self, watcher: Watcher, project_id: Any) -> None:
        watcher.turned += 1
        if watcher.visible is not None:
            watcher.visible.discard(project_id)

        def tell(socket: Connection) -> None:
            socket.places.pop(project_id, None)
            socket.tell("access_lost", project=project_id)

        self._to_each(watcher, project_id, tell)

    async def _sweep(self) -> None:
        """Ask the policy again for everybody: it may have changed without an event."""
        try:
            await self._end_invalid()
            turned = {user_id: watcher.turned for user_id, watcher in self._watchers.items()}
            visible = await self._ask(reading.visible_to, list(turned))
            gained = {key for user_id, keys in visible.items() for key in self._new_to(user_id, keys)}
            places = await self._ask(lambda: reading.places_of(gained, make=True))
        except Exception:
            logger.exception("Asking the policy again failed; trying again.")
            return
        for user_id, keys in visible.items():
            watcher = self._watchers.get(user_id)
            if watcher is not None and watcher.turned == turned[user_id]:  # else the answer is older than what was told
                self._compare(watcher, keys, places)

    def _new_to(self, user_id: Any, keys: set[Any] | None) -> set[Any]:
        watcher = self._watchers.get(user_id)
        return keys - watcher.visible if watcher and keys is not None and watcher.visible is not None else set()

    def _compare(self, watcher: Watcher, visible: set[Any] | None, places: dict[Any, Place]) -> None:
        if visible is None or watcher.visible is None:
            if visible is not watcher.visible:  # from some to all or back: too much to tell one by one
                for socket in watcher.sockets:
                    socket.end(protocol.CLOSE_RESYNC, "resync")
            return
        for key in watcher.visible - visible:
            self._lost(watcher, key)
        for key in visible - watcher.visible:
            if key in places:
                self._gained(watcher, key, self.places.setdefault(key, places[key]))


def _answer(question: Callable[..., T], *arguments: Any) -> T:
    """Ask over a connection that is kept while there are sockets, whatever ``CONN_MAX_AGE`` is for requests."""
    try:
        return question(*arguments)
    finally:
        for connection in connections.all(initialized_only=True):
            connection.close_at = None
            connection.close_if_unusable_or_obsolete()


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def hub() -> Hub:
    """The hub of the running event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _hubs:
        _hubs[loop] = Hub()
    return _hubs[loop]


def wake_all(project_ids: Iterable[Any]) -> None:
    """Wake the hubs of this process, from whatever thread."""
    keys = set(project_ids)
    for loop, each in list(_hubs.items()):
        if not loop.is_closed():
            loop.call_soon_threadsafe(each.wake, keys)
