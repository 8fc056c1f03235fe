"""Any JSON in any field of any write is taken or refused, never an error of ours; what is taken reads as answered."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.support import as_floats, new_task, send, shown
from tests.factories import make_comment, make_member, make_project, make_task, make_user

pytestmark = pytest.mark.django_db

EXPECTED = {200, 201, 400, 403, 404, 409}

# With lone surrogates and NUL, which hypothesis leaves out of text unless asked.
anything_typed = st.text(st.characters(exclude_categories=()), max_size=300)
half_right = st.sampled_from(
    [
        *("", " ", "1", "-1", "007", "1_0", "\u0663", "null", "true", "NaN", "9" * 30, "x" * 256, "a\x00b", "\ud800"),
        *("2030-05-01T12:00:00Z", "2030-05-01", "0001-01-01T00:00:00+23:00", "9999-12-31T23:59:59-23:00", "12:00"),
        *(
            "pending",
            "completed",
            "high",
            "none",
            "viewer",
            "member",
            "manager",
            "owner",
            "Europe/Berlin",
            "UTC",
            "GMT",
        ),
        *("00000000-0000-0000-0000-000000000000", "owner", "owner@example.org"),
    ]
)
numbers = st.integers() | st.integers(-3, 30) | st.floats() | st.sampled_from([2**31, 2**63 - 1, 2**63, -(2**63) - 1])
scalars = st.none() | st.booleans() | numbers | anything_typed | half_right
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(anything_typed | half_right, inner, max_size=4),
    max_leaves=12,
)

FIELDS = {
    "projects": ["name", "description", "time_zone", "metadata"],
    "tasks": ["project", "title", "description", "status", "priority", "due_date", "assignee", "metadata"],
    "comments": ["author", "content"],
    "members": ["user", "role"],
}


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize("kind", FIELDS)
def test_random_values(api, project, kind, method):
    task = make_task(project)
    comment, member = make_comment(task), make_member(project)
    path, body, own = {
        "projects": ("/projects/", {"name": "n"}, lambda: make_project(project.created_by)),
        "tasks": ("/tasks/", new_task(project), lambda: task),
        "comments": (f"/tasks/{task.pk}/comments/", {"content": "c"}, lambda: comment),
        "members": (f"/projects/{project.pk}/members/", {"user": shown(make_user()), "role": "viewer"}, lambda: member),
    }[kind]
    objects = "/comments/" if kind == "comments" else path
    if method == "PATCH":
        path, body = f"{objects}{own().pk}/", {}
    some_fields = st.dictionaries(st.sampled_from(FIELDS[kind]), anything, min_size=1)

    @settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(some_fields)
    def check(fields):
        response = send(api, method, path, {**body, **fields})
        assert response.status_code in EXPECTED, response.content[:300]
        answer = response.json()
        if response.status_code < 300:
            assert api.get(f"{objects}{answer['id']}/").json() == answer
            sent = json.loads(json.dumps(fields))
            for name in {"description", "content", "metadata", "status", "priority", "role"} & sent.keys():
                assert as_floats(answer[name]) == as_floats(sent[name]), "nothing is guessed or cut"
        elif response.status_code == 400:
            assert set(answer) <= {*FIELDS[kind], "detail"}

    check()


@pytest.mark.parametrize("path", ["/projects/", "/tasks/"])
def test_random_queries(api, project, path):
    """Every parameter of a list, with anything in it."""
    make_task(project)
    names = ["project", "status", "assignee", "priority", "due_before", "due_after", "overdue", "search", "ordering"]
    names += ["cursor", "page_size", "count", "colour"]
    values = st.text(max_size=50) | half_right.filter(lambda text: "\ud800" not in text) | st.integers().map(str)

    @settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.dictionaries(st.sampled_from(names), values, min_size=1, max_size=3))
    def check(query):
        response = api.get(path, query)
        assert response.status_code in {200, 400}, response.content[:300]
        if response.status_code == 400:
            assert set(response.json()) <= query.keys() - {"colour"}

    check()
