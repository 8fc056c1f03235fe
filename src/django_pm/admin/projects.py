"""Projects, tasks, comments and members in the admin: the same rules as over the API, from the same services."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db import router, transaction
from django.db.models import QuerySet
from django.forms import BaseInlineFormSet
from django.forms.formsets import DELETION_FIELD_NAME
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy

from django_pm import access, users
from django_pm.admin.actions import TaskActions
from django_pm.admin.base import NOT_YOURS, PolicyAdmin, PolicyForm, in_list, searchable, user_search_fields
from django_pm.admin.diffs import latest_events
from django_pm.exceptions import LastOwner, NotAllowed
from django_pm.models import Comment, Event, Membership, Project, Role, Task
from django_pm.services import members, projects
from django_pm.services.assigning import can_be_given
from django_pm.services.tasks import require_move

MOST_MEMBERS = 100
"""How many members the page of a project shows."""


class MembersFormSet(BaseInlineFormSet):
    """Judges each change of a member as the API does, and all of them together: an owner must be left."""

    actor: Any

    def __init__(self, *args: Any, **options: Any) -> None:
        project, rows = options.get("instance"), options.get("queryset")
        if project is not None and rows is not None:
            shown = rows.filter(project=project.pk).order_by("pk").values_list("pk", flat=True)[:MOST_MEMBERS]
            options["queryset"] = rows.filter(pk__in=list(shown))
        super().__init__(*args, **options)

    def clean(self) -> None:
        super().clean()
        if any(self.errors):
            return
        leaving = []
        for form in self.forms:
            if form.cleaned_data.get(DELETION_FIELD_NAME):
                self._require("delete", Membership.objects.get(pk=form.instance.pk))
                leaving.append(form.instance.pk)
            elif form.has_changed():
                self._require_change(form.instance)
                leaving += [form.instance.pk] if form.instance.role != Role.OWNER else []
        if leaving and self.instance.pk is not None:
            self._keep_an_owner(leaving)

    def _require_change(self, wanted: Membership) -> None:
        """The role wanted is judged like the role held."""
        candidate = Membership(project=self.instance, role=wanted.role)
        if wanted.pk is None:
            self._require("add", candidate)
        else:
            self._require("change", Membership.objects.get(pk=wanted.pk))
            self._require("change", candidate)

    def _require(self, verb: access.Verb, candidate: Membership) -> None:
        if not access.may(self.actor, verb, candidate):
            raise ValidationError(str(NOT_YOURS))

    def _keep_an_owner(self, leaving: list[Any]) -> None:
        try:
            members.keep_an_owner(project_id=self.instance.pk, leaving=leaving)
        except LastOwner as refusal:
            raise ValidationError(str(refusal)) from None


class MembersInline(admin.TabularInline):
    """The first members of a project, with their roles. Who they are is told and not to be changed."""

    model = Membership
    formset = MembersFormSet
    fields = ["member", "role"]
    readonly_fields = ["member"]
    extra = 0
    show_change_link = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Membership]:
        return super().get_queryset(request).select_related("user")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_formset(self, request: HttpRequest, obj: Any = None, **options: Any) -> Any:
        formset: Any = super().get_formset(request, obj, **options)
        formset.actor = request.user
        return formset

    @admin.display(description=_lazy("user"))
    def member(self, obj: Membership) -> str:
        return users.display_name(obj.user)


class NewMembersInline(admin.TabularInline):
    """Rows for people who are to join."""

    model = Membership
    formset = MembersFormSet
    verbose_name = _lazy("new member")
    verbose_name_plural = _lazy("new members")
    fields = ["user", "role"]
    raw_id_fields = ["user"]
    extra = 0
    can_delete = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Membership]:
        return super().get_queryset(request).none()

    def get_formset(self, request: HttpRequest, obj: Any = None, **options: Any) -> Any:
        formset: Any = super().get_formset(request, obj, **options)
        formset.actor = request.user
        return formset

    def get_autocomplete_fields(self, request: HttpRequest) -> list[str]:
        return searchable(self, request)


@admin.register(Project)
class ProjectAdmin(PolicyAdmin):
    """A project with its members, and what happened in it last."""

    list_display = ["name", "time_zone", "created_at", "updated_at"]
    sortable_by = ["name", "created_at", "updated_at"]
    ordering = ["-created_at", "-pk"]
    search_fields = ["name"]
    readonly_fields = ["created_by", "created_at", "updated_at", "tasks", "events"]
    goes_along = _lazy("with all its tasks, comments, members, rules and reports")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        own = ["name", "description", "time_zone", "metadata"]
        return own if obj is None else [*own, *self.readonly_fields]

    def get_inlines(self, request: HttpRequest, obj: Any = None) -> Any:
        return [] if obj is None else [MembersInline, NewMembersInline]

    @admin.display(description=_lazy("tasks"))
    def tasks(self, obj: Project) -> str:
        return in_list(Task, _("All tasks of this project"), project__id__exact=obj.pk)

    @admin.display(description=_lazy("latest events"))
    def events(self, obj: Project) -> str:
        link = in_list(Event, _("All events of this project"), project_id__exact=obj.pk)
        return format_html("{}<p>{}</p>", latest_events(obj), link)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return super().has_add_permission(request) and access.may(request.user, "add", Project())

    def save_model(self, request: HttpRequest, obj: Project, form: Any, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
            return
        made = projects.create_project(actor=request.user, **{name: getattr(obj, name) for name in form.cleaned_data})
        vars(obj).update(vars(made))  # Django goes on with its own instance

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        if formset.model is not Membership:  # a host's own inline
            super().save_formset(request, form, formset, change)
            return
        formset.save(commit=False)
        for membership, _changed in formset.changed_objects:
            members.change_role(actor=request.user, membership=membership, role=membership.role)
        for membership in formset.deleted_objects:
            members.remove_member(actor=request.user, membership=membership)
        for new in formset.new_objects:
            members.add_member(actor=request.user, project=form.instance, user=new.user, role=new.role)


class DueFilter(admin.SimpleListFilter):
    title = _lazy("due date")
    parameter_name = "due"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("overdue", _("Overdue")), ("week", _("In the next seven days")), ("none", _("None"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        now = timezone.now()
        if self.value() == "overdue":
            return queryset.overdue(now)
        if self.value() == "week":
            return queryset.open().filter(due_date__gte=now, due_date__lt=now + dt.timedelta(days=7))
        return queryset.filter(due_date__isnull=True) if self.value() == "none" else queryset


class TaskForm(PolicyForm):
    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        project = values.get("project")
        if project is None:
            return values
        task = self.instance if self.instance.pk else None
        if task is None:
            self.require("add", Task(project=project), "project")
        else:
            try:
                require_move(actor=self.actor, task=task, project=project)
            except NotAllowed:
                self.add_error("project", str(NOT_YOURS))
        assignee = values.get("assignee")
        if not can_be_given(task=task, project_id=project.pk, assignee_id=assignee and assignee.pk):
            self.add_error("assignee", _("This user does not see the project."))
        return values


@admin.register(Task)
class TaskAdmin(TaskActions, PolicyAdmin):
    form = TaskForm
    list_display = ["title", "project", "status", "priority", "assignee", "due_date", "updated_at"]
    sortable_by = ["title", "priority", "due_date", "updated_at"]
    ordering = ["-created_at", "-pk"]
    list_filter = ["status", "priority", DueFilter]
    list_select_related = ["project", "assignee"]
    search_fields = ["title"]
    raw_id_fields = ["project", "assignee"]
    readonly_fields = ["completed_at", "created_by", "created_at", "updated_at"]
    goes_along = _lazy("with all its comments")

    def save_model(self, request: HttpRequest, obj: Task, form: Any, change: bool) -> None:
        if not change:
            obj.created_by_id = request.user.pk
        super().save_model(request, obj, form, change)


class CommentForm(PolicyForm):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if "author" in self.fields:
            self.fields["author"].required = False

    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        if task := values.get("task"):
            self.require("add", Comment(task=task, user=self.actor), "task")
        values["author"] = values.get("author") or self.instance.author or users.display_name(self.actor)
        return values


@admin.register(Comment)
class CommentAdmin(PolicyAdmin):
    """Who wrote a comment is whoever was signed in, here too, and it stays at its task."""

    form = CommentForm
    list_display = ["author", "beginning", "task", "created_at"]
    list_select_related = ["task"]
    search_fields = ["author", "content"]
    raw_id_fields = ["task"]
    readonly_fields = ["user", "created_at", "updated_at"]

    @admin.display(description=_lazy("content"))
    def beginning(self, obj: Comment) -> str:
        return Truncator(obj.content).chars(80)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [*self.readonly_fields, *(["task"] if obj else [])]

    def save_model(self, request: HttpRequest, obj: Comment, form: Any, change: bool) -> None:
        if not change:
            obj.user_id = request.user.pk
        super().save_model(request, obj, form, change)


class MembershipForm(PolicyForm):
    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        role = values.get("role")
        project = values.get("project") or (self.instance.project if self.instance.pk else None)
        if role is None or project is None:
            return values
        verb: access.Verb = "change" if self.instance.pk else "add"
        self.require(verb, Membership(project=project, role=role), "role")
        if self.instance.pk and role != Role.OWNER:
            try:
                members.keep_an_owner(project_id=project.pk, leaving=[self.instance.pk])
            except LastOwner as refusal:
                self.add_error("role", str(refusal))
        return values


@admin.register(Membership)
class MembershipAdmin(PolicyAdmin):
    form = MembershipForm
    list_display = ["project", "user", "role", "created_at"]
    list_display_links = ["project", "user"]
    list_filter = ["role"]
    list_select_related = ["project", "user"]
    raw_id_fields = ["project", "user"]
    search_help_text = _lazy("The name of a project, a login name or an e-mail address.")
    actions = None  # an owner must be left: members go one by one, here or on the page of their project

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        return ["project__name", *user_search_fields("user")]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["project", "user", "created_at"] if obj else []

    def lock_before(self, row: Membership, *, using: str) -> None:
        Project.objects.using(using).select_for_update(no_key=True).filter(pk=row.project_id).first()

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        names, counts, forbidden, protected = super().get_deleted_objects(objs, request)
        with transaction.atomic(using=router.db_for_write(Membership)):
            for row in objs:
                try:
                    members.keep_an_owner(project_id=row.project_id, leaving=[row.pk])
                except LastOwner as refusal:
                    protected.append(str(refusal))
        return names, counts, forbidden, protected

    def save_model(self, request: HttpRequest, obj: Membership, form: Any, change: bool) -> None:
        if change:
            members.change_role(actor=request.user, membership=obj, role=obj.role)
        else:
            made = members.add_member(actor=request.user, project=obj.project, user=obj.user, role=obj.role)
            vars(obj).update(vars(made))

    def delete_model(self, request: HttpRequest, obj: Membership) -> None:
        members.remove_member(actor=request.user, membership=obj)
