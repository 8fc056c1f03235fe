"""docs/asvs.md names every requirement of levels 1 and 2 once, and what it links to is there. SECURITY.md as well."""

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "asvs.md"
SECURITY = ROOT / "SECURITY.md"
ROW = re.compile(r"^\| V(\d+)\.(\d+)\.(\d+) \| (\d) \| (.+?) \| (.+?) \| ?(.*?) ?\|$", re.MULTILINE)
ROWS = ROW.findall(PAGE.read_text())
TEST = re.compile(r"\[`(test_\w+)`\]\(([^)]+\.py)\)")
WHOSE = {"django-pm", "both", "the host", "not applicable", "open"}


def test_every_requirement_is_there_once() -> None:
    """So many has 5.0.0 of each level."""
    assert Counter(row[3] for row in ROWS) == {"1": 70, "2": 183}
    numbers = [tuple(map(int, row[:3])) for row in ROWS]
    assert numbers == sorted(set(numbers))
    assert f"All {len(ROWS)} requirements" in PAGE.read_text()


def test_each_is_somebodys_and_says_how() -> None:
    for *number, _level, _what, whose, how in ROWS:
        assert whose in WHOSE, number
        assert how or whose == "the host", number


def test_what_is_open_is_said_at_the_top() -> None:
    (sentence,) = re.findall(r"^Five are open: (.+?)\. What", PAGE.read_text(), re.MULTILINE)
    said = re.findall(r"V[\d.]+\d", sentence)
    assert len(said) == 5
    assert said == [f"V{a}.{b}.{c}" for a, b, c, _level, _what, whose, _how in ROWS if whose == "open"]


@pytest.mark.parametrize("page", [PAGE, SECURITY], ids=lambda page: page.name)
def test_each_test_exists(page: Path) -> None:
    found = TEST.findall(page.read_text())
    assert len(found) > 10
    for name, target in found:
        assert re.search(rf"^ *(?:async )?def {name}\(", (page.parent / target).read_text(), re.MULTILINE), name


def test_each_promise_has_a_test() -> None:
    promises = SECURITY.read_text().split("## What we promise")[1].split("\n## ")[0]
    items = re.split(r"^- (?=\*\*)", promises, flags=re.MULTILINE)[1:]
    assert len(items) == 6
    for item in items:
        assert TEST.search(item), item
