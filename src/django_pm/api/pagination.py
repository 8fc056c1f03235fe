"""Keyset pages: each page starts behind the last row of the one before, by (ordering column, id).

Unlike pages by number they neither repeat nor skip a row while others insert and delete, and the last page costs
what the first costs: the database walks an index from a position instead of counting off rows. (Markus Winand, "We
need tool support for keyset pagination", use-the-index-luke.com/no-offset.) Empty values come last in both
directions; they are read as a second stretch behind the rest, because no index yields ``NULLS LAST`` for both
directions on every database.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError as FieldValidationError
from django.db import models
from django.db.models import BooleanField, F, Func, QuerySet, Value
from django.utils.translation import gettext as _
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from django_pm.api.parsers import is_storable

PAGE_SIZE = 50
MAX_PAGE_SIZE = 200
CURSOR_MAX_LENGTH = 4096
NUMBER_MAX_DIGITS = 18  # fits a 64-bit column


class Ordering(NamedTuple):
    """One column and a direction; ``name`` is what the client calls it, with ``-`` for descending."""

    name: str
    field: models.Field[Any, Any]
    descending: bool


class Position(NamedTuple):
    """A place between two rows: behind (or, going backward, before) the row with this value and key.

    ``inclusive``: the row itself is still on the way; so a page that has emptied leads back to it.
    """

    value: Any
    pk: Any
    inclusive: bool = False


class RowComparison(Func):
    """``(a, b) < (x, y)`` as one SQL row comparison, which an index on (a, b) answers by one descent."""

    output_field = BooleanField()

    def __init__(self, left: list[Any], operator: str, right: list[Any]) -> None:
        super().__init__(*left, *right)
        self.operator = operator

    def as_sql(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, tuple[Any, ...]]:
        compiled = [compiler.compile(expression) for expression in self.get_source_expressions()]
        half = len(compiled) // 2
        left, right = (", ".join(sql for sql, _params in part) for part in (compiled[:half], compiled[half:]))
        return f"({left}) {self.operator} ({right})", tuple(param for _sql, params in compiled for param in params)


class KeysetPagination(BasePagination):
    """``{"next", "previous", "results"}``, a ``count`` when asked for with ``?count=true``.

    The view names ``ordering_fields`` (public name → model field) and ``default_ordering``.
    """

    columns: tuple[str, ...] | None = None
    """What to read of each row; None for instances. Behind it, a row has its place: ordering value and key."""

    def paginate_queryset(self, queryset: QuerySet[Any], request: Request, view: Any = None) -> list[Any]:
        wrong: dict[str, list[str]] = {}
        self.request = request
        self.page_size = page_size(request, wrong)
        count_wanted = self._flag("count", wrong)
        self.ordering = self._ordering(queryset.model, view, wrong)
        position, forward = self._cursor(wrong) if self.ordering else (None, True)
        if wrong:
            raise ValidationError(wrong)
        self.count = queryset.order_by().count() if count_wanted else None
        self.position = position
        rows = self._read(queryset, position, forward)
        more = len(rows) > self.page_size
        rows = rows[: self.page_size]
        # Coming from a neighbour, there is a way back to it, even if its rows are gone by now.
        self.has_next = more if forward else True
        self.has_previous = more if not forward else position is not None
        self.page = rows if forward else rows[::-1]
        return self.page

    def get_paginated_response(self, data: Any) -> Response:
        return Response(self.envelope(data))

    def envelope(self, data: Any) -> dict[str, Any]:
        """The page with ``data`` as its rows."""
        body = {"next": self._link(forward=True), "previous": self._link(forward=False), "results": data}
        if self.count is not None:
            body["count"] = self.count
        return body

    # What the client asked for

    def _flag(self, name: str, wrong: dict[str, list[str]]) -> bool:
        text = self.request.query_params.get(name, "false")
        if text not in {"true", "false"}:
            wrong[name] = [_("Expected “true” or “false”.")]
        return text == "true"

    def _ordering(self, model: type[models.Model], view: Any, wrong: dict[str, list[str]]) -> Ordering:
        name = self.request.query_params.get("ordering") or view.default_ordering
        column = view.ordering_fields.get(name.removeprefix("-"))
        if column is None:
            allowed = ", ".join(view.ordering_fields)
            wrong["ordering"] = [_("Expected one of %(names)s, with “-” in front to descend.") % {"names": allowed}]
            name = view.default_ordering
            column = view.ordering_fields[name.removeprefix("-")]
        field = model._meta.pk if column == "pk" else model._meta.get_field(column)
        return Ordering(name, field, name.startswith("-"))

    # The cursor: opaque to clients, but only ever a position, so forging one shows nothing that a filter would not

    def _cursor(self, wrong: dict[str, list[str]]) -> tuple[Position | None, bool]:
        text = self.request.query_params.get("cursor")
        if text is None:
            return None, True
        try:
            if len(text) > CURSOR_MAX_LENGTH:
                raise ValueError("too long")
            content = json.loads(base64.urlsafe_b64decode(text.encode("ascii")))
            ordering, forward, inclusive, value, pk = content
            if ordering != self.ordering.name or not isinstance(forward, bool) or not isinstance(inclusive, bool):
                raise ValueError("made for another ordering")
            value, pk = self._parse(self.ordering.field, value), self._parse(self._pk_field, pk)
            return Position(value, pk, inclusive), forward
        except (ValueError, TypeError, RecursionError, OverflowError, binascii.Error, FieldValidationError):
            wrong["cursor"] = [_("This cursor is not one of this list in this order. Start again without it.")]
            return None, True

    def _parse(self, field: models.Field[Any, Any], value: Any) -> Any:
        if value is None:
            if not field.null:
                raise ValueError("empty")
            return None
        if not isinstance(value, str) or not is_storable(value):
            raise ValueError("not text")
        if isinstance(field, models.DateTimeField):
            # to_python() would take a date, and a local time that UTC cannot express.
            instant = dt.datetime.fromisoformat(value)
            if instant.tzinfo is None:
                raise ValueError("no instant")
            return instant.astimezone(dt.UTC)
        parsed = field.to_python(value)
        # A text is only compared, and a host may have stored a longer one than is let in here.
        if not isinstance(field, models.CharField):
            field.run_validators(parsed)
        return parsed

    def _encode(self, position: Position, *, forward: bool) -> str:
        value = position.value.isoformat() if isinstance(position.value, dt.datetime) else position.value
        value = None if value is None else str(value)
        content = [self.ordering.name, forward, position.inclusive, value, str(position.pk)]
        return base64.urlsafe_b64encode(json.dumps(content, ensure_ascii=False).encode()).decode()

    def _link(self, *, forward: bool) -> str | None:
        if not (self.has_next if forward else self.has_previous):
            return None
        if self.page:
            position = self._place(self.page[-1 if forward else 0])
        elif self.position is not None:
            position = self.position._replace(inclusive=not self.position.inclusive)
        else:
            return None
        return self.link_to(self.request, self._encode(position, forward=forward))

    @staticmethod
    def link_to(request: Request, cursor: str) -> str:
        """The address of another page of the list that ``request`` asks for."""
        link: str = replace_query_param(request.build_absolute_uri(), "cursor", cursor)
        return link

    # Reading

    @property
    def _pk_field(self) -> models.Field[Any, Any]:
        return self.ordering.field.model._meta.pk

    def _place(self, row: Any) -> Position:
        if self.columns is not None:
            return Position(*row[-2:])
        return Position(getattr(row, self.ordering.field.attname), row.pk)

    def _read(self, queryset: QuerySet[Any], position: Position | None, forward: bool) -> list[Any]:
        if self.columns is not None:
            queryset = queryset.values_list(*self.columns, self.ordering.field.attname, "pk")
        wanted = self.page_size + 1
        rows: list[Any] = []
        for stretch in self._stretches(queryset, position, forward):
            rows += stretch[: wanted - len(rows)]
            if len(rows) == wanted:
                break
        return rows

    def _stretches(self, queryset: QuerySet[Any], position: Position | None, forward: bool) -> Iterator[QuerySet[Any]]:
        """What lies in reading direction of ``position``: one stretch, or two where the column has empty values."""
        column = self.ordering.field.attname
        descending = self.ordering.descending is forward
        operator, lookup, sign = ("<", "lt", "-") if descending else (">", "gt", "")
        if position is not None and position.inclusive:
            operator, lookup = operator + "=", lookup + "e"

        def filled() -> QuerySet[Any]:
            rows = queryset.order_by(f"{sign}{column}", f"{sign}pk")
            if self.ordering.field.null:
                rows = rows.filter(**{f"{column}__isnull": False})
            if position is not None and position.value is not None:
                value = Value(position.value, output_field=self.ordering.field)
                pk = Value(position.pk, output_field=self._pk_field)
                rows = rows.filter(RowComparison([F(column), F("pk")], operator, [value, pk]))
            return rows

        def empty() -> QuerySet[Any]:
            rows = queryset.order_by(f"{sign}pk").filter(**{f"{column}__isnull": True})
            if position is not None and position.value is None:
                rows = rows.filter(**{f"pk__{lookup}": position.pk})
            return rows

        if not self.ordering.field.null:
            yield filled()
        elif forward:
            if position is None or position.value is not None:
                yield filled()
            yield empty()
        else:
            if position is None or position.value is None:
                yield empty()
            yield filled()

    # OpenAPI

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        link = {"type": ["string", "null"], "format": "uri"}
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {
                "next": link,
                "previous": link,
                "results": schema,
                "count": {"type": "integer", "description": "Only with `?count=true`."},
            },
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        names = [sign + name for name in view.ordering_fields for sign in ("", "-")]
        return [
            _parameter("cursor", "Where the page starts; taken from `next` or `previous`.", {"type": "string"}),
            _parameter(
                "page_size",
                f"Rows per page, {PAGE_SIZE} by default; more than {MAX_PAGE_SIZE} means {MAX_PAGE_SIZE}.",
                {"type": "integer", "minimum": 1},
            ),
            _parameter("count", "Adds `count`, the number of all rows.", {"type": "boolean"}),
            _parameter(
                "ordering",
                "Column to order by, `-` in front to descend; empty values come last.",
                {
                    "type": "string",
                    "enum": names,
                    "default": view.default_ordering,
                    # What generators call them, which cannot use a sign in a name.
                    "x-enum-varnames": [
                        name.lstrip("-").upper() + ("_DESCENDING" if name.startswith("-") else "") for name in names
                    ],
                },
            ),
        ]


def page_size(request: Request, wrong: dict[str, list[str]]) -> int:
    """The ``page_size`` that was asked for, at most ``MAX_PAGE_SIZE``; what is no size is noted in ``wrong``."""
    number = whole_number("page_size", request, wrong)
    if number == 0:
        wrong["page_size"] = [_("Expected a whole number greater than 0.")]
    return min(number or PAGE_SIZE, MAX_PAGE_SIZE)


def whole_number(name: str, request: Request, wrong: dict[str, list[str]]) -> int | None:
    """The query parameter ``name`` as a number from 0 up, None without it; anything else is noted in ``wrong``."""
    text = request.query_params.get(name)
    if text is None:
        return None
    # isdecimal() alone would take digits of other scripts; int() of a very long text takes very long.
    if not (text.isascii() and text.isdecimal()):
        wrong[name] = [_("Expected a whole number.")]
        return None
    digits = text.lstrip("0")
    return int(digits or "0") if len(digits) <= NUMBER_MAX_DIGITS else 10**NUMBER_MAX_DIGITS


def _parameter(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}
