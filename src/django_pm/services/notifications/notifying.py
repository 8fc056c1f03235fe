"""Decides who is told of an event, and why. A subscriber of the event log, so a host's own write tells people too.

Two steps: what the event says of people (``_HANDLERS``, by its type), and who of them is told where (``tell``): whoever
sees the project now, except for whoever did it. What a person has to do with a task is noted in the order of the
stream, so it is the same whenever the events are read. All of it is read where it is written: what a replica that is
behind does not know, nobody would ever be told of.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.utils import timezone

from django_pm import access
from django_pm.event_types import OMITTED
from django_pm.events import feed
from django_pm.models import Channel, Comment, Event, Membership, Notification, Reason, Role, Task
from django_pm.models.among import among
from django_pm.services.notifications import channels, notices, watching
from django_pm.services.notifications.mentions import mentioned_in

NAME = "django_pm.notifications"
"""Under which the subscriber's places in the streams are kept."""

BATCH = 1_000


class Told(NamedTuple):
    """What an event says of people: who is to hear of it and why, and who has to do with its task from now on."""

    reasons: Mapping[Reason, Collection[Any]]
    task_id: Any = None
    involved: Collection[Any] = ()
    doers: Collection[Any] = ()
    """Who did it, besides the actor."""


class About(NamedTuple):
    """What a notification is about, the same for all who get it."""

    event_uuid: Any
    project_id: Any
    task_id: Any
    object_type: str
    object_id: str
    actor_id: str | None = None


def notify(event: Event) -> None:
    """Tell people of ``event``: the subscriber."""
    told = _HANDLERS[event.type](event)
    if told is None:
        return
    doers = {*told.doers, *_users([event.actor_id])}
    people = {*told.involved, *(user_id for each in told.reasons.values() for user_id in each)}
    seeing = _seeing(event.project_id, people)
    if told.task_id is not None:
        watching.involve(seeing & set(told.involved), told.task_id)
    reasons = {
        user_id: reason for reason in reversed(Reason) for user_id in told.reasons.get(reason, ()) if user_id in seeing
    }
    about = About(event.uuid, event.project_id, told.task_id, event.object_type, event.object_id, event.actor_id)
    tell([(about, {user_id: reason for user_id, reason in reasons.items() if user_id not in doers})])


def tell(occasions: Collection[tuple[About, Mapping[Any, Reason]]]) -> int:
    """Put each of these into the inboxes of its people, and have it mailed, as each of them wants it; how many are new.

    They are known to see the project. Whoever was told of the same event is not told again.
    """
    notifications = Notification.objects.using(feed.database())
    names = [about.event_uuid for about, _reasons in occasions]
    known = set(notifications.filter(among("event_uuid", names)).values_list("event_uuid", "recipient"))
    wanted = [
        (about, user_id, reasons[user_id])
        for about, reasons in occasions
        for user_id in sorted(reasons, key=str)
        if (about.event_uuid, user_id) not in known
    ]
    if not wanted:
        return 0
    choices = channels.Choices(
        (user_id for _about, user_id, _reason in wanted), (about.project_id for about, _user_id, _reason in wanted)
    )
    now = timezone.now()
    rows = []
    for about, user_id, reason in wanted:
        where = set(choices.of(user_id, about.project_id, reason))
        if reason in channels.MAIL_COLUMNS:
            where.discard(Channel.MAIL)  # it has rows of its own in the queue
        if where:
            rows.append(
                Notification(
                    recipient_id=user_id,
                    reason=reason,
                    project_id=about.project_id,
                    task_id=about.task_id,
                    object_type=about.object_type,
                    object_id=about.object_id,
                    event_uuid=about.event_uuid,
                    actor_id=about.actor_id,
                    in_app=Channel.IN_APP in where,
                    by_mail="".join(where - {Channel.IN_APP}),
                    created_at=now,
                )
            )
    notices.queue((row for row in rows if row.by_mail == Channel.MAIL), now)
    notifications.bulk_create(rows, batch_size=BATCH)
    return len(rows)


def _seeing(project_id: Any, user_ids: Collection[Any]) -> set[Any]:
    return {user_id for some in channels.chunks(user_ids) for user_id in access.who_sees(project_id, some)}


# What each type of event says of people


def _task_created(event: Event) -> Told:
    task_id = int(event.object_id)
    assignee, creator = _users([_new(event, "assignee")]), _users([_new(event, "created_by")])
    if "comments" in event.changes:
        # It came from another project, or its key was given: whoever had to do with it there knows of it.
        told = assignee - watching.involved(task_id, assignee)
        return Told({Reason.ASSIGNED: told}, task_id, assignee | creator)
    mentioned = mentioned_in(_text(event, "description"))
    return Told({Reason.ASSIGNED: assignee, Reason.MENTIONED: mentioned}, task_id, assignee | creator | mentioned)


def _task_updated(event: Event) -> Told:
    task_id = int(event.object_id)
    assignee, mentioned = _users([_new(event, "assignee")]), _newly_mentioned(event, "description")
    hearing = watching.hearing_of(task_id, event.project_id) if "status" in event.changes else set()
    reasons = {Reason.ASSIGNED: assignee, Reason.MENTIONED: mentioned, Reason.STATUS_CHANGED: hearing}
    return Told(reasons, task_id, assignee | mentioned)


def _task_escalated(event: Event) -> Told:
    task_id = int(event.object_id)
    return Told({Reason.ESCALATED: _of_role(event.project_id, _new(event, "role"))}, task_id)


def _comment_created(event: Event) -> Told:
    task_id = _new(event, "task")
    author, mentioned = _users([_new(event, "user")]), mentioned_in(_text(event, "content"))
    hearing = watching.hearing_of(task_id, event.project_id)
    reasons = {Reason.MENTIONED: mentioned, Reason.COMMENTED: hearing}
    return Told(reasons, task_id, author | mentioned, doers=author)


def _comment_updated(event: Event) -> Told | None:
    mentioned = _newly_mentioned(event, "content")
    comment = Comment.objects.using(feed.database()).filter(pk=event.object_id)
    task_id = comment.values_list("task", flat=True).first()
    if not mentioned or task_id is None:
        return None
    return Told({Reason.MENTIONED: mentioned}, task_id, mentioned)


def _member_added(event: Event) -> Told:
    return Told({Reason.ADDED: _users([_new(event, "user")])})


def _report_generated(event: Event) -> Told | None:
    if _new(event, "date") is None:  # made anew, of which people have been told
        return None
    return Told({Reason.REPORT_READY: _of_role(event.project_id, Role.MANAGER)})


_HANDLERS: dict[str, Callable[[Event], Told | None]] = {
    "task.created": _task_created,
    "task.updated": _task_updated,
    "task.escalated": _task_escalated,
    "comment.created": _comment_created,
    "comment.updated": _comment_updated,
    "member.added": _member_added,
    "report.generated": _report_generated,
}
TYPES = tuple(_HANDLERS)


# What an event holds


def _new(event: Event, column: str) -> Any:
    """What ``column`` has become; None if it is empty or has not changed."""
    pair = event.changes.get(column)
    return pair[1] if isinstance(pair, list) else None


def _users(keys: Iterable[Any]) -> set[Any]:
    """Keys of users as the log has them, as the user model has them; what is no key of it is nobody."""
    field: Any = get_user_model()._meta.pk
    found = set()
    for key in keys:
        with contextlib.suppress(ValidationError):
            found.add(field.to_python(key))
    return found - {None}


def _text(event: Event, column: str) -> str:
    """What a text has become. Of one that was too long for the log, what it is now."""
    text = _new(event, column)
    if text == OMITTED:
        model: Any = Task if event.object_type == "task" else Comment
        row = model.objects.using(feed.database()).filter(pk=event.object_id)
        text = row.values_list(column, flat=True).first()
    return text or ""


def _newly_mentioned(event: Event, column: str) -> set[Any]:
    """Whom a text mentions that did not mention them before."""
    if column not in event.changes:
        return set()
    mentioned = mentioned_in(_text(event, column))
    old = event.changes[column][0]
    if old == OMITTED:
        before = Notification.objects.using(feed.database()).filter(
            reason=Reason.MENTIONED, object_type=event.object_type, object_id=event.object_id, recipient__in=mentioned
        )
        return mentioned - set(before.values_list("recipient", flat=True))
    return mentioned - mentioned_in(old or "")


def _of_role(project_id: Any, role: str | None) -> set[Any]:
    """The members with this role or a higher one; nobody without a role."""
    if role is None:
        return set()
    roles = [each for each in Role if each.rank >= Role(role).rank]
    members = Membership.objects.using(feed.database()).filter(project=project_id, role__in=roles)
    return set(members.values_list("user", flat=True))
