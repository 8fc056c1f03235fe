"""Requests that meet: real threads, real connections, real locks. SQLite lets one writer in at a time anyway."""

import pytest
from django.utils import timezone

from django_pm.models import Comment, Membership, Project, Task
from tests.api.support import at_once, new_task, send, shown
from tests.factories import make_comment, make_member, make_project, make_task, make_user

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def two_owners(signed_in):
    """A project, and for each of its two owners a client and the path of their membership."""
    users = make_user(), make_user()
    project = make_project(users[0], {users[1]: "owner"})
    members = [Membership.objects.get(project=project, user=user) for user in users]
    paths = [f"/projects/{project.pk}/members/{member.pk}/" for member in members]
    return project, [signed_in(user) for user in users], paths


@pytest.mark.parametrize("_round", range(3))
def test_of_two_owners_who_leave_at_once_one_stays(two_owners, _round):
    project, clients, paths = two_owners
    answers = at_once(*(lambda c=client, p=path: c.delete(p) for client, path in zip(clients, paths, strict=True)))
    assert sorted(answer.status_code for answer in answers) == [204, 409]
    assert Membership.objects.filter(project=project, role="owner").count() == 1


@pytest.mark.parametrize("_round", range(3))
def test_of_two_owners_who_demote_each_other_at_once_one_stays(two_owners, _round):
    project, clients, paths = two_owners
    answers = at_once(
        *(
            lambda c=client, p=path: send(c, "PATCH", p, {"role": "viewer"})
            for client, path in zip(clients, paths[::-1], strict=True)
        )
    )
    # Whoever is second is not an owner any more, or would leave none: both are a refusal.
    assert sorted(answer.status_code for answer in answers) in ([200, 403], [200, 409])
    assert Membership.objects.filter(project=project, role="owner").count() == 1


def test_a_user_added_many_times_at_once_is_added_once(signed_in, owner, project):
    newcomer = make_user()
    clients = [signed_in(owner) for _ in range(8)]
    body = {"user": shown(newcomer), "role": "member"}
    answers = at_once(
        *(lambda c=client: send(c, "POST", f"/projects/{project.pk}/members/", body) for client in clients)
    )
    assert sorted(answer.status_code for answer in answers) == [201] + [400] * 7
    for answer in answers:
        assert answer.status_code == 201 or set(answer.json()) == {"user"}
    assert Membership.objects.filter(project=project, user=newcomer).count() == 1


def test_edits_of_different_fields_lose_nothing(signed_in, owner, project):
    """Each write touches the whole row; the lock makes the second start from what the first left."""
    task = make_task(project)
    clients = [signed_in(owner) for _ in range(4)]
    for turn in range(5):
        edits = [
            {"title": f"title {turn}"},
            {"description": f"description {turn}"},
            {"priority": ["low", "high"][turn % 2]},
            {"metadata": {"turn": turn}},
        ]
        answers = at_once(
            *(
                lambda c=client, e=edit: send(c, "PATCH", f"/tasks/{task.pk}/", e)
                for client, edit in zip(clients, edits, strict=True)
            )
        )
        assert [answer.status_code for answer in answers] == [200] * 4
        stored = clients[0].get(f"/tasks/{task.pk}/").json()
        for edit in edits:
            assert stored == {**stored, **edit}


class TestDeletingAProject:
    """What happens in a project while it is deleted is done, refused or too late, but no error of ours."""

    @pytest.fixture
    def tasks(self, project):
        """Enough to make deleting them take a while, so that the requests do meet."""
        tasks = Task.objects.bulk_create(Task(project=project, title="t", due_date=timezone.now()) for _ in range(2000))
        Comment.objects.bulk_create(Comment(task=task, author="a", content="c") for task in tasks[:500])
        return tasks

    @staticmethod
    def assert_gone(project, answers):
        deletion, *others = [answer.status_code for answer in answers]
        assert set(others) <= {200, 201, 204, 400, 403, 404, 409}, others
        assert deletion in {204, 409}
        if deletion == 204:
            assert not Project.objects.filter(pk=project.pk).exists()
            assert not Task.objects.filter(project=project.pk).exists()
            assert not Membership.objects.filter(project=project.pk).exists()

    def delete(self, client, project):
        return lambda: client.delete(f"/projects/{project.pk}/")

    def test_while_tasks_are_created_in_it(self, signed_in, owner, project, tasks):
        clients = [signed_in(owner) for _ in range(6)]
        writes = [lambda c=client: send(c, "POST", "/tasks/", new_task(project)) for client in clients[1:]]
        self.assert_gone(project, at_once(self.delete(clients[0], project), *writes))

    def test_while_its_tasks_are_edited_and_commented(self, signed_in, owner, project, tasks):
        comment = make_comment(tasks[-1])
        clients = [signed_in(owner) for _ in range(6)]
        self.assert_gone(
            project,
            at_once(
                self.delete(clients[0], project),
                lambda: send(clients[1], "PATCH", f"/tasks/{tasks[-1].pk}/", {"title": "Dug"}),
                lambda: send(clients[2], "POST", f"/tasks/{tasks[-1].pk}/comments/", {"content": "x"}),
                lambda: send(clients[3], "PATCH", f"/comments/{comment.pk}/", {"content": "x"}),
                lambda: clients[4].delete(f"/comments/{comment.pk}/"),
                lambda: clients[5].delete(f"/tasks/{tasks[0].pk}/"),
            ),
        )

    def test_while_people_come_and_go(self, signed_in, owner, project, tasks):
        """Leaving locks the project too: both must take their locks in one order."""
        other, ben, vera = (make_member(project, role=role) for role in ("owner", "viewer", "member"))
        path = f"/projects/{project.pk}/members/"
        clients = [signed_in(owner) for _ in range(5)]
        self.assert_gone(
            project,
            at_once(
                self.delete(clients[0], project),
                lambda: signed_in(other.user).delete(f"{path}{other.pk}/"),
                lambda: clients[1].delete(f"{path}{ben.pk}/"),
                lambda: send(clients[2], "PATCH", f"{path}{vera.pk}/", {"role": "viewer"}),
                lambda: send(clients[3], "POST", path, {"user": shown(make_user()), "role": "viewer"}),
            ),
        )

    def test_twice(self, signed_in, owner, project, tasks):
        clients = [signed_in(owner) for _ in range(2)]
        answers = at_once(*(self.delete(client, project) for client in clients))
        assert sorted(answer.status_code for answer in answers) == [204, 404]

    def test_a_task_that_was_moved_out_in_time_is_spared(self, signed_in, owner, project, tasks):
        safe = make_project(owner)
        clients = [signed_in(owner) for _ in range(2)]
        deletion, move = at_once(
            self.delete(clients[0], project),
            lambda: send(clients[1], "PATCH", f"/tasks/{tasks[-1].pk}/", {"project": safe.pk}),
        )
        assert (deletion.status_code, move.status_code) in {(204, 200), (204, 404), (204, 409), (409, 200)}
        if move.status_code == 200:
            assert Task.objects.filter(pk=tasks[-1].pk, project=safe).exists()


def test_a_task_deleted_while_it_is_commented(signed_in, owner, project):
    for _ in range(3):
        task = make_task(project)
        clients = [signed_in(owner) for _ in range(4)]
        writes = [
            lambda c=client, t=task: send(c, "POST", f"/tasks/{t.pk}/comments/", {"content": "x"})
            for client in clients[1:]
        ]
        deletion, *others = at_once(lambda c=clients[0], t=task: c.delete(f"/tasks/{t.pk}/"), *writes)
        assert deletion.status_code in {204, 409}
        assert {answer.status_code for answer in others} <= {201, 404, 409}
        assert Comment.objects.filter(task=task.pk).count() == 0 or deletion.status_code == 409
