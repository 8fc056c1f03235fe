"""``manage.py pm_prune``: let go of old events (by the settings or the limits given) and of what has expired."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from django_pm.services.pruning import prune


class Command(BaseCommand):
    help = (
        "Delete old events (without options by EVENT_RETENTION_DAYS, EVENT_RETENTION_COUNT and EVENT_HARD_CAP_DAYS; "
        "by default none) and what has expired: idempotency keys after a day, mail 90 days after it was queued, "
        "reports by REPORT_RETENTION_DAYS, what people were told by NOTIFICATION_RETENTION_DAYS."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--days", type=int, help="delete events older than this")
        parser.add_argument("--keep", type=int, help="keep this many of the latest events of each project")
        parser.add_argument("--hard-cap-days", type=int, help="older than this, even if a subscriber has not read them")

    def handle(self, *args: Any, **options: Any) -> None:
        pruned = prune(days=options["days"], count=options["keep"], hard_cap_days=options["hard_cap_days"])
        for what, number in pruned.items():
            self.stdout.write(f"pruned {number} {what}")
