"""Every list, filter and ordering that the API offers is answered from an index.

What there is to serve is read from the views, so a new ordering or filter without an index fails here. On PostgreSQL
its planner is asked as well, about the very statements that a request makes, on tables of a realistic size.
"""

import datetime as dt
import json
import random
import re
import uuid
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
import time_machine
from django.db import connection, models, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from django_pm.api.filters import ProjectFilterSet, TaskFilterSet
from django_pm.api.views import CommentViewSet, MembershipViewSet, ProjectViewSet, TaskViewSet
from django_pm.models import Comment, Membership, Notification, Project, Role, Task
from django_pm.services import escalating, reminders
from django_pm.services.notifications import inbox
from django_pm.services.reminders import queue_due
from tests.factories import make_rule, make_superuser, make_user

NOT_INDEXED = {"search"}  # any word anywhere in a text: each row that the other filters leave is looked at


def indexed(model):
    """The columns of each index, foreign keys' and constraints' own included; the key ends every index."""
    opts = model._meta
    indexes = [index.fields for index in opts.indexes]
    indexes += [list(c.fields) for c in opts.constraints if isinstance(c, models.UniqueConstraint)]
    indexes += [[field.name] for field in opts.concrete_fields if field.db_index or field.primary_key]
    return [[name for name in fields if name != "id"] for fields in indexes]


@pytest.mark.parametrize(
    ("view", "default", "wanted"),
    [
        pytest.param(ProjectViewSet, "-created_at", ["created_at"], id="projects"),
        pytest.param(TaskViewSet, "-created_at", ["created_at"], id="tasks"),
        pytest.param(CommentViewSet, "created_at", ["task", "created_at"], id="comments of a task"),
        pytest.param(MembershipViewSet, "id", ["project", "user"], id="members of a project"),  # few in each
    ],
)
def test_the_default_order_of_each_list(view, default, wanted):
    assert view.default_ordering == default
    assert wanted in indexed(view.queryset.model)


@pytest.mark.parametrize(
    ("model", "column"),
    [
        pytest.param(view.queryset.model, column, id=f"{view.queryset.model.__name__}.{column}")
        for view in (ProjectViewSet, TaskViewSet)
        for column in view.ordering_fields.values()
    ],
)
def test_each_ordering(model, column):
    exact = [index for index in model._meta.indexes if list(index.fields) == [column, "id"] and not index.condition]
    assert exact, f"no index on ({column}, id) of {model.__name__}"


@pytest.mark.parametrize("name", sorted(set(TaskFilterSet.base_filters) - NOT_INDEXED))
def test_each_filter(name):
    declared = TaskFilterSet.base_filters[name]
    column = "due_date" if name == "overdue" else declared.field_name
    assert [index for index in indexed(Task) if index[:1] == [column]]


def test_no_other_filter_is_without_an_index():
    assert set(ProjectFilterSet.base_filters) == NOT_INDEXED


@pytest.mark.parametrize("filterset", [ProjectFilterSet, TaskFilterSet])
def test_no_filter_asks_for_distinct_rows(filterset):
    """None can repeat a row, and `DISTINCT` has the database read and sort all rows before it shows the first."""
    assert [name for name, declared in filterset.base_filters.items() if declared.distinct] == []


def test_each_foreign_key_is_led_to_by_an_index():
    """Else a delete on the other side reads the whole table. The ones without their own say so in the model."""
    for model in (Project, Task, Comment, Membership):
        for field in model._meta.concrete_fields:
            if field.remote_field:
                assert [index for index in indexed(model) if index[:1] == [field.name]], field


# PostgreSQL's planner, on 20,000 tasks


PROJECTS, TASKS, COMMENTS = 400, 20_000, 20_000
BUSY = 100  # the projects that have tasks
START = dt.datetime(2031, 1, 1, tzinfo=dt.UTC)
MIDYEAR = START + dt.timedelta(days=180)
DUE_FROM = "2031-09-01T00:00:00Z"


@pytest.fixture(scope="module")
def site(django_db_setup, django_db_blocker) -> Iterator[dict]:
    """A site in use, in a transaction that is rolled back after the last test of this module."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield furnish()
        transaction.set_rollback(True)


def furnish():
    draw = random.Random(20)  # noqa: S311
    admin, member = make_superuser("planner"), make_user("worker")
    people = [make_user() for _ in range(40)]
    projects = Project.objects.bulk_create(Project(name=f"Project {number % 97}") for number in range(PROJECTS))
    Membership.objects.bulk_create(
        Membership(project=project, user=person, role=Role.MEMBER) for project in projects for person in people[:10]
    )
    Membership.objects.bulk_create(Membership(project=project, user=member) for project in projects[:5])
    # Most tasks are done, few are open and past due: as in a site that has been used for some years.
    tasks = Task.objects.bulk_create(
        Task(
            project=projects[number % BUSY],
            title=f"{draw.choice(['Dig', 'Fill', 'Measure'])} {draw.randrange(TASKS)}",
            status=draw.choices(["completed", "pending", "in_progress"], [92, 5, 3])[0],
            priority=draw.choice(["none", "low", "medium", "high", "urgent"]),
            due_date=draw.choices([START + dt.timedelta(minutes=draw.randrange(525_600)), None], [95, 5])[0],
            assignee=draw.choice([*people, None]),
        )
        for number in range(TASKS)
    )
    Comment.objects.bulk_create(
        Comment(task=tasks[number * 7919 % TASKS], author="Ada", content="Deeper.") for number in range(COMMENTS)
    )
    with connection.cursor() as cursor:
        # Bulk rows share an instant; those of a site do not.
        for table in ("project", "task", "comment"):
            cursor.execute(
                f"UPDATE django_pm_{table} SET created_at = %s + id * interval '1 minute',"  # noqa: S608
                " updated_at = %s + (id * 7919 %% 20011) * interval '1 minute'",
                [START, START],
            )
            cursor.execute(f"ANALYZE django_pm_{table}")
        cursor.execute("ANALYZE django_pm_membership")
    connection.check_constraints()  # now and once, not at the end of each test
    return {"admin": admin, "member": member, "person": people[3], "project": projects[50], "task": tasks[77]}


@pytest.fixture
def plans(site, db, signed_in):
    """`plans(path)`: how PostgreSQL answers the statements on `table` that a GET of `path` makes."""

    def explain(path, table="task", user="admin"):
        with time_machine.travel(MIDYEAR), CaptureQueriesContext(connection) as captured:
            answer = signed_in(site[user]).get(path)
        assert answer.status_code == 200, answer.json()
        assert answer.json()["results"], "an empty list shows nothing"
        page = re.compile(rf'SELECT (DISTINCT )?"django_pm_{table}"."id".* LIMIT \d+$', re.DOTALL)
        statements = [query["sql"] for query in captured if page.match(query["sql"])]
        assert statements
        return [plan_of(statement) for statement in statements]

    return explain


def plan_of(statement):
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {statement}")
        (found,) = cursor.fetchone()
    return (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]


def nodes(plan, *, counts=True):
    """The steps of a plan, those of its sub-selects (the counts of each row shown) included unless told."""
    yield plan
    for part in plan.get("Plans", ()):
        if counts or part["Parent Relationship"] != "SubPlan":
            yield from nodes(part, counts=counts)


def scans(plan, **choice):
    """(kind of step, table or index) of each step."""
    steps = nodes(plan, **choice)
    return [(node["Node Type"], node.get("Relation Name") or node.get("Index Name")) for node in steps]


def assert_walks_an_index(plan, table="task"):
    """Rows come out of an index in the order wanted and no more of them than the page shows."""
    assert_reads_no_table_whole(plan)
    assert scans(plan, counts=False) == [("Limit", None), ("Index Scan", f"django_pm_{table}")]


def assert_reads_no_table_whole(plan, *tables):
    for table in tables or ("task", "comment"):
        assert ("Seq Scan", f"django_pm_{table}") not in scans(plan), scans(plan)


def cursor_in_the_middle(client, ordering, project):
    """The cursor of a row in the middle of one project's tasks, which lie spread over all of them."""
    page = client.get(reverse("django_pm:task-list"), {"ordering": ordering, "project": project.pk, "page_size": 100})
    return parse_qs(urlsplit(page.json()["next"]).query)["cursor"][0]


ORDERINGS = [sign + name for name in TaskViewSet.ordering_fields for sign in ("", "-")]


@pytest.mark.postgres
@pytest.mark.parametrize("ordering", ORDERINGS)
def test_planner_walks_an_index_for_each_ordering(plans, ordering):
    for plan in plans(f"/tasks/?ordering={ordering}"):
        assert_walks_an_index(plan)


@pytest.mark.postgres
@pytest.mark.parametrize("ordering", ORDERINGS)
def test_planner_finds_a_deep_page_by_descent(plans, site, signed_in, ordering):
    cursor = cursor_in_the_middle(signed_in(site["admin"]), ordering, site["project"])
    first, *rest = plans(f"/tasks/?ordering={ordering}&cursor={cursor}")
    assert rest == []
    assert_walks_an_index(first)
    scan = first["Plans"][0]
    assert "ROW(" in scan.get("Index Cond", ""), "the position is a filter, so the rows before it are read too"


@pytest.mark.postgres
@pytest.mark.parametrize(
    "query",
    [
        "project={project}",
        "project={project}&status=completed",
        "project={project}&ordering=due_date",
        "status=completed",
        "assignee={person}",
        "priority=high",
    ],
)
def test_planner_walks_an_index_for_each_filter(plans, site, query):
    keys = {"project": site["project"].pk, "person": site["person"].pk}
    for plan in plans(f"/tasks/?{query.format(**keys)}"):
        assert_walks_an_index(plan)


@pytest.mark.postgres
@pytest.mark.parametrize(
    "query",
    [
        "status=pending",
        "project={project}&status=pending",
        "status=pending&status=in_progress",
        "priority=high&priority=urgent",
        f"due_after={DUE_FROM}",
        f"due_before={DUE_FROM}",
        "due_after=2031-03-01T00:00:00Z&due_before=2031-03-02T00:00:00Z",
        "overdue=true",
        "overdue=false",
        "project={project}&overdue=false",
        "assignee={person}&status=pending&ordering=due_date",
    ],
)
def test_planner_reads_no_table_whole_for_any_filter(plans, site, query):
    keys = {"project": site["project"].pk, "person": site["person"].pk}
    for plan in plans(f"/tasks/?{query.format(**keys)}"):
        assert_reads_no_table_whole(plan)


@pytest.mark.postgres
@pytest.mark.parametrize("ordering", ["due_date", "-due_date"])
def test_planner_reads_overdue_tasks_from_the_index_of_open_ones(plans, ordering):
    first, *_without_due_date = plans(f"/tasks/?overdue=true&ordering={ordering}")
    assert_reads_no_table_whole(first)
    assert "django_pm_task_open_due" in {node.get("Index Name") for node in nodes(first)}, scans(first)


@pytest.mark.postgres
def test_planner_finds_what_to_remind_of_in_the_index_of_open_tasks(site, db):
    with time_machine.travel(MIDYEAR), CaptureQueriesContext(connection) as captured:
        queue_due()
    first, *_next = [query["sql"] for query in captured if 'FROM "django_pm_task"' in query["sql"]]
    plan = plan_of(first)
    assert_reads_no_table_whole(plan)
    assert "django_pm_task_open_due" in {node.get("Index Name") for node in nodes(plan)}, scans(plan)


@pytest.mark.postgres
def test_planner_finds_further_tasks_to_remind_of_by_descent(site, db, monkeypatch):
    """A piece begins in the index where the one before it ended, however many there are."""
    monkeypatch.setattr(reminders, "CHUNK", 2)
    with time_machine.travel(MIDYEAR), CaptureQueriesContext(connection) as captured:
        queue_due()
        due = Task.objects.open().filter(due_date__gt=MIDYEAR, due_date__lte=MIDYEAR + reminders.AHEAD)
        earlier = list(due.order_by("due_date", "pk").values_list("due_date", flat=True)[:2])
    _first, second, *_next = [query["sql"] for query in captured if 'FROM "django_pm_task"' in query["sql"]]
    plan = plan_of(second)
    (scan,) = [node for node in nodes(plan) if node.get("Index Name") == "django_pm_task_open_due"]
    assert f">= '{earlier[1]:%Y-%m-%d %H:%M:%S}" in scan["Index Cond"]
    assert_reads_no_table_whole(plan)


@pytest.mark.postgres
@pytest.mark.parametrize(
    "condition", [{"condition": "overdue", "hours": 24}, {"condition": "stuck", "status": "pending", "days": 3}]
)
def test_planner_reads_the_tasks_of_one_project_for_its_rules(site, db, condition):
    rule = make_rule(site["project"], **condition)
    with CaptureQueriesContext(connection) as captured:
        assert list(escalating._find(rule, MIDYEAR))
    found = [query["sql"] for query in captured if 'FROM "django_pm_task"' in query["sql"]]
    assert found
    for statement in found:
        plan = plan_of(statement)
        assert_reads_no_table_whole(plan, "task", "event")
        (scan, *_events) = [node for node in nodes(plan) if node.get("Relation Name") == "django_pm_task"]
        assert "project_id = " in json.dumps(scan), scans(plan)


@pytest.mark.postgres
def test_planner_looks_up_the_task_of_each_notification(site, db):
    """And does not first read all tasks that the reader sees."""
    told = Task.objects.filter(project__memberships__user=site["member"]).order_by("pk")
    Notification.objects.bulk_create(
        Notification(
            recipient=site["member"],
            reason="commented",
            project_id=task.project_id,
            task_id=task.pk,
            object_type="task",
            object_id=str(task.pk),
            event_uuid=uuid.uuid4(),
        )
        for task in [*told] * 3
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE django_pm_notification")
    rows = inbox.of(site["member"])
    with CaptureQueriesContext(connection) as captured:
        assert len(inbox.with_titles(rows)[:50]) == 50
        assert rows.unread().count() > 50
    for query in captured:
        tasks = [node for node in nodes(plan_of(query["sql"])) if node.get("Relation Name") == "django_pm_task"]
        assert tasks
        assert {node.get("Index Name") for node in tasks} == {"django_pm_task_pkey"}


@pytest.mark.postgres
@pytest.mark.parametrize("query", ["", "?ordering=due_date", "?status=pending", "?overdue=true"])
def test_planner_reads_no_table_whole_for_somebody_in_a_few_projects(plans, query):
    for plan in plans(f"/tasks/{query}", user="member"):
        assert_reads_no_table_whole(plan)


@pytest.mark.postgres
@pytest.mark.parametrize("ordering", ["created_at", "-created_at", "updated_at", "-updated_at"])
def test_planner_walks_an_index_for_comments(plans, site, ordering):
    (plan,) = plans(f"/tasks/{site['task'].pk}/comments/?ordering={ordering}", table="comment")
    assert_reads_no_table_whole(plan)
    if "created_at" in ordering:
        assert {kind for kind, _name in scans(plan)} == {"Limit", "Index Scan"}


@pytest.mark.postgres
@pytest.mark.parametrize("ordering", [sign + name for name in ProjectViewSet.ordering_fields for sign in ("", "-")])
def test_planner_walks_an_index_for_projects(plans, ordering):
    for plan in plans(f"/projects/?ordering={ordering}", table="project"):
        assert_walks_an_index(plan, "project")


@pytest.mark.postgres
def test_planner_finds_members_by_their_project(plans, site):
    (plan,) = plans(f"/projects/{site['project'].pk}/members/", table="membership")
    assert_reads_no_table_whole(plan, "membership")
