"""What people do to tasks in bulk, one task at a time: complete, reassign, move, delete.

The row is found among what the actor sees, locked, and the policy is asked about it as it is then, in one transaction
for each task: so these services ask ``access`` themselves, unlike those whose caller holds the row already. Each raises
``Task.DoesNotExist`` for a task that is gone or hidden, ``NotAllowed`` where the policy says no, and answers whether it
changed anything.
"""

from __future__ import annotations

from typing import Any

from django.db import router, transaction

from django_pm import access
from django_pm.exceptions import CannotBeAssigned
from django_pm.models import Project, Status, Task
from django_pm.services.assigning import can_be_given


def complete(*, actor: Any, pk: Any) -> bool:
    """Set the status to completed."""
    with transaction.atomic(using=router.db_for_write(Task)):
        task = _locked(actor, pk)
        access.require(actor, "change", task)
        return _write(task, status=Status.COMPLETED)


def reassign(*, actor: Any, pk: Any, assignee: Any | None) -> bool:
    """Give the task to ``assignee``, a user, or to nobody. Raises ``CannotBeAssigned`` for one who does not see it."""
    with transaction.atomic(using=router.db_for_write(Task)):
        task = _locked(actor, pk)
        access.require(actor, "change", task)
        assignee_id = None if assignee is None else assignee.pk
        if not can_be_given(task=task, project_id=task.project_id, assignee_id=assignee_id):
            raise CannotBeAssigned
        return _write(task, assignee_id=assignee_id)


def move(*, actor: Any, pk: Any, project: Project) -> bool:
    """Move the task to another project. Raises ``CannotBeAssigned`` if its assignee does not see that one."""
    with transaction.atomic(using=router.db_for_write(Task)):
        task = _locked(actor, pk)
        access.require(actor, "change", task)
        require_move(actor=actor, task=task, project=project)
        if not can_be_given(task=task, project_id=project.pk, assignee_id=task.assignee_id):
            raise CannotBeAssigned
        return _write(task, project_id=project.pk)


def require_move(*, actor: Any, task: Task, project: Project) -> None:
    """Raise ``NotAllowed`` unless ``actor`` may move ``task`` there: it is taken from one project, added to another."""
    if project.pk != task.project_id:
        access.require(actor, "delete", task)
        access.require(actor, "add", Task(project=project))


def delete(*, actor: Any, pk: Any) -> bool:
    """Delete the task with its comments."""
    with transaction.atomic(using=router.db_for_write(Task)):
        task = _locked(actor, pk, fully=True)
        access.require(actor, "delete", task)
        task.delete()
        return True


def _locked(actor: Any, pk: Any, *, fully: bool = False) -> Task:
    rows = Task.objects.using(router.db_for_write(Task)).select_for_update(of=("self",), no_key=not fully)
    task: Task = access.visible(actor, rows).get(pk=pk)
    return task


def _write(task: Task, **values: Any) -> bool:
    """Whether any of these columns was to be changed."""
    if all(getattr(task, name) == value for name, value in values.items()):
        return False
    for name, value in values.items():
        setattr(task, name, value)
    task.save(update_fields=list(values))
    return True
