"""The breaker: a server that fails or is slow is left alone, tried by one caller at a time, and taken back."""

import itertools
import logging
import random
import threading
from contextlib import suppress

import pytest

from django_pm.cache import breaker as module
from django_pm.cache.breaker import REST_SECONDS, SLOW_CALLS, SLOW_SECONDS, Breaker, breaker_of

PATIENCE = 10


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class AbortedError(BaseException):
    """As of a worker that is told to end, or a green thread whose time is up."""


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def breaker(clock):
    return Breaker("default", clock=clock)


def fail():
    raise ConnectionError("refused")


def abort():
    raise AbortedError


def takes(clock, seconds, then=lambda: "found"):
    def work():
        clock.now += seconds
        return then()

    return work


def is_asked(breaker):
    """Whether a caller gets through now, and well."""
    return breaker.call(lambda: "found", "otherwise") == "found"


def test_what_works_is_handed_on(breaker):
    assert [breaker.call(lambda value=value: value, "otherwise") for value in (1, None, "")] == [1, None, ""]
    assert not breaker.is_resting


def test_one_failure_is_enough(breaker, clock):
    assert breaker.call(fail, "otherwise") == "otherwise"
    assert breaker.is_resting
    assert not is_asked(breaker)
    clock.now += REST_SECONDS - 0.01
    assert not is_asked(breaker)
    clock.now += 0.01
    assert is_asked(breaker)
    assert is_asked(breaker)
    assert not breaker.is_resting


def test_a_trial_that_fails_makes_it_rest_as_long_again(breaker, clock):
    breaker.call(fail, None)
    for _ in range(3):
        clock.now += REST_SECONDS
        assert breaker.call(fail, "otherwise") == "otherwise"
        clock.now += REST_SECONDS - 0.01
        assert not is_asked(breaker)
        clock.now += 0.01
    assert is_asked(breaker)


def test_it_is_told_once_when_it_begins_to_rest_and_once_when_it_is_back(breaker, clock, caplog):
    caplog.set_level(logging.INFO, "django_pm.cache.breaker")
    for _ in range(3):
        breaker.call(fail, None)
        clock.now += REST_SECONDS
    is_asked(breaker)
    is_asked(breaker)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "ConnectionError: refused" in caplog.text


def test_slow_calls_in_a_row_count_as_a_failure(breaker, clock):
    for _ in range(SLOW_CALLS - 1):
        assert breaker.call(takes(clock, SLOW_SECONDS * 2), None) == "found"
    assert not breaker.is_resting
    assert breaker.call(takes(clock, SLOW_SECONDS * 2), None) == "found"  # what it gave is good all the same
    assert breaker.is_resting


def test_calls_that_are_slow_together_count_as_one(breaker, clock):
    """A pause of our own process, for lack of a processor say, makes all calls slow that are on their way."""
    for _ in range(SLOW_CALLS - 1):
        together = threading.Barrier(9)

        def wait(together=together):
            together.wait(PATIENCE)  # all have begun
            together.wait(PATIENCE)  # and it is later

        threads = [threading.Thread(target=breaker.call, args=(wait, None)) for _ in range(8)]
        for thread in threads:
            thread.start()
        together.wait(PATIENCE)
        clock.now += 2 * SLOW_SECONDS
        together.wait(PATIENCE)
        for thread in threads:
            thread.join(PATIENCE)
        assert not breaker.is_resting
    breaker.call(takes(clock, SLOW_SECONDS * 2), None)
    assert breaker.is_resting


def test_a_fast_call_between_slow_ones_forgives(breaker, clock):
    for _ in range(5):
        breaker.call(takes(clock, SLOW_SECONDS * 2), None)
        is_asked(breaker)
    assert not breaker.is_resting


def test_a_slow_trial_does_not_end_the_rest(breaker, clock):
    breaker.call(fail, None)
    clock.now += REST_SECONDS
    assert breaker.call(takes(clock, SLOW_SECONDS * 2), None) == "found"
    assert breaker.is_resting


class TestTrials:
    """However a trial ends, or does not, there is another one."""

    @pytest.fixture(autouse=True)
    def resting(self, breaker, clock):
        breaker.call(fail, None)
        clock.now += REST_SECONDS

    def test_only_one_caller_tries(self, breaker):
        inside = []
        assert breaker.call(lambda: inside.append(is_asked(breaker)) or "found", None) == "found"
        assert inside == [False]

    def test_an_abort(self, breaker, clock):
        with pytest.raises(AbortedError):
            breaker.call(abort, None)
        clock.now += REST_SECONDS
        assert is_asked(breaker)

    def test_an_abort_before_and_after_the_call(self, breaker, clock, monkeypatch):
        """As a signal or a green thread's timeout may come anywhere: at each reading of the clock, say."""
        for at, work in itertools.product(range(1, 8), [fail, lambda: "found", takes(clock, 2 * SLOW_SECONDS)]):
            count = 0

            def aborting():
                nonlocal count
                count += 1
                if count == at:  # noqa: B023
                    raise AbortedError
                return clock.now

            breaker._clock = aborting
            with suppress(AbortedError):
                breaker.call(work, None)
            breaker._clock = clock
            clock.now += REST_SECONDS
            assert is_asked(breaker), at
            breaker.call(fail, None)
            clock.now += REST_SECONDS

    def test_one_that_never_ends(self, breaker, clock):
        """A client without timeouts may wait for ever for a server that hangs."""
        hangs, goes_on = threading.Event(), threading.Event()

        def hang():
            hangs.set()
            goes_on.wait(PATIENCE)
            fail()

        stuck = threading.Thread(target=breaker.call, args=(hang, None))
        stuck.start()
        assert hangs.wait(PATIENCE)
        assert not is_asked(breaker)
        clock.now += REST_SECONDS
        assert is_asked(breaker)
        goes_on.set()
        stuck.join(PATIENCE)

    def test_an_abort_elsewhere_lets_nobody_else_try(self, breaker, clock):
        """Somebody who began before the rest is aborted during the trial."""
        inside = []

        def trial():
            with pytest.raises(AbortedError):
                breaker.call(abort, None) if breaker._may_call() else abort()
            inside.append(is_asked(breaker))
            return "found"

        assert breaker.call(trial, None) == "found"
        assert inside == [False]


def test_many_threads_at_a_server_that_comes_and_goes(clock):
    """Whatever they meet, nobody sees an error, and afterwards it works."""
    breaker = Breaker("default")
    breaker._clock = clock
    ends = threading.Event()
    wrong = []

    def visit(seed):
        lots = random.Random(seed)  # noqa: S311
        while not ends.is_set():
            work = lots.choice([fail, lambda: "found", lambda: "found", abort])
            try:
                found = breaker.call(work, "otherwise")
            except AbortedError:
                continue
            if found not in {"found", "otherwise"}:
                wrong.append(found)
            clock.now += lots.random()

    threads = [threading.Thread(target=visit, args=(seed,)) for seed in range(16)]
    for thread in threads:
        thread.start()
    ends.wait(1)
    ends.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert not wrong
    clock.now += REST_SECONDS
    assert is_asked(breaker)
    assert is_asked(breaker)
    assert not breaker.is_resting


def test_while_it_rests_one_of_many_threads_tries(clock):
    breaker = Breaker("default", clock=clock)
    breaker.call(fail, None)
    clock.now += REST_SECONDS
    together = threading.Barrier(16)
    tried = []

    def visit():
        together.wait(PATIENCE)
        breaker.call(lambda: tried.append(1) or fail(), None)

    threads = [threading.Thread(target=visit) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(tried) == 1


def test_an_alias_has_one_breaker_until_the_caches_change(settings):
    breaker = breaker_of("default")
    assert breaker_of("default") is breaker
    assert breaker_of("other") is not breaker
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
    assert breaker_of("default") is not breaker
    assert module._breakers.keys() == {"default"}
