"""Where people want to be told: the site's default, what somebody chose for all projects, and for one of them.

Reminders and reports are mailed from rows of their own in the queue, and whether to is a column of its own. Who has
them mailed is not told of the same in the digest.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from django.utils.translation import gettext as _

from django_pm.conf import AppSettings, app_settings
from django_pm.events import feed
from django_pm.models import Channel, NotificationPreferences, ProjectChannels, Reason
from django_pm.models.among import among

Channels = tuple[str, ...]

MAIL_COLUMNS = {Reason.DUE_SOON: "reminders", Reason.REPORT_READY: "reports"}
"""The reasons whose mail has a column of ``NotificationPreferences``, and its name."""

CHUNK = 5_000
"""How many keys go into one statement."""

_IN_ORDER = tuple(Channel.values)
"""Kept, because an enumeration makes its list anew whenever it is asked."""


def problems_of(reason: str, channels: Any) -> list[str]:
    """What is wrong with ``channels`` as a list of channels for ``reason``; empty if nothing is."""
    if reason not in Reason.values:
        return [
            _("“%(reason)s” is no reason. Reasons: %(known)s.") % {"reason": reason, "known": ", ".join(Reason.values)}
        ]
    if not isinstance(channels, list) or not all(isinstance(channel, str) for channel in channels):
        return [_("Expected a list of channels.")]
    if unknown := [channel for channel in channels if channel not in Channel.values]:
        known = ", ".join(Channel.values)
        return [_("“%(channel)s” is no channel. Channels: %(known)s.") % {"channel": unknown[0], "known": known}]
    if {Channel.MAIL, Channel.DIGEST} <= set(channels):
        return [_("Either “mail” or “digest”, not both.")]
    return []


def ordered(channels: Iterable[str]) -> Channels:
    """Each channel once, in the order in which they are declared."""
    chosen = set(channels)
    return tuple(channel for channel in _IN_ORDER if channel in chosen)


def of_site(reason: str) -> Channels:
    """What the site has for ``reason``."""
    default: dict[str, list[str]] = AppSettings.NOTIFICATION_CHANNELS.default
    return ordered(app_settings.NOTIFICATION_CHANNELS.get(reason, default[reason]))


def chosen(reason: str, mine: Mapping[str, Any], of_project: Mapping[str, Any]) -> Channels:
    """Where somebody is told for ``reason``, who chose these for all projects and those for one of them.

    What is no list of channels counts as no choice: one person's row must not keep the others from being told.
    """
    for choice in (of_project, mine):
        if reason in choice and not problems_of(reason, choice[reason]):
            return ordered(choice[reason])
    return of_site(reason)


def wanted(reason: str, mine: NotificationPreferences, of_project: Mapping[str, Any]) -> Channels:
    """Where the owner of ``mine`` is told for ``reason``; of those whose mail has a column, that counts."""
    found = set(chosen(reason, mine.channels, of_project))
    if (column := MAIL_COLUMNS.get(Reason(reason))) is not None:
        found.discard(Channel.MAIL)
        if getattr(mine, column):
            found = found - {Channel.DIGEST} | {Channel.MAIL}
    return ordered(found)


class Choices:
    """What these people chose, for all projects and for each of these, read at once, and where it is written."""

    def __init__(self, user_ids: Iterable[Any], project_ids: Iterable[Any]) -> None:
        self._mine: dict[Any, NotificationPreferences] = {}
        self._nobodys = NotificationPreferences()
        self._of_projects: dict[tuple[Any, Any], dict[str, Any]] = {}
        self._unchosen: dict[tuple[str, Any], Channels] = {}
        projects = set(project_ids)
        for keys in chunks(set(user_ids)):
            mine = NotificationPreferences.objects.using(feed.database()).filter(among("user", keys))
            self._mine |= {each.user_id: each for each in mine.only("user", "channels", *MAIL_COLUMNS.values())}
            here = ProjectChannels.objects.using(feed.database()).filter(among("user", keys), project_id__in=projects)
            rows = here.values_list("user", "project_id", "channels")
            self._of_projects |= {(user_id, project_id): channels for user_id, project_id, channels in rows}

    def of(self, user_id: Any, project_id: Any, reason: str) -> Channels:
        """Where one of them is told of one of the projects for ``reason``."""
        mine = self._mine.get(user_id, self._nobodys)
        of_project = self._of_projects.get((user_id, project_id), {})
        if reason in of_project or reason in mine.channels:
            return wanted(reason, mine, of_project)
        # Most have chosen nothing for it. Then only the column of its mail is their own, and all who have the same
        # there are told in the same places.
        column = MAIL_COLUMNS.get(Reason(reason))
        same = (reason, column and getattr(mine, column))
        if same not in self._unchosen:
            self._unchosen[same] = wanted(reason, mine, of_project)
        return self._unchosen[same]


def matrix(preferences: NotificationPreferences) -> dict[str, list[str]]:
    """By reason, where the owner of these preferences is told."""
    return {reason: list(wanted(reason, preferences, {})) for reason in Reason.values}


def choose_here(of_project: ProjectChannels, choices: Mapping[str, list[str] | None]) -> None:
    """Note (unsaved) what somebody chose for one project; None gives a reason back to what they have elsewhere."""
    _choose(of_project.channels, choices)


def _choose(theirs: dict[str, list[str]], choices: Mapping[str, list[str] | None]) -> None:
    for reason, channels in choices.items():
        if channels is None:
            theirs.pop(reason, None)
        else:
            theirs[reason] = list(ordered(channels))


def choose(preferences: NotificationPreferences, choices: Mapping[str, list[str] | None]) -> None:
    """Note in ``preferences`` (unsaved) what somebody chose; None gives a reason back to the site."""
    _choose(preferences.channels, choices)
    for reason, channels in choices.items():
        if (column := MAIL_COLUMNS.get(Reason(reason))) is not None:
            field: Any = NotificationPreferences._meta.get_field(column)
            default = field.get_default()
            setattr(preferences, column, default if channels is None else Channel.MAIL in channels)


def chunks(keys: Collection[Any]) -> Iterator[list[Any]]:
    """``keys`` in pieces that fit into one statement."""
    every = list(keys)
    return (every[start : start + CHUNK] for start in range(0, len(every), CHUNK))
