"""Which reports are made, once; and what cannot get in the way."""

import datetime as dt

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from django_pm.models import Event, Mail, NotificationPreferences, Project, Report, Role
from django_pm.services import reports
from django_pm.services.reports import due_projects, make_due, make_today, rebuild
from tests.factories import make_member, make_project, make_task, make_user

pytestmark = pytest.mark.django_db

NOW = dt.datetime(2031, 5, 4, 9, tzinfo=dt.UTC)
HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)


@pytest.fixture(autouse=True)
def _now(time_machine):
    time_machine.move_to(NOW, tick=False)


def old_project(owner=None, members=None, **fields):
    """One that was there before the day began."""
    project = make_project(owner, members, **{"time_zone": "UTC", **fields})
    Project.objects.filter(pk=project.pk).update(created_at=NOW - 30 * DAY)
    return project


def asks(user):
    NotificationPreferences.objects.create(user=user, reports=True)
    return user


def dates(project):
    return [
        str(date) for date in Report.objects.filter(project=project).order_by("date").values_list("date", flat=True)
    ]


class TestWhen:
    def test_once_for_each_date(self):
        project = old_project()
        assert [make_due(), make_due()] == [1, 0]
        assert dates(project) == ["2031-05-04"]
        assert make_due(NOW + DAY) == 1
        assert dates(project) == ["2031-05-04", "2031-05-05"]

    def test_of_no_project(self):
        assert make_due() == 0
        assert list(due_projects(NOW)) == []

    @pytest.mark.parametrize(("hour", "minute", "is_made"), [(5, 59, False), (6, 0, True)])
    def test_from_the_hour_of_the_site(self, hour, minute, is_made, settings):
        project = old_project()
        make_due(NOW - DAY)
        assert (make_due(NOW.replace(hour=hour, minute=minute)) == 1) is is_made
        settings.DJANGO_PM = {"REPORT_HOUR": 0}
        make_due(NOW.replace(hour=0))
        assert dates(project)[-1] == "2031-05-04"

    @pytest.mark.parametrize(
        ("zone", "date"), [("Pacific/Kiritimati", "2031-05-04"), ("Etc/GMT+12", "2031-05-03"), ("UTC", "2031-05-04")]
    )
    def test_on_the_date_of_the_project(self, zone, date):
        project = old_project(time_zone=zone)
        make_due()
        assert dates(project) == [date]
        assert Report.objects.get().time_zone == zone

    def test_a_new_project_waits_for_its_next_day(self):
        project = make_project(time_zone="UTC")
        assert make_due() == 0
        assert make_due(NOW + DAY) == 1
        assert dates(project) == ["2031-05-05"]

    def test_what_was_missed_is_made_up_for(self):
        project = old_project()
        make_due(NOW - 3 * DAY)
        assert make_due() == 3
        assert dates(project) == ["2031-05-01", "2031-05-02", "2031-05-03", "2031-05-04"]

    def test_a_week_at_most(self):
        project = old_project()
        make_due(NOW - 25 * DAY)
        make_due()
        assert dates(project)[1:] == [
            f"2031-{day}" for day in ("04-28", "04-29", "04-30", "05-01", "05-02", "05-03", "05-04")
        ]

    def test_a_clock_that_goes_back_makes_none_twice(self):
        project = old_project()
        make_due(NOW - DAY)
        assert [make_due(), make_due(NOW - DAY), make_due()] == [1, 0, 0]
        assert dates(project) == ["2031-05-03", "2031-05-04"]

    def test_a_clock_that_was_years_ahead_costs_no_report(self):
        project = old_project()
        make_due()
        assert make_due(NOW + 3000 * DAY) == 7
        assert [make_due(NOW + DAY), make_due(NOW + 3 * DAY), make_due(NOW + 3 * DAY)] == [1, 2, 0]
        assert dates(project)[:4] == ["2031-05-04", "2031-05-05", "2031-05-06", "2031-05-07"]

    def test_a_project_that_changes_its_zone_has_none_twice(self):
        project = old_project()
        make_due(NOW - DAY)
        make_due()
        for zone in ("Pacific/Kiritimati", "Etc/GMT+12", "UTC"):
            Project.objects.filter(pk=project.pk).update(time_zone=zone)
            assert make_due() == 0
        assert dates(project) == ["2031-05-03", "2031-05-04"]

    def test_a_zone_that_is_not_known_is_noted_and_in_nobodys_way(self):
        bad, good = old_project(time_zone="Moon/Base"), old_project()
        assert make_due() == 2
        assert Report.objects.get(project=good).note == ""
        report = Report.objects.get(project=bad)
        assert "“Moon/Base” of the project is not known here; UTC was used" in report.note
        assert report.time_zone == "UTC"


class TestAtOnce:
    def test_the_statements_do_not_grow_with_the_projects(self):
        def statements():
            for zone in ("UTC", "Europe/Berlin", "Asia/Kathmandu"):
                make_task(old_project(asks(make_user()), time_zone=zone))
            with CaptureQueriesContext(
                connection,
            ) as captured:
                assert make_due() >= 3
            return len(captured)

        first = statements()
        for _ in range(8):
            make_task(old_project(asks(make_user())))
        assert statements() == first

    def test_in_pieces(self, monkeypatch):
        monkeypatch.setattr(reports, "CHUNK", 2)
        for _ in range(5):
            old_project()
        assert make_due() == 5
        assert make_due() == 0

    def test_what_the_time_does_not_suffice_for_is_made_next(self, monkeypatch):
        monkeypatch.setattr(reports, "CHUNK", 2)
        for _ in range(5):
            old_project()
        made = [make_due(for_at_most=dt.timedelta(0)) for _ in range(4)]
        assert made == [2, 2, 1, 0]

    def test_a_project_that_cannot_be_reported_is_in_nobodys_way(self, monkeypatch, caplog):
        projects = [old_project() for _ in range(5)]
        summarise = reports.summarise

        def fail(places, now):
            if any(place.project_id == projects[3].pk for place in places):
                raise ValueError("broken")
            return summarise(places, now)

        monkeypatch.setattr(reports, "summarise", fail)
        assert make_due() == 4
        assert f"No report of project {projects[3].pk}" in caplog.text
        monkeypatch.undo()
        assert make_due() == 1

    def test_a_part_that_the_database_cannot_do_is_not_in_the_way_of_those_after_it(self, monkeypatch):
        """One that takes longer than a site allows its statements would be so every time."""
        monkeypatch.setattr(reports, "CHUNK", 2)
        slow, *others = [old_project() for _ in range(5)]
        make_due(NOW - 2 * DAY)
        summarise = reports.summarise

        def take_too_long(places, now):
            if any((place.project_id, str(place.date)) == (slow.pk, "2031-05-03") for place in places):
                raise OperationalError("canceling statement due to statement timeout")
            return summarise(places, now)

        monkeypatch.setattr(reports, "summarise", take_too_long)
        with pytest.raises(OperationalError, match="statement timeout"):
            make_due()
        assert [dates(project)[1:] for project in (slow, others[0])] == [[], []]
        assert {tuple(dates(project)[1:]) for project in others[1:]} == {("2031-05-03", "2031-05-04")}
        monkeypatch.undo()
        assert make_due() == 4

    def test_a_date_that_fails_once_is_not_lost(self, monkeypatch, caplog):
        """What is missing before the last report of a project is not looked for again."""
        project, other = old_project(), old_project()
        make_due(NOW - 3 * DAY)
        summarise = reports.summarise

        def fail_once(places, now):
            if any((place.project_id, str(place.date)) == (project.pk, "2031-05-03") for place in places):
                raise ValueError("broken")
            return summarise(places, now)

        monkeypatch.setattr(reports, "summarise", fail_once)
        assert make_due() == 4
        assert dates(project) == ["2031-05-01", "2031-05-02"]
        monkeypatch.undo()
        assert make_due() == 2
        assert dates(project) == dates(other) == ["2031-05-01", "2031-05-02", "2031-05-03", "2031-05-04"]


class TestToday:
    def test_is_made_once(self):
        project = old_project()
        report, is_new = make_today(actor=None, project=project)
        assert is_new
        assert make_today(actor=None, project=project) == (report, False)
        assert make_due() == 0

    def test_before_its_hour_and_then_not_again(self):
        project = old_project()
        make_due(NOW - DAY)
        make_today(actor=None, project=project, now=NOW.replace(hour=1))
        assert make_due() == 0
        assert dates(project) == ["2031-05-03", "2031-05-04"]

    def test_makes_up_for_what_was_missed(self):
        project = old_project()
        make_due(NOW - 2 * DAY)
        make_today(actor=None, project=project)
        assert dates(project) == ["2031-05-02", "2031-05-03", "2031-05-04"]

    def test_anew(self):
        project = old_project()
        report, _new = make_today(actor=None, project=project)
        make_task(project)
        rebuilt = rebuild(actor=None, report=report, now=NOW + HOUR)
        assert rebuilt.pk == report.pk
        assert Report.objects.get().data["tasks"]["total"] == 1
        assert Report.objects.get().generated_at == NOW + HOUR

    def test_anew_when_it_is_gone(self):
        report, _new = make_today(actor=None, project=old_project())
        Report.objects.all().delete()
        with pytest.raises(Report.DoesNotExist):
            rebuild(actor=None, report=report)


class TestEvents:
    def told(self):
        return [event for event in Event.objects.order_by("id") if event.object_type == "report"]

    def test_each_is_told_without_its_data(self):
        project = old_project()
        make_due()
        [event] = self.told()
        assert (event.type, event.project_id, event.origin) == ("report.generated", project.pk, "report")
        assert event.object_id == str(Report.objects.get().pk)
        assert event.changes["date"] == [None, "2031-05-04"]
        assert event.changes["data"] == {"omitted": True}

    def test_a_rebuild_is_told_too(self):
        report, _new = make_today(actor=None, project=old_project())
        rebuild(actor=None, report=report, now=NOW + HOUR)
        assert [event.type for event in self.told()] == ["report.generated"] * 2
        assert self.told()[1].changes["generated_at"] == ["2031-05-04T09:00:00Z", "2031-05-04T10:00:00Z"]

    def test_a_host_that_deletes_one_is_told(self):
        make_today(actor=None, project=old_project())
        Report.objects.all().delete()
        assert self.told()[-1].type == "report.deleted"
        assert self.told()[-1].changes["date"] == ["2031-05-04", None]


class TestMail:
    def queued(self):
        return [(mail.recipient, mail.occurrence) for mail in Mail.objects.order_by("occurrence", "recipient")]

    def test_goes_to_owners_and_managers_who_asked(self):
        owner, manager, member, silent = asks(make_user()), asks(make_user()), asks(make_user()), make_user()
        gone = asks(make_user(is_active=False))
        roles = {manager: Role.MANAGER, member: Role.MEMBER, silent: Role.MANAGER, gone: Role.MANAGER}
        old_project(owner, roles)
        make_due()
        assert {user for user, _date in self.queued()} == {owner, manager}

    def test_once_also_for_a_rebuild(self):
        report, _new = make_today(actor=None, project=old_project(asks(make_user())))
        rebuild(actor=None, report=report)
        make_due()
        assert len(self.queued()) == 1

    def test_waits_for_the_hour(self):
        make_today(actor=None, project=old_project(asks(make_user())), now=NOW.replace(hour=1))
        assert Mail.objects.get().due_at == NOW.replace(hour=6)

    def test_of_what_was_missed_only_yesterdays(self):
        owner = asks(make_user())
        old_project(owner)
        make_due(NOW - 4 * DAY)
        Mail.objects.all().delete()
        make_due()
        assert self.queued() == [(owner, "2031-05-03"), (owner, "2031-05-04")]


class TestMailOfWhatWasMadeEarly:
    """Somebody asks for the report of today before its hour has come."""

    @pytest.fixture
    def project(self, time_machine):
        project = old_project(asks(make_user()))
        make_due(NOW - DAY)
        Mail.objects.all().delete()
        time_machine.move_to(NOW.replace(hour=1), tick=False)
        make_today(actor=None, project=project)
        time_machine.move_to(NOW.replace(hour=5, minute=59), tick=False)
        make_due()
        return project

    def recipients(self):
        return [mail.recipient for mail in Mail.objects.order_by("pk")]

    def test_goes_also_to_who_asks_by_then(self, project, time_machine):
        early, manager = project.created_by, asks(make_user())
        make_member(project, manager, Role.MANAGER)
        asks(make_user())
        assert self.recipients() == [early]
        time_machine.move_to(NOW.replace(hour=6), tick=False)
        assert [make_due(), make_due()] == [0, 0]
        assert self.recipients() == [early, manager]
        assert {mail.due_at for mail in Mail.objects.all()} == {NOW.replace(hour=6)}

    def test_once_also_if_it_has_left(self, project, time_machine):
        time_machine.move_to(NOW, tick=False)
        Mail.objects.update(state="sent")
        make_due()
        assert [mail.state for mail in Mail.objects.all()] == ["sent"]

    def test_of_today_alone(self, project, time_machine):
        make_member(project, asks(make_user()), Role.MANAGER)
        Mail.objects.all().delete()
        time_machine.move_to(NOW + DAY, tick=False)
        make_due()
        assert {mail.occurrence for mail in Mail.objects.all()} == {"2031-05-05"}

    def test_one_that_was_made_at_its_hour_is_mailed_as_it_was(self):
        project = old_project(asks(make_user()))
        make_due()
        make_member(project, asks(make_user()), Role.MANAGER)
        make_due()
        assert self.recipients() == [project.created_by]

    def test_whom_nobody_can_tell_is_in_nobodys_way(self, project, time_machine, monkeypatch, caplog):
        other = old_project(asks(make_user()))
        make_today(actor=None, project=other)
        Mail.objects.all().delete()
        recipients_of = reports.recipients_of

        def fail(keys):
            if project.pk in keys:
                raise ValueError("broken")
            return recipients_of(keys)

        monkeypatch.setattr(reports, "recipients_of", fail)
        time_machine.move_to(NOW, tick=False)
        make_due()
        assert self.recipients() == [other.created_by]
        assert f"whom to mail report {Report.objects.get(project=project, date='2031-05-04').pk}" in caplog.text
