"""A PostgreSQL of a test's own, to stop, to restart and to crash."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.example.site import lasting_port

HOST = "127.0.0.1"


class PostgreSQL:
    """A server in a folder of its own, which whoever runs the tests owns; `postgres` does where that is root."""

    def __init__(self, folder: Path, programs: Path, settings: tuple[str, ...] = ()) -> None:
        self.port = lasting_port()
        self.url = f"postgresql://postgres@{HOST}:{self.port}/postgres"
        self._folder, self._programs, self._settings = folder, programs, settings
        # It refuses to be root.
        self._user = "postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
        shutil.chown(folder, self._user)
        self._run("initdb", "--username", "postgres", "--auth", "trust", "--no-sync", "--encoding", "UTF8")

    def _run(self, program: str, *arguments: str) -> None:
        command = [self._programs / program, "--pgdata", self._folder / "data", *arguments]
        options = {"user": self._user, "group": pwd.getpwnam(self._user).pw_gid} if os.getuid() == 0 else {}
        subprocess.run(command, check=True, cwd=self._folder, stdout=subprocess.DEVNULL, **options)  # type: ignore[call-overload]

    def start(self) -> None:
        settings = [
            f"port={self.port}",
            f"listen_addresses={HOST}",
            f"unix_socket_directories={self._folder}",
            *self._settings,
        ]
        options = " ".join(f"-c {setting}" for setting in settings)
        self._run("pg_ctl", "start", "--wait", "--log", str(self._folder / "log"), "--options", options)

    def stop(self, mode: str = "immediate") -> None:
        """`fast` throws everybody out, `immediate` crashes: what was committed is recovered at the next start."""
        self._run("pg_ctl", "stop", "--mode", mode, "--wait")

    def is_running(self) -> bool:
        return (self._folder / "data" / "postmaster.pid").exists()

    def answers(self) -> bool:
        try:
            psycopg.connect(self.url).close()
        except psycopg.OperationalError:
            return False
        return True


def programs() -> Path:
    """Where Debian has `initdb` and `pg_ctl`, or the shell finds them. Without them the test is skipped."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")) or [Path(shutil.which("initdb") or "")]
    if not found[-1].is_file():
        pytest.skip("no initdb here")
    return found[-1].parent


@contextmanager
def own_postgresql() -> Iterator[PostgreSQL]:
    place = programs()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        server = PostgreSQL(Path(folder), place)
        server.start()
        try:
            yield server
        finally:
            if server.is_running():
                server.stop()
