"""Each misconfiguration is told by its own check, and a right configuration by none."""

import re
from pathlib import Path

import pytest
from django.core import checks
from django.test import override_settings

import django_pm.checks
from django_pm.conf import declared

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


class EventsElsewhere:
    """A router that tears an event from its change."""

    def db_for_write(self, model, **hints):
        return "events" if model._meta.model_name in {"event", "projectstream"} else None


NOT_CALLABLE = "a name"

# (the settings, the ids they cause, words that the message or the hint has to say)
WRONG = [
    pytest.param({"DJANGO_PM": []}, ["E001"], ["is a list, not a dict"], id="a list"),
    pytest.param({"DJANGO_PM": None}, ["E001"], ["is a NoneType, not a dict"], id="None"),
    pytest.param({"DJANGO_PM": {"POLICI": "x"}}, ["E002"], ["'POLICI'", "Did you mean 'POLICY'?"], id="misspelt"),
    pytest.param(
        {"DJANGO_PM": {"task_due_date_required": True}}, ["E002"], ["'task_due_date_required'"], id="lower case"
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
    pytest.param({"USE_TZ": False}, ["E007"], ["USE_TZ = True"], id="no time zones"),
    pytest.param(
        {"DATABASE_ROUTERS": ["tests.test_checks.EventsElsewhere"]},
        ["E008"] * 13,
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
    pytest.param(
        {"DATABASES": sqlite()}, ["W001"], ["'default'", '"transaction_mode": "IMMEDIATE"'], id="SQLite as is"
    ),
    pytest.param({"DATABASES": sqlite(transaction_mode="DEFERRED")}, ["W001"], ["'default'"], id="SQLite deferred"),
    pytest.param({"DATABASES": sqlite(transaction_mode=None)}, ["W001"], ["'default'"], id="SQLite None"),
    pytest.param({"DATABASES": {**POSTGRES, "other": SQLITE}}, ["W001"], ["'other'"], id="SQLite beside PostgreSQL"),
]

REDIS = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1"}}

READY = {"CACHES": REDIS, "REST_FRAMEWORK": {"NUM_PROXIES": 1}}


def layer(hosts):
    config = {} if hosts is None else {"hosts": hosts}
    return {
        "CHANNEL_LAYERS": {"default": {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": config}}
    }


def django_redis(**options):
    return {
        "CACHES": {"default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": "redis://h", "OPTIONS": options}}
    }


# Told by `check --deploy` alone: (the settings, the ids, words).
UNREADY = [
    pytest.param({}, ["W002", "W003"], ["LocMemCache", "THROTTLE_CACHE", "NUM_PROXIES"], id="all defaults"),
    pytest.param({"REST_FRAMEWORK": {"NUM_PROXIES": 0}}, ["W002"], ["LocMemCache"], id="counted in each process"),
    pytest.param({"CACHES": REDIS}, ["W003"], ["NUM_PROXIES"], id="whose address"),
    pytest.param({"CACHES": REDIS, "REST_FRAMEWORK": {"NUM_PROXIES": 1}}, [], [], id="ready"),
    pytest.param({"CACHES": REDIS, "DJANGO_PM": {"THROTTLE_ANONYMOUS": ""}}, [], [], id="no limit by address"),
    pytest.param({"DJANGO_PM": {"THROTTLE_USER": "", "THROTTLE_ANONYMOUS": ""}}, [], [], id="no limits"),
    pytest.param({**READY, **layer([("127.0.0.1", 6379)])}, ["W004"], ["socket_keepalive, socket_timeout"], id="pair"),
    pytest.param({**READY, **layer(["redis://h"])}, ["W004"], ["'default'"], id="a Redis with its defaults"),
    pytest.param({**READY, **layer(None)}, ["W004"], ["realtime.md"], id="a Redis without hosts"),
    pytest.param(
        {**READY, **layer([{"address": "redis://h", "socket_timeout": 15}])}, ["W004"], ["socket_keepalive"], id="half"
    ),
    pytest.param(
        {**READY, **layer([{"address": "redis://h", "socket_timeout": 15, "socket_keepalive": False}])},
        *([], []),
        id="a Redis as told",
    ),
    pytest.param({**READY, **django_redis()}, ["W005"], ["'default'", "SOCKET_TIMEOUT"], id="waiting for ever"),
    pytest.param({**READY, **django_redis(SOCKET_TIMEOUT=0.2)}, ["W005"], ["SOCKET_CONNECT"], id="one of two"),
    pytest.param(
        {**READY, **django_redis(SOCKET_TIMEOUT=5, SOCKET_CONNECT_TIMEOUT=0.2)}, ["W005"], ["0.25"], id="long"
    ),
    pytest.param(
        {**READY, **django_redis(SOCKET_TIMEOUT=0.25, SOCKET_CONNECT_TIMEOUT=0.2)}, [], [], id="waiting for a moment"
    ),
    pytest.param(
        {**READY, "CHANNEL_LAYERS": {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}},
        *([], []),
        id="a layer in memory",
    ),
]

# Told where an extra is missing.
WITHOUT_EXTRAS = [
    pytest.param({"DJANGO_PM": {"METRICS_TOKEN": "x"}}, ["W006"], ["METRICS_TOKEN", "django-pm[metrics]"], id="metrics")
]

RIGHT = [
    pytest.param({}, id="as the tests run"),
    pytest.param({"DJANGO_PM": {}}, id="empty"),
    pytest.param({"DJANGO_PM": {name: setting.default for name, setting in declared().items()}}, id="all defaults"),
    pytest.param({"DJANGO_PM": {"POLICY": "django_pm.access.OpenPolicy"}}, id="OpenPolicy"),
    pytest.param({"DJANGO_PM": {"POLICY": "django_pm.access.ModelPermissionPolicy"}}, id="ModelPermissionPolicy"),
    pytest.param({"DJANGO_PM": {"TASK_DUE_DATE_REQUIRED": False, "MAX_BODY_BYTES": 1}}, id="other values"),
    pytest.param({"DATABASES": POSTGRES}, id="PostgreSQL"),
    pytest.param({"DATABASES": sqlite(transaction_mode="IMMEDIATE")}, id="SQLite immediate"),
    pytest.param({"DATABASES": sqlite(transaction_mode="immediate")}, id="SQLite immediate, lower case"),
    pytest.param({"DATABASES": sqlite(transaction_mode="EXCLUSIVE")}, id="SQLite exclusive"),
]


def reported():
    return checks.run_checks(tags=["django_pm"])


def ids_in_code():
    return re.findall(r'id="(django_pm\.[EW]\d+)"', Path(django_pm.checks.__file__).read_text())


@ignores_the_database_warning
@pytest.mark.parametrize(("settings", "ids", "words"), WRONG)
def test_what_is_wrong_is_told(settings, ids, words):
    with override_settings(**settings):
        messages = reported()
    assert sorted(message.id for message in messages) == [f"django_pm.{short}" for short in ids]
    told = "\n".join(f"{message.msg}\n{message.hint}" for message in messages)
    assert [word for word in words if word not in told] == []


@ignores_the_database_warning
@pytest.mark.parametrize(("settings", "ids", "words"), WRONG)
def test_each_has_a_hint_and_the_level_its_id_says(settings, ids, words):
    with override_settings(**settings):
        for message in reported():
            assert message.hint
            assert message.level == (checks.ERROR if ".E" in message.id else checks.WARNING)


@ignores_the_database_warning
@pytest.mark.parametrize("settings", RIGHT)
def test_what_is_right_is_not_mentioned(settings):
    with override_settings(**settings):
        assert reported() == []


@pytest.mark.parametrize(("settings", "ids", "words"), UNREADY)
def test_what_is_not_ready_for_production_is_told_on_deployment(settings, ids, words):
    with override_settings(**{"DJANGO_PM": {}, **settings}):
        assert reported() == []
        messages = checks.run_checks(tags=["django_pm"], include_deployment_checks=True)
    assert sorted(message.id for message in messages) == [f"django_pm.{short}" for short in ids]
    told = "\n".join(f"{message.msg}\n{message.hint}" for message in messages)
    assert [word for word in words if word not in told] == []
    assert all(message.level == checks.WARNING for message in messages)


@pytest.mark.parametrize(("settings", "ids", "words"), WITHOUT_EXTRAS)
def test_what_needs_an_extra_is_told_where_it_is_missing(settings, ids, words, monkeypatch):
    monkeypatch.setattr(django_pm.checks, "find_spec", lambda name: None)
    with override_settings(**settings):
        (message,) = reported()
    assert [message.id] == [f"django_pm.{short}" for short in ids]
    assert [word for word in words if word not in f"{message.msg}\n{message.hint}"] == []


def test_it_is_told_by_the_command_too(db):
    with override_settings(DJANGO_PM={"POLICI": "x"}):
        assert "django_pm.E002" in {message.id for message in checks.run_checks()}


def test_an_id_stands_for_one_thing():
    ids = ids_in_code()
    assert ids
    assert sorted(set(ids)) == sorted(ids)


def test_every_id_is_tested():
    tested = {f"django_pm.{short}" for case in WRONG + UNREADY + WITHOUT_EXTRAS for short in case.values[1]}
    assert tested == set(ids_in_code())


def test_every_id_is_documented_with_its_level():
    rows = re.findall(r"^\| `(django_pm\.([EW])\d+)` \| (\w+)[^|]* \| .+ \| .+ \|$", PAGE.read_text(), re.MULTILINE)
    assert [identifier for identifier, _letter, _level in rows] == sorted(ids_in_code())
    assert {letter: level for _identifier, letter, level in rows} == {"E": "error", "W": "warning"}
