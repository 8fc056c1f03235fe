"""The event log in the admin: what changed, in the reader's language, and links to where it is."""

from __future__ import annotations

import datetime as dt
import re

import pytest
from django.utils import timezone, translation

from django_pm import event_types
from django_pm.admin import diffs
from django_pm.models import Event, Task
from tests.admin.support import listed, make_staff, path
from tests.factories import make_comment, make_member, make_project, make_task, make_user

pytestmark = pytest.mark.django_db

DUE = dt.datetime(2031, 1, 2, 12, 0, tzinfo=dt.UTC)


def latest():
    return Event.objects.order_by("-pk").first()


def told_of(event, reader):
    return {line.label: (line.before, line.after) for line in diffs.differences(event, reader)}


def test_every_type_has_its_words():
    assert set(diffs.HAPPENED) == set(event_types.EVENT_TYPES)


def test_a_change_is_told_field_by_field(client, boss):
    ann = make_user("ann")
    project = make_project()
    make_member(project, ann)
    task = make_task(project)
    values = {"status": "in_progress", "assignee": ann, "due_date": DUE, "metadata": {"colour": "red"}}
    Task.objects.filter(pk=task.pk).update(title="", description="<b>Dig</b>", **values)
    event = latest()
    with timezone.override("Europe/Vienna"), translation.override("en"):
        lines = told_of(event, boss)
    assert lines["Title"] == ("Dig", "—")
    assert lines["Description"] == ("—", "<b>Dig</b>")
    assert lines["Status"] == ("Pending", "In progress")
    assert lines["Assignee"][0] == "—"
    assert lines["Assignee"][1].endswith(f"({ann.pk})")
    assert lines["Due date"][1] == "Jan. 2, 2031, 1 p.m."
    assert lines["Metadata"] == ("{}", '{"colour": "red"}')
    page = client.get(path("event", "change", event.pk)).content.decode()
    assert "&lt;b&gt;Dig&lt;/b&gt;" in page
    assert "<b>Dig</b>" not in page
    assert re.search(r"<tr><th>Status</th><td><p>Pending</p></td><td><p>In progress</p></td></tr>", page)


def test_in_the_readers_language():
    task = make_task()
    Task.objects.filter(pk=task.pk).update(due_date=DUE, status="completed")
    with timezone.override("UTC"), translation.override("de"):
        values = [value for pair in told_of(latest(), None).values() for value in pair]
    assert "2. Januar 2031 12:00" in values


def test_what_is_not_in_the_log_is_said(boss):
    task = make_task()
    Task.objects.filter(pk=task.pk).update(description="x" * 5_000)
    assert told_of(latest(), boss)["Description"] == ("—", "too long to be kept in the log")
    make_comment(task)
    Task.objects.get().delete()
    other = make_task()
    moved = make_task()
    make_comment(moved)
    Task.objects.filter(pk=moved.pk).update(project=other.project)
    created = Event.objects.filter(type="task.created", object_id=str(moved.pk)).order_by("-pk").first()
    assert told_of(created, boss)["Comments"] == ("not told here", "not told here")


def test_names_of_hidden_projects_stay_hidden():
    hidden, mine = make_project(name="Secret"), make_project()
    staff = make_staff("staff", "view_event")
    make_member(mine, staff)
    task = make_task(hidden)
    event = Event.objects.filter(object_type="task", object_id=str(task.pk)).first()
    assert told_of(event, staff)["Project"] == ("—", str(hidden.pk))
    assert told_of(event, hidden.created_by)["Project"] == ("—", f"Secret ({hidden.pk})")


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("task", {"due_date": ["2031-13-45T99:00:00Z", "soon"], "assignee": [None, "no key"], "gone": [1, True]}),
        ("widget", {"size": [1, [2]]}),
        ("task", {"title": "neither"}),
        ("task", {}),
    ],
    ids=str,
)
def test_what_nobody_wrote_like_that_is_shown_all_the_same(client, boss, kind, changes):
    values = {"project_id": 1, "type": f"{kind}.updated", "object_type": kind, "object_id": "7", "origin": "system"}
    event = Event.objects.create(changes=changes, **values)
    assert client.get(path("event", "change", event.pk)).status_code == 200
    assert client.get(path("event")).status_code == 200


def test_links_lead_to_what_is_there(client, boss):
    task = make_task()
    made = latest()
    page = client.get(path("event", "change", made.pk)).content.decode()
    assert path("task", "change", task.pk) in page
    assert path("project", "change", task.project_id) in page
    task_url = path("task", "change", task.pk)
    task.delete()
    page = client.get(path("event", "change", latest().pk)).content.decode()
    assert task_url not in page


def test_the_log_is_narrowed(client, boss):
    one, other = make_task(), make_task()
    assert {event.project_id for event in listed(client, "event", project_id__exact=one.project_id)} == {one.project_id}
    found = listed(client, "event", type="task.created")
    assert [event.object_id for event in found] == [str(other.pk), str(one.pk)]
    query = {"project_id": one.project_id, "object_type": "task", "object_id": one.pk}
    assert [event.type for event in listed(client, "event", **query)] == ["task.created"]
    assert {event.object_id for event in listed(client, "event", q=str(other.pk))} == {str(other.pk)}
