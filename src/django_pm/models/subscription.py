"""Where each subscriber of the event log stands."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _


class Subscriber(models.Model):
    """A subscriber that has been seen by the relay; it began at the heads of that moment."""

    name = models.CharField(_("name"), max_length=100, primary_key=True)
    created_at = models.DateTimeField(_("first seen"), auto_now_add=True)
    seen_at = models.DateTimeField(_("last seen"), auto_now=True)

    class Meta:
        verbose_name = _("subscriber")
        verbose_name_plural = _("subscribers")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Cursor(models.Model):
    """How far one subscriber has come in one project's stream: everything up to ``seq`` was handed over."""

    subscriber = models.ForeignKey(
        Subscriber, verbose_name=_("subscriber"), on_delete=models.CASCADE, related_name="cursors", db_index=False
    )
    project_id = models.BigIntegerField(_("project"))
    seq = models.BigIntegerField(_("number"), default=0)
    attempts = models.PositiveIntegerField(
        _("failed attempts"), default=0, help_text=_("How often the next event has failed so far.")
    )
    retry_at = models.DateTimeField(_("not before"), null=True, blank=True)

    project_lookup: ClassVar[str] = "project_id"

    class Meta:
        verbose_name = _("cursor")
        verbose_name_plural = _("cursors")
        constraints = [
            models.UniqueConstraint(fields=["subscriber", "project_id"], name="django_pm_cursor_unique"),
        ]
        indexes = [models.Index(fields=["project_id", "seq"])]

    def __str__(self) -> str:
        return f"{self.subscriber_id} {self.project_id}/{self.seq}"


class ParkedEvent(models.Model):
    """An event that a subscriber failed on too often. It was stepped over, so that the rest could go on."""

    subscriber = models.ForeignKey(
        Subscriber, verbose_name=_("subscriber"), on_delete=models.CASCADE, related_name="parked"
    )
    project_id = models.BigIntegerField(_("project"))
    seq = models.BigIntegerField(_("number"))
    event_uuid = models.UUIDField(_("event"))
    error = models.TextField(_("error"))
    parked_at = models.DateTimeField(_("parked at"), auto_now_add=True)

    project_lookup: ClassVar[str] = "project_id"

    class Meta:
        verbose_name = _("parked event")
        verbose_name_plural = _("parked events")
        ordering = ["-parked_at"]
        constraints = [
            models.UniqueConstraint(fields=["subscriber", "project_id", "seq"], name="django_pm_parked_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.subscriber_id} {self.project_id}/{self.seq}"
