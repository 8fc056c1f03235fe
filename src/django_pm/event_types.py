"""The public names of events, and how a change is told: pure functions of before and after, no database.

Because a name comes from the values alone, a host's ``task.save()`` in a shell makes the same event as the API.
"""

from __future__ import annotations

import datetime as dt
import enum
import json
from collections.abc import Collection, Mapping
from typing import Any

SCHEMA_VERSION = 1
"""The version of the form of ``changes``, stored with every event. Additions do not raise it."""

OMITTED: dict[str, bool] = {"omitted": True}
"""Stands where a value is too long to repeat, and beside children that came along untold: fetch it afresh."""

MAX_VALUE_BYTES = 4096

MOST_EXACT = 10**15

NAMES: dict[str, tuple[str, str, str]] = {
    "project": ("project.created", "project.updated", "project.deleted"),
    "member": ("member.added", "member.changed", "member.removed"),
    "task": ("task.created", "task.updated", "task.deleted"),
    "comment": ("comment.created", "comment.updated", "comment.deleted"),
    "report": ("report.generated", "report.generated", "report.deleted"),
}

PROJECT_RESYNC = "project.resync"
"""Too much changed at once to tell it row by row, or nobody can tell what: fetch the project afresh."""

TASK_ESCALATED = "task.escalated"
"""A rule of the project has acted on the task. It changes nothing by itself: ``task.updated`` tells what it changed."""

PROJECT_DELETED = NAMES["project"][2]

EVENT_TYPES: tuple[str, ...] = (
    *dict.fromkeys(name for names in NAMES.values() for name in names),
    TASK_ESCALATED,
    PROJECT_RESYNC,
)

Row = Mapping[str, Any]
"""The tracked columns of one row, by public name."""


def event_type(kind: str, before: Row | None, after: Row | None) -> str | None:
    """The name of what happened to an object of ``kind``, None if nothing did.

    ``before`` is None for a row that did not exist, ``after`` for one that no longer does.
    """
    created, changed, removed = NAMES[kind]
    if before is None:
        return created if after is not None else None
    if after is None:
        return removed
    return changed if any(differ(before[column], after[column]) for column in after) else None


def differ(one: Any, other: Any) -> bool:
    """Whether two values of a column read differently.

    Python takes ``True``, ``1`` and ``1.0`` for equal, also deep inside of JSON, where they are not. A number beyond
    what a double counts exactly has no kind: PostgreSQL gives ``1e16`` back as an integer.
    """
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() != other.keys() or any(differ(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) != len(other) or any(map(differ, one, other))
    if isinstance(one, (int, float)) and isinstance(other, (int, float)) and one == other:
        return type(one) is not type(other) and abs(one) < MOST_EXACT
    return bool(one != other)


def changes(before: Row | None, after: Row | None, *, untold: Collection[str] = ()) -> dict[str, Any]:
    """``{column: [old, new]}`` for every column that differs, in JSON's own types; an absent side counts as null.

    Of the columns ``untold``, only that they differ.
    """
    columns = after if after is not None else (before or {})
    pairs = {column: (before[column] if before else None, after[column] if after else None) for column in columns}
    differing = {column: pair for column, pair in pairs.items() if differ(*pair)}
    return {
        column: OMITTED if column in untold else [encode(old), encode(new)] for column, (old, new) in differing.items()
    }


def encode(value: Any) -> Any:
    """``value`` as the REST API shows it: instants in UTC with ``Z``, keys and choices raw. Long values are omitted."""
    if isinstance(value, dt.datetime):
        text = value.astimezone(dt.UTC).isoformat()
        return text.removesuffix("+00:00") + "Z"
    if isinstance(value, enum.Enum):
        return value.value
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        # The first test spares the encoding of what cannot be too long.
        return OMITTED if len(value) * 4 > MAX_VALUE_BYTES and len(value.encode()) > MAX_VALUE_BYTES else value
    if isinstance(value, (dict, list)):
        return OMITTED if len(json.dumps(value).encode()) > MAX_VALUE_BYTES else value
    return str(value)  # a UUID key


CHANGES_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": f"The changes of an event, version {SCHEMA_VERSION}",
    "type": "object",
    "additionalProperties": {
        "anyOf": [
            {"description": "[old, new]", "type": "array", "minItems": 2, "maxItems": 2},
            {
                "description": "Something that came along and is not told here.",
                "type": "object",
                "properties": {"omitted": {"const": True}},
                "required": ["omitted"],
                "additionalProperties": False,
            },
        ]
    },
}
