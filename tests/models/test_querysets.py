"""Counts, and which tasks are overdue."""

import datetime as dt

import pytest
import time_machine
from django.utils import timezone

from django_pm.models import Project, Task
from tests.factories import make_comment, make_project, make_task

pytestmark = pytest.mark.django_db

NOON = dt.datetime(2031, 5, 1, 12, tzinfo=dt.UTC)
MOMENT = dt.timedelta(microseconds=1)


@pytest.fixture(autouse=True)
def _noon():
    with time_machine.travel(NOON, tick=False):
        yield


def titles(rows):
    return set(rows.values_list("title", flat=True))


@pytest.fixture
def tasks():
    project = make_project()
    for title, status, due in [
        ("late", "pending", NOON - MOMENT),
        ("late, begun", "in_progress", NOON - dt.timedelta(days=400)),
        ("late, done", "completed", NOON - dt.timedelta(days=1)),
        ("due now", "pending", NOON),
        ("due soon", "in_progress", NOON + MOMENT),
        ("some day", "pending", None),
        ("done some day", "completed", None),
    ]:
        make_task(project, title=title, status=status, due_date=due)


def test_open_tasks_are_those_not_completed(tasks):
    assert titles(Task.objects.open()) == {"late", "late, begun", "due now", "due soon", "some day"}


def test_overdue_is_open_and_past_due(tasks):
    assert titles(Task.objects.overdue()) == {"late", "late, begun"}


def test_overdue_at_another_instant(tasks):
    assert titles(Task.objects.overdue(at=timezone.now() + MOMENT)) == {"late", "late, begun", "due now"}
    assert titles(Task.objects.overdue(at=NOON - dt.timedelta(days=300))) == {"late, begun"}


@pytest.mark.parametrize("at", [None, NOON - dt.timedelta(days=300), NOON + MOMENT, NOON + dt.timedelta(days=9)])
def test_every_task_is_either_overdue_or_not(tasks, at):
    late, not_late = titles(Task.objects.overdue(at=at)), titles(Task.objects.not_overdue(at=at))
    assert late & not_late == set()
    assert late | not_late == titles(Task.objects.all())


def test_they_work_behind_other_filters(tasks):
    make_task(title="late elsewhere", due_date=NOON - MOMENT)
    project = Project.objects.get(tasks__title="late")
    assert titles(project.tasks.overdue()) == {"late", "late, begun"}
    assert titles(Task.objects.filter(status="in_progress").overdue()) == {"late, begun"}


def test_counts_of_a_project():
    empty, busy = make_project(name="empty"), make_project(name="busy")
    for status in ("pending", "completed", "completed", "in_progress"):
        make_comment(make_task(busy, status=status))
    counted = Project.objects.with_counts().values_list("name", "task_count", "completed_task_count")
    assert set(counted) == {("empty", 0, 0), ("busy", 4, 2)}
    assert empty.tasks.count() == 0


def test_counts_of_a_task():
    silent, discussed = make_task(title="silent"), make_task(title="discussed")
    for _ in range(3):
        make_comment(discussed)
    assert set(Task.objects.with_counts().values_list("title", "comment_count")) == {("silent", 0), ("discussed", 3)}
    assert silent.comments.count() == 0


def test_counts_cost_one_query_and_can_be_filtered_by(django_assert_num_queries):
    make_comment(make_task(title="discussed"))
    make_task(title="silent")
    with django_assert_num_queries(1):
        assert titles(Task.objects.with_counts().filter(comment_count__gt=0)) == {"discussed"}
    with django_assert_num_queries(1):
        assert Project.objects.with_counts().order_by("-task_count").count() == 2
