"""How a site adds its own columns to tasks: a one-to-one side table, joined where it is needed.

django-pm's tables stay as they are, so upgrading it never meets a migration of ours.
"""

from django.db import models
from django_pm.models import Task


class TaskDetails(models.Model):
    """What the back office wants to know about a task."""

    task = models.OneToOneField(Task, primary_key=True, related_name="details", on_delete=models.CASCADE)
    cost_centre = models.CharField(max_length=20, blank=True)
    estimate_minutes = models.PositiveIntegerField(null=True, blank=True)

    class Meta:
        verbose_name = verbose_name_plural = "task details"

    def __str__(self) -> str:
        return f"Details of task {self.task_id}"
