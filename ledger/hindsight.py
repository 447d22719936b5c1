"""What an event did as seen from an earlier effective time (PROGRAMME 11.5).

A replay up to `occurred_at` leaves out what happened later, though an event that it holds may
have been recorded after it, and build on it: late data. Then debt that was not made yet was not
paid, points that were still pending were taken from what was pending, and what became active is
what was there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

import msgspec

from ledger.events import (
    DebtPaid,
    Event,
    LotPoints,
    PointsActivated,
    PointsClawedBack,
    ReferralReversed,
    ReservationCaptured,
    ReservationLapsed,
    ReservationReleased,
)
from ledger.member import Member
from ledger.state import Debt


def as_it_was(event: Event, member: Member) -> Event:
    """The event as it is where only what the member's state says has happened before it."""
    state = member.state
    if isinstance(event, PointsActivated):
        return _activating_what_is_there(event, member)
    return _taken_from_pending(_without_unmade_debt(event, state.debts), state.pending)


def _activating_what_is_there(event: PointsActivated, member: Member) -> Event:
    lot = member.lots.find(event.lot_id)
    points = lot.remaining if lot is not None and lot.pending else 0
    return event if points == event.points else msgspec.structs.replace(event, points=points)


def _taken_from_pending(event: Event, pending: Mapping[str, date]) -> Event:
    if not isinstance(event, PointsClawedBack | ReferralReversed):
        return event
    points = sum(part.points for part in event.lots_drawn if part.lot_id in pending)
    return event if points == event.pending else msgspec.structs.replace(event, pending=points)


def _without_unmade_debt(event: Event, debts: Sequence[Debt]) -> Event:
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
