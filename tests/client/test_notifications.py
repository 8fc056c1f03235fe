"""The inbox, preferences and watching through both clients: what is sent, what is made of the answers, and that it fits
the API as it is."""

import datetime as dt
import json
import typing

import pytest

from django_pm.client import (
    Client,
    Invalid,
    NotAllowed,
    NotFound,
    Notification,
    ObjectRef,
    Preferences,
    Retry,
    UnexpectedAnswer,
    objects,
)
from tests.client import answers
from tests.client.answers import LOST, body, in_turn, notification, ok, preferences, refusal
from tests.client.conftest import Either
from tests.example.site import ROOT

API = "https://site.example/api/"
INBOX = f"{API}notifications/"
SCHEMAS = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))["components"]["schemas"]


def sent(requests):
    """What each request was."""
    return [(each.method, str(each.url), body(each) if each.content else None) for each in requests]


class TestReading:
    def test_the_inbox_is_fetched_page_by_page(self, asking):
        first = {"next": f"{INBOX}?cursor=WzFd", "unread": 2, "results": [notification(id=9)]}
        handler, got = in_turn(ok(first), ok({"next": None, "unread": 2, "results": [notification(id=8)]}))
        told = asking(handler).do(
            lambda pm: pm.notifications.list(reason=["mentioned", "assigned"], project=7, unread=True)
        )
        assert [each.id for each in told] == [9, 8]
        params = [("reason", "mentioned"), ("reason", "assigned"), ("project", "7"), ("unread", "true")]
        assert got[0].url.params.multi_items() == [*params, ("page_size", "200")]
        assert got[1].url.params.multi_items() == [*params, ("page_size", "200"), ("cursor", "WzFd")]

    def test_one_is_typed_and_tells_what_is_new(self, asking):
        handler, _got = in_turn(ok({"next": None, "unread": 1, "results": [notification(colour="red")]}))
        [told] = asking(handler).do(lambda pm: pm.notifications.list())
        assert isinstance(told, Notification)
        assert (told.id, told.reason, told.project, told.task, told.actor) == (42, "commented", 7, 31, 5)
        assert told.object == ObjectRef("comment", 118)
        assert told.created_at == dt.datetime(2031, 5, 4, 9, 26, 53, 589793, tzinfo=dt.UTC)
        assert told.read_at is None
        assert told.raw["colour"] == "red"
        assert hash(told) == hash(Notification.from_json(notification()))

    def test_the_unread_are_counted(self, asking):
        handler, got = in_turn(ok({"next": None, "unread": 12, "results": []}))
        assert asking(handler).do(lambda pm: pm.notifications.unread()) == 12
        assert sent(got) == [("GET", f"{INBOX}?page_size=1", None)]

    def test_one_is_read_though_an_answer_is_lost(self, asking):
        handler, got = in_turn(LOST, ok(notification(read_at=answers.AT)))
        told = asking(handler).do(lambda pm: pm.notifications.read(42))
        assert told.read_at == told.created_at
        assert sent(got) == [("POST", f"{INBOX}42/read/", None)] * 2

    def test_all_are_read_up_to_one(self, asking):
        handler, got = in_turn(ok({"unread": 1}), ok({"unread": 0}))
        client, last = asking(handler), Notification.from_json(notification())
        assert client.do(lambda pm: pm.notifications.read_all(last)) == 1
        assert client.do(lambda pm: pm.notifications.read_all(43)) == 0
        assert sent(got) == [("POST", f"{INBOX}read-all/", {"up_to": number}) for number in (42, 43)]

    @pytest.mark.parametrize("answer", [{}, {"unread": None}, {"unread": "2"}, []])
    def test_an_answer_that_counts_nothing(self, asking, answer):
        with pytest.raises(UnexpectedAnswer):
            asking(in_turn(ok(answer))[0]).do(lambda pm: pm.notifications.unread())

    def test_a_refusal(self, asking):
        with pytest.raises(NotFound):
            asking(in_turn(refusal(404))[0]).do(lambda pm: pm.notifications.read(42))


class TestWatching:
    @pytest.mark.parametrize("kind_of", ["projects", "tasks"])
    def test_what_is_said(self, asking, kind_of):
        level = {"level": "watching"}
        handler, got = in_turn(ok(level), ok({"level": "muted"}), ok({"level": "involved"}), ok({}, 204))
        client, url = asking(handler), f"{API}{kind_of}/7/watch/"
        assert client.do(lambda pm: getattr(pm, kind_of).watch(7)) is None
        assert client.do(lambda pm: getattr(pm, kind_of).mute(7)) is None
        assert client.do(lambda pm: getattr(pm, kind_of).watch_level(7)) == "involved"
        assert client.do(lambda pm: getattr(pm, kind_of).unwatch(7)) is None
        puts = [("PUT", url, {"level": level}) for level in ("watching", "muted")]
        assert sent(got) == [*puts, ("GET", url, None), ("DELETE", url, None)]

    def test_a_task_may_be_named_by_itself(self, asking):
        handler, got = in_turn(ok(answers.task(), ETag='"a.b"'), ok({"level": "muted"}))
        client = asking(handler)
        task = client.do(lambda pm: pm.tasks.get(1))
        client.do(lambda pm: pm.tasks.mute(task))
        assert str(got[1].url) == f"{API}tasks/1/watch/"
        assert "If-Match" not in got[1].headers  # it is no change of the task

    def test_nothing_said(self, asking):
        assert asking(in_turn(ok({"level": None}))[0]).do(lambda pm: pm.tasks.watch_level(7)) is None

    def test_an_answer_without_a_level(self, asking):
        with pytest.raises(UnexpectedAnswer):
            asking(in_turn(ok({}))[0]).do(lambda pm: pm.tasks.watch_level(7))

    @pytest.mark.parametrize("ask", ["watch", "mute", "unwatch", "watch_level"])
    def test_refusals(self, asking, ask):
        with pytest.raises(NotFound):
            asking(in_turn(refusal(404))[0]).do(lambda pm: getattr(pm.tasks, ask)(7))
        with pytest.raises(NotAllowed):
            asking(in_turn(refusal(403))[0]).do(lambda pm: getattr(pm.projects, ask)(7))


class TestPreferences:
    URL = f"{API}notification-preferences/"

    def test_they_are_read_and_changed(self, asking):
        handler, got = in_turn(ok(preferences(news=1)), LOST, ok(preferences(digest_hour=9)))
        client = asking(handler)
        mine = client.do(lambda pm: pm.preferences.get())
        assert isinstance(mine, Preferences)
        assert (mine.channels["commented"], mine.digest_hour, mine.raw["news"]) == (["in_app"], None, 1)
        changes = {"digest_hour": 9, "channels": {"commented": ("in_app", "digest"), "assigned": None}}
        assert client.do(lambda pm: pm.preferences.update(**changes)).digest_hour == 9
        told = {"digest_hour": 9, "channels": {"commented": ["in_app", "digest"], "assigned": None}}
        assert sent(got) == [("GET", self.URL, None), *[("PATCH", self.URL, told)] * 2]

    def test_those_of_a_project(self, asking):
        handler, got = in_turn(ok({"channels": {}}), ok({"channels": {"commented": []}}))
        client, url = asking(handler), f"{API}projects/7/notification-preferences/"
        assert client.do(lambda pm: pm.preferences.project_channels(7)) == {}
        chosen = {"commented": [], "assigned": None}
        told = client.do(lambda pm: pm.preferences.update_project_channels(7, chosen))
        assert told == {"commented": []}
        assert sent(got) == [("GET", url, None), ("PATCH", url, {"channels": chosen})]

    @pytest.mark.parametrize("answer", [{}, {"channels": None}, []])
    def test_an_answer_that_has_none(self, asking, answer):
        for ask in (lambda pm: pm.preferences.project_channels(7), lambda pm: pm.preferences.get()):
            with pytest.raises(UnexpectedAnswer):
                asking(in_turn(ok(answer))[0]).do(ask)


def test_the_fields_are_those_of_the_document():
    assert set(SCHEMAS["Notification"]["properties"]) == set(notification())
    assert set(SCHEMAS["Preferences"]["properties"]) == set(preferences())
    assert set(typing.get_args(objects.Reason)) == set(SCHEMAS["NotificationReason"]["enum"])
    assert set(typing.get_args(objects.WatchLevel)) == set(SCHEMAS["WatchLevel"]["enum"])
    channels = SCHEMAS["Preferences"]["properties"]["channels"]["properties"]
    assert set(channels) == set(typing.get_args(objects.Reason))
    assert set(channels["commented"]["items"]["enum"]) == set(typing.get_args(objects.Channel))


# Against the example site


@pytest.fixture(scope="module")
def inbox(site):
    """What happens from now on is told."""
    site.must_manage("pm_relay_events")


@pytest.fixture
def project(site, inbox):
    """One of Ben's, of which Mo is a member."""
    with Client(site.url, auth=("ben", "demo"), trust_env=False) as pm:
        project = pm.projects.create(name="Fair")
        pm.members.add(project, user="mo", role="member")
        yield project
        pm.projects.delete(project.id)


@pytest.fixture
def mo(kind, site):
    return Either(kind, site.url, auth=("mo", "demo"), trust_env=False, retry=Retry(attempts=2))


def test_the_inbox_of_a_real_site(mo, site, project):
    with Client(site.url, auth=("ben", "demo"), trust_env=False) as ben:
        task = ben.tasks.create(project=project, title="Dig", due_date=dt.datetime(2031, 6, 1, tzinfo=dt.UTC))
        ben.comments.create(task, content="@mo, is this deep enough?")
    site.must_manage("pm_relay_events")
    unread = mo.do(lambda pm: pm.notifications.unread())
    mentioned, added = mo.do(lambda pm: pm.notifications.list(project=project, unread=True))
    assert (mentioned.reason, mentioned.title, mentioned.task) == ("mentioned", "Dig", task.id)
    assert mentioned.object.type == "comment"
    assert (added.reason, added.title, added.task, added.project) == ("added", "Fair", None, project.id)
    assert mo.do(lambda pm: pm.notifications.list(project=project, reason="added")) == [added]
    assert mo.do(lambda pm: pm.notifications.read(mentioned)).read_at is not None
    assert mo.do(lambda pm: pm.notifications.unread()) == unread - 1
    assert mo.do(lambda pm: pm.notifications.list(project=project, unread=True)) == [added]
    assert mo.do(lambda pm: pm.notifications.read_all(mentioned)) == 0
    assert mo.do(lambda pm: pm.notifications.list(project=project, unread=True)) == []
    with pytest.raises(Invalid) as refused:
        mo.do(lambda pm: pm.notifications.list(reason="bored"))
    assert set(refused.value.fields) == {"reason"}
    with pytest.raises(NotFound):
        Either(mo.kind, site.url, auth=("ben", "demo"), trust_env=False).do(lambda pm: pm.notifications.read(added))


def test_watching_on_a_real_site(mo, site, project):
    assert mo.do(lambda pm: pm.projects.watch_level(project)) is None
    mo.do(lambda pm: pm.projects.watch(project))
    assert mo.do(lambda pm: pm.projects.watch_level(project)) == "watching"
    task = mo.do(
        lambda pm: pm.tasks.create(project=project, title="Dig", due_date=dt.datetime(2031, 6, 1, tzinfo=dt.UTC))
    )
    site.must_manage("pm_relay_events")
    assert mo.do(lambda pm: pm.tasks.watch_level(task)) == "involved"
    mo.do(lambda pm: pm.tasks.mute(task))
    assert mo.do(lambda pm: pm.tasks.watch_level(task)) == "muted"
    mo.do(lambda pm: pm.tasks.unwatch(task))
    mo.do(lambda pm: pm.projects.unwatch(project))
    assert mo.do(lambda pm: pm.tasks.watch_level(task)) is None
    assert mo.do(lambda pm: pm.projects.watch_level(project)) is None


def test_preferences_on_a_real_site(mo, project):
    before = mo.do(lambda pm: pm.preferences.get())
    chosen = mo.do(
        lambda pm: pm.preferences.update(digest_hour=9, channels={"commented": ["digest"], "status_changed": []})
    )
    assert (chosen.digest_hour, chosen.channels["commented"], chosen.channels["status_changed"]) == (9, ["digest"], [])
    assert mo.do(lambda pm: pm.preferences.get()) == chosen
    mo.do(
        lambda pm: pm.preferences.update(
            digest_hour=before.digest_hour, channels={"commented": None, "status_changed": None}
        )
    )
    assert mo.do(lambda pm: pm.preferences.get()) == before
    channels = {"commented": ["in_app", "mail"]}
    assert mo.do(lambda pm: pm.preferences.update_project_channels(project, channels)) == channels
    assert mo.do(lambda pm: pm.preferences.project_channels(project)) == channels
    assert mo.do(lambda pm: pm.preferences.update_project_channels(project, {"commented": None})) == {}
    with pytest.raises(Invalid) as refused:
        mo.do(lambda pm: pm.preferences.update(channels={"commented": ["pigeon"]}))
    assert "channels" in str(refused.value)
