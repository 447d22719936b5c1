"""Tiers 等级: upgrade, renewal, grace extension, soft landing, late data (PROGRAMME 6)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import accumulate
from typing import Any, Final

import msgspec

from ledger import events as e
from ledger.days import days_between
from ledger.figures import Figures, figures_of
from ledger.member.aggregate import Member
from ledger.member.circumstances import Circumstances
from ledger.money import ZERO
from ledger.programme.dates import add_months
from ledger.programme.model import Programme
from ledger.programme.sections import Tier
from ledger.state import PastReview, ReviewOutcome, TierStatus

_BETTER: Final[dict[ReviewOutcome, int]] = {"downgraded": 0, "extended": 1, "renewed": 2}


def after_order(member: Member, order_id: str, at: Circumstances) -> None:
    """What an order of more than 0.00, just recorded, changes of the tier (6.2 to 6.4)."""
    if len(at.programme.tiers) < 2:
        return
    late = member.state.last_order_at is not None and at.occurred_at < member.state.last_order_at
    if late:
        _upgrade_by_late_order(member, at)
    else:
        _upgrade(member, order_id, at)
    _examine_again(member, at)
    _extend_at_once(member, order_id, at)


# Upgrades


def _upgrade(member: Member, order_id: str, at: Circumstances) -> None:
    """The order is the member's latest: all that was bought counts (6.2)."""
    for tier in _above(member, at.programme):
        totals = member.state.totals
        lifetime = Figures(totals.spend, totals.orders, max(0, totals.orders - 1))
        lost_on = member.state.tiers_lost.get(tier.code)
        if lost_on is None:
            if lifetime.reach(tier.spend, tier.repurchases):
                _record_upgrade(member, tier, lifetime, order_id, at)
                return
        elif at.day >= lost_on:
            window = _window(at.day, tier.months)
            found = figures_between(member, *window)
            if found.reach(tier.to_keep.spend, tier.to_keep.repurchases):
                _record_upgrade(member, tier, found, order_id, at, window)
                return


def _upgrade_by_late_order(member: Member, at: Circumstances) -> None:
    """The totals are tested at the late order's moment and at each later one's (6.2).

    The first that reaches a tier dates the upgrade, by the rules of its moment, as if all had come
    in time; a later one may reach a higher tier yet.
    """
    if not any(_may_reach(member, version.programme) for version in at.programmes.versions):
        return
    timeline = Timeline(orders_in_time(member))
    for count in timeline.counts_from(at.occurred_at):
        order = timeline.orders[count - 1]
        then = at.under_rules_of(order.occurred_at)
        if not then.programme.tiers:
            continue
        tiers = _above(member, then.programme)
        tier, found, window = _reached(member, tiers, timeline, count)
        if tier is not None:
            _record_upgrade(member, tier, found, order.order_id, then, window)


def _may_reach(member: Member, programme: Programme) -> bool:
    """Whether it is worth the look at every order: whether all of them together reach a tier."""
    totals = member.state.totals
    lifetime = Figures(totals.spend, totals.orders, max(0, totals.orders - 1))
    return bool(programme.tiers) and any(
        tier.code in member.state.tiers_lost or lifetime.reach(tier.spend, tier.repurchases)
        for tier in _above(member, programme)
    )


class OrderLine(msgspec.Struct):
    """An order with what is left of it, in the order of time."""

    order_id: str
    occurred_at: datetime
    day: date
    left: Decimal


class Timeline:
    """Orders in the order of time, with what they came to by each of them.

    A till back from a day offline brings many late orders: each must not sum all the others anew.
    """

    def __init__(self, orders: Sequence[OrderLine]) -> None:
        self.orders = orders
        self._days = [order.day for order in orders]
        self._spend = list(accumulate((order.left for order in orders), initial=ZERO))

    def counts_from(self, moment: datetime) -> Iterator[int]:
        """How many orders there are by each moment on which there is one, from this one on."""
        for count, order in enumerate(self.orders, start=1):
            last = count == len(self.orders)
            if order.occurred_at >= moment and (
                last or self.orders[count].occurred_at > order.occurred_at
            ):
                yield count

    def figures(self, count: int, since: date | None = None) -> Figures:
        """Those of the first `count` orders, as far as they are of `since` or later."""
        first = bisect_left(self._days, since, 0, count) if since is not None else 0
        orders = count - first
        spend = self._spend[count] - self._spend[first]
        return Figures(spend, orders, orders - (first == 0 and orders > 0))


def orders_in_time(member: Member) -> list[OrderLine]:
    """Every order of which something is left, by time, then by recording; read from the events."""
    orders: dict[str, OrderLine] = {}
    for event in member.events():
        if isinstance(event, e.PointsAccrued):
            day = event.earned_on or event.occurred_at.date()
            orders[event.order_id] = OrderLine(event.order_id, event.occurred_at, day, event.amount)
        elif isinstance(event, e.OrderRefunded) and event.order_id in orders:
            orders[event.order_id].left -= event.amount
    counting = [order for order in orders.values() if order.left > 0]
    return sorted(counting, key=lambda order: order.occurred_at)


def _reached(
    member: Member, tiers: Sequence[Tier], timeline: Timeline, count: int
) -> tuple[Tier | None, Figures, tuple[date, date] | None]:
    """The highest tier that the first `count` orders reach, on the day of the last of them."""
    day = timeline.orders[count - 1].day
    for tier in tiers:
        lost_on = member.state.tiers_lost.get(tier.code)
        if lost_on is None:
            found = timeline.figures(count)
            if found.reach(tier.spend, tier.repurchases):
                return tier, found, None
        elif day >= lost_on:
            window = _window(day, tier.months)
            found = timeline.figures(count, since=window[0])
            if found.reach(tier.to_keep.spend, tier.to_keep.repurchases):
                return tier, found, window
    return None, Figures(), None


def _record_upgrade(
    member: Member,
    tier: Tier,
    found: Figures,
    order_id: str,
    at: Circumstances,
    window: tuple[date, date] | None = None,
) -> None:
    needed = tier.to_keep if window is not None else tier
    member.trigger(
        e.TierUpgraded(
            occurred_at=at.occurred_at,
            meta=at.meta,
            from_tier=_code(member, at.programme),
            to_tier=tier.code,
            since=at.day,
            until=add_months(at.day, tier.months),
            spend=found.spend,
            repurchases=found.repurchases,
            needed_spend=needed.spend,
            needed_repurchases=needed.repurchases,
            basis="lifetime" if window is None else "regained",
            programme_version=at.version.number,
            order_id=order_id,
            window_from=window[0] if window else None,
            window_to=window[1] if window else None,
        )
    )


def _above(member: Member, programme: Programme) -> list[Tier]:
    """The tiers above the member's, the highest first."""
    codes = [tier.code for tier in programme.tiers]
    return list(reversed(programme.tiers[codes.index(_code(member, programme)) + 1 :]))


def _code(member: Member, programme: Programme) -> str:
    """The tier that is recorded, or the first where the programme has no such tier (any more)."""
    held = member.state.tier
    known = held is not None and programme.tier(held.code) is not None
    return held.code if held is not None and known else programme.tiers[0].code


# Reviews


def review_due(member: Member, as_of: datetime, at: Circumstances) -> int:
    """Record every review that is due, in order; answer how many (6.3).

    A review is dated the local midnight after the tier's last day, and decided by the rules then.
    """
    count = 0
    while (held := member.state.tier) is not None and held.until is not None:
        moment = at.programme.local_midnight(held.until + timedelta(days=1))
        then = at.under_rules_of(moment)
        if moment > as_of or not then.programme.tiers:
            break
        member.trigger(_reviewed(member, held, then))
        count += 1
    return count


def _reviewed(
    member: Member, held: TierStatus, at: Circumstances, corrects: int | None = None
) -> e.TierReview:
    """How a review at the local midnight `at.occurred_at` comes out."""
    programme = at.programme
    until = held.until
    assert until is not None
    tier = programme.tier(held.code)
    if tier is None:  # a tier that these rules do not have: everybody's
        tier = Tier(code=held.code, spend=Decimal("99999999.99"))
    window = _window(until, tier.months)
    found = figures_between(member, *window)
    extension = tier.extension if not held.extended else None
    common: dict[str, Any] = {
        "occurred_at": at.occurred_at,
        "meta": at.meta,
        "tier": tier.code,
        "until_before": until,
        "window_from": window[0],
        "window_to": window[1],
        "spend": found.spend,
        "repurchases": found.repurchases,
        "needed_spend": tier.to_keep.spend,
        "needed_repurchases": tier.to_keep.repurchases,
        "programme_version": at.version.number,
        "corrects": corrects,
    }
    if found.reach(tier.to_keep.spend, tier.to_keep.repurchases):
        return e.TierRenewed(until=add_months(until, tier.months), **common)
    if extension is not None and found.repurchases >= extension.repurchases:
        common |= {"needed_spend": ZERO, "needed_repurchases": extension.repurchases}
        return e.TierExtended(until=add_months(until, extension.months), **common)
    codes = [each.code for each in programme.tiers]
    below = codes.index(tier.code) - 1 if tier.code in codes else 0
    lower = programme.tiers[max(below, 0)]
    return e.TierDowngraded(
        to_tier=lower.code,
        since=at.day,
        until=add_months(until, lower.months) if below > 0 else None,
        **common,
    )


def _extend_at_once(member: Member, order_id: str, at: Circumstances) -> None:
    """The months on top, as soon as the repurchases are reached, once in a validity (6.3)."""
    held, programme = member.state.tier, at.programme
    tier = programme.tier(held.code) if held is not None else None
    if held is None or held.until is None or held.extended or tier is None:
        return
    extension = tier.extension
    if extension is None or extension.when != "always":
        return
    window = _window(held.until, tier.months)
    if not window[0] <= at.day <= window[1]:
        return
    found = figures_between(member, *window)
    if found.repurchases < extension.repurchases:
        return
    member.trigger(
        e.TierExtended(
            occurred_at=at.occurred_at,
            meta=at.meta,
            tier=tier.code,
            until_before=held.until,
            until=add_months(held.until, extension.months),
            window_from=window[0],
            window_to=window[1],
            spend=found.spend,
            repurchases=found.repurchases,
            needed_spend=ZERO,
            needed_repurchases=extension.repurchases,
            programme_version=at.version.number,
            order_id=order_id,
        )
    )


def _examine_again(member: Member, at: Circumstances) -> None:
    """A late order may better the latest review whose window holds it, never worsen it (6.4).

    Better is what comes out in the end, after all reviews that are due by now: the windows of
    those that follow move with it. Reviews before an upgrade are not kept: the upgrade began a
    validity of its own.
    """
    for review in reversed(member.state.tier_reviews):
        then = at.under_rules_of(review.at)
        if _holds(review, at.day, then.programme):
            break
    else:
        return
    event = _reviewed(member, review.before, then, corrects=review.version)
    held = member.state.tier
    if held is None or _BETTER[_outcome(event)] <= _BETTER[review.outcome]:
        return
    bettered = _after(event, review.before)
    if _height(_by_now(member, bettered, at), at) >= _height(_by_now(member, held, at), at):
        member.trigger(event)
        review_due(member, at.now, at)


def _by_now(member: Member, held: TierStatus, at: Circumstances) -> TierStatus:
    """What becomes of a status by all the reviews that are due by now."""
    while held.until is not None:
        moment = at.programme.local_midnight(held.until + timedelta(days=1))
        then = at.under_rules_of(moment)
        if moment > at.now or not then.programme.tiers:
            break
        held = _after(_reviewed(member, held, then), held)
    return held


def _after(review: e.TierReview, before: TierStatus) -> TierStatus:
    """The status that a review makes of the one before it."""
    if isinstance(review, e.TierDowngraded):
        return TierStatus(review.to_tier, review.since, review.until)
    if isinstance(review, e.TierExtended):
        return TierStatus(review.tier, before.since, review.until, extended=True)
    assert isinstance(review, e.TierRenewed)
    return TierStatus(review.tier, before.since, review.until)


def _height(held: TierStatus, at: Circumstances) -> tuple[int, date]:
    """How high a status stands on the ladder, and for how long."""
    codes = [tier.code for tier in at.programme.tiers]
    rung = codes.index(held.code) if held.code in codes else -1
    return rung, held.until or date.max


def _holds(review: PastReview, day: date, programme: Programme) -> bool:
    tier = programme.tier(review.before.code)
    until = review.before.until
    if tier is None or until is None:
        return False
    first, last = _window(until, tier.months)
    return first <= day <= last


def _outcome(event: e.TierReview) -> ReviewOutcome:
    if isinstance(event, e.TierRenewed):
        return "renewed"
    return "extended" if isinstance(event, e.TierExtended) else "downgraded"


# Windows


def _window(last: date, months: int) -> tuple[date, date]:
    """The local dates after `last` − months, to `last` (6.2, 6.3)."""
    return add_months(last, -months) + timedelta(days=1), last


def figures_between(member: Member, first: date, last: date) -> Figures:
    """What the member did from `first` to `last`, both included."""
    return figures_of(days_between(member, first, last), member.state.first_counting_on)


def missing_to(tier: Tier, found: Figures, *, keep: bool = False) -> tuple[Decimal, int]:
    """Spend and repurchases that are missing to reach the tier, or to keep it."""
    needed = tier.to_keep if keep else tier
    return max(ZERO, needed.spend - found.spend), max(0, needed.repurchases - found.repurchases)


def window_of(held: TierStatus, tier: Tier) -> tuple[date, date] | None:
    """The days that decide whether the tier is kept; None for one without an end."""
    return _window(held.until, tier.months) if held.until is not None else None


def trailing(day: date, tier: Tier) -> tuple[date, date]:
    """The days that decide on `day` whether a lost tier is regained (6.2)."""
    return _window(day, tier.months)


def ladder_above(member: Member, programme: Programme) -> Iterator[Tier]:
    """The tiers above the member's, the lowest first."""
    return reversed(_above(member, programme)) if programme.tiers else iter(())
