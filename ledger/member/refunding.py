"""The whole or a part of an order given back (PROGRAMME 5)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal

from ledger import events as e
from ledger import requests as r
from ledger.debts import pay_debts
from ledger.errors import InvalidRequest, NotFound, Refusal
from ledger.member.aggregate import Member
from ledger.member.circumstances import Circumstances
from ledger.member.drawing import own_lots, take_back
from ledger.member.granting import next_lot_id
from ledger.member.guarding import watch_refunds
from ledger.member.settling import settle
from ledger.parts import Order, Redemption
from ledger.refunds import clawback, expired_unspent, plan_restoration, restored_so_far


def refund(member: Member, command: r.Refund, refund_id: str, at: Circumstances) -> None:
    """Give back a part of an order: restore first, then claw back (PROGRAMME 5)."""
    order = member.orders.find(command.order_id)
    if order is None:
        raise NotFound("order", command.order_id)
    refunded = _check_refund(order, command.amount, at.occurred_at)
    settle(member, at)
    fully = refunded >= order.amount
    member.trigger(
        e.OrderRefunded(
            occurred_at=at.occurred_at,
            meta=at.meta,
            refund_id=refund_id,
            order_id=order.order_id,
            amount=command.amount,
            refunded=refunded,
            fully=fully,
            counted=fully and order.amount > 0,
        )
    )
    _restore(member, order, refund_id, at)
    _claw_back(member, order, refund_id, at)
    if fully:
        void_coupons(member, order.coupons, order.order_id, refund_id, at)
    watch_refunds(member, at)


def _restore(member: Member, order: Order, refund_id: str, at: Circumstances) -> None:
    """Points that the order spent come back to their lots, or to new ones (5.3)."""
    spent_by = _redeemed_for(member, order.order_id)
    spent = sum(redemption.points for redemption in spent_by)
    points = restored_so_far(spent, order.amount, order.refunded) - order.restored
    if points <= 0:
        return
    good_until = at.day + timedelta(days=at.programme.points.restored_min_days)
    entries: list[e.RestoredLot] = []
    for redemption in reversed(spent_by):
        for drawn, part in plan_restoration(redemption.drawn, points):
            points -= part
            entries.append(
                e.RestoredLot(
                    redemption_id=redemption.redemption_id,
                    lot_id=drawn.lot_id,
                    points=part,
                    new_lot=_lot_with_later_expiry(
                        member, drawn.lot_id, part, good_until, len(entries) + 1
                    ),
                )
            )
    arriving = [
        e.LotPoints(entry.new_lot.lot_id if entry.new_lot else entry.lot_id, entry.points)
        for entry in entries
    ]
    paid, _ = pay_debts(member.state.debts, arriving)
    member.trigger(
        e.PointsRestored(
            occurred_at=at.occurred_at,
            meta=at.meta,
            refund_id=refund_id,
            order_id=order.order_id,
            points=sum(entry.points for entry in entries),
            lots=entries,
            debt_paid=paid,
        )
    )


def _redeemed_for(member: Member, order_id: str) -> list[Redemption]:
    spending = member.spendings.find(order_id)
    found = [member.redemptions.find(one) for one in (spending.redemption_ids if spending else [])]
    return [one for one in found if one is not None and one.status == "redeemed"]


def _lot_with_later_expiry(
    member: Member, lot_id: str, points: int, good_until: date, number: int
) -> e.LotGrant | None:
    """A new lot for points whose old expiry is too near; same origin, good until then (5.3)."""
    old = member.lots.find(lot_id)
    if old is None or old.last_day >= good_until:
        return None
    return e.LotGrant(
        lot_id=next_lot_id(member, number),
        granted=points,
        earned_at=old.earned_at,
        expires_on=good_until,
        source=old.source,
        order_id=old.order_id,
        funded_by=old.funded_by,
        parent_lot_id=old.lot_id,
    )


def _claw_back(member: Member, order: Order, refund_id: str, at: Circumstances) -> None:
    """Take back what the order holds above what it should: own lots, others, debt (5.2)."""
    expired = expired_unspent(own_lots(member, order.lot_id), at.day)
    points = clawback(order, order.refunded, expired)
    if points == 0:
        return
    taken = take_back(member, order.lot_id, points, at)
    member.trigger(
        e.PointsClawedBack(
            occurred_at=at.occurred_at,
            meta=at.meta,
            refund_id=refund_id,
            order_id=order.order_id,
            points=points,
            lots_drawn=taken.lots_drawn,
            debt=taken.debt,
            waived=taken.waived,
            pending=taken.pending,
        )
    )


def void_coupons(
    member: Member, codes: Iterable[str], order_id: str, refund_id: str, at: Circumstances
) -> None:
    """Unused coupons that a fully refunded order brought are good for nothing any more (5.4)."""
    for code in codes:
        coupon = member.coupons.find(code)
        if coupon is not None and coupon.status == "issued":
            member.trigger(
                e.CouponVoided(
                    occurred_at=at.occurred_at,
                    meta=at.meta,
                    code=code,
                    template=coupon.template,
                    reason="order_refunded",
                    name_en=coupon.name_en,
                    name_zh=coupon.name_zh,
                    order_id=order_id,
                    refund_id=refund_id,
                )
            )


def _check_refund(order: Order, amount: Decimal, occurred_at: datetime) -> Decimal:
    """All that is refunded of the order with this refund (5.1, 5.5)."""
    if occurred_at < order.occurred_at:
        raise InvalidRequest("occurred_at", "A refund can't have happened before its order.")
    if amount == 0 and order.amount > 0:
        raise InvalidRequest("amount", "Refund more than 0.00: the order was not free.")
    refunded = order.refunded + amount
    if refunded > order.amount:
        left = order.amount - order.refunded
        raise Refusal(
            "refund_exceeds_order",
            f"{left} of order {order.order_id!r} is left to refund, not {amount}.",
        )
    return refunded
