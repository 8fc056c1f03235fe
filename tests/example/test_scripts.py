"""The small scripts behind `make`: they refuse in one line that says what to do."""

import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.example.site import ROOT, free_port


def check_port(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `scripts/check_port.py`."""
    script = ROOT / "scripts" / "check_port.py"
    return subprocess.run([sys.executable, str(script), *arguments], capture_output=True, text=True, check=False)


def find_python(*arguments: str, path: Path) -> subprocess.CompletedProcess[str]:
    """Run `scripts/find_python.sh` where only the commands in `path` exist."""
    shell = shutil.which("sh")
    assert shell
    return subprocess.run(
        [shell, str(ROOT / "scripts" / "find_python.sh"), *arguments],
        env={"PATH": str(path)},
        capture_output=True,
        text=True,
        check=False,
    )


def command(folder: Path, name: str, script: str) -> None:
    """Put a command into a folder."""
    file = folder / name
    file.write_text(f"#!{shutil.which('sh')}\n{script}\n")
    file.chmod(0o755)


def test_a_free_port_is_fine() -> None:
    done = check_port(str(free_port()))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])  # noqa: S104
def test_a_port_in_use_is_one_line(address: str) -> None:
    with socket.socket() as listener:
        listener.bind((address, 0))
        listener.listen()
        port = listener.getsockname()[1]
        done = check_port(str(port))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"Port {port} is in use" in done.stderr
    assert "make demo PORT=" in done.stderr


@pytest.mark.parametrize("arguments", [["http"], ["0"], ["65536"], ["-1"], [], ["80", "81"]])
def test_what_is_no_port_is_one_line(arguments: list[str]) -> None:
    done = check_port(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("Not a port")
    assert done.stderr.count("\n") == 1


def test_python_is_found_behind_names_that_do_not_run(tmp_path: Path) -> None:
    command(tmp_path, "python3", "exit 127")
    command(tmp_path, "python3.12", f'exec "{sys.executable}" "$@"')
    done = find_python(path=tmp_path)
    assert (done.returncode, done.stdout) == (0, "python3.12\n")


def test_no_python_is_one_line(tmp_path: Path) -> None:
    command(tmp_path, "python3", "exit 1")  # as an older one answers when asked for 3.11
    done = find_python(path=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Python 3.11 or newer is needed" in done.stderr
    assert done.stderr.count("\n") == 1


def test_python_without_venv_is_one_line(tmp_path: Path) -> None:
    command(tmp_path, "python3", 'case "$2" in *ensurepip*) exit 1;; esac')
    done = find_python(path=tmp_path)
    assert done.returncode == 1
    assert "python3-venv" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_named_python_is_the_only_one_asked(tmp_path: Path) -> None:
    command(tmp_path, "python3", f'exec "{sys.executable}" "$@"')
    done = find_python("python2", path=tmp_path)
    assert done.returncode == 1
    assert "tried: python2" in done.stderr
