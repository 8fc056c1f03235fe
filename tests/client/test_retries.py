"""What is tried again, when, and how often."""

import datetime as dt

import httpx
import pytest

from django_pm.client import (
    Changed,
    Conflict,
    ConnectionFailed,
    Invalid,
    KeyReused,
    NotFound,
    PmError,
    Retry,
    ServerError,
    Throttled,
)
from tests.client import answers
from tests.client.answers import LOST, REFUSED, in_turn, ok, refusal


@pytest.mark.parametrize(
    "failure",
    [LOST, REFUSED, httpx.RemoteProtocolError("gone"), *(refusal(status) for status in (429, 502, 503, 504))],
    ids=lambda failure: type(failure).__name__ if isinstance(failure, Exception) else str(failure.status_code),
)
def test_reading_is_repeated(asking, time, failure):
    handler, got = in_turn(failure, ok(answers.task()))
    assert asking(handler).do(lambda pm: pm.tasks.get(1)).title == "Dig"
    assert len(got) == 2
    assert time.pauses == [0.5]


@pytest.mark.parametrize(
    ("status", "error"), [(400, Invalid), (404, NotFound), (409, Conflict), (422, KeyReused), (500, ServerError)]
)
def test_what_stands_is_not_repeated(asking, status, error):
    handler, got = in_turn(refusal(status))
    with pytest.raises(error):
        asking(handler).do(lambda pm: pm.tasks.get(1))
    assert len(got) == 1


def test_a_post_says_the_same_key_each_time(asking):
    handler, got = in_turn(LOST, refusal(503), refusal(409, "still at work"), ok(answers.task(), 201))
    made = asking(handler).do(lambda pm: pm.tasks.create(project=7, title="Dig"))
    assert made.id == 1
    keys = {request.headers["Idempotency-Key"] for request in got}
    assert len(got) == 4
    assert len(keys) == 1
    assert {request.content for request in got} == {got[0].content}


def test_every_post_has_a_key_of_its_own(asking):
    handler, got = in_turn(ok(answers.task(), 201), ok(answers.task(), 201), ok(answers.task(), 201))
    for key in (None, None, "mine"):
        asking(handler).do(lambda pm, key=key: pm.tasks.create(project=7, title="Dig", idempotency_key=key))
    first, second, third = (request.headers["Idempotency-Key"] for request in got)
    assert first != second
    assert third == "mine"


def test_a_lost_answer_to_a_post_makes_one_object(asking):
    made = {}

    def server(request):
        key = request.headers["Idempotency-Key"]
        is_first = key not in made
        made.setdefault(key, answers.task(id=len(made) + 1))
        if is_first:
            raise LOST
        return ok(made[key], 201)

    assert asking(server).do(lambda pm: pm.tasks.create(project=7, title="Dig")).id == 1
    assert len(made) == 1


def test_the_pauses_grow_up_to_the_cap_and_the_attempts_end(asking, time):
    handler, got = in_turn(*[REFUSED] * 7)
    with pytest.raises(ConnectionFailed, match=r"GET /tasks/1/: ConnectError: refused \(attempt 7\)"):
        asking(handler, retry={"attempts": 7, "cap": 4.0}).do(lambda pm: pm.tasks.get(1))
    assert time.pauses == [0.5, 1, 2, 4, 4, 4]
    assert len(got) == 7


def test_the_jitter_is_full():
    drawn = iter([0.0, 0.25, 1.0])
    retry = Retry(random=lambda: next(drawn))
    assert [retry.jitter(3) for _ in range(3)] == [0, 0.5, 2.0]


def test_the_deadline_ends_it_before_the_attempts_do(asking, time):
    handler, got = in_turn(*[REFUSED] * 9)
    with pytest.raises(ConnectionFailed):
        asking(handler, retry={"attempts": 9, "deadline": 3.0}).do(lambda pm: pm.tasks.get(1))
    assert time.pauses == [0.5, 1]  # the next would be 2 s, to begin at 3.5 s
    assert len(got) == 3


def test_every_request_has_its_timeouts_and_none_goes_beyond_the_deadline(asking, time):
    limits = []

    def server(request):
        limits.append(request.extensions["timeout"])
        time.now += 15
        raise LOST

    with pytest.raises(ConnectionFailed):
        asking(server, retry={"deadline": 40.0}, timeout=20.0).do(lambda pm: pm.tasks.get(1))
    assert [set(each.values()) for each in limits] == [{20.0}, {20.0}, {40.0 - 30 - 0.5 - 1}]


def test_no_timeout_may_be_endless(asking):
    with pytest.raises(ValueError, match="number of seconds"):
        asking(lambda request: None, timeout=httpx.Timeout(5, read=None)).do(lambda pm: pm.tasks.get(1))


def test_retry_after_is_honoured(asking, time):
    handler, _got = in_turn(refusal(429, Retry_After="7"), ok(answers.task()))
    asking(handler).do(lambda pm: pm.tasks.get(1))
    assert time.pauses == [7.5]  # the server's time and some jitter


def test_retry_after_may_be_a_date_by_the_servers_clock(asking, time):
    dates = {"Date": "Sun, 04 May 2031 09:00:00 GMT", "Retry_After": "Sun, 04 May 2031 09:00:20 GMT"}
    handler, _got = in_turn(refusal(503, **dates), ok(answers.task()))
    asking(handler).do(lambda pm: pm.tasks.get(1))
    assert time.pauses == [20.5]


def test_a_longer_wait_than_there_is_time_for_is_told_at_once(asking, time):
    handler, _got = in_turn(refusal(429, Retry_After="3600"))
    with pytest.raises(Throttled) as caught:
        asking(handler).do(lambda pm: pm.tasks.get(1))
    assert caught.value.retry_after == 3600
    assert time.pauses == []


def test_what_cannot_be_sent_is_not_tried_again(asking):
    handler, got = in_turn(httpx.UnsupportedProtocol("no"))
    with pytest.raises(ConnectionFailed):
        asking(handler).do(lambda pm: pm.tasks.get(1))
    assert len(got) == 1


# Writes whose first answer was lost


def test_an_update_that_went_through_is_recognised(asking):
    """The repeat is refused, for the tag is the old one; but what was wanted is there."""
    seen = ok(answers.task(), ETag='"a.1"')
    due = dt.datetime(2031, 6, 1, 12, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    handler, got = in_turn(seen, LOST, refusal(412), ok(answers.task(title="Deep"), ETag='"b.1"'))
    either = asking(handler)
    task = either.do(lambda pm: pm.tasks.get(1))
    task = either.do(lambda pm: pm.tasks.update(task, title=" Deep ", due_date=due, project=7))
    assert (task.title, task.etag) == ("Deep", '"b.1"')
    assert [request.method for request in got] == ["GET", "PATCH", "PATCH", "GET"]
    assert got[1].headers["If-Match"] == got[2].headers["If-Match"] == '"a.1"'


def test_an_update_that_may_have_gone_through_says_so(asking):
    handler, _got = in_turn(ok(answers.task(), ETag='"a.1"'), LOST, refusal(412), ok(answers.task(title="Theirs")))
    either = asking(handler)
    task = either.do(lambda pm: pm.tasks.get(1))
    with pytest.raises(Changed) as caught:
        either.do(lambda pm: pm.tasks.update(task, title="Mine"))
    assert caught.value.perhaps_written


@pytest.mark.parametrize("failure", [REFUSED, refusal(429)], ids=["refused", "429"])
def test_what_never_arrived_leaves_no_doubt(asking, failure):
    handler, got = in_turn(ok(answers.task(), ETag='"a.1"'), failure, refusal(412))
    either = asking(handler)
    task = either.do(lambda pm: pm.tasks.get(1))
    with pytest.raises(Changed) as caught:
        either.do(lambda pm: pm.tasks.update(task, title="Mine"))
    assert not caught.value.perhaps_written
    assert len(got) == 3


@pytest.mark.parametrize("failure", [LOST, refusal(502), refusal(503), refusal(504)], ids=["lost", "502", "503", "504"])
def test_a_deletion_that_went_through_is_recognised(asking, failure):
    handler, got = in_turn(failure, refusal(404))
    assert asking(handler).do(lambda pm: pm.tasks.delete(1)) is None
    assert len(got) == 2


@pytest.mark.parametrize(
    ("failures", "perhaps"),
    [
        ([LOST, LOST], True),
        ([LOST, REFUSED], True),
        ([REFUSED, LOST], True),
        ([REFUSED, REFUSED], False),
        ([LOST, refusal(429)], True),
        ([REFUSED, refusal(504)], True),
        ([refusal(429), refusal(429)], False),
        ([LOST, refusal(412)], False),
    ],
)
def test_a_write_that_failed_says_whether_it_may_be_there(asking, failures, perhaps):
    handler, _got = in_turn(*failures)
    with pytest.raises(PmError) as caught:
        asking(handler, retry={"attempts": 2}).do(lambda pm: pm.tasks.delete(1))
    assert caught.value.perhaps_written is perhaps
    handler, _got = in_turn(*failures)
    with pytest.raises(PmError) as caught:
        asking(handler, retry={"attempts": 2}).do(lambda pm: pm.tasks.get(1))
    assert not caught.value.perhaps_written


def test_a_deletion_of_what_is_not_there_is_refused(asking):
    for first in ([], [REFUSED]):
        handler, _got = in_turn(*first, refusal(404))
        with pytest.raises(NotFound):
            asking(handler).do(lambda pm: pm.tasks.delete(1))


def test_a_token_whose_secret_was_lost_is_revoked_and_made_anew(asking):
    handler, got = in_turn(
        LOST, ok(answers.token(id=4), 201), httpx.Response(204), ok(answers.token(id=5, secret="pm_new"), 201)
    )
    token = asking(handler).do(lambda pm: pm.tokens.create(name="ci"))
    assert (token.id, token.secret) == (5, "pm_new")
    assert [(request.method, request.url.path) for request in got][2] == ("DELETE", "/api/tokens/4/")
    assert got[0].headers["Idempotency-Key"] == got[1].headers["Idempotency-Key"]
    assert got[3].headers["Idempotency-Key"] != got[0].headers["Idempotency-Key"]
