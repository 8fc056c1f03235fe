"""Host transactions at their worst, on PostgreSQL with real connections.

Proved here: while many write in transactions of every kind (long ones, rolled-back ones, savepoints, every isolation
level, two projects in opposite orders, moves under comments), number at once and are killed doing it, whoever follows
`seq` gets every committed event exactly once, in order and without a gap, and none of a write that was undone; a
version read at any moment names one state of the rows; and nobody deadlocks who would not have without the recorder.

`PM_LONG_TESTS=1` makes the long ledger a minute instead of six seconds, and the races ten times as many.
"""

from __future__ import annotations

import itertools
import random
import select
import sys
import threading
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from copy import copy
from functools import partial
from typing import Any

import pytest
from django.db import IntegrityError, InternalError, OperationalError, connection, connections, transaction
from django.db.models import Count, F, Value
from django.db.models.functions import Concat

from django_pm.context import acting
from django_pm.events import feed
from django_pm.models import Comment, Event, Membership, Project, Task
from tests import factories
from tests.events.support import present
from tests.events.workers import (
    DEADLOCK,
    FOREIGN_KEY_VIOLATION,
    LONG,
    PATIENCE,
    SERIALIZATION_FAILURE,
    Session,
    atomic,
    backend_pid,
    fold,
    halting_numberer,
    interrupted,
    is_waiting,
    repeatable_read_by_default,
    spawn_numberer,
    sqlstate,
    terminate,
    until,
    without_recorder,
)

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]

SECONDS = 60 if LONG else 6
ROUNDS = 300 if LONG else 30

WRITERS, PROJECTS = 8, 4

Expected = tuple[str, Any, str]
"""The type, the project (None where others may move the object meanwhile) and the object of an event."""


def end_of(future: Future[Any]) -> str:
    """How it ended: empty if well, else PostgreSQL's code or the exception's name."""
    error = future.exception(PATIENCE)
    return "" if error is None else sqlstate(error) or type(error).__name__


def check_streams(projects: list[Any]) -> None:
    """Every stream from its beginning: numbers, each event fits what the stream said before, the end is the rows."""
    created = Event.objects.filter(type="comment.created").values_list("object_id", "changes__task__1")
    task_of = {key: str(task) for key, task in created}  # no comment goes from task to task here
    for project_id in projects:
        events = feed.read(project_id, limit=10**6).events
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        log = Event.objects.filter(project_id=project_id).order_by("seq").values_list("pk", flat=True)
        assert [event.pk for event in events] == list(log)
        state: Any = {}
        for event in events:
            if event.object_type == "comment":
                task = task_of[event.object_id]
                assert ("task", task) in state, f"{event} in a project that task {task} is not in"
            elif event.type == "task.updated" and "title" in event.changes:
                told = state["task", event.object_id]["title"]
                assert event.changes["title"][0] == told, f"{event} follows {told!r}"
            state = fold(state, [event], project_id)
        assert state == present(project_id)


# The ledger


class _UndoneError(Exception):
    pass


class Ledger:
    """What everybody says they did, to be compared with what the log and its readers have."""

    def __init__(self) -> None:
        self.committed: dict[str, Counter[Expected]] = {}
        self.figures: Counter[str] = Counter()
        self.deadlocks: list[str] = []
        self.stop = threading.Event()
        self.writers_done = threading.Event()
        self._lock = threading.Lock()

    def count(self, what: str, number: int = 1) -> None:
        with self._lock:
            self.figures[what] += number

    def commit(self, origin: str, expected: list[Expected]) -> None:
        with self._lock:
            self.committed[origin] = Counter(expected)
            self.figures["committed transactions"] += 1
            self.figures["events they should have left"] += len(expected)

    def __str__(self) -> str:
        return "\n".join(f"{number:>9,}  {what}" for what, number in sorted(self.figures.items()))


class Site:
    """Four projects; tasks that one writer owns, one that all count up in each project, and some that wander."""

    def __init__(self) -> None:
        with acting(origin="setup"):
            self.projects = [factories.make_project(name=f"Project {number}").pk for number in range(PROJECTS)]
            self.counters = [self.task(key, "shared 0") for key in self.projects]
            self.wanderers = [self.task(key, f"wanderer {key}") for key in self.projects[:2]]
            self.owned = [[self.task(key, f"own{number} 0") for key in self.projects] for number in range(WRITERS)]
        feed.number_all()

    def task(self, project_id: Any, title: str) -> Any:
        return factories.make_task(Project(pk=project_id), title=title).pk

    @property
    def stable(self) -> list[Any]:
        """Tasks that are never deleted."""
        return [*self.counters, *self.wanderers, *(key for keys in self.owned for key in keys)]


class Writer:
    """Host code that writes one transaction after another.

    Without the recorder it could not deadlock: of the rows that several write, no transaction touches more than one,
    and who has moved a task does not comment on others afterwards (a comment waits for the end of a move, by design).
    """

    def __init__(self, number: int, site: Site, ledger: Ledger) -> None:
        self.number, self.site, self.ledger = number, site, ledger
        self.random = random.Random(number)  # noqa: S311 (it picks what to write)
        self.made: list[Any] = []
        self.comments: list[Any] = []
        self.expected: list[Expected] = []

    def work(self) -> None:
        turn = 0
        while not self.ledger.stop.is_set():
            turn += 1
            self.transaction(f"{self.number}-{turn}")

    def transaction(self, origin: str) -> None:
        isolation = self.random.choices([None, "REPEATABLE READ", "SERIALIZABLE"], [6, 1, 1])[0]
        steps = self.plan()
        self.expected = []
        made, comments = list(self.made), list(self.comments)
        try:
            with acting(origin=origin), atomic(isolation):
                for step in steps:
                    self.take(step)
                if self.random.random() < 0.3:
                    time.sleep(0.01)  # the host's own work after its write
                if self.random.random() < 0.15:
                    raise _UndoneError
        except _UndoneError:
            self.ledger.count("rolled-back transactions")
        except OperationalError as error:
            if sqlstate(error) == DEADLOCK:
                self.ledger.count("deadlocks")
                self.ledger.deadlocks.append(f"{origin} {isolation} {[step.__name__ for step in steps]}: {error}")
            elif sqlstate(error) == SERIALIZATION_FAILURE and isolation is not None:
                self.ledger.count(f"serialization failures of {isolation}")
            else:
                raise
        else:
            self.ledger.commit(origin, self.expected)
            self.ledger.count(f"committed at {isolation or 'READ COMMITTED'}")
            return
        self.made, self.comments = made, comments

    def plan(self) -> list[Callable[[], None]]:
        always = [self.insert_in_two_projects, self.edit_own, self.update_own, self.insert_many, self.delete_made]
        talk = [self.comment, self.comment, self.edit_comment, self.delete_comment]
        steps = self.random.sample([*always, *talk], self.random.randint(1, 3))
        kind = self.random.random()
        if kind < 0.2:
            steps.insert(self.random.randint(0, len(steps)), self.count_up)
        elif kind < 0.4:
            steps = [self.random.choice([self.move_own, self.move_wanderer]), *self.random.sample(always, 2)]
            self.random.shuffle(steps)
        return steps

    def take(self, step: Callable[[], None], depth: int = 0) -> None:
        """A step, at times in a savepoint or two, which are at times rolled back."""
        if depth == 2 or self.random.random() < 0.5:
            step()
            return
        mark, made, comments = len(self.expected), list(self.made), list(self.comments)
        try:
            with transaction.atomic():
                self.take(step, depth + 1)
                if self.random.random() < 0.25:
                    raise _UndoneError
        except _UndoneError:
            del self.expected[mark:]
            self.made, self.comments = made, comments
            self.ledger.count("rolled-back savepoints")

    def expect(self, event_type: str, project_id: Any, key: Any) -> None:
        self.expected.append((event_type, project_id, str(key)))

    # What only this writer writes

    def insert_in_two_projects(self) -> None:
        for project_id in self.random.sample(self.site.projects, 2):
            task = Task.objects.create(project_id=project_id, title="Dig")
            self.made.append(task.pk)
            self.expect("task.created", project_id, task.pk)

    def insert_many(self) -> None:
        rows = [Task(project_id=self.random.choice(self.site.projects), title="Bulk") for _ in range(3)]
        for task in Task.objects.bulk_create(rows):
            self.made.append(task.pk)
            self.expect("task.created", task.project_id, task.pk)

    def edit_own(self) -> None:
        for key in self.random.sample(self.site.owned[self.number], 2):
            task = Task.objects.get(pk=key)
            name, _space, count = task.title.partition(" ")
            task.title = f"{name} {int(count) + 1}"
            task.save(update_fields=self.random.choice([None, ["title"]]))
            self.expect("task.updated", task.project_id, key)

    def update_own(self) -> None:
        rows = Task.objects.filter(pk__in=self.site.owned[self.number])
        for key, project_id in rows.values_list("pk", "project_id"):
            self.expect("task.updated", project_id, key)
        rows.update(description=Concat(Value(uuid.uuid4().hex), F("title")))

    def delete_made(self) -> None:
        keys = [self.made.pop(self.random.randrange(len(self.made))) for _ in range(min(2, len(self.made)))]
        rows = Task.objects.filter(pk__in=keys)
        for key, project_id in rows.values_list("pk", "project_id"):
            self.expect("task.deleted", project_id, key)
        rows.delete()

    # What others write too

    def count_up(self) -> None:
        """Read and written under the host's own lock."""
        task = Task.objects.select_for_update(no_key=True).get(pk=self.random.choice(self.site.counters))
        name, _space, count = task.title.partition(" ")
        task.title = f"{name} {int(count) + 1}"
        task.save()
        self.expect("task.updated", task.project_id, task.pk)

    def move_own(self) -> None:
        task = Task.objects.get(pk=self.random.choice(self.site.owned[self.number]))
        self.move(task)

    def move_wanderer(self) -> None:
        self.move(Task.objects.select_for_update(no_key=True).get(pk=self.random.choice(self.site.wanderers)))

    def move(self, task: Task) -> None:
        source = task.project_id
        target = self.random.choice([key for key in self.site.projects if key != source])
        if self.random.random() < 0.5:
            task.project_id = target
            task.save()
        else:
            Task.objects.filter(pk=task.pk).update(project=target)
        self.expect("task.deleted", source, task.pk)
        self.expect("task.created", target, task.pk)

    def comment(self) -> None:
        for key in self.random.sample(self.site.stable, self.random.randint(1, 3)):
            comment = Comment.objects.create(task_id=key, author=f"Writer {self.number}", content="Deep?")
            self.comments.append(comment.pk)
            self.expect("comment.created", None, comment.pk)

    def edit_comment(self) -> None:
        if self.comments:
            comment = Comment.objects.get(pk=self.random.choice(self.comments))
            comment.content = uuid.uuid4().hex
            comment.save()
            self.expect("comment.updated", None, comment.pk)

    def delete_comment(self) -> None:
        if self.comments:
            key = self.comments.pop(self.random.randrange(len(self.comments)))
            Comment.objects.get(pk=key).delete()
            self.expect("comment.deleted", None, key)


class Reader:
    """Follows every stream by number."""

    def __init__(self, number: int, site: Site, ledger: Ledger) -> None:
        self.number, self.site, self.ledger = number, site, ledger
        self.random = random.Random(number)  # noqa: S311
        self.seen: dict[Any, list[tuple[int | None, uuid.UUID]]] = {key: [] for key in site.projects}

    def work(self) -> None:
        while True:
            last = self.ledger.writers_done.wait(0.01)  # asked before: what was committed by then is read below
            new = sum(self.follow(key) for key in self.random.sample(self.site.projects, PROJECTS))
            self.ledger.count("events read", new)
            if last and not new:
                return

    def follow(self, key: Any) -> int:
        since = len(self.seen[key])
        page = feed.read(key, since=since, limit=self.random.choice([1, 20, 500]))
        assert [event.seq for event in page.events] == list(range(since + 1, since + 1 + len(page.events)))
        assert page.head >= since + len(page.events)
        self.seen[key] += [(event.seq, event.uuid) for event in page.events]
        return len(page.events)


class Witness:
    """Looks at versions and rows in one snapshot, again and again."""

    def __init__(self, site: Site, ledger: Ledger) -> None:
        self.site, self.ledger = site, ledger
        self.seen: list[tuple[Any, feed.Version, str]] = []
        self.query = " UNION ALL ".join(
            f"SELECT {project}, '{model.__name__}', md5(string_agg(row::text, '|' ORDER BY row.id))"  # noqa: S608
            f" FROM {model._meta.db_table} row {join} GROUP BY 1"
            for model, project, join in (
                (Project, "row.id", ""),
                (Task, "row.project_id", ""),
                (Membership, "row.project_id", ""),
                (Comment, "task.project_id", f"JOIN {Task._meta.db_table} task ON task.id = row.task_id"),
            )
        )

    def work(self) -> None:
        while not self.ledger.writers_done.wait(0.05):
            self.look()

    def look(self) -> None:
        with atomic("REPEATABLE READ"), connection.cursor() as cursor:
            versions = feed.versions(self.site.projects)
            counts = dict(Event.objects.order_by().values_list("project_id").annotate(count=Count("*")))
            cursor.execute(self.query)
            rows = defaultdict(list)
            for key, kind, digest in cursor.fetchall():
                rows[key].append((kind, digest))
        for key, version in versions.items():
            assert version.number == counts[key]
            self.seen.append((key, version, repr(sorted(rows[key]))))
        self.ledger.count("versions compared with rows", len(versions))


def number_always(site: Site, ledger: Ledger) -> None:
    """A numberer that never rests."""
    while not ledger.writers_done.wait(0.01):
        for key in site.projects:
            ledger.count("numbered by numberers", feed.number(key))


def number_on_repeatable_read(site: Site, ledger: Ledger) -> None:
    with repeatable_read_by_default():
        number_always(site, ledger)


def number_inside_a_transaction(site: Site, ledger: Ledger) -> None:
    """Must number nothing, write nothing and lock nothing."""
    while not ledger.writers_done.wait(0.05):
        with transaction.atomic(), connection.cursor() as cursor:
            for key in site.projects:
                assert feed.number(key) == 0
                page = feed.read(key, limit=5)
                assert [event.seq for event in page.events] == [1, 2, 3, 4, 5]
            cursor.execute("SELECT pg_current_xact_id_if_assigned() IS NULL")
            assert cursor.fetchone() == (True,)
        ledger.count("readings inside a transaction")


def stay_open(site: Site, ledger: Ledger, seconds: float) -> None:
    """Transactions that take early ids in every project and end seconds later."""
    writer = Writer(0, site, ledger)
    turn = 0
    while not ledger.stop.is_set():
        turn += 1
        origin = f"open {seconds} s, {turn}"
        try:
            with acting(origin=origin), transaction.atomic():
                writer.expected = []
                for key in site.projects:
                    task = Task.objects.create(project_id=key, title="Early")
                    writer.expect("task.created", key, task.pk)
                ledger.stop.wait(seconds)
                if turn % 3 == 0:
                    raise _UndoneError
        except _UndoneError:
            ledger.count("long transactions rolled back")
        else:
            ledger.commit(origin, writer.expected)
            ledger.count("long transactions committed")


@contextmanager
def victims(ledger: Ledger) -> Iterator[set[int]]:
    """Threads whose backend is terminated while they hold the lock in the middle of numbering."""
    doomed: set[int] = set()

    def halt() -> None:
        if threading.get_ident() in doomed:
            ledger.count("numberers cut off")
            pid = backend_pid()
            with ThreadPoolExecutor(1) as other:
                other.submit(on_own_connection, terminate, pid).result(PATIENCE)

    with halting_numberer(halt):
        yield doomed


def be_cut_off(site: Site, ledger: Ledger, doomed: set[int]) -> None:
    doomed.add(threading.get_ident())
    while not ledger.stop.wait(0.1):
        try:
            feed.number(random.choice(site.projects))  # noqa: S311
        except (OperationalError, InternalError):
            connection.close()


def be_killed(site: Site, ledger: Ledger) -> None:
    while not ledger.stop.is_set():
        with spawn_numberer(site.projects[0]) as process:
            assert process.stdout is not None
            while not ledger.stop.is_set():
                if select.select([process.stdout], [], [], 0.05)[0]:
                    assert process.stdout.readline() == "holding\n"
                    ledger.count("numberers killed")
                    break
            process.kill()
        ledger.stop.wait(min(SECONDS / 3, 5))


def on_own_connection(work: Callable[..., Any], *args: Any) -> Any:
    try:
        return work(*args)
    finally:
        connections.close_all()


def test_the_ledger_agrees_with_every_reader() -> None:
    site, ledger = Site(), Ledger()
    writers = [Writer(number, site, ledger) for number in range(WRITERS)]
    readers = [Reader(number, site, ledger) for number in range(3)]
    witnesses = [Witness(site, ledger) for _ in range(2)]
    with ThreadPoolExecutor(32) as crew, victims(ledger) as doomed:
        writing = [crew.submit(on_own_connection, writer.work) for writer in writers]
        writing += [crew.submit(on_own_connection, stay_open, site, ledger, pause) for pause in (1, SECONDS / 2.5)]
        others = [crew.submit(on_own_connection, body.work) for body in (*readers, *witnesses)]
        numberers = (number_always, number_on_repeatable_read, number_inside_a_transaction)
        others += [crew.submit(on_own_connection, numberer, site, ledger) for numberer in numberers]
        killing = [
            crew.submit(on_own_connection, be_cut_off, site, ledger, doomed),
            crew.submit(on_own_connection, be_killed, site, ledger),
        ]
        end = time.monotonic() + SECONDS
        until_any_failed(writing + others + killing, end)
        ledger.stop.set()
        try:
            for future in [*writing, *killing]:
                future.result(PATIENCE)
        finally:
            ledger.writers_done.set()
        for future in others:
            future.result(PATIENCE)
    check_ledger(site, ledger, readers, witnesses)
    check_streams(site.projects)
    sys.stdout.write(f"\n{WRITERS} writers, {PROJECTS} projects, {SECONDS} s:\n{ledger}\n")
    assert ledger.deadlocks == []
    for what in ("numberers cut off", "numberers killed", "long transactions committed", "rolled-back savepoints"):
        assert ledger.figures[what], what


def until_any_failed(futures: list[Future[Any]], end: float) -> None:
    while time.monotonic() < end and not any(future.done() for future in futures):
        time.sleep(0.05)


def check_ledger(site: Site, ledger: Ledger, readers: list[Reader], witnesses: list[Witness]) -> None:
    logged: dict[str, list[Event]] = defaultdict(list)
    for event in Event.objects.exclude(origin="setup").order_by("id"):
        logged[event.origin].append(event)
    assert {origin for origin, expected in ledger.committed.items() if expected} == logged.keys()
    for origin, events in logged.items():
        expected = ledger.committed[origin]
        known = {(event_type, key): project for event_type, project, key in expected}
        told = Counter(
            (event.type, event.project_id if known.get((event.type, event.object_id)) else None, event.object_id)
            for event in events
        )
        assert told == expected, origin
    ledger.figures["events they left"] = sum(map(len, logged.values()))
    for key in site.projects:
        log = list(Event.objects.filter(project_id=key).order_by("seq").values_list("seq", "uuid"))
        assert [seq for seq, _uuid in log] == list(range(1, len(log) + 1))
        assert feed.version(key).number == len(log)  # type: ignore[union-attr]
        for reader in readers:
            assert reader.seen[key] == log
    states: dict[tuple[Any, feed.Version], set[str]] = defaultdict(set)
    for witness in witnesses:
        for key, version, rows in witness.seen:
            states[key, version].add(rows)
    assert {len(rows) for rows in states.values()} == {1}
    ledger.figures["different versions seen"] = len(states)


# No waiting and no deadlock that is ours


def test_transactions_over_two_projects_in_opposite_orders_do_not_wait() -> None:
    one, two = factories.make_task(), factories.make_task()

    def write(task: Task) -> None:
        Task.objects.create(project_id=task.project_id, title="Wire")
        Comment.objects.create(task_id=task.pk, author="Ann", content="Deep?")

    with Session() as first, Session() as second:
        first.begin()
        second.begin()
        for session, task in ((first, one), (second, two), (first, two), (second, one)):
            assert session.start_and_settle(write, task).done()
        second.commit()
        first.commit()
    check_streams([one.project_id, two.project_id])


def edit(comment: Comment) -> None:
    mine = Comment.objects.get(pk=comment.pk)
    mine.content += "!"
    mine.save()


def edit_locked(comment: Comment) -> Callable[[], None]:
    mine = Comment.objects.select_for_update().get(pk=comment.pk)

    def save() -> None:
        mine.content += "!"
        mine.save()

    return save


def lock_then_save(comment: Comment) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """The usual way to edit a row safely."""
    held: list[Callable[[], None]] = []
    return lambda: held.append(edit_locked(comment)), lambda: held[0]()


def lock_then_delete(comment: Comment) -> tuple[Callable[[], Any], Callable[[], Any]]:
    held: list[Comment] = []
    lock = Comment.objects.select_for_update().get
    return lambda: held.append(lock(pk=comment.pk)), lambda: held[0].delete()


def edit_twice(comment: Comment) -> tuple[Callable[[], Any], Callable[[], Any]]:
    return lambda: edit(comment), lambda: edit(comment)


def answer_then_update(comment: Comment) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """A new comment, then an older one."""

    def answer() -> None:
        Comment.objects.create(task_id=comment.task_id, author="Ann", content="No.")

    return answer, lambda: Comment.objects.filter(pk=comment.pk).update(content="Answered.")


DELETIONS: dict[str, Callable[[Any, Any], Any]] = {
    "a task": lambda task, project: Task.objects.get(pk=task).delete(),
    "tasks": lambda task, project: Task.objects.filter(project=project).delete(),
    "its project": lambda task, project: Project.objects.get(pk=project).delete(),
    "projects": lambda task, project: Project.objects.filter(pk=project).delete(),
}

without_and_with_recorder = pytest.mark.parametrize("recorded", [False, True], ids=["without recorder", "recorded"])
"""A scenario is fair if it does not deadlock without the recorder; so that is tried too."""


@without_and_with_recorder
def test_deleting_does_not_deadlock_with_editing_comments(recorded: bool) -> None:
    ends = {}
    projects = []
    with nullcontext() if recorded else without_recorder(), Session() as editor, Session() as deleter:
        for way in (lock_then_save, lock_then_delete, edit_twice, answer_then_update):
            for what, delete in DELETIONS.items():
                comment = factories.make_comment()
                projects.append(comment.task.project_id)
                first, then = way(comment)
                editor.begin()
                editor.do(first)
                deleting = deleter.start_and_settle(delete, comment.task_id, comment.task.project_id)
                editing = editor.start_and_settle(then)
                ends[way.__name__, what] = {end_of(editing), end_of(editor.start_commit()), end_of(deleting)}
    assert {case: end for case, end in ends.items() if DEADLOCK in end} == {}
    assert set().union(*ends.values()) <= {"", FOREIGN_KEY_VIOLATION}  # who commented on what was deleted
    if recorded:
        check_streams(projects)


def two_instances(how: str) -> tuple[Task, Task]:
    """Of one row."""
    made = factories.make_task()
    if how == "refreshed":
        made.refresh_from_db()
    if how in ("just made", "refreshed"):
        return made, copy(made)
    if how == "saved before":
        made = Task.objects.get(pk=made.pk)
        made.project = factories.make_project()
        made.save()
        return made, copy(made)
    rows = Task.objects.only("title") if how == "loaded in part" else Task.objects.all()
    return rows.get(pk=made.pk), rows.get(pk=made.pk)


@without_and_with_recorder
def test_commenting_on_a_task_and_saving_it_does_not_deadlock(recorded: bool) -> None:
    def comment(task: Task) -> None:
        Comment.objects.create(task_id=task.pk, author="Ann", content="Deep?")

    def save(task: Task, how: str) -> None:
        task.title += "!"
        task.save(update_fields=["title"] if how == "update_fields" else None)

    hows = ("loaded", "just made", "refreshed", "saved before", "loaded in part", "update_fields")
    ends = {}
    with nullcontext() if recorded else without_recorder(), Session() as first, Session() as second:
        for how, isolation in itertools.product(hows, (None, "REPEATABLE READ", "SERIALIZABLE")):
            one, other = two_instances(how)
            for session, task in ((first, one), (second, other)):
                session.begin(isolation)
                session.do(comment, task)
            saving = first.start_and_settle(save, one, how)
            waiting = second.start_and_settle(save, other, how)
            ends[how, isolation] = {end_of(saving), end_of(first.start_commit()), end_of(waiting)}
            second.rollback()
    assert {how: end for how, end in ends.items() if DEADLOCK in end} == {}
    assert {end for (_how, isolation), each in ends.items() for end in each if isolation is None} == {""}


def at_once(together: threading.Barrier, work: Callable[..., Any], *args: Any) -> Any:
    """`work`, begun when everybody is there."""
    together.wait(PATIENCE)
    return work(*args)


def send(client: Any, method: str, path: str) -> int:
    return client.generic(method, path, '{"content": "!"}', "application/json").status_code


def test_deleting_a_task_while_its_comments_are_edited_through_the_api(signed_in: Any) -> None:
    owner = factories.make_user()
    project = factories.make_project(owner)
    ends: Counter[tuple[int, int]] = Counter()
    with Session() as editor, Session() as deleter:
        clients = [signed_in(owner), signed_in(owner)]
        for turn in range(ROUNDS):
            task = factories.make_task(project)
            comment = factories.make_comment(task)
            together = threading.Barrier(2)

            verb = "PATCH" if turn % 3 else "DELETE"
            editing = editor.start(at_once, together, send, clients[0], verb, f"/comments/{comment.pk}/")
            deleting = deleter.start(at_once, together, send, clients[1], "DELETE", f"/tasks/{task.pk}/")
            ends[editing.result(PATIENCE), deleting.result(PATIENCE)] += 1
    assert {codes for codes in ends if codes[1] != 204 or codes[0] not in (200, 204, 404, 409)} == set(), ends
    check_streams([project.pk])


@pytest.mark.parametrize("door", ["orm", "api"])
def test_deleting_a_project_while_it_is_written_to(signed_in: Any, door: str) -> None:
    owner = factories.make_user()
    client = signed_in(owner)
    ends: Counter[tuple[str, Any]] = Counter()
    keys = []

    def write(comment: Comment, turn: int) -> None:
        with transaction.atomic():
            if turn % 3 == 0:
                edit(comment)
            elif turn % 3 == 1:
                Comment.objects.create(task_id=comment.task_id, author="Ann", content="Deep?")
                Task.objects.create(project_id=comment.task.project_id, title="Wire")
            else:
                Task.objects.filter(pk=comment.task_id).update(title="Fill")
                Task.objects.create(project_id=comment.task.project_id, title="Wire")

    def delete(project: Project) -> Any:
        return project.delete() if door == "orm" else client.delete(f"/projects/{project.pk}/").status_code

    with Session() as writer, Session() as deleter:
        for turn in range(ROUNDS):
            comment = factories.make_comment(factories.make_task(factories.make_project(owner)))
            keys.append(comment.task.project_id)
            together = threading.Barrier(2)
            writing = writer.start(at_once, together, write, comment, turn)
            deleting = deleter.start(at_once, together, delete, comment.task.project)
            end = end_of(deleting)
            ends[end_of(writing), end or (door == "api" and deleting.result())] += 1
    assert not [codes for codes in ends if DEADLOCK in codes or 500 in codes], ends
    check_streams(keys)


# Moves


def comment_ways(comment: Comment) -> dict[str, Callable[[], Any]]:
    new = {"task_id": comment.task_id, "author": "Ann", "content": "New."}
    return {
        "create": lambda: Comment.objects.create(**new),
        "bulk_create": lambda: Comment.objects.bulk_create([Comment(**new), Comment(**new)]),
        "save": lambda: edit(comment),
        "locked save": transaction.atomic(lambda: edit_locked(comment)()),
        "update": lambda: Comment.objects.filter(pk=comment.pk).update(content="Updated."),
        "delete": lambda: Comment.objects.get(pk=comment.pk).delete(),
        "delete many": lambda: Comment.objects.filter(task=comment.task_id).delete(),
    }


COMMENT_WAYS = tuple(comment_ways(Comment()))


def move(task_id: Any, project_id: Any) -> None:
    Task.objects.filter(pk=task_id).update(project=project_id)


@transaction.atomic
def edit_then_move(task_id: Any, project_id: Any) -> None:
    """PostgreSQL then lets a weak lock on the row wait, and return the row as it was before both."""
    Task.objects.filter(pk=task_id).update(description="Edited.")
    with transaction.atomic():
        move(task_id, project_id)


MOVES = (move, edit_then_move)


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ"])
def test_a_comment_written_while_its_task_moves_is_told_where_the_task_is(isolation: str) -> None:
    ends = set()
    projects = []
    with Session() as mover, Session() as commenter:
        for way, to_move in itertools.product(COMMENT_WAYS, MOVES):
            comment = factories.make_comment()
            source, target = comment.task.project_id, factories.make_project().pk
            projects += [source, target]
            # The move first: the comment waits for it, and is told in the new project.
            commenter.begin(isolation)
            commenter.do(Comment.objects.count)  # a snapshot, if it is to be one
            mover.begin()
            mover.do(to_move, comment.task_id, target)
            writing = commenter.start_and_settle(comment_ways(comment)[way])
            mover.commit()
            end = end_of(writing)
            ends.add(end)
            if end:
                commenter.rollback()
            else:
                commenter.commit()
            # The comment first: the move waits for it.
            if Comment.objects.filter(pk=comment.pk).exists():
                commenter.begin(isolation)
                commenter.do(comment_ways(comment)[way])
                moving = mover.start_and_settle(to_move, comment.task_id, source)
                commenter.commit()
                assert end_of(moving) == ""
    assert ends <= ({"", SERIALIZATION_FAILURE} if isolation == "REPEATABLE READ" else {""})
    check_streams(projects)


Pair = Callable[[], tuple[Callable[[], Any], Callable[[], Any]]]
"""Makes what two sessions are to write, anew."""


def begun_in_between(pair: Pair) -> list[list[str]]:
    """How both ended, with the second begun before every statement of the first, and at last after them all."""
    with Session() as one, Session() as two:
        ends = []
        more = True
        while more:
            first, second = pair()
            begun: list[Future[Any]] = []
            one.begin()
            working = one.start(_interrupted, first, len(ends), lambda: begun.append(two.start_and_settle(second)))  # noqa: B023
            end = end_of(working)
            more = not end and working.result()
            if not begun:
                begun.append(two.start_and_settle(second))
            ends.append([end or end_of(one.start_commit()), end_of(begun[0])])
            one.rollback_if_open()
        return ends


def committed_in_between(pair: Pair, isolation: str | None = None) -> list[list[str]]:
    """How both ended, with the second made before the first, and committed before every one of its statements."""
    with Session() as one, Session() as two:
        ends = []
        more = True
        while more:
            first, second = pair()
            two.begin()
            two.do(second)
            working = one.start(_interrupted, first, len(ends), two.commit_if_open, isolation)
            until(lambda: working.done() or is_waiting(one.pid))  # noqa: B023
            in_between = not two.is_open
            two.commit_if_open()
            end = end_of(working)
            more = in_between and end == SERIALIZATION_FAILURE if end else working.result()
            ends.append([end])
        return ends


def _interrupted(work: Callable[[], Any], at: int, action: Callable[[], Any], isolation: str | None = None) -> bool:
    """Whether `work` had so many statements."""
    with atomic(isolation), interrupted(at, action) as statements:
        work()
    return len(statements) > at


def test_interleavings_of_comments_and_moves() -> None:
    """Not one in which a comment is told where its task is not, nor one that fails."""
    projects = [factories.make_project().pk for _ in range(2)]

    def pair(way: str) -> tuple[Callable[[], Any], Callable[[], Any]]:
        comment = factories.make_comment(factories.make_task(Project(pk=projects[0])))
        return comment_ways(comment)[way], partial(edit_then_move, comment.task_id, projects[1])

    ends = {}
    for way in COMMENT_WAYS if LONG else ("create", "save", "delete"):
        ends[way, "comment, move"] = begun_in_between(lambda way=way: pair(way))
        ends[way, "move, comment"] = begun_in_between(lambda way=way: pair(way)[::-1])
        ends[way, "comment, move committed"] = committed_in_between(lambda way=way: pair(way))
        ends[way, "move, comment committed"] = committed_in_between(lambda way=way: pair(way)[::-1])
    assert {case: end for case, end in ends.items() if any(map(any, end))} == {}
    check_streams(projects)


@pytest.mark.parametrize("way", ["create", "save", "delete"])
def test_a_comment_of_an_older_snapshot_is_told_where_its_task_is_or_fails(way: str) -> None:
    """The move commits before each statement of a transaction whose snapshot is from before it."""
    projects = [factories.make_project().pk for _ in range(2)]

    def pair() -> tuple[Callable[[], Any], Callable[[], Any]]:
        comment = factories.make_comment(factories.make_task(Project(pk=projects[0])))

        def write() -> None:
            Comment.objects.count()  # the snapshot
            comment_ways(comment)[way]()

        return write, partial(move, comment.task_id, projects[1])

    ends = committed_in_between(pair, "REPEATABLE READ")
    assert {end for [end] in ends} == {"", SERIALIZATION_FAILURE}
    check_streams(projects)


def test_comments_concurrent_with_moves_never_land_where_the_task_is_not() -> None:
    comment = factories.make_comment()
    projects = [comment.task.project_id, factories.make_project().pk]
    with Session() as mover, Session() as commenter:
        for turn in range(ROUNDS * 2):
            if not Comment.objects.filter(pk=comment.pk).exists():
                comment = factories.make_comment(comment.task)
            together = threading.Barrier(2)
            work = comment_ways(comment)[COMMENT_WAYS[turn % len(COMMENT_WAYS)]]
            rows, target = Task.objects.filter(pk=comment.task_id), projects[(turn + 1) % 2]
            moving = mover.start(at_once, together, partial(rows.update, project=target))
            writing = commenter.start(at_once, together, work)
            assert (end_of(moving), end_of(writing)) == ("", "")
    check_streams(projects)


def test_what_leaves_a_project_while_it_is_deleted_is_not_lost() -> None:
    comment = factories.make_comment()
    source, target = comment.task.project_id, factories.make_project().pk
    leaving: list[Any] = [comment.task, factories.make_member(Project(pk=source))]
    with Session() as mover, Session() as deleter:
        mover.begin()
        for row in leaving:
            mover.do(type(row).objects.filter(pk=row.pk).update, project=target)
        deleting = deleter.start_and_settle(lambda: Project.objects.get(pk=source).delete())
        mover.commit()
        assert end_of(deleting) == ""
    for row in leaving:
        assert type(row).objects.filter(pk=row.pk, project=target).exists()
    assert Comment.objects.filter(pk=comment.pk).exists()
    check_streams([source, target])


def test_what_comes_into_a_project_while_it_is_deleted_is_refused_or_goes_along() -> None:
    comment = factories.make_comment()
    source, target = comment.task.project_id, factories.make_project().pk
    with Session() as mover, Session() as deleter:
        mover.begin()
        mover.do(Task.objects.filter(pk=comment.task_id).update, project=target)
        deleting = deleter.start_and_settle(lambda: Project.objects.get(pk=target).delete())
        committing = mover.start_commit()
        assert (end_of(committing) == "") != (end_of(deleting) == "")
    check_streams([source, target])


# Upserts


def test_an_upsert_that_meets_a_row_it_could_not_see_asks_for_a_resync() -> None:
    project, user = factories.make_project(), factories.make_user()

    def upsert() -> None:
        Membership.objects.bulk_create(
            [Membership(project=project, user=user, role="manager")],
            update_conflicts=True,
            update_fields=["role"],
            unique_fields=["project", "user"],
        )

    with Session() as first, Session() as second:
        first.begin()
        first.do(Membership.objects.create, project=project, user=user)
        upserting = second.start_and_stick(upsert)
        first.commit()
        assert end_of(upserting) == ""
    assert feed.read(project.pk).events[-1].type == "project.resync"
    assert Membership.objects.get(user=user).role == "manager"
    check_streams([project.pk])


def test_two_who_create_the_same_row_leave_one_event() -> None:
    project, user = factories.make_project(), factories.make_user()
    with Session() as first, Session() as second:
        first.begin()
        first.do(Membership.objects.create, project=project, user=user)
        creating = second.start_and_stick(Membership.objects.create, project=project, user=user)
        first.commit()
        with pytest.raises(IntegrityError):
            creating.result(PATIENCE)
    until(lambda: Membership.objects.filter(user=user).count() == 1)
    check_streams([project.pk])
