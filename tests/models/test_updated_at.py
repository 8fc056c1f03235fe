"""`updated_at` moves with every write that goes through Django, also those that Django alone would not date."""

import datetime as dt

import pytest
import time_machine
from asgiref.sync import async_to_sync

from django_pm.models import Comment, Membership, Project, Task
from tests.factories import make_comment, make_member, make_project, make_task, make_user

pytestmark = pytest.mark.django_db

NOON = dt.datetime(2031, 5, 1, 12, tzinfo=dt.UTC)
LATER = NOON + dt.timedelta(hours=3)
LONG_AGO = dt.datetime(2019, 2, 3, tzinfo=dt.UTC)

MAKERS = {
    Project: make_project,
    Task: make_task,
    Comment: make_comment,
    Membership: lambda: make_member(make_project()),
}
CHANGED = {Project: "name", Task: "title", Comment: "content", Membership: "role"}


@pytest.fixture
def clock():
    with time_machine.travel(NOON, tick=False) as clock:
        yield clock


@pytest.fixture(params=MAKERS, ids=lambda model: model.__name__)
def row(request, clock):
    """A row of each model, made at noon; by now it is later."""
    row = MAKERS[request.param]()
    clock.move_to(LATER)
    return row


def stamps(row):
    return type(row).objects.values_list("created_at", "updated_at").get(pk=row.pk)


def write_save(row, column):
    setattr(row, column, "viewer")
    row.save()


def write_save_some(row, column):
    setattr(row, column, "viewer")
    row.save(update_fields=[column])


def write_save_deferred(row, column):
    found = type(row).objects.only(column).get(pk=row.pk)
    setattr(found, column, "viewer")
    found.save()


def write_update(row, column):
    type(row).objects.filter(pk=row.pk).update(**{column: "viewer"})


def write_bulk_update(row, column):
    setattr(row, column, "viewer")
    type(row).objects.bulk_update([row], [column])


def write_update_or_create(row, column):
    type(row).objects.update_or_create(pk=row.pk, defaults={column: "viewer"})


def write_async(row, column):
    async def write():
        await type(row).objects.filter(pk=row.pk).aupdate(**{column: "viewer"})

    async_to_sync(write)()


@pytest.mark.parametrize(
    "write",
    [
        write_save,
        write_save_some,
        write_save_deferred,
        write_update,
        write_bulk_update,
        write_update_or_create,
        write_async,
    ],
    ids=lambda write: write.__name__,
)
def test_moves_and_created_at_stays(row, write):
    assert stamps(row) == (NOON, NOON)
    write(row, CHANGED[type(row)])
    assert stamps(row) == (NOON, LATER)


def test_moves_on_an_upsert(row):
    Model = type(row)
    setattr(row, CHANGED[Model], "viewer")
    Model.objects.bulk_create([row], update_conflicts=True, unique_fields=["id"], update_fields=[CHANGED[Model]])
    assert stamps(row) == (NOON, LATER)


def test_an_update_may_give_another_time(row):
    type(row).objects.update(updated_at=LONG_AGO)
    assert stamps(row) == (NOON, LONG_AGO)


def test_an_update_leaves_other_rows(row):
    other = MAKERS[type(row)]()
    type(row).objects.filter(pk=other.pk).update(**{CHANGED[type(row)]: "viewer"})
    assert stamps(row) == (NOON, NOON)


def test_moves_when_the_task_is_handed_to_another_project(clock):
    task, project = make_task(), make_project()
    clock.move_to(LATER)
    project.tasks.add(task)
    assert stamps(task) == (NOON, LATER)
    assert Task.objects.get(pk=task.pk).project == project


def test_moves_when_the_account_behind_it_goes(clock):
    user = make_user()
    project = make_project(created_by=user)
    task, comment = make_task(project, assignee=user), make_comment(user=user)
    clock.move_to(LATER)
    user.delete()
    for row in (project, task, comment):
        assert stamps(row) == (NOON, LATER)


def test_bulk_create_dates_each_row(clock):
    project = make_project()
    clock.move_to(LATER)
    for task in Task.objects.bulk_create(Task(project=project, title=title) for title in "ab"):
        assert stamps(task) == (LATER, LATER)
