"""What every list and form of ours in the admin does the same way: large tables, the policy, who is acting.

A list never counts: it looks one row beyond its page, which tells whether there is another one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.exceptions import NotRegistered
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.contrib.admin.widgets import AutocompleteSelect, AutocompleteSelectMultiple, ForeignKeyRawIdWidget
from django.contrib.auth import get_user_model
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.core.paginator import EmptyPage, InvalidPage, Page, Paginator
from django.db import models, router, transaction
from django.db.models import ProtectedError, QuerySet, RestrictedError
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy

from django_pm import access, users
from django_pm.conf import app_settings
from django_pm.context import acting
from django_pm.exceptions import Conflict
from django_pm.models.fields import EARLIEST, LATEST

ORIGIN = "admin"
PAGE_SIZE = 100
NOT_YOURS = _lazy("Your rights in the project do not allow this.")

MOST = 1_000
"""How many rows one action takes: each is judged and recorded by itself, while the browser waits."""


class LookAheadPaginator(Paginator):
    """Knows of the pages up to the one that was read, and of the next if there is one. Issues no ``COUNT``."""

    def page(self, number: int | float | str) -> Page[Any]:
        """The rows of page ``number``, in one statement. Raises ``InvalidPage`` for one that is empty or no page."""
        number = self.validate_number(number)
        start = (number - 1) * self.per_page
        rows = list(self.object_list[start : start + self.per_page + 1])
        if not rows and number > 1:
            raise EmptyPage(_("That page contains no results."))
        self.count = start + len(rows)
        return Page(rows[: self.per_page], number, self)

    def validate_number(self, number: int | float | str) -> int:
        """A number from 1 on; whether there is such a page is found out by reading it."""
        try:
            valid = int(number)
        except (TypeError, ValueError):
            valid = 0
        if valid < 1:
            raise EmptyPage(_("That page number is not an integer above 0."))
        return valid


class LookAheadChangeList(ChangeList):
    """A list that does not know how long it is, only whether it goes on (``has_next``)."""

    has_next = False

    def get_results(self, request: HttpRequest) -> None:
        self.paginator = self.model_admin.get_paginator(request, self.queryset, self.list_per_page)
        try:
            page = self.paginator.page(self.page_num)
        except InvalidPage:
            raise IncorrectLookupParameters from None
        self.result_list = page.object_list
        self.has_next = page.has_next()
        self.result_count = self.paginator.count
        self.full_result_count = self.result_count  # so that the search form tells no number
        self.show_full_result_count = False
        self.show_admin_actions = True
        self.can_show_all = False
        self.multi_page = self.has_next or self.page_num > 1

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        """As Django's, with the key alone behind a column that was clicked, in its direction: so our indexes go."""
        ordering = super().get_ordering(request, queryset.order_by())
        if len(ordering) > 1 and ordering[-1] == "-pk" and not str(ordering[-2]).startswith("-"):
            ordering[-1] = "pk"
        return ordering


def searchable(owner: Any, request: HttpRequest) -> list[str]:
    """Of the ``raw_id_fields`` of an admin or an inline, those to models that this reader can search in this admin.

    What users look like, and whether they are registered, is the host's: ``autocomplete_fields`` would demand it.
    """

    def is_searchable(name: str) -> bool:
        try:
            other = owner.admin_site.get_model_admin(owner.opts.get_field(name).related_model)
        except NotRegistered:
            return False
        return bool(other.get_search_fields(request)) and bool(other.has_view_permission(request))

    return [name for name in owner.raw_id_fields if is_searchable(name)]


def lives_in_project(model: Any) -> bool:
    """Whether the policy says who sees which rows of ``model``."""
    return hasattr(model, "project_lookup")


def user_search_fields(relation: str) -> list[str]:
    """What finds a row by somebody's login name or address, whatever the host's users look like."""
    names = {get_user_model().USERNAME_FIELD, users.email_field()} - {""}
    return [f"{relation}__{name}" for name in sorted(names)]


def in_list(model: type[models.Model], text: str, **lookups: Any) -> str:
    """``text`` with a link to the rows of ``model`` that ``lookups`` name."""
    url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    return format_html('<a href="{}?{}">{}</a>', url, urlencode(lookups), text)


class OfKeys:
    """Django's answer with a server error when a value that is no key is to be shown with what is wrong."""

    field: Any

    def optgroups(self, name: str, value: Sequence[str], attrs: Any = None) -> Any:
        key: Any = self.field.remote_field.model._meta.pk
        shown = [one for one in value if _is_key(key, one)]
        return super().optgroups(name, shown, attrs)  # type: ignore[misc]


class Autocomplete(OfKeys, AutocompleteSelect):
    """For one row."""


class AutocompleteMultiple(OfKeys, AutocompleteSelectMultiple):
    """For any number of them."""


class KeyInput(ForeignKeyRawIdWidget):
    """Django's, which tells the name of any row that there is: this tells those of the rows that can be chosen."""

    choices: Any  # the field sets them, as it does for widgets that list them

    def label_and_url_for_value(self, value: Any) -> tuple[str, str]:
        try:
            self.choices.queryset.get(**{self.rel.get_related_field().name: value})
        except (ValueError, ValidationError, ObjectDoesNotExist):
            return "", ""
        return super().label_and_url_for_value(value)


def _is_key(field: models.Field[Any, Any], value: Any) -> bool:
    try:
        field.clean(value, None)
    except ValidationError:
        return False
    return True


class LargeTableAdmin(admin.ModelAdmin):
    """For tables with any number of rows: lists cost the same on every page, and no widget lists another table.

    ``raw_id_fields`` name the references; those to models that can be searched in this admin are autocompleted.
    """

    paginator = LookAheadPaginator
    list_per_page = PAGE_SIZE
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    ordering = ["-pk"]
    sortable_by: ClassVar[list[str] | tuple[str, ...] | None] = ()

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[ChangeList]:
        return LookAheadChangeList

    def get_autocomplete_fields(self, request: HttpRequest) -> list[str]:
        return searchable(self, request)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        """What a person may not see cannot be chosen, and reads like what does not exist."""
        options |= self._narrowed(db_field, request)
        if db_field.name in self.get_autocomplete_fields(request):
            options["widget"] = Autocomplete(db_field, self.admin_site)
        elif db_field.name in self.raw_id_fields:
            options["widget"] = KeyInput(db_field.remote_field, self.admin_site)
        return super().formfield_for_foreignkey(db_field, request, **options)

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        """As with a single one."""
        options |= self._narrowed(db_field, request)
        if db_field.name in self.get_autocomplete_fields(request):
            options["widget"] = AutocompleteMultiple(db_field, self.admin_site)
        return super().formfield_for_manytomany(db_field, request, **options)

    def _narrowed(self, db_field: Any, request: HttpRequest) -> dict[str, Any]:
        model = db_field.related_model
        if not lives_in_project(model):
            return {}
        return {"queryset": access.visible(request.user, model._default_manager.all())}


class ReadOnlyAdmin(LargeTableAdmin):
    """For what only the software writes."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class InProjects(LargeTableAdmin):
    """Rows that live in projects: staff see those of the projects that the policy shows them.

    For superusers the default policy shows all.
    """

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return access.visible(request.user, super().get_queryset(request))


class PolicyForm(ModelForm):
    """A form that knows who fills it in, and takes of values what the API takes."""

    actor: Any

    def clean_metadata(self) -> dict[str, Any]:
        metadata = self.cleaned_data["metadata"]
        if metadata is None:  # nothing typed
            return {}
        if not isinstance(metadata, dict):
            raise ValidationError(_("Expected a JSON object."))
        limit = app_settings.MAX_METADATA_BYTES
        if len(json.dumps(metadata).encode()) > limit:
            raise ValidationError(_("Larger than %(limit)s bytes."), params={"limit": limit})
        return metadata

    def clean_description(self) -> str:
        return self._of_reasonable_length("description")

    def clean_content(self) -> str:
        return self._of_reasonable_length("content")

    def clean_due_date(self) -> Any:
        due = self.cleaned_data["due_date"]
        if due is not None and not EARLIEST <= due < LATEST:
            raise ValidationError(_("Datetime value out of range."))
        return due

    def _of_reasonable_length(self, name: str) -> str:
        text: str = self.cleaned_data[name]
        limit = app_settings.MAX_TEXT_LENGTH
        if len(text) > limit:
            raise ValidationError(
                _("Ensure this field has no more than %(max_length)s characters."), params={"max_length": limit}
            )
        return text

    def require(self, verb: access.Verb, candidate: Any, field: str) -> None:
        """Say at ``field`` that it is not allowed, unless the policy lets the actor do ``verb`` to ``candidate``."""
        if not access.may(self.actor, verb, candidate):
            self.add_error(field, str(NOT_YOURS))


class PolicyAdmin(InProjects):
    """What staff do to rows of projects: Django's model permission opens the page, the policy decides about the row.

    A row to be written is locked first, and the policy is asked about it as it is then. What is written is recorded as
    done by the one signed in.
    """

    form: Any = PolicyForm
    goes_along: Any = ""
    """In words, what a deletion takes with the row."""

    def changeform_view(self, request: HttpRequest, *args: Any, **options: Any) -> Any:
        try:
            with acting(request.user, origin=ORIGIN):
                return super().changeform_view(request, *args, **options)
        except Conflict as refusal:  # somebody else was quicker, after the form was found to be right
            messages.error(request, str(refusal))
            return HttpResponseRedirect(request.get_full_path())

    def changelist_view(self, request: HttpRequest, *args: Any, **options: Any) -> Any:
        with acting(request.user, origin=ORIGIN):
            return super().changelist_view(request, *args, **options)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        try:
            with acting(request.user, origin=ORIGIN):
                return super().delete_view(request, object_id, extra_context)
        except (ProtectedError, RestrictedError):
            messages.error(request, _("It was not deleted: tables of this site refer to it and protect it."))
            return HttpResponseRedirect(reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist"))

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        row = super().get_object(request, object_id, from_field)
        if row is None or request.method != "POST":
            return row
        using = router.db_for_write(self.model)
        with transaction.atomic(using=using):  # within that of the view, which holds the lock to its end
            self.lock_before(row, using=using)
            return self.model._default_manager.using(using).select_for_update(no_key=True).filter(pk=row.pk).first()

    def lock_before(self, row: Any, *, using: str) -> None:
        """Lock what has to be locked before the row itself."""

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and self._may(request, "change", obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and self._may(request, "delete", obj)

    def _may(self, request: HttpRequest, verb: access.Verb, obj: Any) -> bool:
        return obj is None or access.may(request.user, verb, obj)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **options: Any) -> Any:
        form: Any = super().get_form(request, obj, change, **options)
        form.actor = request.user
        return form

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """The rows themselves. What goes with them is told in words: Django would read all of it to list it."""
        rows = list(objs[: MOST + 1])
        if len(rows) > MOST:
            return [], {}, set(), [_("Too many: select at most %(most)s at a time.") % {"most": MOST}]
        forbidden = {self.opts.verbose_name for row in rows if not self.has_delete_permission(request, row)}
        names: list[Any] = [str(row) for row in rows]
        along = [[str(self.goes_along)]] if self.goes_along else []
        return names + along, {self.opts.verbose_name_plural: len(rows)}, forbidden, []
