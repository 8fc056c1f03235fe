"""Events as people read them: what happened, to what, and each column before and after, in the reader's language.

An event holds keys and raw values, for programs. Names are looked up here for a whole page at once.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import models
from django.template.defaultfilters import linebreaks_filter
from django.urls import NoReverseMatch, reverse
from django.utils import formats, timezone
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy

from django_pm import access, event_types, users
from django_pm.admin.base import lives_in_project
from django_pm.models import Comment, Event, Membership, Project, Report, Task

NOTHING = "—"
LATEST = 20
"""How many events the page of a project shows."""

MODELS: dict[str, type[models.Model]] = {
    "project": Project,
    "member": Membership,
    "task": Task,
    "comment": Comment,
    "report": Report,
}
"""By what events call an object, where it lives."""

HAPPENED: dict[str, Any] = {
    "project.created": _lazy("Project created"),
    "project.updated": _lazy("Project changed"),
    "project.deleted": _lazy("Project deleted"),
    "project.resync": _lazy("Too much to tell at once"),
    "member.added": _lazy("Member added"),
    "member.changed": _lazy("Role of a member changed"),
    "member.removed": _lazy("Member removed"),
    "task.created": _lazy("Task created"),
    "task.updated": _lazy("Task changed"),
    "task.deleted": _lazy("Task deleted or moved away"),
    "task.escalated": _lazy("Task escalated by a rule"),
    "comment.created": _lazy("Comment written"),
    "comment.updated": _lazy("Comment changed"),
    "comment.deleted": _lazy("Comment deleted"),
    "report.generated": _lazy("Report made"),
    "report.deleted": _lazy("Report deleted"),
}

ENDS = ("deleted", "removed")


class Difference(NamedTuple):
    """One column of an event, in words."""

    label: str
    before: str
    after: str


def happened(event: Event) -> str:
    """What happened, in words; the public name for a type of a host's own."""
    return str(HAPPENED.get(event.type, event.type))


def label_of(kind: str, column: str) -> str:
    """What people call a tracked column of an object of ``kind``."""
    field = _field(kind, column)
    if field is None:
        return column
    name = field.related_model._meta.verbose_name_plural if field.auto_created else field.verbose_name
    return capfirst(str(name))


def columns_of(event: Event) -> str:
    """The columns that changed, on one line; nothing for what came into being or went."""
    if event.type != event_types.NAMES.get(event.object_type, ("", "", ""))[1] or event.object_type == "report":
        return ""
    told = [column for column in event.changes if column != "updated_at"]  # which every change moves
    return ", ".join(label_of(event.object_type, column) for column in told)


def differences(event: Event, reader: Any) -> list[Difference]:
    """What changed, column by column, as ``reader`` may know it: of what they do not see, the key alone."""
    names = _names(event, reader)
    return [
        Difference(label_of(event.object_type, column), *_sides(event.object_type, column, pair, names))
        for column, pair in event.changes.items()
    ]


def _sides(kind: str, column: str, pair: Any, names: dict[Any, str]) -> tuple[str, str]:
    if not isinstance(pair, list) or len(pair) != 2:
        return _("not told here"), _("not told here")
    before, after = (_shown(kind, column, value, names) for value in pair)
    return before, after


def _shown(kind: str, column: str, value: Any, names: dict[Any, str]) -> str:
    """One value as its reader would write it."""
    if value is None or value == "":
        return NOTHING
    if value == event_types.OMITTED:
        return _("too long to be kept in the log")
    field = _field(kind, column)
    if field is not None and field.is_relation:
        return names.get((field.related_model, str(value)), str(value))
    if isinstance(value, bool):
        return _("Yes") if value else _("No")
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)
    choices = dict(getattr(field, "flatchoices", None) or ())
    return str(choices[value]) if value in choices else _instant_or_text(field, value)


def _instant_or_text(field: Any, value: Any) -> str:
    try:
        if isinstance(field, models.DateTimeField) and (instant := parse_datetime(str(value))):
            local = timezone.localtime(instant) if timezone.is_aware(instant) else instant
            return formats.date_format(local, "DATETIME_FORMAT")
        if isinstance(field, models.DateField) and (day := parse_date(str(value))):
            return formats.date_format(day, "DATE_FORMAT")
    except ValueError:
        pass  # no such day: told as it was written
    return str(value)


def _field(kind: str, column: str) -> Any:
    model = MODELS.get(kind)
    try:
        return model._meta.get_field(column) if model else None
    except FieldDoesNotExist:
        return None


def _names(event: Event, reader: Any) -> dict[Any, str]:
    """By (model, key as text), the names of what the columns of an event point at; one statement for each model."""
    wanted: dict[Any, set[Any]] = defaultdict(set)
    for column, pair in event.changes.items():
        field = _field(event.object_type, column)
        if field is not None and field.is_relation and isinstance(pair, list):
            wanted[field.related_model].update(value for value in pair if isinstance(value, (int, str)))
    names: dict[Any, str] = {}
    for model, keys in wanted.items():
        rows: Any = model._default_manager.filter(pk__in=_valid_keys(model, keys))
        if lives_in_project(model):
            rows = access.visible(reader, rows)
        name_of = users.display_name if model is get_user_model() else str
        names.update({(model, str(row.pk)): f"{name_of(row)} ({row.pk})" for row in rows})
    return names


def _valid_keys(model: type[models.Model], keys: Iterable[Any]) -> list[Any]:
    valid = []
    for key in keys:
        try:
            valid.append(model._meta.pk.to_python(key))
        except ValidationError:
            continue
    return valid


# As HTML


def object_link(event: Event) -> str:
    """The object, with a link to where it lives in the admin unless this event tells of its end."""
    model = MODELS.get(event.object_type)
    text = f"{model._meta.verbose_name if model else event.object_type} {event.object_id}"
    if model is None or event.type.endswith(ENDS):
        return text
    return linked(model, event.object_id, text)


def project_link(project_id: Any) -> str:
    """The key of a project, with a link to its page."""
    return linked(Project, project_id, str(project_id))


def linked(model: type[models.Model], pk: Any, text: str) -> str:
    """``text`` with a link to the page of a row, where the admin has one."""
    try:
        url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_change", args=[pk])
    except NoReverseMatch:
        return text
    return format_html('<a href="{}">{}</a>', url, text)


def difference_table(event: Event, reader: Any) -> SafeString | str:
    """The differences as a table; a dash where there are none."""
    rows = [
        (label, linebreaks_filter(before), linebreaks_filter(after))
        for label, before, after in differences(event, reader)
    ]
    if not rows:
        return NOTHING
    return format_html(
        "<table><thead><tr><th>{}</th><th>{}</th><th>{}</th></tr></thead><tbody>{}</tbody></table>",
        _("Field"),
        _("Before"),
        _("After"),
        format_html_join("", "<tr><th>{}</th><td>{}</td><td>{}</td></tr>", rows),
    )


def latest_events(project: Project) -> SafeString | str:
    """The last events of a project, newest first, each with a link to its page."""
    events = Event.objects.filter(project_id=project.pk).order_by("-created_at", "-id")[:LATEST]
    rows = [
        (
            formats.date_format(timezone.localtime(event.created_at), "SHORT_DATETIME_FORMAT"),
            linked(Event, event.pk, happened(event)),
            object_link(event),
            columns_of(event),
            event.actor_name or NOTHING,
        )
        for event in events
    ]
    if not rows:
        return NOTHING
    return format_html(
        "<table><thead><tr><th>{}</th><th>{}</th><th>{}</th><th>{}</th><th>{}</th></tr></thead>"
        "<tbody>{}</tbody></table>",
        _("When"),
        _("What"),
        _("Object"),
        _("Changed"),
        _("By"),
        format_html_join("", "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>", rows),
    )
