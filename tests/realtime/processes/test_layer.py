"""Listening to a channel layer, for ever: what is quiet is no fault, and what fails is tried again."""

import asyncio

import pytest
from channels.layers import get_channel_layer
from channels_redis.core import RedisChannelLayer

from django_pm.realtime import hub
from django_pm.realtime import layer as ours
from django_pm.realtime.hub import end
from tests.realtime.processes.servers import QUEUES, recommended

TIMES_QUIET = 5


def listen_for(seconds):
    """Listen for a while, be cancelled as by a hub without sockets, and wait until the layer has been left."""

    async def run():
        listening = asyncio.create_task(ours.listen(lambda keys: None))
        await asyncio.wait([listening], timeout=seconds)
        await end([listening])

    asyncio.run(run())


def test_a_cancellation_that_a_library_swallows_is_said_again(monkeypatch):
    monkeypatch.setattr(hub, "ENDING_SECONDS", 0.01)
    asked = []

    async def deaf():
        while len(asked) < 3:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                asked.append("to end")

    async def run():
        task = asyncio.create_task(deaf())
        await asyncio.sleep(0)
        await end([task])
        assert task.done()

    asyncio.run(run())
    assert len(asked) == 3


class StandIn:
    """A layer whose server is gone whenever somebody leaves."""

    def __init__(self):
        self.channels = 0

    async def new_channel(self):
        self.channels += 1
        return "channel"

    async def group_add(self, group, channel):
        pass

    async def receive(self, channel):
        await asyncio.sleep(60)

    async def group_discard(self, group, channel):
        raise ConnectionError


def test_a_layer_that_fails_while_it_is_left_is_listened_to_again(monkeypatch):
    stand_in = StandIn()
    monkeypatch.setattr(ours, "_layer", lambda: stand_in)
    monkeypatch.setattr(ours, "RENEWED_EVERY_SECONDS", 0.01)
    monkeypatch.setattr(ours, "REST_SECONDS", 0.01)

    async def run():
        listening = asyncio.create_task(ours.listen(lambda keys: None))
        async with asyncio.timeout(10):
            while stand_in.channels < 3:
                await asyncio.sleep(0.01)
        listening.cancel()

    asyncio.run(run())


@pytest.mark.redis
class TestRedis:
    def use(self, settings, layer, **options):
        settings.CHANNEL_LAYERS = {"default": layer(QUEUES)}
        config = settings.CHANNEL_LAYERS["default"]["CONFIG"]
        config["prefix"] += "listening"  # servers that were killed are still members of the others' group
        config["hosts"][0].update(options)

    @pytest.mark.parametrize("longer", [True, False])
    def test_quiet(self, settings, layer, monkeypatch, caplog, longer):
        """`socket_timeout` must be longer than one read; redis-py 8's own, 5 seconds, is not: one that is only quiet
        is then given up, and heard of again 5 seconds later."""
        wait = 0.2
        monkeypatch.setattr(RedisChannelLayer, "brpop_timeout", wait)
        self.use(settings, layer, socket_timeout=3 * wait if longer else wait / 2)
        listen_for(wait * TIMES_QUIET)
        assert bool(caplog.records) is not longer

    def test_the_recommended_timeout_is_longer(self):
        [host] = recommended()["default"]["CONFIG"]["hosts"]
        assert host["socket_timeout"] > RedisChannelLayer.brpop_timeout

    def test_whoever_listens_no_more_is_forgotten(self, settings, layer, monkeypatch):
        """Else a message is kept for each of them, a day long."""
        self.use(settings, layer)
        monkeypatch.setattr(ours, "RENEWED_EVERY_SECONDS", 0.1)
        listen_for(0.5)

        async def members():
            found = get_channel_layer()
            return await found.connection(0).zcard(found._group_key(ours.GROUP))

        assert asyncio.run(members()) == 0
