"""`pm_run` with one job that takes a moment, for a test that interrupts it: `python -m tests.tasks.endless`."""

import datetime as dt
import os
import time

import django
from django.core.management import call_command

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"


def work():
    print("working", flush=True)  # noqa: T201
    time.sleep(0.5)  # what is interrupted
    print("worked", flush=True)  # noqa: T201


if __name__ == "__main__":
    django.setup()

    from django_pm.management.commands import pm_run
    from django_pm.services.jobs import Job

    pm_run.JOBS = (Job("work", dt.timedelta(hours=1), "q", f"{__name__}.work"),)
    call_command("pm_run")
