"""Whoever keeps missing is left alone for a while."""

import pytest

from django_pm.cache.worth import AFTER_REST, BEST, LONG_REST_SECONDS, MOST_READERS, REST_SECONDS, WORST, Worth


@pytest.fixture
def clock():
    return [1_000.0]


@pytest.fixture
def worth(clock):
    return Worth(lambda: clock[0])


def note(worth, number, *, hit):
    for _ in range(number):
        worth.note("ana", hit=hit)


def test_who_only_misses_rests_and_is_tried_again(worth, clock):
    note(worth, -WORST - 1, hit=False)
    assert worth.is_worth("ana")
    note(worth, 1, hit=False)
    assert not worth.is_worth("ana")
    assert worth.is_worth("ben")
    clock[0] += REST_SECONDS - 0.1
    assert not worth.is_worth("ana")
    clock[0] += 0.1
    assert worth.is_worth("ana")
    note(worth, AFTER_REST - WORST, hit=False)
    assert not worth.is_worth("ana")


def test_hits_make_up_for_misses(worth):
    for _ in range(100):
        note(worth, 1, hit=False)
        note(worth, 1, hit=True)
    assert worth.is_worth("ana")


def test_a_long_good_time_is_forgotten_soon(worth):
    note(worth, 1_000, hit=True)
    note(worth, BEST - WORST - 1, hit=False)
    assert worth.is_worth("ana")
    note(worth, 1, hit=False)
    assert not worth.is_worth("ana")


def test_who_sees_too_much_rests_longer(worth, clock):
    worth.note_too_much("ana")
    clock[0] += LONG_REST_SECONDS - 0.1
    assert not worth.is_worth("ana")
    clock[0] += 0.1
    assert worth.is_worth("ana")


def test_it_remembers_so_many_readers_and_no_more(worth):
    for number in range(MOST_READERS + 10):
        worth.note_too_much(number)
    assert [worth.is_worth(number) for number in (0, 9, 10, MOST_READERS)] == [True, True, False, False]
