"""`manage.py demo_guide`: print what to open, whom to sign in as, and requests to try."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from demo import guide


class Command(BaseCommand):
    """Print the guide for a site at the given address."""

    help = "Prints what to open and to try in the demo."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the address that the site is going to be reachable at."""
        parser.add_argument("--url", default="http://127.0.0.1:8000", help="address of the site (%(default)s)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the guide."""
        url = options["url"].rstrip("/")
        people = guide.accounts()
        if not people:
            raise CommandError("There is nobody to sign in as. Run demo_seed first.")
        self._heading("Open")
        mailbox = [("/mailbox/", "the mail it sends: yours, as ana everybody's")] if settings.MAIL_FOLDER else []
        for path, what in (
            ("/", "start page"),
            ("/live/", "what happens, as it happens"),
            *mailbox,
            ("/docs/", "the API: read it, try it"),
            ("/admin/", "the admin (as ana)"),
        ):
            self.stdout.write(f"  {url + path:<34}{what}")
        self._heading(f"Sign in (everybody's password is “{guide.PASSWORD}”)")
        for person in people:
            self.stdout.write(f"  {person.username:<7}{person.part}")
        self._heading("Try in another terminal")
        for request in guide.requests(url):
            self.stdout.write(f"  # {request.what}")
            self.stdout.write(f"  {request.command}\n\n")

    def _heading(self, text: str) -> None:
        self.stdout.write("\n" + self.style.MIGRATE_HEADING(text))
