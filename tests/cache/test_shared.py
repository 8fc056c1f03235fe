"""What processes have in common: whatever the site's cache does, an answer is found or it is not; nothing raises."""

import threading
import time

import pytest
from django.core.cache import caches
from django.core.cache.backends.locmem import LocMemCache

from django_pm.cache.answers import Answers, Outcome
from django_pm.cache.breaker import breaker_of
from django_pm.cache.local import LocalStore
from django_pm.cache.shared import KEPT_FOR, LEASE_SECONDS, MOST_BYTES, PREFIX, SharedStore
from django_pm.events.feed import Version

HERE = "tests.cache.test_shared"
LOCMEM = "django.core.cache.backends.locmem.LocMemCache"
DUMMY = "django.core.cache.backends.dummy.DummyCache"


class RecordingCache(LocMemCache):
    """One that says what was put, and for how long."""

    said = []

    def set(self, key, value, timeout=None, version=None):
        self.said.append((key, value, timeout))
        super().set(key, value, timeout, version)

    def add(self, key, value, timeout=None, version=None):
        self.said.append((key, value, timeout))
        return super().add(key, value, timeout, version)


class OddCache(LocMemCache):
    """One that answers as its subclass says, whatever it is asked."""

    def odd(self):
        raise NotImplementedError

    def get(self, *args, **kwargs):
        return self.odd()

    set = add = delete = get_many = incr = decr = get


class RaisingCache(OddCache):
    def odd(self):
        raise ConnectionError("refused")


class SilentCache(OddCache):
    """As django-redis with IGNORE_EXCEPTIONS and no server."""

    def odd(self):
        return None


class GarbageCache(OddCache):
    value = "a text"

    def odd(self):
        return self.value


class AbortingCache(OddCache):
    def odd(self):
        raise SystemExit


@pytest.fixture
def cached_in(settings):
    def use(backend):
        settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": "test_shared"}}
        caches["default"].clear()
        return SharedStore()

    return use


def odd(name):
    return f"{HERE}.{name}"


class Reading:
    """A list of one project, counted how often it is made."""

    def __init__(self, *, body=b"[]"):
        self.made = 0
        self.body = body

    def vector(self):
        return [(1, Version("e", 1))]

    def snapshot(self):
        return threading.Lock()  # some context

    def make(self):
        self.made += 1
        return self.body


def ask(answers, reading):
    return answers.find("question", reading, lambda tag: False)


@pytest.mark.parametrize("backend", [LOCMEM, DUMMY, *map(odd, ["RaisingCache", "SilentCache", "GarbageCache"])])
def test_whatever_it_does_the_answer_is_right_and_kept_in_the_process(cached_in, backend):
    answers = Answers(LocalStore(), cached_in(backend))
    reading = Reading(body=b"[1]")
    began = time.monotonic()
    found = [ask(answers, reading) for _ in range(3)]
    assert {answer.body for answer in found} == {b"[1]"}
    assert [answer.outcome for answer in found] == [Outcome.MADE, Outcome.LOCAL, Outcome.LOCAL]
    assert reading.made == 1
    assert time.monotonic() - began < 0.5


@pytest.mark.parametrize(
    "value", ["a text", 7, True, 0, ["list"], {"dict": 1}, bytearray(b"[1]"), object(), {PREFIX + "k": "text"}]
)
def test_garbage_is_not_an_answer(cached_in, monkeypatch, value):
    store = cached_in(odd("GarbageCache"))
    monkeypatch.setattr(GarbageCache, "value", value)
    assert store.get("k") is None
    assert store.await_other("k") is None
    store.put("k", b"[]")
    store.end("k")


@pytest.mark.parametrize("name", ["RaisingCache", "SilentCache", "GarbageCache"])
def test_nobody_waits_where_nobody_can_say_who_makes_it(cached_in, name):
    store = cached_in(odd(name))
    assert store.begin("k")
    assert store.await_other("k") is None


def test_a_cache_that_raises_is_left_alone(cached_in):
    store = cached_in(odd("RaisingCache"))
    assert store.get("k") is None
    assert breaker_of("default").is_resting


def test_an_abort_is_the_callers(cached_in):
    store = cached_in(odd("AbortingCache"))
    with pytest.raises(SystemExit):
        store.get("k")
    assert not breaker_of("default").is_resting


def test_an_abort_in_the_middle_lets_go_of_the_flight(cached_in):
    answers = Answers(LocalStore(), cached_in(odd("AbortingCache")))
    for _ in range(2):
        with pytest.raises(SystemExit):
            ask(answers, Reading())
    assert not answers._flights


def test_two_processes_share_it(cached_in):
    shared, reading = cached_in(LOCMEM), Reading(body=b"[1]")
    found = [ask(Answers(LocalStore(), shared), reading) for _ in range(2)]
    assert [answer.outcome for answer in found] == [Outcome.MADE, Outcome.SHARED]
    assert {answer.body for answer in found} == {b"[1]"}


def test_everything_that_is_put_ends_by_itself(cached_in, monkeypatch):
    monkeypatch.setattr(RecordingCache, "said", [])
    ask(Answers(LocalStore(), cached_in(odd("RecordingCache"))), Reading(body=b"[1]"))
    lease, body = RecordingCache.said
    assert (lease[0], lease[2]) == (f"{body[0]}:lease", LEASE_SECONDS)
    assert body[1:] == (b"[1]", KEPT_FOR)
    assert body[0].startswith(PREFIX)


def test_the_lease_is_given_back(cached_in):
    shared = cached_in(LOCMEM)
    ask(Answers(LocalStore(), shared), Reading())
    assert [key for key in caches["default"]._cache if "lease" in key] == []


def test_what_is_too_large_for_the_others_is_kept_here(cached_in):
    """Memcached refuses more, and to hand it to Redis is slow enough for the breaker to take it for trouble."""
    answers = Answers(LocalStore(), cached_in(LOCMEM))
    reading = Reading(body=b"x" * (MOST_BYTES + 1))
    assert [ask(answers, reading).outcome for _ in range(2)] == [Outcome.MADE, Outcome.LOCAL]
    assert not caches["default"]._cache


def test_one_lease_at_a_time(cached_in):
    store = cached_in(LOCMEM)
    assert store.begin("k")
    assert not store.begin("k")
    assert store.begin("other")
    store.end("k")
    assert store.begin("k")


def test_whoever_waits_gets_the_answer_as_soon_as_it_is_there(cached_in):
    store = cached_in(LOCMEM)
    store.begin("k")
    timer = threading.Timer(0.2, store.put, ("k", b"[1]"))
    timer.start()
    began = time.monotonic()
    assert store.await_other("k") == b"[1]"
    assert time.monotonic() - began < 1
    timer.join()


def test_whoever_waits_stops_when_the_other_has_given_up(cached_in):
    store = cached_in(LOCMEM)
    store.begin("k")
    timer = threading.Timer(0.2, store.end, ("k",))
    timer.start()
    began = time.monotonic()
    assert store.await_other("k") is None
    assert time.monotonic() - began < 1
    timer.join()


def test_nobody_waits_longer_than_a_lease(cached_in):
    store = cached_in(LOCMEM)
    caches["default"].set(f"{PREFIX}k:lease", 1, 60)
    began = time.monotonic()
    assert store.await_other("k") is None
    assert LEASE_SECONDS <= time.monotonic() - began < LEASE_SECONDS + 0.5


def test_without_a_cache_nothing_is_asked(settings):
    settings.DJANGO_PM = {"RESPONSE_CACHE": ""}
    store = SharedStore()
    store.put("k", b"[]")
    assert store.get("k") is None
    assert store.begin("k")
    assert store.begin("k")
