"""Forms of the admin take what the API takes: the policy, assignees who see the project, an owner that is left."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_pm.access import RolePolicy
from django_pm.models import Comment, Event, Membership, Project, Role, Task
from tests.admin.support import fields_of, listed, make_staff, path, problems
from tests.factories import make_comment, make_member, make_project, make_rule, make_task, make_user

pytestmark = pytest.mark.django_db

NOT_YOURS = "Your rights in the project do not allow this."
KEEPS_AN_OWNER = "A project keeps at least one owner."


def save(client, row, **changes):
    """Change a row by its form; what was wrong with that."""
    url = path(row._meta.model_name, "change", row.pk)
    return problems(client.post(url, fields_of(client, url, **changes)))


def add(client, model, **values):
    url = path(model, "add")
    return problems(client.post(url, fields_of(client, url, **values)))


def new_events(last):
    return [(event.type, event.actor_id, event.origin) for event in Event.objects.filter(pk__gt=last).order_by("pk")]


def last_event():
    return Event.objects.order_by("-pk").values_list("pk", flat=True).first() or 0


# Tasks


def test_a_task_is_made_by_whoever_is_signed_in(client, boss):
    project = make_project()
    assert add(client, "task", project=project.pk, title="Dig") == ""
    task = Task.objects.get()
    assert (task.created_by, task.project, task.due_date) == (boss, project, None)


def test_only_who_sees_the_project_is_given_a_task(client, boss):
    task, stranger = make_task(), make_user()
    assert "This user does not see the project." in save(client, task, assignee=stranger.pk)
    make_member(task.project, stranger)
    assert save(client, task, assignee=stranger.pk) == ""


def test_who_has_left_may_stay_the_assignee(client, boss):
    """As over the API: the task must remain editable."""
    task = make_task(assignee=make_user())
    assert save(client, task, title="Fill") == ""


def test_a_move_by_the_form_needs_rights_in_both(client, staff):
    here, there = make_project(), make_project()
    make_member(here, staff, Role.MEMBER)
    viewer = make_member(there, staff, Role.VIEWER)
    task = make_task(here)
    assert NOT_YOURS in save(client, task, project=there.pk)
    Membership.objects.filter(pk=viewer.pk).update(role=Role.MEMBER)
    last = last_event()
    assert save(client, task, project=there.pk) == ""
    assert [kind for kind, _actor, _origin in new_events(last)] == ["task.deleted", "task.created"]


@pytest.mark.parametrize(("role", "may"), [("viewer", False), ("member", True)])
def test_staff_make_tasks_where_the_policy_lets_them(client, staff, role, may):
    project = make_project()
    make_member(project, staff, role)
    assert (add(client, "task", project=project.pk, title="Dig") == "") == may
    assert Task.objects.exists() == may


def test_a_hidden_project_reads_like_none(client, staff):
    hidden = make_project()
    wrong = add(client, "task", project=hidden.pk, title="Dig")
    assert "Select a valid choice" in wrong
    assert wrong == add(client, "task", project=99_999, title="Dig")


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("metadata", "[]", "Expected a JSON object."),
        ("metadata", '"text"', "Expected a JSON object."),
        ("metadata", "{", "Enter a valid JSON."),
        ("metadata", '{"a": "%s"}' % ("x" * 20_000), "Larger than"),
        ("description", "x" * 120_000, "no more than"),
        ("due_date_0", "0001-01-01", "out of range"),
        ("due_date_0", "tomorrow", "Enter a valid date."),
        ("title", "", "This field is required."),
        ("status", "done", "is not one of the available choices"),
        ("assignee", "word", "valid"),
    ],
)
def test_bad_input_is_named_and_changes_nothing(client, boss, field, value, problem):
    task = make_task()
    last = last_event()
    assert problem in save(client, task, **{field: value})
    assert new_events(last) == []


# What staff see


def test_staff_see_what_the_policy_shows(client, staff):
    mine, hidden = make_project(), make_project()
    make_member(mine, staff, Role.VIEWER)
    seen, unseen = make_comment(make_task(mine)), make_comment(make_task(hidden))
    assert listed(client, "project") == [mine]
    assert listed(client, "task") == [seen.task]
    assert listed(client, "comment") == [seen]
    assert {row.project for row in listed(client, "membership")} == {mine}
    assert client.get(path("task", "change", seen.task.pk)).status_code == 200
    for model, row in (("project", hidden), ("task", unseen.task), ("comment", unseen)):
        assert client.get(path(model, "change", row.pk)).status_code == 302


def test_staff_see_the_events_of_their_projects(client):
    staff = make_staff("reads", "view_event")
    client.force_login(staff)
    mine, _hidden = make_project(), make_project()
    make_member(mine, staff)
    assert {event.project_id for event in listed(client, "event")} == {mine.pk}


def test_what_a_viewer_may_not_change_is_shown(client, staff):
    project = make_project()
    make_member(project, staff, Role.VIEWER)
    task = make_task(project)
    page = client.get(path("task", "change", task.pk)).content.decode()
    assert 'name="_save"' not in page
    assert client.post(path("task", "change", task.pk), {"title": "Fill"}).status_code == 403
    assert client.post(path("task", "delete", task.pk), {"post": "yes"}).status_code == 403


def test_the_policy_of_the_site_decides_about_superusers_too(client, boss, settings):
    settings.DJANGO_PM = {**settings.DJANGO_PM, "POLICY": "tests.admin.test_forms.NobodySees"}
    make_task()
    assert listed(client, "task") == []


class NobodySees:
    def visible_projects(self, user):
        return Project.objects.none()

    def may(self, user, verb, obj):
        return False

    def who_sees(self, project_id, user_ids):
        return set()


# Projects and their members


def test_whoever_makes_a_project_owns_it(client, staff):
    last = last_event()
    assert add(client, "project", name="Well", time_zone="Europe/Vienna", metadata="{}") == ""
    project = Project.objects.get()
    assert (project.created_by, project.time_zone) == (staff, "Europe/Vienna")
    assert [(one.user, one.role) for one in project.memberships.all()] == [(staff, Role.OWNER)]
    assert new_events(last) == [(kind, str(staff.pk), "admin") for kind in ("project.created", "member.added")]


def test_the_page_of_a_project_shows_its_members_and_latest_events(client, boss):
    project = make_project()
    make_member(project, make_user("ann"))
    task = make_task(project)
    Task.objects.filter(pk=task.pk).update(status="in_progress", title="Fill")
    page = client.get(path("project", "change", project.pk)).content.decode()
    assert "ann" in page
    assert "Task changed" in page
    assert "Title, Status" in page
    assert path("task", "change", task.pk) in page
    assert f"{path('event')}?project_id__exact={project.pk}" in page
    assert f"{path('task')}?project__id__exact={project.pk}" in page


def test_the_page_of_a_project_costs_the_same_with_many_members_and_events(client, boss):
    project = make_project()
    client.get(path("project", "change", project.pk))  # what Django looks up once for each process
    few = statements_of_page(client, project)
    for _ in range(20):
        make_member(project)
        make_task(project)
    assert statements_of_page(client, project) == few


def statements_of_page(client, project):
    with CaptureQueriesContext(connection) as captured:
        assert client.get(path("project", "change", project.pk)).status_code == 200
    return len(captured)


def inline(client, project, **changes):
    """Change the members on the page of their project."""
    return save(client, project, **changes)


def test_members_join_change_and_leave_on_the_page(client, boss):
    project, ann, bob = make_project(), make_user("ann"), make_user("bob")
    make_member(project, ann)
    last = last_event()
    wrong = inline(
        client,
        project,
        **{
            "memberships-1-role": "manager",
            "memberships-2-TOTAL_FORMS": "1",
            "memberships-2-0-id": "",
            "memberships-2-0-project": project.pk,
            "memberships-2-0-user": bob.pk,
            "memberships-2-0-role": "viewer",
        },
    )
    assert wrong == ""
    assert new_events(last) == [(kind, str(boss.pk), "admin") for kind in ("member.changed", "member.added")]
    assert inline(client, project, **{"memberships-1-DELETE": "on"}) == ""
    assert sorted(row.role for row in project.memberships.all()) == ["owner", "viewer"]


@pytest.mark.parametrize("change", [{"memberships-0-role": "manager"}, {"memberships-0-DELETE": "on"}])
def test_an_owner_is_left(client, boss, change):
    project = make_project()
    assert KEEPS_AN_OWNER in inline(client, project, **change)
    assert project.memberships.get().role == Role.OWNER


def test_two_owners_do_not_leave_at_once(client, boss):
    project = make_project()
    make_member(project, role=Role.OWNER)
    both = {"memberships-0-role": "viewer", "memberships-1-DELETE": "on"}
    assert KEEPS_AN_OWNER in inline(client, project, **both)
    assert project.memberships.filter(role=Role.OWNER).count() == 2


@pytest.mark.parametrize(
    ("held", "change", "allowed"),
    [
        ("manager", {"memberships-1-role": "viewer"}, True),
        ("manager", {"memberships-1-role": "owner"}, False),
        ("manager", {"memberships-0-role": "viewer"}, False),
        ("owner", {"memberships-1-role": "owner"}, True),
    ],
)
def test_nobody_grants_above_their_own_role(client, staff, held, change, allowed):
    project = make_project()
    make_member(project)
    make_member(project, staff, held)
    make_member(project, role=Role.OWNER)
    wrong = inline(client, project, **change)
    assert (wrong == "") == allowed
    assert allowed or NOT_YOURS in wrong


def test_an_owner_is_left_on_the_page_of_a_membership_too(client, boss):
    membership = make_project().memberships.get()
    assert KEEPS_AN_OWNER in save(client, membership, role="viewer")
    page = client.post(path("membership", "delete", membership.pk), {"post": "yes"}).content.decode()
    assert KEEPS_AN_OWNER in page
    assert Membership.objects.get().role == Role.OWNER


def test_somebody_is_a_member_once(client, boss):
    membership = make_project().memberships.get()
    values = {"project": membership.project_id, "user": membership.user_id, "role": "viewer"}
    assert "already exists" in add(client, "membership", **values)


@pytest.mark.parametrize(("role", "may"), [("member", False), ("manager", True)])
def test_who_adds_members_and_rules(client, role, may):
    verbs = [f"{verb}_{model}" for verb in ("view", "add") for model in ("membership", "escalationrule")]
    staff = make_staff("staff", *verbs)
    client.force_login(staff)
    project = make_project()
    make_member(project, staff, role)
    wrong = add(client, "membership", project=project.pk, user=make_user().pk, role="viewer")
    assert (wrong == "") == may
    rule = {"name": "Late", "condition": "overdue", "hours": 24, "action": "notify", "role": "manager"}
    wrong = add(client, "escalationrule", project=project.pk, **rule)
    assert (wrong == "") == may
    make_rule(project)
    assert len(listed(client, "escalationrule")) == 1 + may


# Comments


def test_a_comment_is_by_whoever_is_signed_in(client, staff):
    project = make_project()
    make_member(project, staff)
    task = make_task(project)
    assert add(client, "comment", task=task.pk, content="Deeper.") == ""
    comment = Comment.objects.get()
    assert comment.user == staff
    assert comment.author


def test_others_comments_are_for_managers(client, staff):
    project = make_project()
    make_member(project, staff)
    comment = make_comment(make_task(project), make_user())
    assert client.post(path("comment", "change", comment.pk), {"content": "!"}).status_code == 403
    Membership.objects.filter(user=staff).update(role=Role.MANAGER)
    assert save(client, comment, content="Shallower.") == ""
    comment.refresh_from_db()
    assert comment.content == "Shallower."


class NobodyBegins(RolePolicy):
    """A site whose projects come from elsewhere."""

    def may(self, user, verb, obj):
        return not (verb == "add" and isinstance(obj, Project)) and super().may(user, verb, obj)


def test_a_project_is_made_only_by_whom_the_policy_lets(client, boss, settings):
    settings.DJANGO_PM = {**settings.DJANGO_PM, "POLICY": "tests.admin.test_forms.NobodyBegins"}
    assert client.get(path("project", "add")).status_code == 403
    assert client.post(path("project", "add"), {"name": "Moon base"}).status_code == 403
    assert not Project.objects.exists()
