"""docs/caching.md: its samples run, and what it says is and is not kept is so."""

import re
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from django.core.cache import caches
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient, APIRequestFactory, force_authenticate

from django_pm.api import lists
from django_pm.api.views import TaskViewSet
from django_pm.cache import breaker, local, shared
from django_pm.cache.worth import Worth
from django_pm.models import Project, Task
from tests import factories
from tests.example.site import ROOT

PAGE = (ROOT / "docs" / "caching.md").read_text()


def sample(beginning, **names):
    """What the sample that holds `beginning` defines."""
    [block] = [
        block for block in re.findall(r"^```python\n(.+?)^```$", PAGE, re.MULTILINE | re.DOTALL) if beginning in block
    ]
    exec(block, names)  # noqa: S102 (our own page)
    return names


@pytest.fixture
def user(transactional_db, settings):
    settings.DEBUG = True
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "docs"}}
    caches["default"].clear()
    lists.answers.local.clear()
    user = factories.make_user()
    factories.make_task(factories.make_project(user))
    return user


@pytest.fixture
def sources(user):
    """`sources(path, …)`: where each list comes from."""
    client = APIClient()
    client.force_authenticate(user)
    return lambda *paths: [client.get(path)["X-Cache"] for path in paths]


def sources_of(view, user, query="", times=2):
    def ask():
        request = APIRequestFactory().get(f"/ours/{query}")
        force_authenticate(request, user)
        return view.as_view({"get": "list"})(request)["X-Cache"]

    return [ask() for _ in range(times)]


def test_kept_and_changed(sources):
    assert sources("/tasks/", "/tasks/") == ["made", "local"]
    lists.answers.local.clear()  # as another process
    assert sources("/tasks/") == ["shared"]
    factories.make_task(Project.objects.get())
    assert sources("/tasks/", "/tasks/") == ["made", "local"]


def test_a_tag_is_answered_with_304(sources, user):
    client = APIClient()
    client.force_authenticate(user)
    tag = client.get("/tasks/")["ETag"]
    again = client.get("/tasks/", HTTP_IF_NONE_MATCH=tag)
    assert (again.status_code, again["X-Cache"], again.content) == (304, "unchanged", b"")


@pytest.mark.parametrize("query", ["?overdue=true", "?page_size=5&unknown=1"])
def test_not_kept(sources, query):
    assert sources(f"/tasks/{query}", f"/tasks/{query}") == ["bypass", "bypass"]


def test_not_kept_inside_a_transaction(sources):
    with transaction.atomic():
        assert sources("/tasks/", "/tasks/") == ["bypass", "bypass"]


def test_not_kept_beyond_so_many_projects(sources, user, monkeypatch):
    assert "more than 1,000 projects" in PAGE
    assert lists.MOST_PROJECTS == 1_000
    monkeypatch.setattr(lists, "MOST_PROJECTS", 1)
    monkeypatch.setattr(lists, "worth", Worth())
    factories.make_project(user)
    project = Project.objects.first()
    assert sources("/tasks/", "/tasks/") == ["bypass", "bypass"]
    with CaptureQueriesContext(connection) as statements:
        assert sources("/tasks/") == ["bypass"]
    assert not any("projectstream" in each["sql"] for each in statements), "asked again at once"
    assert sources(f"/tasks/?project={project.pk}", f"/tasks/?project={project.pk}") == ["made", "local"]


def test_not_kept_for_who_keeps_missing(sources, monkeypatch):
    assert "After eight misses more than hits" in PAGE
    monkeypatch.setattr(lists, "worth", Worth())
    project = Project.objects.get()
    found = []
    for _ in range(10):
        factories.make_task(project)
        found += sources("/tasks/")
    assert found == ["made"] * 8 + ["bypass"] * 2
    assert sources("/projects/") == ["bypass"]
    assert sources(f"/tasks/?project={project.pk}") == ["made"]


def test_a_derived_view_says_so_itself(user):
    ours = sample("class OurTaskViewSet")["OurTaskViewSet"]
    derived = type("Derived", (ours,), {})
    assert sources_of(ours, user) == ["made", "local"]
    assert sources_of(ours, user, "?forgotten=true") == ["bypass", "bypass"]
    assert sources_of(ours, user, "?overdue=true") == ["bypass", "bypass"]
    assert sources_of(derived, user) == ["bypass", "bypass"]
    assert sources_of(TaskViewSet, user) == ["made", "local"]
    ours.cache_version = 3
    assert sources_of(ours, user) == ["made", "local"]


def test_a_change_that_is_told_makes_another_key(sources):
    assert sources("/tasks/", "/tasks/") == ["made", "local"]
    estimates = Mock()
    task = Task.objects.get()
    sample("def set_estimate", Estimate=SimpleNamespace(objects=estimates))["set_estimate"](task, 3)
    estimates.update_or_create.assert_called_once()
    assert sources("/tasks/") == ["made"]


def test_switched_off(sources, settings):
    settings.DJANGO_PM = sample('"RESPONSE_CACHE": ""')["DJANGO_PM"] | {"THROTTLE_USER": ""}
    assert sources("/tasks/", "/tasks/") == ["bypass", "bypass"]
    assert not lists.answers.local.size


def test_the_figures():
    assert (local.MOST_BYTES, local.MOST_BYTES // 8) == (32 << 20, 4 << 20)
    assert "32 MB" in PAGE
    assert "more than 4 MB are not kept" in PAGE
    assert shared.MOST_BYTES == 1_000_000
    assert "more than 1 MB are not shared" in PAGE
    assert shared.KEPT_FOR == 300
    assert "300 seconds" in PAGE
    assert (breaker.REST_SECONDS, breaker.SLOW_SECONDS, breaker.SLOW_CALLS) == (5, 0.1, 3)
    assert "longer than 0.1 s three times in a row, is left alone for 5 seconds" in PAGE


def test_the_counters(sources):
    before = dict(lists.answers.counts)
    sources("/tasks/", "/tasks/")
    assert lists.answers.counts["made"] == before.get("made", 0) + 1
    assert lists.answers.counts["local"] == before.get("local", 0) + 1
    assert all(f"`{outcome.value}`" in PAGE for outcome in lists.Outcome)
