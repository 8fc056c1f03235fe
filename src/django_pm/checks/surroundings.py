"""Checks of what else of a site's settings we stand on: databases, time, installed apps, middleware, URLs, sign-in."""

from __future__ import annotations

import inspect
from importlib.util import find_spec
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.core import checks
from django.core.exceptions import ValidationError
from django.db import connections, router
from django.utils.module_loading import import_string

from django_pm.api.authentication import relies_on_sessions, ways_to_sign_in
from django_pm.checks.messages import TAG, Messages, problem
from django_pm.conf import usable
from django_pm.models import Event, Project
from django_pm.models.project import validate_time_zone
from django_pm.services.addresses import API, HEALTH, namespace_of

VENDORS = {"postgresql", "sqlite"}
APPS = {"rest_framework", "django_filters"}
ACTOR = "django_pm.middleware.actor_middleware"
METRICS = "django_pm.health.middleware.request_metrics"

CLIENTS = {
    "django.core.cache.backends.redis.RedisCache": "redis",
    "django.core.cache.backends.memcached.PyMemcacheCache": "pymemcache",
    "django.core.cache.backends.memcached.PyLibMCCache": "pylibmc",
}
"""Packages that Django's own caches ask for only when they are used."""

# --- Databases and time ---------------------------------------------------------------------------------------------


@checks.register(TAG)
def check_time_zone_support(app_configs: Any, **kwargs: Any) -> Messages:
    """Due dates are instants; without ``USE_TZ`` they would be times on some unnamed clock."""
    if settings.USE_TZ:
        return []
    hint = "Due dates are instants. Set USE_TZ = True (Django's default since 5.0)."
    return [problem("E007", "django-pm needs USE_TZ = True.", hint)]


@checks.register(TAG)
def check_time_zone(app_configs: Any, **kwargs: Any) -> Messages:
    """The site's time zone, which a project has that names none, is one that a project may have."""
    try:
        validate_time_zone(settings.TIME_ZONE)
    except ValidationError:
        hint = "Write an IANA name such as Europe/Berlin: it is the time zone of every project that names none."
        return [problem("E018", f"TIME_ZONE is {settings.TIME_ZONE!r}, which this machine does not know.", hint)]
    return []


@checks.register(TAG)
def check_sqlite_transactions(app_configs: Any, **kwargs: Any) -> Messages:
    """SQLite ignores row locks; ``IMMEDIATE`` transactions take their place, and WAL lets readers go on."""
    return [
        problem(
            "W001",
            f"The SQLite database {alias!r} does not begin its transactions IMMEDIATE.",
            'Add "OPTIONS": {"transaction_mode": "IMMEDIATE"} to it. Without, two requests that read and then '
            'write fail with "database is locked", and rules that hold under a lock may be broken.',
        )
        for alias, database in settings.DATABASES.items()
        if database.get("ENGINE", "").endswith("sqlite3")
        and str(database.get("OPTIONS", {}).get("transaction_mode", "")).upper() not in {"IMMEDIATE", "EXCLUSIVE"}
    ]


@checks.register(TAG)
def check_one_database(app_configs: Any, **kwargs: Any) -> Messages:
    """An event is written in the transaction of its change, so both must live in one database."""
    home = router.db_for_write(Event)
    return [
        problem(
            "E008",
            f"{model.__name__} is written to the database {alias!r}, but Event to {home!r}.",
            "Route all models of django_pm to one database: an event belongs to the transaction of its change.",
        )
        for model in apps.get_app_config("django_pm").get_models()
        if (alias := router.db_for_write(model)) != home
    ]


@checks.register(TAG)
def check_users_beside(app_configs: Any, **kwargs: Any) -> Messages:
    """Projects point at users, and no database can point into another one."""
    here, there = router.db_for_write(Project), router.db_for_write(get_user_model())
    if here == there:
        return []
    return [
        problem(
            "E015",
            f"Projects are written to the database {here!r}, but users to {there!r}.",
            "Route both to one database: members, assignees and authors are foreign keys to users.",
        )
    ]


@checks.register(TAG)
def check_database(app_configs: Any, **kwargs: Any) -> Messages:
    """It is one that django-pm knows, and commits."""
    alias = router.db_for_write(Event)
    if alias not in connections:
        return []  # Django says so at the first query
    connection, problems = connections[alias], []
    if connection.vendor not in VENDORS:
        text = f"The database {alias!r} is {connection.display_name}, which django-pm does not run on."
        problems.append(problem("E014", text, "Use PostgreSQL, or SQLite."))
    if not connection.settings_dict["AUTOCOMMIT"]:
        hint = "Remove AUTOCOMMIT from it: what is written outside of a transaction would never be committed."
        problems.append(problem("E016", f"The database {alias!r} is used without AUTOCOMMIT.", hint))
    return problems


# --- Packages -------------------------------------------------------------------------------------------------------


@checks.register(TAG)
def check_installed_apps(app_configs: Any, **kwargs: Any) -> Messages:
    """The apps that we stand on are installed, so that their messages are translated."""
    return [
        problem(
            "W010",
            f"{name!r} is not in INSTALLED_APPS.",
            f"Add it. Without, whatever the API says in words of {name} is English for everybody.",
        )
        for name in sorted(APPS)
        if not apps.is_installed(name)
    ]


@checks.register(TAG)
def check_cache_packages(app_configs: Any, **kwargs: Any) -> Messages:
    """What the caches that we use are made of is installed; one that fails is done without, limits and all."""
    problems: Messages = []
    for alias in sorted({usable("RESPONSE_CACHE"), usable("THROTTLE_CACHE")} & settings.CACHES.keys()):
        backend = settings.CACHES[alias].get("BACKEND", "")
        package = CLIENTS.get(backend) or backend.partition(".")[0]
        if not (package and find_spec(package)):
            text = f"The cache {alias!r} is {backend!r}, but {package!r} is not installed."
            problems.append(problem("E017", text, f"Install {package}, or name another BACKEND in CACHES."))
    return problems


@checks.register(TAG)
def check_channel_layers(app_configs: Any, **kwargs: Any) -> Messages:
    """What the channel layer is made of is installed; without it events arrive by polling."""
    layer = getattr(settings, "CHANNEL_LAYERS", {}).get("default", {}).get("BACKEND", "")
    missing = [name for name in ("channels", layer.partition(".")[0]) if name and not find_spec(name)] if layer else []
    if not missing:
        return []
    return [
        problem(
            "W013",
            f"CHANNEL_LAYERS names {layer!r}, but {' and '.join(dict.fromkeys(missing))} is not installed.",
            'pip install "django-pm[channels]", or remove CHANNEL_LAYERS. Other processes are not woken meanwhile.',
        )
    ]


# --- URLs, middleware, sign-in --------------------------------------------------------------------------------------


@checks.register(TAG)
def check_mounted(app_configs: Any, **kwargs: Any) -> Messages:
    """The API is somewhere."""
    if namespace_of(API):
        return []
    return [
        problem(
            "W009",
            f"{settings.ROOT_URLCONF} does not include the API.",
            'Add path("", include("django_pm.api.urls")), at any prefix. Without, there is no API, and mail has no '
            "link that ends it.",
        )
    ]


@checks.register(TAG)
def check_metrics(app_configs: Any, **kwargs: Any) -> Messages:
    """What the site asks to be counted is counted, and can be read."""
    if not usable("METRICS_TOKEN"):
        return []
    problems: Messages = []
    if not find_spec("prometheus_client"):
        text = "DJANGO_PM['METRICS_TOKEN'] is set, but prometheus_client is not installed: /metrics answers 404."
        problems.append(problem("W006", text, 'pip install "django-pm[metrics]"'))
    if not namespace_of(HEALTH):
        text = f"DJANGO_PM['METRICS_TOKEN'] is set, but {settings.ROOT_URLCONF} does not include /metrics."
        problems.append(problem("W014", text, 'Add path("", include("django_pm.health.urls")), at any prefix.'))
    if METRICS not in settings.MIDDLEWARE:
        text = "DJANGO_PM['METRICS_TOKEN'] is set, but no middleware counts requests."
        problems.append(problem("W015", text, f"Add {METRICS!r} as the first of MIDDLEWARE."))
    return problems


@checks.register(TAG)
def check_authentication_middleware(app_configs: Any, **kwargs: Any) -> Messages:
    """What asks who is signed in by a session is told."""
    asking = [f"{ACTOR!r} in MIDDLEWARE"] if ACTOR in settings.MIDDLEWARE else []
    if relies_on_sessions():
        asking.append("SessionAuthentication of the REST framework")
    if not asking or any(map(_signs_in, settings.MIDDLEWARE)):
        return []
    return [
        problem(
            "W011",
            f"MIDDLEWARE has no AuthenticationMiddleware, for {' and '.join(asking)}.",
            'Add "django.contrib.auth.middleware.AuthenticationMiddleware" behind the SessionMiddleware; until then '
            "nobody is signed in by a session.",
        )
    ]


def _signs_in(path: str) -> bool:
    try:
        middleware = import_string(path)
    except ImportError:  # Django says so when it begins to serve
        return False
    return inspect.isclass(middleware) and issubclass(middleware, AuthenticationMiddleware)


@checks.register(TAG)
def check_sign_in(app_configs: Any, **kwargs: Any) -> Messages:
    """Somebody can use the API."""
    if ways_to_sign_in() or usable("API_TOKENS"):
        return []
    return [
        problem(
            "W012",
            "REST_FRAMEWORK['DEFAULT_AUTHENTICATION_CLASSES'] is empty, and DJANGO_PM['API_TOKENS'] is off.",
            "The API asks for a signed-in user, and nobody can sign in to it. Name a class, or switch tokens on.",
        )
    ]


@checks.register(TAG)
def check_proxies(app_configs: Any, **kwargs: Any) -> Messages:
    """The number of proxies is one."""
    number = getattr(settings, "REST_FRAMEWORK", {}).get("NUM_PROXIES")
    if number is None or (type(number) is int and number >= 0):
        return []
    hint = "Say how many proxies of yours append to X-Forwarded-For: a whole number, 0 without any."
    return [problem("E019", f"REST_FRAMEWORK['NUM_PROXIES'] is {number!r}.", hint)]
