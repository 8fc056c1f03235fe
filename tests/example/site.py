"""The example site in a process of its own, with a data folder of its own."""

import base64
import contextlib
import http.cookiejar
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
MANAGE = ROOT / "example_project" / "manage.py"
START_SECONDS = 30

# What `make demo` starts: HTTP and the sockets of live notifications from one process.
LIVE_SERVER = [sys.executable, "-m", "uvicorn", "--app-dir", str(MANAGE.parent), "--timeout-graceful-shutdown", "1"]
LIVE_SERVER += ["--log-level", "warning", "config.asgi:application", "--port"]
# HTTP alone, over WSGI.
HTTP_THREADS = 4
HTTP_SERVER = [sys.executable, "-m", "granian", "--interface", "wsgi", "--blocking-threads", str(HTTP_THREADS)]
HTTP_SERVER += ["--log-level", "warning", "config.wsgi:application", "--port"]


@dataclass(frozen=True)
class Answer:
    """What the site answered."""

    status: int
    headers: Any
    text: str

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.text)


class Browser:
    """Sends requests and, as browsers do, keeps the cookies it is given. Uses no proxy."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.cookies = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(self.cookies)
        )

    def ask(
        self,
        path: str,
        *,
        user: str = "",
        token: str = "",
        method: str | None = None,
        json_body: Any = None,
        form: dict[str, str] | None = None,
    ) -> Answer:
        """Send one request, as the named sample user or with a token if given."""
        headers = {}
        data = None
        if user:
            headers["Authorization"] = "Basic " + base64.b64encode(f"{user}:demo".encode()).decode()
        if token:
            headers["Authorization"] = f"Token {token}"
        if json_body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(json_body).encode()
        elif form is not None:
            csrf = next((cookie.value for cookie in self.cookies if cookie.name == "csrftoken"), "")
            data = urllib.parse.urlencode({"csrfmiddlewaretoken": csrf, **form}).encode()
        request = urllib.request.Request(  # noqa: S310 -- always the site on this machine
            self.base_url + path, data=data, headers=headers, method=method
        )
        try:
            with self.opener.open(request, timeout=20) as response:
                return Answer(response.status, response.headers, response.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read().decode())


class Site:
    """One data folder, and the commands and the server that work on it."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.folder = folder
        self.variables = variables
        self.url = ""

    def environment(self, **variables: str) -> dict[str, str]:
        """The environment of a demo; nothing of this process's own configuration gets in."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "SYSTEMROOT") if name in os.environ}
        return kept | {"PM_DATA_DIR": str(self.folder), "PM_DEMO": "1", "PYTHONUTF8": "1"} | self.variables | variables

    def manage(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run one management command to its end."""
        return subprocess.run(
            [sys.executable, str(MANAGE), *arguments],
            env=self.environment(**variables),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def must_manage(self, *arguments: str, **variables: str) -> str:
        """Run one management command that has to succeed; return what it prints."""
        done = self.manage(*arguments, **variables)
        assert done.returncode == 0, f"{arguments} failed:\n{done.stdout}{done.stderr}"
        return done.stdout

    @contextlib.contextmanager
    def served(
        self, *command: str, port: int = 0, log_name: str = "server.log", **variables: str
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Serve the site on a free port until the block ends; gives the server's process.

        By Django's development server, unless by `command`, which gets the port as its last argument.
        """
        port = port or free_port()
        self.url = f"http://127.0.0.1:{port}"
        log = self.folder / log_name
        with log.open("w") as output:
            server = subprocess.Popen(
                [*command, str(port)]
                if command
                else [sys.executable, str(MANAGE), "runserver", "--noreload", str(port)],
                cwd=MANAGE.parent,
                env=self.environment(**variables),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            try:
                wait_until_it_listens(port, server, log)
                yield server
            finally:
                server.terminate()
                server.wait(timeout=10)

    def browser(self) -> Browser:
        """A browser that nobody has signed in with yet."""
        return Browser(self.url)


@contextlib.contextmanager
def own_database() -> Iterator[dict[str, str]]:
    """What the environment tells the site of its database: nothing for SQLite, which it keeps in its own folder."""
    server = os.environ.get("PM_TEST_DATABASE_URL", "")
    if not server.startswith(("postgres", "pgsql")):
        yield {}
        return
    import psycopg

    name = f"pm_example_{uuid.uuid4().hex[:10]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        try:
            yield {"DATABASE_URL": urllib.parse.urlsplit(server)._replace(path=f"/{name}").geturl()}
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def require_curl() -> None:
    """Skip the test where there is no curl to type; fail where everything has to be there."""
    if not shutil.which("curl"):
        if os.environ.get("PM_REQUIRE_SERVICES") == "1":
            pytest.fail("curl is needed and missing")
        pytest.skip("needs curl")


def free_port() -> int:
    """A port that nothing listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def lasting_port() -> int:
    """The same for a server that is to be killed and started again, from among those that Linux gives to no client.

    Else a connection of somebody else may have it when the server comes back.
    """
    while True:
        port = random.randrange(10_000, 32_000)  # noqa: S311 (a draw, no secret)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def wait_until_it_listens(
    port: int, server: subprocess.Popen[bytes], log: Path, seconds: float = START_SECONDS
) -> None:
    """Return once the port takes connections; fail at once when the server has ended instead."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert server.poll() is None, f"The server ended:\n{log.read_text()}"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"The server did not answer within {seconds} seconds:\n{log.read_text()}")
