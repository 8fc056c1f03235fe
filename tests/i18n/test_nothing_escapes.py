"""In a made-up language nothing is left that is not translated: no page, no mail, no error says a word of its own.

What people write is Greek here; what is told apart from that, and stands outside the brackets, has escaped.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.apps import apps
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.db import InterfaceError
from django.template.base import Lexer, TokenType
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise

import django_pm
from django_pm import access, event_types
from django_pm.context import acting
from django_pm.events.relay import relay_events
from django_pm.mail.sending import send_queue
from django_pm.models import (
    ApiToken,
    Cursor,
    IdempotencyKey,
    Mail,
    MailKind,
    Membership,
    Notification,
    NotificationPreferences,
    ParkedEvent,
    Project,
    ProjectChannels,
    Reason,
    Subscriber,
    Task,
    Ticket,
    Watch,
)
from django_pm.services import reminders, reports
from django_pm.services.escalating import escalate
from django_pm.services.notifications import digests
from django_pm.services.unsubscribing import TOPICS, unsubscribe_url
from scripts import messages
from tests.api.support import as_token, new_task, send
from tests.api.support import shown as shown_key
from tests.api.test_bad_input import FIELDS, Target
from tests.factories import make_comment, make_member, make_project, make_rule, make_task, make_token
from tests.i18n.conftest import CLOSE, OPEN, in_json, shown, untranslated

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("between_brackets")]

EXAMPLE = messages.ROOT / "example_project"
TEMPLATES = sorted(
    path for folder in (Path(django_pm.__file__).parent, EXAMPLE) for path in folder.glob("templates/**/*.*")
)
AS_IT_IS = ["django-pm", "Northwind &amp; Daughters", "Northwind & Daughters", "/docs/", "/projects/", "/live/"]
AS_IT_IS += ["/tasks/?overdue=true", "/mailbox/", "/admin/"]
"""Names and paths in templates."""

SITE = "https://pm.example.com"
NOT_OURS = ["Search", "UTC", "Testsite", "Members"]
"""The text of a picture in Django's own admin, a time zone, and what the host calls its users."""

RAW = [*Reason.values, *event_types.EVENT_TYPES]
"""What the contract keeps as it is, whatever the language: choices, and types of events."""


def person(number: int, **fields: Any) -> Any:
    """Somebody without a word in their names."""
    user_model = get_user_model()
    login = f"{number}@1.23" if user_model.USERNAME_FIELD == "email" else f"{number}"
    return user_model.objects.create(
        **{user_model.USERNAME_FIELD: login, user_model.get_email_field_name(): f"{number}@[127.0.0.1]", **fields}
    )


@pytest.fixture
def owner() -> Any:
    return person(1)


@pytest.fixture
def project(owner: Any) -> Project:
    return make_project(owner, name="Έργο", description="Περιγραφή")


def test_the_test_sees_what_escapes() -> None:
    assert untranslated(f"{OPEN}Due {OPEN}High{CLOSE}{CLOSE} Έργο 12") == []
    assert untranslated(f"{OPEN}Due{CLOSE} soon, task.created", "task.created") == ["soon"]
    page = f'<b>{OPEN}A{CLOSE}</b><script>no</script><a title="one">{OPEN}B{CLOSE}</a><input type="submit" value="two">'
    assert untranslated(shown(page)) == ["one", "two"]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: "/".join(path.parts[-2:]))
def test_templates_say_nothing_of_their_own(path: Path) -> None:
    """Also where it is seldom shown: what stands in a template is a tag's, or no word."""
    left, inside = [], False
    text = re.sub(r"{% block bodyclass %}.*?{% endblock %}", "", path.read_text(encoding="utf-8"))  # no text
    for token in Lexer(text).tokenize():
        if token.token_type == TokenType.BLOCK and token.contents == "endblocktranslate":
            inside = False
        elif token.token_type == TokenType.BLOCK and token.contents.startswith("blocktranslate"):
            inside = True
        if token.token_type == TokenType.TEXT and not inside:
            left.append(token.contents)
    text = "".join(left)
    assert untranslated(text if path.suffix == ".txt" else shown(text), *AS_IT_IS) == []


def test_every_column_has_a_name() -> None:
    """One that Django makes of the name in the code would be English."""
    for model in apps.get_app_config("django_pm").get_models():
        names = {"": model._meta.verbose_name, "s": model._meta.verbose_name_plural}
        names |= {field.name: field.verbose_name for field in model._meta.concrete_fields if not field.auto_created}
        for place, name in names.items():
            assert isinstance(name, Promise), f"{model.__name__}.{place}"


class TestErrors:
    """Of the API."""

    def refused(self, answer: Any, status: int, *data: str) -> None:
        assert answer.status_code == status, answer.content
        texts = list(in_json(answer.json()))
        assert texts
        for text in texts:
            assert untranslated(text, *data) == [], text

    @pytest.mark.parametrize(("kind", "field"), [(kind, field) for kind, fields in FIELDS.items() for field in fields])
    def test_of_each_field(self, api: Any, project: Project, kind: str, field: str) -> None:
        target = Target(kind, project)
        for value in FIELDS[kind][field].values():
            self.refused(send(api, "POST", target.collection, {**target.body, field: value}), 400)
        self.refused(send(api, "POST", target.collection, {}), 400)

    @pytest.mark.parametrize(
        "query",
        [
            *("project=x", "project=0", "status=x", "priority=x", "assignee=x", "due_before=x", "due_after=x"),
            *("overdue=x", "count=x", "ordering=x", "cursor=x", "page_size=x", "page_size=0", f"search={'x' * 1000}"),
        ],
    )
    def test_of_each_parameter_of_a_list(self, api: Any, query: str) -> None:
        self.refused(api.get(f"/tasks/?{query}"), 400, "created_at", "updated_at", "due_date", "priority", "title")

    @pytest.mark.parametrize("query", ["since=x", "object=x", "page_size=0"])
    def test_of_each_parameter_of_the_feed(self, api: Any, project: Project, query: str) -> None:
        self.refused(api.get(f"/projects/{project.pk}/events/?{query}"), 400)

    def test_of_each_status(self, api: Any, anonymous: Any, signed_in: Any, owner: Any, project: Project) -> None:
        viewer = make_member(project, person(2), "viewer")
        comment = make_comment(make_task(project))
        path, task = f"/projects/{project.pk}/", f"/tasks/{comment.task_id}/"
        self.refused(send(api, "POST", "/projects/", b"{"), 400)
        self.refused(send(api, "POST", "/projects/", b'"\\u0000"'), 400)
        self.refused(send(api, "POST", "/projects/", {"name": "Έργο", "metadata": {"0": "\x00"}}), 400)
        self.refused(send(api, "POST", "/projects/", {"name": "Έργο", "colour": 1}), 400)
        self.refused(as_token("pm_0").get("/projects/"), 401)
        self.refused(anonymous.get("/projects/"), 403)
        self.refused(as_token(make_token(owner, scope="read")).delete(path), 403)
        self.refused(send(as_token(make_token(owner)), "POST", "/tokens/", {"name": "0", "scope": "read"}), 403)
        self.refused(api.get("/projects/0/"), 404)
        self.refused(send(api, "PUT", "/projects/", {}), 405)
        self.refused(api.get("/projects/", headers={"Accept": "text/html"}), 406)
        owning = Membership.objects.get(project=project, user=owner)
        self.refused(api.delete(f"{path}members/{owning.pk}/"), 409)
        self.refused(send(api, "POST", f"{path}members/", {"user": shown_key(viewer.user), "role": "member"}), 400)
        epoch = api.get(f"{path}events/").json()["epoch"]
        self.refused(api.get(f"{path}events/?since=999"), 410, "ahead", epoch)
        self.refused(send(api, "PATCH", path, {"name": "Έργο"}, headers={"If-Match": '"0"'}), 412)
        self.refused(send(api, "POST", "/projects/", b"0" * 1_100_000), 413)
        self.refused(send(api, "POST", "/projects/", b"0", content_type="text/plain"), 415)
        for name, status in (("Έργο", 201), ("Έργα", 422)):
            answer = send(api, "POST", "/projects/", {"name": name}, headers={"Idempotency-Key": "0"})
            assert answer.status_code == status
        self.refused(answer, 422)
        self.refused(send(api, "POST", "/projects/", {"name": "Έργο"}, headers={"Idempotency-Key": "é"}), 400)
        looking = signed_in(viewer.user)
        refusals = [
            send(looking, "PATCH", path, {"name": "Έργο"}),
            looking.delete(path),
            send(looking, "POST", "/tasks/", new_task(project)),
            send(looking, "PATCH", task, {"title": "Έργο"}),
            send(looking, "POST", f"{task}comments/", {"content": "Έργο"}),
            looking.delete(f"/comments/{comment.pk}/"),
            send(looking, "PATCH", f"{path}members/{viewer.pk}/", {"role": "owner"}),
            send(looking, "POST", f"{path}reports/", {}),
        ]
        for refusal in refusals:
            self.refused(refusal, 403)

    def test_of_the_rest(self, api: Any, project: Project) -> None:
        path, task = f"/projects/{project.pk}/", make_task(project)
        assigned = {"assigned": ["mail", "digest"]}
        for method, where, body in [
            ("PATCH", "/notification-preferences/", {"language": "xx", "time_zone": "Mars/Base", "digest_hour": 24}),
            ("PATCH", "/notification-preferences/", {"reminders": "x", "reports": None, "channels": []}),
            (
                "PATCH",
                "/notification-preferences/",
                {"channels": {**assigned, "added": 0, "0": [], "commented": ["0"]}},
            ),
            ("PATCH", f"{path}notification-preferences/", {"channels": {"due_soon": ["mail"]}}),
            ("PUT", f"/tasks/{task.pk}/watch/", {"level": "involved"}),
            ("PUT", f"/tasks/{task.pk}/watch/", {"level": "x"}),
            ("POST", f"{path}rules/", {"name": "0", "condition": "overdue", "action": "notify"}),
            ("POST", f"{path}rules/", {"name": "0", "condition": "stuck", "action": "reassign", "role": "member"}),
            ("POST", f"{path}reports/", {"force": "x"}),
            ("POST", "/tokens/", {"name": "", "scope": "x", "projects": [0], "expires_at": "2000-01-01T00:00:00Z"}),
            ("POST", "/tokens/", {"name": "0", "scope": "read", "projects": list(range(2000))}),
            ("POST", "/notifications/read-all/", {"up_to": "x"}),
            ("POST", "/tasks/", new_task(project, assignee=str(uuid.uuid4()))),
        ]:
            self.refused(send(api, method, where, body), 400, *RAW)

    def test_of_too_many_requests(self, api: Any, settings: Any) -> None:
        settings.DJANGO_PM = {"THROTTLE_USER": "1/h"}
        cache.clear()
        api.get("/projects/")
        self.refused(api.get("/projects/"), 429)
        cache.clear()

    def test_of_a_database_that_is_away(self, api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        def away(*args: Any) -> None:
            error = InterfaceError()
            error.__cause__ = Exception()
            error.__cause__.sqlstate = None  # type: ignore[attr-defined]
            raise error

        monkeypatch.setattr(access, "sight_of", away)
        self.refused(api.get("/tasks/1/"), 503)


class TestMail:
    @pytest.fixture(autouse=True)
    def _site(self, settings: Any) -> None:
        by_mail = {reason: ["in_app", "mail"] for reason in Reason.values}
        settings.DJANGO_PM = {"SITE_URL": SITE, "NOTIFICATION_CHANNELS": by_mail}

    @pytest.fixture(autouse=True)
    def _afternoon(self) -> Iterator[None]:
        """No report is mailed in the night."""
        with time_machine.travel(timezone.now().replace(hour=15)):
            yield

    def sent(self, sink: Any, **later: int) -> list[str]:
        """The texts of what leaves by then, all checked."""
        send_queue(now=timezone.now() + dt.timedelta(minutes=2, **later))
        found = []
        for message in sink.messages:
            text, html = (message.get_body((kind,)).get_content() for kind in ("plain", "html"))
            links = [word for word in text.split() if word.startswith(SITE)]
            assert links, "Each has a link that ends it."
            assert untranslated(message["Subject"], "UTC") == []
            assert untranslated(text, "UTC", *links) == []
            assert untranslated(shown(html), "UTC") == []
            found.append(text)
        return found

    def test_reminders(self, sink: Any, owner: Any, project: Project) -> None:
        make_task(project, title="Έργο", assignee=owner, due_date=timezone.now() + dt.timedelta(hours=2))
        assert reminders.queue_due() == 1
        assert len(self.sent(sink)) == 1

    @pytest.mark.parametrize("zone", ["UTC", "Βάση"])
    def test_reports(self, sink: Any, owner: Any, project: Project, zone: str) -> None:
        NotificationPreferences.objects.create(user=owner, reports=True)
        now = timezone.now()
        for priority, hours in (("none", -2), ("urgent", 2)):
            make_task(
                project, title="Έργο", assignee=owner, priority=priority, due_date=now + dt.timedelta(hours=hours)
            )
        make_task(project, title="Έργο")
        make_comment(make_task(project, title="Έργο", status="completed"), owner)
        Project.objects.update(time_zone=zone)
        project.refresh_from_db()
        reports.make_today(actor=None, project=project)
        assert len(self.sent(sink)) == 1

    @pytest.mark.parametrize("by_somebody", [True, False])
    def test_notices(self, sink: Any, owner: Any, project: Project, by_somebody: bool) -> None:
        user, other = person(2), make_member(project, person(3)).user
        relay_events()
        with acting(other if by_somebody else None):
            make_member(project, user)
            task = make_task(project, title="Έργο", assignee=user)
            make_comment(task, other, content="Σχόλιο")
            make_comment(task, other, content="Σχόλιο @2" if user.get_username() == "2" else "Σχόλιο @2@1.23")
            Task.objects.filter(pk=task.pk).update(status="in_progress")
            reports.make_today(actor=other if by_somebody else None, project=project)
        make_rule(project, hours=1, role="owner")
        make_task(project, title="Έργο", due_date=timezone.now() - dt.timedelta(days=2))
        assert escalate() == 1
        relay_events()
        told = set(Notification.objects.filter(mail__isnull=False).values_list("reason", flat=True))
        assert told >= {Reason.ADDED, Reason.ASSIGNED, Reason.COMMENTED, Reason.STATUS_CHANGED, Reason.ESCALATED}
        assert len(self.sent(sink)) >= 3

    def test_digests(self, sink: Any, owner: Any, project: Project, settings: Any) -> None:
        user = person(2)
        make_member(project, user)
        relay_events()
        by_digest = {reason: ["in_app", "digest"] for reason in Reason.values}
        NotificationPreferences.objects.create(user=user, digest_hour=0, overdue_digest=True, channels=by_digest)
        due = timezone.now() - dt.timedelta(hours=1)
        for _number in range(120):  # more than one has room for
            make_task(project, title="Έργο", assignee=user, due_date=due)
        relay_events()
        assert digests.queue_due(now=timezone.now() + dt.timedelta(days=1)) == 2
        assert set(Mail.objects.values_list("kind", flat=True)) == {MailKind.DIGEST, MailKind.OVERDUE}
        assert len(self.sent(sink, days=1)) == 2


class TestPages:
    @pytest.mark.parametrize("topic", TOPICS)
    def test_those_that_end_mail(self, client: Any, settings: Any, owner: Any, topic: str) -> None:
        settings.DJANGO_PM = {"SITE_URL": SITE}
        path = unsubscribe_url(owner, topic).removeprefix(SITE)
        for answer in (client.get(path), client.post(path), client.get(f"{path[:-2]}/")):
            assert untranslated(shown(answer.content.decode())) == []

    def test_the_one_of_the_api(self, client: Any) -> None:
        """Its content is Swagger UI's, which has no other language than English, like the document that it shows."""
        page = client.get("/docs/").content.decode()
        assert untranslated(shown(page), "django-pm", "/schema/", "dev") == []
        document = client.get("/schema/").content.decode()
        assert "“" in document


class TestAdmin:
    @pytest.fixture
    def boss(self, client: Any) -> Any:
        client.force_login(person(9, is_superuser=True, is_staff=True))
        return client

    @pytest.fixture
    def one_of_each(self, owner: Any, project: Project) -> None:
        """Of each table that the admin shows."""
        relay_events()
        task = make_task(project, title="Έργο", due_date=timezone.now() - dt.timedelta(days=2), assignee=owner)
        make_comment(task, person(8), content="Σχόλιο")
        make_rule(project, name="Κανόνας")
        make_token(owner, name="Σκοπός")
        assert escalate() == 1
        relay_events()
        reports.make_today(actor=owner, project=project)
        Mail.objects.create(kind=MailKind.REMINDER, object_id="1", occurrence="1", recipient=owner)
        Watch.objects.create(user=person(7), object_type="task", object_id=task.pk, level="watching")
        NotificationPreferences.objects.create(user=owner)
        ProjectChannels.objects.create(user=owner, project_id=project.pk)
        Ticket.objects.create(digest="1", user=owner, expires_at=timezone.now())
        IdempotencyKey.objects.create(digest="1", body="1", created_at=timezone.now())
        subscriber, _new = Subscriber.objects.get_or_create(name="Συνδρομητής")
        Cursor.objects.create(subscriber=subscriber, project_id=project.pk)
        ParkedEvent.objects.create(
            subscriber=subscriber, project_id=project.pk, seq=1, event_uuid=uuid.uuid4(), error="Λάθος"
        )

    MODELS = [model for model in admin.site._registry if model._meta.app_label == "django_pm"]

    @pytest.mark.parametrize("model", MODELS, ids=str)
    def test_the_pages_of(self, boss: Any, one_of_each: None, model: Any) -> None:
        name = f"admin:django_pm_{model._meta.model_name}"
        row = model.objects.first()
        assert row is not None
        pages = [boss.get(reverse(f"{name}_changelist")), boss.get(reverse(f"{name}_change", args=[row.pk]))]
        pages += [boss.get(reverse(f"{name}_{view}", args=[row.pk])) for view in ("history", "delete")]
        pages.append(boss.get(reverse(f"{name}_add")))
        shown_pages = [page for page in pages if page.status_code != 403]
        assert len(shown_pages) >= 2
        for page in shown_pages:
            assert page.status_code == 200
            assert untranslated(shown(page.content.decode()), *self.data(row)) == []

    def data(self, row: Any) -> list[str]:
        """What a row holds, and the names of messages."""
        values = [str(value) for value in vars(row).values()]
        values += [text for texts in Mail.objects.values_list("object_id", "occurrence") for text in texts]
        return [*NOT_OURS, *RAW, *values]

    def test_the_app(self, boss: Any) -> None:
        assert untranslated(shown(boss.get("/admin/django_pm/").content.decode())) == []

    def test_what_its_forms_say(self, boss: Any, owner: Any, project: Project) -> None:
        for model, body in {
            "project": {"time_zone": "Mars/Base"},
            "task": {"priority": "x", "status": "x", "due_date_0": "x"},
            "notificationpreferences": {"user": owner.pk, "channels": json.dumps({"assigned": ["mail", "digest"]})},
            "projectchannels": {"user": owner.pk, "project_id": project.pk, "channels": "[]"},
            "escalationrule": {"project": project.pk, "name": "0", "condition": "overdue", "action": "notify"},
            "apitoken": {},
        }.items():
            page = boss.post(reverse(f"admin:django_pm_{model}_add"), body)
            assert page.status_code == 200
            sent = ("assigned", "overdue", "notify", "mail", "digest", "null", "Mars/Base")
            assert untranslated(shown(page.content.decode()), *NOT_OURS, *sent) == []

    def test_what_it_says_after(self, boss: Any, owner: Any) -> None:
        mail = Mail.objects.create(kind="reminder", object_id="1", occurrence="1", recipient=owner, state="failed")
        chosen = {"action": "try_again", "_selected_action": [mail.pk]}
        page = boss.post(reverse("admin:django_pm_mail_changelist"), chosen, follow=True)
        assert untranslated(shown(page.content.decode()), *self.data(mail)) == []
        body = {"user": owner.pk, "name": "Σκοπός", "scope": "read", "every_project": "on"}
        page = boss.post(reverse("admin:django_pm_apitoken_add"), body, follow=True)
        assert untranslated(shown(page.content.decode()), *NOT_OURS, *self.data(ApiToken.objects.get())) == []
