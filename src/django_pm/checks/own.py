"""Checks of ``DJANGO_PM`` itself: its keys, and the type, range and meaning of each value."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from django_pm.api.throttling import parse_rate
from django_pm.checks.messages import TAG, Messages, problem
from django_pm.conf import configured, declared, usable
from django_pm.services.notifications import channels

METHODS = {"visible_projects": ("user",), "may": ("user", "verb", "obj"), "who_sees": ("project_id", "user_ids")}
"""What is asked of a policy, and with what: ``access.Policy``."""


@checks.register(TAG)
def check_settings(app_configs: Any, **kwargs: Any) -> Messages:
    """``DJANGO_PM`` is a dict of known keys with values of the right type and range."""
    known = declared()
    try:
        given = configured()
    except ImproperlyConfigured:
        text = f"DJANGO_PM is a {type(settings.DJANGO_PM).__name__}, not a dict."
        return [problem("E001", text, 'Write DJANGO_PM = {"TASK_DUE_DATE_REQUIRED": False}, or remove it.')]
    problems: Messages = []
    for name, value in given.items():
        if name not in known:
            near = difflib.get_close_matches(str(name).upper(), known, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Known keys: {', '.join(known)}."
            problems.append(problem("E002", f"DJANGO_PM has an unknown key {name!r}.", hint))
        elif wrong_type := known[name].wrong_type(value):
            problems.append(problem("E003", f"DJANGO_PM[{name!r}] {wrong_type}.", known[name].help_text))
        elif out_of_bounds := known[name].out_of_bounds(value):
            problems.append(problem("E004", f"DJANGO_PM[{name!r}] {out_of_bounds}.", known[name].help_text))
    return problems


@checks.register(TAG)
def check_import_paths(app_configs: Any, **kwargs: Any) -> Messages:
    """The policy and the display function can be imported and have the shape they need."""
    problems: Messages = []
    for name, faults_of in (("POLICY", _faults_of_policy), ("USER_DISPLAY", _faults_of_display)):
        path = usable(name)
        try:
            target = import_string(path)
        except Exception as error:  # whatever a host's module raises while it is imported
            hint = f"{path!r} should be a dotted path to something importable."
            problems.append(problem("E005", f"DJANGO_PM[{name!r}] cannot be imported: {error}", hint))
            continue
        problems += [
            problem("E006", f"DJANGO_PM[{name!r}], {path!r}, {fault}.", declared()[name].help_text)
            for fault in faults_of(target)
        ]
    return problems


def _faults_of_policy(target: Any) -> Iterator[str]:
    if missing := [name for name in METHODS if not callable(getattr(target, name, None))]:
        yield f"lacks {', '.join(missing)}"
    elif not inspect.isclass(target):
        yield "is no class"
    elif not _takes(target):
        yield "cannot be made without arguments"
    else:
        for name, arguments in METHODS.items():
            # As a function of the class, it takes the instance first; declared static, it does not.
            instance = () if isinstance(inspect.getattr_static(target, name), staticmethod | classmethod) else ("self",)
            if not _takes(getattr(target, name), *instance, *arguments):
                yield f"does not take ({', '.join(arguments)}) in {name}"


def _faults_of_display(target: Any) -> Iterator[str]:
    if not callable(target):
        yield "cannot be called"
    elif not _takes(target, "user"):
        yield "does not take (user)"


def _takes(function: Any, *arguments: Any) -> bool:
    """Whether ``function`` can be called with so many arguments, as far as it tells."""
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError:
        return False
    except ValueError:  # of something built in, which tells nothing
        return True
    return True


@checks.register(TAG)
def check_policy_agrees(app_configs: Any, **kwargs: Any) -> Messages:
    """A policy that changes who sees what says so for lists and for deliveries; else one shows more than the other."""
    try:
        target = import_string(usable("POLICY"))
    except Exception:  # told by E005
        return []
    if not inspect.isclass(target):
        return []
    many = _depth(target, "who_sees")
    nearer = [name for name in ("visible_projects", "projects_of") if _depth(target, name) < many]
    if many == len(target.__mro__) or not nearer:
        return []
    return [
        problem(
            "W007",
            f"The policy {usable('POLICY')!r} has a {nearer[0]} of its own, but inherits who_sees.",
            "Both say who sees a project: the one where somebody asks, the other where something is delivered. "
            "Override both, so that they agree.",
        )
    ]


def _depth(cls: type, name: str) -> int:
    """How far up among the bases of ``cls`` an attribute is defined; beyond all of them if nowhere."""
    return next((depth for depth, base in enumerate(cls.__mro__) if name in vars(base)), len(cls.__mro__))


@checks.register(TAG)
def check_rates(app_configs: Any, **kwargs: Any) -> Messages:
    """The rates can be read."""
    problems: Messages = []
    for name in ("THROTTLE_USER", "THROTTLE_ANONYMOUS"):
        if rate := usable(name):
            try:
                parse_rate(rate)
            except ValueError as error:
                hint = "Write a number and s, min, h or d, such as 600/min; an empty string for no limit."
                problems.append(problem("E009", f"DJANGO_PM[{name!r}]: {error}", hint))
    return problems


@checks.register(TAG)
def check_caches(app_configs: Any, **kwargs: Any) -> Messages:
    """The caches that count requests and keep lists are some of the site's."""
    problems: Messages = []
    there = f"CACHES has {', '.join(settings.CACHES)}"
    if (alias := usable("THROTTLE_CACHE")) not in settings.CACHES:
        text = f"DJANGO_PM['THROTTLE_CACHE'] names {alias!r}, which is not in CACHES."
        problems.append(problem("E010", text, f"{there}."))
    if (alias := usable("RESPONSE_CACHE")) and alias not in settings.CACHES:
        text = f"DJANGO_PM['RESPONSE_CACHE'] names {alias!r}, which is not in CACHES."
        problems.append(problem("E011", text, f"{there}; an empty string keeps no lists."))
    return problems


@checks.register(TAG)
def check_notification_channels(app_configs: Any, **kwargs: Any) -> Messages:
    """Reasons and channels are some that there are."""
    return [
        problem(
            "E012",
            f"DJANGO_PM['NOTIFICATION_CHANNELS'][{reason!r}]: {wrong}",
            declared()["NOTIFICATION_CHANNELS"].help_text,
        )
        for reason, chosen in usable("NOTIFICATION_CHANNELS").items()
        for wrong in channels.problems_of(reason, chosen)
    ]


@checks.register(TAG)
def check_site_url(app_configs: Any, **kwargs: Any) -> Messages:
    """What links in mail begin with is an address, and nothing behind it would get into the middle of a link."""
    url = usable("SITE_URL")
    if not url:
        return []
    try:
        parts = urlsplit(url)
        is_fine = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # no port, or half an IPv6 address
        is_fine = False
    if is_fine and not (parts.query or parts.fragment or parts.username or any(map(str.isspace, url))):
        return []
    hint = "Write scheme and host, such as https://pm.example.com, and a path only if all of the site is below it."
    return [problem("E013", f"DJANGO_PM['SITE_URL'] is {url!r}, which is no address of a site.", hint)]


@checks.register(TAG)
def check_retention(app_configs: Any, **kwargs: Any) -> Messages:
    """Events are not thrown away sooner than the site says that it keeps them."""
    days, cap = usable("EVENT_RETENTION_DAYS"), usable("EVENT_HARD_CAP_DAYS")
    if not cap or cap >= days:
        return []
    return [
        problem(
            "W008",
            f"DJANGO_PM['EVENT_HARD_CAP_DAYS'], {cap}, is less than EVENT_RETENTION_DAYS, {days}.",
            "The hard cap deletes events that a subscriber has not read: set it to more days, or to 0.",
        )
    ]
