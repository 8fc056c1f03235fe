"""Where captures go, and what must not be in them."""

import getpass
import socket
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "evidence"


def write(name: str, lines: Iterable[str]) -> None:
    """Write the lines, unless they tell of the machine that this runs on."""
    text = "\n".join(lines) + "\n"
    # One that is a word of its own, as `root` is, tells of no machine.
    machine = {str(ROOT), str(Path.home()) + "/", tempfile.gettempdir() + "/", sys.prefix, "@" + socket.gethostname()}
    if getpass.getuser() != "root":
        machine.add(getpass.getuser())
    if told := sorted(word for word in machine if word in text):
        raise SystemExit(f"{name} would tell of this machine: {', '.join(told)}\n{text}")
    place(name).write_text(text, encoding="utf-8")
    print(f"docs/evidence/{name}: {len(text.splitlines())} lines", flush=True)


def place(name: str) -> Path:
    """The path of a capture."""
    FOLDER.mkdir(exist_ok=True)
    return FOLDER / name
