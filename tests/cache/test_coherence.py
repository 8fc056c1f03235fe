"""No answer that is kept is ever an old one or somebody else's, whatever happens between any two steps.

The walk, the stores and the breaker are the real ones, in the miniature of `simulation.py`: three processes with three
threads each answer eight users, four writers commit, roll back, restore backups and let people in and out with and
without an event; entries are evicted, leases end early, the cache refuses, hangs, loses answers, comes back with old
data; threads are aborted and processes killed. Each answer is held against all states of the database between the
beginning and the end of its request: one of them it must be, for this user.

`PM_LONG_TESTS=1` makes it 1,000,000 steps instead of 20,000. `processes/test_coherence.py` has the same on a Redis.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from django_pm.cache import answers as answers_module
from django_pm.cache.answers import Answer, Answers, Outcome, tag_of
from tests.cache.simulation import IncoherentError, Reading, World
from tests.events.workers import LONG

STEPS = 1_000_000 if LONG else 20_000
STEPS_TO_FIND_A_FAULT = 100_000


def assert_it_was_a_test(world):
    """Everything happened that can happen."""
    print(f"\n{world}")  # noqa: T201 (the ledger)
    ledger = world.ledger
    happened = [f"answers {outcome.value}" for outcome in Outcome]
    happened += ["answers 400", "evicted", "leases ended early", "processes killed", "threads aborted"]
    happened += [f"writes: {kind}" for kind in ("edit", "edit and say", "say nothing", "promote")]
    assert [what for what in happened if not ledger[what]] == []
    assert [ledger[f"{kind} reads"] for kind in ("stale", "leak", "wrong")] == [0, 0, 0]


@pytest.mark.parametrize("seed", [1] if LONG else [1, 2, 3])
def test_no_answer_is_old_or_somebody_elses(seed):
    world = World(seed, STEPS)
    world.run()
    assert_it_was_a_test(world)


# The test is tested: what would be wrong is found


class RowsFirst(Answers):
    """The versions are read after the rows."""

    def _made(self, question, reading):
        body = reading.make()
        if not (vector := reading.vector()):
            return Answer(body, "", Outcome.BYPASS)
        return self._kept(tag_of(question, vector), body)

    def _kept(self, tag, body):
        self.local.put(tag, body)
        self.shared.put(tag, body)
        return Answer(body, tag, Outcome.MADE)


class WithoutSnapshot(RowsFirst):
    """The versions are read before the rows, but not in one snapshot with them: people come and go without an event."""

    def _made(self, question, reading):
        vector = reading.vector()
        body = reading.make()
        if not vector:
            return Answer(body, "", Outcome.BYPASS)
        return self._kept(tag_of(question, vector), body)


class UnderTheFirstTag(RowsFirst):
    """What a snapshot gave is filed under the versions that were read before it."""

    def _shared_or_made(self, tag, question, reading):
        self.tags = getattr(self, "tags", {})
        self.tags[id(reading)] = tag
        return super()._shared_or_made(tag, question, reading)

    def _made(self, question, reading):
        with reading.snapshot():
            vector = reading.vector()
            body = reading.make()
        return self._kept(self.tags[id(reading)], body) if vector else Answer(body, "", Outcome.BYPASS)


class Unversioned(Answers):
    """A list is kept until it ends by itself."""

    tag_of = staticmethod(lambda question, vector: tag_of(question, [(p, v._replace(number=0)) for p, v in vector]))


class BySum(Answers):
    """The key holds the sum of the versions."""

    @staticmethod
    def tag_of(question, vector):
        return f"{question} {sum(version.number for _project, version in vector)}"


class WithoutEpoch(Answers):
    tag_of = staticmethod(lambda question, vector: tag_of(question, [(p, v._replace(epoch="")) for p, v in vector]))


class WithoutProjects(Answers):
    tag_of = staticmethod(lambda question, vector: tag_of(question, [("", version) for _project, version in vector]))


class WithoutOneProject(Answers):
    tag_of = staticmethod(lambda question, vector: tag_of(question, vector[1:] or vector))


class WithoutQuestion(Answers):
    tag_of = staticmethod(lambda question, vector: tag_of("", vector))


class WithoutLast(Answers):
    """A common slip: the loop ends one project early."""

    tag_of = staticmethod(lambda question, vector: tag_of(question, vector[:-1] or vector))


class SightAskedTwice(Reading):
    """The versions are those of the projects that somebody sees now, the rows those of what they saw."""

    def vector(self):
        self.is_superuser = self.user in self.world.state.superusers
        found = super().vector()
        self.is_superuser = self.user in self.world.state.superusers
        return found


@contextmanager
def made_wrong(kind: type[Answers]) -> Iterator[None]:
    right = answers_module.tag_of
    answers_module.tag_of = getattr(kind, "tag_of", right)
    try:
        yield
    finally:
        answers_module.tag_of = right


WRONG = [
    RowsFirst,
    WithoutSnapshot,
    UnderTheFirstTag,
    Unversioned,
    BySum,
    WithoutEpoch,
    WithoutProjects,
    WithoutOneProject,
    WithoutLast,
    WithoutQuestion,
]


@pytest.mark.parametrize("kind", WRONG)
def test_it_would_find_a_fault(kind):
    world = World(1, STEPS_TO_FIND_A_FAULT, kind=kind)
    with made_wrong(kind), pytest.raises(IncoherentError) as found:
        world.run()
    print(f"\n{kind.__name__}: {found.value}")  # noqa: T201


def test_it_would_find_a_sight_that_is_asked_twice():
    with pytest.raises(IncoherentError) as found:
        World(1, STEPS_TO_FIND_A_FAULT, reading=SightAskedTwice).run()
    print(f"\n{found.value}")  # noqa: T201


def test_the_same_seed_plays_the_same():
    worlds = [World(7, 5_000) for _ in range(2)]
    for world in worlds:
        world.run()
    assert worlds[0].ledger == worlds[1].ledger
    assert worlds[0].state == worlds[1].state
