"""Samples, medians, ratios and the table they are printed in."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import django
import rest_framework

from benchmarks.database import server_setting


class Samples:
    """What was measured, by label. Times in seconds unless a table says otherwise."""

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = defaultdict(list)

    def add(self, label: str, value: float) -> None:
        self._values[label].append(value)

    @contextmanager
    def timed(self, label: str) -> Iterator[None]:
        """Add how long the block took, and as ``processor <label>`` what of it this process worked."""
        start, worked = time.perf_counter(), time.process_time()
        yield
        self.add(label, time.perf_counter() - start)
        self.add(f"processor {label}", time.process_time() - worked)

    def median(self, label: str) -> float:
        return statistics.median(self._values[label])

    def spread(self, label: str) -> tuple[float, float]:
        """The quartiles: half of the samples lie between them."""
        values = self._values[label]
        if len(values) < 2:
            return values[0], values[0]
        low, _middle, high = statistics.quantiles(values, n=4, method="inclusive")
        return low, high

    def all(self, label: str) -> list[float]:
        return self._values[label]

    def count(self, label: str) -> int:
        return len(self._values[label])


def interleaved(rounds: int, variants: dict[str, Callable[[], None]]) -> None:
    """Run every variant once per round, in turning order, so that what disturbs the machine disturbs all alike."""
    names = list(variants)
    for turn in range(rounds):
        for place in range(len(names)):
            variants[names[(turn + place) % len(names)]]()


def timing_function(samples: Samples, label: str, work: Callable[[], object]) -> Callable[[], None]:
    """``work`` as a variant of ``interleaved`` that notes its time."""

    def run() -> None:
        with samples.timed(label):
            work()

    return run


class Table:
    """Rows of text, printed as a Markdown table with aligned columns."""

    def __init__(self, title: str, *columns: str) -> None:
        self.title = title
        self.rows: list[tuple[str, ...]] = [columns]

    def add(self, *cells: str) -> None:
        self.rows.append(cells)

    def print(self) -> None:
        widths = [max(len(row[column]) for row in self.rows) for column in range(len(self.rows[0]))]
        print(f"\n## {self.title}\n")
        for number, row in enumerate(self.rows):
            first, *rest = (f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True))
            cells = [f"{first.strip():<{widths[0]}}", *rest]
            print(f"| {' | '.join(cells)} |")
            if number == 0:
                rules = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
                print(f"| {' | '.join(rules)} |")


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.2f}" if seconds < 1 else f"{seconds * 1000:,.0f}"


def megabytes(amount: float) -> str:
    """``amount`` in bytes, as MB of 1,000,000 bytes."""
    return f"{amount / 1e6:.1f}"


def machine() -> str:
    """The machine and the software in one line."""
    versions = [
        f"{len(os.sched_getaffinity(0))} cores",
        f"Python {platform.python_version()}",
        f"Django {django.get_version()}",
        f"DRF {rest_framework.VERSION}",
        f"PostgreSQL {server_setting('server_version').split()[0]}",
        f"fsync {server_setting('fsync')}, synchronous_commit {server_setting('synchronous_commit')}",
        f"load {os.getloadavg()[0]:.1f}",
    ]
    return ", ".join(versions)
