"""Reads the folder in which the demo's mail ends up, for the pages under /mailbox/.

A file may be anything: cut off, of another program, gone a moment later. What can be read is shown, nothing raises.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import getaddresses, parsedate_to_datetime
from itertools import islice
from pathlib import Path

from django.conf import settings

from accounts.models import User
from demo.mail_backend import SUFFIX

SHOWN = 100
LARGEST = 5_000_000
"""Of what size, in bytes, a file is looked at."""

UNREADABLE = "(cannot be read)"
SHOWN_ABOVE = ("From", "To", "Subject", "Date")


@dataclass(frozen=True)
class Letter:
    """A message, as far as it can be read."""

    name: str
    """Of its file, without the suffix: by this it is found."""
    message: EmailMessage

    def header(self, name: str) -> str:
        """Return a header, decoded; empty where there is none."""
        try:
            return presentable(str(self.message.get(name, ""))).strip()
        except Exception:  # Python's parser stumbles over some malformed headers in ways of its own
            return UNREADABLE

    @property
    def sender(self) -> str:
        return self.header("From")

    @property
    def recipients(self) -> str:
        return self.header("To")

    @property
    def subject(self) -> str:
        return self.header("Subject")

    @property
    def date(self) -> datetime | None:
        """When it says it was written."""
        try:
            date = parsedate_to_datetime(self.header("Date"))
            return date.astimezone(UTC) if date.tzinfo else date.replace(tzinfo=UTC)
        except (ValueError, OverflowError):
            return None

    @property
    def other_headers(self) -> list[tuple[str, str]]:
        """All but those that are shown above the message."""
        names = [name for name in dict.fromkeys(self.message.keys()) if name.title() not in SHOWN_ABOVE]
        return [(name, self.header(name)) for name in names]

    @property
    def text(self) -> str:
        return self._body("plain")

    @property
    def html(self) -> str:
        return self._body("html")

    @property
    def one_click(self) -> str:
        """Where mail programs post to when somebody clicks on *unsubscribe* (RFC 8058); only if that is this site."""
        address = re.match(r"<([^<>\s]+)>", self.header("List-Unsubscribe"))
        is_offered = self.header("List-Unsubscribe-Post").replace(" ", "") == "List-Unsubscribe=One-Click"
        here = settings.DJANGO_PM["SITE_URL"].rstrip("/") + "/"
        return address[1] if address and is_offered and address[1].startswith(here) else ""

    def _body(self, subtype: str) -> str:
        try:
            part = self.message.get_body((subtype,))
            if part is None:
                return ""
            content = part.get_payload(decode=True) or b""
            charset = part.get_content_charset("utf-8")
        except Exception:  # as above
            return ""
        try:
            return presentable(content.decode(charset, "replace"))
        except (LookupError, ValueError):
            return content.decode("utf-8", "replace")

    def is_to(self, address: str) -> bool:
        """Whether it is addressed so."""
        named = getaddresses([self.recipients, self.header("Cc")])
        return bool(address) and address.casefold() in {found.casefold() for _name, found in named}


def presentable(text: str) -> str:
    """Return the text without half characters, which a few encodings let through and no page can have."""
    return text.encode(errors="replace").decode()


def letters_for(user: User) -> list[Letter]:
    """Return the latest messages that `user` may see, the newest first."""
    return list(islice((letter for letter in _letters() if may_see(user, letter)), SHOWN))


def letter_for(user: User, name: str) -> Letter | None:
    """Return one of them by its name; None where there is none, or not for `user`."""
    letter = _read(settings.MAIL_FOLDER / f"{name}{SUFFIX}") if re.fullmatch(r"[\w-]+", name) else None
    return letter if letter and may_see(user, letter) else None


def may_see(user: User, letter: Letter) -> bool:
    """Whether it is theirs; superusers see everybody's."""
    return user.is_superuser or letter.is_to(user.email)


def _letters() -> Iterator[Letter]:
    for path in sorted(settings.MAIL_FOLDER.glob(f"*{SUFFIX}"), reverse=True):
        if letter := _read(path):
            yield letter


def _read(path: Path) -> Letter | None:
    """Return what is in a file of the folder; None for what is no file (any more), or far too large."""
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > LARGEST:
            return None
        content = path.read_bytes()
    except OSError:
        return None
    try:
        return Letter(path.stem, message_from_bytes(content, policy=policy.default))
    except Exception:  # as in `Letter.header`
        broken = EmailMessage()
        broken["Subject"] = UNREADABLE
        return Letter(path.stem, broken)
