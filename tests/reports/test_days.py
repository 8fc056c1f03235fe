"""The days of a time zone."""

import datetime as dt
from zoneinfo import ZoneInfo

from django_pm.services import local_days


def test_the_latest_stays_when_clocks_go_back_over_midnight():
    """In St. John's, 1987: 00:00 comes, and a minute later it is 23:01 of the day before."""
    zone, midnight = ZoneInfo("America/St_Johns"), dt.datetime(1987, 10, 25, 2, 30, tzinfo=dt.UTC)
    reached = [local_days.reached(midnight + minutes * dt.timedelta(minutes=1), zone, 0) for minutes in (-1, 0, 1, 90)]
    assert reached == [dt.date(1987, 10, 24), *[dt.date(1987, 10, 25)] * 3]
