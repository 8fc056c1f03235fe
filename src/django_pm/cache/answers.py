"""The walk of a kept answer: versions, key, bytes.

The key is made of the question and of the versions of all projects that the answer can show, read from the database
before anything else. A version changes exactly when a change becomes visible (``events/feed.py``), so what is found
under a key of now is what would be made now, and what has changed is under a key that nobody asks for again.

What is not found is made in one snapshot, together with the versions that it is filed under. Otherwise rows that came
in between, or projects that the reader has just lost or gained without any event, would be filed under a key that
others share.
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from django_pm.cache.local import LocalStore
from django_pm.cache.shared import LEASE_SECONDS, SharedStore
from django_pm.measures import ANSWERS

TRIES = 3
"""How often to begin anew when the versions have changed while somebody else made the answer."""

Vector = list[tuple[Any, Any]]
"""Projects and their versions, by ascending key."""


class Outcome(StrEnum):
    """Where an answer came from."""

    UNCHANGED = "unchanged"
    LOCAL = "local"
    SHARED = "shared"
    MADE = "made"
    BYPASS = "bypass"


class Answer(NamedTuple):
    """Its bytes, the tag that names them (empty where they are not to be known again), and where they came from."""

    body: bytes
    tag: str
    outcome: Outcome


class Reading(Protocol):
    """What the caller can do about one question."""

    def vector(self) -> Vector | None:
        """The versions of all projects that the answer can show; None or empty where it cannot be kept."""

    def snapshot(self) -> AbstractContextManager[None]:
        """Within it, ``vector`` and ``make`` see the same state."""

    def make(self) -> bytes:
        """The answer as it is now. It may raise what it likes, which the asker gets."""


class Answers:
    """What is kept, here and for all processes."""

    def __init__(self, local: LocalStore, shared: SharedStore) -> None:
        self.local = local
        self.shared = shared
        self.counts: Counter[Outcome] = Counter()
        """How often each has been, in this process."""
        self._flights: dict[str, threading.Event] = {}
        self._lock = threading.Lock()

    def find(self, question: str, reading: Reading, is_known: Callable[[str], bool]) -> Answer:
        """The answer to ``question``, which holds all that decides about it but the state of the projects.

        ``is_known`` says of a tag whether the asker has its bytes already; then nothing more is read.
        """
        found = self._find(question, reading, is_known)
        ANSWERS.note(1, found.outcome.value)
        with self._lock:
            self.counts[found.outcome] += 1
        return found

    def _find(self, question: str, reading: Reading, is_known: Callable[[str], bool]) -> Answer:
        for _again in range(TRIES):
            vector = reading.vector()
            if not vector:
                break
            tag = tag_of(question, vector)
            if is_known(tag):
                return Answer(b"", tag, Outcome.UNCHANGED)
            if (body := self.local.get(tag)) is not None:
                return Answer(body, tag, Outcome.LOCAL)
            if (found := self._shared_or_made(tag, question, reading)) is not None:
                return found
        return Answer(reading.make(), "", Outcome.BYPASS)

    def _shared_or_made(self, tag: str, question: str, reading: Reading) -> Answer | None:
        """None if somebody else was at it, and has not left it under this tag: ask for the versions again."""
        with self._alone(tag) as is_alone:
            if not is_alone:
                body = self.local.get(tag)
                return None if body is None else Answer(body, tag, Outcome.LOCAL)
            if (body := self.shared.get(tag)) is None:
                if self.shared.begin(tag):
                    try:
                        return self._made(question, reading)
                    finally:
                        self.shared.end(tag)
                body = self.shared.await_other(tag)
            if body is None:
                return None
            self.local.put(tag, body)
            return Answer(body, tag, Outcome.SHARED)

    @contextmanager
    def _alone(self, tag: str) -> Iterator[bool]:
        """Whether nobody else in this process is at it; else, they have ended by now."""
        with self._lock:
            flight = self._flights.get(tag)
            if is_alone := flight is None:
                flight = self._flights[tag] = threading.Event()
        if not is_alone:
            flight.wait(2 * LEASE_SECONDS)
            yield False
            return
        try:
            yield True
        finally:
            with self._lock:
                del self._flights[tag]
            flight.set()

    def _made(self, question: str, reading: Reading) -> Answer:
        with reading.snapshot():
            vector = reading.vector()
            body = reading.make()
        if not vector:
            return Answer(body, "", Outcome.BYPASS)
        tag = tag_of(question, vector)
        self.local.put(tag, body)
        self.shared.put(tag, body)
        return Answer(body, tag, Outcome.MADE)


def tag_of(question: str, vector: Vector) -> str:
    """The name of the answer to ``question`` while the projects have these versions."""
    digest = hashlib.blake2b(f"{len(question)}:{question}".encode(), digest_size=20)
    for project, version in vector:
        digest.update(f"\n{project}:{version.epoch}:{version.number}".encode())
    return digest.hexdigest()
