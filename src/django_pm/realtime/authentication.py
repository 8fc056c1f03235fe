"""Who is at the other end of a socket: asked at the handshake, and again before anything is sent.

Three ways in. A browser's session cookie, which other sites can make a browser send too, so it counts only together
with an ``Origin`` that is ours (RFC 6455, section 10.2). Headers, by the API's own authentication classes. A one-use
ticket as ``?ticket=``. A foreign ``Origin`` is refused whatever else comes with it.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib import auth
from django.contrib.auth import get_user_model
from django.core.exceptions import DisallowedHost
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.http import is_same_domain

from django_pm import access
from django_pm.api.authentication import bearer_of, grant_of_token
from django_pm.api.handshake import authenticate
from django_pm.models import ApiToken, Project
from django_pm.models.ticket import redeem
from django_pm.users import active_users, has_column


class ForeignOrigin(Exception):
    """The page that opened the socket is not of this site."""


@dataclass(frozen=True)
class Credential:
    """What a socket was opened with, in a form that can be asked about again, for many sockets at once."""

    user_id: Any
    password: str = field(default="", repr=False)
    """The user's password as stored: whoever changes it ends all that was opened before."""
    session_key: str = field(default="", repr=False)
    token_id: Any = None

    @property
    def can_be_checked(self) -> bool:
        """Whether its end is noticed. Of what a host's own authentication vouched for, only the user is known."""
        return bool(self.session_key) or self.token_id is not None


@dataclass(frozen=True)
class Peer:
    """The user of a socket, held to what the credential grants, and the credential."""

    user: Any
    credential: Credential


def identify(scope: dict[str, Any]) -> Peer | None:
    """Who opens this socket, None for nobody. Raises ``ForeignOrigin``. Asks the database."""
    request = ASGIRequest({**scope, "type": "http", "method": "GET"}, io.BytesIO())
    origin = _check_origin(request)
    ticket = request.GET.get("ticket")
    if ticket is not None:
        return _of_ticket(ticket)
    if origin and bearer_of(request) is None and (peer := _of_session(request)):
        return peer
    return _of_headers(request)  # without an Origin it is no browser, so nothing came along that nobody meant to send


def no_longer_valid(credentials: Iterable[Credential]) -> set[Credential]:
    """Those that the site would not take any more: in a fixed number of statements, however many there are."""
    asked = set(credentials)
    columns = ["pk", "password"] if has_column("password") else ["pk"]
    users = active_users().filter(pk__in={each.user_id for each in asked})
    passwords = {pk: "".join(rest) for pk, *rest in users.values_list(*columns)}
    token_ids = {each.token_id for each in asked if each.token_id is not None}
    tokens = set(ApiToken.objects.live().filter(pk__in=token_ids).values_list("pk", flat=True)) if token_ids else set()
    sessions = _live_sessions({each.session_key for each in asked if each.session_key})
    return {
        each
        for each in asked
        if passwords.get(each.user_id) != each.password
        or (each.token_id is not None and each.token_id not in tokens)
        or (each.session_key and each.session_key not in sessions)
    }


def _check_origin(request: HttpRequest) -> bool:
    """Whether there is an Origin, which is then ours."""
    origin = request.headers.get("Origin")
    if origin is None:
        return False
    host = urlsplit(origin).netloc
    try:
        ours = bool(host) and host == request.get_host()
    except DisallowedHost:
        raise ForeignOrigin from None
    if not ours and not any(_matches(origin, trusted) for trusted in settings.CSRF_TRUSTED_ORIGINS):
        raise ForeignOrigin
    return True


def _matches(origin: str, trusted: str) -> bool:
    """Whether ``origin`` is the one of ``CSRF_TRUSTED_ORIGINS``, which may begin with ``*.``."""
    one, other = urlsplit(origin), urlsplit(trusted)
    return one.scheme == other.scheme and is_same_domain(one.netloc, other.netloc.lstrip("*"))


def _of_ticket(secret: str) -> Peer | None:
    ticket = redeem(secret)
    if ticket is None:
        return None
    if ticket.token is not None:
        access.limit(ticket.user, grant_of_token(ticket.token))
    elif ticket.project_ids is not None:
        keys = frozenset(map(Project._meta.pk.to_python, ticket.project_ids))
        access.limit(ticket.user, access.Grant(project_ids=keys))
    return _peer(ticket.user, session_key=ticket.session_key, token_id=ticket.token_id)


def _of_headers(request: HttpRequest) -> Peer | None:
    found = authenticate(request)
    if found is None:
        return None
    user, vouching = found
    return _peer(user, token_id=vouching.pk if isinstance(vouching, ApiToken) else None)


def _of_session(request: HttpRequest) -> Peer | None:
    """As ``django.contrib.auth.get_user``, but the session is only read: there is no answer to carry a new cookie."""
    key = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
    if not key:
        return None
    session = import_module(settings.SESSION_ENGINE).SessionStore(key)
    path = session.get(auth.BACKEND_SESSION_KEY)
    if path not in settings.AUTHENTICATION_BACKENDS:
        return None
    user_id = get_user_model()._meta.pk.to_python(session[auth.SESSION_KEY])
    user = auth.load_backend(path).get_user(user_id)
    if user is None:
        return None
    if hasattr(user, "get_session_auth_hash"):
        known = session.get(auth.HASH_SESSION_KEY, "")
        hashes = [user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()]
        if not any(constant_time_compare(known, each) for each in hashes):
            return None
    return _peer(user, session_key=key if _can_list_sessions() else "")


def _peer(user: Any, *, session_key: str = "", token_id: Any = None) -> Peer | None:
    if not getattr(user, "is_active", True):
        return None
    return Peer(user, Credential(user.pk, getattr(user, "password", ""), session_key, token_id))


def _can_list_sessions() -> bool:
    """Whether sessions are kept on the server. Those in signed cookies end only with their cookie."""
    return not settings.SESSION_ENGINE.endswith("signed_cookies")


def _live_sessions(keys: set[str]) -> set[str]:
    if not keys:
        return set()
    store = import_module(settings.SESSION_ENGINE).SessionStore
    if hasattr(store, "get_model_class"):
        rows = store.get_model_class().objects.filter(session_key__in=keys, expire_date__gt=timezone.now())
        return set(rows.values_list("session_key", flat=True))
    return {key for key in keys if store().exists(key)}
