"""``manage.py pm_prune``: let go of old events, by the settings or by the limits given, and of expired keys."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import router

from django_pm.events.retention import prune_all
from django_pm.models import IdempotencyKey


class Command(BaseCommand):
    help = (
        "Delete old events (without options by EVENT_RETENTION_DAYS, EVENT_RETENTION_COUNT and EVENT_HARD_CAP_DAYS; "
        "by default none) and what has expired: idempotency keys after a day."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--days", type=int, help="delete events older than this")
        parser.add_argument("--keep", type=int, help="keep this many of the latest events of each project")
        parser.add_argument("--hard-cap-days", type=int, help="older than this, even if a subscriber has not read them")

    def handle(self, *args: Any, **options: Any) -> None:
        pruned = prune_all(days=options["days"], count=options["keep"], hard_cap_days=options["hard_cap_days"])
        self.stdout.write(f"pruned {sum(pruned.values())} events of {len(pruned)} projects")
        keys, _by_model = IdempotencyKey.objects.using(router.db_for_write(IdempotencyKey)).expired().delete()
        self.stdout.write(f"pruned {keys} idempotency keys")
