"""The inbox, ``client.notifications``, and where one is told, ``client.preferences``: as steps, for both clients."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypedDict, Unpack

from django_pm.client.errors import UnexpectedAnswer
from django_pm.client.objects import Channel, Key, Notification, Preferences, Project, Reason
from django_pm.client.resources import ObjectSteps
from django_pm.client.steps import (
    Request,
    Steps,
    Stream,
    content,
    exchange,
    get,
    key_of,
    path_of,
    query,
    read,
    require,
    send,
)
from django_pm.client.verbs import AsyncResource, SyncResource, listing, verb


class NotificationFilters(TypedDict, total=False):
    """Which notifications: those to which all of this applies."""

    reason: Reason | Collection[Reason]
    project: Project | Key
    unread: bool


class PreferencesChanges(TypedDict, total=False):
    """What can be written of the preferences. None for a reason takes a choice back."""

    language: str
    time_zone: str
    reminders: bool
    reports: bool
    channels: Mapping[Reason, Sequence[Channel] | None]
    digest_hour: int | None
    overdue_digest: bool


class NotificationVerbs(ObjectSteps):
    """``client.notifications``: what one was told of and may see now."""

    @listing
    def list(self, *, page_size: int | None = None, **filters: Unpack[NotificationFilters]) -> Stream[Notification]:
        """The notifications, the latest first. ``reason`` may be several."""
        return self._listed(Notification, path_of("notifications"), query(**filters), page_size)

    @verb
    def unread(self) -> Steps[int]:
        """How many of all are unread."""
        return self._unread(get(path_of("notifications"), query(page_size=1)))

    @verb
    def read(self, notification: Notification | Key) -> Steps[Notification]:
        """Mark it as read. Repeating this changes nothing."""
        request = send("POST", path_of("notifications", key_of(notification), "read"))
        outcome = yield from exchange(request, self._retry)
        require(request, outcome, 200)
        return read(Notification, request, content(request, outcome.response))

    @verb
    def read_all(self, up_to: Notification | Key) -> Steps[int]:
        """Mark as read all up to ``up_to``, the latest that was seen, itself included. How many are unread then: those
        that came meanwhile."""
        return self._unread(send("POST", path_of("notifications", "read-all"), {"up_to": key_of(up_to)}))

    def _unread(self, request: Request) -> Steps[int]:
        outcome = yield from exchange(request, self._retry)
        require(request, outcome, 200)
        unread = content(request, outcome.response).get("unread")
        if not isinstance(unread, int):
            raise UnexpectedAnswer(request.method, request.shown, 200, "The answer does not say how many are unread.")
        return unread


class PreferencesVerbs(ObjectSteps):
    """``client.preferences``: one's own, of all projects, and what differs from them in one."""

    @verb
    def get(self) -> Steps[Preferences]:
        """The preferences, the site's defaults where one has chosen nothing."""
        return self._told(get(path_of("notification-preferences")))

    @verb
    def update(self, **values: Unpack[PreferencesChanges]) -> Steps[Preferences]:
        """Change these fields, and of ``channels`` these reasons."""
        return self._told(send("PATCH", path_of("notification-preferences"), values))

    @verb
    def project_channels(self, project: Project | Key) -> Steps[dict[Reason, list[Channel]]]:
        """Where one wants to be told of this project, for the reasons for which that differs."""
        return self._channels(get(_of_project(project)))

    @verb
    def update_project_channels(
        self, project: Project | Key, channels: Mapping[Reason, Sequence[Channel] | None]
    ) -> Steps[dict[Reason, list[Channel]]]:
        """Choose for these reasons; None takes a choice back."""
        return self._channels(send("PATCH", _of_project(project), {"channels": channels}))

    def _told(self, request: Request) -> Steps[Preferences]:
        outcome = yield from exchange(request, self._retry)
        require(request, outcome, 200)
        return read(Preferences, request, content(request, outcome.response))

    def _channels(self, request: Request) -> Steps[dict[Reason, list[Channel]]]:
        outcome = yield from exchange(request, self._retry)
        require(request, outcome, 200)
        channels: Any = content(request, outcome.response).get("channels")
        if not isinstance(channels, dict):
            raise UnexpectedAnswer(request.method, request.shown, 200, "The answer has no channels.")
        return channels


class Notifications(NotificationVerbs, SyncResource): ...


class AsyncNotifications(NotificationVerbs, AsyncResource): ...


class PreferencesResource(PreferencesVerbs, SyncResource): ...


class AsyncPreferencesResource(PreferencesVerbs, AsyncResource): ...


def _of_project(project: Project | Key) -> str:
    return path_of("projects", key_of(project), "notification-preferences")
