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


@pytest.fixture
def busy(tmp_path):
    """Have the next INSERT fail as it does in a file that somebody else is writing to."""
    with closing(sqlite3.connect(tmp_path / "db.sqlite3")) as first:
        first.execute("BEGIN IMMEDIATE")

        def execute(run, sql, values, many, context):
            if sql.startswith("INSERT INTO"):
                second = sqlite3.connect(tmp_path / "db.sqlite3", timeout=0)
                with closing(second), connection.wrap_database_errors:
                    second.execute("BEGIN IMMEDIATE")
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
