"""``manage.py pm_epoch --rotate``: after a backup was restored, have every client start afresh."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_pm.events.feed import database
from django_pm.events.retention import rotate_epoch
from django_pm.models import ProjectStream


class Command(BaseCommand):
    help = "Show the epoch of each stream, or begin new ones after restoring a backup."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--rotate", action="store_true", help="begin a new epoch: every client resets")
        parser.add_argument("--project", type=int, action="append", help="only this project (repeatable)")

    def handle(self, *args: Any, **options: Any) -> None:
        streams = ProjectStream.objects.using(database()).order_by("pk")
        if options["project"]:
            streams = streams.filter(pk__in=options["project"])
            if missing := set(options["project"]) - set(streams.values_list("pk", flat=True)):
                raise CommandError(f"No stream of project {', '.join(map(str, sorted(missing)))}.")
        if options["rotate"]:
            rotated = rotate_epoch(options["project"])
            self.stdout.write(f"rotated {rotated} streams")
            return
        for stream in streams:
            self.stdout.write(f"{stream.project_id}\t{stream.epoch}\t{stream.floor}-{stream.seq}")
