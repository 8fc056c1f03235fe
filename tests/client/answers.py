"""What a made-up server answers."""

import json
from collections.abc import Callable
from typing import Any

import httpx

Handler = Callable[[httpx.Request], httpx.Response]
AT = "2031-05-04T09:26:53.589793Z"


def task(**values: Any) -> dict[str, Any]:
    """A task as the API shows it."""
    return {
        "id": 1,
        "project": 7,
        "title": "Dig",
        "description": "",
        "status": "pending",
        "priority": "none",
        "due_date": "2031-06-01T10:00:00Z",
        "assignee": None,
        "created_by": 3,
        "completed_at": None,
        "comment_count": 0,
        "metadata": {},
        "created_at": AT,
        "updated_at": AT,
        **values,
    }


def token(**values: Any) -> dict[str, Any]:
    """An API token as its user sees it."""
    return {
        "id": 1,
        "name": "ci",
        "scope": "read",
        "projects": None,
        "expires_at": None,
        "beginning": "pm_abcdef",
        "created_at": AT,
        "last_used_at": None,
        "secret": None,
        **values,
    }


def rule(**values: Any) -> dict[str, Any]:
    """An escalation rule as the API shows it."""
    return {
        "id": 1,
        "project": 7,
        "name": "A day late",
        "condition": "overdue",
        "hours": 24,
        "status": None,
        "days": None,
        "action": "notify",
        "role": "manager",
        "is_active": True,
        "created_at": AT,
        **values,
    }


def report(**values: Any) -> dict[str, Any]:
    """A daily report as the API shows it; what it says left out."""
    return {
        "id": 1,
        "project": 7,
        "date": "2031-05-04",
        "time_zone": "Asia/Tokyo",
        "generated_at": AT,
        "note": "",
        "data": {"tasks": {"total": 3, "open": 2, "completed": 1, "overdue": 0}},
        **values,
    }


def notification(**values: Any) -> dict[str, Any]:
    """A row of the inbox as the API shows it, and a socket."""
    return {
        "id": 42,
        "reason": "commented",
        "project": 7,
        "task": 31,
        "object": {"type": "comment", "id": 118},
        "title": "Dig",
        "event": "6f1c0e0e-6f0a-4e3e-9f0b-000000000017",
        "actor": 5,
        "created_at": AT,
        "read_at": None,
        **values,
    }


def preferences(**values: Any) -> dict[str, Any]:
    """Somebody's preferences as the API shows them; of the channels, those of one reason."""
    return {
        "language": "",
        "time_zone": "",
        "reminders": True,
        "reports": False,
        "channels": {"commented": ["in_app"]},
        "digest_hour": None,
        "overdue_digest": False,
        **values,
    }


def event(seq: int, **values: Any) -> dict[str, Any]:
    """An event as the feed shows it."""
    return {
        "type": "task.updated",
        "id": f"6f1c0e0e-6f0a-4e3e-9f0b-{seq:012}",
        "project": 7,
        "seq": seq,
        "object": {"type": "task", "id": 1},
        "actor": {"id": 3, "name": "Ben"},
        "at": AT,
        "changes": {"title": ["Dig", "Dig deeper"]},
        "origin": "api",
        **values,
    }


def in_turn(*answers: Any) -> tuple[Handler, list[httpx.Request]]:
    """A handler that gives these one after the other, raising exceptions; and the requests that it got."""
    left = list(answers)
    got: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        got.append(request)
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        # Made anew: one that was read by a client does not fit the other.
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    return handle, got


def ok(data: Any, status: int = 200, **headers: str) -> httpx.Response:
    return httpx.Response(status, json=data, headers=headers)


def refusal(status: int, detail: str = "No.", **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"detail": detail}, headers={n.replace("_", "-"): v for n, v in headers.items()})


def body(request: httpx.Request) -> Any:
    return json.loads(request.content)


LOST = httpx.ReadTimeout("no answer")
REFUSED = httpx.ConnectError("refused")
