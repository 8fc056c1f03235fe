"""For writes that the recorder cannot see: raw SQL, a restored table, a trigger."""

from __future__ import annotations

from typing import Any

from django_pm import event_types
from django_pm.events.feed import MODELS, database
from django_pm.models import Event
from django_pm.models.recorder import append


def record_external_change(
    project_id: Any,
    *,
    type: str = event_types.PROJECT_RESYNC,
    object_type: str = "project",
    object_id: Any = None,
    changes: dict[str, Any] | None = None,
    using: str | None = None,
) -> None:
    """Append an event for a change that was not made through Django's models.

    Call it in the transaction of the change, after its statement. Without more than ``project_id`` it says: fetch this
    project afresh. ``type`` is one of ``django_pm.event_types.EVENT_TYPES``, ``changes`` ``{column: [old, new]}``.
    Actor and origin come from the context (``django_pm.context.acting``).

    Raises ``ValueError`` for a type or object that no client knows.
    """
    if type not in event_types.EVENT_TYPES:
        raise ValueError(f"{type!r} is not one of {', '.join(event_types.EVENT_TYPES)}.")
    if object_type not in MODELS:
        raise ValueError(f"{object_type!r} is not one of {', '.join(MODELS)}.")
    event = Event(
        project_id=project_id,
        type=type,
        object_type=object_type,
        object_id=str(project_id if object_id is None else object_id),
        changes={name: [event_types.encode(value) for value in pair] for name, pair in (changes or {}).items()},
    )
    append([event], using=using or database())
