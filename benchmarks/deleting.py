"""Deleting a project with many tasks: time and peak memory, beside Django's own cascade."""

from __future__ import annotations

from django.contrib.auth import get_user_model
from django.db import connection

from benchmarks.database import empty, tidy
from benchmarks.measure import Table, megabytes
from benchmarks.plain.models import PlainMembership, PlainProject
from benchmarks.probe import probe
from django_pm.models import Project


def delete_ours(*, project_id: int) -> None:
    Project.objects.get(pk=project_id).delete()


def delete_plain(*, project_id: int) -> None:
    PlainProject.objects.get(pk=project_id).delete()


def run(*, short: bool) -> list[Table]:
    tasks, rounds = (10_000, 1) if short else (100_000, 3)
    columns = ("how", "s", "peak resident MB", "peak traced MB", "rounds")
    table = Table(
        f"Deleting a project of {tasks:,} tasks and {tasks // 2:,} comments (median; memory above before)", *columns
    )
    taken: dict[str, list[tuple[float, int, int]]] = {"Django's cascade on plain models": [], "ours": []}
    functions = dict(zip(taken, ("delete_plain", "delete_ours"), strict=True))
    for _ in range(rounds):
        for how, function in functions.items():
            timed = probe(f"benchmarks.deleting:{function}", traced=False, project_id=_fill(tasks))
            traced = probe(f"benchmarks.deleting:{function}", traced=True, project_id=_fill(tasks))
            taken[how].append((timed.seconds, timed.resident, traced.traced))
    for how, figures in taken.items():
        seconds, resident, traced_bytes = (sorted(column)[len(column) // 2] for column in zip(*figures, strict=True))
        table.add(how, f"{seconds:.2f}", megabytes(resident), megabytes(traced_bytes), str(rounds))
    empty()
    return [table]


def _fill(tasks: int) -> int:
    """A project with this many tasks, half as many comments and a member; its key."""
    empty()
    user, _made = get_user_model().objects.get_or_create(username="owner")
    project = PlainProject.objects.create(name="To be deleted", created_by=user)
    PlainMembership.objects.create(project=project, user=user, role="owner")
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO django_pm_task (project_id, title, description, status, priority, due_date, created_by_id,"
            " metadata, created_at, updated_at) SELECT %s, 'Task ' || n, repeat('What is to be done. ', 10), 'pending',"
            " 1, now(), %s, '{}', now() - n * interval '1 minute', now() FROM generate_series(1, %s) AS n",
            [project.pk, user.pk, tasks],
        )
        cursor.execute(
            "INSERT INTO django_pm_comment (task_id, author, user_id, content, created_at, updated_at)"
            " SELECT id, 'Somebody', %s, 'Half done.', now(), now() FROM django_pm_task WHERE id %% 2 = 0",
            [user.pk],
        )
    tidy()
    return int(project.pk)
