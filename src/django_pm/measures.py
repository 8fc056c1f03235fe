"""What this process counts and times, told to whoever listens: the rooms do not know who that is.

Nobody listens unless the site is asked for metrics (``health/instruments.py``); telling then costs one comparison.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum


class Kind(StrEnum):
    """What is told of."""

    COUNT = "count"
    """Something happened, so many times."""
    LEVEL = "level"
    """There is more of something now, or, below zero, less."""
    SECONDS = "seconds"
    """Something took so long."""


class Measure:
    """One thing that is counted or timed. Its labels have few values each: names of ours, never what a client sends."""

    def __init__(self, name: str, kind: Kind, help_text: str, *labels: str, buckets: tuple[float, ...] = ()) -> None:
        self.name = name
        self.kind = kind
        self.help_text = help_text
        self.labels = labels
        self.buckets = buckets
        """Upper bounds, in seconds, of the classes into which times are sorted."""

    def note(self, amount: float, *labels: str) -> None:
        """Tell of it, with the values of its labels in their order."""
        if _hear is not None:
            _hear(self, amount, labels)


Hear = Callable[[Measure, float, tuple[str, ...]], None]

_hear: Hear | None = None


def listen(hear: Hear | None) -> None:
    """Have everything told to ``hear`` from now on, or to nobody."""
    global _hear
    _hear = hear


REQUEST_SECONDS = Measure(
    "django_pm_http_request_seconds",
    Kind.SECONDS,
    "Seconds from a request to the beginning of its answer.",
    "route",
    "method",
    "status",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
SOCKETS_OPEN = Measure("django_pm_sockets_open", Kind.LEVEL, "WebSockets that are open.")
SOCKETS_CLOSED = Measure("django_pm_sockets_closed", Kind.COUNT, "WebSockets that were closed or refused.", "code")
DELIVERY_SECONDS = Measure(
    "django_pm_event_delivery_seconds",
    Kind.SECONDS,
    "Seconds from the making of an event until it was handed to the sockets of a process.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0),
)
ANSWERS = Measure("django_pm_list_answers", Kind.COUNT, "Lists that were answered, by where from.", "outcome")
BREAKERS_OPEN = Measure(
    "django_pm_cache_breakers_open", Kind.LEVEL, "Processes that leave a cache alone, for it fails or is slow.", "cache"
)

MEASURES = (REQUEST_SECONDS, SOCKETS_OPEN, SOCKETS_CLOSED, DELIVERY_SECONDS, ANSWERS, BREAKERS_OPEN)
