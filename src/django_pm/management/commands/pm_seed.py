"""``manage.py pm_seed``: made-up projects of any size, with the events that lead to them."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from django_pm.services import seeding

LIMIT = 100_000_000
EARLIEST = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
LATEST = dt.datetime(9000, 1, 1, tzinfo=dt.UTC)


class Command(BaseCommand):
    help = (
        "Make up projects with members, tasks, comments and events, beside what is already there. The same --seed and "
        "--now make the same data. People who are made up have addresses that no mail reaches and cannot sign in."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--projects", type=int, default=5, help="how many projects (5)")
        parser.add_argument("--tasks", type=int, default=200, help="how many tasks in all (200)")
        parser.add_argument("--comments", type=int, default=300, help="how many comments in all (300)")
        parser.add_argument("--users", type=int, default=8, help="how many people to make up (8)")
        parser.add_argument(
            "--user",
            action="append",
            default=[],
            metavar="LOGIN",
            help="somebody who has an account and takes part too, by login name (repeatable)",
        )
        parser.add_argument("--seed", type=int, default=1, help="which data (1); another number, other data")
        parser.add_argument("--now", help="the instant that all times are relative to, ISO 8601 (the present hour)")

    def handle(self, *args: Any, **options: Any) -> None:
        for name in ("projects", "tasks", "comments", "users"):
            if not 0 <= options[name] <= LIMIT:
                raise CommandError(f"--{name} must be between 0 and {LIMIT:,}.")
        now = _instant(options["now"])
        progress = Progress(self.stdout, options["projects"] + options["tasks"] + options["comments"])
        try:
            people = seeding.existing_people(options["user"])
            people += seeding.made_up_people(options["users"], seed=options["seed"])
            made = seeding.seed_projects(
                projects=options["projects"],
                tasks=options["tasks"],
                comments=options["comments"],
                people=list(dict.fromkeys(people)),
                seed=options["seed"],
                now=now,
                progress=progress.advance if options["verbosity"] else lambda rows: None,
            )
        except seeding.SeedingError as error:
            raise CommandError(str(error)) from error
        progress.finish()
        if options["verbosity"]:
            counts = (f"{count:,} {name}" for name, count in made._asdict().items())
            self.stdout.write(f"made {', '.join(counts)}; the data is of {now:%Y-%m-%d %H:%M} UTC")


def _instant(text: str | None) -> dt.datetime:
    """The instant that ``text`` names, in the site's time zone if it names none."""
    if text is None:
        return timezone.now().replace(minute=0, second=0, microsecond=0)
    try:
        instant = parse_datetime(text) or parse_datetime(f"{text}T00:00")
    except ValueError:
        instant = None
    if instant is None:
        raise CommandError(f"--now {text!r} is no ISO 8601 date and time, such as 2030-01-31T12:00Z.")
    if timezone.is_naive(instant):
        instant = timezone.make_aware(instant)
    if not EARLIEST <= instant < LATEST:
        raise CommandError(f"--now must be between {EARLIEST.year} and {LATEST.year}.")
    return instant.astimezone(dt.UTC)


class Progress:
    """How far a run has come: a bar on a terminal, otherwise a line for every tenth of the way."""

    WIDTH = 40
    PAUSE = 0.1  # seconds between two drawings of the bar

    def __init__(self, out: Any, total: int) -> None:
        self.out = out
        self.total = max(total, 1)
        self.done = 0
        self.on_terminal = bool(out.isatty())
        self._start = time.monotonic()
        self._drawn = 0.0
        self._told = 0

    def advance(self, rows: int) -> None:
        """Note that ``rows`` more are made."""
        self.done += rows
        if self.on_terminal:
            self._draw()
        elif self.done * 10 // self.total > self._told:
            self._told = self.done * 10 // self.total
            self.out.write(f"{self._told * 10} %, {self._rate()}")

    def finish(self) -> None:
        """Leave the terminal's line to what comes next."""
        if self.on_terminal and self.done:
            self._drawn = 0.0
            self._draw()
            self.out.write("")

    def _draw(self) -> None:
        if time.monotonic() - self._drawn < self.PAUSE:
            return
        self._drawn = time.monotonic()
        filled = self.WIDTH * min(self.done, self.total) // self.total
        bar = "#" * filled + "." * (self.WIDTH - filled)
        self.out.write(f"\r[{bar}] {100 * self.done // self.total:3} %, {self._rate()} ", ending="")
        self.out.flush()

    def _rate(self) -> str:
        seconds = max(time.monotonic() - self._start, 0.001)
        return f"{self.done:,} of {self.total:,} rows, {self.done / seconds:,.0f} a second"
