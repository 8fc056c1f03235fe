"""Who is acting, from where, and in which request: what the recorder writes beside every change.

Held in context variables, so it follows a request through synchronous and asynchronous code and never leaks into
another. The API and the admin set who is acting; ``actor_middleware`` sets it for a host's own views; a script may use
``acting`` itself. Which request it is, is for the host to say (``in_request``), for it is in the host's log lines too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

SYSTEM = "system"

REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,40}")
"""What a request's id looks like: short enough for an event's origin, and harmless in a header and a log line."""

ORIGIN_LENGTH = 64
MARK = "#"
"""Between the word and the request's id in an event's origin."""


class ActingContext(NamedTuple):
    """``actor`` is a user, a callable that returns one (asked when something is written), or None."""

    actor: Any = None
    origin: str = SYSTEM

    def user(self) -> Any | None:
        """The acting user, None where nobody is signed in."""
        actor = self.actor() if callable(self.actor) else self.actor
        return actor if getattr(actor, "pk", None) is not None else None


_current: ContextVar[ActingContext] = ContextVar("django_pm_acting", default=ActingContext())  # noqa: B039 (a named tuple does not change)


def current() -> ActingContext:
    """The context that changes made now are recorded with."""
    return _current.get()


@contextmanager
def acting(actor: Any = None, *, origin: str | None = None) -> Iterator[None]:
    """Record the changes made inside as those of ``actor``, coming from ``origin`` (a word, at most 64 characters).

    Without ``origin`` the surrounding one stays. ``with acting(user, origin="import"): …``
    """
    token = _current.set(ActingContext(actor, origin if origin is not None else current().origin))
    try:
        yield
    finally:
        _current.reset(token)


_request_id: ContextVar[str] = ContextVar("django_pm_request_id", default="")


def request_id() -> str:
    """The id of the request that is being answered, or that made the event being handled; empty if there is none."""
    return _request_id.get()


@contextmanager
def in_request(request_id: str) -> Iterator[None]:
    """Record the changes made inside as those of the request with this id; an empty one stands for none.

    Called by whatever gives a host's requests their ids, around each of them. Raises ``ValueError`` for an id that is
    not 8 to 40 letters, digits, ``-`` and ``_``: check one that came from outside with ``REQUEST_ID.fullmatch`` first.
    """
    if request_id and not REQUEST_ID.fullmatch(request_id):
        raise ValueError(f"An id of a request is 8 to 40 letters, digits, - and _, not {request_id!r}.")
    token = _request_id.set(request_id)
    try:
        yield
    finally:
        _request_id.reset(token)


def written_origin() -> str:
    """The origin as the recorder writes it: ``api``, or ``api#<id>`` within a request whose id is known."""
    end = f"{MARK}{request_id()}" if request_id() else ""
    return current().origin[: ORIGIN_LENGTH - len(end)] + end


def request_id_of(origin: str) -> str:
    """The id of the request that wrote an event of this origin; empty if none is named there."""
    found = origin.rpartition(MARK)[2] if MARK in origin else ""
    return found if REQUEST_ID.fullmatch(found) else ""
