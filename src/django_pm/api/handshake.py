"""Whom the API would take a request for, asked by those who answer no HTTP: the handshake of a WebSocket."""

from __future__ import annotations

from typing import Any, cast

from django.http import HttpRequest
from rest_framework.authentication import SessionAuthentication
from rest_framework.exceptions import APIException
from rest_framework.request import Request

from django_pm.api.authentication import bearer_of
from django_pm.api.base import BaseAPIView
from django_pm.api.throttling import RequestThrottle


def authenticate(request: HttpRequest) -> tuple[Any, Any] | None:
    """The user and what vouches for them (DRF's ``request.auth``), by the API's authentication classes.

    None for nobody, and where as many credentials of the same address were wrong as ``THROTTLE_ANONYMOUS`` allows.
    Sessions are left out: a cookie comes with every request of a browser, whoever caused it, so they are another
    question.
    """
    authenticators = [
        each for each in BaseAPIView().get_authenticators() if not isinstance(each, SessionAuthentication)
    ]
    asked = Request(request, authenticators=cast(Any, authenticators))
    guesses = RequestThrottle()
    # A token of ours cannot be guessed, and costs no more than a look. A password takes a slow hash, in one of the few
    # threads that serve everybody's sockets.
    if bearer_of(request) is None and not guesses.may_guess(asked):
        return None
    try:
        user = asked.user
    except APIException:
        guesses.note_failed_guess(asked)
        return None
    return (user, asked.auth) if user is not None and user.is_authenticated else None
