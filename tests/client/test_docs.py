"""The samples of docs/client.md and of README's section on the client work as they stand, against the demo."""

import re
import threading
import time
from collections.abc import Iterator

import pytest

from django_pm import client as room
from tests.example.site import ROOT, Site

PAGE = (ROOT / "docs" / "client.md").read_text()
README = (ROOT / "README.md").read_text()
SECONDS = 20


def samples(text: str) -> list[str]:
    """The Python blocks of a page, in their order."""
    return re.findall(r"^```python\n(.+?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def run(blocks: list[str], site: Site) -> dict:
    """What is defined after the blocks were run, at the address where the site really is."""
    names: dict = {}
    for block in blocks:
        exec(block.replace("http://127.0.0.1:8000/", site.url + "/"), names)  # noqa: S102 -- our own page
    return names


@pytest.fixture
def told(site: Site) -> Iterator[None]:
    """Ben has something unread in his inbox."""
    site.must_manage("pm_relay_events")
    with room.Client(site.url, auth=("mo", "demo")) as pm:
        project = pm.projects.create(name="Regatta")
        pm.members.add(project, user="ben", role="viewer")
        site.must_manage("pm_relay_events")
        yield
        pm.projects.delete(project.id)


def test_the_samples_work_one_after_the_other(site: Site, told: None, capsys: pytest.CaptureFixture) -> None:
    names = run(samples(PAGE), site)
    pm, task = names["pm"], names["task"]
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("Book the tent 20")
    assert printed[1:4] == ["['Summer fair']", "is now: Book two tents", "1"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d 2 open", printed[4])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \[(0, ){13}0\]", printed[5])
    assert printed[6] == "['A day late']"
    unread = int(printed[7].removesuffix(" unread"))
    assert "added Regatta" in printed[8 : 8 + unread]
    printed = printed[8 + unread :]
    assert printed[:4] == ["0 came meanwhile", "watching muted", "['in_app', 'digest'] 7", "{'status_changed': []}"]
    assert printed[4:-2]
    assert int(printed[-2]) == len(printed[4:-2])
    assert printed[-1] == "['due_date', 'title']"
    assert pm.tasks.get(task).description == "\nCalled them."

    # The follower does not end: it is left alone until it has told of what happens.
    titles: dict = {}
    follower = threading.Thread(target=follow_until_closed, args=(names["keep_titles"], titles), daemon=True)
    follower.start()
    wait_for(lambda: len(titles) == 2)
    pm.tasks.update(task.id, title="Book three tents")
    wait_for(lambda: titles[task.id] == "Book three tents")
    pm.close()
    follower.join(SECONDS)
    assert not follower.is_alive()


def follow_until_closed(keep_titles, titles: dict) -> None:
    with pytest.raises(Exception, match="closed"):
        keep_titles(titles)


def wait_for(condition) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_sample_of_the_readme_works(site: Site, capsys: pytest.CaptureFixture) -> None:
    [sample] = [block for block in samples(README) if "django_pm.client" in block]
    names = run([sample], site)
    with room.Client(site.url, auth=("ben", "demo")) as pm:
        assert pm.tasks.get(names["task"]).status == "completed"
    assert capsys.readouterr().out


def test_every_exception_is_told() -> None:
    told = set(
        re.findall(
            r"`(\w+)`", "".join(re.findall(r"^\| (`.+?) \|", PAGE.split("## What can go wrong")[1], re.MULTILINE))
        )
    )
    errors = {
        name
        for name in room.__all__
        if isinstance(getattr(room, name), type) and issubclass(getattr(room, name), Exception)
    }
    assert told == errors - {"PmError"}


def test_every_method_is_told() -> None:
    told = dict(re.findall(r"^\| (`pm\.\w+`(?:, `pm\.\w+`)*) \| (.+?) \|$", PAGE, re.MULTILINE))
    with room.Client("http://127.0.0.1/") as pm:
        for names, methods in told.items():
            for name in re.findall(r"pm\.(\w+)", names):
                there = {each for each in dir(type(getattr(pm, name))) if not each.startswith("_")}
                assert set(re.findall(r"`(\w+)", methods)) == there, name
        assert {name for names in told for name in re.findall(r"pm\.(\w+)", names)} == {
            name for name in vars(pm) if hasattr(getattr(pm, name), "_retry")
        }
