"""What a host mounts, in its ``asgi.py``::

    from django_pm.realtime.asgi import with_notifications

    application = with_notifications(get_asgi_application())

or, where other processes serve HTTP, ``with_notifications()``. The socket is at ``/ws/notifications/``. Who may connect
is asked inside, so there is no way to mount it unprotected.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from channels.routing import ProtocolTypeRouter

from django_pm.conf import app_settings
from django_pm.measures import SOCKETS_CLOSED
from django_pm.realtime import protocol
from django_pm.realtime.authentication import ForeignOrigin, identify
from django_pm.realtime.connection import Connection
from django_pm.realtime.hub import hub

ASGIApplication = Callable[[dict[str, Any], Any, Any], Awaitable[None]]

logger = logging.getLogger(__name__)

PATH = "/ws/notifications/"
ONLY_SOCKETS = b"Only WebSockets are served here.\n"


def with_notifications(http: Any = None, websocket: ASGIApplication | None = None) -> ASGIApplication:
    """``http`` with the notifications beside it; other sockets go to ``websocket``, or are refused.

    Without ``http`` only sockets are served, and requests are answered with 426.
    """

    async def sockets(scope: dict[str, Any], receive: Any, send: Any) -> None:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if path == PATH:
            await notifications(scope, receive, send)
        elif websocket is not None:
            await websocket(scope, receive, send)
        else:
            await receive()
            await send({"type": "websocket.close"})

    routed: ASGIApplication = ProtocolTypeRouter({"http": http or only_sockets, "websocket": sockets})
    return routed


async def only_sockets(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """What a process that serves no HTTP answers to all of it: 426 Upgrade Required (RFC 9110, section 15.5.22)."""
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(ONLY_SOCKETS)).encode()),
        (b"connection", b"upgrade"),
        (b"upgrade", b"websocket"),
    ]
    await send({"type": "http.response.start", "status": 426, "headers": headers})
    await send({"type": "http.response.body", "body": ONLY_SOCKETS})


async def notifications(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """One socket from handshake to end, as an ASGI application."""
    if (await receive())["type"] != "websocket.connect":
        return
    here = hub()
    try:
        peer = await here.ask(identify, scope)
    except ForeignOrigin:
        SOCKETS_CLOSED.note(1, "foreign origin")
        await send({"type": "websocket.close"})  # before it was accepted: a 403 of the handshake
        return
    except Exception:
        logger.exception("Nobody can be identified.")
        await send({"type": "websocket.accept"})
        await _refuse(send, protocol.CLOSE_TRY_LATER, "Connect again, later.")
        return
    # Accepted even so: a browser shows a page nothing of a handshake that was refused.
    await send({"type": "websocket.accept"})
    if peer is None:
        await _refuse(send, protocol.CLOSE_NOT_SIGNED_IN, "Not signed in.")
    elif not here.admit(peer.credential.user_id, app_settings.SOCKETS_PER_USER):
        await _refuse(send, protocol.CLOSE_TOO_MANY, "Too many sockets.")
    else:
        await Connection(peer, here, scope, receive, send).run()


async def _refuse(send: Any, code: int, reason: str) -> None:
    SOCKETS_CLOSED.note(1, str(code))
    await send({"type": "websocket.close", "code": code, "reason": reason})
