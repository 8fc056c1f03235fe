"""``/projects/<id>/watch/`` and ``/tasks/<id>/watch/``: how much whoever is signed in hears of it."""

from __future__ import annotations

from typing import Any

from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from django_pm.api.base import BaseAPIView
from django_pm.api.openapi import ApiSchema
from django_pm.api.serializers import StrictSerializer
from django_pm.models import Level, Project, Task, Watched
from django_pm.services.notifications import watching


class WatchSerializer(StrictSerializer):
    """What one said. ``involved`` (of a task, by what has happened) and null (nothing) are only answered."""

    level = serializers.ChoiceField(choices=Level.choices)

    def validate_level(self, level: str) -> str:
        if level == Level.INVOLVED:
            raise serializers.ValidationError(_("This comes of what happens. Say “watching” or “muted”."))
        return level


@extend_schema_field({"anyOf": [{"$ref": "#/components/schemas/WatchLevel"}, {"type": "null"}]})
class LevelField(serializers.Field):
    """A level, null where there is none."""


class WatchAnswerSerializer(serializers.Serializer):
    level = LevelField()


class WatchSchema(ApiSchema):
    """How watching stands in the OpenAPI document."""

    def get_operation_id(self) -> str:
        action = {"GET": "retrieve", "PUT": "update", "DELETE": "destroy"}[self.method]
        view: Any = self.view
        return f"{view.kind}s_watch_{action}"

    def get_response_serializers(self) -> Any:
        return {status.HTTP_204_NO_CONTENT: None} if self.method == "DELETE" else WatchAnswerSerializer


class WatchView(BaseAPIView):
    """How much one hears of a project or a task. It is one's own: nobody else sees it, and no event tells of it."""

    schema = WatchSchema()
    serializer_class = WatchSerializer
    kind: Watched

    @cached_property
    def key(self) -> Any:
        """That of the project or task of this URL, if the user may see it."""
        model: Any = Project if self.kind == Watched.PROJECT else Task
        return self.get_visible(model.objects.all(), self.kwargs["id"]).pk

    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return Response({"level": watching.level_of(request.user, self.kind, self.key)})

    def put(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        key = self.key
        serializer = WatchSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        watching.say(user=request.user, kind=self.kind, key=key, level=serializer.validated_data["level"])
        return Response(serializer.data)

    def delete(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        watching.forget(user=request.user, kind=self.kind, key=self.key)
        return Response(status=status.HTTP_204_NO_CONTENT)


class ProjectWatchView(WatchView):
    kind = Watched.PROJECT


class TaskWatchView(WatchView):
    kind = Watched.TASK
