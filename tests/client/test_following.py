"""Events, as a made-up server tells them: each once, in order, or a reset."""

import logging

import pytest

from django_pm.client import ConnectionFailed, NotFound, ObjectRef, Position, Reset, ServerError
from tests.client import answers
from tests.client.answers import LOST, REFUSED, event, in_turn, ok, refusal


def page(*seqs, head, epoch="e1"):
    return ok({"epoch": epoch, "head": head, "results": [event(seq) for seq in seqs], "next": None})


def reset(reason="epoch", head=9, epoch="e2"):
    return ok({"detail": "Gone.", "reason": reason, "head": head, "epoch": epoch}, 410)


def asked(requests):
    """What each request asked the feed for."""
    return [(int(each.url.params["since"]), each.url.params.get("epoch")) for each in requests]


def test_events_come_once_and_in_order_across_pages_and_polls(asking, time):
    handler, got = in_turn(page(1, 2, head=3), page(3, head=3), page(head=3), page(4, 5, head=5))
    events = asking(handler).do(lambda pm: pm.events.follow(7, since=0, interval=9), most=5)
    assert [each.seq for each in events] == [1, 2, 3, 4, 5]
    assert asked(got) == [(0, None), (2, "e1"), (3, "e1"), (3, "e1")]
    assert time.pauses == [9, 9]  # none between pages
    assert events[4].position == Position(5, "e1")
    assert (events[0].object, events[0].actor.name) == (ObjectRef("task", 1), "Ben")


def test_without_a_place_it_begins_now(asking):
    handler, got = in_turn(page(1, head=41), page(42, head=42))
    [first] = asking(handler).do(lambda pm: pm.events.follow(7), most=1)
    assert first.seq == 42
    assert asked(got) == [(0, None), (41, "e1")]


def test_it_goes_on_from_a_place_that_was_kept(asking):
    handler, got = in_turn(page(6, head=6))
    asking(handler).do(lambda pm: pm.events.follow(7, since=Position(5, "e0")), most=1)
    assert asked(got) == [(5, "e0")]


def test_what_was_told_before_is_not_told_again(asking):
    handler, _got = in_turn(page(3, 4, 4, 5, head=6), page(5, 6, head=6))
    events = asking(handler).do(lambda pm: pm.events.follow(7, since=3), most=3)
    assert [each.seq for each in events] == [4, 5, 6]


def test_a_missing_event_is_a_reset(asking):
    handler, _got = in_turn(page(1, 3, head=3))
    with pytest.raises(Reset) as caught:
        asking(handler).do(lambda pm: pm.events.follow(7, since=0), most=1)
    assert (caught.value.reason, caught.value.position) == ("gap", Position(3, "e1"))


def test_a_reset_says_where_to_go_on(asking):
    handler, _got = in_turn(reset("trimmed", head=9))
    with pytest.raises(Reset, match="410 Gone") as caught:
        asking(handler).do(lambda pm: pm.events.follow(7, since=1), most=1)
    assert (caught.value.reason, caught.value.head, caught.value.epoch) == ("trimmed", 9, "e2")
    assert caught.value.position == Position(9, "e2")


def test_the_head_is_told_where_the_beginning_was_pruned(asking):
    assert asking(in_turn(reset("trimmed", head=9))[0]).do(lambda pm: pm.events.head(7)) == Position(9, "e2")


def test_it_waits_for_a_server_that_is_away(asking, time, caplog):
    away = [REFUSED] * 8 + [refusal(503), LOST, refusal(429, Retry_After="45")]
    handler, _got = in_turn(page(1, head=1), *away, page(2, head=2))
    with caplog.at_level(logging.WARNING, logger="django_pm.client"):
        events = asking(handler).do(lambda pm: pm.events.follow(7, since=0, interval=2), most=2)
    assert [each.seq for each in events] == [1, 2]
    assert time.pauses == [2, 0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30, 45]
    assert len(caplog.messages) == 11
    assert "pm_secret" not in caplog.text


def test_its_patience_may_end(asking, time):
    handler, _got = in_turn(page(1, head=1), *[REFUSED] * 9)
    with pytest.raises(ConnectionFailed):
        asking(handler).do(lambda pm: pm.events.follow(7, since=0, patience=10), most=2)
    assert time.pauses == [2, 0.5, 1, 2, 4]


def test_the_first_question_is_waited_for_as_well(asking):
    handler, _got = in_turn(REFUSED, page(1, head=1), REFUSED, page(2, head=2))
    assert asking(handler).do(lambda pm: pm.events.follow(7), most=1)[0].seq == 2


@pytest.mark.parametrize(("status", "error"), [(404, NotFound), (500, ServerError)])
def test_what_will_not_pass_ends_it(asking, status, error):
    handler, _got = in_turn(page(1, head=1), refusal(status))
    with pytest.raises(error):
        asking(handler).do(lambda pm: pm.events.follow(7, since=0), most=2)


def test_a_list_ends_at_the_head(asking, time):
    handler, got = in_turn(page(1, 2, head=3), page(3, head=3))
    assert [each.seq for each in asking(handler).do(lambda pm: pm.events.list(7))] == [1, 2, 3]
    assert len(got) == 2
    assert time.pauses == []
    assert asking(in_turn(page(head=0))[0]).do(lambda pm: pm.events.list(7)) == []


def test_a_list_of_one_object_skips_the_others(asking):
    handler, got = in_turn(page(2, 5, head=6), page(head=6))
    events = asking(handler).do(lambda pm: pm.events.list(7, object=ObjectRef("task", 1)))
    assert [each.seq for each in events] == [2, 5]
    assert got[0].url.params["object"] == "task:1"


def test_an_event_without_an_actor_has_none(asking):
    answer = ok({"epoch": "e1", "head": 1, "results": [event(1, actor=None, news=1)], "next": None})
    [only] = asking(in_turn(answer)[0]).do(lambda pm: pm.events.list(7))
    assert only.actor is None
    assert only.raw["news"] == 1
    assert answers.AT.startswith(only.at.strftime("%Y-%m-%dT%H:%M:%S"))
