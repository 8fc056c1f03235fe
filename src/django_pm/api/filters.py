"""The filters of each list. A bad value is 400 naming the parameter; an unknown parameter is ignored."""

from __future__ import annotations

import datetime as dt
from typing import Any

import django_filters
import django_filters.fields
from django import forms
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from django_pm.access import visible
from django_pm.api.fields import InstantField, parse_key
from django_pm.models import Priority, Project, Status, Task

SEARCH_MAX_LENGTH = 200
SEARCH_MAX_WORDS = 10
INSTANT = {"type": "string", "format": "date-time"}


class _InstantFormField(forms.CharField):
    """What ``InstantField`` takes in a body, taken in a query."""

    def clean(self, value: Any) -> dt.datetime | None:
        text = super().clean(value)
        if not text:
            return None
        try:
            # In a query an unescaped "+" of an offset arrives as a space.
            return InstantField().run_validation(text.replace(" ", "+") if "T" in text else text)
        except serializers.ValidationError as error:
            raise ValidationError([str(detail) for detail in error.detail]) from None


class _FlagFormField(forms.Field):
    """``true`` or ``false``; Django's own would take anything for one of them."""

    def clean(self, value: Any) -> bool | None:
        if value in {None, ""}:
            return None
        if value not in {"true", "false"}:
            raise ValidationError(_("Expected “true” or “false”."))
        return value == "true"


class _UserKeyFormField(forms.CharField):
    """The primary key of a user, checked for its form only: whether there is such a user is not told."""

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        if not text:
            return None
        try:
            return parse_key(get_user_model(), text)
        except ValueError:
            raise ValidationError(_("Not a user's primary key.")) from None


class _KeyChoiceField(django_filters.fields.ModelChoiceField):
    """A key in its canonical form, as in a path or a body."""

    def to_python(self, value: Any) -> Any:
        if value not in self.empty_values:
            try:
                parse_key(self.queryset.model, value)
            except ValueError:
                raise ValidationError(self.error_messages["invalid_choice"], code="invalid_choice") from None
        return super().to_python(value)


class KeyChoiceFilter(django_filters.ModelChoiceFilter):
    field_class = _KeyChoiceField


class InstantFilter(django_filters.Filter):
    field_class = _InstantFormField


class FlagFilter(django_filters.Filter):
    field_class = _FlagFormField


class UserKeyFilter(django_filters.Filter):
    field_class = _UserKeyFormField


class SearchFilter(django_filters.CharFilter):
    """Rows in which every word of the query occurs in one of ``columns``, case ignored."""

    def __init__(self, *columns: str, **kwargs: Any) -> None:
        super().__init__(max_length=SEARCH_MAX_LENGTH, **kwargs)
        self.columns = columns

    def filter(self, qs: QuerySet[Any], value: str) -> QuerySet[Any]:
        for word in (value or "").split()[:SEARCH_MAX_WORDS]:
            matches = Q()
            for column in self.columns:
                matches |= Q(**{f"{column}__icontains": word})
            qs = qs.filter(matches)
        return qs


def in_document(schema: dict[str, Any], a_filter: django_filters.Filter) -> django_filters.Filter:
    """``a_filter``, told in the OpenAPI document as ``schema`` and in its own words."""
    described: django_filters.Filter = extend_schema_field({**schema, "description": a_filter.extra["help_text"]})(
        a_filter
    )
    return described


def visible_projects(request: Any) -> QuerySet[Project]:
    """What may be filtered by; nothing where there is no request, as for the OpenAPI document."""
    return Project.objects.none() if request is None else visible(request.user, Project.objects.all())


class DeclaredFilters(DjangoFilterBackend):
    """The filters of a view's ``filterset_class``; its form is not made where nothing is asked of it."""

    def filter_queryset(self, request: Any, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        filters = self.get_filterset_class(view, queryset)
        if filters is None:
            return queryset
        if "only_if_asked" in vars(filters) and not request.query_params.keys() & filters.base_filters.keys():
            return queryset
        filtered: QuerySet[Any] = super().filter_queryset(request, queryset, view)
        return filtered


class ProjectFilterSet(django_filters.FilterSet):
    only_if_asked = True
    """Without a parameter of these it filters nothing. Not inherited: a subclass may."""

    search = SearchFilter("name", "description", help_text="Every word must occur in name or description.")

    class Meta:
        model = Project
        fields: list[str] = []


class TaskFilterSet(django_filters.FilterSet):
    only_if_asked = True

    project = KeyChoiceFilter(queryset=visible_projects)
    # Not `distinct`, which is this filter's default: a column of the row itself repeats no row, and no index sorts it.
    status = in_document(
        {"$ref": "#/components/schemas/Status"},
        django_filters.MultipleChoiceFilter(choices=Status.choices, distinct=False, help_text="Repeat for several."),
    )
    priority = in_document(
        {"$ref": "#/components/schemas/Priority"},
        django_filters.MultipleChoiceFilter(choices=Priority.choices, distinct=False, help_text="Repeat for several."),
    )
    assignee = UserKeyFilter(help_text="The primary key of a user.")
    due_before = in_document(
        INSTANT, InstantFilter(field_name="due_date", lookup_expr="lt", help_text="Due before this instant.")
    )
    due_after = in_document(
        INSTANT, InstantFilter(field_name="due_date", lookup_expr="gte", help_text="Due at this instant or later.")
    )
    overdue = in_document(
        {"type": "boolean"}, FlagFilter(method="filter_overdue", help_text="Past due and not completed.")
    )
    search = SearchFilter("title", "description", help_text="Every word must occur in title or description.")

    class Meta:
        model = Task
        fields: list[str] = []

    def filter_overdue(self, rows: Any, name: str, overdue: bool) -> Any:
        now = timezone.now()
        return rows.overdue(at=now) if overdue else rows.not_overdue(at=now)
