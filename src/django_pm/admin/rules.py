"""Escalation rules, what they did, and daily reports in the admin."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from django_pm.admin.base import InProjects, PolicyAdmin, PolicyForm, ReadOnlyAdmin
from django_pm.models import EscalationRule, Firing, Report


class RuleForm(PolicyForm):
    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        if project := values.get("project"):
            self.require("add", EscalationRule(project=project), "project")
        return values


@admin.register(EscalationRule)
class EscalationRuleAdmin(PolicyAdmin):
    """What projects do about tasks that are left lying; ``failure`` says why a rule could not, when it last tried."""

    list_display = ["name", "project", "condition", "action", "is_active", "failed_at"]
    list_filter = ["is_active", "condition", "action"]
    list_select_related = ["project"]
    search_fields = ["name", "project__name"]
    form = RuleForm
    raw_id_fields = ["project"]
    readonly_fields = ["created_at", "failed_at", "failure"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [*self.readonly_fields, *(["project"] if obj else [])]


@admin.register(Firing)
class FiringAdmin(ReadOnlyAdmin, InProjects):
    """Each time a rule has acted, and what came of it."""

    list_display = ["fired_at", "rule", "task_id", "instant", "action", "outcome"]
    list_filter = ["action", "outcome"]
    list_select_related = ["rule"]
    search_fields = ["=task_id"]


@admin.register(Report)
class ReportAdmin(ReadOnlyAdmin, InProjects):
    """One for each project and date; ``note`` says what was wrong when it was made."""

    list_display = ["date", "project", "time_zone", "generated_at", "note"]
    list_filter = ["date"]
    list_select_related = ["project"]
    search_fields = ["project__name", "note"]
