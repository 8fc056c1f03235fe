"""Notifications by mail: what leaves, together with what, and what does not leave any more."""

from __future__ import annotations

import datetime as dt
import re

import pytest
import time_machine
from django.utils import timezone

from django_pm.context import acting
from django_pm.events.relay import relay_events
from django_pm.mail.sending import claim, send_queue
from django_pm.models import (
    Comment,
    Event,
    Level,
    Mail,
    MailState,
    Notification,
    NotificationPreferences,
    Role,
    Task,
    Watched,
)
from django_pm.services.notifications import digests, inbox, watching
from django_pm.services.reminders import queue_due
from tests import factories
from tests.api.support import send

pytestmark = pytest.mark.django_db

ALL_BY_MAIL = {
    reason: ["in_app", "mail"]
    for reason in ("mentioned", "assigned", "added", "escalated", "commented", "status_changed")
}


@pytest.fixture(autouse=True)
def site(settings):
    settings.DJANGO_PM = {"SITE_URL": "https://pm.example.com", "NOTIFICATION_CHANNELS": ALL_BY_MAIL}
    settings.DEFAULT_FROM_EMAIL = "projects@example.com"


@pytest.fixture
def ada(people):
    return reachable(people("ada"))


@pytest.fixture
def ben(people, told):
    ben = reachable(people("ben"))
    told()
    Mail.objects.all().delete()
    Notification.objects.all().delete()
    return ben


def reachable(user):
    user.email = f"{user.pk}@example.org"
    user.save()
    return user


def at_length(seconds=61):
    """When the short wait is over."""
    return timezone.now() + dt.timedelta(seconds=seconds)


def leave(sink, **when):
    """What leaves now that the wait is over: a dict of texts by subject."""
    sink.messages.clear()
    send_queue(now=at_length(**when))
    return {message["Subject"]: message.get_body(["plain"]).get_content() for message in sink.messages}


def test_it_waits(sink, ada, ben, project):
    with acting(ada):
        factories.make_task(project, title="Dig", assignee=ben)
    relay_events()
    send_queue()
    assert sink.messages == []
    text = leave(sink)[f"Dig ({project.name})"]
    assert "ada gave this task to you." in text.replace(ada.get_username(), "ada")
    assert sink.to() == [ben.email]
    assert leave(sink) == {}


def test_those_of_one_task_leave_together(sink, ada, ben, project):
    with acting(ada):
        task = factories.make_task(project, title="Dig", assignee=ben)
        factories.make_task(project, title="Fill", assignee=ben)
        factories.make_comment(task, ada, content="Deep & wide.")
        task.status = "in_progress"
        task.save()
    relay_events()
    letters = leave(sink)
    assert len(letters) == 2
    dig = letters[f"Dig ({project.name})"]
    assert [
        word for word in ("gave", "commented", "Deep & wide.", "from “Pending” to “In progress”") if word in dig
    ] == [
        "gave",
        "commented",
        "Deep & wide.",
        "from “Pending” to “In progress”",
    ]
    [message] = [message for message in sink.messages if message["Subject"].startswith("Dig")]
    assert "Deep &amp; wide." in message.get_body(["html"]).get_content()


def test_they_are_threaded_by_task(sink, ada, ben, project):
    with acting(ada):
        task = factories.make_task(project, assignee=ben)
    relay_events()
    leave(sink)
    [first] = sink.messages
    with acting(ada):
        factories.make_comment(task, ada)
    relay_events()
    leave(sink)
    [second] = sink.messages
    assert first["References"] == second["References"] == f"<task-{task.pk}@example.com>"
    assert first["Message-ID"] != second["Message-ID"]
    assert first["Subject"] == second["Subject"]


def test_there_and_back_is_nothing(sink, ada, ben, project):
    task = factories.make_task(project, assignee=ben)
    relay_events()
    leave(sink)
    with acting(ada):
        for status in ("in_progress", "completed", "pending"):
            task.status = status
            task.save()
    relay_events()
    assert leave(sink) == {}
    assert Mail.objects.latest("pk").reason == "It was taken back before it could leave."


def test_what_is_left_of_there_and_back_leaves(sink, ada, ben, project):
    task = factories.make_task(project, assignee=ben)
    relay_events()
    leave(sink)
    with acting(ada):
        Task.objects.filter(pk=task.pk).update(status="completed")
        Task.objects.filter(pk=task.pk).update(status="pending")
        factories.make_comment(task, ada, content="A slip.")
    relay_events()
    [text] = leave(sink).values()
    assert "A slip." in text
    assert "status" not in text


def test_given_and_taken_away_is_nothing(sink, ada, ben, project):
    with acting(ada):
        task = factories.make_task(project, assignee=ben)
        task.assignee = None
        task.save()
    relay_events()
    assert leave(sink) == {}


def reads(ben, task):
    inbox.mark_read(inbox.of(ben))


def loses_access(ben, task):
    task.project.memberships.filter(user=ben).delete()


def comment_goes(ben, task):
    Comment.objects.all().delete()


def task_goes(ben, task):
    task.delete()


def task_moves_out_of_sight(ben, task):
    task.project = factories.make_project()
    task.save()


def prefers_none(ben, task):
    NotificationPreferences.objects.create(user=ben, channels={"commented": ["in_app"]})


def is_deactivated(ben, task):
    ben.is_active = False
    ben.save()


@pytest.mark.parametrize(
    ("meanwhile", "reason"),
    [
        (reads, "It was read before it could leave."),
        (loses_access, "It is not seen any more, or gone."),
        (comment_goes, "It is not seen any more, or gone."),
        (task_goes, "It is not seen any more, or gone."),
        (task_moves_out_of_sight, "It is not seen any more, or gone."),
        (prefers_none, "The recipient does not want it by mail any more."),
        (is_deactivated, "It is not seen any more, or gone."),
    ],
)
def test_what_happened_meanwhile_is_asked_just_before(sink, ada, ben, project, meanwhile, reason):
    task = factories.make_task(project)
    watching.say(user=ben, kind=Watched.TASK, key=task.pk, level=Level.WATCHING)
    with acting(ada):
        factories.make_comment(task, ada)
    relay_events()
    Mail.objects.exclude(recipient=ben).delete()
    meanwhile(ben, task)
    assert leave(sink) == {}
    assert [(mail.state, mail.reason) for mail in Mail.objects.all()] == [(MailState.SKIPPED, reason)]


def test_one_that_is_being_sent_carries_no_more(sink, ada, ben, project):
    with acting(ada):
        task = factories.make_task(project, assignee=ben)
    relay_events()
    [claimed] = claim(at_length())
    with acting(ada):
        factories.make_comment(task, ada)
    relay_events()
    carried = dict(Notification.objects.values_list("reason", "mail"))
    assert carried["assigned"] == claimed.pk != carried["commented"]
    assert Mail.objects.count() == 2


def test_no_mail_for_who_wants_none(sink, ada, ben, project):
    NotificationPreferences.objects.create(user=ben, channels={"assigned": []})
    with acting(ada):
        factories.make_task(project, assignee=ben)
    relay_events()
    assert not Notification.objects.filter(recipient=ben).exists()
    assert not Mail.objects.exists()


def test_mail_without_a_place_in_the_inbox(sink, ada, ben, project, signed_in):
    NotificationPreferences.objects.create(user=ben, channels={"assigned": ["mail"]})
    with acting(ada):
        factories.make_task(project, assignee=ben)
    relay_events()
    assert signed_in(ben).get("/notifications/").json()["results"] == []
    assert len(leave(sink)) == 1


def test_one_project_may_differ(sink, ada, ben, project, signed_in):
    elsewhere = factories.make_project(ada, {ben: Role.MEMBER}, name="Quiet")
    relay_events()
    leave(sink)
    send(
        signed_in(ben),
        "PATCH",
        f"/projects/{elsewhere.pk}/notification-preferences/",
        {"channels": {"assigned": ["in_app"]}},
    )
    with acting(ada):
        factories.make_task(elsewhere, title="Quiet", assignee=ben)
        factories.make_task(project, title="Loud", assignee=ben)
    relay_events()
    assert list(leave(sink)) == [f"Loud ({project.name})"]


def test_the_link_ends_mail_for_its_reason_everywhere(sink, ada, ben, project, signed_in, anonymous):
    send(
        signed_in(ben),
        "PATCH",
        f"/projects/{project.pk}/notification-preferences/",
        {"channels": {"assigned": ["in_app", "mail"], "commented": ["mail"]}},
    )
    with acting(ada):
        task = factories.make_task(project, assignee=ben)
    relay_events()
    leave(sink)
    [message] = sink.messages
    link = re.fullmatch(r"<https://pm\.example\.com(.+)>", message["List-Unsubscribe"]).group(1)
    assert "Assigned" in anonymous.get(link).content.decode()
    assert anonymous.post(link, {"List-Unsubscribe": "One-Click"}).status_code == 200
    with acting(ada):
        factories.make_task(project, title="Fill", assignee=ben)
        factories.make_comment(task, ada, content="Still here.")
    relay_events()
    [text] = leave(sink).values()
    assert "Still here." in text
    assert Notification.objects.filter(recipient=ben, reason="assigned", in_app=True).count() == 2


def test_due_soon_is_in_the_inbox_once_and_mailed_as_a_reminder(sink, ada, ben, project):
    task = factories.make_task(project, assignee=ben, due_date=timezone.now() + dt.timedelta(hours=2))
    NotificationPreferences.objects.create(user=ben, channels={"assigned": []})
    relay_events()
    for _again in range(2):
        queue_due()
    rows = Notification.objects.filter(recipient=ben)
    assert [(row.reason, row.task_id, row.by_mail, row.actor_id) for row in rows] == [("due_soon", task.pk, "", None)]
    assert [mail.kind for mail in Mail.objects.all()] == ["reminder"]
    task.due_date += dt.timedelta(hours=1)
    task.save()
    queue_due()
    assert rows.all().count() == 2


def test_whoever_wants_no_reminders_may_still_see_it_in_the_inbox(sink, ada, ben, project):
    NotificationPreferences.objects.create(user=ben, reminders=False)
    factories.make_task(project, assignee=ben, due_date=timezone.now() + dt.timedelta(hours=2))
    queue_due()
    assert Notification.objects.filter(recipient=ben, reason="due_soon").count() == 1
    assert not Mail.objects.exists()


def test_what_was_pruned_from_the_log_is_told_in_general(sink, ada, ben, project):
    with acting(ada):
        factories.make_task(project, assignee=ben)
    relay_events()
    Event.objects.all().delete()
    [text] = leave(sink).values()
    assert "This task was given to you." in text


def test_a_title_breaks_no_header(sink, ada, ben, project):
    with acting(ada):
        factories.make_task(project, title="Dig\r\nBcc: all@example.org", assignee=ben)
    relay_events()
    leave(sink)
    [message] = sink.messages
    assert message["Bcc"] is None
    assert message["Subject"] == f"Dig Bcc: all@example.org ({project.name})"


@pytest.mark.parametrize("policy", ["RolePolicy", "OpenPolicy"])
def test_of_a_project_that_is_gone_nothing_leaves(sink, ada, ben, project, settings, policy):
    """Also to those who see every project that there is."""
    settings.DJANGO_PM = {**settings.DJANGO_PM, "POLICY": f"django_pm.access.{policy}"}
    ben.is_superuser = True
    ben.save()
    with acting(ada):
        project.memberships.filter(user=ben).delete()
        factories.make_member(project, ben)
    relay_events()
    project.delete()
    assert leave(sink) == {}
    reason = "It is not seen any more, or gone."
    assert [(mail.state, mail.reason) for mail in Mail.objects.all()] == [(MailState.SKIPPED, reason)]


def test_a_comment_is_not_told_under_a_task_that_it_has_left(sink, ada, ben, project):
    task = factories.make_task(project, assignee=ben)
    relay_events()
    leave(sink)
    with acting(ada):
        comment = factories.make_comment(task, ada, content="Secret.")
    relay_events()
    comment.task = factories.make_task()
    comment.save()
    relay_events()
    leave(sink)
    assert ben.email not in sink.to()


def test_in_the_language_and_zone_of_the_recipient(sink, ada, ben, project, settings):
    NotificationPreferences.objects.create(
        user=ben, time_zone="Asia/Tokyo", reminders=False, channels={"due_soon": ["digest"], "assigned": []}
    )
    with time_machine.travel(dt.datetime(2030, 5, 1, 20, tzinfo=dt.UTC), tick=False):
        factories.make_task(project, assignee=ben, due_date=timezone.now() + dt.timedelta(hours=5))
        relay_events()
        queue_due()
    with time_machine.travel(dt.datetime(2030, 5, 1, 23, 30, tzinfo=dt.UTC), tick=False):
        assert digests.queue_due() == 1, "it is past 8 in Tokyo"
        send_queue()
    texts = [message.get_body(["plain"]).get_content() for message in sink.messages]
    assert any("10 a.m. (JST)" in text for text in texts), texts
