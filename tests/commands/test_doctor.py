"""`pm_doctor`: each fault is brought about once, and its line has to tell of it and of what to do."""

import datetime as dt
import importlib.metadata
import io
import json
import re
import socket
import threading
import time
import tomllib
from pathlib import Path

import pytest
import time_machine
from django.contrib.auth import get_user_model
from django.core import mail as django_mail
from django.core.cache.backends.locmem import LocMemCache
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection, router
from django.db.backends.sqlite3 import base as sqlite
from django.db.migrations.recorder import MigrationRecorder
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_pm.cache.breaker import SLOW_SECONDS
from django_pm.events import feed, relay, retention, soundness, subscribers
from django_pm.exceptions import StreamReset
from django_pm.mail.sending import send_queue
from django_pm.management.commands import pm_doctor
from django_pm.models import (
    Cursor,
    EscalationRule,
    Event,
    Mail,
    MailKind,
    MailState,
    Membership,
    NotificationPreferences,
    Project,
    ProjectStream,
    Subscriber,
    Task,
)
from django_pm.realtime import layer
from django_pm.services import doctor, findings
from django_pm.services.reminders import queue_due
from django_pm.services.reports import make_due, make_today
from tests.factories import make_project, make_rule, make_task, make_user
from tests.mail.conftest import send_to

pytestmark = pytest.mark.django_db

LOCMEM = "django.core.mail.backends.locmem.EmailBackend"
HOUR = dt.timedelta(hours=1)
CLOSED = "127.0.0.1:1"
"""Where nothing listens."""

PYPROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"
SQLITE = {
    "ENGINE": "django.db.backends.sqlite3",
    "TIME_ZONE": None,
    "CONN_MAX_AGE": 0,
    "CONN_HEALTH_CHECKS": False,
    "AUTOCOMMIT": True,
    "ATOMIC_REQUESTS": False,
}


@pytest.fixture(autouse=True)
def _mail_stays_here(settings):
    """Unless a test says where it goes. A Django with named mailers warns of a site that names none."""
    if hasattr(django_mail, "mailers"):
        settings.MAILERS = {"default": {"BACKEND": LOCMEM}}


@pytest.fixture(autouse=True)
def _only_the_subscribers_of_a_test(monkeypatch):
    """Without our own, whom no relay has served here."""
    monkeypatch.setattr(subscribers, "_subscriptions", {})


@pytest.fixture(autouse=True)
def _nothing_added(monkeypatch):
    """Without the checks that other tests, which make Celery apps, have added."""
    monkeypatch.setattr(findings, "_further", {})


@pytest.fixture(autouse=True)
def _somebody_relays(db):
    """The inbox is a subscriber of every site, and has been seen."""
    relay.relay_events()


def person(name, **fields):
    return make_user(name, **{get_user_model().get_email_field_name(): f"{name}@example.org", **fields})


def task_of(user, **fields):
    """One that is due soon."""
    return make_task(make_project(user), **{"assignee": user, "due_date": timezone.now() + HOUR, **fields})


def mail(number=1, **fields):
    """So many messages to somebody who wants none."""
    somebody = person(f"somebody{Mail.objects.count()}")
    NotificationPreferences.objects.create(user=somebody, reminders=False)
    for each in range(number):
        values = {"kind": MailKind.REMINDER, "object_id": str(each), "occurrence": str(dt.UTC), **fields}
        Mail.objects.create(recipient=somebody, **values)


def asked(*arguments):
    """What is printed, and what is said to be broken."""
    output = io.StringIO()
    try:
        call_command("pm_doctor", *arguments, stdout=output, no_color=True)
    except CommandError as error:
        return output.getvalue(), f"{error} ({error.returncode})"
    return output.getvalue(), ""


def line(name, *arguments):
    """The words of the one line about `name`, how bad it is before them."""
    printed, _broken = asked(*arguments)
    (found,) = [each for each in printed.splitlines() if each[8 : 8 + len(name) + 2] == f"{name}  "]
    return f"{found[:8].strip()}: {found[8 + len(name) :].strip()}"


class TestAllIsWell:
    def test_every_line_says_so(self, sink):
        task_of(person("ann"))
        printed, broken = asked()
        assert broken == ""
        names = [check.name for check in doctor.CHECKS]
        assert [each[8:24].strip() for each in printed.splitlines()] == names
        assert {each[:8].strip() for each in printed.splitlines()} == {"ok"}

    def test_for_a_machine(self, sink):
        task_of(person("ann"))
        printed, broken = asked("--json")
        assert broken == ""
        told = json.loads(printed)
        assert [each["name"] for each in told] == [check.name for check in doctor.CHECKS]
        assert all(each.keys() == {"name", "level", "what", "remedy"} for each in told)
        assert {each["level"] for each in told} == {"ok"}

    def test_it_changes_nothing(self, sink):
        task_of(person("ann"))
        before = {model: list(model.objects.values()) for model in (Mail, Project, Membership)}
        asked()
        assert {model: list(model.objects.values()) for model in before} == before

    def test_many_take_no_more_statements_than_one(self):
        project = task_of(person("ann")).project
        with CaptureQueriesContext(connection) as for_one:
            asked()
        for number in range(30):
            make_task(project, due_date=timezone.now() + HOUR)
            make_project(person(f"user{number}"))
        with CaptureQueriesContext(connection) as for_many:
            asked()
        assert len(for_many) == len(for_one)


class TestTheDatabase:
    def test_it_is_away(self, monkeypatch):
        def refuse(*args):
            raise OperationalError("refused\n\tIs the server running?")

        monkeypatch.setattr(connection, "ensure_connection", refuse)
        assert line("database") == (
            "broken: OperationalError: refused Is the server running? → Start the database, or correct DATABASES."
        )
        printed, broken = asked()
        assert broken == "Broken: database. (1)"
        assert "migrations" not in printed
        assert "recipients" not in printed
        assert "mail server" in printed

    def test_a_migration_is_missing(self):
        latest = MigrationRecorder.Migration.objects.filter(app="django_pm").latest("name")
        latest.delete()
        assert line("migrations").startswith(f"broken: not applied: {latest.name} → Run “manage.py migrate”")
        printed, broken = asked()
        assert broken == "Broken: migrations. (1)"
        assert "mail queue" not in printed


class TestTransactions:
    @pytest.mark.skipif(connection.vendor != "sqlite", reason="about SQLite")
    def test_of_sqlite_in_memory(self):
        assert line("transactions") == "ok: IMMEDIATE, journal in MEMORY, foreign keys on"

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            (
                {"transaction_mode": "IMMEDIATE", "init_command": "PRAGMA journal_mode=WAL"},
                "ok: IMMEDIATE, journal in WAL",
            ),
            ({"transaction_mode": "IMMEDIATE"}, "warn: journal_mode delete, not WAL → Set"),
            ({"init_command": "PRAGMA journal_mode=WAL"}, "warn: DEFERRED, not IMMEDIATE → Set"),
            ({"init_command": "PRAGMA foreign_keys=OFF"}, "broken: foreign keys are off → Take “PRAGMA foreign_keys”"),
        ],
        ids=str,
    )
    def test_of_a_file(self, tmp_path, monkeypatch, options, told):
        file = sqlite.DatabaseWrapper({**SQLITE, "NAME": tmp_path / "site.sqlite3", "OPTIONS": options}, "default")
        monkeypatch.setattr(doctor, "connections", {router.db_for_write(Mail): file})
        try:
            finding = doctor.transactions()
        finally:
            file.close()
        assert f"{finding.level}: {finding.what} → {finding.remedy}".startswith(told)

    @pytest.mark.postgres
    def test_of_postgresql(self):
        assert line("transactions") == "ok: READ COMMITTED"

    @pytest.mark.postgres
    @pytest.mark.django_db(transaction=True)
    def test_another_isolation(self):
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        try:
            assert line("transactions").startswith("warn: REPEATABLE READ → Leave isolation_level out of")
        finally:
            connection.close()


class TestStreams:
    """Faults that the software does not make: rows deleted by hand, parts of two backups."""

    @pytest.fixture
    def stream(self):
        """Of a project with ten events, all numbered."""
        project = make_project()
        for _ in range(8):
            make_task(project)
        feed.number_all()
        return ProjectStream.objects.get(pk=project.pk)

    def events(self, stream, **which):
        return Event.objects.filter(project_id=stream.pk, **which)

    def faulty(self, stream):
        """The line, which has to be the same in full, and after mending."""
        told = line("streams")
        assert line("streams", "--full") == told
        assert asked()[1] == "Broken: streams. (1)"
        output = io.StringIO()
        call_command("pm_epoch", mend=True, stdout=output)
        assert f"mended: {told.removeprefix('broken: ').partition(' → ')[0]}" in output.getvalue()
        assert line("streams", "--full") == "ok: no number is missing"
        after = ProjectStream.objects.get(pk=stream.pk)
        assert after.epoch != stream.epoch
        return told, after

    def test_all_is_whole(self, stream):
        assert line("streams") == "ok: no number is missing among the latest"
        assert line("streams", "--full") == "ok: no number is missing"
        output = io.StringIO()
        call_command("pm_epoch", mend=True, stdout=output)
        assert output.getvalue() == "nothing to mend\n"
        assert ProjectStream.objects.get(pk=stream.pk).epoch == stream.epoch

    def test_an_event_was_deleted(self, stream):
        self.events(stream, seq=4).delete()
        told, after = self.faulty(stream)
        assert told == (
            f"broken: project {stream.pk} lacks 1 of the numbers 1 to 10"
            " → Run “manage.py pm_epoch --mend”: clients then fetch afresh. Restore the tables of one backup together."
        )
        assert (after.floor, after.seq) == (5, 10)
        assert [event.seq for event in feed.read(stream.pk, since=4).events] == [5, 6, 7, 8, 9, 10]
        with pytest.raises(StreamReset, match="trimmed"):
            feed.read(stream.pk, since=3)

    def test_the_last_ones_were_deleted(self, stream):
        self.events(stream, seq__gt=8).delete()
        told, after = self.faulty(stream)
        assert told.startswith(f"broken: project {stream.pk} lacks 2 of the numbers 1 to 10")
        assert (after.floor, after.seq) == (11, 10)
        make_task(Project.objects.get())
        assert [event.seq for event in feed.read(stream.pk, since=10).events] == [11]

    def test_the_stream_is_behind_its_events(self, stream):
        ProjectStream.objects.filter(pk=stream.pk).update(seq=7)
        told, after = self.faulty(stream)
        assert told.startswith(f"broken: the stream of project {stream.pk} ends at 7, its events at 10")
        assert (after.floor, after.seq) == (1, 10)

    def test_a_subscriber_comes_from_another_lineage(self, stream):
        subscriber = Subscriber.objects.create(name="search")
        cursor = Cursor.objects.create(subscriber=subscriber, project_id=stream.pk, seq=12)
        told, _after = self.faulty(stream)
        assert told.startswith(f"broken: search is ahead of the stream of project {stream.pk}")
        cursor.refresh_from_db()
        assert cursor.seq == 10

    def test_a_pruned_stream_is_whole(self, stream):
        retention.prune(stream.pk, keep=3)
        assert line("streams", "--full") == "ok: no number is missing"
        retention.prune(stream.pk, keep=0)
        assert line("streams", "--full") == "ok: no number is missing"

    def test_far_back_it_takes_a_full_look(self, stream, monkeypatch):
        monkeypatch.setattr(soundness, "LATEST_NUMBERS", 3)
        self.events(stream, seq=4).delete()
        assert line("streams") == "ok: no number is missing among the latest"
        assert line("streams", "--full").startswith("broken: ")

    def test_only_what_was_asked_for_is_mended(self, stream):
        self.events(stream, seq=4).delete()
        other = make_project()
        feed.number_all()
        call_command("pm_epoch", mend=True, project=[other.pk], stdout=io.StringIO())
        assert line("streams", "--full").startswith("broken: ")

    def test_many_streams_take_one_statement(self, stream):
        for _ in range(5):
            make_project()
        feed.number_all()
        with CaptureQueriesContext(connection) as captured:
            assert soundness.faults_of_the_latest() == []
        assert len(captured) == 1

    @pytest.mark.postgres
    def test_events_are_read_from_indexes(self, stream):
        project = Project.objects.get()
        for _ in range(4):  # one batch of them all would be told as a single event
            Task.objects.bulk_create(Task(project=project, title=str(number)) for number in range(900))
        feed.number_all()
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE django_pm_event")
            with CaptureQueriesContext(connection) as captured:
                soundness.faults_of_the_latest()
            (statement,) = [query["sql"] for query in captured if "django_pm_projectstream" in query["sql"]]
            cursor.execute(
                f"EXPLAIN {statement.partition(' FOR ')[2] if statement.startswith('DECLARE') else statement}"
            )
            plan = "\n".join(row[0] for row in cursor.fetchall())
        assert "Seq Scan on django_pm_event" not in plan, plan


class TestEvents:
    """The relay, as seen from where it does not run."""

    REMEDY = " → Run pm_run, pm_relay_events by cron, or a worker and a beat; if one does, see its log."

    @pytest.fixture(autouse=True)
    def _subscriber(self, monkeypatch):
        monkeypatch.setattr(subscribers, "_subscriptions", {})
        subscribers.subscribe("search", lambda event: None)

    def test_no_relay_has_ever_looked(self):
        make_project()
        assert line("events") == f"broken: search has had none yet{self.REMEDY}"
        assert asked()[1] == "Broken: events. (1)"

    def test_none_is_late(self):
        relay.relay_events()
        make_project()
        assert line("events") == "ok: handed to 1 subscriber, none is behind"

    def test_one_that_was_not_handed_over(self):
        relay.relay_events()
        make_project()
        feed.number_all()
        Event.objects.update(created_at=timezone.now() - 2 * HOUR)
        assert line("events") == f"broken: search has not had one of 2\xa0hours ago{self.REMEDY}"
        relay.relay_events()
        assert line("events") == "ok: handed to 1 subscriber, none is behind"

    def test_a_quarter_of_an_hour_is_not_late(self):
        relay.relay_events()
        make_project()
        feed.number_all()
        Event.objects.update(created_at=timezone.now() - HOUR * 0.24)
        assert line("events") == "ok: handed to 1 subscriber, search is 14\xa0minutes behind"
        Event.objects.update(created_at=timezone.now() - HOUR / 120)
        assert re.fullmatch(r"ok: handed to 1 subscriber, search is 3\d s behind", line("events"))

    def test_one_that_nobody_has_read(self):
        relay.relay_events()
        make_project()
        Event.objects.update(created_at=timezone.now() - HOUR)
        assert line("numbering") == f"broken: one is without a number for 1\xa0hour{self.REMEDY}"
        assert asked()[1] == "Broken: numbering. (1)"
        Event.objects.update(created_at=timezone.now() - HOUR / 6)
        assert line("numbering") == "ok: the oldest event without a number has waited 10\xa0minutes"
        feed.number_all()
        assert line("numbering") == "ok: done"

    def test_where_nobody_subscribes_no_event_needs_a_number(self, monkeypatch):
        monkeypatch.setattr(subscribers, "_subscriptions", {})
        make_project()
        Event.objects.update(created_at=timezone.now() - HOUR)
        assert line("numbering").startswith("ok: ")

    def test_parked_ones(self, settings):
        settings.DJANGO_PM = {**settings.DJANGO_PM, "SUBSCRIBER_ATTEMPTS": 1}
        subscribers.subscribe("bills", lambda event: 1 / 0, types=["project.created"])
        relay.relay_events()
        for _ in range(2):
            make_project()
        relay.relay_events()
        assert line("events") == ("warn: parked: 2 by bills → See “Parked events” in the admin, and mend the handler.")
        assert asked()[1] == "", "the rest goes on"


class TestMail:
    def test_the_server_is_away(self, settings):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        send_to(settings, port)
        told = line("mail server")
        assert told.startswith(f"broken: 127.0.0.1:{port}: ConnectionRefusedError: ")
        assert "→ Start it, or correct MAILERS" in told

    def test_the_server_says_nothing(self, settings, monkeypatch):
        monkeypatch.setattr(doctor, "PATIENCE", 0.5)
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            send_to(settings, silent.getsockname()[1])
            began = time.monotonic()
            assert "timed out → Start it" in line("mail server")
            assert time.monotonic() - began < 5

    def test_the_server_answers(self, sink):
        assert line("mail server") == f"ok: 127.0.0.1:{sink.port} answers"
        assert sink.messages == []

    def test_what_is_not_smtp_is_named(self):
        assert line("mail server") == f"ok: mail goes to {LOCMEM}, not over SMTP"

    def test_a_backend_that_cannot_be_made(self, settings):
        send_to(settings, 25, use_tls=True, use_ssl=True)
        assert line("mail server").startswith("broken: ")
        assert line("mail server").endswith("→ Looking at it failed, so look into that first.")

    def test_nobody_sends(self):
        mail(3, due_at=timezone.now() - 2 * HOUR)
        mail(due_at=timezone.now() - HOUR / 60)
        mail(due_at=timezone.now() + HOUR)
        told = line("mail queue")
        assert told.startswith("broken: 4 not sent, the oldest due for 2\xa0hours → Nothing sends mail: run pm_run,")
        assert asked()[1] == "Broken: mail queue. (1)"

    def test_what_is_claimed_or_just_due_is_not_stuck(self):
        mail(2, due_at=timezone.now() - HOUR / 60)
        mail(state=MailState.CLAIMED, due_at=timezone.now() + HOUR / 60)
        mail(state=MailState.SENT, due_at=timezone.now() - HOUR)
        assert line("mail queue") == "ok: 3 on the way, none overdue"
        assert line("mail tried again") == "ok: none"

    def test_what_waits_for_the_server(self, sink, settings):
        task_of(person("ann"))
        queue_due()
        send_to(settings, 9)
        send_queue()
        told = line("mail tried again")
        assert told.startswith("warn: 1 of “ConnectionRefusedError: ")
        assert told.endswith("→ It is sent by itself once the reason is gone.")

    def test_what_failed_lately(self):
        now = timezone.now()
        for number, reason in enumerate(["550 No such user", "554 Spam", "550 Full", "It broke whoever sent it."]):
            mail(4 - number, state=MailState.FAILED, reason=reason, due_at=now - HOUR)
        mail(9, state=MailState.FAILED, reason="long ago", due_at=now - 25 * HOUR)
        assert line("mail failed") == (
            "warn: 4 of “550 No such user”; 3 of “554 Spam”; 2 of “550 Full”; 1 for other reasons"
            " → Mend the reason, then choose “Try again” in the admin's list of mail."
        )
        assert asked()[1] == ""


class TestPeople:
    @pytest.mark.parametrize("address", ["", "  ", "ann", "ann@", "a b@example.org"])
    def test_one_without_a_usable_address(self, address):
        ann = person("ann")
        make_project(ann)
        field = get_user_model().get_email_field_name()
        get_user_model().objects.filter(pk=ann.pk).update(**{field: address})
        ann.refresh_from_db()
        told = line("recipients")
        assert told.startswith(f"warn: 1 user without a usable address: {ann.get_username()}".rstrip())
        assert told.endswith("→ Give them one, or they are never reminded.")

    def test_only_those_who_get_mail(self):
        field = get_user_model().get_email_field_name()
        stranger, gone, deaf = (person(name, **{field: f"{name}@"}) for name in ("stranger", "gone", "deaf"))
        for user in (gone, deaf):
            make_project(user)
        get_user_model().objects.filter(pk=gone.pk).update(is_active=False)
        NotificationPreferences.objects.create(user=deaf, reminders=False)
        assert stranger.pk
        assert line("recipients") == "ok: all have an address"

    def test_an_assignee_who_is_no_member(self):
        field = get_user_model().get_email_field_name()
        make_task(make_project(person("ann")), assignee=person("bob", **{field: "bob@"}))
        assert line("recipients").startswith("warn: 1 user without")

    def test_many_are_counted_and_a_few_named(self):
        field = get_user_model().get_email_field_name()
        for number in range(5):
            make_project(person(f"user{number}", **{field: f"user{number}@"}))
        told = line("recipients")
        assert told.startswith("warn: 5 users without a usable address: ")
        assert told.partition(" →")[0].endswith(", …")

    def test_nobody_to_remind(self):
        task = make_task(make_project(), due_date=timezone.now() + HOUR)
        assert line("reminders") == "ok: 1 task due within a day, each with somebody to remind"
        Membership.objects.all().delete()
        assert line("reminders") == (
            f"warn: nobody to remind of 1 task due within a day: task {task.pk}"
            " → Assign them, or have an owner or manager who is active and wants reminders."
        )

    def test_nobody_queues_reminders(self):
        make_task(make_project(person("ann")), due_date=timezone.now() + 23.5 * HOUR)
        Task.objects.update(updated_at=timezone.now() - HOUR)
        assert line("reminders") == (
            "broken: one that is due for 30\xa0minutes has not been queued"
            " → Run pm_run, pm_send_reminders by cron, or a worker and a beat."
        )
        assert asked()[1] == "Broken: reminders. (1)"
        queue_due()
        assert line("reminders").startswith("ok: 1 task due within a day")

    def test_nobody_is_to_be_reminded_of_what_is_done_or_far(self):
        far = make_task(make_project(), due_date=timezone.now() + 30 * HOUR)
        make_task(far.project, due_date=timezone.now() + HOUR, status="completed")
        make_task(far.project, due_date=timezone.now() - HOUR)
        make_task(far.project, due_date=None)
        Membership.objects.all().delete()
        assert line("reminders") == "ok: no task is due within a day"


class TestTheRest:
    def test_a_time_zone_that_is_not_known_here(self):
        make_project()
        for _each in range(2):
            Project.objects.filter(pk=make_project().pk).update(time_zone="Mars/Olympus")
        assert line("time zones") == (
            "broken: not known here: Mars/Olympus (2 projects) → Upgrade the package tzdata, or correct the projects."
        )
        assert asked()[1] == "Broken: time zones. (1)"

    @pytest.mark.parametrize("minutes", [5, 600])
    def test_reports_that_nobody_makes(self, minutes):
        """Just after their hour as well, when the day before has been left out for good."""
        with time_machine.travel(dt.datetime(2030, 5, 1, 6, tzinfo=dt.UTC) + dt.timedelta(minutes=minutes), tick=False):
            self.check_reports()

    def check_reports(self):
        project = make_project()
        Project.objects.filter(pk=project.pk).update(created_at=timezone.now() - 48 * HOUR)
        assert line("reports").startswith(f"broken: none of today of 1 project: project {project.pk} → Run pm_run")
        make_due()
        assert line("reports") == "ok: made of every project"

    def test_a_report_with_a_note(self):
        project = make_project(time_zone="Mars/Olympus")
        make_today(actor=None, project=project)
        assert line("reports").startswith(f"warn: project {project.pk}: The time zone “Mars/Olympus”")

    def test_an_extra_that_is_not_here_is_no_fault(self, monkeypatch):
        def version(package):
            if package != "celery":
                raise importlib.metadata.PackageNotFoundError(package)
            return "5.9"

        monkeypatch.setattr(importlib.metadata, "version", version)
        assert line("extras") == "ok: celery 5.9; not installed: channels, client, metrics, redis, ui"

    def test_every_extra_is_told_of(self):
        extras = tomllib.loads(PYPROJECT.read_text())["project"]["optional-dependencies"]
        assert set(doctor.EXTRAS) == set(extras) - {"all", "testing"}
        for extra, package in doctor.EXTRAS.items():
            assert any(re.match(rf"{package}\b", wanted) for wanted in extras[extra])

    def test_a_check_that_fails_itself_hides_no_other(self, monkeypatch):
        def fail(*args):
            raise ZeroDivisionError("as a backend\nmight")

        monkeypatch.setattr("django_pm.users.active_users", fail)
        assert line("recipients") == (
            "broken: ZeroDivisionError: as a backend might → Looking at it failed, so look into that first."
        )
        assert line("time zones") == "ok: all known here"

    def test_an_app_that_cannot_be_imported(self):
        with pytest.raises(CommandError, match=r"--app nowhere\.celery: No module named 'nowhere'"):
            call_command("pm_doctor", "--app", "nowhere.celery", stdout=io.StringIO())


class DeadCache(LocMemCache):
    """A cache whose server is away."""

    def set(self, *args, **kwargs):
        raise ConnectionError("connection refused")


class SlowCache(LocMemCache):
    """A cache that takes its time."""

    def get(self, *args, **kwargs):
        time.sleep(3.5 * SLOW_SECONDS)
        return super().get(*args, **kwargs)


class SilentCache(LocMemCache):
    """A cache whose server takes the connection and never answers, with a client that waits for it."""

    def get(self, *args, **kwargs):
        threading.Event().wait(30)


class TestTheCache:
    def cache(self, settings, name):
        settings.CACHES = {"default": {"BACKEND": name}}
        return line("cache")

    def test_it_is_away(self, settings):
        told = self.cache(settings, "tests.commands.test_doctor.DeadCache")
        assert told.startswith("warn: 'default': ConnectionError: connection refused → Start it")

    def test_it_is_slow(self, settings):
        told = self.cache(settings, "tests.commands.test_doctor.SlowCache")
        assert re.match(r"warn: 'default' took 0\.\d\d s for an answer → ", told)

    def test_it_is_never_heard_of(self, settings, monkeypatch):
        checks = [check._replace(patience=0.2) if check.name == "cache" else check for check in doctor.CHECKS]
        monkeypatch.setattr(pm_doctor, "CHECKS", checks)
        began = time.monotonic()
        told = self.cache(settings, "tests.commands.test_doctor.SilentCache")
        assert told.startswith("broken: no answer within 0.2 s → Start its server")
        assert time.monotonic() - began < 10

    def test_nothing_listens_where_redis_is_to_be(self, settings):
        pytest.importorskip("django_redis")
        settings.CACHES = {"default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": f"redis://{CLOSED}/0"}}
        told = line("cache")
        assert told.startswith("warn: 'default': Connection")
        assert "Start it, or correct CACHES." in told

    def test_it_answers(self):
        assert re.fullmatch(r"ok: 'default' answers in \d+\.\d ms", line("cache"))

    def test_it_keeps_nothing(self, settings):
        told = self.cache(settings, "django.core.cache.backends.dummy.DummyCache")
        assert told == "ok: 'default' keeps nothing: lists are kept by each process for itself"

    def test_there_is_to_be_none(self, settings):
        settings.DJANGO_PM = {**settings.DJANGO_PM, "RESPONSE_CACHE": ""}
        assert line("cache") == "ok: no lists are kept, since RESPONSE_CACHE is empty"


class TestWhatIsAdded:
    """The channel layer, pointed at a port where nothing listens. (The broker: tests/tasks/test_doctor.py)"""

    def test_the_channel_layer(self, settings):
        pytest.importorskip("channels_redis")
        settings.CHANNEL_LAYERS = {
            "default": {
                "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
                "CONFIG": {"hosts": [f"redis://{CLOSED}"]},
            }
        }
        findings.also(findings.Check("channel layer", layer.look))
        told = line("channel layer")
        assert told.startswith("warn: ")
        assert "Start its server, or correct CHANNEL_LAYERS." in told
        assert asked()[1] == ""


class TestEscalation:
    def test_there_are_no_rules(self):
        assert line("escalation") == "ok: no rule is active"

    def test_they_act(self):
        make_rule(make_project())
        assert line("escalation") == "ok: 1 active rule, none has failed"

    def test_some_have_failed(self):
        project = make_project()
        rules = [make_rule(project, is_active=active) for active in (True, True, False)]
        EscalationRule.objects.filter(pk__in=[rules[0].pk, rules[2].pk]).update(
            failed_at=timezone.now(), failure="ZeroDivisionError: division by zero"
        )
        told = line("escalation")
        assert told == (
            f"warn: 1 rule failed last: rule {rules[0].pk}: ZeroDivisionError: division by zero"
            " → The log names the tasks. It is tried again every minute."
        )


class TestThePage:
    """docs/operations.md"""

    PAGE = (Path(__file__).resolve().parents[2] / "docs" / "operations.md").read_text()

    def test_every_line_is_explained(self):
        table = self.PAGE.split("| line | is not ok when |")[1].split("\n\n")[0]
        cells = re.findall(r"^\| (`.+?) \|", table, re.MULTILINE)
        assert re.findall(r"`(.+?)`", " ".join(cells)) == [
            *(check.name for check in doctor.CHECKS),
            "channel layer",
            "broker",
        ]

    def test_every_state_of_a_message_is_explained(self):
        table = self.PAGE.split("| state | what it means |")[1].split("\n\n")[0]
        explained = ", ".join(re.findall(r"^\| (.+?) \|", table, re.MULTILINE))
        assert explained == f"there is no row, {', '.join(map(str, MailState.labels))}"
