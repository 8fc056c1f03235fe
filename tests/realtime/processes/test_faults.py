"""Redis freezes, dies, comes back and hangs up: that costs readers a moment, and writers nothing.

Two servers have their layer there. One looks so rarely that what it hears of the other's writes it hears through Redis;
the other one looks as usual.
"""

import statistics
import time

import pytest

from tests.realtime.processes.servers import PUBSUB, QUEUES, Follower, layer_at

pytestmark = [pytest.mark.postgres, pytest.mark.redis]

WRITES = 15
SEND_SECONDS = 30
RESTS = {"wake.REST_SECONDS": 0.2, "layer.REST_SECONDS": 0.2, "wake.SEND_SECONDS": SEND_SECONDS}


@pytest.mark.parametrize("backend", [PUBSUB, QUEUES])
def test_nothing_is_lost_and_nobody_waits(servers, unreliable, project, owner, backend, capsys):
    layer = layer_at(unreliable.url, backend, prefix=backend)

    def write(server):
        began = time.monotonic()
        server.add_task(project, owner)
        return time.monotonic() - began

    with (
        servers.apart(layer=layer, pace={"hub.POLL_SECONDS": 600, **RESTS}) as (rare,),
        servers.apart(layer=layer, pace=RESTS) as (usual,),
        Follower(rare, owner, project) as through_redis,
        Follower(usual, owner, project) as by_looking,
    ):
        assert through_redis.hears_at_once_from(usual)
        before = [write(rare) for _ in range(WRITES)]

        unreliable.freeze()
        try:
            frozen = [write(rare) for _ in range(WRITES)]
            assert by_looking.hears_all()
            assert through_redis.hears_all()  # its own process wrote them
            write(usual)
            assert by_looking.hears_all()
            assert not through_redis.hears(1)
        finally:
            unreliable.thaw()
        assert max(frozen) < SEND_SECONDS / 3, "a write waited for Redis"
        assert through_redis.hears_at_once_from(usual)

        unreliable.kill()
        write(rare)
        assert by_looking.hears_all()
        assert through_redis.hears_all()
        write(usual)
        assert by_looking.hears_all()
        unreliable.start()
        assert through_redis.hears_at_once_from(usual)

        unreliable.hang_up()
        assert through_redis.hears_at_once_from(usual)
        assert by_looking.hears_all()
    with capsys.disabled():
        figures = [f"{statistics.median(times) * 1000:.1f}/{max(times) * 1000:.1f} ms" for times in (before, frozen)]
        print(f"\n{backend}: a write takes {figures[0]} (median/most), with Redis frozen {figures[1]}")  # noqa: T201
