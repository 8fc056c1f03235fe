"""What goes wrong only in between: while a socket catches up, in a project nobody reads, in one that cannot be read."""

import threading

import pytest
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.db import connection

from django_pm import access
from django_pm.events import feed
from django_pm.models import ProjectStream
from django_pm.realtime import connection as sockets
from django_pm.realtime import hub, protocol, reading
from tests.factories import make_member, make_project, make_task, make_user

pytestmark = pytest.mark.postgres


class TestQuietProjects:
    """Listed, but not among the heads that a welcome has room for."""

    @pytest.fixture(autouse=True)
    def _few_heads(self, monkeypatch):
        monkeypatch.setattr(protocol, "MAX_HEADS", 2)

    def test_their_events_come_though_somebody_else_has_numbered_them(self, site):
        user = make_user()
        projects = [make_project(members={user: "viewer"}) for _ in range(5)]
        feed.number_all()
        with site.socket(user) as socket:
            assert not socket.frame("welcome")["complete"]
            for project in projects:
                make_task(project)
                feed.number(project.pk)
            assert {event["project"] for event in socket.frames(5)} == {project.pk for project in projects}

    def test_what_they_are_resumed_from_is_gone_on_from(self, site):
        user = make_user()
        projects = [make_project(members={user: "viewer"}) for _ in range(5)]
        feed.number_all()
        with site.socket(user, query="?resume=true") as socket:
            socket.frame("welcome")
            make_task(projects[0])
            socket.send({"type": "resume", "since": {str(projects[0].pk): 3}})
            assert [frame["type"] for frame in socket.frames(2)] == ["task.created", "resumed"]
            make_task(projects[0])
            assert socket.frame()["seq"] == 5


class TestLargeFrames:
    """Control characters take six bytes each in JSON: an update may be a frame of 57 KB."""

    def write(self, project, number):
        task = make_task(project, description="\x01" * 4096)
        for _ in range(number):
            make_task(project, description="y" * 3000)
            task.description = ("\x02" if task.description[0] == "\x01" else "\x01") * 4096
            task.save()

    def test_close_nobody_who_catches_up(self, site, owner, project):
        self.write(project, 5)
        head = feed.read(project.pk, limit=1).head
        with site.socket(owner, query="?resume=true") as socket:
            socket.frame("welcome")
            socket.send({"type": "resume", "since": {str(project.pk): 0}})
            assert [event["seq"] for event in socket.frames(head)] == list(range(1, head + 1))

    def test_close_nobody_who_is_live(self, site, owner, project):
        with site.socket(owner) as socket:
            socket.frame("welcome")
            thread = threading.Thread(target=lambda: (self.write(project, 5), connection.close()))
            thread.start()
            thread.join()
            assert [event["seq"] for event in socket.frames(11)] == list(range(3, 14))


def test_a_project_that_cannot_be_read_is_in_nobodys_way(site, owner, project, monkeypatch, caplog):
    """Nor does it keep anybody signed in."""
    broken, other = make_project(), make_user()
    make_member(project, other)
    who_sees = access.who_sees

    def fails(project_id, user_ids):
        if project_id == broken.pk:
            raise ZeroDivisionError("as a policy might")
        return who_sees(project_id, user_ids)

    monkeypatch.setattr(access, "who_sees", fails)
    site.sign_in(owner, other)
    with site.socket(owner) as socket, site.socket(other) as theirs:
        socket.frame("welcome")
        theirs.frame("welcome")
        make_task(broken)
        make_task(project)
        assert socket.frame("task.created")["project"] == project.pk
        theirs.events_until(lambda event: event["project"] == project.pk)
        type(other).objects.filter(pk=other.pk).update(is_active=False)
        assert theirs.closed() == protocol.CLOSE_NOT_SIGNED_IN
    assert caplog.text.count(f"Project {broken.pk} cannot be read") == 1


class TestResetsWhileHeld:
    def test_another_lineage(self, site, owner, project):
        with site.socket(owner, query="?resume=true") as socket, site.socket(owner) as live:
            live.frame("welcome")
            socket.frame("welcome")
            call_command("pm_epoch", rotate=True, verbosity=0)
            assert live.frame("reset")["reason"] == "epoch"
            socket.send({"type": "resume", "since": {}})
            assert [frame["type"] for frame in socket.frames(2)] == ["resumed", "reset"]
            make_task(project)
            assert socket.frame("task.created")

    def test_a_log_that_lost_its_end(self, site, owner, project):
        """As after a failover: the same lineage, at a lower number."""
        for _ in range(3):
            make_task(project)
        feed.number(project.pk)
        with site.socket(owner, query="?resume=true") as socket, site.socket(owner) as live:
            live.frame("welcome")
            socket.frame("welcome")
            with connection.cursor() as cursor:
                cursor.execute("DELETE FROM django_pm_event WHERE project_id = %s AND seq > 3", [project.pk])
            ProjectStream.objects.filter(pk=project.pk).update(seq=3)
            assert live.frame("reset")["head"] == 3
            socket.send({"type": "resume", "since": {}})
            assert [frame["type"] for frame in socket.frames(2)] == ["resumed", "reset"]
            make_task(project)
            assert [live.frame()["seq"], socket.frame()["seq"]] == [4, 4]


def test_a_heartbeat_says_nothing_of_a_project_that_was_lost(site, owner, project, monkeypatch):
    monkeypatch.setattr(protocol, "HEARTBEAT_SECONDS", 1)
    monkeypatch.setattr(hub, "BEAT_SECONDS", 0.05)
    member = make_member(project)
    site.sign_in(member.user, owner)
    with site.socket(member.user) as socket, site.socket(owner) as other:
        socket.frame("welcome")
        other.frame("welcome")
        make_task(project)
        socket.frame("task.created")
        member.delete()
        assert socket.frame("access_lost")
        make_task(project)
        while (beat := socket.frame())["type"] != "heartbeat":
            pass
        assert beat["heads"] == {}


def test_keys_that_somebody_makes_up_leave_nothing_behind(site, owner, project):
    with site.socket(owner, query="?resume=true") as socket:
        socket.frame("welcome")
        socket.send({"type": "resume", "since": dict.fromkeys(map(str, range(900_000, 900_050)), 0)})
        assert {frame["type"] for frame in socket.frames(50)} == {"access_lost"}
    assert not ProjectStream.objects.filter(pk__gte=900_000).exists()


def test_half_a_character_is_malformed(site, owner, project):
    with site.socket(owner, query="?resume=true") as socket:
        socket.frame("welcome")
        socket.send(r'{"type": "resume", "since": {"\ud800": 1}}')
        assert socket.frame("error")["code"] == "malformed"
        socket.send({"type": "resume", "since": {}})
        assert socket.frame("resumed")


def test_who_is_signed_out_before_the_welcome_gets_none(site, owner, monkeypatch):
    welcome = reading.welcome

    def slow(user, credential, only):
        Session.objects.all().delete()
        return welcome(user, credential, only)

    monkeypatch.setattr(reading, "welcome", slow)
    with site.socket(owner) as socket:
        assert socket.closed() == protocol.CLOSE_NOT_SIGNED_IN


def test_what_cannot_be_asked_about_again_is_authenticated_again(site, owner, monkeypatch):
    """A credential that the host alone knows ends unseen, so it is good for so long only."""
    monkeypatch.setattr(sockets, "UNCHECKED_SECONDS", 0.3)
    monkeypatch.setattr("django_pm.realtime.authentication._can_list_sessions", lambda: False)
    with site.socket(owner) as socket:
        socket.frame("welcome")
        assert socket.closed() == protocol.CLOSE_RESYNC


@pytest.mark.parametrize(
    "policy", ["django_pm.access.RolePolicy", "django_pm.access.OpenPolicy", "django_pm.access.ModelPermissionPolicy"]
)
def test_asking_again_takes_no_more_statements_for_more_users(db, settings, policy, django_assert_max_num_queries):
    settings.DJANGO_PM = {"POLICY": policy}
    project = make_project()
    users = [make_member(project).user for _ in range(10)] + [make_user(is_superuser=True) for _ in range(10)]
    sights = {user.pk: reading.Sight(set(), listed=True) for user in users}
    now = reading.sights(sights)
    with django_assert_max_num_queries(4):
        assert reading.sights(now) == now


def test_a_user_who_sees_all_no_more_is_not_told_what_they_do_not_see(site, monkeypatch):
    monkeypatch.setattr(hub, "SWEEP_SECONDS", 3600)
    user = make_user(is_superuser=True)
    project = make_project()
    with site.socket(user) as socket:
        socket.frame("welcome")
        type(user).objects.filter(pk=user.pk).update(is_superuser=False)
        make_task(project)
        assert socket.closed() == protocol.CLOSE_RESYNC
