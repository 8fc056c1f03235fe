"""When to try again, and after which pause: decisions only, no waiting. Called by ``steps``.

The pauses grow exponentially and are drawn from the whole interval below, so that clients that failed together do not
come back together. (Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015: "full jitter".)
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import httpx

PASSING = frozenset({429, 502, 503, 504})
"""Statuses of a server that is busy or away: the same request may fare better later."""

GATEWAY = frozenset({502, 503, 504})
"""Those of a proxy, behind which the request may have been worked on."""

HOPELESS = (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.DecodingError, httpx.TooManyRedirects)
UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


@dataclass(frozen=True)
class Retry:
    """How often and how long to try: ``attempts`` in all, none begun later than ``deadline`` seconds after the first.

    Pause number n is random, at most ``base * 2 ** (n - 1)`` and never above ``cap`` seconds. ``clock`` and ``random``
    are for tests.
    """

    attempts: int = 5
    deadline: float = 60.0
    base: float = 0.5
    cap: float = 10.0
    clock: Callable[[], float] = time.monotonic
    random: Callable[[], float] = random.random

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.deadline <= 0 or self.base < 0 or self.cap < 0:
            raise ValueError("attempts must be 1 or more, deadline above 0, base and cap not below 0.")

    def jitter(self, attempt: int) -> float:
        """A pause after this many failures, in seconds."""
        # The exponent is bounded because an endless follower counts on, and a float overflows at 1024.
        return self.random() * min(self.cap, self.base * 2 ** min(attempt - 1, 60))

    def pause(self, attempt: int, left: float, retry_after: float | None) -> float | None:
        """The pause before another attempt, None if there is to be none; ``left`` seconds remain."""
        if attempt >= self.attempts:
            return None
        pause = self.jitter(attempt)
        if retry_after is not None:
            # Not before the server's time, and not all at that very moment.
            pause = retry_after + self.random() * self.base
        return pause if pause < left else None


def is_passing(error: httpx.RequestError) -> bool:
    """Whether the same request may fare better later."""
    return not isinstance(error, HOPELESS)


def may_have_arrived(error: httpx.RequestError) -> bool:
    """Whether the server may have acted on the request although no answer came."""
    return not isinstance(error, UNSENT)


def retry_after(response: httpx.Response) -> float | None:
    """Seconds that the server asks to wait (RFC 9110, 10.2.3), None if it does not."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdecimal():
        return float(text)
    try:
        # Against the server's own clock: ours may go wrong.
        then, now = parsedate_to_datetime(text), parsedate_to_datetime(response.headers.get("Date", ""))
        return max(0.0, (then - now).total_seconds())
    except (TypeError, ValueError):
        return None
