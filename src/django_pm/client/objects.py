"""What the API holds, as frozen dataclasses. Called by the rest of this room; imports nothing of it.

Fields are only ever added to the API: those that this version does not know are kept in ``raw``, which is the JSON
object as it came.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self, TypedDict

Key = int | str
"""A primary key: a number, or the text of a UUID where the site has such."""

Status = Literal["pending", "in_progress", "completed"]
Priority = Literal["none", "low", "medium", "high", "urgent"]
Role = Literal["viewer", "member", "manager", "owner"]
Scope = Literal["read", "write"]
Reason = Literal[
    "mentioned", "assigned", "added", "escalated", "commented", "status_changed", "due_soon", "report_ready"
]
Channel = Literal["in_app", "mail", "digest"]
WatchLevel = Literal["watching", "involved", "muted"]


def instant(text: str | None) -> dt.datetime | None:
    """The aware datetime that the API writes as ISO 8601."""
    return None if text is None else dt.datetime.fromisoformat(text)


# The JSON value of such a field is not yet its Python value: how it becomes that.
INSTANT = {"parse": instant}
DATE = {"parse": dt.date.fromisoformat}
OBJECT = {"parse": lambda data: ObjectRef(data["type"], data["id"])}
ACTOR = {"parse": lambda data: data and Actor(data["id"], data["name"])}


@dataclass(frozen=True, kw_only=True)
class ApiObject:
    """What the API says about one thing."""

    DERIVED: ClassVar[frozenset[str]] = frozenset()
    """Fields that tell of other rows, such as counts: a change there is no change of this object."""

    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """The JSON object as it came."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any], **told: Any) -> Self:
        """What ``data`` says; ``told`` are fields known from elsewhere. Raises ``KeyError`` for what is missing."""
        values: dict[str, Any] = {"raw": dict(data), **told}
        for each in dataclasses.fields(cls):
            if each.name in values:
                continue
            if each.name in data:
                parse = each.metadata.get("parse")
                values[each.name] = parse(data[each.name]) if parse else data[each.name]
            elif each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING:
                raise KeyError(each.name)
        return cls(**values)


@dataclass(frozen=True, kw_only=True)
class Editable(ApiObject):
    """What can be written, and carries the tag that it was read with."""

    id: Key
    etag: str | None = field(default=None, repr=False, compare=False)
    """None for an object of a list: a list carries no tags."""

    def same_row(self, other: Self) -> bool:
        """Whether both tell the same of the row itself, counts of other rows left aside."""
        return all(
            getattr(self, each.name) == getattr(other, each.name)
            for each in dataclasses.fields(self)
            if each.compare and each.name not in self.DERIVED
        )


@dataclass(frozen=True, kw_only=True)
class Project(Editable):
    """What tasks belong to and people are members of."""

    DERIVED = frozenset({"task_count", "completed_task_count"})

    name: str
    description: str
    time_zone: str
    created_by: Key | None
    task_count: int
    completed_task_count: int
    metadata: dict[str, Any] = field(hash=False)
    created_at: dt.datetime = field(metadata=INSTANT)
    updated_at: dt.datetime = field(metadata=INSTANT)


@dataclass(frozen=True, kw_only=True)
class Task(Editable):
    """What is to be done, by whom, until when; ``completed_at`` follows ``status``."""

    DERIVED = frozenset({"comment_count"})

    project: Key
    title: str
    description: str
    status: Status
    priority: Priority
    assignee: Key | None
    created_by: Key | None
    comment_count: int
    metadata: dict[str, Any] = field(hash=False)
    due_date: dt.datetime | None = field(metadata=INSTANT)
    completed_at: dt.datetime | None = field(metadata=INSTANT)
    created_at: dt.datetime = field(metadata=INSTANT)
    updated_at: dt.datetime = field(metadata=INSTANT)


@dataclass(frozen=True, kw_only=True)
class Comment(Editable):
    """``author`` is display text; ``user`` is the account that wrote it."""

    task: Key
    author: str
    user: Key | None
    content: str
    created_at: dt.datetime = field(metadata=INSTANT)
    updated_at: dt.datetime = field(metadata=INSTANT)


@dataclass(frozen=True, kw_only=True)
class Member(Editable):
    """Somebody in a project. ``project`` is the key of the project that it was read from."""

    project: Key
    user: Key
    role: Role


@dataclass(frozen=True, kw_only=True)
class Token(Editable):
    """A credential for scripts. ``secret`` is told once, by the answer to ``tokens.create``; no repr shows it."""

    name: str
    scope: Scope
    beginning: str
    projects: list[Key] | None = field(hash=False)
    expires_at: dt.datetime | None = field(metadata=INSTANT)
    created_at: dt.datetime = field(metadata=INSTANT)
    last_used_at: dt.datetime | None = field(metadata=INSTANT)
    secret: str | None = field(default=None, repr=False, compare=False)


Condition = Literal["overdue", "stuck"]
Action = Literal["notify", "reassign", "raise_priority"]


@dataclass(frozen=True, kw_only=True)
class Rule(Editable):
    """What is done with tasks that have been overdue for ``hours``, or in ``status`` for ``days``.

    What its condition or action has no use for is None.
    """

    project: Key
    name: str
    condition: Condition
    hours: int | None
    status: Status | None
    days: int | None
    action: Action
    role: Role | None
    is_active: bool
    created_at: dt.datetime = field(metadata=INSTANT)


# Reports. What they say is JSON: instants and dates are text.


class Happened(TypedDict):
    """How many tasks were created and completed, and comments made."""

    created: int
    completed: int
    comments: int


class ReportedDay(Happened):
    """The day before the report, from ``start`` to ``end``."""

    date: str
    start: str
    end: str


class TrendDay(Happened):
    """One of the last days; ``complete`` unless the events do not tell everything of it."""

    date: str
    complete: bool


class TaskCounts(TypedDict):
    """How many tasks there are."""

    total: int
    open: int
    completed: int
    overdue: int


class AssigneeCounts(TypedDict):
    """What one assignee has open; ``user`` is None for nobody."""

    user: Key | None
    open: int
    overdue: int


class DueTask(TypedDict):
    """A task that falls due next."""

    id: Key
    title: str
    due_date: str
    assignee: Key | None


class ActiveTask(TypedDict):
    """A task of which most was told."""

    id: Key
    title: str
    events: int


class ReportData(TypedDict):
    """What a report says."""

    day: ReportedDay
    tasks: TaskCounts
    by_status: dict[Status, int]
    by_priority: dict[Priority, int]
    by_assignee: list[AssigneeCounts]
    due_next: list[DueTask]
    most_active: list[ActiveTask]
    trend: list[TrendDay]


@dataclass(frozen=True, kw_only=True)
class Report(Editable):
    """A project on one ``date`` of its ``time_zone``; ``note`` says what was wrong when it was made, if anything."""

    project: Key
    time_zone: str
    note: str
    data: ReportData = field(hash=False)
    date: dt.date = field(metadata=DATE)
    generated_at: dt.datetime = field(metadata=INSTANT)


# The inbox


@dataclass(frozen=True, kw_only=True)
class Notification(ApiObject):
    """That one was told of something, and why. ``title`` is that of the task, or the name of the project, by now.

    ``event`` is the id of the event; of ``due_soon`` there is none, and it names the occasion. ``read_at`` is None as
    long as it is unread.
    """

    id: Key
    reason: Reason
    project: Key
    task: Key | None
    title: str
    event: str
    actor: Key | None
    object: ObjectRef = field(metadata=OBJECT)
    created_at: dt.datetime = field(metadata=INSTANT)
    read_at: dt.datetime | None = field(metadata=INSTANT)


@dataclass(frozen=True, kw_only=True)
class Preferences(ApiObject):
    """Where one wants to be told of what, in all projects. Empty texts, and an hour that is None, stand for what the
    site has."""

    language: str
    time_zone: str
    reminders: bool
    reports: bool
    channels: dict[Reason, list[Channel]] = field(hash=False)
    digest_hour: int | None
    overdue_digest: bool


# Events


@dataclass(frozen=True)
class Position:
    """A place in the events of a project: behind number ``seq`` of the lineage ``epoch``. Keep it to go on later."""

    seq: int
    epoch: str


@dataclass(frozen=True)
class ObjectRef:
    """What an event happened to: ``type`` is project, member, task, comment or report."""

    type: str
    id: Key


@dataclass(frozen=True)
class Actor:
    """Who did it, with the name as it was then."""

    id: Key
    name: str


@dataclass(frozen=True, kw_only=True)
class Event(ApiObject):
    """Something that happened in a project. ``id`` is the same for ever, everywhere; ``seq`` is the order."""

    id: str
    type: str
    project: Key
    seq: int
    epoch: str
    changes: dict[str, Any] = field(hash=False)
    origin: str
    object: ObjectRef = field(metadata=OBJECT)
    actor: Actor | None = field(metadata=ACTOR)
    at: dt.datetime = field(metadata=INSTANT)

    @property
    def position(self) -> Position:
        """The place behind this event."""
        return Position(self.seq, self.epoch)


# What else a follower is told


@dataclass(frozen=True)
class ProjectReset:
    """The events of a project cannot be continued: fetch it afresh. They go on behind ``position``.

    ``reason`` is ``epoch`` (a backup was restored), ``trimmed`` (pruned), ``ahead`` (no such number yet), ``gap`` (the
    client found a number missing) or ``too_many`` (more projects than one question can name; then ``position`` may be
    None, until the next event).
    """

    project: Key
    reason: str
    position: Position | None


@dataclass(frozen=True)
class AccessGained:
    """A project may be seen now that was not followed so far: fetch it. Its events begin behind ``position``."""

    project: Key
    position: Position


@dataclass(frozen=True)
class AccessLost:
    """A project is not seen any more: removed, deleted or never visible; nobody says which."""

    project: Key
