"""``manage.py pm_escalate``: have the rules of projects act on tasks that have been left lying."""

from typing import Any

from django.core.management.base import BaseCommand

from django_pm.services.escalating import escalate


class Command(BaseCommand):
    help = "Have the escalation rules of all projects act on what is overdue or stuck. Call it every few minutes."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"rules acted {escalate()} times")
