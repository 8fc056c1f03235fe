"""Actions on tasks: each task through the service, recorded as the admin's, and never more than the API would allow."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_pm.admin import actions, base
from django_pm.models import Comment, Event, Project, Status, Task
from tests.admin.support import act, make_staff, path, told
from tests.factories import make_comment, make_member, make_project, make_task, make_user

pytestmark = pytest.mark.django_db

RIGHTS = "your rights in the project do not allow it"
NOT_SEEN = "the assignee does not see the project"


def since(last):
    """(type, actor, origin) of the events after ``last``."""
    events = Event.objects.filter(pk__gt=last).order_by("pk")
    return [(event.type, event.actor_id, event.origin) for event in events]


def last_event():
    return Event.objects.order_by("-pk").values_list("pk", flat=True).first() or 0


def test_complete(client, boss):
    project = make_project()
    tasks = [make_task(project), make_task(project), make_task(project, status=Status.COMPLETED)]
    last = last_event()
    answer = act(client, "complete", tasks)
    assert told(answer) == ["2 tasks were changed.", "1 task was so already."]
    assert since(last) == [("task.updated", str(boss.pk), "admin")] * 2
    assert all(task.completed_at for task in project.tasks.all())


def test_reassign(client, boss):
    ann = make_user("ann")
    project = make_project()
    make_member(project, ann)
    inside, outside = make_task(project), make_task()
    last = last_event()
    page = act(client, "reassign", [inside, outside])
    assert "Empty for nobody." in page.content.decode()
    assert since(last) == []
    answer = act(client, "reassign", [inside, outside], assignee=ann.pk)
    assert told(answer) == ["1 task was changed.", f"1 task was left as it is: {NOT_SEEN}."]
    assert since(last) == [("task.updated", str(boss.pk), "admin")]
    assert set(Task.objects.filter(assignee=ann)) == {inside}
    answer = act(client, "reassign", [inside, outside], assignee="")
    assert told(answer) == ["1 task was changed.", "1 task was so already."]
    assert not Task.objects.filter(assignee=ann).exists()


def test_move(client, boss):
    ann, bob = make_user("ann"), make_user("bob")
    old, new = make_project(ann), make_project(ann)
    make_member(old, bob)
    free, anns, bobs = make_task(old), make_task(old, assignee=ann), make_task(old, assignee=bob)
    last = last_event()
    answer = act(client, "move", [free, anns, bobs], project=new.pk)
    assert told(answer) == ["2 tasks were changed.", f"1 task was left as it is: {NOT_SEEN}."]
    assert set(new.tasks.all()) == {free, anns}
    assert since(last) == [(kind, str(boss.pk), "admin") for kind in ("task.deleted", "task.created")] * 2


@pytest.mark.parametrize("chosen", ["", "0", "99999", "word"])
def test_a_choice_that_is_none_is_said_and_does_nothing(client, boss, chosen):
    task = make_task()
    answer = act(client, "move", [task], project=chosen)
    assert answer.context["form"].errors
    assert str(task) in answer.content.decode()
    assert Task.objects.get().project_id == task.project_id


def test_delete(client, boss):
    tasks = [make_task(), make_task()]
    make_comment(tasks[0])
    last = last_event()
    page = act(client, "delete_selected", tasks)
    assert "Delete tasks and their comments" in page.content.decode()
    assert Task.objects.count() == 2
    assert told(act(client, "delete_selected", tasks, sure="yes")) == ["2 tasks were changed."]
    assert not Task.objects.exists()
    assert not Comment.objects.exists()
    assert since(last) == [("task.deleted", str(boss.pk), "admin")] * 2


ROLES = [
    ("viewer", "complete", {}, False),
    ("member", "complete", {}, True),
    ("viewer", "reassign", {"assignee": ""}, False),
    ("member", "reassign", {"assignee": ""}, True),
    ("viewer", "delete_selected", {"sure": "yes"}, False),
    ("member", "delete_selected", {"sure": "yes"}, True),
]


@pytest.mark.parametrize(("role", "action", "fields", "allowed"), ROLES)
def test_the_policy_decides_for_staff(client, staff, role, action, fields, allowed):
    project = make_project()
    make_member(project, staff, role)
    task = make_task(project, assignee=project.created_by)
    last = last_event()
    answer = act(client, action, [task], **fields)
    assert told(answer) == (["1 task was changed."] if allowed else [f"1 task was left as it is: {RIGHTS}."])
    assert bool(since(last)) == allowed


@pytest.mark.parametrize(
    ("here", "there", "moved"), [("member", "member", True), ("viewer", "member", False), ("member", "viewer", False)]
)
def test_a_move_needs_rights_in_both_projects(client, staff, here, there, moved):
    old, new = make_project(), make_project()
    make_member(old, staff, here)
    make_member(new, staff, there)
    task = make_task(old)
    answer = act(client, "move", [task], project=new.pk)
    assert told(answer) == (["1 task was changed."] if moved else [f"1 task was left as it is: {RIGHTS}."])
    task.refresh_from_db()
    assert (task.project == new) == moved


def test_a_hidden_project_is_no_choice(client, staff):
    seen = make_project()
    make_member(seen, staff)
    task, hidden = make_task(seen), make_project()
    wrong = act(client, "move", [task], project=hidden.pk).context["form"].errors
    assert wrong == act(client, "move", [task], project=99_999).context["form"].errors


def test_hidden_tasks_are_none_of_theirs(client, staff):
    task = make_task()
    act(client, "complete", [task])
    task.refresh_from_db()
    assert task.status == Status.PENDING


def test_without_djangos_permission_there_is_no_action(client):
    staff = make_staff("looks", "view_task")
    client.force_login(staff)
    project = make_project()
    make_member(project, staff, "owner")
    task = make_task(project)
    assert "delete_selected" not in client.get(path("task")).content.decode()
    act(client, "complete", [task])
    task.refresh_from_db()
    assert task.status == Status.PENDING


def test_a_task_deleted_meanwhile_is_told(client, boss, monkeypatch):
    first, second = make_task(), make_task()
    complete = actions.tasks.complete

    def and_then_delete(*, actor, pk):
        done = complete(actor=actor, pk=pk)
        Task.objects.filter(pk=second.pk).delete()
        return done

    monkeypatch.setattr(actions.tasks, "complete", and_then_delete)
    assert told(act(client, "complete", [first, second])) == [
        "1 task was changed.",
        "1 task was left as it is: the task is gone.",
    ]


def test_all_on_every_page_but_not_too_many(client, boss, monkeypatch):
    project = make_project()
    tasks = [make_task(project) for _ in range(3)]
    monkeypatch.setattr(base.LargeTableAdmin, "list_per_page", 2)
    data = {"action": "complete", "_selected_action": [tasks[0].pk], "select_across": "1"}
    monkeypatch.setattr(actions, "MOST", 2)
    refused = client.post(path("task"), data, follow=True)
    assert told(refused) == ["Nothing was done: select at most 2 tasks at a time."]
    assert not Task.objects.filter(status=Status.COMPLETED).exists()
    monkeypatch.setattr(actions, "MOST", 3)
    assert told(client.post(path("task"), data, follow=True)) == ["3 tasks were changed."]


def test_the_form_between_remembers_what_was_selected(client, boss):
    tasks = [make_task(), make_task()]
    page = act(client, "move", tasks).content.decode()
    for task in tasks:
        assert f'name="_selected_action" value="{task.pk}"' in page
    assert 'name="action" value="move"' in page
    assert 'class="admin-autocomplete"' in page


def test_deleting_a_project_does_not_read_its_tasks(client, boss):
    project = make_project()
    Task.objects.bulk_create(Task(project=project, title=f"Task {number}") for number in range(1_200))
    with CaptureQueriesContext(connection) as captured:
        page = client.get(path("project", "delete", project.pk)).content.decode()
    assert "with all its tasks, comments, members, rules and reports" in page
    assert "Task 7" not in page
    assert not [query for query in captured if "django_pm_task" in query["sql"]]
    last = last_event()
    assert client.post(path("project", "delete", project.pk), {"post": "yes"}).status_code == 302
    assert not Project.objects.exists()
    assert since(last) == [("project.deleted", str(boss.pk), "admin")]


def test_too_many_rows_are_not_deleted_at_once(client, boss, monkeypatch):
    monkeypatch.setattr(base, "MOST", 1)
    task = make_task()
    rows = [make_comment(task), make_comment(task)]
    data = {"action": "delete_selected", "_selected_action": [row.pk for row in rows], "post": "yes"}
    page = client.post(path("comment"), data).content.decode()
    assert "Too many: select at most 1 at a time." in page
    assert Comment.objects.count() == 2
