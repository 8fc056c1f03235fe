"""What clients are told while it happens: each change once, in order, to whoever may know."""

import pytest

from django_pm.models import Membership, Task
from tests.api.support import new_task, send, shown
from tests.factories import make_comment, make_member, make_project, make_task, make_token, make_user

pytestmark = pytest.mark.postgres


@pytest.fixture
def live(site, owner, project):
    with site.socket(owner) as socket:
        assert socket.frame("welcome")["heads"] == {str(project.pk): 2}
        yield socket


class TestEvents:
    def test_of_everything_that_happens_in_a_project(self, live, api, project, owner):
        task = send(api, "POST", "/tasks/", new_task(project)).json()
        send(api, "PATCH", f"/tasks/{task['id']}/", {"status": "completed"})
        comment = send(api, "POST", f"/tasks/{task['id']}/comments/", {"content": "Why?"}).json()
        api.delete(f"/comments/{comment['id']}/")
        api.delete(f"/tasks/{task['id']}/")
        send(api, "PATCH", f"/projects/{project.pk}/", {"name": "Mars"})
        send(api, "POST", f"/projects/{project.pk}/members/", {"user": shown(make_user()), "role": "viewer"})
        events = live.frames(7)
        assert [event["type"] for event in events] == [
            *("task.created", "task.updated", "comment.created", "comment.deleted", "task.deleted"),
            *("project.updated", "member.added"),
        ]
        assert [event["seq"] for event in events] == list(range(3, 10))
        assert events == api.get(f"/projects/{project.pk}/events/?since=2").json()["results"]

    def test_of_what_the_host_writes(self, live, project):
        task = make_task(project)
        Task.objects.filter(pk=task.pk).update(title="Fill")
        assert [event["type"] for event in live.frames(2)] == ["task.created", "task.updated"]

    def test_each_user_hears_of_what_they_see(self, live, site, owner):
        other = make_project()
        with site.socket(other.created_by) as theirs:
            theirs.frame("welcome")
            make_task(other)
            assert theirs.frame()["type"] == "task.created"
            assert live.is_quiet()

    def test_a_socket_may_be_narrowed(self, site, owner, project):
        second = make_project(owner)
        with site.socket(owner, query=f"?project={second.pk}") as socket:
            assert set(socket.frame("welcome")["heads"]) == {str(second.pk)}
            make_task(project)
            make_task(second)
            assert socket.frame()["project"] == second.pk
            assert socket.is_quiet()


class TestAccess:
    def test_gained_by_being_added(self, site, project):
        user = make_user()
        with site.socket(user) as socket:
            assert socket.frame("welcome")["heads"] == {}
            make_member(project, user)
            gained = socket.frame("access_gained")
            assert gained["project"] == project.pk
            make_task(project)
            assert socket.frame()["seq"] == gained["head"] + 1

    def test_gained_with_a_project_of_ones_own(self, live, api):
        made = send(api, "POST", "/projects/", {"name": "New"}).json()
        gained = live.frame("access_gained")
        assert (gained["project"], gained["head"]) == (made["id"], 2)

    def test_lost_by_being_removed(self, site, project):
        member = make_member(project)
        with site.socket(member.user) as socket:
            socket.frame("welcome")
            member.delete()
            make_task(project, title="secret")
            assert socket.frame() == {"type": "access_lost", "project": project.pk}
            assert socket.is_quiet()

    def test_lost_with_the_project(self, live, project):
        key = project.pk
        project.delete()
        assert live.frame() == {"type": "access_lost", "project": key}

    def test_lost_without_an_event(self, site, project):
        """A row that raw SQL takes away is found by asking again."""
        member = make_member(project)
        with site.socket(member.user) as socket:
            socket.frame("welcome")
            Membership.objects.filter(pk=member.pk)._raw_delete("default")
            assert socket.frame() == {"type": "access_lost", "project": project.pk}

    def test_a_limited_token_hears_of_its_projects_alone(self, site, owner, project):
        other = make_project(owner)
        header = {"Authorization": f"Bearer {make_token(owner, [project]).secret}"}
        with site.socket(headers=header) as socket:
            assert set(socket.frame("welcome")["heads"]) == {str(project.pk)}
            make_task(other)
            make_task(project)
            assert socket.frame()["project"] == project.pk
            assert socket.is_quiet()


class TestResume:
    def test_what_was_missed_comes_first_then_what_happens(self, site, owner, project):
        for number in range(5):
            make_task(project, title=str(number))
        with site.socket(owner, query="?resume=true") as socket:
            assert socket.frame("welcome")["heads"] == {str(project.pk): 7}
            make_task(project, title="5")
            socket.send({"type": "resume", "since": {str(project.pk): 3}})
            missed = socket.frames(6)
            make_task(project, title="6")
            assert [event.get("seq") for event in missed] == [4, 5, 6, 7, 8, None]
            assert missed[-1] == {"type": "resumed", "replayed": 5}
            assert socket.frame()["seq"] == 9

    def test_projects_that_are_not_named_go_on_from_the_welcome(self, site, owner, project):
        with site.socket(owner, query="?resume=true") as socket:
            socket.frame("welcome")
            make_task(project)
            socket.send({"type": "resume", "since": {}})
            assert [frame["type"] for frame in socket.frames(2)] == ["resumed", "task.created"]

    def test_what_cannot_be_continued_is_reset(self, site, owner, project):
        with site.socket(owner, query="?resume=true") as socket:
            welcome = socket.frame("welcome")
            key = str(project.pk)
            socket.send({"type": "resume", "since": {key: 99}, "epoch": {key: welcome["epoch"][key]}})
            epoch = welcome["epoch"][key]
            expected = {"type": "reset", "project": project.pk, "head": 2, "epoch": epoch, "reason": "ahead"}
            assert socket.frames(2) == [expected, {"type": "resumed", "replayed": 0}]
            make_task(project)
            assert socket.frame()["seq"] == 3

    def test_another_epoch(self, site, owner, project):
        with site.socket(owner, query="?resume=true") as socket:
            socket.frame("welcome")
            socket.send({"type": "resume", "since": {str(project.pk): 1}, "epoch": {str(project.pk): "gone"}})
            assert socket.frame()["reason"] == "epoch"

    def test_a_hidden_project(self, site, owner, project):
        hidden = make_comment().task.project
        with site.socket(owner, query="?resume=true") as socket:
            socket.frame("welcome")
            socket.send({"type": "resume", "since": {str(hidden.pk): 0, "987654": 0, "x": 0}})
            lost = socket.frames(4)
            assert [frame["type"] for frame in lost] == ["access_lost"] * 3 + ["resumed"]

    def test_a_project_that_was_not_asked_for(self, site, owner, project):
        """Told by its key, as everywhere."""
        with site.socket(owner, query=f"?resume=true&project={make_comment().task.project.pk}") as socket:
            socket.frame("welcome")
            socket.send({"type": "resume", "since": {str(project.pk): 0}})
            assert socket.frame("access_lost")["project"] == project.pk

    def test_more_than_a_page(self, site, owner, project):
        Task.objects.bulk_create(Task(project=project, title=f"{n}") for n in range(450))
        with site.socket(owner, query="?resume=true") as socket:
            socket.frame("welcome")
            socket.send({"type": "resume", "since": {str(project.pk): 0}})
            events = socket.frames(453)
            assert [event.get("seq") for event in events] == [*range(1, 453), None]

    def test_not_asked_for(self, live, project):
        live.send({"type": "resume", "since": {}})
        assert live.frame()["code"] == "unexpected_resume"
