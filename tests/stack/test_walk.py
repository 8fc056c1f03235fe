"""`make stack` at work: a task on its way through every service, and one server killed meanwhile.

On a database, a node of RabbitMQ and a Redis of the test's own. Nothing of it is left behind.
"""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.example.site import free_port, own_database
from tests.redis_server import own_redis
from tests.serving.conftest import frame, listen
from tests.stack.conftest import SITE
from tests.stack.running import PATIENCE, Running, sign_in, until
from tests.stack.test_images import DOCKERFILE
from tests.tasks.processes.parts import own_rabbitmq

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.rabbitmq]

USER = "ada"
TOKEN = "scrape-me"
REPLICAS = {1: "api-1", 2: "api-2", 3: "realtime-1"}
"""By their ports, counted from the gateway's."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with ExitStack() as services:
        database = services.enter_context(own_database())["DATABASE_URL"]
        redis, rabbitmq = services.enter_context(own_redis()), services.enter_context(own_rabbitmq())
        where = {"STACK_DATABASE_URL": database, "STACK_REDIS_URL": redis.url, "STACK_BROKER_URL": rabbitmq.url}
        running = Running(tmp_path_factory.mktemp("stack"), METRICS_TOKEN=TOKEN, **where)
        try:
            running.start()
            make_user = running.command("manage", "createsuperuser", "--noinput", "--username", USER)
            subprocess.run([*make_user, "--email", "ada@example.com"], env=running.environment, check=True)
            yield running
        finally:
            if running.process and running.process.poll() is None:
                running.end()


def test_a_task_goes_through_every_service(running: Running) -> None:
    browser = running.browser
    project = browser.ask("/projects/", user=USER, json_body={"name": "Moon base"}).json["id"]
    browser.ask("/notification-preferences/", user=USER, method="PATCH", json_body={"reports": True})
    with listen(browser.base_url, sign_in(browser, USER)) as ws:
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


def lines(text: str) -> list[dict[str, Any]]:
    """Those of a log that are JSON."""
    return [json.loads(line) for line in text.splitlines() if line[:1] == "{"]


def test_a_request_is_found_by_its_id_in_every_log(running: Running) -> None:
    """From the gateway over the server and the event to the worker that acts on it."""
    browser = running.browser
    project = browser.ask("/projects/", user=USER, json_body={"name": "Mars base"}).json["id"]
    body = {"project": project, "title": "Land", "due_date": "2031-01-01T00:00:00Z"}
    task = browser.ask("/tasks/", user=USER, json_body=body).json["id"]
    done = browser.ask(f"/tasks/{task}/", user=USER, method="PATCH", json_body={"status": "completed"})
    request_id = done.headers["X-Request-ID"]
    assert re.fullmatch("[0-9a-f]{32}", request_id)
    until(lambda: request_id in running.said("gateway-1.log"), "the gateway's line")
    until(lambda: request_id in running.said("api-1.log") + running.said("api-2.log"), "the server's line")
    *_others, event = browser.ask(f"/projects/{project}/events/", user=USER).json["results"]
    assert (event["type"], event["origin"]) == ("task.updated", f"api#{request_id}")

    def of_the_worker() -> list[str]:
        found = lines(running.said("worker-events-1.log"))
        return [line["message"] for line in found if line.get("request_id") == request_id]

    told = until(of_the_worker, "the worker's line")
    assert told == [f"Task {task} of project {project} is completed, cost centre none"]


@pytest.fixture
def health_check(running: Running) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`health_check(port)`: the image's own, as Docker runs it in a container of this port; of another path if told."""
    command = json.loads(re.findall(r"^HEALTHCHECK .* CMD (\[.+config\.alive.+\])$", DOCKERFILE, re.MULTILINE)[0])

    def run(port: int, path: str = "") -> subprocess.CompletedProcess[str]:
        changed = [sys.executable, *command[1:-2], str(port), path or command[-1]]
        environment = {**running.environment, "ALLOWED_HOSTS": "localhost,127.0.0.1"}
        return subprocess.run(changed, cwd=SITE, env=environment, capture_output=True, text=True, check=False)

    return run


@pytest.mark.parametrize("number", REPLICAS, ids=REPLICAS.values())
def test_a_server_is_alive_and_ready(
    running: Running, health_check: Callable[..., subprocess.CompletedProcess[str]], number: int
) -> None:
    done = health_check(running.port + number)
    assert (done.returncode, done.stdout) == (0, "200 alive\n")
    done = health_check(running.port + number, "/readyz")
    code, _, said = done.stdout.partition(" ")
    assert (done.returncode, code, json.loads(said)["status"]) == (0, "200", "ready")
    components = {"database", "migrations", "cache", "channel layer", "broker"}
    assert set(json.loads(said)["components"]) == components
    assert health_check(running.port + number, "/nothing").returncode == 1


def test_a_server_that_is_not_there_is_not_alive(health_check: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = health_check(free_port())
    assert done.returncode == 1
    assert "ConnectionRefusedError" in done.stdout


def scraped(port: int, path: str = "/metrics", token: str = TOKEN) -> tuple[int, str]:
    """What a scrape is answered. The path is sent as it stands."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.putrequest("GET", path)
    connection.putheader("Authorization", f"Bearer {token}")
    connection.endheaders()
    with closing(connection):
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


@pytest.mark.parametrize("number", REPLICAS, ids=REPLICAS.values())
def test_prometheus_reads_from_within(running: Running, number: int) -> None:
    assert scraped(running.port + number, token="wrong")[0] == 401
    code, text = scraped(running.port + number)
    assert code == 200
    told = {family.name: family for family in text_string_to_metric_families(text)}
    assert told["django_pm_sockets_open"].samples[0].value == 0, "all that listened have gone"
    routes = {sample.labels.get("route") for sample in told["django_pm_http_request_seconds"].samples}
    assert "django_pm:project-list" in routes, "of all processes that share the folder"


FORMS = ["/metrics", "//metrics", "/%6Detrics", "/metrics/", "/metrics?a=1", "/x/../metrics", "/ws/../metrics"]
FORMS += ["/static/../metrics", "/ws/metrics", "/metrics%2F", "/./metrics", "/METRICS", "/ws/..%2fmetrics"]


@pytest.mark.parametrize("path", [*FORMS, "http://127.0.0.1/metrics"])
def test_nobody_reads_metrics_through_the_gateway(running: Running, path: str) -> None:
    code, text = scraped(running.port, path)
    assert code in (404, 426)
    assert "django_pm_" not in text


def test_a_balancer_in_front_is_told_through_the_gateway(running: Running) -> None:
    assert running.browser.ask("/healthz").text == "alive\n"
    assert running.browser.ask("/readyz").json["status"] == "ready"


def test_one_of_two_is_killed(running: Running) -> None:
    """Reading goes on at the other, and the one that was killed is started again."""

    def started() -> list[str]:
        return re.findall(r"spawned: 'api-1' with pid (\d+)", running.said("out"))

    (before,) = started()
    sign_in(running.browser, USER)
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
