"""Each object is made, read, replaced, edited and deleted over HTTP, with exactly the fields of the public contract."""

import re

import pytest

from django_pm.models import Comment, Membership, Project, Task
from tests.api.support import DUE, assert_refused, ids, new_task, send, shown
from tests.factories import login_name, make_comment, make_member, make_project, make_task, make_user

pytestmark = pytest.mark.django_db

PROJECT_FIELDS = {
    *("id", "name", "description", "created_at", "updated_at"),
    *("created_by", "task_count", "completed_task_count", "time_zone", "metadata"),
}
TASK_FIELDS = {
    *("id", "project", "title", "description", "status", "created_at", "updated_at", "due_date"),
    *("assignee", "priority", "created_by", "completed_at", "comment_count", "metadata"),
}
COMMENT_FIELDS = {"id", "task", "author", "content", "created_at", "user", "updated_at"}
MEMBER_FIELDS = {"id", "user", "role"}

INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z")


@pytest.fixture
def member(project):
    return make_member(project, make_user("mo"))


@pytest.fixture
def task(project):
    return make_task(project)


@pytest.fixture
def comment(task, owner):
    return make_comment(task, owner)


def test_every_field_of_the_contract_and_no_other(api, project, task, comment, member):
    for path, fields in {
        "/projects/": PROJECT_FIELDS,
        "/tasks/": TASK_FIELDS,
        f"/tasks/{task.pk}/comments/": COMMENT_FIELDS,
        f"/projects/{project.pk}/members/": MEMBER_FIELDS,
    }.items():
        for row in api.get(path).json()["results"]:
            assert set(row) == fields
            own_path = f"{path}{row['id']}/" if fields is not COMMENT_FIELDS else f"/comments/{row['id']}/"
            assert api.get(own_path).json() == row, "one object reads the same by itself and in its list"


def test_instants_are_utc_whatever_the_time_zone_of_the_site(api, project, task, comment, settings):
    before = [api.get(path).content for path in ("/projects/", "/tasks/", f"/comments/{comment.pk}/")]
    settings.TIME_ZONE = "Asia/Tokyo"
    assert [api.get(path).content for path in ("/projects/", "/tasks/", f"/comments/{comment.pk}/")] == before
    row = api.get(f"/tasks/{task.pk}/").json()
    for name in ("created_at", "updated_at", "due_date"):
        assert INSTANT.fullmatch(row[name]), row[name]


class TestProjects:
    def test_creating_one(self, api, owner, settings):
        response = send(api, "POST", "/projects/", {"name": "Moon base"})
        assert response.status_code == 201
        row = response.json()
        assert set(row) == PROJECT_FIELDS
        assert {name: row[name] for name in PROJECT_FIELDS - {"id", "created_at", "updated_at"}} == {
            "name": "Moon base",
            "description": "",
            "created_by": shown(owner),
            "task_count": 0,
            "completed_task_count": 0,
            "time_zone": settings.TIME_ZONE,
            "metadata": {},
        }
        assert api.get(f"/projects/{row['id']}/").json() == row

    def test_who_creates_one_owns_it(self, signed_in):
        ada = make_user("ada")
        client = signed_in(ada)
        created = send(client, "POST", "/projects/", {"name": "Moon base"}).json()
        members = client.get(f"/projects/{created['id']}/members/").json()["results"]
        assert [(row["user"], row["role"]) for row in members] == [(shown(ada), "owner")]
        assert client.delete(f"/projects/{created['id']}/").status_code == 204

    def test_nothing_is_left_of_one_that_is_refused(self, api):
        assert_refused(send(api, "POST", "/projects/", {"name": "", "time_zone": "UTC"}), "name")
        assert not Project.objects.exists()
        assert not Membership.objects.exists()

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("name", "Mars base"),
            ("description", "  two spaces in front\n\n    and code\n"),
            ("description", ""),
            ("time_zone", "Europe/Berlin"),
            ("metadata", {"key": ["any", {"JSON": None}], "émoji": "🚀", "n": -12.5}),
            ("metadata", {}),
        ],
    )
    def test_editing_a_field_keeps_the_others(self, api, field, value):
        project = send(
            api, "POST", "/projects/", {"name": "Moon base", "description": "d", "metadata": {"a": 1}}
        ).json()
        response = send(api, "PATCH", f"/projects/{project['id']}/", {field: value})
        assert response.status_code == 200
        assert response.json() == {**project, field: value, "updated_at": response.json()["updated_at"]}
        assert response.json()["updated_at"] > project["updated_at"]
        assert api.get(f"/projects/{project['id']}/").json() == response.json()

    def test_the_time_zone_of_the_site_is_the_default(self, api, settings):
        settings.TIME_ZONE = "Europe/Berlin"
        assert send(api, "POST", "/projects/", {"name": "Moon base"}).json()["time_zone"] == "Europe/Berlin"

    def test_the_counts_follow_the_tasks(self, api, project):
        make_task()  # of another project
        for status in ("pending", "in_progress", "completed", "completed"):
            make_task(project, status=status)
        row = api.get(f"/projects/{project.pk}/").json()
        assert (row["task_count"], row["completed_task_count"]) == (4, 2)
        assert api.get("/projects/").json()["results"] == [row]
        Task.objects.filter(project=project, status="completed").first().delete()
        row = send(api, "PATCH", f"/projects/{project.pk}/", {"name": "Mars base"}).json()
        assert (row["task_count"], row["completed_task_count"]) == (3, 1), "the answer to a write counts too"

    def test_deleting_one_takes_all_that_is_in_it(self, api, project, comment, member):
        other = make_comment()
        response = api.delete(f"/projects/{project.pk}/")
        assert (response.status_code, response.content) == (204, b"")
        for path in (f"/projects/{project.pk}/", f"/tasks/{comment.task.pk}/", f"/comments/{comment.pk}/"):
            assert api.get(path).status_code == 404
        assert list(Comment.objects.all()) == [other]
        assert not Membership.objects.filter(project=project.pk).exists()


class TestTasks:
    def test_creating_one(self, api, project, owner):
        response = send(api, "POST", "/tasks/", new_task(project))
        assert response.status_code == 201
        row = response.json()
        assert {name: row[name] for name in TASK_FIELDS - {"id", "created_at", "updated_at"}} == {
            "project": project.pk,
            "title": "Dig",
            "description": "",
            "status": "pending",
            "due_date": DUE,
            "assignee": None,
            "priority": "none",
            "created_by": shown(owner),
            "completed_at": None,
            "comment_count": 0,
            "metadata": {},
        }
        assert api.get(f"/tasks/{row['id']}/").json() == row

    def test_creating_one_with_everything(self, api, project, owner):
        given = {
            "project": project.pk,
            "title": "Dig",
            "description": "  As typed.\n",
            "status": "in_progress",
            "priority": "urgent",
            "due_date": DUE,
            "assignee": shown(owner),
            "metadata": {"ticket": 7},
        }
        row = send(api, "POST", "/tasks/", given).json()
        assert {name: row[name] for name in given} == given

    @pytest.mark.parametrize("missing", ["project", "title", "due_date"])
    def test_what_a_task_cannot_do_without(self, api, project, missing):
        body = new_task(project)
        del body[missing]
        assert_refused(send(api, "POST", "/tasks/", body), missing)

    @pytest.mark.parametrize("priority", ["none", "low", "medium", "high", "urgent"])
    def test_every_priority_reads_as_it_was_written(self, api, task, priority):
        assert send(api, "PATCH", f"/tasks/{task.pk}/", {"priority": priority}).json()["priority"] == priority
        assert api.get(f"/tasks/{task.pk}/").json()["priority"] == priority

    @pytest.mark.parametrize(
        ("given", "stored"),
        [
            ("2030-05-01T12:00:00Z", "2030-05-01T12:00:00Z"),
            ("2030-05-01T12:00:00+02:00", "2030-05-01T10:00:00Z"),
            ("2030-05-01T00:30:00+01:00", "2030-04-30T23:30:00Z"),
            ("2030-05-01T12:00:00.123456-07:30", "2030-05-01T19:30:00.123456Z"),
            ("1900-01-01T00:00:00Z", "1900-01-01T00:00:00Z"),
            ("9899-12-31T23:59:59Z", "9899-12-31T23:59:59Z"),
        ],
    )
    def test_a_due_date_is_an_instant(self, api, task, given, stored):
        assert send(api, "PATCH", f"/tasks/{task.pk}/", {"due_date": given}).json()["due_date"] == stored
        assert api.get(f"/tasks/{task.pk}/").json()["due_date"] == stored

    def test_a_due_date_without_offset_is_utc_whatever_the_time_zone_of_the_site(self, api, task, settings):
        settings.TIME_ZONE = "Asia/Tokyo"
        row = send(api, "PATCH", f"/tasks/{task.pk}/", {"due_date": "2030-05-01T12:00:00"}).json()
        assert row["due_date"] == "2030-05-01T12:00:00Z"

    def test_completed_at_follows_the_status(self, api, project):
        task = send(api, "POST", "/tasks/", new_task(project)).json()
        path = f"/tasks/{task['id']}/"
        assert task["completed_at"] is None
        assert send(api, "PATCH", path, {"status": "in_progress"}).json()["completed_at"] is None
        done = send(api, "PATCH", path, {"status": "completed"}).json()
        assert INSTANT.fullmatch(done["completed_at"])
        assert task["created_at"] < done["completed_at"]
        edited = send(api, "PATCH", path, {"title": "Dug"}).json()
        assert edited["completed_at"] == done["completed_at"], "editing a completed task does not complete it again"
        again = send(api, "PUT", path, new_task(project, status="completed")).json()
        assert again["completed_at"] == done["completed_at"]
        assert send(api, "PATCH", path, {"status": "pending"}).json()["completed_at"] is None
        assert api.get(path).json()["completed_at"] is None

    def test_one_may_be_born_completed(self, api, project):
        row = send(api, "POST", "/tasks/", new_task(project, status="completed")).json()
        assert INSTANT.fullmatch(row["completed_at"])

    def test_completed_at_cannot_be_chosen(self, api, task):
        row = send(api, "PATCH", f"/tasks/{task.pk}/", {"completed_at": "2001-01-01T00:00:00Z"}).json()
        assert row["completed_at"] is None
        row = send(
            api, "PATCH", f"/tasks/{task.pk}/", {"status": "completed", "completed_at": "2001-01-01T00:00:00Z"}
        ).json()
        assert row["completed_at"] > "2025"

    def test_assigning_and_unassigning(self, api, task, member):
        path = f"/tasks/{task.pk}/"
        assert send(api, "PATCH", path, {"assignee": shown(member.user)}).json()["assignee"] == shown(member.user)
        assert send(api, "PATCH", path, {"assignee": None}).json()["assignee"] is None

    def test_moving_one_to_another_project(self, api, owner, task, comment):
        other = make_project(owner)
        row = send(api, "PATCH", f"/tasks/{task.pk}/", {"project": other.pk}).json()
        assert (row["project"], row["comment_count"]) == (other.pk, 1)
        assert [project["task_count"] for project in api.get("/projects/?ordering=created_at").json()["results"]] == [
            0,
            1,
        ]

    def test_the_comments_are_counted(self, api, task, owner):
        for _ in range(3):
            make_comment(task, owner)
        make_comment()
        assert api.get(f"/tasks/{task.pk}/").json()["comment_count"] == 3
        assert send(api, "PATCH", f"/tasks/{task.pk}/", {"title": "Dug"}).json()["comment_count"] == 3

    def test_deleting_one_takes_its_comments(self, api, task, comment):
        response = api.delete(f"/tasks/{task.pk}/")
        assert (response.status_code, response.content) == (204, b"")
        assert api.get(f"/tasks/{task.pk}/").status_code == 404
        assert api.get(f"/tasks/{task.pk}/comments/").status_code == 404
        assert api.get(f"/comments/{comment.pk}/").status_code == 404
        assert api.delete(f"/tasks/{task.pk}/").status_code == 404


class TestComments:
    def test_the_author_is_who_is_signed_in(self, api, task, owner):
        response = send(api, "POST", f"/tasks/{task.pk}/comments/", {"content": "  Deeper.\n"})
        assert response.status_code == 201
        row = response.json()
        assert set(row) == COMMENT_FIELDS
        assert (row["task"], row["author"], row["user"], row["content"]) == (
            task.pk,
            login_name("owner"),
            shown(owner),
            "  Deeper.\n",
        )
        assert api.get(f"/comments/{row['id']}/").json() == row

    def test_a_full_name_is_shown_where_there_is_one(self, signed_in, project, task):
        mo = make_user("mo")
        # Each user model keeps the name in its own way; both tell it by `get_full_name`.
        for name, value in {"first_name": "Mo", "last_name": "Farah", "full_name": "Mo Farah"}.items():
            if hasattr(mo, name):
                setattr(mo, name, value)
        mo.save()
        make_member(project, mo)
        row = send(signed_in(mo), "POST", f"/tasks/{task.pk}/comments/", {"content": "x"}).json()
        assert row["author"] == "Mo Farah"

    def test_a_given_author_is_kept_but_the_account_is_not_chosen(self, api, task, owner):
        body = {"content": "x", "author": "The crew", "user": shown(make_user())}
        row = send(api, "POST", f"/tasks/{task.pk}/comments/", body).json()
        assert (row["author"], row["user"]) == ("The crew", shown(owner))

    def test_editing_one(self, api, comment):
        before = api.get(f"/comments/{comment.pk}/").json()
        row = send(api, "PATCH", f"/comments/{comment.pk}/", {"content": "Shallower."}).json()
        assert row == {**before, "content": "Shallower.", "updated_at": row["updated_at"]}
        assert row["updated_at"] > before["updated_at"]
        row = send(api, "PUT", f"/comments/{comment.pk}/", {"content": "Again.", "author": "Me"}).json()
        assert (row["content"], row["author"], row["user"]) == ("Again.", "Me", before["user"])

    def test_one_stays_with_its_task(self, api, project, comment):
        other = make_task(project)
        row = send(api, "PATCH", f"/comments/{comment.pk}/", {"task": other.pk}).json()
        assert row["task"] == comment.task.pk

    def test_deleting_one(self, api, comment):
        assert api.delete(f"/comments/{comment.pk}/").status_code == 204
        assert api.get(f"/comments/{comment.pk}/").status_code == 404

    def test_a_list_holds_the_comments_of_its_task(self, api, project, task):
        mine = [make_comment(task).pk for _ in range(3)]
        make_comment(make_task(project))
        assert ids(api.get(f"/tasks/{task.pk}/comments/")) == mine, "in the order they were written"


class TestMembers:
    def test_adding_one_by_login_name(self, api, project):
        ben = make_user("ben")
        response = send(api, "POST", f"/projects/{project.pk}/members/", {"user": login_name("ben"), "role": "viewer"})
        assert response.status_code == 201
        row = response.json()
        assert set(row) == MEMBER_FIELDS
        assert (row["user"], row["role"]) == (shown(ben), "viewer")
        assert api.get(f"/projects/{project.pk}/members/{row['id']}/").json() == row

    def test_adding_one_by_primary_key(self, api, project):
        ben = make_user("ben")
        row = send(api, "POST", f"/projects/{project.pk}/members/", {"user": shown(ben), "role": "member"}).json()
        assert (row["user"], row["role"]) == (shown(ben), "member")

    def test_nobody_is_added_twice(self, api, project, member):
        path = f"/projects/{project.pk}/members/"
        assert_refused(send(api, "POST", path, {"user": login_name("mo"), "role": "viewer"}), "user")
        member.refresh_from_db()
        assert member.role == "member"

    @pytest.mark.parametrize("nobody", ["nobody", "nobody@example.org", "", "0", 0, -1, 2**70, "9" * 5000, "\u0663"])
    def test_somebody_unknown_is_refused(self, api, project, nobody):
        path = f"/projects/{project.pk}/members/"
        assert_refused(send(api, "POST", path, {"user": nobody, "role": "viewer"}), "user")

    def test_a_deactivated_user_is_nobody(self, api, project):
        path = f"/projects/{project.pk}/members/"
        gone = make_user("gone", is_active=False)
        missing = send(api, "POST", path, {"user": "nobody", "role": "viewer"})
        for name in (login_name("gone"), shown(gone)):
            refused = send(api, "POST", path, {"user": name, "role": "viewer"})
            assert (refused.status_code, refused.content) == (400, missing.content)

    def test_changing_the_role(self, api, project, member):
        path = f"/projects/{project.pk}/members/{member.pk}/"
        response = send(api, "PATCH", path, {"role": "manager"})
        assert (response.status_code, response.json()["role"]) == (200, "manager")
        assert api.get(path).json()["role"] == "manager"

    def test_a_role_is_not_handed_from_one_to_another(self, api, project, member):
        path = f"/projects/{project.pk}/members/{member.pk}/"
        response = send(api, "PATCH", path, {"user": login_name("owner"), "role": "viewer"})
        assert (response.status_code, response.json()["user"]) == (200, shown(member.user))

    def test_there_is_no_put(self, api, project, member):
        path = f"/projects/{project.pk}/members/{member.pk}/"
        assert send(api, "PUT", path, {"user": login_name("mo"), "role": "viewer"}).status_code == 405

    def test_one_of_another_project_is_not_found_here(self, api, owner, project, member):
        other = make_project(owner)
        path = f"/projects/{other.pk}/members/{member.pk}/"
        assert api.get(path).status_code == 404
        assert send(api, "PATCH", path, {"role": "viewer"}).status_code == 404
        assert api.delete(path).status_code == 404
        assert Membership.objects.filter(pk=member.pk, role="member").exists()

    def test_removing_one(self, api, project, member):
        path = f"/projects/{project.pk}/members/{member.pk}/"
        assert api.delete(path).status_code == 204
        assert api.get(path).status_code == 404


class TestReadEditWrite:
    """What was read can be edited and sent back whole."""

    @pytest.mark.parametrize(
        ("kind", "edit"),
        [
            ("projects", {"name": "Mars base", "metadata": {"b": 2}}),
            ("tasks", {"title": "Dug", "status": "completed", "priority": "high"}),
            ("comments", {"content": "Shallower."}),
        ],
    )
    def test_get_edit_put(self, api, project, task, comment, member, kind, edit):
        Task.objects.filter(pk=task.pk).update(assignee=member.user, metadata={"a": [1, "é"]}, priority="low")
        path = f"/{kind}/{ {'projects': project, 'tasks': task, 'comments': comment}[kind].pk }/"
        before = api.get(path).json()
        response = send(api, "PUT", path, {**before, **edit})
        assert response.status_code == 200, response.content
        after = api.get(path).json()
        assert after == response.json()
        followers = {"updated_at", "completed_at"}
        assert {k: v for k, v in after.items() if k not in followers} == {
            k: v for k, v in {**before, **edit}.items() if k not in followers
        }

    def test_also_when_the_assignee_has_left_the_project(self, api, project, task, member):
        Task.objects.filter(pk=task.pk).update(assignee=member.user)
        assert api.delete(f"/projects/{project.pk}/members/{member.pk}/").status_code == 204
        path = f"/tasks/{task.pk}/"
        response = send(api, "PUT", path, {**api.get(path).json(), "title": "Dug"})
        assert response.status_code == 200, response.content

    def test_read_only_fields_are_ignored(self, api, project, task, comment, member):
        other = make_user()
        for path, fields in {
            f"/projects/{project.pk}/": {"task_count": 9, "completed_task_count": "x", "created_by": shown(other)},
            f"/tasks/{task.pk}/": {"comment_count": None, "created_by": shown(other), "completed_at": []},
            f"/comments/{comment.pk}/": {"task": "x", "user": {}},
            f"/projects/{project.pk}/members/{member.pk}/": {"user": "nobody"},
        }.items():
            before = api.get(path).json()
            stamps = {} if "members" in path else {"created_at": "2001-01-01T00:00:00Z", "updated_at": 5}
            response = send(api, "PATCH", path, {"id": 0, **stamps, **fields})
            assert response.status_code == 200, response.content
            assert {**response.json(), "updated_at": None} == {**before, "updated_at": None}

    @pytest.mark.parametrize(
        ("kind", "method"),
        [
            *((kind, method) for kind in ("projects", "tasks", "comments") for method in ("POST", "PUT", "PATCH")),
            *(("members", method) for method in ("POST", "PATCH")),
        ],
    )
    def test_unknown_fields_are_named(self, api, project, task, comment, member, kind, method):
        path, own_id, body = {
            "projects": ("/projects/", project.pk, {"name": "n"}),
            "tasks": ("/tasks/", task.pk, new_task(project)),
            "comments": (f"/tasks/{task.pk}/comments/", comment.pk, {"content": "c"}),
            "members": (f"/projects/{project.pk}/members/", member.pk, {"user": login_name("mo"), "role": "viewer"}),
        }[kind]
        if method != "POST":
            path = f"/comments/{own_id}/" if kind == "comments" else f"{path}{own_id}/"
        counts = [model.objects.count() for model in (Project, Task, Comment, Membership)]
        assert_refused(send(api, method, path, {**body, "colour": "red", "": 1}), "colour", "")
        assert [model.objects.count() for model in (Project, Task, Comment, Membership)] == counts

    def test_unknown_and_wrong_fields_are_named_together(self, api, project):
        body = new_task(project, colour="red", status="lost", title="")
        assert_refused(send(api, "POST", "/tasks/", body), "colour", "status", "title")
