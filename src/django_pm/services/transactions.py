"""For views that a site's ``ATOMIC_REQUESTS`` is not to wrap into a transaction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django.db import connections, transaction

View = TypeVar("View", bound=Callable[..., Any])


def without_transaction(view: View) -> View:
    """``view``, called outside of any transaction, whichever of the site's databases has ``ATOMIC_REQUESTS``."""
    for alias in connections:
        view = transaction.non_atomic_requests(using=alias)(view)
    return view
