"""The example site in a process of its own, on the database that this run of the suite is about."""

import os
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from tests.example.site import Site

OUTSIDER = "lena"
# Not `runserver`: it sends an answer in two parts, and the second waits 40 ms for the receipt of the first.
SERVER = [sys.executable, "-m", "granian", "--interface", "wsgi", "config.wsgi:application", "--port"]
ADD_OUTSIDER = f"from accounts.models import User; User.objects.create_user('{OUTSIDER}', password='demo')"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A running demo without throttles, and with somebody who is a member of nothing."""
    with database() as variables:
        site = Site(tmp_path_factory.mktemp("fuzzed"), **variables)
        site.must_manage("migrate", "--verbosity", "0")
        site.must_manage("demo_seed")
        site.must_manage("shell", "-c", ADD_OUTSIDER)
        with site.served(*SERVER):
            yield site


@contextmanager
def database() -> Iterator[dict[str, str]]:
    """What the environment tells the site of its database: nothing for SQLite, which it keeps in its own folder."""
    server = os.environ.get("PM_TEST_DATABASE_URL", "")
    if not server.startswith(("postgres", "pgsql")):
        yield {}
        return
    import psycopg

    name = f"pm_fuzz_{uuid.uuid4().hex[:10]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        try:
            yield {"DATABASE_URL": urlsplit(server)._replace(path=f"/{name}").geturl()}
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
