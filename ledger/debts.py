"""Debt is paid first by whatever comes in, the oldest debt first (PROGRAMME 5.6). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from ledger.events import (
    DebtPaid,
    Event,
    LotPoints,
    ReservationCaptured,
    ReservationLapsed,
    ReservationReleased,
)
from ledger.state import Debt


def pay_debts(
    debts: Sequence[Debt], incoming: Iterable[LotPoints]
) -> tuple[list[DebtPaid], list[LotPoints]]:
    """Split incoming points, in their order, into what pays debt and what is left of each lot."""
    owed = [Debt(debt.order_id, debt.points) for debt in debts]
    paid: list[DebtPaid] = []
    left: list[LotPoints] = []
    for lot in incoming:
        points = lot.points
        while points and owed:
            part = min(points, owed[0].points)
            paid.append(DebtPaid(lot.lot_id, owed[0].order_id, part))
            points -= part
            owed[0].points -= part
            if owed[0].points == 0:
                owed.pop(0)
        if points:
            left.append(LotPoints(lot.lot_id, points))
    return paid, left


def without_unmade_debt(event: Event, debts: Sequence[Debt]) -> Event:
    """The event as it is when only these debts exist: it pays no other.

    What it does not pay stays with its lot: where points come back from a reservation, among
    those returned.
    """
    paid: list[DebtPaid] = getattr(event, "debt_paid", [])
    if not paid:
        return event
    owed: dict[str, int] = {}
    for debt in debts:
        owed[debt.order_id] = owed.get(debt.order_id, 0) + debt.points
    kept: list[DebtPaid] = []
    spared: list[LotPoints] = []
    for part in paid:
        points = min(part.points, owed.get(part.order_id, 0))
        owed[part.order_id] = owed.get(part.order_id, 0) - points
        if points:
            kept.append(DebtPaid(part.lot_id, part.order_id, points))
        if points < part.points:
            spared.append(LotPoints(part.lot_id, part.points - points))
    if isinstance(event, ReservationCaptured | ReservationReleased | ReservationLapsed):
        returned = [*event.lots_returned, *spared]
        return msgspec.structs.replace(event, debt_paid=kept, lots_returned=returned)
    return msgspec.structs.replace(event, debt_paid=kept)
