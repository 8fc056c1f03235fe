"""``manage.py pm_epoch``: have clients start afresh, after a backup was restored or where the log has a gap."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_pm.events.feed import database
from django_pm.events.retention import rotate_epoch
from django_pm.events.soundness import all_faults, mend
from django_pm.models import ProjectStream


class Command(BaseCommand):
    help = "Show the epoch of each stream, begin new ones after restoring a backup, or behind the faults of streams."

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--rotate", action="store_true", help="begin a new epoch: every client resets")
        what.add_argument(
            "--mend",
            action="store_true",
            help="where numbers are missing, or a subscriber is ahead: begin a new epoch behind that",
        )
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
        if options["mend"]:
            wanted = set(streams.values_list("pk", flat=True))
            faults = [fault for fault in all_faults() if fault.project_id in wanted]
            for fault in faults:
                mend(fault.project_id)
                self.stdout.write(f"mended: {fault.what}")
            if not faults:
                self.stdout.write("nothing to mend")
            return
        for stream in streams:
            self.stdout.write(f"{stream.project_id}\t{stream.epoch}\t{stream.floor}-{stream.seq}")
