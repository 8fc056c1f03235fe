"""An event says who did it and from where: through the API, the admin, a host's own views, or nobody."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.urls import reverse

from django_pm.context import ORIGIN_LENGTH, acting, current, in_request, request_id, request_id_of
from django_pm.middleware import actor_middleware
from django_pm.models import Event, Project, Task
from tests import factories
from tests.events.support import Log

pytestmark = pytest.mark.django_db


@pytest.fixture
def boss(client: Client) -> Any:
    user = factories.make_superuser("boss")
    client.force_login(user)
    return user


def who(log: Log) -> set[tuple[str | None, str]]:
    return {(event.actor_id, event.origin) for event in log.events()}


def test_admin_form(client: Client, boss: Any, project: Project) -> None:
    task = factories.make_task(project)
    url = reverse("admin:django_pm_task_change", args=[task.pk])
    form = client.get(url).context["adminform"].form
    data = {name: value for name, value in form.initial.items() if value is not None}
    data |= {"title": "Fill", "metadata": "{}", "due_date_0": "2030-01-02", "due_date_1": "03:04:05"}
    data.pop("due_date")
    log = Log()
    response = client.post(url, data)
    assert response.status_code == 302, response.context["errors"]
    event = log.only()
    assert (event.type, event.changes["title"]) == ("task.updated", ["Dig", "Fill"])
    assert who(log) == {(str(boss.pk), "admin")}


def test_admin_add_and_delete(client: Client, boss: Any, project: Project) -> None:
    log = Log()
    url = reverse("admin:django_pm_membership_add")
    assert client.post(url, {"project": project.pk, "user": boss.pk, "role": "viewer"}).status_code == 302
    membership = project.memberships.get(user=boss)
    url = reverse("admin:django_pm_membership_delete", args=[membership.pk])
    assert client.post(url, {"post": "yes"}).status_code == 302
    assert [event.type for event in log.events()] == ["member.added", "member.removed"]
    assert who(log) == {(str(boss.pk), "admin")}


def test_admin_action(client: Client, boss: Any, project: Project) -> None:
    tasks = [factories.make_task(project) for _ in range(3)]
    log = Log()
    data = {"action": "delete_selected", "_selected_action": [task.pk for task in tasks], "post": "yes"}
    assert client.post(reverse("admin:django_pm_task_changelist"), data).status_code == 302
    assert [event.type for event in log.events()] == ["task.deleted"] * 3
    assert who(log) == {(str(boss.pk), "admin")}


@pytest.mark.parametrize("name", ["project", "task", "comment", "membership", "event", "cursor", "parkedevent"])
def test_admin_lists_open(client: Client, boss: Any, project: Project, name: str) -> None:
    factories.make_comment(factories.make_task(project))
    assert client.get(reverse(f"admin:django_pm_{name}_changelist")).status_code == 200


def test_the_log_is_read_only_in_the_admin(client: Client, boss: Any, project: Project) -> None:
    assert client.get(reverse("admin:django_pm_event_add")).status_code == 403
    stored = Event.objects.first()
    assert stored is not None
    assert client.post(reverse("admin:django_pm_event_delete", args=[stored.pk]), {"post": "yes"}).status_code == 403


def test_middleware(project: Project, rf: RequestFactory) -> None:
    user = factories.make_user()
    log = Log()

    def view(request: HttpRequest) -> HttpResponse:
        Task.objects.create(project=project, title="From a view")
        return HttpResponse()

    request = rf.get("/")
    request.user = user
    actor_middleware(view)(request)
    request.user = AnonymousUser()
    actor_middleware(view)(request)
    view(request)
    assert [(event.actor_id, event.origin) for event in log.events()] == [
        (str(user.pk), "web"),
        (None, "web"),
        (None, "system"),
    ]


def test_async_middleware(project: Project, rf: RequestFactory) -> None:
    user = factories.make_user()

    async def view(request: HttpRequest) -> HttpResponse:
        assert current().user() == user
        await sync_to_async(lambda: None)()
        return HttpResponse(current().origin)

    request = rf.get("/")
    request.user = user
    response = asyncio.run(actor_middleware(view)(request))
    assert response.content == b"web"
    assert current().origin == "system"


def test_contexts_nest(project: Project) -> None:
    ann, ben = factories.make_user(), factories.make_user()
    with acting(ann, origin="import"):
        with acting(ben):
            assert (current().user(), current().origin) == (ben, "import")
        assert current().user() == ann
    assert current().user() is None


REQUEST = "4f3c9a1b2d7e4b0f8a6c5d4e3f2a1b0c"


@pytest.mark.parametrize(("word", "origin"), [(None, f"system#{REQUEST}"), ("import", f"import#{REQUEST}")])
def test_an_event_names_its_request(project: Project, word: str | None, origin: str) -> None:
    log = Log()
    with in_request(REQUEST), acting(origin=word):
        Task.objects.create(project=project, title="Dig")
    assert log.only().origin == origin
    assert request_id_of(origin) == REQUEST
    assert request_id() == ""


def test_an_event_of_the_admin_too(client: Client, boss: Any, project: Project) -> None:
    task = factories.make_task(project)
    log = Log()
    with in_request(REQUEST):
        client.post(reverse("admin:django_pm_task_delete", args=[task.pk]), {"post": "yes"})
    assert log.only().origin == f"admin#{REQUEST}"


def test_a_long_word_gives_way_to_the_id(project: Project) -> None:
    log = Log()
    with in_request("i" * 40), acting(origin="w" * 80):
        Task.objects.create(project=project, title="Dig")
    stored = log.only().origin
    assert len(stored) == ORIGIN_LENGTH
    assert (stored[0], request_id_of(stored)) == ("w", "i" * 40)


@pytest.mark.parametrize("given", ["short", "i" * 41, "with space", "a#b#c#d#e", "9df65ab0\n", "é" * 10])
def test_what_is_no_id_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="8 to 40"), in_request(given):
        pass


@pytest.mark.parametrize("origin", ["api", "system", "", "import#2", "a word of the host's own"])
def test_no_id_is_read_where_none_is(origin: str) -> None:
    assert request_id_of(origin) == ""


def test_the_middleware_of_the_page(project: Project, rf: RequestFactory) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "events.md").read_text()
    (code,) = re.findall(r"```python\n(# yoursite/middleware\.py\n.+?)```", page, re.DOTALL)
    exec(code, module := {})  # noqa: S102

    def view(request: HttpRequest) -> HttpResponse:
        Task.objects.create(project=project, title="Dig")
        return HttpResponse()

    log = Log()
    answer = module["request_id_middleware"](view)(rf.get("/"))
    assert log.only().origin == f"system#{answer['X-Request-ID']}"
