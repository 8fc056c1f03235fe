"""API tokens: less than their user may, never more; shown once, kept as a digest, gone at once."""

import datetime as dt

import pytest
import time_machine
from django.contrib.auth.models import Permission
from django.db.models.signals import post_save
from django.test import override_settings
from django.utils import timezone
from rest_framework.test import APIClient

from django_pm.models import ApiToken, Event, Task
from tests.api.support import as_token, assert_refused, ids, new_task, send, shown
from tests.factories import make_member, make_project, make_superuser, make_task, make_token, make_user

pytestmark = pytest.mark.django_db


def create(client, **fields):
    return send(client, "POST", "/tokens/", {"name": "backup", **fields})


class TestMaking:
    def test_the_secret_is_shown_once(self, api):
        made = create(api)
        assert made.status_code == 201
        secret = made.json()["secret"]
        assert secret.startswith("pm_")
        assert len(secret) > 40
        assert secret.startswith(made.json()["beginning"])
        assert len(made.json()["beginning"]) < 12
        for read in (api.get(f"/tokens/{made.json()['id']}/"), api.get("/tokens/")):
            assert secret not in read.content.decode()
        assert as_token(secret).get("/projects/").status_code == 200

    def test_the_secret_is_shown_of_a_limited_one_too(self, api, project):
        secret = create(api, projects=[project.pk]).json()["secret"]
        assert ids(as_token(secret).get("/projects/")) == [project.pk]

    def test_the_secret_is_shown_where_a_site_listens_to_what_is_saved(self, api):
        def listen(**_told):
            pass

        post_save.connect(listen)
        try:
            assert create(api).json()["secret"]
        finally:
            post_save.disconnect(listen)

    def test_its_use_does_not_hold_up_who_revokes_it(self, api):
        made = create(api)
        as_token(made.json()["secret"]).get("/projects/")
        read = api.get(f"/tokens/{made.json()['id']}/")
        assert read.json()["last_used_at"]
        assert read.headers["ETag"] != made.headers["ETag"]
        revoked = api.delete(f"/tokens/{made.json()['id']}/", HTTP_IF_MATCH=made.headers["ETag"])
        assert revoked.status_code == 204

    def test_only_a_digest_is_kept(self, api):
        secret = create(api).json()["secret"]
        kept = " ".join(str(value) for row in ApiToken.objects.values() for value in row.values())
        assert secret not in kept
        assert secret[9:] not in kept

    def test_it_reads_and_never_expires_unless_asked_otherwise(self, api):
        made = create(api).json()
        assert (made["scope"], made["projects"], made["expires_at"]) == ("read", None, None)

    def test_all_that_can_be_said(self, api, project):
        until = "2031-05-01T12:00:00Z"
        made = create(api, scope="write", projects=[project.pk], expires_at=until).json()
        assert (made["scope"], made["projects"], made["expires_at"]) == ("write", [project.pk], until)

    def test_bad_input_is_named_and_makes_nothing(self, api, project):
        hidden = make_project()
        for fields, wrong in [
            ({"name": ""}, "name"),
            ({"name": "x" * 101}, "name"),
            ({"scope": "admin"}, "scope"),
            ({"projects": [hidden.pk]}, "projects"),
            ({"projects": [987_654]}, "projects"),
            ({"projects": project.pk}, "projects"),
            ({"projects": [None]}, "projects"),
            ({"projects": [project.pk] * 201}, "projects"),
            ({"projects": {}}, "projects"),
            ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
            ({"expires_at": "soon"}, "expires_at"),
            ({"user": 1}, "user"),
            ({"digest": "0" * 64}, "digest"),
        ]:
            assert_refused(create(api, **fields), wrong)
        assert not ApiToken.objects.exists()

    def test_no_projects_is_none_at_all_and_not_all(self, api, project):
        secret = create(api, projects=[]).json()["secret"]
        assert ids(as_token(secret).get("/projects/")) == []

    def test_a_repeat_with_a_key_makes_no_second_one_and_tells_no_secret(self, api):
        first, again = (send(api, "POST", "/tokens/", {"name": "b"}, HTTP_IDEMPOTENCY_KEY="k") for _ in range(2))
        assert {**first.json(), "secret": None} == again.json()
        assert ApiToken.objects.count() == 1


class TestManaging:
    def test_one_sees_ones_own(self, api, owner):
        mine, other = make_token(owner), make_token()
        assert ids(api.get("/tokens/")) == [mine.pk]
        for method in ("GET", "DELETE"):
            assert send(api, method, f"/tokens/{other.pk}/").status_code == 404
        assert ApiToken.objects.filter(pk=other.pk).exists()

    def test_a_superuser_too(self, signed_in):
        make_token()
        assert ids(signed_in(make_superuser()).get("/tokens/")) == []

    def test_a_token_manages_no_tokens(self, owner):
        token = make_token(owner)
        client = as_token(token)
        for answer in (
            client.get("/tokens/"),
            create(client, scope="write"),
            client.get(f"/tokens/{token.pk}/"),
            client.delete(f"/tokens/{token.pk}/"),
        ):
            assert answer.status_code == 403
        assert ApiToken.objects.count() == 1

    def test_it_cannot_be_changed(self, api, owner):
        token = make_token(owner, scope="read")
        for method in ("PUT", "PATCH"):
            assert send(api, method, f"/tokens/{token.pk}/", {"scope": "write"}).status_code == 405

    def test_nobody_signed_in(self, anonymous):
        assert create(anonymous).status_code in {401, 403}

    def test_a_limit_to_a_project_that_is_hidden_now_is_not_told(self, signed_in, project):
        member = make_member(project)
        token = make_token(member.user, [project])
        member.delete()
        read = signed_in(member.user).get(f"/tokens/{token.pk}/").json()
        assert read["projects"] == []

    @override_settings(DJANGO_PM={"API_TOKENS": False, "THROTTLE_USER": ""})
    def test_a_site_may_do_without(self, api, owner):
        token = make_token(owner)
        assert as_token(token).get("/projects/").status_code in {401, 403}
        assert api.get("/tokens/").status_code == 404
        assert create(api).status_code == 404


class TestSigningIn:
    def test_it_is_its_user(self, owner, project):
        client = as_token(make_token(owner))
        made = send(client, "POST", "/tasks/", new_task(project))
        assert made.status_code == 201
        assert made.json()["created_by"] == shown(owner)
        assert Event.objects.get(type="task.created").actor_id == str(owner.pk)

    @pytest.mark.parametrize("form", ["bearer {}", "BEARER {}", "Bearer  {}"])
    def test_the_scheme_may_be_written_any_way(self, owner, form):
        client = APIClient(HTTP_AUTHORIZATION=form.format(make_token(owner).secret))
        assert client.get("/projects/").status_code == 200

    @pytest.mark.parametrize("secret", ["pm_", "pm_x", "pm_ü", "pm_" + "a" * 10_000, "pm_a b", "pm_\u0000"])
    def test_a_secret_that_is_none(self, secret):
        answer = as_token(secret).get("/projects/")
        assert answer.status_code == 401
        assert answer["WWW-Authenticate"] == 'Bearer realm="api", error="invalid_token"'

    def test_another_kind_of_bearer_is_left_to_the_host(self, anonymous):
        bare = anonymous.get("/projects/")
        foreign = anonymous.get("/projects/", HTTP_AUTHORIZATION="Bearer eyJhbGciOi")
        assert (foreign.status_code, foreign.content) == (bare.status_code, bare.content)

    def test_it_needs_no_csrf_token(self, owner, project):
        client = APIClient(enforce_csrf_checks=True, HTTP_AUTHORIZATION=f"Bearer {make_token(owner).secret}")
        assert send(client, "POST", "/tasks/", new_task(project)).status_code == 201

    def test_revoked_it_is_gone_at_once(self, api, owner):
        token = make_token(owner)
        client = as_token(token)
        assert client.get("/projects/").status_code == 200
        assert api.delete(f"/tokens/{token.pk}/").status_code == 204
        assert client.get("/projects/").status_code == 401

    def test_it_ends_when_it_expires(self, owner):
        now = timezone.now()
        client = as_token(make_token(owner, expires_at=now + dt.timedelta(hours=1)))
        with time_machine.travel(now, tick=False) as clock:
            clock.shift(dt.timedelta(minutes=59))
            assert client.get("/projects/").status_code == 200
            clock.shift(dt.timedelta(minutes=1))
            assert client.get("/projects/").status_code == 401

    def test_it_ends_with_its_users_account(self, owner):
        client = as_token(make_token(owner))
        owner.is_active = False
        owner.save()
        assert client.get("/projects/").status_code == 401
        owner.delete()
        assert client.get("/projects/").status_code == 401

    def test_its_last_use_is_told_to_the_minute(self, api, owner):
        token = make_token(owner)
        path = f"/tokens/{token.pk}/"
        assert api.get(path).json()["last_used_at"] is None
        start = dt.datetime(2030, 1, 1, 12, tzinfo=dt.UTC)
        with time_machine.travel(start, tick=False) as clock:
            for seconds, told in [(0, "12:00:00"), (59, "12:00:00"), (1, "12:01:00")]:
                clock.shift(seconds)
                as_token(token).get("/projects/")
                assert ApiToken.objects.get().last_used_at.strftime("%H:%M:%S") == told


class TestReading:
    """A token with the scope `read`."""

    def test_it_reads_what_its_user_may(self, owner, project):
        make_project()
        assert ids(as_token(make_token(owner, scope="read")).get("/projects/")) == [project.pk]

    def test_it_writes_nothing(self, owner, project):
        client = as_token(make_token(owner, scope="read"))
        task = make_task(project)
        for method, path, body in [
            ("POST", "/projects/", {"name": "n"}),
            ("POST", "/tasks/", new_task(project)),
            ("POST", f"/tasks/{task.pk}/comments/", {"content": "c"}),
            ("POST", f"/projects/{project.pk}/members/", {"user": shown(make_user()), "role": "viewer"}),
            ("PUT", f"/tasks/{task.pk}/", new_task(project, title="x")),
            ("PATCH", f"/tasks/{task.pk}/", {"title": "x"}),
            ("DELETE", f"/tasks/{task.pk}/", b""),
            ("DELETE", f"/projects/{project.pk}/", b""),
        ]:
            assert send(client, method, path, body).status_code == 403
        assert list(Task.objects.values_list("title", flat=True)) == [task.title]

    def test_what_is_hidden_is_refused_in_the_same_words(self, owner, project):
        client = as_token(make_token(owner, scope="read"))
        answers = [client.delete(f"/tasks/{pk}/") for pk in (make_task(project).pk, make_task().pk, 987_654)]
        assert len({(answer.status_code, answer.content) for answer in answers}) == 1


class TestLimitedToProjects:
    @pytest.fixture
    def other(self, owner):
        return make_task(make_project(owner))

    def test_it_sees_no_other(self, owner, project, other):
        client = as_token(make_token(owner, [project]))
        task = make_task(project)
        assert ids(client.get("/projects/")) == [project.pk]
        assert ids(client.get("/tasks/")) == [task.pk]
        for path in (
            f"/projects/{other.project_id}/",
            f"/projects/{other.project_id}/members/",
            f"/projects/{other.project_id}/events/",
            f"/tasks/{other.pk}/",
            f"/tasks/{other.pk}/comments/",
        ):
            assert client.get(path).status_code == 404
        assert_refused(client.get("/tasks/", {"project": other.project_id}), "project")

    def test_it_writes_in_no_other(self, owner, project, other):
        client = as_token(make_token(owner, [project]))
        task = make_task(project)
        assert_refused(send(client, "POST", "/tasks/", new_task(other.project)), "project")
        assert_refused(send(client, "PATCH", f"/tasks/{task.pk}/", {"project": other.project_id}), "project")
        assert send(client, "PATCH", f"/tasks/{task.pk}/", {"title": "x"}).status_code == 200

    def test_it_makes_no_project(self, owner, project):
        assert send(as_token(make_token(owner, [project])), "POST", "/projects/", {"name": "n"}).status_code == 403

    def test_of_a_superuser_too(self, project, other):
        client = as_token(make_token(make_superuser(), [project]))
        assert ids(client.get("/projects/")) == [project.pk]
        assert client.get(f"/tasks/{other.pk}/").status_code == 404

    def test_it_opens_nothing_that_its_user_may_not_see(self, project):
        member = make_member(project)
        client = as_token(make_token(member.user, [project]))
        assert client.get(f"/projects/{project.pk}/").status_code == 200
        member.delete()
        assert client.get(f"/projects/{project.pk}/").status_code == 404

    def test_it_stays_limited_when_its_project_is_deleted(self, owner, project, other):
        token = make_token(owner, [project])
        project.delete()
        assert ids(as_token(token).get("/projects/")) == []

    @override_settings(DJANGO_PM={"POLICY": "django_pm.access.OpenPolicy", "THROTTLE_USER": ""})
    def test_whatever_the_policy(self, owner, project, other):
        assert ids(as_token(make_token(owner, [project])).get("/projects/")) == [project.pk]


class TestAdmin:
    FORM = {"name": "backup", "scope": "read", "every_project": "on"}

    def add(self, client, **fields):
        return client.post("/admin/django_pm/apitoken/add/", {**self.FORM, **fields}, follow=True)

    def test_it_shows_the_secret_once(self, client):
        user = make_superuser()
        client.force_login(user)
        page = self.add(client, user=user.pk).content.decode()
        token = ApiToken.objects.get()
        secret = page[page.index("pm_") :].split("<")[0].strip()
        assert as_token(secret).get("/projects/").status_code == 200
        assert secret not in client.get("/admin/django_pm/apitoken/").content.decode()
        shown_later = client.get(f"/admin/django_pm/apitoken/{token.pk}/change/")
        assert shown_later.status_code == 200
        assert secret not in shown_later.content.decode()

    def test_it_changes_none(self, client):
        client.force_login(make_superuser())
        token = make_token(scope="read")
        answer = client.post(f"/admin/django_pm/apitoken/{token.pk}/change/", {**self.FORM, "scope": "write"})
        assert answer.status_code == 403
        token.refresh_from_db()
        assert token.scope == "read"

    def test_staff_make_none_for_somebody_else(self, client):
        """A token acts as its user: who could make one for a superuser would be one."""
        staff, boss = make_user(is_staff=True), make_superuser()
        staff.user_permissions.add(*Permission.objects.filter(codename__endswith="_apitoken"))
        client.force_login(staff)
        self.add(client, user=boss.pk)
        assert ApiToken.objects.get().user == staff

    def test_deleting_revokes(self, client):
        client.force_login(make_superuser())
        token = make_token()
        client.post(f"/admin/django_pm/apitoken/{token.pk}/delete/", {"post": "yes"})
        assert as_token(token).get("/projects/").status_code == 401
