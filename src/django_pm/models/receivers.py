"""Two writes that pass by ``save()`` and ``delete()``: loaded fixtures, and members who go with their account."""

from __future__ import annotations

from typing import Any

from django.db.models.signals import post_delete, post_save, pre_delete, pre_save

from django_pm.models import recorder
from django_pm.models.base import ProjectObject, RecordedSave
from django_pm.models.comment import Comment
from django_pm.models.membership import Membership
from django_pm.models.project import Project
from django_pm.models.recorder import Recording
from django_pm.models.task import Task


def before_raw_save(sender: Any, instance: ProjectObject, raw: bool, using: str, **kwargs: Any) -> None:
    """``loaddata`` calls ``save_base(raw=True)``, inside its own transaction."""
    if raw:
        RecordedSave(instance, using, kwargs.get("update_fields"), may_exist=True)


def after_raw_save(sender: Any, instance: ProjectObject, raw: bool, **kwargs: Any) -> None:
    if raw and instance.saving is not None:
        instance.saving.finish()


def before_cascade(sender: Any, instance: Membership, using: str, origin: Any, **kwargs: Any) -> None:
    """A deleted user takes memberships along; deletions that begin at a membership or its project are told there."""
    model = getattr(origin, "model", type(origin))
    instance.row_to_tell = (
        None if issubclass(model, (Membership, Project)) else recorder.snapshot_of(instance, using=using, fully=True)
    )


def after_cascade(sender: Any, instance: Membership, using: str, **kwargs: Any) -> None:
    row = instance.row_to_tell
    if row is not None:
        recording = Recording(sender, using)
        recording.changed(instance.pk, row, None)
        recording.append()


def connect() -> None:
    """Called once, when the app is ready."""
    for model in (Project, Task, Comment, Membership):
        pre_save.connect(before_raw_save, sender=model, dispatch_uid=f"django_pm.before_raw_save.{model.__name__}")
        post_save.connect(after_raw_save, sender=model, dispatch_uid=f"django_pm.after_raw_save.{model.__name__}")
    pre_delete.connect(before_cascade, sender=Membership, dispatch_uid="django_pm.before_cascade")
    post_delete.connect(after_cascade, sender=Membership, dispatch_uid="django_pm.after_cascade")
