"""The lists of the admin on large tables: no counting, a constant number of statements, rows out of an index."""

from __future__ import annotations

import datetime as dt
import json
import re

import pytest
from django.apps import apps
from django.contrib import admin
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from django_pm.admin.base import LargeTableAdmin
from django_pm.models import Comment, Event, Membership, Project, Report, Task
from tests.admin.support import listed, path
from tests.factories import make_comment, make_member, make_project, make_rule, make_task, make_user

pytestmark = pytest.mark.django_db

MODELS = sorted(model._meta.model_name for model in apps.get_app_config("django_pm").get_models())
OF_SESSION_AND_USER = 2
"""Statements that every page of the admin makes before it comes to its list."""


def statements(client, url):
    with CaptureQueriesContext(connection) as captured:
        answer = client.get(url)
    assert answer.status_code == 200
    return [query["sql"] for query in captured]


def plan_of(statement):
    """How the database answers it, as text."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(f"EXPLAIN QUERY PLAN {statement}")
            return "\n".join(row[-1] for row in cursor.fetchall())
        cursor.execute(f"EXPLAIN (FORMAT JSON) {statement}")
        return json.dumps(cursor.fetchone()[0])


def assert_walks_an_index(statement, table):
    plan = plan_of(statement)
    if connection.vendor == "sqlite":
        assert "TEMP B-TREE" not in plan, plan  # a scan in the order of the key is one along an index too
    else:
        assert '"Sort"' not in plan, plan
        assert not re.search(rf'"Seq Scan", [^{{}}]*"Relation Name": "{table}"', plan), plan


@pytest.mark.parametrize("model", MODELS)
def test_every_model_has_its_list_and_search(client, boss, model):
    registered = admin.site.get_model_admin(apps.get_model("django_pm", model))
    assert isinstance(registered, LargeTableAdmin)
    assert client.get(path(model)).status_code == 200
    assert client.get(path(model), {"q": "7"}).status_code == 200


@pytest.mark.parametrize("model", MODELS)
def test_no_list_counts(client, boss, model):
    make_comment(make_task())
    for sql in statements(client, path(model) + "?q=1") + statements(client, path(model)):
        assert "COUNT(" not in sql
        assert "DISTINCT" not in sql


def furnish(number):
    """So many projects, tasks, comments, members and events, each with relations of its own."""
    for index in range(number):
        user = make_user()
        project = make_project(user, name=f"Project {index}")
        make_comment(make_task(project, assignee=user), user)
        make_rule(project)
        Report.objects.create(project=project, date=dt.date(2031, 1, 2), time_zone="UTC")


def test_as_many_statements_for_a_hundred_rows_as_for_ten(client, boss):
    models = ("project", "task", "comment", "membership", "event", "report", "escalationrule")
    furnish(10)
    few = {model: len(statements(client, path(model))) for model in models}
    furnish(90)
    many = {model: len(statements(client, path(model))) for model in models}
    assert many == few == dict.fromkeys(models, OF_SESSION_AND_USER + 1)


PAGES = [
    ("task", ""),
    ("task", "?o=1"),
    ("task", "?o=-1"),
    ("task", "?o=4"),
    ("task", "?o=-6"),
    ("task", "?o=6"),
    ("task", "?o=-7"),
    ("task", "?p=3"),
    ("task", "?status__exact=pending"),
    ("project", ""),
    ("project", "?o=1"),
    ("comment", ""),
    ("membership", ""),
    ("event", ""),
    ("event", "?p=4"),
]


@pytest.fixture
def used(boss):
    """Some thousand rows, and a planner that knows of them."""
    people = [make_user() for _ in range(5)]
    projects = Project.objects.bulk_create(Project(name=f"Project {number}") for number in range(2_000))
    Membership.objects.bulk_create(Membership(project=project, user=people[0]) for project in projects)
    now = timezone.now()
    tasks = Task.objects.bulk_create(
        Task(
            project=projects[number % 300],
            title=f"Task {number * 7919 % 5000}",
            assignee=people[number % 5],
            priority=("none", "low", "medium", "high", "urgent")[number % 5],
            status="completed" if number % 3 else "pending",
            due_date=now + dt.timedelta(minutes=number * 7919 % 5000),
        )
        for number in range(5_000)
    )
    Comment.objects.bulk_create(Comment(task=tasks[number], author="Ada", content="!") for number in range(4_000))
    assert Event.objects.exists()
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            for table in ("project", "task"):  # rows made at once share an instant
                cursor.execute(
                    f"UPDATE django_pm_{table} SET created_at = created_at + id * interval '1 second',"  # noqa: S608
                    " updated_at = updated_at + id * interval '1 second'"
                )
        for table in ("project", "task", "comment", "membership", "event"):
            cursor.execute(f"ANALYZE django_pm_{table}")


def test_rows_come_out_of_an_index_and_no_more_than_the_page(client, used):
    for model, query in PAGES:
        (found,) = [
            sql
            for sql in statements(client, path(model) + query)
            if re.match(rf'SELECT "django_pm_{model}"\."id"', sql)
        ]
        assert re.search(r"LIMIT 101( OFFSET \d+)?$", found), (model, query)
        assert_walks_an_index(found, f"django_pm_{model}")


def test_pages_go_on_until_they_end(client, boss):
    project = make_project()
    Task.objects.bulk_create(Task(project=project, title=f"Task {number}") for number in range(205))
    seen = []
    for number, pages in ((1, [1, 2]), (2, [1, 2, 3]), (3, [1, 2, 3])):
        answer = client.get(path("task"), {"p": number})
        changelist = answer.context["cl"]
        seen += [task.pk for task in changelist.result_list]
        assert list(changelist.paginator.page_range) == pages
        assert ("and more" in answer.content.decode()) == (number < 3)
    assert sorted(seen, reverse=True) == seen
    assert len(set(seen)) == 205
    assert "205 tasks" in client.get(path("task"), {"p": 3}).content.decode()


@pytest.mark.parametrize("number", ["4", "-1", "0", "many", "99999999999"])
def test_a_page_that_is_none_is_no_error(client, boss, number):
    make_task()
    assert client.get(path("task"), {"p": number}, follow=True).status_code == 200


def test_what_is_searched_and_filtered(client, boss):
    ann = make_user("ann")
    late = make_task(title="Dig the well", due_date=timezone.now() - dt.timedelta(hours=1), priority="urgent")
    soon = make_task(title="Fill it", status="in_progress", due_date=timezone.now() + dt.timedelta(days=3))
    never = make_task(title="Rest", due_date=None)
    make_member(late.project, ann)
    assert listed(client, "task", q="WELL") == [late]
    assert listed(client, "task", status__exact="in_progress") == [soon]
    assert listed(client, "task", priority__exact="urgent") == [late]
    assert listed(client, "task", due="overdue") == [late]
    assert listed(client, "task", due="week") == [soon]
    assert listed(client, "task", due="none") == [never]
    assert listed(client, "task", project__id__exact=soon.project_id) == [soon]
    assert [row.user for row in listed(client, "membership", q="ann")] == [ann]


def complete(client, term, model_name, field_name):
    query = {"term": term, "app_label": "django_pm", "model_name": model_name, "field_name": field_name}
    with CaptureQueriesContext(connection) as captured:
        answer = client.get(reverse("admin:autocomplete"), query)
    return answer, [query["sql"] for query in captured]


def test_references_are_completed_not_listed(client, boss):
    Project.objects.bulk_create(Project(name=f"Site {number}") for number in range(150))
    people = [make_user() for _ in range(3)]
    page = client.get(path("task", "add")).content.decode()
    assert page.count('class="admin-autocomplete"') == 2
    assert str(people[0]) not in page
    assert "Site 7" not in page
    answer, made = complete(client, "Site 14", "task", "project")
    assert len(answer.json()["results"]) == 12  # 14, 114 and 140 to 149
    assert answer.json()["pagination"] == {"more": False}
    assert not [sql for sql in made if "COUNT(" in sql]
    answer, _made = complete(client, "Site", "task", "project")
    assert (len(answer.json()["results"]), answer.json()["pagination"]) == (20, {"more": True})


def test_where_users_are_not_in_the_admin_their_key_is_asked_for(client, boss, monkeypatch):
    monkeypatch.delitem(admin.site._registry, type(boss))
    page = client.get(path("task", "add")).content.decode()
    assert page.count('class="admin-autocomplete"') == 1
    assert re.search(r'<input[^>]*name="assignee"[^>]*>', page)
