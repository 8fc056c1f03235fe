"""What docs/evidence/ shows is whole, small, tells of no machine, and is shown to somebody."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "evidence"
FILES = sorted(FOLDER.iterdir())
PAGES = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
# Folders of a machine, a host behind an `@` of a worker's name, and where packages come from.
MACHINE = re.compile(
    r"(?<![\w.:])/(?:home|root|tmp|work|usr|opt|var|Users)/|\b(?:mail|events|reports)@(?!example)|simple/|pypi"
)


def text(name: str) -> str:
    return (FOLDER / name).read_text()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_page_leads_to_it(path: Path) -> None:
    linked = re.compile(rf"\]\((?:docs/)?evidence/{re.escape(path.name)}\)")
    assert [page.name for page in PAGES if linked.search(page.read_text())]


def test_all_of_it_is_small() -> None:
    assert sum(path.stat().st_size for path in FILES) < 1_500_000


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_is_what_it_is_called(path: Path) -> None:
    if path.suffix == ".png":
        assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    else:
        assert path.suffix == ".txt"
        assert not MACHINE.search(path.read_text())


def test_a_reminder_and_a_report_are_on_their_way() -> None:
    log = text("celery.txt")
    for task in ("send_due_reminders", "send_daily_reports", "send_mail_queue"):
        key = re.findall(rf"Task django_pm\.tasks\.{task}\[(\S+)\] received", log)
        assert key, task
        assert re.search(rf"Task django_pm\.tasks\.{task}\[{key[0]}\] succeeded in [\d.]+s", log)
        assert f"Sending due task django_pm.{task}" in log
    assert len(re.findall(r"^Subject: (?:Due soon: |.+: report of )", log, re.MULTILINE)) == 2


def test_a_client_comes_back() -> None:
    kinds = re.findall(r'^([←→]) \{"type": ?"([\w.]+)"', text("websocket.txt"), re.MULTILINE)
    assert [kind for kind in kinds if kind != ("←", "notification.created")] == [  # the inbox tells when it likes
        ("←", "welcome"),
        ("←", "task.created"),
        ("←", "welcome"),
        ("→", "resume"),
        ("←", "comment.created"),
        ("←", "task.updated"),
        ("←", "resumed"),
        ("→", "ping"),
        ("←", "pong"),
    ]
    numbers = [int(number) for number in re.findall(r'"seq":(\d+)', text("websocket.txt"))]
    assert numbers == list(range(numbers[0], numbers[0] + 3))


def test_the_tests_have_passed() -> None:
    lines = text("tests.txt").splitlines()
    assert lines[0].startswith("$ make test")
    results = [line for line in lines if re.search(r" in [\d.]+s", line)]
    assert len(results) >= 2
    assert not any("failed" in line or "error" in line for line in results)
