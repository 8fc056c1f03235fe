"""What a client holds, by its first fetch and the events since, is what the API would tell it now. For everybody.

A host writes at random (the writes of `tests/events/test_rebuild.py`: ORM, bulk, API, transactions, rollbacks) while
several people follow over real sockets, some narrowed to a project; they are cut off and resume, are added and removed.
At every check each of them has folded the events to what they would fetch; and nothing was ever told of a project to
somebody who had no access from the moment of its commit on.

`PM_LONG_TESTS=1` makes it 300 sequences of 60 steps instead of 5 of 40.
"""

from __future__ import annotations

import itertools
import json
import socket
import time
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import call_command
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from rest_framework.test import APIClient
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from django_pm.api.serializers import CommentSerializer, MembershipSerializer, ProjectSerializer, TaskSerializer
from django_pm.events import feed
from django_pm.models import Event, Membership, Project
from tests.events.support import State, columns
from tests.events.test_rebuild import WRITES, Host
from tests.events.workers import LONG, OMITTED, fold
from tests.realtime.conftest import HOST, session_of
from tests.realtime.processes.servers import until

pytestmark = pytest.mark.postgres

EXAMPLES, STEPS = (300, 60) if LONG else (5, 40)
PATIENCE = 30
QUICK = {"hub.POLL_SECONDS": 0.05, "hub.SWEEP_SECONDS": 0.3}

SHOWN = {
    kind: set(columns(kind)) & set(serializer.Meta.fields)
    for kind, serializer in {
        "project": ProjectSerializer,
        "task": TaskSerializer,
        "comment": CommentSerializer,
        "member": MembershipSerializer,
    }.items()
}
"""What both the API and the events tell of an object."""


class Visitor:
    """Somebody's requests to the API."""

    def __init__(self, user: Any) -> None:
        self.user = user
        self._client = APIClient()
        self._client.force_authenticate(user)

    def get(self, path: str) -> Any:
        """The answer, None for 404."""
        response = self._client.get(path)
        assert response.status_code in {200, 404}, (path, response.status_code)
        return response.json() if response.status_code == 200 else None

    def rows(self, path: str) -> list[Any]:
        page = self.get(path)
        assert page is None or page["next"] is None, "more than a page"
        return page["results"] if page else []

    def projects(self) -> set[str]:
        return {str(row["id"]) for row in self.rows("/projects/?page_size=200")}

    def fetch(self, key: str) -> State | None:
        """A project as it is now, None if there is none for this user."""
        project = self.get(f"/projects/{key}/")
        if project is None:
            return None
        tasks = self.rows(f"/tasks/?project={key}&page_size=200")
        comments = [
            self.rows(f"/tasks/{task['id']}/comments/?page_size=200") for task in tasks if task["comment_count"]
        ]
        found = {
            "project": [project],
            "task": tasks,
            "comment": list(itertools.chain(*comments)),
            "member": self.rows(f"/projects/{key}/members/?page_size=200"),
        }
        return shown({(kind, str(row["id"])): row for kind, rows in found.items() for row in rows})


def shown(state: State) -> State:
    return {
        key: {name: value for name, value in row.items() if name in SHOWN[key[0]] and value is not None}
        for key, row in state.items()
    }


class Follower(Visitor):
    """A client that goes by docs/realtime.md and docs/events.md, and keeps what it was told."""

    def __init__(self, user: Any, server: Any, only: str = "") -> None:
        super().__init__(user)
        self.server = server
        self.only = only
        self.session = session_of(user)
        self.states: dict[str, State] = {}
        self.since: dict[str, int] = {}
        self.epoch: dict[str, str] = {}
        self.unfetched: set[str] = set()
        self.told: list[dict[str, Any]] = []
        self.socket: Any = None

    def open(self) -> None:
        """Connect, and resume if there was a time before. What is new is fetched at the next reading, not yet."""
        resumes = bool(self.since)
        query = "&".join(filter(None, [f"project={self.only}" if self.only else "", "resume=true" if resumes else ""]))
        self._open = connect(
            f"ws://{HOST}:{self.server.port}/ws/notifications/?{query}",
            origin=self.server.origin,
            additional_headers={"Cookie": f"sessionid={self.session}"},
            compression=None,
        )
        self.socket = self._open.__enter__()
        welcome = json.loads(self.socket.recv(PATIENCE))
        assert welcome["type"] == "welcome", welcome
        if resumes:
            epoch = {key: self.epoch[key] for key in self.since if key in self.epoch}
            self.socket.send(json.dumps({"type": "resume", "since": self.since, "epoch": epoch}))
        self.epoch |= welcome["epoch"]
        for key, head in welcome["heads"].items():
            if key not in self.since:
                self.since[key] = head
                self.unfetched.add(key)

    def close(self) -> None:
        if self.socket is not None:
            self._open.__exit__(None, None, None)
            self.socket = None

    def be_cut_off(self) -> None:
        """Without a word to the server."""
        if self.socket is not None:
            self.socket.socket.shutdown(socket.SHUT_RDWR)
            self.close()

    def read_until(self, heads: dict[str, int]) -> None:
        """Take what comes until exactly these projects are held, and are there."""
        end = time.monotonic() + PATIENCE
        if self.socket is None:
            self.open()
        self.fetch_new()
        while self.since != heads:
            assert time.monotonic() < end, f"{self.user} stays at {self.since}, not {heads}; {self.told[-5:]}"
            try:
                self.take(json.loads(self.socket.recv(0.5)))
            except TimeoutError:
                pass
            except ConnectionClosed as closed:
                if closed.rcvd is None or closed.rcvd.code != 4408:
                    raise
                self.close()
                self.open()
            self.fetch_new()

    def fetch_new(self) -> None:
        for key in self.unfetched:
            self.states[key] = self.fetch(key) or {}
        self.unfetched.clear()

    def complete(self, state: State) -> State:
        """`state` with the long values, which events omit, as they are by now."""
        for (kind, key), row in state.items():
            if missing := [name for name, value in row.items() if value == OMITTED]:
                now = self.get(f"/{kind}s/{key}/") or {}  # gone by now: then an event is on its way that says so
                state = {**state, (kind, key): row | {name: now.get(name) for name in missing}}
        return state

    def take(self, frame: dict[str, Any]) -> None:
        self.told.append(frame)
        key = str(frame.get("project"))
        kind = frame["type"]
        if "seq" in frame and key not in self.since:
            assert self.user.is_superuser, frame  # who sees everything is not told that they may see what is new
            self.since[key] = frame["seq"]
            self.unfetched.add(key)
        elif "seq" in frame:
            assert frame["seq"] == self.since[key] + 1, (frame, self.since)
            self.since[key] = frame["seq"]
            event: Any = SimpleNamespace(**frame)
            event.object_type, event.object_id = frame["object"]["type"], str(frame["object"]["id"])
            self.states[key] = self.complete(fold(self.states[key], [event], frame["project"]))
        elif kind in {"access_gained", "reset"}:
            self.since[key] = frame["head"]
            self.unfetched.add(key)
        elif kind == "access_lost":
            self.since.pop(key, None)
            self.states.pop(key, None)
            self.unfetched.discard(key)
        else:
            assert kind in {"heartbeat", "resumed"}, frame


class Site:
    """The host, those who follow, and what is known of who might see what, and when."""

    def __init__(self, server: Any) -> None:
        self.host = Host()
        self.host.found()
        self.step = 0
        self.committed: dict[str, int] = {}
        self.seen: dict[Any, dict[str, set[int]]] = {}
        self.note()
        north, south = (str(key) for key in Project.objects.order_by("pk").values_list("pk", flat=True))
        people = [*self.host.users, self.host.boss, self.host.stranger.handler._force_user]
        self.followers = [Follower(user, server) for user in people]
        self.followers += [Follower(people[1], server, north), Follower(people[2], server, south)]

    def note(self) -> None:
        """What has been committed, and who sees what now: a rule of the test's own, from the rows."""
        for uuid in Event.objects.values_list("uuid", flat=True):
            self.committed.setdefault(str(uuid), self.step)
        everything = {str(key) for key in Project.objects.values_list("pk", flat=True)}
        now: dict[Any, set[str]] = {self.host.boss.pk: everything}
        for user, project in Membership.objects.values_list("user", "project"):
            now.setdefault(user, set()).add(str(project))
        now[self.host.boss.pk] = everything
        for user, projects in now.items():
            for project in projects:
                self.seen.setdefault(user, {}).setdefault(project, set()).add(self.step)

    def do(self, name: str, seed: int) -> None:
        follower = self.followers[seed % len(self.followers)]
        if name == "cut off":
            follower.be_cut_off()
        elif name == "come":
            if follower.socket is None:
                follower.open()
        elif name == "check":
            self.check(each=False)
        else:
            self.step += 1
            self.host.do(name, seed)
            self.note()

    def check(self, *, each: bool) -> None:
        """Everybody holds what they would fetch; `each` fetches for themselves, else one for all who see a project."""
        fetched: dict[Any, State | None] = {}
        for follower in self.followers:
            projects = follower.projects()
            assert projects == {key for key, steps in self.sees(follower).items() if self.step in steps}
            held = projects & {follower.only} if follower.only else projects
            follower.read_until({key: feed.read(int(key), limit=1).head for key in held})
            for key in held:
                what = (key, follower.user if each else None)
                if what not in fetched:
                    fetched[what] = follower.fetch(key)
                assert shown(follower.states[key]) == fetched[what], f"{follower.user}, project {key}"
            self.check_secrecy(follower)

    def sees(self, follower: Follower) -> dict[str, set[int]]:
        return self.seen.get(follower.user.pk, {})

    def check_secrecy(self, follower: Follower) -> None:
        for frame in follower.told:
            if "project" not in frame or frame["type"] == "access_lost":
                continue
            steps = self.sees(follower).get(str(frame["project"]), set())
            since = self.committed[frame["id"]] if "seq" in frame else 0
            assert any(step >= since for step in steps), f"{follower.user} had no access: {frame}"
        follower.told.clear()


MOVES = ["cut off", "come", "cut off", "come", "check"]
NAMES = sorted(WRITES.keys() - {"delete_user"})

SEQUENCES = st.lists(
    st.tuples(st.one_of(st.sampled_from(NAMES), st.sampled_from(NAMES), st.sampled_from(MOVES)), st.integers(0, 2**16)),
    min_size=STEPS - STEPS // 5,
    max_size=STEPS,
)


@pytest.fixture
def server(servers):
    with servers.apart(pace=QUICK) as (server,):
        yield server
        until(servers.are_idle, "the server to let go of the database")


def test_everybody_holds_what_they_would_fetch(servers, server, monkeypatch):
    monkeypatch.delitem(WRITES, "delete_user")  # whoever is deleted is signed out, which is another test's matter
    told = 0

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=not LONG,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
        print_blob=True,
    )
    @given(sequence=SEQUENCES, resync_above=st.sampled_from([1_000, 1_000, 2]))
    def run(sequence: list[tuple[str, int]], resync_above: int) -> None:
        nonlocal told
        monkeypatch.setattr("django_pm.models.recorder.RESYNC_ABOVE", resync_above)
        with ExitStack() as stack:
            stack.callback(call_command, "flush", interactive=False, verbosity=0, inhibit_post_migrate=True)
            stack.callback(until, servers.are_idle, "the server to let go of the database")
            site = Site(server)
            for follower in site.followers:
                stack.callback(follower.close)
                follower.open()
            for name, seed in sequence:
                site.do(name, seed)
            site.check(each=True)
            told += Event.objects.count()

    run()
    print(f"{EXAMPLES} sequences, {told} events, 7 followers")  # noqa: T201
