"""The list of mail in the admin: what became of each message, and another chance for what failed."""

import datetime as dt
import re

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.urls import reverse
from django.utils import timezone

from django_pm.mail.sending import send_queue
from django_pm.models import Mail, MailKind, MailState
from tests.factories import make_project, make_superuser, make_task, make_user

pytestmark = pytest.mark.django_db

LIST = "admin:django_pm_mail_changelist"
REASON = "550 No such user here"


def person(name, **fields):
    return make_user(name, **{get_user_model().get_email_field_name(): f"{name}@example.org", **fields})


def message(recipient, state=MailState.FAILED, **fields):
    """About a task of theirs that is due soon."""
    due = timezone.now() + dt.timedelta(hours=5)
    task = make_task(make_project(recipient), assignee=recipient, due_date=due)
    occurrence = due.isoformat().replace("+00:00", "Z")
    values = {"kind": MailKind.REMINDER, "object_id": str(task.pk), "occurrence": occurrence, "state": state}
    return Mail.objects.create(recipient=recipient, **{**values, **fields})


@pytest.fixture
def admin(client):
    client.force_login(make_superuser("boss"))
    return client


def listed(client, **query):
    """The cells of the list, row by row."""
    page = client.get(reverse(LIST), query).content.decode()
    rows = re.findall(r"<tr><td class=\"action-checkbox\">.+?</tr>", page, re.DOTALL)
    cells = r"<t[dh] class=\"field-(\w+)[^\"]*\">(.*?)</t[dh]>"
    return [{name: re.sub(r"<[^>]+>", "", cell) for name, cell in re.findall(cells, row, re.DOTALL)} for row in rows]


def test_it_shows_what_became_of_each(admin):
    mail = message(person("ann"), reason=REASON, attempts=3, repeated=True)
    (row,) = listed(admin)
    assert row["state"] == "Failed"
    assert row["reason"] == REASON
    assert row["attempts"] == "3"
    assert row["object_id"] == mail.object_id
    assert row["due_at"]
    page = admin.get(reverse(LIST)).content.decode()
    assert 'class="field-repeated"' in page
    assert 'alt="True"' in page


def test_it_is_filtered_and_searched(admin):
    ann, bob = person("ann"), person("bob")
    failed = message(ann, reason=REASON)
    message(bob, MailState.SENT, repeated=True)
    message(bob, MailState.WAITING, kind=MailKind.REPORT)
    assert len(listed(admin)) == 3
    assert [row["reason"] for row in listed(admin, state__exact="failed")] == [REASON]
    assert [row["state"] for row in listed(admin, kind__exact="report")] == ["Waiting"]
    assert [row["state"] for row in listed(admin, repeated__exact="1")] == ["Sent"]
    for words in (failed.object_id, "No such user", "ann@example.org", ann.get_username()):
        assert [row["object_id"] for row in listed(admin, q=words)] == [failed.object_id], words
    assert listed(admin, q="nobody") == []


def again(client, *mails):
    data = {"action": "try_again", "_selected_action": [mail.pk for mail in mails]}
    return client.post(reverse(LIST), data, follow=True).content.decode()


def test_what_failed_is_tried_again(admin, sink):
    sink.answers["ann@example.org"] = REASON
    mail = message(person("ann"), MailState.WAITING)
    assert send_queue() == {MailState.FAILED: 1}
    sink.answers.clear()
    assert send_queue() == {}
    assert "1 message is tried again." in again(admin, mail)
    mail.refresh_from_db()
    assert (mail.state, mail.attempts, mail.reason) == (MailState.WAITING, 0, "")
    assert send_queue() == {MailState.SENT: 1}
    assert sink.to() == ["ann@example.org"]


@pytest.mark.parametrize("state", [state for state in MailState if state != MailState.FAILED])
def test_nothing_else_is(admin, state):
    mail = message(person("ann"), state, attempts=2, due_at=timezone.now() + dt.timedelta(hours=1))
    assert "0 messages are tried again." in again(admin, mail)
    after = Mail.objects.get()
    assert (after.state, after.attempts, after.due_at) == (state, 2, mail.due_at)


def test_only_by_who_may_change_mail(client):
    mail = message(person("ann"), reason=REASON)
    staff = make_user("staff", is_staff=True)
    staff.user_permissions.add(Permission.objects.get(codename="view_mail"))
    client.force_login(staff)
    assert REASON in client.get(reverse(LIST)).content.decode()
    again(client, mail)
    assert Mail.objects.get().state == MailState.FAILED
    staff.user_permissions.add(Permission.objects.get(codename="change_mail"))
    again(client, mail)
    assert Mail.objects.get().state == MailState.WAITING
