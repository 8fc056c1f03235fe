"""No surface shows anybody a project of another tenant, even to members and superusers."""

import datetime as dt

import pytest
from django.core import mail
from django.core.management import call_command
from django.utils import timezone

from django_pm import access
from django_pm.models import Notification, Project
from tests.api.support import as_token, ids, new_task, send
from tests.factories import (
    make_comment,
    make_member,
    make_project,
    make_superuser,
    make_task,
    make_token,
    make_user,
)
from tests.realtime.conftest import HOST, application, site  # noqa: F401 (a real server, on a real socket)
from tests.shapes.tenants.tenancy import at

pytestmark = pytest.mark.django_db

NORTH, SOUTH = "north.example", "south.example"


def resident(domain, name, **fields):
    with at(domain):
        return make_user(name, email=f"{name}@example.org", **fields)


@pytest.fixture
def north(db):
    return resident(NORTH, "nora")


@pytest.fixture
def south(db):
    return resident(SOUTH, "sam")


@pytest.fixture
def projects(north, south):
    """One of each tenant; by some mistake both users are members of both."""
    found = {NORTH: make_project(north, name="north"), SOUTH: make_project(south, name="south")}
    make_member(found[NORTH], south)
    make_member(found[SOUTH], north)
    return found


def asked_at(client, domain):
    client.defaults["SERVER_NAME"] = domain
    return client


@pytest.mark.parametrize("as_superuser", [False, True])
def test_the_host_of_the_request_decides(signed_in, projects, north, as_superuser) -> None:
    north.is_superuser = as_superuser
    north.save()
    client = signed_in(north)
    mine, theirs = projects[NORTH], projects[SOUTH]
    for domain, seen in ((NORTH, [mine.pk]), (SOUTH, []), ("other.example", []), (NORTH, [mine.pk])):
        asked_at(client, domain)
        for _ in range(3):  # from the second time on, from what is kept
            assert ids(client.get("/projects/")) == seen
        assert client.get(f"/projects/{mine.pk}/events/").status_code == (200 if seen else 404)
        assert client.get(f"/projects/{theirs.pk}/").status_code == 404
        assert client.get(f"/projects/{theirs.pk}/events/").status_code == 404
        assert send(client, "POST", "/tasks/", new_task(mine)).status_code == (201 if seen else 400)
        assert send(client, "POST", "/tasks/", new_task(theirs)).status_code == 400
        assert send(client, "POST", "/projects/", {"name": "New"}).status_code == (201 if seen else 403)
        Project.objects.filter(name="New").delete()


def test_a_token_is_bound_to_the_domain_too(projects, north) -> None:
    client = as_token(make_token(north))
    assert ids(asked_at(client, NORTH).get("/projects/")) == [projects[NORTH].pk]
    assert ids(asked_at(client, SOUTH).get("/projects/")) == []


@pytest.mark.django_db(transaction=True)
def test_one_list_is_kept_for_each_domain(signed_in, projects, north, south) -> None:
    """What is kept of one is never given out for the other, nor is its tag good there."""
    clients = {NORTH: asked_at(signed_in(north), NORTH), SOUTH: asked_at(signed_in(south), SOUTH)}
    tags = {}
    for domain, client in clients.items():
        for _ in range(3):
            answer = client.get("/projects/")
        tags[domain] = answer["ETag"]
    assert tags[NORTH] != tags[SOUTH]
    answer = clients[SOUTH].get("/projects/", HTTP_IF_NONE_MATCH=tags[NORTH])
    assert (answer.status_code, ids(answer)) == (200, [projects[SOUTH].pk])


def test_what_somebody_makes_belongs_where_they_do(signed_in, north, south) -> None:
    client = asked_at(signed_in(north), NORTH)
    key = send(client, "POST", "/projects/", {"name": "New"}).json()["id"]
    assert ids(client.get("/projects/")) == [key]
    assert send(client, "POST", f"/projects/{key}/members/", {"user": south.pk, "role": "viewer"}).status_code == 201
    assert ids(asked_at(signed_in(south), SOUTH).get("/projects/")) == [], "not even to whom they add to it"


def test_every_way_to_ask_agrees(projects, north, south) -> None:
    people = [north, south, make_superuser(), make_user()]
    for domain in (NORTH, SOUTH):
        with at(domain):
            for project in projects.values():
                seeing = access.who_sees(project.pk, [user.pk for user in people])
                each = access.visible_to_each([user.pk for user in people])
                for user in people:
                    by_list = access.visible(user, Project.objects.filter(pk=project.pk)).exists()
                    assert (
                        by_list
                        == (user.pk in seeing)
                        == access.may(user, "view", project)
                        == (project.pk in each[user.pk])
                    )
                assert seeing == ({north.pk if domain == NORTH else south.pk} if project == projects[domain] else set())


@pytest.mark.django_db(transaction=True)
def test_mail_and_the_inbox_tell_nobody_of_another_tenant(projects, north, south) -> None:
    call_command("pm_relay_events")
    soon = timezone.now() + dt.timedelta(hours=5)
    projects_named = [f"of {project.name}" for project in projects.values()]
    for project in projects.values():
        task = make_task(project, title=f"of {project.name}", assignee=north, due_date=soon)
        make_comment(task, content="For @nora and @sam")
    call_command("pm_run", "--once")
    assert set(Notification.objects.values_list("recipient", "project_id")) == {
        (north.pk, projects[NORTH].pk),
        (south.pk, projects[SOUTH].pk),
    }
    # Nora is assigned both; of the one that she does not see, its owner is reminded in her place.
    told = {(message.to[0], name) for message in mail.outbox for name in projects_named if name in message.body}
    assert told == {("nora@example.org", "of north"), ("sam@example.org", "of south")}


@pytest.mark.django_db(transaction=True)
def test_a_socket_tells_of_the_tenant_alone(site) -> None:  # noqa: F811
    north, south = resident(HOST, "nora"), resident(SOUTH, "sam")
    mine, theirs = make_project(north), make_project(south)
    make_member(theirs, north)
    with site.socket(north) as socket:
        assert list(socket.frame("welcome")["heads"]) == [str(mine.pk)]
        make_task(theirs, title="Hidden")
        make_task(mine, title="Seen")
        (event,) = socket.events_until(lambda event: event["type"] == "task.created")
        assert event["changes"]["title"] == [None, "Seen"]
        assert socket.is_quiet()
