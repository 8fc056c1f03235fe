"""The rows of a list as they stand in the database, where that is what its serializer would make of them.

A serializer walks every field of every row. Most fields do nothing with the value but hand it on; where all of them do,
the columns are asked for under the names of the fields, and the tuples are the representation. Whatever is not known to
hand on its value (a method, a nested serializer, a field of a host's own) leaves the whole list to the serializer, so
that nothing a host adds is lost.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from inspect import getattr_static
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from django.core.exceptions import FieldDoesNotExist
from django.db import connections, models
from django.db.models import Count, QuerySet
from django.db.models.query import ModelIterable
from django.db.models.query_utils import DeferredAttribute
from django.db.models.signals import post_init, pre_init
from rest_framework import serializers
from rest_framework.relations import PrimaryKeyRelatedField
from rest_framework.settings import api_settings

from django_pm.api import fields as ours
from django_pm.models.base import RelatedCount
from django_pm.models.fields import ChangedAtField, CompletedAtField, RankedChoiceField

TEXT = {models.CharField, models.TextField}
INSTANT = {models.DateTimeField, ChangedAtField, CompletedAtField}
INTEGER = {models.IntegerField, models.BigIntegerField, models.AutoField, models.BigAutoField}

BigIntegerField: Any = getattr(serializers, "BigIntegerField", serializers.IntegerField)
"""What keys are represented by, from DRF 3.17 on."""

HANDED_ON: dict[type[serializers.Field], set[Any]] = {
    serializers.IntegerField: INTEGER,
    BigIntegerField: INTEGER,
    serializers.BooleanField: {models.BooleanField},
    serializers.UUIDField: {models.UUIDField},
    serializers.CharField: TEXT,
    ours.StringField: TEXT,
    ours.TextField: TEXT,
    serializers.ChoiceField: {models.CharField, RankedChoiceField},
    ours.MetadataField: {models.JSONField},
    ours.InstantField: INSTANT,
    ours.DueDateField: INSTANT,
}
"""Fields of a serializer that represent a value of these columns as what it is. Exactly these classes: a subclass may
have its own mind."""

KEYS = {
    PrimaryKeyRelatedField,
    ours.StrictPrimaryKeyField,
    ours.UnverifiedKeyField,
    ours.VisiblePrimaryKeyField,
    ours.UserField,
}

CHANGES_NOTHING = {"Meta", "_declared_fields", "__module__", "__qualname__", "__doc__", "__annotations__"} | {
    "__firstlineno__",
    "__static_attributes__",
    "to_internal_value",
    "create",
    "update",
    "validate",
}
"""What a serializer class may define without deciding how it represents, or which fields it has."""


MAKING = {"from_db", "__init__", "__new__", "__getattribute__"}
"""What a model may define to have an instance hold something else than its row does."""


class Columns(NamedTuple):
    """What to ask for, under which names, and which of it are instants (by place)."""

    names: tuple[str, ...]
    sources: tuple[str, ...]
    instants: tuple[int, ...]
    annotations: frozenset[str]


_known: WeakKeyDictionary[type, dict[type[models.Model], Columns | None]] = WeakKeyDictionary()


def columns_of(serializer: Any, rows: QuerySet[Any]) -> Columns | None:
    """The columns of ``rows`` that are what ``serializer`` (of a list) makes of them; None where it does more.

    It is the serializer of the list, because a field may depend on whether its object is one of many.
    """
    if type(serializer) is not serializers.ListSerializer or not _is_read_as_usual(rows):
        return None
    one, model = serializer.child, rows.model
    cls = type(one)
    if not _is_settled(cls):
        found = _columns(one, model)
    else:
        known = _known.setdefault(cls, {})
        found = known[model] if model in known else known.setdefault(model, _columns(one, model))
    return found if found and _are_counted(found.annotations, rows) else None


def _is_read_as_usual(rows: QuerySet[Any]) -> bool:
    """Whether instances would be made of the rows, once for each, and nobody has a hand in it."""
    query: Any = rows.query
    if rows._prefetch_related_lookups or rows._iterable_class is not ModelIterable:  # type: ignore[attr-defined]
        return False
    if query.distinct or query.combinator:  # of fewer columns, other rows are alike
        return False
    if pre_init.has_listeners(rows.model) or post_init.has_listeners(rows.model):
        return False
    return all(
        base.__module__.startswith(("django.", "django_pm.models.", "builtins")) or vars(base).keys().isdisjoint(MAKING)
        for base in rows.model.__mro__
    )


def _are_counted(names: Iterable[str], rows: QuerySet[Any]) -> bool:
    """Whether the rows are annotated with these, and each is a count: a field would make an integer of anything."""
    annotations = rows.query.annotations
    return all(isinstance(annotations.get(name), (Count, RelatedCount)) for name in names)


def represent(columns: Columns, rows: Iterable[Sequence[Any]], using: str) -> list[dict[str, Any]]:
    """The representations of rows that were read as ``columns.sources`` (and whatever behind them)."""
    if columns.instants and connections[using].timezone_name != "UTC":
        rows = [_in_utc(row, columns.instants) for row in rows]
    return [dict(zip(columns.names, row, strict=False)) for row in rows]


def _in_utc(row: Sequence[Any], places: Sequence[int]) -> list[Any]:
    values = list(row)
    for place in places:
        if values[place] is not None:
            values[place] = values[place].astimezone(dt.UTC)
    return values


def _is_settled(cls: type) -> bool:
    """Whether all serializers of a class have the same fields: none of its classes but DRF's and ours makes them up."""
    return all(
        base.__module__.startswith(("django_pm.api.", "rest_framework.", "builtins"))
        or not any(name not in CHANGES_NOTHING and not name.startswith("validate_") for name in vars(base))
        for base in cls.__mro__
    )


def _columns(serializer: Any, model: type[models.Model]) -> Columns | None:
    if not _represents_as_usual(type(serializer)):
        return None
    fields = list(serializer._readable_fields)
    annotations = {field.source for field in fields if _is_annotation(field, model)}
    if not all(field.source in annotations or _is_handed_on(field, model) for field in fields):
        return None
    return Columns(
        names=tuple(field.field_name for field in fields),
        sources=tuple(field.source for field in fields),
        instants=tuple(place for place, field in enumerate(fields) if isinstance(field, ours.InstantField)),
        annotations=frozenset(annotations),
    )


def _represents_as_usual(cls: Any) -> bool:
    """Whether objects are made of the fields and nothing else."""
    usual = serializers.Serializer
    return getattr_static(cls, "to_representation") is getattr_static(usual, "to_representation")


def _is_annotation(field: serializers.Field, model: type[models.Model]) -> bool:
    """Whether it is a count that the rows are annotated with."""
    return type(field) is serializers.IntegerField and not hasattr(model, field.source)


def _is_handed_on(field: Any, model: type[models.Model]) -> bool:
    """Whether the field represents a column of the row by what stands in it."""
    column = _column(field.source, model)
    if column is None:
        return False
    kind = type(field)
    if kind in KEYS:
        return isinstance(column, models.ForeignKey) and getattr(field, "pk_field", None) is None
    if type(column) not in HANDED_ON.get(kind, ()):
        return False
    if kind is serializers.ChoiceField:
        return all(isinstance(choice, str) for choice in field.choices)
    if isinstance(field, ours.InstantField):
        return field.format == "iso-8601" and field.timezone is dt.UTC
    if kind is ours.MetadataField:
        return not field.binary
    if kind is BigIntegerField:
        return not getattr(field, "coerce_to_string", getattr(api_settings, "COERCE_BIGINT_TO_STRING", False))
    return kind is not serializers.UUIDField or field.uuid_format == "hex_verbose"


def _column(name: str, model: type[models.Model]) -> models.Field[Any, Any] | None:
    """The column that an attribute of an instance holds just as it was read; None if there may be more to it."""
    try:
        column: Any = model._meta.get_field(name)
    except FieldDoesNotExist:
        return None
    is_plain = column.concrete and isinstance(getattr_static(model, column.attname), DeferredAttribute)
    return column if is_plain else None
