"""The whole or a part of an order given back (PROGRAMME 5)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal

from ledger import events as e
from ledger import requests as r
from ledger.debts import pay_debts
from ledger.errors import InvalidRequest, NotFound, Refusal
from ledger.lots import Draw, Lot, plan_draw
from ledger.member.aggregate import Member
from ledger.member.circumstances import Circumstances
from ledger.member.drawing import correct_expiries, drawable
from ledger.member.granting import next_lot_id
from ledger.member.settling import lapse_due
from ledger.parts import Order, Redemption
from ledger.refunds import clawback, expired_unspent, plan_restoration, restored_so_far


def refund(member: Member, command: r.Refund, refund_id: str, at: Circumstances) -> None:
    """Give back a part of an order: restore first, then claw back (PROGRAMME 5)."""
    order = member.orders.find(command.order_id)
    if order is None:
        raise NotFound("order", command.order_id)
    refunded = _check_refund(order, command.amount, at.occurred_at)
    lapse_due(member, at, at.now)
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
    own = _own_lots(member, order)
    points = clawback(order, order.refunded, expired_unspent(own, at.day))
    if points == 0:
        return
    draws = _plan_clawback(member, own, points, at)
    correct_expiries(member, draws, at)
    drawn = [e.LotPoints(draw.lot_id, draw.points) for draw in draws if draw.points]
    missing = points - sum(draw.points for draw in drawn)
    waive = at.programme.points.debt == "waive"
    member.trigger(
        e.PointsClawedBack(
            occurred_at=at.occurred_at,
            meta=at.meta,
            refund_id=refund_id,
            order_id=order.order_id,
            points=points,
            lots_drawn=drawn,
            debt=0 if waive else missing,
            waived=missing if waive else 0,
        )
    )


def _plan_clawback(
    member: Member, own: Sequence[Lot], points: int, at: Circumstances
) -> list[Draw]:
    own_ids = {lot.lot_id for lot in own}
    own_good = sorted(
        (lot for lot in own if lot.good_on(at.day) and lot.earned_at <= at.occurred_at),
        key=lambda lot: lot.drawing_key,
    )
    debt = member.state.balance.debt
    draws, missing = plan_draw(own_good, points, debt=debt)
    if missing:
        debt -= sum(draw.pays_debt for draw in draws)
        others = (lot for lot in drawable(member, at) if lot.lot_id not in own_ids)
        more, _ = plan_draw(others, missing, debt=debt)
        draws += more
    return draws


def _own_lots(member: Member, order: Order) -> list[Lot]:
    """The lot of the order's grant, and those that restorations formed from it."""
    found: list[Lot] = []
    ids = [order.lot_id] if order.lot_id else []
    while ids:
        lot = member.lots.find(ids.pop())
        if lot is not None:
            found.append(lot)
            ids.extend(lot.derived)
    return found


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
