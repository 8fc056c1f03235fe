"""What tests of the admin do again and again: sign staff in, open pages, fill in forms, send actions."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Permission
from django.forms import MultiWidget
from django.test import Client
from django.urls import reverse

from tests import factories

MODELS = ("project", "task", "comment", "membership")


def make_staff(name: str | None = None, *codenames: str) -> Any:
    """Somebody who may open the admin and, by Django's permissions, do all to projects and what is in them."""
    staff = factories.make_user(name, is_staff=True)
    wanted = codenames or [f"{verb}_{model}" for model in MODELS for verb in ("view", "add", "change", "delete")]
    staff.user_permissions.set(Permission.objects.filter(content_type__app_label="django_pm", codename__in=wanted))
    return staff


def path(model: str, page: str = "changelist", *args: Any) -> str:
    """The address of a page of the admin."""
    return reverse(f"admin:django_pm_{model}_{page}", args=args)


def listed(client: Client, model: str, **query: Any) -> list[Any]:
    """The rows of a list."""
    return list(client.get(path(model), query).context["cl"].result_list)


def act(client: Client, action: str, rows: Any, **fields: Any) -> Any:
    """Send an action on the list of tasks; with ``fields`` the form between is filled in too."""
    data = {"action": action, "_selected_action": [row.pk for row in rows]}
    return client.post(path("task"), {**data, **({"post": "yes", **fields} if fields else {})}, follow=True)


def told(answer: Any) -> list[str]:
    """The messages that the page shows."""
    return [str(message) for message in answer.context["messages"]]


def fields_of(client: Client, url: str, **changes: Any) -> dict[str, Any]:
    """What a browser would send if it were given only ``changes``: the form as it stands, inlines included."""
    page = client.get(url)
    assert page.status_code == 200, page
    forms = [page.context["adminform"].form]
    for inline in page.context["inline_admin_formsets"]:
        forms += [inline.formset.management_form, *inline.formset.forms]
    values: dict[str, Any] = {}
    for form in forms:
        for bound in form:
            shown, widget = bound.value(), bound.field.widget
            if isinstance(widget, MultiWidget):  # a date and a time
                parts = enumerate(widget.decompress(shown))
                values.update({f"{bound.html_name}_{number}": part or "" for number, part in parts})
            elif shown is not False:  # a box that is not ticked is not sent
                values[bound.html_name] = "" if shown is None else shown
    return {**values, **changes}


def problems(answer: Any) -> str:
    """What a form refused, as text; empty where it was saved."""
    if answer.status_code == 302:
        return ""
    found = [str(answer.context["adminform"].form.errors)]
    found += [str(inline.formset.non_form_errors()) for inline in answer.context["inline_admin_formsets"]]
    return "".join(found) or "not saved"
