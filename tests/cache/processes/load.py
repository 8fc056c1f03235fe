"""A few readers and a writer at two server processes, and what they lived through."""

from __future__ import annotations

import base64
import http.client
import itertools
import json
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.factories import PASSWORD

READERS = 3
PAUSE = 0.02
"""Seconds between two requests of one reader: it is not the processors that are tested."""

SLOW = 0.15
"""A request that takes so long has waited for the cache."""


@dataclass
class Result:
    """What the readers and the writer saw in one stretch of time."""

    name: str
    took: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    sources: Counter[str] = field(default_factory=Counter)
    writes: int = 0
    recovery: float | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.took)

    @property
    def p95(self) -> float:
        return statistics.quantiles(self.took, n=20)[-1]

    @property
    def slow(self) -> int:
        return sum(took > SLOW for took in self.took)

    def __str__(self) -> str:
        recovery = "" if self.recovery is None else f", back after {self.recovery:.1f} s"
        return (
            f"{self.name:>10}: {len(self.took):>5} reads, {self.writes:>4} writes, {len(self.failed)} failed, "
            f"{len(self.stale)} stale; median {1000 * self.median:.0f} ms, "
            f"p95 {1000 * self.p95:.0f} ms, "
            f"most {1000 * max(self.took):.0f} ms, {self.slow} beyond {1000 * SLOW:.0f} ms; "
            f"{dict(self.sources.most_common())}{recovery}"
        )


class Visitor:
    """Somebody with a connection to each server that is kept open."""

    def __init__(self, ports: list[int], user: Any, first: int = 0) -> None:
        credentials = base64.b64encode(f"{user.get_username()}:{PASSWORD}".encode()).decode()
        self._headers = {
            "Host": "pm.example.com",  # the same for both, as behind a proxy: the addresses in lists are made of it
            "Authorization": f"Basic {credentials}",
            "Content-Type": "application/json",
        }
        self._connections = [http.client.HTTPConnection("127.0.0.1", port, timeout=10) for port in ports]
        self._next = itertools.islice(itertools.cycle(self._connections), first, None)

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, str, Any]:
        """The status, where the answer came from, and the answer; from one server after the other."""
        connection = next(self._next)
        connection.request(method, path, json.dumps(body) if body else None, self._headers)
        response = connection.getresponse()
        return response.status, response.headers.get("X-Cache", ""), json.loads(response.read())

    def close(self) -> None:
        for connection in self._connections:
            connection.close()


class Load:
    """Counts a task's title up at the servers, and reads lists that show it."""

    def __init__(self, ports: list[int], user: Any, task: Any) -> None:
        self.ports, self.user, self.task = ports, user, task
        self.committed = 0
        """What the title is, at least: the server has answered for it."""
        self._lock = threading.Lock()

    def run(self, name: str, seconds: float, trouble: Callable[[], None] | None = None) -> Result:
        """So many seconds of it, with `trouble` done again and again meanwhile."""
        result, ends = Result(name), threading.Event()
        threads = [threading.Thread(target=self._read, args=(result, ends, number)) for number in range(READERS)]
        threads.append(threading.Thread(target=self._write, args=(result, ends)))
        for thread in threads:
            thread.start()
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if trouble is not None:
                trouble()
            time.sleep(min(0.1, left))
        ends.set()
        for thread in threads:
            thread.join(30)
        return result

    def until_it_is_shared(self, seconds: float) -> float:
        """How long it takes until each process finds what the other has made."""
        began, visitor = time.monotonic(), Visitor(self.ports, self.user)
        sharing: set[int] = set()
        for turn in itertools.count():
            self._change(visitor)
            # Three requests at two servers: each is the second one in turn.
            found = [visitor.ask("GET", f"/tasks/?project={self.task.project_id}")[1] for _ in self.ports]
            sharing |= {turn % 2} if found[1] == "shared" else set()
            if len(sharing) == 2 or time.monotonic() > began + seconds:
                visitor.close()
                return time.monotonic() - began if len(sharing) == 2 else float("inf")
            time.sleep(0.05)
        raise AssertionError

    def _read(self, result: Result, ends: threading.Event, number: int) -> None:
        visitor = Visitor(self.ports, self.user, number)  # the same list is asked for at both servers
        paths = itertools.cycle(
            [f"/tasks/?project={self.task.project_id}", "/tasks/", "/tasks/?page_size=5&ordering=title"]
        )
        while not ends.is_set():
            path, least = next(paths), self.committed
            began = time.monotonic()
            try:
                status, source, answer = visitor.ask("GET", path)
            except OSError as error:
                result.failed.append(f"{path}: {error!r}")
                visitor.close()
                continue
            result.took.append(time.monotonic() - began)
            if status != 200:
                result.failed.append(f"{path}: {status} {answer}")
                continue
            [title] = [row["title"] for row in answer["results"] if row["id"] == self.task.pk]
            if int(title) < least:
                result.stale.append(f"{path}: {title} after {least} ({source})")
            with self._lock:
                result.sources[source] += 1
            ends.wait(PAUSE)
        visitor.close()

    def _write(self, result: Result, ends: threading.Event) -> None:
        visitor = Visitor(self.ports, self.user)
        while not ends.wait(4 * PAUSE):
            try:
                self._change(visitor)
            except OSError as error:
                result.failed.append(f"write: {error!r}")
                visitor.close()
                continue
            result.writes += 1
        visitor.close()

    def _change(self, visitor: Visitor) -> None:
        status, _source, answer = visitor.ask("PATCH", f"/tasks/{self.task.pk}/", {"title": f"{self.committed + 1:09}"})
        assert status == 200, answer
        self.committed += 1
