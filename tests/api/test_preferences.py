"""`/notification-preferences/`: one's own, and nobody else's."""

import pytest

from django_pm.models import NotificationPreferences
from tests.api.support import send
from tests.factories import make_user

pytestmark = pytest.mark.django_db

URL = "/notification-preferences/"
CHANNELS = {
    "mentioned": ["in_app", "mail"],
    "assigned": ["in_app", "mail"],
    "added": ["in_app", "mail"],
    "escalated": ["in_app", "mail"],
    "commented": ["in_app"],
    "status_changed": ["in_app"],
    "due_soon": ["in_app", "mail"],
    "report_ready": [],
}
DEFAULTS = {
    "language": "",
    "time_zone": "",
    "reminders": True,
    "reports": False,
    "channels": CHANNELS,
    "digest_hour": None,
    "overdue_digest": False,
}


def test_whoever_has_changed_nothing_has_the_defaults(api):
    assert api.get(URL).json() == DEFAULTS
    assert not NotificationPreferences.objects.exists()


def test_what_is_changed_is_kept_and_the_rest_stays(api):
    assert send(api, "PATCH", URL, {"time_zone": "Asia/Tokyo"}).json() == {**DEFAULTS, "time_zone": "Asia/Tokyo"}
    assert send(api, "PATCH", URL, {"reminders": False}).status_code == 200
    channels = {**CHANNELS, "due_soon": ["in_app"]}
    assert api.get(URL).json() == {
        **DEFAULTS,
        "time_zone": "Asia/Tokyo",
        "reminders": False,
        "channels": channels,
    }


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
        ({"digest_hour": 24}, "digest_hour"),
        ({"channels": []}, "channels"),
        ({"channels": {"whim": []}}, "channels"),
        ({"channels": {"whim": None}}, "channels"),
        ({"channels": {"assigned": "mail"}}, "channels"),
        ({"channels": {"assigned": [1]}}, "channels"),
        ({"channels": {"assigned": ["pigeon"]}}, "channels"),
        ({"channels": {"assigned": ["mail", "digest"]}}, "channels"),
    ],
)
def test_what_cannot_be_is_named_and_changes_nothing(api, body, field):
    response = send(api, "PATCH", URL, {**body, "reports": True})
    assert response.status_code == 400
    assert field in response.json()
    assert not NotificationPreferences.objects.exists()


def test_channels_are_chosen_reason_by_reason(api):
    choice = {"assigned": ["digest", "in_app", "in_app"], "commented": []}
    answer = send(api, "PATCH", URL, {"channels": choice}).json()
    assert answer["channels"] == {**CHANNELS, "assigned": ["in_app", "digest"], "commented": []}
    answer = send(api, "PATCH", URL, {"channels": {"assigned": None}}).json()
    assert answer["channels"] == {**CHANNELS, "commented": []}


def test_the_mail_of_reminders_and_reports_has_two_doors(api):
    choice = {"due_soon": ["in_app"], "report_ready": ["mail"]}
    answer = send(api, "PATCH", URL, {"channels": choice}).json()
    assert (answer["reminders"], answer["reports"]) == (False, True)
    answer = send(api, "PATCH", URL, {"reminders": True, "reports": False}).json()
    assert answer["channels"] == {**CHANNELS, "due_soon": ["in_app", "mail"], "report_ready": []}
    answer = send(api, "PATCH", URL, {"channels": dict.fromkeys(choice)}).json()
    assert answer == DEFAULTS


def test_one_project_may_differ(api, project):
    url = f"/projects/{project.pk}/notification-preferences/"
    assert api.get(url).json() == {"channels": {}}
    choice = {"commented": ["mail"], "status_changed": []}
    assert send(api, "PATCH", url, {"channels": choice}).json() == {"channels": choice}
    assert send(api, "PATCH", url, {"channels": {"commented": None}}).json() == {"channels": {"status_changed": []}}
    assert api.get(URL).json() == DEFAULTS
    refused = send(api, "PATCH", url, {"channels": {"due_soon": ["mail"]}})
    assert refused.status_code == 400
    assert [problem.partition(":")[0] for problem in refused.json()["channels"]] == ["due_soon"]


def test_what_the_host_writes_is_shown(api, owner):
    NotificationPreferences.objects.create(user=owner, language="de")
    assert api.get(URL).json()["language"] == "de"
