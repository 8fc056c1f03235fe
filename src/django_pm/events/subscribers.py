"""Who wants to hear of events: named functions, registered when the site starts.

A subscriber is handed every event once it has subscribed, project by project in order, at least once. Where it stands
is a row in the database (``models/subscription.py``), so a restart, a crash or a day of downtime only delays it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

from django_pm.event_types import EVENT_TYPES
from django_pm.models import Event

Handler = Callable[[Event], None]


class Subscription(NamedTuple):
    name: str
    handler: Handler
    types: frozenset[str] | None
    begin: Callable[[], None] | None = None

    def wants(self, event: Event) -> bool:
        """Whether the handler is to be called for ``event``."""
        return self.types is None or event.type in self.types


_subscriptions: dict[str, Subscription] = {}


def subscribe(
    name: str, handler: Handler, *, types: Collection[str] | None = None, begin: Callable[[], None] | None = None
) -> None:
    """Have ``handler(event)`` called for every event from now on, or only for those of ``types``.

    Call it in ``AppConfig.ready``. ``name`` is what its place in the streams is kept under, so it must stay the same
    from release to release. The handler runs in a transaction that is committed together with its place: what it
    writes to the database takes effect exactly once. What it sends elsewhere may be sent again after a crash, so it
    should carry ``event.uuid``. If it raises, the event is tried again later, and parked (``ParkedEvent``) after
    ``SUBSCRIBER_ATTEMPTS``.

    ``begin()`` is called when the subscriber is first seen: for what it has to know of what was there before. It runs
    in no transaction, ahead of the first event, and again from the start if it was cut off or two relays began at once.
    What it finds may be ahead of the heads at which the subscriber begins.

    Raises ``ValueError`` if the name is taken by another function, or a type is unknown.
    """
    if unknown := set(types or ()) - set(EVENT_TYPES):
        raise ValueError(f"Unknown event types: {', '.join(sorted(unknown))}.")
    taken = _subscriptions.get(name)
    if taken is not None and taken.handler is not handler:
        raise ValueError(f"A subscriber named {name!r} is registered already.")
    _subscriptions[name] = Subscription(name, handler, None if types is None else frozenset(types), begin)


def unsubscribe(name: str) -> None:
    """Forget a subscriber (a host rarely needs it; tests do). Its place in the streams stays."""
    _subscriptions.pop(name, None)


def registered() -> list[Subscription]:
    """The subscribers of this process, by name."""
    return [_subscriptions[name] for name in sorted(_subscriptions)]
