"""`/notification-preferences/`: one's own, and nobody else's."""

import pytest

from django_pm.models import NotificationPreferences
from tests.api.support import send
from tests.factories import make_user

pytestmark = pytest.mark.django_db

URL = "/notification-preferences/"
DEFAULTS = {"language": "", "time_zone": "", "reminders": True, "reports": False}


def test_whoever_has_changed_nothing_has_the_defaults(api):
    assert api.get(URL).json() == DEFAULTS
    assert not NotificationPreferences.objects.exists()


def test_what_is_changed_is_kept_and_the_rest_stays(api):
    assert send(api, "PATCH", URL, {"time_zone": "Asia/Tokyo"}).json() == {**DEFAULTS, "time_zone": "Asia/Tokyo"}
    assert send(api, "PATCH", URL, {"reminders": False}).status_code == 200
    assert api.get(URL).json() == {**DEFAULTS, "time_zone": "Asia/Tokyo", "reminders": False}


def test_everybody_has_their_own(api, signed_in):
    send(api, "PATCH", URL, {"reports": True})
    assert signed_in(make_user()).get(URL).json() == DEFAULTS


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"time_zone": "Moon/Base"}, "time_zone"),
        ({"language": "xx"}, "language"),
        ({"reminders": "perhaps"}, "reminders"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_cannot_be_is_named_and_changes_nothing(api, body, field):
    response = send(api, "PATCH", URL, {**body, "reports": True})
    assert response.status_code == 400
    assert field in response.json()
    assert not NotificationPreferences.objects.exists()


def test_what_the_host_writes_is_shown(api, owner):
    NotificationPreferences.objects.create(user=owner, language="de")
    assert api.get(URL).json()["language"] == "de"
