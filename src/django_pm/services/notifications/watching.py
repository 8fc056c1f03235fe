"""Who hears of what happens to a task: whoever watches it or its project, or has come to have to do with it.

Being given a task, being mentioned in it and commenting on it involve somebody; watching and muting are said. What is
said is never changed by what happens.

Whoever decides by it reads where it is written: a replica would not have yet what the same transaction noted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet

from django_pm.events import feed
from django_pm.models import Comment, Level, Task, Watch, Watched

BATCH = 1_000


def level_of(user: Any, kind: Watched, key: Any) -> str | None:
    """How much ``user`` hears of a project or task; None where nothing was said and nothing has happened."""
    rows = Watch.objects.filter(user=user.pk, object_type=kind, object_id=key)
    level: str | None = rows.values_list("level", flat=True).first()
    return level


def say(*, user: Any, kind: Watched, key: Any, level: Level) -> None:
    """Have ``user`` hear so much of a project or task from now on."""
    Watch.objects.update_or_create(user=user, object_type=kind, object_id=key, defaults={"level": level})


def forget(*, user: Any, kind: Watched, key: Any) -> None:
    """Take back what was said, and being involved with it."""
    Watch.objects.filter(user=user.pk, object_type=kind, object_id=key).delete()


def involve(user_ids: Iterable[Any], task_id: Any) -> None:
    """Note that these have to do with the task, as far as they have not said how much they want to hear of it."""
    _insert([(user_id, task_id) for user_id in sorted(user_ids, key=str)])


def hearing_of(task_id: Any, project_id: Any) -> set[Any]:
    """The keys of those who are to hear of what happens to the task, whatever they may see.

    What somebody said of the task comes before what they said of its project; involvement does not.
    """
    of_task = _levels(Watched.TASK, task_id)
    of_project = _levels(Watched.PROJECT, project_id)
    return {
        user_id
        for user_id in of_task.keys() | of_project.keys()
        if _hears(of_task.get(user_id), of_project.get(user_id))
    }


def _hears(of_task: str | None, of_project: str | None) -> bool:
    if of_task in (Level.WATCHING, Level.MUTED):
        return of_task == Level.WATCHING
    if of_project is not None:
        return of_project == Level.WATCHING
    return of_task == Level.INVOLVED


def _levels(kind: Watched, key: Any) -> dict[Any, str]:
    rows = Watch.objects.using(feed.database()).filter(object_type=kind, object_id=key)
    return dict(rows.values_list("user", "level"))


def involved(task_id: Any, user_ids: Collection[Any]) -> set[Any]:
    """Those of ``user_ids`` who have had to do with the task already, or have said something of it."""
    rows = Watch.objects.using(feed.database()).filter(object_type=Watched.TASK, object_id=task_id)
    return set(rows.filter(user__in=user_ids).values_list("user", flat=True))


def involve_everybody() -> None:
    """Involve whoever made, has or has commented on a task that was there before anybody was told of anything.

    When the inbox begins. What it finds may be ahead of the log by what nobody has read yet, which then finds these
    people involved already. On a large site it takes minutes, so it goes by pieces, each committed on its own: nobody
    who says something of a task waits for the end, and who is cut off goes on from there the next time.
    """
    tasks, comments = Task.objects.using(feed.database()), Comment.objects.using(feed.database())
    for rows, user, task in ((tasks, "created_by", "pk"), (tasks, "assignee", "pk"), (comments, "user", "task")):
        there = Watch.objects.filter(object_type=Watched.TASK, object_id=OuterRef(task), user=OuterRef(user))
        missing = rows.filter(~Exists(there), **{f"{user}__isnull": False}).order_by("pk")
        for pairs in _pieces(missing.values_list("pk", user, task)):
            _insert([(user_id, task_id) for _key, user_id, task_id in pairs])


def _pieces(rows: QuerySet[Any]) -> Iterator[list[tuple[Any, ...]]]:
    """These rows of key and more, ascending, in pieces."""
    behind = rows
    while piece := list(behind[:BATCH]):
        yield piece
        behind = rows.filter(pk__gt=piece[-1][0])


def _insert(pairs: list[tuple[Any, Any]]) -> None:
    Watch.objects.using(feed.database()).bulk_create(
        [
            Watch(user_id=user_id, object_type=Watched.TASK, object_id=task_id, level=Level.INVOLVED)
            for user_id, task_id in pairs
        ],
        ignore_conflicts=True,
        batch_size=BATCH,
    )
