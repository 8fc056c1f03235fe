"""`make stack` at work: a task on its way through every service, and one server killed meanwhile.

On a database, a node of RabbitMQ and a Redis of the test's own. Nothing of it is left behind.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.example.site import Browser, free_port, own_database
from tests.redis_server import own_redis
from tests.serving.conftest import frame, listen
from tests.stack.conftest import SCRIPT
from tests.tasks.processes.parts import own_rabbitmq

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.rabbitmq]

PATIENCE = 40
USER = "ada"
PASSWORD = "demo"  # what `Browser` signs in with


def until(condition: Callable[[], Any], what: str) -> Any:
    """What it says once that is true."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError(f"{what} did not happen within {PATIENCE} seconds")


class Running:
    """The stack, started and to be ended by Ctrl-C."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.folder = folder
        self.port = free_ports(5)
        self.browser = Browser(f"http://127.0.0.1:{self.port}")
        self.environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | {
            "STACK_FOLDER": str(folder),
            "STACK_PORT": str(self.port),
            "STACK_SMTP_PORT": str(free_port()),
            "BEAT_SECONDS": "1",
            "API_REPLICAS": "2",
            "REALTIME_REPLICAS": "1",
            "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
            **variables,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, str(SCRIPT), *arguments]

    def start(self) -> None:
        with (self.folder / "out").open("w") as output:
            self.process = subprocess.Popen(
                self.command("up"), env=self.environment, stdout=output, stderr=output, start_new_session=True
            )
        until(self.answers, "the start")
        # What the sockets' server says to anything but a socket.
        until(lambda: self.answers("/ws/", 426), "the start of the sockets")

    def answers(self, path: str = "/accounts/login/", status: int = 200, port: int = 0) -> bool:
        """The gateway, or what listens on this port."""
        assert self.process
        assert self.process.poll() is None, self.said("out")
        try:
            return Browser(f"http://127.0.0.1:{port or self.port}").ask(path).status == status
        except OSError:
            return False

    def said(self, name: str) -> str:
        path = self.folder / name
        return path.read_text() if path.exists() else ""

    def pids(self) -> list[int]:
        """All processes that are working in its environment."""
        mine = str(self.folder).encode()
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                if mine in (path / "environ").read_bytes() + (path / "cmdline").read_bytes():
                    found.append(int(path.name))
            except OSError:
                continue
        return found

    def end(self) -> int:
        assert self.process
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=PATIENCE)


def free_ports(number: int) -> int:
    """The first of so many free ports in a row."""
    while True:
        first = free_port()
        with ExitStack() as taken, suppress(OSError):
            for port in range(first, first + number):
                taken.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with ExitStack() as services:
        database = services.enter_context(own_database())["DATABASE_URL"]
        redis, rabbitmq = services.enter_context(own_redis()), services.enter_context(own_rabbitmq())
        where = {"STACK_DATABASE_URL": database, "STACK_REDIS_URL": redis.url, "STACK_BROKER_URL": rabbitmq.url}
        running = Running(tmp_path_factory.mktemp("stack"), **where)
        try:
            running.start()
            make_user = running.command("manage", "createsuperuser", "--noinput", "--username", USER)
            subprocess.run([*make_user, "--email", "ada@example.com"], env=running.environment, check=True)
            yield running
        finally:
            if running.process and running.process.poll() is None:
                running.end()


def sign_in(browser: Browser) -> str:
    browser.ask("/accounts/login/")
    assert browser.ask("/accounts/login/", form={"username": USER, "password": PASSWORD}).status == 200
    return next(str(cookie.value) for cookie in browser.cookies if cookie.name == "sessionid")


def test_a_task_goes_through_every_service(running: Running) -> None:
    browser = running.browser
    project = browser.ask("/projects/", user=USER, json_body={"name": "Moon base"}).json["id"]
    browser.ask("/notification-preferences/", user=USER, method="PATCH", json_body={"reports": True})
    with listen(browser.base_url, sign_in(browser)) as ws:
        frame(ws, "welcome")
        due = (datetime.now(UTC) + timedelta(hours=3)).isoformat()
        answer = browser.ask("/tasks/", user=USER, json_body={"project": project, "title": "Dig", "due_date": due})
        assert answer.status == 201, answer.text
        assert frame(ws, "task.created")["changes"]["title"] == [None, "Dig"]
    until(lambda: "Subject: Due soon: Dig" in running.said("mailpit-1.log"), "the reminder")
    for worker, task in (("mail", "send_due_reminders"), ("mail", "send_mail_queue"), ("events", "relay_events")):
        assert re.search(rf"Task django_pm.tasks.{task}\S+ succeeded", running.said(f"worker-{worker}-1.log"))
    with psycopg.connect(running.environment["STACK_DATABASE_URL"], autocommit=True) as connection:
        # It was there yesterday already, so that a report of it is due.
        connection.execute("UPDATE django_pm_project SET created_at = created_at - interval '2 days'")
    until(lambda: "Subject: Moon base: report" in running.said("mailpit-1.log"), "the report")
    assert browser.ask(f"/projects/{project}/reports/", user=USER).json["results"]


def test_a_request_is_found_by_its_id_in_every_log(running: Running) -> None:
    request_id = running.browser.ask("/projects/", user=USER).headers["X-Request-ID"]
    assert re.fullmatch("[0-9a-f]{32}", request_id)
    until(lambda: request_id in running.said("gateway-1.log"), "the gateway's line")
    until(lambda: request_id in running.said("api-1.log") + running.said("api-2.log"), "the server's line")


def test_one_of_two_is_killed(running: Running) -> None:
    """Reading goes on at the other, and the one that was killed is started again."""

    def started() -> list[str]:
        return re.findall(r"spawned: 'api-1' with pid (\d+)", running.said("out"))

    (before,) = started()
    sign_in(running.browser)
    statuses = []
    for number in range(60):
        if number == 10:
            os.killpg(int(before), signal.SIGKILL)
        statuses.append(running.browser.ask("/projects/").status)
    assert statuses == [200] * 60
    until(lambda: len(started()) == 2, "the restart")
    until(lambda: running.answers(port=running.port + 1), "an answer of the new one")


def test_ctrl_c_leaves_nothing_running(running: Running) -> None:
    assert len(running.pids()) > 8
    assert running.end() == 0
    until(lambda: not running.pids(), "the end of everything")
