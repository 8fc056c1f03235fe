"""One hub in each server process: it reads every new event once, asks once who may know, and hands out the same text.

It polls, so nothing depends on a message that may be lost; a wake-up only makes it look sooner. Per turn it asks the
database a number of questions that does not depend on how many sockets there are.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from django.db import Error as DatabaseTrouble

from django_pm.measures import DELIVERY_SECONDS
from django_pm.realtime import layer, notices, protocol, reading
from django_pm.realtime.authentication import Credential
from django_pm.realtime.connection import Connection
from django_pm.realtime.reading import News, Place, Question, Sight, Welcome
from django_pm.realtime.threads import NoAnswer, Threads

T = TypeVar("T")

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.4
CHECK_SECONDS = 0.8
"""How soon, at the latest, somebody who is not signed in any more is closed."""

SWEEP_SECONDS = 2.0
NOTICE_SECONDS = 0.8
BEAT_SECONDS = 1.0
BACK_OFF_SECONDS = 2.0
ENDING_SECONDS = 2.0
PROJECTS_PER_TURN = 5_000
"""How many streams are looked at in a turn for events that somebody else has numbered; the rest in the next turns."""


class Watcher:
    """A connected user: what they see, as far as they have been told, and their sockets."""

    def __init__(self, sight: Sight) -> None:
        self.sight = sight
        self.sockets: set[Connection] = set()
        self.turned = 0
        """How often they gained or lost a project."""

    def sees(self, project_id: Any) -> bool:
        return self.sight.keys is None or project_id in self.sight.keys

    def learn(self, project_id: Any) -> bool:
        """Note a project that they see; whether that is to be told: to whom not all are listed, any may be new."""
        if self.sight.keys is not None:
            self.sight.keys.add(project_id)
        return self.sight.listed

    def learn_too(self, sight: Sight) -> None:
        """Note what another of their sockets has just been told of."""
        if self.sight.keys is not None and not self.sight.listed:
            self.sight.keys.update(sight.keys or ())


class Hub:
    """The sockets of one event loop. Everything but what goes through ``ask`` runs on that loop, and needs no lock."""

    def __init__(self) -> None:
        self.places: dict[Any, Place] = {}
        """Up to where each project that somebody follows has been handed out."""
        self._watchers: dict[Any, Watcher] = {}
        self._open: Counter[Any] = Counter()
        self._hinted: set[Any] = set()
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._threads = Threads()
        self._turn_number = 0
        self._polled_at = 0.0
        self._checked_at = 0.0
        self._polls = 0
        self._turned_to: Any = None
        self._preparing = asyncio.Lock()
        self._knows_all = False
        """Whether ``places`` holds every stream, for users who see more than can be listed."""

    # The sockets

    def admit(self, user_id: Any, limit: int) -> bool:
        """Whether ``user_id`` may have one more socket; each that was admitted is to ``leave``."""
        if self._open[user_id] >= limit:
            return False
        self._open[user_id] += 1
        return True

    async def prepare(self, welcome: Welcome) -> None:
        """Have the places of all streams at hand, if somebody comes who sees too many projects to list."""
        if welcome.sight.listed:
            return
        async with self._preparing:  # who comes second must not put the places further than the first was promised
            if not self._knows_all:
                self.places = await self.ask(reading.all_places) | self.places
                self._knows_all = True

    def join(self, socket: Connection, welcome: Welcome) -> None:
        """Have ``socket`` told what happens from now on."""
        user_id = socket.credential.user_id
        watcher = self._watchers.setdefault(user_id, Watcher(welcome.sight))
        watcher.learn_too(welcome.sight)
        watcher.sockets.add(socket)
        socket.joined_in = self._turn_number
        for key, place in welcome.follows.items():
            here = self._follow(key, place)
            if not socket.allows(key):  # the welcome is of all that the user sees
                continue
            if here != place:
                socket.places[key] = place
            if here.epoch != place.epoch:
                socket.doubtful.add(key)
        if self._task is None or self._task.done():
            self._begin()

    def _follow(self, project_id: Any, place: Place) -> Place:
        """Where the hub is in a project; that is ``place`` if nobody has followed it, or its beginning if it is new."""
        return self.places.setdefault(project_id, Place(place.epoch, 0) if self._knows_all else place)

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
            self._knows_all = False

    def is_ahead_of(self, project_id: Any, place: Place) -> bool:
        """Whether more has been handed out than somebody at ``place`` has."""
        here = self.places.get(project_id)
        return here is not None and here.epoch == place.epoch and here.seq > place.seq

    def wake(self, project_ids: Iterable[Any]) -> None:
        """Look sooner; the events may be in these projects."""
        self._hinted.update(project_ids)
        self._woken.set()

    async def ask(self, question: Callable[..., T], *arguments: object) -> T:
        """The answer of the database to one socket, waited for without holding up the loop. Raises ``NoAnswer``."""
        return await self._threads.ask(question, *arguments)

    # The tasks

    def _begin(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())
        self._task.add_done_callback(self._restart)

    def _restart(self, task: asyncio.Task[None]) -> None:
        """The tasks end with the last socket; if they end otherwise, that is told, and they begin again."""
        if task.cancelled():
            return
        if task.exception() is not None:
            logger.error("The hub stopped; starting it again.", exc_info=task.exception())
        if self._watchers:
            self._begin()

    async def _run(self) -> None:
        others: list[Coroutine[Any, Any, None]] = [self._sweeps(), self._beats(), self._notices()]
        if layer.reaches_others():
            others.append(layer.listen(self.wake))
        tasks = [asyncio.get_running_loop().create_task(other) for other in others]
        self._threads.keep_connections = True
        try:
            await self._turns()
        finally:
            await end(tasks)
            await self._threads.close_connections()

    async def _beats(self) -> None:
        """Beside the turns: a database that hangs holds up events, not the sign that the sockets live."""
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            await self._trying(self._beat)

    async def _beat(self) -> None:
        now = time.monotonic()
        for socket in self._sockets():
            if now >= socket.next_heartbeat:
                socket.heartbeat()

    async def _turns(self) -> None:
        while self._watchers:
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, self._polled_at + POLL_SECONDS - time.monotonic())):
                    await self._woken.wait()
            self._woken.clear()
            await self._trying(self._turn)

    async def _sweeps(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            await self._trying(self._sweep)

    async def _trying(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """The database may be away; the sockets stay, and nothing is lost by trying again."""
        try:
            await work()
        except (DatabaseTrouble, NoAnswer) as error:
            logger.warning("The database is away, and events wait: %s", error)
            await asyncio.sleep(BACK_OFF_SECONDS)
        except Exception:
            logger.exception("Reading for the sockets failed; trying again.")
            await asyncio.sleep(BACK_OFF_SECONDS)

    def _sockets(self) -> list[Connection]:
        return [socket for watcher in self._watchers.values() for socket in watcher.sockets]

    # A turn: what happened

    async def _turn(self) -> None:
        question = self._question()
        try:
            answers, invalid = await self._threads.ask_for_turn(reading.look, question)
        except BaseException:
            self._hinted |= question.hinted
            raise
        self._end(invalid)
        for known, whole in answers:
            if known is None and self._knows_all and not question.complete:
                self.wake(
                    [whole.project_id]
                )  # somebody came meanwhile to whom a new project is told from its beginning
                continue
            for news in reading.parts(whole):
                if self.places.get(whole.project_id) != known:
                    # Somebody joined at another place meanwhile: read it again from there.
                    self.wake([whole.project_id])
                    break
                self._hand_out(news, question.turn)
                known = self.places.get(whole.project_id)
                await asyncio.sleep(0)  # the sockets pass it on, before there is more
            if whole.more:
                self.wake([whole.project_id])

    def _question(self) -> Question:
        """Everything that is asked in a turn. Whoever joins from now on was not asked about."""
        self._turn_number += 1
        hinted, self._hinted = self._hinted, set()
        now = time.monotonic()
        poll = None
        if now >= self._polled_at + POLL_SECONDS:
            self._polled_at, poll = now, self._poll()
        checks = now >= self._checked_at + CHECK_SECONDS
        if checks:
            self._checked_at = now
        credentials = {socket.credential for socket in self._sockets()}
        users = list(self._watchers)
        return Question(self._turn_number, hinted, self.places, self._knows_all, poll, users, credentials, checks)

    def _poll(self) -> Callable[[], dict[Any, Place]]:
        """Asks about the next stretch of the projects that are followed, round and round."""
        if self._knows_all:
            return self._next_places
        keys = list(self.places)
        if len(keys) > PROJECTS_PER_TURN:
            self._polls += 1
            start = (self._polls * PROJECTS_PER_TURN) % len(keys)
            keys = (keys + keys)[start : start + PROJECTS_PER_TURN]
        return lambda: reading.places_of(keys)

    def _next_places(self) -> dict[Any, Place]:
        found = reading.places_behind(self._turned_to, PROJECTS_PER_TURN)
        self._turned_to = max(found) if len(found) == PROJECTS_PER_TURN else None
        return found

    def _end(self, invalid: set[Credential]) -> None:
        """Close whoever is not signed in any more. Asked after the events were read, so none of them is told."""
        if invalid:
            for socket in self._sockets():
                if socket.credential in invalid:
                    socket.end(protocol.CLOSE_NOT_SIGNED_IN, "Not signed in any more.")

    def _hand_out(self, news: News, turn: int) -> None:
        key = news.project_id
        followed = self._knows_all
        for user_id, watcher in self._watchers.items():
            if user_id in news.seen_by:
                followed = True
                if watcher.sees(key) or not watcher.learn(key):
                    self._deliver(watcher, news, turn)
                else:
                    self._gained(watcher, key, news.place)
            elif watcher.sees(key):
                if all(socket.joined_in >= turn for socket in watcher.sockets):  # nobody has asked about this user yet
                    followed = True
                    self._deliver(watcher, news, turn)
                elif news.gone or watcher.sight.keys is not None:
                    self._lost(watcher, key)
                else:  # they do not see all any more, and have not been told which ones they saw
                    self._resync(watcher)
        if followed:
            self.places[key] = news.place
            for frame in news.frames:
                DELIVERY_SECONDS.note(max(0.0, time.time() - frame.made_at))
        else:
            self.places.pop(key, None)

    def _deliver(self, watcher: Watcher, news: News, turn: int) -> None:
        for socket in watcher.sockets:
            if socket.allows(news.project_id):
                if socket.joined_in < turn:
                    socket.deliver(news)
                else:  # came meanwhile: whether they may know of it, and are still signed in, they find out themselves
                    socket.miss(news)

    def _gained(self, watcher: Watcher, project_id: Any, place: Place) -> None:
        watcher.turned += 1
        watcher.learn(project_id)
        for socket in watcher.sockets:
            if socket.allows(project_id):
                socket.places[project_id] = place
                socket.tell("access_gained", project=project_id, head=place.seq, epoch=place.epoch)

    def _lost(self, watcher: Watcher, project_id: Any) -> None:
        watcher.turned += 1
        if watcher.sight.keys is not None:
            watcher.sight.keys.discard(project_id)
        for socket in watcher.sockets:
            if socket.allows(project_id):
                socket.lose(project_id)

    def _resync(self, watcher: Watcher) -> None:
        """What somebody sees has changed from some to all or back: too much to tell one by one."""
        for socket in watcher.sockets:
            socket.end(protocol.CLOSE_RESYNC, "resync")

    # Notifications

    async def _notices(self) -> None:
        seen = notices.Seen()
        while True:
            await self._trying(lambda: self._tell_notices(seen))
            await asyncio.sleep(NOTICE_SECONDS)

    async def _tell_notices(self, seen: notices.Seen) -> None:
        """Tell people of what was put into their inboxes."""
        credentials = {socket.credential for socket in self._sockets()}
        found, invalid = await self._threads.ask_for_notices(notices.look, seen, list(self._watchers), credentials)
        self._end(invalid)
        for notice in found:
            watcher = self._watchers.get(notice.recipient_id)
            for socket in watcher.sockets if watcher else ():
                if all(map(socket.allows, notice.project_ids)):
                    socket.put(notice.frame)

    # A sweep: what changed without an event

    async def _sweep(self) -> None:
        """Ask the policy again for everybody."""
        before = {user_id: (watcher, watcher.turned) for user_id, watcher in self._watchers.items()}
        asked = {user_id: watcher.sight.snapshot() for user_id, watcher in self._watchers.items()}
        credentials = {socket.credential for socket in self._sockets()}
        sights, places, invalid = await self._threads.ask_for_sweep(reading.look_again, asked, credentials)
        self._end(invalid)
        for user_id, (watcher, turned) in before.items():
            # Else the answer is older than what the user has been told.
            if self._watchers.get(user_id) is watcher and watcher.turned == turned:
                self._compare(watcher, asked[user_id], sights[user_id], places)

    def _compare(self, watcher: Watcher, asked: Sight, now: Sight, places: dict[Any, Place]) -> None:
        if now.listed != asked.listed or (now.keys is None) != (asked.keys is None):
            self._resync(watcher)
            return
        lost, gained = reading.gained(now, asked), reading.gained(asked, now)
        for key in lost:
            self._lost(watcher, key)
        for key in gained & places.keys():
            self._gained(watcher, key, self._follow(key, places[key]))


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


async def end(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel until all are gone: what a layer stands on may swallow a cancellation that meets a timeout of its own."""
    while remaining := [task for task in tasks if not task.done()]:
        for task in remaining:
            task.cancel()
        await asyncio.wait(remaining, timeout=ENDING_SECONDS)


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
