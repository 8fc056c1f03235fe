"""Servers of a cache, played and real, and the unreliable line to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.cache.turns import Scheduler


class MemoryServer:
    """A server of a cache, as far as SharedStore goes."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._held: dict[str, tuple[float, Any]] = {}
        self._saved: dict[str, tuple[float, Any]] = {}

    def get(self, key: str) -> Any:
        ends, value = self._held.get(key, (0.0, None))
        return value if ends > self._scheduler.now else None

    def set(self, key: str, value: Any, timeout: float) -> None:
        self._held[key] = (self._scheduler.now + timeout, value)

    def add(self, key: str, value: Any, timeout: float) -> bool:
        if self.get(key) is not None:
            return False
        self.set(key, value, timeout)
        return True

    def delete(self, key: str) -> bool:
        return self._held.pop(key, None) is not None

    def get_many(self, keys: list[str]) -> dict[str, Any]:
        return {key: value for key in keys if (value := self.get(key)) is not None}

    def keys(self) -> list[str]:
        return list(self._held)

    def clear(self) -> None:
        self._held.clear()

    def save(self) -> None:
        self._saved = dict(self._held)

    def load(self) -> None:
        self._held = dict(self._saved)


class RealServer:
    """A cache of Django's, whose leases end by the clock of the simulation."""

    def __init__(self, cache: Any, scheduler: Scheduler) -> None:
        self._cache, self._scheduler = cache, scheduler
        self._known: dict[str, float] = {}
        self._saved: dict[str, Any] = {}
        cache.clear()

    def _end_leases(self) -> None:
        for key in [key for key, ends in self._known.items() if ends <= self._scheduler.now]:
            self.delete(key)

    def get(self, key: str) -> Any:
        self._end_leases()
        return self._cache.get(key)

    def set(self, key: str, value: Any, timeout: float) -> None:
        self._cache.set(key, value, timeout)
        self._known[key] = self._scheduler.now + timeout

    def add(self, key: str, value: Any, timeout: float) -> Any:
        self._end_leases()
        added = self._cache.add(key, value, 10 * timeout)
        if added:
            self._known[key] = self._scheduler.now + timeout
        return added

    def delete(self, key: str) -> Any:
        self._known.pop(key, None)
        return self._cache.delete(key)

    def get_many(self, keys: list[str]) -> Any:
        self._end_leases()
        return self._cache.get_many(keys)

    def keys(self) -> list[str]:
        return list(self._known)

    def clear(self) -> None:
        self._known.clear()
        self._cache.clear()

    def save(self) -> None:
        self._saved = self._cache.get_many(list(self._known))

    def load(self) -> None:
        self.clear()
        for key, value in self._saved.items():
            self.set(key, value, 2 if key.endswith(":lease") else 300)


class Line:
    """What lies between a process and the server: what is asked may get lost, and so may the answer."""

    MODES = ("refusing", "swallowing", "losing requests", "losing answers", "slow", "garbling")

    def __init__(self, server: Any, scheduler: Scheduler) -> None:
        self.server, self.scheduler = server, scheduler
        self.mode = ""
        self.until = 0.0

    def get(self, key: str) -> Any:
        return self._ask(lambda server: server.get(key))

    def set(self, key: str, value: Any, timeout: float) -> Any:
        return self._ask(lambda server: server.set(key, value, timeout))

    def add(self, key: str, value: Any, timeout: float) -> Any:
        return self._ask(lambda server: server.add(key, value, timeout))

    def delete(self, key: str) -> Any:
        return self._ask(lambda server: server.delete(key))

    def get_many(self, keys: list[str]) -> Any:
        return self._ask(lambda server: server.get_many(keys))

    def _ask(self, work: Callable[[Any], Any]) -> Any:
        scheduler = self.scheduler
        scheduler.point()
        mode = self.mode if scheduler.now < self.until else ""
        if mode == "refusing":
            raise ConnectionError
        if mode == "swallowing":
            return None
        if mode == "losing requests":
            scheduler.sleep(0.2)
            raise TimeoutError
        if mode == "slow":
            scheduler.sleep(0.15)
        found = work(self.server)
        if mode == "losing answers":
            scheduler.sleep(0.2)
            raise TimeoutError
        scheduler.point()
        return "garbage" if mode == "garbling" else found
