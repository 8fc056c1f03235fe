"""What the hub asks the database, each question for all sockets at once. Called in threads, never on the event loop."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from django.db.models import Max

from django_pm import access
from django_pm.events.feed import as_json, database, number, read
from django_pm.exceptions import StreamReset
from django_pm.models import Event, Project, ProjectStream
from django_pm.realtime import protocol
from django_pm.realtime.authentication import Credential, no_longer_valid
from django_pm.users import active_users

PAGE = 200
RECENT_EVENTS = 50_000
"""How far back the log is searched for the most recently active projects, where somebody sees very many."""

CHUNK = 5_000


class NotSignedIn(Exception):
    """What a socket was opened with has ended."""


class Place(NamedTuple):
    """A number in one lineage of a stream; None where a client does not say which lineage it means."""

    epoch: str | None
    seq: int


class Welcome(NamedTuple):
    """What somebody sees when they come: the projects (None: all), and where the most recently active ones stand."""

    visible: set[Any] | None
    places: dict[Any, Place]
    complete: bool


class News(NamedTuple):
    """What happened in one project behind ``since``, and who of those asked for may know of it."""

    project_id: Any
    since: Place
    place: Place
    frames: list[tuple[int, str]]
    """Each with its number, ascending without a gap from ``since`` to ``place``."""
    asked: set[Any]
    seen_by: set[Any]
    reset: str = ""
    """Why the stream cannot be continued from ``since``; then ``place`` is where it stands, and there are no frames."""


def visible_to(user_ids: Iterable[Any]) -> dict[Any, set[Any] | None]:
    """The keys of the projects that each of these users sees now; None for all that there are."""
    users = {user.pk: user for user in active_users().filter(pk__in=list(user_ids))}
    return {user_id: _visible(users[user_id]) if user_id in users else set() for user_id in user_ids}


def _visible(user: Any) -> set[Any] | None:
    if access.sees_all(user):
        return None
    return set(access.visible(user, Project.objects.order_by()).values_list("pk", flat=True))


def welcome(user: Any, only: frozenset[Any] | None) -> Welcome:
    """What ``user`` sees, and where it stands, that narrowed to the projects ``only``. Numbers the streams first."""
    rows = access.visible(user, Project.objects.order_by())
    if only is not None:
        rows = rows.filter(pk__in=only)
    keys = list(rows.values_list("pk", flat=True)[: protocol.MAX_HEADS + 1])
    complete = len(keys) <= protocol.MAX_HEADS
    if not complete:
        keys = _most_recent(user, only)
    unnumbered = Event.objects.using(database()).filter(project_id__in=keys, seq__isnull=True)
    for project_id in set(unnumbered.values_list("project_id", flat=True)):
        number(project_id)
    return Welcome(visible_to([user.pk])[user.pk], places_of(keys, make=True), complete)


def _most_recent(user: Any, only: frozenset[Any] | None) -> list[Any]:
    events = Event.objects.using(database()).order_by()
    newest = events.aggregate(newest=Max("pk"))["newest"] or 0
    recent = events.filter(pk__gt=newest - RECENT_EVENTS).values("project_id").annotate(last=Max("pk"))
    ordered = recent.order_by("-last").values_list("project_id", flat=True)
    keys = [key for key in ordered if only is None or key in only]
    found: list[Any] = []
    for start in range(0, len(keys), protocol.MAX_HEADS):
        some = keys[start : start + protocol.MAX_HEADS]
        seen = set(access.visible(user, Project.objects.filter(pk__in=some)).values_list("pk", flat=True))
        found += [key for key in some if key in seen]
        if len(found) >= protocol.MAX_HEADS:
            break
    return found[: protocol.MAX_HEADS]


def places_of(project_ids: Iterable[Any], *, make: bool = False) -> dict[Any, Place]:
    """Where these streams stand; ``make`` those that are missing."""
    keys = list(project_ids)
    streams = ProjectStream.objects.using(database())
    found = _places(keys)
    if make and (missing := [key for key in keys if key not in found]):
        streams.bulk_create([ProjectStream(project_id=key) for key in missing], ignore_conflicts=True)
        found |= _places(missing)
    return found


def _places(keys: list[Any]) -> dict[Any, Place]:
    streams = ProjectStream.objects.using(database())
    found: dict[Any, Place] = {}
    for start in range(0, len(keys), CHUNK):
        rows = streams.filter(pk__in=keys[start : start + CHUNK]).values_list("pk", "epoch", "seq")
        found |= {pk: Place(epoch, seq) for pk, epoch, seq in rows}
    return found


def unnumbered_projects() -> set[Any]:
    """The projects in which something happened that nobody has read yet."""
    waiting = Event.objects.using(database()).filter(seq__isnull=True).order_by()
    return set(waiting.values_list("project_id", flat=True).distinct())


def news(project_id: Any, since: Place | None, user_ids: Iterable[Any]) -> News:
    """What happened in a project, at most a page of it, and who of ``user_ids`` may know, asked after it was read.

    Without ``since``, what has no number yet is what happened.
    """
    asked = set(user_ids)
    since = since or places_of([project_id], make=True)[project_id]
    try:
        page = read(project_id, since=since.seq, epoch=since.epoch, limit=PAGE)
    except StreamReset as reset:
        place = Place(reset.epoch, reset.head)
        return News(project_id, since, place, [], asked, access.who_sees(project_id, asked), reset.reason)
    frames = [(event.seq or 0, protocol.encode(**_renamed(as_json(event)))) for event in page.events]
    place = Place(page.epoch, frames[-1][0] if frames else since.seq)
    return News(project_id, since, place, frames, asked, access.who_sees(project_id, asked))


def replay(credential: Credential, project_id: Any, since: Place) -> News | None:
    """The next page of what one socket missed; None if its user does not see the project (any more).

    Raises ``NotSignedIn`` if the credential has ended, asked after the events were read.
    """
    found = news(project_id, since, [credential.user_id])
    if no_longer_valid([credential]):
        raise NotSignedIn
    return found if found.seen_by else None


def _renamed(event: dict[str, Any]) -> dict[str, Any]:
    return {"kind": event.pop("type"), **event}
