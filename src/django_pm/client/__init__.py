"""A client of the REST API, for scripts, tests and other sites: ``Client``, and ``AsyncClient`` for ``await``.

It needs httpx, and websockets to ``follow`` (the extra ``client``), and nothing else: neither Django nor the rest of
this package. What is meant for
callers is what this module names; ``docs/client.md`` tells how to use it.

Inside, ``steps``, ``resources``, ``watching``, ``reports``, ``rules``, ``notifications``, ``feed`` and ``following``
decide everything and send nothing: they are generators that ask for a request, a pause or a frame and are handed what
came of it. ``clients`` holds the loops that do what is asked, ``sockets`` their WebSockets.
"""

try:
    import httpx as _httpx  # noqa: F401 -- asked here, once, so that its absence is told in a sentence
except ModuleNotFoundError as error:
    if error.name != "httpx":
        raise
    raise ImportError("django_pm.client needs httpx: pip install 'django-pm[client]'", name="httpx") from None

from django_pm.client.clients import AsyncClient, AsyncFollower, Client, Follower
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
    SocketRefused,
    Throttled,
    UnexpectedAnswer,
)
from django_pm.client.objects import (
    AccessGained,
    AccessLost,
    Actor,
    Channel,
    Comment,
    Event,
    Key,
    Member,
    Notification,
    ObjectRef,
    Position,
    Preferences,
    Priority,
    Project,
    ProjectReset,
    Reason,
    Report,
    Role,
    Rule,
    Scope,
    Status,
    Task,
    Token,
    WatchLevel,
)
from django_pm.client.retries import Retry

__all__ = [
    "AccessGained",
    "AccessLost",
    "Actor",
    "AsyncClient",
    "AsyncFollower",
    "Changed",
    "Channel",
    "Client",
    "Comment",
    "Conflict",
    "ConnectionFailed",
    "Event",
    "Follower",
    "Invalid",
    "Key",
    "KeyReused",
    "Member",
    "NotAllowed",
    "NotFound",
    "NotSignedIn",
    "Notification",
    "ObjectRef",
    "PmError",
    "Position",
    "Preferences",
    "Priority",
    "Project",
    "ProjectReset",
    "Reason",
    "Report",
    "Reset",
    "Retry",
    "Role",
    "Rule",
    "Scope",
    "ServerError",
    "SocketRefused",
    "Status",
    "Task",
    "Throttled",
    "Token",
    "UnexpectedAnswer",
    "WatchLevel",
]
