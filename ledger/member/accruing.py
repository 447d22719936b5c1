"""An order: what it would earn, and recording it (PROGRAMME 2)."""

from __future__ import annotations

from fractions import Fraction

from ledger import events as e
from ledger import requests as r
from ledger.earning import Earned, earn_on_order
from ledger.member.aggregate import Member
from ledger.member.circumstances import Circumstances
from ledger.member.granting import debt_paid_by, new_lot
from ledger.member.reserving import spend_on_order
from ledger.member.settling import lapse_due
from ledger.member.status import must_be_active
from ledger.money import fraction_text


def quote(member: Member, command: r.Accrue, at: Circumstances) -> Earned:
    """What the order would earn (PROGRAMME 2.1)."""
    rules = at.programme.earning
    if rules is None:
        return Earned(0, 0, Fraction(0), [])
    level = member.state.level_at(at.occurred_at)
    return earn_on_order(rules, command.amount, command.items, level)


def accrue(member: Member, command: r.Accrue, at: Circumstances) -> e.PointsAccrued:
    """Record an order: capture its redemptions, grant its points, pay debt first."""
    must_be_active(member)
    lapse_due(member, at, at.now)
    for redemption_id in command.redemption_ids:
        spend_on_order(member, redemption_id, command.order_id, at)
    earned = quote(member, command, at)
    lot = None
    if earned.points:
        lot = new_lot(
            member,
            earned.points,
            "order",
            at,
            order_id=command.order_id,
            funded_by=command.funded_by,
        )
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
    )
    member.trigger(event)
    return event
