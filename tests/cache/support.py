"""What the tests of this folder share: asking a list with the cache and without, and comparing what came."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from rest_framework.test import APIClient

from django_pm.api import lists


@contextmanager
def uncached() -> Iterator[None]:
    """Lists are made anew for everybody who asks."""
    with told(RESPONSE_CACHE=""):
        yield


@contextmanager
def told(**values: Any) -> Iterator[None]:
    """Settings of ours have these values. (`override_settings` takes longer than a request.)"""
    before = dict(settings.DJANGO_PM)
    settings.DJANGO_PM.update(values)
    try:
        yield
    finally:
        settings.DJANGO_PM.clear()
        settings.DJANGO_PM.update(before)


def plainly(client: APIClient, url: str) -> Any:
    """The answer as it is without the cache."""
    with uncached():
        return client.get(url)


def came_from(client: APIClient, url: str, **headers: Any) -> str:
    """What `X-Cache` tells a developer of where the answer is from."""
    before = lists.answers.counts.copy()
    response = client.get(url, **headers)
    assert response.status_code in {200, 304}, (response.status_code, response.content)
    counted = lists.answers.counts - before
    return str(next(iter(counted), "bypass"))
