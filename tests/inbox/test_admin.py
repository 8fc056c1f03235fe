"""What the admin takes of where people want to be told: what the API takes."""

from __future__ import annotations

import json

import pytest
from django.urls import reverse

from django_pm.models import NotificationPreferences, ProjectChannels
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def save(client, project):
    """`save(model, channels)`: the problems that the form has with them."""
    client.force_login(factories.make_superuser())
    user = factories.make_user()

    def fill_in(model, channels):
        fields = {"project_id": project.pk} if model is ProjectChannels else {}
        path = reverse(f"admin:django_pm_{model._meta.model_name}_add")
        text = channels if isinstance(channels, str) else json.dumps(channels)
        answer = client.post(path, {"user": user.pk, "channels": text, **fields})
        return [] if answer.status_code == 302 else answer.context["adminform"].form.errors["channels"]

    return fill_in


@pytest.mark.parametrize("model", [NotificationPreferences, ProjectChannels])
@pytest.mark.parametrize(
    ("chosen", "problem"),
    [
        (["mail"], "Expected an object"),
        ({"assigned": "mail"}, "assigned: Expected a list of channels."),
        ({"assigned": ["mail", "digest"]}, "assigned: Either “mail” or “digest”, not both."),
        ({"assigned": ["fax"]}, "assigned: “fax” is no channel."),
        ({"bored": []}, "“bored” is no reason."),
    ],
)
def test_what_is_no_choice_is_named(save, model, chosen, problem):
    assert problem in "".join(save(model, chosen))
    assert not model.objects.exists()


@pytest.mark.parametrize("model", [NotificationPreferences, ProjectChannels])
def test_a_choice_is_kept(save, model):
    assert save(model, {"assigned": ["in_app", "digest"], "mentioned": []}) == []
    assert model.objects.get().channels == {"assigned": ["in_app", "digest"], "mentioned": []}


def test_nothing_is_no_choice(save):
    assert save(NotificationPreferences, "") == []
    assert NotificationPreferences.objects.get().channels == {}
