"""Who sees very many projects, and bursts of very many events."""

import pytest

from django_pm.events import feed
from django_pm.models import Membership, Project, Task
from django_pm.realtime import protocol, reading
from tests.factories import make_member, make_project, make_superuser, make_task, make_token, make_user

pytestmark = pytest.mark.postgres


@pytest.fixture
def few(monkeypatch):
    """What is many, made small: three projects are too many to list, and two heads all that a welcome has."""
    monkeypatch.setattr(reading, "MANY_PROJECTS", 3)
    monkeypatch.setattr(protocol, "MAX_HEADS", 2)


def projects_of(user, number):
    return [make_project(members={user: "viewer"}) for _ in range(number)]


@pytest.mark.usefixtures("few")
class TestManyProjects:
    @pytest.fixture(params=["member of many", "superuser"])
    def reader(self, request):
        if request.param == "superuser":
            return make_superuser()
        return make_user()

    def test_only_the_most_recently_active_have_a_head(self, site, reader):
        projects = projects_of(reader, 5)
        make_task(projects[1])
        with site.socket(reader) as socket:
            welcome = socket.frame("welcome")
            assert set(welcome["heads"]) == {str(projects[1].pk), str(projects[4].pk)}
            assert not welcome["complete"]

    def test_events_of_the_others_come_too(self, site, reader):
        projects = projects_of(reader, 5)
        with site.socket(reader) as socket:
            socket.frame("welcome")
            for project in projects:
                make_task(project)
            assert {event["project"] for event in socket.frames(5)} == {project.pk for project in projects}
            assert socket.is_quiet()

    def test_also_those_that_somebody_else_has_numbered(self, site, reader):
        """As another server process does, or a worker: then nothing is left to be found without a number."""
        projects = projects_of(reader, 5)
        feed.number_all()
        with site.socket(reader) as socket:
            socket.frame("welcome")
            Task.objects.bulk_create([Task(project=project, title="x") for project in projects])
            feed.number_all()
            assert {event["project"] for event in socket.frames(5)} == {project.pk for project in projects}

    def test_of_projects_they_do_not_see_they_hear_nothing(self, site):
        reader = make_user()
        projects_of(reader, 5)
        hidden = make_project()
        with site.socket(reader) as socket:
            socket.frame("welcome")
            make_task(hidden)
            hidden.delete()
            assert socket.is_quiet()

    def test_what_they_were_told_of_is_lost_by_an_event(self, site):
        reader = make_user()
        last = projects_of(reader, 5)[-1]
        with site.socket(reader) as socket:
            socket.frame("welcome")
            Membership.objects.get(project=last, user=reader).delete()
            make_task(last, title="secret")
            assert socket.frame() == {"type": "access_lost", "project": last.pk}
            assert socket.is_quiet()

    def test_what_they_were_told_of_is_lost_without_an_event(self, site):
        reader = make_user()
        last = projects_of(reader, 5)[-1]
        with site.socket(reader) as socket:
            socket.frame("welcome")
            Membership.objects.filter(project=last, user=reader)._raw_delete("default")
            assert socket.frame() == {"type": "access_lost", "project": last.pk}

    def test_what_another_of_their_sockets_was_told_of_is_lost_too(self, site):
        reader = make_user()
        first, *_others, last = projects_of(reader, 5)
        with site.socket(reader, query=f"?project={first.pk}") as narrow:
            narrow.frame("welcome")
            with site.socket(reader) as socket:
                socket.frame("welcome")
                Membership.objects.get(project=last, user=reader).delete()
                assert socket.frame("access_lost")["project"] == last.pk

    def test_who_comes_to_see_too_many_connects_again(self, site):
        reader = make_user()
        projects_of(reader, 3)
        with site.socket(reader) as socket:
            assert socket.frame("welcome")["complete"] is False
            make_project(members={reader: "viewer"})
            assert socket.closed() == protocol.CLOSE_RESYNC

    def test_a_socket_may_be_narrowed(self, site, reader):
        projects = projects_of(reader, 5)
        with site.socket(reader, query=f"?project={projects[0].pk}") as socket:
            welcome = socket.frame("welcome")
            assert (set(welcome["heads"]), welcome["complete"]) == ({str(projects[0].pk)}, True)
            make_task(projects[1])
            make_task(projects[0])
            assert socket.frame()["project"] == projects[0].pk


def test_a_superuser_hears_of_a_new_project_from_its_beginning(site):
    """Whoever comes in between does not move the others past it."""
    first, second = make_superuser(), make_superuser()
    with site.socket(first) as early:
        early.frame("welcome")
        project = make_project(name="New")
        with site.socket(second) as late:
            late.frame("welcome")
            make_task(project)
            assert [event["seq"] for event in early.events_until(lambda event: event["type"] == "task.created")] == [
                *(1, 2, 3)
            ]


def test_a_token_that_is_limited_narrows_only_its_own_socket(site, owner, project):
    """Whichever of a user's sockets comes first."""
    other = make_project(owner)
    header = {"Authorization": f"Bearer {make_token(owner, [project]).secret}"}
    with site.socket(headers=header) as limited, site.socket(owner) as full:
        limited.frame("welcome")
        full.frame("welcome")
        make_task(other)
        assert full.frame()["type"] == "task.created"
        make_task(project)
        assert limited.frame()["project"] == project.pk


def test_a_large_burst_closes_nobody(site, owner, project):
    """More than a socket's queue holds, in one transaction; whoever reads gets it all."""
    tasks = [Task(project=project, title="x" * 200, description="y" * 200) for _ in range(900)]
    with site.socket(owner) as socket:
        socket.frame("welcome")
        Task.objects.bulk_create(tasks)
        assert [event["seq"] for event in socket.frames(900)] == list(range(3, 903))


def test_parts_follow_each_other_without_a_gap():
    frames = [protocol.frame("task.created", seq=number, text="x" * 3000) for number in range(6, 26)]
    size = sum(frame.size for frame in frames)
    whole = reading.News(1, reading.Place("e", 5), reading.Place("e", 25), frames, size, {1})
    pieces = reading.parts(whole)
    assert len(pieces) == 4
    assert [frame for piece in pieces for frame in piece.frames] == frames
    assert [piece.place for piece in pieces[:-1]] == [piece.since for piece in pieces[1:]]
    assert (pieces[0].since, pieces[-1].place) == (whole.since, whole.place)
    assert all(piece.size == sum(frame.size for frame in piece.frames) for piece in pieces)


def test_a_member_of_few_is_told_what_they_gain(site):
    user = make_user()
    projects_of(user, 2)
    with site.socket(user) as socket:
        socket.frame("welcome")
        gained = make_project()
        make_member(gained, user)
        assert socket.frame()["type"] == "access_gained"
        assert Project.objects.count() == 3
