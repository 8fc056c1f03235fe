"""The bytes of a list are those that the REST framework makes of instances by its own serializer and renderer.

Floats may be spelt otherwise (`1e+30` and `1e30` are one number), so these are compared as they are read.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
from typing import Any
from unittest.mock import patch
from urllib.parse import urlencode

import pytest
from django.db import DEFAULT_DB_ALIAS, connections
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.mixins import ListModelMixin
from rest_framework.renderers import JSONRenderer
from rest_framework.test import APIClient

from django_pm.api import rows
from django_pm.api.base import ObjectViewSet
from django_pm.api.renderers import FastJSONRenderer
from django_pm.api.serializers import CommentSerializer, MembershipSerializer, ProjectSerializer, TaskSerializer
from django_pm.models import Comment, Membership, Priority, Project, Role, Status, Task
from tests.events.workers import LONG
from tests.factories import make_member, make_project, make_task, make_user

pytestmark = pytest.mark.django_db

TEXTS = [
    "Dig",
    "",
    " two  spaces ",
    "é ß 漢字 עברית",
    "👩‍🚀🛰 🇺🇳",
    "line\u2028and paragraph\u2029separator",
    "\u2028",
    "quotes \" and ' and `",
    "back\\slash \\n \\u0041 \\\\",
    "<script>&amp;</script> </",
    "".join(map(chr, range(1, 32))) + "\x7f\x80\x85\x9f",
    "\ufeff\ufffd\u200b\u202e",
    "null",
    "1e5",
]
LONG_TEXTS = [*TEXTS, "x" * 9_000, "é\u2028" * 4_000]
UTC = dt.UTC
TIMES = [
    dt.datetime(2030, 5, 1, 12, tzinfo=UTC),
    dt.datetime(2030, 5, 1, 12, 0, 0, 1, tzinfo=UTC),
    dt.datetime(2030, 5, 1, 12, 0, 0, 100_000, tzinfo=UTC),
    dt.datetime(1900, 1, 1, tzinfo=UTC),
    dt.datetime(987, 6, 5, 4, 3, 2, 10, tzinfo=UTC),
    dt.datetime(9899, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    dt.datetime(2026, 3, 29, 1, 0, tzinfo=UTC),  # where clocks go forward in Europe, and back
    dt.datetime(2026, 10, 25, 0, 30, tzinfo=UTC),
    dt.datetime(2026, 10, 25, 1, 30, tzinfo=UTC),
    dt.datetime(2030, 5, 1, 14, 30, tzinfo=dt.timezone(dt.timedelta(hours=5, minutes=45))),
]
METADATA: list[Any] = [
    {},
    {"key": [1, None, True, False, {"ü": "\u2028"}]},
    {"big": [2**63 - 1, -(2**63), 2**64 - 1]},
    {"larger": {"still": [2**64, -(2**70), 10**30]}},
    {"floats": [0.1, 2.5, 1e22, 1e-7, 1.5e300, -3.0, 100.0]},
    {"": "", "\u2029": {"\\": '"'}},
    {"deep": [[[[[[[[{"a": []}]]]]]]]]},
    {"long": "z" * 10_000},
]


def plainly(client: APIClient, url: str) -> Any:
    with (
        patch.object(ObjectViewSet, "list", ListModelMixin.list),
        patch.object(FastJSONRenderer, "render", JSONRenderer.render),
    ):
        return client.get(url)


def assert_same(client: APIClient, url: str) -> Any:
    answer, plain = client.get(url), plainly(client, url)
    assert answer.status_code == plain.status_code
    if answer.content != plain.content:  # a float that is spelt otherwise
        assert json.loads(answer.content) == json.loads(plain.content), url
        found, expected = (json.dumps(json.loads(a.content), ensure_ascii=False) for a in (answer, plain))
        assert found == expected, url
        assert b'"floats"' in plain.content or b'"f"' in plain.content, url
    for name in ("Content-Type", "Vary", "Allow"):
        assert answer.headers.get(name) == plain.headers.get(name)
    return plain


class World:
    """Two projects with rows that have every kind of value."""

    def __init__(self) -> None:
        self.owner = make_user("owner")
        self.other = make_user()
        self.projects = [
            make_project(self.owner, name=text or "-", description=long, metadata=metadata, time_zone="Asia/Kathmandu")
            for text, long, metadata in zip(TEXTS, LONG_TEXTS[::-1], itertools.cycle(METADATA), strict=False)
        ]
        self.project = self.projects[0]
        for number, time in enumerate(TIMES):
            rows = Project.objects.filter(pk=self.projects[number].pk)
            rows.update(created_at=time, updated_at=TIMES[-number], created_by=[self.owner, None][number % 2])
        people = itertools.cycle([self.owner, None, self.other])
        Task.objects.bulk_create(
            Task(
                project=self.project,
                title=TEXTS[number % len(TEXTS)],
                description=LONG_TEXTS[-number % len(LONG_TEXTS)] if number < 2 * len(LONG_TEXTS) else "",
                status=list(Status)[number % 3],
                priority=list(Priority)[number % 5],
                due_date=[None, *TIMES][number % (len(TIMES) + 1)],
                assignee=next(people),
                created_by=next(people),
                metadata=METADATA[number % len(METADATA)],
            )
            for number in range(40)
        )
        self.tasks = list(Task.objects.order_by("pk"))
        for number, task in enumerate(self.tasks):
            stamps = {"created_at": TIMES[number % len(TIMES)], "updated_at": TIMES[-number % len(TIMES)]}
            if task.status == Status.COMPLETED:
                stamps["completed_at"] = TIMES[number % 7]
            Task.objects.filter(pk=task.pk).update(**stamps)
        Comment.objects.bulk_create(
            Comment(task=self.tasks[0], author=text, content=long, user=next(people))
            for text, long in zip(itertools.cycle(TEXTS), LONG_TEXTS, strict=False)
        )
        for comment, time in zip(Comment.objects.order_by("pk"), itertools.cycle(TIMES), strict=False):
            Comment.objects.filter(pk=comment.pk).update(created_at=time, updated_at=time)
        for role in Role:
            make_member(self.project, role=role)
        self.client = APIClient()
        self.client.force_authenticate(self.owner)

    def urls(self) -> list[str]:
        task_columns = ("created_at", "updated_at", "due_date", "priority", "title")
        queries: dict[str, list[dict[str, Any]]] = {
            "/tasks/": [
                *({"ordering": sign + name, "page_size": 7} for name in task_columns for sign in ("", "-")),
                *({"search": word} for word in ("dig", "é", "\u2028", "👩", '"', "%", "\\", "漢字")),
                *({"status": name, "count": "true"} for name in Status.values),
                *({"priority": name, "page_size": 2} for name in Priority.values),
                {"assignee": self.owner.pk},
                {"assignee": self.other.pk, "ordering": "-priority"},
                {"due_before": "2026-10-25T01:00:00Z"},
                {"due_after": "2026-10-25T02:30:00+02:00", "count": "true"},
                {"overdue": "true"},
                {"overdue": "false", "page_size": 200},
                {"project": self.project.pk, "search": "x", "page_size": 1, "count": "true"},
                {"colour": "r&d ü\u2028"},
                {"page_size": 0},
                {"cursor": "nonsense"},
            ],
            "/projects/": [
                {},
                *({"ordering": sign + name, "page_size": 3} for name in task_columns[:2] for sign in ("", "-")),
                *({"ordering": sign + "name", "count": "true"} for sign in ("", "-")),
                {"search": "é"},
            ],
            f"/tasks/{self.tasks[0].pk}/comments/": [
                {"count": "true"},
                {"ordering": "-created_at", "page_size": 4},
                {"ordering": "updated_at", "page_size": 4},
            ],
            f"/projects/{self.project.pk}/members/": [{}, {"ordering": "-id", "page_size": 2, "count": "true"}],
        }
        return [f"{path}?{urlencode(query)}" for path, several in queries.items() for query in several]

    def compare(self) -> None:
        """Each list, and the pages next to the first."""
        for url in self.urls():
            body = assert_same(self.client, url).json()
            for _page in range(2):
                if body.get("next"):
                    body = assert_same(self.client, body["next"]).json()
            if body.get("previous"):
                assert_same(self.client, body["previous"])


@pytest.fixture
def in_zone(request):
    """The connection keeps or gives times in another zone, as `DATABASES` may say."""
    itself = connections[DEFAULT_DB_ALIAS]  # `connection` is a proxy, with attributes of its own
    before = itself.settings_dict["TIME_ZONE"]

    def change(name: str | None) -> None:
        itself.settings_dict["TIME_ZONE"] = name
        for attribute in ("timezone", "timezone_name"):
            vars(itself).pop(attribute, None)
        itself.ensure_timezone()

    yield change
    change(before)


@pytest.mark.parametrize("site", ["UTC", "Europe/Berlin"])
def test_every_list(settings, site):
    settings.TIME_ZONE = site
    World().compare()


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/St_Johns", "Etc/UTC"])
def test_a_database_with_a_time_zone(in_zone, zone):
    in_zone(zone)
    world = World()
    world.compare()
    if zone == "Europe/Berlin":
        assert b"+0" not in world.client.get("/tasks/").content


def test_rows_are_read_as_values():
    """What is compared above is not the same code twice."""
    world = World()
    task = world.tasks[0]
    for cls in (Task, Project, Comment, Membership):
        assert rows.columns_of(serializer_of(cls)([], many=True), listed(cls)) is not None, cls
    for path, model in (("/tasks/", Task), ("/projects/", Project)):
        with patch.object(model, "from_db", side_effect=AssertionError):
            assert world.client.get(path).status_code == 200
    with patch.object(FastJSONRenderer, "_slowly", side_effect=AssertionError):
        for path in (f"/tasks/{task.pk}/comments/", f"/projects/{world.project.pk}/members/"):
            assert world.client.get(path).status_code == 200


def serializer_of(model: type) -> Any:
    found = {s.Meta.model: s for s in (TaskSerializer, ProjectSerializer, CommentSerializer, MembershipSerializer)}
    return found[model]


def listed(model: Any) -> Any:
    return model.objects.with_counts() if model in {Task, Project} else model.objects.all()


class TestBigKeys:
    """`COERCE_BIGINT_TO_STRING` and a field's own `coerce_to_string`, from REST framework 3.17 on."""

    @pytest.fixture(autouse=True)
    def _where_there_are_such(self):
        if rows.BigIntegerField is serializer_of(Task)().fields["comment_count"].__class__:
            pytest.skip("this REST framework represents all integers alike")

    def test_the_setting(self, settings, monkeypatch):
        monkeypatch.setattr(rows, "_known", type(rows._known)())
        settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "COERCE_BIGINT_TO_STRING": True}
        owner = make_user()
        make_task(make_project(owner))
        client = APIClient()
        client.force_authenticate(owner)
        assert isinstance(assert_same(client, "/tasks/").json()["results"][0]["id"], str)
        assert isinstance(client.get("/tasks/").json()["results"][0]["id"], str)

    def test_a_field(self):
        class Texts(TaskSerializer):
            id = rows.BigIntegerField(coerce_to_string=True)

        assert rows.columns_of(Texts([], many=True), listed(Task)) is None


CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\x00")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(CHARACTERS, max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(CHARACTERS, max_size=8), inner, max_size=3),
    max_leaves=8,
)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
NAIVE = (dt.datetime(2, 1, 1), dt.datetime(9998, 1, 1))  # noqa: DTZ001 (as hypothesis wants them)
INSTANTS = st.datetimes(*NAIVE, timezones=st.just(UTC))


@settings(
    max_examples=2_000 if LONG else 40,
    deadline=None,
    derandomize=not LONG,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    title=st.text(CHARACTERS, max_size=255),
    description=st.text(CHARACTERS),
    metadata=st.dictionaries(st.text(CHARACTERS, max_size=8), JSON, max_size=4),
    number=st.none() | FLOATS,
    times=st.tuples(INSTANTS, INSTANTS, st.none() | INSTANTS),
)
def test_any_values(db, title, description, metadata, number, times):
    owner = make_user()
    task = make_task(make_project(owner, name=title or "-", description=description, metadata=metadata))
    if number is not None:
        metadata = {**metadata, "f": number}
    created_at, updated_at, due_date = times
    Task.objects.filter(pk=task.pk).update(
        title=title,
        description=description,
        metadata=metadata,
        created_at=created_at,
        updated_at=updated_at,
        due_date=due_date,
    )
    client = APIClient()
    client.force_authenticate(owner)
    for url in ("/tasks/", "/tasks/?ordering=title&page_size=1", "/tasks/?ordering=due_date", "/projects/"):
        assert_same(client, url)
