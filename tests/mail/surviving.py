"""Remind of some tasks in a database of its own, and outlive it: `python -m tests.mail.surviving 30`.

Says, as JSON: what became of the first attempt, and what a look after the claim has run out still finds to do.
"""

import datetime as dt
import json
import os
import sys

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"


def main(number):
    django.setup()

    from django.core.management import call_command
    from django.db import OperationalError
    from django.utils import timezone

    from django_pm.mail import sending
    from django_pm.services.reminders import queue_due
    from tests.tasks.processes.ledger import remind_of

    sending.FRESH_FOR = dt.timedelta(hours=1)  # to ask again waits for the disk
    call_command("migrate", verbosity=0)
    remind_of(number)
    queue_due()
    found = {"error": None}
    try:
        sending.send_queue()
    except OperationalError as error:
        found["error"] = str(error)
    found["then"] = dict(sending.send_queue(now=timezone.now() + sending.CLAIMED_FOR))
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]))
