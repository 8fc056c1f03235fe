"""Signing in with an API token: ``Authorization: Bearer pm_…``, beside whatever the host signs people in with."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from rest_framework.settings import api_settings

from django_pm import access
from django_pm.models.api_token import PREFIX, ApiToken, Scope

SCHEME = "Bearer"


class ApiTokenAuthentication(BaseAuthentication):
    """The user of a token, limited to what the token is for.

    A bearer credential that does not look like one of ours is left to the host's own authentication.
    """

    def authenticate(self, request: Request) -> tuple[Any, ApiToken] | None:
        secret = bearer_of(request)
        if secret is None:
            return None
        token = ApiToken.objects.of_secret(secret).select_related("user").first()
        if token is None or not getattr(token.user, "is_active", True):
            raise AuthenticationFailed(_("Invalid token."))
        token.note_use()
        access.limit(token.user, grant_of_token(token))
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return f'{SCHEME} realm="api"'


def grant_of_token(token: ApiToken) -> access.Grant:
    """What a token allows of what its user may do."""
    project_ids = None if token.every_project else frozenset(token.projects.values_list("pk", flat=True))
    return access.Grant(read_only=token.scope == Scope.READ, project_ids=project_ids)


def bearer_of(request: Any) -> str | None:
    """The secret of ours that this request carries; None without one."""
    scheme, _blank, secret = request.headers.get("Authorization", "").partition(" ")
    secret = secret.strip()
    return secret if scheme.lower() == SCHEME.lower() and secret.startswith(PREFIX) else None


def ways_to_sign_in() -> list[type[BaseAuthentication]]:
    """The site's own, beside tokens of ours."""
    return list(api_settings.DEFAULT_AUTHENTICATION_CLASSES)


def relies_on_sessions() -> bool:
    """Whether one of them is a session of Django's."""
    return any(issubclass(each, SessionAuthentication) for each in ways_to_sign_in())


class ApiTokenInDocument(OpenApiAuthenticationExtension):
    target_class = "django_pm.api.authentication.ApiTokenAuthentication"
    name = "apiToken"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "description": "An API token made at `/tokens/`."}
