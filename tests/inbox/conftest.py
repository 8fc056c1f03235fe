"""People with something to do, and the relay, which tells them of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from django_pm.context import acting
from django_pm.events.relay import relay_events
from django_pm.models import Comment, Notification, Project, Role, Task
from tests import factories
from tests.mail.conftest import sink

__all__ = ["sink"]


class Inboxes:
    """What each person was told of, as `(reason, object type)`, since it was last asked for."""

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self) -> dict[Any, list[tuple[str, str]]]:
        relay_events()
        found: dict[Any, list[tuple[str, str]]] = {}
        for row in Notification.objects.filter(pk__gt=self.seen).order_by("pk"):
            found.setdefault(row.recipient, []).append((row.reason, row.object_type))
            self.seen = max(self.seen, row.pk)
        return found


@pytest.fixture
def told(db: None) -> Inboxes:
    """`told()`: who was told of what since the last time; the relay runs first."""
    relay_events()
    return Inboxes()


class People:
    """Members of one project by name, made when first asked for; `role` names what a new one is."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._users: dict[str, Any] = {}

    def __call__(self, name: str, role: str = Role.MEMBER) -> Any:
        if name not in self._users:
            self._users[name] = factories.make_user(name)
            if role:
                factories.make_member(self._project, self._users[name], role)
        return self._users[name]


@pytest.fixture
def people(project: Project) -> People:
    return People(project)


@pytest.fixture
def write(signed_in: Callable[[Any], Any], request: pytest.FixtureRequest) -> Any:
    """What somebody does, through the API or by the host's own code."""
    return WRITERS[request.param](signed_in)


class ByApi:
    """Through the REST API, as whoever acts."""

    def __init__(self, signed_in: Callable[[Any], Any]) -> None:
        self._signed_in = signed_in

    def _send(self, actor: Any, method: str, path: str, body: dict[str, Any]) -> Any:
        answer = self._signed_in(actor).generic(method, path, _json(body), content_type="application/json")
        assert answer.status_code in {200, 201, 204}, answer.content
        return answer.json() if answer.content else None

    def task(self, actor: Any, project: Project, **values: Any) -> Any:
        body = {"project": project.pk, "title": "Dig", "due_date": "2030-05-01T12:00:00Z", **_keys(values)}
        return Task.objects.get(pk=self._send(actor, "POST", "/tasks/", body)["id"])

    def edit(self, actor: Any, task: Task, **values: Any) -> None:
        self._send(actor, "PATCH", f"/tasks/{task.pk}/", _keys(values))

    def comment(self, actor: Any, task: Task, content: str) -> Any:
        return self._send(actor, "POST", f"/tasks/{task.pk}/comments/", {"content": content})["id"]

    def edit_comment(self, actor: Any, key: Any, content: str) -> None:
        self._send(actor, "PATCH", f"/comments/{key}/", {"content": content})

    def member(self, actor: Any, project: Project, user: Any) -> None:
        body = {"user": user.get_username(), "role": "member"}
        self._send(actor, "POST", f"/projects/{project.pk}/members/", body)


class ByOrm:
    """By the host's own code, which says who acts."""

    def __init__(self, signed_in: Callable[[Any], Any]) -> None:
        pass

    def task(self, actor: Any, project: Project, **values: Any) -> Any:
        with acting(actor):
            return factories.make_task(project, created_by=actor, **values)

    def edit(self, actor: Any, task: Task, **values: Any) -> None:
        with acting(actor):
            Task.objects.filter(pk=task.pk).update(**values)

    def comment(self, actor: Any, task: Task, content: str) -> Any:
        with acting(actor):
            return factories.make_comment(task, actor, content=content).pk

    def edit_comment(self, actor: Any, key: Any, content: str) -> None:
        comment = Comment.objects.get(pk=key)
        comment.content = content
        with acting(actor):
            comment.save()

    def member(self, actor: Any, project: Project, user: Any) -> None:
        with acting(actor):
            factories.make_member(project, user)


WRITERS = {"api": ByApi, "orm": ByOrm}


def _json(body: Any) -> str:
    return json.dumps(body, default=str)


def _keys(values: dict[str, Any]) -> dict[str, Any]:
    return {name: getattr(value, "pk", value) for name, value in values.items()}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each rule is tried through both doors."""
    if "write" in metafunc.fixturenames:
        metafunc.parametrize("write", WRITERS, indirect=True)
