"""Signing in over HTTP: a name and a password against a token."""

import logging
from typing import Any

from rest_framework.authtoken.views import ObtainAuthToken
from rest_framework.request import Request
from rest_framework.throttling import AnonRateThrottle

logger = logging.getLogger(__name__)


class SignInThrottle(AnonRateThrottle):
    """Limits how fast one address may try passwords; while the cache that counts is away, it does not."""

    scope = "sign-in"

    def allow_request(self, request: Request, view: Any) -> bool:
        try:
            return bool(super().allow_request(request, view))
        except Exception:  # whatever the cache's client raises
            logger.warning("The cache does not count who tries passwords; they pass unlimited.", exc_info=True)
            return True


class TokenView(ObtainAuthToken):
    """`POST {"username", "password"}` answers `{"token"}`; unlike DRF's own view, throttled."""

    throttle_classes = (SignInThrottle,)
    # Whoever asks for a token is not signed in yet. A stale session cookie must not get in the way.
    authentication_classes = ()
