"""What a pause, a clock that is set, and summer time do to reminders and reports; and the times that mail tells."""

import datetime as dt

import pytest
from django.contrib.auth import get_user_model

from django_pm.mail import sending as mailing
from django_pm.mail.sending import claim, send_queue
from django_pm.models import Mail, MailState, NotificationPreferences, Project, Report, Role
from django_pm.services.reminders import queue_due
from django_pm.services.reports import make_due, make_today
from tests.factories import make_member, make_project, make_task, make_user

pytestmark = pytest.mark.django_db

NOW = dt.datetime(2031, 5, 4, 9, tzinfo=dt.UTC)
MINUTE, HOUR, DAY = dt.timedelta(minutes=1), dt.timedelta(hours=1), dt.timedelta(days=1)


def instant(text):
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


@pytest.fixture
def owner():
    user = make_user("owner", **{get_user_model().get_email_field_name(): "owner@example.org"})
    NotificationPreferences.objects.create(user=user, reports=True)
    return user


@pytest.fixture
def clock(time_machine):
    """`clock(at)`: it stands there."""

    def move(at):
        time_machine.move_to(at, tick=False)
        return at

    move(NOW)
    return move


def old_project(owner, at=NOW, **fields):
    """One that was there a month before `at`."""
    project = make_project(owner, **{"time_zone": "UTC", **fields})
    Project.objects.filter(pk=project.pk).update(created_at=at - 30 * DAY)
    return project


def subjects(sink):
    return [message["Subject"] for message in sink.messages]


def ended():
    return {mail.occurrence: (mail.state, mail.reason) for mail in Mail.objects.all()}


class TestAPause:
    """Nobody looked for 26 hours."""

    def test_reminders(self, owner, sink, clock):
        project = make_project(owner)
        make_task(project, title="Late", due_date=NOW + 30 * HOUR)
        make_task(project, title="Past before it was queued", due_date=NOW + 25 * HOUR)
        make_task(project, title="Past before it was sent", due_date=NOW + 20 * HOUR)
        assert queue_due() == 1
        clock(NOW + 26 * HOUR)
        assert [queue_due(), send_queue()] == [1, {MailState.SENT: 1, MailState.SKIPPED: 1}]
        assert [queue_due(), send_queue()] == [0, {}]
        assert subjects(sink) == ["Due soon: Late"]
        assert ended() == {
            "2031-05-05T15:00:00Z": (MailState.SENT, ""),
            "2031-05-05T05:00:00Z": (MailState.SKIPPED, "The task was due before the reminder could leave."),
        }

    @pytest.mark.parametrize(
        ("zone", "last", "expected"),
        [
            ("UTC", "2031-05-03T06:00", ["2031-05-03", "2031-05-04", "2031-05-05"]),
            ("Europe/Berlin", "2031-03-28T05:00", ["2031-03-28", "2031-03-29", "2031-03-30"]),
            ("America/New_York", "2031-11-01T10:00", ["2031-11-01", "2031-11-02", "2031-11-03"]),
            ("Pacific/Apia", "2011-12-28T16:00", ["2011-12-28", "2011-12-29", "2011-12-31"]),  # it had no 30th
        ],
    )
    def test_reports(self, owner, sink, clock, zone, last, expected):
        """The look at 23 hours was the last that found nothing, and the next one is at 49."""
        looked = clock(instant(last))
        old_project(owner, looked, time_zone=zone)
        assert make_due() == 1
        send_queue()
        clock(looked + 23 * HOUR)
        assert make_due() == 0
        clock(looked + 49 * HOUR)
        assert [make_due(), send_queue()] == [2, {MailState.SENT: 2}]
        assert [make_due(), send_queue()] == [0, {}]
        assert [str(report.date) for report in Report.objects.order_by("date")] == expected
        assert {key: state for key, (state, _reason) in ended().items()} == dict.fromkeys(expected, MailState.SENT)

    def test_a_report_that_waited_too_long(self, owner, sink, clock):
        old_project(owner)
        make_due()
        clock(NOW + 2 * DAY)
        assert [make_due(), send_queue()] == [2, {MailState.SENT: 2, MailState.SKIPPED: 1}]
        assert ended()["2031-05-04"] == (MailState.SKIPPED, "A later report came before it could leave.")


class TestAClockThatIsSetBackAnHour:
    def test_between_claiming_and_sending(self, owner, sink, clock, monkeypatch):
        make_task(make_project(owner), due_date=NOW + 5 * HOUR)
        queue_due()

        def claim_and_set_back(now):
            claimed = claim(now)
            clock(NOW - HOUR)
            return claimed

        with monkeypatch.context() as patch:
            patch.setattr(mailing, "claim", claim_and_set_back)
            assert send_queue() == {MailState.SENT: 1}
        for at in (NOW - HOUR, NOW, NOW + HOUR):
            clock(at)
            assert [queue_due(), send_queue()] == [0, {}]
        assert len(sink.messages) == 1

    def test_after_whoever_claimed_it_was_killed(self, owner, sink, clock):
        """It takes until the clock shows the end of the claim, and no message is lost."""
        make_task(make_project(owner), due_date=NOW + 5 * HOUR)
        queue_due()
        assert len(claim(NOW)) == 1
        clock(NOW - HOUR)
        assert [queue_due(), send_queue()] == [0, {}]
        clock(NOW + mailing.CLAIMED_FOR)
        assert [queue_due(), send_queue()] == [0, {MailState.SENT: 1}]
        assert len(sink.messages) == 1

    def test_after_it_was_too_late(self, owner, sink, clock):
        """What a clock that was ahead found past due is told when it turns out that it is not."""
        make_task(make_project(owner), due_date=NOW + HOUR)
        queue_due()
        clock(NOW + 2 * HOUR)
        assert [queue_due(), send_queue()] == [0, {MailState.SKIPPED: 1}]
        clock(NOW + MINUTE)
        assert [queue_due(), send_queue()] == [1, {MailState.SENT: 1}]

    def test_between_two_looks_for_reports(self, owner, sink, clock):
        old_project(owner)
        clock(NOW.replace(hour=6))
        assert [make_due(), send_queue()] == [1, {MailState.SENT: 1}]
        for hour in (5, 6, 7):
            clock(NOW.replace(hour=hour))
            assert make_due() == (1 if hour == 5 else 0)  # of the date before, which nobody had looked in
            send_queue()
        assert sorted(str(report.date) for report in Report.objects.all()) == ["2031-05-03", "2031-05-04"]
        assert len(sink.messages) == Mail.objects.count() == 2


class TestSummerTime:
    @pytest.mark.parametrize(
        ("zone", "hour", "comes"),
        [
            ("Europe/Berlin", 1, "2031-03-30T00:00"),
            ("Europe/Berlin", 2, "2031-03-30T01:00"),  # the hour is left out: at 03:00
            ("Europe/Berlin", 1, "2031-10-25T23:00"),
            ("Europe/Berlin", 2, "2031-10-26T00:00"),  # it comes twice: the first time
            ("America/New_York", 1, "2031-03-09T06:00"),
            ("America/New_York", 2, "2031-03-09T07:00"),  # left out
            ("America/New_York", 1, "2031-11-02T05:00"),  # twice
            ("America/New_York", 2, "2031-11-02T07:00"),
        ],
    )
    def test_one_report_for_each_date(self, owner, sink, clock, settings, zone, hour, comes):
        settings.DJANGO_PM = {"REPORT_HOUR": hour}
        comes = instant(comes)
        old_project(owner, clock(comes - 2 * HOUR), time_zone=zone)
        made = [make_due()]
        for wait in (-MINUTE, 0 * MINUTE, 59 * MINUTE, HOUR, 2 * HOUR, 22 * HOUR, 26 * HOUR):
            clock(comes + wait)
            made.append(make_due())
            send_queue()
        assert made == [1, 0, 1, 0, 0, 0, 0, 1]
        dates = [report.date for report in Report.objects.order_by("date")]
        assert [date - dates[0] for date in dates] == [0 * DAY, DAY, 2 * DAY]
        assert len(sink.messages) == 3


class TestWhatMailTells:
    def body(self, sink):
        return [" ".join(message.get_body(("plain",)).get_content().split()) for message in sink.messages]

    def test_a_report_in_the_language_and_zone_of_its_recipient(self, owner, sink, clock):
        """But of the date of the project, which for the recipient is the one before."""
        NotificationPreferences.objects.update(language="de", time_zone="America/New_York")
        project = old_project(owner, clock(instant("2031-03-08T17:00")), time_zone="Pacific/Kiritimati")
        for due in ("2031-03-09T06:30", "2031-03-09T07:30"):
            make_task(project, title="Dig", due_date=instant(due))
        make_due()
        send_queue()
        assert subjects(sink) == ["Moon base: Bericht vom 9. März 2031"]
        assert "Dig, 9. März 2031 01:30" in self.body(sink)[0]
        assert "Dig, 9. März 2031 03:30" in self.body(sink)[0]

    def test_zones_with_the_same_name_are_told_apart(self, owner, sink, clock):
        """“CST” is the time in Chicago, and in Shanghai."""
        project = old_project(owner, clock(instant("2031-01-08T17:00")))
        other = make_user("shanghai", **{get_user_model().get_email_field_name(): "shanghai@example.org"})
        make_member(project, other, Role.OWNER)
        for user, zone in ((owner, "America/Chicago"), (other, "Asia/Shanghai")):
            NotificationPreferences.objects.update_or_create(user=user, defaults={"time_zone": zone})
        make_task(project, title="Dig", due_date=instant("2031-01-09T06:00"))
        queue_due()
        send_queue()
        bodies = self.body(sink)
        assert sum("Jan. 9, 2031, midnight (CST)" in body for body in bodies) == 1
        assert sum("Jan. 9, 2031, 2 p.m. (CST)" in body for body in bodies) == 1

    @pytest.mark.parametrize(
        ("due", "told"),
        [
            ("2031-03-30T00:59", "30. März 2031 01:59 (CET)"),
            ("2031-03-30T01:00", "30. März 2031 03:00 (CEST)"),
            ("2031-10-25T23:59", "26. Oktober 2031 01:59 (CEST)"),
            ("2031-10-26T02:00", "26. Oktober 2031 03:00 (CET)"),
            ("2031-10-26T00:30", "26. Oktober 2031 02:30 (CEST)"),
            ("2031-10-26T01:30", "26. Oktober 2031 02:30 (CET)"),
        ],
    )
    def test_a_reminder_when_clocks_change(self, owner, sink, clock, due, told):
        NotificationPreferences.objects.update(language="de", time_zone="Europe/Berlin")
        clock(instant(due) - 24 * HOUR)
        make_task(make_project(owner), due_date=instant(due))
        assert [queue_due(), send_queue()] == [1, {MailState.SENT: 1}]
        assert told in self.body(sink)[0]
        html = sink.messages[0].get_body(("html",)).get_content()
        assert told in html.replace("<strong>", "").replace("</strong>", "")

    def test_a_zone_that_this_machine_does_not_know(self, owner, sink, clock):
        NotificationPreferences.objects.update(time_zone="Europe")  # a folder of the database of zones
        make_task(make_project(owner), due_date=NOW + HOUR)
        assert [queue_due(), send_queue()] == [1, {MailState.SENT: 1}]
        assert "May 4, 2031, 10 a.m. (UTC)" in self.body(sink)[0]

    @pytest.mark.parametrize(
        ("zone", "at", "day"),
        [
            ("Pacific/Apia", "2011-12-30T17:00", ("2011-12-29", "2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z")),
            ("Europe/Berlin", "2031-03-31T06:00", ("2031-03-30", "2031-03-29T23:00:00Z", "2031-03-30T22:00:00Z")),
            ("America/New_York", "2031-11-03T12:00", ("2031-11-02", "2031-11-02T04:00:00Z", "2031-11-03T05:00:00Z")),
        ],
    )
    def test_a_report_of_the_day_that_there_was(self, owner, clock, zone, at, day):
        project = old_project(owner, clock(instant(at)), time_zone=zone)
        report, _new = make_today(actor=None, project=project)
        assert tuple(report.data["day"][name] for name in ("date", "start", "end")) == day
        days = [one["date"] for one in report.data["trend"]]
        assert (len(days), len(set(days)), days[-1]) == (14, 14, day[0])
        assert "2011-12-30" not in days
