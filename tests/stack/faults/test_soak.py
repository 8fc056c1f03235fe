"""A fault again and again, and neither the processes nor Redis grow.

`PM_LONG_TESTS=1` makes it 20 minutes with a fault each minute, instead of 9 seconds with one each three, which say
nothing of memory. The faults are those of what the site stands on, so that its processes live from beginning to end.

The long form restarts PostgreSQL again and again first. A restart leaves tracebacks in circles behind, which stay until
the collector of Python comes to the oldest objects: a process grows until it has had about twenty, and then reuses what
it has. With a fault a minute it would take two hours to get there.
"""

import itertools
import statistics
import time
from bisect import bisect
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

from tests.events.workers import LONG
from tests.stack.faults.site import MARKS, STARTED, Site, judge, told
from tests.stack.running import until

pytestmark = MARKS

SECONDS, EVERY = (1200, 60) if LONG else (9, 3)
LASTS = 10 if LONG else 1
SAMPLE = 5 if LONG else 1
WARMING = 24 if LONG else 0
"""Restarts of PostgreSQL before anything is measured."""

GROWTH = 4.0
"""MiB by which a service may be larger at the end than in the middle: what a collector has not collected yet."""

KEPT_FOR = 300
"""Seconds that a list is kept for in Redis, under one key, and its lease under another for a moment."""

MIB = 2**20


def test_soak(site: Site) -> None:
    until(site.is_whole, "everything runs", STARTED)
    before = site.victims()
    faults: list[Any] = [site.redis_restarted_empty, partial(site.postgres_restarted, "fast"), site.rabbitmq_frozen]
    if LONG:
        faults += [site.redis_frozen, site.rabbitmq_killed, partial(site.postgres_restarted, "immediate")]
        faults += [site.redis_slow, site.rabbitmq_alarmed, site.redis_killed]
    turns = itertools.cycle(faults)
    memory: dict[str, list[tuple[float, float]]] = defaultdict(list)
    keys, number = [], 0
    for _ in range(WARMING):
        with site.postgres_restarted("fast"):
            site.load.watch("", SAMPLE)
        site.load.watch("", SAMPLE)
    began = time.time()
    next_fault = began + EVERY / 2
    while (now := time.time()) < began + SECONDS:
        for name, pid in before.items():
            memory[name].append((now - began, held(pid) / MIB))
        keys.append(site.keys())
        if now > next_fault:
            next_fault += EVERY
            number += 1
            with next(turns)():
                site.load.watch("", LASTS)
            continue
        site.load.watch("", SAMPLE)
    stretch = site.load.since("soak", began)
    told(stretch)
    print(f"{number} faults; keys in Redis: at most {max(keys)}, in the end {keys[-1]}")  # noqa: T201
    for name, samples in sorted(memory.items()):
        sizes = [size for _at, size in samples]
        half = sizes[len(sizes) // 2 :]
        print(  # noqa: T201
            f"{name:>18}: {sizes[0]:.0f} MiB, {half[0]:.1f} half-way, {half[-1]:.1f} in the end;"
            f" {slope(samples):+.1f} MiB an hour"
        )
    assert site.victims() == before, "a process has ended"
    assert max(keys) <= 2 * busiest(site, KEPT_FOR), "keys that outlive what they are for"
    judge(site.settle("soak"))
    assert not stretch.stale, str(stretch)
    if LONG:
        for name, samples in memory.items():
            assert growth(samples) <= GROWTH, name


def busiest(site: Site, seconds: float) -> int:
    """The most requests in so many seconds."""
    times = sorted(each.at for each in site.load.requests)
    return max(bisect(times, at + seconds) - number for number, at in enumerate(times))


def growth(samples: list[tuple[float, float]]) -> float:
    """By how many MiB it is larger in the last tenth than in the tenth after half the time."""
    late = [size for _at, size in samples[len(samples) // 2 :]]
    tenth = max(1, len(late) // 5)
    return statistics.fmean(late[-tenth:]) - statistics.fmean(late[:tenth])


def slope(samples: list[tuple[float, float]]) -> float:
    """By how many MiB an hour it grows in the second half, by the line of least squares."""
    late = samples[len(samples) // 2 :]
    return 3600 * statistics.linear_regression(*zip(*late, strict=True)).slope


def held(pid: int) -> int:
    """Bytes that this process and all below it hold in memory; a page that they share, as after a fork, counts once."""
    total = 0
    for each in family(pid):
        try:
            sizes = dict(line.split()[:2] for line in Path(f"/proc/{each}/smaps_rollup").read_text().splitlines()[1:])
        except (FileNotFoundError, ProcessLookupError):  # it has just ended
            continue
        total += int(sizes["Pss:"]) * 1024
    return total


def family(pid: int) -> list[int]:
    try:
        below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return []
    return [pid, *(each for child in below for each in family(int(child)))]
