"""Reading one state by several statements: for whoever compares rows with versions, or counts with each other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections, transaction


@contextmanager
def snapshot(using: str) -> Iterator[None]:
    """Within it, every statement sees the same state, and nothing is written.

    Inside a caller's own transaction, it is what that one sees.
    """
    connection = connections[using]
    is_ours = not connection.in_atomic_block and connection.get_autocommit()
    with _taking_no_write_lock(connection), transaction.atomic(using=using):
        if connection.vendor == "postgresql" and is_ours:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


@contextmanager
def _taking_no_write_lock(connection: Any) -> Iterator[None]:
    """SQLite: a site's transactions begin IMMEDIATE, which would have readers wait for each other."""
    connection.ensure_connection()  # which says how its transactions begin, only now
    mode = getattr(connection, "transaction_mode", None)
    if mode is None or connection.in_atomic_block:
        yield
        return
    connection.transaction_mode = None
    try:
        yield
    finally:
        connection.transaction_mode = mode
