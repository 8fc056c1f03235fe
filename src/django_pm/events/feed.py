"""Reading the event log: numbering, versions, and the events since a number.

A writer appends events without a number. Whoever reads a stream numbers it first, here and nowhere else: one project
at a time, in a short transaction of its own. So numbers have no gaps, become visible in order and never change, and
writers never wait for each other. (The transactional outbox with the ordering left to the reader; numbers taken from a
sequence by the writers would become visible out of order, and a reader that follows them would miss events.)
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.core.exceptions import EmptyResultSet
from django.db import InterfaceError, OperationalError, connections, models, router, transaction
from django.db.models import F, QuerySet

from django_pm import event_types
from django_pm.exceptions import StreamReset
from django_pm.models import Comment, Event, Membership, Project, ProjectStream, Report, Task

logger = logging.getLogger(__name__)

NUMBER_ABOVE = 200
"""A reader of versions that meets more unnumbered events than this numbers them, so that counting stays cheap."""


class Version(NamedTuple):
    """Changes exactly when a change of the project becomes visible. Numbering does not change it."""

    epoch: str
    number: int


class TooMany(Exception):
    """More projects than somebody wants to know the versions of."""


class Page(NamedTuple):
    """Some events of one stream in ascending order, and where the stream stood when they were read."""

    epoch: str
    head: int
    events: list[Event]


def database() -> str:
    """The alias that streams are numbered and read on: never a replica."""
    return router.db_for_write(Event)


# Numbering


def number(project_id: Any) -> int:
    """Give the committed events of a project that have no number yet the next ones; how many there were.

    Inside a caller's open transaction nothing is numbered: the lock would be held until that transaction ends, and what
    it has not committed could be numbered before what others commit first.
    """
    using = database()
    unnumbered = Event.objects.using(using).filter(project_id=project_id, seq__isnull=True)
    if inside_transaction(using) or not unnumbered.exists():
        return 0
    with locked_stream(project_id) as stream:
        given = _number_after(stream.seq, project_id, using)
        if given:
            ProjectStream.objects.using(using).filter(pk=project_id).update(seq=F("seq") + given)
    return given


def number_all() -> int:
    """Number every project that has unnumbered events; how many events there were."""
    waiting = Event.objects.using(database()).filter(seq__isnull=True)
    projects = waiting.order_by("project_id").values_list("project_id", flat=True).distinct()
    return number_each(list(projects))


def number_each(project_ids: Iterable[Any]) -> int:
    """Number these projects; how many events there were.

    One that cannot be numbered, such as a stream of an older backup than its events, is logged and left out: the others
    have nothing to do with it, and ``pm_doctor`` tells what to do.
    """
    given = 0
    for project_id in project_ids:
        try:
            given += number(project_id)
        except (InterfaceError, OperationalError):
            raise  # nor could the others be
        except Exception:
            logger.exception("The events of project %s cannot be numbered", project_id)
    return given


@contextmanager
def locked_stream(project_id: Any) -> Iterator[ProjectStream]:
    """A transaction that holds the stream's row, made if missing."""
    using = database()
    streams = ProjectStream.objects.using(using)
    with transaction.atomic(using=using):
        _read_committed(using)
        make_streams([project_id])
        yield streams.select_for_update().get(pk=project_id)


def inside_transaction(using: str) -> bool:
    """Whether a caller's transaction is open. The one that a ``TestCase`` wraps around a test does not count."""
    connection = connections[using]
    if not connection.in_atomic_block:
        return not connection.get_autocommit()  # the host begins and ends its transactions by hand
    return any(not block._from_testcase for block in connection.atomic_blocks)  # type: ignore[attr-defined]


def _read_committed(using: str) -> None:
    """A host may run on REPEATABLE READ; then the statement after the lock would still see the time before it."""
    connection = connections[using]
    if connection.vendor == "postgresql" and len(connection.atomic_blocks) == 1:
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")


def _number_after(seq: int, project_id: Any, using: str) -> int:
    # A statement of its own, after the lock: one that locked and numbered at once would number from a snapshot taken
    # before it got the lock.
    table = connections[using].ops.quote_name(Event._meta.db_table)
    with connections[using].cursor() as cursor:
        cursor.execute(
            f"UPDATE {table} SET seq = %s + numbered.place FROM ("  # noqa: S608 (no value in it but a table's name)
            f"SELECT id, row_number() OVER (ORDER BY id) AS place FROM {table} WHERE project_id = %s AND seq IS NULL"
            f") AS numbered WHERE {table}.id = numbered.id",
            [seq, project_id],
        )
        return int(cursor.rowcount)


# Versions


def versions(projects: Iterable[Any] | QuerySet[Project]) -> dict[Any, Version]:
    """The version of each project (keys, or a queryset of projects), read in one statement on the primary.

    A project without a stream is missing: nothing may be concluded about it, so nothing may be cached either.
    """
    streams = ProjectStream.objects.order_by()
    wanted = projects if isinstance(projects, QuerySet) else streams.filter(pk__in=list(projects))
    return {project_id: found for project_id, found in _versions(wanted) if found is not None}


def vector(projects: QuerySet[Project], *, at_most: int) -> list[tuple[Any, Version]] | None:
    """The version of every one of these projects, by ascending key, in one statement on the primary.

    None where one has no stream yet (it has now, unless a caller's transaction is open): nothing may be concluded about
    it. Raises ``TooMany`` where there are more than ``at_most``.
    """
    rows = _versions(projects.order_by()[: at_most + 1])
    if len(rows) > at_most:  # rows, not projects: one may come twice, and what is cut off has not been seen
        raise TooMany
    found = dict(rows)
    if missing := [project_id for project_id, its_version in found.items() if its_version is None]:
        if not inside_transaction(database()):
            make_streams(missing)
        return None
    return sorted((project_id, its_version) for project_id, its_version in found.items() if its_version is not None)


def _versions(rows: QuerySet[Any]) -> list[tuple[Any, Version | None]]:
    """The version of each project whose key is the key of one of ``rows``; none for one without a stream.

    The statement is written out: a reader asks for it each time, and to make it up took longer than to execute it.
    """
    using = database()
    connection = connections[using]
    quote = connection.ops.quote_name
    stream, event = quote(ProjectStream._meta.db_table), quote(Event._meta.db_table)
    try:
        keys, parameters = rows.values("pk").query.get_compiler(using).as_sql()
    except EmptyResultSet:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH wanted (id) AS ({keys}) SELECT wanted.id, {stream}.epoch, {stream}.seq, "  # noqa: S608 (tables' names)
            f"(SELECT count(*) FROM {event} WHERE {event}.project_id = wanted.id AND {event}.seq IS NULL) "
            f"FROM wanted LEFT JOIN {stream} ON {stream}.project_id = wanted.id",
            parameters,
        )
        found = cursor.fetchall()
    for project_id, _epoch, _seq, waiting in found:
        if waiting > NUMBER_ABOVE:
            number_each([project_id])
    return [
        (project_id, None if epoch is None else Version(epoch, seq + waiting))
        for project_id, epoch, seq, waiting in found
    ]


def version(project_id: Any) -> Version | None:
    """The version of one project, None while it has no stream."""
    return versions([project_id]).get(project_id)


# Reading


def read(
    project_id: Any,
    *,
    since: int = 0,
    epoch: str | None = None,
    limit: int = 200,
    object_type: str | None = None,
    object_id: str | None = None,
) -> Page:
    """At most ``limit`` events numbered above ``since``, ascending; of one object only, if it is named.

    Raises ``StreamReset`` when ``since`` cannot be served: from another epoch, above the head, or below what is still
    kept.
    """
    number(project_id)
    stream = _stream(project_id)
    if epoch is not None and epoch != stream.epoch:
        raise StreamReset("epoch", head=stream.seq, epoch=stream.epoch)
    if since > stream.seq:
        raise StreamReset("ahead", head=stream.seq, epoch=stream.epoch)
    if since < stream.floor - 1:
        raise StreamReset("trimmed", head=stream.seq, epoch=stream.epoch)
    events = Event.objects.using(database()).filter(project_id=project_id, seq__gt=since, seq__lte=stream.seq)
    if object_type is not None:
        events = events.filter(object_type=object_type, object_id=object_id)
    page = list(events.order_by("seq")[:limit])
    if object_type is None and since < stream.seq and (not page or page[0].seq != since + 1):
        # Pruned between the two statements.
        raise StreamReset("trimmed", head=stream.seq, epoch=stream.epoch)
    return Page(stream.epoch, stream.seq, page)


def _stream(project_id: Any) -> ProjectStream:
    using = database()
    streams = ProjectStream.objects.using(using)
    found = streams.filter(pk=project_id).first()
    if found is None and inside_transaction(using):
        # Making it here would lock its key until the caller's transaction ends. Nothing is numbered yet: no events.
        return ProjectStream(project_id=project_id, epoch="")
    if found is None:
        make_streams([project_id])
        found = streams.get(pk=project_id)
    return found


def make_streams(project_ids: Iterable[Any]) -> None:
    """Those that are not there yet, in the order of their keys: two who make the same wait for each other in turn."""
    streams = [ProjectStream(project_id=project_id) for project_id in sorted(project_ids)]
    ProjectStream.objects.using(database()).bulk_create(streams, ignore_conflicts=True)


# Telling


MODELS: dict[str, type[models.Model]] = {
    "project": Project,
    "task": Task,
    "comment": Comment,
    "member": Membership,
    "report": Report,
}


def as_json(event: Event) -> dict[str, Any]:
    """The public form of an event, the same over HTTP and WebSocket, for a numbered event."""
    return {
        "type": event.type,
        "id": str(event.uuid),
        "project": event.project_id,
        "seq": event.seq,
        "object": {"type": event.object_type, "id": public_key(MODELS.get(event.object_type), event.object_id)},
        "actor": None
        if event.actor_id is None
        else {"id": public_key(get_user_model(), event.actor_id), "name": event.actor_name},
        "at": event_types.encode(event.created_at),
        "changes": event.changes,
        "origin": event.origin,
    }


def public_key(model: type[models.Model] | None, text: str) -> Any:
    """A key as the REST API shows it, from the text it is kept as; a host may have recorded one that is no number."""
    is_number = text.isascii() and text.removeprefix("-").isdecimal()
    if is_number and model is not None and isinstance(model._meta.pk, models.IntegerField):
        return int(text)
    return text
