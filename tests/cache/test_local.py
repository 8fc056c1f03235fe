"""What a process keeps: bounded in bytes, the least recently used gone first, from any number of threads."""

import random
import threading

import pytest

from django_pm.cache.local import MOST_BYTES, OVERHEAD, LocalStore

BODY = b"x" * 800
ENTRY = len(BODY) + OVERHEAD


@pytest.fixture
def store():
    """Ten entries fit."""
    return LocalStore(10 * ENTRY)


def keys_in(store):
    return list(store._entries)


def test_what_is_put_is_there_and_is_replaced(store):
    store.put("a", b"1")
    store.put("a", b"22")
    assert (store.get("a"), store.get("b")) == (b"22", None)
    assert store.size == 2 + OVERHEAD


def test_the_least_recently_used_goes_first(store):
    for number in range(10):
        store.put(str(number), BODY)
    store.get("0")
    store.put("1", BODY)
    store.put("10", BODY)
    assert keys_in(store) == ["3", "4", "5", "6", "7", "8", "9", "0", "1", "10"]


def test_to_look_for_what_is_not_there_changes_nothing(store):
    store.put("a", BODY)
    store.get("b")
    assert keys_in(store) == ["a"]


def test_a_large_one_is_not_kept_and_costs_nobody_a_place(store):
    for number in range(10):
        store.put(str(number), BODY)
    store.put("large", b"x" * (10 * ENTRY // 8 - OVERHEAD + 1))
    assert store.get("large") is None
    assert len(keys_in(store)) == 10
    store.put("just", b"x" * (10 * ENTRY // 8 - OVERHEAD))
    assert store.get("just") is not None


def test_the_bound_holds_whatever_is_put(store):
    lots = random.Random(1)  # noqa: S311
    for _ in range(20_000):
        store.put(str(lots.randrange(40)), b"x" * lots.choice([0, 1, 100, 800, 1040, 1051, 5000]))
        if lots.random() < 0.001:
            store.clear()
            assert store.size == 0
        assert store.size <= 10 * ENTRY
    assert store.size == sum(len(body) + OVERHEAD for body in store._entries.values())


def test_threads_lose_no_count(store):
    def work(seed):
        lots = random.Random(seed)  # noqa: S311
        for _ in range(5_000):
            key = str(lots.randrange(30))
            if lots.random() < 0.5:
                store.put(key, key.encode() * lots.randrange(300))
            elif (body := store.get(key)) is not None and body.strip(key.encode()):
                wrong.append((key, body))

    wrong = []
    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not wrong
    assert store.size == sum(len(body) + OVERHEAD for body in store._entries.values()) <= 10 * ENTRY


def test_a_process_keeps_as_much_as_the_documents_say():
    assert MOST_BYTES == 32 * 1024 * 1024
