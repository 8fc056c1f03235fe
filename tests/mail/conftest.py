"""A mail server of the test's own on a real socket, which notes what it is given and refuses what it is told to."""

import asyncio
import email
import email.policy
import socket
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from aiosmtpd.controller import Controller
from django.core import mail

SMTP = "django.core.mail.backends.smtp.EmailBackend"


@dataclass
class Sink:
    """What arrived, and what is answered: `answers[address]` is the reply to that recipient."""

    answers: dict[str, str] = field(default_factory=dict)
    messages: list = field(default_factory=list)
    sessions: set = field(default_factory=set)
    port: int = 0
    held: tuple | None = None
    hangs_up_on: str = ""
    refuses_greeting: bool = False
    refuses_sender: bool = False
    takes_at_most: int = 0
    """How large a message it takes, in bytes, if it minds."""
    pace: Callable[[], float | None] | None = None
    """For how many seconds it thinks about each message, if it does."""
    raw: list = field(default_factory=list)
    offers: list = field(default_factory=lambda: ["PIPELINING"])
    """What it can do besides what its library says."""

    async def handle_HELO(self, server, session, envelope, hostname):
        if self.refuses_greeting:
            return "504 not from there"
        session.host_name = hostname
        return "250 here"

    async def handle_EHLO(self, server, session, envelope, hostname, responses):
        if self.refuses_greeting:
            return ["550 not from there"]
        session.host_name = hostname
        return [responses[0], *(f"250-{offer}" for offer in self.offers), *responses[1:]]

    async def handle_MAIL(self, server, session, envelope, address, options):
        if self.refuses_sender:
            return "550 not from here"
        size = next((int(option[5:]) for option in options if option.startswith("SIZE=")), 0)
        if self.takes_at_most and size > self.takes_at_most:
            return "552 message size exceeds fixed maximum message size"
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address == self.hangs_up_on:
            server.transport.close()
        if address in self.answers:
            return self.answers[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    def hold(self, taken, go_on):
        """Take the next message, say so, and answer nobody until told to."""
        self.held = (taken, go_on)

    async def handle_DATA(self, server, session, envelope):
        self.sessions.add(session.peer)
        self.raw.append(envelope.content)
        self.messages.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        if self.held:
            (taken, go_on), self.held = self.held, None
            taken.set()
            await asyncio.to_thread(go_on.wait)
        if self.pace:
            await asyncio.sleep(self.pace() or 0)
        return self.answers.get("DATA", "250 OK")

    def to(self):
        """To whom, in the order in which it came."""
        return [message["To"] for message in self.messages]


def send_to(settings, port, **options):
    """Have the host's mail go to this port, as its Django is told."""
    if hasattr(mail, "mailers"):
        settings.MAILERS = {"default": {"BACKEND": SMTP, "OPTIONS": {"host": "127.0.0.1", "port": port, **options}}}
        return
    settings.EMAIL_BACKEND, settings.EMAIL_HOST, settings.EMAIL_PORT = SMTP, "127.0.0.1", port
    for name, value in options.items():
        setattr(settings, f"EMAIL_{name.upper()}", value)


@pytest.fixture
def sink(settings):
    sink = Sink()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    controller = Controller(sink, hostname="127.0.0.1", port=port)
    controller.start()
    sink.port = port
    send_to(settings, port)
    yield sink
    controller.stop()
