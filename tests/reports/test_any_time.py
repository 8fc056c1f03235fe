"""One report for each date, in whatever zone, whenever somebody looks, and whatever the clock did meanwhile.

What is due is a question to the clock of whoever looks. So a wrong clock may have a report made too early or too late;
but after each look the last date whose hour has come by its clock has one report, and so have those before it that
nobody looked in, seven dates in all, back to the last one that was reported. No date ever has two, or any that its zone
left out. `PM_LONG_TESTS=1` makes it 50,000 cases instead of 500.
"""

import datetime as dt
from collections import Counter
from unittest import mock

import time_machine
from django.test import override_settings
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from django_pm.models import Mail, NotificationPreferences, Project, Report
from django_pm.services import reports
from django_pm.services.reports import make_due, make_today
from tests.events.workers import LONG
from tests.factories import make_project, make_task
from tests.zones import DAY, MINUTE, NAMES, clocks_of, near_a_change

CAUGHT_UP = 7
MAILED = 2
HOUR = 60

waits = st.one_of(
    st.integers(1, 90), st.integers(1, 26 * HOUR), st.just(24 * HOUR), st.integers(2, 12).map((24 * HOUR).__mul__)
)
"""Minutes between two looks."""
steps = st.one_of(st.none(), st.integers(-5 * HOUR, 5 * HOUR))
"""By how many minutes the clock of whoever looks is wrong from now on."""
looks = st.tuples(
    waits,
    st.sampled_from(["first", "second"]),  # two schedulers, each with a clock of its own
    steps,
    st.sampled_from([make_due, make_due, make_due, make_today]),
    st.one_of(st.none(), st.none(), st.none(), st.sampled_from(NAMES)),  # a zone that the project has from now on
)


def nothing(places, now):
    """In place of what a report says, which is asked elsewhere and would take most of the time."""
    return {place.project_id: {} for place in places}


class Promise:
    """What has to be there, by the words of docs/reports.md."""

    def __init__(self):
        self.dates, self.mailed = set(), set()

    def keep(self, clocks, latest):
        if latest in self.dates:
            return
        days = [date for date in clocks.days(latest, 2 * CAUGHT_UP) if date <= latest]
        earlier = {date for date in self.dates if date < latest}
        missed = {date for date in days[-CAUGHT_UP:] if earlier and date > max(earlier)}
        new = {latest} | missed
        self.dates |= new
        self.mailed |= new & set(days[-MAILED:])


BEFORE_THE_DAY_THAT_SAMOA_LEFT_OUT = (clocks_of("Pacific/Apia"), dt.datetime(2011, 12, 28, 16, 30, tzinfo=dt.UTC))
TWO_DAYS_APART = [(wait, "first", None, make_due, None) for wait in (1, 48 * HOUR)]


class TestReports(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.project = make_project()
        make_task(cls.project)
        NotificationPreferences.objects.create(user=cls.project.created_by, reports=True)

    @settings(max_examples=50_000 if LONG else 500, deadline=None, derandomize=not LONG)
    @given(case=near_a_change(after=DAY), hour=st.integers(0, 23), looks=st.lists(looks, min_size=2, max_size=7))
    @example(case=BEFORE_THE_DAY_THAT_SAMOA_LEFT_OUT, hour=6, looks=TWO_DAYS_APART)
    def test_one_for_each_date(self, case, hour, looks):
        clocks, at = case
        projects = Project.objects.filter(pk=self.project.pk)
        projects.update(created_at=at - 30 * DAY, time_zone=clocks.name)
        promise, wrong = Promise(), Counter()
        with override_settings(DJANGO_PM={"REPORT_HOUR": hour}), mock.patch.object(reports, "summarise", nothing):
            for wait, who, step, look, zone in looks:
                at += wait * MINUTE
                wrong[who] = wrong[who] if step is None else step
                if zone:
                    clocks = clocks_of(zone)
                    projects.update(time_zone=zone)
                self.look(look, clocks, at + wrong[who] * MINUTE, hour, promise)

    def look(self, look, clocks, now, hour, promise):
        before = Report.objects.count()
        with time_machine.travel(now, tick=False):
            if look is make_due:
                latest, made = clocks.latest(now, hour), make_due()
                assert Report.objects.count() == before + made
            else:
                latest = now.astimezone(clocks.zone).date()
                report, is_new = make_today(actor=None, project=Project.objects.get())
                assert (report.date, is_new) == (latest, latest not in promise.dates)
        promise.keep(clocks, latest)
        there = list(Report.objects.order_by("date").defer("data"))
        assert [report.date for report in there] == sorted(promise.dates)
        assert all(clocks_of(report.time_zone).has(report.date) for report in there)
        mails = Mail.objects.order_by("occurrence").values_list("occurrence", flat=True)
        assert list(mails) == [date.isoformat() for date in sorted(promise.mailed)]
