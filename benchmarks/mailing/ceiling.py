"""The least that sending can cost: messages that are ready, in a loop, over one connection, by ``smtplib`` alone.

``python -m benchmarks.mailing.ceiling FIRST LAST`` makes a message for each of these users, says ``ready``, and sends
when it is told to. It asks the database for one task, before that.
"""

from __future__ import annotations

import json
import smtplib
import sys

from django.conf import settings
from django.core.mail import EmailMultiAlternatives

from benchmarks.mailing.workers import words
from django_pm.models import Task


def ready_messages(first: int, last: int) -> list[tuple[str, bytes]]:
    """Each with whom it is for. They differ in the address alone."""
    subject, text, html, _address = words(Task.objects.select_related("project", "assignee")[0])
    message = EmailMultiAlternatives(subject, text, to=["nobody@example.org"])
    message.attach_alternative(html, "text/html")
    content = message.message().as_bytes()
    addresses = [f"user{number}@example.org" for number in range(first, last + 1)]
    return [(address, content.replace(b"nobody@example.org", address.encode())) for address in addresses]


def main() -> None:
    messages = ready_messages(int(sys.argv[1]), int(sys.argv[2]))
    print(json.dumps("ready"), flush=True)
    sys.stdin.readline()
    with smtplib.SMTP(settings.EMAIL_HOST, settings.EMAIL_PORT) as server:
        for address, content in messages:
            server.sendmail("pm@site.example", [address], content)
    print(json.dumps("done"), flush=True)


if __name__ == "__main__":
    main()
