"""A client of the REST API, for scripts, tests and other sites: ``Client``, and ``AsyncClient`` for ``await``.

It needs httpx (the extra ``client``) and nothing else: neither Django nor the rest of this package. What is meant for
callers is what this module names; ``docs/client.md`` tells how to use it.

Inside, ``steps``, ``resources`` and ``feed`` decide everything and send nothing: they are generators that ask for a
request or a pause and are handed what came of it. ``clients`` holds the two loops that do what is asked.
"""

try:
    import httpx as _httpx  # noqa: F401 -- asked here, once, so that its absence is told in a sentence
except ModuleNotFoundError as error:
    if error.name != "httpx":
        raise
    raise ImportError("django_pm.client needs httpx: pip install 'django-pm[client]'", name="httpx") from None

from django_pm.client.clients import AsyncClient, Client
from django_pm.client.errors import (
    Changed,
    Conflict,
    ConnectionFailed,
    Invalid,
    KeyReused,
    NotAllowed,
    NotFound,
    NotSignedIn,
    PmError,
    Reset,
    ServerError,
    Throttled,
    UnexpectedAnswer,
)
from django_pm.client.objects import (
    Actor,
    Comment,
    Event,
    Key,
    Member,
    ObjectRef,
    Position,
    Priority,
    Project,
    Role,
    Scope,
    Status,
    Task,
    Token,
)
from django_pm.client.retries import Retry

__all__ = [
    "Actor",
    "AsyncClient",
    "Changed",
    "Client",
    "Comment",
    "Conflict",
    "ConnectionFailed",
    "Event",
    "Invalid",
    "Key",
    "KeyReused",
    "Member",
    "NotAllowed",
    "NotFound",
    "NotSignedIn",
    "ObjectRef",
    "PmError",
    "Position",
    "Priority",
    "Project",
    "Reset",
    "Retry",
    "Role",
    "Scope",
    "ServerError",
    "Status",
    "Task",
    "Throttled",
    "Token",
    "UnexpectedAnswer",
]
