"""Idempotency-Key: a POST that is sent again makes nothing twice, whatever happened to the first answer."""

import datetime as dt
import threading

import pytest
import time_machine
from django.core.management import call_command
from django.db import connection, transaction
from django.test import override_settings
from django.utils import timezone

from django_pm.api import idempotency
from django_pm.models import Comment, Event, IdempotencyKey, Membership, Project, Task
from tests.api.support import assert_refused, at_once, everything_stored, new_task, send, shown
from tests.factories import make_member, make_project, make_task, make_user


def post(client, path, body, key="k1"):
    return send(client, "POST", path, body, HTTP_IDEMPOTENCY_KEY=key)


@pytest.fixture
def posts(project):
    """Of each kind a path, two bodies for it, and the model that they make a row of."""
    task = make_task(project)
    people = make_user(), make_user()
    return {
        "project": ("/projects/", {"name": "A"}, {"name": "B"}, Project),
        "task": ("/tasks/", new_task(project), new_task(project, title="Fill"), Task),
        "comment": (f"/tasks/{task.pk}/comments/", {"content": "A"}, {"content": "B"}, Comment),
        "member": (
            f"/projects/{project.pk}/members/",
            *({"user": shown(person), "role": "viewer"} for person in people),
            Membership,
        ),
    }


EVERY_KIND = pytest.mark.parametrize("kind", ["project", "task", "comment", "member"])


@pytest.mark.django_db
class TestRepeating:
    @EVERY_KIND
    def test_a_repeat_makes_nothing_and_is_answered_alike(self, api, posts, kind):
        path, body, _other, model = posts[kind]
        first = post(api, path, body)
        rows, events = model.objects.count(), Event.objects.count()
        again = post(api, path, body)
        assert (first.status_code, again.status_code) == (201, 201)
        assert again.json() == first.json()
        assert again["ETag"] == first["ETag"]
        assert "Idempotent-Replayed" not in first
        assert again["Idempotent-Replayed"] == "true"
        assert (model.objects.count(), Event.objects.count()) == (rows, events)

    @EVERY_KIND
    def test_another_body_is_refused(self, api, posts, kind):
        path, body, other, _model = posts[kind]
        post(api, path, body)
        before = everything_stored()
        answer = post(api, path, other)
        assert_refused_with_detail(answer, 422)
        assert everything_stored() == before

    def test_the_same_body_written_differently_is_the_same(self, api, project):
        body = b'{"project": %d, "title": "Dig", "due_date": "2030-05-01T12:00:00Z"}' % project.pk
        same = b'{"due_date":"2030-05-01T12:00:00Z",\n"title":"\\u0044ig","project":%d}' % project.pk
        first = post(api, "/tasks/", body)
        assert post(api, "/tasks/", same).json() == first.json()

    def test_a_repeat_shows_the_object_as_it_is_now(self, api, project):
        key = post(api, "/tasks/", new_task(project)).json()["id"]
        send(api, "PATCH", f"/tasks/{key}/", {"title": "Fill"})
        assert post(api, "/tasks/", new_task(project)).json()["title"] == "Fill"

    def test_without_a_key_each_request_makes_one(self, api, project):
        for _ in range(2):
            assert send(api, "POST", "/tasks/", new_task(project)).status_code == 201
        assert Task.objects.count() == 2
        assert not IdempotencyKey.objects.exists()

    def test_a_key_is_of_one_user_and_one_path(self, api, signed_in, project):
        other = signed_in(make_member(project).user)
        tasks = [make_task(project), make_task(project)]
        made = {post(client, "/tasks/", new_task(project)).json()["id"] for client in (api, other)}
        assert len(made) == 2
        for task in tasks:
            assert post(api, f"/tasks/{task.pk}/comments/", {"content": "A"}).status_code == 201
        assert Comment.objects.count() == 2

    @pytest.mark.parametrize("key", ["", "a" * 256, "naïve", "tab\there", "x\x7f"])
    def test_what_is_no_key_is_refused(self, api, project, key):
        answer = post(api, "/tasks/", new_task(project), key=key)
        assert_refused(answer, "Idempotency-Key")
        assert not Task.objects.exists()

    @pytest.mark.parametrize("key", ["a", "a" * 255, '"8e03978e-40d5"', "with blank ~!"])
    def test_what_is_one(self, api, project, key):
        assert post(api, "/tasks/", new_task(project), key=key).status_code == 201
        assert post(api, "/tasks/", new_task(project), key=key)["Idempotent-Replayed"] == "true"

    def test_nothing_of_it_is_kept_in_the_clear(self, api, project):
        post(api, "/tasks/", new_task(project, title="Sesame"), key="open-sesame")
        kept = " ".join(map(str, IdempotencyKey.objects.values_list("digest", "body").get()))
        assert "sesame" not in kept.lower()


def assert_refused_with_detail(answer, status):
    assert (answer.status_code, set(answer.json())) == (status, {"detail"})


@pytest.mark.django_db
class TestAfterARefusal:
    """A request that made nothing leaves its key free."""

    def test_a_bad_body_may_be_mended(self, api, project):
        assert post(api, "/tasks/", new_task(project, title="")).status_code == 400
        assert not IdempotencyKey.objects.exists()
        assert post(api, "/tasks/", new_task(project)).status_code == 201

    def test_a_permission_may_be_given(self, signed_in, project):
        member = make_member(project, role="viewer")
        client = signed_in(member.user)
        assert post(client, "/tasks/", new_task(project)).status_code == 403
        member.role = "member"
        member.save()
        assert post(client, "/tasks/", new_task(project)).status_code == 201

    def test_what_is_no_json_takes_no_key(self, api):
        assert post(api, "/tasks/", b"{").status_code == 400
        assert not IdempotencyKey.objects.exists()


@pytest.mark.django_db
class TestLostAccess:
    def test_a_repeat_shows_nothing_to_whom_the_project_is_hidden_now(self, signed_in, project):
        member = make_member(project)
        client = signed_in(member.user)
        task = make_task(project)
        paths = {"/tasks/": new_task(project, title="secret"), f"/tasks/{task.pk}/comments/": {"content": "secret"}}
        for path, body in paths.items():
            assert post(client, path, body).status_code == 201
        member.delete()
        for path, body in paths.items():
            answer = post(client, path, body)
            assert_refused_with_detail(answer, 404)
            assert b"secret" not in answer.content
            assert "ETag" not in answer

    def test_who_may_only_read_now_still_learns_what_became_of_it(self, signed_in, project):
        member = make_member(project)
        client = signed_in(member.user)
        first = post(client, "/tasks/", new_task(project))
        member.role = "viewer"
        member.save()
        assert post(client, "/tasks/", new_task(project)).json() == first.json()

    def test_what_was_deleted_is_not_made_again(self, api, project):
        key = post(api, "/tasks/", new_task(project)).json()["id"]
        Task.objects.get(pk=key).delete()
        assert_refused_with_detail(post(api, "/tasks/", new_task(project)), 404)
        assert not Task.objects.exists()

    def test_nobody_signed_in(self, anonymous, project):
        assert post(anonymous, "/tasks/", new_task(project)).status_code in {401, 403}
        assert not IdempotencyKey.objects.exists()


@pytest.mark.django_db
class TestExpiry:
    def test_a_key_is_kept_for_a_day(self, api, project):
        start = timezone.now()
        with time_machine.travel(start, tick=False) as clock:
            first = post(api, "/tasks/", new_task(project)).json()["id"]
            clock.shift(dt.timedelta(hours=24))
            assert post(api, "/tasks/", new_task(project)).json()["id"] == first
            clock.shift(dt.timedelta(seconds=1))
            second = post(api, "/tasks/", new_task(project, title="Fill"))
            assert second.status_code == 201
            assert second.json()["id"] != first
            assert post(api, "/tasks/", new_task(project, title="Fill")).json() == second.json()

    def test_expired_keys_are_pruned(self, api, project, capsys):
        with time_machine.travel(timezone.now() - dt.timedelta(hours=25)):
            old = post(api, "/tasks/", new_task(project), key="old").json()["id"]
        post(api, "/tasks/", new_task(project), key="new")
        call_command("pm_prune")
        assert "pruned 1 idempotency keys" in capsys.readouterr().out
        assert IdempotencyKey.objects.count() == 1
        assert Task.objects.filter(pk=old).exists()


MANY = 32


@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    @pytest.mark.postgres
    @EVERY_KIND
    def test_many_with_one_key_make_one(self, signed_in, owner, posts, kind):
        path, body, _other, model = posts[kind]
        before = model.objects.count()
        clients = [signed_in(owner) for _ in range(MANY)]
        answers = at_once(*(lambda c=client: post(c, path, body) for client in clients))
        assert [answer.status_code for answer in answers] == [201] * MANY
        assert len({answer.content for answer in answers}) == 1
        assert sum("Idempotent-Replayed" not in answer for answer in answers) == 1
        assert model.objects.count() == before + 1

    @pytest.mark.postgres
    def test_many_that_find_the_key_expired_make_one(self, signed_in, owner, project):
        client = signed_in(owner)
        with time_machine.travel(timezone.now() - dt.timedelta(days=2)):
            post(client, "/tasks/", new_task(project))
        clients = [signed_in(owner) for _ in range(8)]
        answers = at_once(*(lambda c=client: post(c, "/tasks/", new_task(project)) for client in clients))
        assert [answer.status_code for answer in answers] == [201] * 8
        assert Task.objects.count() == 2

    @pytest.mark.postgres
    def test_those_that_differ_are_told_so(self, signed_in, owner, project):
        clients = [signed_in(owner) for _ in range(8)]
        answers = at_once(
            *(
                lambda c=client, n=number: post(c, "/tasks/", new_task(project, title=f"{n % 2}"))
                for number, client in enumerate(clients)
            )
        )
        assert sorted(answer.status_code for answer in answers) == [201] * 4 + [422] * 4
        assert Task.objects.count() == 1

    @pytest.mark.postgres
    @pytest.mark.parametrize("commits", [True, False])
    def test_a_repeat_waits_for_the_first_and_no_longer_than_it_should(
        self, signed_in, owner, project, monkeypatch, commits
    ):
        """The first is held up between its key and its commit, as by a slow handler of the host."""
        monkeypatch.setattr(idempotency, "WAIT_SECONDS", 1)
        holding, release = threading.Event(), threading.Event()
        complete = idempotency.complete

        def slowly(record, obj):
            complete(record, obj)
            if not holding.is_set():
                holding.set()
                assert release.wait(30)
                if not commits:
                    raise RuntimeError("the first one fails after all")

        monkeypatch.setattr(idempotency, "complete", slowly)
        first, second, third = (signed_in(owner) for _ in range(3))
        answers = {}

        def run(name, client):
            try:
                answers[name] = post(client, "/tasks/", new_task(project))
            finally:
                connection.close()

        threads = [threading.Thread(target=run, args=("first", first))]
        threads[0].start()
        assert holding.wait(30)
        run("impatient", second)
        assert_refused_with_detail(answers["impatient"], 409)
        monkeypatch.setattr(idempotency, "WAIT_SECONDS", 30)
        threads.append(threading.Thread(target=run, args=("patient", third)))
        threads[1].start()
        release.set()
        for thread in threads:
            thread.join(30)
        assert answers["first"].status_code == (201 if commits else 500)
        assert answers["patient"].status_code == 201
        assert ("Idempotent-Replayed" in answers["patient"]) is commits
        assert Task.objects.count() == 1

    @pytest.mark.postgres
    def test_the_limit_of_the_wait_is_not_left_behind(self, api, project):
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL lock_timeout = '7s'")
            post(api, "/tasks/", new_task(project))
            with connection.cursor() as cursor:
                cursor.execute("SHOW lock_timeout")
                assert cursor.fetchone() == ("7s",)

    def test_under_atomic_requests_of_the_host(self, api, project):
        """The view opens its own transaction, so the answer is sent when key and object are committed."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
            first = post(api, "/tasks/", new_task(project))
            assert post(api, "/tasks/", new_task(project, title="")).status_code == 422
            assert post(api, "/tasks/", new_task(project)).json() == first.json()
        assert Task.objects.count() == IdempotencyKey.objects.count() == 1


@pytest.mark.django_db
@override_settings(DJANGO_PM={"THROTTLE_USER": "", "POLICY": "django_pm.access.OpenPolicy"})
def test_another_policy_decides_what_a_repeat_may_see(signed_in):
    client = signed_in(make_user())
    project = make_project()
    first = post(client, "/tasks/", new_task(project))
    assert post(client, "/tasks/", new_task(project)).json() == first.json()
    with override_settings(DJANGO_PM={"THROTTLE_USER": ""}):
        assert post(client, "/tasks/", new_task(project)).status_code == 404
