"""Reading the inbox. What somebody was told of is shown as long as they see it, and it is there."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.contrib.auth import get_user_model
from django.db import router
from django.db.models import BigIntegerField, Case, Exists, F, OuterRef, QuerySet, Subquery, When
from django.utils import timezone

from django_pm import access, event_types
from django_pm.events import feed
from django_pm.models import Notification, Project, Task
from django_pm.services.notifications.channels import chunks


def of(user: Any) -> QuerySet[Notification]:
    """What ``user`` was told of and may see now, held to what their credentials grant."""
    sight = access.sight_of(user)
    mine = Notification.objects.filter(recipient=user.pk, in_app=True)
    return _there(mine, sight.seen().order_by())


def _there(rows: QuerySet[Notification], projects: QuerySet[Project]) -> QuerySet[Notification]:
    """Those of ``rows`` whose project is among these, and that of the task, which may be another by now.

    The task of each row is looked up. Were it looked for among all that the reader sees, the database would first read
    them all.
    """
    of_task = Subquery(Task.objects.order_by().filter(pk=OuterRef("task_id")).values("project"))
    home = Case(When(task_id__isnull=True, then=F("project_id")), default=of_task, output_field=BigIntegerField())
    return rows.alias(home=home).filter(
        Exists(projects.filter(pk=OuterRef("project_id"))), Exists(projects.filter(pk=OuterRef("home")))
    )


def with_titles(rows: QuerySet[Notification]) -> QuerySet[Notification]:
    """Each with ``title``: of its task as it is now, or else the name of its project."""
    title = Task.objects.order_by().filter(pk=OuterRef("task_id")).values("title")
    name = Project.objects.order_by().filter(pk=OuterRef("project_id")).values("name")
    by_task = When(task_id__isnull=False, then=Subquery(title))
    return rows.annotate(title=Case(by_task, default=Subquery(name)))


def as_json(notification: Notification) -> dict[str, Any]:
    """The public form of a notification that has a ``title``, the same over HTTP and WebSocket."""
    return {
        "id": notification.pk,
        "reason": str(notification.reason),
        "project": notification.project_id,
        "task": notification.task_id,
        "object": {
            "type": notification.object_type,
            "id": feed.public_key(feed.MODELS.get(notification.object_type), notification.object_id),
        },
        "title": notification.title,  # type: ignore[attr-defined]
        "event": str(notification.event_uuid),
        "actor": None if notification.actor_id is None else feed.public_key(get_user_model(), notification.actor_id),
        "created_at": event_types.encode(notification.created_at),
        "read_at": event_types.encode(notification.read_at),
    }


def unread_count(user: Any) -> int:
    """How many of them ``user`` has not read."""
    return of(user).unread().count()  # type: ignore[attr-defined]


def mark_read(rows: QuerySet[Notification]) -> int:
    """Note that these have been read, as far as they have not been; how many."""
    keys = list(rows.filter(read_at__isnull=True).order_by().values_list("pk", flat=True))
    unread = Notification.objects.using(router.db_for_write(Notification)).unread()
    return sum(unread.filter(pk__in=some).update(read_at=timezone.now()) for some in chunks(keys))


def still_seen(notifications: Collection[Notification]) -> dict[Any, set[Any]]:
    """By key, those that their recipients may see now and whose task is there: each with the projects that it tells of.

    That is its own, and the one where the task is by now. Asked for all at once, and where it is written: by it is
    decided whether something is told at all.
    """
    using = feed.database()
    keys_of_tasks = {each.task_id for each in notifications if each.task_id is not None}
    tasks = Task.objects.using(using).filter(pk__in=keys_of_tasks)
    home = dict(tasks.values_list("pk", "project"))
    projects = Project.objects.using(using).filter(pk__in={each.project_id for each in notifications})
    there = set(projects.values_list("pk", flat=True))  # whoever sees all of them sees none that is gone
    seen = access.visible_to_each({each.recipient_id for each in notifications})

    found = {}
    for each in notifications:
        projects_of = {each.project_id, each.project_id if each.task_id is None else home.get(each.task_id)}
        keys = seen[each.recipient_id]
        if each.project_id in there and None not in projects_of and (keys is None or projects_of <= keys):
            found[each.pk] = projects_of
    return found
