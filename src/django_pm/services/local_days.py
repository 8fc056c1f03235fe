"""The days of a time zone as instants: when one begins, which ones there were, which one has come.

A day is 23, 24 or 25 hours long, begins at 01:00 where midnight is skipped, and may not be there at all: Samoa had no
30 December 2011. Every instant lies in exactly one day.
"""

from __future__ import annotations

import datetime as dt
import functools
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAY = dt.timedelta(days=1)


def find_zone(name: str) -> ZoneInfo | None:
    """The zone of this IANA name; None if this machine does not know it."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # the last: "Europe" is a folder of the database
        return None


@functools.lru_cache(maxsize=65_536)
def begins(date: dt.date, zone: ZoneInfo, hour: int = 0) -> dt.datetime:
    """The instant, in UTC, at which clocks first show ``hour`` on ``date``, or would where they skip it.

    A date that a zone left out begins when the next one does.
    """
    return dt.datetime.combine(date, dt.time(hour), tzinfo=zone).astimezone(dt.UTC)


def exists(date: dt.date, zone: ZoneInfo) -> bool:
    """Whether the zone had, or will have, this date."""
    return begins(date, zone) < begins(date + DAY, zone)


def before(date: dt.date, zone: ZoneInfo) -> dt.date:
    """The date before ``date``."""
    while not exists(date := date - DAY, zone):
        pass
    return date


def last_days(date: dt.date, zone: ZoneInfo, count: int) -> list[dt.date]:
    """The ``count`` dates before ``date``, in their order."""
    days: list[dt.date] = []
    for _ in range(count):
        days.insert(0, before(days[0] if days else date, zone))
    return days


def reached(now: dt.datetime, zone: ZoneInfo, hour: int) -> dt.date:
    """The last date whose ``hour`` has come in ``zone`` at the instant ``now``.

    It never goes back, though clocks may: from 00:01 to 23:01 of the day before, in some zones. A date that was left
    out is not found, since the next one begins with it.
    """
    date = now.astimezone(zone).date() + DAY
    while begins(date, zone, hour) > now:
        date -= DAY
    return date
