"""How many connections to PostgreSQL: no more than were given, however many requests there are at once.

WSGI has a fixed number of threads, which keep theirs. Under ASGI each request has a thread of its own; there with
connections that threads keep, there are more of them than requests on their way, until PostgreSQL refuses. So they are
pooled.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator

import httpx
import psycopg
import pytest

from tests.example.site import HTTP_SERVER, HTTP_THREADS, LIVE_SERVER, Site
from tests.serving.conftest import add_task, frame, listen, sign_in

pytestmark = pytest.mark.postgres

POOL = 5
CLIENTS = 40
REQUESTS = 5
COUNT = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
)


@pytest.fixture
def database(site: Site) -> Iterator[psycopg.Connection]:
    with psycopg.connect(site.variables["DATABASE_URL"], autocommit=True) as connection:
        yield connection


def number_of_connections(database: psycopg.Connection) -> int:
    row = database.execute(COUNT).fetchone()
    assert row
    return int(row[0])


@pytest.mark.parametrize(
    ("server", "variables", "bound"),
    [(LIVE_SERVER, {"DATABASE_POOL": str(POOL)}, POOL), (HTTP_SERVER, {}, HTTP_THREADS)],
    ids=["ASGI", "WSGI"],
)
def test_many_requests_share_few_connections(
    site: Site, database: psycopg.Connection, server: list[str], variables: dict[str, str], bound: int
) -> None:
    statuses: Counter[int] = Counter()

    async def ask(client: httpx.AsyncClient) -> None:
        for _ in range(REQUESTS):
            statuses[(await client.get("/tasks/")).status_code] += 1

    async def ask_at_once() -> int:
        limits = httpx.Limits(max_connections=CLIENTS)
        settings = {"base_url": site.url, "auth": ("ana", "demo"), "timeout": 60, "limits": limits, "trust_env": False}
        async with httpx.AsyncClient(**settings) as client:
            asking = asyncio.gather(*(ask(client) for _ in range(CLIENTS)))
            most = 0
            while not asking.done():
                most = max(most, await asyncio.to_thread(number_of_connections, database))
                await asyncio.sleep(0.02)
            await asking
        return most

    with site.served(*server, **variables):
        most = asyncio.run(ask_at_once())
    assert statuses == {200: CLIENTS * REQUESTS}
    assert 1 < most <= bound


@pytest.mark.parametrize("server", [LIVE_SERVER, HTTP_SERVER], ids=["ASGI", "WSGI"])
def test_connections_that_broke_meanwhile_are_replaced(
    site: Site, database: psycopg.Connection, server: list[str]
) -> None:
    """As after a restart of PostgreSQL: no request fails."""
    with site.served(*server):
        browser = site.browser()
        for _ in range(3):
            assert [browser.ask("/tasks/", user="ana").status for _ in range(6)] == [200] * 6
            assert number_of_connections(database) > 0
            database.execute(COUNT.replace("count(*)", "pg_terminate_backend(pid)"))


def test_sockets_leave_the_pool_to_the_requests(site: Site, database: psycopg.Connection) -> None:
    """One connection is enough for everybody, if nobody keeps it."""
    with site.served(*LIVE_SERVER, DATABASE_POOL="1"):
        browser = site.browser()
        session = sign_in(browser)
        with listen(site.url, session) as one, listen(site.url, session) as other:
            for socket in (one, other):
                frame(socket, "welcome")
            for title in ("First", "Second"):
                add_task(browser, title)
                for socket in (one, other):
                    assert frame(socket, "task.created")["changes"]["title"] == [None, title]
            assert number_of_connections(database) == 1
