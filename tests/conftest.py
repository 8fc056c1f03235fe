"""Fixtures for every room."""

from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.db import connection
from rest_framework.test import APIClient

from django_pm.api import lists
from django_pm.cache.worth import Worth
from tests import factories


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what only PostgreSQL can show. `scripts/run_tests.py` deselects it, and says so in its last line."""
    if connection.vendor != "postgresql":
        skip = pytest.mark.skip(reason="needs PostgreSQL")
        for item in items:
            if item.get_closest_marker("postgres"):
                item.add_marker(skip)


TOGETHER = (
    "tests/client/test_live.py",
    "tests/client/test_notifications.py",
    "tests/docs/test_walks.py",
    "tests/example/test_demo.py",
    "tests/example/test_mailbox.py",
    "tests/example/test_policy.py",
    "tests/models/test_indexes.py",
    "tests/models/test_migrations.py",
    "tests/serving/test_entry_points.py",
    "tests/stack/faults/",
    "tests/stack/test_walk.py",
)
"""Tests that share what takes long to make or to start. (xdist's own groups are without effect in pytest 9.)"""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give those to one worker, all others to whoever is free."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return next((place for place in TOGETHER if nodeid.startswith(place)), nodeid)

    return Scheduling(config, log)


@pytest.fixture(scope="session", autouse=True)
def _quick_flush() -> Iterator[None]:
    """Empty the tables by DELETE after tests that commit: TRUNCATE makes a new file for every table and index.

    What `migrate` has put into two tables stays, or it would be put there again after each such test.
    """
    kept = {"django_content_type", "auth_permission"}

    def sql_flush(self: Any, style: Any, tables: Iterable[str], **options: bool) -> list[str]:
        return [f"DELETE FROM {self.quote_name(table)};" for table in tables if table not in kept]  # noqa: S608

    with pytest.MonkeyPatch.context() as patch:
        if connection.vendor == "postgresql":
            patch.setattr(type(connection.ops), "sql_flush", sql_flush)
        yield


class Tireless(Worth):
    """Keeps lists for everybody, however often they miss: tests write far more than they read."""

    def is_worth(self, reader: Any) -> bool:
        return True


@pytest.fixture(scope="session", autouse=True)
def _nobody_rests() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lists, "worth", Tireless())
        yield


@pytest.fixture
def signed_in() -> Callable[[Any], APIClient]:
    """`signed_in(user)`: a client with a session of that user, which the site looks up on every request.

    The session is written as it stands: to sign in first, as `force_login` does, took a seventh of the API's tests.
    """

    def client_of(user: Any) -> APIClient:
        client = APIClient(raise_request_exception=False)
        session = import_module(settings.SESSION_ENGINE).SessionStore()
        session[SESSION_KEY] = user._meta.pk.value_to_string(user)
        session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
        session[HASH_SESSION_KEY] = user.get_session_auth_hash()
        session.create()
        client.cookies[settings.SESSION_COOKIE_NAME] = session.session_key
        return client

    return client_of


@pytest.fixture
def anonymous() -> APIClient:
    """A client that nobody has signed in with."""
    return APIClient(raise_request_exception=False)


@pytest.fixture
def owner(db: None) -> Any:
    """The owner of `project`."""
    return factories.make_user("owner")


@pytest.fixture
def project(owner: Any) -> Any:
    """A project of `owner`, without tasks."""
    return factories.make_project(owner)


@pytest.fixture
def api(signed_in: Callable[[Any], APIClient], owner: Any) -> APIClient:
    """A client signed in as the owner of `project`."""
    return signed_in(owner)
