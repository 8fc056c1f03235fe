"""Notifications for whoever is connected: looked for beside the events, and told to their recipient alone.

They have no numbers of their own, and nothing is told again: ``GET /notifications/`` has them all. What is committed
while somebody is connected is told, though, in whatever order it is committed.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from django.db.models import Max
from django.utils import timezone

from django_pm.events.feed import database
from django_pm.models import Notification
from django_pm.realtime import protocol
from django_pm.realtime.authentication import Credential, no_longer_valid
from django_pm.realtime.protocol import Frame
from django_pm.services.notifications import inbox

SETTLING_SECONDS = 30.0
"""How long after a key was seen a lower one may still appear: keys are given before a transaction ends."""

LOOK_BACK = 1_000
"""How many keys before the last one may belong to transactions that are open when the hub begins."""

BEFORE_THE_HUB = dt.timedelta(seconds=10)
"""What is younger when the hub begins is told, though somebody may have read it already: better twice than never."""

AT_ONCE = 1_000


class Seen:
    """Which notifications have been looked at. Used by one thread at a time."""

    def __init__(self) -> None:
        self._floor: int | None = None
        """Everything up to here has been."""
        self._since: dict[int, float] = {}
        """What is above, and when it was first seen (``time.monotonic``)."""

    def new(self) -> list[tuple[int, Any]]:
        """Keys and recipients of those that have not been noted yet."""
        if self._floor is None:
            self._begin()
        self._settle()
        rows = Notification.objects.using(database()).filter(pk__gt=self._floor, in_app=True).order_by()
        return [(key, who) for key, who in rows.values_list("pk", "recipient") if key not in self._since]

    def note(self, keys: Iterable[int]) -> None:
        """That these have been looked at."""
        now = time.monotonic()
        self._since.update((key, now) for key in keys)

    def _begin(self) -> None:
        rows = Notification.objects.using(database()).order_by()
        floor = max(0, (rows.aggregate(last=Max("pk"))["last"] or 0) - LOOK_BACK)
        old = rows.filter(pk__gt=floor, created_at__lt=timezone.now() - BEFORE_THE_HUB)
        since = dict.fromkeys(old.values_list("pk", flat=True), time.monotonic())
        self._floor, self._since = floor, since  # last: with a floor it has begun, and what is old would be new

    def _settle(self) -> None:
        long_ago = time.monotonic() - SETTLING_SECONDS
        settled = [key for key, since in self._since.items() if since < long_ago]
        if settled:
            self._floor = max(settled)
            self._since = {key: since for key, since in self._since.items() if key > self._floor}


class Notice(NamedTuple):
    """One that is to be told."""

    recipient_id: Any
    project_ids: set[Any]
    """What a socket has to be about to be told: the project it is of, and the one where its task is."""
    frame: Frame


def look(
    seen: Seen, user_ids: Collection[Any], credentials: Iterable[Credential]
) -> tuple[list[Notice], set[Credential]]:
    """What is new for these users and what they may see of it, and which credentials have ended, asked last."""
    connected = set(user_ids)
    new = seen.new()
    keys = [key for key, recipient in new if recipient in connected]
    notices = [notice for at in range(0, len(keys), AT_ONCE) for notice in _read(keys[at : at + AT_ONCE])]
    invalid = no_longer_valid(credentials) if notices else set()
    seen.note(key for key, _recipient in new)  # last: what failed is tried again
    return notices, invalid


def _read(keys: list[int]) -> list[Notice]:
    rows = list(inbox.with_titles(Notification.objects.using(database()).filter(pk__in=keys)).order_by("pk"))
    seen = inbox.still_seen(rows)
    return [
        Notice(row.recipient_id, seen[row.pk], protocol.frame("notification.created", notification=inbox.as_json(row)))
        for row in rows
        if row.pk in seen
    ]
