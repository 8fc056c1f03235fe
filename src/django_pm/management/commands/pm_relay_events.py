"""``manage.py pm_relay_events``: hand committed events to the subscribers, once or for as long as it runs."""

import logging
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import close_old_connections

from django_pm.events.relay import Relayed, relay_events

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Hand events to subscribers. Any number may run; each stream is worked on by one at a time."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--watch", action="store_true", help="go on until interrupted")
        parser.add_argument("--interval", type=float, default=1.0, help="seconds between looks with --watch (1)")

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["watch"]:
            self.tell(relay_events())
            return
        while True:
            try:
                relayed = relay_events()
            except Exception:  # the database may be away for a moment: nobody looks after this process then
                logger.exception("The events could not be relayed; it is tried again.")
            else:
                if any(relayed):
                    self.tell(relayed)
            close_old_connections()
            time.sleep(options["interval"])

    def tell(self, relayed: Relayed) -> None:
        """Write what one look came to."""
        self.stdout.write("delivered {}, failed {}, parked {}".format(*relayed))
