"""Which database what is in."""

from typing import Any

PROJECTS = {"django_pm", "auth", "contenttypes", "sessions", "admin"}
"""What points at users, or is pointed at by them, has to be where they are."""


class ProjectsRouter:
    """These apps in `projects`, all others in `default`."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return "projects" if model._meta.app_label in PROJECTS else None

    db_for_write = db_for_read

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return (db == "projects") == (app_label in PROJECTS)
