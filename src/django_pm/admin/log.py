"""The event log in the admin: read-only, event by event, with what changed; and where its readers stand."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _lazy

from django_pm import event_types
from django_pm.admin import diffs
from django_pm.admin.base import InProjects, ReadOnlyAdmin
from django_pm.models import Cursor, Event, ParkedEvent, ProjectStream, Subscriber


class TypeFilter(admin.SimpleListFilter):
    """By the names that there are: Django's own would look through the whole log for them."""

    title = _lazy("what happened")
    parameter_name = "type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(name, diffs.HAPPENED[name]) for name in event_types.EVENT_TYPES]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(type=self.value()) if self.value() else queryset


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin, InProjects):
    """What happened, newest first; ``?project_id=`` and ``?object_type=task&object_id=`` narrow it."""

    list_display = ["created_at", "happened", "project", "seq", "object", "columns", "actor_name", "origin"]
    list_filter = [TypeFilter]
    search_fields = ["=object_id", "=actor_name"]
    search_help_text = _lazy("The key of an object, or the name of who did it.")
    fields = [
        "happened",
        "project",
        "object",
        "differences",
        "created_at",
        "actor_name",
        "actor_id",
        "origin",
        "seq",
        "uuid",
        "type",
    ]
    readonly_fields = ["happened", "project", "object", "differences"]

    def get_ordering(self, request: HttpRequest) -> Any:
        """Along the index that there is: of the whole log the key, within one project the time."""
        of_one = any(name in request.GET for name in ("project_id", "project_id__exact"))
        return ["-created_at", "-pk"] if of_one else ["-pk"]

    @admin.display(description=_lazy("what happened"))
    def happened(self, obj: Event) -> str:
        return diffs.happened(obj)

    @admin.display(description=_lazy("project"))
    def project(self, obj: Event) -> str:
        return diffs.project_link(obj.project_id)

    @admin.display(description=_lazy("object"))
    def object(self, obj: Event) -> str:
        return diffs.object_link(obj)

    @admin.display(description=_lazy("changed"))
    def columns(self, obj: Event) -> str:
        return diffs.columns_of(obj)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        event = super().get_object(request, object_id, from_field)
        if event is not None:
            event.reader = request.user  # for ``differences``, which Django hands the row alone
        return event

    @admin.display(description=_lazy("changes"))
    def differences(self, obj: Any) -> str:
        return diffs.difference_table(obj, obj.reader)


@admin.register(ProjectStream)
class ProjectStreamAdmin(ReadOnlyAdmin, InProjects):
    """Up to where the events of each project are numbered and kept."""

    list_display = ["project_id", "seq", "floor", "epoch"]
    search_fields = ["=project_id"]


@admin.register(Subscriber)
class SubscriberAdmin(ReadOnlyAdmin):
    """Who is handed the log, and when each was last seen."""

    list_display = ["name", "created_at", "seen_at"]
    search_fields = ["name"]


@admin.register(Cursor)
class CursorAdmin(ReadOnlyAdmin, InProjects):
    """How far each subscriber has come in each project."""

    list_display = ["subscriber", "project_id", "seq", "attempts", "retry_at"]
    list_select_related = ["subscriber"]
    search_fields = ["=subscriber__name", "=project_id"]


@admin.register(ParkedEvent)
class ParkedEventAdmin(ReadOnlyAdmin, InProjects):
    """What a subscriber could not take, and why."""

    list_display = ["parked_at", "subscriber", "project_id", "seq", "error"]
    list_select_related = ["subscriber"]
    search_fields = ["=subscriber__name", "=project_id", "error"]
