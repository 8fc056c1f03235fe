"""What a user may not see cannot be told from what does not exist: in a path, in a body, in a filter, in OPTIONS."""

import pytest

from django_pm.models import Membership
from tests.api.support import assert_refused, new_task, send, shown
from tests.factories import make_comment, make_member, make_project, make_task, make_user

pytestmark = pytest.mark.django_db

MISSING = 987_654_321


@pytest.fixture
def hidden():
    """A comment on a task of a project that `api` does not see."""
    comment = make_comment(make_task(title="secret"))
    make_member(comment.task.project)
    return comment


def without_id(response, pk):
    """The answer, the id that it echoes taken out."""
    return response.status_code, response.content.replace(str(pk).encode(), b"<id>")


def test_in_a_path(api, project, hidden):
    task, other = hidden.task, hidden.task.project
    member = Membership.objects.filter(project=other).first()
    paths = {
        "/projects/{}/": other.pk,
        "/projects/{}/members/": other.pk,
        f"/projects/{{}}/members/{member.pk}/": other.pk,
        f"/projects/{project.pk}/members/{{}}/": member.pk,
        "/tasks/{}/": task.pk,
        "/tasks/{}/comments/": task.pk,
        "/comments/{}/": hidden.pk,
    }
    for path, pk in paths.items():
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
            there, nowhere = (send(api, method, path.format(key), {"name": 5, "role": "x"}) for key in (pk, MISSING))
            assert there.status_code == nowhere.status_code, (method, path)
            assert there.status_code in {404, 405}
            assert there.content == nowhere.content
            assert there.headers.items() == nowhere.headers.items()


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_a_project_in_a_body(api, project, hidden, method):
    path = "/tasks/" if method == "POST" else f"/tasks/{make_task(project).pk}/"
    there, nowhere = (
        send(api, method, path, {**new_task(project), "project": key}) for key in (hidden.task.project.pk, MISSING)
    )
    assert_refused(there, "project")
    assert without_id(there, hidden.task.project.pk) == without_id(nowhere, MISSING)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_an_assignee_in_a_body(api, project, method):
    """A task is given to somebody who sees it. Whether somebody else has an account here is not told."""
    stranger, gone = make_user("stranger"), make_user("gone")
    make_member(project, gone)
    gone.is_active = False
    gone.save()
    missing = make_user("missing")
    missing_key = shown(missing)
    missing.delete()
    path = "/tasks/" if method == "POST" else f"/tasks/{make_task(project).pk}/"
    nowhere = send(api, method, path, new_task(project, assignee=missing_key))
    assert_refused(nowhere, "assignee")
    for user in (stranger, gone):
        there = send(api, method, path, new_task(project, assignee=shown(user)))
        assert without_id(there, shown(user)) == without_id(nowhere, missing_key)


def test_an_assignee_is_not_looked_up_beside_what_else_is_wrong(api, hidden):
    """Whoever names a project that is none of theirs would otherwise learn from the errors who has an account."""
    stranger, missing = make_user("stranger"), make_user("missing")
    missing_key = shown(missing)
    missing.delete()
    for key in (shown(stranger), missing_key):
        assert_refused(send(api, "POST", "/tasks/", new_task(hidden.task.project, assignee=key)), "project")


def test_a_project_in_a_filter(api, hidden):
    there, nowhere = (api.get("/tasks/", {"project": key}) for key in (hidden.task.project.pk, MISSING))
    assert_refused(there, "project")
    assert without_id(there, hidden.task.project.pk) == without_id(nowhere, MISSING)


def test_a_user_in_a_filter(api, hidden):
    """Every key of the right form is answered alike, whether or not somebody has it."""
    stranger, missing = make_user("stranger"), make_user("missing")
    missing_key = shown(missing)
    missing.delete()
    hidden.task.assignee = stranger
    hidden.task.save()
    there, nowhere = (api.get("/tasks/", {"assignee": key}) for key in (shown(stranger), missing_key))
    assert there.json() == nowhere.json() == {"next": None, "previous": None, "results": []}


def test_a_position_of_a_hidden_row_in_a_cursor(api, signed_in, project, hidden):
    """A cursor made by somebody who sees more shows no more to somebody who sees less."""
    seen = [make_task(project) for _ in range(3)]
    other = signed_in(hidden.task.project.created_by)
    make_task(hidden.task.project)
    cursor = other.get("/tasks/?ordering=created_at&page_size=1").json()["next"].partition("?")[2]
    response = api.get(f"/tasks/?{cursor}")
    assert [row["id"] for row in response.json()["results"]] == [task.pk for task in seen][:1]


@pytest.mark.parametrize("path", ["/projects/", "/tasks/", "/projects/{}/", "/tasks/{}/comments/", "/comments/{}/"])
def test_options_tell_neither_choices_nor_what_exists(api, hidden, path):
    secret = make_project(name="Secret base")
    pk = hidden.pk if "comments/{}" in path else hidden.task.pk if "tasks" in path else hidden.task.project.pk
    there, nowhere = (api.options(path.format(key)) for key in (pk, MISSING))
    assert there.status_code in {200, 404}
    assert there.content == nowhere.content
    for word in (secret.name, "secret", "actions", "choices", "Secret"):
        assert word not in there.content.decode()
