"""The example site as docker-compose.yml configures it: what Django's checks say, what is secure, what is logged."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.example.site import HTTP_SERVER, MANAGE, Site
from tests.serving.test_settings import POSTGRES, REDIS, settings

PRODUCTION = {
    "PM_DEMO": "0",
    "SECRET_KEY": "4f3k9-" * 10 + "other characters: !?",
    "DATABASE_URL": POSTGRES,
    "BROKER_URL": "amqp://guest:guest@127.0.0.1:5672/pm",
    "REDIS_URL": REDIS,
    "ALLOWED_HOSTS": "pm.example.com",
    "SITE_URL": "https://pm.example.com",
    "PROXIES": "1",
    "LOG_FORMAT": "json",
}


def test_the_deployment_check_finds_nothing(tmp_path: Path) -> None:
    done = Site(tmp_path).manage("check", "--deploy", "--fail-level", "WARNING", **PRODUCTION)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "System check identified no issues (2 silenced).\n"


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("settings.DEBUG", False),
        ("[settings.SESSION_COOKIE_SECURE, settings.CSRF_COOKIE_SECURE, settings.SESSION_COOKIE_HTTPONLY]", [True] * 3),
        ("[settings.SECURE_SSL_REDIRECT, settings.SECURE_HSTS_SECONDS]", [True, 30 * 24 * 3600]),
        ("settings.SECURE_PROXY_SSL_HEADER", ["HTTP_X_FORWARDED_PROTO", "https"]),
        ("settings.REST_FRAMEWORK['NUM_PROXIES']", 1),
        ("settings.SMTP_OPTIONS['timeout']", 10),
        ("settings.CELERY_BROKER_CONNECTION_TIMEOUT", 4),
    ],
)
def test_production(tmp_path: Path, expression: str, value: Any) -> None:
    assert settings(tmp_path, "config.wsgi", expression, **PRODUCTION) == value


@pytest.mark.parametrize(("variables", "seconds"), [({}, 30), ({"DATABASE_SECONDS": "0"}, 0)])
def test_postgresql_is_waited_for_within_limits(tmp_path: Path, variables: dict[str, str], seconds: int) -> None:
    options = settings(tmp_path, "config.wsgi", "settings.DATABASES['default']['OPTIONS']", **PRODUCTION, **variables)
    assert options["connect_timeout"] == 5
    assert options["tcp_user_timeout"] == 15_000
    assert options["options"] == f"-c statement_timeout={seconds}s"


@pytest.mark.postgres
def test_postgresql_takes_them(site: Site) -> None:
    program = "from django.db import connection; cursor = connection.cursor()\n"
    program += "cursor.execute('SHOW statement_timeout'); print(cursor.fetchone())"
    assert "('30s',)" in site.must_manage("shell", "-c", program)


@pytest.mark.parametrize("name", ["LOG_FORMAT", "DATABASE_SECONDS", "BEAT_SECONDS"])
def test_a_typo_is_told(tmp_path: Path, name: str) -> None:
    done = Site(tmp_path).manage("check", **{**PRODUCTION, name: "jsn"})
    assert done.returncode
    assert f"{name} must be" in done.stderr


def test_beat_looks_no_more_rarely_than_told(tmp_path: Path) -> None:
    schedule = "[entry['schedule'] for entry in config.celery.app.conf.beat_schedule.values()]"
    for seconds, most in (("2", 2), ("0", 24 * 3600)):
        assert max(settings(tmp_path, "config.celery", schedule, **PRODUCTION, BEAT_SECONDS=seconds)) == most


def test_ticks_that_come_often_do_not_pile_up(tmp_path: Path) -> None:
    expire = "[entry['options'].get('expires') for entry in config.celery.app.conf.beat_schedule.values()]"
    for seconds, found in (("2", {60}), ("90", {None, 90}), ("0", {None})):
        assert set(settings(tmp_path, "config.celery", expire, **PRODUCTION, BEAT_SECONDS=seconds)) == found


def test_what_a_worker_and_its_child_share_is_left_alone_by_the_collector(tmp_path: Path) -> None:
    made = "config.celery.worker_before_create_process.send(None) and config.celery.gc.get_freeze_count() > 10_000"
    assert settings(tmp_path, "config.celery", made, **PRODUCTION) is True


GIVEN = "from-the-proxy-0001"


@pytest.mark.parametrize(
    ("given", "kept"), [(GIVEN, True), ("", False), ("short", False), ("x" * 41, False), ('a"b{c}: d e', False)]
)
def test_a_request_has_an_id_in_its_answer_and_its_log(site: Site, given: str, kept: bool) -> None:
    with site.served(*HTTP_SERVER, LOG_FORMAT="json", LOG_LEVEL="INFO"):
        answer = httpx.get(
            f"{site.url}/accounts/login/?next=/private", headers={"X-Request-ID": given}, trust_env=False
        )
    request_id = answer.headers["X-Request-ID"]
    assert (request_id == given) is kept
    assert len(request_id) >= 8
    lines = [json.loads(line) for line in (site.folder / "server.log").read_text().splitlines() if line[:1] == "{"]
    (line,) = [line for line in lines if line["logger"] == "config.requests"]
    assert (line["request_id"], line["status"], line["level"]) == (request_id, 200, "INFO")
    assert line["message"] == "GET /accounts/login/"


def test_nobody_forges_a_line_of_the_log(site: Site) -> None:
    with site.served(*HTTP_SERVER, LOG_FORMAT="text", LOG_LEVEL="INFO"):
        httpx.get(f"{site.url}/x%0A2026-01-01 INFO forged", trust_env=False)
    log = (site.folder / "server.log").read_text()
    assert "GET /x%0A2026-01-01%20INFO%20forged" in log
    assert not re.search("^2026-01-01 INFO", log, re.MULTILINE)


@pytest.mark.parametrize(
    ("names", "code"), [("pm.example.com", 0), (".example.com,other", 0), ("elsewhere.example", 1)]
)
def test_a_health_check_asks_by_a_name_of_the_site(site: Site, names: str, code: int) -> None:
    """And is neither redirected to https nor refused, as a stranger's name is."""
    with site.served(*HTTP_SERVER, HTTPS="1", ALLOWED_HOSTS="pm.example.com,example.com") as server:
        assert server.poll() is None
        port = site.url.rpartition(":")[2]
        done = subprocess.run(
            [sys.executable, "-m", "config.alive", port, "/healthz"],
            cwd=MANAGE.parent,
            env=site.environment(ALLOWED_HOSTS=names),
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stdout.split()[0]) == (code, "400" if code else "200")
