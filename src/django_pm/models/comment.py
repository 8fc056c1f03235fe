"""What people say about a task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.utils.text import Truncator
from django.utils.translation import gettext_lazy as _

from django_pm.models import recorder
from django_pm.models.base import ProjectObject, ProjectObjectQuerySet
from django_pm.models.recorder import Snapshot
from django_pm.models.task import Task


class CommentQuerySet(ProjectObjectQuerySet["Comment"]):
    pass


class AbstractComment(ProjectObject):
    """The columns of a comment, for a host that builds a model of its own on them."""

    task = models.ForeignKey(
        Task,
        verbose_name=_("task"),
        related_name="comments",
        on_delete=models.CASCADE,
        db_index=False,  # (task, created_at, id) below serves it
    )
    author = models.CharField(_("author"), max_length=255, help_text=_("The name to show. The account is in “user”."))
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("user"),
        related_name="pm_comments",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        help_text=_("The account that wrote it, as signed in."),
    )
    content = models.TextField(_("content"))

    objects: ClassVar[Any] = CommentQuerySet.as_manager()

    project_lookup = "task__project"
    event_kind = "comment"
    tracked = ("task", "author", "user", "content", "created_at")
    told_on_delete = ("task",)
    told_on_move = ("task",)
    moved_by = frozenset({"task"})

    class Meta:
        abstract = True
        base_manager_name = "objects"
        verbose_name = _("comment")
        verbose_name_plural = _("comments")
        ordering = ["created_at", "id"]
        indexes = [models.Index(fields=["task", "created_at", "id"])]

    def __str__(self) -> str:
        return f"{self.author}: {Truncator(self.content).chars(60)}"

    @property
    def owning_project_id(self) -> Any:
        return self.task.project_id

    @classmethod
    def projects_of_snapshots(
        cls, arriving: list[Snapshot], staying: list[Snapshot], *, using: str
    ) -> Callable[[Any, Snapshot], Any]:
        """Read so that no move can come between: no comment is told to a project that its task has left."""
        task: Any = cls._meta.get_field("task").related_model
        new, old = {row["task"] for row in arriving}, {row["task"] for row in staying}
        projects = recorder.read_held(task, new, "project_id", using=using) if new else {}
        if old - new:
            projects |= recorder.read_pinned(task, old - new, "project_id", using=using)
        return lambda pk, row: projects.get(row["task"])


class Comment(AbstractComment):
    """A comment on a task."""

    class Meta(AbstractComment.Meta):
        abstract = False
