"""``manage.py pm_run``: everything that is to be done again and again, in one process, for sites without Celery."""

import logging
import signal
import threading
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import close_old_connections

from django_pm.services.jobs import JOBS, Job

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Relay events, send reminders and mail, prune: each when it is time, until interrupted. Any number may run."

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
                due[job] = time.monotonic() + job.every.total_seconds()
                if not stop.is_set():
                    self.do(job)
                    close_old_connections()
            stop.wait(max(0.0, min(due.values()) - time.monotonic()))

    def do(self, job: Job) -> None:
        """Do one job. One that fails is told of, and is in the way of no other."""
        try:
            job.do()
        except Exception:
            logger.exception("%s failed; it is tried again when it is due.", job.name)
