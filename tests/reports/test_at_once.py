"""Reports that are made by many at once, beside requests and deletions: each once, with its event and its mail."""

import datetime as dt
import itertools
import threading
from collections import Counter
from functools import partial

import pytest
from django.db import transaction

from django_pm.models import Event, Mail, NotificationPreferences, Project, Report, Task
from django_pm.services import reports
from django_pm.services.reports import make_due, make_today, rebuild
from tests.api.support import at_once, send
from tests.events.workers import PATIENCE, Session
from tests.factories import make_member, make_project, make_task, make_user

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]

NOW = dt.datetime(2031, 5, 4, 9, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


@pytest.fixture(autouse=True)
def _now(time_machine):
    time_machine.move_to(NOW, tick=False)


@pytest.fixture
def owner():
    user = make_user("owner")
    NotificationPreferences.objects.create(user=user, reports=True)
    return user


@pytest.fixture
def projects(owner):
    """Old ones, with something in them and somebody who wants their reports."""
    projects = [make_project(owner, time_zone="UTC") for _ in range(12)]
    Project.objects.update(created_at=NOW - 30 * DAY)
    for project in projects:
        make_task(project)
    return projects


def assert_each_once(projects, dates=1, mailed=1):
    """One report for each project and date, one event for each of them, one message for each that is mailed."""
    made = Counter(Report.objects.values_list("project", flat=True))
    assert made == {project.pk: dates for project in projects}
    told = Counter(Event.objects.filter(type="report.generated").values_list("object_id", flat=True))
    assert told == {str(key): 1 for key in Report.objects.values_list("pk", flat=True)}
    assert Mail.objects.count() == mailed * len(projects)


@pytest.fixture
def meeting(monkeypatch):
    """`meeting(number)`: the first so many who have read the data of a report wait there for each other."""

    def arrange(number):
        barrier, arrivals, summarise = threading.Barrier(number), itertools.count(), reports.summarise

        def wait(places, now):
            found = summarise(places, now)
            if next(arrivals) < number:
                barrier.wait(PATIENCE)
            return found

        monkeypatch.setattr(reports, "summarise", wait)

    return arrange


@pytest.fixture
def _nobody_fails(caplog):
    """What fails is made apart, and noted; here nothing may."""
    yield
    assert [record.getMessage() for record in caplog.records if record.name.startswith("django_pm")] == []


@pytest.mark.usefixtures("_nobody_fails")
class TestMakeDue:
    def test_two_at_once_make_each_once(self, projects, meeting):
        """Both find all of them missing; whoever is second finds them made."""
        meeting(2)
        assert sorted(at_once(make_due, make_due)) == [0, 12]
        assert_each_once(projects)

    def test_who_is_second_waits_for_who_is_first(self, projects):
        with Session() as first, Session() as second:
            first.begin()
            assert first.do(make_due) == 12
            later = second.start_and_stick(make_due)
            first.commit()
            assert later.result(PATIENCE) == 0
        assert_each_once(projects)

    def test_if_who_is_first_fails_the_second_makes_them(self, projects):
        with Session() as first, Session() as second:
            first.begin()
            assert first.do(make_due) == 12
            later = second.start_and_stick(make_due)
            first.rollback()
            assert later.result(PATIENCE) == 12
        assert_each_once(projects)

    def test_many_at_once_make_up_for_what_was_missed(self, projects, monkeypatch):
        monkeypatch.setattr(reports, "CHUNK", 5)
        make_due(NOW - 4 * DAY)
        assert sum(at_once(*[make_due] * 4)) == 4 * len(projects)
        assert_each_once(projects, dates=5, mailed=3)

    def test_beside_requests(self, projects, owner, signed_in, meeting):
        meeting(4)
        clients = [signed_in(owner) for _ in range(3)]
        path = f"/projects/{projects[5].pk}/reports/"
        made, *answers = at_once(make_due, *(partial(send, client, "POST", path, {}) for client in clients))
        assert made + sum(answer.status_code == 201 for answer in answers) == 12
        assert {answer.status_code for answer in answers} <= {200, 201}
        assert all(answer.json() == answers[0].json() for answer in answers)
        assert_each_once(projects)

    @pytest.mark.parametrize("_round", range(3))
    def test_beside_the_deletion_of_a_project(self, projects, _round):
        gone, *others = projects
        at_once(make_due, gone.delete, make_due)
        assert not Report.objects.filter(project=gone.pk).exists()
        make_due()
        assert Counter(Report.objects.values_list("project", flat=True)) == {project.pk: 1 for project in others}

    def test_a_project_that_is_deleted_while_it_is_read(self, projects, monkeypatch):
        """It was there when it was found to be due, and is not when its report is stored."""
        summarise = reports.summarise

        def delete_meanwhile(places, now):
            with Session() as other:
                other.do(Project.objects.filter(pk=projects[0].pk).delete)
            return summarise(places, now)

        monkeypatch.setattr(reports, "summarise", delete_meanwhile)
        assert make_due() == 11
        assert_each_once(projects[1:])

    def test_a_project_that_is_being_deleted_is_waited_for(self, projects):
        """And is in the way of none of the others."""
        with Session() as other:
            other.begin()
            other.do(Project.objects.get(pk=projects[0].pk).delete)
            with Session() as maker:
                made = maker.start_and_stick(make_due)
                other.commit()
                assert made.result(PATIENCE) == 11
        assert_each_once(projects[1:])


@pytest.mark.usefixtures("_nobody_fails")
class TestOneReport:
    def test_of_many_requests_one_makes_it(self, projects, owner, signed_in, meeting):
        meeting(4)
        clients = [signed_in(owner) for _ in range(4)]
        path = f"/projects/{projects[0].pk}/reports/"
        answers = at_once(*(partial(send, client, "POST", path, {}) for client in clients))
        assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 201]
        assert len({answer.headers["ETag"] for answer in answers}) == 1
        assert all(answer.json() == answers[0].json() for answer in answers)
        assert_each_once(projects[:1])

    @pytest.mark.parametrize("is_forced", [False, True])
    def test_a_project_that_is_deleted_meanwhile_is_not_found(self, projects, owner, signed_in, monkeypatch, is_forced):
        project = projects[0]
        if is_forced:
            make_today(actor=owner, project=project)
        summarise = reports.summarise

        def delete_meanwhile(places, now):
            found = summarise(places, now)
            with Session() as other:
                other.do(Project.objects.filter(pk=project.pk).delete)
            return found

        client = signed_in(owner)
        monkeypatch.setattr(reports, "summarise", delete_meanwhile)
        answer = send(client, "POST", f"/projects/{project.pk}/reports/", {"force": is_forced})
        assert answer.status_code == 404
        assert not Report.objects.exists()

    def test_all_who_force_it_at_once_are_told(self, projects, owner, signed_in):
        make_today(actor=owner, project=projects[0])
        clients = [signed_in(owner) for _ in range(4)]
        path = f"/projects/{projects[0].pk}/reports/"
        answers = at_once(*(partial(send, client, "POST", path, {"force": True}) for client in clients))
        assert [answer.status_code for answer in answers] == [200] * 4
        assert Report.objects.count() == 1

    def test_it_can_be_made_while_tasks_are_written(self, projects, owner):
        """Nobody who writes holds it up."""
        with Session() as writer:
            writer.begin()
            writer.do(Task.objects.filter(project=projects[0]).update, title="held")
            report, is_new = make_today(actor=owner, project=projects[0])
            assert is_new
            assert rebuild(actor=owner, report=report) == report
            writer.commit()

    def test_inside_a_hosts_own_transaction(self, projects, owner):
        """It sees what the host has written there, and goes with it if that is undone."""
        with transaction.atomic():
            make_task(projects[0])
            report, _new = make_today(actor=owner, project=projects[0])
            assert report.data["tasks"]["total"] == 2
            transaction.set_rollback(True)
        assert not Report.objects.exists()
        assert not Mail.objects.exists()


def test_a_recipient_who_is_deleted_meanwhile_delays_one_report(projects, monkeypatch):
    manager = make_user()
    NotificationPreferences.objects.create(user=manager, reports=True)
    make_member(projects[3], manager, "manager")
    recipients_of = reports.recipients_of

    def delete_meanwhile(keys):
        found = recipients_of(keys)
        with Session() as other:
            other.do(lambda: manager.delete() if manager.pk else None)
        return found

    monkeypatch.setattr(reports, "recipients_of", delete_meanwhile)
    made = make_due()
    monkeypatch.undo()
    assert made + make_due() == 12
    assert_each_once(projects)
