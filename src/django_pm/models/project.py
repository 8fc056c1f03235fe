"""The project: what tasks belong to, what people are members of, and the unit of visibility."""

from __future__ import annotations

import zoneinfo
from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

from django_pm.models import recorder
from django_pm.models.base import ProjectObject, ProjectObjectQuerySet, delete_unrecorded, related_count
from django_pm.models.recorder import Snapshot


def default_time_zone() -> str:
    """The site's own time zone (a callable, so that no migration holds one site's value)."""
    return settings.TIME_ZONE or "UTC"


def validate_time_zone(name: str) -> None:
    """Refuse a name that is no IANA time zone of this machine."""
    if name not in zoneinfo.available_timezones():
        raise ValidationError(_("“%(name)s” is not a known time zone."), code="time_zone", params={"name": name})


class ProjectQuerySet(ProjectObjectQuerySet["Project"]):
    def with_counts(self) -> ProjectQuerySet:
        """Each project with ``task_count`` and ``completed_task_count``."""
        return self.annotate(
            task_count=related_count("tasks", self.model),
            completed_task_count=related_count("tasks", self.model, status="completed"),
        )


class AbstractProject(ProjectObject):
    """The columns of a project, for a host that builds a model of its own on them."""

    name = models.CharField(_("name"), max_length=255)
    description = models.TextField(_("description"), blank=True, default="")
    time_zone = models.CharField(
        _("time zone"),
        max_length=64,
        default=default_time_zone,
        validators=[validate_time_zone],
        help_text=_("IANA name. Decides what “today” means for this project."),
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("created by"),
        related_name="pm_created_projects",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
    )
    metadata = models.JSONField(
        _("metadata"),
        default=dict,
        blank=True,
        help_text=_("Small values of your own, for instance a key in another system."),
    )

    objects: ClassVar[Any] = ProjectQuerySet.as_manager()

    project_lookup = "pk"
    event_kind = "project"
    tracked = ("name", "description", "time_zone", "created_by", "metadata", "created_at")
    told_on_delete = ("name",)
    # Whoever adds a task to this project and comments on another holds that task, and then needs the project.
    deleted_fully_locked = False

    class Meta:
        abstract = True
        base_manager_name = "objects"
        verbose_name = _("project")
        verbose_name_plural = _("projects")
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["created_at", "id"]),
            models.Index(fields=["updated_at", "id"]),
            models.Index(fields=["name", "id"]),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def owning_project_id(self) -> Any:
        return self.pk

    @classmethod
    def projects_of_snapshots(
        cls, arriving: list[Snapshot], staying: list[Snapshot], *, using: str
    ) -> Callable[[Any, Snapshot], Any]:
        return lambda pk, row: pk

    @classmethod
    def delete_children(cls, pks: list[Any], *, using: str) -> Counter[str]:
        """Its rows, which ``project.deleted`` implies: 100,000 tasks neither fill memory nor the log.

        Children before the project, as Django does it; then, the project fully locked, those that came in meanwhile.
        """
        deleted = cls._sweep(pks, using=using)
        list(recorder.locked(cls._base_manager.using(using).filter(pk__in=pks).order_by("pk"), fully=True).values("pk"))
        return deleted + cls._sweep(pks, using=using)

    @classmethod
    def _sweep(cls, pks: list[Any], *, using: str) -> Counter[str]:
        deleted: Counter[str] = Counter()
        # The rules before the tasks: one that is acting holds the project, then itself, then a task.
        for relation in ("escalation_rules", "tasks", "memberships", "reports"):
            link: Any = cls._meta.get_field(relation)
            rows = link.related_model._base_manager.using(using)
            # Locked, because one that is being moved out at this moment is no child any more once we get its row.
            children = recorder.locked(rows.filter(**{f"{link.field.name}__in": pks}).order_by("pk"), fully=True)
            while chunk := list(children.values_list("pk", flat=True)[: recorder.CHUNK]):
                deleted.update(delete_unrecorded(rows.filter(pk__in=chunk), using=using))
        return deleted


class Project(AbstractProject):
    """A project, with ``tasks`` and ``memberships``."""

    class Meta(AbstractProject.Meta):
        abstract = False
