"""The host's users, whatever their model looks like: found by what people type, shown by one replaceable name.

Nothing in django-pm assumes an integer key, a ``username`` or an ``email``: only what every user model
has (``USERNAME_FIELD``, ``pk``) and what it may have, asked for by name here.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist, ObjectDoesNotExist, ValidationError
from django.db import models

from django_pm.conf import imported

AUTHOR_MAX_LENGTH = 255


def full_name_or_login(user: Any) -> str:
    """The default of ``USER_DISPLAY``: the full name where the model offers one, else the login name."""
    full_name = user.get_full_name() if hasattr(user, "get_full_name") else ""
    return str(full_name or user.get_username())


def display_name(user: Any) -> str:
    """The name shown for ``user``, by the host's ``USER_DISPLAY``, cut to what an ``author`` column holds."""
    name: str = imported("USER_DISPLAY")(user)
    return name[:AUTHOR_MAX_LENGTH]


def email_field() -> str:
    """The column of the host's user model that holds an address; empty where none does."""
    model: Any = get_user_model()
    name = model.get_email_field_name() if hasattr(model, "get_email_field_name") else "email"
    return name if has_column(name) else ""


def email_address(user: Any) -> str:
    """Where ``user`` gets mail; empty where the model or the user has no address."""
    name = user.get_email_field_name() if hasattr(user, "get_email_field_name") else "email"
    return str(getattr(user, name, "") or "").strip()


def has_column(name: str) -> bool:
    """Whether the host's user model stores ``name`` (``is_active`` and ``is_superuser`` are optional)."""
    try:
        get_user_model()._meta.get_field(name)
    except FieldDoesNotExist:
        return False
    return True


def active_users() -> models.QuerySet[Any]:
    """Users that are not deactivated; all of them where the model knows no deactivation."""
    users = get_user_model()._default_manager.all()
    return users.filter(is_active=True) if has_column("is_active") else users


def find_user(identifier: str | int) -> Any | None:
    """The active user that ``identifier`` names, or None.

    A number is a primary key. A string is a login name (the user model's natural key); where keys are not
    numbers (UUIDs), a string that is a key is one. A key wins over a login name that looks like it, so nobody
    can pose as somebody else by choosing a login name.
    """
    pk_field = get_user_model()._meta.pk
    if isinstance(identifier, str) and "\x00" in identifier:
        return None
    keys_are_numbers = isinstance(pk_field, models.IntegerField)
    if isinstance(identifier, int) or not keys_are_numbers:
        by_key = _get(pk=identifier)
        if by_key is not None or isinstance(identifier, int):
            return by_key
    return _get(**{get_user_model().USERNAME_FIELD: identifier})


def _get(**lookup: Any) -> Any | None:
    try:
        return active_users().get(**lookup)
    except (ObjectDoesNotExist, ValueError, TypeError, ValidationError, OverflowError):
        return None
