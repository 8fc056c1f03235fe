"""The Celery app of the example site: `celery -A config.celery worker -Q pm.mail`, `celery -A config.celery beat`.

What it is told comes from the settings (`CELERY_…`), its schedule and queues from django-pm.
"""

import gc
import logging.config
import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging, worker_before_create_process
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

from django_pm.schedules import configure

TICKS_EXPIRE = 60  # seconds, by which the clocks of two machines may differ

app = Celery("example")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
configure(app)

for entry in app.conf.beat_schedule.values():
    if 0 < settings.BEAT_SECONDS < entry["schedule"]:
        entry["schedule"] = settings.BEAT_SECONDS
        # While no worker runs, ticks that come so often must not pile up for as long as rare ones are good for.
        entry["options"]["expires"] = max(settings.BEAT_SECONDS, TICKS_EXPIRE)


def log_as_the_site_does(**_options: Any) -> None:
    """In the place of Celery's own set-up."""
    logging.config.dictConfig(settings.LOGGING)


if settings.LOGGING:
    setup_logging.connect(log_as_the_site_does)


@worker_before_create_process.connect
def share_memory(**_options: Any) -> None:
    """Have a worker and its child keep one copy of what is there when the child is made.

    Python's collector writes into whatever it looks at, and what either process writes into, it has a copy of: some
    minutes later that was 28 MiB of a worker.
    """
    gc.collect()
    gc.freeze()
