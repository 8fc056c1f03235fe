"""`kill -9` of anything at any moment, while the site is used: nothing lost, nothing doubled beyond the promises.

A whole service, one of its processes, Redis, RabbitMQ, or a process of PostgreSQL, which then throws everybody out.
What is killed is started again by whatever keeps it running, and of two replicas one is left. A message may come again
with the same Message-ID, one for each kill of who sends. `PM_LONG_TESTS=1` makes it 200 kills instead of 8.
"""

import os
import random
import signal
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psycopg

from tests.events.workers import LONG
from tests.stack.faults.site import MARKS, STARTED, Site, judge, told
from tests.stack.running import until

pytestmark = MARKS

KILLS = 200 if LONG else 8
SHORT = 25
"""The seed of the short form: RabbitMQ and PostgreSQL are among the eight, the gateway, and who sends mail."""


def children(pid: int) -> list[int]:
    with suppress(FileNotFoundError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def killed(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:  # it has just ended
        return False
    return True


class Killer:
    """Kills one thing at a time, whatever runs at that moment, and starts what nobody else does."""

    def __init__(self, site: Site, draw: random.Random) -> None:
        self.site, self._draw = site, draw
        self.killed: Counter[str] = Counter()
        self._starting: threading.Thread | None = None

    def names(self) -> list[str]:
        """What there is to kill, the three that are no service of ours as often as each of these."""
        return [*sorted(self.site.victims()), "redis", "postgres", "rabbitmq"]

    def kill(self, name: str) -> None:
        """Kill it if it runs at this moment: what was killed a moment ago may not do so yet."""
        one = {"redis": self._kill_redis, "rabbitmq": self._kill_rabbitmq, "postgres": self._kill_backend}
        self.killed[name] += one[name]() if name in one else self._kill_service(name)

    def _kill_redis(self) -> bool:
        with self.site.redis_killed():
            return True

    def _kill_rabbitmq(self) -> bool:
        if self._starting is not None and self._starting.is_alive():
            return False
        self.site.rabbitmq.kill()
        self._starting = threading.Thread(target=self.site.rabbitmq.start)
        self._starting.start()
        return True

    def _kill_service(self, name: str) -> bool:
        pid = self.site.victims().get(name)
        if pid is None or not self._is_spared_by_its_twin(name):
            return False
        below = children(pid)
        if not below or self._draw.random() < 0.7:
            self.site.kill(name, pid)
            return True
        return killed(self._draw.choice(below))

    def _is_spared_by_its_twin(self, name: str) -> bool:
        """Whether the site goes on without it: of two replicas, both are not killed while one of them still starts."""
        first = {"api": 1, "realtime": 3}.get(name[:-2])
        if first is None:
            return True
        other = self.site.running.port + first + (name[-1] == "1")
        return self.site.running.answers("/healthz", 200, other)

    def _kill_backend(self) -> bool:
        clients = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        with suppress(psycopg.OperationalError):  # it recovers from the one before
            if pids := [pid for (pid,) in self.site.ledger.rows(clients)]:
                return killed(self._draw.choice(pids))
        return False

    def end(self) -> None:
        if self._starting:
            self._starting.join()


def test_kills(site: Site) -> None:
    seed = random.randrange(10**9) if LONG else SHORT  # noqa: S311 (a draw, no secret)
    draw = random.Random(seed)  # noqa: S311
    killer = Killer(site, draw)
    began = time.time()
    names: list[str] = []
    while killer.killed.total() < KILLS:
        if not names:  # each about as often, in another order each time
            names = until(killer.names, "something that runs")
            draw.shuffle(names)
        site.have_reports_due(1)
        threading.Event().wait(draw.uniform(0, 2 if LONG else 1))
        killer.kill(names.pop())
    killer.end()
    until(site.is_whole, "everything runs again", STARTED)
    stretch = site.load.since(f"{KILLS} kills", began)
    stretch.recovery = max(site.back_after(time.time()).values())
    told(stretch)
    print(f"seed {seed}; killed: {dict(killer.killed.most_common())}")  # noqa: T201
    accounts = site.settle(f"{KILLS} kills")
    judge(accounts)
    assert not stretch.stale, str(stretch)
    assert not site.load.wrong, site.load.wrong[:5]
    assert sum(account.repeats for account in accounts) <= killer.killed["worker-mail-1"]


def test_one_of_two_for_sockets_is_killed(site: Site) -> None:
    """Its clients go on at the other one, before it is back."""
    until(site.is_whole, "everything runs", STARTED)
    ports = {f"realtime-{number}": site.running.port + 2 + number for number in (1, 2)}
    before = {name: connected(port) for name, port in ports.items()}
    hit, other = sorted(ports, key=lambda name: -before[name])
    at = time.time()
    site.kill(hit, site.victims()[hit])
    back = until(lambda: site.first_hearing(at), "all hear again", STARTED, pause=0.02) - at
    after = {name: connected(port) for name, port in ports.items()}
    late = site.load.since("", at).late
    print(f"\n{hit} killed; sockets at the two: {before}, then {after}")  # noqa: T201
    print(f"all heard again after {back:.1f} s, nothing more than {late:.1f} s late")  # noqa: T201
    assert after[other] > before[other]
    judge(site.settle("one of two killed"))


def connected(port: int) -> int:
    """How many connections the gateway has to this port."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(line.split()[2:4] == [f"0100007F:{port:04X}", "01"] for line in lines)
