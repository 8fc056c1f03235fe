"""``manage.py pm_doctor``: what works and what does not, a line each, with what to do."""

import json
from importlib import import_module
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_pm.services.doctor import CHECKS, thorough
from django_pm.services.findings import Finding, Level, examine


class Command(BaseCommand):
    help = "Look at what django-pm needs, tell what is wrong and what to do; exit with 1 if anything is broken."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--app",
            metavar="MODULE",
            help="the module that makes your Celery app (yoursite.celery), if manage.py does not import it anyway",
        )
        parser.add_argument(
            "--full",
            action="store_true",
            help="look at every number of every stream, not at the latest ones: about 3 s for each million of events",
        )
        parser.add_argument(
            "--json",
            action="store_true",
            help="write a JSON array of {name, level, what, remedy} instead of lines, for a machine to read",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["app"]:
            self.import_app(options["app"])
        findings = []
        for finding in examine(thorough() if options["full"] else CHECKS):
            if not options["json"]:
                self.stdout.write(self.line(finding))
            findings.append(finding)
        if options["json"]:
            self.stdout.write(json.dumps([finding._asdict() for finding in findings], indent=2, ensure_ascii=False))
        if broken := [finding.name for finding in findings if finding.level is Level.BROKEN]:
            raise CommandError(f"Broken: {', '.join(broken)}.")

    def import_app(self, path: str) -> None:
        """Have the site's module call ``schedules.configure``, which makes its broker known."""
        try:
            import_module(path)
        except ImportError as error:
            raise CommandError(f"--app {path}: {error}") from error

    def line(self, finding: Finding) -> str:
        """``broken  migrations  not applied: … → Run …``."""
        styles = {Level.OK: self.style.SUCCESS, Level.WARN: self.style.WARNING, Level.BROKEN: self.style.ERROR}
        level = styles[finding.level](f"{finding.level.value:<6}")
        remedy = f" → {finding.remedy}" if finding.remedy else ""
        return f"{level}  {finding.name:<16}  {finding.what}{remedy}"
