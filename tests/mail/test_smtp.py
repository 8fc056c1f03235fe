"""Handing over: in one turn where the server takes commands in a row, and as `smtplib` does where it does not."""

import smtplib
import socket
import threading
from contextlib import contextmanager

import pytest
from django.core import mail as django_mail
from django.core.mail.backends.smtp import EmailBackend

from django_pm.mail import mime, smtp
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
                said = []
                while turn and answers:
                    _what, _end, turn = turn.partition(END if in_message and turn != b".\r\n" else b"\r\n")
                    said.append(answers.pop(0))
                    in_message = said[-1].startswith(b"354")
                connection.sendall(b"".join(answer + b"\r\n" for answer in said))

    @staticmethod
    def _receive(connection, in_message):
        received = b""
        while not received.endswith(b"\r\n") or (in_message and END not in received and received != b".\r\n"):
            if not (some := connection.recv(65_536)):
                break
            received += some
        return received

    def close(self):
        self._thread.join(10)
        assert not self._thread.is_alive()


def message(to="a@example.org", text="Dig.\n", **fields):
    made = mime.Message("Dig", text, to=[to], **{"headers": HEADERS, "from_email": "PM <pm@site.example>", **fields})
    made.attach_alternative("<p>Dig.</p>", "text/html")
    return made


@contextmanager
def talking(**values):
    """A talk over the site's backend, of which some attributes are others."""
    backend = django_mail.mailers.default if hasattr(django_mail, "mailers") else django_mail.get_connection()
    for name, value in values.items():
        setattr(backend, name, value)
    talk = smtp.Talk(backend)
    try:
        talk.open()
        yield talk
    finally:
        talk.close()


def signing():
    """A class of the site's own."""
    return type("Signing", (EmailBackend,), {})


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
    def test_there_are_two_for_a_single_message(self, scripted):
        server = scripted("250 OK", "250 OK", "354 Go on", "250 Taken", "221 Bye")
        letter = message()
        with talking() as talk:
            assert talk.send(letter)
        _ehlo, commands, content, _quit = server.turns
        size = len(content) - len(".\r\n")
        assert commands.decode() == f"mail FROM:<pm@site.example> size={size}\r\nrcpt TO:<a@example.org>\r\ndata\r\n"
        assert content.endswith(b"=--" + END)

    def test_a_line_that_begins_with_a_dot_does_not_end_the_message(self, sink):
        text = "one\n.\n..two\r.\r\n.three\n"
        with talking() as talk:
            assert talk.send(message(text=text))
            assert talk.send(message("b@example.org"))
        first, _second = sink.messages
        assert first.get_body(("plain",)).get_content().split() == ["one", ".", "..two", ".", ".three"]
        assert sink.to() == ["a@example.org", "b@example.org"]

    def test_the_server_gets_the_same_without(self, sink):
        sent = []
        for offers in (["PIPELINING"], []):
            sink.offers = offers
            with talking() as talk:
                assert talk.send(message())
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
        with talking() as talk:
            with pytest.raises(type(error)) as raised:
                talk.send(message())
            assert talk.send(message("b@example.org"))
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
        with talking() as talk:
            monkeypatch.setattr(smtplib.SMTP, "getreply", lambda server: (asked.append(1), getreply(server))[1])
            with pytest.raises(smtplib.SMTPException) as raised:
                talk.send(message())
        error = raised.value
        found = error.recipients["a@example.org"][0] if hasattr(error, "recipients") else error.smtp_code
        assert found == code
        if code == 421:  # nothing is waited for after that
            assert len(asked) == len(answers)

    @pytest.mark.parametrize(
        "answers",
        [
            ["250 OK", "550 Who?", "421 Too many errors"],
            ["250 OK", "550 Who?", "503 To whom?", "421 Too many errors"],  # to RSET
            ["250 OK", "550 Who?", "503 To whom?"],
        ],
    )
    def test_behind_a_refusal_the_talk_may_have_ended(self, scripted, answers):
        """Which is for who sends to know, before the next message is blamed for it."""
        scripted(*answers)
        with talking() as talk:
            with pytest.raises(smtplib.SMTPRecipientsRefused):
                talk.send(message())
            assert not talk.may_go_on_with(message("b@example.org"))

    def test_a_server_that_hangs_up_and_says_nothing(self, scripted):
        scripted("250 OK")
        with talking() as talk, pytest.raises(smtplib.SMTPServerDisconnected):
            talk.send(message())


class TestWhatIsAnnounced:
    """Behind the content of a message, the server is told of the one that is to be sent next."""

    ENVELOPE = "mail FROM:<pm@site.example> size={size}\r\nrcpt TO:<{to}>\r\ndata\r\n"
    TAKEN = ("250 OK", "250 OK", "354 Go on", "250 Taken")

    @pytest.fixture
    def letters(self):
        return [message(f"{name}@example.org", f"Dig {name}.\n") for name in "abc"]

    def envelope(self, letter):
        return self.ENVELOPE.format(size=len(letter.wire.content), to=letter.to[0]).encode()

    def content(self, letter):
        return letter.wire.content + b".\r\n"

    def test_so_each_further_message_takes_a_single_turn(self, scripted, letters):
        first, second, third = letters
        server = scripted(*self.TAKEN * 3, "221 Bye")
        with talking() as talk:
            assert talk.send(first, second)
            assert talk.may_go_on_with(second)
            assert talk.send(second, third)
            assert talk.send(third)
        assert server.turns[1:] == [
            self.envelope(first),
            self.content(first) + self.envelope(second),
            self.content(second) + self.envelope(third),
            self.content(third),
            b"quit\r\n",
        ]

    def test_only_that_one_may_be_next(self, scripted, letters):
        first, second, third = letters
        scripted(*self.TAKEN, *self.TAKEN[:3])
        with talking() as talk:
            assert talk.may_go_on_with(third)
            talk.send(first, second)
            assert talk.may_go_on_with(second)
            assert not talk.may_go_on_with(third)
            assert not talk.may_go_on_with(None)

    def test_one_that_is_not_sent_after_all_gets_no_content(self, scripted, letters):
        """Not even a farewell: a server that waits for a content would take it for one."""
        first, second, _third = letters
        server = scripted(*self.TAKEN, *self.TAKEN[:3], "250 Taken")
        with talking() as talk:
            talk.send(first, second)
        server.close()
        assert server.turns[-1] == self.content(first) + self.envelope(second)

    def test_the_sink_forgets_it(self, sink, letters):
        first, second, _third = letters
        with talking() as talk:
            talk.send(first, second)
        with talking() as talk:
            talk.send(second)
        assert sink.to() == ["a@example.org", "b@example.org"]

    def test_what_the_server_answers_to_it_is_told_when_it_is_sent(self, scripted, letters):
        first, second, third = letters
        server = scripted(*self.TAKEN, "250 OK", "550 Who?", "503 To whom?", "250 Anew", *self.TAKEN, "221 Bye")
        with talking() as talk:
            assert talk.send(first, second)
            with pytest.raises(smtplib.SMTPRecipientsRefused) as raised:
                talk.send(second, third)
            assert talk.send(third)
        assert raised.value.recipients == {"b@example.org": (550, b"Who?")}
        assert server.turns[3:] == [b"rset\r\n", self.envelope(third), self.content(third), b"quit\r\n"]

    @pytest.mark.parametrize("answer", ["554 Spam", "451 Later"])
    def test_it_stays_announced_if_the_one_before_is_refused(self, scripted, letters, answer):
        first, second, _third = letters
        server = scripted("250 OK", "250 OK", "354 Go on", answer, *self.TAKEN, "221 Bye")
        with talking() as talk:
            with pytest.raises(smtplib.SMTPDataError):
                talk.send(first, second)
            assert talk.send(second)
        assert server.turns[3:] == [self.content(second), b"quit\r\n"]

    def test_a_server_that_hangs_up_behind_the_one_before_has_taken_that(self, scripted, letters):
        first, second, _third = letters
        scripted(*self.TAKEN)
        with talking() as talk:
            assert talk.send(first, second)
            with pytest.raises(smtplib.SMTPServerDisconnected):
                talk.send(second)

    @pytest.mark.parametrize("fields", [{"to": '"a b"@example.org'}, {"bcc": ["c@example.org"]}])
    def test_one_that_is_djangos_to_send_is_not(self, sink, letters, fields):
        following = message(**fields)
        with talking() as talk:
            assert talk.send(letters[0], following)
            assert talk.may_go_on_with(letters[1])
            assert talk.send(following)
        assert len(sink.messages) == 2

    def test_nothing_is_to_a_server_that_takes_no_commands_in_a_row(self, sink, letters):
        first, second, third = letters
        sink.offers = []
        with talking() as talk:
            assert talk.send(first, second)
            assert talk.may_go_on_with(third)
            assert talk.send(third)
        assert sink.to() == ["a@example.org", "c@example.org"]


class TestGreeting:
    def test_it_is_refused_before_there_is_a_message(self, sink):
        sink.refuses_greeting = True
        with pytest.raises(smtplib.SMTPHeloError), talking():
            pass

    def test_a_backend_of_the_sites_own_does_it_itself(self, sink):
        sink.refuses_greeting = True
        with talking(__class__=signing()):
            pass


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
        monkeypatch.setattr(smtp.Talk, "hand_over", None)
        with talking() as talk:
            assert talk.send(message(**fields))
        assert len(sink.messages) == 1

    def test_a_backend_of_the_sites_own(self, sink, monkeypatch):
        monkeypatch.setattr(smtp.Talk, "hand_over", None)
        with talking(__class__=signing()) as talk:
            assert talk.send(message())
        assert sink.to() == ["a@example.org"]

    def test_who_wants_to_hear_of_no_failure_hears_of_none(self, sink, settings):
        sink.answers["a@example.org"] = "550 Who?"
        with talking(fail_silently=True) as talk:
            assert not talk.send(message())
