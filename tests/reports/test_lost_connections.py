"""The database goes away while reports are made, at every point of it: the next look makes what is missing, once."""

import datetime as dt
from collections import Counter
from functools import partial

import pytest
from django.core.management import call_command
from django.db import OperationalError, close_old_connections, connections

from django_pm.models import Event, Mail, NotificationPreferences, Project, Report
from django_pm.services import reports
from django_pm.services.jobs import JOBS
from tests.events.workers import Session, backend_pid, interrupted, terminate
from tests.factories import make_project, make_task, make_user

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]

NOW = dt.datetime(2031, 5, 4, 9, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
[JOB] = [job for job in JOBS if job.name == "send_daily_reports"]


@pytest.fixture(autouse=True)
def _now(time_machine):
    time_machine.move_to(NOW, tick=False)


@pytest.fixture
def projects(monkeypatch):
    """In three pieces."""
    monkeypatch.setattr(reports, "CHUNK", 2)
    owner = make_user("owner")
    NotificationPreferences.objects.create(user=owner, reports=True)
    projects = [make_project(owner, time_zone="UTC") for _ in range(5)]
    Project.objects.update(created_at=NOW - 30 * DAY)
    for project in projects:
        make_task(project)
    return projects


def forget():
    Mail.objects.all().delete()
    Report.objects.all().delete()
    Event.objects.filter(object_type="report").delete()


def assert_each_once(projects):
    made = Counter(Report.objects.values_list("project", flat=True))
    assert made == {project.pk: 1 for project in projects}
    told = Counter(Event.objects.filter(type="report.generated").values_list("object_id", flat=True))
    assert told == {str(key): 1 for key in Report.objects.values_list("pk", flat=True)}
    assert sorted(Mail.objects.values_list("object_id", flat=True)) == sorted(told)


def next_look():
    """As whatever runs the job goes about it."""
    close_old_connections()
    JOB.do()


def test_before_any_statement(projects):
    with interrupted(-1, lambda: None) as statements:
        JOB.do()
    assert_each_once(projects)
    assert len(statements) > 40
    with Session() as other:
        for at in range(len(statements)):
            forget()
            # Told is why it was ended, and not only that it is closed.
            with (
                pytest.raises(OperationalError, match="terminat"),
                interrupted(at, partial(other.do, terminate, backend_pid())),
            ):
                JOB.do()
            next_look()
            assert_each_once(projects)


@pytest.mark.parametrize("is_committed", [False, True])
@pytest.mark.parametrize("number", range(6))
def test_at_a_commit(projects, number, is_committed, monkeypatch):
    """Also where it has been committed, and only the answer is lost."""
    ours, left = connections["default"], iter(range(number, -1, -1))
    commit = type(ours)._commit
    with Session() as other:
        lose = partial(other.do, terminate, backend_pid())

        def commit_or_lose(self):
            is_the_one = self is ours and next(left, None) == 0
            if is_the_one and not is_committed:
                lose()
            commit(self)
            if is_the_one and is_committed:
                lose()
                self.cursor().execute("SELECT 1")

        monkeypatch.setattr(type(ours), "_commit", commit_or_lose)
        with pytest.raises(OperationalError):
            JOB.do()
        next_look()
    assert_each_once(projects)


def test_the_jobs_after_one_that_lost_it_go_on(projects, monkeypatch):
    """They run by one connection, which is opened anew."""
    monkeypatch.setattr("django_pm.management.commands.pm_run.JOBS", [JOBS[1], JOB])
    with Session() as other, interrupted(0, partial(other.do, terminate, backend_pid())):
        call_command("pm_run", once=True)
    assert_each_once(projects)
