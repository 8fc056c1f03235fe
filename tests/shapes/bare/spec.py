"""A site without extras has the API, the feed, reminders, reports, mail and subscribers, all by commands."""

import datetime as dt
import sys

import pytest
from django.conf import settings
from django.core import mail
from django.core.management import call_command
from django.utils import timezone

from django_pm.models import Notification
from tests.factories import make_member, make_project, make_task, make_user

pytestmark = pytest.mark.django_db


def test_no_extra_was_imported() -> None:
    assert {name.partition(".")[0] for name in sys.modules} & settings.EXTRAS == set()


@pytest.mark.django_db(transaction=True)
def test_everything_that_is_done_again_and_again_is() -> None:
    owner, member = make_user("owner", email="owner@example.org"), make_user("mo", email="mo@example.org")
    project = make_project(owner, {member: "member"})
    call_command("pm_relay_events")
    make_task(project, assignee=member, due_date=timezone.now() + dt.timedelta(hours=5))
    make_member(project)
    call_command("pm_run", "--once")
    assert Notification.objects.filter(recipient=member, reason="due_soon").exists()
    assert ["mo@example.org"] in [message.to for message in mail.outbox]


def test_metrics_are_not_served(client) -> None:
    settings.DJANGO_PM["METRICS_TOKEN"] = "of-this-test-alone"
    try:
        answer = client.get("/metrics", headers={"Authorization": "Bearer of-this-test-alone"})
    finally:
        del settings.DJANGO_PM["METRICS_TOKEN"]
    assert answer.status_code == 404
