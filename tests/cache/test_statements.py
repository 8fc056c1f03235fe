"""What a list costs: the statements of an answer that is made, that is kept, and that has not changed."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from django_pm.events.feed import number_all
from django_pm.models import Task
from tests.cache.support import came_from, uncached
from tests.factories import make_comment, make_member, make_project, make_task, make_user

pytestmark = pytest.mark.django_db(transaction=True)

VECTOR, ROWS, PARENT = "vector", "rows", "parent"
BEGIN = {"sqlite": ["BEGIN"], "postgresql": ["BEGIN", "SET"]}


class Site:
    def __init__(self, rows: int, projects: int) -> None:
        self.owner = make_user("owner")
        self.projects = [make_project(self.owner) for _ in range(projects)]
        for number in range(rows):
            task = make_task(self.projects[number % projects])
        for _ in range(rows):
            make_comment(task)
            make_member(self.projects[0])
        self.client = APIClient()
        self.client.force_authenticate(self.owner)
        self.lists = {
            "/projects/": [],
            "/tasks/?page_size=200": [],
            f"/tasks/?project={self.projects[0].pk}": [],
            f"/tasks/{task.pk}/comments/?page_size=200": [PARENT],
            f"/projects/{self.projects[0].pk}/members/?page_size=200": [PARENT],
        }
        number_all()

    def statements(self, path: str, **headers: str) -> list[str]:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            response = self.client.get(path, **headers)
        assert response.status_code in {200, 304}
        return [kind(query["sql"]) for query in captured.captured_queries]


def kind(sql: str) -> str:
    if sql.startswith("WITH wanted"):
        return VECTOR
    if sql.startswith(("BEGIN", "COMMIT", "SET")):
        return sql.split()[0]
    assert sql.startswith("SELECT"), sql
    is_one = "LIMIT 21" in sql and "ORDER BY" not in sql
    return PARENT if is_one else ROWS


@pytest.mark.parametrize("projects", [1, 50])
@pytest.mark.parametrize("rows", [1, 100])
def test_statements(rows, projects):
    site = Site(rows, projects)
    begin = BEGIN[connection.vendor]
    for path, parent in site.lists.items():
        # `?project=` looks up whether the project is there, as any filter by a key does.
        filtered = [PARENT] if "project=" in path else []
        with uncached():
            assert site.statements(path) == [*parent, *filtered, ROWS], path
        made = site.statements(path)
        # The parent is looked for again in the snapshot: it may be elsewhere by then.
        assert made == [*parent, VECTOR, *begin, *parent, VECTOR, *filtered, ROWS, "COMMIT"], path
        assert site.statements(path) == [*parent, VECTOR], path
        tag = site.client.get(path).headers["ETag"]
        assert site.statements(path, HTTP_IF_NONE_MATCH=tag) == [*parent, VECTOR], path
        assert site.statements(path, HTTP_IF_NONE_MATCH="*") == [*parent, VECTOR], path


def test_one_project_is_not_asked_about_another():
    site = Site(4, 2)
    north, south = site.projects
    task = north.tasks.first()
    narrow = [
        f"/tasks/?project={north.pk}",
        f"/tasks/?project={north.pk}&status=pending&ordering=title",
        f"/tasks/{task.pk}/comments/",
        f"/projects/{north.pk}/members/",
    ]
    for path in [*narrow, "/tasks/"]:
        site.client.get(path)
    make_task(south)
    Task.objects.filter(project=south).update(title="Elsewhere")
    assert [came_from(site.client, path) for path in [*narrow, "/tasks/"]] == ["local"] * 4 + ["made"]
    Task.objects.filter(pk=task.pk).update(title="Here")
    assert [came_from(site.client, path) for path in [*narrow, "/tasks/"]] == ["made"] * 5
    assert [came_from(site.client, path) for path in [*narrow, "/tasks/"]] == ["local"] * 5
