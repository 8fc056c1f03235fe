"""One socket: what it is told goes through a queue of its own, so that a slow reader holds up nobody else.

Live events come from the hub. What was missed (before a resume, or between the first reading and joining the hub) is
read page by page; the hub's events wait meanwhile by being noted as missed too. So there is one way to catch up, and a
socket goes live in the very step of the event loop in which it finds that nothing is missing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from django.db import Error as DatabaseTrouble

from django_pm import access
from django_pm.api.fields import parse_key
from django_pm.measures import SOCKETS_CLOSED, SOCKETS_OPEN
from django_pm.models import Project
from django_pm.realtime import protocol, reading
from django_pm.realtime.authentication import Peer
from django_pm.realtime.protocol import Frame, FrameError
from django_pm.realtime.reading import News, NotSignedIn, Place, Welcome
from django_pm.realtime.threads import NoAnswer

if TYPE_CHECKING:
    from django_pm.realtime.hub import Hub

logger = logging.getLogger(__name__)

CLOSE_SECONDS = 2
PAUSE_SECONDS = 0.4
UNCHECKED_SECONDS = 15 * 60
"""How long a credential is good for a socket that cannot be asked about again: one that the host alone knows."""

ROOM_BYTES = protocol.MAX_QUEUED_BYTES // 2
"""Somebody who catches up is sent more when no more than this is queued."""

DRAIN_SECONDS = 15
"""How long somebody who catches up may take to read half a queue; then they are closed, to come back and resume."""


class Closed(Exception):
    """The socket is gone, or is to be closed with this code."""

    def __init__(self, code: int | None = None, reason: str = "") -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Connection:
    """A socket of one user, from its acceptance to its end. All but the reading happens on the event loop."""

    def __init__(self, peer: Peer, hub: Hub, scope: dict[str, Any], receive: Any, send: Any) -> None:
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        self.user = peer.user
        self.credential = peer.credential
        self.hub = hub
        self.resumes = query.get("resume") == ["true"]
        self.only = _project_keys(query["project"]) if "project" in query else None
        granted = access.grant_of(peer.user).project_ids
        self._limits = [keys for keys in (self.only, granted) if keys is not None]
        self.joined_in = 0
        """The hub's turn in which this socket joined it."""
        self.places: dict[Any, Place] = {}
        """How far this socket is, where that is not where the hub is."""
        self.doubtful: set[Any] = set()
        """Projects that may have been reset while this socket was held."""
        self.held = True
        self.touched: set[Any] = set()
        self.next_heartbeat = time.monotonic() + protocol.HEARTBEAT_SECONDS
        self._receive = receive
        self._send = send
        self._queue: deque[Frame] = deque()
        self._queued_bytes = 0
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[Closed] = loop.create_future()
        self._resumed: asyncio.Future[dict[str, Any]] = loop.create_future()
        self._recovery: asyncio.Task[None]
        self._frames_at: deque[float] = deque(maxlen=protocol.MAX_FRAMES_PER_SECOND)

    # Its life

    async def run(self) -> None:
        """Serve the socket until either side ends it."""
        loop = asyncio.get_running_loop()
        if not self.credential.can_be_checked:
            aged = loop.call_later(UNCHECKED_SECONDS, self.end, protocol.CLOSE_RESYNC, "Connect again.")
            self._ended.add_done_callback(lambda _ended: aged.cancel())
        SOCKETS_OPEN.note(1)
        self._recovery = loop.create_task(self._or_end(self._start))
        parts = [loop.create_task(self._or_end(part)) for part in (self._write, self._read)]
        try:
            ending = await self._ended
        finally:
            SOCKETS_OPEN.note(-1)
            self.hub.leave(self)
            tasks = [self._recovery, *parts]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        SOCKETS_CLOSED.note(1, "by client" if ending.code is None else str(ending.code))
        await self._close(ending)

    async def _or_end(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do the work; if it fails, the socket ends."""
        try:
            await work()
        except Closed as closed:
            self._end(closed)
        except NotSignedIn:
            self._end(Closed(protocol.CLOSE_NOT_SIGNED_IN, "Not signed in any more."))
        except (DatabaseTrouble, NoAnswer) as error:
            logger.warning("A socket is closed, for the database is away: %s", error)
            self._end(Closed(protocol.CLOSE_TRY_LATER, "Connect again, later."))
        except Exception:
            logger.exception("A socket failed.")
            self._end(Closed(protocol.CLOSE_TRY_LATER, "Something failed. Connect again, later."))

    def end(self, code: int, reason: str) -> None:
        """Have the socket closed, whatever it is doing; nothing more is sent."""
        self._end(Closed(code, reason))

    def _end(self, ending: Closed) -> None:
        self._queue.clear()
        if not self._ended.done():
            self._ended.set_result(ending)

    async def _close(self, ending: Closed) -> None:
        if ending.code is None:
            return
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._say_goodbye(ending.code, ending.reason)
                # What the client has said before it heard of this stands before its answer; unread, it would hold the
                # server up, which waits for that answer.
                while (await self._receive())["type"] != "websocket.disconnect":
                    pass
        except Exception:  # whatever the server raises for a socket that is gone already
            logger.debug("The socket was gone before it was closed.", exc_info=True)

    async def _say_goodbye(self, code: int, reason: str) -> None:
        try:
            await self._send({"type": "websocket.close", "code": code, "reason": reason})
        except Exception:
            if code >= protocol.PRIVATE_CODES:
                raise
            # daphne sends nothing but 1000 and private codes for an application; unclosed, the socket would stay mute.
            await self._send(
                {"type": "websocket.close", "code": code + protocol.PRIVATE_CODES - 1000, "reason": reason}
            )

    # What it is told

    def allows(self, project_id: Any) -> bool:
        """Whether the client asked for this project, with a credential that is good for it."""
        return not self._limits or all(project_id in keys for keys in self._limits)

    def deliver(self, news: News) -> None:
        """Pass on what the hub has read; while held, or while much is queued already, leave it out."""
        project_id = news.project_id
        place = self.places.get(project_id, news.since)
        is_full = self._queued_bytes and self._queued_bytes + news.size > protocol.MAX_QUEUED_BYTES
        if self.held or is_full or (place.epoch == news.since.epoch and place.seq < news.since.seq):
            self.miss(news)
            return
        self.places.pop(project_id, None)
        self.touched.add(project_id)
        if place == news.since and not news.reset:
            self._put(news.frames, news.size)
        elif news.reset or place.epoch != news.since.epoch:
            self._reset(project_id, news.place, news.reset or "epoch")
        else:
            if place.seq > news.place.seq:  # still further than the hub, which came later to this project
                self.places[project_id] = place
            for frame in news.frames:
                if frame.seq > place.seq:
                    self.put(frame)

    def _reset(self, project_id: Any, place: Place, reason: str) -> None:
        self.tell("reset", project=project_id, head=place.seq, epoch=place.epoch, reason=reason)

    def miss(self, news: News) -> None:
        """Leave this out; the socket reads it for itself, from here on, at the client's pace."""
        self.places.setdefault(news.project_id, news.since)
        if news.reset:
            self.doubtful.add(news.project_id)
        if not self.held:
            self.held = True
            self._recovery = asyncio.get_running_loop().create_task(self._or_end(self._catch_up))

    def lose(self, project_id: Any) -> None:
        """Say that the project is not seen, and nothing more of it."""
        self.places.pop(project_id, None)
        self.doubtful.discard(project_id)
        self.touched.discard(project_id)
        self.tell("access_lost", project=project_id)

    def tell(self, kind: str, **fields: Any) -> None:
        self.put(protocol.frame(kind, **fields))

    def put(self, frame: Frame) -> None:
        self._put((frame,), frame.size)

    def _put(self, frames: Iterable[Frame], size: int) -> None:
        """Queue frames of ``size`` bytes in all. Beyond the bound only what was asked for gets here, pongs say."""
        if self._ended.done():
            return
        is_full = self._queued_bytes and self._queued_bytes + size > protocol.MAX_QUEUED_BYTES
        self._queue.extend(frames)
        self._queued_bytes += size
        if is_full:
            self.end(protocol.CLOSE_RESYNC, "resync")
        elif not self._changed.is_set():
            self._changed.set()

    def heartbeat(self) -> None:
        """Say that the socket lives, and where the projects stand that moved since the last time.

        Of those that it is still to read something of itself, the hub's place would be ahead of what it has been sent.
        """
        told = list(islice((key for key in self.touched if key not in self.places), protocol.MAX_HEADS))
        self.touched.difference_update(told)
        heads = {str(key): place.seq for key in told if (place := self.hub.places.get(key)) is not None}
        self.next_heartbeat = time.monotonic() + protocol.HEARTBEAT_SECONDS
        self.tell("heartbeat", heads=heads)

    async def _write(self) -> None:
        queue, send = self._queue, self._send
        while True:
            while queue:
                frame = queue.popleft()
                try:
                    await send(frame.message)
                except OSError:  # what ASGI has `send` raise once the client is gone
                    raise Closed from None
                self._queued_bytes -= frame.size
                if self._queued_bytes <= ROOM_BYTES:
                    self._room.set()
            self._changed.clear()
            await self._changed.wait()

    # What it says

    async def _read(self) -> None:
        while True:
            try:
                message = await self._receive()
            except OSError:
                raise Closed from None
            if message["type"] == "websocket.disconnect":
                raise Closed
            if message["type"] == "websocket.receive":
                self._take(message.get("text"))

    def _take(self, text: str | None) -> None:
        if text is None:
            raise Closed(protocol.CLOSE_BINARY, "Text frames only.")
        if len(text) > protocol.MAX_FRAME_BYTES or len(text.encode()) > protocol.MAX_FRAME_BYTES:
            raise Closed(protocol.CLOSE_TOO_LARGE, f"Frames of at most {protocol.MAX_FRAME_BYTES} bytes.")
        now = time.monotonic()
        if len(self._frames_at) == self._frames_at.maxlen and now - self._frames_at[0] < 1:
            raise Closed(protocol.CLOSE_TOO_MANY, f"At most {protocol.MAX_FRAMES_PER_SECOND} frames a second.")
        self._frames_at.append(now)
        try:
            frame = protocol.parse(text)
            if frame["type"] == "ping":
                self.tell("pong")
            elif not self.resumes or self._resumed.done():
                raise FrameError("unexpected_resume", "Connect with ?resume=true, and send “resume” once.")
            else:
                self._resumed.set_result(frame)
        except FrameError as error:
            self.tell("error", code=error.code, detail=error.detail)

    # Catching up

    async def _start(self) -> None:
        welcome = await self.hub.ask(reading.welcome, self.user, self.credential, self.only)
        await self.hub.prepare(welcome)
        self.hub.join(self, welcome)
        self._greet(welcome)
        if self.resumes:
            await self._resume(welcome)
        await self._catch_up()

    def _greet(self, welcome: Welcome) -> None:
        self.tell(
            "welcome",
            protocol=protocol.VERSION,
            epoch={str(key): place.epoch for key, place in welcome.heads.items()},
            heads={str(key): place.seq for key, place in welcome.heads.items()},
            complete=welcome.complete,
            heartbeat=protocol.HEARTBEAT_SECONDS,
        )

    async def _resume(self, welcome: Welcome) -> None:
        try:
            async with asyncio.timeout(protocol.RESUME_WITHIN_SECONDS):
                frame = await self._resumed
        except TimeoutError:
            self.tell("error", code="no_resume", detail="No “resume” came in time; live events begin.")
            return
        replayed = 0
        for text, since in frame["since"].items():
            key = _project_key(text)
            if key is None or not self.allows(key):
                await self._drained()
                self.tell("access_lost", project=text if key is None else key)
                continue
            replayed += await self._replay(key, Place(frame["epoch"].get(text), since))
        self.tell("resumed", replayed=replayed)

    async def _catch_up(self) -> None:
        """Read what is missing until nothing is, then go live in the same step."""
        while behind := [key for key, place in self.places.items() if self._is_behind(key, place)]:
            moved = False
            for key in behind:
                if (place := self.places.get(key)) is not None:  # else lost meanwhile
                    self.doubtful.discard(key)
                    moved |= bool(await self._replay(key, place)) or self.places.get(key) != place
            if not moved:  # the stream was put back, and the hub has yet to notice
                await asyncio.sleep(PAUSE_SECONDS)
        self.held = False

    def _is_behind(self, project_id: Any, place: Place) -> bool:
        return project_id in self.doubtful or self.hub.is_ahead_of(project_id, place)

    async def _replay(self, project_id: Any, since: Place) -> int:
        """Send what happened behind ``since``, and remember how far that was; how many events."""
        self.places[project_id] = since
        count = 0
        while True:
            page = await self.hub.ask(reading.replay, self.credential, project_id, since)
            if project_id not in self.places:  # lost meanwhile, which has been told
                return count
            if page is None:
                await self._drained()
                self.lose(project_id)
                return count
            if page.reset:
                self._reset(project_id, page.place, page.reset)
            for frame in page.frames:
                await self._drained(frame.size)
                if project_id not in self.places:
                    return count
                self.put(frame)
                count += 1
            since = self.places[project_id] = page.place
            self.touched.add(project_id)
            if not page.more:
                return count

    async def _drained(self, size: int = 0) -> None:
        """Wait until the client has read enough for ``size`` bytes more to be queued."""
        while self._queued_bytes > ROOM_BYTES or (
            self._queued_bytes and self._queued_bytes + size > protocol.MAX_QUEUED_BYTES
        ):
            self._room.clear()
            try:
                async with asyncio.timeout(DRAIN_SECONDS):
                    await self._room.wait()
            except TimeoutError:
                raise Closed(protocol.CLOSE_RESYNC, "resync") from None


def _project_key(text: str) -> Any:
    try:
        return parse_key(Project, text)
    except ValueError:
        return None


def _project_keys(texts: list[str]) -> frozenset[Any]:
    """The keys among these; what is none names a project that nobody sees."""
    return frozenset(key for text in texts if (key := _project_key(text)) is not None)
