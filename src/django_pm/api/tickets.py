"""``POST /notifications/ticket/``: a one-use ticket for a WebSocket, where cookies and headers do not reach."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import inline_serializer
from rest_framework import serializers, status
from rest_framework.authentication import SessionAuthentication
from rest_framework.request import Request
from rest_framework.response import Response

from django_pm import access
from django_pm.api.base import BaseAPIView
from django_pm.api.fields import InstantField
from django_pm.api.openapi import ApiSchema
from django_pm.models import ApiToken
from django_pm.models.ticket import issue

TICKET = inline_serializer("Ticket", {"ticket": serializers.CharField(), "expires_at": InstantField()})


class TicketSchema(ApiSchema):
    """How the ticket stands in the OpenAPI document."""

    def get_operation_id(self) -> str:
        return "notifications_ticket_create"

    def get_request_serializer(self) -> None:
        """Nothing is to be sent."""

    def get_response_serializers(self) -> dict[int, Any]:
        return {status.HTTP_201_CREATED: TICKET}


class TicketView(BaseAPIView):
    """A ticket opens one socket at `/ws/notifications/?ticket=…` within 30 seconds, as whoever asked for it."""

    schema = TicketSchema()
    is_for_readers = True

    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        token = request.auth if isinstance(request.auth, ApiToken) else None
        by_session = isinstance(request.successful_authenticator, SessionAuthentication)
        session_key = request.session.session_key if by_session else ""
        held_to = None if token else access.grant_of(request.user).project_ids
        ticket, expires_at = issue(request.user, token=token, session_key=session_key, project_ids=held_to)
        body = {"ticket": ticket, "expires_at": InstantField().to_representation(expires_at)}
        return Response(body, status=status.HTTP_201_CREATED)
