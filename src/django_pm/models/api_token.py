"""Credentials for scripts: what one of them may do is never more than its user may."""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets
from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

PREFIX = "pm_"
"""What every secret begins with, so that people and scanners know one when they see it."""

SECRET_BYTES = 32
SHOWN_CHARACTERS = len(PREFIX) + 6
USE_NOTED_EVERY = dt.timedelta(minutes=1)


class Scope(models.TextChoices):
    READ = "read", _("Read")
    WRITE = "write", _("Read and write")


class ApiTokenQuerySet(models.QuerySet["ApiToken"]):
    def live(self) -> ApiTokenQuerySet:
        """Tokens that have not expired."""
        return self.filter(Q(expires_at__isnull=True) | Q(expires_at__gt=timezone.now()))

    def of_secret(self, secret: str) -> ApiTokenQuerySet:
        """The live token with this secret, if there is one."""
        return self.live().filter(digest=digest_of(secret))


class ApiToken(models.Model):
    """A named credential of one user. Revoking it is deleting it.

    Only a digest of the secret is kept. A plain hash will do: the secret is 256 random bits, which nobody guesses.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("user"), related_name="pm_api_tokens", on_delete=models.CASCADE
    )
    name = models.CharField(_("name"), max_length=100, help_text=_("What it is for."))
    scope = models.CharField(_("scope"), max_length=5, choices=Scope, default=Scope.READ)
    every_project = models.BooleanField(_("every project"), default=True)
    projects = models.ManyToManyField(
        "django_pm.Project",
        verbose_name=_("projects"),
        related_name="+",
        blank=True,
        help_text=_("The only projects it is good for, unless it is for every project."),
    )
    expires_at = models.DateTimeField(_("expires at"), null=True, blank=True)
    digest = models.CharField(_("digest"), max_length=64, unique=True, editable=False)
    beginning = models.CharField(_("beginning"), max_length=16, editable=False, help_text=_("To know it again by."))
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    last_used_at = models.DateTimeField(_("last used at"), null=True, editable=False)

    objects: ClassVar[Any] = ApiTokenQuerySet.as_manager()

    secret: str | None = None
    """The secret itself, known to the instance that made it and to no other."""

    class Meta:
        verbose_name = _("API token")
        verbose_name_plural = _("API tokens")
        ordering = ["-created_at", "-id"]
        indexes = [models.Index(fields=["user", "created_at", "id"])]

    def __str__(self) -> str:
        return f"{self.name} ({self.beginning}…)"

    def renew_secret(self) -> str:
        """Give this token a new secret, which it returns and does not keep; the token is to be saved."""
        self.secret = PREFIX + secrets.token_urlsafe(SECRET_BYTES)
        self.digest = digest_of(self.secret)
        self.beginning = self.secret[:SHOWN_CHARACTERS]
        return self.secret

    def note_use(self) -> None:
        """Remember that it was used now; to the minute, so that a busy script does not write for every request."""
        now = timezone.now()
        if self.last_used_at is None or self.last_used_at <= now - USE_NOTED_EVERY:
            type(self).objects.filter(pk=self.pk).update(last_used_at=now)


def digest_of(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
