"""``/notifications/``: the inbox of whoever is signed in."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema_field, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from django_pm.api.base import ObjectViewSet
from django_pm.api.fields import InstantField, StringField, WholeNumberField
from django_pm.api.filters import DeclaredFilters, FlagFilter, KeyChoiceFilter, in_document, visible_projects
from django_pm.api.openapi import ApiSchema
from django_pm.api.pagination import KeysetPagination
from django_pm.api.serializers import StrictModelSerializer, StrictSerializer
from django_pm.models import Notification, Reason
from django_pm.services.notifications import inbox

KEY = {"type": ["integer", "string"]}
OBJECT = {"type": "object", "properties": {"type": {"type": "string"}, "id": KEY}, "required": ["id", "type"]}


@extend_schema_field(OBJECT)
class ObjectField(serializers.Field):
    """What the event is about."""


@extend_schema_field({"type": ["integer", "string", "null"]})
class ActorField(serializers.Field):
    """The key of the user who did it, null where nobody was signed in."""


class NotificationSerializer(StrictModelSerializer):
    """That one was told of one event, and why. ``title`` is that of the task, or the name of the project, by now."""

    project = serializers.IntegerField(source="project_id", read_only=True)
    task = serializers.IntegerField(source="task_id", read_only=True, allow_null=True)
    object = ObjectField(read_only=True)
    title = StringField(read_only=True)
    event = serializers.UUIDField(source="event_uuid", read_only=True)
    actor = ActorField(read_only=True)
    created_at = InstantField(read_only=True)
    read_at = InstantField(read_only=True, allow_null=True)

    class Meta:
        model = Notification
        fields = ["id", "reason", "project", "task", "object", "title", "event", "actor", "created_at", "read_at"]
        read_only_fields = ["reason"]

    def to_representation(self, instance: Notification) -> dict[str, Any]:
        """As a socket tells it."""
        return inbox.as_json(instance)


class ReadAllSerializer(StrictSerializer):
    """Up to which notification, so that one that came meanwhile stays unread."""

    up_to = WholeNumberField(min_value=0, max_value=2**63 - 1, help_text="The `id` of the latest that was seen.")


UNREAD = inline_serializer("Unread", {"unread": serializers.IntegerField()})


class NotificationPagination(KeysetPagination):
    """Pages that also say how many of all are unread."""

    def paginate_queryset(self, queryset: QuerySet[Any], request: Request, view: Any = None) -> Any:
        self.unread = inbox.unread_count(request.user)
        return super().paginate_queryset(queryset, request, view)

    def get_paginated_response(self, data: Any) -> Response:
        response = super().get_paginated_response(data)
        response.data["unread"] = self.unread
        return response

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        page = super().get_paginated_response_schema(schema)
        page["required"] = [*page["required"], "unread"]
        page["properties"]["unread"] = {
            "type": "integer",
            "description": "How many of all are unread, on whatever page.",
        }
        return page


class NotificationFilterSet(django_filters.FilterSet):
    only_if_asked = True

    reason = in_document(
        {"type": "string", "enum": Reason.values},
        django_filters.MultipleChoiceFilter(choices=Reason.choices, distinct=False, help_text="Repeat for several."),
    )
    project = in_document(
        {"type": "integer"},
        KeyChoiceFilter(queryset=visible_projects, method="filter_project", help_text="One that you see."),
    )
    unread = in_document(
        {"type": "boolean"}, FlagFilter(field_name="read_at", lookup_expr="isnull", help_text="Not read yet.")
    )

    class Meta:
        model = Notification
        fields: list[str] = []

    def filter_project(self, rows: Any, name: str, project: Any) -> Any:
        return rows.filter(project_id=project.pk)


class NotificationSchema(ApiSchema):
    """How the inbox stands in the OpenAPI document."""

    def get_operation_id(self) -> str:
        return {"list": "notifications_list", "read": "notifications_read"}.get(self.action, "notifications_read_all")

    def get_request_serializer(self) -> Any:
        return ReadAllSerializer if self.action == "read_all" else None

    def get_response_serializers(self) -> Any:
        return UNREAD if self.action == "read_all" else NotificationSerializer


class NotificationViewSet(ObjectViewSet):
    """What whoever is signed in was told of and may see now, the latest first."""

    schema = NotificationSchema()
    queryset = Notification.objects.all()
    serializer_class = NotificationSerializer
    pagination_class = NotificationPagination
    filter_backends = [DeclaredFilters]
    filterset_class = NotificationFilterSet
    ordering_fields = {"created_at": "created_at"}
    default_ordering = "-created_at"

    def rows(self) -> QuerySet[Notification]:
        return inbox.with_titles(inbox.of(self.request.user))

    def narrowed(self, rows: QuerySet[Notification]) -> QuerySet[Notification]:
        """They are the reader's own."""
        return rows

    def read(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Mark one as read. Repeating this changes nothing."""
        notification = self.get_object()
        inbox.mark_read(self.rows().filter(pk=notification.pk))
        return Response(self.get_serializer(self.get_object()).data)

    def read_all(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Mark as read all up to one, the one included."""
        serializer = ReadAllSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        inbox.mark_read(inbox.of(request.user).filter(pk__lte=serializer.validated_data["up_to"]))
        return Response({"unread": inbox.unread_count(request.user)})
