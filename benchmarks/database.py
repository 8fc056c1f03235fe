"""Makes ``pm_bench`` and drops it. Nothing else on the server is touched."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.conf import settings
from django.core.management import call_command
from django.db import connection, connections
from psycopg import sql


def _administering() -> Any:
    parameters = {**connections["default"].get_connection_params(), "dbname": "postgres"}
    keep = ("host", "port", "user", "password", "dbname")
    return psycopg.connect(**{name: parameters[name] for name in keep if parameters.get(name)}, autocommit=True)


def _drop() -> None:
    connections.close_all()
    with _administering() as server:
        # Without FORCE: a second run of the benchmarks is told that the database is in use.
        server.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(settings.DATABASE_NAME)))


@contextmanager
def fresh_database() -> Iterator[None]:
    """An empty, migrated ``pm_bench`` for the duration. What a killed run left is dropped first."""
    _drop()
    with _administering() as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(settings.DATABASE_NAME)))
    try:
        call_command("migrate", verbosity=0)
        yield
    finally:
        _drop()


def server_setting(name: str) -> str:
    """One setting of the server, as ``SHOW`` prints it."""
    with connection.cursor() as cursor:
        cursor.execute(f"SHOW {name}")
        return str(cursor.fetchone()[0])


def tidy() -> None:
    """Give the planner statistics and clear dead rows, so that no part of a run pays for the one before."""
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def empty() -> None:
    """Remove every project with all that belongs to it, and the log."""
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE django_pm_project, django_pm_event, django_pm_projectstream CASCADE")
