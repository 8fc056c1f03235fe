"""Somebody else writes to SQLite for longer than a request waits: a 503, and nothing is half done."""

import sqlite3
from contextlib import closing

import pytest
from django.db import connection
from rest_framework.test import APIClient

from django_pm.models import Event
from tests.factories import make_project, make_user

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="about SQLite"),
]


def wait_in_vain(first, second):
    """Somebody else is writing."""
    first.execute("BEGIN IMMEDIATE")
    second.execute("BEGIN IMMEDIATE")


def come_too_late(first, second):
    """Somebody else has written since this one read, in WAL without `IMMEDIATE`."""
    second.execute("BEGIN")
    second.execute("SELECT * FROM rows").fetchall()
    first.execute("INSERT INTO rows VALUES (1)")
    second.execute("INSERT INTO rows VALUES (2)")


@pytest.fixture(params=[wait_in_vain, come_too_late])
def busy(tmp_path, request):
    """Have the next INSERT fail as it does in a file that somebody else is writing to."""
    first, second = (sqlite3.connect(tmp_path / "db.sqlite3", timeout=0, isolation_level=None) for _ in range(2))
    with closing(first), closing(second):
        first.execute("PRAGMA journal_mode = WAL")
        first.execute("CREATE TABLE rows (number)")

        def execute(run, sql, values, many, context):
            if sql.startswith("INSERT INTO"):
                with connection.wrap_database_errors:
                    request.param(first, second)
            return run(sql, values, many, context)

        yield connection.execute_wrapper(execute)


@pytest.mark.parametrize("key", ["", "once"])
def test_a_write_that_has_no_turn(busy, key):
    user = make_user()
    api = APIClient(raise_request_exception=False)
    api.force_authenticate(user)
    headers = {"HTTP_IDEMPOTENCY_KEY": key} if key else {}
    body = {"title": "Dig", "due_date": "2031-01-01T00:00:00Z", "project": make_project(user).pk}
    before = Event.objects.count()
    with busy:
        answer = api.post("/tasks/", body, format="json", **headers)
    assert (answer.status_code, answer["Retry-After"]) == (503, "2")
    assert Event.objects.count() == before
    assert api.post("/tasks/", body, format="json", **headers).status_code == 201
