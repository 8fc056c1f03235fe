"""``manage.py pm_send_digests``: queue the digests of those whose hour has come, and send what is queued."""

from typing import Any

from django.core.management.base import BaseCommand

from django_pm.mail.sending import send_queue
from django_pm.management.reporting import told
from django_pm.services.notifications.digests import queue_due


class Command(BaseCommand):
    help = "Queue the daily digests of those whose hour has come, then send the queue. Call it every few minutes."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"queued {queue_due()} digests")
        self.stdout.write(told(send_queue()))
