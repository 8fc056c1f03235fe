"""How a problem is told: with a hint, and at the level that its id names."""

from __future__ import annotations

from typing import Any

from django.core import checks

TAG = "django_pm"
Messages = list[checks.CheckMessage]


def problem(id: str, text: str, hint: str, *, obj: Any = None) -> checks.CheckMessage:
    """``id`` is the last part of the id: ``E001`` for an error, ``W001`` for a warning."""
    kind = checks.Error if id.startswith("E") else checks.Warning
    return kind(text, hint=hint, obj=obj, id=f"django_pm.{id}")
