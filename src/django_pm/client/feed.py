"""``client.events``: what happened in a project, in order, each event once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django_pm.client.errors import ConnectionFailed, PmError, Reset, Throttled
from django_pm.client.objects import Event, Key, ObjectRef, Position, Project
from django_pm.client.resources import PAGE_SIZE
from django_pm.client.retries import PASSING, Retry
from django_pm.client.steps import (
    Give,
    Pause,
    Steps,
    Stream,
    content,
    exchange,
    get,
    key_of,
    logger,
    path_of,
    query,
    read,
    require,
)
from django_pm.client.verbs import AsyncResource, Resource, SyncResource, listing, verb

INTERVAL = 2.0
LONGEST_PAUSE = 30.0


@dataclass(frozen=True)
class Page:
    """One answer of the feed."""

    head: int
    epoch: str
    events: list[Event]


class EventVerbs(Resource):
    """``client.events``."""

    @verb
    def head(self, project: Project | Key) -> Steps[Position]:
        """The place behind the last event so far. Ask for it *before* fetching the project: what happens in between is
        then told, at worst a second time."""
        return head_of(key_of(project), self._retry)

    @listing
    def list(
        self, project: Project | Key, since: Position | int = 0, *, object: ObjectRef | None = None
    ) -> Stream[Event]:
        """The events behind ``since`` up to the last one so far. Raises ``Reset`` if it cannot be continued there."""
        place = since if isinstance(since, Position) else Position(since, "")
        while True:
            page = yield from self._page(key_of(project), place, self._retry, object)
            if not page.events:
                return
            yield Give(page.events)
            place = page.events[-1].position
            if place.seq >= page.head:
                return

    @listing
    def follow(
        self,
        project: Project | Key,
        since: Position | int | None = None,
        *,
        interval: float = INTERVAL,
        patience: float | None = None,
    ) -> Stream[Event]:
        """The events behind ``since`` (now, unless given) and then those that come, each once and in order, for ever.

        It asks every ``interval`` seconds. A server that is away or busy is waited for, with growing pauses; after
        ``patience`` seconds without an answer, if given, the error is raised. ``Reset`` says that it cannot be
        continued from there: fetch the project afresh and follow from its ``position``.
        """
        key = key_of(project)
        once = dataclasses.replace(self._retry, attempts=1)
        waiting = dataclasses.replace(self._retry, cap=max(self._retry.cap, LONGEST_PAUSE))
        place = Position(since, "") if isinstance(since, int) else since
        failures, answered = 0, once.clock()
        while True:
            try:
                if place is None:
                    place = yield from head_of(key, once)
                page = yield from self._page(key, place, once)
            except PmError as error:
                if not is_passing(error):
                    raise
                failures += 1
                asked = error.retry_after if isinstance(error, Throttled) else None
                pause = max(waiting.jitter(failures), asked or 0.0)
                if patience is not None and once.clock() - answered + pause > patience:
                    raise
                logger.warning("Following goes on in %.1f s: %s", pause, error)
                yield Pause(pause)
                continue
            failures, answered = 0, once.clock()
            place = page.events[-1].position if page.events else Position(place.seq, page.epoch)
            if page.events:
                yield Give(page.events)
                answered = once.clock()  # however long that took whoever is told
            if place.seq >= page.head:
                yield Pause(interval)

    def _page(self, project: Any, since: Position, retry: Retry, object_ref: ObjectRef | None = None) -> Steps[Page]:
        """The next events behind ``since``, checked: none repeated, and none missing unless one asks for some."""
        wanted = f"{object_ref.type}:{object_ref.id}" if object_ref else None
        params = query(since=since.seq, epoch=since.epoch or None, page_size=PAGE_SIZE, object=wanted)
        request = get(path_of("projects", project, "events"), params)
        outcome = yield from exchange(request, retry)
        require(request, outcome, 200)
        data = content(request, outcome.response)
        epoch = str(data.get("epoch"))
        events: list[Event] = []
        place = since.seq
        for row in data.get("results", ()):
            event = read(Event, request, row, epoch=epoch)
            if event.seq <= place:
                continue
            if wanted is None and event.seq != place + 1:
                reset = {"reason": "gap", "head": data.get("head"), "epoch": epoch}
                detail = f"Event {place + 1} is missing; {event.seq} came instead."
                raise Reset(request.method, request.shown, 200, detail, reset)
            events.append(event)
            place = event.seq
        return Page(int(data.get("head", place)), epoch, events)


class Events(EventVerbs, SyncResource): ...


class AsyncEvents(EventVerbs, AsyncResource): ...


def head_of(project: Any, retry: Retry) -> Steps[Position]:
    """The place behind the last event of a project."""
    request = get(path_of("projects", project, "events"), query(since=0, page_size=1))
    outcome = yield from exchange(request, retry)
    if outcome.status != 410:  # that the beginning was pruned does not matter here, and it tells the head too
        require(request, outcome, 200)
    data: Mapping[str, Any] = content(request, outcome.response)
    return Position(int(data["head"]), str(data["epoch"]))


def is_passing(error: PmError) -> bool:
    """Whether a follower waits for this to end."""
    return isinstance(error, (ConnectionFailed, Throttled)) or error.status in PASSING
