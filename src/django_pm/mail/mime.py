"""The bytes of a message: what Django would have Python make of it, in a fraction of the time. For ``sending.py``.

Python folds every header by an algorithm that is made for the longest and strangest; nearly all are one short line of
ASCII. With it, to write a message took longer than to hand it over. Whatever is not that plain is left to Django.

``Message.wire`` is the bytes themselves, for ``smtp.py``; ``Message.message`` the same as the object for which
Django's and other backends ask.
"""

from __future__ import annotations

import functools
import re
import uuid
from email.generator import BytesGenerator
from email.header import Header
from email.message import Message as Part
from email.policy import SMTP, Compat32
from email.utils import formataddr, formatdate, getaddresses
from io import BytesIO
from typing import Any, NamedTuple

from django import VERSION
from django.conf import settings
from django.core.mail import EmailMultiAlternatives

LONGEST_LINE = 998
"""In bytes (RFC 5322, section 2.1.1)."""

SHORT_LINE = 76
"""In bytes: what no header is folded for."""

DJANGOS = {"subject", "from", "to", "cc", "bcc", "reply-to", "date"}
"""Headers that Django has from elsewhere."""

plain_words = re.compile(r"[!-~]+(?: [!-~]+)*").fullmatch
plain_address = re.compile(
    r"[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*@[\w-]+(?:\.[\w-]+)*", re.ASCII
).fullmatch
"""Words with dots between (RFC 5322, section 3.4.1): what an SMTP server is told as it is."""


class Wire(NamedTuple):
    """A message as an SMTP server gets it."""

    sender: str
    recipient: str
    content: bytes
    """Lines end in CR and LF, and neither is there but for that. Dots are not doubled yet."""


class Folding(Compat32):
    """Python's older policy; but it leaves alone what needs no folding, and links: nobody unfolds one."""

    def fold(self, name: str, value: Any) -> str:
        if isinstance(value, str) and plain_words(value):
            line = f"{name}: {value}"
            is_link = value[0] == "<" and " " not in value
            if len(line) <= (LONGEST_LINE if is_link else SHORT_LINE):
                return line + self.linesep
        return super().fold(name, value)

    def fold_binary(self, name: str, value: Any) -> bytes:
        if isinstance(value, str) and value.isascii():
            return self.fold(name, value).encode()
        return super().fold_binary(name, value)


LINES = Folding(mangle_from_=False)
SMTP_LINES = LINES.clone(linesep="\r\n")


class Written(Part):
    """A message with its parts, as Django's older ones are: asked for its bytes, they tell the end of a line."""

    def as_bytes(self, unixfrom: bool = False, policy: Any = None, linesep: str | None = None) -> bytes:
        buffer = BytesIO()
        BytesGenerator(buffer, mangle_from_=False, policy=policy).flatten(self, unixfrom, linesep)
        return buffer.getvalue()


class Message(EmailMultiAlternatives):
    """A text and the same in HTML, to one recipient."""

    def message(self, **options: Any) -> Any:
        """Ours where Django's SMTP backend asks, and before Django 6, where all ask alike; else, what Django makes."""
        policy = options.get("policy")
        lines = SMTP_LINES if policy is SMTP else LINES
        if (policy is SMTP or VERSION < (6,)) and (headers := self._plain_headers()) and (parts := self._plain_parts()):
            return _multipart(headers, parts, lines)
        if policy:
            # Django 6 folds by Python's newer policy, which encodes what it cannot fold. Nobody decodes a link.
            options["policy"] = policy.clone(max_line_length=LONGEST_LINE)
        message = super().message(**options)
        message.set_boundary(_boundary())
        return message

    @functools.cached_property
    def wire(self) -> Wire | None:
        """The same to the byte, with the bare addresses; None if it is Django's to write. Made when first asked for."""
        sender = _bare(str(self.from_email))
        if not sender or len(self.to) != 1 or self.bcc or not plain_address(self.to[0]):
            return None
        if (headers := self._plain_headers()) is None or (parts := self._plain_parts()) is None:
            return None
        return Wire(sender, self.to[0], _written(headers, parts))

    def _plain_headers(self) -> dict[str, str] | None:
        """All of them, in the order in which Django has them; None if there is one to be encoded, or refused."""
        extra = self.extra_headers
        if self.cc or self.reply_to or "Message-ID" not in extra or DJANGOS.intersection(map(str.lower, extra)):
            return None
        subject = str(self.subject)
        headers = {"From": _encoded(str(self.from_email)), "To": ", ".join(self.to)}
        headers["Date"] = formatdate(localtime=settings.EMAIL_USE_LOCALTIME)
        headers |= {name: str(value) for name, value in extra.items()}
        values = "".join(headers.values())
        if "\n" in subject or "\r" in subject or not (values.isascii() and values.isprintable()):
            return None
        if not plain_words(subject) or len(subject) > SHORT_LINE - len("Subject: "):
            subject = Header(subject, None if subject.isascii() else "utf-8").encode()
        return {"Subject": subject, **headers}

    def _plain_parts(self) -> dict[str, bytes] | None:
        """Text and HTML; None if there is something else, or a line that is to be encoded since it is too long."""
        if self.attachments or self.encoding or settings.DEFAULT_CHARSET != "utf-8" or not self.body:
            return None
        (html, mimetype), *others = self.alternatives or [("", "")]
        if mimetype != "text/html" or others or not isinstance(html, str):
            return None
        parts = {"plain": self.body.encode(), "html": html.encode()}
        longest = max(map(len, b"\n".join(parts.values()).split(b"\n")))
        return None if longest > LONGEST_LINE else parts


@functools.lru_cache(maxsize=8)
def _encoded(sender: str) -> str:
    """With a name that is not ASCII as headers have it; as it is, where that is not plain."""
    addresses = getaddresses([sender])
    is_plain = sender.isprintable() and len(addresses) == 1 and addresses[0][1].isascii()
    return formataddr(addresses[0]) if is_plain and not sender.isascii() else sender


@functools.lru_cache(maxsize=8)
def _bare(sender: str) -> str:
    """The address without the name; empty where it is not plain."""
    addresses = getaddresses([sender])
    return addresses[0][1] if len(addresses) == 1 and plain_address(addresses[0][1]) else ""


def _written(headers: dict[str, str], parts: dict[str, bytes]) -> bytes:
    """What ``_multipart`` gives when it is asked for its bytes."""
    boundary = _boundary()
    first = f'Content-Type: multipart/alternative;\r\n boundary="{boundary}"\r\nMIME-Version: 1.0\r\n'
    pieces = [first.encode(), "".join(map(SMTP_LINES.fold, headers, headers.values())).encode()]
    for subtype, content in parts.items():
        encoding = "7bit" if content.isascii() else "8bit"
        pieces.append(
            f'\r\n--{boundary}\r\nContent-Type: text/{subtype}; charset="utf-8"\r\nMIME-Version: 1.0\r\n'
            f"Content-Transfer-Encoding: {encoding}\r\n\r\n".encode()
        )
        pieces.append(content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n"))
    return b"".join([*pieces, f"\r\n--{boundary}--\r\n".encode()])


def _multipart(headers: dict[str, str], parts: dict[str, bytes], lines: Folding) -> Written:
    message = Written(lines)
    message["Content-Type"] = f'multipart/alternative; boundary="{_boundary()}"'
    message["MIME-Version"] = "1.0"
    for name, value in headers.items():
        message[name] = value
    for subtype, content in parts.items():
        part = Written(lines)
        part["Content-Type"] = f'text/{subtype}; charset="utf-8"'
        part["MIME-Version"] = "1.0"
        part["Content-Transfer-Encoding"] = "7bit" if content.isascii() else "8bit"
        part.set_payload(content.decode("ascii", "surrogateescape"))  # as Python has what is 8 bits
        message.attach(part)
    return message


def _boundary() -> str:
    """One that is known to be in no part: to find such a one, Python searches them by a pattern compiled for it."""
    return f"={uuid.uuid4().hex}="
