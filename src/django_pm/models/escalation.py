"""What is to happen when a task is left lying: the rules of a project, and each time one has acted.

``services/escalating.py`` acts. The rules themselves are settings of a project, and no event tells of their edits.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_pm.models.membership import Role
from django_pm.models.project import Project
from django_pm.models.task import Status, Task

MOST_HOURS = 87_600
MOST_DAYS = 3_650
"""Ten years: an instant so long ago can be computed."""


class Condition(models.TextChoices):
    """What a rule looks for."""

    OVERDUE = "overdue", _("Overdue")
    STUCK = "stuck", _("Stuck in a status")


class Action(models.TextChoices):
    """What a rule does about it."""

    NOTIFY = "notify", _("Notify")
    REASSIGN = "reassign", _("Reassign")
    RAISE_PRIORITY = "raise_priority", _("Raise the priority")


class OpenStatus(models.TextChoices):
    """The statuses that a task can be stuck in: nobody waits for one that is completed."""

    PENDING = Status.PENDING.value, Status.PENDING.label
    IN_PROGRESS = Status.IN_PROGRESS.value, Status.IN_PROGRESS.label


class EscalationRule(models.Model):
    """What is to be done with the tasks of one project that have been overdue, or in one status, for so long.

    Columns that its condition or action has no use for are null.
    """

    project = models.ForeignKey(
        Project,
        verbose_name=_("project"),
        related_name="escalation_rules",
        on_delete=models.CASCADE,
        db_index=False,  # (project, created_at, id) below serves it
    )
    name = models.CharField(_("name"), max_length=255)
    condition = models.CharField(_("condition"), max_length=16, choices=Condition)
    hours = models.IntegerField(
        _("hours"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(MOST_HOURS)],
        help_text=_("For how long a task has to be overdue."),
    )
    status = models.CharField(  # noqa: DJ001 (none is not an empty one)
        _("status"),
        max_length=20,
        null=True,
        blank=True,
        choices=OpenStatus,
        help_text=_("What a task has to be stuck in."),
    )
    days = models.IntegerField(
        _("days"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(MOST_DAYS)],
        help_text=_("For how long a task has to be in that status."),
    )
    action = models.CharField(_("action"), max_length=16, choices=Action)
    role = models.CharField(  # noqa: DJ001 (none is not an empty one)
        _("role"),
        max_length=20,
        null=True,
        blank=True,
        choices=Role,
        help_text=_("Who is notified: this role and those above."),
    )
    is_active = models.BooleanField(_("active"), default=True)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    failed_at = models.DateTimeField(_("failed at"), null=True, editable=False)
    failure = models.CharField(_("failure"), max_length=500, blank=True, default="", editable=False)

    project_lookup: ClassVar[str] = "project"

    class Meta:
        verbose_name = _("escalation rule")
        verbose_name_plural = _("escalation rules")
        ordering = ["created_at", "id"]
        constraints = [
            # What is null is said to be apart: of a comparison with it a check thinks no ill.
            models.CheckConstraint(
                condition=Q(condition="overdue", status__isnull=True, days__isnull=True)
                & Q(hours__isnull=False, hours__gte=1)
                | Q(condition="stuck", hours__isnull=True, status__isnull=False, days__isnull=False)
                & Q(status__in=OpenStatus.values, days__gte=1),
                name="django_pm_rule_condition",
            ),
            models.CheckConstraint(
                condition=Q(action="notify", role__isnull=False, role__in=Role.values)
                | Q(action__in=["reassign", "raise_priority"], role__isnull=True),
                name="django_pm_rule_action",
            ),
        ]
        indexes = [
            models.Index(fields=["project", "created_at", "id"]),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def owning_project_id(self) -> Any:
        """The primary key of the project whose tasks it is for."""
        return self.project_id

    @property
    def patience(self) -> dt.timedelta:
        """For how long a task may be so before the rule acts."""
        return dt.timedelta(hours=self.hours or 0, days=self.days or 0)

    def useless(self) -> set[str]:
        """The columns that the condition and the action have no use for."""
        of_condition = {"hours"} if self.condition == Condition.STUCK else {"status", "days"}
        return of_condition if self.action == Action.NOTIFY else {*of_condition, "role"}

    def misfits(self) -> Iterator[tuple[str, str]]:
        """What does not go together: each column with a sentence."""
        useless = self.useless()
        for name in ("hours", "status", "days", "role"):
            value = self.action if name == "role" else self.condition
            if name in useless and getattr(self, name) is not None:
                yield name, gettext("“%(value)s” has no use for this: leave it out.") % {"value": value}
            if name not in useless and getattr(self, name) is None:
                yield name, gettext("“%(value)s” needs this.") % {"value": value}

    def clean(self) -> None:
        """Refuse what does not go together, once there is a condition and an action."""
        if self.condition and self.action and (wrong := dict(self.misfits())):
            raise ValidationError(wrong)


class Outcome(models.TextChoices):
    """What came of it when a rule acted."""

    DONE = "done", _("Done")
    ALREADY_URGENT = "already_urgent", _("The task was urgent already")
    NOBODY = "nobody", _("There was nobody else to give it to")


class FiringQuerySet(QuerySet["Firing"]):
    def expired(self) -> FiringQuerySet:
        """Of tasks that are gone. Those of others are what keeps a rule from acting twice."""
        return self.filter(~Exists(Task.objects.filter(pk=OuterRef("task_id"))))


class Firing(models.Model):
    """A rule has acted on a task, once for the instant since which it was overdue or stuck."""

    rule = models.ForeignKey(
        EscalationRule,
        verbose_name=_("rule"),
        related_name="firings",
        on_delete=models.CASCADE,
        db_index=False,  # the unique constraint serves it
    )
    task_id = models.BigIntegerField(_("task"))
    instant = models.DateTimeField(_("since"), help_text=_("The due date, or when the task came into its status."))
    fired_at = models.DateTimeField(_("fired at"), default=timezone.now)
    action = models.CharField(_("action"), max_length=16, choices=Action)
    outcome = models.CharField(_("outcome"), max_length=16, choices=Outcome, default=Outcome.DONE)

    objects: ClassVar[Any] = FiringQuerySet.as_manager()

    project_lookup: ClassVar[str] = "rule__project"

    class Meta:
        verbose_name = _("firing")
        verbose_name_plural = _("firings")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["rule", "task_id", "instant"], name="django_pm_firing_once"),
        ]

    def __str__(self) -> str:
        return f"{Action(self.action).label} {self.task_id}"
