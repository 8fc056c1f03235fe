"""The Celery apps of ours and of the conventional answer, each with a worker of two processes.

Both are on the same broker (``PM_BENCH_RABBITMQ``). ``PM_BENCH_QUEUES`` goes before the names of their queues, so that
nothing is left for, or taken from, anybody else.
"""

from __future__ import annotations

import os
from typing import Any

import django
from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.settings")
django.setup()

from django.core.mail import send_mail  # noqa: E402 (the apps must be ready)
from django.template.loader import render_to_string  # noqa: E402
from django.utils import timezone  # noqa: E402
from django.utils.translation import gettext  # noqa: E402

from django_pm import schedules, users  # noqa: E402
from django_pm.models import MailKind, Task  # noqa: E402
from django_pm.services.jobs import JOBS  # noqa: E402
from django_pm.services.reminders import AHEAD, Words  # noqa: E402
from django_pm.services.unsubscribing import unsubscribe_url  # noqa: E402

BROKER = os.environ.get("PM_BENCH_RABBITMQ") or "amqp://guest:guest@127.0.0.1:5672//"
PREFIX = os.environ.get("PM_BENCH_QUEUES", "bench.")

ours = Celery("ours", broker=BROKER, set_as_current=False)
ours.autodiscover_tasks(["django_pm"], force=True)
ours.conf.task_default_queue = f"{PREFIX}ours"
schedules.configure(ours)
for queue in ours.conf.task_queues:
    if not queue.name.startswith(PREFIX):
        queue.name = queue.routing_key = f"{PREFIX}{queue.name}"
        queue.exchange.name = queue.name
ours.conf.task_routes = {f"django_pm.tasks.{job.name}": {"queue": f"{PREFIX}{job.queue}"} for job in JOBS}

# As Celery comes.
conventional = Celery("conventional", broker=BROKER, set_as_current=False)
conventional.conf.task_default_queue = f"{PREFIX}conventional"


@conventional.task(name="remind_all", ignore_result=True)
def remind_all() -> None:
    """A task for each task that is due."""
    now = timezone.now()
    due = Task.objects.open().filter(due_date__gt=now, due_date__lte=now + AHEAD)
    for pk in due.values_list("pk", flat=True):
        remind.delay(pk)


@conventional.task(name="remind", ignore_result=True)
def remind(task_id: int) -> None:
    """Tell the assignee."""
    subject, text, html, address = words(Task.objects.select_related("project", "assignee").get(pk=task_id))
    send_mail(subject, text, None, [address], html_message=html)


def words(task: Task) -> tuple[str, str, str, str]:
    """Subject, text, HTML and address, from our own templates."""
    user: Any = task.assignee
    name = users.display_name(user)
    context = {
        "task": task,
        "project": task.project,
        "words": Words(task),
        "recipient": user,
        "recipient_name": name,
        "greeting": gettext("Hello %(name)s,") % {"name": name},
        "unsubscribe_url": unsubscribe_url(user, MailKind.REMINDER),
    }
    return (
        render_to_string("django_pm/mail/reminder_subject.txt", context).strip(),
        render_to_string("django_pm/mail/reminder.txt", context),
        render_to_string("django_pm/mail/reminder.html", context),
        user.email,
    )
