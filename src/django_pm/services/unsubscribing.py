"""The link in every mail by which its recipient stops that kind of mail, without signing in."""

from __future__ import annotations

import functools
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core import signing
from django.core.exceptions import ValidationError
from django.db import router, transaction
from django.urls import NoReverseMatch, get_script_prefix, get_urlconf, reverse
from django.utils.translation import get_language

from django_pm.conf import app_settings
from django_pm.models import Channel, MailKind, NotificationPreferences, ProjectChannels, Reason
from django_pm.models.preferences import language_of
from django_pm.services import addresses
from django_pm.services.notifications import channels

SALT = "django_pm.unsubscribe"
PLACE = "-token-"
"""For a token in a path. No token is like it, nor a path that a site would choose."""

FIELDS = {MailKind.REMINDER: "reminders", MailKind.REPORT: "reports", MailKind.OVERDUE: "overdue_digest"}
TOPICS: dict[str, Any] = {str(topic): topic.label for topic in (*FIELDS, MailKind.DIGEST, *Reason)}
"""What a link may end, and how it is called: a kind of mail, or mail for a reason."""


def unsubscribe_url(user: Any, topic: str) -> str:
    """Where ``user`` ends mail about ``topic``; empty where the site has told no ``SITE_URL``, or mounts no API."""
    site = app_settings.SITE_URL.rstrip("/")
    where = get_urlconf(), settings.ROOT_URLCONF, get_script_prefix(), get_language()
    if not site or not (path := _path(*where)):
        return ""
    return site + path.replace(PLACE, _signer(settings.SECRET_KEY).sign_object([str(user.pk), str(topic)]))


@functools.lru_cache(maxsize=1)
def _signer(_secret: Any) -> signing.TimestampSigner:
    """What ``signing.dumps`` makes for each token anew."""
    return signing.TimestampSigner(salt=SALT)


@functools.lru_cache(maxsize=64)
def _path(*_depends_on: Any) -> str:
    """Of the page, with ``PLACE`` for the token: to look it up took as long as to sign the token."""
    try:
        return reverse(f"{addresses.namespace_of(addresses.API)}:unsubscribe", args=[PLACE])
    except NoReverseMatch:
        return ""


def language_for(user: Any) -> str:
    """The language of pages for ``user``, who need not be signed in: that of their mail, else the one in force."""
    preferences = NotificationPreferences.objects.filter(user=user).first()
    return language_of(preferences) or get_language() or settings.LANGUAGE_CODE


def read_token(token: str) -> tuple[Any, str] | None:
    """The user and the topic that a link is about; None if it is none of ours, or the user is gone."""
    try:
        key, topic = signing.loads(token, salt=SALT)
        user = get_user_model()._default_manager.filter(pk=key).first()
    except (signing.BadSignature, ValidationError, ValueError, TypeError):  # the second: no key of this user model
        return None
    return (user, topic) if user is not None and topic in TOPICS else None


def unsubscribe(*, user: Any, topic: str) -> None:
    """No more mail about it to ``user``."""
    if topic in FIELDS:
        NotificationPreferences.objects.update_or_create(user=user, defaults={FIELDS[MailKind(topic)]: False})
    elif topic == MailKind.DIGEST:
        _leave_out(user, Channel.DIGEST, Reason.values)
    else:
        _leave_out(user, Channel.MAIL, [topic])


def _leave_out(user: Any, channel: Channel, reasons: list[str]) -> None:
    """Take ``channel`` out of what ``user`` has for these reasons, everywhere and in each project."""
    using = router.db_for_write(NotificationPreferences)
    with transaction.atomic(using=using):
        NotificationPreferences.objects.using(using).get_or_create(user=user)
        mine = NotificationPreferences.objects.using(using).select_for_update().get(user=user)
        of_projects = list(ProjectChannels.objects.using(using).select_for_update().filter(user=user))
        for reason in reasons:
            for chosen, where in (
                (mine.channels, channels.chosen(reason, mine.channels, {})),
                *((each.channels, each.channels.get(reason, ())) for each in of_projects),
            ):
                if channel in where:
                    chosen[reason] = [each for each in where if each != channel]
        mine.save(update_fields=["channels"])
        for each in of_projects:
            each.save(update_fields=["channels"])
