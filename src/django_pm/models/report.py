"""The daily report of a project: one for each date, as data. ``services/summaries.py`` says what is in it."""

from __future__ import annotations

import datetime as dt
from typing import Any, ClassVar

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from django_pm.conf import app_settings
from django_pm.models.base import ProjectObject, ProjectObjectQuerySet
from django_pm.models.project import Project

LATEST_BEHIND = 2
"""How many days the latest report of a project may be behind the date in UTC: its zone may be a day behind, and its
hour yet to come. It is never let go, or it would be made and mailed again."""


class ReportQuerySet(ProjectObjectQuerySet["Report"]):
    def expired(self) -> ReportQuerySet:
        """Reports of dates longer ago than the site keeps them."""
        days = app_settings.REPORT_RETENTION_DAYS
        if not days:
            return self.none()
        return self.filter(date__lt=timezone.now().date() - dt.timedelta(days=max(days, LATEST_BEHIND)))


def given_by_itself(field: models.JSONField[Any, Any]) -> models.JSONField[Any, Any]:
    """``field``, of which PostgreSQL is given each value by itself when many rows are inserted.

    Django gives it those of each column as one array, in which psycopg escapes every quotation mark of a text by
    itself: that took a third of the time in which reports are stored. Columns whose values may need a placeholder of
    their own are kept out of arrays. It is no class of its own, for such a one would be of another type than JSON.
    """

    def get_placeholder_sql(value: Any, compiler: Any, connection: Any) -> Any:  # since Django 6.1
        return compiler.compile(value) if hasattr(value, "as_sql") else ("%s", [value])

    given: Any = field
    given.get_placeholder = lambda value, compiler, connection: "%s"
    given.get_placeholder_sql = get_placeholder_sql
    return field


class Report(ProjectObject):
    """What a project looked like on one date of its own time zone, and what had happened the day before."""

    project = models.ForeignKey(
        Project,
        verbose_name=_("project"),
        related_name="reports",
        on_delete=models.CASCADE,
        db_index=False,  # the unique constraint serves it
    )
    date = models.DateField(_("date"), help_text=_("In the time zone of the project."))
    time_zone = models.CharField(_("time zone"), max_length=64, help_text=_("In which its days begin and end."))
    generated_at = models.DateTimeField(_("generated at"), default=timezone.now)
    data = given_by_itself(models.JSONField(_("data"), default=dict))
    note = models.CharField(
        _("note"), max_length=500, blank=True, default="", help_text=_("What was wrong when it was made, if anything.")
    )

    objects: ClassVar[Any] = ReportQuerySet.as_manager()

    project_lookup = "project"
    event_kind = "report"
    tracked = ("project", "date", "time_zone", "generated_at", "data", "note")
    untold = frozenset({"data"})
    shows_stamp = False
    told_on_delete = ("project", "date")
    told_on_move = ("project",)
    moved_by = frozenset({"project"})

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("report")
        verbose_name_plural = _("reports")
        ordering = ["-date", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["project", "date"], name="django_pm_report_once"),
        ]

    def __str__(self) -> str:
        return f"{self.project}: {self.date}"

    @property
    def owning_project_id(self) -> Any:
        return self.project_id
