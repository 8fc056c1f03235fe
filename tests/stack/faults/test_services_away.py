"""Redis, RabbitMQ and PostgreSQL are killed, frozen, restarted, slow or full while the site is used.

What is printed and asserted: what failed, what was slow, what was stale, how soon all was well again; then the ledger.
`PM_LONG_TESTS=1` makes each kind of trouble last 30 seconds instead of 1.5, and holds reads and writes to their bounds,
on a machine that does nothing else: among a few dozen requests, the few that meet the beginning of the trouble are more
than a twentieth.
"""

import time

import pytest

from tests.events.workers import LONG
from tests.stack.faults.load import Stretch
from tests.stack.faults.site import MARKS, Site, judge, told
from tests.stack.running import until

pytestmark = MARKS

SECONDS = 30 if LONG else 1.5
CALM_SECONDS = 15 if LONG else 3
REST = 6
"""Seconds: those for which a cache that failed is left alone, and one for the trial."""

BACK = 10
NOISE = 0.05
"""Seconds by which a request may be slower for reasons of the machine."""


class Calm:
    """How it is with nothing amiss; in the long form, directly before each trouble."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.last: Stretch | None = None

    def before(self, trouble: str) -> Stretch:
        if self.last is None or LONG:
            self.last = self._site.load.watch(f"calm, before {trouble}", CALM_SECONDS)
            told(self.last)
        return self.last


def test_redis(site: Site) -> None:
    calm = Calm(site)
    for trouble in (site.redis_killed, site.redis_frozen, site.redis_restarted_empty, site.redis_slow):
        name = trouble.__name__.replace("_", " ")
        usual = calm.before(name)
        began = time.time()
        with trouble():
            site.load.watch("", SECONDS)
        ended, asked = time.time(), site.asks_redis()
        until(lambda asked=asked: site.asks_redis() > asked + 20, "Redis is asked again", 2 * REST, pause=0.05)
        stretch = site.load.since(name, began)
        stretch.recovery = time.time() - ended
        told(stretch)
        assert not stretch.failed, str(stretch)
        assert not stretch.stale, str(stretch)
        assert stretch.recovery <= REST, str(stretch)
        if LONG:
            assert stretch.p95(writes=False) <= 2 * usual.p95(writes=False) + NOISE, str(stretch)
    judge(site.settle("Redis"))


def test_rabbitmq(site: Site) -> None:
    calm = Calm(site)
    # The short form kills it in `test_kills`: a node takes long to start.
    for trouble in (site.rabbitmq_frozen, site.rabbitmq_alarmed, *([site.rabbitmq_killed] if LONG else [])):
        name = trouble.__name__.replace("_", " ")
        usual = calm.before(name)
        began = time.time()
        with trouble():
            site.load.watch("", SECONDS)
        ended = time.time()
        stretch = site.load.since(name, began)
        stretch.recovery = max(site.back_after(ended).values())
        told(stretch)
        assert not stretch.failed, str(stretch)
        assert not stretch.stale, str(stretch)
        # One that waited for RabbitMQ would take the three seconds of a timeout. Reads show what the machine does.
        others = max(usual.slowest(writes=True), stretch.slowest(writes=False))
        assert stretch.slowest(writes=True) <= others + (NOISE if LONG else 1), str(stretch)
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
