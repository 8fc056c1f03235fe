"""The column is read, written, filtered by, told of and hidden like those of a task."""

import pytest

from django_pm.models import Task
from tests.api.support import assert_refused, ids, new_task, send
from tests.factories import make_project, make_task, make_user
from tests.shapes.side_table.models import TaskDetails

pytestmark = pytest.mark.django_db


@pytest.fixture
def task(api, project):
    return send(api, "POST", "/tasks/", new_task(project, cost_centre="K-17")).json()


def test_it_is_read_as_it_was_written(api, project, task) -> None:
    assert task["cost_centre"] == "K-17"
    path = f"/tasks/{task['id']}/"
    assert api.get(path).json() == task
    assert api.get("/tasks/").json()["results"] == [task]
    assert send(api, "PATCH", path, {"title": "Fill"}).json()["cost_centre"] == "K-17"
    assert send(api, "PATCH", path, {"cost_centre": "K-18"}).json()["cost_centre"] == "K-18"
    assert send(api, "PUT", path, {**api.get(path).json(), "cost_centre": "K-19"}).json()["cost_centre"] == "K-19"


def test_a_task_that_something_else_made_has_none(api, project) -> None:
    made = make_task(project)
    path = f"/tasks/{made.pk}/"
    assert api.get(path).json()["cost_centre"] is None
    assert send(api, "PUT", path, api.get(path).json()).json()["cost_centre"] is None
    assert send(api, "PATCH", path, {"cost_centre": "K-1"}).json()["cost_centre"] == "K-1"
    assert send(api, "PATCH", path, {"cost_centre": None}).json()["cost_centre"] is None
    assert not TaskDetails.objects.exists()


def test_what_is_wrong_with_it_is_named_and_nothing_is_written(api, project, task) -> None:
    assert_refused(send(api, "POST", "/tasks/", new_task(project, cost_centre="x" * 21)), "cost_centre")
    assert_refused(send(api, "POST", "/tasks/", new_task(project, cost_centre="K", title="")), "title")
    assert (Task.objects.count(), TaskDetails.objects.count()) == (1, 1)


def test_it_is_filtered_by(api, project, task) -> None:
    other = send(api, "POST", "/tasks/", new_task(project, cost_centre="K-18")).json()
    assert ids(api.get("/tasks/?cost_centre=K-17")) == [task["id"]]
    assert ids(api.get("/tasks/?cost_centre=K-18&status=pending")) == [other["id"]]
    assert ids(api.get("/tasks/?cost_centre=K-18&status=completed")) == []


def test_it_is_part_of_the_tag(api, task) -> None:
    path = f"/tasks/{task['id']}/"
    before = api.get(path)["ETag"]
    assert send(api, "PATCH", path, {"cost_centre": "K-18"}, HTTP_IF_MATCH=before).status_code == 200
    assert send(api, "PATCH", path, {"cost_centre": "K-19"}, HTTP_IF_MATCH=before).status_code == 412
    assert TaskDetails.objects.get().cost_centre == "K-18"


def test_who_follows_hears_of_it(api, project, task) -> None:
    path = f"/tasks/{task['id']}/"
    for value in ("K-18", "K-18"):
        send(api, "PATCH", path, {"cost_centre": value})
    told = api.get(f"/projects/{project.pk}/events/?object=task:{task['id']}").json()["results"]
    assert [event["type"] for event in told] == ["task.created", "task.updated"]
    assert told[-1]["changes"] == {"cost_centre": ["K-17", "K-18"]}


def test_who_does_not_see_the_task_does_not_see_it(signed_in, task) -> None:
    stranger = make_user()
    make_task(make_project(stranger))
    client = signed_in(stranger)
    assert ids(client.get("/tasks/?cost_centre=K-17")) == []
    assert send(client, "PATCH", f"/tasks/{task['id']}/", {"cost_centre": "K-18"}).status_code == 404


def test_the_document_has_it(api) -> None:
    document = api.get("/schema/").json()
    assert "cost_centre" in document["components"]["schemas"]["BillableTask"]["properties"]
    assert "cost_centre" in {each["name"] for each in document["paths"]["/tasks/"]["get"]["parameters"]}
