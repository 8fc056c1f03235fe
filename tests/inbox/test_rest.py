"""`/notifications/`, and what is watched: one's own, as far as one sees it."""

from __future__ import annotations

import pytest

from django_pm.events.relay import relay_events
from django_pm.models import Notification, Role, Watch
from tests import factories
from tests.api.support import as_token, send, shown

pytestmark = pytest.mark.django_db

URL = "/notifications/"


@pytest.fixture
def ben(people, told):
    """Somebody with a clean inbox."""
    ben = people("ben")
    told()
    Notification.objects.all().delete()
    return ben


def give(user, project, **values):
    """Tell `user` of a task that is given to them."""
    task = factories.make_task(project, assignee=user, **values)
    relay_events()
    return task


def test_what_one_was_told_of(signed_in, ben, project, owner):
    task = give(ben, project, title="Dig here", created_by=owner)
    row = Notification.objects.get()
    inbox = signed_in(ben).get(URL)
    assert inbox.json() == {
        "next": None,
        "previous": None,
        "unread": 1,
        "results": [
            {
                "id": row.pk,
                "reason": "assigned",
                "project": project.pk,
                "task": task.pk,
                "object": {"type": "task", "id": task.pk},
                "title": "Dig here",
                "event": str(row.event_uuid),
                "actor": None,
                "created_at": row.created_at.isoformat().replace("+00:00", "Z"),
                "read_at": None,
            }
        ],
    }
    assert signed_in(owner).get(URL).json()["results"] == []


def test_the_actor_is_a_key(signed_in, ben, api, owner, project):
    body = {"project": project.pk, "title": "Dig", "due_date": "2030-01-01T00:00:00Z", "assignee": shown(ben)}
    send(api, "POST", "/tasks/", body)
    relay_events()
    [told] = signed_in(ben).get(URL).json()["results"]
    assert told["actor"] == shown(owner)


def test_read_one_and_read_all_up_to_one(signed_in, ben, project):
    for title in "abc":
        give(ben, project, title=title)
    client = signed_in(ben)
    newest, middle, oldest = client.get(URL).json()["results"]
    answer = send(client, "POST", f"{URL}{middle['id']}/read/").json()
    assert answer["read_at"]
    assert send(client, "POST", f"{URL}{middle['id']}/read/").json() == answer, "the second time changes nothing"
    assert send(client, "POST", f"{URL}read-all/", {"up_to": middle["id"]}).json() == {"unread": 1}
    unread = client.get(URL, {"unread": "true"}).json()
    assert ([each["id"] for each in unread["results"]], unread["unread"]) == ([newest["id"]], 1)
    read = client.get(URL, {"unread": "false"}).json()
    assert [each["id"] for each in read["results"]] == [middle["id"], oldest["id"]]
    assert read["unread"] == 1, "of all, whatever is asked for"


def test_filters(signed_in, ben, project, people):
    elsewhere = factories.make_project(people("ada"), {ben: Role.MEMBER})
    relay_events()
    give(ben, project, title="here")
    give(ben, elsewhere, title="there")
    client = signed_in(ben)

    def titles(**asked):
        return [each["title"] for each in client.get(URL, asked).json()["results"]]

    assert titles(project=elsewhere.pk, reason="assigned") == ["there"]
    assert titles(reason=["assigned", "commented"]) == ["there", "here"]
    assert titles(reason="commented") == []


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"reason": "whim"}, "reason"),
        ({"project": "x"}, "project"),
        ({"project": 10**6}, "project"),
        ({"unread": "perhaps"}, "unread"),
        ({"ordering": "title"}, "ordering"),
        ({"cursor": "x"}, "cursor"),
    ],
)
def test_a_bad_question_is_named(signed_in, ben, asked, field):
    answer = signed_in(ben).get(URL, asked)
    assert (answer.status_code, list(answer.json())) == (400, [field])


@pytest.mark.parametrize(
    "body", [{}, {"up_to": "1"}, {"up_to": -1}, {"up_to": 2**63}, {"up_to": None}, {"upto": 1}, []]
)
def test_a_bad_mark_is_named_and_marks_nothing(signed_in, ben, project, body):
    give(ben, project)
    answer = send(signed_in(ben), "POST", f"{URL}read-all/", body)
    assert answer.status_code == 400
    assert Notification.objects.unread().count() == 1


@pytest.mark.parametrize("key", ["0", "x", "9" * 30, "007"])
def test_no_such_notification(signed_in, ben, key):
    assert send(signed_in(ben), "POST", f"{URL}{key}/read/").status_code == 404


def test_what_is_anothers_is_not_there(signed_in, ben, project, owner):
    give(ben, project)
    row = Notification.objects.get()
    assert send(signed_in(owner), "POST", f"{URL}{row.pk}/read/").status_code == 404
    assert send(signed_in(owner), "POST", f"{URL}read-all/", {"up_to": row.pk}).json() == {"unread": 0}
    row.refresh_from_db()
    assert row.read_at is None


def test_lost_access_hides_the_row_and_its_count(signed_in, ben, project):
    give(ben, project)
    client = signed_in(ben)
    row = Notification.objects.get()
    membership = project.memberships.get(user=ben)
    membership.delete()
    assert client.get(URL).json() == {"next": None, "previous": None, "results": [], "unread": 0}
    assert send(client, "POST", f"{URL}{row.pk}/read/").status_code == 404
    assert client.get(URL, {"project": project.pk}).status_code == 400
    factories.make_member(project, ben)
    assert client.get(URL).json()["unread"] == 1


def test_a_task_that_moved_out_of_sight_takes_its_title_along(signed_in, ben, project):
    task = give(ben, project)
    task.project, task.title = factories.make_project(), "Secret"
    task.save()
    answer = signed_in(ben).get(URL)
    assert (answer.json()["results"], answer.json()["unread"]) == ([], 0)
    assert b"Secret" not in answer.content


@pytest.mark.parametrize("gone", ["task", "project"])
def test_what_is_gone_is_not_told_of(signed_in, ben, project, gone):
    task = give(ben, project)
    (task if gone == "task" else project).delete()
    ben.is_superuser = True
    ben.save()
    assert signed_in(ben).get(URL).json()["results"] == []


def test_a_token_shows_what_it_is_good_for(ben, project, people):
    elsewhere = factories.make_project(people("ada"), {ben: Role.MEMBER})
    relay_events()
    give(ben, project, title="here")
    give(ben, elsewhere, title="there")
    client = as_token(factories.make_token(ben, [elsewhere]))
    answer = client.get(URL).json()
    assert ([each["title"] for each in answer["results"]], answer["unread"]) == (["there", "Moon base"], 2)
    reading = as_token(factories.make_token(ben, scope="read"))
    assert send(reading, "POST", f"{URL}read-all/", {"up_to": 2**62}).status_code == 403


def test_an_inbox_costs_the_same_whatever_is_in_it(signed_in, ben, project, django_assert_num_queries):
    client = signed_in(ben)
    give(ben, project)
    client.get(URL)
    with django_assert_num_queries(4):  # session, user, unread, page
        client.get(URL)
    for _each in range(10):
        give(ben, project)
    with django_assert_num_queries(4):
        client.get(URL)


def test_watching_is_ones_own(signed_in, ben, project, owner):
    task = factories.make_task(project)
    for url in (f"/projects/{project.pk}/watch/", f"/tasks/{task.pk}/watch/"):
        client = signed_in(ben)
        assert client.get(url).json() == {"level": None}
        assert send(client, "PUT", url, {"level": "muted"}).json() == {"level": "muted"}
        assert send(client, "PUT", url, {"level": "watching"}).json() == {"level": "watching"}
        assert client.get(url).json() == {"level": "watching"}
        assert signed_in(owner).get(url).json() == {"level": None}
        assert client.delete(url).status_code == 204
        assert client.get(url).json() == {"level": None}


def test_involvement_is_shown_and_not_said(signed_in, ben, project):
    task = give(ben, project)
    url = f"/tasks/{task.pk}/watch/"
    assert signed_in(ben).get(url).json() == {"level": "involved"}
    answer = send(signed_in(ben), "PUT", url, {"level": "involved"})
    assert (answer.status_code, list(answer.json())) == (400, ["level"])


@pytest.mark.parametrize("body", [{}, {"level": None}, {"level": "loud"}, {"level": "muted", "for": 3}, [], 1])
def test_a_bad_level_changes_nothing(signed_in, ben, project, body):
    answer = send(signed_in(ben), "PUT", f"/projects/{project.pk}/watch/", body)
    assert answer.status_code == 400
    assert not Watch.objects.filter(user=ben, object_type="project").exists()


def test_what_is_hidden_cannot_be_watched(signed_in, ben):
    task = factories.make_task()
    for url in (f"/projects/{task.project_id}/watch/", f"/tasks/{task.pk}/watch/", "/tasks/x/watch/"):
        for method in ("GET", "PUT", "DELETE"):
            assert send(signed_in(ben), method, url, {"level": "watching"}).status_code == 404
