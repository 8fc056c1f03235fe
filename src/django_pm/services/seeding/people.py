"""The people of made-up projects: accounts that nobody can sign in with, whatever the host's user model looks like."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist
from django.db import DatabaseError, models, router, transaction

from django_pm.exceptions import DjangoPMError
from django_pm.services.seeding.words import person_name
from django_pm.users import display_name, find_user

DOMAIN = "example.invalid"  # reserved by RFC 2606: no mail to it leaves the machine


class SeedingError(DjangoPMError):
    """What was asked for cannot be made; the text says why and what to do instead."""


class Person(NamedTuple):
    """Somebody who takes part: the account's key, and the name that is shown."""

    key: Any
    name: str


def as_person(user: Any) -> Person:
    return Person(user.pk, display_name(user))


def existing_people(logins: list[str]) -> list[Person]:
    """The people with these login names (or keys). Raises ``SeedingError`` for a name that no active user has."""
    people = []
    for login in dict.fromkeys(logins):
        user = find_user(login)
        if user is None:
            raise SeedingError(f"There is no active user {login!r}.")
        people.append(as_person(user))
    return people


def made_up_people(count: int, *, seed: int) -> list[Person]:
    """``count`` people with unusable passwords; those that an earlier run with this seed made are taken again.

    Raises ``SeedingError`` where the user model wants more than can be made up.
    """
    user_model: Any = get_user_model()
    using = router.db_for_write(user_model)
    by_address = isinstance(user_model._meta.get_field(user_model.USERNAME_FIELD), models.EmailField)
    names = [f"seed-{seed}-{number + 1}" for number in range(count)]
    logins = [f"{name}@{DOMAIN}" if by_address else name for name in names]
    people = []
    try:
        with transaction.atomic(using=using):
            for number, login in enumerate(logins):
                known = user_model._base_manager.using(using).filter(**{user_model.USERNAME_FIELD: login}).first()
                people.append(as_person(known or _made_up(user_model, names[number], login, number, using)))
    except (DatabaseError, ValueError, TypeError) as error:
        raise SeedingError(
            f"No users can be made up for {user_model._meta.label}: {error}. Make some and name them with --user."
        ) from error
    return people


def _made_up(user_model: Any, name: str, login: str, number: int, using: str) -> Any:
    first, last = person_name(number)
    guesses = {
        "email": f"{name}@{DOMAIN}",
        "first_name": first,
        "last_name": last,
        "full_name": f"{first} {last}",
        "name": f"{first} {last}",
        **{field: name for field in user_model.REQUIRED_FIELDS if field not in ("email", "name")},
        user_model.USERNAME_FIELD: login,
    }
    values = {field: value for field, value in guesses.items() if _holds_text(user_model, field)}
    user = user_model(**values)
    user.set_unusable_password()
    user.save(using=using)
    return user


def _holds_text(user_model: Any, name: str) -> bool:
    try:
        return isinstance(user_model._meta.get_field(name), (models.CharField, models.TextField))
    except FieldDoesNotExist:
        return False
