"""`/healthz` and `/readyz`: what is away is told, soon, and no more of it than its name."""

import socket
import threading
import time

import pytest
from django.db import connection, connections
from django.db.migrations.recorder import MigrationRecorder
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from django_pm.cache.breaker import breaker_of
from django_pm.health import readiness
from django_pm.services import findings
from django_pm.services.findings import Check, Finding, Level
from tests.example.site import free_port

pytestmark = [
    pytest.mark.django_db(transaction=True),
    # A connection to SQLite in memory is never closed by Django.
    pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning"),
]

AWAY = readiness.PATIENCE + 1.0


@pytest.fixture(autouse=True)
def _nothing_added(monkeypatch):
    """Without what other tests, or the site, have added."""
    monkeypatch.setattr(findings, "_further", {})


def add(name, look):
    findings.also(Check(name, look))


class TestAlive:
    def test_it_asks_nobody(self, client):
        connections.close_all()
        with CaptureQueriesContext(connection) as captured:
            answer = client.get("/healthz")
        assert (answer.status_code, answer.content) == (200, b"alive\n")
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert "no-store" in answer.headers["Cache-Control"]
        assert list(captured) == []

    def test_it_does_without_a_database(self, client, elsewhere):
        elsewhere(free_port())
        assert client.get("/healthz").status_code == 200

    @pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
    def test_nobody_changes_anything_there(self, client, path):
        assert client.post(path).status_code == 405

    @override_settings(
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.auth.middleware.LoginRequiredMiddleware",
        ]
    )
    @pytest.mark.parametrize("path", ["/healthz", "/readyz"])
    def test_a_site_that_wants_everybody_to_sign_in_is_probed_all_the_same(self, client, path):
        assert client.get(path).status_code == 200


class TestWhatIsEssential:
    def test_all_is_well(self, probe):
        assert probe() == (200, "ready", {"database": "ok", "migrations": "ok", "cache": "ok"})

    def test_the_database_is_away(self, probe, elsewhere):
        elsewhere(free_port())
        code, status, components = probe()
        assert (code, status) == (503, "down")
        assert components["database"] == "failing"
        assert components["cache"] == "ok"

    @pytest.mark.postgres
    def test_the_database_hangs(self, probe, elsewhere):
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            elsewhere(silent.getsockname()[1])
            began = time.monotonic()
            assert probe()[:2] == (503, "down")
            assert time.monotonic() - began < AWAY
            began = time.monotonic()
            assert probe(forget=False)[:2] == (503, "down")
            assert time.monotonic() - began < 0.5, "who hangs already is not waited for again"

    def test_it_comes_back(self, probe, elsewhere, monkeypatch):
        with monkeypatch.context() as patch:
            where = connections.settings["default"]
            patch.setitem(where, "NAME", "/nowhere/at/all")
            assert probe()[0] == 503
        assert probe(forget=False)[0] == 200

    def test_a_migration_is_missing_until_it_is_applied(self, probe):
        latest = MigrationRecorder.Migration.objects.filter(app="django_pm").latest("name")
        applied = MigrationRecorder.Migration.objects.filter(pk=latest.pk)
        row = applied.values().get()
        applied.delete()
        try:
            assert probe() == (503, "down", {"database": "ok", "migrations": "failing", "cache": "ok"})
        finally:
            MigrationRecorder.Migration.objects.create(**row)
        assert probe(forget=False) == (200, "ready", {"database": "ok", "migrations": "ok", "cache": "ok"})


class TestWhatItCanDoWithout:
    @pytest.mark.parametrize("level", [Level.WARN, Level.BROKEN])
    def test_it_is_named(self, probe, level):
        add("broker", lambda: Finding("broker", level, "amqp://guest:secret@10.1.2.3//: refused", "x"))
        assert probe() == (
            200,
            "degraded",
            {"database": "ok", "migrations": "ok", "cache": "ok", "broker": "failing"},
        )

    def test_no_more_than_its_name_is_told(self, client):
        add("broker", lambda: Finding("broker", Level.BROKEN, "amqp://guest:secret@10.1.2.3//: refused", "secret"))
        text = client.get("/readyz").content.decode()
        assert "broker" in text
        assert [word for word in ("secret", "10.1", "guest", "refused", "amqp") if word in text] == []

    def test_a_look_that_fails_is_a_finding(self, probe):
        add("own", lambda: 1 / 0)
        assert probe()[2]["own"] == "failing"

    def test_all_are_asked_at_once_and_none_is_waited_for(self, probe):
        let_go = threading.Event()
        for number in range(4):
            add(f"hung{number}", lambda: findings.fine("own", str(let_go.wait(20))))
        began = time.monotonic()
        try:
            code, status, components = probe()
            assert time.monotonic() - began < AWAY
        finally:
            let_go.set()
        assert (code, status) == (200, "degraded")
        assert [components[f"hung{number}"] for number in range(4)] == ["failing"] * 4

    def test_what_was_found_is_remembered_for_some_seconds(self, probe):
        looks = []
        add("broker", lambda: looks.append(1) or findings.broken("broker", "", ""))
        for _ in range(5):
            assert probe(forget=False)[2]["broker"] == "failing"
        assert len(looks) == 1

    def test_and_no_longer(self):
        now, looks = [0.0], []
        check = Check("broker", lambda: looks.append(1) or findings.fine("broker", ""))
        watch = readiness.Watch(check, lambda: now[0])
        for now[0] in (0.0, 1.0, 4.9, 5.1):
            watch.begin()
            assert watch.is_well(now[0] + 2)
        assert len(looks) == 2

    def test_a_look_that_never_comes_back_is_given_up(self):
        now, let_go, hangs = [0.0], threading.Event(), iter([True, False])

        def look():
            if next(hangs):
                let_go.wait(20)
            return findings.fine("own", "")

        watch = readiness.Watch(Check("own", look), lambda: now[0])
        watch.begin()
        now[0] = readiness.GIVEN_UP_AFTER - 1
        watch.begin()
        assert not watch.is_well(now[0])
        now[0] = readiness.GIVEN_UP_AFTER + 1
        watch.begin()
        assert watch.is_well(now[0] + 2)
        let_go.set()

    def test_a_cache_that_is_left_alone_is_not_asked(self, probe, settings):
        settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
        assert probe()[2]["cache"] == "ok"
        breaker_of("default").call(lambda: 1 / 0, None)
        assert probe()[1:] == ("degraded", {"database": "ok", "migrations": "ok", "cache": "failing"})
