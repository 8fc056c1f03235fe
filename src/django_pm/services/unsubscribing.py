"""The link in every mail by which its recipient stops that kind of mail, without signing in."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.core import signing
from django.core.exceptions import ValidationError
from django.urls import NoReverseMatch, reverse

from django_pm.conf import app_settings
from django_pm.models import MailKind, NotificationPreferences

SALT = "django_pm.unsubscribe"
FIELDS = {MailKind.REMINDER: "reminders", MailKind.REPORT: "reports"}


def unsubscribe_url(user: Any, kind: str) -> str:
    """Where ``user`` ends mail of this kind; empty where the site has told no ``SITE_URL``, or mounts no API."""
    token = signing.dumps([str(user.pk), str(kind)], salt=SALT, compress=True)
    try:
        path = reverse("django_pm:unsubscribe", args=[token])
    except NoReverseMatch:
        return ""
    return f"{app_settings.SITE_URL.rstrip('/')}{path}" if app_settings.SITE_URL else ""


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
