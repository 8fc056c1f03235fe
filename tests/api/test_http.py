"""Paths, methods and headers: the HTTP around the objects is what the contract says, wherever a host mounts it."""

import pytest
from django.conf import settings as django_settings
from django.urls import include, path, reverse

from tests.api.support import new_task, send
from tests.factories import make_comment, make_member, make_task

pytestmark = pytest.mark.django_db

PATHS = {
    "/projects/": {"GET", "POST"},
    "/projects/{project}/": {"GET", "PUT", "PATCH", "DELETE"},
    "/tasks/": {"GET", "POST"},
    "/tasks/{task}/": {"GET", "PUT", "PATCH", "DELETE"},
    "/tasks/{task}/comments/": {"GET", "POST"},
    "/comments/{comment}/": {"GET", "PUT", "PATCH", "DELETE"},
    "/projects/{project}/members/": {"GET", "POST"},
    "/projects/{project}/members/{member}/": {"GET", "PATCH", "DELETE"},
    "/projects/{project}/events/": {"GET"},
    "/schema/": {"GET"},
    "/docs/": {"GET"},
}
OBJECTS = [template for template in PATHS if template not in {"/schema/", "/docs/"}]

# For the test that mounts the API somewhere else.
urlpatterns = [path("pm/api/v1/", include("django_pm.api.urls"))]


@pytest.fixture
def keys(project):
    task = make_task(project)
    comment, member = make_comment(task), make_member(project)
    return {"project": project.pk, "task": task.pk, "comment": comment.pk, "member": member.pk}


@pytest.mark.parametrize("template", PATHS)
def test_each_path_knows_its_methods_and_no_other(api, keys, template):
    url = template.format(**keys)
    for method in ("GET", "PUT", "PATCH", "POST", "TRACE", "BREW", "DELETE"):
        response = send(api, method, url, {"role": "viewer"})
        if method in PATHS[template]:
            assert response.status_code in {200, 201, 204, 400}, (method, response.content)
        else:
            assert response.status_code == 405, (method, response.content)
            allowed = {name.strip() for name in response["Allow"].split(",")}
            assert allowed - {"HEAD", "OPTIONS"} == PATHS[template]


@pytest.mark.parametrize("template", PATHS)
def test_head_is_get_without_a_body(api, keys, template):
    url = template.format(**keys)
    get, head = api.get(url), api.head(url)
    assert (head.status_code, head.content) == (200, b"")
    assert head["Content-Type"] == get["Content-Type"]


@pytest.mark.parametrize("template", OBJECTS)
def test_options_name_the_methods_and_media_types_alone(api, keys, template):
    response = api.options(template.format(**keys))
    assert response.status_code == 200
    assert set(response.json()) == {"name", "parses", "renders"}
    assert response.json()["parses"] == response.json()["renders"] == ["application/json"]
    allowed = {name.strip() for name in response["Allow"].split(",")}
    assert allowed - {"HEAD", "OPTIONS"} == PATHS[template]


@pytest.mark.parametrize("template", OBJECTS)
def test_every_answer_is_json(api, anonymous, keys, template):
    url = template.format(**keys)
    for accept in ("application/json", "*/*", "application/*", "text/html,application/xhtml+xml,*/*;q=0.8"):
        response = api.get(url, HTTP_ACCEPT=accept)
        assert (response.status_code, response["Content-Type"]) == (200, "application/json"), accept
    for client, method, status in ((anonymous, "GET", {401, 403}), (api, "BREW", {405})):
        response = client.generic(method, url)
        assert (response.status_code in status, response["Content-Type"]) == (True, "application/json")
        assert set(response.json()) == {"detail"}
    assert api.get(url, HTTP_ACCEPT="text/html").status_code == 406


def test_text_outside_ascii_is_sent_as_it_is(api, project):
    response = send(api, "POST", "/tasks/", new_task(project, title="Grüße 🚀"))
    assert "Grüße 🚀".encode() in response.content


@pytest.mark.parametrize("template", PATHS)
def test_paths_end_in_a_slash(api, keys, template):
    url = template.format(**keys)
    response = api.get(url[:-1])
    assert (response.status_code, response["Location"]) == (301, url)
    assert api.get(f"{url}/").status_code == 404


@pytest.mark.urls("tests.api.test_http")
def test_mounted_somewhere_else(api, keys):
    """Links, the document and the page follow to wherever a host puts the API."""
    assert reverse("django_pm:task-list") == "/pm/api/v1/tasks/"
    assert api.get("/tasks/").status_code == 404
    for template in PATHS:
        assert api.get(f"/pm/api/v1{template}".format(**keys)).status_code == 200
    members = f"/pm/api/v1/projects/{keys['project']}/members/"
    assert api.get(f"{members}?page_size=1").json()["next"].startswith(f"http://testserver{members}?")
    assert "/pm/api/v1/tasks/{id}/" in api.get("/pm/api/v1/schema/").json()["paths"]
    assert 'data-schema="/pm/api/v1/schema/"' in api.get("/pm/api/v1/docs/").content.decode()


def test_the_test_host_mounts_it_at_the_root():
    """The other tests spell the contract's paths; this says that they are what the package names."""
    assert django_settings.ROOT_URLCONF == "tests.urls"
    names = {
        "project-list": {},
        "project-detail": {"id": 1},
        "task-list": {},
        "task-detail": {"id": 1},
        "comment-list": {"task_id": 1},
        "comment-detail": {"id": 1},
        "member-list": {"project_id": 1},
        "member-detail": {"project_id": 1, "id": 1},
        "event-feed": {"project_id": 1},
        "schema": {},
        "docs": {},
    }
    spelt = {template.format(project=1, task=1, comment=1, member=1) for template in PATHS}
    assert {reverse(f"django_pm:{name}", kwargs=kwargs) for name, kwargs in names.items()} == spelt
