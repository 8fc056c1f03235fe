"""`make stack` at work: a task on its way through every service, and one server killed meanwhile.

On a database, a node of RabbitMQ and a Redis of the test's own. Nothing of it is left behind.
"""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from tests.example.site import Browser, own_database
from tests.redis_server import own_redis
from tests.serving.conftest import frame, listen
from tests.stack.running import PASSWORD, Running, until
from tests.tasks.processes.parts import own_rabbitmq

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.rabbitmq]

USER = "ada"


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
