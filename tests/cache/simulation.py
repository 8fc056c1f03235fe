"""A site in miniature, in which everything may happen between any two steps, and always the same for the same seed.

The walk of an answer (`cache/answers.py`), the process's store, the shared store and the breaker are the real ones.
The database, the server of the cache, the clock and whatever threads wait for are played: each of their operations is
a point where the scheduler hands the baton to another actor, by lot, and where things go wrong, by lot as well.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from django_pm.cache import answers as answers_module
from django_pm.cache import breaker as breaker_module
from django_pm.cache import shared as shared_module
from django_pm.cache.answers import Answers, Outcome
from django_pm.cache.breaker import Breaker
from django_pm.cache.local import LocalStore
from django_pm.cache.shared import SharedStore
from django_pm.events.feed import Version
from tests.cache.servers import Line, MemoryServer
from tests.cache.turns import AbortedError, Actor, Flight, KilledError, Scheduler

PROJECTS = range(1, 5)
USERS = range(6)
PROCESSES, THREADS, WRITERS = 3, 3, 4
QUESTIONS = ["all", "all", "all", "all", "even", "one:1", "one:2", "bad"]
STATES_KEPT = 5_000


class BadQueryError(Exception):
    """As of a query that is answered with 400."""


class IncoherentError(Exception):
    """An answer that should not have been given."""


# The database


@dataclass(frozen=True)
class State:
    """What is committed: projects with their versions and contents, and who sees them."""

    rows: dict[int, tuple[str, int, int]]
    """Epoch, number, content."""
    members: dict[int, frozenset[int]]
    superusers: frozenset[int] = frozenset()

    def seen(self, user: int, is_superuser: bool) -> list[int]:
        return sorted(self.rows) if is_superuser else sorted(self.members[user] & self.rows.keys())


def rendered(state: State, user: int, is_superuser: bool, question: str) -> bytes | None:
    """The right answer in this state; None for one that is 400."""
    seen = state.seen(user, is_superuser)
    if question == "bad":
        return None
    if question.startswith("one:"):
        if (project := int(question[4:])) not in seen:
            return None
        seen = [project]
    rows = [(project, state.rows[project][2]) for project in seen]
    shown = [f"{project}={content}" for project, content in rows if question != "even" or content % 2 == 0]
    return f"{question};{','.join(shown)}".encode()


class Reading:
    """One request at the database: see `answers.Reading`."""

    def __init__(self, world: World, user: int, question: str) -> None:
        self.world, self.user, self.question = world, user, question
        world.scheduler.point()
        self.is_superuser = user in world.state.superusers  # what authentication has read
        self._is_in_snapshot = False
        self._pinned: State | None = None

    def vector(self) -> Any:
        state = self._state()
        if self.world.lots.random() < 0.005:  # a project without a stream, too many projects
            return None
        seen = state.seen(self.user, self.is_superuser)
        if self.question.startswith("one:"):
            seen = [project for project in seen if project == int(self.question[4:])]
        return [(project, Version(*state.rows[project][:2])) for project in seen]

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        self._is_in_snapshot, self._pinned = True, None
        try:
            yield
        finally:
            self._is_in_snapshot = False

    def make(self) -> bytes:
        body = rendered(self._state(), self.user, self.is_superuser, self.question)
        lots = self.world.lots
        if lots.random() < 0.01:
            self.world.scheduler.sleep(lots.uniform(0, 5))  # longer than a lease, perhaps
        if body is None:
            raise BadQueryError
        return body

    def _state(self) -> State:
        self.world.scheduler.point()
        state = self.world.state
        if self._is_in_snapshot:
            state = self._pinned = self._pinned or state
        self.world.scheduler.point()
        return state


# The site


class SteppingStore(LocalStore):
    """The store of a process, with points before and after."""

    def __init__(self, most_bytes: int, scheduler: Scheduler) -> None:
        super().__init__(most_bytes)
        self._scheduler = scheduler

    def get(self, key: str) -> bytes | None:
        self._scheduler.point()
        return super().get(key)

    def put(self, key: str, body: bytes) -> None:
        super().put(key, body)
        self._scheduler.point()


class Process:
    """One life of a server process."""

    def __init__(self, world: World, number: int, life: int) -> None:
        self.alias = f"simulated {number}.{life}"
        # One that keeps everything, one that keeps a little, one that keeps nothing.
        most = [1 << 20, 4_000, 500][number]
        self.answers: Answers = world.kind(SteppingStore(most, world.scheduler), SharedStore())
        breaker_module._breakers[self.alias] = Breaker(self.alias, clock=world.scheduler.clock)


@dataclass
class World:
    """`run` plays so many steps and raises `IncoherentError` at the first answer that should not have been given."""

    seed: Any
    steps: int
    server_of: Callable[[Scheduler], Any] = MemoryServer
    kind: type[Answers] = Answers
    reading: type[Reading] = Reading
    ledger: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.scheduler = Scheduler(self.seed, self.steps)
        self.lots = self.scheduler.lots
        self.server = self.server_of(self.scheduler)
        self.line = Line(self.server, self.scheduler)
        self._contents = 0
        rows = {project: ("e0", 0, self._content()) for project in PROJECTS}
        members = {user: frozenset(self.lots.sample(PROJECTS, 2 + user % 2)) for user in USERS}
        members[1] = members[0]
        self.state = State(rows, members, frozenset({0}))
        self.states = [self.state]
        self.first = 0
        """Which of all states `states` begins with."""
        self.known: dict[tuple[int, str], tuple[str, bytes]] = {}
        """What the users' browsers keep."""
        self.lives: Counter[int] = Counter()

    @property
    def number(self) -> int:
        """Which state is the present one."""
        return self.first + len(self.states) - 1

    def run(self) -> None:
        before = set(breaker_module._breakers)
        self.processes = [Process(self, number, 0) for number in range(PROCESSES)]
        for number in range(PROCESSES):
            for _ in range(THREADS):
                actor = Actor(f"reader of {number}", lambda actor, number=number: self._read(actor, number))
                self.scheduler.actors.append(actor)
        for number in range(WRITERS):
            self.scheduler.actors.append(Actor(f"writer {number}", self._write))
        self.scheduler.trouble = self._trouble
        try:
            with self._played():
                self.scheduler.run()
        finally:
            self.ledger["steps"] = self.scheduler.steps
            for alias in set(breaker_module._breakers) - before:
                del breaker_module._breakers[alias]

    @contextmanager
    def _played(self) -> Iterator[None]:
        """What the code under test takes for time, threads and the site's caches."""
        world, scheduler = self, self.scheduler

        class Settings:
            @property
            def RESPONSE_CACHE(self) -> str:
                return scheduler.current.process.alias  # type: ignore[union-attr]

        class Caches:
            def __getitem__(self, alias: str) -> Line:
                return world.line

        threads = SimpleNamespace(Event=lambda: Flight(scheduler), Lock=threading.Lock)
        time = SimpleNamespace(monotonic=scheduler.clock, sleep=scheduler.sleep)
        with ExitStack() as stack:
            stack.enter_context(patch.object(answers_module, "threading", threads))
            stack.enter_context(patch.object(shared_module, "time", time))
            stack.enter_context(patch.object(shared_module, "app_settings", Settings()))
            stack.enter_context(patch.object(shared_module, "caches", Caches()))
            stack.enter_context(patch.object(breaker_module.logger, "disabled", True))
            yield

    # Readers

    def _read(self, actor: Actor, number: int) -> None:
        while True:
            actor.process = self.processes[number]
            actor.is_dead = False
            with suppress(KilledError, AbortedError):
                self._request(actor)

    def _request(self, actor: Actor) -> None:
        user, question = self.lots.choice(USERS), self.lots.choice(QUESTIONS)
        actor.asks_for = user
        since = self.number
        tag, kept = self.known.get((user, question), ("", b""))
        sends_tag = self.lots.random() < 0.3
        assert actor.process is not None
        reading = self.reading(self, user, question)
        body: bytes | None = None
        try:
            found = actor.process.answers.find(question, reading, lambda asked: sends_tag and asked == tag)
        except BadQueryError:
            outcome = "400"
        else:
            outcome = found.outcome.value
            body = kept if found.outcome is Outcome.UNCHANGED else found.body
            if found.tag and not actor.is_dead:
                self.known[user, question] = (found.tag, body)
        if actor.is_dead:
            raise KilledError
        self._check(user, question, body, since, outcome)
        self.ledger[f"answers {outcome}"] += 1

    def _check(self, user: int, question: str, body: bytes | None, since: int, outcome: str) -> None:
        states = self.states[since - self.first :]
        flags = {user in state.superusers for state in states}
        if any(rendered(state, user, flag, question) == body for state in reversed(states) for flag in flags):
            return
        shown = [pair.split("=") for pair in (body or b";").decode().partition(";")[2].split(",") if pair]
        seen = {project for state in states for flag in flags for project in state.seen(user, flag)}
        newest = {(str(p), str(row[2])) for state in states for p, row in state.rows.items()}
        kind = "wrong"
        if any((project, content) not in newest for project, content in shown):
            kind = "stale"
        if any(int(project) not in seen for project, _content in shown):
            kind = "leak"
        self.ledger[f"{kind} reads"] += 1
        said = f"{kind}, {outcome}: user {user} asked {question!r}, got {body!r} at step {self.scheduler.steps}"
        raise IncoherentError(
            f"{said} (seed {self.seed}); right: {rendered(states[-1], user, True in flags, question)!r}"
        )

    # Writers

    def _content(self) -> int:
        self._contents += 1
        return self._contents

    def _write(self, actor: Actor) -> None:
        while True:
            actor.is_dead = False
            with suppress(KilledError):
                self.scheduler.sleep(self.lots.uniform(0, self.lots.choice([0.02, 0.2, 1])))
                self._transaction()

    def _transaction(self) -> None:
        kind = self.lots.choices(
            [self._edit, self._edit_and_say, self._say_nothing, self._promote, self._restore, self._delete],
            [50, 10, 22, 22, 3, 5],
        )[0]
        for _ in range(self.lots.randrange(4)):
            self.scheduler.point()
        if self.lots.random() < 0.15:
            self.ledger["rolled back"] += 1
            return
        self.state = kind(self.state)
        self.states.append(self.state)
        if len(self.states) > 2 * STATES_KEPT:
            del self.states[:STATES_KEPT]
            self.first += STATES_KEPT
        self.ledger[f"writes: {kind.__name__.strip('_').replace('_', ' ')}"] += 1
        self.scheduler.point()

    def _edited(self, state: State, projects: list[int]) -> State:
        rows = dict(state.rows)
        for project in projects:
            if project in rows:
                epoch, number, _content = rows[project]
                rows[project] = (epoch, number + self.lots.randint(1, 3), self._content())
        return replace(state, rows=rows)

    def _edit(self, state: State) -> State:
        return self._edited(state, self.lots.sample(PROJECTS, self.lots.randint(1, 3)))

    def _somebody(self) -> int:
        """Rather somebody whose request is on its way."""
        asking = [actor.asks_for for actor in self.scheduler.actors if actor.asks_for is not None]
        return self.lots.choice(asking) if asking and self.lots.random() < 0.7 else self.lots.choice(USERS)

    def _someone_else_sees(self, state: State) -> tuple[State, int]:
        user, project = self._somebody(), self.lots.choice(PROJECTS)
        return replace(state, members={**state.members, user: state.members[user] ^ {project}}), project

    def _edit_and_say(self, state: State) -> State:
        """A member comes or goes, as our own code has it."""
        state, project = self._someone_else_sees(state)
        return self._edited(state, [project])

    def _say_nothing(self, state: State) -> State:
        """A policy of the site's comes to another conclusion."""
        return self._someone_else_sees(state)[0]

    def _promote(self, state: State) -> State:
        return replace(state, superusers=state.superusers ^ {self._somebody() & ~1})

    def _restore(self, state: State) -> State:
        """From a backup, with numbers of that time, and `pm_epoch --rotate`."""
        old = self.lots.choice(self.states[-50:])
        rows = dict(state.rows)
        for project, (_epoch, number, _content) in old.rows.items():
            rows[project] = (f"e{self._content()}", number, self._content())
        return replace(state, rows=rows)

    def _delete(self, state: State) -> State:
        """A project goes, and the next time comes back: its stream goes on."""
        project = self.lots.choice(PROJECTS)
        rows = dict(state.rows)
        if project in rows:
            self._gone[project] = rows.pop(project)
        else:
            epoch, number, _content = self._gone[project]
            rows[project] = (epoch, number + 2, self._content())
        return replace(state, rows=rows)

    _gone: dict[int, tuple[str, int, int]] = field(default_factory=dict)

    # Trouble

    def _trouble(self) -> None:
        lot = self.lots.random()
        if lot > 0.04:
            return
        if lot < 0.02:
            if keys := self.server.keys():
                self.server.delete(self.lots.choice(keys))
                self.ledger["evicted"] += 1
        elif lot < 0.025:
            for key in list(self.server.keys()):
                if key.endswith(":lease"):
                    self.server.delete(key)
                    self.ledger["leases ended early"] += 1
        elif lot < 0.0255:
            self.server.clear()
            self.ledger["flushed"] += 1
        elif lot < 0.0265:
            self.server.save()
        elif lot < 0.027:
            self.server.load()
            self.ledger["old data restored"] += 1
        elif lot < 0.0275:
            self.line.mode = self.lots.choice(Line.MODES)
            self.line.until = self.scheduler.now + self.lots.uniform(0, 0.5)
            self.ledger[f"cache {self.line.mode}"] += 1
        elif lot < 0.0285:
            self._kill(self.lots.randrange(PROCESSES))
        elif lot < 0.029:
            self.lots.choice([actor for actor in self.scheduler.actors if actor.process is None]).is_dead = True
            self.ledger["writers killed"] += 1
        elif lot < 0.0295 and self.scheduler.current.process is not None:
            self.ledger["threads aborted"] += 1
            raise AbortedError

    def _kill(self, number: int) -> None:
        killed = self.processes[number]
        self.lives[number] += 1
        self.processes[number] = Process(self, number, self.lives[number])
        for actor in self.scheduler.actors:
            if actor.process is killed:
                actor.is_dead = True
        breaker_module._breakers.pop(killed.alias, None)
        self.ledger["processes killed"] += 1

    def __str__(self) -> str:
        for what in ("stale reads", "leak reads", "wrong reads"):
            self.ledger.setdefault(what, 0)
        return "\n".join(f"{number:>9,}  {what}" for what, number in sorted(self.ledger.items()))
