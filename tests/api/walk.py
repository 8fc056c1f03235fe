"""What the permission walk expects: who asks, what there is to ask for, and the status of every cell.

`test_permission_walk.py` finds out what the API offers and compares it with what is declared here: a URL, a method, a
field, a filter or an ordering that nobody has declared fails.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django_pm.api.notifications import NotificationSerializer
from django_pm.api.preferences import PreferencesSerializer, ProjectPreferencesSerializer
from django_pm.api.reports import ReportSerializer
from django_pm.api.rules import RuleSerializer
from django_pm.api.serializers import CommentSerializer, MembershipSerializer, ProjectSerializer, TaskSerializer
from django_pm.api.tokens import ApiTokenSerializer
from django_pm.api.watching import WatchSerializer
from tests.api.support import DUE

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
SAFE = {"GET", "HEAD", "OPTIONS"}

# Where things are: three projects with the same in each, and nowhere.
HERE, ELSEWHERE, HIDDEN = PLACES = ("here", "elsewhere", "hidden")
MISSING = "missing"

# Who asks


@dataclass(frozen=True)
class Actor:
    """Somebody with one kind of credentials, and what these are good for in each place."""

    name: str
    roles: Mapping[str, str] = field(default_factory=dict)
    refused: int | None = None
    """The status of every answer to credentials that are none."""
    is_token: bool = False
    reads_only: bool = False
    is_limited: bool = False

    def role(self, place: str, kind: str = "") -> str | None:
        """The role in a place; of tokens, everybody owns their own and knows of no other."""
        if kind == "token":
            return "owner" if place == HERE and not self.refused else None
        return self.roles.get(place)

    def __str__(self) -> str:
        return self.name


def _token(name: str, *places: str, **more: bool) -> Actor:
    return Actor(name, dict.fromkeys(places, "owner"), is_token=True, **more)


ACTORS = [
    Actor("anonymous", refused=403),
    Actor("deactivated", refused=403),
    Actor("expired token", refused=401),
    Actor("revoked token", refused=401),
    Actor("outsider"),
    Actor("removed"),
    Actor("neighbour", {ELSEWHERE: "owner"}),
    Actor("viewer", {HERE: "viewer"}),
    Actor("member", {HERE: "member"}),
    Actor("manager", {HERE: "manager"}),
    Actor("owner", {HERE: "owner", ELSEWHERE: "owner"}),
    Actor("superuser", dict.fromkeys(PLACES, "owner")),
    _token("reading token", HERE, ELSEWHERE, reads_only=True),
    _token("token for here", HERE, is_limited=True),
    _token("token for elsewhere", ELSEWHERE, is_limited=True),
    _token("superuser's token for elsewhere", ELSEWHERE, is_limited=True),
    _token("token of somebody removed", is_limited=True),
]
LIVE = [actor for actor in ACTORS if not actor.refused]
SUPERUSER = next(actor for actor in ACTORS if actor.name == "superuser")
OWNER_OF_TOKEN = {
    "expired token": "owner",
    "revoked token": "owner",
    "reading token": "owner",
    "token for here": "owner",
    "token for elsewhere": "owner",
    "superuser's token for elsewhere": "superuser",
    "token of somebody removed": "removed",
}

# What there is to ask for

SLOTS = {
    "project-list": {},
    "project-detail": {"id": "project"},
    "member-list": {"project_id": "project"},
    "member-detail": {"project_id": "project", "id": "member"},
    "event-feed": {"project_id": "project"},
    "report-list": {"project_id": "project"},
    "report-detail": {"project_id": "project", "date": "report"},
    "project-watch": {"id": "project"},
    "project-notification-preferences": {"project_id": "project"},
    "rule-list": {"project_id": "project"},
    "rule-detail": {"project_id": "project", "id": "rule"},
    "task-list": {},
    "task-detail": {"id": "task"},
    "comment-list": {"task_id": "task"},
    "comment-detail": {"id": "comment"},
    "task-watch": {"id": "task"},
    "notification-list": {},
    "notification-read": {"id": "notification"},
    "notification-read-all": {},
    "token-list": {},
    "token-detail": {"id": "token"},
    "notification-preferences": {},
    "unsubscribe": {"token": "link"},
    "ticket": {},
    "schema": {},
    "docs": {},
    "docs-asset": {"name": "asset"},
}
"""The kind of thing that each parameter of each path names."""

LINKS = {"unsubscribe"}
"""What is its own credential, and asks nobody for another: `tests/mail/test_sending.py` walks it."""

OPEN = {"schema": SAFE, "docs": {"GET", "HEAD"}, "docs-asset": {"GET", "HEAD"}}
"""What tells of no object and is there for everybody, and by which methods."""

TABLE = """
                                     stranger  viewer  member  manager  owner
project-list    GET                  200       200     200     200      200
project-list    POST                 201       201     201     201      201
project-detail  GET                  404       200     200     200      200
project-detail  PUT PATCH            404       403     403     200      200
project-detail  DELETE               404       403     403     403      204
member-list     GET                  404       200     200     200      200
member-list     POST                 404       403     403     201      201
member-detail   GET                  404       200     200     200      200
member-detail   PATCH                404       403     403     200      200
member-detail   DELETE               404       403     403     204      204
event-feed      GET                  404       200     200     200      200
report-list     GET                  404       200     200     200      200
report-list     POST                 404       403     200     200      200
report-detail   GET                  404       200     200     200      200
rule-list       GET                  404       200     200     200      200
rule-list       POST                 404       403     403     201      201
rule-detail     GET                  404       200     200     200      200
rule-detail     PUT PATCH            404       403     403     200      200
rule-detail     DELETE               404       403     403     204      204
task-list       GET                  200       200     200     200      200
task-list       POST                 400       403     201     201      201
task-detail     GET                  404       200     200     200      200
task-detail     PUT PATCH            404       403     200     200      200
task-detail     DELETE               404       403     204     204      204
comment-list    GET                  404       200     200     200      200
comment-list    POST                 404       403     201     201      201
comment-detail  GET                  404       200     200     200      200
comment-detail  PUT PATCH            404       403     403     200      200
comment-detail  DELETE               404       403     403     204      204
token-list      GET                  200       200     200     200      200
token-list      POST                 201       201     201     201      201
token-detail    GET                  404       200     200     200      200
token-detail    DELETE               404       204     204     204      204
ticket          POST                 201       201     201     201      201
notification-preferences  GET PATCH  200       200     200     200      200
project-watch   GET PUT              404       200     200     200      200
project-watch   DELETE               404       204     204     204      204
project-notification-preferences  GET PATCH  404  200  200     200      200
task-watch      GET PUT              404       200     200     200      200
task-watch      DELETE               404       204     204     204      204
notification-list      GET           200       200     200     200      200
notification-read      POST          404       200     200     200      200
notification-read-all  POST          200       200     200     200      200
"""


def _cells() -> dict[tuple[str, str], dict[str, int]]:
    head, *rows = [line.split() for line in TABLE.splitlines() if line]
    cells = {}
    for name, *rest in rows:
        statuses = dict(zip(head, map(int, rest[-len(head) :]), strict=True))
        cells |= {(name, method): statuses for method in rest[: -len(head)]}
    return cells


CELLS = _cells()


def expected_status(actor: Actor, name: str, method: str, role: str | None) -> int:
    """The status of an answer, `role` being what the actor is where the request goes."""
    if name in OPEN:
        return 200 if method in OPEN[name] else 405
    if actor.refused:
        return actor.refused
    if (actor.reads_only and method not in SAFE and name != "ticket") or (actor.is_token and name.startswith("token-")):
        return 403
    if method == "OPTIONS":
        return 200
    row = CELLS.get((name, "GET" if method == "HEAD" else method))
    if row is None:
        return 405
    if actor.is_limited and (name, method) == ("project-list", "POST"):
        return 403  # a new project is none of those that the token is good for
    return row[role or "stranger"]


def body(name: str, *, project: Any, user: Any) -> dict[str, Any]:
    """What a write to this URL says, good for POST, PUT and PATCH alike."""
    return {
        "project-list": {"name": "Mars base"},
        "project-detail": {"name": "Mars base"},
        "member-list": {"user": user, "role": "viewer"},
        "member-detail": {"role": "member"},
        "rule-list": {"name": "r", "condition": "overdue", "hours": 1, "action": "reassign"},
        "rule-detail": {"name": "r", "condition": "stuck", "status": "pending", "days": 1, "action": "raise_priority"},
        "task-list": {"project": project, "title": "Dug", "due_date": DUE},
        "task-detail": {"title": "Dug", "project": project, "due_date": DUE},
        "comment-list": {"content": "Deeper."},
        "comment-detail": {"content": "Shallower."},
        "token-list": {"name": "another"},
        "notification-preferences": {"reminders": False},
        "project-watch": {"level": "muted"},
        "task-watch": {"level": "muted"},
        "project-notification-preferences": {"channels": {"commented": []}},
        "notification-read-all": {"up_to": 2**62},
    }.get(name, {})


# The fields of each serializer. A key names something else, so it may name something hidden.

READ_ONLY, VALUE, KEY = "read-only", "value", "key"

FIELDS = {
    ProjectSerializer: {
        "id": READ_ONLY,
        "name": VALUE,
        "description": VALUE,
        "time_zone": VALUE,
        "metadata": VALUE,
        "created_by": READ_ONLY,
        "task_count": READ_ONLY,
        "completed_task_count": READ_ONLY,
        "created_at": READ_ONLY,
        "updated_at": READ_ONLY,
    },
    TaskSerializer: {
        "id": READ_ONLY,
        "project": KEY,
        "title": VALUE,
        "description": VALUE,
        "status": VALUE,
        "priority": VALUE,
        "due_date": VALUE,
        "assignee": KEY,
        "created_by": READ_ONLY,
        "completed_at": READ_ONLY,
        "comment_count": READ_ONLY,
        "metadata": VALUE,
        "created_at": READ_ONLY,
        "updated_at": READ_ONLY,
    },
    CommentSerializer: {
        "id": READ_ONLY,
        "task": READ_ONLY,
        "author": VALUE,
        "user": READ_ONLY,
        "content": VALUE,
        "created_at": READ_ONLY,
        "updated_at": READ_ONLY,
    },
    MembershipSerializer: {"id": READ_ONLY, "user": KEY, "role": VALUE},
    ReportSerializer: {
        "id": READ_ONLY,
        "project": READ_ONLY,
        "date": READ_ONLY,
        "time_zone": READ_ONLY,
        "generated_at": READ_ONLY,
        "note": READ_ONLY,
        "data": READ_ONLY,
        "force": VALUE,
    },
    PreferencesSerializer: {
        "language": VALUE,
        "time_zone": VALUE,
        "reminders": VALUE,
        "reports": VALUE,
        "channels": VALUE,
        "digest_hour": VALUE,
        "overdue_digest": VALUE,
    },
    ProjectPreferencesSerializer: {"channels": VALUE},
    WatchSerializer: {"level": VALUE},
    NotificationSerializer: dict.fromkeys(
        ("id", "reason", "project", "task", "object", "title", "event", "actor", "created_at", "read_at"), READ_ONLY
    ),
    RuleSerializer: {
        "id": READ_ONLY,
        "project": READ_ONLY,
        "name": VALUE,
        "condition": VALUE,
        "hours": VALUE,
        "status": VALUE,
        "days": VALUE,
        "action": VALUE,
        "role": VALUE,
        "is_active": VALUE,
        "created_at": READ_ONLY,
    },
    ApiTokenSerializer: {
        "id": READ_ONLY,
        "name": VALUE,
        "scope": VALUE,
        "projects": KEY,
        "expires_at": VALUE,
        "beginning": READ_ONLY,
        "created_at": READ_ONLY,
        "last_used_at": READ_ONLY,
        "secret": READ_ONLY,
    },
}

# The parameters of each query, with values that rows of every place answer to. `...`: a test of its own walks it.

_PAGES: dict[str, Any] = {"cursor": ..., "ordering": ..., "page_size": ["1", "2", "200", "201"], "count": ["true"]}

QUERIES: dict[str, dict[str, Any]] = {
    "project-list": {**_PAGES, "search": ["secret", "base", "hidden", "elsewhere"]},
    "task-list": {
        **_PAGES,
        "project": ...,
        "status": ["pending", "in_progress", "completed"],
        "priority": ["none", "low", "urgent"],
        "assignee": ["{guest}", "{hermit}"],
        "due_before": [DUE],
        "due_after": [DUE],
        "overdue": ["true", "false"],
        "search": ["secret", "dig 1", "hidden", "elsewhere"],
    },
    "member-list": _PAGES,
    "comment-list": _PAGES,
    "report-list": _PAGES,
    "rule-list": _PAGES,
    "token-list": _PAGES,
    "notification-list": {**_PAGES, "reason": ["added"], "project": ..., "unread": ["true", "false"]},
    "event-feed": {
        "since": ["0", "2", "999999"],
        "epoch": ["", "none"],
        "object": ["task:{missing}", "nonsense"],
        "page_size": ["1", "200"],
    },
}

ORDERINGS = {
    "project-list": {"created_at", "updated_at", "name"},
    "task-list": {"created_at", "updated_at", "due_date", "priority", "title"},
    "member-list": {"id"},
    "comment-list": {"created_at", "updated_at"},
    "report-list": {"date"},
    "rule-list": {"created_at"},
    "token-list": {"created_at"},
    "notification-list": {"created_at"},
}
