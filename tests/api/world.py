"""The world that the permission walk walks: three projects alike, everybody who may ask, and how an answer is noted."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.db import connection, transaction
from django.db.models import F, IntegerField, Value
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from django_pm.events.feed import number_all
from django_pm.models import (
    ApiToken,
    Comment,
    EscalationRule,
    Event,
    Firing,
    Mail,
    Membership,
    Notification,
    Project,
    ProjectChannels,
    Report,
    Task,
    Watch,
)
from django_pm.models.idempotency import IdempotencyKey
from django_pm.services.reports import make_today
from tests.api.support import DUE, send, shown
from tests.api.walk import ELSEWHERE, HERE, HIDDEN, MISSING, OWNER_OF_TOKEN, PLACES, SAFE, SLOTS, Actor, body
from tests.factories import (
    make_comment,
    make_member,
    make_project,
    make_rule,
    make_superuser,
    make_task,
    make_token,
    make_user,
)

MISSING_KEY = 987_654_321
MISSING_DATE = "2001-01-01"
WRITES = ("INSERT", "UPDATE", "DELETE")
TASKS = [
    {"priority": "none", "status": "pending", "due_date": None},
    {"priority": "low", "status": "completed", "due_date": DUE},
    {"priority": "urgent", "status": "in_progress", "due_date": dt.datetime(2020, 1, 1, tzinfo=dt.UTC)},
]


class Answer(NamedTuple):
    """All that a client can tell of an answer, and the statements that the database was asked meanwhile.

    The statements stand for the time that it takes: two answers that ask the same of the database take the same time
    but for noise, which a clock in a test could not tell from a difference.
    """

    status: int
    content: bytes
    headers: dict[str, str]
    statements: list[str]

    def without(self, *keys: Any) -> Answer:
        """The same with `keys`, which the client has sent, taken out of it, and with them their length."""
        pattern = "|".join(rf"(?<![\w-]){re.escape(str(key))}(?![\w-])" for key in keys)
        content = re.sub(pattern.encode(), b"<id>", self.content)
        headers = {name: value for name, value in self.headers.items() if name != "Content-Length"}
        return self._replace(content=content, headers=headers)


class World:
    """Everything in `PLACES` three times over, alike but for the words `secret-<place>`, so that all filters match."""

    def __init__(self) -> None:
        session = ("outsider", "removed", "deactivated", "neighbour", "viewer", "member", "manager", "owner")
        self.people = {name: make_user(name) for name in (*session, "guest", "hermit", "newcomer")}
        self.people["superuser"] = make_superuser("superuser")
        self.projects = self._projects()
        self.objects: dict[str, dict[str, Any]] = {"project": self.projects, "member": self._guests()}
        self.objects["task"], self.objects["comment"] = self._tasks_with_comments()
        self.objects["report"] = self._reports()
        self.notifications = self._notifications()
        self.objects["rule"] = {place: make_rule(self.projects[place], name=f"secret-{place}") for place in PLACES}
        self.own_tokens = {name: make_token(user, name="own") for name, user in self.people.items()}
        self.hermits_tokens = {
            place: make_token(self.people["hermit"], [self.projects[place]], name=f"secret-{place}") for place in PLACES
        }
        self.clients = {name: signed_in(self.people[name]) for name in (*session, "superuser")}
        self.clients["anonymous"] = APIClient(raise_request_exception=False)
        self._dismiss()
        self.clients |= self._scripts()
        number_all()
        self.place_of = self._whereabouts()
        self.before = stored()

    def _projects(self) -> dict[str, Project]:
        people = self.people
        roles = {people[role]: role for role in ("viewer", "member", "manager")}
        here = {**roles, people["removed"]: "owner", people["deactivated"]: "owner"}
        members = {HERE: here, ELSEWHERE: {people["neighbour"]: "owner"}, HIDDEN: {}}
        owners = {HERE: people["owner"], ELSEWHERE: people["owner"], HIDDEN: people["hermit"]}
        return {place: make_project(owners[place], members[place], name=f"base secret-{place}") for place in PLACES}

    def _guests(self) -> dict[str, Membership]:
        return {place: make_member(self.projects[place], self.people["guest"], "viewer") for place in PLACES}

    def _tasks_with_comments(self) -> tuple[dict[str, Task], dict[str, Comment]]:
        tasks, comments = {}, {}
        for number, fields in enumerate(TASKS):  # rows of all places in turn, so that pages mix them
            for place in PLACES:
                more = {"title": f"dig {number}", "description": f"secret-{place}", "assignee": self.people["guest"]}
                tasks[place] = make_task(self.projects[place], **more, **fields)
        for _ in range(3):
            for place in PLACES:
                comments[place] = make_comment(tasks[place], self.people["guest"], content=f"secret-{place}")
        return tasks, comments

    def _reports(self) -> dict[str, Report]:
        """Today's of each place, which no request has to make, and one of a date that no other place has."""
        data = {place: make_today(actor=None, project=self.projects[place])[0].data for place in PLACES}
        dates = dict(zip(PLACES, (dt.date(2020, 2, day) for day in (1, 2, 3)), strict=True))
        return {
            place: Report.objects.create(project=self.projects[place], date=dates[place], data=data[place])
            for place in PLACES
        }

    def _notifications(self) -> dict[tuple[Any, str], Notification]:
        """Everybody was told of every place, whatever they see now."""
        return {
            (user.pk, place): Notification.objects.create(
                recipient=user,
                reason="added",
                project_id=self.projects[place].pk,
                object_type="member",
                object_id=str(self.objects["member"][place].pk),
                event_uuid=uuid.uuid4(),
            )
            for user in self.people.values()
            for place in PLACES
        }

    def _dismiss(self) -> None:
        """Take away what the removed and the deactivated could use a moment ago."""
        for name in ("removed", "deactivated"):
            assert self.clients[name].get(f"/projects/{self.projects[HERE].pk}/").status_code == 200
        Membership.objects.get(project=self.projects[HERE], user=self.people["removed"]).delete()
        self.people["deactivated"].is_active = False
        self.people["deactivated"].save()

    def _scripts(self) -> dict[str, APIClient]:
        limits: dict[str, Any] = {
            "reading token": {"scope": "read"},
            "expired token": {"expires_at": timezone.now() - dt.timedelta(seconds=1)},
            "token for here": {"projects": [self.projects[HERE]]},
            "token for elsewhere": {"projects": [self.projects[ELSEWHERE]]},
            "superuser's token for elsewhere": {"projects": [self.projects[ELSEWHERE]]},
            "token of somebody removed": {"projects": [self.projects[HERE]]},
        }
        tokens = {name: make_token(self.people[user], **limits.get(name, {})) for name, user in OWNER_OF_TOKEN.items()}
        tokens["revoked token"].delete()
        clients = {name: bearer(token) for name, token in tokens.items()}
        for client in clients.values():
            client.get("/projects/")  # the first use of a token is noted, those of the next minute are not
        return clients

    def _whereabouts(self) -> dict[tuple[str, Any], str]:
        named = {project.pk: place for place, project in self.projects.items()}
        models = {"project": Project, "task": Task, "comment": Comment, "member": Membership, "report": Report}
        models["rule"] = EscalationRule
        return {
            (kind, pk): named[project]
            for kind, model in models.items()
            for pk, project in model.objects.values_list("pk", model.project_lookup)
        }

    # Naming

    def user(self, actor: Actor) -> Any:
        """Whose rights the actor has, None for nobody's."""
        return self.people.get(OWNER_OF_TOKEN.get(actor.name, actor.name))

    def key(self, actor: Actor, kind: str, place: str) -> Any:
        """The id of the thing of this kind in a place; `HERE` is one's own among tokens."""
        if kind == "asset":
            return {HERE: "api-docs.css", ELSEWHERE: "api-docs.js"}.get(place, "missing")
        if kind == "report":
            return MISSING_DATE if place == MISSING else self.objects[kind][place].date.isoformat()
        if place == MISSING:
            return MISSING_KEY
        if kind == "notification":
            return self.notifications[(self.user(actor) or self.people["guest"]).pk, place].pk
        if kind == "token":
            user = OWNER_OF_TOKEN.get(actor.name, actor.name)
            own = self.own_tokens.get(user, self.own_tokens["guest"])
            return (own if place == HERE else self.hermits_tokens[place]).pk
        return self.objects[kind][place].pk

    def path(self, actor: Actor, name: str, *places: str, **query: Any) -> str:
        """The path of a URL, each of its parameters naming what is in the place of the same position."""
        slots = zip(SLOTS[name].items(), places, strict=True)
        kwargs = {slot: self.key(actor, kind, place) for (slot, kind), place in slots}
        return reverse(f"django_pm:{name}", kwargs=kwargs) + (f"?{urlencode(query)}" if query else "")

    def body(self, name: str, place: str = HERE) -> dict[str, Any]:
        return body(name, project=self.projects[place].pk, user=shown(self.people["newcomer"]))

    # Asking

    def ask(self, actor: Actor, method: str, path: str, data: Any = b"", **headers: str) -> Answer:
        """Send the request, check what holds of every answer, and undo what it did."""
        statements: list[str] = []
        extra = {"HTTP_" + name.upper().replace("-", "_"): value for name, value in headers.items()}
        with nullcontext() if method in SAFE else undone():
            with connection.execute_wrapper(_noting(statements)):
                response = send(self.clients[actor.name], method, path, data, **extra)
            if any(statement.startswith(WRITES) for statement in statements):
                assert method not in SAFE, (str(actor), method, path, statements)
                self._compare_stored(actor, refused=response.status_code >= 400, about=(method, path, data))
        answer = Answer(response.status_code, response.content, dict(response.headers), statements)
        about = (str(actor), method, path, data, answer.status, answer.content[:500])
        assert answer.status < 500, about
        for place in PLACES:
            assert place in actor.roles or f"secret-{place}".encode() not in answer.content, about
        return answer

    def _compare_stored(self, actor: Actor, *, refused: bool, about: Any) -> None:
        """A refusal leaves all rows and events as they were, and nobody changes what they do not see."""
        after = stored()
        if refused:
            assert after == self.before, (str(actor), *about)
        for place in PLACES:
            project = self.projects[place].pk
            assert place in actor.roles or after.get(project) == self.before[project], (str(actor), *about)


def signed_in(user: Any) -> APIClient:
    client = APIClient(raise_request_exception=False)
    client.force_login(user)
    return client


def bearer(token: ApiToken) -> APIClient:
    client = APIClient(raise_request_exception=False)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token.secret}")
    return client


def stored() -> dict[Any, list[Any]]:
    """All rows of all tables as they are stored, by the project that they belong to; None for what belongs to none."""
    rows: dict[Any, list[Any]] = {}
    with connection.cursor() as cursor:
        for table, (sql, params) in _reading_everything().items():
            cursor.execute(sql, params)
            for *values, project in cursor.fetchall():
                rows.setdefault(project, []).append((table, values))
    return rows


@cache
def _reading_everything() -> dict[str, tuple[str, Any]]:
    """A statement for each table; read as plain rows, since this is asked thousands of times."""
    projects = {Project: F("pk"), Task: F("project"), Comment: F("task__project"), Membership: F("project")}
    projects |= {Event: F("project_id"), Report: F("project"), EscalationRule: F("project")}
    projects |= {Notification: F("project_id"), ProjectChannels: F("project_id"), Firing: F("rule__project")}
    projects |= dict.fromkeys(
        (Watch, Mail, ApiToken, ApiToken.projects.through, IdempotencyKey), Value(None, IntegerField())
    )
    return {
        model.__name__: model.objects.order_by("pk")
        .values_list(*[column.attname for column in model._meta.concrete_fields], project)
        .query.sql_with_params()
        for model, project in projects.items()
    }


@contextmanager
def undone() -> Iterator[None]:
    """Take back what happens inside."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def _noting(statements: list[str]) -> Callable[..., Any]:
    """Note each statement without its values (the wrapper gets them apart) and without names that are made up."""

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        statements.append(re.sub(r'SAVEPOINT "?\w+"?', "SAVEPOINT", sql))
        return execute(sql, params, many, context)

    return note
