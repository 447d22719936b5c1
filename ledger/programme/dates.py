"""Local dates of a programme: months that clamp, ends of periods, midnights that exist."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Literal
from zoneinfo import ZoneInfo

Alignment = Literal["day", "month", "quarter", "year"]

_SECOND = timedelta(seconds=1)


def add_months(day: date, months: int) -> date:
    """The same day `months` later (earlier if negative), or the last day of a shorter month.

    29 February and a year make 28 February (PROGRAMME 3.1).
    """
    year, month_before = divmod(day.year * 12 + day.month - 1 + months, 12)
    month = month_before + 1
    return date(year, month, min(day.day, monthrange(year, month)[1]))


def end_of(day: date, alignment: Alignment) -> date:
    """The last day of the month, quarter or year that holds `day`; `day` itself for "day"."""
    if alignment == "day":
        return day
    last_month = {
        "month": day.month,
        "quarter": (day.month + 2) // 3 * 3,
        "year": 12,
    }[alignment]
    return date(day.year, last_month, monthrange(day.year, last_month)[1])


def start_of(day: date, zone: ZoneInfo) -> datetime:
    """The first instant of a local date, with its offset from UTC.

    It is the local midnight, except where the clocks skip it: then the first instant that the
    date has (01:00 in Sao Paulo on 2018-11-04). Where midnight comes twice it is the earlier.
    A date that a zone left out altogether (Apia, 2011-12-30) starts with the next one.
    """
    midnight = datetime.combine(day, time(), tzinfo=zone)
    instant = midnight.astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) != midnight.replace(tzinfo=None):
        # In a skipped hour, fold=1 reads the clock as it goes after the change, which names an
        # instant before it; the change itself lies between the two readings.
        instant = _clock_change(midnight.replace(fold=1).astimezone(UTC), instant, zone)
    return with_fixed_offset(instant, zone)


def _clock_change(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """The first second in (before, after] whose offset from UTC is the one of `after`."""
    offset = after.astimezone(zone).utcoffset()
    while after - before > _SECOND:
        middle = before + (after - before) // 2
        middle = middle.replace(microsecond=0)
        if middle.astimezone(zone).utcoffset() == offset:
            after = middle
        else:
            before = middle
    return after


def with_fixed_offset(moment: datetime, zone: ZoneInfo) -> datetime:
    """The moment as the zone's clocks show it, with a plain offset.

    Two times that share a `ZoneInfo` are compared by their wall clocks, which is wrong in the
    hour that comes twice; a plain offset compares as the instant it is.
    """
    local = moment.astimezone(zone)
    offset = local.utcoffset()
    assert offset is not None
    return local.replace(tzinfo=timezone(offset), fold=0)
