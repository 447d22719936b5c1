"""What a refund takes back and gives back (PROGRAMME 5). Pure: reads parts, changes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from fractions import Fraction
from math import floor

from ledger.lots import Lot
from ledger.money import exact, floor_points
from ledger.parts import DrawnLot, Order


def should_hold(order: Order, refunded: Decimal) -> int:
    """Points that the order should hold once `refunded` of it is given back (5.1).

    Computed from the whole order, so that partial refunds never drift.
    """
    if refunded >= order.amount:
        return 0
    bonuses = order.points - order.spend_points
    share = 1 - exact(refunded) / exact(order.amount)
    kept = floor_points(Fraction(order.unrounded_spend_points) * share)
    return max(0, min(order.spend_points, kept) + bonuses)


def expired_unspent(lots: Iterable[Lot], day: date) -> int:
    """Points of an order's own lots that had expired unspent by `day` (5.1, 5.2).

    A lot past its day counts as expired, recorded or not.
    """
    points = 0
    for lot in lots:
        if not lot.good_on(day):
            points += lot.expired + lot.remaining
    return points


def clawback(order: Order, refunded: Decimal, expired: int) -> int:
    """Points to claw back: what the order holds above what it should hold, never below 0 (5.1)."""
    holds = order.points - order.clawed_back - expired
    return max(0, holds - should_hold(order, refunded))


def restored_so_far(spent: int, amount: Decimal, refunded: Decimal) -> int:
    """Points of the order's redemptions that a refund up to `refunded` gives back (5.3)."""
    if refunded >= amount:
        return spent
    return floor(Fraction(spent) * exact(refunded) / exact(amount))


def plan_restoration(drawn: Iterable[DrawnLot], points: int) -> list[tuple[DrawnLot, int]]:
    """Give back `points`, last-drawn lot first; `drawn` is in the order in which it was drawn."""
    plan: list[tuple[DrawnLot, int]] = []
    for draw in reversed(list(drawn)):
        if points == 0:
            break
        given = min(draw.points - draw.restored, points)
        if given:
            plan.append((draw, given))
            points -= given
    return plan
