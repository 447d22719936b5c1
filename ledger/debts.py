"""Debt is paid first by whatever comes in, the oldest debt first (PROGRAMME 5.6). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ledger.events import DebtPaid, LotPoints
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
