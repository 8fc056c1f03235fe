"""Writes many rows fast, as they are: past ``save()``, the recorder and the columns that set themselves.

On PostgreSQL with ``COPY`` (4 to 5 times as fast as ``INSERT``), elsewhere with inserts of many rows. The caller opens
the transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connections, models

INSERT_ROWS = 500

AS_THEY_ARE = (models.CharField, models.TextField, models.IntegerField, models.DateTimeField)
"""Columns whose Python values the driver writes by itself. Asking the field for each value is what takes time."""


def insert(rows: Sequence[models.Model], *, using: str) -> None:
    """Insert ``rows``, all of one model, with the values they hold, and set their keys."""
    if not rows:
        return
    if _can_copy(using):
        _copy(rows, using=using)
    else:
        _insert(rows, using=using)


def _can_copy(using: str) -> bool:
    if connections[using].vendor != "postgresql":
        return False
    from django.db.backends.postgresql.psycopg_any import is_psycopg3

    return bool(is_psycopg3)


def _copy(rows: Sequence[models.Model], *, using: str) -> None:
    connection = connections[using]
    model: Any = type(rows[0])
    fields = model._meta.local_concrete_fields
    quote = connection.ops.quote_name
    table = quote(model._meta.db_table)
    with connection.cursor() as cursor:
        # From the column's own sequence, so rows that others insert meanwhile get other keys.
        cursor.execute(
            "SELECT nextval(pg_get_serial_sequence(%s, %s)) FROM generate_series(1, %s)",
            [table, model._meta.pk.column, len(rows)],
        )
        for row, (key,) in zip(rows, cursor.fetchall(), strict=True):
            row.pk = key
        columns = ", ".join(quote(field.column) for field in fields)
        # Text, not binary: the server reads each value in the type of its column, of the host's user keys too.
        with cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
            for row in rows:
                values = row.__dict__
                copy.write_row(
                    [
                        values[field.attname]
                        if isinstance(field, AS_THEY_ARE)
                        else field.get_db_prep_save(values[field.attname], connection)
                        for field in fields
                    ]
                )


def _insert(rows: Sequence[models.Model], *, using: str) -> None:
    """``bulk_create`` would stamp ``created_at`` with the time of the insert; ``raw`` takes values as they are."""
    connection = connections[using]
    model: Any = type(rows[0])
    key = model._meta.pk
    fields = [field for field in model._meta.local_concrete_fields if field is not key]
    size = max(min(INSERT_ROWS, connection.ops.bulk_batch_size(fields, rows)), 1)
    if not connection.features.can_return_rows_from_bulk_insert:
        size = 1
    for start in range(0, len(rows), size):
        batch = rows[start : start + size]
        returned = model._base_manager.all()._insert(
            batch, fields=fields, using=using, returning_fields=[key], raw=True
        )
        for row, (value,) in zip(batch, returned, strict=True):
            row.pk = value
