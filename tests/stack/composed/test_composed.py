"""`docker compose up`, and the commands that docs/ have for what it starts.

`make composed` runs this, where there is a Docker engine: the images are built, and the others pulled. Neither is
possible wherever the rest of the suite is, so it is no part of `make test`.
"""

import json
import os
import re
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.example.site import ROOT, Browser
from tests.serving.conftest import frame, listen
from tests.stack.composed.conftest import STARTED, TOKEN, USER, Composed
from tests.stack.running import sign_in, until
from tests.stack.test_compose import SITE

LOOK = "id -u; grep CapEff /proc/self/status; touch /x || :"


def made(composed: Composed, name: str) -> Any:
    """A project of this name."""
    return composed.browser.ask("/projects/", user=USER, json_body={"name": name}).json["id"]


def test_a_task_goes_through_every_service(composed: Composed) -> None:
    browser = Browser(composed.url)
    project = made(composed, "Moon base")
    with listen(composed.url, sign_in(browser, USER)) as ws:
        frame(ws, "welcome")
        due = (datetime.now(UTC) + timedelta(hours=3)).isoformat()
        body = {"project": project, "title": "Dig", "due_date": due}
        assert composed.browser.ask("/tasks/", user=USER, json_body=body).status == 201
        assert frame(ws, "task.created")["changes"]["title"] == [None, "Dig"]
    until(lambda: "Due soon: Dig" in composed.subjects(), "the reminder")
    assert "ok      mail server" in composed.manage("pm_doctor")


def test_static_files_come_from_the_gateway_and_metrics_do_not(composed: Composed) -> None:
    assert composed.browser.ask("/static/admin/css/base.css").status == 200
    assert composed.browser.ask("/metrics").status == 404


READ = """
import socket, urllib.request
for name in ("api", "realtime"):
    for *_, (address, port) in socket.getaddrinfo(name, 8000, socket.AF_INET, socket.SOCK_STREAM):
        url, headers = f"http://{address}:{port}/metrics", {"Authorization": "Bearer %s"}
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
            print(name, "django_pm_sockets_open" in answer.read().decode())
"""


def test_prometheus_finds_each_replica_by_the_name_of_its_service(composed: Composed) -> None:
    """As `dns_sd_configs` has it look: by address."""
    said = composed.compose("exec", "-T", "worker-mail", "python", "-c", READ % TOKEN)
    assert sorted(said.splitlines()) == ["api True", "api True", "realtime True", "realtime True"]


def test_what_a_replica_says_that_it_needs(composed: Composed) -> None:
    components = composed.browser.ask("/readyz").json["components"]
    assert components == dict.fromkeys(("database", "migrations", "cache", "channel layer", "broker"), "ok")


def test_no_root_and_no_place_to_write(composed: Composed) -> None:
    for service in set(SITE) - {"migrate"}:
        said = composed.compose("exec", "-T", service, "sh", "-c", LOOK)
        assert said.split() == ["10001", "CapEff:", "0" * 16]
    assert composed.compose("exec", "-T", "gateway", "id", "-u").strip() == "101"


@contextmanager
def people(composed: Composed, task: Any) -> Iterator[Counter[tuple[str, int]]]:
    """Two who read and two who write all the time; what they were answered, by method and status.

    Each request has a connection of its own: one that is idle when nginx reads its configuration is closed.
    """
    token = composed.browser.ask("/tokens/", user=USER, json_body={"name": "Load", "scope": "write"}).json["secret"]
    url, headers = f"{composed.url}/tasks/{task}/comments/", {"Authorization": f"Bearer {token}"}
    answers: Counter[tuple[str, int]] = Counter()
    enough = threading.Event()

    def ask(method: str, body: Any) -> None:
        while not enough.wait(0.01):
            try:
                status = httpx.request(method, url, headers=headers, json=body, timeout=30).status_code
            except httpx.TransportError:
                status = 0
            answers[method, status] += 1

    asking = 2 * [("GET", None), ("POST", {"content": "Still here"})]
    threads = [threading.Thread(target=ask, args=each) for each in asking]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        enough.set()
        for thread in threads:
            thread.join()


def test_a_rollout_fails_no_request(composed: Composed) -> None:
    body = {"project": made(composed, "Mars base"), "title": "Land", "due_date": "2031-01-01T00:00:00Z"}
    task = composed.browser.ask("/tasks/", user=USER, json_body=body).json["id"]
    before = {each["ID"] for each in composed.containers() if each["Service"] in SITE}
    with people(composed, task) as answers:
        time.sleep(2)  # of usual work, before and after
        composed.run("scripts/compose_rollout.sh", "--without-gateway", TAG="second")
        time.sleep(2)
    print(dict(answers))  # noqa: T201 (how many it were)
    assert set(answers) == {("GET", 200), ("POST", 201)}
    composed.environment["TAG"] = "second"
    now = [each for each in composed.containers() if each["Service"] in SITE]
    assert len(now) == len(before)
    assert not before & {each["ID"] for each in now}
    assert {each["Image"] for each in now} == {"django-pm-site:second"}
    count = composed.browser.ask(f"/tasks/{task}/comments/?count=true", user=USER).json["count"]
    assert count == answers["POST", 201]
    until(composed.is_whole, "all are healthy", STARTED, pause=1)


def test_a_release_that_does_not_get_ready_is_taken_back(composed: Composed) -> None:
    before = {each["ID"] for each in composed.containers() if each["Service"] == "api"}
    with pytest.raises(AssertionError, match="The old containers of api go on"):
        composed.run("scripts/compose_rollout.sh", "--without-gateway", TAG="third", PATIENCE="0")
    assert {each["ID"] for each in composed.containers() if each["Service"] == "api"} == before
    assert {composed.browser.ask("/readyz").status for _ in range(20)} == {200}
    assert "resolve" in composed.compose("exec", "-T", "gateway", "cat", "/etc/nginx/conf.d/default.conf")


def test_backup_and_restore_as_docs_say(composed: Composed, tmp_path: Any) -> None:
    lines = re.findall(r"^    (docker compose .+)$", (ROOT / "docs" / "backup.md").read_text(), re.MULTILINE)
    assert len(lines) > 8
    dump, *restore = [line.replace("pm.dump", str(tmp_path / "pm.dump")) for line in lines]
    kept = made(composed, "Kept")
    path = f"/projects/{kept}/events/?since=0"
    feed = composed.browser.ask(path, user=USER).json
    composed.run("sh", "-ec", dump)
    lost = made(composed, "Lost")
    composed.run("sh", "-ec", "\n".join(restore))
    until(composed.is_ready, "the site is back", STARTED, pause=1)
    assert composed.browser.ask(f"/projects/{kept}/", user=USER).json["name"] == "Kept"
    assert composed.browser.ask(f"/projects/{lost}/", user=USER).status == 404
    again = composed.browser.ask(f"{path}&epoch={feed['epoch']}", user=USER)
    assert again.status == 410, "who has read before begins anew"
    until(composed.is_whole, "all are healthy", STARTED, pause=1)


def test_what_compose_makes_of_the_file(composed: Composed) -> None:
    """With what it merges and puts in, each service is still kept within bounds."""
    read = json.loads(composed.compose("config", "--format", "json"))["services"]
    for service in read.values():
        assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_without_secrets_nothing_starts(composed: Composed) -> None:
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        ["docker", "compose", "--env-file", os.devnull, "up"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode
    assert "required variable" in done.stderr
