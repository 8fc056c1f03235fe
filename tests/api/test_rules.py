"""`/projects/<id>/rules/`: what a rule says, who may say it, and what is refused."""

import datetime as dt

import pytest
from django.contrib.auth.models import Permission
from django.utils import timezone

from django_pm.models import EscalationRule, Event, Firing, Task
from django_pm.services.escalating import escalate
from tests.api.support import as_token, assert_refused, ids, new_task, pages, send, shown
from tests.factories import make_member, make_project, make_rule, make_task, make_token, make_user

pytestmark = pytest.mark.django_db

DAY = dt.timedelta(days=1)
OVERDUE = {"name": "A day late", "condition": "overdue", "hours": 24, "action": "notify", "role": "manager"}
STUCK = {"name": "Stuck", "condition": "stuck", "status": "in_progress", "days": 3, "action": "reassign"}
NONE = {"hours": None, "status": None, "days": None, "role": None, "is_active": True}


@pytest.fixture
def url(project):
    return f"/projects/{project.pk}/rules/"


class TestMaking:
    @pytest.mark.parametrize("body", [OVERDUE, STUCK, {**STUCK, "action": "raise_priority", "is_active": False}])
    def test_what_is_sent_is_kept_and_the_rest_is_null(self, api, project, url, body):
        answer = send(api, "POST", url, body)
        assert answer.status_code == 201
        rule = EscalationRule.objects.get()
        told = {key: value for key, value in answer.json().items() if key != "created_at"}
        assert told == {"id": rule.pk, "project": project.pk, **NONE, **body}
        assert answer.json()["created_at"] == rule.created_at.isoformat().replace("+00:00", "Z")
        assert api.get(f"{url}{rule.pk}/").json() == answer.json()
        assert api.get(url).json()["results"] == [answer.json()]

    def test_nulls_may_be_sent_and_so_may_what_is_read_only(self, api, url):
        made = send(api, "POST", url, {**NONE, **OVERDUE, "id": 5, "project": 6}).json()
        assert send(api, "PUT", f"{url}{made['id']}/", made).json() == made

    def test_nothing_is_told_of_it(self, api, url):
        before = Event.objects.count()
        rule = send(api, "POST", url, OVERDUE).json()
        send(api, "PATCH", f"{url}{rule['id']}/", {"hours": 5})
        api.delete(f"{url}{rule['id']}/")
        assert Event.objects.count() == before

    def test_a_key_makes_one(self, api, url):
        first, second = (send(api, "POST", url, OVERDUE, HTTP_IDEMPOTENCY_KEY="once") for _ in range(2))
        assert (first.status_code, second.status_code) == (201, 201)
        assert first.json() == second.json()
        assert second.headers["Idempotent-Replayed"] == "true"
        assert EscalationRule.objects.count() == 1

    def test_the_oldest_first_page_by_page(self, api, project, url):
        made = [make_rule(project).pk for _ in range(5)]
        make_rule(make_project())
        assert ids(api.get(url)) == made
        assert [key for page in pages(api, f"{url}?page_size=2&ordering=-created_at") for key in page] == made[::-1]

    def test_the_number_of_statements_of_a_list_does_not_grow(self, api, project, url, django_assert_max_num_queries):
        for _ in range(20):
            make_rule(project)
        with django_assert_max_num_queries(4):  # the session, the user, the project, the rules
            assert len(ids(api.get(url))) == 20


class TestChanging:
    def test_another_condition_takes_what_it_needs_and_lets_go_of_the_rest(self, api, project, url):
        rule = make_rule(project)
        answer = send(api, "PATCH", f"{url}{rule.pk}/", {"condition": "stuck", "status": "pending", "days": 2})
        assert answer.status_code == 200
        told = answer.json()
        assert (told["hours"], told["status"], told["days"], told["role"]) == (None, "pending", 2, "manager")
        answer = send(api, "PATCH", f"{url}{rule.pk}/", {"action": "reassign"})
        assert answer.json()["role"] is None
        rule.refresh_from_db()
        assert (rule.hours, rule.role) == (None, None)

    def test_it_is_switched_off(self, api, project, url):
        rule = make_rule(project, action="raise_priority")
        make_task(project, due_date=timezone.now() - 2 * DAY)
        assert send(api, "PATCH", f"{url}{rule.pk}/", {"is_active": False}).json()["is_active"] is False
        assert escalate() == 0

    def test_nobody_overwrites_what_they_have_not_seen(self, api, project, url):
        path = f"{url}{make_rule(project).pk}/"
        seen = api.get(path)
        assert api.get(path, HTTP_IF_NONE_MATCH=seen["ETag"]).status_code == 304
        assert send(api, "PATCH", path, {"hours": 5}, HTTP_IF_MATCH=seen["ETag"]).status_code == 200
        for method, body in (("PATCH", {"hours": 6}), ("PUT", OVERDUE), ("DELETE", b"")):
            assert send(api, method, path, body, HTTP_IF_MATCH=seen["ETag"]).status_code == 412
        assert EscalationRule.objects.get().hours == 5

    def test_that_it_failed_is_no_change_of_it(self, api, project, url):
        rule = make_rule(project)
        tag = api.get(f"{url}{rule.pk}/")["ETag"]
        EscalationRule.objects.update(failed_at=timezone.now(), failure="told to those who run the site")
        answer = api.get(f"{url}{rule.pk}/")
        assert answer["ETag"] == tag
        assert b"told to those" not in answer.content

    def test_it_is_deleted_with_what_it_did(self, api, project, url):
        rule, task = make_rule(project), make_task(project, due_date=timezone.now() - 2 * DAY)
        assert escalate() == 1
        assert api.delete(f"{url}{rule.pk}/").status_code == 204
        assert not Firing.objects.exists()
        assert list(Task.objects.all()) == [task]

    def test_under_another_project_it_is_not_found(self, api, owner, project, url):
        elsewhere = make_rule(make_project(owner))
        for method in ("GET", "PUT", "PATCH", "DELETE"):
            assert send(api, method, f"{url}{elsewhere.pk}/", OVERDUE).status_code == 404


class TestWhoMay:
    """The permission walk asks everybody everything; this is the short of it."""

    @pytest.mark.parametrize(
        ("role", "status"), [("viewer", 403), ("member", 403), ("manager", 201), ("owner", 201)], ids=str
    )
    def test_all_read_and_managers_write(self, signed_in, project, url, role, status):
        client = signed_in(make_member(project, role=role).user)
        assert client.get(url).status_code == 200
        assert send(client, "POST", url, OVERDUE).status_code == status

    def test_a_stranger_finds_none(self, signed_in, url):
        assert signed_in(make_user()).get(url).status_code == 404

    def test_a_token_that_may_only_read(self, owner, url):
        client = as_token(make_token(owner, scope="read"))
        assert client.get(url).status_code == 200
        assert send(client, "POST", url, OVERDUE).status_code == 403

    def test_where_model_permissions_decide(self, signed_in, project, url, settings):
        settings.DJANGO_PM = {"POLICY": "django_pm.access.ModelPermissionPolicy"}
        user = make_user()
        user.user_permissions.add(Permission.objects.get(codename="view_project"))
        assert send(signed_in(user), "POST", url, OVERDUE).status_code == 403
        user.user_permissions.add(Permission.objects.get(codename="add_escalationrule"))
        assert send(signed_in(user), "POST", url, OVERDUE).status_code == 201


class TestBadInput:
    @pytest.mark.parametrize(
        ("body", "fields"),
        [
            ({}, ["name", "condition", "action"]),
            ({**OVERDUE, "name": ""}, ["name"]),
            ({**OVERDUE, "condition": "late"}, ["condition"]),
            ({**OVERDUE, "action": "shout"}, ["action"]),
            ({**OVERDUE, "hours": 0}, ["hours"]),
            ({**OVERDUE, "hours": -1}, ["hours"]),
            ({**OVERDUE, "hours": 87_601}, ["hours"]),
            ({**OVERDUE, "hours": 10**30}, ["hours"]),
            ({**OVERDUE, "hours": 1.5}, ["hours"]),
            ({**OVERDUE, "hours": "soon"}, ["hours"]),
            ({**OVERDUE, "hours": None}, ["hours"]),
            ({**OVERDUE, "days": 1}, ["days"]),
            ({**OVERDUE, "status": "pending"}, ["status"]),
            ({**OVERDUE, "role": None}, ["role"]),
            ({**OVERDUE, "role": "king"}, ["role"]),
            ({**OVERDUE, "role": ""}, ["role"]),
            ({**STUCK, "status": ""}, ["status"]),
            ({**OVERDUE, "action": "reassign"}, ["role"]),
            ({**STUCK, "role": "manager"}, ["role"]),
            ({**STUCK, "days": 0}, ["days"]),
            ({**STUCK, "days": 3_651}, ["days"]),
            ({**STUCK, "status": "completed"}, ["status"]),
            ({**STUCK, "hours": 1}, ["hours"]),
            ({"name": "r", "condition": "stuck", "action": "notify"}, ["status", "days", "role"]),
            ({**OVERDUE, "colour": "red"}, ["colour"]),
            ({**OVERDUE, "is_active": None}, ["is_active"]),
        ],
        ids=str,
    )
    def test_it_is_named(self, api, url, body, fields):
        assert_refused(send(api, "POST", url, body), *fields)
        assert not EscalationRule.objects.exists()

    def test_a_change_that_leaves_out_what_it_needs(self, api, project, url):
        rule = make_rule(project)
        assert_refused(send(api, "PATCH", f"{url}{rule.pk}/", {"condition": "stuck"}), "status", "days")
        assert_refused(send(api, "PATCH", f"{url}{rule.pk}/", {"role": None}), "role")
        assert_refused(send(api, "PATCH", f"{url}{rule.pk}/", {"days": 5}), "days")
        assert_refused(send(api, "PUT", f"{url}{rule.pk}/", {**OVERDUE, "action": "reassign"}), "role")
        assert_refused(send(api, "PUT", f"{url}{rule.pk}/", {**STUCK, "hours": 5}), "hours")
        assert EscalationRule.objects.values("condition", "hours", "role").get() == {
            "condition": "overdue",
            "hours": 24,
            "role": "manager",
        }


def test_a_task_made_over_the_api_is_acted_on_and_the_feed_tells(api, owner, project, url):
    """From one end to the other: a rule, a task, an event of why and one of what."""
    rule = send(api, "POST", url, {**OVERDUE, "action": "raise_priority", "role": None}).json()
    task = send(api, "POST", "/tasks/", new_task(project, due_date="2020-01-01T00:00:00Z")).json()
    assert escalate() == 1
    assert api.get(f"/tasks/{task['id']}/").json()["priority"] == "low"
    events = api.get(f"/projects/{project.pk}/events/?object=task:{task['id']}").json()["results"]
    created, cause, changed = events
    assert [event["type"] for event in events] == ["task.created", "task.escalated", "task.updated"]
    assert cause["changes"] == {
        "rule": [None, rule["id"]],
        "action": [None, "raise_priority"],
        "since": [None, "2020-01-01T00:00:00Z"],
        "outcome": [None, "done"],
    }
    assert changed["changes"]["priority"] == ["none", "low"]
    assert {(event["origin"], event["actor"] is None) for event in (cause, changed)} == {(f"rule:{rule['id']}", True)}
    assert created["actor"]["id"] == shown(owner)
