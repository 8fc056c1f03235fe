"""Handing messages to the mail server: what Django's SMTP backend does, in one turn, not four. For ``sending.py``.

The backend is the site's own. It opens the connection with all that the site has set, and closes it; one of another
class, or a message that is not plain, is left to it altogether. Of Django's own, a plain message is handed to the
connection itself: to look again at addresses that are known took longer than all the talk. A server that takes commands
in a row (``PIPELINING``, RFC 2920) is not waited for after each; and behind the content of a message it is told already
from whom and to whom the next one is, which section 3.1 allows explicitly.
"""

from __future__ import annotations

import contextlib
import smtplib
from typing import Any

from django.core.mail.backends.smtp import EmailBackend

from django_pm.mail.mime import Message, Wire

GO_ON = 354
SHUTTING_DOWN = 421


class Talk:
    """What is said to the server over one backend, from its opening to its end."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self._announced: Message | None = None
        """The message of which the server has been told sender and recipient, and that its content is to come."""

    def open(self) -> None:
        """Connect, and say who we are, if this is for us to do. Raises what the backend and ``smtplib`` do.

        Django leaves the second to the first message, which would be blamed for what the server says to the site.
        """
        self._backend.open()
        if self._is_ours():
            self._backend.connection.ehlo_or_helo_if_needed()

    def close(self) -> None:
        """Hang up. Raises what the backend does."""
        if self._announced:
            # To a server that waits for a content, a farewell would be one. What is not ended, it forgets.
            self._backend.connection.close()
        self._backend.close()

    def may_go_on_with(self, message: Message | None) -> bool:
        """Whether this one may be the next. If not, the talk has to be ended and begun anew.

        So it is where another one has been announced, and where the server has hung up while it refused the last.
        """
        has_ended = self._is_ours() and self._backend.connection.sock is None
        return self._announced in (None, message) and not has_ended

    def prepare(self, message: Message) -> Wire | None:
        """The bytes that are to be handed over, made now unless they have been; None if the backend makes them."""
        return message.wire if self._is_ours() else None

    def send(self, message: Message, following: Message | None = None) -> bool:
        """Whether the backend lets this one count as sent. Raises what ``smtplib`` does, and what other backends do.

        ``following`` is the one that is to be sent next, if that is known. How many the backend says it has sent counts
        only where it may not raise: some queue what they are given, and say 0 or None.
        """
        may_raise = not getattr(self._backend, "fail_silently", False)  # an option that Django is to forget
        if self.prepare(message):
            try:
                self.hand_over(message, following)
            except smtplib.SMTPException:
                if may_raise:
                    raise
                return False
            return True
        return bool(self._backend.send_messages([message])) or may_raise

    def hand_over(self, message: Message, following: Message | None) -> None:
        """As ``SMTP.sendmail`` does, with its errors."""
        server: smtplib.SMTP = self._backend.connection
        wire: Any = message.wire
        if not server.has_extn("pipelining"):
            server.sendmail(wire.sender, [wire.recipient], wire.content)
            return
        if self._announced is None:
            self._announced = message
            server.send(_announcement(server, wire))
        if refusal := _refusal(server, wire):
            self._announced = None
            raise refusal
        content = wire.content.replace(b"\r\n.", b"\r\n..") + b".\r\n"
        ahead = self.prepare(following) if following else None
        server.send(content + _announcement(server, ahead) if ahead else content)
        self._announced = following if ahead else None
        code, words = server.getreply()
        if code != 250:
            if not ahead:
                _begin_anew(server, code)
            raise smtplib.SMTPDataError(code, words)

    def _is_ours(self) -> bool:
        """Whether the backend is of Django's own class, and has a connection."""
        return type(self._backend) is EmailBackend and self._backend.connection is not None


def _announcement(server: smtplib.SMTP, wire: Wire) -> bytes:
    """From whom and to whom the message is, and that it is to come."""
    size = f" size={len(wire.content)}" if server.has_extn("size") else ""
    return f"mail FROM:<{wire.sender}>{size}\r\nrcpt TO:<{wire.recipient}>\r\ndata\r\n".encode()


def _refusal(server: smtplib.SMTP, wire: Wire) -> smtplib.SMTPException | None:
    """Read what it answers to an announcement: None if it is to get the content, else the first refusal.

    That one is why the others are refused.
    """
    refusal: smtplib.SMTPException | None = None
    for command, good in (("mail", (250,)), ("rcpt", (250, 251)), ("data", (GO_ON,))):
        try:
            code, words = server.getreply()
        except smtplib.SMTPServerDisconnected:
            if refusal:  # it said why
                break
            raise
        if code not in good:
            refusal = refusal or _error(command, code, words, wire)
        if code == SHUTTING_DOWN:  # nothing comes after that
            break
    if refusal:
        if code == GO_ON:  # to a message to nobody: an empty one ends it (section 3.1)
            server.docmd(".")
        _begin_anew(server, code)
    return refusal


def _error(command: str, code: int, words: bytes, wire: Wire) -> smtplib.SMTPException:
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
        if server.rset()[0] == SHUTTING_DOWN:
            server.close()
