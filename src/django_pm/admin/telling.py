"""What people are told, in the admin: mail, notifications, and what each of them wants to hear of."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy
from django.utils.translation import ngettext

from django_pm.admin.base import InProjects, LargeTableAdmin, ReadOnlyAdmin, user_search_fields
from django_pm.models import Mail, Notification, NotificationPreferences, ProjectChannels, Watch
from django_pm.services import resending
from django_pm.services.notifications import channels


@admin.register(Mail)
class MailAdmin(ReadOnlyAdmin):
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
    actions = ["try_again"]

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        return [*self.search_fields, *user_search_fields("recipient")]

    def has_try_again_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("django_pm.change_mail")

    @admin.action(description=_lazy("Try again"), permissions=["try_again"])
    def try_again(self, request: HttpRequest, queryset: QuerySet[Mail]) -> None:
        number = resending.try_again(queryset)
        message = ngettext("%(number)s message is tried again.", "%(number)s messages are tried again.", number)
        self.message_user(request, message % {"number": number}, messages.SUCCESS if number else messages.WARNING)


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
class NotificationPreferencesAdmin(LargeTableAdmin):
    form = ChannelsForm
    list_display = ["user", "language", "time_zone", "reminders", "reports", "digest_hour", "overdue_digest"]
    list_select_related = ["user"]
    raw_id_fields = ["user"]

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        return user_search_fields("user")


@admin.register(ProjectChannels)
class ProjectChannelsAdmin(InProjects):
    """Where somebody wants to be told of one project, where that differs."""

    form = ChannelsForm
    list_display = ["user", "project_id", "channels"]
    list_select_related = ["user"]
    raw_id_fields = ["user"]

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        return ["=project_id", *user_search_fields("user")]


@admin.register(Notification)
class NotificationAdmin(ReadOnlyAdmin, InProjects):
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


@admin.register(Watch)
class WatchAdmin(LargeTableAdmin):
    """How much somebody hears of a project or a task."""

    list_display = ["user", "object_type", "object_id", "level", "created_at"]
    list_filter = ["object_type", "level"]
    list_select_related = ["user"]
    raw_id_fields = ["user"]
    search_fields = ["=object_id"]
