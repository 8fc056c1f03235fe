"""The deployed site on servers of its own, its people at work, and the ways in which it may be hit."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

import psycopg
import pytest
import redis as client_of_redis

from tests.events.workers import LONG
from tests.example.site import ROOT, lasting_port, wait_until_it_listens
from tests.postgres_server import PostgreSQL, own_postgresql
from tests.redis_server import HOST, Redis, own_redis
from tests.stack.faults.ledger import Account, Ledger
from tests.stack.faults.load import Load, Person, Stretch
from tests.stack.running import Running, until
from tests.tasks.processes.parts import RabbitMQ, own_rabbitmq

MARKS = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.rabbitmq]
FOLDER = Path(__file__).parent
PEOPLE = 3
PROCESSES = 9
"""Of the stack: gateway, two for HTTP, two for sockets, three workers, beat."""

REPORTED = 220 if LONG else 20
"""Projects that have a report to be made of, once they have been there for days."""

STARTED = 120
"""Seconds in which everything has to run and to work again, on a slow machine too."""

SETTLED = 180
"""Seconds in which everything has to come to rest once nobody writes any more. Mail is left alone for two minutes after
its server was silent."""

HEARD = "SELECT count(*) FROM consumer_heard JOIN django_pm_event USING (uuid) WHERE created_at > to_timestamp(%s)"
SENT = "SELECT count(*) FROM django_pm_mail WHERE created_at > to_timestamp(%s) AND state = 'sent'"
AGE = (
    "UPDATE django_pm_project SET created_at = created_at - interval '2 days' WHERE id IN (SELECT id"
    " FROM django_pm_project WHERE name = 'reported' AND created_at > now() - interval '1 hour' LIMIT %s) RETURNING id"
)

MAKE = """
import json
from django.contrib.auth import get_user_model
from django_pm.models import ApiToken, Membership, NotificationPreferences, Task
from django_pm.services.projects import create_project

def person(name):
    user = get_user_model().objects.create(username=name, email=f"{name}@example.com")
    token = ApiToken(user=user, name="load", scope="write")
    secret = token.renew_secret()
    token.save()
    return user, {"name": name, "token": secret}

def project(user, name):
    return create_project(actor=user, name=name)

watcher, told = person("watcher")
found = {"watcher": told, "people": []}
for number in range(%(people)d):
    user, told = person(f"w{number}")
    growing, counting = project(user, "grows"), project(user, "counts")
    for title in [*(f"Task {n}" for n in range(9)), "000000000"]:
        counter = Task.objects.create(project=counting, title=title, due_date="2031-01-01T00:00:00Z")
    for each in (growing, counting):
        Membership.objects.create(project=each, user=watcher, role="viewer")
    found["people"].append({**told, "growing": growing.pk, "counting": counting.pk, "counter": counter.pk})
reader, _told = person("reader")
NotificationPreferences.objects.create(user=reader, reports=True)
for number in range(%(reported)d):
    project(reader, "reported")
print(json.dumps(found))
"""


class Line:
    """What lies between the site and its Redis, and may be slow."""

    def __init__(self, redis: Redis, log: Path) -> None:
        self.redis, self.port, self._log = redis, lasting_port(), log
        self.url = f"redis://{HOST}:{self.port}/0"
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.cache.processes.proxy", str(self.port), str(self.redis.port)]
        with self._log.open("a") as output:
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.PIPE, stdout=output, stderr=output, text=True
            )
        wait_until_it_listens(self.port, self.process, self._log)

    def be_slow(self, seconds: float) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()

    def cut(self) -> None:
        """Refuse connections, as the port of a server that is gone."""
        self.process.kill()
        self.process.communicate()


class Site:
    """Everything that runs, and what is done to it."""

    def __init__(self, postgres: PostgreSQL, rabbitmq: RabbitMQ, line: Line, folder: Path) -> None:
        self.postgres, self.rabbitmq, self.line = postgres, rabbitmq, line
        shutil.copytree(FOLDER / "host", folder / "host")
        self.database = postgres.url.rpartition("/")[0] + "/site"
        self.running = Running(
            folder,
            FOLDER / "up.py",
            STACK_DATABASE_URL=self.database,
            STACK_REDIS_URL=line.url,
            STACK_BROKER_URL=rabbitmq.url,
            REALTIME_REPLICAS="2",
            THROTTLE_USER="100000/s",
        )

    def start(self) -> None:
        self.running.start()
        self.ledger = Ledger(self.database, None, self.running.said)  # type: ignore[arg-type]
        # Who subscribes for the first time is told of what happens from then on.
        until(lambda: self.ledger.rows("SELECT FROM django_pm_subscriber WHERE name = 'ledger'"), "the subscription")
        script = MAKE % {"people": PEOPLE, "reported": REPORTED}
        made = json.loads(self.running.run("manage", "shell", "--no-imports", "-v", "0", "-c", script).splitlines()[-1])
        self.load = Load(self.running.port, [Person(**each) for each in made["people"]], Person(**made["watcher"]))
        self.ledger = Ledger(self.database, self.load, self.running.said)
        self.load.start()
        self.have_reports_due(5)

    def have_reports_due(self, number: int) -> None:
        """So many more projects have been there for days."""
        with suppress(psycopg.OperationalError):
            self.ledger.rows(AGE, number)

    def end(self) -> None:
        if hasattr(self, "load"):
            self.load.end()
        if self.running.process and self.running.process.poll() is None:
            processes = self.running.supervised()
            self.running.process.send_signal(signal.SIGINT)
            for name, pid in processes.items():  # nothing of it is needed any more
                self.kill(name, pid)
            self.running.process.wait(60)

    def settle(self, title: str) -> list[Account]:
        """Have everybody stop writing, wait until all is at rest, and print and return the accounts."""
        self.load.pause()
        began = time.monotonic()
        with suppress(AssertionError):  # then the accounts tell what is missing
            until(self.ledger.is_at_rest, "rest", SETTLED)
        took = time.monotonic() - began
        accounts = list(self.ledger.accounts())
        print(f"\n{title}: at rest after {took:.1f} s")  # noqa: T201 (the ledger)
        for account in accounts:
            print(account)  # noqa: T201
        self.load.go_on()
        return accounts

    # How it does

    def is_whole(self) -> bool:
        """Whether everything runs, and every server answers."""
        ports = range(self.running.port + 1, self.running.port + 5)
        return len(self.victims()) == PROCESSES and all(self.running.answers("/healthz", 200, port) for port in ports)

    def back_after(self, since: float) -> dict[str, float]:
        """For each kind of work, after how many seconds something that began behind that moment was done."""
        asked = {
            "API": self._first_answer,
            "sockets": self.first_hearing,
            "subscriber": lambda since: self._first(HEARD, since),
            "mail": lambda since: self._first(SENT, since),
        }
        return {
            name: until(partial(first, since), f"{name} is back", STARTED, pause=0.05) - since
            for name, first in asked.items()
        }

    def _first_answer(self, since: float) -> float | None:
        """When both a read and a write had been answered."""
        ends: dict[bool, float] = {}
        for each in list(self.load.requests):
            if each.at >= since and not each.failed:
                ends.setdefault(each.writes, each.at + each.took)
        return max(ends.values()) if len(ends) == 2 else None

    def first_hearing(self, since: float) -> float | None:
        """When each follower had heard of something new."""
        first = [
            next((each.at for each in list(follower.heard) if each.at - each.late >= since), None)
            for follower in self.load.followers
        ]
        return None if None in first else max(filter(None, first))

    def _first(self, query: str, since: float) -> float | None:
        with suppress(psycopg.OperationalError):
            [(first,)] = self.ledger.rows(query, since)
            return time.time() if first else None
        return None

    def asks_redis(self) -> int:
        """How many values Redis has been asked for so far."""
        with client_of_redis.Redis.from_url(self.line.redis.url) as client:
            stats = client.info("stats")
        return int(stats["keyspace_hits"]) + int(stats["keyspace_misses"])

    def keys(self) -> int:
        with client_of_redis.Redis.from_url(self.line.redis.url) as client:
            return int(client.dbsize())

    # What may be hit

    def victims(self) -> dict[str, int]:
        """The processes of the stack that run, by name."""
        return {name: pid for name, pid in self.running.supervised().items() if not name.startswith("mailpit")}

    def kill(self, name: str, pid: int) -> None:
        """All processes of it."""
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)

    @contextmanager
    def redis_killed(self) -> Iterator[None]:
        """It comes back empty."""
        self.line.cut()
        self.line.redis.kill()
        yield
        self.line.redis.start()
        self.line.start()

    @contextmanager
    def redis_frozen(self) -> Iterator[None]:
        self.line.redis.freeze()
        yield
        self.line.redis.thaw()

    @contextmanager
    def redis_restarted_empty(self) -> Iterator[None]:
        with self.redis_killed():
            pass
        yield

    @contextmanager
    def redis_slow(self) -> Iterator[None]:
        """Slower than what the site waits for it, which is a quarter of a second."""
        self.line.be_slow(0.5)
        yield
        self.line.be_slow(0)

    @contextmanager
    def rabbitmq_killed(self) -> Iterator[None]:
        self.rabbitmq.kill()
        yield
        self.rabbitmq.start()

    @contextmanager
    def rabbitmq_frozen(self) -> Iterator[None]:
        self.rabbitmq.freeze()
        yield
        self.rabbitmq.thaw()

    @contextmanager
    def rabbitmq_alarmed(self) -> Iterator[None]:
        """It says that it has no memory left, and takes nothing any more from those who publish."""
        self.rabbitmq.control("set_vm_memory_high_watermark", "0")
        yield
        self.rabbitmq.control("set_vm_memory_high_watermark", "0.4")

    @contextmanager
    def postgres_restarted(self, mode: str, away: float = 0) -> Iterator[None]:
        self.postgres.stop(mode)
        self.load.watch("", away)
        self.postgres.start()
        yield


@contextmanager
def own_site(folder: Path) -> Iterator[Site]:
    with ExitStack() as services:
        postgres = services.enter_context(own_postgresql())
        redis = services.enter_context(own_redis())
        rabbitmq = services.enter_context(own_rabbitmq())
        line = Line(redis, folder / "line.log")
        services.callback(line.cut)
        site = Site(postgres, rabbitmq, line, folder)
        try:
            site.start()
            yield site
        finally:
            site.end()


def judge(accounts: list[Account]) -> None:
    assert [str(account) for account in accounts if not account.is_kept] == []


def told(*stretches: Stretch) -> None:
    print("\n" + "\n".join(map(str, stretches)))  # noqa: T201 (the ledger)
