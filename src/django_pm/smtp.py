"""Handing a message to the mail server: what Django's SMTP backend does, in two turns instead of four. For ``mail.py``.

The backend is the site's own. It opens the connection with all that the site has set, and closes it; one of another
class, or a message that is not plain, is left to it altogether. Of Django's own, a plain message is handed to the
connection itself: to look again at addresses that are known took longer than all the talk, and a server that takes
commands in a row (``PIPELINING``, RFC 2920) need not be waited for after each.
"""

from __future__ import annotations

import contextlib
import smtplib
from typing import Any

from django.core.mail.backends.smtp import EmailBackend

from django_pm.mime import Message, Wire

GO_ON = 354
SHUTTING_DOWN = 421


def greet(backend: Any) -> None:
    """Say who we are, if this is for us to do, and raise what ``smtplib`` does if that is refused.

    Django leaves it to the first message, which would be blamed for what the server says to the site.
    """
    if _is_open_for_us(backend):
        backend.connection.ehlo_or_helo_if_needed()


def send(backend: Any, message: Message) -> bool:
    """Whether the backend lets this one count as sent. Raises what ``smtplib`` does, and what other backends do.

    How many it says it has sent counts only where it may not raise: some queue what they are given, and say 0 or None.
    """
    may_raise = not getattr(backend, "fail_silently", False)  # an option that Django is to forget
    if wire := prepare(backend, message):
        try:
            hand_over(backend.connection, wire)
        except smtplib.SMTPException:
            if may_raise:
                raise
            return False
        return True
    return bool(backend.send_messages([message])) or may_raise


def prepare(backend: Any, message: Message) -> Wire | None:
    """The bytes that this backend is to hand over, made now unless they have been; None if it makes them itself."""
    return message.wire if _is_open_for_us(backend) else None


def _is_open_for_us(backend: Any) -> bool:
    """Whether it is of Django's own class, and has a connection."""
    return type(backend) is EmailBackend and backend.connection is not None


def hand_over(server: smtplib.SMTP, wire: Wire) -> None:
    """As ``SMTP.sendmail`` does, with its errors."""
    server.ehlo_or_helo_if_needed()
    if not server.has_extn("pipelining"):
        server.sendmail(wire.sender, [wire.recipient], wire.content)
        return
    size = f" size={len(wire.content)}" if server.has_extn("size") else ""
    server.send(f"mail FROM:<{wire.sender}>{size}\r\nrcpt TO:<{wire.recipient}>\r\ndata\r\n".encode())
    _wait_for_all(server, wire)
    server.send(wire.content.replace(b"\r\n.", b"\r\n..") + b".\r\n")
    code, words = server.getreply()
    if code != 250:
        _begin_anew(server, code)
        raise smtplib.SMTPDataError(code, words)


def _wait_for_all(server: smtplib.SMTP, wire: Wire) -> None:
    """Read the answers to all three commands. The first refusal counts: it is why the others are refused."""
    refusal: smtplib.SMTPException | None = None
    for command, good in (("mail", (250,)), ("rcpt", (250, 251)), ("data", (GO_ON,))):
        try:
            code, words = server.getreply()
        except smtplib.SMTPServerDisconnected:
            if refusal:  # it said why
                break
            raise
        if code not in good:
            refusal = refusal or _refusal(command, code, words, wire)
        if code == SHUTTING_DOWN:  # nothing comes after that
            break
    if refusal:
        if code == GO_ON:  # to a message to nobody: an empty one ends it (section 3.1)
            server.docmd(".")
        _begin_anew(server, code)
        raise refusal


def _refusal(command: str, code: int, words: bytes, wire: Wire) -> smtplib.SMTPException:
    if command == "mail":
        return smtplib.SMTPSenderRefused(code, words, wire.sender)
    if command == "rcpt":
        return smtplib.SMTPRecipientsRefused({wire.recipient: (code, words)})
    return smtplib.SMTPDataError(code, words)


def _begin_anew(server: smtplib.SMTP, code: int) -> None:
    if code == SHUTTING_DOWN:
        server.close()
        return
    with contextlib.suppress(smtplib.SMTPServerDisconnected):
        server.rset()
