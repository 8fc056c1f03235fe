"""People at work on the deployed site: some write, some read lists and compare, some follow over sockets.

Everybody comes through the gateway, with a connection for each request. One that is kept open may be closed by the
other side at the very moment it is used, and what that looks like says nothing of the site.
"""

from __future__ import annotations

import http.client
import itertools
import json
import logging
import statistics
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from django_pm.client import AccessGained, AccessLost, Client, Event, PmError, ProjectReset

HOST = "127.0.0.1"
WRITE_PAUSE, READ_PAUSE, REPEAT_PAUSE = 0.2, 0.08, 0.2
TIMEOUT = 30
WRITTEN = (200, 201)
PASSING = (409, 502, 503, 504)
"""Answers after which the same request may be sent again; 409 says that the first one is still at work."""

LATER = "2031-01-01T00:00:00Z"
KINDS = ("soon", "count", "comment", "later", "count", "count")


class Person(NamedTuple):
    """Somebody with a token, a project that grows, and one with a task that counts."""

    name: str
    token: str
    growing: Any = None
    counting: Any = None
    counter: Any = None


class Request(NamedTuple):
    """One attempt: when, for how long, and what came of it: a status, or the name of what went wrong."""

    at: float
    took: float
    writes: bool
    outcome: int | str

    @property
    def failed(self) -> bool:
        return self.outcome not in WRITTEN


@dataclass
class Stretch:
    """What was seen from one moment to another."""

    name: str
    requests: list[Request]
    stale: int
    late: float
    """By how many seconds the latest event came to a socket."""

    recovery: float | None = None

    def took(self, *, writes: bool) -> list[float]:
        return [each.took for each in self.requests if each.writes == writes and not each.failed]

    def p95(self, *, writes: bool) -> float:
        return statistics.quantiles(self.took(writes=writes), n=20)[-1]

    def slowest(self, *, writes: bool) -> float:
        return max(self.took(writes=writes))

    @property
    def failed(self) -> Counter[str]:
        return Counter(f"{'write' if each.writes else 'read'} {each.outcome}" for each in self.requests if each.failed)

    def __str__(self) -> str:
        figures = [f"{self.name:>24}:"]
        for writes, word in ((False, "reads"), (True, "writes")):
            took = self.took(writes=writes)
            figures.append(f"{len(took):>4} {word},")
            if len(took) > 1:
                figures.append(f"p95 {1000 * self.p95(writes=writes):.0f} ms, most {1000 * max(took):.0f} ms;")
        figures.append(f"failed {sum(self.failed.values())} {dict(self.failed) or ''}; {self.stale} stale;")
        figures.append(f"events at most {self.late:.1f} s late")
        if self.recovery is not None:
            figures.append(f"; back after {self.recovery:.1f} s")
        return " ".join(figures)


@dataclass
class Written:
    """What the site has said that it did, by the unique text that was written."""

    tasks: dict[str, Any] = field(default_factory=dict)
    comments: dict[str, Any] = field(default_factory=dict)
    projects: dict[str, Any] = field(default_factory=dict)
    soon: set[Any] = field(default_factory=set)
    counts: dict[Any, int] = field(default_factory=dict)


class Load:
    """Everybody, from `start` to `end`; while it is paused nobody writes, and followers go on."""

    def __init__(self, port: int, people: list[Person], watcher: Person) -> None:
        self.port = port
        self.people = people
        self.requests: list[Request] = []
        self.stale: list[tuple[float, str]] = []
        self.written = Written(counts={person.counter: 0 for person in people})
        self.newest: dict[Any, Any] = {}
        self.wrong: list[str] = []
        self.followers = [Follower(port, person) for person in (*people, watcher)]
        self._ends, self._goes = threading.Event(), threading.Event()
        self._busy = threading.Semaphore(0)
        self._texts = itertools.count(1)
        works: list[Callable[[Person], None]] = [self._write, self._read]
        self._threads = [
            threading.Thread(target=work, args=(person,), daemon=True) for person in people for work in works
        ]

    def start(self) -> None:
        for follower in self.followers:
            follower.start()
        self._goes.set()
        for thread in self._threads:
            thread.start()

    def pause(self) -> None:
        """Return once no write is under way."""
        self._goes.clear()
        for _ in self.people:
            assert self._busy.acquire(timeout=4 * TIMEOUT), "a write does not end"

    def go_on(self) -> None:
        self._goes.set()

    def end(self) -> None:
        self._ends.set()
        self._goes.set()
        for follower in self.followers:
            follower.end()
        for thread in self._threads:
            thread.join(TIMEOUT)

    def since(self, name: str, began: float, until: float | None = None) -> Stretch:
        """What was seen since that moment of the clock of the time of day."""
        until = until or time.time()
        late = [each.late for follower in self.followers for each in follower.heard if began <= each.at < until]
        stale = sum(began <= at < until for at, _text in self.stale)
        requests = [each for each in self.requests if began <= each.at < until]
        return Stretch(name, requests, stale, max(late, default=0.0))

    def watch(self, name: str, seconds: float) -> Stretch:
        """So many seconds of it."""
        began = time.time()
        threading.Event().wait(seconds)
        return self.since(name, began)

    # What one does

    def _ask(self, person: Person, method: str, path: str, body: Any = None, key: str = "") -> tuple[int | str, Any]:
        headers = {"Authorization": f"Bearer {person.token}", "Connection": "close"}
        if body is not None:
            headers |= {"Content-Type": "application/json"} | ({"Idempotency-Key": key} if key else {})
        connection = http.client.HTTPConnection(HOST, self.port, timeout=TIMEOUT)
        at, began = time.time(), time.monotonic()
        outcome: int | str
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            response = connection.getresponse()
            text = response.read()
            outcome = response.status
        except (OSError, http.client.HTTPException) as error:
            outcome, text = type(error).__name__, b""
        finally:
            connection.close()
        self.requests.append(Request(at, time.monotonic() - began, method != "GET", outcome))
        if outcome in WRITTEN:
            return outcome, json.loads(text)
        if isinstance(outcome, int) and outcome not in PASSING:
            self.wrong.append(f"{method} {path}: {outcome} {text[:300]!r}")
        return outcome, None

    def _write(self, person: Person) -> None:
        for number, kind in enumerate(itertools.cycle(KINDS), 1):
            if not self._goes.is_set():
                self._busy.release()
                self._goes.wait()
            if self._ends.is_set():
                return
            text = f"{person.name} {next(self._texts)}"
            if number % 40 == 0:
                made = self._until_written(person, "POST", "/projects/", {"name": text})
                self.written.projects[text] = made["id"]
            elif kind == "count":
                count = self.written.counts[person.counter] + 1
                self._until_written(person, "PATCH", f"/tasks/{person.counter}/", {"title": f"{count:09}"})
                self.written.counts[person.counter] = count
            elif kind == "comment" and person in self.newest:
                path = f"/tasks/{self.newest[person]}/comments/"
                self.written.comments[text] = self._until_written(person, "POST", path, {"content": text})["id"]
            else:
                due = (datetime.now(UTC) + timedelta(hours=3)).isoformat() if kind == "soon" else LATER
                body = {"project": person.growing, "title": text, "due_date": due}
                made = self._until_written(person, "POST", "/tasks/", body)
                self.written.tasks[text] = self.newest[person] = made["id"]
                if kind == "soon":
                    self.written.soon.add(made["id"])
            self._ends.wait(WRITE_PAUSE)

    def _until_written(self, person: Person, method: str, path: str, body: Any) -> Any:
        """Send the same, with the same key, until the site says that it is done."""
        key = uuid.uuid4().hex
        while True:
            outcome, made = self._ask(person, method, path, body, key if method == "POST" else "")
            if outcome in WRITTEN:
                return made
            if self._ends.wait(REPEAT_PAUSE):
                raise SystemExit

    def _read(self, person: Person) -> None:
        while not self._ends.wait(READ_PAUSE):
            least, newest = self.written.counts[person.counter], self.newest.get(person)
            at = time.time()
            _outcome, answer = self._ask(person, "GET", f"/tasks/?project={person.counting}")
            if answer:
                (title,) = (row["title"] for row in answer["results"] if row["id"] == person.counter)
                if int(title) < least:
                    self.stale.append((at, f"{title} after {least}"))
            at = time.time()
            _outcome, answer = self._ask(person, "GET", f"/tasks/?project={person.growing}&page_size=10")
            if answer and newest and all(row["id"] < newest for row in answer["results"]):
                self.stale.append((at, f"without {newest}"))


class Hearing(NamedTuple):
    project: Any
    seq: int
    uuid: str
    at: float
    late: float


class Follower:
    """Somebody who hears over a socket what happens, by the client that django-pm brings."""

    def __init__(self, port: int, person: Person) -> None:
        self.person = person
        self.heard: list[Hearing] = []
        self.begins: dict[Any, int] = {}
        """Behind which event each project that came later begins."""
        self.resets: list[str] = []
        self.trouble = ""
        self._client = Client(f"http://{HOST}:{port}/", token=person.token)
        self._ends = False
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._ends = True
        self._client.close()
        self._thread.join(TIMEOUT)

    def _follow(self) -> None:
        logging.getLogger("django_pm.client").setLevel(logging.ERROR)  # that it goes on elsewhere is what is tested
        projects = [self.person.growing, self.person.counting]
        try:
            with self._client.follow({key: 0 for key in projects if key is not None}) as follower:
                for item in follower:
                    self._take(item)
        except (PmError, RuntimeError, OSError) as error:
            if not self._ends:
                self.trouble = f"{type(error).__name__}: {error}"

    def _take(self, item: Any) -> None:
        match item:
            case Event():
                now = time.time()
                self.heard.append(Hearing(item.project, item.seq, str(item.id), now, now - item.at.timestamp()))
            case AccessGained():
                self.begins[item.project] = item.position.seq
            case ProjectReset() | AccessLost():
                self.resets.append(repr(item))
