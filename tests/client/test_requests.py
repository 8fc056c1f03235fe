"""What is sent where, what is made of the answers, and what is kept to oneself."""

import copy
import datetime as dt
import inspect
import pickle
import subprocess
import sys

import httpx
import pytest

from django_pm import client as room
from django_pm.client import (
    Changed,
    Client,
    Conflict,
    Invalid,
    KeyReused,
    NotAllowed,
    NotFound,
    NotSignedIn,
    PmError,
    Reset,
    ServerError,
    Throttled,
    UnexpectedAnswer,
)
from tests.client import answers
from tests.client.answers import body, in_turn, ok, refusal

UTC = dt.UTC


def test_what_is_written_is_sent_as_json(asking):
    handler, got = in_turn(ok(answers.task(), 201))
    due = dt.datetime(2031, 6, 1, 12, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    asking(handler).do(lambda pm: pm.tasks.create(project=7, title="Dig", due_date=due, metadata={"a": [1]}))
    assert str(got[0].url) == "https://site.example/api/tasks/"
    assert got[0].headers["Content-Type"] == "application/json"
    assert got[0].headers["Authorization"] == "Bearer pm_secret"
    assert body(got[0]) == {
        "project": 7,
        "title": "Dig",
        "due_date": "2031-06-01T12:00:00+02:00",
        "metadata": {"a": [1]},
    }


def test_filters_are_sent_as_the_api_reads_them(asking):
    handler, got = in_turn(ok({"next": None, "results": []}))
    after = dt.datetime(2031, 6, 1, tzinfo=UTC)
    some = {"status": ["pending", "in_progress"], "overdue": True, "due_after": after}
    assert asking(handler).do(lambda pm: pm.tasks.list(project=7, **some, ordering="-due_date")) == []
    assert got[0].url.params.multi_items() == [
        ("ordering", "-due_date"),
        ("project", "7"),
        ("status", "pending"),
        ("status", "in_progress"),
        ("overdue", "true"),
        ("due_after", "2031-06-01T00:00:00+00:00"),
        ("page_size", "200"),
    ]


def test_a_time_that_could_be_anywhere_is_refused(asking):
    handler, got = in_turn()
    naive = dt.datetime(2031, 6, 1)  # noqa: DTZ001
    with pytest.raises(ValueError, match="aware"):
        asking(handler).do(lambda pm: pm.tasks.create(project=7, title="Dig", due_date=naive))
    assert got == []


@pytest.mark.parametrize("key", ["", "..", ".", None])
def test_what_is_no_key_is_refused(asking, key):
    with pytest.raises(ValueError, match="No address"):
        asking(in_turn()[0]).do(lambda pm: pm.tasks.get(key))


def test_a_key_stays_one_segment_of_the_path(asking):
    handler, got = in_turn(refusal(404))
    with pytest.raises(NotFound):
        asking(handler).do(lambda pm: pm.tasks.delete("1/../../x?y#z"))
    assert got[0].url.raw_path == b"/api/tasks/1%2F..%2F..%2Fx%3Fy%23z/"


def test_objects_are_typed_frozen_and_tell_what_is_new(asking):
    handler, _got = in_turn(ok(answers.task(completed_at=answers.AT, colour="red"), ETag='"a.b"'))
    task = asking(handler).do(lambda pm: pm.tasks.get(1))
    assert task.due_date == dt.datetime(2031, 6, 1, 10, tzinfo=UTC)
    assert task.completed_at.tzinfo is not None
    assert task.raw["colour"] == "red"
    assert task.etag == '"a.b"'
    with pytest.raises(AttributeError):
        task.title = "Other"
    assert hash(task) == hash(copy.deepcopy(task))
    assert pickle.loads(pickle.dumps(task)) == task  # noqa: S301 -- our own


def test_counts_are_asked_for_without_rows(asking):
    handler, got = in_turn(ok({"next": "x", "results": [answers.task()], "count": 41}))
    assert asking(handler).do(lambda pm: pm.tasks.count(project=7)) == 41
    assert dict(got[0].url.params) == {"project": "7", "page_size": "1", "count": "true"}


# Pages


def test_pages_are_fetched_as_they_are_needed(asking):
    link = "https://site.example/api/tasks/?project=7&page_size=200&cursor=WzFd"
    first = {"next": link, "results": [answers.task(id=1), answers.task(id=2)]}
    second = {"next": None, "results": [answers.task(id=3)]}
    handler, got = in_turn(ok(first), ok(second))
    assert [task.id for task in asking(handler).do(lambda pm: pm.tasks.list(project=7))] == [1, 2, 3]
    assert got[1].url.params["cursor"] == "WzFd"
    assert got[1].url.params["project"] == "7"

    handler, got = in_turn(ok(first))
    assert len(asking(handler).do(lambda pm: pm.tasks.list(project=7), most=2)) == 2
    assert len(got) == 1


def test_no_link_leads_elsewhere(asking):
    first = {"next": "http://evil.example/steal/?cursor=WzFd&project=8", "results": [answers.task()]}
    handler, got = in_turn(ok(first), ok({"next": None, "results": []}))
    asking(handler).do(lambda pm: pm.tasks.list(project=7))
    assert {(request.url.scheme, request.url.host, request.url.path) for request in got} == {
        ("https", "site.example", "/api/tasks/")
    }
    assert got[1].url.params["project"] == "7"


def test_no_redirect_is_followed(asking):
    handler, got = in_turn(httpx.Response(302, headers={"Location": "https://evil.example/login?next=secret"}))
    with pytest.raises(UnexpectedAnswer, match=r"302 A redirect to https://evil.example/login, not followed"):
        asking(handler).do(lambda pm: pm.tasks.get(1))
    assert len(got) == 1


# Conditional writes


def test_an_object_means_as_it_was_seen_and_a_key_whatever_it_is(asking):
    handler, got = in_turn(ok(answers.task(), ETag='"a.1"'), ok(answers.task(), ETag='"b.1"'), ok(answers.task()))
    either = asking(handler)
    task = either.do(lambda pm: pm.tasks.get(1))
    assert either.do(lambda pm: pm.tasks.update(task, title="x")).etag == '"b.1"'
    assert got[1].headers["If-Match"] == '"a.1"'
    either.do(lambda pm: pm.tasks.update(1, title="x"))
    assert "If-Match" not in got[2].headers


def test_an_object_of_a_list_is_compared_before_it_is_written(asking):
    listed = ok({"next": None, "results": [answers.task()]})
    same = ok(answers.task(comment_count=5), ETag='"a.2"')
    handler, got = in_turn(listed, same, httpx.Response(204))
    either = asking(handler)
    [task] = either.do(lambda pm: pm.tasks.list())
    assert task.etag is None
    either.do(lambda pm: pm.tasks.delete(task))
    assert got[2].headers["If-Match"] == '"a.2"'

    handler, got = in_turn(ok(answers.task(title="Theirs"), ETag='"b.2"'))
    with pytest.raises(Changed):
        asking(handler).do(lambda pm: pm.tasks.update(task, title="Mine"))
    assert [request.method for request in got] == ["GET"]


def test_an_edit_is_done_again_on_what_it_is_now(asking, time):
    handler, got = in_turn(
        ok(answers.task(title="a"), ETag='"a.1"'),
        refusal(412),
        ok(answers.task(title="b"), ETag='"b.1"'),
        ok(answers.task(title="b!"), ETag='"c.1"'),
    )
    task = asking(handler).do(lambda pm: pm.tasks.edit(1, lambda task: {"title": task.title + "!"}))
    assert task.title == "b!"
    assert [body(request)["title"] for request in got if request.method == "PATCH"] == ["a!", "b!"]
    assert [request.headers["If-Match"] for request in got if request.method == "PATCH"] == ['"a.1"', '"b.1"']
    assert len(time.pauses) == 1


def test_an_edit_of_nothing_writes_nothing(asking):
    handler, got = in_turn(ok(answers.task(), ETag='"a.1"'))
    assert asking(handler).do(lambda pm: pm.tasks.edit(1, lambda task: None)).title == "Dig"
    assert len(got) == 1


def test_an_edit_that_may_have_been_written_is_not_done_twice(asking):
    handler, got = in_turn(
        ok(answers.task(title="a"), ETag='"a.1"'), answers.LOST, refusal(412), ok(answers.task(title="theirs"))
    )
    with pytest.raises(Changed) as caught:
        asking(handler).do(lambda pm: pm.tasks.edit(1, lambda task: {"title": task.title + "!"}))
    assert caught.value.perhaps_written
    assert len(got) == 4


# Errors


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, Invalid),
        (401, NotSignedIn),
        (403, NotAllowed),
        (404, NotFound),
        (409, Conflict),
        (412, Changed),
        (413, PmError),
        (422, KeyReused),
        (429, Throttled),
        (500, ServerError),
        (503, ServerError),
    ],
)
def test_each_refusal_has_its_class(asking, status, error):
    either = asking(in_turn(refusal(status, "Because."))[0], retry={"attempts": 1})
    with pytest.raises(error) as caught:
        either.do(lambda pm: pm.tasks.update(1, title="x"))
    assert type(caught.value) is error
    assert str(caught.value) == f"PATCH /tasks/1/: {status} Because."
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 -- our own
    assert (type(again), str(again)) == (error, str(caught.value))


def test_a_refusal_names_the_fields(asking):
    handler, _got = in_turn(httpx.Response(400, json={"title": ["Too long."], "due_date": ["Required."]}))
    with pytest.raises(Invalid, match=r"400 title: Too long\.; due_date: Required\.") as caught:
        asking(handler).do(lambda pm: pm.tasks.create(project=7, title="x"))
    assert caught.value.fields == {"title": ["Too long."], "due_date": ["Required."]}


@pytest.mark.parametrize(
    "answer",
    [httpx.Response(200, text="<html>Welcome"), ok([]), ok({"id": 1}), ok(answers.task(due_date="soon"))],
    ids=["page", "list", "incomplete", "no date"],
)
def test_what_is_no_answer_of_this_api_is_said_to_be_none(asking, answer):
    with pytest.raises(UnexpectedAnswer):
        asking(in_turn(answer)[0]).do(lambda pm: pm.tasks.get(1))


def test_a_page_in_place_of_an_error_is_not_repeated_in_the_message(asking):
    page = httpx.Response(500, text="<html>secret settings")
    with pytest.raises(ServerError, match=r"^GET /tasks/1/: 500 Internal Server Error \(text/plain\)$"):
        asking(in_turn(page)[0]).do(lambda pm: pm.tasks.get(1))


def test_an_odd_success_is_not_quoted(asking):
    with pytest.raises(UnexpectedAnswer) as caught:
        asking(in_turn(ok(answers.token(secret="pm_new")))[0]).do(lambda pm: pm.tokens.create(name="ci"))
    assert "pm_new" not in str(caught.value) + repr(caught.value.args)


def test_without_a_tag_nothing_is_written_blindly(asking):
    handler, got = in_turn(ok(answers.task()), ok(answers.task()))
    either = asking(handler)
    task = either.do(lambda pm: pm.tasks.get(1))
    with pytest.raises(UnexpectedAnswer, match="ETag"):
        either.do(lambda pm: pm.tasks.update(task, title="x"))
    assert [request.method for request in got] == ["GET", "GET"]


def test_gone_without_a_place_to_go_on_from_is_not_found(asking):
    with pytest.raises(NotFound) as caught:
        asking(in_turn(refusal(410))[0]).do(lambda pm: pm.tasks.get(1))
    assert not isinstance(caught.value, Reset)


# What is kept to oneself


def test_no_secret_shows():
    with (
        Client("https://site.example/api", token="pm_secret") as pm,
        Client("https://a.b", auth=("ben", "demo")) as other,
    ):
        assert repr(pm) == "<Client https://site.example/api/>"
        shown = repr([pm, other, pm._auth, other._auth, vars(pm), vars(other)])
    token = room.Token.from_json(answers.token(secret="pm_secret"))
    request = room.steps.send("POST", "tasks/", {"title": "pm_secret"}, {"Authorization": "pm_secret"})
    assert "pm_secret" not in shown + repr(token) + repr(request)
    assert "demo" not in shown


@pytest.mark.parametrize("token", ["pm_secret\n", " pm_secret", "pm_sec ret\x00", "", "pm_sécret"])
def test_a_token_that_is_none_is_refused_without_showing_it(token):
    with pytest.raises(ValueError, match="The token holds") as caught:
        Client("https://site.example/", token=token)
    assert "secret" not in str(caught.value)


def test_a_header_that_cannot_be_written_is_not_quoted(asking):
    handler, _got = in_turn(httpx.LocalProtocolError("Illegal header value b'pm_secret'"))
    with pytest.raises(PmError) as caught:
        asking(handler).do(lambda pm: pm.tasks.get(1))
    assert "pm_secret" not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    "url",
    [
        "site.example",
        "ftp://site.example/",
        "https://u:pm_secret@site.example/",
        "http://",
        "https://a.b/?x=pm_secret",
        "http://a:pm_secret/",
    ],
)
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(ValueError, match="base_url") as caught:
        Client(url)
    assert "pm_secret" not in str(caught.value)


def test_one_signs_in_in_one_way():
    with pytest.raises(ValueError, match="not with both"):
        Client("https://site.example/", token="pm_x", auth=("a", "b"))


# The package


def test_it_needs_httpx_and_says_so():
    program = "import sys; sys.modules['httpx'] = None; import django_pm.client"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "ImportError: django_pm.client needs httpx: pip install 'django-pm[client]'" in done.stderr


def test_it_needs_websockets_to_follow_alone_and_says_so():
    program = "import sys; sys.modules['websockets'] = None; from django_pm.client import Client as C; C('http://x/').follow()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "ImportError: follow() needs websockets: pip install 'django-pm[client]'" in done.stderr


def test_it_needs_no_django():
    program = (
        "import sys, django_pm.client; print(sorted({'django', 'rest_framework', 'websockets'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_everything_public_is_there():
    assert sorted(room.__all__) == room.__all__
    assert all(hasattr(room, name) for name in room.__all__)


def test_help_shows_the_method_as_it_is_written():
    with Client("https://site.example/") as pm:
        assert type(pm.tasks).get.__doc__ == pm.tasks.get.__doc__ == "The task as it is now."
        assert pm.comments.create.__doc__.startswith("A new comment.")
        assert list(inspect.signature(pm.comments.create).parameters) == [
            "task",
            "content",
            "author",
            "idempotency_key",
        ]
