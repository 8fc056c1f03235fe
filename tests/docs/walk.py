"""Follows a page of docs/ as a reader would: writes its files, types its commands, compares what is printed.

- A block whose first line is a comment with a path is a file. It is made, or the lines are added to what is there.
- A block of `shell` is typed. What serves or listens runs on, until another server is started or the walk ends. What
  makes a virtual environment and installs is not typed: the walk has this checkout, and everything it needs.
- A block of `text` is what the commands before it print, or is printed sooner or later by what runs on; `…` stands for
  anything.

Where the page says port 8000 a free one is taken, for that may be in use.
"""

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.example.site import ROOT, free_port, wait_until_it_listens

SECONDS = 60

NAMED = re.compile(r"(?:#|//|<!--) ([\w./-]+\.\w+)(?: -->)?\n")
INSTALLS = re.compile(r"python -m venv |\. \.venv/|python -m pip install ")
SERVES = re.compile(r"python manage\.py runserver|uvicorn ")
RUNS_ON = re.compile(rf"{SERVES.pattern}|python receiver\.py|python listen\.py|python manage\.py (pm_run$|.* --watch)")


# Keeps a test fast. Nothing of this is for a site.
FOR_THE_TEST = """
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
"""


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    body: str

    @property
    def path(self) -> str:
        """Which file it is; empty if it is none."""
        named = NAMED.match(self.body)
        return named[1] if named else ""


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page of docs/, in their order."""
    text = (ROOT / "docs" / page).read_text()
    return [Block(*found) for found in re.findall(r"^```(\w+)\n(.+?)^```$", text, re.MULTILINE | re.DOTALL)]


class Walk:
    """A reader's folder and terminals."""

    def __init__(self, folder: Path) -> None:
        self.home = self.folder = folder
        self.port = free_port()
        self.running: dict[str, tuple[subprocess.Popen[bytes], Path]] = {}
        self.printed = ""
        kept = {name: os.environ[name] for name in ("HOME", "TMPDIR") if name in os.environ}
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        self.environment = {**kept, "PATH": path, "PYTHONUTF8": "1", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}

    def follow(self, page: str, *, since: str = "", until: str = "") -> None:
        """Carry out every block of a page: from the first that begins with `since` on, those before `until`."""
        found = blocks(page)
        first = next(number for number, block in enumerate(found) if block.body.startswith(since))
        for block in found[first:]:
            if until and block.body.startswith(until):
                return
            self.carry_out(block)

    def carry_out(self, block: Block) -> None:
        """Carry out one block."""
        body = re.sub(r"\b8000\b", str(self.port), block.body)
        if block.path:
            self.write(block.path, body)
        elif block.language == "shell":
            self.type(body)
        elif block.language == "text":
            self.expect(body)
        else:
            raise AssertionError(f"What is to be done with this?\n{block.body}")

    def write(self, path: str, body: str) -> None:
        """Make a file of the page, or add its lines to the one that is there."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a") as opened:
            opened.write(("\n" if file.stat().st_size else "") + body)
            if file.name == "settings.py":
                opened.write(FOR_THE_TEST)

    def type(self, body: str) -> None:
        """Type the commands of a block."""
        if RUNS_ON.match(body):
            self.start(body.strip())
            return
        lines = [line for line in body.splitlines() if not INSTALLS.match(line)]
        where = self.home / "where"
        done = subprocess.run(
            ["sh", "-e", "-c", "\n".join([*lines, f"pwd > '{where}'"])],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{body}\n{done.stdout}{done.stderr}"
        self.folder, self.printed = Path(where.read_text().strip()), done.stdout

    def start(self, command: str) -> None:
        """Start something that runs on; a server takes the place of the one before it."""
        serves = bool(SERVES.match(command))
        if serves:
            self.stop("server")
        log = self.home / f"{len(self.running)}.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                command.split() + (["--noreload"] if "runserver" in command else []),
                cwd=self.folder,
                env={**self.environment, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.running["server" if serves else command] = process, log
        if serves:
            wait_until_it_listens(self.port, process, log)

    def stop(self, name: str) -> None:
        """End what runs on."""
        if name in self.running:
            process, _log = self.running.pop(name)
            process.terminate()
            process.wait(timeout=SECONDS)

    def expect(self, body: str) -> None:
        """Compare with what was printed, or wait until what runs on prints it."""
        lines = (r"(?s:.*)" if line.strip() == "…" else wild(line) for line in body.strip().splitlines())
        wanted = re.compile("\n".join(lines).replace("(?s:.*)\n", "(?s:.*)"))
        deadline = time.monotonic() + SECONDS * bool(self.running)
        while not (wanted.fullmatch(self.printed.strip()) or wanted.search(self.told())):
            assert time.monotonic() < deadline, f"told:\n{body}\nprinted:\n{self.printed}{self.told()}"
            time.sleep(0.05)

    def told(self) -> str:
        """What was printed by all that runs on."""
        return "".join(log.read_text() for _process, log in self.running.values())


def wild(line: str) -> str:
    """A line as a pattern in which `…` stands for anything."""
    return ".*".join(re.escape(part) for part in line.rstrip().split("…"))


@contextlib.contextmanager
def walk(folder: Path) -> Iterator[Walk]:
    """A walk in a folder, of which nothing goes on running afterwards."""
    reader = Walk(folder)
    try:
        yield reader
    finally:
        for name in list(reader.running):
            reader.stop(name)
