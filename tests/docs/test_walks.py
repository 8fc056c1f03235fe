"""docs/tutorial.md and each page of docs/howto/, typed as they stand."""

import shutil
from pathlib import Path

import pytest

from tests.docs.walk import RUNS_ON, blocks, walk
from tests.example.site import ROOT, require_curl

GUIDES = sorted(path.name for path in (ROOT / "docs" / "howto").glob("*.md") if path.name != "README.md")


SERVED = "python manage.py runserver"
"""What the tutorial begins with when there is a site."""


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the tutorial's first two steps make."""
    require_curl()
    with walk(tmp_path_factory.mktemp("tutorial")) as reader:
        reader.follow("tutorial.md", until=SERVED)
        return reader.folder


def test_the_tutorial_can_be_followed_to_its_end(site: Path, tmp_path: Path) -> None:
    with walk(shutil.copytree(site, tmp_path / "theatre")) as reader:
        reader.follow("tutorial.md", since=SERVED)


@pytest.mark.parametrize("guide", GUIDES)
def test_a_guide_can_be_followed_to_its_end(guide: str, site: Path, tmp_path: Path) -> None:
    with walk(shutil.copytree(site, tmp_path / "theatre")) as reader:
        reader.follow(f"howto/{guide}")


@pytest.mark.parametrize("guide", GUIDES)
def test_a_guide_shows_code_and_that_it_works(guide: str) -> None:
    found = blocks(f"howto/{guide}")
    assert any(block.path for block in found)
    assert any(block.language == "text" or "manage.py test" in block.body for block in found)


def test_every_guide_is_in_the_index() -> None:
    index = (ROOT / "docs" / "howto" / "README.md").read_text()
    assert [guide for guide in GUIDES if f"({guide})" not in index] == []


def test_what_is_left_running_is_known_by_its_command() -> None:
    assert RUNS_ON.match("python manage.py pm_run\n")
    assert not RUNS_ON.match("python manage.py pm_run --once\n")
