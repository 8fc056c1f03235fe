"""Escalation rules in the admin: the same rules as over the API, and what became of them."""

import datetime as dt

import pytest
from django.urls import reverse
from django.utils import timezone

from django_pm.models import EscalationRule, Firing
from django_pm.services.escalating import escalate
from tests.factories import make_project, make_rule, make_superuser, make_task

pytestmark = pytest.mark.django_db

ADD = "admin:django_pm_escalationrule_add"
FORM = {"name": "Late", "condition": "overdue", "hours": "24", "action": "notify", "role": "manager", "is_active": "on"}


@pytest.fixture
def admin(client):
    client.force_login(make_superuser("boss"))
    return client


def test_a_rule_is_made(admin):
    project = make_project()
    assert admin.post(reverse(ADD), {"project": project.pk, **FORM}).status_code == 302
    rule = EscalationRule.objects.get()
    assert (rule.project, rule.hours, rule.days, rule.status, rule.role) == (project, 24, None, None, "manager")


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"hours": ""}, "hours"),
        ({"hours": "0"}, "hours"),
        ({"days": "3"}, "days"),
        ({"action": "reassign"}, "role"),
        ({"role": ""}, "role"),
        ({"condition": ""}, "condition"),
        ({"status": "completed"}, "status"),
    ],
    ids=str,
)
def test_one_that_means_nothing_is_refused_at_its_field(admin, wrong, field):
    page = admin.post(reverse(ADD), {"project": make_project().pk, **FORM, **wrong})
    assert page.status_code == 200
    assert field in page.context["adminform"].form.errors
    assert not EscalationRule.objects.exists()


def test_what_rules_did_and_could_not_do_is_shown(admin):
    project = make_project()
    rule = make_rule(project, action="raise_priority")
    make_task(project, priority="urgent", due_date=timezone.now() - dt.timedelta(days=2))
    assert escalate() == 1
    EscalationRule.objects.update(failed_at=timezone.now(), failure="ZeroDivisionError: as a handler might")
    page = admin.get(reverse("admin:django_pm_escalationrule_change", args=[rule.pk])).content.decode()
    assert "ZeroDivisionError: as a handler might" in page
    assert admin.get(reverse("admin:django_pm_escalationrule_changelist")).status_code == 200
    task_id = Firing.objects.get().task_id
    page = admin.get(reverse("admin:django_pm_firing_changelist"), {"q": task_id}).content.decode()
    assert "The task was urgent already" in page
    assert admin.post(reverse("admin:django_pm_firing_add")).status_code == 403
