"""Work that is done for many at once, unless one of them is in the way of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from django.db import InterfaceError, OperationalError

T = TypeVar("T")
R = TypeVar("R")


def apart(work: Callable[[list[T]], R], rows: list[T], alone: Callable[[T, Exception], R]) -> Iterator[R]:
    """What ``work`` makes of ``rows``: of all together, and where that fails, of either half.

    Of a single one that fails, what ``alone`` makes of it and its error. An error of the database itself is raised:
    it would fail for each of them.
    """
    try:
        yield work(rows)
    except (InterfaceError, OperationalError):
        raise
    except Exception as error:  # a host's policy or data, for instance
        if len(rows) == 1:
            yield alone(rows[0], error)
            return
        middle = len(rows) // 2
        yield from apart(work, rows[:middle], alone)
        yield from apart(work, rows[middle:], alone)
