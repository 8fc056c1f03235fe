"""`follow()` of both clients against a real server: what is told, what a stop of the server costs, and how it ends."""

import asyncio
import contextlib
import json
import queue
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from django.core.management import call_command

from django_pm.client import (
    AccessGained,
    AccessLost,
    AsyncClient,
    Client,
    Event,
    NotSignedIn,
    Position,
    ProjectReset,
    Retry,
    SocketRefused,
    Throttled,
)
from django_pm.events.relay import relay_events
from django_pm.models import Notification, Task
from tests.api.support import new_task, send
from tests.factories import PASSWORD, login_name, make_member, make_project, make_task, make_token, make_user
from tests.realtime.conftest import PATIENCE

pytestmark = pytest.mark.postgres

QUICK = Retry(base=0.05, cap=0.2)
ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


class Told:
    """A follower in a thread of its own: what it gives, and what it raises, one after the other."""

    def __init__(self, kind, url, *, auth, **options):
        self.items = queue.Queue()
        self.follower = None
        self.stop = lambda: None
        run = self.run if kind == "sync" else lambda *arguments: asyncio.run(self.arun(*arguments))
        self.thread = threading.Thread(target=run, args=(url, auth, options), daemon=True)
        self.thread.start()

    def run(self, url, auth, options):
        with Client(url, retry=QUICK, **auth) as pm:
            self.stop = pm.close
            try:
                with pm.follow(**options) as self.follower:
                    for item in self.follower:
                        self.items.put(item)
            except Exception as error:  # for the test to see
                self.items.put(error)

    async def arun(self, url, auth, options):
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        self.stop = lambda: loop.call_soon_threadsafe(task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            async with AsyncClient(url, retry=QUICK, **auth) as pm:
                try:
                    async with pm.follow(**options) as self.follower:
                        async for item in self.follower:
                            self.items.put(item)
                except Exception as error:  # for the test to see
                    self.items.put(error)

    def item(self):
        """The next one."""
        return self.items.get(timeout=PATIENCE)

    def seqs(self, number):
        """The numbers of the next events."""
        return [self.item().seq for _ in range(number)]

    def begun(self):
        """Wait until it has been welcomed."""
        until = time.monotonic() + PATIENCE
        while self.follower is None or not self.follower.positions:
            assert time.monotonic() < until
            assert self.thread.is_alive(), self.items.get(timeout=1)
            time.sleep(0.01)
        return self

    def close(self):
        with contextlib.suppress(RuntimeError):  # it has ended, and its loop with it
            self.stop()
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()


@pytest.fixture(params=["sync", "async"])
def following(request, site, owner):
    """`following(…)`: a follower of the owner's, or of whose `auth` is given."""
    open_ones = []

    def follow(kind=request.param, *, auth=None, **options):
        auth = auth or {"auth": (login_name("owner"), PASSWORD)}
        open_ones.append(Told(kind, site.origin, auth=auth, **options))
        return open_ones[-1]

    yield follow
    for each in open_ones:
        each.close()


class TestBoth:
    def test_each_change_comes_as_the_feed_has_it(self, following, site, project, api):
        told = following().begun()
        make_task(project, title="Dig")
        Task.objects.update(title="Fill")
        send(api, "POST", "/tasks/", new_task(project))
        events = [told.item() for _ in range(3)]
        assert [event.type for event in events] == ["task.created", "task.updated", "task.created"]
        with Client(site.origin, auth=(login_name("owner"), PASSWORD)) as pm:
            assert list(pm.events.list(project.pk, since=2)) == events
            assert pm.events.head(project.pk) == events[-1].position == told.follower.positions[project.pk]

    def test_what_happened_while_the_server_was_away_comes_too(self, following, site, owner, project):
        told = following().begun()
        make_task(project)
        assert told.seqs(1) == [3]
        site.stop()
        for _ in range(3):
            make_task(project)
        gained = make_project(owner)
        site.start()
        assert told.item() == AccessGained(gained.pk, told.follower.positions[gained.pk])
        make_task(project)
        assert told.seqs(4) == [4, 5, 6, 7]

    def test_a_token_that_is_revoked_ends_it(self, following, project, owner):
        token = make_token(owner, scope="read")
        told = following(auth={"token": token.secret}, since={project.pk: 0})
        assert told.seqs(2) == [1, 2]
        token.delete()
        assert isinstance(told.item(), NotSignedIn)

    def test_access_comes_and_goes(self, following, project):
        other = make_project()
        told = following().begun()
        member = make_member(other, project.created_by)
        gained = told.item()
        assert isinstance(gained, AccessGained)
        assert gained.position.epoch
        make_task(other)
        event = told.item()
        assert event.position == Position(gained.position.seq + 1, gained.position.epoch)
        member.delete()
        assert told.item() == AccessLost(other.pk)
        assert set(told.follower.positions) == {project.pk}

    def test_a_notification_comes_to_its_recipient_as_the_inbox_has_it(self, following, site, project):
        viewer = make_member(project, role="viewer").user
        relay_events()
        Notification.objects.all().delete()
        auth = (viewer.get_username(), PASSWORD)
        told, others = following(auth={"auth": auth}).begun(), following().begun()
        make_task(project, assignee=viewer)
        assert told.item().type == "task.created"
        relay_events()
        notification = told.item()
        with Client(site.origin, auth=auth) as pm:
            assert [notification] == list(pm.notifications.list())
        make_task(project)
        assert [others.item().type for _ in range(2)] == ["task.created"] * 2

    def test_another_lineage_is_a_reset(self, following, project):
        told = following(since={project.pk: 1})
        [event] = [told.item()]
        call_command("pm_epoch", rotate=True, verbosity=0)
        make_task(project)
        reset = told.item()
        assert isinstance(reset, ProjectReset)
        assert (reset.project, reset.reason) == (project.pk, "epoch")
        assert reset.position.epoch not in {"", event.epoch}
        make_task(project)
        following_events = told.seqs(1) if reset.position.seq == 3 else told.seqs(2)
        assert following_events[-1] == 4
        assert told.follower.positions == {project.pk: Position(4, reset.position.epoch)}


@pytest.fixture
def pm(site, owner):
    with Client(site.origin, auth=(login_name("owner"), PASSWORD), retry=QUICK) as pm:
        yield pm


def test_it_goes_on_from_positions_that_were_kept(pm, project, owner):
    """And tells of a project that was not among them."""
    first = pm.follow(since={project.pk: 0}, patience=PATIENCE)
    assert [next(first).seq, next(first).seq] == [1, 2]
    kept = {str(key): place for key, place in first.positions.items()}
    first.close()
    make_task(project)
    gained = make_project(owner)
    with pm.follow(since=kept, patience=PATIENCE) as second:
        items = [next(second), next(second)]
    assert [type(item) for item in items] == [AccessGained, Event]
    assert (items[0].project, items[1].seq) == (gained.pk, 3)


def test_it_may_be_narrowed(pm, project, owner):
    other = make_project(owner)
    with pm.follow(since={other.pk: 0}, projects=[other.pk], patience=PATIENCE) as follower:
        make_task(project)
        make_task(other)
        assert [next(follower).project for _ in range(3)] == [other.pk] * 3


def test_the_end_of_the_loop_closes_the_socket(pm, project, settings):
    settings.DJANGO_PM = {**settings.DJANGO_PM, "SOCKETS_PER_USER": 1}
    for _ in range(2):
        for event in pm.follow(since={project.pk: 0}, patience=PATIENCE):
            assert event.seq == 1
            break
    with pm.follow(since={project.pk: 0}, patience=PATIENCE) as follower:
        next(follower)
        with pytest.raises(Throttled):
            next(pm.follow(patience=0))


def test_where_there_is_no_socket_it_says_so(pm, site):
    for path in ("ws/other/", "ws/"):
        with pytest.raises(SocketRefused, match=r"events\.follow"):
            next(pm.follow(ws_url=f"ws://127.0.0.1:{site.port}/{path}"))


def test_a_follower_does_not_keep_a_process_alive(site, project, owner):
    """Even one that still hears when its program ends."""
    program = (
        "import sys, threading; from django_pm.client import Client\n"
        "pm = Client(sys.argv[1], token=sys.argv[2])\n"
        "follower = pm.follow(since={sys.argv[3]: 0})\n"
        "print(next(follower).seq, next(follower).seq)\n"
        "threading.Thread(target=next, args=[follower], daemon=True).start()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, site.origin, make_token(owner).secret, str(project.pk)],
        env={"PYTHONPATH": str(ROOT / "src"), "NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE * 2,
    )
    assert (done.stdout, done.returncode, done.stderr) == ("1 2\n", 0, "")


# The samples of the documentation


def sample(page, name):
    """What is defined by the block of a page that defines `name`."""
    blocks = re.findall(r"^```python\n(.+?)^```$", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)
    [block] = [block for block in blocks if f"def {name}(" in block]
    names = {}
    exec(block, names)  # noqa: S102 -- our own page
    return names[name]


def printed(capsys, text):
    """Wait until a sample has printed this."""
    until, seen = time.monotonic() + PATIENCE, ""
    while text not in seen:
        assert time.monotonic() < until, seen
        time.sleep(0.01)
        seen += capsys.readouterr().out


def test_the_sample_of_the_bare_protocol_comes_back(site, project, owner, capsys):
    """It ends, like a script of this kind, when its token does."""
    token = make_token(owner)
    ended = queue.Queue()

    def run(follow):
        try:
            follow(f"ws://127.0.0.1:{site.port}/ws/notifications/", token.secret)
        except Exception as error:  # for the test to see
            ended.put(error)

    thread = threading.Thread(target=run, args=[sample("realtime.md", "follow")], daemon=True)
    thread.start()
    until = time.monotonic() + PATIENCE
    while "Dig" not in capsys.readouterr().out:  # it tells of what happens once it is connected
        assert time.monotonic() < until
        make_task(project, title="Dig")
        time.sleep(0.1)
    site.stop()
    make_task(project, title="Fill")
    site.start()
    printed(capsys, "'title': [None, 'Fill']")
    token.delete()
    assert ended.get(timeout=PATIENCE).rcvd.code == 4401


def test_the_sample_of_the_client_keeps_its_place(site, pm, project, owner, capsys, tmp_path):
    kept = tmp_path / "kept.json"
    kept.write_text(json.dumps({str(project.pk): [1, ""]}))
    mirror = sample("client.md", "mirror")
    relay_events()
    for seq in (3, 4):
        gained = make_project(owner)
        make_task(project, title=f"Dig {seq}", assignee=owner)
        thread = threading.Thread(target=ends_with_its_client, args=(mirror, pm, kept), daemon=True)
        thread.start()
        printed(capsys, f"{project.pk} {seq} task.created")
        while json.loads(kept.read_text() or "{}").get(str(project.pk), [0])[0] != seq:
            assert thread.is_alive()
            time.sleep(0.01)
        assert str(gained.pk) in json.loads(kept.read_text())
        relay_events()
        printed(capsys, f"for you: assigned Dig {seq}")
        pm.close()
        thread.join(PATIENCE)
        assert not thread.is_alive()
        pm = Client(site.origin, auth=(login_name("owner"), PASSWORD), retry=QUICK)
    pm.close()


def ends_with_its_client(mirror, pm, kept):
    with pytest.raises(RuntimeError, match="closed"):
        mirror(pm, kept)


def test_who_is_unknown_is_told(site, transactional_db):
    make_user()
    with Client(site.origin, token="pm_nothing") as pm, pytest.raises(NotSignedIn):
        next(pm.follow())
