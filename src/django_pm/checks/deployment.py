"""Checks of what matters in production alone (``check --deploy``): several processes, proxies, mail that arrives."""

from __future__ import annotations

import warnings
from typing import Any
from urllib.parse import urlsplit

from django.conf import global_settings, settings
from django.core import checks

from django_pm.checks.messages import TAG, Messages, problem
from django_pm.conf import usable

UNSHARED_CACHES = {"LocMemCache", "DummyCache", "FileBasedCache", "DatabaseCache"}
"""Backends of Django in which one process does not see, or not atomically, what another counts."""

CACHE_TIMEOUTS = ("SOCKET_CONNECT_TIMEOUT", "SOCKET_TIMEOUT")
LONGEST_CACHE_CALL = 0.25
"""Seconds: the options of django-redis for a cache that is to cost speed only, and their bound."""

REDIS_OPTIONS = ("socket_keepalive", "socket_timeout")
"""Options of redis-py that decide what becomes of a server process when its Redis goes away."""

SMTP = "django.core.mail.backends.smtp.EmailBackend"
KEEPING = {f"django.core.mail.backends.{name}.EmailBackend" for name in ("console", "dummy", "filebased", "locmem")}
"""Backends of Django that send nothing."""

LONGEST_SMTP_STEP = 10
"""Seconds: a claim of a batch of mail holds for longer than that, but not for much longer."""

SHORTEST_TOKEN = 16
"""Characters: what is shorter could be guessed, for nobody counts the guesses."""


@checks.register(TAG, deploy=True)
def check_throttle_in_production(app_configs: Any, **kwargs: Any) -> Messages:
    """Limits are counted together by all processes, and against the client's address, not a proxy's."""
    if not (usable("THROTTLE_USER") or usable("THROTTLE_ANONYMOUS")):
        return []
    problems: Messages = []
    backend = settings.CACHES.get(usable("THROTTLE_CACHE"), {}).get("BACKEND", "")
    if backend.rpartition(".")[2] in UNSHARED_CACHES:
        problems.append(
            problem(
                "W002",
                f"Requests are counted in {backend}, which several processes do not count in together.",
                "With more than one process, name a shared cache (Redis, Memcached) in "
                "DJANGO_PM['THROTTLE_CACHE'], or each process allows the full rate.",
            )
        )
    if usable("THROTTLE_ANONYMOUS") and getattr(settings, "REST_FRAMEWORK", {}).get("NUM_PROXIES") is None:
        problems.append(
            problem(
                "W003",
                "REST_FRAMEWORK['NUM_PROXIES'] is not set.",
                "Say how many proxies of yours append to X-Forwarded-For, 0 without any. Until then requests "
                "without a user are counted by the address that connects, behind a proxy one for everybody.",
            )
        )
    return problems


@checks.register(TAG, deploy=True)
def check_cache_timeouts(app_configs: Any, **kwargs: Any) -> Messages:
    """A Redis that hangs is waited for: until the timeout, or for ever."""
    problems: Messages = []
    for alias in sorted({usable("RESPONSE_CACHE"), usable("THROTTLE_CACHE")} & settings.CACHES.keys()):
        cache = settings.CACHES[alias]
        options = cache.get("OPTIONS", {})
        timeouts = [options.get(name) for name in CACHE_TIMEOUTS]
        is_bounded = all(isinstance(value, int | float) and value <= LONGEST_CACHE_CALL for value in timeouts)
        if cache.get("BACKEND", "").startswith("django_redis.") and not is_bounded:
            problems.append(
                problem(
                    "W005",
                    f"The cache {alias!r} does not set {' and '.join(CACHE_TIMEOUTS)} to {LONGEST_CACHE_CALL} or less.",
                    "Set both in its OPTIONS (seconds), so that a Redis that hangs costs little. docs/caching.md.",
                )
            )
    return problems


@checks.register(TAG, deploy=True)
def check_redis_layer(app_configs: Any, **kwargs: Any) -> Messages:
    """The defaults of redis-py 8 are not made for who waits for messages: a Redis that vanishes stops the process."""
    problems: Messages = []
    for alias, layer in getattr(settings, "CHANNEL_LAYERS", {}).items():
        hosts = layer.get("CONFIG", {}).get("hosts") or [""]
        given = [host if isinstance(host, dict) else {} for host in hosts]
        missing = sorted({name for name in REDIS_OPTIONS for host in given if name not in host})
        if layer.get("BACKEND", "").startswith("channels_redis.") and missing:
            problems.append(
                problem(
                    "W004",
                    f"The hosts of the channel layer {alias!r} do not set {', '.join(missing)}.",
                    "Write each host as a dict with these options; docs/realtime.md has the values and why.",
                )
            )
    return problems


@checks.register(TAG, deploy=True)
def check_links_in_mail(app_configs: Any, **kwargs: Any) -> Messages:
    """Mail has links, and those that end it are ones that mail programs follow."""
    url = usable("SITE_URL")
    if not url:
        hint = "Say where the site is, such as https://pm.example.com. Until then mail has no links, nor one to end it."
        return [problem("W016", "DJANGO_PM['SITE_URL'] is not set.", hint)]
    if urlsplit(url).scheme == "http":
        hint = (
            "Serve the site over https, and say so: mail programs offer to end mail by one click only there (RFC 8058)."
        )
        return [problem("W017", f"DJANGO_PM['SITE_URL'], {url!r}, is not https.", hint)]
    return []


@checks.register(TAG, deploy=True)
def check_mail(app_configs: Any, **kwargs: Any) -> Messages:
    """Mail leaves, from somebody, and a mail server that hangs holds up nobody for long."""
    problems: Messages = []
    backend, timeout = mailer()
    if backend in KEEPING:
        hint = "Name a backend that sends, such as Django's own for SMTP. Reminders, reports and notices count as sent."
        problems.append(problem("W018", f"Mail goes to {backend}, which sends nothing.", hint))
    if backend == SMTP and not (timeout and timeout <= LONGEST_SMTP_STEP):
        hint = f"Set EMAIL_TIMEOUT (in MAILERS: timeout) to {LONGEST_SMTP_STEP} seconds or less. docs/mail.md."
        problems.append(problem("W020", f"A mail server that hangs is waited for: {timeout or 'for ever'}.", hint))
    if settings.DEFAULT_FROM_EMAIL == global_settings.DEFAULT_FROM_EMAIL:
        hint = "Set it to an address of yours: mail servers refuse mail from this one."
        problems.append(problem("W019", f"DEFAULT_FROM_EMAIL is {settings.DEFAULT_FROM_EMAIL!r}.", hint))
    return problems


def mailer() -> tuple[str, float | None]:
    """The backend of the site's mail and its timeout in seconds: from ``MAILERS``, or as it was before Django 6.1."""
    mailers: dict[str, Any] | None = getattr(settings, "MAILERS", None)
    if mailers is not None:
        default = mailers.get("default", {})
        return default.get("BACKEND", ""), default.get("OPTIONS", {}).get("timeout")
    with warnings.catch_warnings(action="ignore"):  # that these are deprecated, Django tells when it starts
        return settings.EMAIL_BACKEND, settings.EMAIL_TIMEOUT


@checks.register(TAG, deploy=True)
def check_metrics_token(app_configs: Any, **kwargs: Any) -> Messages:
    """It cannot be guessed."""
    if not 0 < len(usable("METRICS_TOKEN")) < SHORTEST_TOKEN:
        return []
    hint = 'Make one: python -c "import secrets; print(secrets.token_urlsafe())"'
    return [problem("W021", f"DJANGO_PM['METRICS_TOKEN'] has less than {SHORTEST_TOKEN} characters.", hint)]
