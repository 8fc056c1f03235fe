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
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from django_pm import access
from django_pm.api.fields import parse_key
from django_pm.models import Project
from django_pm.realtime import protocol, reading
from django_pm.realtime.authentication import Peer
from django_pm.realtime.protocol import FrameError
from django_pm.realtime.reading import News, NotSignedIn, Place, Welcome

if TYPE_CHECKING:
    from django_pm.realtime.hub import Hub

logger = logging.getLogger(__name__)

DRAIN_SECONDS = 30
"""How long somebody who catches up may take to read half a queue."""


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
        self.places: dict[Any, Place] = {}
        """How far this socket is, where that is not where the hub is."""
        self.held = True
        self.touched: set[Any] = set()
        self.next_heartbeat = time.monotonic() + protocol.HEARTBEAT_SECONDS
        self._receive = receive
        self._send = send
        self._queue: deque[str] = deque()
        self._queued_bytes = 0
        self._changed = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = loop.create_future()
        self._resumed: asyncio.Future[dict[str, Any]] = loop.create_future()
        self._recovery: asyncio.Task[None] | None = None
        self._frames_at: deque[float] = deque(maxlen=protocol.MAX_FRAMES_PER_SECOND)

    # Its life

    async def run(self) -> None:
        """Serve the socket until either side ends it."""
        parts = (self._write(), self._read(), self._start(), self._end())
        tasks = [asyncio.create_task(part) for part in parts]
        ending = Closed()
        try:
            for done in asyncio.as_completed(tasks):
                await done  # starting ends by itself; the others end with the socket
        except Closed as closed:
            ending = closed
        except OSError:  # what ASGI has `send` raise once the client is gone
            logger.debug("A client went away.", exc_info=True)
        except NotSignedIn:
            ending = Closed(protocol.CLOSE_NOT_SIGNED_IN, "Not signed in any more.")
        except Exception:
            logger.exception("A socket failed.")
            ending = Closed(protocol.CLOSE_TRY_LATER, "Something failed. Connect again.")
        finally:
            self.hub.leave(self)
            if self._recovery is not None:
                tasks.append(self._recovery)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await self._close(ending)

    def end(self, code: int, reason: str) -> None:
        """Have the socket closed, whatever it is doing; nothing more is sent."""
        self._queue.clear()
        if not self._ended.done():
            self._ended.set_exception(Closed(code, reason))

    async def _end(self) -> None:
        await self._ended

    async def _close(self, ending: Closed) -> None:
        if ending.code is None:
            return
        try:
            message = {"type": "websocket.close", "code": ending.code, "reason": ending.reason}
            async with asyncio.timeout(1):
                await self._send(message)
        except Exception:  # whatever the server raises for a socket that is gone already
            logger.debug("The socket was gone before it was closed.", exc_info=True)

    # What it is told

    def allows(self, project_id: Any) -> bool:
        """Whether the client asked for this project, with a credential that is good for it."""
        granted = access.grant_of(self.user).project_ids
        return (self.only is None or project_id in self.only) and (granted is None or project_id in granted)

    def deliver(self, news: News) -> None:
        """Pass on what the hub has read; while held, or where something is missing before it, note that instead."""
        project_id = news.project_id
        if self.held:
            self.places.setdefault(project_id, news.since)
            return
        place = self.places.pop(project_id, news.since)
        if news.reset or place.epoch != news.since.epoch:
            self.tell("reset", project=project_id, head=news.place.seq, reason=news.reset or "epoch")
            return
        if place.seq > news.place.seq:  # still further than the hub, which came later to this project
            self.places[project_id] = place
        frames = [frame for frame in news.frames if frame[0] > place.seq] if place.seq > news.since.seq else news.frames
        for _seq, text in frames:
            self.put(text)
        self.touched.add(project_id)

    def miss(self, news: News) -> None:
        """Note that this was handed out to others only; the socket reads it for itself."""
        self.places.setdefault(news.project_id, news.since)
        if not self.held:
            self.held = True
            self._recovery = asyncio.create_task(self._recover())

    def tell(self, kind: str, **fields: Any) -> None:
        self.put(protocol.encode(kind, **fields))

    def put(self, text: str) -> None:
        """Queue a frame. Whoever does not read any more is closed, to connect again and resume."""
        if self._ended.done():
            return
        self._queue.append(text)
        self._queued_bytes += len(text)
        if self._queued_bytes > protocol.MAX_QUEUED_BYTES:
            self.end(protocol.CLOSE_RESYNC, "resync")
        self._changed.set()

    def heartbeat(self) -> None:
        """Say that the socket lives, and where the projects stand that moved since the last time."""
        heads = {str(key): place.seq for key in self.touched if (place := self.hub.places.get(key)) is not None}
        self.touched.clear()
        self.next_heartbeat = time.monotonic() + protocol.HEARTBEAT_SECONDS
        self.tell("heartbeat", heads=heads)

    async def _write(self) -> None:
        while True:
            while self._queue:
                text = self._queue.popleft()
                self._queued_bytes -= len(text)
                await self._send({"type": "websocket.send", "text": text})
            self._changed.clear()
            await self._changed.wait()

    # What it says

    async def _read(self) -> None:
        while True:
            message = await self._receive()
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
        welcome = await self.hub.ask(reading.welcome, self.user, self.only)
        self.hub.join(self, welcome)
        self._greet(welcome)
        if self.resumes:
            await self._resume(welcome)
        await self._catch_up()

    def _greet(self, welcome: Welcome) -> None:
        self.tell(
            "welcome",
            protocol=protocol.VERSION,
            epoch={str(key): place.epoch for key, place in welcome.places.items()},
            heads={str(key): place.seq for key, place in welcome.places.items()},
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
                self.put(protocol.encode("access_lost", project=text))
                continue
            replayed += await self._replay(key, Place(frame["epoch"].get(text), since))
        self.tell("resumed", replayed=replayed)

    async def _catch_up(self) -> None:
        """Read what is missing until nothing is, then go live in the same step."""
        while behind := [key for key, place in self.places.items() if self.hub.is_ahead_of(key, place)]:
            for key in behind:
                await self._replay(key, self.places[key])
        self.held = False

    async def _recover(self) -> None:
        try:
            await self._catch_up()
        except Closed as closed:
            self.end(closed.code or protocol.CLOSE_RESYNC, closed.reason)
        except NotSignedIn:
            self.end(protocol.CLOSE_NOT_SIGNED_IN, "Not signed in any more.")
        except Exception:
            logger.exception("A socket could not read what it missed.")
            self.end(protocol.CLOSE_TRY_LATER, "Something failed. Connect again.")

    async def _replay(self, project_id: Any, since: Place) -> int:
        """Send what happened behind ``since``, and remember how far that was; how many events."""
        count = 0
        while True:
            page = await self.hub.ask(reading.replay, self.credential, project_id, since)
            if page is None:
                self.places.pop(project_id, None)
                self.tell("access_lost", project=project_id)
                return count
            if page.reset:
                self.tell("reset", project=project_id, head=page.place.seq, reason=page.reset)
            for _seq, text in page.frames:
                await self._drained()
                self.put(text)
            count += len(page.frames)
            since = self.places[project_id] = page.place
            if len(page.frames) < reading.PAGE:
                return count

    async def _drained(self) -> None:
        """Wait until the client has read enough for more to be queued."""
        until = time.monotonic() + DRAIN_SECONDS
        while self._queued_bytes > protocol.MAX_QUEUED_BYTES // 2:
            if time.monotonic() > until:
                raise Closed(protocol.CLOSE_RESYNC, "resync")
            await asyncio.sleep(0.01)


def _project_key(text: str) -> Any:
    try:
        return parse_key(Project, text)
    except ValueError:
        return None


def _project_keys(texts: list[str]) -> frozenset[Any]:
    """The keys among these; what is none names a project that nobody sees."""
    return frozenset(key for text in texts if (key := _project_key(text)) is not None)
