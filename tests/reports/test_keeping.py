"""How long reports are kept, and where whoever runs the site looks at them."""

import datetime as dt
import io

import pytest
from django.core.management import call_command
from django.urls import reverse

from django_pm.models import Event, Mail, NotificationPreferences, Project, Report
from django_pm.services.reports import make_due, make_today
from tests.factories import make_project, make_superuser, make_user

pytestmark = pytest.mark.django_db

NOW = dt.datetime(2031, 5, 4, 9, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


@pytest.fixture(autouse=True)
def _now(time_machine):
    time_machine.move_to(NOW, tick=False)


@pytest.fixture
def project():
    project = make_project(time_zone="UTC")
    Project.objects.update(created_at=NOW - 90 * DAY)
    return project


def dates():
    return [str(date) for date in Report.objects.order_by("date").values_list("date", flat=True)]


def prune():
    out = io.StringIO()
    call_command("pm_prune", stdout=out)
    return out.getvalue()


class TestRetention:
    @pytest.fixture
    def reports(self, project):
        return [Report.objects.create(project=project, date=NOW.date() - ago * DAY) for ago in (400, 31, 30, 29, 1, 0)]

    def test_for_ever_unless_asked_otherwise(self, reports):
        assert "pruned 0 reports" in prune()
        assert len(dates()) == len(reports)

    def test_for_so_many_days(self, reports, settings):
        settings.DJANGO_PM = {"REPORT_RETENTION_DAYS": 30}
        assert "pruned 2 reports" in prune()
        assert dates() == ["2031-04-04", "2031-04-05", "2031-05-03", "2031-05-04"]
        assert "pruned 0 reports" in prune()

    def test_each_that_goes_is_told(self, reports, settings):
        settings.DJANGO_PM = {"REPORT_RETENTION_DAYS": 30}
        prune()
        told = Event.objects.filter(type="report.deleted")
        assert {event.object_id for event in told} == {str(report.pk) for report in reports[:2]}

    def test_what_was_let_go_is_not_made_again(self, project, settings):
        make_due(NOW - 5 * DAY)
        make_due()
        settings.DJANGO_PM = {"REPORT_RETENTION_DAYS": 2}
        assert "pruned 3 reports" in prune()
        assert dates() == ["2031-05-02", "2031-05-03", "2031-05-04"]
        assert make_due() == 0
        assert make_due(NOW + DAY) == 1

    @pytest.mark.parametrize("report_hour", [0, 6, 23])
    @pytest.mark.parametrize("zone", ["Etc/GMT+12", "Pacific/Kiritimati"])
    def test_the_latest_is_kept_however_far_its_date_is_from_that_of_utc(
        self, project, settings, time_machine, zone, report_hour
    ):
        """Else it would be made, and mailed, again and again."""
        settings.DJANGO_PM = {"REPORT_RETENTION_DAYS": 1, "REPORT_HOUR": report_hour}
        Project.objects.update(time_zone=zone)
        for hour in range(48):
            time_machine.move_to(NOW + hour * dt.timedelta(hours=1), tick=False)
            make_due()
            prune()
            assert make_due() == 0

    def test_mail_of_what_was_let_go_is_not_sent(self, project, settings):
        NotificationPreferences.objects.create(user=project.created_by, reports=True)
        make_today(actor=None, project=project, now=NOW - 40 * DAY)
        settings.DJANGO_PM = {"REPORT_RETENTION_DAYS": 30}
        prune()
        assert dates() == []
        call_command("pm_send_mail", stdout=io.StringIO())
        assert [(mail.state, mail.reason) for mail in Mail.objects.all()] == [("skipped", "The report is gone.")]


class TestAdmin:
    @pytest.fixture
    def admin(self, signed_in):
        return signed_in(make_superuser())

    def test_the_list_shows_what_was_wrong(self, admin, project):
        Project.objects.update(time_zone="Moon/Base", name="<b>Moon</b>")
        assert make_due() == 1
        page = admin.get(reverse("admin:django_pm_report_changelist"))
        assert page.status_code == 200
        shown = page.content.decode()
        assert "“Moon/Base” of the project is not known here" in shown
        assert "&lt;b&gt;Moon&lt;/b&gt;" in shown
        assert "May 4, 2031" in shown

    def test_one_is_shown_and_not_written(self, admin, project):
        report, _new = make_today(actor=None, project=project)
        url = reverse("admin:django_pm_report_change", args=[report.pk])
        page = admin.get(url)
        assert page.status_code == 200
        assert "by_status" in page.content.decode()
        assert admin.post(url, {"note": "mine"}).status_code == 403
        assert admin.get(reverse("admin:django_pm_report_add")).status_code == 403
        assert admin.post(reverse("admin:django_pm_report_delete", args=[report.pk])).status_code == 403
        assert Report.objects.get().note == ""

    def test_the_list_takes_the_same_statements_for_many(self, admin, django_assert_max_num_queries):
        for _ in range(30):
            make_today(actor=None, project=make_project(make_user(), time_zone="UTC"))
        with django_assert_max_num_queries(12):
            assert admin.get(reverse("admin:django_pm_report_changelist")).status_code == 200

    def test_it_can_be_searched_and_narrowed(self, admin, project):
        make_today(actor=None, project=project)
        for query in ("?q=moon", "?date__year=2031&date__month=5", "?q=nothing"):
            page = admin.get(reverse("admin:django_pm_report_changelist") + query)
            assert (page.status_code, page.context["cl"].result_count) == (200, int("nothing" not in query))
