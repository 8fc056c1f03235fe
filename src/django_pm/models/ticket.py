"""One-use tickets: how a page opens a WebSocket where its cookies or headers do not reach."""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Collection
from typing import Any

from django.conf import settings
from django.db import models, router
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from django_pm.models.api_token import ApiToken, digest_of

SESSION_KEY_LENGTH = 64
LIFETIME = dt.timedelta(seconds=30)


class Ticket(models.Model):
    """Stands for the credentials that it was asked for with, and ends with them. Only a digest of it is kept."""

    digest = models.CharField(_("digest"), max_length=64, unique=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("user"), related_name="+", on_delete=models.CASCADE
    )
    token = models.ForeignKey(
        ApiToken, verbose_name=_("API token"), related_name="+", on_delete=models.CASCADE, null=True
    )
    project_ids = models.JSONField(_("projects"), null=True, editable=False)
    """Their keys as text, where the credentials were held to some; with a token, that tells it."""
    session_key = models.CharField(_("session key"), max_length=SESSION_KEY_LENGTH, blank=True, default="")
    expires_at = models.DateTimeField(_("expires at"), db_index=True)

    class Meta:
        verbose_name = _("ticket")
        verbose_name_plural = _("tickets")

    def __str__(self) -> str:
        return f"{self.user_id} ({self.expires_at})"


def issue(
    user: Any,
    *,
    token: ApiToken | None = None,
    session_key: str = "",
    project_ids: Collection[Any] | None = None,
) -> tuple[str, dt.datetime]:
    """A new ticket for ``user``, and when it ends. Forgets those that have."""
    if len(session_key) > SESSION_KEY_LENGTH:
        session_key = ""  # of sessions in signed cookies, which the server could not ask for anyway
    now = timezone.now()
    secret = secrets.token_urlsafe(32)
    tickets = Ticket.objects.using(router.db_for_write(Ticket))
    tickets.filter(expires_at__lt=now).delete()
    tickets.create(
        digest=digest_of(secret),
        user=user,
        token=token,
        project_ids=None if project_ids is None else sorted(map(str, project_ids)),
        session_key=session_key,
        expires_at=now + LIFETIME,
    )
    return secret, now + LIFETIME


def redeem(secret: str) -> Ticket | None:
    """The ticket, used up by this; None if it is none, was used, or has ended."""
    tickets = Ticket.objects.using(router.db_for_write(Ticket))
    ticket = tickets.select_related("user", "token").filter(digest=digest_of(secret)).first()
    if ticket is None or ticket.expires_at <= timezone.now():
        return None
    # Of two who come with it at once, one deletes it.
    used, _by_model = tickets.filter(pk=ticket.pk).delete()
    return ticket if used else None
