"""``manage.py pm_relay_events``: hand committed events to the subscribers, once or for as long as it runs."""

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import close_old_connections

from django_pm.events.relay import relay_events


class Command(BaseCommand):
    help = "Hand events to subscribers. Any number may run; each stream is worked on by one at a time."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--watch", action="store_true", help="go on until interrupted")
        parser.add_argument("--interval", type=float, default=1.0, help="seconds between looks with --watch (1)")

    def handle(self, *args: Any, **options: Any) -> None:
        while True:
            relayed = relay_events()
            if any(relayed) or not options["watch"]:
                self.stdout.write("delivered {}, failed {}, parked {}".format(*relayed))
            if not options["watch"]:
                return
            close_old_connections()
            time.sleep(options["interval"])
