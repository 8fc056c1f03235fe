"""Work that is done for many at once, unless one of them is in the way of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

from django.db import InterfaceError, OperationalError, connections, transaction

T = TypeVar("T")
R = TypeVar("R")


def apart(
    work: Callable[[list[T]], R], rows: list[T], alone: Callable[[T, Exception], R], *, using: str | None = None
) -> Iterator[R]:
    """What ``work`` makes of ``rows``: of all together, and where that fails, of either half.

    Of a single one that fails, what ``alone`` makes of it and its error. An error of the database itself is raised:
    it would fail for each of them. Where it is said which database that is, it is raised only if that is gone: one that
    answers may have found a single question too long.
    """
    try:
        with _undone_alone(using):
            result = work(rows)
    except Exception as error:  # a host's policy or data, for instance
        if isinstance(error, InterfaceError | OperationalError) and not (using and connections[using].is_usable()):
            raise
        if len(rows) == 1:
            yield alone(rows[0], error)
            return
        middle = len(rows) // 2
        yield from apart(work, rows[:middle], alone, using=using)
        yield from apart(work, rows[middle:], alone, using=using)
    else:
        yield result


def _undone_alone(using: str | None) -> AbstractContextManager[Any]:
    """In a transaction, a savepoint: without one, an error of the database would be the end of all of it."""
    return transaction.atomic(using=using) if using and connections[using].in_atomic_block else nullcontext()
