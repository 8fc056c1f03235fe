"""Servers in processes of their own, over the database of the test.

A server that starts takes about a second, so those that no test changes are kept until the tests end.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import httpx
from django.db import connection

from django_pm.events import feed
from tests.events.workers import database_url
from tests.example.site import ROOT, free_port, wait_until_it_listens
from tests.factories import PASSWORD
from tests.realtime.conftest import HOST, PATIENCE, Address

PUBSUB = "channels_redis.pubsub.RedisPubSubChannelLayer"
QUEUES = "channels_redis.core.RedisChannelLayer"
IN_MEMORY = "channels.layers.InMemoryChannelLayer"

SERVERS = {
    "uvicorn": ["uvicorn", "--host", HOST, "--log-level", "warning", "--no-access-log", "--lifespan", "off"],
    "daphne": ["daphne", "--bind", HOST, "--verbosity", "0"],
}


class Server(Address):
    """An ASGI server that is a process of its own."""

    def __init__(
        self,
        kind: str,
        *options: str,
        layer: Any = None,
        pace: Any = None,
        listener: socket.socket | None = None,
    ) -> None:
        super().__init__(listener.getsockname()[1] if listener else free_port())
        descriptors = [listener.fileno()] if listener else []
        where = [f"--fd={descriptors[0]}"] if listener else [f"--port={self.port}"]
        self.kind = kind
        self.log = Path(tempfile.mkstemp(suffix=".log")[1])
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "PM_TEST_DATABASE_URL": database_url(),
            "PM_TEST_CHANNEL_LAYERS": json.dumps({"default": layer} if layer else {}),
            "PM_TEST_PACE": json.dumps(pace or {}),
        }
        command = [sys.executable, "-m", *SERVERS[kind], *where, *options, "tests.testsite.asgi:application"]
        with self.log.open("w") as output:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=output, stderr=output, pass_fds=descriptors
            )

    def wait(self) -> None:
        """Return once it answers."""
        wait_until_it_listens(self.port, self.process, self.log)

    def post(self, path: str, body: Any, user: Any) -> Any:
        """What the API of this process answers to `user`; 201 or fail."""
        login = user.get_username()
        response = httpx.post(self.origin + path, json=body, auth=(login, PASSWORD), timeout=PATIENCE, trust_env=False)
        assert response.status_code == 201, response.text
        return response.json()

    def add_task(self, project: Any, user: Any) -> Any:
        """A task, written by this process."""
        body = {"project": project.pk, "title": "Dig", "due_date": "2031-01-01T00:00:00Z"}
        return self.post("/tasks/", body, user)

    def memory(self) -> int:
        """Its resident memory in bytes."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def sockets(self) -> int:
        """How many connections it holds open, those to Redis and to the database among them."""
        descriptors = Path(f"/proc/{self.process.pid}/fd")
        return sum(os.path.realpath(each).rpartition("/")[2].startswith("socket:") for each in descriptors.iterdir())

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.log.unlink(missing_ok=True)


class Servers:
    """`servers("daphne", …)`: one that runs, for all tests that want it; `apart` has one for a single test."""

    def __init__(self) -> None:
        self._running: dict[str, Server] = {}

    def __call__(self, kind: str = "uvicorn", *options: str, layer: Any = None) -> Server:
        key = json.dumps([kind, options, layer])
        if key not in self._running:
            self._running[key] = Server(kind, *options, layer=layer)
            self._running[key].wait()
        return self._running[key]

    @contextmanager
    def apart(self, number: int = 1, *, kind: str = "uvicorn", **settings: Any) -> Iterator[list[Server]]:
        """So many servers that are stopped, or killed, when the block ends; they start side by side."""
        found = [Server(kind, **settings) for _ in range(number)]
        try:
            for server in found:
                server.wait()
            yield found
        finally:
            for server in found:
                server.kill()

    def are_idle(self) -> bool:
        """Whether none of them asks the database anything: they let go of it with their last socket."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )
            return cursor.fetchone()[0] == 0

    def stop(self) -> None:
        for server in self._running.values():
            server.kill()


class Follower:
    """Somebody who follows a project at a server, and sees to it that they hear each event once and in order."""

    def __init__(self, server: Server, user: Any, project: Any) -> None:
        self.user, self.project = user, project
        self._entered = server.socket(user)

    def __enter__(self) -> Self:
        self.socket = self._entered.__enter__()
        self.seq = self.socket.frame("welcome")["heads"][str(self.project.pk)]
        return self

    def __exit__(self, *error: Any) -> None:
        self._entered.__exit__(*error)

    def hears(self, seconds: float) -> bool:
        """Whether an event comes in so many seconds."""
        try:
            frame = json.loads(self.socket.websocket.recv(timeout=seconds))
        except TimeoutError:
            return False
        if frame["type"] == "heartbeat":
            return self.hears(seconds)
        self.seq += 1
        assert frame["seq"] == self.seq
        return True

    def hears_all(self, seconds: float = PATIENCE) -> bool:
        """Whether everything that is there by now is heard, with no pause longer than that."""
        head = feed.read(self.project.pk, limit=1).head
        while self.seq < head and self.hears(seconds):
            pass
        return self.seq == head

    def hears_at_once_from(self, writer: Server) -> bool:
        """Have `writer` write until that is heard: a hint may be lost while a layer connects, but not every one."""
        for _ in range(PATIENCE * 2):
            writer.add_task(self.project, self.user)
            if self.hears_all(0.5):
                return True
        return False


def layer_at(url: str, backend: str, prefix: str) -> dict[str, Any]:
    """A channel layer as docs/realtime.md recommends it, at another address."""
    host = {**recommended()["default"]["CONFIG"]["hosts"][0], "address": url}
    return {"BACKEND": backend, "CONFIG": {"hosts": [host], "prefix": prefix}}


def recommended() -> Any:
    """`CHANNEL_LAYERS` as in docs/realtime.md."""
    text = (ROOT / "docs" / "realtime.md").read_text()
    block = text[text.index("    CHANNEL_LAYERS = {") :].partition("\n\n")[0]
    names: dict[str, Any] = {}
    exec("\n".join(line[4:] for line in block.splitlines()), {}, names)  # noqa: S102 (our own page)
    return names["CHANNEL_LAYERS"]


def until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """Wait for `condition`, and return what it returned; for processes, which take longer than threads."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.05)
    return found
