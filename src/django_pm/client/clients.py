"""The two clients: what is asked for by steps, they do, one with ``await`` and one without. Decisions are elsewhere.

``sockets`` is imported where somebody follows: whoever does not need not load websockets.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypeVar
from weakref import WeakSet

import httpx

from django_pm.client.feed import AsyncEvents, Events
from django_pm.client.following import PATH, Following, Item, Since, Talk
from django_pm.client.notifications import (
    AsyncNotifications,
    AsyncPreferencesResource,
    Notifications,
    PreferencesResource,
)
from django_pm.client.objects import Key, Position, Project
from django_pm.client.reports import AsyncReports, Reports
from django_pm.client.resources import (
    AsyncComments,
    AsyncMembers,
    AsyncProjects,
    AsyncTasks,
    AsyncTokens,
    Comments,
    Members,
    Projects,
    Tasks,
    Tokens,
)
from django_pm.client.retries import Retry
from django_pm.client.rules import AsyncRules, Rules
from django_pm.client.steps import Give, Pause, Send, Steps, Stream

if TYPE_CHECKING:
    from django_pm.client.sockets import AsyncWire, Wire

T = TypeVar("T")

# The server lets a repeated POST wait 5 s for the first; connecting takes no such time.
TIMEOUT = httpx.Timeout(30.0, connect=5.0)

Answer: TypeAlias = httpx.Response | httpx.RequestError | None
"""What comes of a step; None of a pause."""

Credentials: TypeAlias = tuple[str, str] | httpx.Auth
"""A user and a password, or any way that httpx knows."""


class _Bearer(httpx.Auth):
    """Signs in with an API token, and shows it nowhere else."""

    def __init__(self, token: str) -> None:
        self._header = f"Bearer {token}"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = self._header
        yield request


class _Base:
    """What both clients are given and know."""

    def __init__(
        self,
        base_url: str,
        token: str | None,
        auth: Credentials | None,
        timeout: float | httpx.Timeout,
        retry: Retry,
        options: dict[str, Any],
    ) -> None:
        self.base_url = _checked(base_url)
        self.retry = retry
        self._options = options
        self._auth = _credentials(token, auth)
        self._timeout = timeout if isinstance(timeout, httpx.Timeout) else httpx.Timeout(timeout)
        limits = self._timeout.as_dict()
        self._limits = {phase: seconds for phase, seconds in limits.items() if seconds is not None}
        if len(self._limits) < len(limits):
            raise ValueError("Each timeout must be a number of seconds: nothing is waited for without end.")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.base_url}>"

    @property
    def _http_options(self) -> dict[str, Any]:
        return {"auth": self._auth, "timeout": self._timeout, "follow_redirects": False}

    def _arguments(self, step: Send) -> dict[str, Any]:
        """The request as httpx is asked for it; none of its timeouts goes beyond the deadline."""
        request = step.request
        limits = {phase: min(seconds, step.seconds) for phase, seconds in self._limits.items()}
        return {
            "method": request.method,
            "url": self.base_url + request.path,
            "params": request.params or None,
            "content": request.body,
            "headers": request.headers,
            "timeout": httpx.Timeout(**limits),
        }

    def _following(
        self, since: Since | None, projects: Sequence[Project | Key] | None, patience: float | None, ws_url: str | None
    ) -> Following:
        url = self.base_url.replace("http", "ws", 1) if ws_url is None else ws_url
        address = httpx.URL(url)
        if address.scheme not in {"ws", "wss"} or not address.host or address.userinfo:
            raise ValueError("ws_url must be an address such as wss://site.example/ws/, without a password.")
        if ws_url is None:
            url = str(address.copy_with(path=PATH))
        return Following(url, since, projects, self.retry, patience)


class Follower:
    """What ``Client.follow`` gives: iterate over it. ``with`` or ``close`` closes its socket, as the end of a loop over
    one that nothing else refers to does."""

    def __init__(self, following: Following, items: Generator[Item, None, None]) -> None:
        self._following = following
        self._items = items

    @property
    def positions(self) -> dict[Key, Position]:
        """The place in each project behind the item that was given last. Keep them, and hand them to ``since``."""
        return dict(self._following.tracker.positions)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Item:
        return next(self._items)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket. From another thread, close the client instead."""
        self._items.close()


class AsyncFollower:
    """``Follower`` for ``async for``, ``async with`` and ``await follower.aclose()``."""

    def __init__(self, following: Following, items: AsyncGenerator[Item, None]) -> None:
        self._following = following
        self._items = items

    @property
    def positions(self) -> dict[Key, Position]:
        """The place in each project behind the item that was given last. Keep them, and hand them to ``since``."""
        return dict(self._following.tracker.positions)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Item:
        return await anext(self._items)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the socket."""
        await self._items.aclose()


class Client(_Base):
    """The API of one site, for one user.

    ``base_url`` is where the site has mounted it. Sign in with ``token`` (``pm_…``), or with ``auth``: a user and a
    password, or an ``httpx.Auth``. ``timeout`` is in seconds, for each of connecting, sending and waiting. ``options``
    go to ``httpx.Client`` (``verify``, ``transport``, ``trust_env`` …); ``sleep`` is for tests. Threads may share it.
    """

    def __init__(
        self,
        base_url: str,
        *,
        token: str | None = None,
        auth: Credentials | None = None,
        timeout: float | httpx.Timeout = TIMEOUT,
        retry: Retry = Retry(),  # noqa: B008 -- frozen
        sleep: Callable[[float], None] = time.sleep,
        **options: Any,
    ) -> None:
        super().__init__(base_url, token, auth, timeout, retry, options)
        self._sleep = sleep
        self._http = httpx.Client(**self._http_options, **options)
        self.projects = Projects(self)
        self.tasks = Tasks(self)
        self.comments = Comments(self)
        self.members = Members(self)
        self.tokens = Tokens(self)
        self.reports = Reports(self)
        self.rules = Rules(self)
        self.notifications = Notifications(self)
        self.preferences = PreferencesResource(self)
        self.events = Events(self)
        self._wires: WeakSet[Wire] = WeakSet()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections, and with them what follows."""
        self._http.close()
        for wire in list(self._wires):
            wire.shut()

    def follow(
        self,
        since: Since | None = None,
        projects: Sequence[Project | Key] | None = None,
        *,
        patience: float | None = None,
        ws_url: str | None = None,
    ) -> Follower:
        """What happens in all projects that you see, or in those named, as it happens, over a WebSocket.

        It gives each ``Event`` once and in order per project, and besides ``ProjectReset``, ``AccessGained``,
        ``AccessLost`` and what one is told of alone, as ``Notification``; it does not end. Notifications that came
        while no socket was open are not made up for: ``notifications.list`` has them. It begins now, or behind
        ``since``, the ``positions`` of an earlier follower; a project that is not among these is told as gained. A
        socket that ends is opened again and resumed, after pauses that grow; after ``patience`` seconds in which
        nothing was heard, if given, the error is raised. The socket is at ``/ws/notifications/`` of the host, unless
        ``ws_url`` says otherwise; ``SocketRefused`` is raised where there is none.
        """
        from django_pm.client.sockets import Wire

        following = self._following(since, projects, patience, ws_url)
        wire = Wire(self._options)
        self._wires.add(wire)
        return Follower(following, self._talk(following.steps(), wire))

    def _talk(self, talk: Talk, wire: Wire) -> Generator[Item, None, None]:
        """Do the steps of a follower; give what they give."""
        answer: Any = None
        try:
            while True:
                step = talk.throw(answer) if isinstance(answer, httpx.RequestError) else talk.send(answer)
                answer = None
                if isinstance(step, Give):
                    yield from step.items
                elif isinstance(step, (Send, Pause)):
                    answer = self._do(step)
                else:
                    answer = wire.do(step)
        finally:
            wire.close()

    def _run(self, steps: Steps[T]) -> T:
        """Do the steps; return what they end in."""
        answer: Answer = None
        try:
            while True:
                answer = self._do(_resume(steps, answer))
        except StopIteration as done:
            value: T = done.value
            return value

    def _iterate(self, stream: Stream[T]) -> Generator[T, None, None]:
        """Do the steps; give what they give."""
        answer: Answer = None
        while True:
            try:
                step = _resume(stream, answer)
            except StopIteration:
                return
            if isinstance(step, Give):
                answer = None
                yield from step.items
            else:
                answer = self._do(step)

    def _do(self, step: Send | Pause) -> Answer:
        if isinstance(step, Pause):
            self._sleep(step.seconds)
            return None
        try:
            return self._http.request(**self._arguments(step))
        except httpx.RequestError as error:
            return error


class AsyncClient(_Base):
    """``Client`` for ``await`` and ``async for``. Under trio, pass ``sleep=trio.sleep``."""

    def __init__(
        self,
        base_url: str,
        *,
        token: str | None = None,
        auth: Credentials | None = None,
        timeout: float | httpx.Timeout = TIMEOUT,
        retry: Retry = Retry(),  # noqa: B008 -- frozen
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
        **options: Any,
    ) -> None:
        super().__init__(base_url, token, auth, timeout, retry, options)
        self._sleep = sleep
        self._http = httpx.AsyncClient(**self._http_options, **options)
        self.projects = AsyncProjects(self)
        self.tasks = AsyncTasks(self)
        self.comments = AsyncComments(self)
        self.members = AsyncMembers(self)
        self.tokens = AsyncTokens(self)
        self.reports = AsyncReports(self)
        self.rules = AsyncRules(self)
        self.notifications = AsyncNotifications(self)
        self.preferences = AsyncPreferencesResource(self)
        self.events = AsyncEvents(self)
        self._wires: WeakSet[AsyncWire] = WeakSet()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections, and with them what follows."""
        await self._http.aclose()
        for wire in list(self._wires):
            await wire.shut()

    def follow(
        self,
        since: Since | None = None,
        projects: Sequence[Project | Key] | None = None,
        *,
        patience: float | None = None,
        ws_url: str | None = None,
    ) -> AsyncFollower:
        """As ``Client.follow``, for ``async for``, under asyncio."""
        from django_pm.client.sockets import AsyncWire

        following = self._following(since, projects, patience, ws_url)
        wire = AsyncWire(self._options)
        self._wires.add(wire)
        return AsyncFollower(following, self._talk(following.steps(), wire))

    async def _talk(self, talk: Talk, wire: AsyncWire) -> AsyncGenerator[Item, None]:
        """Do the steps of a follower; give what they give."""
        answer: Any = None
        try:
            while True:
                step = talk.throw(answer) if isinstance(answer, httpx.RequestError) else talk.send(answer)
                answer = None
                if isinstance(step, Give):
                    for item in step.items:
                        yield item
                elif isinstance(step, (Send, Pause)):
                    answer = await self._do(step)
                else:
                    answer = await wire.do(step)
        finally:
            await wire.aclose()

    async def _run(self, steps: Steps[T]) -> T:
        """Do the steps; return what they end in."""
        answer: Answer = None
        while True:
            try:
                step = _resume(steps, answer)
            except StopIteration as done:
                value: T = done.value
                return value
            answer = await self._do(step)

    async def _iterate(self, stream: Stream[T]) -> AsyncGenerator[T, None]:
        """Do the steps; give what they give."""
        answer: Answer = None
        while True:
            try:
                step = _resume(stream, answer)
            except StopIteration:
                return
            if isinstance(step, Give):
                answer = None
                for item in step.items:
                    yield item
            else:
                answer = await self._do(step)

    async def _do(self, step: Send | Pause) -> Answer:
        if isinstance(step, Pause):
            await self._sleep(step.seconds)
            return None
        try:
            return await self._http.request(**self._arguments(step))
        except httpx.RequestError as error:
            return error


def _resume(steps: Generator[Any, Any, Any], answer: Answer) -> Any:
    """Hand the answer over; return the step that is asked for next. Raises ``StopIteration`` after the last."""
    return steps.throw(answer) if isinstance(answer, httpx.RequestError) else steps.send(answer)


def _checked(base_url: str) -> str:
    """The address with a slash at its end. What is wrong with it is told without repeating it: it may hold secrets."""
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueError("base_url must be an address such as https://site.example/api/.")
    if url.userinfo:
        raise ValueError("base_url must not hold a password: use auth=(user, password).")
    if url.query or url.fragment:
        raise ValueError("base_url must end with its path.")
    return str(url).rstrip("/") + "/"


def _credentials(token: str | None, auth: Credentials | None) -> httpx.Auth | None:
    if token is None:
        return httpx.BasicAuth(*auth) if isinstance(auth, tuple) else auth
    if auth is not None:
        raise ValueError("Sign in with token or with auth, not with both.")
    # Such as one read from a file with the line's end; what writes the header would quote it.
    if not (token.isascii() and token.isprintable() and token.strip() == token != ""):
        raise ValueError("The token holds blanks or other characters that no token has.")
    return _Bearer(token)
