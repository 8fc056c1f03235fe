"""The server behind `make demo`: HTTP, static files and sockets from one process, and an end at once."""

import json
import re
import signal
from pathlib import Path

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.example.site import LIVE_SERVER, ROOT, Site


def test_ctrl_c_ends_it_at_once_with_a_page_open(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.must_manage("migrate", "--verbosity", "0")
    site.must_manage("demo_seed")
    with site.served(*LIVE_SERVER) as server:
        browser = site.browser()
        browser.ask("/accounts/login/")
        page = browser.ask("/accounts/login/?next=/live/", form={"username": "ben", "password": "demo"}).text
        for file in re.findall(r"""src=["'](/[^"']+)["']""", page):
            assert browser.ask(file).status == 200, file
        session = next(cookie.value for cookie in browser.cookies if cookie.name == "sessionid")
        address = site.url.replace("http", "ws") + "/ws/notifications/"
        with connect(address, origin=site.url, additional_headers={"Cookie": f"sessionid={session}"}) as socket:
            assert json.loads(socket.recv(timeout=20))["type"] == "welcome"
            task = {"project": 1, "title": "Heard", "due_date": "2031-01-01T00:00:00Z"}
            assert browser.ask("/tasks/", user="ana", json_body=task).status == 201
            assert json.loads(socket.recv(timeout=20))["changes"]["title"] == [None, "Heard"]
            server.send_signal(signal.SIGINT)
            try:
                while True:
                    socket.recv(timeout=20)
            except ConnectionClosed:
                pass
            server.wait(timeout=10)
    assert (tmp_path / "server.log").read_text() == ""


def test_make_demo_starts_this_server() -> None:
    makefile = (ROOT / "Makefile").read_text().replace("\\\n\t", "")
    (command,) = re.findall(r"^SERVER := \$\(BIN\)/python (.+)$", makefile, re.MULTILINE)
    ours = [part.replace(str(ROOT) + "/", "") for part in LIVE_SERVER[1:-1]]
    assert command.split() == ours
