"""Hands events to subscribers. Run by the command ``pm_relay_events`` or a schedule; it needs no broker.

Any number of relays may run: each (subscriber, project) is worked on by one at a time, the others step over it.
"""

from __future__ import annotations

import datetime as dt
import logging
import random
from collections import deque
from typing import Any, NamedTuple

from django.db import DatabaseError, OperationalError, connections, transaction
from django.db.models import F, OuterRef, Q, Subquery
from django.utils import timezone

from django_pm.conf import app_settings
from django_pm.context import in_request, request_id_of
from django_pm.events.feed import database, number_all
from django_pm.events.subscribers import Subscription, registered
from django_pm.models import Cursor, Event, ParkedEvent, ProjectStream, Subscriber

logger = logging.getLogger(__name__)

BATCH = 500
BATCH_FOR = dt.timedelta(seconds=10)
"""After so long a batch is committed with what it has come to: who is killed later has not worked for nothing."""

BACKOFF = dt.timedelta(seconds=1)
LONGEST_BACKOFF = dt.timedelta(minutes=10)
DOUBLINGS = 10
"""After so many it is longer than that. Nothing is doubled more often: in the end no ``timedelta`` would hold it."""


class Relayed(NamedTuple):
    """What one run did: events handed over, failures to be tried again, events parked."""

    delivered: int = 0
    failed: int = 0
    parked: int = 0

    def __add__(self, other: Any) -> Relayed:
        return Relayed(*(mine + its for mine, its in zip(self, other, strict=True)))


def relay_events(*, for_at_most: dt.timedelta = dt.timedelta.max) -> Relayed:
    """Hand every subscriber what it has not had yet, until nothing is left but what must wait, or the time is over.

    Each subscriber has an equal share of the time, and its projects take turns.
    """
    number_all()
    total = Relayed()
    subscriptions = registered()
    for subscription in subscriptions:
        try:
            _begin(subscription)
            total += _relay(subscription, for_at_most / len(subscriptions))
        except Exception:
            # One subscriber in trouble must not keep the others from theirs.
            logger.exception("Subscriber %s could not be served", subscription.name)
    return total


def _relay(subscription: Subscription, for_at_most: dt.timedelta) -> Relayed:
    """Hand one subscriber what it has not had yet."""
    total = Relayed()
    began = timezone.now()
    projects = deque(_behind(subscription))
    while projects and timezone.now() - began < for_at_most:
        try:
            relayed, more = _deliver(subscription, projects[0])
        except Exception:
            if not connections[database()].is_usable():
                raise  # nor could the others be served
            logger.exception("Subscriber %s could not be served in project %s", subscription.name, projects[0])
            relayed, more = Relayed(), False
        total += relayed
        if more:
            projects.rotate(-1)
        else:
            projects.popleft()
    return total


def _begin(subscription: Subscription) -> None:
    """A subscriber seen for the first time begins at the heads: it did not subscribe to the past."""
    using = database()
    subscribers = Subscriber.objects.using(using)
    if subscribers.filter(name=subscription.name).update(seen_at=timezone.now()):
        return
    heads = list(ProjectStream.objects.using(using).values_list("project_id", "seq"))
    if subscription.begin is not None:
        subscription.begin()  # behind the heads, so what it finds is never behind them
    with transaction.atomic(using=using):
        subscriber, new = subscribers.get_or_create(name=subscription.name)
        if new:
            cursors = (Cursor(subscriber=subscriber, project_id=project_id, seq=seq) for project_id, seq in heads)
            Cursor.objects.using(using).bulk_create(list(cursors), batch_size=1_000)


def _behind(subscription: Subscription) -> list[Any]:
    """The projects in which there is something to hand over, each time in another order.

    Where the time is over before all have had a turn, the same ones would otherwise be left out every time.
    """
    place = Cursor.objects.filter(subscriber=subscription.name, project_id=OuterRef("project_id")).values("seq")
    streams = ProjectStream.objects.using(database()).annotate(place=Subquery(place))
    streams = streams.filter(Q(place__lt=F("seq")) | Q(place__isnull=True, seq__gt=0))
    return list(streams.order_by("?").values_list("project_id", flat=True))


def _deliver(subscription: Subscription, project_id: Any, at_most: int = BATCH) -> tuple[Relayed, bool]:
    """One batch of one project's events, and whether to go on at once.

    What handlers wrote may be refused as late as its commit, as by a foreign key, which is deferred. Which of several
    events it was, only a commit of each tells; of a single one it is the failure.
    """
    using = database()
    cursors = Cursor.objects.using(using)
    # A stream without a cursor came into being after the subscriber did: from its beginning.
    cursors.bulk_create([Cursor(subscriber_id=subscription.name, project_id=project_id)], ignore_conflicts=True)
    handed: list[Event] = []
    try:
        with transaction.atomic(using=using):
            place = cursors.filter(subscriber=subscription.name, project_id=project_id)
            cursor = place.select_for_update(skip_locked=True).first()
            if cursor is None or (cursor.retry_at is not None and cursor.retry_at > timezone.now()):
                return Relayed(), False
            # One that has failed goes alone: if that was at the commit, the others would be undone with it again.
            limit = 1 if cursor.attempts else at_most
            begin = cursor.seq
            relayed, going, is_over = Relayed(), True, False
            until = timezone.now() + BATCH_FOR
            events = Event.objects.using(using).filter(project_id=project_id, seq__gt=cursor.seq).order_by("seq")
            for event in events[:limit]:
                handed.append(event)
                if event.seq != cursor.seq + 1:
                    logger.warning(
                        "Subscriber %s missed events %s to %s of project %s: they were pruned",
                        subscription.name,
                        cursor.seq + 1,
                        event.seq - 1,  # type: ignore[operator]
                        project_id,
                    )
                outcome, going = _hand_over(subscription, cursor, event)
                relayed += outcome
                is_over = timezone.now() >= until
                if is_over or not going:
                    break
            cursor.save()
    except OperationalError:
        raise  # the database's own trouble, not that of an event
    except DatabaseError as error:
        if not handed:
            raise
        if len(handed) > 1:
            return _one_by_one(subscription, project_id, len(handed))
        return _refused(subscription, handed[0], begin, error)
    return relayed, going and (is_over or len(handed) == limit)


def _one_by_one(subscription: Subscription, project_id: Any, count: int) -> tuple[Relayed, bool]:
    """The next ``count`` events, each committed by itself, and whether to go on at once."""
    total, more = Relayed(), True
    until = timezone.now() + BATCH_FOR
    for _ in range(count):
        relayed, more = _deliver(subscription, project_id, at_most=1)
        total += relayed
        if not more or timezone.now() >= until:
            break
    return total, more


def _refused(subscription: Subscription, event: Event, begin: int, error: Exception) -> tuple[Relayed, bool]:
    """Note the failure of an event that was handed over from ``begin``, and was undone at its commit."""
    using = database()
    with transaction.atomic(using=using):
        # Another relay may have gone on from there meanwhile, or what failed came after the commit.
        place = Cursor.objects.using(using).filter(subscriber=subscription.name, project_id=event.project_id, seq=begin)
        cursor = place.select_for_update(skip_locked=True).first()
        if cursor is None:
            return Relayed(), False
        with in_request(request_id_of(event.origin)):
            outcome, going = _failed(subscription, cursor, event, error)
        cursor.save()
    return outcome, going


def _hand_over(subscription: Subscription, cursor: Cursor, event: Event) -> tuple[Relayed, bool]:
    """Call the handler; move the cursor, or note the failure. The second value: whether to go on with the next.

    All that is logged and written meanwhile belongs to the request that made the event.
    """
    with in_request(request_id_of(event.origin)):
        return _called(subscription, cursor, event)


def _called(subscription: Subscription, cursor: Cursor, event: Event) -> tuple[Relayed, bool]:
    try:
        with transaction.atomic(using=database()):
            if subscription.wants(event):
                subscription.handler(event)
    except Exception as error:
        return _failed(subscription, cursor, event, error)
    _step(cursor, event)
    return Relayed(delivered=1), True


def _failed(subscription: Subscription, cursor: Cursor, event: Event, error: Exception) -> tuple[Relayed, bool]:
    """Count the failure; after too many park the event and step over it. The second value as in ``_hand_over``."""
    logger.warning("Subscriber %s failed on event %s", subscription.name, event.uuid, exc_info=error)
    cursor.attempts += 1
    if cursor.attempts < app_settings.SUBSCRIBER_ATTEMPTS:
        longest = min(BACKOFF * 2 ** min(cursor.attempts, DOUBLINGS), LONGEST_BACKOFF)
        cursor.retry_at = timezone.now() + longest * random.random()  # noqa: S311 (full jitter, no secret)
        return Relayed(failed=1), False
    # It may be there: where the place was set back (``pm_epoch --mend``), a number is handed over, and parked, again.
    ParkedEvent.objects.using(database()).update_or_create(
        subscriber_id=subscription.name,
        project_id=event.project_id,
        seq=event.seq,  # type: ignore[misc]  # numbered, or it would not be handed over
        defaults={
            "event_uuid": event.uuid,
            "error": f"{type(error).__name__}: {error}".replace("\0", "�")[:10_000],  # PostgreSQL keeps no NUL
            "parked_at": timezone.now(),
        },
    )
    _step(cursor, event)
    return Relayed(parked=1), True


def _step(cursor: Cursor, event: Event) -> None:
    """Have done with the event."""
    cursor.seq, cursor.attempts, cursor.retry_at = event.seq, 0, None  # type: ignore[assignment]
