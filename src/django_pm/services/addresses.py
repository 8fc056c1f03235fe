"""Where a site has mounted our URLs: at its root or below a prefix, by themselves or inside a namespace of its own."""

from __future__ import annotations

from typing import Any

from django.urls import get_resolver, get_urlconf

API = "django_pm"
HEALTH = "django_pm_health"


def namespace_of(app_name: str) -> str:
    """What ``reverse()`` wants before a name of ``app_name``, such as ``api:django_pm``; empty if it is not mounted."""
    return _found_in(get_resolver(get_urlconf()), app_name)


def _found_in(resolver: Any, app_name: str) -> str:
    if app_name in resolver.app_dict:
        return app_name  # which `reverse()` takes for whichever instance of it there is
    for namespace, (_prefix, inner) in resolver.namespace_dict.items():
        if found := _found_in(inner, app_name):
            return f"{namespace}:{found}"
    return ""
