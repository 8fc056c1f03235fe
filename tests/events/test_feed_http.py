"""The feed over HTTP: paging by number, resets, one object's activity, and nobody reads what they may not see."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from rest_framework.test import APIClient

from django_pm.events import record_external_change
from django_pm.events.retention import prune, rotate_epoch
from django_pm.models import Event, Project, ProjectStream
from tests import factories

pytestmark = pytest.mark.django_db


def feed(project: Project, query: str = "") -> str:
    return f"/projects/{project.pk}/events/{query}"


def test_form(api: APIClient, project: Project, owner: Any) -> None:
    answer = api.post("/tasks/", {"project": project.pk, "title": "Dig", "due_date": "2030-01-01T00:00:00Z"}, "json")
    task = answer.json()
    page = api.get(feed(project)).json()
    assert page.keys() == {"epoch", "head", "results", "next"}
    assert page["head"] == 3
    assert [event["seq"] for event in page["results"]] == [1, 2, 3]
    event = page["results"][-1]
    assert event.keys() == {"type", "id", "project", "seq", "object", "actor", "at", "changes", "origin"}
    assert UUID(event["id"])
    assert event["at"].endswith("Z")
    key = owner.pk if isinstance(owner.pk, int) else str(owner.pk)
    assert event["actor"]["id"] == key
    assert (event["type"], event["object"], event["origin"]) == (
        "task.created",
        {"type": "task", "id": task["id"]},
        "api",
    )
    assert event["changes"]["due_date"] == [None, "2030-01-01T00:00:00Z"]
    assert page["results"][0]["actor"] is None


def test_paging_ends_in_an_empty_page_without_next(api: APIClient, project: Project) -> None:
    for _ in range(5):
        factories.make_task(project)
    url, seqs, pages = feed(project, "?page_size=3"), [], 0
    while url:
        page = api.get(url).json()
        seqs += [event["seq"] for event in page["results"]]
        url, pages = page["next"], pages + 1
    assert seqs == list(range(1, 8))
    assert pages == 4
    assert page["results"] == []


def test_next_goes_on_where_it_ended(api: APIClient, project: Project) -> None:
    following = api.get(feed(project)).json()["next"]
    task = factories.make_task(project)
    (event,) = api.get(following).json()["results"]
    assert event["object"] == {"type": "task", "id": task.pk}


@pytest.mark.parametrize(
    "query", ["?since=x", "?since=-1", "?since=1.5", "?page_size=0", "?object=task", "?object=x:1"]
)
def test_bad_parameters_are_named(api: APIClient, project: Project, query: str) -> None:
    response = api.get(feed(project, query))
    assert response.status_code == 400
    assert list(response.json()) == [query[1:].partition("=")[0]]


@pytest.mark.parametrize("since", ["3", "99999999999999999999999999"])
def test_ahead_of_the_head(api: APIClient, project: Project, since: str) -> None:
    response = api.get(feed(project, f"?since={since}"))
    stream = ProjectStream.objects.get(pk=project.pk)
    assert response.status_code == 410
    assert response.json() == {
        "detail": "The stream cannot be continued from there (ahead).",
        "reason": "ahead",
        "head": 2,
        "epoch": stream.epoch,
    }


def test_another_epoch(api: APIClient, project: Project) -> None:
    page = api.get(feed(project)).json()
    assert api.get(feed(project, f"?since=1&epoch={page['epoch']}")).status_code == 200
    rotate_epoch()
    response = api.get(feed(project, f"?since=1&epoch={page['epoch']}"))
    assert (response.status_code, response.json()["reason"]) == (410, "epoch")
    assert api.get(feed(project, "?since=1")).status_code == 200


def test_below_the_floor(api: APIClient, project: Project) -> None:
    for _ in range(3):
        factories.make_task(project)
    assert prune(project.pk, keep=2) == 3
    assert api.get(feed(project, "?since=0")).json()["reason"] == "trimmed"
    assert api.get(feed(project, "?since=2")).json()["reason"] == "trimmed"
    assert [event["seq"] for event in api.get(feed(project, "?since=3")).json()["results"]] == [4, 5]


def test_activity_of_one_object(api: APIClient, project: Project) -> None:
    task, other = factories.make_task(project), factories.make_task(project)
    comment = factories.make_comment(task)
    for title in ("Fill", "Pave"):
        task.title = other.title = title
        task.save()
        other.save()
    page = api.get(feed(project, f"?object=task:{task.pk}")).json()
    assert [event["type"] for event in page["results"]] == ["task.created", "task.updated", "task.updated"]
    assert api.get(page["next"]).json()["results"] == []
    page = api.get(feed(project, f"?object=comment:{comment.pk}&page_size=1")).json()
    assert [event["type"] for event in page["results"]] == ["comment.created"]


def test_hidden_and_missing_read_the_same(signed_in: Any, anonymous: APIClient, project: Project) -> None:
    outsider = signed_in(factories.make_user())
    hidden, missing = outsider.get(feed(project)), outsider.get("/projects/999999/events/")
    assert (hidden.status_code, hidden.content) == (404, missing.content)
    assert anonymous.get(feed(project)).status_code in {401, 403}
    viewer = factories.make_user()
    membership = factories.make_member(project, viewer, "viewer")
    client = signed_in(viewer)
    assert client.get(feed(project)).status_code == 200
    membership.delete()
    assert client.get(feed(project)).status_code == 404


def test_a_deleted_project_has_no_feed(api: APIClient, project: Project) -> None:
    key = project.pk
    assert api.delete(f"/projects/{key}/").status_code == 204
    assert api.get(f"/projects/{key}/events/").status_code == 404
    assert Event.objects.filter(project_id=key, type="project.deleted").count() == 1


def test_only_reading(api: APIClient, project: Project) -> None:
    for method in ("post", "put", "patch", "delete"):
        assert getattr(api, method)(feed(project), {}, "json").status_code == 405


def test_one_request_makes_the_events_the_contract_names(api: APIClient) -> None:
    key = api.post("/projects/", {"name": "Base"}, "json").json()["id"]
    events = api.get(f"/projects/{key}/events/").json()["results"]
    assert [event["type"] for event in events] == ["project.created", "member.added"]
    assert {event["origin"] for event in events} == {"api"}


def test_a_host_may_have_recorded_a_key_that_is_no_number(api: Any, project: Project) -> None:
    for key in ("ext-7", "1.5", "٣", "-"):
        record_external_change(project.pk, type="task.updated", object_type="task", object_id=key)
    found = api.get(f"/projects/{project.pk}/events/").json()["results"]
    assert [each["object"]["id"] for each in found][-4:] == ["ext-7", "1.5", "٣", "-"]
