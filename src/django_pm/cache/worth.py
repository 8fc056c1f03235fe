"""Whose answers are worth keeping: those that are asked for again before they change.

What is made in order to be kept costs more than what is just made, so a reader of very many busy projects would be
slower with a cache than without. Whoever keeps missing is left alone for a while, then tried again.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import NamedTuple

MOST_READERS = 10_000
BEST, WORST = 8, -8
"""How far hits and misses add up: a hit saves about as much as a miss costs."""

REST_SECONDS = 10.0
AFTER_REST = -4
"""So who is tried again is soon left alone again."""

LONG_REST_SECONDS = 60.0
"""For who sees more than is worth asking about."""


class Standing(NamedTuple):
    """Of one reader: hits less misses, and until when nothing is kept for them."""

    score: int = 0
    rests_until: float = 0.0


class Worth:
    """What has been seen of the latest readers, in this process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._standings: OrderedDict[Hashable, Standing] = OrderedDict()

    def is_worth(self, reader: Hashable) -> bool:
        """Whether to look for an answer of theirs, and to keep it."""
        standing = self._standings.get(reader)
        return standing is None or standing.rests_until <= self._clock()

    def note(self, reader: Hashable, *, hit: bool) -> None:
        """That an answer was found, or had to be made."""
        with self._lock:
            score = self._standings.get(reader, Standing()).score + (1 if hit else -1)
            if score <= WORST:
                self._put(reader, Standing(AFTER_REST, self._clock() + REST_SECONDS))
            else:
                self._put(reader, Standing(min(score, BEST)))

    def note_too_much(self, reader: Hashable) -> None:
        """That to ask whether an answer is still good takes as long as to make it."""
        with self._lock:
            self._put(reader, Standing(AFTER_REST, self._clock() + LONG_REST_SECONDS))

    def _put(self, reader: Hashable, standing: Standing) -> None:
        self._standings[reader] = standing
        self._standings.move_to_end(reader)
        if len(self._standings) > MOST_READERS:
            self._standings.popitem(last=False)
