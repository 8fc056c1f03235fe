"""The server behind `make demo`: HTTP, static files and sockets from one process, and an end at once."""

import json
import re
import shlex
import signal
import sys
import time
from pathlib import Path

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.example.site import LIVE_SERVER, MANAGE, ROOT, Site


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


def test_the_demo_sends_its_mail_while_it_is_served(tmp_path: Path) -> None:
    """As `make demo` does it: the site and `pm_run`, until Ctrl-C."""
    site = Site(tmp_path)
    site.must_manage("migrate", "--verbosity", "0")
    site.must_manage("demo_seed")
    beside = shlex.join([sys.executable, str(MANAGE), "pm_run"])
    command = (
        f'exec {shlex.join([sys.executable, str(ROOT / "scripts" / "run_both.py"), *LIVE_SERVER])} "$0" -- {beside}'
    )
    with site.served("sh", "-c", command) as process:
        browser = site.browser()
        browser.ask("/accounts/login/")
        deadline = time.monotonic() + 60
        page = browser.ask("/accounts/login/?next=/mailbox/", form={"username": "ben", "password": "demo"})
        while "Due soon:" not in page.text:
            assert time.monotonic() < deadline, (tmp_path / "server.log").read_text()
            page = browser.ask("/mailbox/")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0
    assert (tmp_path / "server.log").read_text() == ""


def test_make_demo_starts_this_server() -> None:
    makefile = (ROOT / "Makefile").read_text().replace("\\\n\t", "")
    (command,) = re.findall(r"^SERVER := \$\(BIN\)/python (.+)$", makefile, re.MULTILINE)
    ours = [part.replace(str(ROOT) + "/", "") for part in LIVE_SERVER[1:-1]]
    assert command.split() == ours
