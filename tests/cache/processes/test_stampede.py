"""Many who ask at once for a list that nobody has: it is made once, by one of them, and the others do not wait long."""

import json
import subprocess
import time
from collections import Counter

import pytest
from rest_framework.test import APIClient

from django_pm.cache.shared import LEASE_SECONDS
from tests import factories
from tests.cache.processes.site import SECONDS, caches_at, start
from tests.example.site import free_port

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.django_db(transaction=True)]

MAKING = 0.4
"""Seconds that it takes to make the list."""

NOISE = 1.5
"""Seconds that this machine may take for all the rest, with thirty threads on two cores."""


@pytest.fixture
def user():
    owner = factories.make_user()
    for _ in range(3):
        project = factories.make_project(owner)
        for number in range(20):
            factories.make_task(project, title=f"Task {number}")
    return owner


@pytest.fixture
def expected(user, settings):
    """What `path` is answered with."""
    settings.DJANGO_PM = {"RESPONSE_CACHE": "", "THROTTLE_USER": "", "THROTTLE_ANONYMOUS": ""}

    def of(path):
        client = APIClient()
        client.force_authenticate(user)
        return client.get(path).content.decode()

    return of


class Crowd:
    """A process of `crowd.py`."""

    def __init__(self, url, user, path, threads, *, seconds=MAKING, timeout=5):
        arguments = [str(user.pk), path, str(threads), str(seconds)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = start("tests.cache.processes.crowd", caches_at(url, SOCKET_TIMEOUT=timeout), *arguments, **pipes)

    def wait(self, word):
        line = self.process.stdout.readline()
        assert line == f"{word}\n", line

    def go(self):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def kill(self):
        self.process.kill()
        self.process.communicate()

    def result(self):
        output, _none = self.process.communicate(timeout=60)
        lines = output.splitlines()
        assert self.process.returncode == 0
        return {**json.loads(lines[-1]), "made": lines.count("making")}


@pytest.fixture
def crowds():
    """`crowds(number, url, user, path, threads)`: so many, each of which is ready."""
    started = []

    def gather(number, *arguments, **more):
        found = [Crowd(*arguments, **more) for _ in range(number)]
        started.extend(found)
        for crowd in found:
            crowd.wait("ready")
        return found

    yield gather
    for crowd in started:
        if not crowd.process.stdout.closed:
            crowd.kill()


def outcome_of(crowds):
    """How often the list was made, what the answers were, how long the longest took."""
    for crowd in crowds:
        crowd.go()
    results = [crowd.result() for crowd in crowds]
    visits = [visit for result in results for visit in result["visits"]]
    counts = sum((Counter(result["counts"]) for result in results), Counter())
    made, longest = sum(result["made"] for result in results), max(took for _status, _body, took in visits)
    print(f"\n{len(visits)} visits: made {made} times, longest {longest:.2f} s, {dict(counts)}")  # noqa: T201
    return made, {(status, body) for status, body, _took in visits}, longest


@pytest.mark.parametrize(("processes", "threads"), [(1, 32), (3, 8)])
def test_it_is_made_once(own_redis, user, expected, crowds, processes, threads):
    made, answers, longest = outcome_of(crowds(processes, own_redis.url, user, "/tasks/", threads))
    assert answers == {(200, expected("/tasks/"))}
    assert made <= 2
    assert longest < MAKING + NOISE


def test_others_go_on_when_the_maker_is_killed(own_redis, user, expected, crowds):
    others = crowds(2, own_redis.url, user, "/tasks/", 8)
    [maker] = crowds(1, own_redis.url, user, "/tasks/", 1, seconds=60)
    maker.go()
    maker.wait("making")
    for crowd in others:
        crowd.go()
    time.sleep(0.3)
    maker.kill()
    made, answers, longest = outcome_of(others)
    assert answers == {(200, expected("/tasks/"))}
    assert made <= 2
    assert longest < LEASE_SECONDS + MAKING + NOISE


def test_a_bad_query_keeps_nobody_waiting(own_redis, user, expected, crowds):
    import redis

    path = "/tasks/?due_before=soon"
    _made, answers, longest = outcome_of(crowds(3, own_redis.url, user, path, 8, seconds=0))
    assert answers == {(400, expected(path))}
    assert longest < NOISE
    with redis.Redis.from_url(own_redis.url) as client:
        assert [key for key in client.scan_iter() if b":lease" in key or b"answer" in key] == []


@pytest.mark.parametrize(("processes", "threads"), [(1, 32), (3, 8)])
def test_without_a_redis_each_process_makes_its_own(user, expected, crowds, processes, threads):
    url = f"redis://127.0.0.1:{free_port()}/0"
    made, answers, longest = outcome_of(crowds(processes, url, user, "/tasks/", threads))
    assert answers == {(200, expected("/tasks/"))}
    assert made <= processes
    assert longest < MAKING + NOISE


def test_nor_with_one_that_hangs(own_redis, user, expected, crowds):
    waiting = crowds(3, own_redis.url, user, "/tasks/", 8, timeout=SECONDS)
    own_redis.freeze()
    made, answers, longest = outcome_of(waiting)
    assert answers == {(200, expected("/tasks/"))}
    assert made <= 2 * 3
    assert longest < MAKING + NOISE
