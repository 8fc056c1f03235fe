"""The events of a project over HTTP: what a client reads to catch up, and what an activity page shows."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema_field, inline_serializer
from rest_framework import serializers, status
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from django_pm.api.base import BaseAPIView
from django_pm.api.openapi import ApiSchema
from django_pm.api.pagination import page_size, whole_number
from django_pm.api.parsers import is_storable
from django_pm.event_types import EVENT_TYPES
from django_pm.events.feed import MODELS, as_json, read
from django_pm.exceptions import RESET_REASONS, StreamReset
from django_pm.models import Project

COUNT = {"type": "integer", "minimum": 0}
KEY = {"type": ["integer", "string"]}


@extend_schema_field(
    {
        "type": "object",
        "properties": {"type": {"type": "string", "enum": list(MODELS)}, "id": KEY},
        "required": ["type", "id"],
    }
)
class ObjectField(serializers.JSONField):
    """What it happened to."""


@extend_schema_field(
    {"type": ["object", "null"], "properties": {"id": KEY, "name": {"type": "string"}}, "required": ["id", "name"]}
)
class ActorField(serializers.JSONField):
    """Who did it; null where nobody was signed in."""


EVENT = inline_serializer(
    "Event",
    {
        "type": serializers.ChoiceField(choices=EVENT_TYPES),
        "id": serializers.UUIDField(),
        "project": serializers.IntegerField(),
        "seq": serializers.IntegerField(),
        "object": ObjectField(),
        "actor": ActorField(),
        "at": serializers.DateTimeField(),
        "changes": serializers.DictField(help_text='`{column: [old, new]}`; `{"omitted": true}` stands for the untold'),
        "origin": serializers.CharField(help_text="A word, then `#` and the id of the request if it has one"),
    },
    many=True,
)
PAGE = inline_serializer(
    "EventPage",
    {
        "epoch": serializers.CharField(),
        "head": serializers.IntegerField(help_text="The last number given in this project."),
        "results": EVENT,
        "next": serializers.URLField(allow_null=True),
    },
)
RESET = inline_serializer(
    "EventReset",
    {
        "detail": serializers.CharField(),
        "reason": serializers.ChoiceField(choices=RESET_REASONS),
        "head": serializers.IntegerField(),
        "epoch": serializers.CharField(),
    },
)


class EventFeedSchema(ApiSchema):
    """How the feed stands in the OpenAPI document: pages by number, not by cursor."""

    def get_operation_id(self) -> str:
        return "projects_events_list"

    def get_override_parameters(self) -> list[OpenApiParameter]:
        return [
            OpenApiParameter("since", COUNT, description="Only events numbered above this; 0 is the start."),
            OpenApiParameter("epoch", OpenApiTypes.STR, description="The epoch that `since` is from."),
            OpenApiParameter("object", OpenApiTypes.STR, description="Only events of one object, such as `task:5`."),
            OpenApiParameter("page_size", {**COUNT, "minimum": 1}, description="50 by default, at most 200."),
        ]

    def get_response_serializers(self) -> dict[int, Any]:
        gone = OpenApiResponse(RESET, description="`since` cannot be served: fetch the project afresh.")
        return {status.HTTP_200_OK: PAGE, status.HTTP_410_GONE: gone}


class EventFeedView(BaseAPIView):
    """The events of one project in the order in which they became visible."""

    schema = EventFeedSchema()

    def get(self, request: Request, project_id: str) -> Response:
        project = self.get_visible(Project.objects.all(), project_id)
        wrong: dict[str, list[str]] = {}
        since = whole_number("since", request, wrong) or 0
        size = page_size(request, wrong)
        object_type, object_id = _object(request, wrong)
        epoch = request.query_params.get("epoch")
        if wrong:
            raise ValidationError(wrong)
        try:
            page = read(project.pk, since=since, epoch=epoch, limit=size, object_type=object_type, object_id=object_id)
        except StreamReset as reset:
            body = {"detail": str(reset), "reason": reset.reason, "head": reset.head, "epoch": reset.epoch}
            return Response(body, status=status.HTTP_410_GONE)
        return Response(
            {
                "epoch": page.epoch,
                "head": page.head,
                "results": [as_json(event) for event in page.events],
                "next": self._next(page.events, page.epoch),
            }
        )

    def _next(self, events: list[Any], epoch: str) -> str | None:
        """Where to go on from, also once there is more; null where there was nothing."""
        if not events:
            return None
        url = replace_query_param(self.request.build_absolute_uri(), "since", events[-1].seq)
        return replace_query_param(url, "epoch", epoch)


def _object(request: Request, wrong: dict[str, list[str]]) -> tuple[str | None, str | None]:
    text = request.query_params.get("object")
    if text is None:
        return None, None
    kind, _colon, key = text.partition(":")
    if kind not in MODELS or not key or len(key) > 64 or not is_storable(key):
        wrong["object"] = [_("Expected one of %(kinds)s, a colon and an id.") % {"kinds": ", ".join(MODELS)}]
        return None, None
    return kind, key
