"""`/metrics`: who may read it, and that each number tells what docs/monitoring.md says."""

import asyncio
import datetime as dt
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.http import HttpResponse
from django.test import AsyncClient
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_pm import measures
from django_pm.cache.breaker import breaker_of
from django_pm.events import feed, relay, subscribers
from django_pm.health import facts
from django_pm.health.middleware import request_metrics
from django_pm.models import Event, Mail, MailKind, MailState, ParkedEvent, Project, Task
from django_pm.realtime import protocol
from django_pm.realtime.hub import Hub
from django_pm.realtime.reading import News, Place
from django_pm.services import backlog
from django_pm.services.reminders import queue_due
from django_pm.services.reports import latest_day, make_due
from tests.factories import make_project, make_task, make_user
from tests.health.conftest import TOKEN, scraped

pytestmark = pytest.mark.django_db

PAGE = Path(__file__).resolve().parents[2] / "docs" / "monitoring.md"
HOUR = dt.timedelta(hours=1)
MINUTE = dt.timedelta(minutes=1)


@pytest.fixture
def subscriber(monkeypatch):
    monkeypatch.setattr(subscribers, "_subscriptions", {})
    subscribers.subscribe("search", lambda event: None)
    return "search"


def only_synchronous(get_response):
    """As an old middleware of a host's."""

    def middleware(request):
        return get_response(request)

    return middleware


@pytest.fixture
def timed(settings):
    settings.MIDDLEWARE = ["django_pm.health.middleware.request_metrics", *settings.MIDDLEWARE]


class TestWhoMayRead:
    @pytest.mark.parametrize("shown", ["", "Bearer", "Bearer ", "Bearer wrong", TOKEN, f"Basic {TOKEN}", "Bearer é"])
    def test_nobody_without_the_token(self, client, listening, shown):
        answer = client.get("/metrics", headers={"Authorization": shown})
        assert (answer.status_code, answer.content) == (401, b"")
        assert answer.headers["WWW-Authenticate"] == "Bearer"

    def test_no_user_either(self, signed_in, listening):
        assert signed_in(make_user(is_superuser=True)).get("/metrics").status_code == 401

    @pytest.mark.parametrize("shown", ["", "Bearer ", f"Bearer {TOKEN}"])
    def test_without_a_token_of_the_site_there_is_no_page(self, client, shown):
        assert client.get("/metrics", headers={"Authorization": shown}).status_code == 404

    def test_without_the_extra_there_is_none_either(self, client, listening, monkeypatch):
        monkeypatch.setattr("django_pm.health.views.find_spec", lambda name: None)
        assert client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 404
        assert client.get("/healthz").status_code == 200

    def test_nothing_secret_is_told(self, client, listening, settings, subscriber):
        user = make_user("vera", **{get_user_model().get_email_field_name(): "vera@example.org"})
        task = make_task(make_project(user, name="Moon base"), title="Dig", due_date=timezone.now() + HOUR)
        Mail.objects.create(recipient=user, kind=MailKind.REMINDER, object_id=task.pk, reason="Refused vera@here")
        text = scraped(client)
        secrets = ["@", "vera", "Moon", "Dig", "Refused", TOKEN, settings.SECRET_KEY]
        assert [word for word in secrets if word in text] == []


class TestRequests:
    def test_by_route_method_and_status(self, scrape, timed, api, project):
        key = ("django_pm_http_request_seconds_count", "method=GET", "route=django_pm:project-list", "status=2xx")
        before = scrape().get(key, 0)
        api.get("/projects/")
        api.get("/projects/?ordering=name")
        assert scrape()[key] == before + 2

    def test_a_thousand_paths_are_one_route(self, scrape, timed, client):
        def series():
            return {key for key in scrape() if key[0] == "django_pm_http_request_seconds_count"}

        scrape()  # a request as well, with a route of its own
        client.get("/nothing/here")
        client.generic("PROPFIND", "/nothing/here")
        before = series()
        for number in range(1000):
            client.generic("PROPFIND" if number % 2 else "GET", f"/nothing/{number}/here")
        assert series() == before
        assert ("django_pm_http_request_seconds_count", "method=unknown", "route=unknown", "status=4xx") in before

    def test_objects_share_their_route(self, scrape, timed, api, project):
        api.get(f"/projects/{project.pk}/")
        assert not [key for key in scrape() if f"/projects/{project.pk}" in str(key)]


class TestRequestsOverASGI:
    """Django serves what can be asynchronous so, and the rest in a thread; the middleware is there in both ways."""

    KEY = ("django_pm_http_request_seconds_count", "method=GET", "route=django_pm_health:alive", "status=2xx")

    @pytest.mark.parametrize(
        "below",
        [
            [],
            ["django.contrib.sessions.middleware.SessionMiddleware"],
            ["tests.health.test_metrics.only_synchronous"],
            ["django_pm.middleware.actor_middleware"],
        ],
        ids=["nothing", "of Django", "a synchronous one", "ours"],
    )
    def test_they_are_counted(self, scrape, settings, below):
        settings.MIDDLEWARE = ["django_pm.health.middleware.request_metrics", *below]
        before = scrape().get(self.KEY, 0)

        async def ask():
            return (await AsyncClient().get("/healthz")).status_code

        assert asyncio.run(ask()) == 200
        assert scrape()[self.KEY] == before + 1

    def test_the_loop_goes_on_meanwhile(self, scrape, rf):
        """Requests that wait for each other are all answered: none holds the others up."""
        everybody_is_here = asyncio.Barrier(20)
        before = scrape()

        async def wait_for_the_others(request):
            await everybody_is_here.wait()
            return HttpResponse()

        async def all_at_once():
            middleware = request_metrics(wait_for_the_others)
            return await asyncio.wait_for(asyncio.gather(*(middleware(rf.get("/")) for _ in range(20))), 10)

        assert [answer.status_code for answer in asyncio.run(all_at_once())] == [200] * 20
        key = ("django_pm_http_request_seconds_count", "method=GET", "route=unknown", "status=2xx")
        assert scrape()[key] == before.get(key, 0) + 20


class TestTheRooms:
    def test_where_lists_come_from(self, scrape, api, project):
        before = scrape()
        api.get("/projects/")
        api.get("/tasks/?overdue=true")
        after = scrape()
        changed = {
            key[1] for key in after if key[0] == "django_pm_list_answers_total" and after[key] != before.get(key)
        }
        assert "outcome=bypass" in changed

    def test_a_cache_that_is_left_alone(self, scrape):
        breaker_of("of-this-test").call(lambda: 1 / 0, None)
        assert scrape()["django_pm_cache_breakers_open", "cache=of-this-test"] == 1

    def test_how_late_events_are_handed_out(self, scrape):
        before = scrape()
        made_at = timezone.now().timestamp() - 0.3
        frames = [protocol.frame("event", seq=seq)._replace(made_at=made_at) for seq in (1, 2)]

        async def hand_out():
            here = Hub()
            here._knows_all = True
            here._hand_out(News(1, Place("e", 0), Place("e", 2), frames, 9, seen_by=set()), 1)

        asyncio.run(hand_out())
        after = scrape()

        def more(*key):
            return after[key] - before.get(key, 0)

        assert more("django_pm_event_delivery_seconds_count") == 2
        assert 0.6 <= more("django_pm_event_delivery_seconds_sum") < 2

    def test_nobody_listens_without_a_token(self, api, project):
        measures.listen(None)
        api.get("/projects/")  # and nothing fails


class TestFacts:
    def test_events_that_nobody_has_read(self, scrape, project):
        Event.objects.update(created_at=timezone.now() - HOUR)
        assert 3600 <= scrape()["django_pm_oldest_unnumbered_event_seconds",] < 3700
        feed.number_all()
        assert scrape()["django_pm_oldest_unnumbered_event_seconds",] == 0

    def test_events_that_a_subscriber_has_not_had(self, scrape, subscriber):
        key = ("django_pm_oldest_unrelayed_event_seconds", "subscriber=search")
        assert scrape()[key] == float("inf"), "no relay has ever looked"
        relay.relay_events()
        make_project()
        feed.number_all()
        Event.objects.update(created_at=timezone.now() - HOUR)
        assert 3600 <= scrape()[key] < 3700
        relay.relay_events()
        assert scrape()[key] == 0

    def test_parked_events(self, scrape, subscriber):
        relay.relay_events()
        ParkedEvent.objects.create(
            subscriber_id="search", project_id=1, seq=1, event_uuid="00000000-0000-0000-0000-000000000001", error="x"
        )
        assert scrape()["django_pm_parked_events", "subscriber=search"] == 1

    def test_mail(self, scrape):
        now, user = timezone.now(), make_user()
        rows = [
            (MailState.WAITING, now - HOUR, now),
            (MailState.WAITING, now + HOUR, now),
            (MailState.SENT, now - HOUR, now - HOUR),
            (MailState.SENT, now - 30 * HOUR, now - 30 * HOUR),
        ]
        for number, (state, due_at, created_at) in enumerate(rows):
            values = {"state": state, "due_at": due_at, "created_at": created_at, "object_id": number}
            Mail.objects.create(recipient=user, kind=MailKind.REPORT, **values)
        found = scrape()
        assert 3600 <= found["django_pm_oldest_due_seconds", "queue=mail"] < 3700
        assert found["django_pm_mail_unfinished", "kind=report", "state=waiting"] == 2
        assert found["django_pm_mail_unfinished", "kind=reminder", "state=waiting"] == 0
        assert found["django_pm_mail_ended", "kind=report", "state=sent"] == 1

    def test_reminders_that_nobody_has_queued(self, scrape):
        key = ("django_pm_oldest_due_seconds", "queue=reminders")
        user = make_user()
        make_task(make_project(user), assignee=user, due_date=timezone.now() + 24 * HOUR - 20 * MINUTE)
        with connection.cursor() as cursor:  # past the model, which would put `updated_at` to now
            value = connection.ops.adapt_datetimefield_value(timezone.now() - HOUR)
            cursor.execute("UPDATE django_pm_task SET updated_at = %s", [value])
        assert 1200 <= scrape()[key] < 1300
        queue_due()
        assert scrape()[key] == 0

    def test_reports_that_nobody_has_made(self, scrape):
        key = ("django_pm_oldest_due_seconds", "queue=reports")
        project = make_project()
        assert scrape()[key] == 0
        with connection.cursor() as cursor:
            value = connection.ops.adapt_datetimefield_value(timezone.now() - 48 * HOUR)
            cursor.execute("UPDATE django_pm_project SET created_at = %s WHERE id = %s", [value, project.pk])
        since = latest_day(project.time_zone, timezone.now()).since
        assert abs(scrape()[key] - (timezone.now() - since).total_seconds()) < 60
        make_due()
        assert scrape()[key] == 0

    def test_one_that_fails_keeps_no_other_from_being_told(self, scrape, monkeypatch):
        monkeypatch.setattr(backlog, "parked_events", lambda: 1 / 0)
        found = scrape()
        assert found["django_pm_fact_failed", "fact=parked"] == 1
        assert found["django_pm_fact_failed", "fact=due"] == 0

    def test_many_rows_take_no_more_statements_than_few(self, subscriber, listening, client):
        relay.relay_events()
        user = make_user()
        project = make_project(user)
        make_task(project, assignee=user, due_date=timezone.now() + 24 * HOUR - MINUTE)
        feed.number_all()
        scraped(client)
        with CaptureQueriesContext(connection) as few:
            scraped(client)
        for _ in range(20):
            make_task(make_project(user), assignee=user, due_date=timezone.now() + 24 * HOUR - MINUTE)
        feed.number_all()
        with CaptureQueriesContext(connection) as many:
            scraped(client)
        assert len(many) == len(few) <= 20, [query["sql"] for query in many]


def test_every_metric_is_in_the_table_and_no_other(scrape, subscriber, listening, client):
    rows = re.findall(r"^\| `(django_pm_\w+)` \|", PAGE.read_text(), re.MULTILINE)
    declared = {f"{each.name}{'_total' if each.kind is measures.Kind.COUNT else ''}" for each in measures.MEASURES}
    told = {metric.name for metric in facts.Facts().collect()}
    assert sorted(rows) == sorted(declared | told)
    typed = re.findall(r"^# TYPE (django_pm_\w+) ", scraped(client), re.MULTILINE)
    shown = {name for name in typed if not name.endswith("_created")}
    assert shown == declared | told


def test_processes_that_share_a_folder_are_added_up(tmp_path):
    program = """
import django
django.setup()
from django_pm import measures
measures.SOCKETS_OPEN.note(2)
measures.SOCKETS_CLOSED.note(3, "4401")
from django_pm.health import instruments, exposition
exposition.Facts.collect = lambda self: iter(())
print(exposition.page().decode())
"""
    settings = tmp_path / "site_settings.py"
    settings.write_text("from tests.settings import *\nDJANGO_PM = {**DJANGO_PM, 'METRICS_TOKEN': 'x'}\n")
    files = tmp_path / "files"
    files.mkdir()
    root = Path(__file__).resolve().parents[2]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(root)]),
        "DJANGO_SETTINGS_MODULE": "site_settings",
        "PROMETHEUS_MULTIPROC_DIR": str(files),
    }
    for run in (1, 2):
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, cwd=root, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "django_pm_sockets_open 2.0" in done.stdout, "whoever has ended has no sockets"
        assert f'django_pm_sockets_closed_total{{code="4401"}} {3.0 * run}' in done.stdout


# PostgreSQL's planner, on tables of some size


def multiply(model, key, number, **expressions):
    """So many copies of a row, but for these columns."""
    columns = [field.column for field in model._meta.concrete_fields if not (field.primary_key and field.name == "id")]
    values = [expressions.get(column, f't."{column}"') for column in columns]
    names = ", ".join(f'"{column}"' for column in columns)
    with connection.cursor() as cursor:
        table = model._meta.db_table
        cursor.execute(
            f"INSERT INTO {table} ({names}) SELECT {', '.join(values)} FROM {table} t,"  # noqa: S608
            f" generate_series(1, {number}) AS g(n) WHERE t.{model._meta.pk.column} = %s",
            [key],
        )


@pytest.mark.postgres
def test_the_planner_reads_no_large_table_whole(subscriber, listening, client):
    from tests.models.test_indexes import plan_of, scans

    relay.relay_events()
    user = make_user()
    task = make_task(make_project(user), due_date=timezone.now() + 24 * HOUR - MINUTE)
    mail = Mail.objects.create(recipient=user, kind=MailKind.REMINDER, object_id="x", state=MailState.SENT)
    feed.number_all()
    event = Event.objects.latest("id")
    spread = "now() - n * interval '1 minute'"
    multiply(Project, task.project_id, 20_000, created_at=spread)
    multiply(
        Mail, mail.pk, 40_000, object_id="n::text", message_id="gen_random_uuid()", created_at=spread, due_at=spread
    )
    multiply(Task, task.pk, 20_000, status="'completed'", due_date="now() + n * interval '1 minute'")
    multiply(Task, task.pk, 2_000, due_date="now() + n * interval '1 hour'")
    multiply(Event, event.pk, 40_000, seq=f"{event.seq} + n", uuid="gen_random_uuid()", created_at=spread)
    tables = ("project", "task", "mail", "event")
    with connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"ANALYZE django_pm_{table}")
    with CaptureQueriesContext(connection) as captured:
        scraped(client)
    statements = [query["sql"] for query in captured if query["sql"].startswith("SELECT")]
    assert len(statements) >= 8
    for statement in statements:
        found = scans(plan_of(statement))
        assert not {("Seq Scan", f"django_pm_{table}") for table in tables} & set(found), (statement, found)
