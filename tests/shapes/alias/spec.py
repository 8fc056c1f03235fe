"""All of it is in the one database, in its transactions, and the other one is left alone."""

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connections, transaction

from django_pm.events.feed import read
from django_pm.models import Event, Project, Task
from tests.api.support import new_task, send
from tests.factories import make_project, make_task
from tests.shapes.alias.models import Invoice

pytestmark = pytest.mark.django_db(transaction=True)


def test_where_the_tables_are() -> None:
    names = {alias: set(connections[alias].introspection.table_names()) for alias in ("default", "projects")}
    ours = {model._meta.db_table for model in apps.get_app_config("django_pm").get_models(include_auto_created=True)}
    assert ours <= names["projects"]
    assert names["default"] == {Invoice._meta.db_table, "django_migrations"}
    assert Invoice._meta.db_table not in names["projects"]


def test_nothing_asks_the_other_database(api, project, django_assert_num_queries) -> None:
    with django_assert_num_queries(0, connection=connections["default"]):
        task = send(api, "POST", "/tasks/", new_task(project), HTTP_IDEMPOTENCY_KEY="k").json()
        send(api, "POST", f"/tasks/{task['id']}/comments/", {"content": "Deeper."})
        send(api, "PATCH", f"/tasks/{task['id']}/", {"status": "completed"})
        for path in ("/projects/", "/tasks/", f"/projects/{project.pk}/events/", "/notifications/"):
            assert api.get(path).status_code == 200
        assert api.delete(f"/projects/{project.pk}/").status_code == 204
        call_command("pm_run", "--once")


def test_a_transaction_of_that_database_takes_the_event_back(project) -> None:
    events = Event.objects.count()
    with transaction.atomic(using="projects"):
        make_task(project)
        Project.objects.filter(pk=project.pk).update(name="Mars base")
        transaction.set_rollback(True, using="projects")
    assert (Task.objects.count(), Event.objects.count()) == (0, events)


def test_a_transaction_of_the_other_one_does_not(project) -> None:
    with transaction.atomic(using="default"):
        Invoice.objects.create(number="7", project_id=project.pk)
        make_task(project, title="Bill")
        transaction.set_rollback(True, using="default")
    assert not Invoice.objects.exists()
    assert read(project.pk, since=0).events[-1].changes["title"] == [None, "Bill"]


def test_the_doctor_looks_at_it(capsys) -> None:
    make_project()
    call_command("pm_run", "--once")
    call_command("pm_doctor")
    assert "broken" not in capsys.readouterr().out
