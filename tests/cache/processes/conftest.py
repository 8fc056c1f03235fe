"""A Redis for each test, to freeze, to kill and to empty."""

import pytest

from tests import redis_server


@pytest.fixture
def own_redis():
    with redis_server.own_redis() as found:
        yield found
