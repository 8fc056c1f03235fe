"""What the clocks of each time zone show from 1970 to 2040, found by asking for the local time of instants alone.

The product asks the other way round, for the instant of a local time. So the one can be held against the other.
"""

import bisect
import datetime as dt
import functools
import zoneinfo

from hypothesis import strategies as st

from django_pm.services.local_days import find_zone

DAY, MINUTE, SECOND = dt.timedelta(days=1), dt.timedelta(minutes=1), dt.timedelta(seconds=1)
BEGIN, END = dt.datetime(1970, 1, 1, tzinfo=dt.UTC), dt.datetime(2040, 1, 1, tzinfo=dt.UTC)
STRIDE = dt.timedelta(days=14)
"""No zone changes its clocks and changes them back within so few days: a stride of one day finds as many changes."""

NAMES = sorted(name for name in zoneinfo.available_timezones() if find_zone(name))

ODD = [
    "Africa/Casablanca",  # summer time that pauses for Ramadan
    "Africa/Monrovia",  # an offset of 44 minutes and 30 seconds, until 1972
    "America/Havana",  # midnight left out, and shown twice
    "America/New_York",
    "America/Nuuk",  # 23:00 left out
    "America/St_Johns",  # at 00:01 back to 23:01 of the day before
    "Antarctica/Casey",  # at 02:00 back to 23:00 of the day before
    "Antarctica/Troll",  # two hours at once
    "Antarctica/Vostok",  # seven hours at once
    "Asia/Beirut",  # midnight left out
    "Asia/Kathmandu",
    "Australia/Lord_Howe",  # half an hour
    "Etc/GMT+12",
    "Europe/Berlin",
    "Europe/Dublin",  # winter time, as a negative shift
    "Pacific/Apia",  # no 30 December 2011
    "Pacific/Kiritimati",  # no 31 December 1994
    "Pacific/Kwajalein",  # no 21 August 1993
    "UTC",
]


class Clocks:
    """The clocks of one zone."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.zone = zoneinfo.ZoneInfo(name)
        self.changes = self._changes()
        """The instants from which the clocks differ from UTC by another amount than before."""
        self._offsets = [self._offset(at) for at in [BEGIN, *self.changes]]

    def __repr__(self) -> str:
        return self.name

    def _offset(self, at: dt.datetime) -> dt.timedelta:
        return at.astimezone(self.zone).utcoffset()

    def _changes(self) -> list[dt.datetime]:
        found, at = [], BEGIN
        while at < END:
            if self._offset(at) != self._offset(at + STRIDE):
                found.append(self._change_between(at, at + STRIDE))
            at += STRIDE
        return found

    def _change_between(self, before: dt.datetime, after: dt.datetime) -> dt.datetime:
        offset = self._offset(before)
        while after - before > SECOND:
            middle = before + (after - before) // 2
            if self._offset(middle) == offset:
                before = middle
            else:
                after = middle
        return after.replace(microsecond=0)

    def shift(self, at: dt.datetime) -> dt.timedelta:
        """By how much the clocks are changed at this instant."""
        return abs(self._offset(at) - self._offset(at - SECOND))

    def first(self, date: dt.date, hour: int = 0) -> dt.datetime:
        """When the clocks first show this; where they leave it out, when those would that had not been changed."""
        shown = dt.datetime.combine(date, dt.time(hour), tzinfo=dt.UTC)
        number = bisect.bisect(self.changes, shown - 2 * DAY)
        while number < len(self.changes):
            change = self.changes[number]
            if shown - self._offsets[number] < change or shown - self._offsets[number + 1] < change:
                break
            number += 1
        return shown - self._offsets[number]

    def has(self, date: dt.date) -> bool:
        """Whether there is such a date."""
        return self.first(date).astimezone(self.zone).date() == date

    def days(self, around: dt.date, reach: int = 5) -> list[dt.date]:
        """The dates that there are, from ``reach`` days before to as many after."""
        dates = (around + number * DAY for number in range(-reach, reach + 1))
        return [date for date in dates if self.has(date)]

    def latest(self, at: dt.datetime, hour: int) -> dt.date:
        """The last date of which the hour has come."""
        return max(date for date in self.days(at.date()) if self.first(date, hour) <= at)


clocks_of = functools.cache(Clocks)


@st.composite
def near_a_change(draw, *, before: dt.timedelta = 4 * DAY, after: dt.timedelta = 4 * DAY):
    """The clocks of some zone, often an odd one, and an instant near a change of them, often the greatest."""
    clocks = clocks_of(draw(st.one_of(st.sampled_from(ODD), st.sampled_from(NAMES))))
    changes = clocks.changes or [BEGIN, dt.datetime(2028, 2, 29, tzinfo=dt.UTC)]
    change = draw(st.one_of(st.sampled_from(changes), st.just(max(changes, key=clocks.shift))))
    return clocks, change + draw(st.integers(-before // MINUTE, after // MINUTE)) * MINUTE
