"""``client.follow()``: what happens in all projects of a user, over the WebSocket. Decisions only, nothing is sent.

``Tracker`` knows how far each project has been told and what a frame means for that; ``Following`` is the talk around
it, from the ticket to the next attempt. ``sockets`` does what it asks for, ``clients`` drives both.
"""

from __future__ import annotations

import dataclasses
import json
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import httpx

from django_pm.client.errors import (
    ConnectionFailed,
    NotSignedIn,
    PmError,
    SocketRefused,
    Throttled,
    UnexpectedAnswer,
)
from django_pm.client.feed import LONGEST_PAUSE, is_passing
from django_pm.client.objects import (
    AccessGained,
    AccessLost,
    Event,
    Key,
    Notification,
    Position,
    Project,
    ProjectReset,
)
from django_pm.client.retries import PASSING, Retry
from django_pm.client.steps import Give, Pause, Send, Steps, content, exchange, key_of, logger, path_of, require, send

PATH = "/ws/notifications/"
OPEN_SECONDS = 20.0
"""For the handshake. A ticket is good for 30 seconds."""

WELCOME_SECONDS = 30.0
NOTIFICATIONS_KNOWN = 1000
"""The server tells one now and then twice, within half a minute."""

MAX_FRAME_BYTES = 16 * 1024
"""What the server takes at once."""

NOT_SIGNED_IN, RESYNC, TOO_MANY = 4401, 4408, 4429
OUR_FAULT = frozenset({1002, 1003, 1007, 1009, 1010, 4003, 4009})
"""Codes that say that one side does not understand the other: connecting again would not help."""

Item: TypeAlias = Event | ProjectReset | AccessGained | AccessLost | Notification
"""What a follower is told."""

Since: TypeAlias = Mapping[Any, Position | int]
"""Places by project, which is an object or a key; a key may be the text that JSON makes of it."""


# What is asked of the socket, and what comes of it


@dataclass(frozen=True)
class Open:
    """Open a socket within so many seconds. The answer is None, or ``Refused``. The address holds a ticket."""

    url: str = field(repr=False)
    seconds: float


@dataclass(frozen=True)
class Say:
    """Send this text. The answer is None, or ``Closed``."""

    text: str = field(repr=False)


@dataclass(frozen=True)
class Hear:
    """Hand me the next frame. The answer is its text, None if none comes within so many seconds, or ``Closed``."""

    seconds: float


@dataclass(frozen=True)
class Close:
    """Close the socket, if it is open."""


@dataclass(frozen=True)
class Refused:
    """No socket was opened; ``status`` is that of the answer, None if nobody answered."""

    status: int | None
    detail: str


@dataclass(frozen=True)
class Closed:
    """The socket has ended; ``code`` is the server's, None if the connection broke."""

    code: int | None
    reason: str


SocketStep: TypeAlias = Open | Say | Hear | Close
Talk: TypeAlias = Generator[Send | Pause | Give[Item] | SocketStep, Any, None]


class Behind(ConnectionFailed):
    """The server is further than what it told: connect again and resume."""


# How far each project has been told


class Tracker:
    """What was told, frame by frame. ``positions`` are those behind the last item that was given."""

    def __init__(self, since: Since | None) -> None:
        self.positions: dict[Key, Position] = {key(each): _place(place) for each, place in (since or {}).items()}
        self.resumes = since is not None
        """Whether there is something to go on from; without, the first welcome says where it begins."""
        self.heartbeat = WELCOME_SECONDS
        self._heads: dict[Key, Position] = {}
        self._replaying = False
        self._left_out: list[Key] = []
        self._notified: deque[Key] = deque(maxlen=NOTIFICATIONS_KNOWN)

    def greet(self, welcome: Mapping[str, Any]) -> str | None:
        """The text to answer a welcome with, if any. To be asked before ``welcomed``."""
        epochs = welcome["epoch"]
        self._heads = {key(each): Position(int(seq), str(epochs[each])) for each, seq in welcome["heads"].items()}
        self.heartbeat = float(welcome["heartbeat"])
        self._replaying = self.resumes
        if not self.resumes:
            return None
        for each, place in self.positions.items():
            if not place.epoch and each in self._heads:
                self.positions[each] = Position(place.seq, self._heads[each].epoch)
        return self._resume()

    def _resume(self) -> str:
        """Names the projects that are elsewhere than the welcome's heads, from which the others go on anyway."""
        behind = {each: place for each, place in self.positions.items() if self._heads.get(each) != place}
        # A lineage that is still the same need not be named, where there is no room.
        other = {
            each: place
            for each, place in behind.items()
            if each in self._heads and self._heads[each].epoch != place.epoch
        }
        self._left_out = []
        text = _resume_frame(behind, behind)
        if len(text) > MAX_FRAME_BYTES:
            text = _resume_frame(behind, other)
        while len(text) > MAX_FRAME_BYTES:
            too_many = list(behind)[-(len(behind) // 10 + 1) :]
            self._left_out += too_many
            behind = {each: place for each, place in behind.items() if each not in too_many}
            text = _resume_frame(behind, other)
        return text

    def welcomed(self) -> Iterator[Item]:
        """What a welcome tells of what happened meanwhile."""
        if not self.resumes:
            self.positions = dict(self._heads)
            self.resumes = True
            return
        for each in self._left_out:
            self.positions.pop(each)
            if each in self._heads:
                self.positions[each] = self._heads[each]
            yield ProjectReset(each, "too_many", self._heads.get(each))
        for each, place in self._heads.items():
            if each not in self.positions:
                yield self._gained(each, place)

    def take(self, frame: Mapping[str, Any]) -> Iterator[Item]:
        """What a frame tells; nothing, if it was told before. Raises ``Behind``."""
        kind = frame["type"]
        if "seq" in frame:
            yield from self._event(frame)
        elif kind == "reset":
            yield self._reset(frame)
        elif kind == "access_gained":
            each = key(frame["project"])
            yield self._gained(each, _head_of(frame))
        elif kind == "access_lost":
            each = key(frame["project"])
            self.positions.pop(each, None)
            yield AccessLost(each)
        elif kind == "notification.created":
            yield from self._notification(frame)
        elif kind == "resumed":
            self._replaying = False
        elif kind == "heartbeat" and not self._replaying:
            self._compare(frame["heads"])
        elif kind == "error":
            raise _of_error(frame)

    def _event(self, frame: Mapping[str, Any]) -> Iterator[Item]:
        each, seq = key(frame["project"]), int(frame["seq"])
        place = self.positions.get(each)
        if place is None:  # one of those that a welcome has no room for
            place = Position(seq - 1, self._heads[each].epoch if each in self._heads else "")
        if seq <= place.seq:
            return
        here = Position(seq, place.epoch)
        if seq == place.seq + 1:
            event = Event.from_json(frame, epoch=place.epoch)
            self.positions[each] = here
            yield event
        elif self._replaying:  # asked for, and not told
            self.positions[each] = here
            yield ProjectReset(each, "gap", here)
        else:
            raise _behind(f"Event {place.seq + 1} of project {each} is missing; {seq} came instead.")

    def _notification(self, frame: Mapping[str, Any]) -> Iterator[Item]:
        notification = Notification.from_json(frame["notification"])
        if notification.id not in self._notified:
            self._notified.append(notification.id)
            yield notification

    def _reset(self, frame: Mapping[str, Any]) -> Item:
        each, place = key(frame["project"]), _head_of(frame)
        self.positions[each] = place
        return ProjectReset(each, str(frame["reason"]), place)

    def _gained(self, each: Key, place: Position) -> Item:
        self.positions[each] = place
        return AccessGained(each, place)

    def _compare(self, heads: Mapping[str, Any]) -> None:
        for each, head in heads.items():
            place = self.positions.get(key(each))
            if place is not None and place.seq < int(head):
                raise _behind(f"Project {each} is at {head}, and was told up to {place.seq}.")


def key(project: Any) -> Key:
    """The key of a project as events have it; in objects of JSON it is a text."""
    text = str(key_of(project))
    return int(text) if text.isascii() and text.isdecimal() else text


def _head_of(frame: Mapping[str, Any]) -> Position:
    return Position(int(frame["head"]), str(frame["epoch"]))


def _place(place: Position | int) -> Position:
    return place if isinstance(place, Position) else Position(place, "")


def _resume_frame(places: Mapping[Key, Position], lineages: Mapping[Key, Position]) -> str:
    since = {str(each): place.seq for each, place in places.items()}
    epoch = {str(each): place.epoch for each, place in lineages.items() if each in places and place.epoch}
    return json.dumps({"type": "resume", "since": since, "epoch": epoch}, separators=(",", ":"))


def _of_error(frame: Mapping[str, Any]) -> PmError:
    if frame["code"] == "no_resume":
        return _behind(str(frame["detail"]))
    return UnexpectedAnswer("GET", PATH, None, f"{frame['code']}: {frame['detail']}")


def _behind(detail: str) -> Behind:
    return Behind("GET", PATH, None, detail)


# The talk


class Following:
    """One follower: its steps, over as many sockets as it takes."""

    def __init__(
        self,
        url: str,
        since: Since | None,
        projects: Sequence[Project | Key] | None,
        retry: Retry,
        patience: float | None,
    ) -> None:
        self.tracker = Tracker(since)
        only = None if projects is None else [key(each) for each in projects]
        if only is not None and not set(self.tracker.positions) <= set(only):
            raise ValueError("since names a project that projects does not.")
        self._url = httpx.URL(url)
        self._params = [("project", str(each)) for each in only or ()]
        if only == []:
            raise ValueError("projects names none: leave it out to follow all.")
        self._once = dataclasses.replace(retry, attempts=1)
        self._waiting = dataclasses.replace(retry, cap=max(retry.cap, LONGEST_PAUSE))
        self._patience = patience
        self._heard = 0.0
        self._lively = False

    def steps(self) -> Talk:
        """Connect, tell what comes, and begin again when the socket ends. Ends with what will not pass."""
        self._heard = self._once.clock()
        failures = 0
        while True:
            self._lively = False
            try:
                yield from self._visit()
            except PmError as error:
                if not is_passing(error):
                    raise
                failure = error
            yield Close()
            failures = 1 if self._lively else failures + 1
            asked = failure.retry_after if isinstance(failure, Throttled) else None
            at_once = self._lively and isinstance(failure, Behind)
            pause = 0.0 if at_once else max(self._waiting.jitter(failures), asked or 0.0)
            if self._patience is not None and self._once.clock() - self._heard + pause > self._patience:
                raise failure
            logger.warning("Following goes on in %.1f s: %s", pause, failure)
            yield Pause(pause)

    def _visit(self) -> Talk:
        """One socket, until it ends with an exception."""
        ticket = yield from self._ticket()
        refused = yield Open(self._address(ticket), OPEN_SECONDS)
        if isinstance(refused, Refused):
            raise _of_refusal(refused)
        welcome = yield from self._frame(WELCOME_SECONDS)
        if welcome["type"] != "welcome":
            raise UnexpectedAnswer("GET", PATH, None, f"The first frame is {welcome['type']}, not welcome.")
        answer = _understood(self.tracker.greet, welcome)
        if answer is not None:
            closed = yield Say(answer)
            if isinstance(closed, Closed):
                raise _of_closing(closed)
        yield from self._give(self.tracker.welcomed())
        while True:
            # A socket that lives says so every so often.
            frame = yield from self._frame(2 * self.tracker.heartbeat)
            yield from self._give(self.tracker.take(frame))
            self._lively = True

    def _ticket(self) -> Steps[str]:
        """One-use, so that every way to sign in that httpx knows serves, and the address keeps no secret for long."""
        request = send("POST", path_of("notifications", "ticket"))
        outcome = yield from exchange(request, self._once)
        require(request, outcome, 201)
        return str(content(request, outcome.response)["ticket"])

    def _address(self, ticket: str) -> str:
        params = [*self._params, ("ticket", ticket)]
        if self.tracker.resumes:
            params.append(("resume", "true"))
        return str(self._url.copy_with(params=[*self._url.params.multi_items(), *params]))

    def _frame(self, seconds: float) -> Generator[Any, Any, Mapping[str, Any]]:
        text = yield Hear(seconds)
        if text is None:
            raise _lost(f"Nothing was heard for {seconds:.0f} s.")
        if isinstance(text, Closed):
            raise _of_closing(text)
        self._heard = self._once.clock()
        try:
            frame = json.loads(text)
        except ValueError:
            frame = None
        if not isinstance(frame, dict) or not isinstance(frame.get("type"), str):
            raise UnexpectedAnswer("GET", PATH, None, "A frame is no JSON object with a type.")
        return frame

    def _give(self, items: Iterator[Item]) -> Talk:
        """One by one: ``positions`` are those behind the one that was given last."""
        while (item := _understood(next, items, None)) is not None:
            yield Give([item])
            self._heard = self._once.clock()  # however long that took whoever is told


def _understood(ask: Any, *arguments: Any) -> Any:
    """What comes of it; a frame without what its kind should have is told as such."""
    try:
        return ask(*arguments)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        problem = f"A frame was not understood: {type(error).__name__} {error}"
        raise UnexpectedAnswer("GET", PATH, None, problem) from error


def _of_refusal(refused: Refused) -> PmError:
    status = refused.status
    if status is None:
        return _lost(refused.detail)
    if status in PASSING:
        return ConnectionFailed("GET", PATH, status, refused.detail)
    if status == 401:
        return NotSignedIn("GET", PATH, status, refused.detail)
    hint = (
        "The site opens no WebSocket here. events.follow does without, for one project; ws_url names another address."
    )
    return SocketRefused("GET", PATH, status, f"{refused.detail}. {hint}" if refused.detail else hint)


def _of_closing(closed: Closed) -> PmError:
    told = f"closed{'' if closed.code is None else f' with {closed.code}'}: {closed.reason}".rstrip(": ")
    if closed.code == NOT_SIGNED_IN:
        return NotSignedIn("GET", PATH, closed.code, closed.reason or "Not signed in.")
    if closed.code == RESYNC:
        return _behind(told)
    if closed.code == TOO_MANY:
        return Throttled("GET", PATH, closed.code, closed.reason or "Too many sockets.")
    if closed.code in OUR_FAULT:
        return UnexpectedAnswer("GET", PATH, closed.code, told)
    return _lost(told)


def _lost(detail: str) -> ConnectionFailed:
    return ConnectionFailed("GET", PATH, None, detail)
