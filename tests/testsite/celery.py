"""The test host's Celery app, for the workers and the beat that tests start.

`PM_TEST_RABBITMQ_URL` is the broker, `PM_TEST_QUEUES` goes before the names of the queues, so that two runs of the
tests do not take each other's tasks, `PM_TEST_BEAT` is how many seconds lie between two ticks of everything, and
`PM_TEST_CLAIM` for how many seconds a message is claimed; in the last third of it no message is begun, as usual.
"""

import datetime as dt
import os

import django
from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()

from django_pm import schedules  # noqa: E402 (the apps must be ready)
from django_pm.mail import sending  # noqa: E402
from django_pm.services import jobs  # noqa: E402

sending.CLAIMED_FOR = dt.timedelta(seconds=float(os.environ.get("PM_TEST_CLAIM", "180")))
sending.SENDING_FOR = sending.CLAIMED_FOR * 2 / 3
prefix = os.environ.get("PM_TEST_QUEUES", "")
app = Celery("testsite", broker=os.environ.get("PM_TEST_RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672//"))
app.conf.task_default_queue = f"{prefix}celery"
app.autodiscover_tasks(["django_pm"], force=True)
schedules.configure(app)

for queue in app.conf.task_queues:
    if queue.name in jobs.QUEUES:
        queue.name = queue.routing_key = f"{prefix}{queue.name}"
        queue.exchange.name = queue.name
app.conf.task_routes = {f"django_pm.tasks.{job.name}": {"queue": f"{prefix}{job.queue}"} for job in jobs.JOBS}
for entry in app.conf.beat_schedule.values():
    entry["options"]["queue"] = f"{prefix}{entry['options']['queue']}"
    entry["schedule"] = float(os.environ.get("PM_TEST_BEAT", "1"))
