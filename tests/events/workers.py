"""Helpers of the tests of the event log at work.

Somebody who rebuilds rows from events and reads late; sessions with connections of their own that take turns; the
isolation levels of a host; a numberer that stops in the middle, to be killed; the models as they are without the
recorder, to compare with.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from copy import copy, deepcopy
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from unittest.mock import patch

from django.db import OperationalError, connection, connections, transaction
from django.db.models import Model, QuerySet

from django_pm import event_types
from django_pm.events import feed
from django_pm.models import Event
from django_pm.models.base import ProjectObject, ProjectObjectQuerySet
from tests.events.support import TRACKED, State, apply, row_state

PATIENCE = 10
"""Seconds after which something that should have happened counts as hung."""

LONG = os.environ.get("PM_LONG_TESTS") == "1"
"""Whether the long forms were asked for."""

DEADLOCK = "40P01"
SERIALIZATION_FAILURE = "40001"
FOREIGN_KEY_VIOLATION = "23503"


OMITTED = event_types.OMITTED
UPDATED = frozenset(names[1] for names in event_types.NAMES.values())


def fold(state: State, events: Iterable[Event], key: Any) -> State:
    """`support.apply`, for a client that reads late: what it fetches is as it is by now, and may have gone elsewhere.

    An update of an object that it does not have is fetched if the object is in this project, and of an object that it
    has only the columns that the event omits.
    """
    for event in events:
        kind = event.object_type
        mine = (kind, event.object_id)
        if event.type in UPDATED and mine not in state:
            here = TRACKED[kind].objects.filter(**{TRACKED[kind].project_lookup: key})
            if row := here.filter(pk=event.object_id).first():
                state = {**state, mine: row_state(kind, row)}
            continue
        if omitted := [name for name, pair in event.changes.items() if isinstance(pair, list) and pair[1] == OMITTED]:
            row = TRACKED[kind].objects.filter(pk=event.object_id).first()
            values = row_state(kind, row) if row else {}
            event = copy(event)
            event.changes = event.changes | {name: [None, values.get(name)] for name in omitted}
        state = apply(state, [event], key)
    return state


def until(condition: Callable[[], Any], what: str = "", seconds: float = PATIENCE, pause: float = 0.002) -> Any:
    """Wait for `condition` to become true, and return what it returned."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"waited {seconds} s for {what or condition}"
        time.sleep(pause)
    return found


def sqlstate(error: BaseException) -> str:
    """PostgreSQL's code for what went wrong, empty where it was not PostgreSQL that refused."""
    return getattr(error.__cause__, "sqlstate", None) or ""


def backend_pid() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def database_url() -> str:
    """Where the database of this test is, for a process of its own."""
    database = connection.settings_dict
    password = f":{database['PASSWORD']}" if database["PASSWORD"] else ""
    host = f"{database['HOST']}:{database['PORT'] or 5432}" if database["HOST"] else ""
    return f"postgresql://{database['USER']}{password}@{host}/{database['NAME']}"


def is_waiting(pid: int) -> bool:
    """Whether the backend waits for a lock that somebody else holds."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT cardinality(pg_blocking_pids(%s)) > 0", [pid])
        return bool(cursor.fetchone()[0])


def terminate(pid: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [pid])


@contextmanager
def atomic(isolation: str | None = None) -> Iterator[None]:
    """A host's transaction, at an isolation level of its own choosing."""
    with transaction.atomic():
        if isolation is not None:
            with connection.cursor() as cursor:
                cursor.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}")
        yield


@contextmanager
def repeatable_read_by_default() -> Iterator[None]:
    """Within it, this thread's connection is one whose site has chosen REPEATABLE READ in its settings."""
    from psycopg import IsolationLevel

    own: Any = connection
    settings = own.settings_dict
    own.close()
    own.settings_dict = deepcopy(settings)
    own.settings_dict["OPTIONS"]["isolation_level"] = IsolationLevel.REPEATABLE_READ
    try:
        yield
    finally:
        own.close()
        own.settings_dict = settings


class Session:
    """Somebody with a connection of their own, who does one thing after the other. Nothing is left open afterwards."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._block: Any = None
        self.pid: int = self.do(backend_pid)

    def start(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Future[Any]:
        """Begin `work`; its result, or what it raised, is asked of the answer."""
        return self._thread.submit(work, *args, **kwargs)

    def do(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """`work`, done."""
        return self.start(work, *args, **kwargs).result(PATIENCE)

    def start_and_stick(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Future[Any]:
        """Begin `work` and wait until it waits for somebody's lock."""
        future = self.start(work, *args, **kwargs)
        until(lambda: is_waiting(self.pid) or future.done(), "a lock to be waited for")
        assert not future.done(), f"it did not wait: {future}"
        return future

    def start_and_settle(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Future[Any]:
        """Begin `work` and wait until it is done or waits for somebody's lock."""
        future = self.start(work, *args, **kwargs)
        until(lambda: future.done() or is_waiting(self.pid), "an end or a lock")
        return future

    def begin(self, isolation: str | None = None) -> None:
        def enter() -> None:
            self._block = atomic(isolation)
            self._block.__enter__()

        self.do(enter)

    def commit(self) -> None:
        self.start_commit().result(PATIENCE)

    def start_commit(self) -> Future[Any]:
        block, self._block = self._block, None
        return self.start(block.__exit__, None, None, None)

    @property
    def is_open(self) -> bool:
        return self._block is not None

    def commit_if_open(self) -> None:
        if self.is_open:
            self.commit()

    def rollback(self) -> None:
        block, self._block = self._block, None
        self.do(_roll_back, block)

    def rollback_if_open(self) -> None:
        if self.is_open:
            self.rollback()

    def close(self) -> None:
        if self._block is not None:
            self.start(_roll_back, self._block)
        self.start(connections.close_all)
        self._thread.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: TracebackType | BaseException | type[BaseException] | None) -> None:
        self.close()


@contextmanager
def interrupted(at: int, action: Callable[[], Any]) -> Iterator[list[str]]:
    """Have `action` done before this thread's statement number `at`, counted from 0. The statements so far."""
    statements: list[str] = []
    acting = False

    def execute(run: Callable[..., Any], sql: str, *args: Any) -> Any:
        nonlocal acting
        if acting:
            return run(sql, *args)
        if len(statements) == at:
            acting = True
            action()
            acting = False
        statements.append(sql)
        return run(sql, *args)

    with connection.execute_wrapper(execute):
        yield statements


class _RolledBackError(Exception):
    pass


def _roll_back(block: Any) -> None:
    try:
        block.__exit__(_RolledBackError, _RolledBackError(), None)
    except _RolledBackError:
        pass
    except OperationalError:
        connection.close()


@contextmanager
def without_recorder() -> Iterator[None]:
    """The models as Django writes them by itself: what deadlocks here too is not the recorder's doing."""
    with ExitStack() as stack:
        for name in ("save", "_save_table", "delete"):
            stack.enter_context(patch.object(ProjectObject, name, getattr(Model, name)))
        for name in ("update", "bulk_create", "bulk_update", "delete"):
            stack.enter_context(patch.object(ProjectObjectQuerySet, name, getattr(QuerySet, name)))
        yield


# The numberer that is killed


@contextmanager
def halting_numberer(halt: Callable[[], Any]) -> Iterator[None]:
    """Have `feed.number` call `halt` in the middle: numbers given, head not moved yet, lock held."""
    number_after = feed._number_after

    def number_and_halt(*args: Any) -> int:
        given = number_after(*args)
        halt()
        return given

    feed._number_after = number_and_halt
    try:
        yield
    finally:
        feed._number_after = number_after


def spawn_numberer(project_id: Any) -> subprocess.Popen[str]:
    """A process that numbers the project in this test's database and says so on its output while it holds the lock."""
    return spawn(f"from {__name__} import number_and_hold; number_and_hold({project_id})")


def spawn(work: str) -> subprocess.Popen[str]:
    """A process with Django set up for this test's database that does `work`, lines of Python."""
    root = Path(__file__).resolve().parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", f"import django; django.setup()\n{work}"],
        cwd=root,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(root), *sys.path]),
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "PM_TEST_DATABASE_URL": database_url(),
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def number_and_hold(project_id: Any) -> None:
    """What that process does, until it is killed."""

    def halt() -> None:
        sys.stdout.write("holding\n")
        sys.stdout.flush()
        sys.stdin.read()

    end = time.monotonic() + PATIENCE
    with halting_numberer(halt):
        while time.monotonic() < end:
            feed.number(project_id)
