"""Celery tasks: thin, and small enough to be killed. What each does, ``services/jobs.py`` says.

None carries anything: a task is a hint to look. One that is lost is made up for by the next tick, and one that is
delivered twice finds nothing to do the second time.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable
from typing import Any

from celery import shared_task

from django_pm.events import relay
from django_pm.mail import sending
from django_pm.services import escalating, pruning, reminders, reports
from django_pm.services.jobs import JOBS
from django_pm.services.notifications import digests

logger = logging.getLogger(__name__)

WORKING_FOR = dt.timedelta(minutes=2)
"""After so long nothing further is begun."""

SENDING_FOR = dt.timedelta(minutes=1)
"""The same for mail, of which a batch that is begun at the last moment takes two minutes more."""

# So whatever meets the first of these hangs: a handler or a mail server. It is then taken for a failure of that.
LIMITS: dict[str, Any] = {"soft_time_limit": 270, "time_limit": 300}

# Acknowledged when done, and given back when the worker is killed; what each attempt did stands in the database.
OPTIONS: dict[str, Any] = {"acks_late": True, "reject_on_worker_lost": True, "ignore_result": True, **LIMITS}

CLOCKS_DIFFER = dt.timedelta(minutes=1)
"""By how much those of two machines may: a tick that seems older to a worker than it is would never be taken."""

EXPIRES = {job.name: max(job.every, CLOCKS_DIFFER).total_seconds() for job in JOBS}


def task(work: Callable[[], None]) -> Any:
    """The Celery task of the job that is called like ``work``.

    A tick that nobody took in time is dropped, for a later one looks for the same. This is said here, not in the
    schedule, since the tables of django-celery-beat have no place for what a schedule says of it.
    """
    name = work.__name__
    return shared_task(name=f"django_pm.tasks.{name}", expires=EXPIRES[name], **OPTIONS)(work)


@task
def relay_events() -> None:
    """Hand events to subscribers."""
    relay.relay_events(for_at_most=WORKING_FOR)


@task
def send_due_reminders() -> None:
    """Queue reminders of what is due within a day. The first are sent while the last are queued."""
    reminders.queue_due(queued=wake_senders)


@task
def queue_digests() -> None:
    """Queue the digests of those whose hour has come."""
    if digests.queue_due():
        wake_senders()


@task
def send_mail_queue() -> None:
    """Send what is queued. What is left when the time is over, the next one sends."""
    sending.send_queue(for_at_most=SENDING_FOR)


def wake_senders() -> None:
    """Have the next free worker send what is queued now. Where that cannot be published, the next tick sends it."""
    try:
        send_mail_queue.apply_async(retry=False)
    except Exception:  # each transport has errors of its own
        logger.info("No worker can be told that there is mail to send; the next tick tells one.", exc_info=True)


@task
def send_daily_reports() -> None:
    """Make the reports that are due, and queue them for who asked."""
    if reports.make_due(for_at_most=WORKING_FOR):
        wake_senders()


@task
def escalate() -> None:
    """Have the rules of projects act."""
    escalating.escalate(for_at_most=WORKING_FOR)


@task
def prune() -> None:
    """Let go of what has had its time."""
    pruning.prune()
