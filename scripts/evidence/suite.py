"""What the tests say at their end."""

import os
import shlex
import subprocess
import sys

from scripts.evidence.files import ROOT, write


def capture(arguments: list[str]) -> None:
    """Run the suite as `make test` does, with these arguments of pytest; a failure ends it here."""
    command = [sys.executable, "scripts/run_tests.py", *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    shown = f'make test ARGS="{shlex.join(arguments)}"' if arguments else "make test"
    # Behind the last empty line each run is told again, with its result, and what was exercised.
    write("tests.txt", [f"$ {shown}", *done.stdout.rstrip().rpartition("\n\n")[2].splitlines()])
