"""Who can be given a task, and giving it to whoever has least to do in its project.

Who that is depends on the tasks of all others, so whoever gives one locks the project's row before counting: any
number at once spread evenly.
"""

from __future__ import annotations

from typing import Any

from django.db import router, transaction
from django.db.models import Count

from django_pm import access
from django_pm.models import Membership, Project, Role, Task

WORKING = (Role.MEMBER, Role.MANAGER, Role.OWNER)
"""Roles that may do what a task asks for."""


def assign(*, actor: Any, task: Task) -> Any | None:
    """Give ``task`` to the least loaded member of its project other than its assignee; the key of whom.

    None, and the task as it was, if there is nobody else. Raises ``Task.DoesNotExist`` if the task is gone.
    """
    using = router.db_for_write(Task)
    tasks = Task.objects.using(using)
    while True:
        with transaction.atomic(using=using):
            # The project before the task, as in a deletion of the project.
            project_id = tasks.values_list("project", flat=True).get(pk=task.pk)
            hold(project_id)
            row: Task = tasks.select_for_update(no_key=True).get(pk=task.pk)
            if row.project_id != project_id:  # moved meanwhile
                continue
            user_id = least_loaded(project_id=project_id, besides=row.assignee_id)
            if user_id is not None:
                row.assignee_id = user_id
                row.save(using=using, update_fields=["assignee"])
            return user_id


def can_be_given(*, task: Task | None, project_id: Any, assignee_id: Any) -> bool:
    """Whether a task of this project may have this assignee (keys): somebody who sees the project, or nobody.

    ``task`` is the task as it stands, None for a new one. What is so already may stay: somebody may have left the
    project, and the task must remain editable.
    """
    if assignee_id is None or (task is not None and (project_id, assignee_id) == (task.project_id, task.assignee_id)):
        return True
    return assignee_id in access.who_sees(project_id, [assignee_id])


def hold(project_id: Any) -> None:
    """Keep whoever else gives a task of the project waiting until the transaction ends, and whoever deletes it."""
    Project.objects.using(router.db_for_write(Task)).select_for_update(no_key=True).filter(pk=project_id).first()


def least_loaded(*, project_id: Any, besides: Any = None) -> Any | None:
    """The key of whoever has the fewest open tasks in the project, of those members who may work and see it now.

    Of several, who joined first. ``besides`` does not count; None if there is nobody else.

    Call it in the transaction that gives the task: until its end, whoever asks too is kept waiting.
    """
    using = router.db_for_write(Task)
    hold(project_id)
    # Counted by a statement of its own, which sees what was given while this one waited.
    members = Membership.objects.using(using).filter(project=project_id, role__in=WORKING).order_by("pk")
    working = [user_id for user_id in members.values_list("user", flat=True) if user_id != besides]
    seeing = access.who_sees(project_id, working)
    open_tasks = Task.objects.using(using).open().filter(project=project_id, assignee__in=seeing)
    loads = dict(open_tasks.order_by().values_list("assignee").annotate(number=Count("pk")))
    return min((user_id for user_id in working if user_id in seeing), key=lambda key: loads.get(key, 0), default=None)
