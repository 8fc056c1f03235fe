"""Who numbers a stream, when, and what the numbers promise.

Proved here: numbers have no gaps and never change, however many number at once and whoever of them is killed; nothing
is numbered inside a caller's transaction; a version says the same before and after numbering and costs one query; a
reader is told to start afresh exactly where it must; pruning takes a whole beginning of a stream and no more.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from django.db import InternalError, OperationalError, connection, transaction
from django.utils import timezone
from rest_framework.test import APIClient

from django_pm import events
from django_pm.events import feed, retention
from django_pm.events.retention import prune, prune_all, rotate_epoch
from django_pm.events.subscribers import unsubscribe
from django_pm.exceptions import StreamReset
from django_pm.models import Cursor, Event, Project, ProjectStream, Subscriber, Task
from tests import factories
from tests.events.workers import (
    PATIENCE,
    Session,
    backend_pid,
    halting_numberer,
    is_waiting,
    repeatable_read_by_default,
    spawn_numberer,
    terminate,
    until,
)

pytestmark = pytest.mark.django_db

with_connections = pytest.mark.django_db(transaction=True)
"""For tests whose connections must see what the others commit."""


def grow(project: Any, count: int) -> None:
    """`count` more events, without a number."""
    Task.objects.bulk_create([Task(project=project, title="Dig") for _ in range(count)])


def numbers(project: Any) -> list[int | None]:
    """The numbers of a project's events in the order of their insertion, None for those that have none."""
    return list(Event.objects.filter(project_id=project.pk).order_by("id").values_list("seq", flat=True))


def is_numbered(project: Any) -> bool:
    return None not in numbers(project)


@pytest.fixture
def stream(project: Project) -> Project:
    """A project with five numbered events."""
    grow(project, 5 - Event.objects.filter(project_id=project.pk).count())
    feed.number(project.pk)
    assert numbers(project) == [1, 2, 3, 4, 5]
    return project


# Giving numbers


def test_numbers_go_on_where_they_stood(stream: Project) -> None:
    grow(stream, 3)
    assert feed.number(stream.pk) == 3
    assert numbers(stream) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert ProjectStream.objects.get(pk=stream.pk).seq == 8


def test_numbering_again_changes_nothing(stream: Project) -> None:
    before = list(Event.objects.values())
    assert feed.number(stream.pk) == 0
    assert list(Event.objects.values()) == before


def test_nothing_to_number_takes_no_lock(stream: Project, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1) as queries:
        feed.number(stream.pk)
    assert "FOR UPDATE" not in queries[0]["sql"]


def test_projects_are_numbered_apart(project: Project) -> None:
    other = factories.make_project()
    for _ in range(2):
        grow(project, 1)
        grow(other, 1)
    assert feed.number_all() == 8
    assert numbers(project) == numbers(other) == [1, 2, 3, 4]


def test_a_stream_goes_on_when_its_key_is_used_again(stream: Project) -> None:
    key, epoch = stream.pk, feed.read(stream.pk).epoch
    stream.delete()
    Project.objects.create(pk=key, name="Second")
    page = feed.read(key, since=5, epoch=epoch)
    assert [(event.seq, event.type) for event in page.events] == [(6, "project.deleted"), (7, "project.created")]
    assert page.epoch == epoch


# Inside somebody's transaction


def test_in_the_outer_transaction_of_a_test_case_it_numbers(project: Project) -> None:
    assert connection.in_atomic_block
    assert [event.seq for event in feed.read(project.pk).events] == numbers(project) == [1, 2]


@pytest.mark.parametrize("depth", [1, 2])
def test_in_an_open_transaction_nothing_is_numbered_but_what_is_is_served(stream: Project, depth: int) -> None:
    with ExitStack() as stack:
        for _ in range(depth):
            stack.enter_context(transaction.atomic())
        grow(stream, 2)
        assert feed.number(stream.pk) == feed.number_all() == 0
        page = feed.read(stream.pk, since=3)
        assert ([event.seq for event in page.events], page.head) == ([4, 5], 5)
    assert numbers(stream) == [1, 2, 3, 4, 5, None, None]
    assert [event.seq for event in feed.read(stream.pk, since=5).events] == [6, 7]


@with_connections
def test_in_a_transaction_that_the_host_manages_by_hand_nothing_is_numbered(project: Project) -> None:
    feed.number(project.pk)
    transaction.set_autocommit(False)
    try:
        grow(project, 1)
        assert feed.number(project.pk) == 0
        assert feed.read(project.pk).head == 2
        assert numbers(project) == [1, 2, None]
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)
    assert numbers(project) == [1, 2]


def test_reading_in_an_open_transaction_makes_no_stream(project: Project) -> None:
    """The new row's key would be locked until that transaction ends, and two could wait for each other's."""
    with transaction.atomic():
        assert feed.read(project.pk).events == []
    assert not ProjectStream.objects.exists()


@pytest.mark.parametrize("transactional", [False, pytest.param(True, marks=with_connections)])
def test_under_atomic_requests_the_feed_numbers(
    project: Project, api: APIClient, monkeypatch: pytest.MonkeyPatch, transactional: bool
) -> None:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    made = api.post("/tasks/", {"project": project.pk, "title": "Wire", "due_date": "2030-01-01T00:00:00Z"}, "json")
    assert made.status_code == 201
    answer = api.get(f"/projects/{project.pk}/events/").json()
    assert [event["seq"] for event in answer["results"]] == [1, 2, 3]
    assert answer["head"] == 3
    assert is_numbered(project)


# At once


@pytest.fixture
def crowd() -> Iterator[list[Session]]:
    with ExitStack() as stack:
        yield [stack.enter_context(Session()) for _ in range(4)]


@pytest.mark.postgres
@with_connections
def test_many_number_at_once(project: Project, crowd: list[Session]) -> None:
    other = factories.make_project()
    given = 0
    for _ in range(20):
        grow(project, 3)
        grow(other, 3)
        together = threading.Barrier(len(crowd))

        def number(first: Any, second: Any, together: threading.Barrier = together) -> int:
            together.wait(PATIENCE)
            return feed.number(first) + feed.number(second)

        orders = [(project.pk, other.pk), (other.pk, project.pk)] * 2
        started = [session.start(number, *order) for session, order in zip(crowd, orders, strict=True)]
        given += sum(future.result(PATIENCE) for future in started)
    assert given == Event.objects.count()
    assert numbers(project) == numbers(other) == list(range(1, 63))
    assert set(ProjectStream.objects.values_list("seq", flat=True)) == {62}


@pytest.mark.postgres
@with_connections
@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ"])
def test_who_waited_for_the_lock_numbers_what_was_committed_meanwhile(stream: Project, isolation: str) -> None:
    grow(stream, 1)
    halted, go_on = threading.Event(), threading.Event()
    first_thread = threading.Event()

    def halt() -> None:
        if not first_thread.is_set():
            first_thread.set()
            halted.set()
            assert go_on.wait(PATIENCE)

    def number_as_second(second: Session) -> int:
        with ExitStack() as stack:
            if isolation == "REPEATABLE READ":
                stack.enter_context(repeatable_read_by_default())
            second.pid = backend_pid()
            return feed.number(stream.pk)

    with Session() as first, Session() as second, halting_numberer(halt):
        one = first.start(feed.number, stream.pk)
        assert halted.wait(PATIENCE)
        two = second.start(number_as_second, second)
        until(lambda: is_waiting(second.pid), "the second numberer to wait for the lock")
        grow(stream, 2)
        go_on.set()
        assert (one.result(PATIENCE), two.result(PATIENCE)) == (1, 2)
    assert numbers(stream) == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.postgres
@with_connections
def test_on_repeatable_read_by_default_everything_numbers_and_prunes(stream: Project) -> None:
    grow(stream, 2)

    def work() -> tuple[int, list[int | None], int]:
        with repeatable_read_by_default():
            given = feed.number(stream.pk)
            return given, [event.seq for event in feed.read(stream.pk, since=5).events], prune(stream.pk, keep=3)

    with Session() as session:
        assert session.do(work) == (2, [6, 7], 4)


@pytest.mark.postgres
@with_connections
def test_pruning_on_repeatable_read_waits_its_turn(stream: Project) -> None:
    def work(second: Session) -> int:
        with repeatable_read_by_default():
            second.pid = backend_pid()
            return prune(stream.pk, keep=3)

    halted, go_on = threading.Event(), threading.Event()

    def number() -> None:
        with feed.locked_stream(stream.pk) as held:
            ProjectStream.objects.filter(pk=held.pk).update(seq=held.seq)
            halted.set()
            assert go_on.wait(PATIENCE)

    with Session() as first, Session() as second:
        numbering = first.start(number)
        assert halted.wait(PATIENCE)
        pruned = second.start(work, second)
        until(lambda: is_waiting(second.pid) or pruned.done(), "the lock to be waited for")
        go_on.set()
        numbering.result(PATIENCE)
        assert pruned.result(PATIENCE) == 2


@pytest.mark.postgres
@with_connections
def test_a_writer_never_waits_for_a_numberer(stream: Project) -> None:
    grow(stream, 1)
    halted, go_on = threading.Event(), threading.Event()

    def halt() -> None:
        halted.set()
        assert go_on.wait(PATIENCE)

    with Session() as session, halting_numberer(halt):
        numbering = session.start(feed.number, stream.pk)
        assert halted.wait(PATIENCE)
        grow(stream, 1)
        assert Event.objects.filter(seq__isnull=True).count() == 2
        go_on.set()
        assert numbering.result(PATIENCE) == 1
    assert numbers(stream) == [1, 2, 3, 4, 5, 6, None]


@pytest.mark.postgres
@with_connections
def test_a_numberer_killed_in_the_middle_leaves_nothing_behind(stream: Project) -> None:
    grow(stream, 2)
    with spawn_numberer(stream.pk) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "holding\n"
        with Session() as session:
            waiting = session.start_and_stick(feed.number, stream.pk)
            process.kill()
            assert waiting.result(PATIENCE) == 2
    assert numbers(stream) == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.postgres
@with_connections
def test_a_numberer_whose_connection_is_cut_leaves_nothing_behind(stream: Project) -> None:
    grow(stream, 2)
    with Session() as session, halting_numberer(terminate_own), pytest.raises((OperationalError, InternalError)):
        session.do(feed.number, stream.pk)
    assert numbers(stream) == [1, 2, 3, 4, 5, None, None]
    assert feed.number(stream.pk) == 2
    assert numbers(stream) == [1, 2, 3, 4, 5, 6, 7]


def terminate_own() -> None:
    """From another connection, the backend of this one."""
    with ThreadPoolExecutor(1) as thread:
        pid = backend_pid()

        def cut() -> None:
            terminate(pid)
            connection.close()

        thread.submit(cut).result(PATIENCE)


@pytest.mark.postgres
@with_connections
def test_first_readers_of_a_new_stream_agree_on_its_epoch(crowd: list[Session]) -> None:
    for _ in range(10):
        project = factories.make_project()
        together = threading.Barrier(len(crowd))

        def read(key: Any, together: threading.Barrier = together) -> tuple[str, int]:
            together.wait(PATIENCE)
            page = feed.read(key)
            return page.epoch, page.head

        started = [session.start(read, project.pk) for session in crowd]
        assert {future.result(PATIENCE) for future in started} == {(ProjectStream.objects.get(pk=project.pk).epoch, 2)}


# Versions


def test_a_version_counts_what_has_no_number_yet(stream: Project) -> None:
    epoch = ProjectStream.objects.get(pk=stream.pk).epoch
    grow(stream, 3)
    assert feed.version(stream.pk) == (epoch, 8)
    feed.number(stream.pk)
    assert feed.version(stream.pk) == (epoch, 8)


def test_versions_are_one_query(stream: Project, django_assert_num_queries: Any) -> None:
    other = factories.make_project()
    feed.number(other.pk)
    grow(other, 4)
    with django_assert_num_queries(1):
        by_key = feed.versions([stream.pk, other.pk])
    with django_assert_num_queries(1):
        by_query = feed.versions(Project.objects.order_by("name"))
    assert {key: version.number for key, version in by_key.items()} == {stream.pk: 5, other.pk: 6}
    assert by_key == by_query


def test_versions_of_a_sliced_query(stream: Project) -> None:
    factories.make_project()
    assert feed.versions(Project.objects.order_by("pk")[:1]).keys() == {stream.pk}


def test_a_project_without_a_stream_has_no_version(stream: Project) -> None:
    other = factories.make_project()
    assert feed.versions([stream.pk, other.pk, 0]).keys() == {stream.pk}
    assert feed.version(other.pk) is None
    assert feed.versions([]) == {}


def test_a_vector_is_all_or_nothing(stream: Project) -> None:
    others = [factories.make_project() for _ in range(2)]
    seen = Project.objects.order_by("-pk")
    assert feed.vector(seen, at_most=3) is None, "two had no stream"
    assert feed.vector(seen, at_most=3) == sorted(feed.versions([stream.pk, *(other.pk for other in others)]).items())
    with pytest.raises(feed.TooMany):
        feed.vector(seen, at_most=2)
    assert feed.vector(seen.none(), at_most=2) == []


def test_a_vector_of_projects_that_come_twice_leaves_none_out(stream: Project) -> None:
    others = [factories.make_project() for _ in range(2)]
    for member in (factories.make_user(), factories.make_user(), factories.make_user()):
        for project in (stream, *others):
            factories.make_member(project, user=member)
    feed.vector(Project.objects.all(), at_most=3)
    doubled = Project.objects.filter(memberships__role__isnull=False)
    with pytest.raises(feed.TooMany):
        feed.vector(doubled, at_most=3)
    assert feed.vector(doubled, at_most=100) == feed.vector(Project.objects.all(), at_most=3)


def test_in_an_open_transaction_a_vector_makes_no_streams(db: None) -> None:
    project = factories.make_project()
    with transaction.atomic():
        assert feed.vector(Project.objects.all(), at_most=3) is None
        assert not ProjectStream.objects.filter(pk=project.pk).exists()


@pytest.mark.parametrize(("count", "numbered"), [(200, False), (201, True)])
def test_a_reader_of_versions_numbers_what_has_piled_up(stream: Project, count: int, numbered: bool) -> None:
    grow(stream, count)
    before = feed.versions([stream.pk])
    assert before[stream.pk].number == 5 + count
    assert is_numbered(stream) is numbered
    assert feed.versions([stream.pk]) == before


def test_in_an_open_transaction_a_reader_of_versions_numbers_nothing(stream: Project) -> None:
    with transaction.atomic():
        grow(stream, 201)
        assert feed.version(stream.pk).number == 206  # type: ignore[union-attr]
    assert numbers(stream)[5:] == [None] * 201


# Reading


def test_pages_follow_each_other(stream: Project) -> None:
    grow(stream, 4)
    seen: list[Any] = []
    since = 0
    while page := feed.read(stream.pk, since=since, limit=4).events:
        seen += page
        since = page[-1].seq  # type: ignore[assignment]
    assert [event.seq for event in seen] == list(range(1, 10))


def test_events_of_one_object(stream: Project) -> None:
    task = stream.tasks.first()
    task.title = "Fill"
    task.save()
    of_task = {"object_type": "task", "object_id": str(task.pk)}
    types = [event.type for event in feed.read(stream.pk, **of_task).events]
    assert types == ["task.created", "task.updated"]
    assert [event.seq for event in feed.read(stream.pk, since=5, **of_task).events] == [6]


@pytest.mark.parametrize("since", [0, 4, 5])
def test_numbers_that_can_be_served(stream: Project, since: int) -> None:
    page = feed.read(stream.pk, since=since, epoch=feed.read(stream.pk).epoch)
    assert [event.seq for event in page.events] == list(range(since + 1, 6))


@pytest.mark.parametrize("since", [6, 2**63 - 1])
def test_ahead_of_the_head_is_a_reset(stream: Project, since: int) -> None:
    with pytest.raises(StreamReset) as reset:
        feed.read(stream.pk, since=since)
    assert (reset.value.reason, reset.value.head) == ("ahead", 5)


def test_another_epoch_is_a_reset_whatever_the_number(stream: Project) -> None:
    for since in (0, 5, 6):
        with pytest.raises(StreamReset) as reset:
            feed.read(stream.pk, since=since, epoch="another")
        assert reset.value.reason == "epoch"
        assert (reset.value.head, reset.value.epoch) == (5, feed.read(stream.pk).epoch)


@pytest.mark.parametrize(("keep", "floor"), [(3, 3), (1, 5), (0, 6)])
def test_below_the_floor_is_a_reset_and_one_below_it_is_not(stream: Project, keep: int, floor: int) -> None:
    prune(stream.pk, keep=keep)
    assert ProjectStream.objects.get(pk=stream.pk).floor == floor
    assert [event.seq for event in feed.read(stream.pk, since=floor - 1).events] == list(range(floor, 6))
    for since in (0, floor - 2):
        with pytest.raises(StreamReset) as reset:
            feed.read(stream.pk, since=since)
        assert reset.value.reason == "trimmed"
        assert (reset.value.head, reset.value.epoch) == (5, ProjectStream.objects.get(pk=stream.pk).epoch)


def test_what_is_pruned_between_two_statements_is_a_reset(stream: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    known = ProjectStream.objects.get(pk=stream.pk)
    monkeypatch.setattr(feed, "_stream", lambda project_id: known)
    prune(stream.pk, keep=0)
    with pytest.raises(StreamReset) as reset:
        feed.read(stream.pk)
    assert reset.value.reason == "trimmed"


@pytest.mark.parametrize(
    ("query", "reason"), [("since=6", "ahead"), ("since=5&epoch=another", "epoch"), ("since=1", "trimmed")]
)
def test_a_reset_over_http(stream: Project, api: APIClient, query: str, reason: str) -> None:
    prune(stream.pk, keep=3)
    answer = api.get(f"/projects/{stream.pk}/events/?{query}")
    assert answer.status_code == 410
    assert answer.json().keys() >= {"detail", "head", "epoch"}
    assert (answer.json()["reason"], answer.json()["head"]) == (reason, 5)


# Letting go


def age(project: Any, *, days: dict[int, int]) -> None:
    """Make the events with these numbers so many days old."""
    for number, count in days.items():
        made = timezone.now() - dt.timedelta(days=count)
        Event.objects.filter(project_id=project.pk, seq=number).update(created_at=made)


def kept(project: Any) -> list[int | None]:
    return sorted(number for number in numbers(project) if number is not None)


def test_pruning_by_count_numbers_first(stream: Project) -> None:
    grow(stream, 2)
    assert prune(stream.pk, keep=3) == 4
    assert numbers(stream) == [5, 6, 7]
    assert prune(stream.pk, keep=3) == 0
    assert prune(stream.pk, keep=100) == 0


@pytest.mark.parametrize(
    ("days", "left"),
    [
        ({1: 9, 2: 9}, [3, 4, 5]),
        ({1: 9, 3: 9}, [2, 3, 4, 5]),  # a transaction that stayed open: only a whole beginning goes
        ({2: 9, 3: 9}, [1, 2, 3, 4, 5]),
        (dict.fromkeys(range(1, 6), 9), []),
    ],
)
def test_pruning_by_age_takes_a_whole_beginning(stream: Project, days: dict[int, int], left: list[int]) -> None:
    age(stream, days=days)
    prune(stream.pk, older_than=timezone.now() - dt.timedelta(days=7))
    assert kept(stream) == left
    assert ProjectStream.objects.get(pk=stream.pk).floor == 6 - len(left)
    assert [event.seq for event in feed.read(stream.pk, since=5 - len(left)).events] == left


def test_pruning_stops_at_the_limit(stream: Project) -> None:
    assert prune(stream.pk, keep=1, below=2) == 2
    assert prune(stream.pk, keep=1, below=0) == 0
    assert kept(stream) == [3, 4, 5]


def test_pruning_does_not_change_the_version_and_numbers_go_on(stream: Project) -> None:
    before = feed.version(stream.pk)
    prune(stream.pk, keep=0)
    assert feed.version(stream.pk) == before
    grow(stream, 1)
    assert [event.seq for event in feed.read(stream.pk, since=5).events] == [6]


@pytest.mark.parametrize("cursor", [None, 0, 2, 5])
def test_pruning_waits_for_the_slowest_subscriber(stream: Project, cursor: int | None) -> None:
    events.subscribe("slow", lambda event: None)
    events.subscribe("fast", lambda event: None)
    try:
        for name, place in (("slow", cursor), ("fast", 5)):
            subscriber = Subscriber.objects.create(name=name)
            if place is not None:
                Cursor.objects.create(subscriber=subscriber, project_id=stream.pk, seq=place)
        prune_all(count=1)
        assert kept(stream) == list(range(min(cursor or 0, 4) + 1, 6))
        age(stream, days=dict.fromkeys(range(1, 5), 30))
        prune_all(hard_cap_days=20)
        assert kept(stream) == [5]
    finally:
        unsubscribe("slow")
        unsubscribe("fast")


def test_pruning_of_much_is_done_in_pieces(stream: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each a transaction of its own, after which others have their turn and the floor is true."""
    grow(stream, 30)
    total, turns = feed.number(stream.pk) + 5, []
    locked = retention.locked_stream

    @contextmanager
    def counted(project_id: Any) -> Iterator[ProjectStream]:
        with locked(project_id) as found:
            yield found
        kept = Event.objects.filter(project_id=project_id).order_by("seq").values_list("seq", flat=True)
        assert ProjectStream.objects.get(pk=project_id).floor == kept[0]
        turns.append(len(kept))

    monkeypatch.setattr(retention, "CHUNK", 10)
    monkeypatch.setattr(retention, "locked_stream", counted)
    assert prune(stream.pk, keep=4) == total - 4
    assert turns == [25, 15, 5, 4, 4]


def test_nothing_is_pruned_unless_the_host_says_so(stream: Project, settings: Any) -> None:
    age(stream, days=dict.fromkeys(range(1, 6), 4_000))
    assert prune_all() == {}
    settings.DJANGO_PM = {"EVENT_RETENTION_COUNT": 2}
    assert prune_all() == {stream.pk: 3}
    settings.DJANGO_PM = {"EVENT_RETENTION_DAYS": 3_999}
    assert prune_all() == {stream.pk: 2}


def test_a_new_epoch_resets_every_client_and_keeps_the_numbers(stream: Project) -> None:
    other = factories.make_project()
    old = {key: feed.read(key).epoch for key in (stream.pk, other.pk)}
    before = feed.versions(old)
    assert rotate_epoch([stream.pk]) == 1
    assert feed.read(other.pk, epoch=old[other.pk]).head == 2
    assert rotate_epoch() == 2
    for key, epoch in old.items():
        with pytest.raises(StreamReset) as reset:
            feed.read(key, epoch=epoch)
        assert reset.value.reason == "epoch"
        assert feed.read(key, epoch=reset.value.epoch).head == reset.value.head == before[key].number
        assert feed.version(key) != before[key]
    assert len({*old.values(), *ProjectStream.objects.values_list("epoch", flat=True)}) == 4
