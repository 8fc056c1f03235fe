"""Both clients, asked the same things: of a made-up server with a made-up clock, and of the example site."""

import asyncio
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from django_pm.client import AsyncClient, Client, Retry
from tests.example.site import ROOT, Site

KINDS = ["sync", "async"]


class Time:
    """A clock that only goes on when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    async def asleep(self, seconds: float) -> None:
        self.sleep(seconds)


class Either:
    """One of the two clients. `do` asks it something and returns what comes of it, a list of what is iterated over."""

    def __init__(self, kind: str, url: str, **options: Any) -> None:
        self.kind, self.url, self.options = kind, url, options

    def do(self, ask: Callable[[Any], Any], *, most: int | None = None) -> Any:
        """`most` stops an iteration after so many."""
        if self.kind == "async":
            return asyncio.run(self._ado(ask, most))
        with Client(self.url, **self.options) as client:
            asked = ask(client)
            if not inspect.isgenerator(asked):
                return asked
            return list(asked) if most is None else [next(asked) for _ in range(most)]

    async def _ado(self, ask: Callable[[Any], Any], most: int | None) -> Any:
        async with AsyncClient(self.url, **self.options) as client:
            asked = ask(client)
            if not inspect.isasyncgen(asked):
                return await asked
            found = []
            async for item in asked:
                found.append(item)
                if len(found) == most:
                    await asked.aclose()
                    break
            return found


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def asking(kind: str, time: Time) -> Callable[..., Either]:
    """`asking(handler)`: a client whose requests the handler answers, or lets fail by raising."""

    def make(handler: Callable[[httpx.Request], httpx.Response], *, retry: Any = None, **options: Any) -> Either:
        limits = {"clock": lambda: time.now, "random": lambda: 1.0, **(retry or {})}
        options.setdefault("token", "pm_secret")
        return Either(
            kind,
            "https://site.example/api/",
            retry=Retry(**limits),
            transport=httpx.MockTransport(handler),
            sleep=time.sleep if kind == "sync" else time.asleep,
            **options,
        )

    return make


class ThisSite(Site):
    """The example site on the package of this checkout, whichever one is installed."""

    def environment(self, **variables: str) -> dict[str, str]:
        return super().environment(PYTHONPATH=str(ROOT / "src"), DJANGO_RUNSERVER_HIDE_WARNING="true", **variables)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A migrated, seeded and running demo."""
    site = ThisSite(tmp_path_factory.mktemp("client"))
    site.must_manage("migrate", "--verbosity", "0")
    site.must_manage("demo_seed")
    with site.served():
        yield site
