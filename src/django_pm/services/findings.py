"""What a look at a running site finds: a line, how bad it is, and what to do.

Apart from the checks themselves (``doctor.py``), for a site's Celery app adds one before Django's apps are ready.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from itertools import islice
from queue import Empty, Queue
from typing import Any, NamedTuple

from django.db import connections

NAMED = 3
"""How many examples are given of what may be many."""


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    BROKEN = "broken"


class Finding(NamedTuple):
    """What has been found about one thing."""

    name: str
    level: Level
    what: str
    remedy: str = ""


class Check(NamedTuple):
    """One thing to look at."""

    name: str
    look: Callable[[], Finding]
    needs: tuple[str, ...] = ()
    """Where one of these is broken, looking is of no use."""
    patience: float | None = None
    """Seconds in which whatever is asked has to answer; None if the look sees to that itself."""


def fine(name: str, what: str) -> Finding:
    """It works."""
    return Finding(name, Level.OK, what)


def amiss(name: str, what: str, remedy: str) -> Finding:
    """Somebody should look at it; the rest works."""
    return Finding(name, Level.WARN, what, remedy)


def broken(name: str, what: str, remedy: str) -> Finding:
    """It does not work."""
    return Finding(name, Level.BROKEN, what, remedy)


_further: dict[str, Check] = {}


def also(check: Check) -> None:
    """Have this looked at too, instead of what has been added by this name before."""
    _further[check.name] = check


def added() -> list[Check]:
    """What has been added."""
    return list(_further.values())


def examine(checks: Iterable[Check]) -> Iterator[Finding]:
    """Look at these and at what has been added, one after the other."""
    useless: set[str] = set()
    for check in [*checks, *added()]:
        if not useless.isdisjoint(check.needs):
            continue
        finding = looked_at(check)
        if finding.level is Level.BROKEN:
            useless.add(check.name)
        yield finding


def looked_at(check: Check) -> Finding:
    """What a check finds. That it fails itself is a finding too."""
    try:
        return check.look() if check.patience is None else _within(check.patience, check)
    except Exception as error:  # whatever a driver, a backend or a host's code raises
        return broken(check.name, told(error), "Looking at it failed, so look into that first.")


def _within(seconds: float, check: Check) -> Finding:
    """What a look in a thread of its own finds, which is left behind where it takes longer."""
    found: Queue[Finding | Exception] = Queue()

    def look() -> None:
        try:
            found.put(check.look())
        except Exception as error:
            found.put(error)
        finally:
            connections.close_all()  # this thread's own

    threading.Thread(target=look, name=f"django-pm-look-{check.name}", daemon=True).start()
    try:
        finding = found.get(timeout=seconds)
    except Empty:
        what = f"no answer within {seconds:g} s"
        return broken(check.name, what, "Start its server, or give its client a timeout and correct its address.")
    if isinstance(finding, Exception):
        raise finding
    return finding


def told(error: BaseException) -> str:
    """An error in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def count(number: int, what: str) -> str:
    """``3 tasks``, ``1 task``."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def some(names: Iterable[Any]) -> str:
    """The first few of them."""
    names = iter(names)
    shown = [str(name) for name in islice(names, NAMED)]
    return ", ".join(shown) + (", …" if next(names, None) is not None else "")
