"""The link in every mail by which its recipient stops that kind of mail, without signing in."""

from __future__ import annotations

import functools
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core import signing
from django.core.exceptions import ValidationError
from django.urls import NoReverseMatch, get_script_prefix, get_urlconf, reverse
from django.utils.translation import get_language

from django_pm.conf import app_settings
from django_pm.models import MailKind, NotificationPreferences

SALT = "django_pm.unsubscribe"
PLACE = "-token-"
"""For a token in a path. No token is like it, nor a path that a site would choose."""

FIELDS = {MailKind.REMINDER: "reminders", MailKind.REPORT: "reports"}


def unsubscribe_url(user: Any, kind: str) -> str:
    """Where ``user`` ends mail of this kind; empty where the site has told no ``SITE_URL``, or mounts no API."""
    site = app_settings.SITE_URL.rstrip("/")
    where = get_urlconf(), settings.ROOT_URLCONF, get_script_prefix(), get_language()
    if not site or not (path := _path(*where)):
        return ""
    return site + path.replace(PLACE, signing.dumps([str(user.pk), str(kind)], salt=SALT))


@functools.lru_cache(maxsize=8)
def _path(*_depends_on: Any) -> str:
    """Of the page, with ``PLACE`` for the token: to look it up took as long as to sign the token."""
    try:
        return reverse("django_pm:unsubscribe", args=[PLACE])
    except NoReverseMatch:
        return ""


def read_token(token: str) -> tuple[Any, MailKind] | None:
    """The user and the kind of mail that a link is about; None if it is none of ours, or the user is gone."""
    try:
        key, kind = signing.loads(token, salt=SALT)
        user = get_user_model()._default_manager.filter(pk=key).first()
        return None if user is None else (user, MailKind(kind))
    except (signing.BadSignature, ValidationError, ValueError, TypeError):  # the second: no key of this user model
        return None


def unsubscribe(*, user: Any, kind: MailKind) -> None:
    """No more mail of this kind to ``user``."""
    NotificationPreferences.objects.update_or_create(user=user, defaults={FIELDS[kind]: False})
