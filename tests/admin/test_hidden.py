"""No page of the admin names what its reader does not see: Django's permissions open it, the policy says what it tells.

What is hidden is called “Secret”, so whatever page holds that word has told.
"""

from __future__ import annotations

import datetime as dt
import re
import uuid

import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.urls import reverse
from django.utils import timezone

from django_pm import models
from django_pm.admin import diffs
from django_pm.models import ApiToken, Event, Role, Task
from tests.admin.support import act, fields_of, make_staff, path, problems
from tests.factories import make_comment, make_member, make_project, make_rule, make_task, make_token, make_user

pytestmark = pytest.mark.django_db

MODELS = sorted(apps.get_app_config("django_pm").get_models(), key=lambda model: model._meta.model_name)
VERBS = ("view", "add", "change", "delete")
EVERYTHING = [f"{verb}_{model._meta.model_name}" for model in MODELS for verb in VERBS]
NAMED_BY_KEY = sorted({*EVERYTHING} - {"view_project", "change_project", "view_task", "change_task"})
"""Of whoever may not look at projects and tasks Django asks their keys, and completes no names."""


def sign_in(client, *codenames):
    staff = make_staff("staff", *codenames)
    client.force_login(staff)
    return staff


def page_of(client, url, **query):
    answer = client.get(url, query)
    assert answer.status_code == 200
    return answer.content.decode()


# Forms that are told what to begin with


def test_the_form_of_a_token_names_the_projects_that_are_seen(client):
    staff = sign_in(client, "add_apitoken", "view_project")
    mine, hidden = make_project(name="Well"), make_project(name="Secret")
    make_member(mine, staff, Role.VIEWER)
    page = page_of(client, path("apitoken", "add"), projects=f"{mine.pk},{hidden.pk}")
    assert "Well" in page
    assert "Secret" not in page


@pytest.mark.parametrize("looks", [["view_project"], []], ids=["completed", "by key"])
def test_a_token_is_not_limited_to_what_is_hidden(client, looks):
    """Left out of a choice it would be another token than the one asked for."""
    staff = sign_in(client, "add_apitoken", *looks)
    mine, hidden = make_project(), make_project(name="Secret")
    make_member(mine, staff, Role.VIEWER)
    values = {"name": "script", "scope": "read", "expires_at_0": "", "expires_at_1": ""}

    def post(*keys):
        return client.post(path("apitoken", "add"), {**values, "projects": list(keys) if looks else ",".join(keys)})

    for key in (str(hidden.pk), "99999"):
        answer = post(str(mine.pk), key)
        assert f"Select a valid choice. {key} is not one of the available choices." in problems(answer)
        assert "Secret" not in answer.content.decode()
    assert not ApiToken.objects.exists()
    assert problems(post(str(mine.pk))) == ""
    assert list(ApiToken.objects.get().projects.all()) == [mine]


@pytest.mark.parametrize("key", ["word", "99999999999999999999", "-1"])
def test_what_is_no_key_is_no_error(client, key):
    sign_in(client, *EVERYTHING)
    page_of(client, path("apitoken", "add"), projects=f"{key},7")
    page_of(client, path("task", "add"), project=key)


def test_what_is_no_key_is_named_as_wrong(client):
    sign_in(client, *EVERYTHING)
    answer = client.post(path("apitoken", "add"), {"name": "script", "scope": "read", "projects": ["word"]})
    assert "“word” is not a valid value." in problems(answer)


@pytest.mark.parametrize(
    ("model", "field"),
    [("task", "project"), ("membership", "project"), ("escalationrule", "project"), ("comment", "task")],
)
def test_who_is_asked_for_a_key_is_told_the_name_of_what_they_see(client, model, field):
    staff = sign_in(client, f"add_{model}")
    mine, hidden = make_project(name="Well"), make_project(name="Secret project")
    make_member(mine, staff, Role.VIEWER)
    key_of = {"project": lambda project: project.pk, "task": lambda project: project.tasks.get().pk}[field]
    make_task(mine, title="Well, dig")
    make_task(hidden, title="Secret task")
    assert "Well" in page_of(client, path(model, "add"), **{field: key_of(mine)})
    for key in (key_of(hidden), 99_999, "word", "99999999999999999999"):
        page = page_of(client, path(model, "add"), **{field: key})
        assert "Secret" not in page
        assert re.search(r'class="related-lookup" [^>]*></a></div>', page)  # and no name between
    answer = client.post(path(model, "add"), fields_of(client, path(model, "add"), **{field: key_of(hidden)}))
    assert "Select a valid choice" in problems(answer)
    assert "Secret" not in answer.content.decode()


def test_the_choice_of_an_action_names_no_hidden_project(client):
    """Nor does it where Django's permissions show tasks and not projects."""
    staff = sign_in(client, "view_task", "change_task")
    mine, hidden = make_project(), make_project(name="Secret")
    make_member(mine, staff)
    page = act(client, "move", [make_task(mine)], project=hidden.pk)
    assert page.context["form"].errors
    assert "Secret" not in page.content.decode()


# Pages that cannot be changed


def test_the_page_of_a_token_names_the_projects_that_are_seen(client):
    staff = sign_in(client, "view_apitoken", "change_apitoken", "delete_apitoken")
    mine, hidden = make_project(name="Well"), make_project(name="Secret")
    make_member(mine, staff, Role.VIEWER)
    token = make_token(projects=[mine, hidden])
    page = page_of(client, path("apitoken", "change", token.pk))
    assert "Well" in page
    assert "Secret" not in page
    for name in ("history", "delete"):
        assert "Secret" not in page_of(client, path("apitoken", name, token.pk))


def test_a_token_keeps_what_whoever_looks_at_it_does_not_see(client):
    staff = sign_in(client, *EVERYTHING)
    mine, hidden = make_project(), make_project()
    make_member(mine, staff, Role.OWNER)
    token = make_token(projects=[mine, hidden])
    url = path("apitoken", "change", token.pk)
    page_of(client, url)
    assert client.post(url, {"name": "script", "scope": "read", "projects": [mine.pk]}).status_code == 403
    assert set(token.projects.all()) == {mine, hidden}


def test_the_page_of_a_token_shows_a_superuser_all_of_it(client, boss):
    token = make_token(projects=[make_project(name="Well"), make_project(name="Pump")])
    page = page_of(client, path("apitoken", "change", token.pk))
    assert "Well" in page
    assert "Pump" in page


def test_an_event_names_no_hidden_object_of_any_kind(client):
    """Hosts write events of their own too, and may name any key in them."""
    staff = sign_in(client, "view_event")
    mine = make_project()
    make_member(mine, staff)
    comment = make_comment(make_task(), content="Secret")
    values = {"project_id": mine.pk, "type": "task.updated", "object_type": "task", "object_id": "7", "origin": "host"}
    event = Event.objects.create(changes={"comments": [None, comment.pk]}, **values)
    assert "Secret" not in page_of(client, path("event", "change", event.pk))
    (line,) = diffs.differences(event, comment.task.project.created_by)
    assert "Secret" in line.after


@pytest.mark.parametrize(
    ("model", "lookup"), [("apitoken", "projects__name__startswith"), ("ticket", "token__projects__name__startswith")]
)
def test_no_list_answers_guesses(client, model, lookup):
    sign_in(client, *EVERYTHING)
    make_token(projects=[make_project(name="Secret")])
    assert client.get(path(model), {lookup: "S"}).status_code == 400


# All of them


@pytest.fixture
def hidden():
    """One row of everything there is, in a project that nobody but its owner sees. All its words hold SECRET."""
    owner = make_user()
    project = make_project(owner, name="SECRET project", description="SECRET")
    task = make_task(project, title="SECRET task", description="SECRET", assignee=owner)
    make_comment(task, owner, author="SECRET author", content="SECRET comment")
    rule = make_rule(project, name="SECRET rule")
    now = timezone.now()
    models.Report.objects.create(project=project, date=dt.date(2031, 1, 2), time_zone="UTC", note="SECRET note")
    models.Firing.objects.create(rule=rule, task_id=task.pk, instant=now, action="notify")
    token = make_token(owner, [project])
    models.Ticket.objects.create(digest="1", user=owner, token=token, expires_at=now + dt.timedelta(days=1))
    mail = models.Mail.objects.create(recipient=owner, kind="reminder", object_id=str(task.pk), occurrence="2031")
    models.Notification.objects.create(
        recipient=owner,
        reason="assigned",
        project_id=project.pk,
        task_id=task.pk,
        object_type="task",
        object_id=str(task.pk),
        event_uuid=uuid.uuid4(),
        mail=mail,
    )
    models.Watch.objects.create(user=owner, object_type="task", object_id=task.pk, level="all")
    models.ProjectChannels.objects.create(user=owner, project_id=project.pk, channels={})
    models.NotificationPreferences.objects.create(user=owner)
    models.IdempotencyKey.objects.create(digest="1", body="1", object_id=str(task.pk), created_at=now)
    subscriber = models.Subscriber.objects.create(name="reader")
    models.ProjectStream.objects.create(project_id=project.pk)
    models.Cursor.objects.create(subscriber=subscriber, project_id=project.pk)
    models.ParkedEvent.objects.create(
        subscriber=subscriber, project_id=project.pk, seq=1, event_uuid=uuid.uuid4(), error="SECRET error"
    )
    return project


def relations(model):
    """The columns of a model that point at something."""
    return [field for field in model._meta.get_fields() if field.is_relation and field.concrete]


def addresses(hidden):
    """Every page about every row, every form that is to begin with a hidden row, and every completion of a name."""
    for model in MODELS:
        name = model._meta.model_name
        rows = list(model._default_manager.all())
        assert rows, f"{name}: nothing here that could be named"
        yield path(name)
        yield path(name) + "?q=secret"
        pointed = {field.name: field.related_model._default_manager.earliest("pk").pk for field in relations(model)}
        query = "&".join(f"{field}={pk}" for field, pk in pointed.items())
        yield f"{path(name, 'add')}?{query}"
        for field in pointed:
            yield f"{reverse('admin:autocomplete')}?app_label=django_pm&model_name={name}&field_name={field}&term="
        for row in rows:
            yield from (path(name, page, row.pk) for page in ("change", "history", "delete"))
    person = get_user_model()._meta
    yield reverse(f"admin:{person.app_label}_{person.model_name}_delete", args=[hidden.created_by.pk])
    yield reverse("admin:index")


@pytest.mark.parametrize("codenames", [EVERYTHING, NAMED_BY_KEY], ids=["everything", "by key"])
def test_no_page_names_what_is_hidden(client, hidden, codenames):
    staff = sign_in(client, *codenames)
    mine = make_project(name="Well")
    make_member(mine, staff, Role.OWNER)
    moved = make_task(mine)
    Task.objects.filter(pk=moved.pk).update(project=hidden)
    people = Permission.objects.filter(content_type__app_label=get_user_model()._meta.app_label)
    staff.user_permissions.add(*people)
    opened, told = 0, []
    for url in addresses(hidden):
        answer = client.get(url, follow=True)
        assert answer.status_code in (200, 403, 404), url
        opened += answer.status_code == 200
        told += [url] if "SECRET" in answer.content.decode() else []
    assert opened > 100
    assert told == []


@pytest.mark.parametrize("codenames", [EVERYTHING, NAMED_BY_KEY], ids=["everything", "by key"])
def test_no_action_names_what_is_hidden(client, hidden, codenames):
    sign_in(client, *codenames)
    for model in MODELS:
        keys = list(model._default_manager.values_list("pk", flat=True))
        for action in ("move", "reassign", "complete", "try_again", "delete_selected"):
            data = {"action": action, "_selected_action": keys, "project": hidden.pk}
            for form in ({}, {"post": "yes"}):
                answer = client.post(path(model._meta.model_name), {**data, **form}, follow=True)
                assert "SECRET" not in answer.content.decode(), (model, action)
