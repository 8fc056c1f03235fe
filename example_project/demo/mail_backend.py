"""Where the demo's mail goes: into a folder, each message into a file of its own. `demo.mailbox` reads it."""

import os
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from email import policy
from pathlib import Path
from uuid import uuid4

import django
from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

SUFFIX = ".eml"


class FolderBackend(BaseEmailBackend):
    """Writes messages as a mail server would get them, to `MAIL_FOLDER`."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Write them; how many there were."""
        for message in email_messages:
            write(settings.MAIL_FOLDER, as_bytes(message))
        return len(email_messages)


def as_bytes(message: EmailMessage) -> bytes:
    """Return what Django's SMTP backend would send."""
    if django.VERSION >= (6, 0):
        return message.message(policy=policy.SMTP).as_bytes()
    return message.message().as_bytes(linesep="\r\n")


def write(folder: Path, content: bytes) -> None:
    """Make a file with this content, which appears under its name once it is whole. Names sort by time."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{uuid4().hex[:12]}"
    with tempfile.NamedTemporaryFile(dir=folder, prefix="draft-", delete=False) as draft:
        draft.write(content)
    os.replace(draft.name, folder / f"{name}{SUFFIX}")
