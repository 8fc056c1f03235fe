"""Servers and a Redis for the tests in which both are processes of their own."""

import os
import uuid

import pytest
import redis
from django.db import connections

from tests.realtime.processes.servers import Servers, layer_at, until
from tests.redis_server import own_redis


@pytest.fixture(scope="session")
def all_servers(django_db_setup):
    running = Servers()
    yield running
    running.stop()


@pytest.fixture
def servers(transactional_db, all_servers):
    """`servers("daphne")`: a server in a process of its own, kept for other tests; see `servers.py`."""
    yield all_servers
    connections.close_all()
    until(all_servers.are_idle, "servers to let go of the database")


@pytest.fixture(scope="session")
def redis_url():
    """Where `scripts/run_tests.py` found Redis, or the usual place."""
    url = os.environ.get("PM_TEST_REDIS_URL")
    if url is None:
        url = "redis://127.0.0.1:6379/9"
        try:
            redis.Redis.from_url(url).ping()
        except redis.ConnectionError as error:
            pytest.skip(f"needs Redis: {error}")
    return url


@pytest.fixture(scope="session")
def layer(redis_url):
    """`layer(backend)`: one that this run of the tests has for itself, for servers that are to hear each other."""
    prefix = f"test{uuid.uuid4().hex}"
    return lambda backend: layer_at(redis_url, backend, prefix)


@pytest.fixture(scope="module")
def unreliable():
    """A Redis to freeze and to kill."""
    with own_redis() as found:
        yield found
