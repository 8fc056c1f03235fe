"""How many requests one user, or one address without a user, may make in a stretch of time.

DRF's own throttles read a list of times from the cache and write it back, so requests that meet lose count. Here each
request is counted by the cache's own atomic increment, in fixed windows of which the previous one fades out as the
present one passes. (The sliding window counter: "How we built rate limiting capable of scaling to millions of
domains", Cloudflare, 2017.) A refused request does not count.

A cache that is gone lets requests pass: a limit protects the site, and is no reason to close it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, cast

from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured
from rest_framework.request import Request
from rest_framework.settings import api_settings
from rest_framework.throttling import BaseThrottle, SimpleRateThrottle

from django_pm.cache.breaker import breaker_of
from django_pm.conf import app_settings


class RequestThrottle(BaseThrottle):
    """``THROTTLE_USER`` for whoever is signed in, however; ``THROTTLE_ANONYMOUS`` by address for everybody else."""

    def allow_request(self, request: Request, view: Any) -> bool:
        signed_in = request.user is not None and request.user.is_authenticated
        name = "THROTTLE_USER" if signed_in else "THROTTLE_ANONYMOUS"
        rate = getattr(app_settings, name)
        if not rate:
            return True
        try:
            self.limit, self.seconds = parse_rate(rate)
        except ValueError as error:
            raise ImproperlyConfigured(f"DJANGO_PM[{name!r}]: {error}") from None
        who = f"user:{request.user.pk}" if signed_in else f"address:{self.get_ident(request)}"
        return breaker_of(app_settings.THROTTLE_CACHE).call(lambda: self._passes(f"django_pm:throttle:{who}"), True)

    def may_guess(self, request: Request) -> bool:
        """Whether fewer guesses than ``THROTTLE_ANONYMOUS`` have failed at this address; asked before one is tried."""
        return self._of_guesses(request, lambda key: self._counted(key) < self.limit)

    def note_failed_guess(self, request: Request) -> None:
        """One more."""
        self._of_guesses(request, self._passes)

    def _of_guesses(self, request: Request, ask: Callable[[str], bool]) -> bool:
        if not app_settings.THROTTLE_ANONYMOUS:
            return True
        self.limit, self.seconds = parse_rate(app_settings.THROTTLE_ANONYMOUS)
        key = f"django_pm:throttle:guesses:{self.get_ident(request)}"
        return breaker_of(app_settings.THROTTLE_CACHE).call(lambda: ask(key), True)

    def wait(self) -> float | None:
        """Seconds until one more request fits."""
        return self.waiting

    def get_ident(self, request: Request) -> str:
        # Without NUM_PROXIES, DRF would take the whole header that a client writes.
        if api_settings.NUM_PROXIES is None:
            return str(request.META.get("REMOTE_ADDR", ""))
        return str(super().get_ident(request))

    def _passes(self, key: str) -> bool:
        try:
            return self._count(key)
        except ValueError:  # the count was thrown out meanwhile, by a cache that is full or was emptied: no trouble
            return True

    def _windows(self, key: str) -> tuple[str, str, float]:
        """The names of the present and the previous one, and how many seconds of the present one have passed."""
        window, passed = divmod(time.time(), self.seconds)
        present, previous = (f"{key}:{self.seconds}:{int(number)}" for number in (window, window - 1))
        return present, previous, passed

    def _counted(self, key: str) -> float:
        cache = caches[app_settings.THROTTLE_CACHE]
        present, previous, passed = self._windows(key)
        fading: float = (cache.get(previous) or 0) * (1 - passed / self.seconds)
        return fading + (cache.get(present) or 0)

    def _count(self, key: str) -> bool:
        cache = caches[app_settings.THROTTLE_CACHE]
        present, previous, passed = self._windows(key)
        fading = cache.get(previous) or 0
        cache.add(present, 0, timeout=2 * self.seconds)
        count = cache.incr(present)
        if count is None:  # a cache that swallows its errors
            return True
        if count + fading * (1 - passed / self.seconds) <= self.limit:
            return True
        count = cache.decr(present)
        self.waiting = self._time_until_room(count, fading, passed)
        return False

    def _time_until_room(self, count: int, fading: int, passed: float) -> float:
        others = self.limit - 1 - count  # how many of the previous window may still count beside one more
        if others >= 0 and fading:
            return max(0.0, self.seconds * (1 - others / fading) - passed)
        return self.seconds - passed + self.seconds * max(0.0, 1 - (self.limit - 1) / count)


def parse_rate(rate: str) -> tuple[int, int]:
    """``"600/min"`` as (600, 60): how many in how many seconds. Raises ``ValueError`` for anything else."""
    try:
        limit, seconds = SimpleRateThrottle.parse_rate(cast(Any, None), rate)
    except (KeyError, IndexError, ValueError):
        limit = seconds = None
    if not limit or limit < 1 or not seconds:
        raise ValueError(f"{rate!r} is no rate: expected a number and a unit, such as 600/min.")
    return limit, seconds
