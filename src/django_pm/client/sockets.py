"""The WebSockets of followers: what ``following`` asks of one is done here, once with ``await`` and once without.

Imported by ``clients`` when somebody follows; the only module that knows the library.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import AsyncExitStack, ExitStack
from functools import cached_property
from typing import Any

import httpx

try:
    import websockets.asyncio.client as async_client
    import websockets.sync.client as sync_client
    from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
except ModuleNotFoundError as error:
    if error.name is None or error.name.partition(".")[0] != "websockets":
        raise
    raise ImportError("follow() needs websockets: pip install 'django-pm[client]'", name="websockets") from None

from django_pm.client.following import Close, Closed, Open, Refused, Say, SocketStep

CLOSE_SECONDS = 2.0
"""How long the end of a socket is waited for; a network that is gone never tells it."""

UNOPENED = (InvalidHandshake, OSError, EOFError)


def _address(proxy: httpx.Proxy) -> str:
    """With the user and password that httpx keeps apart."""
    if proxy.auth is None:
        return str(proxy.url)
    username, password = proxy.auth
    return str(proxy.url.copy_with(username=username, password=password))


class _Base:
    """What both wires know: how the site is reached, as its client was told for HTTP."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._told = options
        self._is_shut = False

    def _options(self, step: Open) -> dict[str, Any]:
        proxy = self._told.get("proxy")
        if proxy is None:
            proxy = True if self._told.get("trust_env", True) else None
        else:
            proxy = _address(proxy) if isinstance(proxy, httpx.Proxy) else str(proxy)
        return {
            "open_timeout": step.seconds,
            "close_timeout": CLOSE_SECONDS,
            "ping_interval": None,  # the server's heartbeats say that it lives
            "proxy": proxy,
            "ssl": self._tls if step.url.startswith("wss:") else None,
        }

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        told = {name: self._told[name] for name in ("verify", "cert", "trust_env") if name in self._told}
        return httpx.create_ssl_context(**told)


# No redirect is followed, with ``await`` or without: the ticket would go along.

if hasattr(sync_client, "reconnect"):  # since websockets 17.1; those before follow none

    class _Connect(sync_client.reconnect):
        def process_redirect(self, exc: Exception) -> Exception | str:
            return exc
else:
    _Connect = sync_client.connect  # type: ignore[assignment, misc]


class _AsyncConnect(async_client.connect):
    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class Wire(_Base):
    """One socket at a time, for ``Client``."""

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(options)
        self._stack = ExitStack()
        self._socket: sync_client.ClientConnection | None = None

    def do(self, step: SocketStep) -> Refused | Closed | str | None:
        """What comes of a step."""
        if isinstance(step, Open):
            return self._open(step)
        if isinstance(step, Close):
            self.close()
            return None
        if self._socket is None:
            return Closed(None, "")
        try:
            if isinstance(step, Say):
                self._socket.send(step.text)
                return None
            return str(self._socket.recv(timeout=step.seconds))
        except TimeoutError:
            return None
        except ConnectionClosed as error:
            return _closed(error)

    def _open(self, step: Open) -> Refused | None:
        try:
            self._socket = self._stack.enter_context(_Connect(step.url, **self._options(step)))
        except UNOPENED as error:
            return _refused(error)
        if self._is_shut:  # meanwhile
            self.close()
        return None

    def close(self) -> None:
        """Close the socket, if there is one. Any thread may."""
        self._socket = None
        self._stack.close()

    def shut(self) -> None:
        """Close for good, since the client is closed."""
        self._is_shut = True
        self.close()


class AsyncWire(_Base):
    """``Wire`` for ``AsyncClient``, under asyncio."""

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(options)
        self._stack = AsyncExitStack()
        self._socket: async_client.ClientConnection | None = None

    async def do(self, step: SocketStep) -> Refused | Closed | str | None:
        """What comes of a step."""
        if isinstance(step, Open):
            return await self._open(step)
        if isinstance(step, Close):
            await self.aclose()
            return None
        if self._socket is None:
            return Closed(None, "")
        try:
            if isinstance(step, Say):
                await self._socket.send(step.text)
                return None
            async with asyncio.timeout(step.seconds):
                return str(await self._socket.recv())
        except TimeoutError:
            return None
        except ConnectionClosed as error:
            return _closed(error)

    async def _open(self, step: Open) -> Refused | None:
        try:
            self._socket = await self._stack.enter_async_context(_AsyncConnect(step.url, **self._options(step)))
        except UNOPENED as error:
            return _refused(error)
        if self._is_shut:  # meanwhile
            await self.aclose()
        return None

    async def aclose(self) -> None:
        """Close the socket, if there is one."""
        self._socket = None
        await self._stack.aclose()

    async def shut(self) -> None:
        """Close for good, since the client is closed."""
        self._is_shut = True
        await self.aclose()


def _refused(error: Exception) -> Refused:
    if isinstance(error, InvalidStatus):
        return Refused(error.response.status_code, error.response.reason_phrase)
    return Refused(None, f"{type(error).__name__}: {error}")


def _closed(error: ConnectionClosed) -> Closed:
    """The server's reason; else ours, such as a frame that is too large; None where the connection broke."""
    told = error.rcvd or error.sent
    return Closed(None, "the connection broke") if told is None else Closed(told.code, told.reason)
