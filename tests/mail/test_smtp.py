"""Handing over: in two turns where the server takes commands in a row, and as `smtplib` does where it does not."""

import smtplib
import socket
import threading
from contextlib import contextmanager

import pytest
from django.core import mail as django_mail

from django_pm import mime, smtp
from tests.mail.conftest import send_to

HEADERS = {"Message-ID": "<1@site.example>"}
GREETING = [b"220 here", b"250-here\r\n250-SIZE 1000000\r\n250 PIPELINING"]
END = b"\r\n.\r\n"


class Scripted:
    """A server that says these lines, one to each command or message, and hangs up when it has no more.

    It answers what came together in one piece. `turns` is what came, by piece.
    """

    def __init__(self, *answers):
        self._answers = [answer.encode() for answer in answers]
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.turns = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        with self._listening, self._listening.accept()[0] as connection:
            connection.settimeout(10)
            connection.sendall(GREETING[0] + b"\r\n")
            answers = [GREETING[1], *self._answers]
            in_message = False
            while answers and (turn := self._receive(connection, in_message)):
                self.turns.append(turn)
                count = 1 if in_message else turn.count(b"\r\n")
                now, answers = answers[:count], answers[count:]
                in_message = bool(now) and now[-1].startswith(b"354")
                connection.sendall(b"".join(answer + b"\r\n" for answer in now))

    @staticmethod
    def _receive(connection, in_message):
        received = b""
        while not received.endswith(b"\r\n" if not in_message or received == b".\r\n" else END):
            if not (some := connection.recv(65_536)):
                return b""
            received += some
            if received == b".\r\n":  # the end of a message that has no lines
                break
        return received

    def close(self):
        self._thread.join(10)
        assert not self._thread.is_alive()


def message(to="a@example.org", text="Dig.\n", **fields):
    made = mime.Message("Dig", text, to=[to], **{"headers": HEADERS, "from_email": "PM <pm@site.example>", **fields})
    made.attach_alternative("<p>Dig.</p>", "text/html")
    return made


@contextmanager
def backend():
    opened = django_mail.mailers.default if hasattr(django_mail, "mailers") else django_mail.get_connection()
    opened.open()
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture
def scripted(settings):
    servers = []

    def make(*answers):
        servers.append(Scripted(*answers))
        send_to(settings, servers[-1].port, timeout=10)
        return servers[-1]

    yield make
    for server in servers:
        server.close()


class TestTurns:
    def test_there_are_two(self, scripted):
        server = scripted("250 OK", "250 OK", "354 Go on", "250 Taken", "221 Bye")
        letter = message()
        with backend() as opened:
            assert smtp.send(opened, letter) == 1
        _ehlo, commands, content, _quit = server.turns
        size = len(content) - len(".\r\n")
        assert commands.decode() == f"mail FROM:<pm@site.example> size={size}\r\nrcpt TO:<a@example.org>\r\ndata\r\n"
        assert content.endswith(b"=--" + END)

    def test_a_line_that_begins_with_a_dot_does_not_end_the_message(self, sink):
        text = "one\n.\n..two\r.\r\n.three\n"
        with backend() as opened:
            assert smtp.send(opened, message(text=text)) == 1
            assert smtp.send(opened, message("b@example.org")) == 1
        first, _second = sink.messages
        assert first.get_body(("plain",)).get_content().split() == ["one", ".", "..two", ".", ".three"]
        assert sink.to() == ["a@example.org", "b@example.org"]

    def test_the_server_gets_the_same_without(self, sink):
        sent = []
        for offers in (["PIPELINING"], []):
            sink.offers = offers
            with backend() as opened:
                assert smtp.send(opened, message()) == 1
                assert opened.connection.has_extn("pipelining") == bool(offers)
            raw, boundary = sink.raw[-1], sink.messages[-1].get_boundary().encode()
            headers, _blank, parts = raw.replace(boundary, b"boundary").partition(b"\r\n\r\n")
            sent.append(([line for line in headers.split(b"\r\n") if not line.startswith(b"Date: ")], parts))
        assert sent[0] == sent[1]


class TestRefusals:
    """Each is told as `smtplib` tells it, and the next message goes over the same connection."""

    TAKEN = ("250 OK", "250 OK", "354 Go on", "250 Taken", "221 Bye")

    @pytest.mark.parametrize(
        ("answers", "error"),
        [
            (["451 Later", "503 Whose?", "503 What?"], smtplib.SMTPSenderRefused(451, b"Later", "pm@site.example")),
            (["250 OK", "550 Who?", "503 To whom?"], smtplib.SMTPRecipientsRefused({"a@example.org": (550, b"Who?")})),
            (["250 OK", "250 OK", "451 Later"], smtplib.SMTPDataError(451, b"Later")),
            (["250 OK", "250 OK", "354 Go on", "554 Spam"], smtplib.SMTPDataError(554, b"Spam")),
            # It wants a message though it takes no recipient, and then refuses or even takes the empty one.
            (
                ["250 OK", "550 Who?", "354 Go on", "554 To whom?"],
                smtplib.SMTPRecipientsRefused({"a@example.org": (550, b"Who?")}),
            ),
            (
                ["250 OK", "450 Later", "354 Go on", "250 Taken"],
                smtplib.SMTPRecipientsRefused({"a@example.org": (450, b"Later")}),
            ),
        ],
    )
    def test_what_is_refused(self, scripted, answers, error):
        server = scripted(*answers, "250 Anew", *self.TAKEN)
        with backend() as opened:
            with pytest.raises(type(error)) as raised:
                smtp.send(opened, message())
            assert smtp.send(opened, message("b@example.org")) == 1
        assert raised.value.args == error.args
        assert [turn for turn in server.turns if turn == b"rset\r\n"] == [b"rset\r\n"]

    @pytest.mark.parametrize(
        ("answers", "code"),
        [
            (["421 Bye"], 421),
            (["250 OK", "421 Bye"], 421),
            (["250 OK", "250 OK", "421 Bye"], 421),
            (["250 OK", "250 OK", "354 Go on", "421 Bye"], 421),
            (["550 Not you"], 550),  # and hangs up at once
        ],
    )
    def test_a_server_that_hangs_up_says_why(self, scripted, monkeypatch, answers, code):
        getreply, asked = smtplib.SMTP.getreply, []
        scripted(*answers)
        with backend() as opened:
            monkeypatch.setattr(smtplib.SMTP, "getreply", lambda server: (asked.append(1), getreply(server))[1])
            with pytest.raises(smtplib.SMTPException) as raised:
                smtp.send(opened, message())
        error = raised.value
        found = error.recipients["a@example.org"][0] if hasattr(error, "recipients") else error.smtp_code
        assert found == code
        if code == 421:  # nothing is waited for after that
            assert len(asked) == len(["EHLO", *answers])

    def test_a_server_that_hangs_up_and_says_nothing(self, scripted):
        scripted("250 OK")
        with backend() as opened, pytest.raises(smtplib.SMTPServerDisconnected):
            smtp.send(opened, message())


class TestGreeting:
    def test_it_is_refused_before_there_is_a_message(self, sink):
        sink.refuses_greeting = True
        with backend() as opened, pytest.raises(smtplib.SMTPHeloError):
            smtp.greet(opened)

    def test_a_backend_of_the_sites_own_does_it_itself(self, sink):
        sink.refuses_greeting = True
        with backend() as opened:
            opened.__class__ = type("Signing", (type(opened),), {})
            smtp.greet(opened)


class TestWhatIsDjangosToSend:
    @pytest.mark.parametrize(
        "fields",
        [
            {"to": '"a b"@example.org'},
            {"to": "a@exämple.org"},
            {"to": "Ada <a@example.org>"},
            {"from_email": "PM <pm@söd.example>"},
            {"bcc": ["b@example.org"]},
            {"attachments": [("plan.txt", "Dig here.", "text/plain")]},
        ],
    )
    def test_whatever_is_not_plain(self, sink, monkeypatch, fields):
        monkeypatch.setattr(smtp, "hand_over", None)
        with backend() as opened:
            assert smtp.send(opened, message(**fields)) == 1
        assert len(sink.messages) == 1

    def test_a_backend_of_the_sites_own(self, sink, monkeypatch):
        with backend() as opened:
            opened.__class__ = type("Signing", (type(opened),), {})
            monkeypatch.setattr(smtp, "hand_over", None)
            assert smtp.send(opened, message()) == 1
        assert sink.to() == ["a@example.org"]

    def test_who_wants_to_hear_of_no_failure_hears_of_none(self, sink, settings):
        sink.answers["a@example.org"] = "550 Who?"
        with backend() as opened:
            opened.fail_silently = True
            assert smtp.send(opened, message()) == 0
