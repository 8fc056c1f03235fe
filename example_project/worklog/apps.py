"""The worklog app: what this site keeps about tasks besides."""

from django.apps import AppConfig


class WorklogConfig(AppConfig):
    """Cost centres and estimates."""

    name = "worklog"
    verbose_name = "Work log"

    def ready(self) -> None:
        """Have the site's workers tell us what happens to tasks."""
        from django_pm.events import subscribe

        from worklog.handlers import on_task_updated

        subscribe("worklog.completed", on_task_updated, types=["task.updated"])
