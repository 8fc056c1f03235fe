"""The hour that clocks show twice is two hours: tasks that are due in it keep their order, reminders and days."""

import datetime as dt

import pytest
from django.core import mail

from django_pm.mail.sending import send_queue
from django_pm.models import Project
from django_pm.services.reminders import queue_due
from tests.api.support import ids, new_task, send
from tests.factories import make_project, make_user

pytestmark = pytest.mark.django_db

# On 3 November 2030 clocks show 01:30 twice: at 05:30 and at 06:30 UTC.
FIRST, SECOND = "2030-11-03T01:30:00-04:00", "2030-11-03T01:30:00-05:00"


@pytest.fixture(autouse=True)
def _shortly_before(time_machine) -> None:
    """So that who signs in now is signed in then."""
    time_machine.move_to(dt.datetime(2030, 11, 1, tzinfo=dt.UTC), tick=False)


@pytest.fixture
def twice(api, project):
    """The keys of two tasks that are due at half past one, an hour apart."""
    return [send(api, "POST", "/tasks/", new_task(project, due_date=due)).json()["id"] for due in (FIRST, SECOND)]


def test_a_project_has_the_time_zone_of_the_site(api) -> None:
    row = send(api, "POST", "/projects/", {"name": "Moon base"}).json()
    assert row["time_zone"] == Project.objects.get(pk=row["id"]).time_zone == "America/New_York"


def test_they_are_two_instants(api, twice) -> None:
    assert [api.get(f"/tasks/{key}/").json()["due_date"] for key in twice] == [
        "2030-11-03T05:30:00Z",
        "2030-11-03T06:30:00Z",
    ]


def test_their_order_and_what_lies_between(api, twice) -> None:
    assert ids(api.get("/tasks/?ordering=due_date")) == twice
    assert ids(api.get("/tasks/?ordering=-due_date")) == twice[::-1]
    assert ids(api.get("/tasks/", {"due_before": SECOND})) == twice[:1]
    assert ids(api.get("/tasks/", {"due_after": SECOND})) == twice[1:]


@pytest.mark.parametrize(("at", "count"), [("05:29", 0), ("05:31", 1), ("06:29", 1), ("06:31", 2)])
def test_one_is_overdue_an_hour_before_the_other(api, twice, time_machine, at, count) -> None:
    time_machine.move_to(dt.datetime.fromisoformat(f"2030-11-03T{at}:00Z"), tick=False)
    assert ids(api.get("/tasks/?overdue=true&ordering=due_date")) == twice[:count]


def test_each_is_reminded_of_once(signed_in, time_machine) -> None:
    owner = make_user(email="owner@example.org")
    project = make_project(owner)
    for due in (FIRST, SECOND):
        send(signed_in(owner), "POST", "/tasks/", new_task(project, due_date=due))
    for instant, total in (("02T05:29", 0), ("02T05:31", 1), ("02T06:31", 2), ("03T05:29", 2)):
        time_machine.move_to(dt.datetime.fromisoformat(f"2030-11-{instant}:00Z"), tick=False)
        queue_due()
        send_queue()
        assert len(mail.outbox) == total
    subjects = [message.body for message in mail.outbox]
    assert len(set(subjects)) == 2, "what is due an hour later reads otherwise"


def test_the_day_that_is_an_hour_longer_has_one_report(api, project, time_machine) -> None:
    send(api, "POST", "/tasks/", new_task(project, due_date=FIRST))
    dates = set()
    for instant in ("05:30", "06:30", "23:59"):
        time_machine.move_to(dt.datetime.fromisoformat(f"2030-11-03T{instant}:00Z"), tick=False)
        answer = send(api, "POST", f"/projects/{project.pk}/reports/", {})
        assert answer.status_code in {200, 201}
        dates.add(answer.json()["date"])
    assert dates == {"2030-11-03"}
