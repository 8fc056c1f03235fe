"""Signing in over HTTP: a name and a password against a token."""

from rest_framework.authtoken.views import ObtainAuthToken
from rest_framework.throttling import AnonRateThrottle


class SignInThrottle(AnonRateThrottle):
    """Limits how fast one address may try passwords."""

    scope = "sign-in"


class TokenView(ObtainAuthToken):
    """`POST {"username", "password"}` answers `{"token"}`; unlike DRF's own view, throttled."""

    throttle_classes = (SignInThrottle,)
    # Whoever asks for a token is not signed in yet. A stale session cookie must not get in the way.
    authentication_classes = ()
