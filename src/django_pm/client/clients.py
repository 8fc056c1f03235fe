"""The two clients: what is asked for by steps, they do, one with ``await`` and one without. Decisions are elsewhere."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from typing import Any, Self, TypeAlias, TypeVar

import httpx

from django_pm.client.feed import AsyncEvents, Events
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
from django_pm.client.steps import Give, Pause, Send, Steps, Stream

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
        self, base_url: str, token: str | None, auth: Credentials | None, timeout: float | httpx.Timeout, retry: Retry
    ) -> None:
        self.base_url = _checked(base_url)
        self.retry = retry
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
        super().__init__(base_url, token, auth, timeout, retry)
        self._sleep = sleep
        self._http = httpx.Client(**self._http_options, **options)
        self.projects = Projects(self)
        self.tasks = Tasks(self)
        self.comments = Comments(self)
        self.members = Members(self)
        self.tokens = Tokens(self)
        self.events = Events(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

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
        super().__init__(base_url, token, auth, timeout, retry)
        self._sleep = sleep
        self._http = httpx.AsyncClient(**self._http_options, **options)
        self.projects = AsyncProjects(self)
        self.tasks = AsyncTasks(self)
        self.comments = AsyncComments(self)
        self.members = AsyncMembers(self)
        self.tokens = AsyncTokens(self)
        self.events = AsyncEvents(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

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
