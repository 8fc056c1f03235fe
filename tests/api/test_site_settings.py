"""The settings of `DJANGO_PM` that the API obeys, each read live: no restart, no cache."""

import pytest
from django.contrib.auth.models import Permission
from rest_framework.versioning import NamespaceVersioning, QueryParameterVersioning, URLPathVersioning
from rest_framework.views import APIView

from tests.api.support import DUE, assert_refused, ids, new_task, send
from tests.factories import make_project, make_task, make_user

pytestmark = pytest.mark.django_db


class TestDueDateRequired:
    @pytest.fixture
    def without(self, project):
        body = new_task(project)
        del body["due_date"]
        return body

    def test_on_is_the_default(self, api, project, without):
        assert_refused(send(api, "POST", "/tasks/", without), "due_date")
        assert_refused(send(api, "POST", "/tasks/", {**without, "due_date": None}), "due_date")
        path = f"/tasks/{make_task(project).pk}/"
        assert_refused(send(api, "PUT", path, without), "due_date")
        assert_refused(send(api, "PATCH", path, {"due_date": None}), "due_date")
        assert send(api, "PATCH", path, {"title": "Dug"}).status_code == 200

    def test_off(self, api, project, without, settings):
        settings.DJANGO_PM = {"TASK_DUE_DATE_REQUIRED": False}
        for body in (without, {**without, "due_date": None}):
            response = send(api, "POST", "/tasks/", body)
            assert (response.status_code, response.json()["due_date"]) == (201, None)
        path = f"/tasks/{response.json()['id']}/"
        assert send(api, "PATCH", path, {"due_date": DUE}).json()["due_date"] == DUE
        assert send(api, "PATCH", path, {"due_date": None}).json()["due_date"] is None
        assert send(api, "PUT", path, without).status_code == 200
        assert_refused(send(api, "PATCH", path, {"due_date": ""}), "due_date")

    def test_on_again(self, api, project, without, settings):
        """A task from before may be read and edited; only a due date that is said must be one."""
        task = make_task(project, due_date=None)
        path = f"/tasks/{task.pk}/"
        assert api.get(path).json()["due_date"] is None
        assert send(api, "PATCH", path, {"status": "completed"}).status_code == 200
        settings.DJANGO_PM = {"TASK_DUE_DATE_REQUIRED": False}
        assert send(api, "POST", "/tasks/", without).status_code == 201
        settings.DJANGO_PM = {"TASK_DUE_DATE_REQUIRED": True}
        assert_refused(send(api, "POST", "/tasks/", without), "due_date")


@pytest.mark.parametrize("limit", [1, 10, 100_000])
def test_max_text_length(api, project, settings, limit):
    settings.DJANGO_PM = {"MAX_TEXT_LENGTH": limit}
    task = make_task(project)
    for method, path, field in [
        ("PATCH", f"/projects/{project.pk}/", "description"),
        ("PATCH", f"/tasks/{task.pk}/", "description"),
        ("POST", f"/tasks/{task.pk}/comments/", "content"),
    ]:
        assert send(api, method, path, {field: "é" * limit}).status_code in {200, 201}
        response = send(api, method, path, {field: "é" * (limit + 1)})
        assert_refused(response, field)
        assert str(limit) in response.json()[field][0], "the message says how long it may be"


@pytest.mark.parametrize("limit", [12, 100, 50_000])
def test_max_metadata_bytes(api, project, settings, limit):
    settings.DJANGO_PM = {"MAX_METADATA_BYTES": limit}
    fits = {"x": "y" * (limit - len('{"x": ""}'))}
    for path in (f"/projects/{project.pk}/", f"/tasks/{make_task(project).pk}/"):
        assert send(api, "PATCH", path, {"metadata": fits}).json()["metadata"] == fits
        assert_refused(send(api, "PATCH", path, {"metadata": {"x": fits["x"] + "y"}}), "metadata")


@pytest.mark.parametrize("limit", [50, 3_000_000])
def test_max_body_bytes(api, project, settings, limit):
    """Also above what Django itself would read of a form."""
    settings.DJANGO_PM = {"MAX_BODY_BYTES": limit}
    body = b'{"name": "Mars base"}'
    assert send(api, "PATCH", f"/projects/{project.pk}/", body.ljust(limit)).status_code == 200
    assert send(api, "PATCH", f"/projects/{project.pk}/", body.ljust(limit + 1)).status_code == 413


def test_user_display(api, project, settings):
    settings.DJANGO_PM = {"USER_DISPLAY": "tests.api.test_site_settings.shout"}
    path = f"/tasks/{make_task(project).pk}/comments/"
    assert send(api, "POST", path, {"content": "x"}).json()["author"] == "SOMEBODY" * 31 + "SOMEBOD"


@pytest.mark.parametrize("scheme", [NamespaceVersioning, URLPathVersioning, QueryParameterVersioning])
def test_versions_of_the_site_are_not_looked_for(api, project, monkeypatch, scheme):
    """As where `DEFAULT_VERSIONING_CLASS` and `ALLOWED_VERSIONS` stand in the settings, which DRF reads once."""
    monkeypatch.setattr(APIView, "versioning_class", scheme)
    monkeypatch.setattr(scheme, "allowed_versions", ["v1"])
    for path in (f"/projects/{project.pk}/", "/schema/"):
        assert api.get(path, {"version": "v7"}).status_code == 200


def shout(user):
    """More than the column of an author holds."""
    return "SOMEBODY" * 100


class TestPolicy:
    """Another policy, and every answer follows it: no view has a rule of its own."""

    def test_everybody_a_member(self, signed_in, settings):
        project = make_project()
        task = make_task(project)
        client = signed_in(make_user())
        assert ids(client.get("/tasks/")) == []
        settings.DJANGO_PM = {"POLICY": "django_pm.access.OpenPolicy"}
        assert ids(client.get("/tasks/")) == [task.pk]
        assert ids(client.get("/tasks/", {"project": project.pk})) == [task.pk]
        assert send(client, "POST", "/tasks/", new_task(project)).status_code == 201
        assert send(client, "POST", f"/tasks/{task.pk}/comments/", {"content": "x"}).status_code == 201
        assert send(client, "PATCH", f"/projects/{project.pk}/", {"name": "Mine"}).status_code == 403
        settings.DJANGO_PM = {}
        assert client.get(f"/tasks/{task.pk}/").status_code == 404

    def test_model_permissions(self, signed_in, settings):
        settings.DJANGO_PM = {"POLICY": "django_pm.access.ModelPermissionPolicy"}
        user, task = make_user(), make_task()
        client = signed_in(user)
        may_view = Permission.objects.get(codename="view_project")
        user.user_permissions.add(Permission.objects.get(codename="change_task"))
        assert client.get(f"/tasks/{task.pk}/").status_code == 404
        user.user_permissions.add(may_view)
        assert ids(client.get("/tasks/")) == [task.pk]
        assert send(client, "PATCH", f"/tasks/{task.pk}/", {"title": "Dug"}).status_code == 200
        assert client.delete(f"/tasks/{task.pk}/").status_code == 403
        assert send(client, "POST", "/projects/", {"name": "Mars base"}).status_code == 403
        user.user_permissions.remove(may_view)
        assert client.get("/tasks/").json()["results"] == []
