"""Letting go of what has had its time: old events, used idempotency keys, ended mail, old reports and
notifications, what people said of things that are gone, and what rules have done to them.
"""

from __future__ import annotations

from django.db import router

from django_pm.events.retention import prune_all
from django_pm.models import Firing, IdempotencyKey, Mail, Notification, ProjectChannels, Report, Watch


def prune(*, days: int | None = None, count: int | None = None, hard_cap_days: int | None = None) -> dict[str, int]:
    """Delete it, events by the settings or by the limits given; how many of each there were."""
    events = prune_all(days=days, count=count, hard_cap_days=hard_cap_days)
    pruned = {"events": sum(events.values())}
    for model in (IdempotencyKey, Mail, Report, Notification, Watch, ProjectChannels, Firing):
        number, _by_model = model.objects.using(router.db_for_write(model)).expired().delete()
        pruned[str(model._meta.verbose_name_plural)] = number
    return pruned
