"""A cache that does not answer is given up soon, asked once, and says so; the site works without it."""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.example.site import HTTP_SERVER, MANAGE, Browser, Site, free_port
from tests.redis_server import HOST, Redis

MOST_SECONDS = 0.4
"""A quarter of a second, and what the machine takes besides; a second attempt would not fit."""

USER = "cached"
ADD_USER = f"from accounts.models import User; User.objects.create_user('{USER}', password='demo')"

# In a process of its own, for it is about the settings of the example site. Tells when each call begins.
PROGRAM = """
import json, sys, time, django
django.setup()
from django.core.cache import cache

CALLS = {
    "get": lambda: cache.get("key"),
    "set": lambda: cache.set("key", 0),
    "add": lambda: cache.add("key", 0),
    "incr": lambda: cache.incr("key"),
    "get_many": lambda: cache.get_many(["key", "other"]),
    "delete": lambda: cache.delete("key"),
}
told = {}
for line in sys.stdin:
    for name, call in CALLS.items():
        began = time.perf_counter()
        try:
            told[name] = [repr(call()), None]
        except Exception as error:
            told[name] = [None, type(error).__name__]
        told[name].append(time.perf_counter() - began)
    print(json.dumps(told), flush=True)
"""


Told = dict[str, tuple[str | None, str | None, float]]
"""Of each call what it returned, or the error that it raised, and how many seconds that took."""


def typical(told: Told) -> float:
    """How long a call takes, should the machine have been busy with other things during one."""
    return statistics.median(seconds for *_, seconds in told.values())


class Asker:
    """A process of the site that keeps its connections between two questions."""

    def __init__(self, site: Site, url: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            cwd=MANAGE.parent,
            env=site.environment(DJANGO_SETTINGS_MODULE="config.settings", REDIS_URL=url),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self) -> Told:
        """Make every call."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return {name: tuple(told) for name, told in json.loads(self.process.stdout.readline()).items()}

    def __enter__(self) -> "Asker":
        return self

    def __exit__(self, *error: object) -> None:
        self.process.communicate(timeout=20)


def test_nothing_listens(tmp_path: Path) -> None:
    with Asker(Site(tmp_path), f"redis://{HOST}:{free_port()}/0") as asker:
        told = asker.ask()
    assert {error for _, error, _ in told.values()} == {"ConnectionError"}
    assert typical(told) < MOST_SECONDS


@pytest.mark.redis
@pytest.mark.parametrize("known", [True, False], ids=["known before", "never met"])
def test_one_that_is_frozen(tmp_path: Path, redis: Redis, known: bool) -> None:
    with Asker(Site(tmp_path), redis.url) as asker:
        if known:
            assert {error for _, error, _ in asker.ask().values()} == {None}
        redis.freeze()
        try:
            told = asker.ask()
        finally:
            redis.thaw()
        assert {error for _, error, _ in told.values()} == {"TimeoutError"}
        assert typical(told) < MOST_SECONDS
        assert min(seconds for *_, seconds in told.values()) > 0.2
        assert {error for _, error, _ in asker.ask().values()} == {None}


@pytest.mark.redis
def test_the_site_works_without_it(site: Site, redis: Redis) -> None:
    variables = {"PM_DEMO": "0", "HTTPS": "0", "SECRET_KEY": "the test's"}  # the demo has no limits
    site.must_manage("shell", "-c", ADD_USER, **variables)
    with site.served(*HTTP_SERVER, REDIS_URL=redis.url, **variables):
        browser = site.browser()
        assert_it_works(browser)
        redis.freeze()
        try:
            began = time.monotonic()
            assert_it_works(browser)
            assert time.monotonic() - began < 10
        finally:
            redis.thaw()


def assert_it_works(browser: Browser) -> None:
    """Reading, signing in, and asking for a token, which the site itself limits."""
    assert browser.ask("/projects/", user=USER).status == 200
    answer = browser.ask("/auth/token/", json_body={"username": USER, "password": "demo"})
    assert answer.status == 200, answer.text
