"""`manage.py demo_seed`: fill an empty demo with people, projects, tasks and comments."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django_pm.models import Comment, Project, Task

from demo.content import PEOPLE
from demo.seeding import NotADemoError, seed


class Command(BaseCommand):
    """Seed once; later runs leave everything as it is."""

    help = "Fills an empty demo with sample people, projects, tasks and comments. Keeps what is already there."

    def handle(self, *args: Any, **options: Any) -> None:
        """Seed, and say what there is now."""
        try:
            new = seed()
        except NotADemoError as error:
            raise CommandError(str(error)) from error
        tables = {"projects": Project, "tasks": Task, "comments": Comment}
        content = ", ".join(f"{model.objects.count()} {name}" for name, model in tables.items())
        if new:
            self.stdout.write(f"Seeded {len(PEOPLE)} people, {content}.")
        else:
            self.stdout.write(f"Kept the data from before: {content}.")
