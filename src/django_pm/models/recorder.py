"""Appends the events. Called by ``base.py`` beside every write; nothing else inserts into the log.

A write is recorded in three steps: lock the rows and read their tracked columns, write, compare what was with what is.
The comparison is with the row, not with what an instance remembers, because a stale instance reverts columns that it
never meant to change, and the event must say so. Events are inserted after the statement that locks or changes their
row, so two events of one object stand in the order of its writes; no lock on the stream is taken, so writers do not
queue up on a project.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from django.core.exceptions import EmptyResultSet, ValidationError
from django.db import OperationalError, connections, models, transaction
from django.db.models import Func, QuerySet, Value
from django.utils import timezone

from django_pm import context, event_types
from django_pm.models.event import Event
from django_pm.signals import events_committed
from django_pm.users import display_name

if TYPE_CHECKING:
    from django_pm.models.base import ProjectObject

CHUNK = 1_000
"""Rows locked and written by one statement."""

RESYNC_ABOVE = 1_000
"""More changed rows of one project than this in one call, and one ``project.resync`` tells it instead."""

LOCK_NOT_AVAILABLE = "55P03"

Snapshot = dict[str, Any]
"""The tracked columns of one row by field name, as Python values; foreign keys as the key alone."""


# Reading rows


def tracked_fields(model: type[ProjectObject]) -> list[models.Field[Any, Any]]:
    """The columns whose change is an event, then ``updated_at``, which only goes along."""
    return [model._meta.get_field(name) for name in (*model.tracked, "updated_at")]  # type: ignore[misc]


def snapshots(rows: QuerySet[Any]) -> dict[Any, Snapshot]:
    """What the database holds for each of ``rows``, by primary key, in the order of the query."""
    fields = tracked_fields(rows.model)
    names = [field.name for field in fields]
    values = rows.values_list("pk", *(field.attname for field in fields))
    return {pk: dict(zip(names, row, strict=True)) for pk, *row in values}


def locked(rows: QuerySet[Any], *, fully: bool = False) -> QuerySet[Any]:
    """``rows`` locked until the transaction ends.

    The weaker lock lets children be inserted meanwhile; ``fully`` (for deletes and moves) does not, else the foreign-
    key locks of two concurrent comments could deadlock with it.
    """
    return rows.select_for_update(of=("self",), no_key=not fully)


def snapshot_of(model: type[ProjectObject], pk: Any, *, using: str, fully: bool = False) -> Snapshot | None:
    """The row with this key, locked; None if there is none.

    Every save asks this, and compiling the query takes longer than running it, so each connection keeps it compiled.
    """
    connection: Any = connections[using]
    compiled: dict[Any, LockedRead] = connection.__dict__.setdefault("_django_pm_locked_reads", {})
    read = compiled.get((model, fully))
    if read is None:
        read = compiled[model, fully] = LockedRead(model, pk, using=using, fully=fully)
    return read(pk)


class LockedRead:
    """The statement that locks one row of ``model`` and reads its snapshot, compiled for one connection.

    Made with the first key it is asked for, since Django compiles no statement without values.
    """

    def __init__(self, model: type[ProjectObject], pk: Any, *, using: str, fully: bool) -> None:
        fields = tracked_fields(model)
        rows = locked(model._base_manager.using(using).filter(pk=pk), fully=fully)
        compiler = rows.values_list(*(field.attname for field in fields)).query.get_compiler(using)
        self._names = [field.name for field in fields]
        self._pk_field: Any = model._meta.pk
        self._compiler: Any = compiler
        self._sql, _pk = compiler.as_sql()
        self._converters = compiler.get_converters([column for column, _sql, _alias in compiler.select])

    def __call__(self, pk: Any) -> Snapshot | None:
        connection = self._compiler.connection
        with connection.cursor() as cursor:
            cursor.execute(self._sql, [self._pk_field.get_db_prep_value(pk, connection)])
            rows = cursor.fetchmany(1)
        for row in self._compiler.apply_converters(rows, self._converters) if self._converters else rows:
            return dict(zip(self._names, row, strict=True))
        return None


def values_of(instance: ProjectObject, *, is_new: bool = False) -> Snapshot | None:
    """What ``instance`` would be read back as; None where only the database can tell (an ``F()`` expression).

    Columns that are not loaded are left out. One that ``is_new`` is compared with nothing, so what is not told of it
    anyway is left as it stands.
    """
    values: Snapshot = {}
    as_it_stands = instance.untold if is_new else frozenset()
    for field in tracked_fields(type(instance)):
        if field.attname not in instance.__dict__:
            continue
        value = instance.__dict__[field.attname]
        if hasattr(value, "resolve_expression"):
            return None
        try:
            values[field.name] = value if field.name in as_it_stands else as_read_back(field, value)
        except (ValidationError, ValueError, TypeError):
            return None  # the database's to refuse, in its own words
    return values


def as_read_back(field: models.Field[Any, Any], value: Any) -> Any:
    """``value`` in the type that the database returns for it."""
    if value is None:
        return None
    if isinstance(field, models.JSONField):
        return json.loads(json.dumps(value, cls=field.encoder))
    while field.remote_field:
        field = field.target_field  # type: ignore[attr-defined]
    return field.to_python(value)


def read_held(model: type[models.Model], pks: Collection[Any], column: str, *, using: str) -> dict[Any, Any]:
    """``column`` of these rows by key; they can be edited, but not moved or deleted before the transaction ends.

    On PostgreSQL by ``FOR KEY SHARE``, the lock that a foreign key to the row is going to take anyway.
    """
    rows = model._base_manager.using(using).filter(pk__in=pks).order_by("pk")
    if connections[using].vendor == "postgresql":
        _hold(rows, "FOR KEY SHARE", using=using)
    return dict(rows.values_list("pk", column))


def read_pinned(model: type[models.Model], pks: Collection[Any], column: str, *, using: str) -> dict[Any, Any]:
    """As ``read_held``, for whoever holds a child of the rows already: a deletion of a row is not waited for.

    It goes on to the children, so the two would wait for each other; and what is deleted does not move. A move is
    waited for: see ``hold_for_move``.
    """
    rows = model._base_manager.using(using).filter(pk__in=pks).order_by("pk")
    if connections[using].vendor == "postgresql":
        held = _hold(rows, "FOR KEY SHARE SKIP LOCKED", using=using)
        for pk in set(pks) - held:
            pinned = _advisory("bool_and(pg_try_advisory_xact_lock_shared(key))", model, [pk], using=using)
            # Pinned, only a deletion can still be skipped. A move that was may have committed since, which a
            # transaction that keeps to an older snapshot learns from the lock alone.
            _hold(rows.filter(pk=pk), "FOR KEY SHARE SKIP LOCKED" if pinned else "FOR KEY SHARE", using=using)
    return dict(rows.values_list("pk", column))


def _hold(rows: QuerySet[Any], lock: str, *, using: str) -> set[Any]:
    """Lock ``rows`` as Django cannot ask for; the keys of those that are held now.

    Only locks: the statement may return an older version of a row than the one it waited for, if that was written in
    a savepoint and left the key alone. So the caller reads by a statement of its own, which sees what is committed.
    """
    isolation = Func(Value("transaction_isolation"), function="current_setting", output_field=models.CharField())
    asked = rows.annotate(isolation=isolation).values_list("pk", "isolation")
    held = _locked_by_sql(asked, lock, using=using)
    for pk, level in held:
        if level != "read committed":
            _require_in_snapshot(rows.filter(pk=pk), using=using)
    return {pk for pk, _level in held}


def _require_in_snapshot(row: QuerySet[Any], *, using: str) -> None:
    """Raise PostgreSQL's serialization failure if a held row has changed since the snapshot of this transaction.

    A transaction that keeps to one snapshot cannot read what is committed. Asking for a stronger lock makes PostgreSQL
    say whether there is anything newer; it is given back at once with its savepoint, so nobody waits for it. If it is
    not to be had, somebody is editing the very version that we see, and is not moving it, since we hold it.
    """
    try:
        with transaction.atomic(using=using):
            _locked_by_sql(row.values_list("pk"), "FOR SHARE NOWAIT", using=using)
            transaction.set_rollback(True, using=using)
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", None) != LOCK_NOT_AVAILABLE:
            raise


def hold_for_move(model: type[ProjectObject], pks: Iterable[Any], *, using: str) -> None:
    """Say that these rows are going to be moved, before their locks are taken; waits for whoever has pinned one."""
    if model.untold_children and connections[using].vendor == "postgresql":
        _advisory("count(pg_advisory_xact_lock(key))", model, pks, using=using)


def _locked_by_sql(values: QuerySet[Any], lock: str, *, using: str) -> list[tuple[Any, ...]]:
    """The rows of ``values`` under a lock that Django cannot ask for by itself."""
    try:
        sql, params = values.query.sql_with_params()
    except EmptyResultSet:
        return []
    with connections[using].cursor() as cursor:
        cursor.execute(f"{sql} {lock}", params)
        return cursor.fetchall()


def _advisory(expression: str, model: type[models.Model], pks: Iterable[Any], *, using: str) -> Any:
    """``expression`` over the advisory-lock keys of these rows, in one order for everybody."""
    names = (f"{model._meta.db_table}:{pk}".encode() for pk in pks)
    keys = sorted(int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), signed=True) for name in names)
    with connections[using].cursor() as cursor:
        cursor.execute(f"SELECT {expression} FROM unnest(%s::bigint[]) AS key", [keys])  # noqa: S608 (ours alone)
        return cursor.fetchone()[0]


def chunks(
    rows: QuerySet[Any], *, using: str, fully: bool = False, moving: bool = False
) -> Iterator[dict[Any, Snapshot]]:
    """All of ``rows`` in chunks, each locked in the order of its keys when it is asked for.

    Everybody locks in that order, so two bulk writes over the same rows wait for each other instead of deadlocking.
    """
    model = rows.model
    query = rows.query
    if query.distinct or query.group_by is not None or query.combinator or len(query.alias_map) > 1:
        # No row lock can be asked of such a query itself.
        rows = model._base_manager.filter(pk__in=rows.order_by().values("pk"))
    rows = rows.using(using).select_related(None).order_by("pk")
    if not rows.query.standard_ordering:
        rows = rows.reverse()
    last = None
    while True:
        following = (rows if last is None else rows.filter(pk__gt=last))[:CHUNK]
        pks: list[Any] = []
        if moving:
            pks = list(following.values_list("pk", flat=True))
            hold_for_move(model, pks, using=using)
            following = rows.filter(pk__in=pks)
        chunk = snapshots(locked(following, fully=fully or moving))
        if chunk:
            yield chunk
        # What was held for the move may be fewer by now: somebody was quicker with one of them. It is not the end.
        pks = pks or list(chunk)
        if len(pks) < CHUNK:
            return
        last = pks[-1]


# Telling what changed


class Recording:
    """The events of one call, gathered while it runs and appended when it has written.

    A project that turns out to have more than ``RESYNC_ABOVE`` of them gets one ``project.resync`` instead.
    """

    def __init__(self, model: type[ProjectObject], using: str) -> None:
        self.model = model
        self.using = using
        self._events: dict[Any, list[Event]] = defaultdict(list)
        self._overflown: set[Any] = set()
        self._context: tuple[str | None, str, str] | None = None

    def changed(
        self, pk: Any, before: Snapshot | None, after: Snapshot | None, *, may_have_children: bool = False
    ) -> None:
        """Note what one write made of one row; one that is new may still have children, if its key was given."""
        self.changed_many([(pk, before, after)], may_have_children=may_have_children)

    def changed_many(
        self, writes: Iterable[tuple[Any, Snapshot | None, Snapshot | None]], *, may_have_children: bool = False
    ) -> None:
        """Note what one statement made of many rows: ``(pk, before, after)`` each."""
        writes = list(writes)
        arriving = [after for _pk, before, after in writes if after and not self._stays(before, after)]
        staying = [before for _pk, before, _after in writes if before]
        project_of = self.model.projects_of_snapshots(arriving, staying, using=self.using)
        for pk, before, after in writes:
            self._note(pk, before, after, project_of, self.model.untold_children if may_have_children else {})

    def _stays(self, before: Snapshot | None, after: Snapshot) -> bool:
        """Whether the row belongs where it did before the write."""
        return before is not None and all(before[name] == after[name] for name in self.model.moved_by)

    def _note(
        self, pk: Any, before: Snapshot | None, after: Snapshot | None, project_of: Any, children: dict[str, Any]
    ) -> None:
        kind = self.model.event_kind
        old_project = project_of(pk, before) if before else None
        new_project = project_of(pk, after) if after else None
        if before and after and old_project != new_project:
            gone = {name: before[name] for name in self.model.told_on_move}
            self._add(old_project, event_types.event_type(kind, gone, None), pk, event_types.changes(gone, None))
            arrived = event_types.changes(None, after, untold=self.model.untold)
            arrived |= self.model.untold_children
            self._add(new_project, event_types.event_type(kind, None, after), pk, arrived)
            return
        if before and not after:
            before = {name: before[name] for name in self.model.told_on_delete}
        # Of a row that has not changed, `updated_at` has been given back by now, unless a host wants it to be another.
        shown = dict if self.model.shows_stamp else _without_stamp
        name = event_types.event_type(kind, before and shown(before), after and shown(after))
        if name is not None:
            told = event_types.changes(before, after, untold=self.model.untold)
            self._add(new_project or old_project, name, pk, told if before else {**told, **children})

    def resync(self, project_ids: Iterable[Any]) -> None:
        """Note that these projects changed in a way that cannot be told row by row."""
        self._overflown.update(project_id for project_id in project_ids if project_id is not None)

    def _add(self, project_id: Any, name: str | None, pk: Any, changes: dict[str, Any]) -> None:
        if name is None or project_id is None or project_id in self._overflown:
            return
        events = self._events[project_id]
        if len(events) >= RESYNC_ABOVE:
            del self._events[project_id]
            self._overflown.add(project_id)
            return
        events.append(
            Event(
                project_id=project_id, type=name, object_type=self.model.event_kind, object_id=str(pk), changes=changes
            )
        )

    def append(self) -> None:
        """Insert the events and have their readers woken after commit."""
        events = [event for events in self._events.values() for event in events]
        events += [
            Event(
                project_id=project_id,
                type=event_types.PROJECT_RESYNC,
                object_type="project",
                object_id=str(project_id),
            )
            for project_id in sorted(self._overflown)
        ]
        append(events, using=self.using)


def _without_stamp(row: Snapshot) -> Snapshot:
    return {name: value for name, value in row.items() if name != "updated_at"}


def append(events: list[Event], *, using: str) -> None:
    """Insert ``events`` in the current transaction, as done by whoever is acting; wake their readers after commit."""
    if not events:
        return
    acting = context.current()
    user = acting.user()
    actor_id, actor_name = (None, "") if user is None else (str(user.pk), display_name(user))
    now = timezone.now()
    origin = context.written_origin()
    for event in events:
        event.actor_id, event.actor_name, event.origin, event.created_at = actor_id, actor_name, origin, now
    if len(events) == 1:
        _insert(events[0], using=using)
    else:
        # In the order of `events` even where that takes several inserts: `id` is the order of numbering.
        Event._base_manager.using(using).bulk_create(events, batch_size=CHUNK)
    wake_after_commit({event.project_id for event in events}, using=using)


def _insert(event: Event, *, using: str) -> None:
    """Insert one event by a fixed statement: most writes make one, and compiling it took longer than running it."""
    connection = connections[using]
    fields = Event._meta.concrete_fields[1:]
    with connection.cursor() as cursor:
        cursor.execute(
            _insert_statement(using),
            [field.get_db_prep_save(getattr(event, field.attname), connection) for field in fields],
        )


@functools.cache
def _insert_statement(using: str) -> str:
    quote = connections[using].ops.quote_name
    columns = [quote(str(field.column)) for field in Event._meta.concrete_fields[1:]]
    places = ", ".join(["%s"] * len(columns))
    return f"INSERT INTO {quote(Event._meta.db_table)} ({', '.join(columns)}) VALUES ({places})"  # noqa: S608


# Waking readers


def wake_after_commit(project_ids: set[Any], *, using: str) -> None:
    """Send ``events_committed`` when the transaction has committed, once for all that it recorded.

    A hook is registered for every recorded statement and the first to run takes all: a flag kept per transaction would
    lose the wake when the savepoint that registered it is rolled back.
    """
    connection: Any = connections[using]
    pending: set[Any] = connection.__dict__.setdefault("_django_pm_to_wake", set())
    pending |= project_ids

    def wake() -> None:
        if pending:
            woken = set(pending)
            pending.clear()
            events_committed.send_robust(sender=Event, project_ids=woken, using=using)

    transaction.on_commit(wake, using=using, robust=True)
