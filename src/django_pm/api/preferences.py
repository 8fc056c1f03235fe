"""``/notification-preferences/``: what whoever is signed in wants to be told by mail, and how."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from django_pm.api.base import BaseAPIView
from django_pm.api.openapi import ApiSchema
from django_pm.api.serializers import StrictModelSerializer
from django_pm.models import NotificationPreferences


class PreferencesSerializer(StrictModelSerializer):
    """Empty texts stand for what the site has."""

    class Meta:
        model = NotificationPreferences
        fields = ["language", "time_zone", "reminders", "reports"]


class PreferencesSchema(ApiSchema):
    """How the preferences stand in the OpenAPI document."""

    def get_operation_id(self) -> str:
        return "notification_preferences_" + ("retrieve" if self.method == "GET" else "partial_update")


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
        preferences, _made = NotificationPreferences.objects.update_or_create(
            user=request.user, defaults=serializer.validated_data
        )
        return Response(PreferencesSerializer(preferences).data)
