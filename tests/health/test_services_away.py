"""The real things go away: Redis killed and frozen, a broker that refuses and one that says nothing."""

import socket
import threading
import time

import pytest
from celery import Celery
from redis.backoff import NoBackoff
from redis.retry import Retry

from django_pm import schedules
from django_pm.health import readiness
from django_pm.realtime import layer
from django_pm.services import findings
from django_pm.services.findings import Check
from tests.example.site import free_port
from tests.realtime.processes.servers import PUBSUB, layer_at

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning"),
]

AWAY = readiness.PATIENCE + 1.0


@pytest.fixture(autouse=True)
def _only_the_layer(monkeypatch):
    monkeypatch.setattr(findings, "_further", {})
    findings.also(Check(layer.NAME, layer.look))


@pytest.fixture
def site_on_redis(settings, redis):
    """The cache and the channel layer as the example site has them."""
    options = {
        "SOCKET_CONNECT_TIMEOUT": 0.25,
        "SOCKET_TIMEOUT": 0.25,
        "CONNECTION_POOL_KWARGS": {"retry": Retry(NoBackoff(), retries=0)},
    }
    settings.CACHES = {
        "default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": redis.url, "OPTIONS": options}
    }
    settings.CHANNEL_LAYERS = {"default": layer_at(redis.url, PUBSUB, "health")}
    return redis


ESSENTIAL = {"database": "ok", "migrations": "ok"}
BOTH_FAIL = (200, "degraded", {**ESSENTIAL, "cache": "failing", "channel layer": "failing"})
BOTH_WORK = (200, "ready", {**ESSENTIAL, "cache": "ok", "channel layer": "ok"})


@pytest.mark.redis
def test_redis_is_killed_and_comes_back(site_on_redis, probe):
    assert probe() == BOTH_WORK
    site_on_redis.kill()
    try:
        assert probe() == BOTH_FAIL
    finally:
        site_on_redis.start()
    assert probe() == BOTH_WORK


@pytest.mark.redis
def test_redis_is_frozen(site_on_redis, probe):
    assert probe() == BOTH_WORK
    site_on_redis.freeze()
    try:
        began = time.monotonic()
        assert probe() == BOTH_FAIL
        assert time.monotonic() - began < AWAY
        began = time.monotonic()
        assert probe(forget=False) == BOTH_FAIL
        assert time.monotonic() - began < 1
    finally:
        site_on_redis.thaw()
    assert probe() == BOTH_WORK


def broker_at(port):
    schedules.configure(Celery("host", broker=f"amqp://guest:secret@127.0.0.1:{port}//", set_as_current=False))


def test_the_broker_is_away(probe):
    broker_at(free_port())
    code, status, components = probe()
    assert (code, status, components["broker"]) == (200, "degraded", "failing")


def test_the_broker_says_nothing_and_is_asked_once(probe):
    accepted = []
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()

        def accept():
            try:
                while True:
                    accepted.append(silent.accept()[0])
            except OSError:
                return

        threading.Thread(target=accept, daemon=True).start()
        broker_at(silent.getsockname()[1])
        for _ in range(5):
            began = time.monotonic()
            assert probe(forget=False)[2]["broker"] == "failing"
            assert time.monotonic() - began < AWAY
        silent.shutdown(socket.SHUT_RDWR)
    assert len(accepted) == 1
    for each in accepted:
        each.close()
