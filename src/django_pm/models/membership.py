"""Who belongs to a project, and in which role."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from django_pm.models.base import ProjectObject, ProjectObjectQuerySet
from django_pm.models.project import Project


class Role(models.TextChoices):
    """From least to most powerful; each may all that the one before may. The table is in ``access.py``."""

    VIEWER = "viewer", _("Viewer")
    MEMBER = "member", _("Member")
    MANAGER = "manager", _("Manager")
    OWNER = "owner", _("Owner")

    @property
    def rank(self) -> int:
        """0 for a viewer up to 3 for an owner."""
        return list(Role).index(self)


class MembershipQuerySet(ProjectObjectQuerySet["Membership"]):
    pass


class Membership(ProjectObject):
    """One user's role in one project."""

    project = models.ForeignKey(
        Project,
        verbose_name=_("project"),
        related_name="memberships",
        on_delete=models.CASCADE,
        db_index=False,  # the unique constraint serves it
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("user"),
        related_name="pm_memberships",
        on_delete=models.CASCADE,
        db_index=False,  # (user, project) below serves it
    )
    role = models.CharField(_("role"), max_length=20, choices=Role, default=Role.MEMBER)

    row_to_tell: Any = None
    """What ``receivers.py`` read of the row before a cascade took it."""

    objects: ClassVar[Any] = MembershipQuerySet.as_manager()

    project_lookup = "project"
    event_kind = "member"
    tracked = ("project", "user", "role")
    shows_stamp = False
    told_on_delete = ("project", "user", "role")
    told_on_move = ("project",)
    moved_by = frozenset({"project"})

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("membership")
        verbose_name_plural = _("memberships")
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["project", "user"], name="django_pm_membership_unique"),
        ]
        indexes = [
            models.Index(fields=["user", "project"]),
        ]

    def __str__(self) -> str:
        return f"{self.user}: {Role(self.role).label}"

    @property
    def owning_project_id(self) -> Any:
        return self.project_id
