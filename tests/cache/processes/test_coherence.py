"""The miniature of `tests/cache/simulation.py`, with a real Redis as the cache. `PM_LONG_TESTS=1`: 100,000 steps."""

import pytest
from django.core.cache import caches

from tests.cache.servers import RealServer
from tests.cache.simulation import World
from tests.cache.test_coherence import assert_it_was_a_test
from tests.events.workers import LONG

STEPS = 100_000 if LONG else 10_000


@pytest.mark.redis
@pytest.mark.parametrize("backend", ["django_redis.cache.RedisCache", "django.core.cache.backends.redis.RedisCache"])
def test_no_answer_is_old_or_somebody_elses(settings, own_redis, backend):
    settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": own_redis.url}}
    world = World(backend, STEPS, lambda scheduler: RealServer(caches["default"], scheduler))
    world.run()
    assert_it_was_a_test(world)
