"""Levels, segments, lifecycle: the monthly review (PROGRAMME 7)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta

from ledger import events as e
from ledger.days import days_between
from ledger.figures import Figures, figures_of
from ledger.member.aggregate import Member
from ledger.member.circumstances import Circumstances
from ledger.money import exact, round_half_up
from ledger.programme.dates import add_months, end_of
from ledger.programme.model import Programme
from ledger.programme.sections import (
    DormantFigures,
    LevelRules,
    LifecycleRules,
    SegmentFigures,
    SegmentRules,
)
from ledger.programme.versions import ProgrammeHistory
from ledger.state import Day

YEAR_MONTHS = 12


def review_due(member: Member, as_of: datetime, at: Circumstances, most: int = 0) -> int:
    """Record every monthly review that is due, the oldest first (`most`: so many); answer how many.

    Each is dated the local midnight of its day, and decided by the rules then.
    """
    count = 0
    reviewed_on = member.state.reviewed_on or at.programme.local_date(member.state.joined_at)
    until = at.programme.local_date(as_of)
    for on in review_dates(at.programmes, reviewed_on + timedelta(days=1), until):
        then = at.under_rules_of(at.programme.local_midnight(on))
        member.trigger(_reviewed(member, on, then))
        count += 1
        if count == most:
            break
    return count


def review_dates(programmes: ProgrammeHistory, first: date, last: date) -> Iterator[date]:
    """The days from `first` to `last` on which members are reviewed, by the rules of each day."""
    days = sorted({_review_day(version.programme) for version in programmes.versions})
    month = first.replace(day=1)
    while month <= last:
        for on in (month.replace(day=day) for day in days):
            rules = programmes.at(programmes.latest.programme.local_midnight(on)).programme
            if first <= on <= last and on.day == _review_day(rules) and _is_reviewed(rules):
                yield on
        month = add_months(month, 1)


def last_review_date(programmes: ProgrammeHistory, until: date) -> date | None:
    """The latest day up to and including `until` on which members are reviewed, if there is one."""
    for back in range(YEAR_MONTHS):
        month = add_months(until.replace(day=1), -back)
        found = list(review_dates(programmes, month, min(until, end_of(month, "month"))))
        if found:
            return found[-1]
    return None


def _is_reviewed(programme: Programme) -> bool:
    return any((programme.levels, programme.segments, programme.lifecycle))


def _review_day(programme: Programme) -> int:
    return programme.levels.review_day if programme.levels else 1


class _Past:
    """What a member did before the day of a review."""

    def __init__(self, member: Member, on: date, programme: Programme) -> None:
        self.on = on
        self.joined_on = programme.local_date(member.state.joined_at)
        self.first_counting_on = member.state.first_counting_on
        first = min(add_months(on, -YEAR_MONTHS), _earliest_asked(on, programme))
        self._days = list(days_between(member, first, on - timedelta(days=1)))

    def since(self, first: date) -> Figures:
        """From `first` to the day before the review."""
        days = [(on, day) for on, day in self._days if on >= first]
        return figures_of(days, self.first_counting_on)

    def happened(self, first: date, what: Callable[[Day], int], before: date | None = None) -> bool:
        """Whether something counted from `first` to before `before` (by default the review)."""
        end = before or self.on
        return any(what(day) > 0 for on, day in self._days if first <= on < end)

    def order_dates(self, first: date) -> list[date]:
        """The dates with an order of which something is left."""
        return [on for on, day in self._days if on >= first and day.orders > 0]


def _earliest_asked(on: date, programme: Programme) -> date:
    """How far back segments and lifecycle look."""
    asked = [on - timedelta(days=30)]
    if programme.segments is not None and programme.segments.dormant is not None:
        asked.append(add_months(on, -programme.segments.dormant.idle_months))
    if programme.lifecycle is not None:
        rules = programme.lifecycle
        asked.append(add_months(on, -rules.dormant_months))
        won_back = on - timedelta(days=rules.won_back_days)
        asked.append(add_months(won_back, -rules.lapsing_months))
    return min(asked)


def _reviewed(member: Member, on: date, at: Circumstances) -> e.LevelReviewed:
    programme = at.programme
    past = _Past(member, on, programme)
    year = past.since(add_months(on, -YEAR_MONTHS))
    recent = past.since(on - timedelta(days=30))
    score = score_of(programme.levels, year) if programme.levels is not None else None
    return e.LevelReviewed(
        occurred_at=at.occurred_at,
        meta=at.meta,
        on=on,
        level=level_of(programme.levels, score) if programme.levels and score is not None else None,
        score=score,
        segment=_segment(programme.segments, year, recent, past) if programme.segments else None,
        lifecycle=_lifecycle(programme.lifecycle, year, past) if programme.lifecycle else None,
        spend=year.spend,
        orders=year.orders,
        repurchases=year.repurchases,
        activities=year.activities,
        activities_30d=recent.activities,
        programme_version=at.version.number,
    )


def score_of(rules: LevelRules, year: Figures) -> int:
    """round_half_up(0.6 × S + 0.4 × I), S by spend and orders, I by activities (7.1)."""
    by_spend = exact(year.spend) / exact(rules.spend_per_point)
    by_spend += year.orders * rules.points_per_order
    by_activity = year.activities * rules.points_per_activity
    weighted = exact(rules.spend_weight) * by_spend + exact(rules.activity_weight) * by_activity
    return round_half_up(weighted)


def level_of(rules: LevelRules, score: int) -> str:
    """The highest band that the score reaches (7.1)."""
    reached = [band.code for band in rules.bands if band.from_ <= score]
    return reached[-1] if reached else rules.bands[0].code


def _segment(rules: SegmentRules, year: Figures, recent: Figures, past: _Past) -> str:
    """The first that matches of core, potential, dormant; else the segment of all others (7.2)."""
    if rules.core is not None and _is(rules.core, year, recent):
        return "core"
    if rules.potential is not None and _is(rules.potential, year, recent):
        return "potential"
    if rules.dormant is not None and _is_dormant(rules.dormant, year, past):
        return "dormant"
    return rules.otherwise


def _is(figures: SegmentFigures, year: Figures, recent: Figures) -> bool:
    return (
        year.reach(figures.spend, figures.repurchases)
        and recent.activities >= figures.activities_30d
    )


def _is_dormant(figures: DormantFigures, year: Figures, past: _Past) -> bool:
    idle_since = add_months(past.on, -figures.idle_months)
    return (
        past.joined_on <= add_months(past.on, -figures.enrolled_months)
        and year.spend < figures.spend_below
        and not past.happened(idle_since, _anything)
    )


def _lifecycle(rules: LifecycleRules, year: Figures, past: _Past) -> e.LifecycleStage:
    """The first stage that matches (7.3); idle time counts from enrolment at the latest."""
    dormant_since = add_months(past.on, -rules.dormant_months)
    if past.joined_on < dormant_since and not past.happened(dormant_since, _anything):
        return "dormant"
    lapsing_since = add_months(past.on, -rules.lapsing_months)
    if past.joined_on < lapsing_since and not past.happened(lapsing_since, _orders):
        return "lapsing"
    if _was_won_back(rules, past):
        return "won_back"
    if past.on < past.joined_on + timedelta(days=rules.new_days):
        return "new"
    enrolled_long = past.joined_on <= add_months(past.on, -rules.stable.months)
    if enrolled_long and year.orders >= rules.stable.orders:
        return "stable"
    return "growing"


def _was_won_back(rules: LifecycleRules, past: _Past) -> bool:
    """An order after so many months without one, in the last days (7.3)."""
    began = min(past.joined_on, past.first_counting_on or past.joined_on)
    for on in past.order_dates(past.on - timedelta(days=rules.won_back_days)):
        idle_since = add_months(on, -rules.lapsing_months)
        if began < idle_since and not past.happened(idle_since, _orders, before=on):
            return True
    return False


def _orders(day: Day) -> int:
    return day.orders


def _anything(day: Day) -> int:
    return day.orders + day.active
