"""A table beside that of tasks: no migration of django-pm ever meets it."""

from django.db import models

from django_pm.models import Task


class TaskDetails(models.Model):
    """What the back office wants to know about a task."""

    task = models.OneToOneField(Task, primary_key=True, related_name="details", on_delete=models.CASCADE)
    cost_centre = models.CharField(max_length=20)

    class Meta:
        app_label = "side_table"
        verbose_name_plural = "task details"

    def __str__(self) -> str:
        return f"{self.cost_centre} of task {self.task_id}"
