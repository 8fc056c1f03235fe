"""The inbox: what each person was told, and what they watch.

None of these rows has a foreign key to what it is about: a task with ten thousand watchers is deleted as quickly as any
other. What is gone, or not seen any more, is left out when a row is read, and let go by ``pm_prune``.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from django_pm.conf import app_settings
from django_pm.models.mail import Mail
from django_pm.models.project import Project
from django_pm.models.task import Task


class Reason(models.TextChoices):
    """Why somebody is told. Of several that one event gives, the first of these counts."""

    MENTIONED = "mentioned", _("Mentioned")
    ASSIGNED = "assigned", _("Assigned")
    ADDED = "added", _("Added to a project")
    ESCALATED = "escalated", _("Escalated")
    COMMENTED = "commented", _("Commented")
    STATUS_CHANGED = "status_changed", _("Status changed")
    DUE_SOON = "due_soon", _("Due soon")
    REPORT_READY = "report_ready", _("Report ready")


class Channel(models.TextChoices):
    """Where somebody is told."""

    IN_APP = "in_app", _("In the inbox")
    MAIL = "mail", _("By mail, at once")
    DIGEST = "digest", _("In the daily digest")


class NotificationQuerySet(models.QuerySet["Notification"]):
    def expired(self) -> NotificationQuerySet:
        """Those that are older than the site keeps them."""
        days = app_settings.NOTIFICATION_RETENTION_DAYS
        return self.filter(created_at__lt=timezone.now() - dt.timedelta(days=days)) if days else self.none()

    def unread(self) -> NotificationQuerySet:
        """Those that nobody has marked as read."""
        return self.filter(read_at__isnull=True)


class Notification(models.Model):
    """That one person was told of one event: at most once, for one reason."""

    recipient = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("recipient"),
        related_name="pm_notifications",
        on_delete=models.CASCADE,
        db_index=False,  # (recipient, created_at, id) below serves it
    )
    reason = models.CharField(_("reason"), max_length=16, choices=Reason)
    project_id = models.BigIntegerField(_("project"))
    task_id = models.BigIntegerField(_("task"), null=True, blank=True)
    object_type = models.CharField(_("object type"), max_length=32)
    object_id = models.CharField(_("object"), max_length=64)
    event_uuid = models.UUIDField(_("event"), help_text=_("Or, of a task that is due soon, a name for the occasion."))
    actor_id = models.CharField(_("actor"), max_length=64, null=True, blank=True)  # noqa: DJ001 (as in Event)
    in_app = models.BooleanField(_("in the inbox"), default=True)
    by_mail = models.CharField(_("by mail"), max_length=8, choices=Channel, blank=True, default="")
    mail = models.ForeignKey(
        Mail,
        verbose_name=_("mail"),
        related_name="notifications",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        help_text=_("The message that carries it."),
    )
    created_at = models.DateTimeField(_("created at"), default=timezone.now)
    read_at = models.DateTimeField(_("read at"), null=True, blank=True)

    objects: ClassVar[Any] = NotificationQuerySet.as_manager()

    project_lookup = "project_id"

    class Meta:
        verbose_name = _("notification")
        verbose_name_plural = _("notifications")
        ordering = ["-created_at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["event_uuid", "recipient"], name="django_pm_notification_once"),
        ]
        indexes = [
            models.Index(fields=["recipient", "created_at", "id"]),
            models.Index(fields=["recipient"], condition=Q(read_at__isnull=True, in_app=True), name="django_pm_unread"),
            models.Index(
                fields=["recipient"],
                condition=Q(by_mail="digest", mail__isnull=True, read_at__isnull=True),
                name="django_pm_undigested",
            ),
            models.Index(fields=["created_at"]),
        ]

    def __str__(self) -> str:
        return f"{self.reason} {self.object_type}:{self.object_id}"


class Level(models.TextChoices):
    """How much somebody hears of a project or a task."""

    WATCHING = "watching", _("Watching")
    INVOLVED = "involved", _("Involved")
    MUTED = "muted", _("Muted")


class Watched(models.TextChoices):
    """What can be watched."""

    PROJECT = "project", _("Project")
    TASK = "task", _("Task")


class WatchQuerySet(models.QuerySet["Watch"]):
    def expired(self) -> WatchQuerySet:
        """Those of projects and tasks that are gone."""
        projects = Project.objects.order_by().filter(pk=OuterRef("object_id"))
        tasks = Task.objects.order_by().filter(pk=OuterRef("object_id"))
        of_project, of_task = Q(object_type=Watched.PROJECT), Q(object_type=Watched.TASK)
        return self.filter((of_project & ~Exists(projects)) | (of_task & ~Exists(tasks)))


class Watch(models.Model):
    """What one person has to do with a project or a task. The row outlives their access, which is asked about apart."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("user"), related_name="pm_watches", on_delete=models.CASCADE
    )
    object_type = models.CharField(_("object type"), max_length=8, choices=Watched)
    object_id = models.BigIntegerField(_("object"))
    level = models.CharField(_("level"), max_length=8, choices=Level)
    created_at = models.DateTimeField(_("created at"), default=timezone.now)

    objects: ClassVar[Any] = WatchQuerySet.as_manager()

    class Meta:
        verbose_name = _("watch")
        verbose_name_plural = _("watches")
        constraints = [
            models.UniqueConstraint(fields=["object_type", "object_id", "user"], name="django_pm_watch_once"),
        ]

    def __str__(self) -> str:
        return f"{self.level} {self.object_type}:{self.object_id}"


class ProjectChannelsQuerySet(models.QuerySet["ProjectChannels"]):
    def expired(self) -> ProjectChannelsQuerySet:
        """Those of projects that are gone."""
        return self.filter(~Exists(Project.objects.order_by().filter(pk=OuterRef("project_id"))))


class ProjectChannels(models.Model):
    """Where one person wants to be told of one project, where that differs from what they want elsewhere."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("user"),
        related_name="pm_project_channels",
        on_delete=models.CASCADE,
    )
    project_id = models.BigIntegerField(_("project"))
    channels = models.JSONField(_("channels"), default=dict, help_text=_("By reason, a list of channels."))

    objects: ClassVar[Any] = ProjectChannelsQuerySet.as_manager()

    project_lookup: ClassVar[str] = "project_id"

    class Meta:
        verbose_name = _("channels of a project")
        verbose_name_plural = _("channels of projects")
        constraints = [
            models.UniqueConstraint(fields=["project_id", "user"], name="django_pm_project_channels_once"),
        ]

    def __str__(self) -> str:
        return f"{self.project_id}"
