"""What each event does to a points account: to its balances, and to its totals.

Pure functions of the event alone, one line per event class, to be read beside PROGRAMME 11.2:

    opening + granted + restored + adjusted − redeemed − expired − clawed back = closing,
    closing = available + pending + reserved − debt

A lot counts until its expiry is recorded; no clock, no programme, no earlier event is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

from ledger.events import (
    ActivityRewarded,
    DebtPaid,
    Event,
    LotPoints,
    NewcomerRewarded,
    OrderRefunded,
    PointsAccrued,
    PointsActivated,
    PointsAdjusted,
    PointsClawedBack,
    PointsExpired,
    PointsExpiryCorrected,
    PointsRedeemed,
    PointsReserved,
    PointsRestored,
    ReferralReversed,
    ReferralRewarded,
    ReservationCaptured,
    ReservationLapsed,
    ReservationReleased,
)


class BalanceChange(NamedTuple):
    """Points that an event adds to (or takes from) each balance of the account."""

    available: int = 0
    pending: int = 0
    reserved: int = 0
    debt: int = 0

    @property
    def net(self) -> int:
        """Points by which the account as a whole changes: what is outstanding, less debt."""
        return self.available + self.pending + self.reserved - self.debt


class TotalsChange(NamedTuple):
    """What an event adds to the account's totals: money for `spend`, points for the others.

    `granted` includes what paid debt; `clawed_back` includes what became debt, not what was waived
    (waived points were never taken); a corrected expiry counts as negative `expired`.
    `orders` counts the counting orders (6.1): those of more than 0.00, until fully refunded.
    """

    spend: Decimal = Decimal("0.00")
    orders: int = 0
    granted: int = 0
    restored: int = 0
    redeemed: int = 0
    expired: int = 0
    clawed_back: int = 0
    adjusted: int = 0

    @property
    def net(self) -> int:
        """Points by which the account as a whole changes: the roll-forward's sum (11.2)."""
        return (
            self.granted
            + self.restored
            + self.adjusted
            - self.redeemed
            - self.expired
            - self.clawed_back
        )


NO_BALANCE_CHANGE: Final = BalanceChange()
NO_TOTALS_CHANGE: Final = TotalsChange()


def balance_change(event: Event) -> BalanceChange:
    """What the event does to the account's balances, in points."""
    rule = _BALANCES.get(type(event))
    return rule(event) if rule else NO_BALANCE_CHANGE


def totals_change(event: Event) -> TotalsChange:
    """What the event adds to the account's totals."""
    rule = _TOTALS.get(type(event))
    return rule(event) if rule else NO_TOTALS_CHANGE


def _points(parts: Sequence[LotPoints] | Sequence[DebtPaid]) -> int:
    return sum(part.points for part in parts)


def _come_in(points: int, debt_paid: Sequence[DebtPaid], *, pending: bool = False) -> BalanceChange:
    """Points that come to the account: debt is paid first, the rest is the member's (5.6)."""
    paid = _points(debt_paid)
    rest = points - paid
    return BalanceChange(
        available=0 if pending else rest, pending=rest if pending else 0, debt=-paid
    )


def _accrued(event: PointsAccrued) -> BalanceChange:
    pending = event.lot is not None and event.lot.pending_until is not None
    return _come_in(event.points, event.debt_paid, pending=pending)


def _captured(event: ReservationCaptured) -> BalanceChange:
    returned, paid = _points(event.lots_returned), _points(event.debt_paid)
    return BalanceChange(available=returned, reserved=-(event.points + returned + paid), debt=-paid)


def _given_up(event: ReservationReleased | ReservationLapsed) -> BalanceChange:
    back = _come_in(event.points, event.debt_paid)
    return back._replace(reserved=-event.points)


def _clawed_back(event: PointsClawedBack | ReferralReversed) -> BalanceChange:
    active = _points(event.lots_drawn) - event.pending
    return BalanceChange(available=-active, pending=-event.pending, debt=event.debt)


# Any: each rule takes its own event class, which the key beside it says.
_BALANCES: Final[dict[type[Event], Callable[[Any], BalanceChange]]] = {
    NewcomerRewarded: lambda e: BalanceChange(available=e.points),
    PointsAccrued: _accrued,
    ActivityRewarded: lambda e: _come_in(e.points, e.debt_paid),
    PointsActivated: lambda e: BalanceChange(available=e.points, pending=-e.points),
    ReferralRewarded: lambda e: _come_in(e.points, e.debt_paid),
    ReferralReversed: _clawed_back,
    PointsReserved: lambda e: BalanceChange(available=-e.points, reserved=e.points),
    ReservationCaptured: _captured,
    ReservationReleased: _given_up,
    ReservationLapsed: _given_up,
    PointsRedeemed: lambda e: BalanceChange(available=-e.points),
    PointsRestored: lambda e: _come_in(e.points, e.debt_paid),
    PointsClawedBack: _clawed_back,
    PointsExpired: lambda e: BalanceChange(available=-e.points),
    PointsExpiryCorrected: lambda e: _come_in(e.points, e.debt_paid),
    PointsAdjusted: lambda e: _come_in(e.points, e.debt_paid),
}

_TOTALS: Final[dict[type[Event], Callable[[Any], TotalsChange]]] = {
    NewcomerRewarded: lambda e: TotalsChange(granted=e.points),
    ActivityRewarded: lambda e: TotalsChange(granted=e.points),
    ReferralRewarded: lambda e: TotalsChange(granted=e.points),
    ReferralReversed: lambda e: TotalsChange(clawed_back=e.points - e.waived),
    PointsAccrued: lambda e: TotalsChange(
        spend=e.amount, orders=int(e.amount > 0), granted=e.points
    ),
    ReservationCaptured: lambda e: TotalsChange(redeemed=e.points),
    PointsRedeemed: lambda e: TotalsChange(redeemed=e.points),
    OrderRefunded: lambda e: TotalsChange(spend=-e.amount, orders=-int(e.fully and e.counted)),
    PointsRestored: lambda e: TotalsChange(restored=e.points),
    PointsClawedBack: lambda e: TotalsChange(clawed_back=e.points - e.waived),
    PointsExpired: lambda e: TotalsChange(expired=e.points),
    PointsExpiryCorrected: lambda e: TotalsChange(expired=-e.points),
    PointsAdjusted: lambda e: TotalsChange(adjusted=e.points),
}
