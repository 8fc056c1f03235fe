"""What README says to type works: pasted into a fresh site, and against the demo.

The samples run as they stand. `curl` is told where the site really is by its configuration file, so that port 8000 may
be taken.
"""

import ast
import contextlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from django_pm.models import Role
from tests.example.site import free_port, require_curl, wait_until_it_listens

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
SECONDS = 30

# `ben` of the demo, and what keeps a test fast. Nothing of this is for a site.
FOR_THE_TEST = """
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
"""
MAKE_BEN = "from django.contrib.auth.models import User; User.objects.create_user('ben', password='demo')"


def blocks(language):
    """The fenced blocks of README in this language, in their order."""
    return re.findall(rf"^```{language}\n(.+?)^```$", README, re.MULTILINE | re.DOTALL)


def for_file(name):
    """The lines of README that belong into this file of a site."""
    (block,) = [block for block in blocks("python") if block.startswith(f"# {name}\n")]
    return block


def requests():
    return [block for block in blocks("shell") if block.startswith("curl ")]


# A site to ask


class Site:
    """A Django project in a folder, run by commands as a site owner runs them."""

    def __init__(self, manage, **environment):
        self.manage_file = manage
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        self.environment = {**kept, "PYTHONUTF8": "1", "DJANGO_RUNSERVER_HIDE_WARNING": "true", **environment}

    def manage(self, *arguments):
        done = subprocess.run(
            [sys.executable, str(self.manage_file), *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{arguments} failed:\n{done.stdout}{done.stderr}"

    @contextlib.contextmanager
    def served(self, log):
        """Serve the site while the block runs; gives the port."""
        port = free_port()
        with log.open("w") as output:
            server = subprocess.Popen(
                [sys.executable, str(self.manage_file), "runserver", "--noreload", f"127.0.0.1:{port}"],
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            try:
                wait_until_it_listens(port, server, log)
                yield port
            finally:
                server.terminate()
                server.wait(timeout=SECONDS)


def fresh_site(folder):
    """What `startproject` makes, with README's lines pasted in."""
    subprocess.run([sys.executable, "-m", "django", "startproject", "host", str(folder)], check=True)
    for name, more in (("settings.py", FOR_THE_TEST), ("urls.py", "")):
        with (folder / "host" / name).open("a") as file:
            file.write(for_file(name) + more)
    site = Site(folder / "manage.py")
    commands = [line for block in blocks("shell") for line in block.splitlines() if "manage.py" in line]
    assert commands == ["python manage.py migrate"]
    site.manage("migrate", "--verbosity", "0")
    site.manage("shell", "--verbosity", "0", "--command", MAKE_BEN)
    return site


def demo_site(folder):
    """What `make demo` serves."""
    site = Site(ROOT / "example_project" / "manage.py", PM_DEMO="1", PM_DATA_DIR=str(folder))
    site.manage("migrate", "--verbosity", "0")
    site.manage("demo_seed")
    return site


def answers(block, port, folder):
    """What the commands of one block print, each parsed."""
    (folder / ".curlrc").write_text(
        f'connect-to = "127.0.0.1:8000:127.0.0.1:{port}"\nnoproxy = "*"\nfail-with-body\nsilent\nshow-error\n'
        r'write-out = "\n"'
    )
    done = subprocess.run(
        ["sh", "-e", "-c", block],
        env={"PATH": os.environ["PATH"], "CURL_HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("make", [fresh_site, demo_site], ids=["fresh site", "demo"])
def test_the_requests_work_as_they_stand(make, tmp_path):
    require_curl()
    folder = tmp_path / "site"
    folder.mkdir()
    looking, writing = requests()
    with make(folder).served(tmp_path / "log") as port:
        projects, overdue = answers(looking, port, tmp_path)
        project, task, comment, done, feed = answers(writing, port, tmp_path)
        after, _overdue = answers(looking, port, tmp_path)

    if make is demo_site:
        assert len(projects["results"]) == 3
        assert overdue["results"]
    assert project["name"] == "Summer fair"
    assert len(after["results"]) == len(projects["results"]) + 1
    assert comment["content"] == "The one from last year?"
    assert done["status"] == "completed"
    assert done["completed_at"]
    assert [event["seq"] for event in feed["results"]][:1] == [3]

    (sample,) = map(json.loads, blocks("json"))
    assert list(task) == list(sample)
    varies = {"id", "created_by", "created_at", "updated_at"}
    assert {key: value for key, value in task.items() if key not in varies} == {
        key: value for key, value in sample.items() if key not in varies
    }


# The words around the samples


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def test_every_sample_is_run_by_a_test():
    assert len(blocks("python")) == 3  # the last is run by tests/client/test_docs.py
    assert [block.split()[0] for block in blocks("shell")] == ["make", "make", "python", "python", "curl", "curl"]
    assert len(blocks("json")) == 1
    assert README.count("```") == 2 * len(blocks("python") + blocks("shell") + blocks("json"))
    assert for_file("settings.py")
    assert for_file("urls.py")


def test_installing_takes_five_lines():
    lines = [line for name in ("settings.py", "urls.py") for line in for_file(name).splitlines() if line[0] != "#"]
    commands = [line for block in blocks("shell") for line in block.splitlines() if line.startswith("python ")]
    assert len(lines) + len(commands) == 5


def test_the_commands_are_in_the_makefile():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z]+(?:-[a-z]+)*)", README, re.MULTILINE))
    assert {"demo", "test", "demo-reset"} <= named
    assert named <= targets


def test_the_roles_are_those_of_the_code():
    table = README.split("## Who may do what")[1].split("##")[0]
    assert re.findall(r"^\| (\w+) \| (?!may)", table, re.MULTILINE) == Role.values


def test_the_versions_are_those_of_the_package():
    project = (ROOT / "pyproject.toml").read_text()
    for kind in ("Python", "Django"):
        listed = re.findall(rf'"(?:Programming Language|Framework) :: {kind} :: (\d+\.\d+)"', project)
        (sentence,) = re.findall(rf"{kind} (\d+\.\d+(?:(?:,| to| and)(?: \d+\.\d+))+)", README)
        said = re.findall(r"\d+\.\d+", sentence)
        assert (said[0], said[-1]) == (listed[0], listed[-1])


def test_every_room_is_in_the_architecture():
    table = (ROOT / "docs" / "architecture.md").read_text().split("## The rooms")[1].split("\n\n")[1]
    named = set(re.findall(r"`([\w.]+)/?`", table))
    rooms = {path.name for path in (ROOT / "src" / "django_pm").iterdir()}
    assert named == rooms - {"__init__.py", "__pycache__", "py.typed"}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    """Those to other hosts are looked at only: no network is needed here."""
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _hash, anchor = target.partition("#")
        if ":" in path:
            assert re.fullmatch(r"https?://(127\.0\.0\.1:\d+|[\w-]+(\.[\w-]+)+)(/[\w./~%-]*)?", path), target
            continue
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", linked.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}, target


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_python_samples_can_be_parsed(page):
    for block in re.findall(r"^```python\n(.+?)^```$", page.read_text(), re.MULTILINE | re.DOTALL):
        ast.parse(block)
