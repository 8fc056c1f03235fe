"""The tables of django-pm in Django's admin. What is changed there is recorded as done by the one signed in."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy
from django.utils.translation import ngettext

from django_pm import users
from django_pm.context import acting
from django_pm.models import (
    ApiToken,
    Comment,
    Cursor,
    EscalationRule,
    Event,
    Firing,
    Mail,
    Membership,
    Notification,
    NotificationPreferences,
    ParkedEvent,
    Project,
    ProjectChannels,
    Report,
    Task,
    Watch,
)
from django_pm.services import channels, resending

ORIGIN = "admin"


class RecordedModelAdmin(admin.ModelAdmin):
    """Names the acting user in the events of forms, list edits and actions."""

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        with acting(request.user, origin=ORIGIN):
            return super().changeform_view(request, *args, **kwargs)

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        with acting(request.user, origin=ORIGIN):
            return super().changelist_view(request, *args, **kwargs)

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        with acting(request.user, origin=ORIGIN):
            return super().delete_view(request, *args, **kwargs)


class ReadOnlyModelAdmin(admin.ModelAdmin):
    """For what only the software writes."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Project)
class ProjectAdmin(RecordedModelAdmin):
    list_display = ["name", "created_at", "updated_at"]
    search_fields = ["name"]
    raw_id_fields = ["created_by"]


@admin.register(Task)
class TaskAdmin(RecordedModelAdmin):
    list_display = ["title", "project", "status", "priority", "due_date"]
    list_filter = ["status", "priority"]
    list_select_related = ["project"]
    search_fields = ["title"]
    raw_id_fields = ["project", "assignee", "created_by"]
    readonly_fields = ["completed_at"]


@admin.register(Membership)
class MembershipAdmin(RecordedModelAdmin):
    list_display = ["project", "user", "role"]
    list_filter = ["role"]
    list_select_related = ["project", "user"]
    raw_id_fields = ["project", "user"]


@admin.register(Comment)
class CommentAdmin(RecordedModelAdmin):
    list_display = ["author", "task", "created_at"]
    list_select_related = ["task"]
    raw_id_fields = ["task", "user"]


@admin.register(Mail)
class MailAdmin(ReadOnlyModelAdmin):
    """What is queued, what became of it, and why not. What has failed can be tried again."""

    list_display = [
        "kind",
        "object_id",
        "occurrence",
        "recipient",
        "state",
        "reason",
        "attempts",
        "repeated",
        "due_at",
        "sent_at",
    ]
    list_filter = ["state", "kind", "repeated"]
    list_select_related = ["recipient"]
    search_fields = ["=object_id", "reason"]
    search_help_text = _lazy("The key of a task or report, a login name, an e-mail address, or a reason.")
    ordering = ["-pk"]
    actions = ["try_again"]

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        names = {get_user_model().USERNAME_FIELD, users.email_field()} - {""}
        return [*self.search_fields, *(f"recipient__{name}" for name in sorted(names))]

    def has_try_again_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("django_pm.change_mail")

    @admin.action(description=_lazy("Try again"), permissions=["try_again"])
    def try_again(self, request: HttpRequest, queryset: QuerySet[Mail]) -> None:
        number = resending.try_again(queryset)
        message = ngettext("%(number)s message is tried again.", "%(number)s messages are tried again.", number)
        self.message_user(request, message % {"number": number}, messages.SUCCESS if number else messages.WARNING)


@admin.register(Report)
class ReportAdmin(ReadOnlyModelAdmin):
    """One for each project and date; ``note`` says what was wrong when it was made."""

    list_display = ["date", "project", "time_zone", "generated_at", "note"]
    list_filter = ["date"]
    list_select_related = ["project"]
    search_fields = ["project__name", "note"]
    date_hierarchy = "date"


@admin.register(EscalationRule)
class EscalationRuleAdmin(admin.ModelAdmin):
    """What projects do about tasks that are left lying; ``failure`` says why a rule could not, when it last tried."""

    list_display = ["name", "project", "condition", "action", "is_active", "failed_at"]
    list_filter = ["is_active", "condition", "action"]
    list_select_related = ["project"]
    search_fields = ["name", "project__name"]
    raw_id_fields = ["project"]
    readonly_fields = ["created_at", "failed_at", "failure"]


@admin.register(Firing)
class FiringAdmin(ReadOnlyModelAdmin):
    """Each time a rule has acted, and what came of it."""

    list_display = ["fired_at", "rule", "task_id", "instant", "action", "outcome"]
    list_filter = ["action", "outcome"]
    list_select_related = ["rule"]
    search_fields = ["=task_id"]


class ChannelsForm(forms.ModelForm):
    """Takes for channels what the API takes."""

    def clean_channels(self) -> dict[str, Any]:
        chosen = self.cleaned_data["channels"] or {}
        if not isinstance(chosen, dict):
            raise ValidationError(_("Expected an object: for each reason a list of channels."))
        wrong = [f"{reason}: {text}" for reason in chosen for text in channels.problems_of(reason, chosen[reason])]
        if wrong:
            raise ValidationError(wrong)
        return chosen


@admin.register(NotificationPreferences)
class NotificationPreferencesAdmin(admin.ModelAdmin):
    form = ChannelsForm
    list_display = ["user", "language", "time_zone", "reminders", "reports", "digest_hour", "overdue_digest"]
    list_select_related = ["user"]
    raw_id_fields = ["user"]


@admin.register(ProjectChannels)
class ProjectChannelsAdmin(admin.ModelAdmin):
    """Where somebody wants to be told of one project, where that differs."""

    form = ChannelsForm
    list_display = ["user", "project_id", "channels"]
    list_select_related = ["user"]
    raw_id_fields = ["user"]


@admin.register(Notification)
class NotificationAdmin(ReadOnlyModelAdmin):
    """Who was told of what, and which message carries it."""

    list_display = [
        "created_at",
        "recipient",
        "reason",
        "project_id",
        "task_id",
        "in_app",
        "by_mail",
        "mail",
        "read_at",
    ]
    list_filter = ["reason", "by_mail"]
    list_select_related = ["recipient", "mail"]
    search_fields = ["=event_uuid", "=task_id", "=project_id"]
    search_help_text = _lazy("The id of an event, a task or a project.")
    show_full_result_count = False


@admin.register(Watch)
class WatchAdmin(admin.ModelAdmin):
    """How much somebody hears of a project or a task."""

    list_display = ["user", "object_type", "object_id", "level", "created_at"]
    list_filter = ["object_type", "level"]
    list_select_related = ["user"]
    raw_id_fields = ["user"]
    search_fields = ["=object_id"]
    show_full_result_count = False


@admin.register(ApiToken)
class ApiTokenAdmin(admin.ModelAdmin):
    """Tokens are made, looked at and revoked (deleted) here, never changed: whoever holds one would get more by it."""

    list_display = ["name", "user", "scope", "beginning", "expires_at", "last_used_at"]
    list_select_related = ["user"]
    search_fields = ["name", "beginning"]
    fields = ["user", "name", "scope", "every_project", "projects", "expires_at"]
    raw_id_fields = ["user", "projects"]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        # A token acts as its user, so only a superuser makes one for somebody else.
        others = request.user.is_superuser or obj is not None
        told = [] if obj is None else ["beginning", "created_at", "last_used_at"]
        return [name for name in self.fields or () if name != "user" or others] + told

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: ApiToken, form: Any, change: bool) -> None:
        if "user" not in form.cleaned_data:
            obj.user_id = request.user.pk  # type: ignore[assignment]  # signed in, or not here
        secret = obj.renew_secret()
        super().save_model(request, obj, form, change)
        messages.warning(request, _("The token, shown this once: %(secret)s") % {"secret": secret})


@admin.register(Event)
class EventAdmin(ReadOnlyModelAdmin):
    list_display = ["created_at", "project_id", "seq", "type", "object_type", "object_id", "actor_name", "origin"]
    list_filter = ["type"]
    ordering = ["-id"]
    show_full_result_count = False


@admin.register(Cursor)
class CursorAdmin(ReadOnlyModelAdmin):
    list_display = ["subscriber", "project_id", "seq", "attempts", "retry_at"]


@admin.register(ParkedEvent)
class ParkedEventAdmin(ReadOnlyModelAdmin):
    list_display = ["parked_at", "subscriber", "project_id", "seq", "error"]
