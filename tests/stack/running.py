"""The stack, started by `scripts/stack.py` or a script around it, on servers that the test names."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from xmlrpc.client import ServerProxy

from supervisor.xmlrpc import SupervisorTransport

from tests.example.site import Browser, lasting_port
from tests.stack.conftest import SCRIPT
from tests.tasks.processes.parts import START_SECONDS

PATIENCE = 40
PASSWORD = "demo"  # what `Browser` signs in with


def until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE, pause: float = 0.1) -> Any:
    """What it says once that is true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(pause)
    raise AssertionError(f"{what} did not happen within {seconds} seconds")


class Running:
    """The stack, started and to be ended by Ctrl-C."""

    def __init__(self, folder: Path, script: Path = SCRIPT, **variables: str) -> None:
        self.folder = folder
        self.port = free_ports(5)
        self.browser = Browser(f"http://127.0.0.1:{self.port}")
        self._script = script
        self.environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | {
            "STACK_FOLDER": str(folder),
            "STACK_PORT": str(self.port),
            "STACK_SMTP_PORT": str(lasting_port()),
            "BEAT_SECONDS": "1",
            "API_REPLICAS": "2",
            "REALTIME_REPLICAS": "1",
            "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
            **variables,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, str(self._script), *arguments]

    def start(self) -> None:
        with (self.folder / "out").open("w") as output:
            self.process = subprocess.Popen(
                self.command("up"), env=self.environment, stdout=output, stderr=output, start_new_session=True
            )
        until(self.answers, "the start", START_SECONDS)
        # What the sockets' server says to anything but a socket.
        until(lambda: self.answers("/ws/", 426), "the start of the sockets", START_SECONDS)

    def run(self, *arguments: str) -> str:
        """What a command of the script prints."""
        done = subprocess.run(
            self.command(*arguments), env=self.environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, f"{arguments} failed:\n{done.stdout}{done.stderr}"
        return done.stdout

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

    def supervised(self) -> dict[str, int]:
        """The processes that supervisord knows and has running, by name."""
        transport = SupervisorTransport(None, None, f"unix://{self.folder}/supervisor.sock")
        with ServerProxy("http://127.0.0.1", transport=transport) as supervisor:
            found: Any = supervisor.supervisor.getAllProcessInfo()
        return {each["name"]: each["pid"] for each in found if each["statename"] == "RUNNING"}

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
        return self.process.wait(timeout=2 * PATIENCE)


def sign_in(browser: Browser, user: str) -> str:
    """Sign in by the site's own page; the key of the session."""
    browser.ask("/accounts/login/")
    assert browser.ask("/accounts/login/", form={"username": user, "password": PASSWORD}).status == 200
    return next(str(cookie.value) for cookie in browser.cookies if cookie.name == "sessionid")


def free_ports(number: int) -> int:
    """The first of so many free ports in a row."""
    while True:
        first = lasting_port()
        with ExitStack() as taken, suppress(OSError):
            for port in range(first, first + number):
                taken.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first
