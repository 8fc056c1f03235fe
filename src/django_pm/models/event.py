"""The event log: what happened, in the order it became visible, project by project.

Neither table has a foreign key: events outlive what they tell of.
"""

from __future__ import annotations

import secrets
import uuid
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from django_pm import event_types


class Event(models.Model):
    """One change of one object. Appended beside the change, in its transaction, with ``seq`` empty.

    Whoever first reads the stream afterwards numbers it (``events/feed.py``). Nothing else ever changes a row.
    """

    uuid = models.UUIDField(_("UUID"), default=uuid.uuid4, editable=False)
    project_id = models.BigIntegerField(_("project"))
    seq = models.BigIntegerField(
        _("number"), null=True, help_text=_("The place in the project's stream; empty until somebody reads it.")
    )
    type = models.CharField(_("type"), max_length=64)
    object_type = models.CharField(_("object type"), max_length=32)
    object_id = models.CharField(_("object"), max_length=64)
    actor_id = models.CharField(_("actor"), max_length=64, null=True)  # noqa: DJ001 (no actor is not an empty one)
    actor_name = models.CharField(_("actor's name"), max_length=255, blank=True)
    changes = models.JSONField(_("changes"), default=dict)
    version = models.SmallIntegerField(_("version of the form of changes"), default=event_types.SCHEMA_VERSION)
    origin = models.CharField(_("origin"), max_length=64)
    created_at = models.DateTimeField(_("created at"), default=timezone.now)

    project_lookup: ClassVar[str] = "project_id"

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["project_id", "seq"], name="django_pm_event_seq_unique"),
        ]
        indexes = [
            models.Index(fields=["project_id", "id"], condition=Q(seq__isnull=True), name="django_pm_event_unnumbered"),
            models.Index(fields=["project_id", "object_type", "object_id", "seq"], name="django_pm_event_object"),
            models.Index(fields=["project_id", "created_at"], name="django_pm_event_time"),
        ]

    def __str__(self) -> str:
        return f"{self.project_id}/{self.seq or '-'} {self.type} {self.object_type}:{self.object_id}"


def new_epoch() -> str:
    """A name for a lineage of a log that no other lineage has."""
    return secrets.token_hex(8)


class ProjectStream(models.Model):
    """Where a project's events are numbered up to. Made when first needed, kept when the project is gone."""

    project_id = models.BigIntegerField(_("project"), primary_key=True)
    seq = models.BigIntegerField(_("last number given"), default=0)
    floor = models.BigIntegerField(_("lowest number still there"), default=1)
    epoch = models.CharField(_("epoch"), max_length=32, default=new_epoch)

    project_lookup: ClassVar[str] = "project_id"

    class Meta:
        verbose_name = _("event stream")
        verbose_name_plural = _("event streams")

    def __str__(self) -> str:
        return f"{self.project_id}: {self.floor}-{self.seq}"
