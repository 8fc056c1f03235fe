"""Leaves a server alone that fails or is slow: what it would have given is faster had without it.

(The circuit breaker: Michael Nygard, “Release It!”, 2007.)
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from django.core.signals import setting_changed

from django_pm.measures import BREAKERS_OPEN

logger = logging.getLogger(__name__)
T = TypeVar("T")

REST_SECONDS = 5.0
"""How long a server is left alone before one caller tries it again."""

SLOW_SECONDS = 0.1
"""A call that takes longer counts as a failure, for the database would have been faster."""

SLOW_CALLS = 3
"""So many one after the other. Those that are slow at the same time are one: our own process may have paused."""


class Breaker:
    """Calls of one server, from any thread."""

    def __init__(self, name: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._clock = clock
        self._lock = threading.Lock()
        self._resting_since: float | None = None
        self._slow = 0
        self._last_slow = -math.inf
        """When the last slow call that counted ended."""

    def call(self, work: Callable[[], T], otherwise: T) -> T:
        """What ``work`` gives; ``otherwise`` where it raises, or where it is not called now."""
        if not self._may_call():
            return otherwise
        began = self._clock()
        try:
            found = work()
        except Exception as error:  # whatever the client of a cache raises when its server is away
            self._rest(f"{type(error).__name__}: {error}")
            return otherwise
        self._note(began, self._clock())
        return found

    @property
    def is_resting(self) -> bool:
        """Whether the server is being left alone."""
        since = self._resting_since
        return since is not None and self._clock() - since < REST_SECONDS

    def _may_call(self) -> bool:
        if self._resting_since is None:
            return True
        with self._lock:
            if self._resting_since is None or self.is_resting:
                return self._resting_since is None
            # One caller finds out for all. For the others the rest begins anew, so there is nothing to undo however
            # the trial ends; and if it never does, there is another one.
            self._resting_since = self._clock()
            return True

    def _note(self, began: float, ended: float) -> None:
        if ended - began > SLOW_SECONDS:
            with self._lock:
                if began >= self._last_slow:
                    self._slow, self._last_slow = self._slow + 1, ended
                had_enough = self._slow >= SLOW_CALLS or self._resting_since is not None
            if had_enough:
                self._rest(f"{ended - began:.2f} s for an answer")
            return
        self._slow = 0
        if self._resting_since is not None:
            with self._lock:
                was_resting, self._resting_since = self._resting_since is not None, None
            if was_resting:
                BREAKERS_OPEN.note(-1, self._name)
                logger.info("The cache %r is back.", self._name)

    def _rest(self, why: str) -> None:
        with self._lock:
            was_closed = self._resting_since is None
            self._resting_since, self._slow = self._clock(), 0
        if was_closed:
            BREAKERS_OPEN.note(1, self._name)
            logger.warning("The cache %r is left alone for now: %s", self._name, why)


_breakers: dict[str, Breaker] = {}


def breaker_of(alias: str) -> Breaker:
    """The breaker of one of the site's ``CACHES``, the same for everybody in this process."""
    return _breakers.setdefault(alias, Breaker(alias))


def _forget(*, setting: str, **kwargs: Any) -> None:
    """Another server may be behind the alias now, as in a test."""
    if setting == "CACHES":
        _breakers.clear()


setting_changed.connect(_forget, dispatch_uid="django_pm.cache.breaker")
