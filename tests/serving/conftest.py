"""The example site as it is served in earnest: on the database of this run, with a Redis of its own."""

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from tests.example.site import Browser, Site, own_database
from tests.redis_server import Redis, own_redis

PATIENCE = 20


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A demo that nothing serves yet."""
    with own_database() as variables:
        site = Site(tmp_path_factory.mktemp("served"), **variables)
        site.must_manage("migrate", "--verbosity", "0")
        site.must_manage("demo_seed")
        yield site


@pytest.fixture(scope="package")
def redis() -> Iterator[Redis]:
    """A Redis to freeze."""
    with own_redis() as found:
        yield found


def sign_in(browser: Browser) -> str:
    """Sign in as `ben`; the session's key."""
    browser.ask("/accounts/login/")
    assert browser.ask("/accounts/login/", form={"username": "ben", "password": "demo"}).status == 200
    return next(str(cookie.value) for cookie in browser.cookies if cookie.name == "sessionid")


def listen(url: str, session: str) -> AbstractContextManager[ClientConnection]:
    """The socket of the notifications at this server, opened by a page of this server."""
    headers = {"Cookie": f"sessionid={session}"}
    address = url.replace("http", "ws") + "/ws/notifications/"
    return connect(address, origin=url, additional_headers=headers, open_timeout=PATIENCE)  # type: ignore[arg-type]


def frame(socket: ClientConnection, kind: str) -> Any:
    """The next frame of this type."""
    while (found := json.loads(socket.recv(timeout=PATIENCE)))["type"] != kind:
        pass
    return found


def add_task(browser: Browser, title: str) -> None:
    """A task of the demo's first project, made over HTTP."""
    task = {"project": 1, "title": title, "due_date": "2031-01-01T00:00:00Z"}
    answer = browser.ask("/tasks/", user="ana", json_body=task)
    assert answer.status == 201, answer.text
