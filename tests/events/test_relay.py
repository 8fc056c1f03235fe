"""Subscribers hear every event at least once, in order, and none of them can hold up another."""

from __future__ import annotations

import datetime as dt
import io
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import time_machine
from django.core.management import call_command
from django.db import OperationalError, connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from django_pm.context import in_request, request_id
from django_pm.events import relay, subscribe
from django_pm.events.relay import LONGEST_BACKOFF, Relayed, relay_events
from django_pm.events.retention import prune, prune_all, read_by_all
from django_pm.events.subscribers import registered, unsubscribe
from django_pm.management.commands import pm_relay_events
from django_pm.models import Comment, Cursor, Event, ParkedEvent, Project, ProjectStream, Subscriber, Task
from django_pm.services.notifications import notifying
from tests import factories

pytestmark = pytest.mark.django_db


class Ear:
    """A handler that remembers what it heard and fails when told to."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, int | None]] = []
        self.failing: set[str] = set()
        self.take_time: Callable[[], Any] = int

    def __call__(self, event: Event) -> None:
        self.take_time()
        if event.type in self.failing:
            raise RuntimeError("no ear for it")
        self.heard.append((event.project_id, event.seq))


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    """Nobody subscribes but who is made here."""
    ours = next(each for each in registered() if each.name == notifying.NAME)
    unsubscribe(ours.name)
    yield
    subscribe(ours.name, ours.handler, types=ours.types, begin=ours.begin)


@pytest.fixture
def subscribed() -> Iterator[Callable[..., Ear]]:
    """`subscribed(name)`: a new ear, registered and already seen by the relay."""
    names = []

    def make(name: str = "ear", **options: Any) -> Ear:
        ear = Ear()
        subscribe(name, ear, **options)
        names.append(name)
        relay_events()
        ear.heard.clear()
        return ear

    yield make
    for name in names:
        unsubscribe(name)


def test_events_are_handed_over_once_and_in_order(project: Project, subscribed: Callable[..., Ear]) -> None:
    ear = subscribed()
    head = ProjectStream.objects.get(pk=project.pk).seq
    tasks = [factories.make_task(project) for _ in range(3)]
    tasks[0].delete()
    assert relay_events() == Relayed(delivered=4)
    assert ear.heard == [(project.pk, head + n) for n in range(1, 5)]
    assert relay_events() == Relayed()


def test_a_new_subscriber_begins_at_the_heads(project: Project, subscribed: Callable[..., Ear]) -> None:
    factories.make_task(project)
    ear = Ear()
    subscribe("late", ear)
    try:
        assert relay_events() == Relayed()
        factories.make_task(project)
        relay_events()
        assert len(ear.heard) == 1
    finally:
        unsubscribe("late")


def test_a_project_that_came_later_is_heard_from_its_beginning(subscribed: Callable[..., Ear]) -> None:
    ear = subscribed()
    project = factories.make_project()
    relay_events()
    assert [seq for key, seq in ear.heard if key == project.pk] == [1, 2]


def test_only_the_types_asked_for(project: Project, subscribed: Callable[..., Ear]) -> None:
    ear = subscribed(types=["task.deleted"])
    factories.make_task(project).delete()
    relay_events()
    assert len(ear.heard) == 1
    assert Cursor.objects.get(project_id=project.pk).seq == ProjectStream.objects.get(pk=project.pk).seq


def test_a_failing_event_is_tried_again_then_parked(
    project: Project, subscribed: Callable[..., Ear], settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.DJANGO_PM = {"SUBSCRIBER_ATTEMPTS": 3}
    caplog.set_level(logging.CRITICAL)
    ear, healthy = subscribed(), subscribed("healthy")
    ear.failing = {"task.updated"}
    task = factories.make_task(project)
    task.title = "Fill"
    task.save()
    task.delete()
    with time_machine.travel(timezone.now(), tick=False) as clock:
        assert relay_events() == Relayed(delivered=1 + 3, failed=1)
        assert len(healthy.heard) == 3
        assert relay_events() == Relayed()  # it is not time yet
        for outcome in (Relayed(failed=1), Relayed(parked=1, delivered=1)):
            clock.shift(600)
            assert relay_events() == outcome
    assert len(ear.heard) == 2
    parked = ParkedEvent.objects.get()
    assert (parked.subscriber_id, parked.error) == ("ear", "RuntimeError: no ear for it")
    assert Event.objects.get(uuid=parked.event_uuid).type == "task.updated"


def test_pauses_stay_within_their_bound_however_many_attempts_there_are(
    project: Project, subscribed: Callable[..., Ear], settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.DJANGO_PM = {"SUBSCRIBER_ATTEMPTS": 60}
    caplog.set_level(logging.CRITICAL)
    ear = subscribed()
    ear.failing = {"task.created"}
    factories.make_task(project).delete()
    with time_machine.travel(timezone.now(), tick=False) as clock:
        for _ in range(59):
            assert relay_events() == Relayed(failed=1)
            clock.shift(LONGEST_BACKOFF)
        assert relay_events() == Relayed(parked=1, delivered=1)
    assert ParkedEvent.objects.count() == 1


def test_what_a_handler_wrote_before_it_failed_is_undone(
    project: Project, subscribed: Callable[..., Ear], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    task = factories.make_task(project)

    def half(event: Event) -> None:
        Task.objects.filter(pk=task.pk).update(title="half done")
        raise RuntimeError

    subscribe("half", half)
    try:
        relay_events()
        factories.make_task(project)
        relay_events()
    finally:
        unsubscribe("half")
    task.refresh_from_db()
    assert task.title == "Dig"


def test_one_subscriber_blocks_only_the_stream_it_fails_on(
    project: Project, subscribed: Callable[..., Ear], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    ear = subscribed()
    ear.failing = {"task.deleted"}
    factories.make_task(project).delete()
    other = factories.make_project()
    relay_events()
    assert {key for key, _seq in ear.heard} == {project.pk, other.pk}


def test_names_are_taken_once() -> None:
    subscribe("named", print)
    try:
        subscribe("named", print)
        with pytest.raises(ValueError, match="registered already"):
            subscribe("named", len)
        with pytest.raises(ValueError, match=r"task\.exploded"):
            subscribe("other", print, types=["task.exploded"])
    finally:
        unsubscribe("named")


# Retention


def test_pruning_waits_for_every_subscriber(project: Project, subscribed: Callable[..., Ear]) -> None:
    subscribed()
    before = ProjectStream.objects.get(pk=project.pk).seq
    for _ in range(5):
        factories.make_task(project)
    assert read_by_all(project.pk) == before
    assert prune_all(count=1) == {project.pk: before}
    relay_events()
    assert prune_all(count=1) == {project.pk: 4}
    stream = ProjectStream.objects.get(pk=project.pk)
    assert (stream.floor, stream.seq) == (stream.seq, before + 5)


def test_a_subscriber_that_was_left_behind_is_told(
    project: Project, subscribed: Callable[..., Ear], caplog: pytest.LogCaptureFixture
) -> None:
    ear = subscribed()
    head = ProjectStream.objects.get(pk=project.pk).seq
    for _ in range(5):
        factories.make_task(project)
    prune(project.pk, keep=2)
    relay_events()
    assert [seq for _key, seq in ear.heard] == [head + 4, head + 5]
    assert "were pruned" in caplog.text


def test_nothing_is_pruned_by_default(project: Project) -> None:
    assert prune_all() == {}
    assert Event.objects.filter(project_id=project.pk).exists()


def test_the_commands(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    factories.make_task(project)
    call_command("pm_relay_events")
    call_command("pm_prune", keep=1)
    call_command("pm_epoch")
    epoch = ProjectStream.objects.get(pk=project.pk).epoch
    call_command("pm_epoch", rotate=True)
    out = capsys.readouterr().out
    assert "delivered 0, failed 0, parked 0" in out
    assert "pruned 2 events" in out
    assert epoch in out
    assert ProjectStream.objects.get(pk=project.pk).epoch != epoch


class TestTime:
    """Handlers that take a second for each event."""

    @pytest.fixture
    def slow(self, subscribed: Callable[..., Ear]) -> Iterator[Callable[[str], Ear]]:
        with time_machine.travel(timezone.now(), tick=False) as clock:

            def make(name: str) -> Ear:
                ear = subscribed(name)
                ear.take_time = lambda: clock.shift(1)
                return ear

            yield make

    def test_who_is_killed_has_not_worked_for_nothing(
        self, project: Project, slow: Callable[[str], Ear], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Or nothing would ever come of a batch that takes longer than a worker may."""
        ear = slow("ear")
        for _ in range(25):
            factories.make_task(project)
        place = Cursor.objects.get(subscriber="ear", project_id=project.pk).seq
        hear = Ear.__call__

        def hear_twenty_two(self: Ear, event: Event) -> None:
            if len(self.heard) == 22:
                raise SystemExit
            hear(self, event)

        monkeypatch.setattr(Ear, "__call__", hear_twenty_two)
        with pytest.raises(SystemExit):
            relay_events()
        monkeypatch.undo()
        assert Cursor.objects.get(subscriber="ear", project_id=project.pk).seq == place + 20
        assert relay_events() == Relayed(delivered=5)
        assert len(ear.heard) == 22 + 5

    def test_nobody_takes_the_time_of_another(self, owner: Any, slow: Callable[[str], Ear]) -> None:
        first, second = slow("first"), slow("second")
        projects = [factories.make_project(owner) for _ in range(2)]
        for project in projects:
            for _ in range(60):
                factories.make_task(project)
        relay_events(for_at_most=dt.timedelta(minutes=1))
        for ear in (first, second):
            assert 30 <= len(ear.heard) < 60
            assert {key for key, _seq in ear.heard} == {project.pk for project in projects}
        relay_events()
        assert (
            len(first.heard)
            == len(second.heard)
            == Event.objects.filter(project_id__in=[p.pk for p in projects]).count()
        )


def test_no_project_is_left_out_each_time_that_the_time_is_over(owner: Any, subscribed: Callable[..., Ear]) -> None:
    """All three always have something new, and the time is for two."""
    projects = [factories.make_project(owner) for _ in range(3)]
    ear = subscribed()
    with time_machine.travel(timezone.now(), tick=False) as clock:
        ear.take_time = lambda: clock.shift(10)
        for _turn in range(50):
            for project in projects:
                factories.make_task(project)
            relay_events(for_at_most=dt.timedelta(seconds=20))
    assert {project_id for project_id, _seq in ear.heard} == {project.pk for project in projects}


def test_what_a_handler_does_belongs_to_the_request_of_the_event(project: Project) -> None:
    """What it logs, and what it writes: so an effect leads back to the request, over any number of handlers."""
    known = []

    def follow_up(event: Event) -> None:
        known.append((event.type, request_id()))
        if event.object_type == "task" and event.type == "task.created" and len(known) < 3:
            Task.objects.create(project=project, title="And again")

    subscribe("follow-up", follow_up, types=["task.created"])
    try:
        relay_events()
        with in_request("request-one"):
            factories.make_task(project)
        factories.make_task(project)
        relay_events()
        relay_events()
    finally:
        unsubscribe("follow-up")
    assert [request for _type, request in known] == ["request-one", "", "request-one", ""]
    assert request_id() == ""
    assert list(Event.objects.order_by("id").values_list("origin", flat=True))[-2:] == ["system#request-one", "system"]


def test_a_failure_is_logged_with_the_request(
    project: Project, subscribed: Callable[..., Ear], caplog: pytest.LogCaptureFixture
) -> None:
    ear = subscribed()
    ear.failing = {"task.created"}
    requests = []

    class Note(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            requests.append(request_id())
            return True

    with in_request("request-one"):
        factories.make_task(project)
    caplog.handler.addFilter(note := Note())
    try:
        assert relay_events() == Relayed(failed=1)
    finally:
        caplog.handler.removeFilter(note)
    assert requests == ["request-one"]


@pytest.mark.django_db(transaction=True)
def test_a_beginning_holds_nothing_back_and_misses_nothing() -> None:
    """What happens while it lasts is handed over, and it is committed by and by."""
    project, ear, happened = factories.make_project(), Ear(), []

    def begin() -> None:
        happened.append(transaction.get_connection().in_atomic_block)
        factories.make_task(project)

    subscribe("late", ear, begin=begin)
    try:
        relay_events()
        relay_events()
        assert happened == [False], "once, and in no transaction"
        assert len(ear.heard) == 1
    finally:
        unsubscribe("late")


def test_a_beginning_that_was_cut_off_begins_again(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    ear, outcomes = Ear(), iter([RuntimeError("cut off"), None])

    def begin() -> None:
        if error := next(outcomes):
            raise error

    subscribe("late", ear, begin=begin)
    try:
        relay_events()
        assert not Subscriber.objects.filter(name="late").exists()
        factories.make_task(project)
        relay_events()
        assert Subscriber.objects.filter(name="late").exists()
        assert ear.heard == [], "it begins when its beginning is over"
        factories.make_task(project)
        relay_events()
        assert len(ear.heard) == 1
    finally:
        unsubscribe("late")


def test_a_stream_that_cannot_be_numbered_keeps_nobody_else_waiting(
    project: Project, subscribed: Callable[..., Ear], caplog: pytest.LogCaptureFixture
) -> None:
    """As where a stream came back from an older backup than its events."""
    other = factories.make_project()
    relay_events()
    ear = subscribed()
    ProjectStream.objects.filter(pk=project.pk).update(seq=0)
    for each in (project, other):
        factories.make_task(each)
    relay_events()
    assert {project_id for project_id, _seq in ear.heard} == {other.pk}
    assert f"The events of project {project.pk} cannot be numbered" in caplog.text


# What is refused at the commit


@pytest.mark.django_db(transaction=True)
class TestRefusedAtTheCommit:
    """A handler writes a row that points at a task that is gone: a foreign key is checked when all is committed."""

    @pytest.fixture(autouse=True)
    def _clock(self) -> Iterator[None]:
        with time_machine.travel(timezone.now(), tick=False) as self.clock:
            yield

    @pytest.fixture
    def heard(self, settings: Any, caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
        """The tasks of which a subscriber was told, which puts a comment on each."""
        settings.DJANGO_PM = {"SUBSCRIBER_ATTEMPTS": 3}
        caplog.set_level(logging.CRITICAL)
        heard: list[str] = []

        def comment(event: Event) -> None:
            heard.append(event.object_id)
            # By Django's own: ours would see that there is no such task.
            QuerySet(Comment).bulk_create([Comment(task_id=event.object_id, author="handler", content="Seen.")])

        subscribe("commenting", comment, types=["task.created"])
        relay_events()
        yield heard
        unsubscribe("commenting")

    def commented(self) -> list[str]:
        return [str(key) for key in Comment.objects.order_by("pk").values_list("task_id", flat=True)]

    def test_it_is_parked_and_the_rest_goes_on(self, heard: list[str]) -> None:
        project, other = factories.make_project(), factories.make_project()
        before, gone, *after = (factories.make_task(project) for _ in range(4))
        elsewhere = factories.make_task(other)
        key, *rest = (str(task.pk) for task in (gone, *after))
        gone.delete()
        relayed = relay_events()
        assert relayed.failed == 1
        assert set(self.commented()) == {str(before.pk), str(elsewhere.pk)}
        assert relay_events() == Relayed(), "it is not time yet"
        self.clock.shift(600)
        assert relay_events() == Relayed(failed=1)
        self.clock.shift(600)
        assert relay_events() == Relayed(parked=1, delivered=3)  # the tasks after it, and its deletion
        assert sorted(self.commented()) == sorted([str(before.pk), str(elsewhere.pk), *rest])
        parked = ParkedEvent.objects.get()
        assert Event.objects.get(uuid=parked.event_uuid).object_id == key
        assert parked.error.startswith("IntegrityError: ")
        head = ProjectStream.objects.get(pk=project.pk).seq
        assert Cursor.objects.get(subscriber="commenting", project_id=project.pk).seq == head
        assert relay_events() == Relayed()
        # Once more than its attempts, in the batch that was undone; so were those in the same batch.
        assert heard.count(key) == 3 + 1
        assert {heard.count(each) for each in (str(before.pk), *rest)} == {2}

    def test_all_that_come_to_nothing_are_parked(self, heard: list[str]) -> None:
        project = factories.make_project()
        tasks = [factories.make_task(project) for _ in range(3)]
        Task.objects.filter(pk__in=[task.pk for task in tasks[:2]]).delete()
        for _ in range(6):
            relay_events()
            self.clock.shift(600)
        assert ParkedEvent.objects.count() == 2
        assert self.commented() == [str(tasks[2].pk)]
        assert relay_events() == Relayed()

    def test_who_came_first_meanwhile_is_not_undone(self, heard: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
        """Another relay may have gone on between the commit that failed and the note of it."""
        project = factories.make_project()
        gone = factories.make_task(project)
        gone.delete()
        relay_events()
        self.clock.shift(600)
        refused = relay._refused

        def too_late(*args: Any) -> Any:
            cursors = Cursor.objects.filter(subscriber="commenting", project_id=project.pk)
            cursors.update(seq=ProjectStream.objects.get(pk=project.pk).seq, attempts=0)
            return refused(*args)

        monkeypatch.setattr(relay, "_refused", too_late)
        assert relay_events() == Relayed()
        assert Cursor.objects.get(subscriber="commenting", project_id=project.pk).attempts == 0

    def test_what_fails_after_the_commit_holds_up_no_other_project(
        self, caplog: pytest.LogCaptureFixture, subscribed: Callable[..., Ear]
    ) -> None:
        ear = subscribed()
        projects = [factories.make_project() for _ in range(3)]

        def fail() -> None:
            raise ZeroDivisionError

        ear.take_time = lambda: transaction.on_commit(fail)
        relay_events()
        assert {project_id for project_id, _seq in ear.heard} == {project.pk for project in projects}
        for project in projects:
            assert f"Subscriber ear could not be served in project {project.pk}" in caplog.messages
        ear.heard.clear()
        assert relay_events() == Relayed()
        assert ear.heard == [], "it was committed"


def test_a_database_that_is_away_is_not_asked_for_each_project(
    project: Project, subscribed: Callable[..., Ear], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    subscribed()
    factories.make_project()
    factories.make_task(project)
    asked = []

    def be_away(*args: Any) -> Any:
        asked.append(args)
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(relay, "_deliver", be_away)
    monkeypatch.setattr(connection, "is_usable", lambda: False)
    assert relay_events() == Relayed()
    assert len(asked) == 1
    assert "Subscriber ear could not be served" in caplog.messages


def test_a_number_may_be_parked_again(
    project: Project, subscribed: Callable[..., Ear], settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """As where its place was set back by `pm_epoch --mend`."""
    settings.DJANGO_PM = {"SUBSCRIBER_ATTEMPTS": 1}
    caplog.set_level(logging.CRITICAL)
    ear = subscribed()
    place = Cursor.objects.get(subscriber="ear", project_id=project.pk).seq
    ear.failing = {"task.created"}
    factories.make_task(project)
    with time_machine.travel(timezone.now(), tick=False) as clock:
        assert relay_events() == Relayed(parked=1)
        clock.shift(60)
        Cursor.objects.filter(subscriber="ear", project_id=project.pk).update(seq=place)
        assert relay_events() == Relayed(parked=1)
        assert ParkedEvent.objects.get().parked_at == timezone.now()
    assert relay_events() == Relayed()


# The command


def test_watching_goes_on_after_an_error(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """As where the database was away for a moment."""
    looks = iter([OperationalError("the database is starting up"), Relayed(delivered=1), KeyboardInterrupt])
    let_go, slept, out = [], [], io.StringIO()

    def look() -> Relayed:
        found = next(looks)
        if isinstance(found, Relayed):
            return found
        raise found

    monkeypatch.setattr(pm_relay_events, "relay_events", look)
    monkeypatch.setattr(pm_relay_events, "close_old_connections", lambda: let_go.append(True))
    monkeypatch.setattr(pm_relay_events.time, "sleep", slept.append)
    with pytest.raises(KeyboardInterrupt):
        call_command("pm_relay_events", watch=True, interval=7.0, stdout=out)
    assert out.getvalue() == "delivered 1, failed 0, parked 0\n"
    assert "The events could not be relayed; it is tried again." in caplog.messages
    assert (len(let_go), slept) == (2, [7.0, 7.0])


def test_once_fails_where_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Relayed:
        raise OperationalError("the database is starting up")

    monkeypatch.setattr(pm_relay_events, "relay_events", fail)
    with pytest.raises(OperationalError):
        call_command("pm_relay_events")
