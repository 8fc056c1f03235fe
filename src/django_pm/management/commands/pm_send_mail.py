"""``manage.py pm_send_mail``: send what is queued and due."""

from typing import Any

from django.core.management.base import BaseCommand

from django_pm.mail.sending import send_queue
from django_pm.management.reporting import told


class Command(BaseCommand):
    help = "Send the mail that is queued and due. What fails is tried again by a later call."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(told(send_queue()))
