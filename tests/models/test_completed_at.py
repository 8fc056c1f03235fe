"""`completed_at` follows `status`, whoever writes: there is a time exactly while a task is completed."""

import datetime as dt

import pytest
import time_machine
from django.contrib.admin import site
from django.core import serializers
from django.db.models import Case, F, Value, When
from django.db.models.functions import Now
from hypothesis import given, settings
from hypothesis import strategies as st

from django_pm.models import Task
from tests.factories import make_project, make_superuser, make_task
from tests.models import writes

pytestmark = pytest.mark.django_db

NOON = dt.datetime(2031, 5, 1, 12, tzinfo=dt.UTC)
LATER = NOON + dt.timedelta(hours=3)
LONG_AGO = dt.datetime(2019, 2, 3, 4, 5, 6, 789, tzinfo=dt.UTC)

change = pytest.mark.parametrize("write", writes.CHANGES, ids=lambda write: write.__name__)
creation = pytest.mark.parametrize("make", writes.CREATIONS, ids=lambda make: make.__name__)


@pytest.fixture
def clock():
    """Time stands still at noon, until a test moves it."""
    with time_machine.travel(NOON, tick=False) as clock:
        yield clock


@pytest.fixture
def task(clock):
    return make_task(status="pending")


@pytest.fixture
def done(clock):
    """Completed at noon; by now it is later."""
    task = make_task(status="completed")
    clock.move_to(LATER)
    return task


def stored(task):
    return Task.objects.values_list("status", "completed_at").get(pk=task.pk)


# A change of status


@change
def test_completion_sets_it(clock, task, write):
    clock.move_to(LATER)
    write(task, "completed")
    assert stored(task) == ("completed", LATER)


@change
def test_reopening_clears_it(done, write):
    assert stored(done) == ("completed", NOON)
    write(done, "in_progress")
    assert stored(done) == ("in_progress", None)


@change
def test_a_repeated_completion_keeps_it(done, write):
    write(done, "completed")
    assert stored(done) == ("completed", NOON)


@change
def test_work_in_progress_has_none(task, write):
    write(task, "in_progress")
    assert stored(task) == ("in_progress", None)


@change
def test_completed_again_is_a_new_time(clock, done, write):
    write(done, "pending")
    clock.shift(60)
    write(done, "completed")
    assert stored(done) == ("completed", LATER + dt.timedelta(minutes=1))


@change
def test_other_rows_stay(task, done, write):
    write(task, "completed")
    assert stored(done) == ("completed", NOON)


def test_the_instance_shows_it_at_once(task):
    task.status = "completed"
    task.save()
    assert task.completed_at == NOON
    task.status = "pending"
    task.save(update_fields=["status"])
    assert task.completed_at is None


def test_one_update_treats_each_row_by_the_status_it_ends_up_with(clock, task, done):
    reopened = make_task(status="completed")
    clock.shift(60)
    Task.objects.update(
        status=Case(When(pk=reopened.pk, then=Value("in_progress")), default=Value("completed")), title="All"
    )
    assert stored(task) == ("completed", LATER + dt.timedelta(minutes=1))
    assert stored(done) == ("completed", NOON)
    assert stored(reopened) == ("in_progress", None)


def test_bulk_update_treats_each_row_by_its_own_status(task, done):
    task.status, done.status = "completed", "pending"
    assert Task.objects.bulk_update([task, done], ["status"], batch_size=1) == 2
    assert stored(task) == ("completed", LATER)
    assert stored(done) == ("pending", None)


# A new task


@creation
def test_a_task_made_completed_has_the_time_of_its_making(clock, make):
    assert stored(make(make_project(), status="completed")) == ("completed", NOON)


@creation
def test_an_import_keeps_its_own_time(clock, make):
    assert stored(make(make_project(), status="completed", completed_at=LONG_AGO)) == ("completed", LONG_AGO)


@creation
def test_a_task_made_open_has_none_whatever_is_said(clock, make):
    assert stored(make(make_project(), status="in_progress", completed_at=LONG_AGO)) == ("in_progress", None)


@creation
def test_a_task_is_pending_unless_said_otherwise(clock, make):
    assert stored(make(make_project())) == ("pending", None)


def test_get_or_create_leaves_what_is_there(done):
    found, made = Task.objects.get_or_create(pk=done.pk, defaults={"status": "pending"})
    assert (found, made) == (done, False)
    assert stored(done) == ("completed", NOON)


# A time given by hand


def test_save_takes_another_time(done):
    done.completed_at = LONG_AGO
    done.save()
    assert stored(done) == ("completed", LONG_AGO)


def test_save_does_not_take_none_while_completed(done):
    done.completed_at = None
    done.save()
    assert stored(done) == ("completed", LATER)


def test_update_takes_another_time_for_completed_rows_alone(task, done):
    Task.objects.update(completed_at=LONG_AGO)
    assert stored(done) == ("completed", LONG_AGO)
    assert stored(task) == ("pending", None)


def test_update_takes_an_expression_as_time(task, done):
    Task.objects.update(completed_at=F("created_at"))
    assert stored(done) == ("completed", NOON)
    assert stored(task) == ("pending", None)
    Task.objects.update(completed_at=Now())
    assert stored(done)[1] not in {None, NOON}


def test_update_does_not_take_none_while_completed(done):
    Task.objects.update(completed_at=None)
    assert stored(done) == ("completed", LATER)


def test_update_takes_status_and_time_together(task, done):
    Task.objects.filter(pk=task.pk).update(status="completed", completed_at=LONG_AGO)
    Task.objects.filter(pk=done.pk).update(status="pending", completed_at=LONG_AGO)
    assert stored(task) == ("completed", LONG_AGO)
    assert stored(done) == ("pending", None)


def test_bulk_update_of_the_time(task, done):
    task.completed_at = done.completed_at = LONG_AGO
    Task.objects.bulk_update([task, done], ["completed_at"])
    assert stored(done) == ("completed", LONG_AGO)
    assert stored(task) == ("pending", None)


# What has nothing to do with it


def test_a_write_of_other_columns_leaves_it(done):
    stale = Task.objects.get(pk=done.pk)
    Task.objects.filter(pk=done.pk).update(status="pending")
    stale.title = "Dig deeper"
    stale.save(update_fields=["title"])
    assert stored(done) == ("pending", None), "a stale instance reverts only what it was told to write"
    Task.objects.filter(pk=done.pk).update(title="Deeper still")
    assert stored(done) == ("pending", None)


def test_a_stale_instance_that_is_saved_whole_stays_consistent(done):
    stale = Task.objects.get(pk=done.pk)
    Task.objects.filter(pk=done.pk).update(status="pending")
    stale.save()
    assert stored(done) == ("completed", NOON)


def test_deferred_columns_that_nothing_depends_on_stay_deferred(done):
    found = Task.objects.only("title").get(pk=done.pk)
    found.title = "Dig deeper"
    found.save()
    assert {"status", "completed_at", "description"} <= found.get_deferred_fields()
    assert stored(done) == ("completed", NOON)


def test_saving_no_columns_writes_nothing(done, django_assert_num_queries):
    done.status = "pending"
    with django_assert_num_queries(0):
        done.save(update_fields=[])


def test_a_list_of_tasks_costs_no_query_per_row(done, django_assert_num_queries):
    make_task(status="completed")
    with django_assert_num_queries(1):
        assert [task.status for task in Task.objects.only("status")] == ["completed", "completed"]


def test_a_dump_keeps_it(done):
    dumped = serializers.serialize("json", [done])
    Task.objects.filter(pk=done.pk).delete()
    for loaded in serializers.deserialize("json", dumped):
        loaded.save()
    assert stored(done) == ("completed", NOON)


def test_the_admin_page_completes_and_reopens(client, task):
    client.force_login(make_superuser())
    address = f"/admin/django_pm/task/{task.pk}/change/"
    form = {"project": task.project_id, "title": "Dig", "priority": "high", "metadata": "{}"}
    for status, expected in [("completed", NOON), ("pending", None)]:
        answer = client.post(address, form | {"status": status})
        assert answer.status_code == 302, answer.context["errors"]
        assert stored(task) == (status, expected)


def test_the_admin_shows_it_and_does_not_take_it(rf, task):
    request = rf.get("/")
    request.user = make_superuser()
    assert "completed_at" in site._registry[Task].get_readonly_fields(request, task)


# Writes that take more than a value


def test_a_status_saved_as_an_expression(task, done):
    task.status = Value("completed")
    task.save()
    done.status = Case(When(title="Dig", then=Value("pending")), default=Value("completed"))
    done.save(update_fields=["status"])
    assert stored(task) == ("completed", LATER)
    assert stored(done) == ("pending", None)


def test_an_upsert_of_the_status(task, done):
    task.status, done.status = "completed", "pending"
    Task.objects.bulk_create([task, done], update_conflicts=True, unique_fields=["id"], update_fields=["status"])
    assert stored(task) == ("completed", LATER)
    assert stored(done) == ("pending", None)


def test_the_time_alone_saved_from_a_stale_instance(task, done):
    task.status, task.completed_at = "completed", LONG_AGO
    task.save(update_fields=["completed_at"])
    stale = Task.objects.get(pk=done.pk)
    Task.objects.filter(pk=done.pk).update(status="pending")
    stale.save(update_fields=["completed_at"])
    for status, time in (stored(task), stored(done)):
        assert (status == "completed") is (time is not None)


# Any sequence of such writes


def rename(task, status):
    """Not a write of the status at all; the argument is ignored."""
    stale = Task.objects.get(pk=task.pk)
    stale.title = "Renamed"
    stale.save(update_fields=["title"])


def set_time(task, status):
    Task.objects.filter(pk=task.pk).update(completed_at=LONG_AGO)


def expected_after(write, status, before, now):
    """What the row should hold after the write: the rule itself, in as few words as it takes."""
    old_status, old_time = before
    if write is rename:
        return before
    if write is set_time:
        return (old_status, LONG_AGO if old_status == "completed" else None)
    if status != "completed":
        return (status, None)
    return (status, old_time or now)


@settings(max_examples=100, deadline=None)
@given(
    start=st.sampled_from(["pending", "in_progress", "completed"]),
    steps=st.lists(
        st.tuples(
            st.sampled_from([*writes.CHANGES, rename, set_time]),
            st.sampled_from(["pending", "in_progress", "completed"]),
        ),
        min_size=1,
        max_size=6,
    ),
)
def test_it_holds_after_any_sequence_of_writes(start, steps):
    with time_machine.travel(NOON, tick=False) as clock:
        task = make_task(status=start)
        state = stored(task)
        assert state == (start, NOON if start == "completed" else None)
        for write, status in steps:
            clock.shift(60)
            write(task, status)
            state = expected_after(write, status, state, dt.datetime.now(dt.UTC))
            assert stored(task) == state
