"""Actions on the tasks selected in a list: each task by itself, through the same service and under the same policy.

What was not allowed, or was so already, is told with its number; the others are done all the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.db.models import ProtectedError, QuerySet, RestrictedError
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy
from django.utils.translation import ngettext

from django_pm.admin.base import MOST
from django_pm.exceptions import CannotBeAssigned, NotAllowed
from django_pm.models import Task
from django_pm.services import tasks

REFUSED: dict[type[Exception], Any] = {
    NotAllowed: _lazy("your rights in the project do not allow it"),
    CannotBeAssigned: _lazy("the assignee does not see the project"),
    Task.DoesNotExist: _lazy("the task is gone"),
    ProtectedError: _lazy("tables of this site refer to the task and protect it"),
    RestrictedError: _lazy("tables of this site refer to the task and protect it"),
}


class TaskActions(admin.ModelAdmin):
    """The actions; mixed into the admin of tasks."""

    actions = ["complete", "reassign", "move", "delete_selected"]

    @admin.action(description=_lazy("Complete selected tasks"), permissions=["change"])
    def complete(self, request: HttpRequest, queryset: QuerySet[Task]) -> None:
        self.each(request, queryset, lambda pk: tasks.complete(actor=request.user, pk=pk))

    @admin.action(description=_lazy("Reassign selected tasks…"), permissions=["change"])
    def reassign(self, request: HttpRequest, queryset: QuerySet[Task]) -> HttpResponse | None:
        chosen = self.choose(request, queryset, _("Reassign tasks"), _("Reassign"), "assignee")
        if isinstance(chosen, HttpResponse):
            return chosen
        user = chosen["assignee"]
        self.each(request, queryset, lambda pk: tasks.reassign(actor=request.user, pk=pk, assignee=user))
        return None

    @admin.action(description=_lazy("Move selected tasks to another project…"), permissions=["change"])
    def move(self, request: HttpRequest, queryset: QuerySet[Task]) -> HttpResponse | None:
        chosen = self.choose(request, queryset, _("Move tasks to another project"), _("Move"), "project")
        if isinstance(chosen, HttpResponse):
            return chosen
        project = chosen["project"]
        self.each(request, queryset, lambda pk: tasks.move(actor=request.user, pk=pk, project=project))
        return None

    @admin.action(description=_lazy("Delete selected tasks…"), permissions=["delete"])
    def delete_selected(self, request: HttpRequest, queryset: QuerySet[Task]) -> HttpResponse | None:
        chosen = self.choose(request, queryset, _("Delete tasks and their comments"), _("Delete"))
        if isinstance(chosen, HttpResponse):
            return chosen
        self.each(request, queryset, lambda pk: tasks.delete(actor=request.user, pk=pk))
        return None

    def choose(
        self, request: HttpRequest, queryset: QuerySet[Task], title: str, verb: str, field: str | None = None
    ) -> dict[str, Any] | HttpResponse:
        """What was chosen in the form between the list and the action; the page with the form until it is."""
        form = self._form_class(request, field)(request.POST if "post" in request.POST else None)
        if form.is_valid():
            return form.cleaned_data
        shown = list(queryset.order_by("pk")[: self.list_per_page + 1])
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "verb": verb,
            "action": request.POST["action"],
            "select_across": request.POST.get("select_across", "0"),
            "selected": request.POST.getlist(helpers.ACTION_CHECKBOX_NAME),
            "checkbox_name": helpers.ACTION_CHECKBOX_NAME,
            "tasks": shown[: self.list_per_page],
            "has_more": len(shown) > self.list_per_page,
            "form": form,
            "media": self.media + form.media,
            "opts": self.opts,
        }
        return TemplateResponse(request, "admin/django_pm/task/action.html", context)

    def _form_class(self, request: HttpRequest, field: str | None) -> type[forms.Form]:
        """With the field of the task's own form: the same widget, and the same rows to choose from."""
        if field is None:
            return forms.Form
        column: Any = self.opts.get_field(field)
        chosen: Any = self.formfield_for_dbfield(column, request)
        if field == "assignee":
            chosen.help_text = _("Empty for nobody.")
        return type("ChoiceForm", (forms.Form,), {field: chosen})

    def each(self, request: HttpRequest, queryset: QuerySet[Task], do: Callable[[Any], bool]) -> None:
        """Do it to each task, and tell the person what came of it."""
        keys = list(queryset.order_by("pk").values_list("pk", flat=True)[: MOST + 1])
        if len(keys) > MOST:
            text = _("Nothing was done: select at most %(most)s tasks at a time.")
            self.message_user(request, text % {"most": MOST}, messages.ERROR)
            return
        done, already = 0, 0
        refused: Counter[str] = Counter()
        for pk in keys:
            try:
                if do(pk):
                    done += 1
                else:
                    already += 1
            except tuple(REFUSED) as refusal:
                refused[str(REFUSED[type(refusal)])] += 1
        self._tell(request, done, already, refused)

    def _tell(self, request: HttpRequest, done: int, already: int, refused: Counter[str]) -> None:
        if done:
            text = ngettext("%(number)s task was changed.", "%(number)s tasks were changed.", done)
            self.message_user(request, text % {"number": done}, messages.SUCCESS)
        if already:
            text = ngettext("%(number)s task was so already.", "%(number)s tasks were so already.", already)
            self.message_user(request, text % {"number": already}, messages.INFO)
        for reason, number in refused.items():
            text = ngettext(
                "%(number)s task was left as it is: %(reason)s.",
                "%(number)s tasks were left as they are: %(reason)s.",
                number,
            )
            self.message_user(request, text % {"number": number, "reason": reason}, messages.WARNING)
