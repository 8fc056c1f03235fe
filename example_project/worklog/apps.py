"""The worklog app: what this site keeps about tasks besides."""

from django.apps import AppConfig


class WorklogConfig(AppConfig):
    """Cost centres and estimates."""

    name = "worklog"
    verbose_name = "Work log"
