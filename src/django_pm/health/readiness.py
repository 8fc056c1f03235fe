"""Whether this process can do its work: the checks of ``pm_doctor``, none of them waited for longer than a moment.

Each is made in a thread, so a server that hangs holds up neither the probe nor what it asks about the others. What was
found is remembered for some seconds: probes come often, and each look would open a connection.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from django.core.signals import setting_changed
from django.db import connections

from django_pm.cache.breaker import breaker_of
from django_pm.conf import app_settings
from django_pm.services import doctor, findings
from django_pm.services.findings import Check, Finding, Level

logger = logging.getLogger(__name__)

PATIENCE = 2.0
"""Seconds in which a component has to answer, all of them together."""

GIVEN_UP_AFTER = 30.0
"""After so many seconds a look that has not come back is not waited for any more, and another begins."""

REMEMBERED = {doctor.DATABASE: 1.0, doctor.MIGRATIONS: 60.0}
"""For how many seconds it counts that one of these is well. That it is not is always found out anew."""

REMEMBERED_OTHERS = 5.0
"""The same for all that a site can do without, well or not."""


class Readiness(NamedTuple):
    """What a probe is told: names and states, and no more."""

    status: str
    components: dict[str, str]
    code: int


def look() -> Readiness:
    """Ask all components at once."""
    until = time.monotonic() + PATIENCE
    watches = [_watch(check) for check in [*ESSENTIAL, CACHE, *findings.added()]]
    for watch in watches:
        watch.begin()
    states = {watch.check.name: "ok" if watch.is_well(until) else "failing" for watch in watches}
    if any(states[check.name] != "ok" for check in ESSENTIAL):
        return Readiness("down", states, 503)
    return Readiness("ready" if set(states.values()) == {"ok"} else "degraded", states, 200)


def _cache() -> Finding:
    """As the doctor looks at it, unless it is being left alone anyway."""
    alias = app_settings.RESPONSE_CACHE
    if alias and breaker_of(alias).is_resting:
        return findings.amiss(CACHE.name, "left alone", "")
    return doctor.cache()


CACHE = Check("cache", _cache)
ESSENTIAL = [check for check in doctor.CHECKS if check.name in REMEMBERED]


class Watch:
    """One component, looked at by one thread at a time."""

    def __init__(self, check: Check, clock: Callable[[], float] = time.monotonic) -> None:
        self.check = check
        self._clock = clock
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._began_at: float | None = None
        self._level: Level | None = None
        self._looked_at = 0.0

    def begin(self) -> None:
        """Look, unless it is known, or somebody is at it."""
        with self._lock:
            now = self._clock()
            is_at_it = self._began_at is not None and now - self._began_at < GIVEN_UP_AFTER
            if is_at_it or self._is_fresh(now):
                return
            self._began_at, self._ended = now, threading.Event()
            look = threading.Thread(target=self._look, args=(self._ended,), name="django-pm-health", daemon=True)
        look.start()

    def is_well(self, until: float) -> bool:
        """Whether the last look found nothing amiss. One that takes too long counts as amiss."""
        with self._lock:
            ended, began_at = self._ended, self._began_at
        if began_at is not None:
            ended.wait(max(0.0, min(until, began_at + PATIENCE) - self._clock()))
        return self._level is Level.OK if ended.is_set() or began_at is None else False

    def _is_fresh(self, now: float) -> bool:
        if self._level is None:
            return False
        age = now - self._looked_at
        if self.check.name in REMEMBERED:
            return self._level is Level.OK and age < REMEMBERED[self.check.name]
        return age < REMEMBERED_OTHERS

    def _look(self, ended: threading.Event) -> None:
        try:
            finding = findings.looked_at(self.check)
        finally:
            connections.close_all()  # this thread's own
        if finding.level is not Level.OK:
            logger.warning("Not well: %s: %s", finding.name, finding.what)
        with self._lock:
            if self._ended is ended:
                self._level, self._looked_at, self._began_at = finding.level, self._clock(), None
        ended.set()


_watches: dict[str, Watch] = {}


def _watch(check: Check) -> Watch:
    """The watch of this check; another if another was added by the same name since."""
    watch = _watches.get(check.name)
    if watch is None or watch.check != check:
        watch = _watches[check.name] = Watch(check)
    return watch


def forget(**kwargs: object) -> None:
    """Another server may be behind a name now, as in a test."""
    _watches.clear()


setting_changed.connect(forget, dispatch_uid="django_pm.health.readiness")
