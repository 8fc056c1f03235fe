"""``manage.py pm_send_reminders``: queue reminders of the tasks that are due within a day, and send what is queued."""

from typing import Any

from django.core.management.base import BaseCommand

from django_pm.mail.sending import send_queue
from django_pm.management.reporting import told
from django_pm.services.reminders import queue_due


class Command(BaseCommand):
    help = "Queue reminders of tasks that are due within 24 hours, then send the queue. Call it every few minutes."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"queued {queue_due()} reminders")
        self.stdout.write(told(send_queue()))
