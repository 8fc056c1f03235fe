"""What the distribution promises: its metadata, its extras, and that importing it pulls in nothing optional.

`scripts/check_wheel.py` looks into the built wheel; here is what the checkout alone can tell.
"""

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import django
import pytest
import yaml  # drf-spectacular brings it

import django_pm

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
EXTRAS = PROJECT["optional-dependencies"]
# Every requirement that a site may get; `all` only repeats the others.
RUNTIME = PROJECT["dependencies"] + [line for name in EXTRAS if name != "all" for line in EXTRAS[name]]

# What only an extra brings. The package must come up without any of them having been looked at.
OPTIONAL_MODULES = {
    "celery",
    "channels",
    "channels_redis",
    "daphne",
    "django_redis",
    "httpx",
    "markdown_it",
    "nh3",
    "prometheus_client",
    "redis",
    "uvicorn",
    "websockets",
}


def classified(prefix: str) -> set[str]:
    """The versions that the classifiers under `prefix` name, e.g. {"3.11", "3.12"}."""
    tails = (line.removeprefix(prefix) for line in PROJECT["classifiers"] if line.startswith(prefix))
    return {tail for tail in tails if re.fullmatch(r"\d+\.\d+", tail)}


def tox_pairs() -> set[tuple[str, str, str]]:
    """(Python, Django, database) of each environment in tox.ini's matrix."""
    text = (ROOT / "tox.ini").read_text()
    block = re.search(r"^env_list =\n((?: +.+\n)+)", text, re.MULTILINE)
    assert block
    pairs = set()
    for line in block.group(1).split():
        if match := re.fullmatch(r"py3(\d+)-dj\{?([\d,]+)\}?-\{(\w+),(\w+)\}", line):
            python, djangos, *databases = match.groups()
            pairs |= {
                (f"3.{python}", f"{number[0]}.{number[1:]}", database)
                for number in djangos.split(",")
                for database in databases
            }
    return pairs


def test_type_marker_is_in_the_package():
    assert (Path(django_pm.__file__).parent / "py.typed").is_file()


def test_version_stands_in_one_place():
    assert PROJECT["dynamic"] == ["version"]
    assert "version" not in PROJECT
    source = (ROOT / PYPROJECT["tool"]["hatch"]["version"]["path"]).read_text()
    assert re.findall(r'^__version__ = "(.+)"$', source, re.MULTILINE) == [django_pm.__version__]
    assert importlib.metadata.version("django-pm") == django_pm.__version__


def test_extras_are_the_documented_ones():
    assert set(EXTRAS) == {"all", "celery", "channels", "client", "metrics", "redis", "testing", "ui"}
    assert set(re.findall(r"\w+", EXTRAS["all"][0].split("[")[1])) == set(EXTRAS) - {"all"}
    installed = importlib.metadata.metadata("django-pm")
    assert set(installed.get_all("Provides-Extra") or []) == set(EXTRAS)


def test_every_requirement_has_a_lower_and_an_upper_bound():
    requirements = RUNTIME + [
        line for group in PYPROJECT["dependency-groups"].values() for line in group if isinstance(line, str)
    ]
    unbounded = [line for line in requirements if not re.search(r">=[\d.]+,<[\d.]+$", line)]
    # Facts about the world, not code: whichever is newest is right.
    assert unbounded == ["tzdata>=2025.2"]


def test_every_dependency_is_explained():
    text = (ROOT / "docs" / "dependencies.md").read_text()
    names = [re.split(r"[\[>]", requirement)[0] for requirement in RUNTIME]
    assert [name for name in names if f"`{name}`" not in text] == []


class TestTheRelease:
    """`.github/workflows/release.yml`, which `make lint` has zizmor read; and what a tag has to be."""

    @pytest.fixture
    def workflow(self):
        return yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())

    def test_a_tag_starts_it(self, workflow):
        assert workflow[True] == {"push": {"tags": ["v*"]}}  # YAML reads `on` as yes

    def test_each_job_may_do_what_it_must_and_no_more(self, workflow):
        assert workflow["permissions"] == {}
        assert {name: job["permissions"] for name, job in workflow["jobs"].items()} == {
            "build": {"contents": "read"},
            "publish": {"id-token": "write"},
            "record": {"contents": "write", "id-token": "write", "attestations": "write"},
        }
        assert workflow["jobs"]["publish"]["environment"]["name"] == "pypi"
        assert "secrets." not in json.dumps(workflow)

    def test_actions_are_pinned_to_a_whole_version(self, workflow):
        used = [step["uses"] for job in workflow["jobs"].values() for step in job["steps"] if "uses" in step]
        assert used
        assert [action for action in used if not re.fullmatch(r"[\w/-]+@v\d+\.\d+\.\d+", action)] == []

    @pytest.mark.parametrize(
        ("tag", "version", "heading", "problem"),
        [
            ("v1.2.0", "1.2.0", "## [1.2.0] - 2031-01-02", ""),
            ("v1.2.0rc1", "1.2.0rc1", "## [1.2.0rc1] - 2031-01-02", ""),
            ("1.2.0", "1.2.0", "## [1.2.0] - 2031-01-02", "the tag has to be v1.2.0"),
            ("v1.3.0", "1.2.0", "## [1.2.0] - 2031-01-02", "the tag has to be v1.2.0"),
            ("v1.2.0.dev0", "1.2.0.dev0", "## [1.2.0.dev0] - 2031-01-02", "is no version to release"),
            ("v1.2.0", "1.2.0", "## [Unreleased]", "CHANGELOG.md has no heading"),
        ],
    )
    def test_a_tag_names_the_version_and_the_changelog_tells_of_it(self, tmp_path, tag, version, heading, problem):
        (tmp_path / "scripts").mkdir()
        script = shutil.copy(ROOT / "scripts" / "check_version.py", tmp_path / "scripts")
        (tmp_path / "src" / "django_pm").mkdir(parents=True)
        (tmp_path / "src" / "django_pm" / "__init__.py").write_text(f'__version__ = "{version}"\n')
        (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n{heading}\n")
        done = subprocess.run([sys.executable, script, tag], capture_output=True, text=True, check=False)
        assert done.returncode == bool(problem)
        assert (problem or "can be released") in done.stdout


def test_classifiers_name_what_tox_tests():
    pairs = tox_pairs()
    assert {python for python, _, _ in pairs} == classified("Programming Language :: Python :: ")
    assert {version for _, version, _ in pairs} == classified("Framework :: Django :: ")
    assert {database for _, _, database in pairs} == {"sqlite", "postgres"}
    # Django 6.0 wants Python 3.12; every other pair of the two lists exists.
    assert {(python, version) for python, version, _ in pairs} == {
        (python, version)
        for python in classified("Programming Language :: Python :: ")
        for version in classified("Framework :: Django :: ")
        if version == "5.2" or python != "3.11"
    }


def test_this_django_and_python_are_promised():
    """Meant for tox: the suite must not be green on a pair that the metadata does not name."""
    assert f"{django.VERSION[0]}.{django.VERSION[1]}" in classified("Framework :: Django :: ")
    if sys.version_info < (3, 14):
        assert f"3.{sys.version_info.minor}" in classified("Programming Language :: Python :: ")


@pytest.mark.parametrize("hidden", [False, True], ids=["as installed", "extras hidden"])
def test_import_and_set_up_need_no_extra(hidden):
    """Neither imports an optional module, nor, where there is none, stumbles over that."""
    program = f"""
import json, sys
from importlib.machinery import PathFinder

optional = {OPTIONAL_MODULES!r}
if {hidden}:
    find_spec = PathFinder.find_spec
    PathFinder.find_spec = lambda name, *rest: None if name.partition(".")[0] in optional else find_spec(name, *rest)

def loaded(names):
    return sorted({{name.partition(".")[0] for name in sys.modules}} & names)

import django_pm
early = loaded({{"django", "rest_framework"}})
import django
django.setup()
from django.core.management import call_command
from django.urls import resolve
resolve("/projects/")
call_command("check")
print(json.dumps([early, loaded(optional)]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    early, optional = json.loads(done.stdout.splitlines()[-1])
    assert early == [], "reading the version must not need Django"
    assert optional == []
