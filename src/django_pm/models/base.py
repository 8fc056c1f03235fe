"""What every model of django-pm shares: each write through it, by whomever, is recorded as events.

Host code writes through these classes too: admin, shell, its own views, ``Task.objects.update(…)``. So the recording
stands here and not in the API. What Django offers to write rows with is covered method by method; ``docs/events.md``
has the table of what is seen, and of what is not (raw SQL, private methods).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, ClassVar, TypeVar

from django.db import connections, models, router, transaction
from django.db.models import Case, Func, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.signals import ModelSignal, pre_delete, pre_save
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from django_pm import event_types
from django_pm.models import recorder
from django_pm.models.fields import ChangedAtField
from django_pm.models.recorder import Recording, Snapshot

M = TypeVar("M", bound=models.Model)

UPSERT_BATCH = 500
"""How many rows an upsert looks for at once: each is a term of one condition."""


class ProjectObjectQuerySet(QuerySet[M]):
    """The queryset of everything that lives in a project: bulk writes that leave their events."""

    def update(self, **values: Any) -> int:
        """As Django's, in chunks of locked rows. ``updated_at`` moves in the rows that changed, and in no others."""
        self._not_support_combined_queries("update")  # type: ignore[attr-defined]
        if self.query.is_sliced:
            raise TypeError("Cannot update a query once a slice has been taken.")
        self._for_write = True
        using = self.db
        model: Any = self.model
        columns = {model._meta.get_field(name).name for name in values}
        stamped = {"updated_at": timezone.now(), **values}
        matched = 0
        recording = Recording(model, using)
        with transaction.atomic(using=using, savepoint=False):
            moving = bool(columns & model.moved_by)
            for before in recorder.chunks(self._chain(), using=using, moving=moving):  # type: ignore[attr-defined]
                written = self._chain().order_by().filter(pk__in=before)  # type: ignore[attr-defined]
                matched += QuerySet.update(written, **stamped)
                after = recorder.snapshots(model._base_manager.using(using).filter(pk__in=before))
                if "updated_at" not in columns:
                    _restore_unchanged(model, before, after, using=using)
                recording.changed_many((pk, row, after.get(pk, row)) for pk, row in before.items())
            recording.append()
        self._result_cache = None
        return matched

    update.alters_data = True  # type: ignore[attr-defined]

    def bulk_update(self, objs: Iterable[M], fields: Iterable[str], batch_size: int | None = None) -> int:
        """As Django's, in batches no larger than the chunks of ``update``, which each of them calls."""
        if batch_size is None or batch_size > recorder.CHUNK:
            batch_size = recorder.CHUNK
        return super().bulk_update(objs, fields, batch_size=batch_size)

    bulk_update.alters_data = True  # type: ignore[attr-defined]

    def bulk_create(
        self,
        objs: Iterable[M],
        batch_size: int | None = None,
        ignore_conflicts: bool = False,
        update_conflicts: bool = False,
        update_fields: Collection[str] | None = None,
        unique_fields: Collection[str] | None = None,
    ) -> list[M]:
        """As Django's.

        With ``ignore_conflicts`` the database does not say which rows it took, so each project concerned is told to be
        fetched afresh. With ``update_conflicts`` the rows that are in the way are locked and read first.
        """
        objs = list(objs)
        self._for_write = True
        using = self.db
        model: Any = self.model
        recording = Recording(model, using)
        options: Any = {
            "batch_size": batch_size,
            "ignore_conflicts": ignore_conflicts,
            "update_conflicts": update_conflicts,
            "update_fields": update_fields,
            "unique_fields": unique_fields,
        }
        with transaction.atomic(using=using, savepoint=False):
            if update_conflicts:
                created = self._upsert(objs, recording, options)
            else:
                created = super().bulk_create(objs, **options)
                keys_known = connections[using].features.can_return_rows_from_bulk_insert and not ignore_conflicts
                if keys_known:
                    self._note_created(created, recording)
                else:
                    recording.resync(_projects_of(created, using=using))
            recording.append()
        return created

    bulk_create.alters_data = True  # type: ignore[attr-defined]

    def delete(self) -> tuple[int, dict[str, int]]:
        """As Django's, in chunks of locked rows. What hangs on a row goes with it and is not told again."""
        self._not_support_combined_queries("delete")  # type: ignore[attr-defined]
        if self.query.is_sliced:
            raise TypeError("Cannot use 'limit' or 'offset' with delete().")
        if self.query.distinct_fields:
            raise TypeError("Cannot call delete() after .distinct(*fields).")
        if self._fields is not None:  # type: ignore[attr-defined]
            raise TypeError("Cannot call delete() after .values() or .values_list()")
        self._for_write = True
        using = self.db
        model: Any = self.model
        deleted: Counter[str] = Counter()
        recording = Recording(model, using)
        with transaction.atomic(using=using, savepoint=False):
            for before in recorder.chunks(self._chain(), using=using, fully=model.deleted_fully_locked):  # type: ignore[attr-defined]
                # Asked first: a comment's project is found through its task, which a cascade may take along.
                recording.changed_many((pk, row, None) for pk, row in before.items())
                deleted.update(model.delete_children(list(before), using=using))
                deleted.update(delete_unrecorded(model._base_manager.filter(pk__in=before), using=using))
            recording.append()
        self._result_cache = None
        return sum(deleted.values()), dict(deleted)

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]

    def _note_created(self, created: Sequence[Any], recording: Recording) -> None:
        known = [(obj.pk, recorder.values_of(obj, is_new=True)) for obj in created]
        unread = [pk for pk, values in known if values is None]
        read = recorder.snapshots(self.model._base_manager.using(self.db).filter(pk__in=unread)) if unread else {}
        recording.changed_many((pk, None, read[pk] if values is None else values) for pk, values in known)

    def _upsert(self, objs: list[Any], recording: Recording, options: dict[str, Any]) -> list[Any]:
        model: Any = self.model
        names = [model._meta.pk.name if name == "pk" else name for name in options["unique_fields"] or ["pk"]]
        keys = [model._meta.get_field(name).attname for name in names]
        for obj in objs:
            obj._prepare_related_fields_for_save(operation_name="bulk_create")
        options["update_fields"] = model.with_followers(options["update_fields"] or ())
        rows = model._base_manager.using(self.db)
        batches = _batched(objs, UPSERT_BATCH)
        before: dict[Any, Snapshot] = {}
        for batch in batches:
            for chunk in recorder.chunks(rows.filter(_any_of(batch, keys)), using=self.db, fully=True):
                before.update(chunk)
        written = super().bulk_create(objs, **options)
        ours = {obj.created_at for obj in objs}
        for batch in batches:
            found = rows.filter(_any_of(batch, keys))  # asked anew: objects without a key have theirs now
            after = recorder.snapshots(found)
            made = dict(found.values_list("pk", "created_at"))
            _restore_unchanged(model, before, after, using=self.db)
            # A row that was not there before and is not ours was inserted by somebody else between our look and our
            # write: what we overwrote was never seen.
            unseen = {pk for pk in after if pk not in before and made[pk] not in ours}
            project_of = model.projects_of_snapshots(list(after.values()), [], using=self.db)
            recording.resync(project_of(pk, after[pk]) for pk in unseen)
            recording.changed_many((pk, before.get(pk), row) for pk, row in after.items() if pk not in unseen)
        return written


class ProjectObject(models.Model):
    """Something that belongs to one project and remembers when it was made and last changed."""

    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    updated_at = ChangedAtField(_("updated at"), auto_now=True)

    project_lookup: ClassVar[str]
    """The lookup from a row of this model to its project, such as ``"task__project"``."""

    event_kind: ClassVar[str]
    """What events call an object of this model."""

    tracked: ClassVar[tuple[str, ...]]
    """Every column that a representation, a filter, an ordering or the policy reads. A change of one is an event."""

    untold: ClassVar[frozenset[str]] = frozenset()
    """Tracked columns of which an event says that they changed, and never what they hold."""

    shows_stamp: ClassVar[bool] = True
    """Whether ``updated_at`` is represented, so that a host's giving it another time is a change by itself."""

    told_on_delete: ClassVar[tuple[str, ...]] = ()
    """The columns that the event of a deletion repeats."""

    told_on_move: ClassVar[tuple[str, ...]] = ()
    """The columns that the old project is told when the row moves to another; never where it went."""

    moved_by: ClassVar[frozenset[str]] = frozenset()
    """The columns whose change may take the row to another project, for which it is locked fully."""

    untold_children: ClassVar[dict[str, Any]] = {}
    """What the event in the new project says of children that came along."""

    deleted_fully_locked: ClassVar[bool] = True
    """Whether a deletion begins with the full lock. Not where children must go first: see ``Project``."""

    written_along: ClassVar[dict[str, tuple[str, ...]]] = {}
    """Columns that a rule of the model sets when the key's column is written."""

    locked_row: Snapshot | None = None
    """The row as its reader has just found it under its lock, for one write in the same transaction."""

    saving: RecordedSave | None = None
    """The save that is going on."""

    class Meta:
        abstract = True

    @property
    def owning_project_id(self) -> Any:
        """The primary key of the project this row belongs to."""
        raise NotImplementedError

    @classmethod
    def projects_of_snapshots(
        cls, arriving: list[Snapshot], staying: list[Snapshot], *, using: str
    ) -> Callable[[Any, Snapshot], Any]:
        """A function ``(pk, row) -> project key`` for the given rows: new in their place, and there before."""
        return lambda pk, row: row["project"]

    def moves(self) -> bool:
        """Whether this instance, as it stands, is likely to change project when it is saved."""
        return False

    def take_locked_row(self, handled_before: ModelSignal) -> Snapshot | None:
        """``locked_row``, once; not where a host's handler may have written the row since."""
        row, self.locked_row = self.locked_row, None
        return None if handled_before.has_listeners(type(self)) else row

    def remember_place(self) -> None:
        """Note where the row is, for ``moves``; called when it was read or saved."""

    def save(
        self,
        *,
        force_insert: Any = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Iterable[str] | None = None,
    ) -> None:
        """As Django's, and recorded.

        The row's changes are compared with the row as it is, under its lock, not as this instance remembers it. A save
        that changes no tracked column leaves no event and does not move ``updated_at``.
        """
        using = using or router.db_for_write(type(self), instance=self)
        if update_fields is not None:
            update_fields = self.with_followers(update_fields)
            if not update_fields:
                return
        elif self.pk is not None and (deferred := self.get_deferred_fields()):
            # Django would leave out what is not loaded, so a column that must follow is loaded first.
            loaded = {field.attname for field in self._meta.concrete_fields} - deferred
            if missing := self.with_followers(loaded) & deferred:
                self.refresh_from_db(using=using, fields=missing)
        super().save(force_insert=force_insert, force_update=force_update, using=using, update_fields=update_fields)

    save.alters_data = True  # type: ignore[attr-defined]

    def _save_table(
        self,
        raw: bool = False,
        cls: Any = None,
        force_insert: Any = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Collection[str] | None = None,
    ) -> bool:
        """Where Django writes the row, after the handlers of ``pre_save`` and before those of ``post_save``.

        Private to Django, and recorded here because nowhere else is right: a handler may write the same row, and its
        event must come before or after this one as its write does. Fixtures (``raw``) pass here too.
        """

        def write() -> bool:
            return super(ProjectObject, self)._save_table(raw, cls, force_insert, force_update, using, update_fields)  # type: ignore[misc]

        model = self._meta.get_field("updated_at").model
        if cls is not model:  # a host's child table; the columns we track are in its parent's
            return write()
        with transaction.atomic(using=using, savepoint=False):
            self.saving = RecordedSave(self, model, str(using), update_fields, may_exist=not force_insert)
            try:
                updated = write()
                self.saving.finish()
            finally:
                self.saving = None
        return updated

    def delete(self, using: str | None = None, keep_parents: bool = False) -> tuple[int, dict[str, int]]:
        """As Django's, and recorded. Deleting what is already gone leaves no event."""
        using = using or router.db_for_write(type(self), instance=self)
        if self.pk is None:
            return super().delete(using=using, keep_parents=keep_parents)
        pk = self.pk
        recording = Recording(type(self), using)
        with transaction.atomic(using=using, savepoint=False):
            before = self.take_locked_row(pre_delete) or recorder.snapshot_of(
                type(self), pk, using=using, fully=self.deleted_fully_locked
            )
            if before is not None:
                recording.changed(pk, before, None)
            deleted = self.delete_children([pk], using=using)
            deleted.update(super().delete(using=using, keep_parents=keep_parents)[1])
            recording.append()
        return sum(deleted.values()), dict(deleted)

    delete.alters_data = True  # type: ignore[attr-defined]

    @classmethod
    def delete_children(cls, pks: list[Any], *, using: str) -> Counter[str]:
        """Delete what is too much for one cascade, in chunks and untold. How many rows of each model went."""
        return Counter()

    @classmethod
    def with_followers(cls, columns: Iterable[str]) -> set[str]:
        """``columns`` and those that a rule writes along with them."""
        names = set(columns)
        followers = {follower for name in names for follower in cls.written_along.get(name, ())}
        return names | followers | ({"updated_at"} if names else set())


class RecordedSave:
    """One save of one instance: reads the row before it, and afterwards appends the event of what it changed."""

    def __init__(
        self,
        instance: ProjectObject,
        model: type[ProjectObject],
        using: str,
        update_fields: Collection[str] | None,
        *,
        may_exist: bool,
    ) -> None:
        self.instance = instance
        self.model = model
        self.using = using
        self.update_fields = update_fields
        self.before: Snapshot | None = None
        self.key_was_given = self.pk is not None
        if may_exist and self.key_was_given:
            self.before = self._row_before()

    @property
    def pk(self) -> Any:
        """The key of the row, which an insert only learns from the database."""
        return getattr(self.instance, self.model._meta.pk.attname)

    def _row(self, *, fully: bool = False) -> Snapshot | None:
        return recorder.snapshot_of(self.model, self.pk, using=self.using, fully=fully)

    def changes_row(self) -> bool:
        """Whether the row is going to change; asked while it is being saved, by ``ChangedAtField``."""
        if self.before is None:
            return True
        values = recorder.values_of(self.instance)
        if values is None:
            return True
        written = self._written(values)
        before = self.before
        return any(event_types.differ(value, before[name]) for name, value in written.items() if name != "updated_at")

    def writes(self, name: str) -> bool:
        """Whether this save writes the column of the field ``name``."""
        attname = self.model._meta.get_field(name).attname  # type: ignore[union-attr]
        if self.update_fields is None:
            return attname in self.instance.__dict__
        return not {name, attname}.isdisjoint(self.update_fields)

    def finish(self) -> None:
        """Append the event, if there is one to tell."""
        instance, before = self.instance, self.before
        after = recorder.values_of(instance)
        if after is None:
            after = self._row()
            self._resolve_followers(after)
        elif before is not None:
            after = {**before, **self._written(after)}
        if before is not None and after is not None:
            # An expression may come to what was there; whether it does is known only now.
            _restore_unchanged(self.model, {self.pk: before}, {self.pk: after}, using=self.using)
            instance.updated_at = after["updated_at"]
        recording = Recording(self.model, self.using)
        recording.changed(self.pk, before, after, may_have_children=self.key_was_given)
        recording.append()
        instance.remember_place()

    def _written(self, values: Snapshot) -> Snapshot:
        """Of what the instance holds, the part that the save wrote."""
        return {name: value for name, value in values.items() if self.writes(name)}

    def _resolve_followers(self, row: Snapshot | None) -> None:
        """Columns that our own rules wrote as expressions become values again; the host did not put them there."""
        for followers in self.instance.written_along.values():
            for name in followers:
                if row is not None and hasattr(getattr(self.instance, name), "resolve_expression"):
                    setattr(self.instance, name, row[name])

    def _row_before(self) -> Snapshot | None:
        """The row, with the lock that a move needs if the save is going to move it."""
        place = [name for name in self.model.moved_by if self.writes(name)]
        if place and self.instance.moves():
            return self._row_to_move()
        row = self.instance.take_locked_row(pre_save) or self._row()
        if row is not None and any(row[name] != as_key(self.model, name, self.instance) for name in place):
            # A stale instance of a row that somebody else moved: saving it moves the row back.
            row = self._row_to_move()
        return row

    def _row_to_move(self) -> Snapshot | None:
        self.instance.locked_row = None  # read under a lesser lock than this needs
        recorder.hold_for_move(self.model, [self.pk], using=self.using)
        return self._row(fully=True)


def as_key(model: type[ProjectObject], name: str, instance: ProjectObject) -> Any:
    """The foreign key ``name`` that ``instance`` holds, in the type that the database returns."""
    field: Any = model._meta.get_field(name)
    return recorder.as_read_back(field, instance.__dict__.get(field.attname))


def _restore_unchanged(
    model: type[ProjectObject], before: dict[Any, Snapshot], after: dict[Any, Snapshot], *, using: str
) -> None:
    """Give the rows that turned out unchanged their ``updated_at`` back, in the table and in ``after``."""
    unchanged = {
        pk: row["updated_at"]
        for pk, row in before.items()
        if pk in after and not any(event_types.differ(row[name], after[pk][name]) for name in model.tracked)
    }
    stamped = {pk: time for pk, time in unchanged.items() if after[pk]["updated_at"] != time}
    if not stamped:
        return
    times = Case(*(When(pk=pk, then=Value(time)) for pk, time in stamped.items()), output_field=models.DateTimeField())
    rows = model._base_manager.using(using).filter(pk__in=stamped)
    QuerySet.update(rows, updated_at=times)
    for pk, time in stamped.items():
        after[pk]["updated_at"] = time


def _projects_of(objs: Sequence[Any], *, using: str) -> set[Any]:
    rows = [values for obj in objs if (values := recorder.values_of(obj)) is not None]
    if not rows:
        return set()
    project_of = type(objs[0]).projects_of_snapshots(rows, [], using=using)
    return {project_of(None, row) for row in rows}


def delete_unrecorded(rows: QuerySet[Any], *, using: str) -> Counter[str]:
    """Delete ``rows``, whose deletion is told elsewhere, and what cascades from them. How many of each model."""
    return Counter(QuerySet.delete(rows.using(using))[1])


def _any_of(objs: Sequence[Any], keys: list[str]) -> Q:
    """The condition that a row has the ``keys`` of one of ``objs``."""
    if len(keys) == 1:
        return Q(**{f"{keys[0]}__in": [value for obj in objs if (value := getattr(obj, keys[0])) is not None]})
    condition = Q()
    for obj in objs:
        condition |= Q(**{key: getattr(obj, key) for key in keys})
    return condition


def _batched(objs: list[Any], size: int) -> list[list[Any]]:
    return [objs[start : start + size] for start in range(0, len(objs), size)]


class RelatedCount(Subquery):
    """What ``related_count`` makes; by its class it is known to be a number."""


def related_count(relation: str, model: type[models.Model], **filters: Any) -> RelatedCount:
    """How many rows of ``relation`` each row has, as a correlated sub-select.

    A join with ``Count`` would group the whole table before the first row of a page is known; this is computed
    only for the rows that are returned. ``COUNT`` without ``GROUP BY`` gives 0, not NULL, where there are none.
    """
    link: Any = model._meta.get_field(relation)
    related: type[models.Model] = link.related_model
    rows = related._base_manager.filter(**{link.field.name: OuterRef("pk")}, **filters).order_by()
    count = Func("pk", function="COUNT", output_field=models.IntegerField())
    return RelatedCount(rows.annotate(n=count).values("n"), output_field=models.IntegerField())
