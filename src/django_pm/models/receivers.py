"""The one write that passes by ``save()`` and ``delete()``: members go with their account."""

from __future__ import annotations

from typing import Any

from django.db.models.signals import post_delete, pre_delete

from django_pm.models import recorder
from django_pm.models.membership import Membership
from django_pm.models.project import Project
from django_pm.models.recorder import Recording


def before_cascade(sender: Any, instance: Membership, using: str, origin: Any, **kwargs: Any) -> None:
    """A deleted user takes memberships along; deletions that begin at a membership or its project are told there."""
    model = getattr(origin, "model", type(origin))
    instance.row_to_tell = (
        None
        if issubclass(model, (Membership, Project))
        else recorder.snapshot_of(Membership, instance.pk, using=using, fully=True)
    )


def after_cascade(sender: Any, instance: Membership, using: str, **kwargs: Any) -> None:
    row = instance.row_to_tell
    if row is not None:
        recording = Recording(sender, using)
        recording.changed(instance.pk, row, None)
        recording.append()


def connect() -> None:
    """Called once, when the app is ready."""
    pre_delete.connect(before_cascade, sender=Membership, dispatch_uid="django_pm.before_cascade")
    post_delete.connect(after_cascade, sender=Membership, dispatch_uid="django_pm.after_cascade")
