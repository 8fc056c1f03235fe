"""Who is asking is looked up on every request: what was true a moment ago counts no more."""

import base64

import pytest
from rest_framework.test import APIClient

from django_pm.models import Membership
from tests.api.support import ids, new_task, send
from tests.factories import PASSWORD, login_name, make_member, make_project, make_superuser, make_task, make_user

pytestmark = pytest.mark.django_db


def basic(login, password):
    """A client that sends a login name and a password with each request."""
    client = APIClient(raise_request_exception=False)
    client.credentials(HTTP_AUTHORIZATION="Basic " + base64.b64encode(f"{login}:{password}".encode()).decode())
    return client


def test_by_login_name_and_password(project):
    mo = make_member(project, make_user("mo")).user
    client = basic(login_name("mo"), PASSWORD)
    assert ids(client.get("/projects/")) == [project.pk]
    assert send(client, "POST", "/tasks/", new_task(project)).status_code == 201
    assert basic(login_name("mo"), "wrong").get("/projects/").status_code in {401, 403}
    mo.is_active = False
    mo.save()
    assert client.get("/projects/").status_code in {401, 403}


def test_a_session_writes_only_with_its_csrf_token(owner):
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(owner)
    assert client.get("/projects/").status_code == 200
    assert send(client, "POST", "/projects/", {"name": "Mars base"}).status_code == 403


class TestAMomentAgo:
    @pytest.fixture
    def mo(self, project):
        return make_member(project, make_user("mo"), "owner").user

    @pytest.fixture
    def client(self, signed_in, mo, project):
        client = signed_in(mo)
        assert ids(client.get("/projects/")) == [project.pk]
        return client

    def test_deactivated(self, client, mo):
        mo.is_active = False
        mo.save()
        for method, path in (("GET", "/projects/"), ("GET", "/tasks/"), ("POST", "/projects/")):
            assert send(client, method, path, {"name": "n"}).status_code in {401, 403}

    def test_deleted(self, client, mo):
        mo.delete()
        assert client.get("/projects/").status_code in {401, 403}

    def test_removed_from_the_project(self, api, client, mo, project):
        task = make_task(project)
        membership = Membership.objects.get(user=mo)
        assert api.delete(f"/projects/{project.pk}/members/{membership.pk}/").status_code == 204
        assert ids(client.get("/projects/")) == []
        assert client.get(f"/tasks/{task.pk}/").status_code == 404
        assert send(client, "PATCH", f"/tasks/{task.pk}/", {"title": "Dug"}).status_code == 404
        assert send(client, "POST", "/tasks/", new_task(project)).status_code == 400

    def test_demoted(self, api, client, mo, project):
        membership = Membership.objects.get(user=mo)
        path = f"/projects/{project.pk}/members/{membership.pk}/"
        assert send(api, "PATCH", path, {"role": "viewer"}).status_code == 200
        assert client.get(f"/projects/{project.pk}/").status_code == 200
        assert client.delete(f"/projects/{project.pk}/").status_code == 403
        assert send(client, "PATCH", path, {"role": "owner"}).status_code == 403

    def test_no_superuser_any_more(self, signed_in):
        root, hidden = make_superuser(), make_project()
        client = signed_in(root)
        assert client.get(f"/projects/{hidden.pk}/").status_code == 200
        root.is_superuser = False
        root.save()
        assert client.get(f"/projects/{hidden.pk}/").status_code == 404

    def test_what_they_wrote_stays_without_them(self, api, client, mo, project):
        task = send(client, "POST", "/tasks/", new_task(project)).json()
        comment = send(client, "POST", f"/tasks/{task['id']}/comments/", {"content": "x"}).json()
        mo.delete()
        assert api.get(f"/tasks/{task['id']}/").json()["created_by"] is None
        left = api.get(f"/comments/{comment['id']}/").json()
        assert (left["user"], left["author"], left["content"]) == (None, login_name("mo"), "x")
