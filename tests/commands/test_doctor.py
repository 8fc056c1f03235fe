"""`pm_doctor`: each fault is brought about once, and its line has to tell of it and of what to do."""

import datetime as dt
import importlib.metadata
import io
import json
import re
import socket
import time
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.core import mail as django_mail
from django.core.cache.backends.locmem import LocMemCache
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_pm.cache.breaker import SLOW_SECONDS
from django_pm.events import feed, relay, subscribers
from django_pm.mail import send_queue
from django_pm.models import (
    EscalationRule,
    Event,
    Mail,
    MailKind,
    MailState,
    Membership,
    NotificationPreferences,
    Project,
)
from django_pm.services import doctor, findings
from django_pm.services.reminders import queue_due
from django_pm.services.reports import make_due, make_today
from tests.factories import make_project, make_rule, make_task, make_user
from tests.mail.conftest import send_to

pytestmark = pytest.mark.django_db

LOCMEM = "django.core.mail.backends.locmem.EmailBackend"
HOUR = dt.timedelta(hours=1)


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
        assert line("events") == "ok: handed to 1 subscriber, none is late"

    def test_one_that_was_not_handed_over(self):
        relay.relay_events()
        make_project()
        feed.number_all()
        Event.objects.update(created_at=timezone.now() - 2 * HOUR)
        assert line("events") == f"broken: search has not had one of 2\xa0hours ago{self.REMEDY}"
        relay.relay_events()
        assert line("events") == "ok: handed to 1 subscriber, none is late"

    def test_a_quarter_of_an_hour_is_not_late(self):
        relay.relay_events()
        make_project()
        feed.number_all()
        Event.objects.update(created_at=timezone.now() - HOUR * 0.24)
        assert line("events") == "ok: handed to 1 subscriber, none is late"

    def test_one_that_nobody_has_read(self):
        relay.relay_events()
        make_project()
        Event.objects.update(created_at=timezone.now() - HOUR)
        assert line("events") == f"broken: one is without a number for 1\xa0hour{self.REMEDY}"

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

    def test_reports_that_nobody_makes(self):
        project = make_project()
        Project.objects.filter(pk=project.pk).update(created_at=timezone.now() - 48 * HOUR)
        assert line("reports").startswith(f"broken: none of today of 1 project: project {project.pk} → Run pm_run")
        make_due()
        assert line("reports") == "ok: made of every project"

    def test_a_report_with_a_note(self):
        project = make_project(time_zone="Mars/Olympus")
        make_today(actor=None, project=project)
        assert line("reports").startswith(f"warn: project {project.pk}: The time zone “Mars/Olympus”")

    @pytest.mark.parametrize("name", ["celery", "channels"])
    def test_an_extra_that_is_not_here_is_no_fault(self, monkeypatch, name):
        def missing(asked_for):
            if asked_for == name:
                raise importlib.metadata.PackageNotFoundError(name)
            return "1.0"

        monkeypatch.setattr(importlib.metadata, "version", missing)
        assert line(name).startswith("ok: not installed: ")

    def test_an_extra_that_is_here(self, monkeypatch):
        monkeypatch.setattr(importlib.metadata, "version", {"celery": "5.9", "channels": "4.9"}.__getitem__)
        assert (line("celery"), line("channels")) == ("ok: 5.9", "ok: 4.9")

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

    def test_it_answers(self):
        assert re.fullmatch(r"ok: 'default' answers in \d+\.\d ms", line("cache"))

    def test_it_keeps_nothing(self, settings):
        told = self.cache(settings, "django.core.cache.backends.dummy.DummyCache")
        assert told == "ok: 'default' keeps nothing: lists are kept by each process for itself"

    def test_there_is_to_be_none(self, settings):
        settings.DJANGO_PM = {**settings.DJANGO_PM, "RESPONSE_CACHE": ""}
        assert line("cache") == "ok: no lists are kept, since RESPONSE_CACHE is empty"


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
