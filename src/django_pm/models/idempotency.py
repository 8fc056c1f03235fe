"""What a client has already asked for: the memory behind ``Idempotency-Key``."""

from __future__ import annotations

import datetime as dt
from typing import Any, ClassVar

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

KEPT_FOR = dt.timedelta(hours=24)
"""How long a repeated request is known as such."""


class IdempotencyKeyQuerySet(models.QuerySet["IdempotencyKey"]):
    def expired(self) -> IdempotencyKeyQuerySet:
        """Keys that may be used anew, for something else."""
        return self.filter(created_at__lt=timezone.now() - KEPT_FOR)


class IdempotencyKey(models.Model):
    """One POST that made something: who asked, where, by which key, and what came of it.

    Digests instead of the words themselves: a key may be anything that the client finds handy, and a path may be long.
    """

    digest = models.CharField(
        _("digest"), max_length=64, unique=True, help_text=_("Of the user, the path and the client's key together.")
    )
    body = models.CharField(_("body"), max_length=64, help_text=_("Digest of what was sent."))
    object_id = models.CharField(_("object"), max_length=64, blank=True, default="")
    created_at = models.DateTimeField(_("created at"), db_index=True)

    objects: ClassVar[Any] = IdempotencyKeyQuerySet.as_manager()

    class Meta:
        verbose_name = _("idempotency key")
        verbose_name_plural = _("idempotency keys")

    def __str__(self) -> str:
        return self.digest
