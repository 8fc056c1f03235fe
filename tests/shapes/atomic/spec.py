"""A view of the site's own is one transaction, events and all; those of the API go on opening their own."""

import pytest
from django.test import Client

from django_pm.events.feed import read
from django_pm.models import Event
from tests.factories import make_member, make_project, make_task, make_user


def view(project) -> str:
    return f"/site/complete-all/{project.pk}/"


@pytest.mark.django_db(transaction=True)
def test_what_a_view_writes_is_told_once_it_is_committed(api, owner, project) -> None:
    tasks = [make_task(project) for _ in range(3)]
    assert api.get(view(project)).content == b"3"
    told = [event for event in read(project.pk, since=0).events if event.type == "task.updated"]
    assert [event.object_id for event in told] == [str(task.pk) for task in tasks]
    assert {(event.actor_id, event.origin) for event in told} == {(str(owner.pk), "web")}


@pytest.mark.django_db(transaction=True)
def test_what_a_view_takes_back_is_told_to_nobody(signed_in, project) -> None:
    task, viewer = make_task(project), make_member(project, role="viewer").user
    events = Event.objects.count()
    assert signed_in(viewer).get(view(project)).status_code == 403
    task.refresh_from_db()
    assert (task.status, Event.objects.count()) == ("pending", events)


@pytest.mark.django_db(transaction=True)
def test_the_feed_numbers_and_a_refused_write_leaves_nothing(api, project) -> None:
    """Both take a transaction of their own: numbering cannot be done inside of one that waits for the answer."""
    make_task(project)
    page = api.get(f"/projects/{project.pk}/events/").json()
    assert [event["seq"] for event in page["results"]] == [1, 2, 3]
    events = Event.objects.count()
    assert api.post("/tasks/", {"project": project.pk, "title": ""}, "json").status_code == 400
    assert Event.objects.count() == events


def test_whether_the_process_lives_is_asked_without_a_database() -> None:
    """No database may be used here: a transaction around the view would begin by asking for one."""
    assert Client().get("/healthz").content == b"alive\n"


@pytest.mark.django_db(transaction=True)
def test_a_list_is_kept(api, owner) -> None:
    """Lists that are read inside of a transaction are not; those of a view that has one around it would be."""
    make_project(owner, {make_user(): "viewer"})
    tags = {api.get("/projects/").headers.get("ETag") for _ in range(3)}
    assert None not in tags
    assert len(tags) == 1


@pytest.mark.django_db
def test_a_test_case_goes_on_after_a_refusal(api, project) -> None:
    """DRF gives up the transaction that is around the view of a refused request. Here that is the test's own."""
    assert api.get("/tasks/0/").status_code == 404
    assert api.get(f"/projects/{project.pk}/").status_code == 200
