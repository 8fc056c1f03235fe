"""Notifications by mail, at once: those of one task to one person leave together, after a short wait.

Queued, a message has no text. When it leaves, it says what is still so: what was read meanwhile, is gone, was taken
back or is not wanted by mail any more is left out, and a message of which nothing is left does not leave. So that is
read where it is written: to a replica that is behind, what is new is gone.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from django_pm.conf import app_settings
from django_pm.events import feed
from django_pm.models import (
    Channel,
    Comment,
    Event,
    Mail,
    MailKind,
    MailState,
    Notification,
    Project,
    Reason,
    Task,
)
from django_pm.services.notifications import channels, inbox

BATCH = 1_000


def about(notification: Notification) -> str:
    """What a message is about: those of one task, or of one project, are carried by one."""
    if notification.task_id is not None:
        return f"task:{notification.task_id}"
    return f"project:{notification.project_id}"


def queue(notifications: Iterable[Notification], now: dt.datetime) -> None:
    """Have these new ones carried, each by a message that waits for its turn, or by a new one."""
    together = defaultdict(list)
    for each in notifications:
        together[about(each)].append(each)
    for key, some in together.items():
        _queue(key, some, now)


def _queue(key: str, notifications: list[Notification], now: dt.datetime) -> None:
    """The same for those that are about one thing, one for each recipient."""
    mails = Mail.objects.using(feed.database())
    waiting: dict[Any, Mail] = {}
    for some in channels.chunks([each.recipient_id for each in notifications]):
        rows = mails.filter(kind=MailKind.NOTICE, object_id=key, recipient__in=some)
        untried = rows.filter(state=MailState.WAITING, attempts=0)
        # One that is being claimed at this moment is not waited for: it may have been written already.
        waiting |= {mail.recipient_id: mail for mail in untried.select_for_update(skip_locked=True, of=("self",))}
    due_at = now + dt.timedelta(seconds=app_settings.NOTIFICATION_DELAY_SECONDS)
    new = {
        each.recipient_id: Mail(
            kind=MailKind.NOTICE,
            object_id=key,
            occurrence=each.event_uuid.hex,
            recipient_id=each.recipient_id,
            due_at=due_at,
        )
        for each in notifications
        if each.recipient_id not in waiting
    }
    mails.bulk_create(new.values(), batch_size=BATCH)
    for each in notifications:
        each.mail = waiting.get(each.recipient_id) or new[each.recipient_id]


class Item(NamedTuple):
    """One notification as a message tells it."""

    notification: Notification
    event: Event | None
    """None if the log does not have it any more."""
    comment: Comment | None = None

    @property
    def reason(self) -> Reason:
        return Reason(self.notification.reason)

    @property
    def actor(self) -> str:
        """The name of who did it, as it was then; empty where nobody or nothing is known."""
        return self.event.actor_name if self.event else ""

    def became(self, column: str) -> Any:
        """What the event made of a column; None if it did not change it."""
        pair = self.event.changes.get(column) if self.event else None
        return pair[1] if isinstance(pair, list) else None


class Notice(NamedTuple):
    """What one message says: of a task, or of a project where there is none."""

    items: list[Item]
    project: Project
    task: Task | None

    @property
    def reason(self) -> Reason:
        """Why it is sent, above all."""
        return min((item.reason for item in self.items), key=list(Reason).index)


def still_wanted(mails: Collection[Mail]) -> dict[Any, Notice | str]:
    """By the key of the message, what it is to say, or why it is not to be sent any more."""
    carried: dict[Any, list[Notification]] = defaultdict(list)
    using = feed.database()
    rows = Notification.objects.using(using).filter(mail__in=[mail.pk for mail in mails])
    for each in rows.order_by("pk"):
        carried[each.mail_id].append(each)
    every = [each for some in carried.values() for each in some]
    items = read(every)
    wanted = wanting(every, Channel.MAIL)
    projects = Project.objects.using(using).in_bulk({each.project_id for each in every})
    tasks = Task.objects.using(using).select_related("project").in_bulk({each.task_id for each in every} - {None})

    def verdict(mail: Mail) -> Notice | str:
        mine = carried.get(mail.pk, [])
        if all(each.read_at for each in mine):
            return "It was read before it could leave."
        told = [items[each.pk] for each in mine if not each.read_at and each.pk in items]
        if not told:
            return "It is not seen any more, or gone."
        if not (told := [item for item in told if item.notification.pk in wanted]):
            return "The recipient does not want it by mail any more."
        task = tasks.get(told[0].notification.task_id)
        if not (told := squashed(told, task)):
            return "It was taken back before it could leave."
        return Notice(told, projects[told[-1].notification.project_id], task)

    return {mail.pk: verdict(mail) for mail in mails}


def read(notifications: Collection[Notification]) -> dict[Any, Item]:
    """By key, those that their recipients may see now, with what the log and the comments say of them."""
    seen = inbox.still_seen(notifications)
    rows = [each for each in notifications if each.pk in seen]
    events = {event.uuid: event for event in _events(rows)}
    keys = {int(each.object_id) for each in rows if each.object_type == "comment"}
    comments = Comment.objects.using(feed.database()).in_bulk(keys)
    items = {}
    for each in rows:
        comment = comments.get(int(each.object_id)) if each.object_type == "comment" else None
        is_there = comment is not None and comment.task_id == each.task_id  # it may be about another task by now
        if is_there or each.object_type != "comment":
            items[each.pk] = Item(each, events.get(each.event_uuid), comment)
    return items


def _events(notifications: Iterable[Notification]) -> Iterable[Event]:
    """Theirs: found by project and object, which the log has an index of, and not by their names.

    Each is asked for where it is, so a statement grows with what is in one project and not with all of them.
    """
    places: dict[tuple[Any, str], list[Notification]] = defaultdict(list)
    for each in notifications:
        places[each.project_id, each.object_type].append(each)
    for (project_id, kind), some in places.items():
        object_ids, names = {each.object_id for each in some}, {each.event_uuid for each in some}
        rows = Event.objects.using(feed.database()).filter(project_id=project_id, object_type=kind)
        yield from rows.filter(object_id__in=object_ids, uuid__in=names)


def wanting(notifications: Collection[Notification], channel: Channel) -> set[Any]:
    """The keys of those that their recipients want by this channel now."""
    choices = channels.Choices(
        (each.recipient_id for each in notifications), (each.project_id for each in notifications)
    )
    return {each.pk for each in notifications if channel in choices.of(each.recipient_id, each.project_id, each.reason)}


def squashed(items: list[Item], task: Task | None) -> list[Item]:
    """Without what was taken back: a status that is what it was before the first change, a task that is another's."""
    statuses = [item.event.changes["status"] for item in items if item.reason == Reason.STATUS_CHANGED and item.event]
    is_back = bool(statuses) and statuses[0][0] == statuses[-1][1]
    return [
        item
        for item in items
        if not (is_back and item.reason == Reason.STATUS_CHANGED)
        and not (item.reason == Reason.ASSIGNED and task and task.assignee_id != item.notification.recipient_id)
    ]
