"""An auditor sees everything on every surface, and does nothing; who ceases to be one is out with the next request."""

import pytest
from django.contrib.auth.models import Group
from django.core.management import call_command

from django_pm import access
from django_pm.models import Notification, Project
from tests.api.support import ids, new_task, send
from tests.factories import make_comment, make_member, make_project, make_task, make_token, make_user
from tests.shapes.policy.policies import AUDITORS

pytestmark = pytest.mark.django_db


@pytest.fixture
def auditor():
    user = make_user("audrey")
    user.groups.add(Group.objects.create(name=AUDITORS))
    return user


def test_every_way_to_ask_agrees(auditor) -> None:
    member, stranger, gone = make_user(), make_user(), make_user(is_active=False)
    gone.groups.add(Group.objects.get(name=AUDITORS))
    projects = [make_project(), make_project(member)]
    users = [auditor, member, stranger, gone]
    each = access.visible_to_each([user.pk for user in users])
    for project in projects:
        seeing = access.who_sees(project.pk, [user.pk for user in users])
        for user in users:
            by_list = access.visible(user, Project.objects.filter(pk=project.pk)).exists()
            by_many = each[user.pk] is None or project.pk in each[user.pk]
            assert by_list == (user.pk in seeing) == by_many == access.may(user, "view", project), (user, project)
    assert access.who_sees(projects[0].pk, [user.pk for user in users]) == {auditor.pk}


def test_reading_everything_and_doing_nothing(signed_in, project, auditor) -> None:
    task = make_task(project)
    comment, client = make_comment(task), signed_in(auditor)
    for path in ("/projects/", "/tasks/", f"/tasks/{task.pk}/comments/", f"/projects/{project.pk}/members/"):
        assert len(ids(client.get(path))) == 1
    assert client.get(f"/projects/{project.pk}/events/").status_code == 200
    for method, path, body in (
        ("POST", "/tasks/", new_task(project)),
        ("PATCH", f"/tasks/{task.pk}/", {"title": "x"}),
        ("DELETE", f"/comments/{comment.pk}/", b""),
        ("DELETE", f"/projects/{project.pk}/", b""),
    ):
        assert send(client, method, path, body).status_code == 403


def test_a_role_that_says_more_holds(signed_in, project, auditor) -> None:
    make_member(project, auditor, "member")
    assert send(signed_in(auditor), "POST", "/tasks/", new_task(project)).status_code == 201


def test_who_ceases_to_be_one_is_out_at_once(signed_in, project, auditor) -> None:
    client = signed_in(auditor)
    for _ in range(3):  # the list is kept by now
        assert ids(client.get("/projects/")) == [project.pk]
    auditor.groups.clear()
    assert ids(client.get("/projects/")) == []
    assert client.get(f"/projects/{project.pk}/events/").status_code == 404


def test_a_token_allows_no_more_than_it_says(project, auditor) -> None:
    from tests.api.support import as_token

    other = make_project()
    assert ids(as_token(make_token(auditor, projects=[other])).get("/projects/")) == [other.pk]


@pytest.mark.django_db(transaction=True)
def test_an_auditor_who_is_mentioned_is_told(project, auditor) -> None:
    call_command("pm_relay_events")
    make_comment(make_task(project), content="Look at this, @audrey, and @nobody")
    call_command("pm_relay_events")
    assert list(Notification.objects.filter(reason="mentioned").values_list("recipient", flat=True)) == [auditor.pk]
