"""Letting go of old events: off unless a host sets a limit. What is pruned, clients fetch afresh."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db.models import Min
from django.utils import timezone

from django_pm.conf import app_settings
from django_pm.events.feed import database, locked_stream, number
from django_pm.events.subscribers import registered
from django_pm.models import Cursor, Event, ProjectStream, Subscriber
from django_pm.models.event import new_epoch

CHUNK = 10_000


def prune_all(*, days: int | None = None, count: int | None = None, hard_cap_days: int | None = None) -> dict[Any, int]:
    """Prune every stream by the limits given, or else by the settings; how many events of each project went."""
    days = app_settings.EVENT_RETENTION_DAYS if days is None else days
    count = app_settings.EVENT_RETENTION_COUNT if count is None else count
    cap = app_settings.EVENT_HARD_CAP_DAYS if hard_cap_days is None else hard_cap_days
    if not (days or count or cap):
        return {}
    now = timezone.now()
    pruned = {}
    for project_id in list(ProjectStream.objects.using(database()).order_by("pk").values_list("pk", flat=True)):
        gone = 0
        if cap:
            gone += prune(project_id, older_than=now - dt.timedelta(days=cap))
        if days or count:
            gone += prune(
                project_id,
                older_than=now - dt.timedelta(days=days) if days else None,
                keep=count or None,
                below=read_by_all(project_id),
            )
        if gone:
            pruned[project_id] = gone
    return pruned


def read_by_all(project_id: Any) -> int | None:
    """The number up to which every live subscriber has read; None where none is behind because there is none.

    One that no relay has seen yet does not count: it begins at the heads of that moment.
    """
    known = {subscription.name for subscription in registered()}
    names = list(Subscriber.objects.using(database()).filter(name__in=known).values_list("name", flat=True))
    if not names:
        return None
    cursors = Cursor.objects.using(database()).filter(subscriber__in=names, project_id=project_id)
    # A subscriber without a cursor here has read nothing of this stream yet.
    if cursors.count() < len(names):
        return 0
    lowest: int = cursors.aggregate(lowest=Min("seq"))["lowest"]
    return lowest


def prune(
    project_id: Any,
    *,
    older_than: dt.datetime | None = None,
    keep: int | None = None,
    below: int | None = None,
) -> int:
    """Delete the oldest numbered events of a project; how many went. ``floor`` becomes the lowest number still there.

    An event goes if it was made before ``older_than`` or is not among the last ``keep``, and if its number is at most
    ``below``. What goes is always a whole beginning of the stream.
    """
    number(project_id)
    using = database()
    events = Event.objects.using(using).filter(project_id=project_id, seq__isnull=False)
    gone = 0
    while True:
        # In pieces: whoever numbers or reads the stream waits no longer than one of them takes.
        with locked_stream(project_id) as stream:
            last = 0
            if older_than is not None:
                younger = events.filter(created_at__gte=older_than).order_by("seq")
                first = younger.values_list("seq", flat=True).first()
                last = stream.seq if first is None else first - 1
            if keep is not None:
                last = max(last, stream.seq - keep)
            if below is not None:
                last = min(last, below)
            if last < stream.floor:
                return gone
            last = min(last, stream.floor + CHUNK - 1)
            ProjectStream.objects.using(using).filter(pk=project_id).update(floor=last + 1)
            gone += int(events.filter(seq__lte=last)._raw_delete(using))


def rotate_epoch(project_ids: list[Any] | None = None) -> int:
    """Begin a new lineage of the log, after a backup was restored; how many streams there are.

    Every client then resets instead of silently missing what the lost lineage had told it.
    """
    streams = ProjectStream.objects.using(database())
    if project_ids is not None:
        streams = streams.filter(pk__in=project_ids)
    keys = list(streams.order_by("pk").values_list("pk", flat=True))
    for key in keys:
        ProjectStream.objects.using(database()).filter(pk=key).update(epoch=new_epoch())
    return len(keys)
