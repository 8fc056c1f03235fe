"""Notes whose answer is not waited for: PostgreSQL that keeps statements gives the same as others.

What is left by whoever is killed, and by a database that crashes, `test_crash_points.py` and `test_database_crash.py`
show.
"""

import datetime as dt
import selectors
from contextlib import suppress

import pytest
from django.db import InterfaceError, OperationalError, connection, transaction
from django.utils import timezone

from django_pm import users
from django_pm.mail import journal
from django_pm.mail import sending as mailing
from django_pm.mail.journal import Executed, Journal, Written
from django_pm.mail.sending import Batch, claim, send_queue
from django_pm.models import Mail, MailState, Task
from tests.mail.test_sending import due_again, reminders, states

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def afresh(monkeypatch):
    """Nothing is kept yet, or left for others."""
    monkeypatch.setitem(connection.settings_dict, "DISABLE_SERVER_SIDE_CURSORS", False)
    connection.close()
    yield
    connection.close()


@pytest.fixture
def ways(monkeypatch):
    """In which way each note is made, in their order."""
    found = []

    class Noting(Written):
        def __init__(self, connection, note, waited):
            found.append("waited" if waited else "written")
            super().__init__(connection, note, waited)

    monkeypatch.setattr(journal, "Written", Noting)
    return found


def addresses(number):
    return [f"user{n:02}@example.org" for n in range(number)]


def test_every_message_is_noted(sink, ways):
    sink.answers["user03@example.org"] = "550 No such user here"
    reminders(*addresses(6))
    assert send_queue() == {MailState.SENT: 5, MailState.FAILED: 1}
    assert ways == ["written"] * 6
    assert sorted(sink.to()) == [address for address in addresses(6) if address != "user03@example.org"]
    sent = Mail.objects.filter(state=MailState.SENT)
    assert set(sent.values_list("attempts", "repeated", "reason")) == {(1, False, "")}
    assert not sent.filter(sent_at=None).exists()
    assert Mail.objects.get(state=MailState.FAILED).reason == "550 No such user here"


def test_the_disk_is_waited_for_every_so_often(sink, ways):
    reminders(*addresses(journal.UNSURE + 2))
    send_queue()
    assert ways == [*["written"] * journal.UNSURE, "waited", "written"]
    assert set(states().values()) == {MailState.SENT}


def test_with_it_what_the_database_forgot_is_noted_again(sink, monkeypatch):
    """As if it had come back after a crash without what it had not written yet, and nobody had noticed."""

    class Noting(Written):
        def __init__(self, connection, note, waited):
            if waited:
                Mail.objects.filter(state=MailState.SENT).update(state=MailState.CLAIMED, sent_at=None)
            super().__init__(connection, note, waited)

    monkeypatch.setattr(journal, "Written", Noting)
    reminders(*addresses(journal.UNSURE + 2))
    assert send_queue() == {MailState.SENT: journal.UNSURE + 2}
    assert Mail.objects.filter(state=MailState.SENT, sent_at__isnull=False).count() == journal.UNSURE + 2


def test_statements_are_planned_once(sink):
    reminders(*addresses(3))
    send_queue()
    reminders("another@example.org")
    send_queue()
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM pg_prepared_statements WHERE statement LIKE '%%django_pm_mail%%'")
        assert {name for (name,) in cursor.fetchall()} == {name.decode() for name in journal.KEPT_AS.values()}


@pytest.mark.parametrize("pooled", [True, False])
def test_none_is_kept_where_transactions_get_connections_of_others(sink, ways, monkeypatch, pooled):
    monkeypatch.setitem(connection.settings_dict, "DISABLE_SERVER_SIDE_CURSORS", pooled)
    reminders("a@example.org")
    with transaction.atomic():  # what is written in a transaction is not to be executed whatever becomes of that
        send_queue()
    reminders("b@example.org")
    send_queue()
    assert ways == ([] if pooled else ["written"])
    assert set(states().values()) == {MailState.SENT}


class TestTheConnectionIsFree:
    """An answer that has not been read keeps it busy; so it is read before the database is asked anything else."""

    def test_for_what_a_host_asks_while_a_message_is_written(self, sink, monkeypatch):
        name = users.full_name_or_login

        def asking(user):
            with transaction.atomic():
                assert Task.objects.count() == 6
            return name(user)

        monkeypatch.setattr(users, "display_name", asking)
        monkeypatch.setattr(mailing, "IN_A_ROW", 2)
        reminders(*addresses(6))
        assert send_queue() == {MailState.SENT: 6}

    def test_for_what_a_backend_of_the_sites_own_asks(self, sink, monkeypatch):
        backend = type(mailing._connection())

        class Asking(backend):
            def send_messages(self, messages):
                with transaction.atomic():
                    assert Task.objects.count() == 3
                return super().send_messages(messages)

        monkeypatch.setattr(mailing, "_connection", Asking)
        reminders(*addresses(3))
        assert send_queue() == {MailState.SENT: 3}

    def test_for_what_is_asked_when_a_message_is_old(self, sink, monkeypatch):
        monkeypatch.setattr(mailing, "FRESH_FOR", dt.timedelta(0))
        reminders(*addresses(3))
        assert send_queue() == {MailState.SENT: 3}


class TestAClaimThatIsLost:
    """Somebody else has it by now: a clock was set, or we stood still. It is known one message later than without."""

    def lose(self, monkeypatch, number):
        """Before the note of this message, counted from 1, is written."""
        calls = []

        class Noting(Written):
            def __init__(self, connection, note, waited):
                calls.append(note.begun)
                if len(calls) == number:
                    later = timezone.now() + dt.timedelta(hours=1)
                    Mail.objects.exclude(state=MailState.SENT).update(due_at=later, state=MailState.CLAIMED)
                super().__init__(connection, note, waited)

        monkeypatch.setattr(journal, "Written", Noting)

    def test_no_more_than_one_message_is_sent_after_that(self, sink, monkeypatch):
        reminders(*addresses(6))
        self.lose(monkeypatch, 3)
        assert send_queue() == {MailState.SENT: 3, MailState.CLAIMED: 3}
        assert sink.to() == addresses(3)
        assert [state for _address, state in sorted(states().items())] == [MailState.SENT] + [MailState.CLAIMED] * 5

    def test_none_is_that_has_to_be_written_first(self, sink, monkeypatch):
        monkeypatch.setattr(mailing, "IN_A_ROW", 1)
        reminders(*addresses(3))
        self.lose(monkeypatch, 1)
        assert send_queue() == {MailState.CLAIMED: 3}
        assert sink.to() == []

    def test_one_that_is_gone_is_in_nobodys_way(self, sink, monkeypatch):
        class Noting(Written):
            def __init__(self, connection, note, waited):
                Mail.objects.filter(pk__in=[each.mail.pk for each in note.taken]).delete()
                super().__init__(connection, note, waited)

        monkeypatch.setattr(journal, "Written", Noting)
        reminders(*addresses(4))
        assert send_queue() == {MailState.SENT: 4}
        assert states() == {"user03@example.org": MailState.SENT}


class TestStatementsAreForgotten:
    """PostgreSQL says that it keeps none such, and has done nothing. The note is made otherwise then."""

    def test_by_the_site(self, sink, ways):
        with connection.cursor() as cursor:
            for address in ("a@example.org", "b@example.org"):
                reminders(address)
                assert send_queue() == {MailState.SENT: 1}
                cursor.execute("DISCARD ALL")
        assert ways == ["written"] * 2
        assert sink.to() == ["a@example.org", "b@example.org"]

    def test_only_one_of_them(self, sink, ways):
        """As if it had been interrupted while it was told them."""
        reminders("a@example.org")
        send_queue()
        reminders("b@example.org")
        with connection.cursor() as cursor:
            cursor.execute(f"DEALLOCATE {journal.KEPT_AS[False].decode()}")
        assert send_queue() == {MailState.SENT: 1}
        reminders("c@example.org")
        assert send_queue() == {MailState.SENT: 1}
        assert ways == ["written"] * 3

    def test_by_psycopg_with_each_transaction_that_is_rolled_back(self, sink, monkeypatch):
        """If it binds on the server's side; and who writes a message may do that for each."""
        name = users.full_name_or_login

        def trying(user):
            for _ in range(6):
                Task.objects.count()
            with suppress(ZeroDivisionError), transaction.atomic():
                raise ZeroDivisionError(Task.objects.count())
            return name(user)

        for option, value in {"server_side_binding": True, "prepare_threshold": 5}.items():
            monkeypatch.setitem(connection.settings_dict["OPTIONS"], option, value)
        monkeypatch.setattr(users, "display_name", trying)
        monkeypatch.setattr(mailing, "IN_A_ROW", 2)
        connection.close()
        reminders(*addresses(6))
        assert send_queue() == {MailState.SENT: 6}
        assert sink.to() == addresses(6)


class TestTheDatabaseGoesAway:
    def test_it_is_an_error_of_django(self, sink):
        reminders("a@example.org")
        batch = Batch(claim(timezone.now()), None)
        connection.connection.close()
        with pytest.raises((OperationalError, InterfaceError)):
            batch.send()

    @pytest.mark.parametrize("after", [2, journal.UNSURE])
    def test_with_an_answer_that_was_not_read(self, sink, monkeypatch, after):
        """What the server took is noted once the database is back."""

        def terminate():
            if len(sink.messages) == after:
                with another() as server:
                    server.execute("SELECT pg_terminate_backend(%s)", [ours])

        monkeypatch.setattr(journal, "DATABASE_AWAY", 0)
        number = journal.UNSURE + 2
        reminders(*addresses(number))
        ours = connection.connection.info.backend_pid
        sink.pace = terminate
        with pytest.raises(OperationalError):
            send_queue()
        sink.pace = None
        sent = len(sink.messages)
        assert after <= sent <= after + 1  # that it went away may be known one message later
        assert sorted(states().values()) == [MailState.CLAIMED] * (number - sent) + [MailState.SENT] * sent
        assert send_queue(now=timezone.now() + mailing.CLAIMED_FOR) == {MailState.SENT: number - sent}
        assert sink.to() == addresses(number)

    @pytest.mark.parametrize("after", [1, journal.UNSURE])
    def test_a_note_that_the_database_cancels(self, sink, monkeypatch, after):
        """It took too long. What has left by then is noted all the same."""

        class Noting(Written):
            def __init__(self, connection, note, waited):
                if len(sink.messages) != after:
                    super().__init__(connection, note, waited)
                    return
                with another() as server:
                    server.execute("BEGIN")
                    server.execute("SELECT * FROM django_pm_mail WHERE id = %s FOR UPDATE", [note.begun.pk])
                    super().__init__(connection, note, waited)
                    self._connection.cancel_safe()
                    self._wait(selectors.EVENT_READ)

        monkeypatch.setattr(journal, "Written", Noting)
        number = journal.UNSURE + 2
        reminders(*addresses(number))
        with pytest.raises(OperationalError, match="canceling statement"):
            send_queue()
        monkeypatch.setattr(journal, "Written", Written)
        sent = len(sink.messages)
        assert sent == (2 if after == 1 else after)  # one that is not waited for, the next message does not wait for
        assert sorted(states().values()) == [MailState.CLAIMED] * (number - sent) + [MailState.SENT] * sent
        assert send_queue(now=timezone.now() + mailing.CLAIMED_FOR) == {MailState.SENT: number - sent}
        assert sink.to() == addresses(number)

    def test_what_interrupts_the_waiting_is_no_end(self, sink, monkeypatch):
        """As the soft limit of a worker does: the answer is read by whoever asks next."""
        number, calls = Written.number, []

        def interrupted(answer):
            calls.append(answer)
            if len(calls) == 2:
                raise TimeoutError
            return number(answer)

        monkeypatch.setattr(Written, "number", interrupted)
        reminders(*addresses(3))
        with pytest.raises(TimeoutError):
            send_queue()
        assert sorted(states().values()) == [MailState.CLAIMED, MailState.SENT, MailState.SENT]
        due_again()
        assert send_queue(now=timezone.now() + mailing.CLAIMED_FOR) == {MailState.SENT: 1}
        assert sink.to() == addresses(3)


def another():
    """A connection besides Django's."""
    import psycopg

    parameters = connection.get_connection_params()
    keep = ("host", "port", "user", "password", "dbname")
    return psycopg.connect(**{name: parameters[name] for name in keep if parameters.get(name)}, autocommit=True)


def test_both_ways_change_the_same():
    """Of a message that was begun and others that were taken, in a claim and out of it."""
    found = []
    for way in (Executed, Written):
        for waited in (False, True):
            Task.objects.all().delete()
            Mail.objects.all().delete()
            reminders_of = [f"{way.__name__.lower()}{waited}{n}@example.org".lower() for n in range(4)]
            reminders(*reminders_of)
            mails = claim(timezone.now())
            mails[3].attempts = 2
            Mail.objects.filter(pk=mails[2].pk).update(state=MailState.FAILED)
            at = timezone.now().replace(microsecond=123456)
            taken = [journal.Taken(mail, at) for mail in (mails[1:3] if waited else mails[1:2])]
            answer = way(connection, journal.Note(mails[3], taken, mails[0].due_at), waited)
            rows = Mail.objects.order_by("pk").values_list("state", "attempts", "reason", "sent_at")
            found.append((answer.number(), [(*row[:3], row[3] == at) for row in rows]))
            connection.close()
    assert found[0] == found[2]
    assert found[1] == found[3]
    assert found[0][0] == 2
    assert [row[0] for row in found[0][1]] == [MailState.CLAIMED, MailState.SENT, MailState.FAILED, MailState.SENDING]


def test_a_journal_reads_before_it_says_what_is_ours(sink):
    reminders("a@example.org", "b@example.org")
    mails = claim(timezone.now())
    noting = Journal(mails)
    assert noting.begin(mails[0], at_once=True)
    assert noting.rows(mails).count() == 2
    assert Mail.objects.get(pk=mails[0].pk).state == MailState.SENDING
