"""Faults that were found in others, each class with a test that names it: none of them is to be found here.

Where a fault was published under a number, the docstring cites it; `test_permission_walk.py` walks the same ground
systematically, these tell the story of each.
"""

import datetime as dt
import json

import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_pm.models import Comment, Event, Membership, Task
from tests.api.support import assert_refused, everything_stored, ids, new_task, send, shown
from tests.api.world import bearer
from tests.factories import make_comment, make_member, make_project, make_superuser, make_task, make_token, make_user

pytestmark = pytest.mark.django_db

MISSING = 987_654_321


@pytest.fixture
def hidden():
    """A project that `api` does not see."""
    return make_project(name="Secret base", description="secret")


@pytest.fixture
def other(owner):
    """Another project of whoever `api` is."""
    return make_project(owner)


def refused_without_a_trace(client, method, path, body=b""):
    """The answer to a request that must change nothing, neither rows nor events."""
    before, events = everything_stored(), Event.objects.count()
    response = send(client, method, path, body)
    assert response.status_code >= 400, (method, path, response.content)
    assert (everything_stored(), Event.objects.count()) == (before, events)
    return response


class TestNestedIdsWithoutTheirParent:
    """A nested id fetched by its key alone, the parent in the path unasked.

    Plane: CVE-2026-104966, CVE-2026-102980, CVE-2026-105631, CVE-2026-104963.
    """

    @pytest.mark.parametrize("method", ["GET", "HEAD", "PATCH", "DELETE"])
    def test_a_member_of_another_project(self, api, project, other, hidden, method):
        for foreign in (make_member(hidden), make_member(other)):  # even if one may do it there
            path = f"/projects/{project.pk}/members/{foreign.pk}/"
            assert refused_without_a_trace(api, method, path, {"role": "owner"}).status_code == 404

    @pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
    def test_ones_own_member_under_a_hidden_project(self, api, project, hidden, method):
        own = make_member(project)
        path = f"/projects/{hidden.pk}/members/{own.pk}/"
        assert refused_without_a_trace(api, method, path, {"role": "owner"}).status_code == 404

    def test_events_of_an_object_of_another_project(self, api, project, other):
        task = make_task(other)
        assert api.get(f"/projects/{project.pk}/events/?object=task:{task.pk}").json()["results"] == []


class TestIdsInTheBody:
    """An id in the body, in bulk or to move something to another parent, that nobody checked.

    Plane: CVE-2026-104967, CVE-2026-105637; Vikunja: CVE-2026-123522 (a move into a foreign bucket, told by a webhook).
    """

    def test_made_in_a_hidden_project(self, api, hidden):
        assert_refused(refused_without_a_trace(api, "POST", "/tasks/", new_task(hidden)), "project")

    @pytest.mark.parametrize("method", ["PUT", "PATCH"])
    def test_moved_to_a_hidden_project(self, api, project, hidden, method):
        path = f"/tasks/{make_task(project).pk}/"
        assert_refused(refused_without_a_trace(api, method, path, new_task(hidden)), "project")

    @pytest.mark.parametrize("method", ["PUT", "PATCH"])
    def test_pulled_out_of_a_hidden_project(self, api, project, hidden, method):
        path = f"/tasks/{make_task(hidden).pk}/"
        assert refused_without_a_trace(api, method, path, new_task(project)).status_code == 404

    def test_moved_to_where_one_may_only_read(self, api, owner, project):
        there = make_project(members={owner: "viewer"})
        path = f"/tasks/{make_task(project).pk}/"
        assert refused_without_a_trace(api, "PATCH", path, {"project": there.pk}).status_code == 403

    def test_a_comment_put_under_another_task(self, api, project, hidden):
        comment, foreign = make_comment(make_task(project)), make_task(hidden)
        response = send(api, "PATCH", f"/comments/{comment.pk}/", {"task": foreign.pk, "content": "x"})
        assert response.json()["task"] == comment.task_id
        assert not Comment.objects.filter(task=foreign).exists()

    def test_several_at_once(self, api, project, hidden):
        body = [new_task(project), new_task(hidden)]
        assert refused_without_a_trace(api, "POST", "/tasks/", body).status_code == 400

    def test_one_of_several_keys_is_hidden(self, api, owner, project, hidden):
        response = send(api, "POST", "/tokens/", {"name": "n", "projects": [project.pk, hidden.pk]})
        assert_refused(response, "projects")
        assert not owner.pm_api_tokens.exists()


class TestSearchAndMemberRecords:
    """Search that reads every tenant, member records that outsiders read or write.

    Plane: CVE-2026-104968, CVE-2026-102981, CVE-2026-102985.
    """

    @pytest.mark.parametrize("path", ["/projects/", "/tasks/"])
    def test_search(self, api, hidden, path):
        make_task(hidden, title="secret")
        body = api.get(f"{path}?search=secret&count=true").json()
        assert body == {"next": None, "previous": None, "results": [], "count": 0}

    def test_the_members_of_a_hidden_project(self, api, owner, hidden):
        path = f"/projects/{hidden.pk}/members/"
        nowhere = api.get(f"/projects/{MISSING}/members/")
        assert api.get(path).content == nowhere.content
        invitation = {"user": shown(owner), "role": "viewer"}
        assert refused_without_a_trace(api, "POST", path, invitation).content == nowhere.content

    @pytest.mark.parametrize("role", ["viewer", "member", "manager"])
    def test_nobody_promotes_themselves(self, signed_in, project, role):
        own = make_member(project, role=role)
        path = f"/projects/{project.pk}/members/{own.pk}/"
        assert refused_without_a_trace(signed_in(own.user), "PATCH", path, {"role": "owner"}).status_code == 403

    def test_a_member_record_is_not_handed_on(self, api, project, hidden):
        member, stranger = make_member(project), make_user()
        path = f"/projects/{project.pk}/members/{member.pk}/"
        assert send(api, "PATCH", path, {"user": shown(stranger), "role": "viewer"}).json()["user"] == shown(
            member.user
        )
        assert_refused(refused_without_a_trace(api, "PATCH", path, {"project": hidden.pk}), "project")


class TestPayloadsWithTheRightsOfTheActor:
    """What somebody did who sees more is told to somebody who sees less, with all that the actor saw.

    Vikunja: CVE-2026-123524.
    """

    @pytest.fixture
    def moved(self, api, project, other):
        """The owner of two projects moves a task between them."""
        comment = make_comment(make_task(project), content="said before the move")
        assert send(api, "PATCH", f"/tasks/{comment.task_id}/", {"project": other.pk}).status_code == 200
        make_comment(comment.task, content="said after the move")
        return Task.objects.get(pk=comment.task_id)

    def feed(self, signed_in, project):
        reader = make_member(project, role="viewer").user
        return signed_in(reader).get(f"/projects/{project.pk}/events/").json()["results"]

    def test_where_it_has_left_nobody_learns_where_to(self, signed_in, project, other, moved):
        events = self.feed(signed_in, project)
        [gone] = [event for event in events if event["type"] == "task.deleted"]
        assert gone["changes"]["project"] == [project.pk, None]
        assert {event["project"] for event in events} == {project.pk}
        assert "said after the move" not in json.dumps(events)

    def test_where_it_has_come_nobody_learns_where_from(self, signed_in, project, other, moved):
        events = self.feed(signed_in, other)
        [come] = [event for event in events if event["type"] == "task.created"]
        assert come["changes"]["project"] == [None, other.pk]
        assert {event["project"] for event in events} == {other.pk}
        assert "said before the move" not in json.dumps(events)


class TestTheScopeOfATokenIsWhatItSays:
    """A token that may more than its scope says.

    Vikunja: CVE-2026-123506.
    """

    def test_a_reading_token_writes_nothing(self, owner, project):
        client, task = bearer(make_token(owner, scope="read")), make_task(project)
        assert client.get(f"/tasks/{task.pk}/").status_code == 200
        for method, path in [("POST", "/projects/"), ("POST", "/tasks/"), ("DELETE", f"/tasks/{task.pk}/")]:
            assert refused_without_a_trace(client, method, path, new_task(project)).status_code == 403
        client.post(f"/tasks/{task.pk}/", HTTP_X_HTTP_METHOD_OVERRIDE="DELETE")
        client.get(f"/tasks/{task.pk}/?_method=DELETE", HTTP_X_HTTP_METHOD_OVERRIDE="DELETE")
        assert Task.objects.filter(pk=task.pk).exists()

    @pytest.mark.parametrize("make", [make_user, make_superuser])
    def test_a_limited_token_stays_in_its_projects(self, make):
        user = make()
        inside, outside = make_project(user), make_project(user)
        task, foreign = make_task(inside), make_task(outside)
        client = bearer(make_token(user, [inside]))
        assert ids(client.get("/projects/")) == [inside.pk]
        assert ids(client.get("/tasks/")) == [task.pk]
        assert client.get(f"/tasks/{foreign.pk}/").status_code == 404
        assert client.get(f"/projects/{outside.pk}/events/").status_code == 404
        assert_refused(refused_without_a_trace(client, "POST", "/tasks/", new_task(outside)), "project")
        moved = refused_without_a_trace(client, "PATCH", f"/tasks/{task.pk}/", {"project": outside.pk})
        assert_refused(moved, "project")
        assert refused_without_a_trace(client, "POST", "/projects/", {"name": "n"}).status_code == 403

    def test_a_token_makes_no_wider_token(self, owner, project):
        token = make_token(owner, [project])
        client = bearer(token)
        assert send(client, "POST", "/tokens/", {"name": "wider", "scope": "write"}).status_code == 403
        assert client.get(f"/tokens/{token.pk}/").status_code == 403
        assert client.delete(f"/tokens/{token.pk}/").status_code == 403
        assert owner.pm_api_tokens.count() == 1

    def test_it_is_worth_no_more_than_its_user(self, owner, project):
        client = bearer(make_token(owner, [project]))
        make_member(project, role="owner")
        Membership.objects.filter(user=owner).update(role="viewer")
        assert refused_without_a_trace(client, "DELETE", f"/projects/{project.pk}/").status_code == 403
        Membership.objects.filter(user=owner).delete()
        assert client.get(f"/projects/{project.pk}/").status_code == 404

    def test_it_ends(self, owner):
        expired, revoked = (make_token(owner) for _ in range(2))
        expired.expires_at = timezone.now() - dt.timedelta(seconds=1)
        expired.save()
        revoked.delete()
        for token in (expired, revoked):
            assert bearer(token).get("/projects/").status_code == 401


class TestDescriptionsOfTheApi:
    """OPTIONS, the browsable API and filter forms that list what other tenants have to choose from.

    encode/django-rest-framework#1906, #3367, #3905, #1985; carltongibson/django-filter#1223; drf-filters#100.
    """

    @pytest.mark.parametrize("path", ["/projects/", "/tasks/", "/tasks/{}/", "/projects/{}/members/", "/tokens/"])
    def test_options_offer_no_choices(self, api, hidden, path):
        task = make_task(hidden, title="secret")
        path = path.format(task.pk if "tasks" in path else hidden.pk)
        answer = api.options(path)
        assert answer.json().keys() == {"name", "parses", "renders"}
        assert b"ecret" not in answer.content

    @pytest.mark.parametrize("path", ["/projects/", "/tasks/", "/tokens/"])
    def test_there_are_no_forms(self, api, hidden, path):
        for accepted in ("text/html", "text/html;q=0.9, application/xhtml+xml"):
            answer = api.get(path, headers={"Accept": accepted})
            assert answer.status_code == 406
            assert b"ecret" not in answer.content
        answer = api.get(f"{path}?format=api", headers={"Accept": "text/html, */*;q=0.1"})
        assert answer.headers["Content-Type"] == "application/json"

    def test_the_document_names_no_rows(self, anonymous, hidden):
        assert "Secret base" not in anonymous.get("/schema/").content.decode()

    def test_a_filter_refuses_what_is_hidden_as_what_is_missing(self, api, hidden):
        there, nowhere = (api.get(f"/tasks/?project={key}").json() for key in (hidden.pk, MISSING))
        assert there == nowhere


class TestFiltersAcrossRelations:
    """A filter or an ordering that follows a relation answers yes or no about rows that the reader does not see.

    encode/django-rest-framework#1985; carltongibson/django-filter#1223.
    """

    @pytest.mark.parametrize(
        "query",
        [
            "project__name__startswith=S",
            "project__memberships__user__password__startswith=a",
            "assignee__password__startswith=m",
            "created_by__email__contains=x",
            "comments__content=secret",
            "pk=1",
        ],
    )
    def test_no_parameter_reaches_through(self, api, project, query):
        task = make_task(project)
        assert ids(api.get(f"/tasks/?{query}")) == [task.pk]

    @pytest.mark.parametrize(
        "name", ["project__name", "assignee__password", "-created_by__email", "comment_count", "?"]
    )
    def test_no_ordering_reaches_through(self, api, project, name):
        assert_refused(api.get("/tasks/", {"ordering": name}), "ordering")

    def test_an_assignee_is_found_where_one_sees_the_task_only(self, api, project, hidden):
        assignee = make_member(hidden).user
        make_task(hidden, assignee=assignee)
        assert ids(api.get("/tasks/", {"assignee": shown(assignee)})) == []


class TestMassAssignment:
    """A body that sets what only the server should.

    OWASP ASVS 15.3.3; OWASP API3:2023.
    """

    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
    def test_read_only_fields_stay_as_they_are(self, api, owner, project, method):
        stranger = make_user()
        task = make_task(project, created_by=owner)
        stamps = dict.fromkeys(("created_at", "updated_at", "completed_at"), "2001-01-01T00:00:00Z")
        body = new_task(project, id=MISSING, created_by=shown(stranger), comment_count=7, **stamps)
        answer = send(api, method, "/tasks/" if method == "POST" else f"/tasks/{task.pk}/", body).json()
        assert (answer["created_by"], answer["comment_count"], answer["completed_at"]) == (shown(owner), 0, None)
        assert answer["id"] != MISSING
        assert "2001" not in answer["created_at"] + answer["updated_at"]

    def test_a_comment_is_by_whoever_writes_it(self, api, owner, project):
        body = {"content": "x", "user": shown(make_user()), "task": make_task().pk}
        task = make_task(project)
        answer = send(api, "POST", f"/tasks/{task.pk}/comments/", body).json()
        assert (answer["user"], answer["task"]) == (shown(owner), task.pk)

    def test_a_token_has_a_secret_of_our_making(self, api, owner):
        body = {"name": "n", "secret": "pm_mine", "beginning": "pm_mine", "last_used_at": "2001-01-01T00:00:00Z"}
        answer = send(api, "POST", "/tokens/", body).json()
        assert "pm_mine" not in (answer["secret"], answer["beginning"])
        assert answer["last_used_at"] is None
        assert_refused(send(api, "POST", "/tokens/", {"name": "n", "user": shown(make_user())}), "user")

    @pytest.mark.parametrize("field", ["is_superuser", "memberships", "owner", "project_id", "assignee_id", "_state"])
    def test_unknown_fields_are_named(self, api, project, field):
        for method, path, body in [
            ("PATCH", f"/projects/{project.pk}/", {}),
            ("PATCH", f"/tasks/{make_task(project).pk}/", {}),
            ("POST", "/tasks/", new_task(project)),
        ]:
            assert_refused(refused_without_a_trace(api, method, path, {**body, field: 1}), field)


class TestSizesAreBounded:
    """A page, a count or a body as large as the client likes.

    OWASP API4:2023; `max_page_size` and `max_limit` of DRF are None unless somebody sets them.
    """

    def test_a_page(self, api, project):
        Task.objects.bulk_create(Task(project=project, title="t") for _ in range(205))
        for path in ("/tasks/", f"/projects/{project.pk}/events/"):
            for size in ("201", "100000", "9" * 40):
                assert len(api.get(path, {"page_size": size}).json()["results"]) == 200
            assert len(api.get(path).json()["results"]) == 50

    def test_rows_are_counted_only_when_asked_for(self, api, project):
        def counted(path):
            with CaptureQueriesContext(connection) as asked:
                assert api.get(path).status_code == 200
            return [query["sql"] for query in asked if query["sql"].startswith("SELECT COUNT(*)")]

        assert counted("/tasks/") == []
        assert len(counted("/tasks/?count=true")) == 1

    def test_a_body(self, api, settings):
        settings.DJANGO_PM = {**settings.DJANGO_PM, "MAX_BODY_BYTES": 1000}
        assert refused_without_a_trace(api, "POST", "/projects/", {"name": "n" * 1000}).status_code == 413
        nested = b'{"name": "n", "metadata": ' + b'{"a":' * 100 + b"1" + b"}" * 101
        assert refused_without_a_trace(api, "POST", "/projects/", nested).status_code == 400


class TestTheKeyOfAThrottle:
    """A limit by address that a client escapes by writing another address into X-Forwarded-For.

    encode/django-rest-framework#8574; WordPress/openverse#3344; OWASP ASVS 4.1.3.
    """

    @pytest.fixture(autouse=True)
    def few_requests(self, settings):
        settings.DJANGO_PM = {"THROTTLE_ANONYMOUS": "3/d", "THROTTLE_USER": "3/d"}
        cache.clear()
        yield
        cache.clear()

    def statuses(self, client):
        return [client.get("/projects/", HTTP_X_FORWARDED_FOR=f"10.0.0.{n}").status_code for n in range(4)]

    def test_without_an_account(self, anonymous):
        assert self.statuses(anonymous) == [403, 403, 403, 429]

    def test_with_one_it_is_the_account_that_counts(self, signed_in, api, owner):
        assert self.statuses(api) == [200, 200, 200, 429]
        assert signed_in(owner).get("/projects/", REMOTE_ADDR="10.1.1.1").status_code == 429
        assert bearer(make_token(owner)).get("/projects/").status_code == 429, "nor is a token another account"
        assert signed_in(make_user()).get("/projects/").status_code == 200

    def test_bad_credentials_are_counted_too(self, anonymous):
        """Whoever guesses tokens is limited like everybody else who has not signed in."""
        anonymous.credentials(HTTP_AUTHORIZATION="Bearer pm_guess")
        assert self.statuses(anonymous) == [401, 401, 401, 429]
