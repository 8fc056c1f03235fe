"""`scripts/check_advisories.py` fails where something is known, and never takes silence for an answer."""

import importlib.util
import json
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "check_advisories.py"
KNOWN = {"id": "PYSEC-2031-1", "fix_versions": ["2.0", "1.9.1"], "aliases": ["CVE-2031-1"], "description": "…"}
SOUND = {"name": "django", "version": "5.2.19", "vulns": []}
SKIPPED = {"name": "celery", "skip_reason": "Dependency not found on PyPI and could not be audited: celery (5.7.0)"}


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("check_advisories", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def verdict(script):
    """On a report of these packages."""
    return lambda *packages: script.verdict(json.dumps({"dependencies": packages, "fixes": []}), "")


@pytest.fixture(scope="module")
def failure(script):
    """Without a report."""
    return lambda complaints: script.verdict("", complaints)


def test_nothing_known(verdict):
    assert verdict(SOUND) == (0, ["exercised: advisories of PyPI for 1 packages, 0 found"])


def test_something_known(verdict):
    status, lines = verdict(SOUND, {**SOUND, "name": "x", "version": "1.0", "vulns": [KNOWN]})
    assert status == 1
    assert lines[0] == "x 1.0: PYSEC-2031-1, mended in 2.0, 1.9.1"
    assert verdict({**SOUND, "vulns": [{**KNOWN, "fix_versions": []}]})[1][0].endswith("mended in no version yet")


def test_what_the_environment_brings_is_left_out(verdict):
    assert verdict(SOUND, {"name": "setuptools", "version": "65.5.0", "vulns": [KNOWN]})[0] == 0


def test_an_answer_for_some(verdict):
    status, lines = verdict(SOUND, SKIPPED)
    assert (status, lines[0]) == (0, "PyPI does not answer for celery")
    assert lines[1].startswith("exercised: ")


def test_no_answer_is_said(verdict, failure):
    assert verdict(SKIPPED) == (0, ["not exercised: advisories of PyPI, which was not reached for any of 1 packages"])
    status, lines = failure("Traceback …\nConnectionError: Could not connect to PyPI's vulnerability feed")
    assert status == 0
    (line,) = lines
    assert line.startswith(
        "not exercised: advisories of PyPI, which was not reached: ConnectionError: Could not connect"
    )


def test_another_failure_fails(failure):
    assert failure("No module named pip_audit")[0] == 2
    assert failure("")[0] == 2
