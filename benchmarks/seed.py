"""How long ``pm_seed`` takes, and whether its memory stays flat."""

from __future__ import annotations

from django.core.management import call_command

from benchmarks.database import empty, tidy
from benchmarks.measure import Table, megabytes
from benchmarks.probe import probe
from django_pm.models import Event

NOW = "2030-01-07T09:00Z"


def seed(*, projects: int, tasks: int, comments: int) -> None:
    """What is measured, in a process of its own."""
    call_command("pm_seed", projects=projects, tasks=tasks, comments=comments, now=NOW, verbosity=0)


def run(*, short: bool) -> list[Table]:
    sizes = [500, 3_000] if short else [10_000, 100_000]
    columns = ("tasks", "projects", "comments", "events", "s", "tasks / s", "peak resident MB", "peak traced MB")
    table = Table("pm_seed (memory above what the process held before)", *columns)
    for tasks in sizes:
        for projects in (1,) if short else (1, tasks // 500):
            arguments = {"projects": projects, "tasks": tasks, "comments": tasks // 2}
            timed = probe("benchmarks.seed:seed", traced=False, **arguments)
            events = Event.objects.count()
            empty()
            # Tracing takes several times as long, and the peak of the largest size shows it all.
            traced = megabytes(probe("benchmarks.seed:seed", traced=True, **arguments).traced)
            empty()
            table.add(
                f"{tasks:,}",
                str(projects),
                f"{arguments['comments']:,}",
                f"{events:,}",
                f"{timed.seconds:.1f}",
                f"{tasks / timed.seconds:,.0f}",
                megabytes(timed.resident),
                traced,
            )
    tidy()
    return [table]
