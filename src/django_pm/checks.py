"""System checks: a misconfiguration is told at start, with what to do, before it can do harm.

Errors stand where nothing could work, warnings where a site may have its reasons. Ids are never reused.
"""

from __future__ import annotations

import difflib
from importlib.util import find_spec
from typing import Any

from django.conf import settings
from django.core import checks
from django.db import router
from django.utils.module_loading import import_string

from django_pm.api.throttling import parse_rate
from django_pm.conf import Setting, app_settings, configured, declared
from django_pm.models import (
    ApiToken,
    Comment,
    EscalationRule,
    Event,
    Firing,
    IdempotencyKey,
    Mail,
    Membership,
    Notification,
    Project,
    ProjectChannels,
    ProjectStream,
    Report,
    Task,
    Watch,
)
from django_pm.services import channels

Messages = list[checks.CheckMessage]

REDIS_OPTIONS = ("socket_keepalive", "socket_timeout")
"""Options of redis-py that decide what becomes of a server process when its Redis goes away."""

CACHE_TIMEOUTS = ("SOCKET_CONNECT_TIMEOUT", "SOCKET_TIMEOUT")
LONGEST_CACHE_CALL = 0.25
"""Seconds: the options of django-redis for a cache that is to cost speed only, and their bound."""

TOGETHER = (
    Project,
    Task,
    Comment,
    Membership,
    Report,
    Mail,
    Notification,
    Watch,
    ProjectChannels,
    ProjectStream,
    ApiToken,
    IdempotencyKey,
    EscalationRule,
    Firing,
)
"""Models that are written in one transaction with an event, or because of one."""

UNSHARED_CACHES = {"LocMemCache", "DummyCache", "FileBasedCache", "DatabaseCache"}
"""Backends of Django in which one process does not see, or not atomically, what another counts."""


@checks.register("django_pm")
def check_settings(app_configs: Any, **kwargs: Any) -> Messages:
    """``DJANGO_PM`` is a dict of known keys with values of the right type."""
    value = getattr(settings, "DJANGO_PM", {})
    if not isinstance(value, dict):
        return [
            checks.Error(
                f"DJANGO_PM is a {type(value).__name__}, not a dict.",
                hint='Write DJANGO_PM = {"TASK_DUE_DATE_REQUIRED": False}, or remove it.',
                id="django_pm.E001",
            )
        ]
    known = declared()
    problems: Messages = []
    for name, given in configured().items():
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Known keys: {', '.join(known)}."
            problems.append(checks.Error(f"DJANGO_PM has an unknown key {name!r}.", hint=hint, id="django_pm.E002"))
        elif type(given) is not known[name].kind:
            problems.append(
                checks.Error(
                    f"DJANGO_PM[{name!r}] is a {type(given).__name__}, expected {known[name].kind.__name__}.",
                    hint=known[name].help_text,
                    id="django_pm.E003",
                )
            )
        elif isinstance(given, int) and not isinstance(given, bool) and (bounds := _missed(given, known[name])):
            problems.append(
                checks.Error(
                    f"DJANGO_PM[{name!r}] must be {bounds}.",
                    hint=known[name].help_text,
                    id="django_pm.E004",
                )
            )
    return problems


def _missed(number: int, setting: Setting[Any]) -> str:
    """The bound that ``number`` does not keep to, in words; empty if it does."""
    if number < setting.minimum:
        return f"at least {setting.minimum}"
    return f"at most {setting.maximum}" if setting.maximum is not None and number > setting.maximum else ""


@checks.register("django_pm")
def check_import_paths(app_configs: Any, **kwargs: Any) -> Messages:
    """The policy and the display function can be imported and have the shape they need."""
    problems: Messages = []
    for name, wanted in (("POLICY", ("visible_projects", "may", "who_sees")), ("USER_DISPLAY", ("__call__",))):
        path = getattr(app_settings, name)
        if not isinstance(path, str):
            continue  # told by E003
        try:
            target = import_string(path)
        except Exception as error:  # whatever a host's module raises while it is imported
            problems.append(
                checks.Error(
                    f"DJANGO_PM[{name!r}] cannot be imported: {error}",
                    hint=f"{path!r} should be a dotted path to something importable.",
                    id="django_pm.E005",
                )
            )
            continue
        if missing := [attribute for attribute in wanted if not hasattr(target, attribute)]:
            problems.append(
                checks.Error(
                    f"DJANGO_PM[{name!r}], {path!r}, lacks {', '.join(missing)}.",
                    hint=declared()[name].help_text,
                    id="django_pm.E006",
                )
            )
    return problems


@checks.register("django_pm")
def check_throttle(app_configs: Any, **kwargs: Any) -> Messages:
    """The rates can be read, and there is a cache to count in."""
    problems: Messages = []
    for name in ("THROTTLE_USER", "THROTTLE_ANONYMOUS"):
        rate = getattr(app_settings, name)
        if isinstance(rate, str) and rate:
            try:
                parse_rate(rate)
            except ValueError as error:
                hint = "Write a number and s, min, h or d, such as 600/min; an empty string for no limit."
                problems.append(checks.Error(f"DJANGO_PM[{name!r}]: {error}", hint=hint, id="django_pm.E009"))
    if app_settings.THROTTLE_CACHE not in settings.CACHES:
        problems.append(
            checks.Error(
                f"DJANGO_PM['THROTTLE_CACHE'] names {app_settings.THROTTLE_CACHE!r}, which is not in CACHES.",
                hint=f"CACHES has {', '.join(settings.CACHES)}.",
                id="django_pm.E010",
            )
        )
    return problems


@checks.register("django_pm", deploy=True)
def check_throttle_in_production(app_configs: Any, **kwargs: Any) -> Messages:
    """Limits are counted together by all processes, and against the client's address, not a proxy's."""
    if not (app_settings.THROTTLE_USER or app_settings.THROTTLE_ANONYMOUS):
        return []
    problems: Messages = []
    backend = settings.CACHES.get(app_settings.THROTTLE_CACHE, {}).get("BACKEND", "")
    if backend.rpartition(".")[2] in UNSHARED_CACHES:
        problems.append(
            checks.Warning(
                f"Requests are counted in {backend}, which several processes do not count in together.",
                hint="With more than one process, name a shared cache (Redis, Memcached) in "
                "DJANGO_PM['THROTTLE_CACHE'], or each process allows the full rate.",
                id="django_pm.W002",
            )
        )
    if app_settings.THROTTLE_ANONYMOUS and getattr(settings, "REST_FRAMEWORK", {}).get("NUM_PROXIES") is None:
        problems.append(
            checks.Warning(
                "REST_FRAMEWORK['NUM_PROXIES'] is not set.",
                hint="Say how many proxies of yours append to X-Forwarded-For, 0 without any. Until then requests "
                "without a user are counted by the address that connects, behind a proxy one for everybody.",
                id="django_pm.W003",
            )
        )
    return problems


@checks.register("django_pm")
def check_response_cache(app_configs: Any, **kwargs: Any) -> Messages:
    """The cache of lists is one of the site's."""
    alias = app_settings.RESPONSE_CACHE
    if not alias or alias in settings.CACHES:
        return []
    return [
        checks.Error(
            f"DJANGO_PM['RESPONSE_CACHE'] names {alias!r}, which is not in CACHES.",
            hint=f"CACHES has {', '.join(settings.CACHES)}; an empty string keeps no lists.",
            id="django_pm.E011",
        )
    ]


@checks.register("django_pm")
def check_notification_channels(app_configs: Any, **kwargs: Any) -> Messages:
    """Reasons and channels are some that there are."""
    return [
        checks.Error(
            f"DJANGO_PM['NOTIFICATION_CHANNELS'][{reason!r}]: {problem}",
            hint=declared()["NOTIFICATION_CHANNELS"].help_text,
            id="django_pm.E012",
        )
        for reason, chosen in dict_of(app_settings.NOTIFICATION_CHANNELS).items()
        for problem in channels.problems_of(reason, chosen)
    ]


def dict_of(value: Any) -> dict[Any, Any]:
    """``value``, if it is a dict; E003 tells of one that is not."""
    return value if isinstance(value, dict) else {}


@checks.register("django_pm")
def check_metrics(app_configs: Any, **kwargs: Any) -> Messages:
    """What Prometheus reads is written by its own library."""
    if not app_settings.METRICS_TOKEN or find_spec("prometheus_client"):
        return []
    return [
        checks.Warning(
            "DJANGO_PM['METRICS_TOKEN'] is set, but prometheus_client is not installed: /metrics answers 404.",
            hint='pip install "django-pm[metrics]"',
            id="django_pm.W006",
        )
    ]


@checks.register("django_pm", deploy=True)
def check_cache_timeouts(app_configs: Any, **kwargs: Any) -> Messages:
    """A Redis that hangs is waited for: until the timeout, or for ever."""
    problems: Messages = []
    for alias in sorted({app_settings.RESPONSE_CACHE, app_settings.THROTTLE_CACHE} & settings.CACHES.keys()):
        cache = settings.CACHES[alias]
        options = cache.get("OPTIONS", {})
        timeouts = [options.get(name) for name in CACHE_TIMEOUTS]
        is_bounded = all(isinstance(value, int | float) and value <= LONGEST_CACHE_CALL for value in timeouts)
        if cache.get("BACKEND", "").startswith("django_redis.") and not is_bounded:
            problems.append(
                checks.Warning(
                    f"The cache {alias!r} does not set {' and '.join(CACHE_TIMEOUTS)} to {LONGEST_CACHE_CALL} or less.",
                    hint="Set both in its OPTIONS (seconds), so that a Redis that hangs costs little. docs/caching.md.",
                    id="django_pm.W005",
                )
            )
    return problems


@checks.register("django_pm", deploy=True)
def check_redis_layer(app_configs: Any, **kwargs: Any) -> Messages:
    """The defaults of redis-py 8 are not made for who waits for messages: a Redis that vanishes stops the process."""
    problems: Messages = []
    for alias, layer in getattr(settings, "CHANNEL_LAYERS", {}).items():
        hosts = layer.get("CONFIG", {}).get("hosts") or [""]
        given = [host if isinstance(host, dict) else {} for host in hosts]
        missing = sorted({name for name in REDIS_OPTIONS for host in given if name not in host})
        if layer.get("BACKEND", "").startswith("channels_redis.") and missing:
            problems.append(
                checks.Warning(
                    f"The hosts of the channel layer {alias!r} do not set {', '.join(missing)}.",
                    hint="Write each host as a dict with these options; docs/realtime.md has the values and why.",
                    id="django_pm.W004",
                )
            )
    return problems


@checks.register("django_pm")
def check_time_zone_support(app_configs: Any, **kwargs: Any) -> Messages:
    """Due dates are instants; without ``USE_TZ`` they would be times on some unnamed clock."""
    if settings.USE_TZ:
        return []
    return [
        checks.Error(
            "django-pm needs USE_TZ = True.",
            hint="Due dates are instants. Set USE_TZ = True (Django's default since 5.0).",
            id="django_pm.E007",
        )
    ]


@checks.register("django_pm")
def check_sqlite_transactions(app_configs: Any, **kwargs: Any) -> Messages:
    """SQLite ignores row locks; ``IMMEDIATE`` transactions take their place, and WAL lets readers go on."""
    return [
        checks.Warning(
            f"The SQLite database {alias!r} does not begin its transactions IMMEDIATE.",
            hint=(
                'Add "OPTIONS": {"transaction_mode": "IMMEDIATE"} to it. Without, two requests that read and then '
                'write fail with "database is locked", and rules that hold under a lock may be broken.'
            ),
            id="django_pm.W001",
        )
        for alias, database in settings.DATABASES.items()
        if database.get("ENGINE", "").endswith("sqlite3")
        and str(database.get("OPTIONS", {}).get("transaction_mode", "")).upper() not in {"IMMEDIATE", "EXCLUSIVE"}
    ]


@checks.register("django_pm")
def check_one_database(app_configs: Any, **kwargs: Any) -> Messages:
    """An event is written in the transaction of its change, so both must live in one database."""
    home = router.db_for_write(Event)
    return [
        checks.Error(
            f"{model.__name__} is written to the database {alias!r}, but Event to {home!r}.",
            hint="Route all models of django_pm to one database: an event belongs to the transaction of its change.",
            id="django_pm.E008",
        )
        for model in TOGETHER
        if (alias := router.db_for_write(model)) != home
    ]
