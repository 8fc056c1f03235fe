"""Reading settings from environment variables.

Four readers, a default, and no dependency. A variable that is set but empty counts as not set, and a value that
cannot be read stops the site at once with the variable's name: a typo must not quietly become a default.
"""

import os

from django.core.exceptions import ImproperlyConfigured

_YES = {"1", "true", "yes", "on"}
_NO = {"0", "false", "no", "off"}


def text(name: str, default: str = "") -> str:
    """Return the variable as it is, without surrounding white space."""
    return os.environ.get(name, "").strip() or default


def flag(name: str, *, default: bool = False) -> bool:
    """Return the variable as a truth value."""
    value = text(name).lower()
    if not value:
        return default
    if value not in _YES | _NO:
        raise ImproperlyConfigured(f"{name} must be 1 or 0 (or true/false, yes/no, on/off), not {value!r}.")
    return value in _YES


def number(name: str, *, default: int) -> int:
    """Return the variable as a whole number."""
    value = text(name)
    try:
        return int(value) if value else default
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be a whole number, not {value!r}.") from None


def set_unless_set(name: str, value: str) -> None:
    """Have the variable say this, unless it says something: what an entry point needs, and its owner may overrule."""
    os.environ[name] = text(name, value)


def words(name: str, *, default: list[str] | None = None) -> list[str]:
    """Return a comma-separated variable as a list."""
    value = text(name)
    if not value:
        return list(default or [])
    return [word.strip() for word in value.split(",") if word.strip()]
