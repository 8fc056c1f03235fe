"""How long it takes to find the few tasks that are due among very many."""

from __future__ import annotations

import json
from typing import Any

from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from benchmarks.mailing.site import furnish
from benchmarks.measure import Samples, Table, milliseconds
from django_pm.services.reminders import queue_due

DUE = 100


def table(sizes: list[int], rounds: int) -> Table:
    columns = ("tasks", "due", "finding them, ms", "and queueing, ms", "none new, ms", "read from", "rounds")
    found = Table("What to remind of, among very many tasks", *columns)
    for size in sizes:
        furnish(DUE, size - DUE)
        samples = Samples()
        statement = _finding()
        for _ in range(rounds):
            with samples.timed("finding"), connection.cursor() as cursor:
                cursor.execute(statement)
                assert len(cursor.fetchall()) == DUE
            with transaction.atomic():
                with samples.timed("queueing"):
                    assert queue_due() == DUE
                with samples.timed("none new"):
                    assert queue_due() == 0
                transaction.set_rollback(True)
        times = [milliseconds(samples.median(label)) for label in ("finding", "queueing", "none new")]
        found.add(f"{size:,}", str(DUE), *times, _read_from(statement), str(rounds))
    return found


def _finding() -> str:
    """The statement by which ``queue_due`` finds the first of them."""
    with transaction.atomic(), CaptureQueriesContext(connection) as captured:
        queue_due()
        transaction.set_rollback(True)
    return next(query["sql"] for query in captured if 'FROM "django_pm_task"' in query["sql"])


def _read_from(statement: str) -> str:
    """By which step of the planner's, and from which index or table."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {statement}")
        step: Any = cursor.fetchone()[0]
    step = (json.loads(step) if isinstance(step, str) else step)[0]["Plan"]
    while "Plans" in step:
        step = step["Plans"][0]
    return f"{step['Node Type']}, {step.get('Index Name') or step['Relation Name']}"
