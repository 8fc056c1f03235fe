"""``manage.py pm_send_reports``: make the daily reports that are due, and send what is queued."""

from typing import Any

from django.core.management.base import BaseCommand

from django_pm.mail.sending import send_queue
from django_pm.management.reporting import told
from django_pm.services.reports import make_due


class Command(BaseCommand):
    help = "Make the daily report of each project whose day has come, then send the queue. Call it every few minutes."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"made {make_due()} reports")
        self.stdout.write(told(send_queue()))
