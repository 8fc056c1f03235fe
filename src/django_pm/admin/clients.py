"""What clients of the API come with, in the admin: tokens, tickets of sockets, keys of repeated requests."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import Prefetch, prefetch_related_objects
from django.http import HttpRequest
from django.utils.translation import gettext as _

from django_pm import access
from django_pm.admin.base import LargeTableAdmin, ReadOnlyAdmin, user_search_fields
from django_pm.models import ApiToken, IdempotencyKey, Project, Ticket


@admin.register(ApiToken)
class ApiTokenAdmin(LargeTableAdmin):
    """Tokens are made, looked at and revoked (deleted) here, never changed: whoever holds one would get more by it."""

    list_display = ["name", "user", "scope", "beginning", "expires_at", "last_used_at"]
    list_select_related = ["user"]
    search_fields = ["name", "beginning"]
    list_filter = ["scope"]
    fields = ["user", "name", "scope", "every_project", "projects", "expires_at"]
    raw_id_fields = ["user", "projects"]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        # A token acts as its user, so only a superuser makes one for somebody else.
        others = request.user.is_superuser or obj is not None
        told = [] if obj is None else ["beginning", "created_at", "last_used_at"]
        return [name for name in self.fields or () if name != "user" or others] + told

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        token = super().get_object(request, object_id, from_field)
        if token is not None:
            # As over the API: a limit to a project that is not seen says nothing, not even whether it is still there.
            seen = access.visible(request.user, Project.objects.all())
            prefetch_related_objects([token], Prefetch("projects", queryset=seen))
        return token

    def save_model(self, request: HttpRequest, obj: ApiToken, form: Any, change: bool) -> None:
        if "user" not in form.cleaned_data:
            obj.user_id = request.user.pk  # type: ignore[assignment]  # signed in, or not here
        secret = obj.renew_secret()
        super().save_model(request, obj, form, change)
        messages.warning(request, _("The token, shown this once: %(secret)s") % {"secret": secret})


@admin.register(Ticket)
class TicketAdmin(ReadOnlyAdmin):
    """Who is about to open a socket. The ticket itself is not kept, only its digest."""

    list_display = ["user", "expires_at"]
    list_select_related = ["user"]
    fields = ["user", "token", "expires_at"]

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        return user_search_fields("user")


@admin.register(IdempotencyKey)
class IdempotencyKeyAdmin(ReadOnlyAdmin):
    """Requests that would not be done twice; digests, not what was sent."""

    list_display = ["digest", "object_id", "created_at"]
    search_fields = ["=digest"]
