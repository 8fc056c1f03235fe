"""For a process that serves nothing but sockets, so that it can be probed and asked too::

from django_pm.health.asgi import with_health
from django_pm.realtime.asgi import only_sockets, with_notifications

application = with_notifications(with_health(only_sockets))
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from django.core.asgi import get_asgi_application

ASGIApplication = Callable[[dict[str, Any], Any, Any], Awaitable[None]]

PATHS = ("/healthz", "/readyz", "/metrics")


def with_health(other: ASGIApplication) -> ASGIApplication:
    """The site's own answers at the three paths of ``urls.py``, included at its root; ``other`` answers the rest."""
    site: Any = get_asgi_application()

    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        await (site if path in PATHS else other)(scope, receive, send)

    return application
