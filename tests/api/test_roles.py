"""The role table: who may do what to which object, asked over HTTP, and that a refusal changes nothing.

One row is one thing to do, one column one kind of user; the numbers are the statuses. 404 and, where the project is
named in a body or filter, 400: the user may not even know of it. 403: seen, but not allowed.
"""

from typing import Any

import pytest

from django_pm.models import Membership, Project, Role, Task
from tests.api.support import DUE, everything_stored, new_task, send, shown
from tests.factories import make_comment, make_member, make_project, make_superuser, make_task, make_user

pytestmark = pytest.mark.django_db

TABLE = """
                                    outsider  viewer  member  manager  owner  superuser
create a project                    201       201     201     201      201    201
read the project                    404       200     200     200      200    200
edit the project                    404       403     403     200      200    200
replace the project                 404       403     403     200      200    200
delete the project                  404       403     403     403      204    204

list tasks of the project           400       200     200     200      200    200
create a task                       400       403     201     201      201    201
read a task                         404       200     200     200      200    200
edit a task                         404       403     200     200      200    200
replace a task                      404       403     200     200      200    200
delete a task                       404       403     204     204      204    204

list comments                       404       200     200     200      200    200
comment                             404       403     201     201      201    201
read a comment                      404       200     200     200      200    200
edit own comment                    404       403     200     200      200    200
replace own comment                 404       403     200     200      200    200
delete own comment                  404       403     204     204      204    204
edit another's comment              404       403     403     200      200    200
replace another's comment           404       403     403     200      200    200
delete another's comment            404       403     403     204      204    204

list members                        404       200     200     200      200    200
read a member                       404       200     200     200      200    200
add a viewer                        404       403     403     201      201    201
add a member                        404       403     403     201      201    201
add a manager                       404       403     403     403      201    201
add an owner                        404       403     403     403      201    201
make a viewer a member              404       403     403     200      200    200
make a member a viewer              404       403     403     200      200    200
make a viewer a manager             404       403     403     403      200    200
make a member an owner              404       403     403     403      200    200
make a manager a member             404       403     403     403      200    200
make a manager an owner             404       403     403     403      200    200
make an owner a viewer              404       403     403     403      200    200
remove a viewer                     404       403     403     204      204    204
remove a member                     404       403     403     204      204    204
remove a manager                    404       403     403     403      204    204
remove an owner                     404       403     403     403      204    204
"""

HEAD, *BODY = [line for line in TABLE.splitlines() if line.strip()]
USERS = HEAD.split()
ROWS = {line[:36].strip(): [int(status) for status in line[36:].split()] for line in BODY}
CASES = [
    pytest.param(thing, user, status, id=f"{user}: {thing}")
    for thing, statuses in ROWS.items()
    for user, status in zip(USERS, statuses, strict=True)
]


class World:
    """A project with somebody in each role, beside those who act, so that every row has its own object."""

    def __init__(self) -> None:
        self.owner = make_user("owner")
        self.project = make_project(self.owner)
        self.users = {"owner": self.owner, "outsider": make_user("outsider"), "superuser": make_superuser("root")}
        for role in ("viewer", "member", "manager"):
            self.users[role] = make_user(role)
            make_member(self.project, self.users[role], role)
        self.others = {role: make_member(self.project, make_user(f"other-{role}"), role) for role in Role.values}
        self.newcomer = make_user("newcomer")
        self.task = make_task(self.project, created_by=self.owner)
        self.comment = make_comment(self.task, self.others[Role.OWNER].user)
        self.own_comments = {name: make_comment(self.task, user) for name, user in self.users.items()}


def do(client: Any, world: World, user: str, thing: str) -> Any:
    """Send the request that `thing` names, `user` being who asks."""
    match thing.replace("'s", "").split():
        case ["create", "a", "project"]:
            return send(client, "POST", "/projects/", {"name": "Mars base"})
        case [verb, "the", "project"]:
            return write(client, verb, f"/projects/{world.project.pk}/", {"name": "Mars base"})
        case ["list", "tasks", *_]:
            return client.get("/tasks/", {"project": world.project.pk})
        case ["create", "a", "task"]:
            return send(client, "POST", "/tasks/", new_task(world.project))
        case [verb, "a", "task"]:
            return write(client, verb, f"/tasks/{world.task.pk}/", new_task(world.project, title="Dug"))
        case ["list", "comments"]:
            return client.get(f"/tasks/{world.task.pk}/comments/")
        case ["comment"]:
            return send(client, "POST", f"/tasks/{world.task.pk}/comments/", {"content": "Deeper."})
        case [verb, whose, *_, "comment"]:
            comment = world.own_comments[user] if whose == "own" else world.comment
            return write(client, verb, f"/comments/{comment.pk}/", {"content": "Shallower."})
        case ["list", "members"]:
            return client.get(f"/projects/{world.project.pk}/members/")
        case ["read", "a", "member"]:
            return client.get(f"/projects/{world.project.pk}/members/{world.others[Role.MEMBER].pk}/")
        case ["add", _, role]:
            body = {"user": shown(world.newcomer), "role": role}
            return send(client, "POST", f"/projects/{world.project.pk}/members/", body)
        case ["make", _, role, _, wanted]:
            path = f"/projects/{world.project.pk}/members/{world.others[role].pk}/"
            return send(client, "PATCH", path, {"role": wanted})
        case ["remove", _, role]:
            return client.delete(f"/projects/{world.project.pk}/members/{world.others[role].pk}/")
        case _:
            raise AssertionError(f"no request for {thing!r}")


def write(client: Any, verb: str, path: str, body: dict[str, Any]) -> Any:
    """One of the verbs that every object has; an edit names only the last field of `body`."""
    match verb:
        case "read":
            return client.get(path)
        case "edit":
            field = "title" if "title" in body else next(iter(body))
            return send(client, "PATCH", path, {field: body[field]})
        case "replace":
            return send(client, "PUT", path, body)
        case "delete":
            return client.delete(path)
    raise AssertionError(verb)


@pytest.fixture
def world():
    return World()


@pytest.mark.parametrize(("thing", "user", "status"), CASES)
def test_the_table(world, signed_in, thing, user, status):
    client = signed_in(world.users[user])
    before = everything_stored()
    response = do(client, world, user, thing)
    assert response.status_code == status, response.content
    if status >= 400:
        assert everything_stored() == before
    if status in {201, 204} or (thing.startswith(("edit", "replace", "make")) and status == 200):
        assert everything_stored() != before, "what is allowed is done"


@pytest.mark.parametrize("thing", ROWS)
def test_nobody_may_anything_without_being_signed_in(world, signed_in, anonymous, thing):
    """The same for somebody who was signed in, as owner or superuser, and has been deactivated since."""
    clients = [anonymous]
    for name in ("owner", "superuser"):
        user = world.users[name]
        clients.append(signed_in(user))
        user.is_active = False
        user.save()
    before = everything_stored()
    for client in clients:
        response = do(client, world, "owner", thing)
        assert response.status_code in {401, 403}, response.content
        assert set(response.json()) == {"detail"}
    assert everything_stored() == before


class TestLeaving:
    @pytest.mark.parametrize("user", ["viewer", "member", "manager", "owner"])
    def test_everybody_may_leave(self, world, signed_in, user):
        client = signed_in(world.users[user])
        own = Membership.objects.get(project=world.project, user=world.users[user])
        assert client.delete(f"/projects/{world.project.pk}/members/{own.pk}/").status_code == 204
        assert client.get(f"/projects/{world.project.pk}/").status_code == 404, "and sees it no more"
        assert client.get("/tasks/").json()["results"] == []

    @pytest.mark.parametrize("user", ["viewer", "member", "manager"])
    @pytest.mark.parametrize("role", Role.values)
    def test_nobody_raises_themselves(self, world, signed_in, user, role):
        own = Membership.objects.get(project=world.project, user=world.users[user])
        path = f"/projects/{world.project.pk}/members/{own.pk}/"
        assert send(signed_in(world.users[user]), "PATCH", path, {"role": role}).status_code == 403
        own.refresh_from_db()
        assert own.role == user


class TestTheLastOwner:
    """A project keeps an owner, whoever asks."""

    @pytest.fixture
    def path(self, project, owner):
        return f"/projects/{project.pk}/members/{Membership.objects.get(project=project, user=owner).pk}/"

    @pytest.fixture(params=["themselves", "a superuser"])
    def client(self, request, api, signed_in):
        return api if request.param == "themselves" else signed_in(make_superuser())

    def test_cannot_leave(self, client, project, path):
        make_member(project, role="manager")
        response = client.delete(path)
        assert response.status_code == 409
        assert set(response.json()) == {"detail"}
        assert client.get(path).json()["role"] == "owner"

    @pytest.mark.parametrize("role", ["viewer", "member", "manager"])
    def test_cannot_be_demoted(self, client, project, path, role):
        make_member(project, role="manager")
        response = send(client, "PATCH", path, {"role": role})
        assert response.status_code == 409
        assert set(response.json()) == {"detail"}
        assert client.get(path).json()["role"] == "owner"

    def test_may_be_made_an_owner_again(self, client, path):
        assert send(client, "PATCH", path, {"role": "owner"}).status_code == 200
        assert send(client, "PATCH", path, {}).status_code == 200

    def test_is_not_counted_with_owners_of_other_projects(self, client, owner, path):
        make_project(owner)
        make_project()
        assert client.delete(path).status_code == 409

    def test_may_go_once_there_is_another(self, client, project, path):
        other = make_member(project, role="member")
        assert (
            send(client, "PATCH", f"/projects/{project.pk}/members/{other.pk}/", {"role": "owner"}).status_code == 200
        )
        assert client.delete(path).status_code == 204


class TestMovingATask:
    """A move takes a task from one project and adds it to another: both must allow it."""

    @pytest.mark.parametrize(
        ("here", "there", "status"),
        [
            ("member", "member", 200),
            ("member", "owner", 200),
            ("member", "viewer", 403),
            ("viewer", "owner", 403),
            ("member", None, 400),
        ],
    )
    @pytest.mark.parametrize("method", ["PUT", "PATCH"])
    def test_roles_in_both_projects(self, signed_in, here, there, status, method):
        mo = make_user("mo")
        source, target = make_project(members={mo: here}), make_project(members={mo: there} if there else {})
        task = make_task(source)
        body = new_task(target) if method == "PUT" else {"project": target.pk}
        response = send(signed_in(mo), method, f"/tasks/{task.pk}/", body)
        assert response.status_code == status
        task.refresh_from_db()
        assert task.project == (target if status == 200 else source)

    def test_one_is_not_moved_away_from_its_assignee(self, signed_in):
        mo, ben = make_user("mo"), make_user("ben")
        source, target = make_project(mo, {ben: "member"}), make_project(mo)
        task = make_task(source, assignee=ben)
        path = f"/tasks/{task.pk}/"
        response = send(signed_in(mo), "PATCH", path, {"project": target.pk})
        assert (response.status_code, set(response.json())) == (400, {"assignee"})
        assert send(signed_in(mo), "PATCH", path, {"project": target.pk, "assignee": None}).status_code == 200


def test_lists_hold_what_the_user_may_see_and_count_no_more(world, signed_in):
    elsewhere = make_task(title="elsewhere", due_date=DUE)
    for user, projects in {"outsider": set(), "viewer": {world.project.pk}, "superuser": None}.items():
        client = signed_in(world.users[user])
        seen = set(Project.objects.values_list("pk", flat=True)) if projects is None else projects
        tasks = set(Task.objects.filter(project__in=seen).values_list("pk", flat=True))
        for path, expected in {"/projects/": seen, "/tasks/": tasks}.items():
            body = client.get(f"{path}?count=true").json()
            assert {row["id"] for row in body["results"]} == expected
            assert body["count"] == len(expected)
        found = client.get("/tasks/?search=elsewhere").json()["results"]
        assert [row["id"] for row in found] == ([elsewhere.pk] if user == "superuser" else [])
