"""`scripts/run_both.py`: a server and its companion end together, and leave nobody behind."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.example.site import ROOT

SECONDS = 20
SCRIPT = ROOT / "scripts" / "run_both.py"

# Whoever has begun says so, with the process id, and waits.
SAY = "import os, signal, sys; os.write(1, f'{sys.argv[1]} {os.getpid()}\\n'.encode()); "
WAIT = SAY + "signal.pause()"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SAY}\nwhile True: signal.pause()"

linux = pytest.mark.skipif(sys.platform != "linux", reason="asks what only Linux offers")


class Both:
    """The script at work on two small programs. Its output has an end only when all three have ended."""

    def __init__(self, server: str = WAIT, companion: str = WAIT) -> None:
        commands = [[sys.executable, "-c", server, "server"], [sys.executable, "-c", companion, "companion"]]
        command = [sys.executable, str(SCRIPT), *commands[0], "--", *commands[1]]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True)
        self.pids: dict[str, int] = {}

    def begun(self) -> "Both":
        """Wait until both programs have begun."""
        assert self.process.stdout
        while len(self.pids) < 2:
            name, pid = self.process.stdout.readline().split()
            self.pids[name] = int(pid)
        return self

    def ended(self) -> tuple[int, str]:
        """Wait until everybody has ended; the script's exit code and what was complained about."""
        _output, complaints = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, complaints

    def clear_away(self) -> None:
        """Leave none of them behind, whatever the test has found."""
        if self.process.poll() is None or self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate(timeout=SECONDS)


@pytest.fixture
def both() -> Iterator[type[Both]]:
    """`both(server, companion)` starts; those that still run in the end are killed."""
    started: list[Both] = []

    class Remembered(Both):
        def __init__(self, *programs: str) -> None:
            super().__init__(*programs)
            started.append(self)

    yield Remembered
    for each in started:
        each.clear_away()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_told_to_end_it_ends_both(both, number):
    running = both().begun()
    running.process.send_signal(number)
    assert running.ended() == (0, "")


def test_ctrl_c_in_a_terminal_reaches_all_three(both):
    running = both().begun()
    os.killpg(running.process.pid, signal.SIGINT)
    assert running.ended() == (0, "")


@linux
def test_ctrl_c_at_once_is_no_traceback(both):
    running = both("import time; time.sleep(60)", "import time; time.sleep(60)")
    status = Path(f"/proc/{running.process.pid}/status")
    deadline = time.monotonic() + SECONDS
    # Until it is ready for signals, one ends it like any other program. It has blocked them when it handles this one.
    while not int(re.findall(r"^SigCgt:\t(\w+)$", status.read_text(), re.MULTILINE)[0], 16) & 1 << signal.SIGCHLD - 1:
        assert time.monotonic() < deadline
    os.killpg(running.process.pid, signal.SIGINT)
    assert running.ended() == (0, "")


def test_the_server_takes_the_companion_along(both):
    running = both(SAY + "sys.exit(7)")
    assert running.ended() == (7, "")


def test_a_server_that_is_killed_is_told_as_a_shell_would(both):
    running = both().begun()
    os.kill(running.pids["server"], signal.SIGKILL)
    assert running.ended() == (128 + signal.SIGKILL, "")


def test_a_companion_that_crashes_is_told_of_and_takes_nobody_along(both):
    running = both(WAIT, SAY + "sys.exit(3)").begun()
    assert running.process.stderr
    assert running.process.stderr.readline().startswith("Ended with code 3, and is not started again: ")
    os.kill(running.pids["server"], 0)
    assert running.process.poll() is None
    running.process.send_signal(signal.SIGINT)
    assert running.ended() == (0, "")


@linux
def test_killed_it_leaves_nobody_behind(both):
    running = both().begun()
    running.process.kill()
    assert running.ended() == (-signal.SIGKILL, "")


def test_a_second_ctrl_c_kills_who_does_not_end(both):
    running = both(WAIT, STUBBORN).begun()
    running.process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + SECONDS
    with contextlib.suppress(ProcessLookupError):
        while True:  # until the first one has been seen
            os.kill(running.pids["server"], 0)
            assert time.monotonic() < deadline
    began = time.monotonic()
    running.process.send_signal(signal.SIGINT)
    assert running.ended() == (0, "")
    assert time.monotonic() - began < 5


def test_without_two_commands_it_says_how():
    done = subprocess.run([sys.executable, str(SCRIPT), "true"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "Usage: run_both.py SERVER… -- COMPANION…\n")


def test_make_demo_runs_both():
    makefile = (ROOT / "Makefile").read_text()
    assert "BOTH := $(BIN)/python scripts/run_both.py\n" in makefile
    assert "\t@exec $(DEMO) $(BOTH) $(SERVER) --host 127.0.0.1 --port $(PORT) -- $(MANAGE) pm_run\n" in makefile
