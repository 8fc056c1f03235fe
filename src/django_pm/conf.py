"""Every setting of django-pm: one dict, ``DJANGO_PM``, typed and read live.

A host writes ``DJANGO_PM = {"TASK_DUE_DATE_REQUIRED": False}``; the code reads
``app_settings.TASK_DUE_DATE_REQUIRED``. Nothing is cached, so ``override_settings`` simply works. A value that is of no
use raises ``ImproperlyConfigured`` where it is read; the system checks tell all of them at once, beforehand.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar, overload

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

T = TypeVar("T")

LONGEST_DAYS = 36_500
"""A century. What is computed with days must stay within the calendar."""


class Setting(Generic[T]):
    """One key of ``DJANGO_PM``: its default, its type, and what it means to a site owner.

    Reading it raises ``ImproperlyConfigured`` if the site gave a value of another type, or one out of bounds.
    """

    def __init__(self, default: T, help_text: str, *, minimum: int = 1, maximum: int | None = None) -> None:
        self.default = default
        self.kind = type(default)
        self.help_text = help_text
        self.minimum, self.maximum = minimum, maximum  # of a number

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Setting[T]: ...

    @overload
    def __get__(self, instance: object, owner: type) -> T: ...

    def __get__(self, instance: object | None, owner: type) -> Setting[T] | T:
        if instance is None:
            return self
        value: T = configured().get(self.name, self.default)
        if problem := self.wrong_type(value) or self.out_of_bounds(value):
            raise ImproperlyConfigured(f"DJANGO_PM[{self.name!r}] {problem}.")
        return value

    def wrong_type(self, value: Any) -> str:
        """What is wrong with the type of ``value``, in words; empty if nothing is. ``True`` is no number."""
        if type(value) is self.kind:
            return ""
        return f"is a {type(value).__name__}, expected {self.kind.__name__}"

    def out_of_bounds(self, value: Any) -> str:
        """The bound that ``value`` does not keep to, in words; empty if it does, or is no number."""
        if type(value) is not int:
            return ""
        if value < self.minimum:
            return f"must be at least {self.minimum}"
        if self.maximum is not None and value > self.maximum:
            return f"must be at most {self.maximum}"
        return ""


def configured() -> dict[Any, Any]:
    """What the host wrote. Raises ``ImproperlyConfigured`` if that is no dict."""
    value = getattr(settings, "DJANGO_PM", {})
    if not isinstance(value, dict):
        raise ImproperlyConfigured(f"DJANGO_PM is a {type(value).__name__}, not a dict.")
    return value


def usable(name: str) -> Any:
    """The value of the setting ``name``, or its default where what the host wrote is of no use.

    For whoever must not fail because of it: the checks, each of which tells of one thing, and the start of the app, for
    what is wrong is told by checks that run after it.
    """
    try:
        return getattr(app_settings, name)
    except ImproperlyConfigured:
        return getattr(AppSettings, name).default


def imported(name: str) -> Any:
    """What the import path in the setting ``name`` leads to. Raises ``ImproperlyConfigured`` if it leads nowhere."""
    path = getattr(app_settings, name)
    try:
        return import_string(path)
    except ImportError as error:
        raise ImproperlyConfigured(f"DJANGO_PM[{name!r}] cannot be imported: {error}") from error


class AppSettings:
    """The settings of django-pm. Names and defaults are public and stable."""

    POLICY = Setting(
        "django_pm.access.RolePolicy",
        "Import path of the policy class: who may see and do what. Shipped beside the default: "
        "`django_pm.access.OpenPolicy` and `django_pm.access.ModelPermissionPolicy`. One of your own: "
        "docs/howto/policy.md.",
    )
    USER_DISPLAY = Setting(
        "django_pm.users.full_name_or_login",
        "Import path of a function `user -> str`: the name shown for a user, for instance as a comment's author "
        "when a client gives none. Cut to 255 characters.",
    )
    TASK_DUE_DATE_REQUIRED = Setting(
        True,
        "Whether the API refuses a task without a `due_date`. The column is nullable either way, so your own code and "
        "the admin may leave it empty.",
    )
    MAX_BODY_BYTES = Setting(
        1024 * 1024,
        "Largest request body the API reads, in bytes; a larger one is answered with 413.",
    )
    MAX_TEXT_LENGTH = Setting(
        65_536,
        "Longest description or comment the API takes, in characters; a longer one is answered with 400.",
    )
    MAX_METADATA_BYTES = Setting(
        16_384,
        "Largest `metadata` object the API takes, in bytes of its JSON form; a larger one is answered with 400.",
    )
    EVENT_RETENTION_DAYS = Setting(
        0,
        "`pm_prune` deletes events older than this many days; 0 keeps them for ever.",
        minimum=0,
        maximum=LONGEST_DAYS,
    )
    EVENT_RETENTION_COUNT = Setting(
        0,
        "`pm_prune` keeps this many of the latest events of each project; 0 keeps all.",
        minimum=0,
    )
    EVENT_HARD_CAP_DAYS = Setting(
        0,
        "`pm_prune` deletes events older than this many days even if a subscriber has not read them; 0 waits for it.",
        minimum=0,
        maximum=LONGEST_DAYS,
    )
    API_TOKENS = Setting(
        True,
        "Whether people may make API tokens at `/tokens/`, and scripts sign in with them (docs/api.md#api-tokens). "
        "Off, the path answers 404.",
    )
    THROTTLE_USER = Setting(
        "600/min",
        "How many requests one signed-in user may make (per `s`, `min`, `h` or `d`); empty for no limit.",
    )
    THROTTLE_ANONYMOUS = Setting(
        "60/min",
        "The same for each address that nobody has signed in from; empty for no limit.",
    )
    THROTTLE_CACHE = Setting(
        "default",
        "The cache of `CACHES` that counts requests. Processes that are to count together must share it "
        "(docs/api.md#limits).",
    )
    RESPONSE_CACHE = Setting(
        "default",
        "The cache of `CACHES` in which lists are kept for all processes (docs/caching.md); empty to keep none, there "
        "or in the process.",
    )
    SOCKETS_PER_USER = Setting(
        20,
        "How many WebSockets (docs/realtime.md) one user may have open in one server process.",
    )
    REPORT_HOUR = Setting(
        6,
        "From which hour of the day (0 to 23, in the time zone of the project) the daily report "
        "(docs/reports.md) is made and mailed.",
        minimum=0,
        maximum=23,
    )
    REPORT_RETENTION_DAYS = Setting(
        0,
        "`pm_prune` deletes reports of dates longer ago than this many days; 0 keeps them for ever.",
        minimum=0,
        maximum=LONGEST_DAYS,
    )
    SITE_URL = Setting(
        "",
        "Where the site is, as `https://pm.example.com`, for the links in mail (docs/mail.md): what sends it has no "
        "request to ask. Empty: mail has no links.",
    )
    NOTIFICATION_CHANNELS = Setting[dict[str, list[str]]](
        {
            "mentioned": ["in_app", "mail"],
            "assigned": ["in_app", "mail"],
            "added": ["in_app", "mail"],
            "escalated": ["in_app", "mail"],
            "commented": ["in_app"],
            "status_changed": ["in_app"],
            "due_soon": ["in_app"],
            "report_ready": [],
        },
        "Where people are told, by reason, as long as they have not chosen otherwise: `in_app`, and `mail` (at once) "
        "or `digest` (daily). Reasons (docs/notifications.md#reasons) that are left out keep their default; an empty "
        "list is off.",
    )
    NOTIFICATION_DELAY_SECONDS = Setting(
        60,
        "How long a notification waits before it is mailed, so that several of one task leave together, and what is "
        "read or taken back by then does not leave.",
        minimum=0,
        maximum=24 * 60 * 60,
    )
    NOTIFICATION_RETENTION_DAYS = Setting(
        180,
        "`pm_prune` deletes notifications older than this many days; 0 keeps them for ever.",
        minimum=0,
        maximum=LONGEST_DAYS,
    )
    DIGEST_HOUR = Setting(
        8,
        "From which hour of the day (0 to 23, in the recipient's time zone) digests are mailed, unless they chose one.",
        minimum=0,
        maximum=23,
    )
    MAIL_ATTEMPTS = Setting(
        8,
        "How often a message is tried that the mail server refuses for the moment, or that cannot be written.",
    )
    METRICS_TOKEN = Setting(
        "",
        "What Prometheus shows as a bearer token to read `/metrics` (docs/monitoring.md); empty, there is no such "
        "page, nor any counting.",
    )
    SUBSCRIBER_ATTEMPTS = Setting(
        5,
        "How often a subscriber may fail on one event before the event is parked and the rest goes on.",
    )


def declared() -> dict[str, Setting[Any]]:
    """Every setting by its name, in the order of declaration (for checks and the reference page)."""
    return {name: value for name, value in vars(AppSettings).items() if isinstance(value, Setting)}


app_settings = AppSettings()
