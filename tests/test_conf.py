"""The settings: typed, with defaults, read live, and all on the reference page."""

import ast
import re
from pathlib import Path

import pytest
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from django_pm import access
from django_pm.conf import AppSettings, Setting, app_settings, declared, usable
from django_pm.models import Task
from django_pm.users import display_name
from tests.factories import make_project, make_task, make_user

PAGE = Path(__file__).resolve().parent.parent / "docs" / "settings.md"

DEFAULTS = {
    "POLICY": "django_pm.access.RolePolicy",
    "USER_DISPLAY": "django_pm.users.full_name_or_login",
    "TASK_DUE_DATE_REQUIRED": True,
    "MAX_BODY_BYTES": 1_048_576,
    "MAX_TEXT_LENGTH": 65_536,
    "MAX_METADATA_BYTES": 16_384,
    "EVENT_RETENTION_DAYS": 0,
    "EVENT_RETENTION_COUNT": 0,
    "EVENT_HARD_CAP_DAYS": 0,
    "API_TOKENS": True,
    "THROTTLE_USER": "600/min",
    "THROTTLE_ANONYMOUS": "60/min",
    "THROTTLE_CACHE": "default",
    "RESPONSE_CACHE": "default",
    "SOCKETS_PER_USER": 20,
    "REPORT_HOUR": 6,
    "REPORT_RETENTION_DAYS": 0,
    "SITE_URL": "",
    "NOTIFICATION_CHANNELS": {
        "mentioned": ["in_app", "mail"],
        "assigned": ["in_app", "mail"],
        "added": ["in_app", "mail"],
        "escalated": ["in_app", "mail"],
        "commented": ["in_app"],
        "status_changed": ["in_app"],
        "due_soon": ["in_app"],
        "report_ready": [],
    },
    "NOTIFICATION_DELAY_SECONDS": 60,
    "NOTIFICATION_RETENTION_DAYS": 180,
    "DIGEST_HOUR": 8,
    "MAIL_ATTEMPTS": 8,
    "METRICS_TOKEN": "",
    "SUBSCRIBER_ATTEMPTS": 5,
}
OTHERS = {
    "POLICY": "django_pm.access.OpenPolicy",
    "USER_DISPLAY": "builtins.str",
    "TASK_DUE_DATE_REQUIRED": False,
    "MAX_BODY_BYTES": 1,
    "MAX_TEXT_LENGTH": 2,
    "MAX_METADATA_BYTES": 3,
    "EVENT_RETENTION_DAYS": 4,
    "EVENT_RETENTION_COUNT": 5,
    "EVENT_HARD_CAP_DAYS": 6,
    "API_TOKENS": False,
    "THROTTLE_USER": "1/s",
    "THROTTLE_ANONYMOUS": "",
    "THROTTLE_CACHE": "shared",
    "RESPONSE_CACHE": "",
    "SOCKETS_PER_USER": 8,
    "REPORT_HOUR": 8,
    "REPORT_RETENTION_DAYS": 400,
    "SITE_URL": "https://pm.example.com",
    "NOTIFICATION_CHANNELS": {"assigned": []},
    "NOTIFICATION_DELAY_SECONDS": 10,
    "NOTIFICATION_RETENTION_DAYS": 11,
    "DIGEST_HOUR": 12,
    "MAIL_ATTEMPTS": 9,
    "METRICS_TOKEN": "of-this-test",
    "SUBSCRIBER_ATTEMPTS": 7,
}


def test_the_keys_and_defaults_are_a_contract():
    assert {name: setting.default for name, setting in declared().items()} == DEFAULTS


@pytest.mark.parametrize("name", DEFAULTS)
@override_settings(DJANGO_PM={})
def test_the_default_holds_until_the_site_says_otherwise_and_again_after(name):
    assert getattr(app_settings, name) == DEFAULTS[name]
    with override_settings(DJANGO_PM={name: OTHERS[name]}):
        assert getattr(app_settings, name) == OTHERS[name]
        with override_settings(DJANGO_PM={}):
            assert getattr(app_settings, name) == DEFAULTS[name]
        assert getattr(app_settings, name) == OTHERS[name]
    assert getattr(app_settings, name) == DEFAULTS[name]


def test_a_site_without_the_dict_has_the_defaults(settings):
    del settings.DJANGO_PM
    assert {name: getattr(app_settings, name) for name in DEFAULTS} == DEFAULTS


@pytest.mark.parametrize("value", [None, [], "x", 1])
def test_what_is_no_dict_is_told_where_it_is_read(value):
    with (
        override_settings(DJANGO_PM=value),
        pytest.raises(ImproperlyConfigured, match=r"DJANGO_PM is a .*, not a dict"),
    ):
        _ = app_settings.MAX_BODY_BYTES


@pytest.mark.parametrize("name", DEFAULTS)
def test_a_value_of_another_type_is_told_where_it_is_read(name):
    """Settings are read live, so the checks may have seen another value."""
    with override_settings(DJANGO_PM={name: 0.5}):
        with pytest.raises(ImproperlyConfigured, match=rf"DJANGO_PM\['{name}'\] is a float, expected"):
            getattr(app_settings, name)
        assert usable(name) == DEFAULTS[name]


@pytest.mark.parametrize(
    ("name", "value", "bound"),
    [
        ("MAX_BODY_BYTES", 0, "at least 1"),
        ("DIGEST_HOUR", 24, "at most 23"),
        ("NOTIFICATION_DELAY_SECONDS", 86_401, "at most 86400"),
        *(
            (name, 36_501, "at most 36500")
            for name in ("EVENT_RETENTION_DAYS", "EVENT_HARD_CAP_DAYS", "REPORT_RETENTION_DAYS")
        ),
        ("NOTIFICATION_RETENTION_DAYS", 10**9, "at most 36500"),
    ],
)
def test_a_number_out_of_bounds_is_told_where_it_is_read(name, value, bound):
    with (
        override_settings(DJANGO_PM={name: value}),
        pytest.raises(ImproperlyConfigured, match=rf"'{name}'\] must be {bound}\."),
    ):
        getattr(app_settings, name)


def test_a_path_that_leads_nowhere_is_told_with_its_setting(db):
    user = make_user()
    for name, ask in (("POLICY", access.policy), ("USER_DISPLAY", lambda: display_name(user))):
        with (
            override_settings(DJANGO_PM={name: "nowhere.to.be.found"}),
            pytest.raises(ImproperlyConfigured, match=rf"DJANGO_PM\['{name}'\] cannot be imported: No module named"),
        ):
            ask()


def test_a_rate_that_cannot_be_read_is_told_with_its_setting(api):
    api.raise_request_exception = True
    with (
        override_settings(DJANGO_PM={"THROTTLE_USER": "often"}),
        pytest.raises(ImproperlyConfigured, match=r"DJANGO_PM\['THROTTLE_USER'\]: 'often' is no rate"),
    ):
        api.get("/projects/")


def test_each_setting_explains_itself():
    for name, setting in declared().items():
        assert getattr(AppSettings, name) is setting
        assert isinstance(setting, Setting)
        assert setting.name == name
        assert setting.kind is type(setting.default)
        assert setting.help_text.endswith(".")


def test_there_is_no_other():
    with pytest.raises(AttributeError):
        app_settings.TASK_DUE_DATE_REQUIERD  # noqa: B018


# The reference page


def python_blocks():
    return re.findall(r"^```python\n(.+?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def test_the_page_names_every_key_with_its_type_and_default():
    rows = re.findall(r"^\| `([A-Z_]+)` \| `(\w+)` \| `([^`]+)` \| .+ \|$", PAGE.read_text(), re.MULTILINE)
    assert [(name, kind, ast.literal_eval(default)) for name, kind, default in rows] == [
        (name, setting.kind.__name__, setting.default) for name, setting in declared().items()
    ]


def test_the_page_names_every_policy_there_is():
    shipped = {name for name, value in vars(access).items() if isinstance(value, type) and name.endswith("Policy")}
    shipped -= {"Policy"}  # the description of one
    rows = re.findall(r"^\| `django_pm\.access\.(\w+)` \|", PAGE.read_text(), re.MULTILINE)
    assert set(rows) == shipped


def test_the_first_sample_passes_the_checks():
    site = {}
    exec(python_blocks()[0], site)  # noqa: S102
    with override_settings(DJANGO_PM=site["DJANGO_PM"]):
        assert checks.run_checks(tags=["django_pm"]) == []


def test_the_sample_policy_does_what_its_docstring_says(db):
    (sample,) = [block for block in python_blocks() if "class ArchivePolicy" in block]
    module = {}
    exec(sample, module)  # noqa: S102
    policy = module["ArchivePolicy"]()
    project, archived = make_project(), make_project(metadata={"archived": True})
    for each, expected in ((project, True), (archived, False)):
        owner = each.memberships.get().user
        assert policy.may(owner, "view", each)
        assert policy.may(owner, "change", each) is expected
        assert policy.may(owner, "delete", make_task(each)) is expected
        assert policy.may(owner, "add", Task(project=each)) is expected
