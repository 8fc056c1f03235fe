"""`pm_seed`: the same seed tells the same, and its events are what the recorder would have written."""

from __future__ import annotations

import datetime as dt
import io
from collections import Counter
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from django_pm import access
from django_pm.events import feed
from django_pm.management.commands.pm_seed import Progress
from django_pm.models import Comment, Event, Membership, Project, ProjectStream, Role, Status, Task
from django_pm.services import seeding
from django_pm.services.seeding import words
from tests import factories
from tests.events.support import apply, present

NOW = dt.datetime(2030, 1, 7, 9, tzinfo=dt.UTC)
SIZES = {"projects": 3, "tasks": 60, "comments": 90, "users": 6}

pytestmark = pytest.mark.django_db


def run(**options: Any) -> str:
    """What the command prints; small sizes and a fixed `now` unless told otherwise."""
    out = io.StringIO()
    call_command("pm_seed", **{**SIZES, "now": NOW.isoformat(), **options}, stdout=out)
    return out.getvalue()


def seeded(**options: Any) -> list[Project]:
    """The projects that one run made, in their order."""
    last = Project.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    run(**options)
    return list(Project.objects.filter(pk__gt=last).order_by("pk"))


def told(projects: list[Project], offset: dt.timedelta = dt.timedelta()) -> list[Any]:
    """Everything about `projects` but keys, with times moved by `offset`."""

    def moved(value: Any) -> Any:
        return value + offset if isinstance(value, dt.datetime) else value

    rows: list[Any] = []
    for project in projects:
        members = project.memberships.order_by("pk").values_list("user", "role", "created_at")
        columns = ("title", "description", "status", "priority", "due_date", "assignee", "created_by", "completed_at")
        tasks = project.tasks.order_by("pk").values_list(*columns, "created_at", "updated_at")
        comments = Comment.objects.filter(task__project=project).order_by("pk")
        events = Event.objects.filter(project_id=project.pk).order_by("seq")
        for found in (
            [(project.name, project.description, project.created_at, project.updated_at)],
            members,
            tasks,
            comments.values_list("task__title", "author", "user", "content", "created_at"),
            events.values_list("seq", "type", "actor_id", "actor_name", "created_at"),
        ):
            rows += [tuple(moved(value) for value in row) for row in found]
    return rows


# What is made


def test_makes_as_much_as_was_asked_for() -> None:
    said = run(projects=7, tasks=101, comments=203)

    assert Project.objects.count() == 7
    assert Task.objects.count() == 101
    assert Comment.objects.count() == 203
    assert get_user_model().objects.count() == SIZES["users"]
    counts = Project.objects.with_counts().values_list("task_count", flat=True)
    assert max(counts) - min(counts) <= 1
    assert "made 7 projects" in said


def test_defaults_make_something_to_look_at() -> None:
    call_command("pm_seed", stdout=io.StringIO())

    assert Project.objects.exists()
    assert Task.objects.overdue().exists()
    assert Task.objects.filter(due_date__gt=timezone.now()).exists()
    assert not Task.objects.filter(created_at__gt=timezone.now()).exists()


@pytest.mark.parametrize(
    "sizes",
    [
        {"projects": 0, "tasks": 0, "comments": 0},
        {"projects": 2, "tasks": 0, "comments": 0},
        {"projects": 3, "tasks": 1, "comments": 1},
        {"projects": 1, "tasks": 2, "comments": 9, "users": 1},
    ],
)
def test_small_numbers(sizes: dict[str, int]) -> None:
    projects = seeded(**sizes)

    assert len(projects) == sizes["projects"]
    assert Task.objects.count() == sizes["tasks"]
    assert Comment.objects.count() == sizes["comments"]
    assert all(present(project.pk) == apply({}, read_all(project), project.pk) for project in projects)


def test_rows_obey_the_rules_of_the_models() -> None:
    projects = seeded(tasks=300, comments=300)

    assert Task.objects.filter(status=Status.COMPLETED, completed_at=None).count() == 0
    assert Task.objects.exclude(status=Status.COMPLETED).exclude(completed_at=None).count() == 0
    assert set(Task.objects.values_list("status", flat=True)) == set(Status.values)
    for row in [*projects, *Membership.objects.all(), *Task.objects.all(), *Comment.objects.all()]:
        row.full_clean()
        assert row.created_at <= row.updated_at < NOW
    for task in Task.objects.select_related("created_by", "assignee"):
        assert access.may(task.created_by, "add", task)
        assert task.assignee is None or access.sees(task.assignee, task.project_id)
        assert task.due_date is None or task.due_date > task.created_at
    for comment in Comment.objects.select_related("task", "user"):
        assert access.may(comment.user, "add", comment)
        assert comment.created_at >= comment.task.created_at


def test_every_project_has_every_role() -> None:
    for project in seeded():
        roles = Counter(project.memberships.values_list("role", flat=True))
        assert set(roles) == set(Role.values)
        assert project.memberships.filter(role=Role.OWNER, user=project.created_by).exists()


def test_due_dates_are_around_now() -> None:
    run(tasks=300)

    due = Task.objects.exclude(due_date=None).values_list("due_date", flat=True)
    assert sum(abs(date - NOW) < dt.timedelta(days=60) for date in due) > 0.95 * len(due)
    assert Task.objects.overdue(NOW).exists()
    assert Task.objects.open().filter(due_date__gt=NOW).exists()


def test_titles_and_names_differ() -> None:
    run(projects=40, tasks=3_000, comments=0)

    assert Project.objects.values("name").distinct().count() == 40
    assert Task.objects.values("title").distinct().count() == 3_000


def test_phrases_differ_even_when_the_words_are_used_up() -> None:
    pair = (("a", "b", "c"), ("x", "y"))
    phrases = [words.phrase(number, 5, *pair) for number in range(20)]

    assert len(set(phrases)) == 20
    assert phrases[6] == f"{phrases[0]} (2)"


# Again


def test_the_same_seed_tells_the_same() -> None:
    assert told(seeded()) == told(seeded())


def test_another_seed_tells_something_else() -> None:
    assert told(seeded(seed=1)) != told(seeded(seed=2))


def test_times_are_relative_to_now() -> None:
    later = dt.timedelta(days=400, hours=5)
    here, there = seeded(), seeded(now=(NOW + later).isoformat())

    assert told(here, later) == told(there)


def test_a_project_does_not_depend_on_how_many_follow_it() -> None:
    few = told(seeded(projects=1, tasks=20, comments=30))
    many = told(seeded(projects=3, tasks=60, comments=90))

    assert many[: len(few)] == few


# Events


def read_all(project: Project) -> list[Event]:
    events: list[Event] = []
    while page := feed.read(project.pk, since=len(events), limit=500).events:
        events += page
    return events


def test_state_rebuilt_from_the_events_is_what_the_tables_hold() -> None:
    for project in seeded(tasks=900, comments=600):
        events = read_all(project)
        assert {event.type for event in events} >= {"project.created", "member.added", "task.updated"}
        assert apply({}, events, project.pk) == present(project.pk)


def test_events_are_numbered_in_the_order_of_what_happened() -> None:
    projects = seeded(tasks=900)

    assert not Event.objects.filter(seq=None).exists()
    for project in projects:
        events = read_all(project)
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        times = [event.created_at for event in events]
        assert times == sorted(times)
        assert feed.version(project.pk).number == len(events)


def test_events_are_those_of_the_recorder() -> None:
    """The same writes made through the models leave the same events, origin and times aside."""
    (project,) = seeded(projects=1, tasks=25, comments=20)
    ours = read_all(project)

    copies: dict[tuple[str, str], Any] = {}
    columns = {"project": Project, "member": Membership, "task": Task, "comment": Comment}
    for event in ours:
        model = columns[event.object_type]
        key = (event.object_type, event.object_id)
        row = copies.setdefault(key, model())
        changed = []
        for name, (_old, new) in event.changes.items():
            field = model._meta.get_field(name)
            if name in ("created_at", "updated_at", "completed_at"):
                continue
            parent = {"project": "project", "task": "task"}.get(name)
            value = copies[parent, str(new)].pk if parent else field.to_python(new) if not field.remote_field else new
            setattr(row, field.attname, value)
            changed.append(name)
        row.save(**({"update_fields": changed} if row.pk else {}))
    copied = feed.read(copies["project", str(project.pk)].pk, limit=len(ours) + 1).events

    def shape(event: Event) -> Any:
        untimed = {
            name: [value if name not in ("project", "task") else value is not None for value in pair]
            for name, pair in event.changes.items()
            if not name.endswith("_at")
        }
        return event.type, event.object_type, event.version, untimed, sorted(event.changes)

    assert [shape(event) for event in copied] == [shape(event) for event in ours]


def test_events_name_their_actor_and_origin() -> None:
    run()

    names = {str(user.pk): user.get_full_name() for user in get_user_model().objects.all()}
    for event in Event.objects.all():
        assert event.origin == seeding.ORIGIN
        assert names[event.actor_id] == event.actor_name


# Beside what is there


def test_goes_beside_other_data_and_leaves_it_alone(project: Project) -> None:
    task = factories.make_task(project)
    before, version = present(project.pk), feed.version(project.pk)

    run()
    another = factories.make_task(project)
    factories.make_comment(another)

    assert another.pk > Task.objects.exclude(pk=another.pk).order_by("-pk").first().pk
    assert before.items() <= present(project.pk).items()
    assert version is None or feed.version(project.pk).epoch == version.epoch
    assert task.project_id == project.pk
    assert factories.make_project().pk > project.pk


def test_a_stream_that_outlived_its_project_goes_on() -> None:
    """A key that is used again (a restored table, a sequence set back) continues the stream it finds."""
    gone = factories.make_project()
    feed.number(gone.pk)
    ahead = ProjectStream.objects.get(pk=gone.pk).seq
    ProjectStream.objects.bulk_create(ProjectStream(project_id=gone.pk + n, seq=ahead) for n in range(1, 4))

    for project in seeded():
        assert feed.read(project.pk, since=ahead, limit=1).events[0].seq == ahead + 1


# People


def test_people_cannot_sign_in_and_get_no_mail() -> None:
    run()

    for user in get_user_model().objects.all():
        assert not user.has_usable_password()
        assert user.email.endswith(".invalid")
        assert user.get_full_name()


def test_people_of_an_earlier_run_are_taken_again() -> None:
    run()
    run(users=SIZES["users"] + 2)

    assert get_user_model().objects.count() == SIZES["users"] + 2


def test_existing_users_take_part() -> None:
    me, you = factories.make_user("me"), factories.make_user("you")
    run(users=0, user=[factories.login_name("me"), factories.login_name("you"), factories.login_name("me")])

    assert set(Membership.objects.values_list("user", flat=True)) == {me.pk, you.pk}
    assert Membership.objects.filter(role=Role.OWNER).count() == SIZES["projects"]
    assert me.has_usable_password()


# Refusals


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"projects": -1}, "--projects must be between"),
        ({"tasks": 10**12}, "--tasks must be between"),
        ({"users": -3}, "--users must be between"),
        ({"projects": 0}, "Tasks need a project"),
        ({"tasks": 0}, "Comments need a task"),
        ({"users": 0}, "needs an owner"),
        ({"user": ["nobody"]}, "no active user 'nobody'"),
        ({"now": "tomorrow"}, "no ISO 8601"),
        ({"now": "2030-02-31T00:00Z"}, "no ISO 8601"),
        ({"now": "0001-01-01T00:00Z"}, "--now must be between"),
    ],
)
def test_refuses_in_words(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(CommandError, match=complaint):
        run(**options)
    assert not Project.objects.exists()


def test_a_date_alone_is_midnight() -> None:
    assert "2030-01-07 00:00 UTC" in run(now="2030-01-07")


# On the way


@pytest.mark.django_db(transaction=True)
def test_a_run_that_ends_early_leaves_whole_projects(monkeypatch: pytest.MonkeyPatch) -> None:
    class PulledPlug(Exception):
        pass

    count = 0

    def pull(rows: int) -> None:
        nonlocal count
        count += rows
        if count > 100:
            raise PulledPlug

    people = seeding.made_up_people(4, seed=1)
    with pytest.raises(PulledPlug):
        seeding.seed_projects(projects=3, tasks=150, comments=0, people=people, seed=1, now=NOW, progress=pull)

    (project,) = Project.objects.all()
    assert project.tasks.count() == 50
    assert apply({}, read_all(project), project.pk) == present(project.pk)
    assert not Event.objects.exclude(project_id=project.pk).exists()


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True

    def write(self, text: str, ending: str = "\n") -> int:
        return super().write(text + ending)


def test_a_terminal_gets_a_bar_and_a_file_gets_lines() -> None:
    screen = Screen()
    bar = Progress(screen, 100)
    for _ in range(10):
        bar.advance(10)
    bar.finish()
    assert screen.getvalue().count("\r") >= 2
    assert screen.getvalue().endswith(" \n")
    assert "[" + "#" * Progress.WIDTH + "] 100 %" in screen.getvalue()

    lines = run().splitlines()
    assert [line.partition(",")[0] for line in lines[:-1]] == ["30 %", "60 %", "100 %"]
    assert "\r" not in "".join(lines)


def test_silent_when_told_to_be() -> None:
    assert run(verbosity=0) == ""


def test_wakes_readers(django_capture_on_commit_callbacks: Any) -> None:
    with django_capture_on_commit_callbacks() as callbacks:
        run()
    assert callbacks


def test_does_not_ask_the_database_row_by_row(django_assert_max_num_queries: Any) -> None:
    run()
    with django_assert_max_num_queries(60 if connection.vendor == "postgresql" else 200):
        run(projects=1, tasks=500, comments=500)
