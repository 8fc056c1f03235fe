"""Bytes kept in one of the site's ``CACHES``, for all processes, and who of them makes what is missing.

Whatever the cache does costs speed only: one that is gone is not asked, one that has forgotten is asked in vain, and
one that comes back with old data has it under old keys.
"""

from __future__ import annotations

import time
from typing import Any

from django.core.cache import caches

from django_pm.cache.breaker import breaker_of
from django_pm.conf import app_settings

KEPT_FOR = 300
"""Seconds. What has changed is never asked for again, so this only bounds how much lies about."""

LEASE_SECONDS = 2
"""After so long, whoever began to make an answer counts as gone, and somebody else begins."""

MOST_BYTES = 1_000_000
"""What is larger is not shared: Memcached refuses it, and Redis takes so long over it that it seems in trouble."""

PREFIX = "django_pm:answer:"


class SharedStore:
    """The cache that ``DJANGO_PM["RESPONSE_CACHE"]`` names; nothing is found and everybody is first without one."""

    def get(self, key: str) -> bytes | None:
        return self._bytes(self._call(lambda cache: cache.get(PREFIX + key), None))

    def put(self, key: str, body: bytes) -> None:
        if len(body) <= MOST_BYTES:
            self._call(lambda cache: cache.set(PREFIX + key, body, KEPT_FOR), None)

    def begin(self, key: str) -> bool:
        """Whether it is on the caller to make the answer: nobody else has begun, or nobody can say."""
        # A cache that swallows its errors answers None: nobody has begun, as far as anybody knows.
        return self._call(lambda cache: cache.add(f"{PREFIX}{key}:lease", 1, LEASE_SECONDS), True) is not False

    def end(self, key: str) -> None:
        """The caller who began has made the answer, or is not going to."""
        self._call(lambda cache: cache.delete(f"{PREFIX}{key}:lease"), None)

    def await_other(self, key: str) -> bytes | None:
        """The answer that somebody else has begun to make; None when they have ended without, or take too long."""
        until = time.monotonic() + LEASE_SECONDS
        pause = 0.002
        while time.monotonic() < until:
            time.sleep(pause)
            pause = min(2 * pause, 0.05)
            names = [PREFIX + key, f"{PREFIX}{key}:lease"]
            found = self._call(lambda cache, names=names: cache.get_many(names), {})
            if not isinstance(found, dict):
                return None
            if names[0] in found or names[1] not in found:
                return self._bytes(found.get(names[0]))
        return None

    @staticmethod
    def _bytes(found: Any) -> bytes | None:
        return found if isinstance(found, bytes) else None

    @staticmethod
    def _call(work: Any, otherwise: Any) -> Any:
        alias = app_settings.RESPONSE_CACHE
        if not alias:
            return otherwise
        return breaker_of(alias).call(lambda: work(caches[alias]), otherwise)
