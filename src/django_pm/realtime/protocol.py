"""The frames: JSON text in both directions. ``docs/realtime.md`` is their reference."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from django.core.serializers.json import DjangoJSONEncoder

VERSION = 1
HEARTBEAT_SECONDS = 25
RESUME_WITHIN_SECONDS = 10

MAX_FRAME_BYTES = 16 * 1024
MAX_FRAMES_PER_SECOND = 20
MAX_HEADS = 500
MAX_QUEUED_BYTES = 64 * 1024
"""What a client that stops reading may cost before it is closed."""

PRIVATE_CODES = 4000
"""Where the codes begin that an application may define. One that a server does not send for us is moved there."""

# Why a socket is closed. 1003, 1007, 1009 and 1013 are the protocol's own (RFC 6455, section 7.4.1).
CLOSE_BINARY = 1003
CLOSE_TOO_LARGE = 1009
CLOSE_TRY_LATER = 1013
CLOSE_NOT_SIGNED_IN = 4401
CLOSE_RESYNC = 4408
"""Too slow, or what may be seen changed as a whole: connect again and resume."""
CLOSE_TOO_MANY = 4429


class FrameError(Exception):
    """A frame that cannot be used; the socket stays open, and the client is told."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class Frame(NamedTuple):
    """A frame as it is sent, made once and handed to every socket that it is for."""

    message: dict[str, str]
    """What ASGI's ``send`` takes."""
    size: int
    """In bytes."""
    seq: int = 0
    """The number of the event that it tells; 0 for others."""
    made_at: float = 0.0
    """When that event was made, in seconds since 1970."""


def frame(kind: str, **fields: Any) -> Frame:
    """A frame of our own. The keys of objects are texts, as JSON has them."""
    text = json.dumps({"type": kind, **fields}, cls=DjangoJSONEncoder, separators=(",", ":"), ensure_ascii=False)
    return Frame({"type": "websocket.send", "text": text}, len(text.encode()), fields.get("seq", 0))


def parse(text: str) -> dict[str, Any]:
    """The frame that a client sent: ``ping``, or ``resume`` with ``since`` and ``epoch``."""
    try:
        frame = json.loads(text)
    except (ValueError, RecursionError):
        raise FrameError("malformed", "Expected a JSON object.") from None
    if not isinstance(frame, dict):
        raise FrameError("malformed", "Expected a JSON object.")
    kind = frame.get("type")
    if kind == "ping":
        return frame
    if kind == "resume":
        return {"type": "resume", "since": _numbers(frame), "epoch": _texts(frame)}
    raise FrameError("unknown_type", "Expected the type “ping” or “resume”.")


def _numbers(frame: dict[str, Any]) -> dict[str, int]:
    since = frame.get("since")
    if not isinstance(since, dict) or not all(_is_number(number) for number in since.values()):
        raise FrameError("malformed", "Expected “since” as {project: number}, numbers from 0 up.")
    try:
        "".join(since).encode()
    except UnicodeEncodeError:  # half of a pair of surrogates, which JSON can write and no answer could repeat
        raise FrameError("malformed", "Expected “since” as {project: number}, projects in Unicode.") from None
    return since


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _texts(frame: dict[str, Any]) -> dict[str, str]:
    epoch = frame.get("epoch")
    if epoch is None:
        return {}
    if not isinstance(epoch, dict) or not all(isinstance(name, str) for name in epoch.values()):
        raise FrameError("malformed", "Expected “epoch” as {project: text}.")
    return epoch
