"""What can go wrong, as exceptions under one base. Raised by the rest of this room; imports only ``objects``.

A message holds method, path, status and what the server said; never a header, a query or a body that was sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django_pm.client.objects import Position

DETAIL_LENGTH = 500


class PmError(Exception):
    """A request that did not do what was asked.

    ``method`` and ``path`` say which, ``status`` is the answer's (None without one), ``detail`` the server's sentence
    and ``body`` its parsed JSON, None if it was none.
    """

    perhaps_written = False
    """An attempt of this write got no answer, and may have taken effect."""

    def __init__(self, method: str, path: str, status: int | None, detail: str, body: Any = None) -> None:
        super().__init__(method, path, status, detail, body)
        self.method = method
        self.path = path
        self.status = status
        self.detail = detail
        self.body = body

    def __str__(self) -> str:
        status = "" if self.status is None else f" {self.status}"
        return f"{self.method} {self.path}:{status} {self.detail}".rstrip()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def _told(self, name: str) -> Any:
        return self.body.get(name) if isinstance(self.body, Mapping) else None


class ConnectionFailed(PmError):
    """No answer, in as many attempts as there was time for."""


class UnexpectedAnswer(PmError):
    """An answer that is none of this API: a redirect, a page, JSON of another form. Mostly a wrong ``base_url``."""


class Invalid(PmError):
    """400: the input is wrong."""

    @property
    def fields(self) -> dict[str, list[str]]:
        """What is wrong, by field or query parameter."""
        body = self.body if isinstance(self.body, Mapping) else {}
        return {str(name): [str(each) for each in told] for name, told in body.items() if isinstance(told, list)}


class NotSignedIn(PmError):
    """401: no credentials, or wrong ones, or a token that has expired."""


class NotAllowed(PmError):
    """403: it is there, and this user or token may not do that."""


class NotFound(PmError):
    """404: not there, or not to be seen by this user."""


class Conflict(PmError):
    """409: what is there forbids it, such as the last owner leaving."""


class Reset(PmError):
    """410: the events cannot be continued from there. Fetch the project afresh, then follow from ``position``.

    ``reason`` is ``epoch`` (a backup was restored), ``trimmed`` (pruned), ``ahead`` (no such number yet) or ``gap``
    (the client found a number missing; no event is skipped silently).
    """

    @property
    def reason(self) -> str:
        return str(self._told("reason"))

    @property
    def head(self) -> int:
        return int(self._told("head"))

    @property
    def epoch(self) -> str:
        return str(self._told("epoch"))

    @property
    def position(self) -> Position:
        return Position(self.head, self.epoch)


class Changed(PmError):
    """412: somebody changed it since you read it; ``get`` it again to see what it is now.

    Nothing was written, unless ``perhaps_written``: then the answer to an earlier attempt was lost, and the object
    holds other values now than were sent. That attempt may have been applied, and changed by somebody since.
    """


class KeyReused(PmError):
    """422: this idempotency key was used for a request with another body."""


class Throttled(PmError):
    """429: too many requests; ``retry_after`` is in seconds, None if the server did not say."""

    retry_after: float | None = None


class SocketRefused(PmError):
    """The site opens no WebSocket there: it has none, or another address. ``events.follow`` needs none."""


class ServerError(PmError):
    """5xx."""


BY_STATUS: dict[int, type[PmError]] = {
    400: Invalid,
    401: NotSignedIn,
    403: NotAllowed,
    404: NotFound,
    409: Conflict,
    410: Reset,
    412: Changed,
    422: KeyReused,
    429: Throttled,
}


def class_of(status: int) -> type[PmError]:
    """The class for an answer with this status."""
    if status in BY_STATUS:
        return BY_STATUS[status]
    if 500 <= status < 600:
        return ServerError
    return PmError if 400 <= status < 500 else UnexpectedAnswer


def sentence(body: Any) -> str:
    """What an error's JSON body says, in one line."""
    if isinstance(body, Mapping):
        if set(body) >= {"detail"} and isinstance(body["detail"], str):
            text = body["detail"]
        else:
            parts = (
                f"{name}: {' '.join(map(str, told)) if isinstance(told, list) else told}" for name, told in body.items()
            )
            text = "; ".join(parts)
    else:
        text = "" if body is None else str(body)
    return text if len(text) <= DETAIL_LENGTH else text[:DETAIL_LENGTH] + "…"
