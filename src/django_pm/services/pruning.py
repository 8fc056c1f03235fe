"""Letting go of what has had its time: old events, used idempotency keys, ended mail, old reports and
notifications, what people said of things that are gone, and what rules have done to them.
"""

from __future__ import annotations

from typing import Any

from django.db import router
from django.db.models import QuerySet
from django.utils import translation

from django_pm.events.retention import prune_all
from django_pm.models import Firing, IdempotencyKey, Mail, Notification, ProjectChannels, Report, Watch

PIECE = 2_000
"""How many rows are deleted in one transaction."""

FOUND_AT_ONCE = 100_000
"""How many keys of them are read before."""


def prune(*, days: int | None = None, count: int | None = None, hard_cap_days: int | None = None) -> dict[str, int]:
    """Delete it, events by the settings or by the limits given; how many of each there were."""
    events = prune_all(days=days, count=count, hard_cap_days=hard_cap_days)
    pruned = {"events": sum(events.values())}
    for model in (IdempotencyKey, Mail, Report, Notification, Watch, ProjectChannels, Firing):
        rows = model.objects.using(router.db_for_write(model)).expired()
        with translation.override("en"):  # for a log, like all that commands and workers say
            name = str(model._meta.verbose_name_plural)
        pruned[name] = _delete(rows)
    return pruned


def _delete(rows: QuerySet[Any]) -> int:
    """Delete these in pieces, each in a transaction of its own; how many there were.

    Django reads what something points at before it deletes it, as notifications do at mail: a year's all at once would
    have to fit into memory, and be held locked until the end. Which they are is not asked for each piece: to find the
    watches of what is gone, all are looked at.
    """
    number, there = 0, True
    while there:
        keys = list(rows.order_by().values_list("pk", flat=True)[:FOUND_AT_ONCE])
        for start in range(0, len(keys), PIECE):
            number += rows.filter(pk__in=keys[start : start + PIECE]).delete()[0]
        there = len(keys) == FOUND_AT_ONCE
    return number
