"""For a host's own views: what they change through the models is recorded as done by the signed-in user."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

from django_pm.context import acting

ORIGIN = "web"


@sync_and_async_middleware
def actor_middleware(
    get_response: Callable[[HttpRequest], Any],
) -> Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]:
    """Put ``"django_pm.middleware.actor_middleware"`` behind Django's ``AuthenticationMiddleware``."""
    if iscoroutinefunction(get_response):

        async def middleware(request: HttpRequest) -> HttpResponseBase:
            with acting(lambda: getattr(request, "user", None), origin=ORIGIN):
                response: HttpResponseBase = await get_response(request)
            return response

        return middleware

    def sync_middleware(request: HttpRequest) -> HttpResponseBase:
        with acting(lambda: getattr(request, "user", None), origin=ORIGIN):
            response: HttpResponseBase = get_response(request)
        return response

    return sync_middleware
