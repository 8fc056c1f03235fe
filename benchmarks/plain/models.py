"""Plain models over the tables of django-pm: same columns and indexes, Django's own managers, no recorder."""

from django.conf import settings
from django.db import models

from django_pm.models import Priority, Role, Status, Task
from django_pm.models.base import related_count


class PlainProject(models.Model):
    name = models.CharField(max_length=255)
    description = models.TextField(blank=True, default="")
    time_zone = models.CharField(max_length=64, default="UTC")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    metadata = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    project_lookup = "pk"

    class Meta:
        managed = False
        db_table = "django_pm_project"

    def __str__(self) -> str:
        return self.name


class PlainMembership(models.Model):
    project = models.ForeignKey(PlainProject, models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    role = models.CharField(max_length=20, choices=Role, default=Role.MEMBER)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        managed = False
        db_table = "django_pm_membership"

    def __str__(self) -> str:
        return self.role


class PlainTaskQuerySet(models.QuerySet["PlainTask"]):
    def with_counts(self) -> "PlainTaskQuerySet":
        """As the manager of ``Task``, so that the views of the API can be put over this model."""
        return self.annotate(comment_count=related_count("comments", self.model))


class PlainTask(models.Model):
    project = models.ForeignKey(PlainProject, models.CASCADE, related_name="tasks")
    title = models.CharField(max_length=255)
    description = models.TextField(blank=True, default="")
    status = models.CharField(max_length=20, choices=Status, default=Status.PENDING)
    priority = models.SmallIntegerField(choices=list(enumerate(Priority.values)), default=0)
    due_date = models.DateTimeField(null=True, blank=True)
    assignee = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    completed_at = models.DateTimeField(null=True, editable=False)
    metadata = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = PlainTaskQuerySet.as_manager()

    # What the views of the API ask a model for.
    project_lookup = Task.project_lookup
    deleted_fully_locked = Task.deleted_fully_locked
    tracked = Task.tracked

    class Meta:
        managed = False
        db_table = "django_pm_task"

    def __str__(self) -> str:
        return self.title

    @property
    def owning_project_id(self) -> int:
        """What the policy asks an object for."""
        return self.project_id


class PlainComment(models.Model):
    task = models.ForeignKey(PlainTask, models.CASCADE, related_name="comments")
    author = models.CharField(max_length=255)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    content = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        managed = False
        db_table = "django_pm_comment"

    def __str__(self) -> str:
        return self.author
