"""HTTP over WSGI and the sockets over ASGI: two processes, side by side, started as docs/serving.md says."""

import re
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from websockets.exceptions import InvalidStatus

from tests.example.site import ROOT, Browser, Site
from tests.redis_server import Redis
from tests.serving.conftest import add_task, frame, listen, sign_in

pytestmark = pytest.mark.redis


def documented(server: str) -> list[str]:
    """The command of docs/serving.md that starts this server, without the number of the port, which comes last."""
    page = (ROOT / "docs" / "serving.md").read_text()
    found = re.search(rf"^    {server} (.+) --port 800\d (config\.\w+:application)$", page, re.MULTILINE)
    assert found
    return [sys.executable, "-m", server, *found[1].split(), found[2], "--port"]


class Both(NamedTuple):
    """Where the two processes are."""

    http: Browser
    sockets: str


@pytest.fixture(scope="module")
def both(site: Site, redis: Redis) -> Iterator[Both]:
    """The site served by two processes, which Redis connects."""
    with site.served(*documented("granian"), REDIS_URL=redis.url):
        http = site.browser()
        with site.served(*documented("uvicorn"), log_name="sockets.log", REDIS_URL=redis.url):
            yield Both(http, site.url)


def test_what_is_written_at_one_is_heard_at_the_other(both: Both) -> None:
    with listen(both.sockets, sign_in(both.http)) as socket:
        frame(socket, "welcome")
        add_task(both.http, "Heard")
        assert frame(socket, "task.created")["changes"]["title"] == [None, "Heard"]


@pytest.mark.parametrize("path", ["/", "/tasks/", "/ws/notifications/"])
def test_the_sockets_process_answers_no_request(both: Both, path: str) -> None:
    for method in ("GET", "POST"):
        answer = Browser(both.sockets).ask(path, method=method, user="ana", json_body={} if method == "POST" else None)
        assert (answer.status, answer.text) == (426, "Only WebSockets are served here.\n")
        assert answer.headers["Upgrade"] == "websocket"


def test_the_sockets_process_takes_no_other_socket(both: Both) -> None:
    with pytest.raises(InvalidStatus) as refused, listen(both.sockets + "/elsewhere", ""):
        pass
    assert refused.value.response.status_code == 403


def test_the_http_process_refuses_a_socket_at_once(both: Both) -> None:
    session = sign_in(both.http)
    began = time.monotonic()
    with pytest.raises(InvalidStatus) as refused, listen(both.http.base_url, session):
        pass
    assert refused.value.response.status_code == 404
    assert time.monotonic() - began < 5


def test_neither_complained(both: Both, site: Site) -> None:
    """Of anything but the 404 above."""
    assert both
    lines = [line for name in ("server.log", "sockets.log") for line in (site.folder / name).read_text().splitlines()]
    complaints = [line for line in lines if re.search("traceback|error|warning", line, re.IGNORECASE)]
    assert complaints == []
