"""``/notification-preferences/``: where whoever is signed in wants to be told, and how; by project too."""

from __future__ import annotations

from typing import Any

from django.db import router, transaction
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from django_pm.api.base import BaseAPIView
from django_pm.api.openapi import ApiSchema
from django_pm.api.serializers import StrictModelSerializer
from django_pm.models import Channel, NotificationPreferences, Project, ProjectChannels, Reason
from django_pm.services.notifications import channels

CHANNELS = {
    "type": "object",
    "description": "By reason, where one is told. In a request, null stands for what is so without a choice.",
    "properties": {
        reason: {"type": ["array", "null"], "items": {"type": "string", "enum": Channel.values}}
        for reason in Reason.values
    },
    "additionalProperties": False,
}


@extend_schema_field(CHANNELS)
class ChannelsField(serializers.Field):
    """``{reason: [channel, …] or null}``; each reason that is wrong is named."""

    default_error_messages = {"object": _("Expected an object: for each reason a list of channels, or null.")}

    def to_internal_value(self, data: Any) -> dict[str, list[str] | None]:
        if not isinstance(data, dict):
            self.fail("object")
        wrong = [
            f"{reason}: {problem}"
            for reason, chosen in data.items()
            if chosen is not None or reason not in Reason.values
            for problem in channels.problems_of(reason, [] if chosen is None else chosen)
        ]
        if wrong:
            raise serializers.ValidationError(wrong)
        return data

    def to_representation(self, value: Any) -> Any:
        return value


class PreferencesSerializer(StrictModelSerializer):
    """Empty texts, and an hour that is null, stand for what the site has."""

    channels = ChannelsField(required=False)

    class Meta:
        model = NotificationPreferences
        fields = ["language", "time_zone", "reminders", "reports", "channels", "digest_hour", "overdue_digest"]

    def update(self, instance: NotificationPreferences, values: dict[str, Any]) -> NotificationPreferences:
        channels.choose(instance, values.pop("channels", {}))
        updated: NotificationPreferences = super().update(instance, values)
        return updated

    def to_representation(self, instance: NotificationPreferences) -> dict[str, Any]:
        return {**super().to_representation(instance), "channels": channels.matrix(instance)}


class PreferencesSchema(ApiSchema):
    """How the preferences stand in the OpenAPI document."""

    name = "notification_preferences"

    def get_operation_id(self) -> str:
        return f"{self.name}_" + ("retrieve" if self.method == "GET" else "partial_update")


class PreferencesView(BaseAPIView):
    """One's own preferences. Whoever has never changed any has the defaults."""

    schema = PreferencesSchema()
    serializer_class = PreferencesSerializer

    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        preferences = NotificationPreferences.objects.filter(user=request.user.pk).first()
        return Response(PreferencesSerializer(preferences or NotificationPreferences()).data)

    def patch(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        serializer = PreferencesSerializer(data=request.data, partial=True, context={"request": request})
        serializer.is_valid(raise_exception=True)
        using = router.db_for_write(NotificationPreferences)
        with transaction.atomic(using=using):
            rows = NotificationPreferences.objects.using(using)
            rows.get_or_create(user=request.user)
            serializer.instance = rows.select_for_update().get(user=request.user)
            serializer.save()
        return Response(serializer.data)


class ProjectPreferencesSerializer(StrictModelSerializer):
    """Only what differs from what one has for all projects."""

    channels = ChannelsField(required=False)

    class Meta:
        model = ProjectChannels
        fields = ["channels"]

    def validate_channels(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """The mail of these reasons is asked for in one's general preferences, for all projects."""
        problem = _("Mail of this reason is chosen for all projects at once.")
        wrong = [
            f"{reason}: {problem}" for reason in channels.MAIL_COLUMNS if Channel.MAIL in (wanted.get(reason) or ())
        ]
        if wrong:
            raise serializers.ValidationError(wrong)
        return wanted

    def update(self, instance: ProjectChannels, values: dict[str, Any]) -> ProjectChannels:
        channels.choose_here(instance, values.get("channels", {}))
        instance.save()
        return instance


class ProjectPreferencesSchema(PreferencesSchema):
    name = "projects_notification_preferences"


class ProjectPreferencesView(BaseAPIView):
    """Where one wants to be told of one project, as far as that differs."""

    schema = ProjectPreferencesSchema()
    serializer_class = ProjectPreferencesSerializer

    @cached_property
    def project(self) -> Project:
        project: Project = self.get_visible(Project.objects.all(), self.kwargs["project_id"])
        return project

    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        rows = ProjectChannels.objects.filter(user=request.user.pk, project_id=self.project.pk)
        return Response(ProjectPreferencesSerializer(rows.first() or ProjectChannels()).data)

    def patch(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        project = self.project
        serializer = ProjectPreferencesSerializer(data=request.data, partial=True, context={"request": request})
        serializer.is_valid(raise_exception=True)
        using = router.db_for_write(ProjectChannels)
        with transaction.atomic(using=using):
            rows = ProjectChannels.objects.using(using)
            rows.get_or_create(user=request.user, project_id=project.pk)
            serializer.instance = rows.select_for_update().get(user=request.user, project_id=project.pk)
            serializer.save()
        return Response(serializer.data)
