"""Bytes kept in this process: the least recently used go first."""

from __future__ import annotations

import threading
from collections import OrderedDict

MOST_BYTES = 32 * 1024 * 1024
OVERHEAD = 200
"""Bytes of an entry beside its content, about."""


class LocalStore:
    """At most so many bytes. What is larger than an eighth of that is not kept."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_bytes
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0

    def get(self, key: str) -> bytes | None:
        with self._lock:
            body = self._entries.get(key)
            if body is not None:
                self._entries.move_to_end(key)
            return body

    def put(self, key: str, body: bytes) -> None:
        size = len(body) + OVERHEAD
        if size > self._most // 8:
            return
        with self._lock:
            before = self._entries.pop(key, None)
            if before is not None:
                self._bytes -= len(before) + OVERHEAD
            self._entries[key] = body
            self._bytes += size
            while self._bytes > self._most:
                _key, oldest = self._entries.popitem(last=False)
                self._bytes -= len(oldest) + OVERHEAD

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()
            self._bytes = 0

    @property
    def size(self) -> int:
        """Bytes in use."""
        return self._bytes
