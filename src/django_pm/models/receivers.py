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
    instance.row_to_tell = None
    if issubclass(getattr(origin, "model", type(origin)), (Membership, Project)):
        return
    _hold_projects(origin, instance.user_id, using)
    instance.row_to_tell = recorder.snapshot_of(Membership, instance.pk, using=using, fully=True)


def _hold_projects(origin: Any, user_id: Any, using: str) -> None:
    """Lock the projects of all memberships of this account before the first of these, as whoever deletes one does.

    Noted at what the deletion began with, if that is told, which all its signals have in common.
    """
    held = set() if origin is None else vars(origin).setdefault("_django_pm_held", set())
    if user_id not in held:
        held.add(user_id)
        theirs = Membership._base_manager.using(using).filter(user=user_id).values("project")
        projects = Project._base_manager.using(using).filter(pk__in=theirs).order_by("pk")
        list(recorder.locked(projects).values_list("pk", flat=True))


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
