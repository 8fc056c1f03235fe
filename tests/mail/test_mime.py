"""What leaves is what Django would have sent: to the byte where Django has the same headers, else in what it says."""

import email
import email.policy
import re
import time
from email.utils import parsedate_to_datetime

import django
import pytest
from django.core.mail import EmailMultiAlternatives
from hypothesis import example, given
from hypothesis import strategies as st

from django_pm.mail import mime

OLDER = django.VERSION < (6,)
LINK = f"<https://pm.example.com/{'x' * 150}>"
HEADERS = {"Message-ID": "<1@site.example>", "References": "<task-5@site.example>", "List-Unsubscribe": LINK}

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
lines = texts.map(lambda text: " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", " ", text).split()))
bodies = st.lists(texts, min_size=1, max_size=20).map("\n".join).map(lambda text: text.replace("\x00", "")).filter(bool)


def make(kind=mime.Message, subject="Due soon: Dig", text="Dig.\n", html="<p>Dig.</p>\n", to="a@example.org", **fields):
    message = kind(subject, text, to=[to], **{"headers": HEADERS, **fields})
    message.attach_alternative(html, "text/html")
    return message


def sent(message):
    """As Django's SMTP backend asks for it."""
    return message.message().as_bytes(linesep="\r\n") if OLDER else message.message(policy=email.policy.SMTP).as_bytes()


def without_chance(raw):
    """One boundary, and one second, for all."""
    boundary = re.search(rb'boundary="([^"]+)"', raw)[1]
    return re.sub(rb"\r\nDate: [^\r]*", b"\r\nDate: now", raw.replace(boundary, b"boundary"))


def unfolded(raw):
    """The link in one piece, which Python puts on a line of its own."""
    return raw.replace(b"List-Unsubscribe: \r\n <", b"List-Unsubscribe: <")


def parsed(raw):
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert not message.defects
    headers = {
        name: re.sub(r"\s+", "", value) for name, value in message.items() if name not in ("Date", "Content-Type")
    }
    # Django 6 breaks lines where Python's str.splitlines() would, so lines are not compared.
    bodies = [body.get_content().split() for kind in ("plain", "html") if (body := message.get_body((kind,)))]
    return headers, bodies


def is_link(value):
    return value.startswith("<") and " " not in value


class TestFolding:
    stock = email.policy.compat32.clone(linesep="\r\n")

    @given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=160))
    @example("a" * 72)
    @example(" a  b ")
    @example("=?utf-8?q?a?=")
    @example("a\n b")
    @example("a, b; c")
    def test_it_is_pythons(self, value):
        ours = mime.SMTP_LINES.fold_binary("Name", value)
        if not is_link(value):
            assert ours == self.stock.fold_binary("Name", value)
        assert mime.SMTP_LINES.fold("Name", value).encode() == ours

    @given(texts)
    def test_of_what_is_not_ascii_too(self, value):
        for policy in (mime.SMTP_LINES, self.stock):
            try:
                found = policy.fold_binary("Name", value)
            except Exception as error:
                found = type(error)
            if policy is mime.SMTP_LINES:
                ours = found
        assert ours == found or is_link(value)

    def test_a_link_is_in_one_piece(self):
        assert mime.SMTP_LINES.fold("List-Unsubscribe", LINK) == f"List-Unsubscribe: {LINK}\r\n"
        too_long = f"<{'x' * mime.LONGEST_LINE}>"
        assert mime.SMTP_LINES.fold("List-Unsubscribe", too_long) == self.stock.fold("List-Unsubscribe", too_long)


class TestMessages:
    @given(subject=lines, text=bodies, html=bodies)
    @example(subject="Due soon: Dig", text="Dig.\n", html="<p>Dig.</p>")
    @example(subject="Fällig: " + "Graben und schaufeln " * 9, text="ä" * 600, html="a\r\nb\rc\n")
    @example(subject="Due soon: " + "Dig and shovel " * 9, text="a" * 998, html="a" * 999)
    @example(subject="", text="From me\n.\n..", html="\n")
    def test_they_say_what_djangos_say(self, subject, text, html):
        ours, djangos = (
            without_chance(sent(make(kind, subject, text, html))) for kind in (mime.Message, EmailMultiAlternatives)
        )
        if OLDER:
            assert unfolded(ours) == unfolded(djangos)
        else:
            assert parsed(ours) == parsed(djangos)

    @given(subject=lines, text=bodies, html=bodies, to=st.sampled_from(["a@example.org", "a.b+c@x-y.example.org"]))
    @example(subject="Due soon: Dig", text="Dig.\n", html="<p>Dig.</p>", to="a@example.org")
    @example(subject="Fällig: " + "Graben " * 20, text="a\rb\r\n.c\n\nä", html="\r", to="a@example.org")
    def test_on_the_wire_they_are_the_same_to_the_byte(self, subject, text, html, to):
        message = make(subject=subject, text=text, html=html, to=to)
        wire = message.wire
        if wire is None:
            assert max(len(line.encode()) for part in (text, html) for line in part.split("\n")) > mime.LONGEST_LINE
            return
        assert wire[:2] == ("pm@site.example", to)
        assert without_chance(wire.content) == without_chance(sent(message))
        assert not re.search(rb"\r(?!\n)|(?<!\r)\n", wire.content)

    @pytest.mark.parametrize(
        "address",
        [
            "",
            "a",
            "@example.org",
            "a@",
            "a..b@example.org",
            ".a@example.org",
            "a@b..c",
            '"a b"@example.org',
            "ä@example.org",
            "a@exämple.org",
            "a@[127.0.0.1]",
            "A <a@example.org>",
            "a@example.org\n",
            "a@example.org>",
            "a@example.org\r\nx@y",
        ],
    )
    def test_only_plain_addresses_are_told_as_they_are(self, address):
        assert make(to=address).wire is None

    def test_the_plain_ones_are_ours(self):
        message = make().message(**{} if OLDER else {"policy": email.policy.SMTP})
        assert isinstance(message, mime.Written)
        assert message.is_multipart()
        assert [part.get_content_type() for part in message.walk()] == [
            "multipart/alternative",
            "text/plain",
            "text/html",
        ]

    @pytest.mark.parametrize("name", ["Projekte Süd", "プロジェクト", '"Süd, Ost"', "Süd\u00a0Ost"])
    def test_the_name_of_the_sender(self, name):
        ours, djangos = (
            without_chance(sent(make(kind, from_email=f"{name} <pm@site.example>")))
            for kind in (mime.Message, EmailMultiAlternatives)
        )
        if OLDER:
            assert unfolded(ours) == unfolded(djangos)
        else:
            assert parsed(ours) == parsed(djangos)

    def test_the_date_is_now(self):
        message = make().message(**{} if OLDER else {"policy": email.policy.SMTP})
        assert abs(parsedate_to_datetime(message["Date"]).timestamp() - time.time()) < 5

    @pytest.mark.parametrize(
        "fields",
        [
            {"subject": "Dig\nBcc: b@example.org"},
            {"subject": "Dig\rBcc: b@example.org"},
            {"to": "a@example.org\nBcc: b@example.org"},
            {"from_email": "pm@site.example\r\nBcc: b@example.org"},
            {"from_email": "Süd\r\nBcc: b@example.org <pm@site.example>"},
            {"headers": {**HEADERS, "References": "<1@site.example>\nBcc: b@example.org"}},
            {"headers": {**HEADERS, "X-Title": "Dig\n Bcc: b@example.org"}},
        ],
    )
    def test_nobody_adds_headers_by_a_line_of_their_own(self, fields):
        with pytest.raises(ValueError, match=r"(?i)newline|linefeed|invalid"):
            sent(make(**fields))

    @pytest.mark.parametrize(
        "fields",
        [
            {"from_email": "Projekte Süd <pm@söd.example>"},
            {"from_email": "Süd <a@site.example>, Ost <b@site.example>"},
            {"to": "Ärzte <a@exämple.org>"},
            {"cc": ["c@example.org"]},
            {"reply_to": ["c@example.org"]},
            {"headers": {"From": "c@example.org", "Message-ID": "<1@site.example>"}},
            {"headers": {"date": "Sat, 28 Nov 2026 14:33:11 -0000", "Message-ID": "<1@site.example>"}},
            {"headers": {"X-Title": "Grün", "Message-ID": "<1@site.example>"}},
            {"attachments": [("plan.txt", "Dig here.", "text/plain")]},
            {"text": ""},
        ],
    )
    def test_what_a_site_adds_is_djangos_to_write(self, fields):
        """A backend or a signal of theirs may have changed the message before it is written."""
        ours, djangos = (without_chance(sent(make(kind, **fields))) for kind in (mime.Message, EmailMultiAlternatives))
        assert parsed(ours) == parsed(djangos)

    def test_whatever_is_no_text_and_html(self):
        message = mime.Message("Dig", "Dig.", to=["a@example.org"], headers=HEADERS)
        message.attach_alternative("BEGIN:VCALENDAR", "text/calendar")
        assert b"text/calendar" in sent(message)
