"""The services at work: what Celery logs of a reminder and a report, a client's frames, what Redis is told."""

import json
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
from websockets.sync.client import ClientConnection, connect

from scripts.evidence.files import write
from tests.cache.processes.test_docs import Monitor
from tests.example.site import own_database
from tests.redis_server import Redis, own_redis
from tests.stack.test_walk import PASSWORD, USER, Running, sign_in, until
from tests.tasks.processes.parts import own_rabbitmq

WORKERS = ("beat", "worker-mail", "worker-reports", "worker-events")
WHOLE = 100  # characters of a value in Redis that are shown
STAMP = "%Y-%m-%d %H:%M:%S"


def capture() -> None:
    """Start everything, and write down what is said."""
    with running() as (stack, redis):
        browser = stack.browser
        project = browser.ask("/projects/", user=USER, json_body={"name": "Moon base"}).json["id"]
        browser.ask("/notification-preferences/", user=USER, method="PATCH", json_body={"reports": True})
        session = sign_in(browser)
        celery(stack, project)
        frames(stack, project, session)
        told_to_redis(stack, redis)


@contextmanager
def running() -> Iterator[tuple[Running, Redis]]:
    """The stack, on services of its own. The beat looks every five seconds, where it would every few minutes."""
    with ExitStack() as services:
        database = services.enter_context(own_database())["DATABASE_URL"]
        redis, rabbitmq = services.enter_context(own_redis()), services.enter_context(own_rabbitmq())
        stack = Running(
            Path(services.enter_context(tempfile.TemporaryDirectory())),
            STACK_DATABASE_URL=database,
            STACK_REDIS_URL=redis.url,
            STACK_BROKER_URL=rabbitmq.url,
            LOG_FORMAT="text",
            BEAT_SECONDS="5",
        )
        try:
            stack.start()
            user = stack.command("manage", "createsuperuser", "--noinput", "--username", USER)
            subprocess.run([*user, "--email", f"{USER}@example.com"], env=stack.environment, check=True)
            yield stack, redis
        finally:
            stack.end()


def celery(stack: Running, project: int) -> None:
    """What the beat and the workers log until a reminder, and a report, have arrived."""
    began = datetime.now().astimezone(UTC).strftime(STAMP)
    due = (datetime.now(UTC) + timedelta(hours=3)).isoformat()
    task = stack.browser.ask("/tasks/", user=USER, json_body={"project": project, "title": "Dig", "due_date": due})
    if task.status != 201:
        raise SystemExit(task.text)
    with psycopg.connect(stack.environment["STACK_DATABASE_URL"], autocommit=True) as connection:
        # It was there yesterday already, so that a report of it is due.
        connection.execute("UPDATE django_pm_project SET created_at = created_at - interval '2 days'")
    for subject in ("Due soon: Dig", "Moon base: report"):
        until(lambda subject=subject: f"Subject: {subject}" in stack.said("mailpit-1.log"), subject)
    # The line of the job that sent it comes after the message.
    until(lambda: last(stack, "worker-mail", "send_mail_queue"), "the end of the job that sends")
    lines = [
        f"{found[1]} {name:15} {found[2]}"
        for name in WORKERS
        for found in map(re.compile(r"(\S+ \S+) \w+ [\w.]+: (.+)").match, stack.said(f"{name}-1.log").splitlines())
        if found and found[1] >= began
    ]
    mail = re.findall(r"^(?:Subject|From|To|Date|Message-ID): .+$", stack.said("mailpit-1.log"), re.MULTILINE)
    write(
        "celery.txt",
        [
            "# A task that is due in three hours has just been made, and a report of its project is due.",
            "# All that the beat and the workers of `make stack` logged until both mails were there",
            "# (without the level and name of each logger):",
            *sorted(lines),
            "",
            "# What the mail server was given, without the bodies:",
            *mail,
        ],
    )


def last(stack: Running, worker: str, task: str) -> bool:
    """Whether the last of these tasks that was received has succeeded."""
    found = re.findall(rf"Task django_pm\.tasks\.{task}\[(\S+)\] (received|succeeded)", stack.said(f"{worker}-1.log"))
    return bool(found) and found[-1][1] == "succeeded"


class Socket:
    """A client of the notifications that writes down what it sends and gets."""

    def __init__(self, stack: Running, session: str, lines: list[str], query: str = "") -> None:
        self.url, self.lines = stack.browser.base_url, lines
        lines.append(f"# GET /ws/notifications/{query}")
        self.socket: ClientConnection = connect(
            f"{self.url.replace('http', 'ws')}/ws/notifications/{query}",
            origin=self.url,  # type: ignore[arg-type]
            additional_headers={"Cookie": f"sessionid={session}"},
        )

    def send(self, frame: dict[str, Any]) -> None:
        text = json.dumps(frame)
        self.socket.send(text)
        self.lines.append(f"→ {text}")

    def until(self, kind: str) -> Any:
        """All frames up to one of this type, which is returned."""
        while True:
            text = str(self.socket.recv(timeout=30))
            self.lines.append(f"← {text}")
            if (frame := json.loads(text))["type"] == kind:
                return frame

    def close(self) -> None:
        self.socket.close()
        self.lines.append("# the connection is gone")


def frames(stack: Running, project: int, session: str) -> None:
    """A socket that hears of a change, is away during another, and comes back."""
    browser, lines = stack.browser, ["# → what the client sends, ← what it gets", ""]
    due = "2031-01-01T12:00:00Z"
    socket = Socket(stack, session, lines)
    socket.until("welcome")
    lines.append('# POST /tasks/ {"title": "Lay the cable", …}')
    task = browser.ask(
        "/tasks/", user=USER, json_body={"project": project, "title": "Lay the cable", "due_date": due}
    ).json["id"]
    seen = socket.until("task.created")
    socket.close()
    lines.append(f'# POST /tasks/{task}/comments/, and PATCH /tasks/{task}/ {{"status": "completed"}}')
    browser.ask(f"/tasks/{task}/comments/", user=USER, json_body={"content": "Which colour?"})
    browser.ask(f"/tasks/{task}/", user=USER, method="PATCH", json_body={"status": "completed"})
    socket = Socket(stack, session, lines, "?resume=true")
    welcome = socket.until("welcome")
    socket.send({"type": "resume", "since": {str(project): seen["seq"]}, "epoch": welcome["epoch"]})
    socket.until("resumed")
    socket.send({"type": "ping"})
    socket.until("pong")
    socket.socket.close()
    write("websocket.txt", lines)


def told_to_redis(stack: Running, redis: Redis) -> None:
    """What two processes tell Redis while they answer for the same list, before and after a change."""
    # As the gateway passes requests on; the addresses of further pages belong to what is kept.
    headers = {"Host": f"127.0.0.1:{stack.port}"}
    ours, others = (
        httpx.Client(base_url=f"http://127.0.0.1:{stack.port + number}", auth=(USER, PASSWORD), headers=headers)
        for number in (1, 2)
    )
    tasks = ours.get("/tasks/").raise_for_status().json()["results"]
    change = f"/tasks/{tasks[0]['id']}/"
    ours.patch(change, json={"title": "Lay two cables"}).raise_for_status()
    parts: list[tuple[str, list[str]]] = []
    for what, browser in (
        ("the first process: not there, it takes the lease, keeps the list, gives the lease back", ours),
        ("another process: there", others),
        ("a task is edited; nothing is told to Redis of it", None),
        ("the next reader asks for another key", ours),
    ):
        monitor = Monitor(redis.url)
        if browser:
            browser.get("/tasks/?ordering=title").raise_for_status()
        else:
            ours.patch(change, json={"title": "Lay the cable"}).raise_for_status()
        parts.append((what, [line for line in monitor.end() if "django_pm:answer" in line]))
    lines = ["# redis-cli monitor, without what counts requests; values cut", ""]
    for what, told in parts:
        lines += [f"# {what}", *(re.sub(rf"^(SET \S+ .{{{WHOLE}}}).+( PX \d+)$", r"\1…\2", line) for line in told)]
    write("redis.txt", lines)
