"""What the tests of the event log share: reading it, and rebuilding rows from it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django_pm import event_types
from django_pm.models import Comment, Event, Membership, Project, Task

TRACKED: dict[str, Any] = {"project": Project, "task": Task, "comment": Comment, "member": Membership}

State = dict[tuple[str, str], dict[str, Any]]
"""The represented columns of every object of a project, by (kind, key)."""


class Log:
    """The events appended since it was made, in the order of their insertion."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Forget what has been appended so far."""
        self._start = Event.objects.order_by("-id").values_list("id", flat=True).first() or 0

    def events(self) -> list[Event]:
        return list(Event.objects.filter(id__gt=self._start).order_by("id"))

    def told(self) -> list[tuple[str, str]]:
        """`(type, object key)` of each event."""
        return [(event.type, event.object_id) for event in self.events()]

    def only(self) -> Event:
        """The one event there is."""
        (event,) = self.events()
        return event


def columns(kind: str) -> tuple[str, ...]:
    return (*TRACKED[kind].tracked, "updated_at")


def row_state(kind: str, row: Any) -> dict[str, Any]:
    """A row as events tell it, empty columns left out."""
    fields = TRACKED[kind]._meta
    values = {name: event_types.encode(getattr(row, fields.get_field(name).attname)) for name in columns(kind)}
    return {name: value for name, value in values.items() if value is not None}


def present(project_id: Any) -> State:
    """What the tables hold of a project now."""
    state: State = {}
    for kind, model in TRACKED.items():
        for row in model.objects.filter(**{model.project_lookup: project_id}):
            state[kind, str(row.pk)] = row_state(kind, row)
    return state


def apply(state: State, events: Iterable[Event], project_id: Any) -> State:
    """`state` after `events`, as a client would have it; what is omitted is fetched, a resync fetches everything."""
    for event in events:
        if event.type == event_types.PROJECT_RESYNC:
            state = present(project_id)
            continue
        if event.type == event_types.TASK_ESCALATED:  # tells why, and changes nothing by itself
            continue
        key = (event.object_type, event.object_id)
        if event.type in {names[2] for names in event_types.NAMES.values()}:
            gone = {key}
            if event.object_type == "task":
                gone |= {k for k, row in state.items() if k[0] == "comment" and str(row["task"]) == event.object_id}
            if event.object_type == "project":
                gone = set(state)
            state = {k: row for k, row in state.items() if k not in gone}
            continue
        row = {} if event.type in {names[0] for names in event_types.NAMES.values()} else state[key]
        changed = {name: pair[1] for name, pair in event.changes.items() if isinstance(pair, list)}
        if event_types.OMITTED in changed.values():
            changed |= _fetch(event)
        state[key] = {name: value for name, value in (row | changed).items() if value is not None}
        if event.changes.get("comments") == event_types.OMITTED:
            for comment in Comment.objects.filter(task=event.object_id):
                state["comment", str(comment.pk)] = row_state("comment", comment)
    return state


def _fetch(event: Event) -> dict[str, Any]:
    row = TRACKED[event.object_type].objects.filter(pk=event.object_id).first()
    return row_state(event.object_type, row) if row is not None else {}
