"""The queue: what leaves, what is tried again, what is given up, and that nobody is in the way of the others."""

import datetime as dt
import itertools
import random
import threading
from collections import Counter
from unittest.mock import Mock

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import OperationalError, connection, connections
from django.urls import get_script_prefix, reverse, set_script_prefix
from django.utils import timezone, translation

from django_pm.mail import journal, letters, smtp
from django_pm.mail import sending as mailing
from django_pm.mail.journal import Executed, Journal
from django_pm.mail.sending import claim, send_queue
from django_pm.models import Mail, MailState, NotificationPreferences, Task
from django_pm.services import reminders as words
from django_pm.services.reminders import queue_due
from django_pm.services.unsubscribing import unsubscribe_url
from tests.factories import make_project, make_task, make_user
from tests.mail.conftest import send_to

pytestmark = pytest.mark.django_db


def person(address, **fields):
    name = address.partition("@")[0]
    return make_user(name, **{get_user_model().get_email_field_name(): address, **fields})


def reminders(*addresses, **fields):
    """One queued reminder for each address, in this order."""
    for number, address in enumerate(addresses):
        user = person(address)
        due_date = timezone.now() + dt.timedelta(hours=1, minutes=number)
        make_task(make_project(user), assignee=user, due_date=due_date, **{"title": "Dig", **fields})
    assert queue_due() == len(addresses)


def states():
    return {mail.recipient.email: mail.state for mail in Mail.objects.select_related("recipient")}


def due_again():
    """Let all pauses be over."""
    Mail.objects.update(due_at=timezone.now())


class TestRefusals:
    def test_one_who_is_refused_delays_nobody(self, sink):
        sink.answers["b@example.org"] = "550 No such user here"
        reminders("a@example.org", "b@example.org", "c@example.org")
        assert send_queue() == {MailState.SENT: 2, MailState.FAILED: 1}
        assert sink.to() == ["a@example.org", "c@example.org"]
        assert Mail.objects.get(state=MailState.FAILED).reason == "550 No such user here"
        assert len(sink.sessions) == 1

    def test_for_the_moment(self, sink):
        sink.answers["a@example.org"] = "451 Come back later"
        reminders("a@example.org")
        assert send_queue() == {MailState.WAITING: 1}
        mail = Mail.objects.get()
        assert (mail.state, mail.reason, mail.attempts) == (MailState.WAITING, "451 Come back later", 1)
        sink.answers.clear()
        due_again()
        assert send_queue() == {MailState.SENT: 1}
        assert Mail.objects.get().reason == ""

    def test_pauses_grow_and_are_drawn_at_random(self, sink, monkeypatch):
        monkeypatch.setattr(random, "random", lambda: 1.0)
        sink.answers["a@example.org"] = "451 Come back later"
        reminders("a@example.org")
        pauses = []
        for _ in range(4):
            before = timezone.now()
            send_queue()
            pauses.append(round((Mail.objects.get().due_at - before) / dt.timedelta(minutes=1)))
            due_again()
        assert pauses == [2, 4, 8, 16]

    def test_pauses_stay_within_their_bound_however_many_attempts_there_are(self, sink, settings, monkeypatch):
        settings.DJANGO_PM = {"MAIL_ATTEMPTS": 60}
        monkeypatch.setattr(random, "random", lambda: 1.0)
        sink.answers["a@example.org"] = "451 Come back later"
        reminders("a@example.org", "b@example.org")
        Mail.objects.filter(recipient__email="a@example.org").update(attempts=50)
        before = timezone.now()
        assert send_queue() == {MailState.WAITING: 1, MailState.SENT: 1}
        assert sink.to() == ["b@example.org"]
        mail = Mail.objects.get(state=MailState.WAITING)
        assert mail.attempts == 51
        assert round((mail.due_at - before) / dt.timedelta(hours=1)) == 6

    def test_it_is_given_up_in_the_end(self, sink, settings):
        settings.DJANGO_PM = {"MAIL_ATTEMPTS": 2}
        sink.answers["a@example.org"] = "451 Come back later"
        reminders("a@example.org")
        for expected in (MailState.WAITING, MailState.FAILED):
            due_again()
            assert send_queue() == {expected: 1}
        due_again()
        assert send_queue() == {}

    def test_of_the_message_itself(self, sink):
        sink.answers["DATA"] = "554 Looks like spam"
        reminders("a@example.org", "b@example.org")
        assert send_queue() == {MailState.FAILED: 2}


class TestWhatIsStored:
    def test_the_reason_is_in_english_whatever_the_process_speaks(self, sink):
        reminders("a@example.org")
        get_user_model().objects.update(email="nobody at nowhere")
        with translation.override("de"):
            assert send_queue() == {MailState.FAILED: 1}
        assert Mail.objects.get().reason == "Enter a valid email address."


class TestServerAway:
    def test_it_refuses_the_site(self, sink):
        """Who may not send through it loses no message by that."""
        sink.refuses_sender = True
        reminders("a@example.org", "b@example.org")
        assert send_queue() == {MailState.WAITING: 2}
        assert "not from here" in Mail.objects.order_by("pk")[0].reason
        assert set(Mail.objects.values_list("attempts", flat=True)) == {0}
        sink.refuses_sender = False
        due_again()
        assert send_queue() == {MailState.SENT: 2}

    @pytest.mark.parametrize("is_djangos", [True, False])
    def test_it_refuses_to_be_greeted(self, sink, monkeypatch, is_djangos):
        """Django greets it with the first message, which is not to blame."""
        if not is_djangos:
            monkeypatch.setattr(smtp, "EmailBackend", None)
        sink.refuses_greeting = True
        reminders("a@example.org", "b@example.org")
        assert send_queue() == {MailState.WAITING: 2}
        assert set(Mail.objects.values_list("state", "attempts")) == {(MailState.WAITING, 0)}
        assert "not from there" in Mail.objects.order_by("pk")[0].reason
        sink.refuses_greeting = False
        due_again()
        assert send_queue() == {MailState.SENT: 2}

    def test_who_is_refused_begins_no_message(self, sink, steps):
        sink.refuses_greeting = True
        reminders("a@example.org")
        assert send_queue() == {MailState.WAITING: 1}
        assert steps == []

    def test_what_is_too_large_for_it_is_in_nobodys_way(self, sink):
        """A server that hears a message's size before the message refuses it by refusing the sender."""
        sink.takes_at_most = 20_000
        reminders("a@example.org", "b@example.org")
        Task.objects.filter(assignee__email="a@example.org").update(description="😀" * 2_000)
        assert send_queue() == {MailState.FAILED: 1, MailState.SENT: 1}
        assert states() == {"a@example.org": MailState.FAILED, "b@example.org": MailState.SENT}
        assert Mail.objects.get(state=MailState.FAILED).reason.startswith("552")

    def test_nothing_is_lost_or_counted(self, sink, settings):
        reminders("a@example.org", "b@example.org")
        send_to(settings, 9)
        for _ in range(20):
            due_again()
            assert send_queue() == {MailState.WAITING: 2}
        assert {(mail.attempts, mail.state) for mail in Mail.objects.all()} == {(0, MailState.WAITING)}
        assert "ConnectionRefusedError" in Mail.objects.all()[0].reason
        send_to(settings, sink.port)
        due_again()
        assert send_queue() == {MailState.SENT: 2}

    def test_it_goes_away_in_the_middle(self, sink, monkeypatch):
        reminders("a@example.org", "b@example.org", "c@example.org")
        sink.answers["b@example.org"] = "421 Shutting down"
        send_queue()
        assert states()["a@example.org"] == MailState.SENT
        assert states()["b@example.org"] == MailState.WAITING
        sink.answers.clear()
        due_again()
        send_queue()
        assert set(states().values()) == {MailState.SENT}
        assert sorted(sink.to()) == ["a@example.org", "b@example.org", "c@example.org"]

    def test_it_does_not_offer_what_is_asked_for(self, sink, settings):
        send_to(settings, sink.port, use_tls=True)
        reminders("a@example.org")
        assert send_queue() == {MailState.WAITING: 1}
        assert "STARTTLS" in Mail.objects.get().reason


class TestBadInput:
    @pytest.mark.parametrize("address", ["", "nobody", "a b@example.org", "a@example.org\nBcc: evil@example.org"])
    def test_addresses(self, sink, address):
        reminders("a@example.org", "b@example.org")
        user = get_user_model().objects.get(email="a@example.org")
        get_user_model().objects.filter(pk=user.pk).update(email=address)
        assert send_queue() == {MailState.FAILED: 1, MailState.SENT: 1}
        assert sink.to() == ["b@example.org"]
        assert Mail.objects.get(state=MailState.FAILED).reason

    def test_titles_make_no_headers(self, sink):
        reminders("a@example.org", title="Dig\r\nBcc: evil@example.org")
        assert send_queue() == {MailState.SENT: 1}
        (message,) = sink.messages
        assert message["Bcc"] is None
        assert message["Subject"] == "Due soon: Dig Bcc: evil@example.org"

    def test_titles_make_no_markup(self, sink):
        reminders("a@example.org", title="<b>Dig</b> & fill")
        send_queue()
        (message,) = sink.messages
        assert message["Subject"] == "Due soon: <b>Dig</b> & fill"
        assert "<b>Dig</b> & fill" in message.get_body(("plain",)).get_content()
        assert "&lt;b&gt;Dig&lt;/b&gt; &amp; fill" in message.get_body(("html",)).get_content()

    def test_a_template_that_the_host_broke(self, sink, monkeypatch, caplog):
        render = letters.render_to_string

        def broken(name, context):
            if context["recipient"].email == "a@example.org":
                raise ZeroDivisionError("as a template might")
            return render(name, context)

        reminders("a@example.org", "b@example.org")
        monkeypatch.setattr(letters, "render_to_string", broken)
        assert send_queue() == {MailState.WAITING: 1, MailState.SENT: 1}
        assert "ZeroDivisionError" in Mail.objects.get(state=MailState.WAITING).reason
        monkeypatch.undo()

    def test_one_of_which_nobody_can_say_whether_it_is_still_to_be_sent(self, sink, monkeypatch, caplog):
        """A policy of the host's may fail over one user, the page of a report over what is in it."""
        still_due = letters.reminders.still_due

        def broken(mails, now):
            if any(mail.recipient.email == "b@example.org" for mail in mails):
                raise ZeroDivisionError("as a policy might")
            return still_due(mails, now)

        reminders("a@example.org", "b@example.org", "c@example.org")
        monkeypatch.setattr(letters.reminders, "still_due", broken)
        assert send_queue() == {MailState.WAITING: 1, MailState.SENT: 2}
        mail = Mail.objects.get(state=MailState.WAITING)
        assert (mail.reason, mail.attempts) == ("ZeroDivisionError: as a policy might", 1)
        assert "Nobody can say" in caplog.text

    def test_a_database_that_is_away_is_the_fault_of_no_message(self, sink, monkeypatch):
        def away(mails, now):
            raise OperationalError("server closed the connection unexpectedly")

        reminders("a@example.org", "b@example.org")
        monkeypatch.setattr(letters.reminders, "still_due", away)
        monkeypatch.setattr(type(connections["default"]), "is_usable", lambda connection: False)
        with pytest.raises(OperationalError):
            send_queue()
        assert set(Mail.objects.values_list("state", "attempts")) == {(MailState.CLAIMED, 0)}

    def test_one_of_which_the_database_takes_too_long_to_say_it(self, sink, monkeypatch, caplog):
        """It is asked about once in a batch, or it would take that long again each time the rest is asked about."""
        still_due, asked = letters.reminders.still_due, []

        def slow(mails, now):
            addresses = [mail.recipient.email for mail in mails]
            asked.append(addresses)
            if "c@example.org" in addresses:
                raise OperationalError("canceling statement due to statement timeout")
            return still_due(mails, now)

        reminders("a@example.org", "b@example.org", "c@example.org", "d@example.org")
        monkeypatch.setattr(letters.reminders, "still_due", slow)
        monkeypatch.setattr(mailing, "FRESH_FOR", dt.timedelta(0))
        assert send_queue() == {MailState.WAITING: 1, MailState.SENT: 3}
        assert sink.to() == ["a@example.org", "b@example.org", "d@example.org"]
        assert asked.count(["c@example.org"]) == 1
        mail = Mail.objects.get(state=MailState.WAITING)
        assert (mail.reason, mail.attempts) == ("OperationalError: canceling statement due to statement timeout", 1)

    def test_it_is_put_back_even_if_the_time_is_over_by_then(self, sink, monkeypatch, time_machine):
        """So that it is not claimed with the others again, and the time over again."""
        still_due, now = letters.reminders.still_due, timezone.now()
        time_machine.move_to(now, tick=False)

        def slow(mails, now):
            if any(mail.recipient.email == "c@example.org" for mail in mails):
                time_machine.shift(mailing.SENDING_FOR)
                raise OperationalError("canceling statement due to statement timeout")
            return still_due(mails, now)

        monkeypatch.setattr(random, "random", lambda: 1.0)
        reminders("a@example.org", "b@example.org", "c@example.org")
        monkeypatch.setattr(letters.reminders, "still_due", slow)
        assert send_queue()[MailState.SENT] == 2
        assert sink.to() == ["a@example.org", "b@example.org"]
        assert Mail.objects.get(state=MailState.WAITING).attempts == 1

    @pytest.mark.postgres
    @pytest.mark.parametrize(
        "in_transaction", [True, pytest.param(False, marks=pytest.mark.django_db(transaction=True))]
    )
    def test_so_it_is_on_a_database_that_cancels_what_takes_too_long(self, sink, monkeypatch, in_transaction):
        still_due = letters.reminders.still_due

        def slow(mails, now):
            if any(mail.recipient.email == "b@example.org" for mail in mails):
                with connection.cursor() as cursor:
                    cursor.execute("SELECT pg_sleep(10)")
            return still_due(mails, now)

        assert connection.in_atomic_block == in_transaction
        reminders("a@example.org", "b@example.org", "c@example.org")
        monkeypatch.setattr(letters.reminders, "still_due", slow)
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = '50ms'")
        try:
            assert send_queue() == {MailState.WAITING: 1, MailState.SENT: 2}
        finally:
            with connection.cursor() as cursor:
                cursor.execute("RESET statement_timeout")
        assert "statement timeout" in Mail.objects.get(state=MailState.WAITING, attempts=1).reason

    def test_a_zone_or_language_that_there_is_not(self, sink):
        reminders("a@example.org")
        user = get_user_model().objects.get(email="a@example.org")
        NotificationPreferences.objects.create(user=user, time_zone="Moon/Base", language="xx")
        assert send_queue() == {MailState.SENT: 1}


class TestMessages:
    def test_in_the_recipients_language_and_time_zone(self, sink):
        reminders("a@example.org")
        Task.objects.update(due_date=dt.datetime(2031, 5, 4, 14, tzinfo=dt.UTC))
        Mail.objects.update(occurrence="2031-05-04T14:00:00Z")
        user = get_user_model().objects.get(email="a@example.org")
        NotificationPreferences.objects.create(user=user, time_zone="Asia/Tokyo", language="de")
        send_queue(now=dt.datetime(2031, 5, 4, 9, tzinfo=dt.UTC))
        text = sink.messages[0].get_body(("plain",)).get_content()
        assert "4. Mai 2031 23:00" in text
        assert "JST" in text

    def test_each_in_the_language_of_its_own_recipient(self, sink, monkeypatch):
        """What is looked up once for each language is not said in another."""
        words.phrases_in.cache_clear()
        monkeypatch.setattr(words, "gettext", lambda text: f"[{translation.get_language()}] {text}")
        reminders("a@example.org", "b@example.org", "c@example.org")
        for number, language in enumerate(("de", "", "de")):
            user = get_user_model().objects.get(email=f"{'abc'[number]}@example.org")
            NotificationPreferences.objects.create(user=user, language=language)
        assert send_queue() == {MailState.SENT: 3}
        words.phrases_in.cache_clear()
        assert [message["Subject"] for message in sink.messages] == [
            "[de] Due soon: Dig",
            "[en-us] Due soon: Dig",
            "[de] Due soon: Dig",
        ]
        assert "[de] Priority: " in sink.messages[2].get_body(("html",)).get_content()

    def test_the_link_is_where_the_site_has_it_by_now(self, sink, settings):
        settings.DJANGO_PM = {"SITE_URL": "https://pm.example.com"}
        user = person("a@example.org")
        before = get_script_prefix()
        try:
            for prefix in ("/", "/pm/", "/"):
                set_script_prefix(prefix)
                url = unsubscribe_url(user, "reminder")
                assert url.startswith(f"https://pm.example.com{prefix}notifications/unsubscribe/")
                assert url == f"https://pm.example.com{reverse('django_pm:unsubscribe', args=[url.split('/')[-2]])}"
        finally:
            set_script_prefix(before)
        settings.ROOT_URLCONF = ()  # no API there
        assert unsubscribe_url(user, "reminder") == ""

    def test_headers(self, sink, settings):
        settings.DJANGO_PM = {"SITE_URL": "https://pm.example.com/"}
        reminders("a@example.org")
        send_queue()
        (message,) = sink.messages
        task, mail = Task.objects.get(), Mail.objects.get()
        assert message["Message-ID"] == f"<{mail.message_id}@site.example>"
        assert message["References"] == message["In-Reply-To"] == f"<task-{task.pk}@site.example>"
        assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        assert message["List-Unsubscribe"].strip().startswith("<https://pm.example.com/")
        assert message["Auto-Submitted"] == "auto-generated"
        # As it is on the wire: programs look for an address there, and decode nothing.
        unfolded = sink.raw[0].replace(b"\r\n ", b" ")
        assert b"\r\nList-Unsubscribe: <https://pm.example.com/" in unfolded.replace(b":  <", b": <")
        assert b"=?utf-8?" not in unfolded
        assert message["From"] == "Projects <pm@site.example>"

    def test_one_click_ends_them(self, sink, settings, client):
        settings.DJANGO_PM = {"SITE_URL": "https://pm.example.com"}
        reminders("a@example.org", "b@example.org")
        send_queue()
        link = next(m for m in sink.messages if m["To"] == "a@example.org")["List-Unsubscribe"]
        path = link.strip(" <>").removeprefix("https://pm.example.com")
        assert client.get(path).status_code == 200
        assert not NotificationPreferences.objects.exists()
        assert client.post(path, {"List-Unsubscribe": "One-Click"}).status_code == 200
        assert [(row.user.email, row.reminders) for row in NotificationPreferences.objects.all()] == [
            ("a@example.org", False)
        ]
        Task.objects.update(due_date=timezone.now() + dt.timedelta(hours=3))
        assert queue_due() == 1

    def test_without_a_site_url_there_are_no_links(self, sink):
        reminders("a@example.org")
        send_queue()
        (message,) = sink.messages
        assert message["List-Unsubscribe"] is None
        assert "http" not in message.get_body(("html",)).get_content()

    @pytest.mark.parametrize("token", ["x", "WzEsInJlbWluZGVyIl0:1abc:xyz"])
    def test_a_link_that_is_none_of_ours(self, client, token):
        for method in (client.get, client.post):
            assert method(f"/notifications/unsubscribe/{token}/").status_code == 404
        assert not NotificationPreferences.objects.exists()


class Steps(list):
    """What is begun and written, in its order; whoever is in `breaks` breaks the process that writes to them."""

    def __init__(self, monkeypatch):
        super().__init__()
        self.breaks, self.fails = set(), set()
        compose, begin = mailing.compose, Journal.begin

        def composing(mail, *arguments):
            name = mail.recipient.email[0]
            self.append(f"write {name}")
            if name in self.breaks:
                raise SystemExit
            if name in self.fails:
                raise LookupError("as a template might")
            return compose(mail, *arguments)

        def beginning(journal, mail, **options):
            self.append(f"begin {mail.recipient.email[0]}")
            return begin(journal, mail, **options)

        monkeypatch.setattr(mailing, "compose", composing)
        monkeypatch.setattr(Journal, "begin", beginning)

    def taken(self):
        """In one line; and begin anew."""
        found = ", ".join(self)
        self.clear()
        return found


@pytest.fixture
def steps(monkeypatch):
    return Steps(monkeypatch)


def to(names):
    reminders(*(f"{name}@example.org" for name in names))


class TestWritingInARow:
    """Several are written when the first of them has been begun, and nobody pays for another one."""

    def test_some_at_a_time(self, sink, steps, monkeypatch):
        monkeypatch.setattr(mailing, "IN_A_ROW", 3)
        to("abcde")
        assert send_queue() == {MailState.SENT: 5}
        assert steps.taken() == (
            "begin a, write a, write b, write c, begin b, begin c, begin d, write d, write e, begin e"
        )

    def test_as_long_as_it_takes_no_time(self, sink, steps, monkeypatch):
        monkeypatch.setattr(mailing, "WRITING_FOR", -1)
        to("abc")
        assert send_queue() == {MailState.SENT: 3}
        assert steps.taken() == "begin a, write a, begin b, write b, begin c, write c"

    def test_not_to_those_who_are_not_to_get_it(self, sink, steps):
        to("abc")
        Task.objects.filter(assignee__email="b@example.org").update(status="completed")
        assert send_queue() == {MailState.SENT: 2, MailState.SKIPPED: 1}
        assert steps.taken() == "begin a, write a, write c, begin c"

    def test_each_in_its_own_language_and_time_zone(self, sink):
        to("abc")
        for name, chosen in (("a", {"language": "de"}), ("b", {"time_zone": "Asia/Tokyo"})):
            user = get_user_model().objects.get(email=f"{name}@example.org")
            NotificationPreferences.objects.create(user=user, **chosen)
        assert send_queue() == {MailState.SENT: 3}
        bodies = [message.get_body(("plain",)).get_content() for message in sink.messages]
        assert ["Guten Tag" in body for body in bodies] == [True, False, False]
        assert ["JST" in body for body in bodies] == [False, True, False]

    def test_one_that_cannot_be_written_is_in_nobodys_way(self, sink, steps):
        steps.fails = {"c"}
        to("abcd")
        assert send_queue() == {MailState.SENT: 3, MailState.WAITING: 1}
        assert steps.taken() == ("begin a, write a, write b, write c, begin b, begin c, write c, begin d, write d")
        assert Mail.objects.get(state=MailState.WAITING).attempts == 1

    def test_nor_one_in_a_language_that_is_broken(self, sink, monkeypatch):
        override = translation.override

        def broken(language, *arguments):
            if language == "de":
                raise OSError("Bad magic number")
            return override(language, *arguments)

        to("abc")
        user = get_user_model().objects.get(email="b@example.org")
        NotificationPreferences.objects.create(user=user, language="de")
        monkeypatch.setattr(letters.translation, "override", broken)
        assert send_queue() == {MailState.SENT: 2, MailState.WAITING: 1}
        assert Mail.objects.get(state=MailState.WAITING).reason == "OSError: Bad magic number"

    def test_one_that_breaks_whoever_writes_it_is_found(self, sink, steps, settings):
        settings.DJANGO_PM = {"MAIL_ATTEMPTS": 3}
        steps.breaks = {"c"}
        to("abcd")
        now = timezone.now()
        for turn in range(4):  # in the first, nobody knows yet which it was
            with pytest.raises(SystemExit):
                send_queue(now=now + turn * mailing.CLAIMED_FOR)
        assert sink.to() == ["a@example.org", "b@example.org"]
        assert steps.taken() == (
            "begin a, write a, write b, write c, "
            "begin a, write a, begin b, write b, begin c, write c, begin c, write c, begin c, write c"
        )
        assert send_queue(now=now + 4 * mailing.CLAIMED_FOR) == {MailState.SENT: 1}
        assert Counter(states().values()) == {MailState.SENT: 3, MailState.FAILED: 1}
        repeated = Mail.objects.filter(repeated=True).values_list("recipient__email", flat=True)
        assert set(repeated) == {"a@example.org", "c@example.org"}  # it was begun when the first was killed

    def test_what_a_killed_one_has_left_is_written_by_itself(self, sink, steps):
        to("abcd")
        left = Mail.objects.filter(recipient__email__in=["b@example.org", "c@example.org"])
        left.update(state=MailState.CLAIMED)
        assert send_queue() == {MailState.SENT: 4}
        assert steps.taken() == "begin a, write a, write d, begin b, write b, begin c, write c, begin d"

    def test_so_it_is_after_the_server_was_away(self, sink, steps, monkeypatch):
        steps.breaks = {"b"}
        to("abc")
        now = timezone.now()
        with pytest.raises(SystemExit):
            send_queue(now=now)
        with monkeypatch.context() as patch:
            patch.setattr(mailing.Batch, "_connect", Mock(side_effect=mailing.ServerAway("away")))
            assert send_queue(now=now + mailing.CLAIMED_FOR) == {MailState.WAITING: 3}
        steps.clear()
        with pytest.raises(SystemExit):
            send_queue(now=now + 2 * mailing.CLAIMED_FOR)
        assert steps.taken() == "begin a, write a, begin b, write b"

    def test_nothing_is_written_with_the_last_attempt_of_one(self, sink, steps, settings):
        settings.DJANGO_PM = {"MAIL_ATTEMPTS": 3}
        steps.breaks = {"b"}
        to("ab")
        Mail.objects.filter(recipient__email="a@example.org").update(attempts=2)
        with pytest.raises(SystemExit):
            send_queue()
        assert steps.taken() == "begin a, write a, begin b, write b"
        assert sink.to() == ["a@example.org"]


class TestCrashes:
    """Whoever sends is killed at each point in turn; the next one finishes, and knows what it does not know."""

    def test_after_the_claim(self, sink):
        reminders("a@example.org")
        assert len(claim(timezone.now())) == 1
        assert send_queue() == {}
        assert send_queue(now=timezone.now() + mailing.CLAIMED_FOR) == {MailState.SENT: 1}
        assert len(sink.messages) == 1
        mail = Mail.objects.get()
        assert (mail.repeated, mail.attempts) == (False, 1)  # it had not been begun

    @staticmethod
    def noting(monkeypatch, number, then):
        """Let what is noted with the beginning of this message (the first is 0) be `then` instead."""
        calls = itertools.count()

        class Noting(Executed):
            def __init__(self, *values):
                if next(calls) == number:
                    then()
                super().__init__(*values)

        monkeypatch.setattr(journal, "Executed", Noting)

    @staticmethod
    def before_noting(monkeypatch, act):
        class Noting(Executed):
            def __init__(self, connection, note, waited):
                act(note)
                super().__init__(connection, note, waited)

        monkeypatch.setattr(journal, "Executed", Noting)

    @staticmethod
    def after_noting(monkeypatch, act):
        class Noting(Executed):
            def __init__(self, *values):
                super().__init__(*values)
                act()

        monkeypatch.setattr(journal, "Executed", Noting)

    @staticmethod
    def die():
        raise SystemExit

    def test_after_the_server_has_taken_it(self, sink, monkeypatch):
        reminders("a@example.org", "b@example.org")
        self.noting(monkeypatch, 1, self.die)
        monkeypatch.setattr(Journal, "note_taken", lambda journal: None)  # the killed tidy nothing up
        with pytest.raises(SystemExit):
            send_queue()
        monkeypatch.undo()
        assert send_queue(now=timezone.now() + mailing.CLAIMED_FOR) == {MailState.SENT: 2}
        assert sink.to() == ["a@example.org", "a@example.org", "b@example.org"]
        first, again, _other = sink.messages
        assert first["Message-ID"] == again["Message-ID"]
        found = Mail.objects.order_by("pk").values_list("repeated", "attempts")
        assert list(found) == [(True, 2), (False, 1)]  # who only waited beside it is not counted against

    def test_after_the_server_has_taken_the_last_of_a_batch(self, sink, monkeypatch):
        reminders("a@example.org", "b@example.org")
        monkeypatch.setattr(Journal, "note_taken", lambda journal: journal._taken and self.die())
        with pytest.raises(SystemExit):
            send_queue()
        monkeypatch.undo()
        assert states() == {"a@example.org": MailState.SENT, "b@example.org": MailState.SENDING}
        assert send_queue(now=timezone.now() + mailing.CLAIMED_FOR) == {MailState.SENT: 1}
        assert sink.to() == ["a@example.org", "b@example.org", "b@example.org"]

    def test_who_is_stopped_and_not_killed_notes_what_the_server_has_taken(self, sink, monkeypatch):
        reminders("a@example.org", "b@example.org")
        self.noting(monkeypatch, 1, self.die)
        with pytest.raises(SystemExit):
            send_queue()
        assert states() == {"a@example.org": MailState.SENT, "b@example.org": MailState.CLAIMED}

    def test_one_that_is_gone_is_in_nobodys_way(self, sink, monkeypatch):
        """What is noted with the next one's beginning: that one goes on whatever became of the row before."""
        reminders("a@example.org", "b@example.org")
        self.before_noting(
            monkeypatch, lambda note: Mail.objects.filter(pk__in=[each.mail.pk for each in note.taken]).delete()
        )
        assert send_queue() == {MailState.SENT: 2}
        assert sink.to() == ["a@example.org", "b@example.org"]
        assert states() == {"b@example.org": MailState.SENT}

    def test_one_that_is_gone_before_it_is_begun_is_not_sent(self, sink, monkeypatch):
        reminders("a@example.org", "b@example.org")
        self.before_noting(monkeypatch, lambda note: note.taken and Mail.objects.filter(pk=note.begun.pk).delete())
        send_queue()
        assert sink.to() == ["a@example.org"]
        assert states() == {"a@example.org": MailState.SENT}

    @pytest.mark.parametrize("unsure", [2, journal.UNSURE])
    def test_what_the_database_forgets_is_noted_again(self, sink, monkeypatch, unsure):
        """As if it had come back after a crash without what it had not written yet, and nobody had noticed."""
        monkeypatch.setattr(journal, "UNSURE", unsure)
        reminders(*(f"user{n}@example.org" for n in range(4)))
        calls = itertools.count()

        def forget():
            if next(calls) == 1:
                Mail.objects.filter(state=MailState.SENT).update(state=MailState.CLAIMED, sent_at=None)

        self.after_noting(monkeypatch, forget)
        assert send_queue() == {MailState.SENT: 4}
        assert Mail.objects.filter(state=MailState.SENT, sent_at__isnull=False).count() == 4

    def test_what_another_has_claimed_meanwhile_is_not_noted(self, sink, monkeypatch):
        reminders("a@example.org", "b@example.org")
        later = timezone.now() + dt.timedelta(hours=1)

        def claim():
            Mail.objects.filter(state=MailState.SENT).update(state=MailState.CLAIMED, due_at=later)

        self.after_noting(monkeypatch, claim)
        send_queue()
        assert states() == {"a@example.org": MailState.CLAIMED, "b@example.org": MailState.SENT}

    def test_after_the_mark(self, sink):
        reminders("a@example.org")
        send_queue()
        assert send_queue(now=timezone.now() + mailing.CLAIMED_FOR) == {}
        assert len(sink.messages) == 1
        assert not Mail.objects.get().repeated

    @pytest.mark.parametrize("breaks", ["writing", "sending"])
    def test_one_that_breaks_whoever_sends_it_is_given_up(self, sink, settings, monkeypatch, breaks):
        settings.DJANGO_PM = {"MAIL_ATTEMPTS": 3}
        reminders("a@example.org", "b@example.org")
        now = timezone.now()

        def die(*_arguments):
            raise SystemExit

        what = (mailing, "compose") if breaks == "writing" else (smtp.Talk, "send")
        for turn in range(3):
            monkeypatch.setattr(*what, die)
            with pytest.raises(SystemExit):
                send_queue(now=now + turn * mailing.CLAIMED_FOR)
            monkeypatch.undo()
        assert send_queue(now=now + 3 * mailing.CLAIMED_FOR) == {MailState.SENT: 1}
        assert states() == {"a@example.org": MailState.FAILED, "b@example.org": MailState.SENT}
        assert Mail.objects.get(state=MailState.FAILED).reason == "It broke whoever sent it."

    def test_a_message_that_makes_the_server_hang_up_is_in_nobodys_way(self, sink):
        sink.hangs_up_on = "a@example.org"
        reminders("a@example.org", "b@example.org")
        assert send_queue() == {MailState.WAITING: 1, MailState.SENT: 1}
        assert states() == {"a@example.org": MailState.WAITING, "b@example.org": MailState.SENT}
        assert Mail.objects.get(state=MailState.WAITING).attempts == 1

    def test_what_hangs_is_noted_before_it_is_hung_up_on(self, sink, monkeypatch):
        """A worker's soft limit ends the waiting for an answer; its hard one may end the waiting for a goodbye."""

        def hang(*_arguments):
            raise TimeoutError("as the soft limit of a worker might")

        def hang_for_ever(self):
            close(self)
            raise SystemExit

        reminders("a@example.org", "b@example.org")
        backend = type(mailing._connection())
        close = backend.close
        monkeypatch.setattr(smtp.Talk, "hand_over", hang)
        monkeypatch.setattr(backend, "close", hang_for_ever)
        with pytest.raises(SystemExit):
            send_queue()
        monkeypatch.undo()
        assert states() == {"a@example.org": MailState.WAITING, "b@example.org": MailState.CLAIMED}
        due_again()
        assert send_queue() == {MailState.SENT: 2}

    def test_backends_that_raise_what_they_like(self, sink, monkeypatch):
        reminders("a@example.org", "b@example.org")
        backend = type(mailing._connection())
        send = backend.send_messages

        def pick(self, messages):
            if messages[0].to == ["a@example.org"]:
                raise LookupError("as a backend might")
            return send(self, messages)

        monkeypatch.setattr(smtp, "EmailBackend", None)  # so it is none of Django's own class
        monkeypatch.setattr(backend, "send_messages", pick)
        assert send_queue() == {MailState.WAITING: 1, MailState.SENT: 1}
        assert Mail.objects.get(state=MailState.WAITING).reason == "LookupError: as a backend might"

    @pytest.mark.parametrize("count", [0, None])
    def test_backends_that_do_not_say_what_they_have_sent(self, monkeypatch, count):
        """Some queue what they are given, and have sent nothing yet. Who has failed raises an error."""
        backend = Mock(fail_silently=False, **{"send_messages.return_value": count})
        monkeypatch.setattr(mailing, "_connection", lambda: backend)
        reminders("a@example.org", "b@example.org")
        assert send_queue() == {MailState.SENT: 2}
        assert [call.args[0][0].to for call in backend.send_messages.call_args_list] == [
            ["a@example.org"],
            ["b@example.org"],
        ]

    @pytest.mark.parametrize("count", [0, None])
    def test_backends_that_are_to_fail_silently(self, monkeypatch, count):
        """They say it by the number alone."""
        backend = Mock(fail_silently=True, **{"send_messages.return_value": count})
        monkeypatch.setattr(mailing, "_connection", lambda: backend)
        reminders("a@example.org")
        assert send_queue() == {MailState.WAITING: 1}
        mail = Mail.objects.get()
        assert (mail.reason, mail.attempts) == ("The mail backend sent nothing, and did not say why.", 1)

    @pytest.mark.parametrize("fails", ["open", "close"])
    def test_backends_that_raise_what_they_like_around_the_messages(self, sink, monkeypatch, fails):
        reminders("a@example.org", "b@example.org")
        backend = type(mailing._connection())

        close = backend.close

        def fail(self):
            close(self)
            raise LookupError("as a backend might")

        monkeypatch.setattr(backend, fails, fail)
        expected = MailState.WAITING if fails == "open" else MailState.SENT
        assert send_queue() == {expected: 2}
        assert set(Mail.objects.values_list("state", flat=True)) == {expected}
        if fails == "open":
            assert set(Mail.objects.values_list("reason", "attempts")) == {("LookupError: as a backend might", 0)}

    def test_a_claim_that_ran_out_is_not_marked_by_whoever_had_it(self, sink):
        """Somebody slow, whose claim is another's by now, does not undo what that one has noted."""
        reminders("a@example.org")
        slow = mailing.Batch(claim(timezone.now()), None)
        assert send_queue(now=timezone.now() + mailing.CLAIMED_FOR) == {MailState.SENT: 1}
        slow._later(slow._mails[0], "451 Later")
        assert Mail.objects.get().state == MailState.SENT

    def test_what_changes_while_a_batch_is_under_way(self, sink, monkeypatch):
        """Whether a message is still to be sent is known of each as it was a few seconds ago."""
        compose = mailing.compose

        def complete_another(mail, *arguments):
            Task.objects.filter(assignee__email="c@example.org").update(status="completed")
            return compose(mail, *arguments)

        reminders("a@example.org", "b@example.org", "c@example.org")
        monkeypatch.setattr(mailing, "compose", complete_another)
        monkeypatch.setattr(mailing, "FRESH_FOR", dt.timedelta(0))
        assert send_queue() == {MailState.SENT: 2, MailState.SKIPPED: 1}
        assert sink.to() == ["a@example.org", "b@example.org"]

    def test_what_changes_while_the_server_is_slow_to_answer(self, sink, monkeypatch, time_machine):
        """A connection that is slow to open does not make old what is known of the messages."""
        backend = type(mailing._connection())
        connect, now = backend.open, timezone.now()
        time_machine.move_to(now, tick=False)

        def slow(self):
            time_machine.shift(90)
            Task.objects.filter(assignee__email="a@example.org").update(status="completed")
            return connect(self)

        reminders("a@example.org", "b@example.org")
        monkeypatch.setattr(backend, "open", slow)
        assert send_queue() == {MailState.SKIPPED: 1, MailState.SENT: 1}
        assert sink.to() == ["b@example.org"]

    def test_one_that_was_announced_and_is_not_to_leave_after_all(self, sink, monkeypatch, time_machine):
        """The server has been told to whom the next message goes; that one is completed, and another one is next."""
        hand_over, now = smtp.Talk.hand_over, timezone.now()
        time_machine.move_to(now, tick=False)

        def slowly(*arguments):
            hand_over(*arguments)
            time_machine.shift(mailing.FRESH_FOR + dt.timedelta(seconds=1))
            Task.objects.filter(assignee__email="b@example.org").update(status="completed")

        to("abc")
        monkeypatch.setattr(smtp.Talk, "hand_over", slowly)
        assert send_queue() == {MailState.SENT: 2, MailState.SKIPPED: 1}
        assert sink.to() == ["a@example.org", "c@example.org"]
        assert len(sink.sessions) == 2

    @pytest.mark.parametrize("name", ["FRESH_FOR", "SENDING_FOR"])
    def test_nothing_is_announced_that_is_soon_to_be_asked_about_again(self, sink, monkeypatch, name):
        """Nor what may be left to the next batch; so the connection is kept."""
        monkeypatch.setattr(mailing, name, mailing.SOON / 2)
        announced, hand_over = [], smtp.Talk.hand_over

        def noting(talk, message, following):
            announced.append(following)
            hand_over(talk, message, following)

        monkeypatch.setattr(smtp.Talk, "hand_over", noting)
        to("abc")
        assert send_queue() == {MailState.SENT: 3}
        assert announced == [None, None, None]
        assert len(sink.sessions) == 1

    def test_so_is_what_it_says(self, sink, monkeypatch):
        """What was written with others is written anew once it has been asked about again."""
        hand_over = smtp.Talk.hand_over

        def rename_another(*arguments):
            hand_over(*arguments)
            Task.objects.filter(assignee__email="b@example.org").update(title="Fill in")

        reminders("a@example.org", "b@example.org")
        monkeypatch.setattr(smtp.Talk, "hand_over", rename_another)
        monkeypatch.setattr(mailing, "FRESH_FOR", dt.timedelta(0))
        assert send_queue() == {MailState.SENT: 2}
        assert [message["Subject"] for message in sink.messages] == ["Due soon: Dig", "Due soon: Fill in"]

    def test_what_the_server_has_taken_is_noted_before_it_is_asked_again(self, sink, monkeypatch):
        written, found = mailing.letters_for, []

        def look(mails, now):
            found.append(states())
            return written(mails, now)

        reminders("a@example.org", "b@example.org")
        monkeypatch.setattr(mailing, "letters_for", look)
        monkeypatch.setattr(mailing, "FRESH_FOR", dt.timedelta(0))
        assert send_queue() == {MailState.SENT: 2}
        assert found[-1] == {"a@example.org": MailState.SENT, "b@example.org": MailState.CLAIMED}

    def test_no_message_is_begun_when_the_time_is_over(self, sink, monkeypatch):
        monkeypatch.setattr(mailing, "SENDING_FOR", dt.timedelta(seconds=-1))
        reminders("a@example.org", "b@example.org")
        assert send_queue() == {MailState.WAITING: 2}
        assert sink.messages == []
        monkeypatch.undo()
        assert send_queue() == {MailState.SENT: 2}
        assert not Mail.objects.filter(repeated=True).exists()

    def test_when_the_time_of_a_batch_is_over_the_next_one_goes_on(self, sink, monkeypatch, time_machine):
        hand_over, now = smtp.Talk.hand_over, timezone.now()
        time_machine.move_to(now, tick=False)

        def slowly(*arguments):
            hand_over(*arguments)
            time_machine.shift(mailing.SENDING_FOR + dt.timedelta(seconds=1))

        reminders("a@example.org", "b@example.org", "c@example.org")
        monkeypatch.setattr(smtp.Talk, "hand_over", slowly)
        assert send_queue() == {MailState.SENT: 3, MailState.WAITING: 3}
        assert sink.to() == ["a@example.org", "b@example.org", "c@example.org"]
        assert set(Mail.objects.values_list("attempts", "repeated")) == {(1, False)}


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_many_who_send_at_once_send_each_once(sink):
    reminders(*(f"user{n}@example.org" for n in range(60)))
    monkey = mailing.BATCH
    mailing.BATCH = 7
    barrier = threading.Barrier(6)

    def work():
        try:
            barrier.wait()
            queue_due()
            send_queue()
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(6)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        mailing.BATCH = monkey
    assert sorted(sink.to()) == sorted(f"user{n}@example.org" for n in range(60))
    assert set(states().values()) == {MailState.SENT}


def test_old_mail_is_pruned_once_it_has_ended(sink, capsys):
    reminders("a@example.org", "b@example.org", "c@example.org")
    old = timezone.now() - dt.timedelta(days=91)
    first, second, third = Mail.objects.order_by("pk")
    Mail.objects.filter(pk__in=[first.pk, second.pk]).update(created_at=old)
    Mail.objects.filter(pk__in=[first.pk, third.pk]).update(state=MailState.SENT)
    call_command("pm_prune")
    assert "pruned 1 mail" in capsys.readouterr().out
    assert set(Mail.objects.all()) == {second, third}


def test_the_commands(sink, capsys):
    user = person("a@example.org")
    make_task(make_project(user), assignee=user, due_date=timezone.now() + dt.timedelta(hours=1))
    call_command("pm_send_reminders")
    assert capsys.readouterr().out == "queued 1 reminders\nmail: 1 sent\n"
    call_command("pm_send_mail")
    assert capsys.readouterr().out == "mail: none due\n"
