"""Redis, RabbitMQ and PostgreSQL are killed, frozen, restarted, slow or full while the site is used.

What is printed and asserted: what failed, what was slow, what was stale, how soon all was well again; then the ledger.
`PM_LONG_TESTS=1` makes each kind of trouble last 30 seconds instead of 2, and holds the percentiles to their bounds:
among a few dozen requests, the few that meet the beginning of the trouble are more than a twentieth.
"""

import time

import pytest

from tests.events.workers import LONG
from tests.stack.faults.site import MARKS, Site, judge, told
from tests.stack.running import until

pytestmark = MARKS

SECONDS = 30 if LONG else 2
CALM_SECONDS = 30 if LONG else 4
REST = 6
"""Seconds: those for which a cache that failed is left alone, and one for the trial."""

BACK = 10
NOISE = 0.05
"""Seconds by which a request may be slower for reasons of the machine."""


def test_redis(site: Site) -> None:
    calm = site.load.watch("calm", CALM_SECONDS)
    stretches = [calm]
    for trouble in (site.redis_killed, site.redis_frozen, site.redis_restarted_empty, site.redis_slow):
        began = time.time()
        with trouble():
            site.load.watch("", SECONDS)
        ended, asked = time.time(), site.asks_redis()
        until(lambda asked=asked: site.asks_redis() > asked + 20, "Redis is asked again", 2 * REST, pause=0.05)
        stretches.append(site.load.since(trouble.__name__.replace("_", " "), began))
        stretches[-1].recovery = time.time() - ended
    told(*stretches)
    for stretch in stretches:
        assert not stretch.failed, str(stretch)
        assert not stretch.stale, str(stretch)
        assert (stretch.recovery or 0) <= REST, str(stretch)
        if LONG:
            assert stretch.p95(writes=False) <= 2 * calm.p95(writes=False) + NOISE, str(stretch)
    judge(site.settle("Redis"))


def test_rabbitmq(site: Site) -> None:
    calm = site.load.watch("calm", CALM_SECONDS)
    stretches = [calm]
    # The short form kills it in `test_kills`: a node takes long to start.
    for trouble in (site.rabbitmq_frozen, site.rabbitmq_alarmed, *([site.rabbitmq_killed] if LONG else [])):
        began = time.time()
        with trouble():
            stretches.append(site.load.watch(trouble.__name__.replace("_", " "), SECONDS))
        ended = time.time()
        stretches[-1] = site.load.since(stretches[-1].name, began)
        stretches[-1].recovery = max(site.back_after(ended).values())
    told(*stretches)
    for stretch in stretches:
        assert not stretch.failed, str(stretch)
        assert not stretch.stale, str(stretch)
        # One that waited for RabbitMQ would take the three seconds of a timeout.
        assert stretch.slowest(writes=True) <= calm.slowest(writes=True) + 1, str(stretch)
        if LONG:
            assert stretch.p95(writes=True) <= calm.p95(writes=True) + NOISE, str(stretch)
    judge(site.settle("RabbitMQ"))


@pytest.mark.parametrize(
    ("mode", "away"), [("fast", 0), ("immediate", 0), *([("fast", 20), ("immediate", 60)] if LONG else [])]
)
def test_postgresql_is_restarted(site: Site, mode: str, away: int) -> None:
    began = time.time()
    with site.postgres_restarted(mode, away):
        ended = time.time()
    back = site.back_after(ended)
    stretch = site.load.since(f"restarted, {mode}", began)
    stretch.recovery = max(back.values())
    told(stretch)
    print(f"away for {ended - began:.1f} s; { ({name: round(seconds, 1) for name, seconds in back.items()}) }")  # noqa: T201
    assert set(stretch.failed) <= {"read 503", "write 503"}, str(stretch)
    assert stretch.recovery <= BACK, str(stretch)
    assert not stretch.stale, str(stretch)
    judge(site.settle(f"PostgreSQL, {mode}"))
