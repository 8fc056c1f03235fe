"""What the suite's tests need on a site that is not their own: a plugin of pytest (`-p tests.shapes.harness`).

They spell the paths of the API as if it were mounted at the root, ask it more often than people may, and know of one
database. Here each is brought to the site that is tested.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.test import RequestFactory, override_settings
from django.urls import reverse

from django_pm.services.addresses import API, namespace_of

QUICK_HASHER = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let a test that may use a database use all that the site has."""
    for item in items:
        mark = item.get_closest_marker("django_db")
        if mark or "db" in getattr(item, "fixturenames", ()):
            options = {**(mark.kwargs if mark else {}), "databases": "__all__"}
            item.add_marker(pytest.mark.django_db(**options), append=False)


@pytest.fixture(scope="session", autouse=True)
def _without_limits() -> Iterator[None]:
    unlimited = {**getattr(settings, "DJANGO_PM", {}), "THROTTLE_USER": "", "THROTTLE_ANONYMOUS": ""}
    with override_settings(DJANGO_PM=unlimited, PASSWORD_HASHERS=QUICK_HASHER):
        yield


@pytest.fixture(autouse=True)
def prefix(monkeypatch: pytest.MonkeyPatch) -> str:
    """Where the API is, such as `/pm`; what a test asks of its clients at `/tasks/` is asked there."""
    found = reverse(f"{namespace_of(API)}:project-list").removesuffix("/projects/")
    generic = RequestFactory.generic

    def at_prefix(self: Any, method: str, path: str, *args: Any, **kwargs: Any) -> Any:
        is_bare = path.startswith("/") and not path.startswith((f"{found}/", "/admin/", "/site/"))
        return generic(self, method, f"{found}{path}" if is_bare else path, *args, **kwargs)

    if found:
        monkeypatch.setattr(RequestFactory, "generic", at_prefix)
    return found
