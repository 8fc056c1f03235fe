"""Counts and times requests by the names of their routes. It goes first into a host's ``MIDDLEWARE``."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

from django_pm.measures import REQUEST_SECONDS

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
UNKNOWN = "unknown"
"""The route of what no route matches, however many paths somebody tries; the method of what is none."""


@sync_and_async_middleware
def request_metrics(
    get_response: Callable[[HttpRequest], Any],
) -> Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]:
    """Put ``"django_pm.health.middleware.request_metrics"`` at the head of ``MIDDLEWARE``."""
    if iscoroutinefunction(get_response):

        async def middleware(request: HttpRequest) -> HttpResponseBase:
            began = time.perf_counter()
            response: HttpResponseBase = await get_response(request)
            _note(request, response, began)
            return response

        return middleware

    def sync_middleware(request: HttpRequest) -> HttpResponseBase:
        began = time.perf_counter()
        response: HttpResponseBase = get_response(request)
        _note(request, response, began)
        return response

    return sync_middleware


def _note(request: HttpRequest, response: HttpResponseBase, began: float) -> None:
    match = request.resolver_match
    route = match.view_name if match else UNKNOWN
    method = request.method if request.method in METHODS else UNKNOWN
    REQUEST_SECONDS.note(time.perf_counter() - began, route, method, f"{response.status_code // 100}xx")
