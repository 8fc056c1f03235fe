"""Listens to what the rooms count and time, if the site asks for metrics, and keeps it with Prometheus' own library.

That library is imported at the first note: a command that counts nothing does without it. With
``PROMETHEUS_MULTIPROC_DIR`` it keeps the numbers in files that all processes of a machine have in common.
"""

from __future__ import annotations

import threading
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from django_pm import measures
from django_pm.conf import usable
from django_pm.measures import Kind, Measure

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_lock = threading.Lock()


def connect() -> None:
    """Called once, when the app is ready."""
    if usable("METRICS_TOKEN") and find_spec("prometheus_client"):
        measures.listen(hear)


def hear(measure: Measure, amount: float, labels: tuple[str, ...]) -> None:
    """Keep what a room tells."""
    instrument = instrument_of(measure)
    if labels:
        instrument = instrument.labels(*labels)
    if measure.kind is Kind.SECONDS:
        instrument.observe(amount)
    else:
        instrument.inc(amount)


@cache
def registry() -> CollectorRegistry:
    """Ours alone: what a host registers elsewhere stays its own."""
    from prometheus_client import CollectorRegistry

    return CollectorRegistry()


def instrument_of(measure: Measure) -> Any:
    """What keeps the numbers of one measure."""
    return _instruments.get(measure) or _made(measure)


_instruments: dict[Measure, Any] = {}


def _made(measure: Measure) -> Any:
    from prometheus_client import Counter, Gauge, Histogram

    with _lock:  # two threads may be first
        if measure not in _instruments:
            name, text, labels = measure.name, measure.help_text, measure.labels
            if measure.kind is Kind.SECONDS:
                made: Any = Histogram(name, text, labels, registry=registry(), buckets=measure.buckets)
            elif measure.kind is Kind.COUNT:
                made = Counter(name, text, labels, registry=registry())
            else:
                made = Gauge(name, text, labels, registry=registry(), multiprocess_mode="livesum")
            _instruments[measure] = made
        return _instruments[measure]
