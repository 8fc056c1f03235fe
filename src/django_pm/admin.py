"""The tables of django-pm in Django's admin. What is changed there is recorded as done by the one signed in."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from django_pm.context import acting
from django_pm.models import Comment, Cursor, Event, Membership, ParkedEvent, Project, Task

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
