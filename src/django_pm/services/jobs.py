"""What is to be done again and again, whatever runs it: Celery, cron, or ``manage.py pm_run``.

Nothing here depends on when, or how often, it is called: each looks for what is due in the database. So two schedules
double nothing, and one that was off for a day delays and loses nothing.
"""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

from django.utils.module_loading import import_string

EVENTS, MAIL, REPORTS = QUEUES = ("pm.events", "pm.mail", "pm.reports")


class Job(NamedTuple):
    """One of them."""

    name: str
    every: dt.timedelta
    """How often to look."""
    queue: str
    """Of its Celery task."""
    path: str
    """Where the function is. Imported when it is called: a Celery app is made before Django's apps are ready."""
    takes_turns: bool = False
    """Whether it may find more to do than others can wait for. Its function then takes ``for_at_most``."""

    def do(self, for_at_most: dt.timedelta = dt.timedelta.max) -> None:
        """Do it now; if it takes turns, for no longer than that."""
        options = {"for_at_most": for_at_most} if self.takes_turns else {}
        import_string(self.path)(**options)


JOBS = (
    Job("relay_events", dt.timedelta(seconds=5), EVENTS, "django_pm.events.relay.relay_events", takes_turns=True),
    Job("send_due_reminders", dt.timedelta(minutes=1), MAIL, "django_pm.services.reminders.queue_due"),
    Job("queue_digests", dt.timedelta(minutes=5), MAIL, "django_pm.services.notifications.digests.queue_due"),
    Job("send_mail_queue", dt.timedelta(seconds=30), MAIL, "django_pm.mail.sending.send_queue", takes_turns=True),
    Job(
        "send_daily_reports", dt.timedelta(minutes=5), REPORTS, "django_pm.services.reports.make_due", takes_turns=True
    ),
    Job("escalate", dt.timedelta(minutes=1), EVENTS, "django_pm.services.escalating.escalate", takes_turns=True),
    Job("prune", dt.timedelta(hours=24), EVENTS, "django_pm.services.pruning.prune"),
)
