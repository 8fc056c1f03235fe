"""Who is acting, and from where: what the recorder writes beside every change.

Held in a context variable, so it follows a request through synchronous and asynchronous code and never leaks into
another. The API and the admin set it; ``ActorMiddleware`` sets it for a host's own views; a script may use ``acting``
itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

SYSTEM = "system"


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
    """Record the changes made inside as those of ``actor``, coming from ``origin`` (at most 64 characters).

    Without ``origin`` the surrounding one stays. ``with acting(user, origin="import"): …``
    """
    token = _current.set(ActingContext(actor, origin if origin is not None else current().origin))
    try:
        yield
    finally:
        _current.reset(token)
