"""What a member did on each local date: the latest two months in the head, older ones apart.

Rules count by day (the daily cap, activities, PROGRAMME 2.2, 2.3) and by month (referrals, 2.7).
A till's order is nearly always of the latest month, and then costs no look-up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import Protocol

from ledger.parts import Month, Parts
from ledger.programme.dates import add_months
from ledger.state import Day, MemberState


class Calendar(Protocol):
    """Whose days these are."""

    @property
    def state(self) -> MemberState: ...
    @property
    def months(self) -> Parts[Month]: ...


def day(member: Calendar, on: date) -> Day:
    """The day, not to be changed; an empty one where nothing happened."""
    return days_of_month(member, on).get(on) or Day()


def days_of_month(member: Calendar, on: date) -> Mapping[date, Day]:
    """The days of the month that `on` is in (where it is in the head, of others too)."""
    if _in_head(member.state, on):
        return member.state.days
    month = member.months.find(_name(on))
    return month.days if month is not None else {}


def referrals_in_month(member: Calendar, on: date) -> int:
    """How many referrals were rewarded in the month of `on` (2.7)."""
    return sum(
        each.referrals
        for each_on, each in days_of_month(member, on).items()
        if (each_on.year, each_on.month) == (on.year, on.month)
    )


def days_between(member: Calendar, first: date, last: date) -> Iterator[tuple[date, Day]]:
    """The days from `first` to `last`, both included, on which something happened, in order."""
    months = list(_months(first, last))
    member.months.fetch(_name(month) for month in months if not _in_head(member.state, month))
    seen_head = False
    for month in months:
        if _in_head(member.state, month):
            if seen_head:
                continue
            seen_head = True
        days = days_of_month(member, month)
        yield from ((on, days[on]) for on in sorted(days) if first <= on <= last)


def next_counting_day(member: Calendar, after: date) -> date | None:
    """The first date after this one with an order of which something is left (PROGRAMME 6.1)."""
    newest = max(member.state.days, default=after)
    for on, each in days_between(member, after + timedelta(days=1), newest):
        if each.orders > 0:
            return on
    return None


def months_before(moment: datetime) -> list[str]:
    """The names of the months that a review at this moment mostly looks at: a year and a bit."""
    day = moment.date().replace(day=1)
    return [_name(add_months(day, -back)) for back in range(-1, 14)]


def change_day(member: Calendar, on: date) -> Day:
    """The day, to be changed by the caller; older months leave the head as a new one begins."""
    if _in_head(member.state, on):
        days = member.state.days
        if days and on > max(days):
            days = _without_older(member, on)
    else:
        month = member.months.change(_name(on))
        if month is None:
            month = Month()
            member.months.add(_name(on), month)
        days = month.days
    return days.setdefault(on, Day())


def _without_older(member: Calendar, newest: date) -> dict[date, Day]:
    days = member.state.days
    for on in [on for on in days if _number(on) < _number(newest) - 1]:
        name = _name(on)
        month = member.months.known().get(name)
        if month is None:
            month = Month()
            member.months.add(name, month)
        month.days[on] = days.pop(on)
    return days


def _in_head(state: MemberState, on: date) -> bool:
    return not state.days or _number(on) >= _number(max(state.days)) - 1


def _months(first: date, last: date) -> Iterator[date]:
    """The first of each month that has a day from `first` to `last`."""
    month = first.replace(day=1)
    while month <= last:
        yield month
        month = add_months(month, 1)


def _number(on: date) -> int:
    return on.year * 12 + on.month


def _name(on: date) -> str:
    return f"{on.year:04d}-{on.month:02d}"
