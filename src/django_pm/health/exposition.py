"""The page of ``/metrics``. Imported by its view alone, for it cannot do without Prometheus' library."""

from __future__ import annotations

import os
import re
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest, multiprocess

from django_pm.health import instruments
from django_pm.health.facts import Facts
from django_pm.measures import MEASURES

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

FILES = "PROMETHEUS_MULTIPROC_DIR"
LIVE = re.compile(r"gauge_live[a-z]+_(\d+)\.db")


def page() -> bytes:
    """What this process has counted, or all processes that share a folder, and what the database says."""
    for measure in MEASURES:
        instruments.instrument_of(measure)  # what has never happened is shown too
    registry = CollectorRegistry()
    if folder := os.environ.get(FILES):
        _forget_the_dead(Path(folder))
        multiprocess.MultiProcessCollector(registry)
    else:
        registry.register(instruments.registry())
    registry.register(Facts())
    return generate_latest(registry)


def _forget_the_dead(folder: Path) -> None:
    """The levels of processes that have ended. Their servers have no hook of their own for that, or not all."""
    for file in folder.glob("gauge_live*.db"):
        found = LIVE.fullmatch(file.name)
        if found and not _is_alive(int(found[1])):
            file.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True
