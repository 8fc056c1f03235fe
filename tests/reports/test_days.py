"""The days of a time zone, in every zone and at every change of its clocks, against what clocks show at each instant.

`PM_LONG_TESTS=1` makes it 50,000 changes that are drawn, and all of all zones in turn, instead of 500 and those of some
odd zones.
"""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from django_pm.services import local_days
from tests.events.workers import LONG
from tests.zones import DAY, NAMES, ODD, clocks_of, near_a_change

HOUR = dt.timedelta(hours=1)
REACH = 5
hours = st.integers(0, 23)
often = settings(max_examples=50_000 if LONG else 500, deadline=None, derandomize=not LONG)


def lengths(name, first, last):
    """How many hours each of these days is long."""
    zone, date, last = ZoneInfo(name), dt.date.fromisoformat(first), dt.date.fromisoformat(last)
    found = []
    while date <= last:
        found.append((local_days.begins(date + DAY, zone) - local_days.begins(date, zone)) / HOUR)
        date += DAY
    return found


class TestEveryZone:
    @often
    @given(near_a_change(), hours)
    def test_days(self, case, hour):
        """One begins when clocks first show it, later ones later; a date is one if clocks show it."""
        clocks, at = case
        zone, days = clocks.zone, clocks.days(at.date())
        dates = [at.date() + number * DAY for number in range(-REACH, REACH + 1)]
        assert [date for date in dates if local_days.exists(date, zone)] == days
        assert [local_days.begins(date, zone, hour) for date in days] == [clocks.first(date, hour) for date in days]
        begun = [local_days.begins(date, zone, hour) for date in dates]
        assert begun == sorted(begun)
        assert len({local_days.begins(date, zone) for date in days}) == len(days)
        assert local_days.before(days[-1], zone) == days[-2]
        assert local_days.last_days(days[-1], zone, 4) == days[-5:-1]

    @often
    @given(near_a_change(), hours)
    def test_instants(self, case, hour):
        """Each lies in one day, in that which clocks show unless they show the end of a day for the second time."""
        clocks, at = case
        zone, begins = clocks.zone, local_days.begins
        dates = [at.date() + number * DAY for number in range(-REACH, REACH)]
        [date] = [date for date in dates if begins(date, zone) <= at < begins(date + DAY, zone)]
        shown = at.astimezone(zone)
        assert shown.date() == (clocks.days(date)[REACH - 1] if shown.fold and shown.date() != date else date)
        assert local_days.reached(at, zone, 0) == date
        assert local_days.reached(at, zone, hour) == clocks.latest(at, hour)

    @pytest.mark.parametrize("name", NAMES if LONG else ODD)
    def test_each_change(self, name):
        """The seconds around each of them, and the days, at all hours."""
        clocks = clocks_of(name)
        for change in clocks.changes:
            days = clocks.days(change.date(), 3)
            for date in days[1:-1]:
                begun = [local_days.begins(date, clocks.zone, hour) for hour in range(24)]
                assert begun == [clocks.first(date, hour) for hour in range(24)]
            for at in (change - dt.timedelta(seconds=1), change, change + dt.timedelta(seconds=1)):
                for hour in (0, 1, 2, 3, 6, 23):
                    assert local_days.reached(at, clocks.zone, hour) == clocks.latest(at, hour)


class TestDays:
    @pytest.mark.parametrize(
        ("name", "date"),
        [
            ("Pacific/Apia", "2011-12-30"),
            ("Pacific/Fakaofo", "2011-12-30"),
            ("Pacific/Kiritimati", "1994-12-31"),
            ("Pacific/Enderbury", "1994-12-31"),
            ("Pacific/Kwajalein", "1993-08-21"),
        ],
    )
    def test_one_that_was_left_out(self, name, date):
        zone, date = ZoneInfo(name), dt.date.fromisoformat(date)
        assert not local_days.exists(date, zone)
        assert local_days.exists(date - DAY, zone)
        assert local_days.exists(date + DAY, zone)
        assert local_days.before(date + DAY, zone) == date - DAY
        assert [local_days.begins(date, zone, hour) for hour in range(24)] == [
            local_days.begins(date + DAY, zone, hour) for hour in range(24)
        ]
        assert local_days.last_days(date + DAY, zone, 2) == [date - 2 * DAY, date - DAY]

    @pytest.mark.parametrize(
        ("name", "first", "last", "expected"),
        [
            ("Europe/Berlin", "2031-03-29", "2031-03-31", [24, 23, 24]),
            ("Europe/Berlin", "2031-10-25", "2031-10-27", [24, 25, 24]),
            ("America/New_York", "2031-03-08", "2031-03-10", [24, 23, 24]),
            ("America/New_York", "2031-11-01", "2031-11-03", [24, 25, 24]),
            ("Australia/Lord_Howe", "2031-04-05", "2031-04-07", [24, 24.5, 24]),
            ("Australia/Lord_Howe", "2031-10-04", "2031-10-06", [24, 23.5, 24]),
            ("Antarctica/Troll", "2031-03-29", "2031-03-31", [24, 22, 24]),
            ("Antarctica/Vostok", "1994-01-30", "1994-02-02", [24, 31, 24, 24]),
            ("America/St_Johns", "1988-04-02", "1988-04-04", [24, 22, 24]),
            ("Pacific/Apia", "2011-12-29", "2011-12-31", [24, 0, 24]),
            ("Europe/Berlin", "2032-02-28", "2032-03-01", [24, 24, 24]),
            ("Asia/Kathmandu", "1985-12-31", "1986-01-01", [24, 23.75]),
            ("Etc/GMT+12", "2031-12-31", "2032-01-01", [24, 24]),
        ],
    )
    def test_how_long_they_are(self, name, first, last, expected):
        assert lengths(name, first, last) == expected

    @pytest.mark.parametrize(
        ("name", "date", "begins"),
        [
            ("America/Havana", "2031-03-09", "2031-03-09T05:00"),  # 01:00: there is no midnight
            ("America/Havana", "2031-11-02", "2031-11-02T04:00"),  # the first of two
            ("Asia/Beirut", "2031-03-30", "2031-03-29T22:00"),
            ("Pacific/Kiritimati", "2031-05-04", "2031-05-03T10:00"),
            ("Etc/GMT+12", "2031-05-04", "2031-05-04T12:00"),
            ("America/St_Johns", "1987-10-25", "1987-10-25T02:30"),  # a minute before it is 23:01 of the 24th again
            ("Africa/Monrovia", "1972-01-07", "1972-01-07T00:44:30"),
            ("Europe/Berlin", "2032-02-29", "2032-02-28T23:00"),
        ],
    )
    def test_when_they_begin(self, name, date, begins):
        expected = dt.datetime.fromisoformat(begins).replace(tzinfo=dt.UTC)
        assert local_days.begins(dt.date.fromisoformat(date), ZoneInfo(name)) == expected

    @pytest.mark.parametrize(
        ("hour", "begins"),
        [(1, "2031-03-30T00:00"), (2, "2031-03-30T01:00"), (3, "2031-03-30T01:00"), (4, "2031-03-30T02:00")],
    )
    def test_an_hour_that_is_skipped_comes_with_the_next(self, hour, begins):
        expected = dt.datetime.fromisoformat(begins).replace(tzinfo=dt.UTC)
        assert local_days.begins(dt.date(2031, 3, 30), ZoneInfo("Europe/Berlin"), hour) == expected

    def test_the_latest_stays_when_clocks_go_back_over_midnight(self):
        """In St. John's, 1987: 00:00 comes, and a minute later it is 23:01 of the day before."""
        zone, midnight = ZoneInfo("America/St_Johns"), dt.datetime(1987, 10, 25, 2, 30, tzinfo=dt.UTC)
        reached = [
            local_days.reached(midnight + minutes * dt.timedelta(minutes=1), zone, 0) for minutes in (-1, 0, 1, 90)
        ]
        assert reached == [dt.date(1987, 10, 24), *[dt.date(1987, 10, 25)] * 3]

    @pytest.mark.parametrize("name", ["", "Moon/Base", "Europe", "../etc", "Europe/Berlin/Mitte", "x" * 300, "a\0b"])
    def test_a_zone_that_there_is_not(self, name):
        assert local_days.find_zone(name) is None
