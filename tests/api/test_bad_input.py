"""Bad input is 400 with the field named, never 500, nothing written, the same on every database.

Bodies are sent as ASCII JSON, so NULs and lone surrogates travel as escapes, which is how they get past a decoder.
"""

import json

import pytest

from tests.api.support import DUE, as_floats, assert_refused, everything_stored, new_task, send, shown
from tests.factories import make_comment, make_member, make_project, make_task, make_user

pytestmark = pytest.mark.django_db

UNSTORABLE = {"nul": "a\x00b", "high surrogate": "a\ud800", "low surrogate": "\udfffb", "swapped pair": "\ude00\ud83d"}
NO_TEXT = {"null": None, "true": True, "false": False, "list": ["x"], "object": {"x": 1}}
NUMBERS = {"integer": 5, "float": 1.5, "zero": 0, "beyond 64 bits": 2**70, "many digits": 10**300}
NO_KEY = {
    **{name: value for name, value in NO_TEXT.items() if name != "null"},
    "float": 1.5,
    "whole float": 1.0,
    "zero": 0,
    "negative": -1,
    "beyond 32 bits": 2**31,
    "beyond 64 bits": 2**63,
    "far beyond": 2**70,
    "many digits": 10**300,
    "as text": str(2**70),
    "many digits as text": "9" * 5000,
    "words": "x",
    "empty": "",
    "blank": " ",
    "underscore": "1_0",
    "leading zeros": "007",
    "other digits": "\u0663",
    "infinity": "Infinity",
}
NO_INSTANT = {
    **NO_TEXT,
    **NUMBERS,
    **UNSTORABLE,
    "words": "tomorrow",
    "empty": "",
    "no such day": "2030-02-30T00:00:00Z",
    "no such month": "2030-13-01T00:00:00Z",
    "no such hour": "2030-05-01T25:00:00Z",
    "no such offset": "2030-05-01T12:00:00+99:00",
    "year 0": "0000-01-01T00:00:00Z",
    "year 1": "0001-01-01T00:00:00Z",
    "before year 1 in UTC": "0001-01-01T00:00:00+23:59",
    "year 1899": "1899-12-31T23:59:59Z",
    "year 9999": "9999-12-31T23:59:59Z",
    "after year 9999 in UTC": "9999-12-31T23:59:59-23:59",
    "year 10000": "10000-01-01T00:00:00Z",
    "negative year": "-2030-05-01T00:00:00Z",
    "digits": "9" * 5000,
    "timestamp": "1893456000",
}
NO_CHOICE = {**NO_TEXT, **NUMBERS, **UNSTORABLE, "words": "lost", "empty": "", "case": "PENDING", "long": "x" * 70_000}
NO_METADATA = {
    **{name: value for name, value in NO_TEXT.items() if name != "object"},
    **NUMBERS,
    "text": "{}",
    "list of objects": [{}],
    "too large": {"x": "y" * 16_384},
    "too many": {str(n): n for n in range(5000)},
    **{f"{name} in a value": {"x": text} for name, text in UNSTORABLE.items()},
    **{f"{name} in a key": {text: "x"} for name, text in UNSTORABLE.items()},
    **{f"{name} deep in": {"x": [1, {"y": ["z", {text: text}]}]} for name, text in UNSTORABLE.items()},
}
LINE = {**NO_TEXT, **UNSTORABLE, "empty": "", "blank": " \t\n", "long": "x" * 256, "long outside ASCII": "é" * 256}
TEXT = {**NO_TEXT, **UNSTORABLE, "long": "x" * 65_537}

FIELDS = {
    "projects": {
        "name": LINE,
        "description": TEXT,
        "time_zone": {
            **LINE,
            "unknown": "Mars/Olympus",
            "case": "europe/BERLIN",
            "path": "../../etc/passwd",
            "absolute path": "/etc/localtime",
            "folder": "Europe",
            "offset": "+02:00",
        },
        "metadata": NO_METADATA,
    },
    "tasks": {
        "project": {**NO_KEY, "null": None},
        "title": LINE,
        "description": TEXT,
        "status": NO_CHOICE,
        "priority": NO_CHOICE,
        "due_date": NO_INSTANT,
        "assignee": {**NO_KEY, **UNSTORABLE},
        "metadata": NO_METADATA,
    },
    "comments": {"author": LINE, "content": {**TEXT, "empty": ""}},
    "members": {"user": {**NO_KEY, **UNSTORABLE, "null": None}, "role": NO_CHOICE},
}
CASES = [
    pytest.param(kind, field, value, id=f"{kind} {field}: {name}")
    for kind, fields in FIELDS.items()
    for field, values in fields.items()
    for name, value in values.items()
]


class Target:
    """Where objects of a kind are made and edited, and the least body that makes one."""

    def __init__(self, kind, project):
        if kind == "projects":
            self.collection, self.own, self.body = "/projects/", f"/projects/{project.pk}/", {"name": "Mars base"}
        elif kind == "tasks":
            self.collection, self.own = "/tasks/", f"/tasks/{make_task(project).pk}/"
            self.body = new_task(project)
        elif kind == "comments":
            comment = make_comment(make_task(project))
            self.collection, self.own = f"/tasks/{comment.task.pk}/comments/", f"/comments/{comment.pk}/"
            self.body = {"content": "Deeper."}
        else:
            self.collection = f"/projects/{project.pk}/members/"
            self.own = f"{self.collection}{make_member(project).pk}/"
            self.body = {"user": shown(make_user()), "role": "viewer"}

    def writes(self, kind, field=None):
        """Method and path of every way to write (the user of a membership is only said on adding)."""
        yield "POST", self.collection
        if (kind, field) != ("members", "user"):
            yield "PATCH", self.own
        if kind != "members":
            yield "PUT", self.own


@pytest.fixture
def target(request, project):
    return Target(request.getfixturevalue("kind"), project)


@pytest.mark.parametrize(("kind", "field", "value"), CASES)
def test_the_field_is_named(api, target, kind, field, value):
    before = everything_stored()
    for method, path in target.writes(kind, field):
        body = {field: value} if method == "PATCH" else {**target.body, field: value}
        assert_refused(send(api, method, path, body), field)
    assert everything_stored() == before


@pytest.mark.parametrize("number", NUMBERS.values(), ids=NUMBERS)
@pytest.mark.parametrize(
    ("kind", "field"),
    [
        *(("projects", "name"), ("projects", "description"), ("projects", "time_zone"), ("tasks", "title")),
        *(("tasks", "description"), ("comments", "author"), ("comments", "content")),
    ],
)
def test_a_number_is_no_text(api, target, kind, field, number):
    for method, path in target.writes(kind):
        assert_refused(send(api, method, path, {**target.body, field: number}), field)


def test_every_wrong_field_is_named_at_once(api, project):
    body = {name: [] for name in FIELDS["tasks"]}
    assert_refused(send(api, "POST", "/tasks/", body), *body)
    body = dict.fromkeys(FIELDS["tasks"], "\x00")
    assert_refused(send(api, "POST", "/tasks/", body), *body)


@pytest.mark.parametrize(
    ("field", "longest"), [("name", 255), ("description", 65_536), ("time_zone", None), ("metadata", None)]
)
def test_the_longest_that_fits(api, field, longest):
    value = {
        "time_zone": "America/Argentina/ComodRivadavia",
        "metadata": {"x": "y" * (16_384 - len('{"x": ""}'))},
    }.get(field, "é" * (longest or 0))
    response = send(api, "POST", "/projects/", {"name": "Moon base", field: value})
    assert response.status_code == 201, response.content
    assert api.get(f"/projects/{response.json()['id']}/").json()[field] == value


@pytest.mark.parametrize(
    "text", ["\x01\x07\x1b\x7f", "\u2028\u2029\ufeff", "\U0010ffff\ufffe\uffff", "e\u0301", "\u202e🚀"]
)
def test_odd_text_that_is_text_reads_as_it_was_written(api, project, text):
    """Only what no database can keep is refused."""
    body = new_task(project, title=f"x{text}x", description=text, metadata={text: [text]})
    response = send(api, "POST", "/tasks/", body)
    assert response.status_code == 201, response.content
    row = api.get(f"/tasks/{response.json()['id']}/").json()
    assert (row["title"], row["description"], row["metadata"]) == (f"x{text}x", text, {text: [text]})
    assert api.get("/tasks/", {"search": text}).status_code == 200


@pytest.mark.parametrize("number", [2**63, -(2**64), 10**300, 0.1, 1e308, 5e-324, -0.0, 12345678901234567890.5])
def test_numbers_in_metadata_keep_their_value(api, number):
    response = send(api, "POST", "/projects/", {"name": "Moon base", "metadata": {"n": number}})
    assert response.status_code == 201, response.content
    stored = api.get(f"/projects/{response.json()['id']}/").json()["metadata"]
    assert as_floats(stored) == as_floats({"n": number})
    assert isinstance(number, float) or stored == {"n": number}, "an integer to its last digit"


class TestBodies:
    """What is sent is not what a body is."""

    @pytest.fixture(params=FIELDS)
    def kind(self, request):
        return request.param

    @pytest.mark.parametrize(
        "raw",
        [
            *(b"[]", b"[{}]", b'"x"', b"1", b"1.5", b"null", b"true", b'"\\ud800"', b'["\\u0000"]'),
            *(b"{", b"}", b'{"name"', b"{'name': 1}", b'{"name": "x",}', b"name=x", b"{}{}", b"//", b"\x00", b" "),
            *(
                b'{"name": NaN}',
                b'{"name": Infinity}',
                b'{"metadata": {"x": -Infinity}}',
                b'{"metadata": {"x": 1e400}}',
            ),
            *(b'{"name": "\xff"}', b'{"name": "\xed\xa0\x80"}', b'{"name": "\xc0\x80"}', b'{"name": "a\x00b"}'),
            *('{"name": "x"}'.encode("utf-16"), '{"name": "x"}'.encode("utf-32"), b'\xef\xbb\xbf{"name": "x"}'),
            *(
                b'{"name": ' + b"9" * 5000 + b"}",
                b'{"name": 1e' + b"9" * 5000 + b"}",
                b'{"\\u0000": 1}',
                b'{"\\ud800": 1}',
            ),
        ],
        ids=lambda raw: ascii(raw[:30]),
    )
    def test_that_are_no_json_object(self, api, target, kind, raw):
        before = everything_stored()
        for method, path in target.writes(kind):
            response = send(api, method, path, raw)
            assert response.status_code == 400, response.content
            assert set(response.json()) & {"detail", "non_field_errors"}
        assert everything_stored() == before

    @pytest.mark.parametrize("escape", ["", "\\u0041"])
    @pytest.mark.parametrize("depth", [60, 330, 600, 900, 990, 100_000])
    def test_that_are_deeply_nested(self, api, target, kind, depth, escape):
        """Each is taken or refused; what is taken can be read, whatever reads it."""
        for opening, closing in (("[", "]"), ('{"x":', "}")):
            nested = opening * depth + f'"{escape}"' + closing * depth
            for field in ("metadata", "description", "role", "colour"):
                raw = json.dumps(target.body)[:-1] + f', "{field}": {{"x": {nested}}}}}'
                response = send(api, "POST", target.collection, raw.encode())
                assert response.status_code in {201, 400}, (field, response.content[:100])
                if response.status_code == 201:
                    assert api.get(f"{target.collection}{response.json()['id']}/").json() == response.json()
                    assert api.get(target.collection).status_code == 200
                    assert send(api, "PATCH", f"{target.collection}{response.json()['id']}/", {}).status_code == 200

    def test_that_are_empty(self, api, target, kind):
        """Nothing sent is nothing said: too little for a new object, no change for an old one."""
        before = everything_stored()
        response = send(api, "POST", target.collection, b"")
        assert_refused(response, *sorted(target.body))
        response = send(api, "PATCH", target.own, b"")
        assert response.status_code == 200
        changed = everything_stored()
        for rows in (*before.values(), *changed.values()):
            for row in rows:
                del row["updated_at"]
        assert changed == before

    @pytest.mark.parametrize(
        "content_type",
        [
            *("text/plain", "text/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "x"),
            *("application/xml", "application/merge-patch+json", "application", "application/json/x", "/", "\x00"),
        ],
    )
    def test_that_are_no_json(self, api, target, kind, content_type):
        for method, path in target.writes(kind):
            response = send(api, method, path, target.body, content_type=content_type)
            assert response.status_code == 415
            assert set(response.json()) == {"detail"}

    @pytest.mark.parametrize(
        "content_type", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/json;x"]
    )
    def test_that_are_json_by_another_name(self, api, target, kind, content_type):
        assert send(api, "POST", target.collection, target.body, content_type=content_type).status_code == 201

    def test_that_are_too_large(self, api, target, kind, settings):
        before = everything_stored()
        large = json.dumps(target.body).encode().ljust(1024 * 1024 + 1)
        for method, path in target.writes(kind):
            response = send(api, method, path, large)
            assert response.status_code == 413
            assert set(response.json()) == {"detail"}
        assert everything_stored() == before
        assert send(api, "POST", target.collection, large[:-1]).status_code == 201, "the limit itself is within it"

    def test_that_say_something_twice(self, api, project):
        """JSON leaves open what that means; the last one counts, as in nearly every parser."""
        raw = b'{"name": "first", "name": "last"}'
        assert send(api, "POST", "/projects/", raw).json()["name"] == "last"


class TestPaths:
    """An id that is none is 404, like one that nobody has."""

    @pytest.mark.parametrize(
        "key",
        [
            *(
                "x",
                "null",
                "0",
                "-1",
                "1.0",
                "1e3",
                "1_0",
                "\u0663",
                "+{}",
                "0{}",
                "00{}",
                "{} ",
                " {}",
                "{}.0",
                "{},{}",
            ),
            *("{}\x00", "\x00", "%", "..", "{};x", "\ufffd", "é", "'", '"', "<b>", "NaN", "None", "True"),
            *("2147483648", "9223372036854775807", "9223372036854775808", "9" * 30, "9" * 5000, "x" * 5000),
            *("00000000-0000-0000-0000-000000000001",),
        ],
        ids=lambda key: ascii(key[:40]),
    )
    def test_that_lead_nowhere(self, api, project, key):
        task = make_task(project)
        comment, member = make_comment(task), make_member(project)
        for path, pk in {
            "/projects/{}/": project.pk,
            "/tasks/{}/": task.pk,
            "/comments/{}/": comment.pk,
            "/tasks/{}/comments/": task.pk,
            "/projects/{}/members/": project.pk,
            f"/projects/{project.pk}/members/{{}}/": member.pk,
            f"/projects/{{}}/members/{member.pk}/": project.pk,
        }.items():
            url = path.replace("{}", key.replace("{}", str(pk)).replace("%", "%25"))
            assert api.get(url).status_code == 404, url
            assert api.delete(url).status_code in {404, 405}
        member.refresh_from_db()
        comment.refresh_from_db()

    def test_that_are_no_text(self, api, project):
        for path in ("/projects/%FF/", "/tasks/%ED%A0%80/", "/comments/%C0%80/", "/projects//", "//", "/projects/1/2/"):
            assert api.get(path).status_code == 404


def test_keys_as_text_are_keys_too(api, project, owner):
    """JSON of some languages cannot hold a 64-bit number."""
    other = make_project(owner)
    response = send(api, "POST", "/tasks/", {**new_task(project), "project": str(other.pk), "assignee": str(owner.pk)})
    assert response.status_code == 201, response.content
    assert (response.json()["project"], response.json()["assignee"]) == (other.pk, shown(owner))
    assert response.json()["due_date"] == DUE
