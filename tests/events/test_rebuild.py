"""Initial state + events = present state, whatever a host writes and in whatever order.

Random sequences of writes, through the ORM as a host uses it and through the REST API, over a few projects. After
every step the state that a client has folded from the feed equals the tables, project by project; the version of a
project has changed exactly if something visible in it has; and no event tells of anything that did not happen.

`PM_LONG_TESTS=1` makes it 1,000 sequences of 50 steps instead of 25 of 20.
"""

from __future__ import annotations

import datetime as dt
import json
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core import serializers
from django.core.management import call_command
from django.db import IntegrityError, connection, models, transaction
from django.db.models import F, Value
from django.db.models.functions import Concat
from django.db.models.signals import ModelSignal, post_delete, post_save, pre_delete, pre_save
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from rest_framework.test import APIClient

from django_pm import event_types
from django_pm.events import feed, record_external_change
from django_pm.models import Comment, Event, Membership, Priority, Project, Role, Status, Task
from tests import factories
from tests.events.support import TRACKED, State, columns, present, row_state
from tests.events.workers import LONG, fold

pytestmark = pytest.mark.django_db

EXAMPLES, STEPS = (1_000, 50) if LONG else (25, 20)

OMITTED = event_types.OMITTED
CREATED, UPDATED, DELETED = (frozenset(names) for names in zip(*event_types.NAMES.values(), strict=True))

Write = Callable[["Host"], Any]

WRITES: dict[str, Write] = {}
"""What a host does, by name. `nothing` stands first: it is what a failing sequence shrinks to."""

SEVERAL = ("save_beside", "together")
"""Those that write more than once, so that one write may undo another."""


def write(method: Write) -> Write:
    WRITES[method.__name__] = method
    return method


class Host:
    """A site that writes at random. What it picks follows from `seed` and from what is there."""

    def __init__(self) -> None:
        self.random = random.Random(0)  # noqa: S311 (it picks what to write)
        self.boss = factories.make_superuser("boss")
        self.users = [factories.make_user() for _ in range(3)]
        self.memory: list[Any] = []
        self.client = APIClient()
        self.client.force_authenticate(self.boss)
        self.stranger = APIClient()
        self.stranger.force_authenticate(factories.make_user("stranger"))

    def found(self) -> None:
        for name in ("North", "South"):
            project = Project.objects.create(name=name, created_by=self.boss)
            for user in (self.boss, *self.users[:2]):
                Membership.objects.create(project=project, user=user, role=Role.OWNER)
            for title in ("Dig", "Wire"):
                task = project.tasks.create(title=title, assignee=self.users[0], due_date=self.instant())
                Comment.objects.create(task=task, author="Ann", user=self.users[1], content="Deep?")

    def do(self, name: str, seed: int) -> None:
        self.random.seed(seed)
        WRITES[name](self)

    # Choosing

    def pick(self, rows: Any) -> Any:
        """One of `rows`, or None."""
        found = list(rows.order_by("pk")) if isinstance(rows, models.QuerySet) else list(rows)
        return self.random.choice(found) if found else None

    def some(self, rows: Any) -> list[Any]:
        """Up to three of `rows`, in the order of their keys."""
        found = list(rows.order_by("pk"))
        return [row for row in found if self.random.random() < 3 / max(len(found), 3)]

    def user(self) -> Any:
        return self.pick(self.users) if self.random.random() < 0.8 else None

    def text(self) -> str:
        return self.random.choice(["Dig", "Wire", "Fill", "é🛰", "", "x" * 250])

    def long_text(self) -> str:
        return self.random.choice([self.text(), "y" * 5_000, "z" * 5_000])

    def instant(self) -> dt.datetime:
        return dt.datetime(2030, 1, self.random.randint(1, 3), tzinfo=dt.UTC)

    def task_values(self) -> dict[str, Any]:
        r = self.random
        values: dict[str, Any] = {
            "title": self.text(),
            "description": self.long_text(),
            "status": r.choice(list(Status)),
            "priority": r.choice(list(Priority)),
            "due_date": r.choice([None, self.instant()]),
            "assignee": self.user(),
            "metadata": r.choice([{}, {"key": [1, None, {"ü": 2.5}]}, {"long": "z" * 5_000}]),
        }
        if r.random() < 0.2:
            values["project"] = self.pick(Project.objects.all())
        return {name: values[name] for name in values if r.random() < 0.4 or name == "project"}

    def comment_values(self) -> dict[str, Any]:
        values = {"content": self.long_text(), "author": self.text(), "user": self.user()}
        if self.random.random() < 0.3:
            values["task"] = self.pick(Task.objects.all())
        return {name: values[name] for name in values if self.random.random() < 0.6 or name == "task"}

    def values_for(self, row: Any) -> dict[str, Any]:
        if isinstance(row, Task):
            return self.task_values()
        if isinstance(row, Comment):
            return self.comment_values()
        if isinstance(row, Membership):
            return {"role": self.random.choice(list(Role))}
        return {"name": self.text(), "metadata": self.random.choice([{}, {"a": 1}]), "created_by": self.user()}

    def change(self, row: Any) -> list[str]:
        values = self.values_for(row)
        for name, value in values.items():
            setattr(row, name, value)
        return list(values)

    def any_model(self) -> Any:
        return self.random.choice([Task, Task, Comment, Comment, Membership, Project])

    # One row

    @write
    def nothing(self) -> None:
        pass

    @write
    def create_task(self) -> None:
        project = self.pick(Project.objects.all())
        if project:
            values = {**self.task_values(), "project": project}
            self.random.choice([Task.objects.create, project.tasks.create, lambda **v: Task(**v).save()])(**values)

    @write
    def create_comment(self) -> None:
        task = self.pick(Task.objects.all())
        if task:
            task.comments.create(**{**self.comment_values(), "task": task})

    @write
    def create_project(self) -> None:
        if Project.objects.count() < 3:
            project = Project.objects.create(name=self.text(), created_by=self.boss)
            project.memberships.create(user=self.boss, role=Role.OWNER)

    @write
    def add_member(self) -> None:
        project, user = self.pick(Project.objects.all()), self.user()
        if project and user:
            defaults = {"role": self.random.choice(list(Role))}
            method = self.random.choice([Membership.objects.get_or_create, Membership.objects.update_or_create])
            method(project=project, user=user, defaults=defaults)

    @write
    def create_twice(self) -> None:
        member = self.pick(Membership.objects.all())
        if member:
            with pytest.raises(IntegrityError), transaction.atomic():
                Membership.objects.create(project_id=member.project_id, user_id=member.user_id)

    @write
    def create_with_a_key(self) -> None:
        task = self.pick(Task.objects.all())
        if task:
            key = task.pk if self.random.random() < 0.5 else task.pk + 100_000
            if not Task.objects.filter(pk=key).exclude(pk=task.pk).exists():
                Task(pk=key, project_id=task.project_id, created_at=task.created_at, title=self.text()).save()

    @write
    def get_or_create(self) -> None:
        project = self.pick(Project.objects.all())
        title = self.text()
        if project and Task.objects.filter(project=project, title=title).count() < 2:
            method = self.random.choice([Task.objects.get_or_create, Task.objects.update_or_create])
            method(project=project, title=title, defaults={**self.task_values(), "project": project})

    @write
    def save(self) -> None:
        row = self.pick(self.any_model().objects.all())
        if row:
            names = self.change(row)
            row.save(**self.random.choice([{}, {}, {"update_fields": names}, {"force_update": True}]))
            if self.random.random() < 0.5:
                self.memory.append(row)

    @write
    def save_unchanged(self) -> None:
        row = self.pick(self.any_model().objects.all())
        if row:
            row.save()

    @write
    def remember(self) -> None:
        rows = self.any_model().objects.all()
        if rows.model is Task and self.random.random() < 0.5:
            rows = self.random.choice([rows.only("title"), rows.defer("project"), rows.only("status", "project")])
        self.memory.append(self.pick(rows))

    @write
    def save_stale(self) -> None:
        row = self.pick([row for row in self.memory if row is not None and row.pk is not None])
        if row and self.can_be_saved(row):
            deferred = row.get_deferred_fields()
            if not type(row).objects.filter(pk=row.pk).exists():  # what is gone, Django only saves whole: anew
                if not deferred:
                    row.save()
            elif self.random.random() < 0.7:
                names = self.change(row)
                row.save(update_fields=names if deferred or self.random.random() < 0.3 else None)
            else:
                row.save()

    @write
    def save_beside(self) -> None:
        """Two who have read the same row save it one after the other."""
        rows = self.any_model().objects.all()
        one = self.pick(rows)
        if one:
            other = rows.get(pk=one.pk)
            names = self.change(one)
            self.change(other)
            other.save()
            one.save(update_fields=self.random.choice([None, names]))

    def can_be_saved(self, row: Any) -> bool:
        """Whether what the row points at is still there; a user who is not is forgotten."""
        deferred = row.get_deferred_fields()
        if not type(row).objects.filter(pk=row.pk).exists() and (deferred or isinstance(row, (Project, Membership))):
            return False
        for field in row._meta.concrete_fields:
            if not field.remote_field or field.attname in deferred:
                continue
            key = getattr(row, field.attname)
            if key is not None and not field.related_model._default_manager.filter(pk=key).exists():
                if not field.null:
                    return False
                setattr(row, field.attname, None)
        return True

    @write
    def save_expression(self) -> None:
        task = self.pick(Task.objects.exclude(due_date=None))
        if task:
            task.due_date = F("due_date") + dt.timedelta(days=self.random.randint(0, 1))
            if self.random.random() < 0.5:
                task.status = self.random.choice(list(Status))
            task.save(update_fields=self.random.choice([None, ["due_date"], ["status"]]))

    @write
    def delete(self) -> None:
        row = self.pick(self.any_model().objects.all())
        if row and not (isinstance(row, Project) and self.random.random() < 0.7):
            if self.random.random() < 0.3:
                self.memory.append(type(row).objects.get(pk=row.pk))
            row.delete()

    @write
    def delete_user(self) -> None:
        user = self.users.pop(self.random.randrange(len(self.users)))
        users = get_user_model()._default_manager
        if self.random.random() < 0.5:
            users.get(pk=user.pk).delete()
        else:
            users.filter(pk=user.pk).delete()
        self.users.append(factories.make_user())

    # Many rows

    def tasks(self) -> Any:
        project = self.pick(Project.objects.all())
        rows = Task.objects.all()
        return self.random.choice(
            [
                rows.filter(project=project),
                rows.filter(status=Status.COMPLETED),
                rows.filter(comments__author="Ann"),
                rows.filter(project__name="North").exclude(title="Dig"),
                rows.filter(pk__in=Comment.objects.order_by("pk").values("task")[:1]),
                rows.order_by("-title").reverse(),
                rows.annotate(n=models.Count("comments")).filter(n__gt=0),
                rows.none(),
            ]
        )

    @write
    def update_tasks(self) -> None:
        rows = self.tasks()
        expression = self.random.choice(
            [
                {},
                {"due_date": F("due_date") + dt.timedelta(days=1)},
                {"description": Concat(F("title"), Value("!"))},
                {"created_by": F("assignee")},
                {"completed_at": self.instant()},
            ]
        )
        values = {**self.task_values(), **expression}
        if values:
            rows.update(**values)

    @write
    def update_comments(self) -> None:
        rows = self.random.choice(
            [
                Comment.objects.filter(task=self.pick(Task.objects.all())),
                Comment.objects.filter(task__project=self.pick(Project.objects.all())),
                Comment.objects.filter(user=None),
                Comment.objects.none(),
            ]
        )
        values = self.comment_values() or {"content": Concat(F("author"), Value("?"))}
        rows.update(**values)

    @write
    def update_others(self) -> None:
        model = self.random.choice([Project, Membership])
        values = self.values_for(model())
        model.objects.filter(pk__in=[row.pk for row in self.some(model.objects.all())]).update(**values)

    @write
    def bulk_update(self) -> None:
        model = self.random.choice([Task, Comment])
        rows = self.some(model.objects.all())
        names = set()
        for row in rows:
            names |= set(self.change(row))
        if rows and names:
            model.objects.bulk_update(rows, sorted(names), batch_size=self.random.choice([None, 1, 2]))

    @write
    def bulk_create(self) -> None:
        projects = list(Project.objects.order_by("pk"))
        if projects:
            made = Task.objects.bulk_create(
                [Task(**{"project": self.pick(projects), **self.task_values()}) for _ in range(3)],
                batch_size=self.random.choice([None, 2]),
            )
            Comment.objects.bulk_create(Comment(task=self.pick(made), author="Bulk", content="x") for _ in range(2))

    @write
    def bulk_create_ignoring_conflicts(self) -> None:
        project = self.pick(Project.objects.all())
        if project:
            users = [*self.users, self.boss]
            Membership.objects.bulk_create(
                [Membership(project=project, user=user) for user in users], ignore_conflicts=True
            )

    @write
    def upsert_members(self) -> None:
        project = self.pick(Project.objects.all())
        if project:
            role = self.random.choice(list(Role))
            Membership.objects.bulk_create(
                [Membership(project=project, user=user, role=role) for user in self.users],
                update_conflicts=True,
                update_fields=["role"],
                unique_fields=["project", "user"],
            )

    @write
    def upsert_tasks(self) -> None:
        rows = self.some(Task.objects.all())
        for row in rows:
            self.change(row)
        project = self.pick(Project.objects.all())
        if project:
            rows.append(Task(project=project, title="Upserted"))
            Task.objects.bulk_create(
                rows,
                update_conflicts=True,
                update_fields=self.random.sample(["title", "status", "project", "metadata", "assignee"], 2),
                unique_fields=["pk"],
            )

    @write
    def delete_many(self) -> None:
        rows = self.random.choice(
            [
                Task.objects.none(),
                Task.objects.filter(pk__in=[row.pk for row in self.some(Task.objects.all())]),
                Task.objects.filter(comments__author="Bulk"),
                Comment.objects.filter(author="Ann"),
                Comment.objects.filter(task__project=self.pick(Project.objects.all())),
                Membership.objects.filter(user=self.user()),
                Project.objects.filter(name="South"),
            ]
        )
        rows.delete()

    # Relations

    @write
    def add_in_reverse(self) -> None:
        project, task, user = self.pick(Project.objects.all()), self.pick(Task.objects.all()), self.pick(self.users)
        comment = self.pick(Comment.objects.all())
        if task and comment:
            self.random.choice(
                [
                    lambda: project.tasks.add(task),
                    lambda: project.tasks.add(task, bulk=False),
                    lambda: task.comments.add(comment),
                    lambda: user.pm_assigned_tasks.add(task),
                    lambda: user.pm_assigned_tasks.set([task]),
                    lambda: user.pm_assigned_tasks.clear(),
                    lambda: user.pm_comments.set([comment]),
                    lambda: user.pm_created_projects.add(project),
                ]
            )()

    @write
    def move(self) -> None:
        task, project = self.pick(Task.objects.all()), self.pick(Project.objects.all())
        if task:
            task.project = project
            task.save(update_fields=self.random.choice([None, ["project"]]))

    # Fixtures, raw SQL

    @write
    def loaddata(self) -> None:
        rows = [*self.some(Task.objects.all()), *self.some(Comment.objects.all()), *self.some(Project.objects.all())]
        rows += [row for row in self.memory[-2:] if isinstance(row, Task) and row.pk and not row.get_deferred_fields()]
        rows = [row for row in rows if self.can_be_saved(row)]
        for row in rows:
            name = "content" if isinstance(row, Comment) else "name" if isinstance(row, Project) else "title"
            setattr(row, name, f"Loaded {self.random.random()}")
        self.random.shuffle(rows)
        for deserialized in serializers.deserialize("json", serializers.serialize("json", rows)):
            deserialized.save()

    @write
    def raw_sql(self) -> None:
        project = self.pick(Project.objects.all())
        if project:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("UPDATE django_pm_task SET title = 'Raw' WHERE project_id = %s", [project.pk])
                record_external_change(project.pk)

    # Through the API

    def task_body(self) -> dict[str, Any]:
        values = self.task_values()
        if values.get("due_date", ...) is None:
            del values["due_date"]
        if "title" in values:
            values["title"] = values["title"] or "Titled"
        if "project" in values:
            values["project"] = values["project"] and values["project"].pk
        if "assignee" in values:
            values["assignee"] = values["assignee"] and str(values["assignee"].pk)
        return json.loads(json.dumps(values, default=lambda value: value.isoformat()))

    @write
    def api_tasks(self) -> None:
        task, project = self.pick(Task.objects.all()), self.pick(Project.objects.all())
        verb = self.random.choice(["post", "post", "patch", "patch", "put", "delete"])
        if verb == "post" and project:
            body = {"title": "Posted", "due_date": "2030-01-01T00:00:00Z", **self.task_body(), "project": project.pk}
            self.client.post("/tasks/", body, "json")
        elif verb == "patch" and task:
            self.client.patch(f"/tasks/{task.pk}/", self.task_body(), "json")
        elif verb == "put" and task:
            body = self.client.get(f"/tasks/{task.pk}/").json()
            self.client.put(f"/tasks/{task.pk}/", {**body, **self.task_body()}, "json")
        elif verb == "delete" and task:
            self.client.delete(f"/tasks/{task.pk}/")

    @write
    def api_comments(self) -> None:
        task, comment = self.pick(Task.objects.all()), self.pick(Comment.objects.all())
        verb = self.random.choice(["post", "post", "patch", "delete"])
        if verb == "post" and task:
            assert self.client.post(f"/tasks/{task.pk}/comments/", {"content": "Posted"}, "json").status_code == 201
        elif comment:
            self.client.generic(verb.upper(), f"/comments/{comment.pk}/", '{"content": "!"}', "application/json")

    @write
    def api_members(self) -> None:
        project = self.pick(Project.objects.all())
        member = project and self.pick(project.memberships.all())
        body = {"role": self.random.choice(list(Role.values))}
        verb = self.random.choice(["post", "patch", "delete"])
        if verb == "post" and project:
            key = self.pick(self.users).pk
            body["user"] = key if isinstance(key, int) else str(key)
            self.client.post(f"/projects/{project.pk}/members/", body, "json")
        elif member:
            path = f"/projects/{project.pk}/members/{member.pk}/"
            self.client.generic(verb.upper(), path, json.dumps(body), "application/json")

    @write
    def api_projects(self) -> None:
        project = self.pick(Project.objects.all())
        verb = self.random.choice(["post", "patch", "patch", "delete"])
        if verb == "post" and Project.objects.count() < 3:
            assert self.client.post("/projects/", {"name": "Posted"}, "json").status_code == 201
        elif verb == "patch" and project:
            assert self.client.patch(f"/projects/{project.pk}/", {"name": self.text()}, "json").status_code < 500
        elif verb == "delete" and project:
            assert self.client.delete(f"/projects/{project.pk}/").status_code == 204

    @write
    def api_refusals(self) -> None:
        task = self.pick(Task.objects.all())
        if task:
            assert self.client.patch(f"/tasks/{task.pk}/", {"title": "", "priority": 7}, "json").status_code == 400
            assert self.stranger.patch(f"/tasks/{task.pk}/", {"title": "Mine"}, "json").status_code == 404
            assert self.stranger.delete(f"/tasks/{task.pk}/").status_code == 404

    # Several in one transaction

    def several(self) -> None:
        names = [name for name in WRITES if name != "together"]
        seeds = [(self.random.choice(names), self.random.randrange(2**16)) for _ in range(3)]
        for name, seed in seeds:
            self.do(name, seed)

    @write
    def roll_back(self) -> None:
        memory, users = list(self.memory), list(self.users)
        with transaction.atomic():
            self.several()
            transaction.set_rollback(True)
        self.memory, self.users = memory, users

    @write
    def together(self) -> None:
        with transaction.atomic():
            self.several()


class Client:
    """Somebody who has followed the feed of every project from its beginning."""

    def __init__(self) -> None:
        self.states: dict[Any, State] = {}
        self.heads: dict[Any, int] = {}
        self.versions: dict[Any, Any] = {}
        self.rows: dict[Any, State] = {}

    def catch_up(self, *, exact: bool) -> None:
        """Read what is new and compare; `exact` if one write was made, so that nothing can have cancelled out."""
        waiting = set(Event.objects.filter(seq__isnull=True).order_by().values_list("project_id", flat=True))
        before, self.rows = self.rows, everything()
        versions = feed.versions([*self.versions, *waiting])
        for key in self.rows.keys() | self.versions.keys() | waiting:
            old, new = before.get(key, {}), self.rows.get(key, {})
            if key not in waiting:
                assert new == old, f"project {key} changed, and no event says so"
                assert versions[key] == self.versions[key]
                continue
            events = self.read(key)
            if key in versions:
                assert versions[key] == feed.version(key), "numbering changed the version"
            versions[key] = feed.version(key)
            assert versions[key].number == self.heads[key]  # type: ignore[union-attr]
            if key in self.versions:
                assert versions[key].epoch == self.versions[key].epoch  # type: ignore[union-attr]
            resync = any(event.type == event_types.PROJECT_RESYNC for event in events)
            if exact and not resync:
                assert new != old, f"project {key} did not change, and events say so: {events}"
                check_truth(events, self.states.get(key, {}))
            self.states[key] = fold(self.states.get(key, {}), events, key)
            assert self.states[key] == new
        self.versions = versions

    def read(self, key: Any) -> list[Event]:
        since = self.heads.get(key, 0)
        page = feed.read(key, since=since)
        assert [event.seq for event in page.events] == list(range(since + 1, page.head + 1))
        self.heads[key] = page.head
        return page.events

    def check_rebuilt(self) -> None:
        """A newcomer who reads everything from the beginning, in small pages, sees the same."""
        for key in self.versions:
            state: State = {}
            since = 0
            while events := feed.read(key, since=since, limit=7).events:
                state = fold(state, events, key)
                since = events[-1].seq  # type: ignore[assignment]
            assert state == present(key) == self.rows.get(key, {})


def everything() -> dict[Any, State]:
    """`support.present` of every project, in one query for each model."""
    states: dict[Any, State] = {}
    for kind, model in TRACKED.items():
        rows = model.objects.select_related("task") if kind == "comment" else model.objects.all()
        for row in rows.order_by("pk"):
            states.setdefault(row.owning_project_id, {})[kind, str(row.pk)] = row_state(kind, row)
    return states


def check_truth(events: Iterable[Event], state: State) -> None:
    """Every event tells what was, as the client has it, and something that is different now."""
    for event in events:
        key = (event.object_type, event.object_id)
        pairs = {name: pair for name, pair in event.changes.items() if isinstance(pair, list)}
        assert pairs.keys() <= set(columns(event.object_type))
        assert (key in state) == (event.type not in CREATED), event
        if event.type in UPDATED:
            assert pairs.keys() - {"updated_at"}, f"nothing changed: {event}"
        for name, (old, new) in pairs.items():
            assert old == (state[key].get(name) if key in state else None), (event, name)
            assert old != new or old == OMITTED, (event, name)
        assert event.type not in DELETED or {new for _old, new in pairs.values()} == {None}
        state = fold(state, [event], event.project_id)


@contextmanager
def undone() -> Iterator[None]:
    """A transaction for one example, such as a `TestCase` opens: inside, streams are numbered."""
    block: Any = transaction.atomic()
    block._from_testcase = True
    with block:
        yield
        connection.check_constraints()
        transaction.set_rollback(True)


SEQUENCES = st.lists(
    st.tuples(st.sampled_from(list(WRITES)), st.integers(0, 2**16)), min_size=STEPS - STEPS // 5, max_size=STEPS
)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=not LONG,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    print_blob=True,
)
@given(sequence=SEQUENCES)
def test_state_folded_from_the_events_equals_the_rows(sequence: list[tuple[str, int]]) -> None:
    with undone():
        host, client = Host(), Client()
        host.found()
        client.catch_up(exact=False)
        for name, seed in sequence:
            host.do(name, seed)
            client.catch_up(exact=name not in SEVERAL)
        client.check_rebuilt()


@pytest.fixture
def receive() -> Iterator[Callable[[ModelSignal, Any, Callable[..., Any]], None]]:
    """`receive(signal, model, reaction)`: a host's receiver, which reacts to the first signal it gets."""
    connected = []

    def connect(signal: ModelSignal, model: Any, reaction: Callable[..., Any]) -> None:
        def receiver(instance: Any, **kwargs: Any) -> None:
            if signal.disconnect(receiver, sender=model):
                reaction(instance)

        signal.connect(receiver, sender=model)
        connected.append((signal, receiver, model))

    yield connect
    for signal, receiver, model in connected:
        signal.disconnect(receiver, sender=model)


def comment_on(task: Any) -> None:
    Comment.objects.create(task=task, author="A robot", content="Welcome.")


def add_a_task(project: Any) -> None:
    project.tasks.create(title="Read this first")


def retitle(task: Any) -> None:
    Task.objects.filter(pk=task.pk).update(title="Retitled")


def save_again(task: Any) -> None:
    task.title = "Saved again"
    task.save()


def finish_and_save(task: Any) -> None:
    task.status = "completed"
    task.save(update_fields=["status"])


def rename_its_project(task: Any) -> None:
    Project.objects.filter(pk=task.project_id).update(name="Renamed")


@pytest.mark.parametrize("operation", ["create", "save", "delete"])
@pytest.mark.parametrize(
    ("signal", "model", "reaction"),
    [
        (post_save, Project, add_a_task),
        (post_save, Task, comment_on),
        (post_save, Task, retitle),
        (post_save, Task, save_again),
        (post_save, Task, finish_and_save),
        (pre_save, Task, retitle),
        (pre_save, Task, rename_its_project),
        (pre_delete, Task, comment_on),
        (post_delete, Task, rename_its_project),
    ],
    ids=lambda value: (
        getattr(value, "__name__", None)
        or {id(pre_save): "pre_save", id(post_save): "post_save", id(pre_delete): "pre_delete"}.get(id(value))
    ),
)
def test_what_a_receiver_writes_is_told_in_the_order_of_the_writes(
    receive: Any, signal: ModelSignal, model: Any, reaction: Any, operation: str
) -> None:
    if operation == "create":
        receive(signal, model, reaction)
    project = Project.objects.create(name="North")
    task = project.tasks.create(title="Dig")
    if operation != "create":
        receive(signal, model, reaction)
        task.title = "Fill"
        task.save()
        project.name = "South"
        project.save()
    if operation == "delete":
        task.delete()
    events = feed.read(project.pk).events
    check_truth(events, {})
    assert fold({}, events, project.pk) == present(project.pk)


def test_a_fixture_with_children_before_their_parents(tmp_path: Any) -> None:
    task = factories.make_task()
    comment = factories.make_comment(task)
    key = task.project_id
    fixture = tmp_path / "upside_down.json"
    fixture.write_text(serializers.serialize("json", [comment, task]))
    task.delete()
    call_command("loaddata", str(fixture), verbosity=0)
    state = fold({}, feed.read(key).events, key)
    assert state == present(key)
    assert ("comment", str(comment.pk)) in state


def test_no_write_has_become_one_that_never_writes() -> None:
    harmless = {"nothing", "save_unchanged", "remember", "save_stale", "create_twice", "api_refusals", "roll_back"}
    effective = set()
    for name in WRITES.keys() - harmless:
        with undone():
            host = Host()
            host.found()
            count = Event.objects.count()
            for seed in range(30):
                host.do(name, seed)
                if Event.objects.count() > count:
                    effective.add(name)
                    break
    assert effective == WRITES.keys() - harmless
