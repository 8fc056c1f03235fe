"""A report is heard of by whoever sees its project, whoever made it; what it says is not repeated."""

import datetime as dt

import pytest

from django_pm.models import Project
from django_pm.services.reports import make_due
from tests.api.support import send
from tests.factories import make_member, make_user

pytestmark = pytest.mark.postgres


@pytest.fixture
def two(site, project):
    """The sockets of a viewer and of a stranger."""
    viewer = make_member(project, role="viewer").user
    Project.objects.update(created_at=project.created_at - dt.timedelta(days=9))
    with site.socket(viewer) as theirs, site.socket(make_user()) as strangers:
        assert set(theirs.frame("welcome")["heads"]) == {str(project.pk)}
        assert strangers.frame("welcome")["heads"] == {}
        yield theirs, strangers


def test_made_over_the_api(two, api, owner, project):
    viewers, strangers = two
    made = send(api, "POST", f"/projects/{project.pk}/reports/", {}).json()
    told = viewers.frame()
    assert told["type"] == "report.generated"
    assert told["object"] == {"type": "report", "id": made["id"]}
    assert told["actor"]["id"] == (owner.pk if isinstance(owner.pk, int) else str(owner.pk))
    assert told["changes"]["date"] == [None, made["date"]]
    assert told["changes"]["data"] == {"omitted": True}
    assert strangers.is_quiet()
    assert send(api, "POST", f"/projects/{project.pk}/reports/", {}).status_code == 200
    assert viewers.is_quiet()
    send(api, "POST", f"/projects/{project.pk}/reports/", {"force": True})
    again = viewers.frame()
    assert (again["type"], again["object"], again["seq"]) == ("report.generated", told["object"], told["seq"] + 1)
    assert set(again["changes"]) <= {"generated_at", "data", "updated_at"}


def test_made_because_it_was_due(two, project):
    viewers, strangers = two
    assert make_due() == 1
    told = viewers.frame()
    assert (told["type"], told["actor"], told["origin"]) == ("report.generated", None, "report")
    assert strangers.is_quiet()
    assert make_due() == 0
    assert viewers.is_quiet()
