"""PostgreSQL ends a connection in the middle of a request, or takes none: a 503, which says when to try again."""

import psycopg
import pytest
from django.db import connection, connections
from rest_framework.test import APIClient

from django_pm.models import Event, Task
from tests.events.workers import backend_pid, database_url
from tests.example.site import free_port
from tests.factories import make_project, make_user

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]

TASK = {"title": "Dig", "due_date": "2031-01-01T00:00:00Z"}


@pytest.fixture
def user():
    return make_user()


@pytest.fixture
def api(user):
    client = APIClient(raise_request_exception=False)
    client.force_authenticate(user)
    return client


def thrown_out_at(beginning):
    """Have the server end the connection before the first statement that begins like this is run."""
    pid = backend_pid()

    def execute(run, sql, values, many, context):
        if sql.startswith(beginning):
            with psycopg.connect(database_url(), autocommit=True) as other:
                other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        return run(sql, values, many, context)

    return connection.execute_wrapper(execute)


def assert_away(answer):
    connection.close_if_unusable_or_obsolete()  # what Django does between two requests, and its test client does not
    assert answer.status_code == 503
    assert answer["Retry-After"] == "2"
    assert answer.json() == {"detail": "The database does not answer. Try again later."}


@pytest.mark.parametrize("beginning", ["INSERT INTO", 'INSERT INTO "django_pm_event"'])
def test_a_write_is_thrown_out(api, user, beginning):
    project = make_project(user)
    with thrown_out_at(beginning):
        assert_away(api.post("/tasks/", {**TASK, "project": project.pk}, format="json"))
    assert not Task.objects.exists()
    assert not Event.objects.filter(type="task.created").exists()
    assert api.post("/tasks/", {**TASK, "project": project.pk}, format="json").status_code == 201


def test_a_reader_is_thrown_out_and_is_served_by_the_next_connection(api):
    with thrown_out_at("SELECT"):
        assert_away(api.get("/projects/"))
    assert api.get("/projects/").status_code == 200


def test_nobody_listens(api, monkeypatch):
    api.get("/projects/")
    connections.close_all()
    with monkeypatch.context() as patch:
        patch.setitem(connection.settings_dict, "PORT", str(free_port()))
        patch.setitem(connection.settings_dict, "HOST", "127.0.0.1")
        assert_away(api.get("/projects/"))
    assert api.get("/projects/").status_code == 200


def test_what_the_database_refuses_is_no_absence(api, user):
    """A statement that takes too long is a fault of ours, and not to be tried again and again."""
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 50")

    def slow(run, sql, values, many, context):
        context["cursor"].execute("SELECT pg_sleep(5)")
        return run(sql, values, many, context)

    with connection.execute_wrapper(slow):
        assert api.get("/projects/").status_code == 500
    connection.close()
