"""Making a project."""

from __future__ import annotations

from typing import Any

from django.db import router, transaction

from django_pm.models import Membership, Project, Role


def create_project(*, actor: Any, **fields: Any) -> Project:
    """Create a project from its columns (``name``, ``description``, …); ``actor`` becomes its owner with it."""
    with transaction.atomic(using=router.db_for_write(Project)):
        project: Project = Project.objects.create(created_by=actor, **fields)
        Membership.objects.create(project=project, user=actor, role=Role.OWNER)
    return project
