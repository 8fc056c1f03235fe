"""Actors that take turns, by lot and always the same for the same seed.

Each is a thread that runs until it comes to a point, where it hands the baton to another. A process that is killed is
never continued: what its threads still do on their way out (`finally`) reaches nothing but the memory of that process,
which nobody looks at again, for every operation on anything else is a point, and raises at once.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

TICK = 0.001
"""Seconds that a step takes."""

PATIENCE = 60


class KilledError(BaseException):
    """Nothing that this actor's process does matters any more."""


class AbortedError(BaseException):
    """This thread alone is told to end, as by a green thread's timeout; its process lives on."""


class OverError(BaseException):
    """The run is over."""


class Actor:
    def __init__(self, name: str, work: Callable[[Actor], None]) -> None:
        self.name, self.work = name, work
        self.baton = threading.Lock()
        self.baton.acquire()
        self.wakes_at = 0.0
        self.is_ready: Callable[[], bool] | None = None
        self.is_dead = False
        self.process: Any = None
        self.asks_for: int | None = None
        """The user whose request this is."""


class Scheduler:
    """One actor runs at a time, until it comes to a point."""

    def __init__(self, seed: Any, steps: int) -> None:
        self.lots = random.Random(seed)  # noqa: S311
        self.now = 0.0
        self.steps = 0
        self.actors: list[Actor] = []
        self.current: Actor
        self.error: BaseException | None = None
        self.trouble: Callable[[], None] = lambda: None
        self._most = steps
        self._is_over = False
        self._ended = threading.Event()

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.point(self.now + seconds)

    def point(self, until: float = 0.0, is_ready: Callable[[], bool] | None = None) -> None:
        """Others may go on here; this actor does again at the time `until`, or as soon as `is_ready`."""
        me = self.current
        if me.is_dead:
            raise KilledError
        if self._is_over:
            raise OverError
        self.steps += 1
        self.now += TICK
        self._is_over = self.steps >= self._most
        self.trouble()
        me.wakes_at, me.is_ready = until, is_ready
        self._hand_over(me)
        if me.is_dead:
            raise KilledError
        if self._is_over:
            raise OverError

    def run(self) -> None:
        threads = [threading.Thread(target=self._act, args=(actor,), daemon=True) for actor in self.actors]
        for thread in threads:
            thread.start()
        self.current = self._next()
        self.current.baton.release()
        assert self._ended.wait(PATIENCE * max(1, self._most // 20_000)), f"stuck at step {self.steps}"
        for thread in threads:
            thread.join(PATIENCE)
        if self.error is not None:
            raise self.error

    def _act(self, actor: Actor) -> None:
        actor.baton.acquire()
        try:
            with suppress(OverError):
                actor.work(actor)
        except BaseException as error:  # a test's own failure included
            self.error = self.error or error
            self._is_over = True
        self.actors.remove(actor)
        if self.actors:
            self._hand_over(None)
        else:
            self._ended.set()

    def _hand_over(self, me: Actor | None) -> None:
        other = self._next()
        if other is me:
            return
        self.current = other
        other.baton.release()
        if me is not None:
            me.baton.acquire()

    def _next(self) -> Actor:
        if self._is_over:
            return self.actors[0]
        ready = [actor for actor in self.actors if self._may_go_on(actor)]
        if not ready:
            self.now = min(actor.wakes_at for actor in self.actors)
            ready = [actor for actor in self.actors if self._may_go_on(actor)]
        return ready[int(self.lots.random() * len(ready))]

    def _may_go_on(self, actor: Actor) -> bool:
        return actor.wakes_at <= self.now or actor.is_dead or (actor.is_ready is not None and actor.is_ready())


class Flight:
    """A `threading.Event` whose waiting is seen by the scheduler."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._is_set = False

    def set(self) -> None:
        self._is_set = True

    def wait(self, timeout: float) -> bool:
        self._scheduler.point(self._scheduler.now + timeout, lambda: self._is_set)
        return self._is_set
