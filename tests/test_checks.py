"""Each misconfiguration is told by its own check, and a right configuration by none."""

import re
from importlib.util import find_spec
from pathlib import Path

import django
import pytest
from django.apps import apps
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.core import checks
from django.db import connection, connections
from django.test import override_settings
from django.urls import include, path

import django_pm.checks
from django_pm.access import RolePolicy
from django_pm.checks import deployment, surroundings
from django_pm.conf import declared
from django_pm.models import Project

PAGE = Path(__file__).resolve().parent.parent / "docs" / "settings.md"

POSTGRES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "pm"}}
SQLITE = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}

# Replacing DATABASES leaves the connections alone, which is what these tests want.
ignores_the_database_warning = pytest.mark.filterwarnings("ignore:Overriding setting DATABASES")


def sqlite(**options):
    return {"default": {**SQLITE, "OPTIONS": options}}


class Halfway:
    """A policy that lacks a method."""

    def visible_projects(self, user):
        raise NotImplementedError

    def may(self, user, verb, obj):
        raise NotImplementedError


class Choosy(RolePolicy):
    """A policy that nobody can make."""

    def __init__(self, tenant):
        raise NotImplementedError


class Hasty(RolePolicy):
    """A policy with a method that is not asked what it expects."""

    def may(self, user, verb):
        raise NotImplementedError


class OneDoor(RolePolicy):
    """A policy that says otherwise who sees a project, but for lists alone."""

    def projects_of(self, user):
        return Project.objects.filter(metadata__open=True)


class Behind(OneDoor):
    """The same, inherited."""


class BothDoors(OneDoor):
    """A policy that says it for what is delivered as well."""

    def who_sees(self, project_id, user_ids):
        raise NotImplementedError


class Plain:
    """A policy made of functions that need no instance, which is fine."""

    @staticmethod
    def visible_projects(user):
        raise NotImplementedError

    @classmethod
    def may(cls, user, verb, obj, *, hurry=False):
        raise NotImplementedError

    def who_sees(self, *anything):
        raise NotImplementedError


def of_nobody():
    """No display function: it takes nobody."""


class EventsElsewhere:
    """A router that tears an event from its change."""

    def db_for_write(self, model, **hints):
        return "events" if model._meta.model_name in {"event", "projectstream"} else None


class UsersElsewhere:
    """A router that tears projects from their people."""

    def db_for_write(self, model, **hints):
        return "projects" if model._meta.app_label == "django_pm" else None


class OwnMiddleware(AuthenticationMiddleware):
    """A site's own, for AuthenticationMiddleware."""


NOT_CALLABLE = "a name"
ACTOR = "django_pm.middleware.actor_middleware"
METRICS = "django_pm.health.middleware.request_metrics"
SESSIONS = ["rest_framework.authentication.SessionAuthentication"]
BASIC = ["rest_framework.authentication.BasicAuthentication"]

# Some sites' URLs: without the API, and without what Prometheus reads.
urlpatterns = [path("healthy/", include("django_pm.health.urls"))]
UNMEASURED = (path("pm/", include("django_pm.api.urls")),)
NESTED = (path("api/", include(([path("pm/", include("django_pm.api.urls"))], "site"), namespace="v1")),)

MEASURED = [METRICS, "django.contrib.auth.middleware.AuthenticationMiddleware"]
needs_metrics = pytest.mark.skipif(not find_spec("prometheus_client"), reason="needs the extra metrics")
A_POLICY = RolePolicy()


# (the settings, the ids they cause, words that the message or the hint has to say)
WRONG = [
    pytest.param({"DJANGO_PM": []}, ["E001"], ["is a list, not a dict"], id="a list"),
    pytest.param({"DJANGO_PM": None}, ["E001"], ["is a NoneType, not a dict"], id="None"),
    pytest.param({"DJANGO_PM": {"POLICI": "x"}}, ["E002"], ["'POLICI'", "Did you mean 'POLICY'?"], id="misspelt"),
    pytest.param(
        {"DJANGO_PM": {"task_due_date_required": True}}, ["E002"], ["mean 'TASK_DUE_DATE_REQUIRED'?"], id="lower case"
    ),
    pytest.param({"DJANGO_PM": {"XYZ": 1}}, ["E002"], ["'XYZ'", "Known keys: POLICY, USER_DISPLAY"], id="unlike any"),
    pytest.param({"DJANGO_PM": {7: 1}}, ["E002"], ["unknown key 7"], id="a key that is no text"),
    pytest.param(
        {"DJANGO_PM": {"MAX_BODY_BYTE": 1, "USERDISPLAY": "x"}},
        ["E002", "E002"],
        ["Did you mean 'MAX_BODY_BYTES'?", "Did you mean 'USER_DISPLAY'?"],
        id="two misspelt",
    ),
    pytest.param(
        {"DJANGO_PM": {"MAX_BODY_BYTES": "1 MB"}}, ["E003"], ["is a str, expected int", "in bytes"], id="text as number"
    ),
    pytest.param({"DJANGO_PM": {"MAX_TEXT_LENGTH": True}}, ["E003"], ["is a bool, expected int"], id="true as number"),
    pytest.param(
        {"DJANGO_PM": {"TASK_DUE_DATE_REQUIRED": 0}}, ["E003"], ["is a int, expected bool"], id="number as flag"
    ),
    pytest.param({"DJANGO_PM": {"MAX_METADATA_BYTES": None}}, ["E003"], ["is a NoneType"], id="None as number"),
    pytest.param({"DJANGO_PM": {"POLICY": Halfway}}, ["E003"], ["is a type, expected str"], id="a class"),
    pytest.param({"DJANGO_PM": {"MAX_BODY_BYTES": 0}}, ["E004"], ["MAX_BODY_BYTES", "at least 1"], id="zero"),
    pytest.param({"DJANGO_PM": {"REPORT_HOUR": 24}}, ["E004"], ["REPORT_HOUR", "at most 23"], id="no hour"),
    pytest.param({"DJANGO_PM": {"MAX_TEXT_LENGTH": -1}}, ["E004"], ["MAX_TEXT_LENGTH"], id="negative"),
    pytest.param({"DJANGO_PM": {"EVENT_RETENTION_DAYS": -1}}, ["E004"], ["at least 0"], id="negative where 0 is fine"),
    pytest.param({"DJANGO_PM": {"POLICY": "nowhere.Policy"}}, ["E005"], ["No module named 'nowhere'"], id="no module"),
    pytest.param(
        {"DJANGO_PM": {"POLICY": "django_pm.access.Nix"}}, ["E005"], ["Nix", "dotted path"], id="no such name"
    ),
    pytest.param({"DJANGO_PM": {"USER_DISPLAY": ""}}, ["E005"], ["USER_DISPLAY"], id="empty"),
    pytest.param(
        {"DJANGO_PM": {"POLICY": "tests.test_checks.Halfway"}}, ["E006"], ["lacks who_sees"], id="half a policy"
    ),
    pytest.param(
        {"DJANGO_PM": {"USER_DISPLAY": "tests.test_checks.NOT_CALLABLE"}}, ["E006"], ["USER_DISPLAY"], id="no function"
    ),
    *(
        pytest.param({"DJANGO_PM": {name: f"tests.test_checks.{target}"}}, ["E006"], words, id=target)
        for name, target, words in [
            ("POLICY", "of_nobody", ["lacks visible_projects, may, who_sees"]),
            ("POLICY", "A_POLICY", ["is no class"]),
            ("POLICY", "Choosy", ["cannot be made without arguments"]),
            ("POLICY", "Hasty", ["does not take (user, verb, obj) in may"]),
            ("USER_DISPLAY", "of_nobody", ["does not take (user)"]),
        ]
    ),
    pytest.param({"USE_TZ": False}, ["E007"], ["USE_TZ = True"], id="no time zones"),
    pytest.param(
        {"DATABASE_ROUTERS": ["tests.test_checks.EventsElsewhere"]},
        ["E008"] * (len(list(apps.get_app_config("django_pm").get_models())) - 2),
        ["Task is written to the database 'default', but Event to 'events'", "belongs to the transaction"],
        id="events elsewhere",
    ),
    *(
        pytest.param({"DJANGO_PM": {name: rate}}, ["E009"], [name, repr(rate), "600/min"], id=f"{name} of {rate}")
        for name, rate in [
            ("THROTTLE_USER", "often"),
            ("THROTTLE_USER", "10"),
            ("THROTTLE_ANONYMOUS", "10/fortnight"),
            ("THROTTLE_ANONYMOUS", "0/s"),
            ("THROTTLE_ANONYMOUS", "-1/s"),
            ("THROTTLE_ANONYMOUS", "10/"),
        ]
    ),
    pytest.param(
        {"DJANGO_PM": {"THROTTLE_CACHE": "shared"}}, ["E010"], ["'shared'", "CACHES has default"], id="no such cache"
    ),
    pytest.param(
        *({"DJANGO_PM": {"RESPONSE_CACHE": "shared"}}, ["E011"], ["'shared'", "CACHES has default"]),
        id="no such cache of lists",
    ),
    *(
        pytest.param(
            {"DJANGO_PM": {"NOTIFICATION_CHANNELS": {reason: channels}}},
            ["E012"],
            [repr(reason), "in_app"],
            id=f"channels {channels} for {reason}",
        )
        for reason, channels in [
            ("whim", []),
            ("assigned", "mail"),
            ("assigned", ["pigeon"]),
            ("assigned", ["mail", "digest"]),
        ]
    ),
    *(
        pytest.param({"DJANGO_PM": {"SITE_URL": url}}, ["E013"], [repr(url), "https://pm.example.com"], id=f"at {url}")
        for url in [
            *("pm.example.com", "//pm.example.com", "ftp://pm.example.com", "https://", "https:///pm"),
            *("https://pm.example.com:port", "https://pm.example.com/?a=b", "https://pm.example.com/#x"),
            *("https://ada:secret@pm.example.com", "https://pm.example.com\n", "https://[::1"),
        ]
    ),
    pytest.param(
        {"DATABASE_ROUTERS": ["tests.test_checks.UsersElsewhere"]},
        *(["E015"], ["'projects'", "users to 'default'", "foreign keys"]),
        id="users elsewhere",
    ),
    pytest.param({"TIME_ZONE": "Mars/Olympus"}, ["E018"], ["'Mars/Olympus'", "Europe/Berlin"], id="no such time zone"),
    *(
        pytest.param({"REST_FRAMEWORK": {"NUM_PROXIES": number}}, ["E019"], [repr(number)], id=f"{number!r} proxies")
        for number in ("1", -1, 1.0, True)
    ),
    pytest.param(
        {"DATABASES": sqlite()}, ["W001"], ["'default'", '"transaction_mode": "IMMEDIATE"'], id="SQLite as is"
    ),
    pytest.param({"DATABASES": sqlite(transaction_mode="DEFERRED")}, ["W001"], ["'default'"], id="SQLite deferred"),
    pytest.param({"DATABASES": sqlite(transaction_mode=None)}, ["W001"], ["'default'"], id="SQLite None"),
    pytest.param({"DATABASES": {**POSTGRES, "other": SQLITE}}, ["W001"], ["'other'"], id="SQLite beside PostgreSQL"),
    *(
        pytest.param(
            {"DJANGO_PM": {"POLICY": f"tests.test_checks.{name}"}},
            *(["W007"], [f"tests.test_checks.{name}", "projects_of of its own", "inherits who_sees"]),
            id=name,
        )
        for name in ("OneDoor", "Behind")
    ),
    pytest.param(
        {"DJANGO_PM": {"EVENT_RETENTION_DAYS": 30, "EVENT_HARD_CAP_DAYS": 7}},
        *(["W008"], ["7, is less than EVENT_RETENTION_DAYS, 30"]),
        id="a cap below what is kept",
    ),
    pytest.param({"ROOT_URLCONF": "tests.test_checks"}, ["W009"], ["django_pm.api.urls"], id="no API"),
    pytest.param({"MIDDLEWARE": [ACTOR]}, ["W011"], [ACTOR, "AuthenticationMiddleware"], id="nobody's actor"),
    pytest.param({"MIDDLEWARE": []}, ["W011"], ["for SessionAuthentication"], id="nobody's session"),
    pytest.param({"MIDDLEWARE": ["nowhere.Middleware"]}, ["W011"], ["SessionAuth"], id="middleware that is not there"),
    pytest.param(
        {"REST_FRAMEWORK": {"DEFAULT_AUTHENTICATION_CLASSES": []}, "DJANGO_PM": {"API_TOKENS": False}},
        *(["W012"], ["DEFAULT_AUTHENTICATION_CLASSES", "API_TOKENS"]),
        id="no way in",
    ),
    pytest.param(
        {"DJANGO_PM": {"METRICS_TOKEN": "x"}, "MIDDLEWARE": MEASURED, "ROOT_URLCONF": UNMEASURED},
        *(["W014"], ["django_pm.health.urls"]),
        id="metrics nowhere",
        marks=needs_metrics,
    ),
    pytest.param(
        {"DJANGO_PM": {"METRICS_TOKEN": "x"}}, ["W015"], [METRICS], id="requests uncounted", marks=needs_metrics
    ),
]

REDIS = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1"}}


def mails(backend=deployment.SMTP, timeout=10):
    """The settings that have mail sent so, as this Django has them."""
    if django.VERSION >= (6, 1):
        return {"MAILERS": {"default": {"BACKEND": backend, "OPTIONS": {"timeout": timeout}}}}
    return {"EMAIL_BACKEND": backend, "EMAIL_TIMEOUT": timeout}


READY = {
    "CACHES": REDIS,
    "REST_FRAMEWORK": {"NUM_PROXIES": 1},
    "DJANGO_PM": {"SITE_URL": "https://pm.example.com"},
    **mails(),
    "DEFAULT_FROM_EMAIL": "pm@example.com",
}


def pm(**settings):
    return {"DJANGO_PM": {**READY["DJANGO_PM"], **settings}}


def layer(hosts):
    config = {} if hosts is None else {"hosts": hosts}
    return {
        "CHANNEL_LAYERS": {"default": {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": config}}
    }


def django_redis(**options):
    return {
        "CACHES": {"default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": "redis://h", "OPTIONS": options}}
    }


LOCMEM = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

# Told by `check --deploy` alone: (what is not as in READY, the ids, words).
UNREADY = [
    pytest.param({}, [], [], id="ready"),
    pytest.param({"CACHES": LOCMEM}, ["W002"], ["LocMemCache", "THROTTLE_CACHE"], id="counted in each process"),
    pytest.param({"REST_FRAMEWORK": {}}, ["W003"], ["NUM_PROXIES"], id="whose address"),
    pytest.param({"REST_FRAMEWORK": {}, **pm(THROTTLE_ANONYMOUS="")}, [], [], id="no limit by address"),
    pytest.param(
        {"CACHES": LOCMEM, "REST_FRAMEWORK": {}, **pm(THROTTLE_USER="", THROTTLE_ANONYMOUS="")}, [], [], id="no limits"
    ),
    pytest.param(pm(SITE_URL=""), ["W016"], ["SITE_URL", "https://pm.example.com"], id="no links"),
    pytest.param(pm(SITE_URL="http://pm.example.com"), ["W017"], ["not https"], id="links in the clear"),
    *(
        pytest.param(mails(backend), ["W018"], [backend, "sends nothing"], id=backend.split(".")[-2])
        for backend in sorted(deployment.KEEPING)
    ),
    pytest.param({"DEFAULT_FROM_EMAIL": "webmaster@localhost"}, ["W019"], ["webmaster@localhost"], id="from nobody"),
    pytest.param(mails(timeout=None), ["W020"], ["for ever", "EMAIL_TIMEOUT"], id="mail waits for ever"),
    pytest.param(mails(timeout=60), ["W020"], ["60"], id="mail waits long"),
    pytest.param(
        {"MAILERS": {"default": {"BACKEND": deployment.SMTP, "OPTIONS": {"timeout": 5}}}},
        *([], []),
        id="as newer Django has it",
    ),
    pytest.param(
        {"MAILERS": {"default": {"BACKEND": min(deployment.KEEPING)}}}, ["W018"], ["console"], id="kept there"
    ),
    pytest.param(
        {**pm(METRICS_TOKEN="short"), "MIDDLEWARE": MEASURED}, ["W021"], ["16"], id="a guess", marks=needs_metrics
    ),
    pytest.param({**layer([("127.0.0.1", 6379)])}, ["W004"], ["socket_keepalive, socket_timeout"], id="pair"),
    pytest.param({**layer(["redis://h"])}, ["W004"], ["'default'"], id="a Redis with its defaults"),
    pytest.param({**layer(None)}, ["W004"], ["realtime.md"], id="a Redis without hosts"),
    pytest.param(
        {**layer([{"address": "redis://h", "socket_timeout": 15}])}, ["W004"], ["socket_keepalive"], id="half"
    ),
    pytest.param(
        {**layer([{"address": "redis://h", "socket_timeout": 15, "socket_keepalive": False}])},
        *([], []),
        id="a Redis as told",
    ),
    pytest.param({**django_redis()}, ["W005"], ["'default'", "SOCKET_TIMEOUT"], id="waiting for ever"),
    pytest.param({**django_redis(SOCKET_TIMEOUT=0.2)}, ["W005"], ["SOCKET_CONNECT"], id="one of two"),
    pytest.param({**django_redis(SOCKET_TIMEOUT=5, SOCKET_CONNECT_TIMEOUT=0.2)}, ["W005"], ["0.25"], id="long"),
    pytest.param({**django_redis(SOCKET_TIMEOUT=0.25, SOCKET_CONNECT_TIMEOUT=0.2)}, [], [], id="waiting for a moment"),
    pytest.param(
        {"CHANNEL_LAYERS": {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}},
        *([], []),
        id="a layer in memory",
    ),
]

# Told where what an extra brings is missing.
WITHOUT_EXTRAS = [
    pytest.param(
        {"DJANGO_PM": {"METRICS_TOKEN": "x"}, "MIDDLEWARE": MEASURED},
        *(["W006"], ["METRICS_TOKEN", "django-pm[metrics]"]),
        id="metrics",
    ),
    pytest.param(
        layer([{"address": "redis://h"}]),
        *(["W013"], ["channels and channels_redis is not installed", "django-pm[channels]"]),
        id="channels",
    ),
    pytest.param(django_redis(), ["E017"], ["'default'", "'django_redis' is not installed"], id="django-redis"),
    pytest.param({"CACHES": REDIS}, ["E017"], ["Install redis"], id="Django's own for Redis"),
    pytest.param({"CACHES": {"default": {}}}, ["E017"], ["'default'"], id="a cache of nothing"),
]

# What the connection to the database is like: (attribute, value, id, words).
CONNECTIONS = [
    pytest.param("vendor", "mysql", "E014", ["does not run on", "PostgreSQL"], id="MySQL"),
    pytest.param(
        "settings_dict", {**connection.settings_dict, "AUTOCOMMIT": False}, "E016", ["AUTOCOMMIT"], id="never"
    ),
]

# What INSTALLED_APPS leaves out.
UNINSTALLED = [
    pytest.param(name, "W010", [repr(name), "Add it"], id=name) for name in ("rest_framework", "django_filters")
]

RIGHT = [
    pytest.param({}, id="as the tests run"),
    pytest.param({"DJANGO_PM": {}}, id="empty"),
    pytest.param({"DJANGO_PM": {name: setting.default for name, setting in declared().items()}}, id="all defaults"),
    pytest.param({"DJANGO_PM": {"POLICY": "django_pm.access.OpenPolicy"}}, id="OpenPolicy"),
    pytest.param({"DJANGO_PM": {"POLICY": "django_pm.access.ModelPermissionPolicy"}}, id="ModelPermissionPolicy"),
    pytest.param({"DJANGO_PM": {"TASK_DUE_DATE_REQUIRED": False, "MAX_BODY_BYTES": 1}}, id="other values"),
    *(pytest.param({"DJANGO_PM": {"POLICY": f"tests.test_checks.{name}"}}, id=name) for name in ("BothDoors", "Plain")),
    pytest.param({"DJANGO_PM": {"SITE_URL": "http://[::1]:8000/pm/"}}, id="an address of this machine"),
    pytest.param({"DJANGO_PM": {"EVENT_RETENTION_DAYS": 30, "EVENT_HARD_CAP_DAYS": 30}}, id="a cap"),
    pytest.param({"MIDDLEWARE": [ACTOR, "tests.test_checks.OwnMiddleware"]}, id="middleware of one's own"),
    pytest.param({"MIDDLEWARE": [], "REST_FRAMEWORK": {"DEFAULT_AUTHENTICATION_CLASSES": BASIC}}, id="no sessions"),
    pytest.param({"REST_FRAMEWORK": {"DEFAULT_AUTHENTICATION_CLASSES": []}}, id="tokens alone"),
    pytest.param({"REST_FRAMEWORK": {"NUM_PROXIES": 0}}, id="no proxies"),
    pytest.param({"ROOT_URLCONF": NESTED}, id="mounted in a namespace"),
    pytest.param({"DATABASES": POSTGRES}, id="PostgreSQL"),
    pytest.param({"DATABASES": sqlite(transaction_mode="IMMEDIATE")}, id="SQLite immediate"),
    pytest.param({"DATABASES": sqlite(transaction_mode="immediate")}, id="SQLite immediate, lower case"),
    pytest.param({"DATABASES": sqlite(transaction_mode="EXCLUSIVE")}, id="SQLite exclusive"),
]


def reported():
    return checks.run_checks(tags=["django_pm"])


def ids_in_code():
    """The id of each place that tells a problem, in the order of the ids."""
    told = [path.read_text() for path in Path(django_pm.checks.__file__).parent.glob("*.py")]
    return sorted(f"django_pm.{short}" for short in re.findall(r'problem\(\s*"([EW]\d+)"', "\n".join(told)))


def assert_told(messages, ids, words):
    assert sorted(message.id for message in messages) == [f"django_pm.{short}" for short in ids]
    told = "\n".join(f"{message.msg}\n{message.hint}" for message in messages)
    assert [word for word in words if word not in told] == []
    for message in messages:
        assert message.hint
        assert message.level == (checks.ERROR if ".E" in message.id else checks.WARNING)


@ignores_the_database_warning
@pytest.mark.parametrize(("settings", "ids", "words"), WRONG)
def test_what_is_wrong_is_told(settings, ids, words):
    with override_settings(**settings):
        assert_told(reported(), ids, words)


@ignores_the_database_warning
@pytest.mark.parametrize("settings", RIGHT)
def test_what_is_right_is_not_mentioned(settings):
    with override_settings(**settings):
        assert reported() == []


@pytest.mark.parametrize(("settings", "ids", "words"), UNREADY)
def test_what_is_not_ready_for_production_is_told_on_deployment(settings, ids, words, monkeypatch):
    monkeypatch.setattr(surroundings, "find_spec", lambda name: name)  # Redis' packages are not everywhere
    with override_settings(**{**READY, **settings}):
        assert reported() == []
        assert_told(checks.run_checks(tags=["django_pm"], include_deployment_checks=True), ids, words)


@pytest.mark.parametrize(("settings", "ids", "words"), WITHOUT_EXTRAS)
def test_what_needs_an_extra_is_told_where_it_is_missing(settings, ids, words, monkeypatch):
    here = {"django"}
    monkeypatch.setattr(surroundings, "find_spec", lambda name: name in here)
    with override_settings(**settings):
        assert_told(reported(), ids, words)


@pytest.mark.parametrize(("attribute", "value", "short", "words"), CONNECTIONS)
def test_what_the_database_is_not_to_be_like(attribute, value, short, words, monkeypatch):
    monkeypatch.setattr(connections["default"], attribute, value)
    assert_told(reported(), [short], words)


@pytest.mark.parametrize(("name", "short", "words"), UNINSTALLED)
def test_what_is_not_installed(name, short, words, monkeypatch):
    monkeypatch.setattr(apps, "is_installed", lambda asked: asked != name)
    assert_told(reported(), [short], words)


def test_a_value_of_no_use_keeps_no_other_check_from_its_own():
    wrong = {"POLICY": 1, "THROTTLE_CACHE": None, "SITE_URL": b"", "METRICS_TOKEN": 1, "EVENT_HARD_CAP_DAYS": "7"}
    with override_settings(DJANGO_PM={**wrong, "THROTTLE_USER": "often"}):
        messages = checks.run_checks(tags=["django_pm"], include_deployment_checks=True)
    ids = [message.id for message in messages]
    assert ids.count("django_pm.E003") == len(wrong)
    assert "django_pm.E009" in ids


def test_it_is_told_by_the_command_too(db):
    with override_settings(DJANGO_PM={"POLICI": "x"}):
        assert "django_pm.E002" in {message.id for message in checks.run_checks()}


def test_an_id_stands_for_one_thing():
    ids = ids_in_code()
    assert ids
    assert sorted(set(ids)) == sorted(ids)


def test_every_id_is_tested():
    tested = {short for case in WRONG + UNREADY + WITHOUT_EXTRAS for short in case.values[1]}
    tested |= {case.values[2] for case in CONNECTIONS} | {case.values[1] for case in UNINSTALLED}
    assert {f"django_pm.{short}" for short in tested} == set(ids_in_code())


def test_every_id_is_documented_with_its_level():
    rows = re.findall(r"^\| `(django_pm\.([EW])\d+)` \| (\w+)[^|]* \| .+ \| .+ \|$", PAGE.read_text(), re.MULTILINE)
    assert [identifier for identifier, _letter, _level in rows] == sorted(ids_in_code())
    assert {letter: level for _identifier, letter, level in rows} == {"E": "error", "W": "warning"}
