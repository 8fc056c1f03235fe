"""A real HTTP server around the site, and a client that costs next to nothing beside it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.test import Client

HOST = "127.0.0.1"
WORKERS = 2
TOKEN = "b" * 64  # the secret of the CSRF cookie: any will do, as cookie and header must only agree


class Server:
    """A running server: its port, and the processor time that its processes have used."""

    def __init__(self, port: int, process: subprocess.Popen[bytes]) -> None:
        self.port = port
        self._process = process

    def cpu_seconds(self) -> float:
        """User and system time of the server and its workers so far, in steps of the kernel's clock (10 ms)."""
        ticks = 0
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                # The name, in parentheses, may hold blanks.
                fields = path.read_text().rpartition(")")[2].split()
            except OSError:  # gone meanwhile
                continue
            if self._process.pid in (int(path.parent.name), int(fields[1])):
                ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def resident(self) -> int:
        """The memory of the server's first process that is not shared with others or swapped out, in bytes."""
        for line in Path(f"/proc/{self._process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Private_Dirty:"):
                return int(line.split()[1]) * 1024
        raise LookupError("Private_Dirty")


@contextmanager
def serving(application: str = "benchmarks.wsgi:application") -> Iterator[Server]:
    """The site, or another WSGI application, on a free port, in processes of its own."""
    workers = ["--workers", str(WORKERS), "--blocking-threads", "2"]
    command = ["granian", application, "--interface", "wsgi", "--host", HOST, *workers]
    with running([*command, "--log-level", "warning", "--no-ws"]) as server:
        yield server


@contextmanager
def running(command: list[str]) -> Iterator[Server]:
    """The server that ``python -m`` starts with this command, on a free port, in a process of its own."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    settings = os.environ | {"DJANGO_SETTINGS_MODULE": "benchmarks.settings"}
    server = subprocess.Popen([sys.executable, "-m", *command, "--port", str(port)], env=settings, cwd=root())
    try:
        _wait_for(port, server)
        yield Server(port, server)
    finally:
        server.terminate()
        server.wait(timeout=30)


def root() -> Path:
    """Where the repository begins, so that `benchmarks` can be imported."""
    return Path(__file__).resolve().parent.parent


def _wait_for(port: int, server: subprocess.Popen[bytes], seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if server.poll() is not None:
            raise SystemExit("The HTTP server did not start.")
        try:
            socket.create_connection((HOST, port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("The HTTP server does not answer.")


def session_of(user: Any) -> str:
    """The key of a new session of ``user``."""
    client = Client()
    client.force_login(user)
    return client.cookies["sessionid"].value


class Connection:
    """One kept-alive connection of a signed-in browser."""

    tag = ""
    """The last ``ETag`` that came."""

    def __init__(self, port: int, session: str) -> None:
        self._socket = socket.create_connection((HOST, port), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._headers = (
            f"Host: {HOST}:{port}\r\nCookie: sessionid={session}; csrftoken={TOKEN}\r\nX-CSRFToken: {TOKEN}\r\n"
            "Content-Type: application/json\r\nAccept: application/json\r\n"
        )

    def send(self, method: str, path: str, body: dict[str, Any] | None = None, headers: str = "") -> tuple[int, bytes]:
        """One request, with further ``headers`` (lines that end in CR LF); its status and the body of the answer."""
        content = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\n{self._headers}{headers}Content-Length: {len(content)}\r\n\r\n"
        self._socket.sendall(head.encode() + content)
        received = b""
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self._more()
        status = int(received[9:12])
        length = 0
        for line in received[:end].split(b"\r\n")[1:]:
            name, _colon, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
            elif name.lower() == b"etag":
                self.tag = value.strip().decode()
        answer = received[end + 4 :]
        while len(answer) < length:
            answer += self._more()
        return status, answer

    def _more(self) -> bytes:
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionError("The server closed the connection.")
        return data

    def close(self) -> None:
        self._socket.close()
