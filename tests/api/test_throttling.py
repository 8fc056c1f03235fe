"""Limits: exact however many requests meet, per person first, and never a reason to close the site."""

import time

import pytest
import time_machine
from django.core.cache import cache, caches
from django.core.cache.backends.locmem import LocMemCache
from rest_framework.settings import api_settings

from django_pm.cache.breaker import breaker_of
from tests.api.support import as_token, at_once
from tests.factories import make_token, make_user

pytestmark = pytest.mark.django_db

LOCAL = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "throttling"}


@pytest.fixture
def limits(settings):
    """`limits(THROTTLE_USER="3/min")`: the limits of the site, counted from nothing."""
    settings.CACHES = {"default": LOCAL}
    cache.clear()

    def set_limits(**keys):
        settings.DJANGO_PM = {"THROTTLE_USER": "", "THROTTLE_ANONYMOUS": "", **keys}

    yield set_limits
    cache.clear()


@pytest.fixture
def clock():
    """Time stands at the beginning of a minute, and moves when told."""
    with time_machine.travel(time.time() // 60 * 60, tick=False) as traveller:
        yield traveller


def codes(client, times, **headers):
    return [client.get("/projects/", **headers).status_code for _ in range(times)]


class TestUsers:
    @pytest.fixture(autouse=True)
    def three_a_minute(self, limits):
        limits(THROTTLE_USER="3/min")

    def test_so_many_and_no_more(self, api, clock):
        assert codes(api, 5) == [200, 200, 200, 429, 429]

    def test_each_user_has_a_limit_of_their_own(self, api, signed_in, clock):
        codes(api, 3)
        assert codes(signed_in(make_user()), 4) == [200, 200, 200, 429]

    def test_however_they_sign_in_and_from_wherever(self, api, owner, clock):
        codes(api, 2, REMOTE_ADDR="198.51.100.1")
        assert codes(as_token(make_token(owner)), 2, REMOTE_ADDR="198.51.100.2") == [200, 429]

    def test_the_answer_tells_when_to_come_back_and_that_is_true(self, api, clock):
        codes(api, 3)
        answer = api.get("/projects/")
        assert answer.status_code == 429
        assert set(answer.json()) == {"detail"}
        clock.shift(int(answer["Retry-After"]) - 2)
        assert codes(api, 1) == [429]
        clock.shift(2)
        assert codes(api, 1) == [200]

    def test_a_refused_request_does_not_count(self, api, clock):
        """Who hammers on is let in as early as who waits."""
        codes(api, 3)
        codes(api, 50)
        clock.shift(100)
        assert codes(api, 1) == [200]

    def test_the_last_window_fades_instead_of_ending(self, api, clock):
        """Else six could pass within a second, three on either side of the boundary."""
        clock.shift(59)
        assert codes(api, 3) == [200] * 3
        clock.shift(2)
        assert codes(api, 1) == [429]
        clock.shift(30)
        assert codes(api, 2) == [200, 429]

    @pytest.mark.parametrize("spread", [0.7, 5, 13])
    def test_no_minute_sees_many_more(self, api, clock, spread):
        """The estimate takes the last window for evenly spread; so it errs, but not by more than a request or so."""
        passed = []
        for _ in range(int(400 / spread)):
            if codes(api, 1) == [200]:
                passed.append(time.time())
            clock.shift(spread)
        busiest = max(sum(start <= at < start + 60 for at in passed) for start in passed)
        assert 3 <= busiest <= 5

    def test_it_counts_before_the_request_is_looked_at(self, api, clock):
        answers = [api.post("/projects/", b"{", content_type="application/json").status_code for _ in range(4)]
        assert answers == [400, 400, 400, 429]

    def test_the_document_is_not_behind_it(self, api, clock):
        codes(api, 4)
        assert api.get("/schema/").status_code == 200


@pytest.mark.django_db(transaction=True)
@pytest.mark.postgres
def test_many_at_once_are_counted_one_by_one(limits, signed_in, owner):
    limits(THROTTLE_USER="10/min")
    clients = [signed_in(owner) for _ in range(24)]
    answers = at_once(*(lambda c=client: c.get("/projects/") for client in clients))
    assert sorted(answer.status_code for answer in answers) == [200] * 10 + [429] * 14


class TestAddresses:
    """Without a user, only the document is to be had."""

    @pytest.fixture(autouse=True)
    def two_a_minute(self, limits):
        limits(THROTTLE_ANONYMOUS="2/min")

    @staticmethod
    def ask(client, **headers):
        return client.get("/schema/", **headers).status_code

    def test_so_many_for_each(self, anonymous, clock):
        assert [self.ask(anonymous) for _ in range(3)] == [200, 200, 429]
        assert self.ask(anonymous, REMOTE_ADDR="198.51.100.7") == 200

    def test_a_header_that_the_client_writes_makes_nobody_else_of_it(self, anonymous, clock):
        assert api_settings.NUM_PROXIES is None
        answers = [self.ask(anonymous, HTTP_X_FORWARDED_FOR=f"203.0.113.{n}") for n in range(3)]
        assert answers == [200, 200, 429]

    def test_behind_one_proxy_its_word_counts(self, settings, anonymous, clock):
        settings.REST_FRAMEWORK = {"NUM_PROXIES": 1}

        def ask(forwarded):
            return self.ask(anonymous, HTTP_X_FORWARDED_FOR=forwarded)

        assert [ask(f"1.2.3.{n}, 203.0.113.5") for n in range(3)] == [200, 200, 429]
        assert ask("1.2.3.4, 203.0.113.6") == 200

    def test_who_is_signed_in_is_not_counted_by_address(self, api, clock):
        assert codes(api, 5) == [200] * 5


def test_no_rate_is_no_limit(limits, anonymous, clock):
    limits(THROTTLE_USER="2/min")
    assert {anonymous.get("/schema/").status_code for _ in range(5)} == {200}


class BrokenCache(LocMemCache):
    """A cache whose server is away."""

    def get(self, *args, **kwargs):
        raise ConnectionError("connection refused")

    add = incr = get


class SilentCache(LocMemCache):
    """A cache that swallows its errors, as django-redis can."""

    def get(self, *args, **kwargs):
        return None

    def add(self, *args, **kwargs):
        return False

    def incr(self, *args, **kwargs):
        return None


@pytest.mark.parametrize("name", ["BrokenCache", "SilentCache"])
def test_without_its_cache_requests_pass(limits, settings, api, name):
    limits(THROTTLE_USER="1/min", THROTTLE_CACHE="broken")
    settings.CACHES = {"default": LOCAL, "broken": {"BACKEND": f"tests.api.test_throttling.{name}"}}
    assert codes(api, 3) == [200] * 3


class ForgetfulCache(LocMemCache):
    """A full cache that throws a count out as soon as it is there."""

    def incr(self, key, *args, **kwargs):
        self.delete(key)
        return super().incr(key, *args, **kwargs)


def test_a_count_that_is_thrown_out_is_no_trouble_of_the_cache(limits, settings, api):
    limits(THROTTLE_USER="1/min", THROTTLE_CACHE="forgetful")
    settings.CACHES = {"default": LOCAL, "forgetful": {"BACKEND": "tests.api.test_throttling.ForgetfulCache"}}
    assert codes(api, 2) == [200, 200]
    assert not breaker_of("forgetful").is_resting


def test_it_counts_in_the_cache_that_is_named(limits, settings, api, clock):
    limits(THROTTLE_USER="1/min", THROTTLE_CACHE="shared")
    settings.CACHES = {"default": LOCAL, "shared": {**LOCAL, "LOCATION": "throttling-shared"}}
    assert codes(api, 2) == [200, 429]
    caches["shared"].clear()
    assert codes(api, 1) == [200]
