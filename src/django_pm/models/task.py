"""The task: what is to be done, by whom, until when. ``completed_at`` follows ``status`` on every kind of write."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from typing import Any, ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from django_pm import event_types
from django_pm.models.base import ProjectObject, ProjectObjectQuerySet, related_count
from django_pm.models.fields import CompletedAtField, RankedChoiceField
from django_pm.models.project import Project


class Status(models.TextChoices):
    PENDING = "pending", _("Pending")
    IN_PROGRESS = "in_progress", _("In progress")
    COMPLETED = "completed", _("Completed")


class Priority(models.TextChoices):
    """From least to most urgent: the order is the rank that is stored and sorted by."""

    NONE = "none", pgettext_lazy("priority", "None")  # Django's admin has a “None” too, which is a dash in German
    LOW = "low", _("Low")
    MEDIUM = "medium", _("Medium")
    HIGH = "high", _("High")
    URGENT = "urgent", _("Urgent")


class TaskQuerySet(ProjectObjectQuerySet["Task"]):
    def update(self, **values: Any) -> int:
        """As Django's; ``completed_at`` is set, kept or cleared by the status each row ends up with."""
        if values.keys() & {"status", "completed_at"}:
            field = self.model._meta.get_field("completed_at")
            status = values.get("status", F("status"))
            values["completed_at"] = field.following(status, values.get("completed_at", F("completed_at")))
        return super().update(**values)

    update.alters_data = True  # type: ignore[attr-defined]

    def with_counts(self) -> TaskQuerySet:
        """Each task with ``comment_count``."""
        return self.annotate(comment_count=related_count("comments", self.model))

    def open(self) -> TaskQuerySet:
        """Tasks that are not completed (written so that the partial index on ``due_date`` serves it)."""
        return self.filter(~Q(status=Status.COMPLETED))

    def overdue(self, at: dt.datetime | None = None) -> TaskQuerySet:
        """Open tasks whose due date has passed at the instant ``at`` (now by default)."""
        return self.open().filter(due_date__lt=at or timezone.now())

    def not_overdue(self, at: dt.datetime | None = None) -> TaskQuerySet:
        """The other tasks: completed, due later, or without a due date."""
        return self.filter(
            Q(status=Status.COMPLETED) | Q(due_date__gte=at or timezone.now()) | Q(due_date__isnull=True)
        )


class AbstractTask(ProjectObject):
    """The columns of a task, for a host that builds a model of its own on them."""

    project = models.ForeignKey(
        Project,
        verbose_name=_("project"),
        related_name="tasks",
        on_delete=models.CASCADE,
        db_index=False,  # (project, created_at, id) below serves it
    )
    title = models.CharField(_("title"), max_length=255)
    description = models.TextField(_("description"), blank=True, default="")
    status = models.CharField(_("status"), max_length=20, choices=Status, default=Status.PENDING)
    priority = RankedChoiceField(_("priority"), choices=Priority, default=Priority.NONE)
    due_date = models.DateTimeField(_("due date"), null=True, blank=True)
    assignee = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("assignee"),
        related_name="pm_assigned_tasks",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        db_index=False,  # (assignee, created_at, id) below serves it
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("created by"),
        related_name="pm_created_tasks",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
    )
    completed_at = CompletedAtField(  # type: ignore[misc]  # model-utils types its fields as never null
        _("completed at"), monitor="status", when=[Status.COMPLETED.value], null=True, blank=True, editable=False
    )
    metadata = models.JSONField(
        _("metadata"),
        default=dict,
        blank=True,
        help_text=_("Small values of your own, for instance a key in another system."),
    )

    _known_project_id: Any = None

    objects: ClassVar[Any] = TaskQuerySet.as_manager()

    project_lookup = "project"
    event_kind = "task"
    tracked = (
        "project",
        "title",
        "description",
        "status",
        "priority",
        "due_date",
        "assignee",
        "created_by",
        "completed_at",
        "metadata",
        "created_at",
    )
    told_on_delete = ("project", "title")
    told_on_move = ("project",)
    moved_by = frozenset({"project"})
    untold_children = {"comments": event_types.OMITTED}
    written_along = {"status": ("completed_at",)}

    class Meta:
        abstract = True
        base_manager_name = "objects"
        verbose_name = _("task")
        verbose_name_plural = _("tasks")
        ordering = ["-created_at", "-id"]
        constraints = [
            # Only raw SQL could write a rank that is no choice; it would be found out when the row is read.
            models.CheckConstraint(condition=Q(priority__in=Priority.values), name="%(app_label)s_%(class)s_priority"),
        ]
        indexes = [
            # Every ordering the API offers, over all projects a user sees; `id` breaks ties between pages.
            models.Index(fields=["created_at", "id"]),
            models.Index(fields=["updated_at", "id"]),
            models.Index(fields=["due_date", "id"]),
            models.Index(fields=["priority", "id"]),
            models.Index(fields=["title", "id"]),
            # The filters, each with the default order behind it.
            models.Index(fields=["project", "created_at", "id"]),
            models.Index(fields=["project", "status", "created_at", "id"]),
            models.Index(fields=["project", "due_date", "id"]),
            models.Index(fields=["status", "created_at", "id"]),
            models.Index(fields=["assignee", "created_at", "id"]),
            # Overdue and due soon: only open tasks are ever asked for, and they are few among many.
            models.Index(
                fields=["due_date"], condition=~Q(status="completed"), name="%(app_label)s_%(class)s_open_due"
            ),
        ]

    def __str__(self) -> str:
        return self.title

    @classmethod
    def from_db(cls, db: str | None, field_names: Collection[str], values: Collection[Any], **options: Any) -> Self:
        instance = super().from_db(db, field_names, values, **options)
        instance.remember_place()
        return instance

    @property
    def owning_project_id(self) -> Any:
        return self.project_id

    def moves(self) -> bool:
        return self.__dict__.get("project_id") != self._known_project_id

    def remember_place(self) -> None:
        self._known_project_id = self.__dict__.get("project_id")


class Task(AbstractTask):
    """A task of a project, with ``comments``."""

    class Meta(AbstractTask.Meta):
        abstract = False
