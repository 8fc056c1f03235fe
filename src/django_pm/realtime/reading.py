"""What the hub asks the database, each question for all sockets at once. Called in threads, never on the event loop."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import islice
from typing import Any, NamedTuple

from django.db import InterfaceError, OperationalError
from django.db.models import Max

from django_pm import access
from django_pm.events.feed import as_json, database, make_streams, number_each, read
from django_pm.exceptions import StreamReset
from django_pm.models import Event, Project, ProjectStream
from django_pm.realtime import protocol
from django_pm.realtime.authentication import Credential, no_longer_valid
from django_pm.realtime.protocol import Frame
from django_pm.users import active_users

logger = logging.getLogger(__name__)

PAGE = 200
PAGE_BYTES = 64 * 1024
"""How much of a stream is read at once: by the hub, and for a socket that waits for its client to make room."""

PART_BYTES = 16 * 1024
"""How much is handed to sockets at once, so that whoever keeps reading never has a full queue."""

MANY_PROJECTS = 2_000
"""Whoever sees more has no list of them kept, and is not told when they gain one."""

RECENT_EVENTS = 50_000
"""How far back the log is searched for the most recently active projects, where somebody sees very many."""

AT_ONCE = 500
"""In how many projects events are read in a turn, of those that somebody follows."""

OTHERS_SECONDS = 0.2
"""How long a turn looks at projects that nobody follows, when it has looked at those that somebody does. A night's
reports are an event in each project there is: what people follow must not wait until all of these are numbered."""

CHUNK = 5_000


class NotSignedIn(Exception):
    """What a socket was opened with has ended."""


class Place(NamedTuple):
    """A number in one lineage of a stream; None where a client does not say which lineage it means."""

    epoch: str | None
    seq: int


class Sight(NamedTuple):
    """Which projects somebody sees."""

    keys: set[Any] | None
    """None for all that there are."""
    listed: bool
    """Whether ``keys`` are all of them; otherwise they are those that the user has been told of."""

    def snapshot(self) -> Sight:
        """As it is now. Lists change only when a user is told of it, which is noted; what they were told of grows."""
        return self if self.listed or self.keys is None else Sight(set(self.keys), listed=False)


class Welcome(NamedTuple):
    """What somebody sees when they come, and where it stands."""

    sight: Sight
    heads: dict[Any, Place]
    """Where the most recently active projects stand, as far as the socket is about them: what is told."""
    complete: bool
    """Whether those are all."""
    follows: dict[Any, Place]
    """Where all stand that are listed, so that nothing is missed in one that has no head."""


class News(NamedTuple):
    """What happened in one project behind ``since``, and who of those asked for may know of it."""

    project_id: Any
    since: Place
    place: Place
    frames: list[Frame]
    """Ascending without a gap from ``since`` to ``place``."""
    size: int
    """Of all frames together, in bytes."""
    seen_by: set[Any]
    more: bool = False
    """Whether the stream goes on behind ``place``."""
    reset: str = ""
    """Why the stream cannot be continued from ``since``; then ``place`` is where it stands, and there are no frames."""
    gone: bool = False
    """Whether the project is not there any more."""


class Question(NamedTuple):
    """What a turn asks."""

    turn: int
    hinted: set[Any]
    places: Mapping[Any, Place]
    """The hub's own, read in a thread while it may change; what was read is compared when the answer is there."""
    complete: bool
    """Whether ``places`` holds every stream, so that one that is missing is new."""
    poll: Callable[[], dict[Any, Place]] | None
    """Asks where streams stand, if it is time to look at those that no hint was given about."""
    user_ids: list[Any]
    credentials: set[Credential]
    checks: bool
    """Whether to ask about the credentials even if nothing has happened."""


class Found(NamedTuple):
    """What a turn found in one project, and where the hub was in it when it asked."""

    known: Place | None
    news: News


# Who sees what


def look_again(
    asked: dict[Any, Sight], credentials: set[Credential]
) -> tuple[dict[Any, Sight], dict[Any, Place], set[Credential]]:
    """What each user sees now, where the projects stand that are new to them, and, asked last, who is signed out."""
    now = sights(asked)
    new = {key for user_id, sight in now.items() for key in gained(asked[user_id], sight)}
    return now, places_of(new, make=True), no_longer_valid(credentials)


def gained(before: Sight, now: Sight) -> set[Any]:
    """The projects that somebody sees now and did not before, as far as both are lists."""
    return set() if before.keys is None or now.keys is None else now.keys - before.keys


def sights(sights_so_far: dict[Any, Sight]) -> dict[Any, Sight]:
    """What each user sees now. Of those without a list, whether they still see what they were told of."""
    some_of_many = {user_id for user_id, each in sights_so_far.items() if not each.listed and each.keys is not None}
    found = {pk: _sight(keys) for pk, keys in access.visible_to_each(sights_so_far.keys() - some_of_many).items()}
    for user in active_users().filter(pk__in=some_of_many):
        told = sights_so_far[user.pk].keys or set()
        found[user.pk] = Sight(None if access.sees_all(user) else _still_seen(user, told), listed=False)
    return {user_id: found.get(user_id, Sight(set(), listed=True)) for user_id in sights_so_far}


def _sight(keys: set[Any] | None) -> Sight:
    if keys is None or len(keys) <= MANY_PROJECTS:
        return Sight(keys, listed=keys is not None)
    return Sight(set(islice(keys, protocol.MAX_HEADS)), listed=False)


def _still_seen(user: Any, keys: Collection[Any]) -> set[Any]:
    found: set[Any] = set()
    for some in _chunks(keys):
        found.update(access.visible(user, Project.objects.filter(pk__in=some).order_by()).values_list("pk", flat=True))
    return found


# Coming


def welcome(user: Any, credential: Credential, only: frozenset[Any] | None) -> Welcome:
    """What ``user`` sees, and where it stands, that narrowed to the projects ``only``. Numbers the streams first.

    Raises ``NotSignedIn`` if the credential has ended, asked last.
    """
    rows = access.visible(user, Project.objects.order_by())
    if only is not None:
        rows = rows.filter(pk__in=only)
    keys = _first_keys(rows, protocol.MAX_HEADS + 1)
    complete = len(keys) <= protocol.MAX_HEADS
    if not complete:
        keys = _most_recent(user, only)
    sight = _sight_of(user.pk, keys)
    followed = {*keys, *(sight.keys or ())} if sight.listed else set(keys)
    unnumbered = Event.objects.using(database()).filter(project_id__in=followed, seq__isnull=True)
    number_each(set(unnumbered.values_list("project_id", flat=True)))
    follows = places_of(followed, make=True)
    if no_longer_valid([credential]):
        raise NotSignedIn
    return Welcome(sight, {key: follows[key] for key in keys if key in follows}, complete, follows)


def _sight_of(user_id: Any, told: list[Any]) -> Sight:
    """What a user sees with any credential: what one of them grants narrows a socket, not what the user is told."""
    user = active_users().filter(pk=user_id).first()
    if user is None:
        raise NotSignedIn
    if access.sees_all(user):
        return Sight(None, listed=False)
    keys = _first_keys(access.visible(user, Project.objects.order_by()), MANY_PROJECTS + 1)
    return Sight(set(keys), listed=True) if len(keys) <= MANY_PROJECTS else Sight(set(told), listed=False)


def _first_keys(projects: Any, count: int) -> list[Any]:
    """The statement ends after so many rows: whoever sees a hundred thousand is not made to wait for them."""
    return list(projects.values_list("pk", flat=True)[:count])


def _most_recent(user: Any, only: frozenset[Any] | None) -> list[Any]:
    events = Event.objects.using(database()).order_by()
    newest = events.aggregate(newest=Max("pk"))["newest"] or 0
    recent = events.filter(pk__gt=newest - RECENT_EVENTS).values("project_id").annotate(last=Max("pk"))
    ordered = recent.order_by("-last").values_list("project_id", flat=True)
    keys = [key for key in ordered if only is None or key in only]
    found: list[Any] = []
    for start in range(0, len(keys), protocol.MAX_HEADS):
        some = keys[start : start + protocol.MAX_HEADS]
        seen = _still_seen(user, some)
        found += [key for key in some if key in seen]
        if len(found) >= protocol.MAX_HEADS:
            break
    return found[: protocol.MAX_HEADS]


# Where streams stand


def places_of(project_ids: Iterable[Any], *, make: bool = False) -> dict[Any, Place]:
    """Where these streams stand; ``make`` those that are missing."""
    keys = list(project_ids)
    found = _places(keys)
    if make and (missing := [key for key in keys if key not in found]):
        make_streams(missing)
        found |= _places(missing)
    return found


def _places(keys: list[Any]) -> dict[Any, Place]:
    found: dict[Any, Place] = {}
    for some in _chunks(keys):
        found |= _read_places(ProjectStream.objects.using(database()).filter(pk__in=some))
    return found


def places_behind(project_id: Any | None, count: int) -> dict[Any, Place]:
    """Where the next ``count`` streams stand, in the order of their projects' keys; None begins at the first."""
    streams = ProjectStream.objects.using(database()).order_by("pk")
    return _read_places((streams if project_id is None else streams.filter(pk__gt=project_id))[:count])


def all_places() -> dict[Any, Place]:
    """Where every stream stands. What waits is numbered first, within reason; what is numbered later counts as new."""
    number_each(islice(unnumbered_projects(), AT_ONCE))
    return _read_places(ProjectStream.objects.using(database()).order_by())


def _read_places(streams: Any) -> dict[Any, Place]:
    return {pk: Place(epoch, seq) for pk, epoch, seq in streams.values_list("pk", "epoch", "seq")}


def _chunks(keys: Iterable[Any]) -> Iterable[list[Any]]:
    keys = list(keys)
    return (keys[start : start + CHUNK] for start in range(0, len(keys), CHUNK))


# What happened


def unnumbered_projects() -> set[Any]:
    """The projects in which something happened that nobody has read yet."""
    waiting = Event.objects.using(database()).filter(seq__isnull=True).order_by()
    return set(waiting.values_list("project_id", flat=True).distinct())


def look(question: Question) -> tuple[list[Found], set[Credential]]:
    """What happened, and which of the credentials have ended, asked last. In a thread."""
    concerned = set(question.hinted)
    if question.poll is not None:
        stand = question.poll()
        concerned |= {key for key, place in stand.items() if place != question.places.get(key)}
        concerned |= unnumbered_projects()
    followed = {key for key in concerned if key in question.places}
    found = [_find(key, question) for key in islice(followed, AT_ONCE)]
    # The rest as long as there is time. It stays unnumbered, so the next poll finds it.
    until = time.monotonic() + OTHERS_SECONDS
    for key in sorted(concerned - followed, key=lambda key: key not in question.hinted):
        found.append(_find(key, question))
        if time.monotonic() >= until:
            break
    checks = question.checks or any(each.news.seen_by for each in found if each is not None)
    return [each for each in found if each], no_longer_valid(question.credentials) if checks else set()


def _find(key: Any, question: Question) -> Found | None:
    """What happened in one project. One that cannot be read, or asked about, is in nobody else's way."""
    known = question.places.get(key)
    try:
        since = known or place_of(key, from_its_beginning=question.complete)
        found = Found(known, news(key, since, question.user_ids))
    except (OperationalError, InterfaceError):  # then the others cannot be read either
        raise
    except Exception:
        if key not in _unreadable:
            logger.exception("Project %s cannot be read for the sockets; it is tried again.", key)
        _unreadable.add(key)
        return None
    _unreadable.discard(key)
    return found


_unreadable: set[Any] = set()
"""Projects of which that has been told since they could last be read: they are tried several times a second."""


def place_of(project_id: Any, *, from_its_beginning: bool) -> Place:
    """Where to begin with a project that nobody has followed: behind what is numbered, or at its very beginning."""
    place = places_of([project_id], make=True)[project_id]
    return Place(place.epoch, 0) if from_its_beginning else place


def news(project_id: Any, since: Place, user_ids: Collection[Any]) -> News:
    """What happened in a project, at most a page of it, and who of ``user_ids`` may know, asked after it was read."""
    try:
        page = read(project_id, since=since.seq, epoch=since.epoch, limit=PAGE)
    except StreamReset as reset:
        place = Place(reset.epoch, reset.head)
        return News(project_id, since, place, [], 0, access.who_sees(project_id, user_ids), reset=reset.reason)
    frames: list[Frame] = []
    size = 0
    for event in page.events:
        made_at = event.created_at.timestamp()
        frames.append(protocol.frame(**_renamed(as_json(event)))._replace(made_at=made_at))
        size += frames[-1].size
        if size >= PAGE_BYTES:
            break
    place = Place(page.epoch, frames[-1].seq if frames else since.seq)
    seen_by = access.who_sees(project_id, user_ids)
    gone = len(seen_by) < len(user_ids) and not Project.objects.filter(pk=project_id).exists()
    return News(project_id, since, place, frames, size, seen_by, more=place.seq < page.head, gone=gone)


def parts(found: News) -> list[News]:
    """The same in pieces that are small enough to be handed out at once."""
    pieces: list[News] = []
    for frame in found.frames:
        if not pieces or pieces[-1].size + frame.size > PART_BYTES:
            since = pieces[-1].place if pieces else found.since
            pieces.append(found._replace(since=since, frames=[], size=0))
        last = pieces[-1]
        last.frames.append(frame)
        pieces[-1] = last._replace(place=Place(found.place.epoch, frame.seq), size=last.size + frame.size)
    return pieces or [found]


def replay(credential: Credential, project_id: Any, since: Place) -> News | None:
    """The next page of what one socket missed; None if its user does not see the project (any more).

    Raises ``NotSignedIn`` if the credential has ended, asked after the events were read.
    """
    if not access.who_sees(project_id, [credential.user_id]):  # nor is a stream made for a key that somebody made up
        return None
    found = news(project_id, since, [credential.user_id])
    if no_longer_valid([credential]):
        raise NotSignedIn
    return found if found.seen_by else None


def _renamed(event: dict[str, Any]) -> dict[str, Any]:
    return {"kind": event.pop("type"), **event}
