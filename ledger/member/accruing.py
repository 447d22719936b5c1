"""An order: what it would earn, and recording it (PROGRAMME 2.1, 2.2, 2.5, 2.6)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from ledger import events as e
from ledger import requests as r
from ledger.days import day
from ledger.earning import NOTHING_EARNED, Earned, Occasion, capped, earn_on_order
from ledger.member import tiers
from ledger.member.aggregate import Member
from ledger.member.circumstances import Circumstances
from ledger.member.granting import debt_paid_by, new_lot
from ledger.member.issuing import issue
from ledger.member.reserving import spend_on_order
from ledger.member.settling import settle
from ledger.member.status import must_be_active
from ledger.money import fraction_text
from ledger.programme.model import Programme


def earned_by(member: Member, command: r.Accrue, at: Circumstances) -> Earned:
    """What the order would earn now (PROGRAMME 2.1, 2.2)."""
    earned = earned_before_cap(member, command, at.programme, at.occurred_at)
    return capped(earned, left_today(member, at))


def earned_before_cap(
    member: Member, command: r.Accrue, programme: Programme, moment: datetime
) -> Earned:
    """What the order would earn by these rules at a moment, but for the day's cap."""
    if programme.earning is None:
        return NOTHING_EARNED
    standing = member.standing(programme, moment)
    occasion = Occasion(moment, standing, command.channel, command.store_id)
    return earn_on_order(
        programme.earning, programme.campaigns, command.amount, command.items, occasion
    )


def left_today(member: Member, at: Circumstances) -> int | None:
    """How many points the daily cap leaves on the day of `occurred_at`; None without one (2.2)."""
    cap = at.programme.points.daily_earning_cap
    return max(0, cap - day(member, at.day).earned) if cap else None


def coupons_for(
    member: Member, command: r.Accrue, at: Circumstances
) -> Iterator[tuple[e.CouponSource, str]]:
    """The coupons that the order would bring the member, and by which rule (2.5, 2.6)."""
    programme = at.programme
    if not command.amount:
        return
    if member.state.first_order_id is None and programme.second_order is not None:
        yield "second_order", programme.second_order.coupon
    for gift in programme.spend_gifts:
        if command.amount >= gift.threshold:
            yield "spend_gift", gift.coupon


def lot_for(member: Member, command: r.Accrue, points: int, at: Circumstances) -> e.LotGrant | None:
    """The lot that so many points of the order make."""
    return new_lot(
        member, points, "order", at, order_id=command.order_id, funded_by=command.funded_by
    )


def accrue(member: Member, command: r.Accrue, at: Circumstances) -> e.PointsAccrued:
    """Record an order: capture its redemptions, grant its points, pay debt first, give coupons."""
    must_be_active(member)
    settle(member, at)
    for redemption_id in command.redemption_ids:
        spend_on_order(member, redemption_id, command.order_id, at)
    earned = earned_by(member, command, at)
    coupons = list(coupons_for(member, command, at))
    lot = lot_for(member, command, earned.points, at)
    event = e.PointsAccrued(
        occurred_at=at.occurred_at,
        meta=at.meta,
        order_id=command.order_id,
        amount=command.amount,
        points=earned.points,
        spend_points=earned.spend_points,
        unrounded_spend_points=fraction_text(earned.unrounded_spend_points),
        breakdown=earned.breakdown,
        programme_version=at.version.number,
        lot=lot,
        debt_paid=debt_paid_by(member, lot),
        redemption_ids=command.redemption_ids,
        store_id=command.store_id,
        channel=command.channel,
        items=command.items,
        attributes=command.attributes,
        earned_on=at.day,
        first=command.amount > 0 and member.state.first_order_id is None,
    )
    member.trigger(event)
    for source, template in coupons:
        issue(member, template, source, at, command.order_id)
    if command.amount:
        tiers.after_order(member, command.order_id, at)
    if member.state.pending:
        settle(member, at)  # late data: its points may be active by now
    return event
