"""``manage.py pm_run``: everything that is to be done again and again, in one process, for sites without Celery."""

import datetime as dt
import logging
import signal
import threading
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import connections

from django_pm.services.jobs import JOBS, Job

logger = logging.getLogger(__name__)

TURN = dt.timedelta(seconds=15)
"""How long those that may find very much to do go on before the others have their turn."""


class Command(BaseCommand):
    help = (
        "Relay events, send reminders, reports and mail, prune: each when it is time, until interrupted. "
        "Any number may run."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="do everything once, and end")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["once"]:
            for job in JOBS:
                self.do(job)
            return
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):  # what has been begun is brought to its end
            signal.signal(number, lambda *_signal: stop.set())
        due = {job: time.monotonic() for job in JOBS}
        while not stop.is_set():
            for job in [job for job, at in due.items() if at <= time.monotonic()]:
                if not stop.is_set():
                    began = time.monotonic()
                    self.do(job, TURN)
                    has_more = job.takes_turns and time.monotonic() - began >= TURN.total_seconds()
                    due[job] = began if has_more else began + job.every.total_seconds()
            stop.wait(max(0.0, min(due.values()) - time.monotonic()))

    def do(self, job: Job, for_at_most: dt.timedelta = dt.timedelta.max) -> None:
        """Do one job. One that fails is told of, and is in the way of no other."""
        try:
            job.do(for_at_most)
        except Exception:
            logger.exception("%s failed; it is tried again when it is due.", job.name)
        finally:
            _let_go_of_lost_connections()


def _let_go_of_lost_connections() -> None:
    """One that was lost is of no use to the next job. What calls us in a transaction of its own still needs it."""
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()
