"""The three servers that are compared, as ASGI applications of one site. Each welcomes a socket and sends it events.

``ours``           ``with_notifications``: every event is read from the log once, authorised once for all, encoded once
``conventional``   as tutorials have it: a consumer for each socket, which joins a group and encodes what that is sent
``ceiling``        no Channels, no Django, nobody asked: a message of the layer's server goes to all sockets as it came
"""

# ruff: noqa: E402 -- Django is set up before anything that needs it is imported

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.settings")

from django.core.asgi import get_asgi_application

http = get_asgi_application()

import redis.asyncio
from channels.auth import AuthMiddlewareStack
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from channels.routing import ProtocolTypeRouter
from django.conf import settings

from django_pm.realtime.asgi import with_notifications

GROUP = "bench"

ours = with_notifications(http)


class Consumer(AsyncJsonWebsocketConsumer):
    """One socket, one group membership, one encoding for each event."""

    async def connect(self) -> None:
        if not self.scope["user"].is_authenticated:
            await self.close()
            return
        await self.channel_layer.group_add(GROUP, self.channel_name)
        await self.accept()
        await self.send_json({"type": "welcome"})

    @classmethod
    async def encode_json(cls, content: Any) -> str:
        # Without blanks, as the others: what differs is to be the work, not the bytes.
        return encoded(content)

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard(GROUP, self.channel_name)

    async def event(self, message: dict[str, Any]) -> None:
        await self.send_json(message["content"])


conventional = ProtocolTypeRouter({"http": http, "websocket": AuthMiddlewareStack(Consumer.as_asgi())})


def encoded(content: Any) -> str:
    """JSON as the log's events are encoded."""
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False)


_sockets: set[Any] = set()
_listening: list[asyncio.Task[None]] = []


async def ceiling(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The least that a server can do, on the same ASGI server."""
    if scope["type"] != "websocket":
        await http(scope, receive, send)
        return
    if not _listening:
        _listening.append(asyncio.create_task(_pass_on()))
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": '{"type":"welcome"}'})
    _sockets.add(send)
    while (await receive())["type"] != "websocket.disconnect":
        pass
    _sockets.discard(send)


async def _pass_on() -> None:
    async with redis.asyncio.from_url(settings.REDIS_URL, socket_timeout=None) as server, server.pubsub() as messages:
        await messages.subscribe(GROUP)
        async for message in messages.listen():
            if message["type"] == "message":
                frame = {"type": "websocket.send", "text": message["data"].decode()}
                for send in list(_sockets):
                    await send(frame)
