"""The end of a reservation: captured or released (PROGRAMME 4.3)."""

from __future__ import annotations

from ledger import events as e
from ledger import requests as r
from ledger.debts import pay_debts
from ledger.errors import NotFound, Refusal
from ledger.member.aggregate import Member
from ledger.member.circumstances import Circumstances
from ledger.member.redeeming import check_step, must_not_be_refunded
from ledger.member.settling import expire_returned, left_of, settle
from ledger.member.status import must_be_active
from ledger.money import cents, exact
from ledger.parts import Redemption


def capture(member: Member, command: r.Capture, at: Circumstances) -> Redemption:
    """Spend a reservation: all of it, or the first-drawn part (4.3)."""
    redemption = _open_reservation(member, command.redemption_id, at)
    must_be_active(member)
    must_not_be_refunded(member, redemption.order_id)
    points = redemption.points if command.points is None else command.points
    if points > redemption.points:
        raise Refusal(
            "insufficient_points",
            f"The reservation holds {redemption.points} points, not {points}.",
        )
    rules = at.programme.redemption
    if points < redemption.points and rules is not None:
        check_step(points, rules)
    settle(member, at)
    _spend(member, redemption, points, redemption.order_id, at)
    return redemption


def _spend(
    member: Member, redemption: Redemption, points: int, order_id: str | None, at: Circumstances
) -> None:
    value = cents(exact(redemption.value) * points / redemption.points)
    returned = left_of(redemption, redemption.points - points)
    paid, left = pay_debts(member.state.debts, returned)
    # A late order may have happened before its reservation; the capture can't have.
    moment = max(at.occurred_at, redemption.occurred_at)
    member.trigger(
        e.ReservationCaptured(
            occurred_at=moment,
            meta=at.meta,
            redemption_id=redemption.redemption_id,
            points=points,
            value=value,
            order_id=order_id,
            lots_returned=left,
            debt_paid=paid,
        )
    )
    expire_returned(member, left, moment, at)


def release(member: Member, command: r.Release, at: Circumstances) -> Redemption:
    """Give a reservation up; its points go back to their lots (4.3)."""
    redemption = _open_reservation(member, command.redemption_id, at)
    settle(member, at)
    returned = left_of(redemption, redemption.points)
    paid, left = pay_debts(member.state.debts, returned)
    member.trigger(
        e.ReservationReleased(
            occurred_at=at.occurred_at,
            meta=at.meta,
            redemption_id=redemption.redemption_id,
            points=redemption.points,
            lots_returned=left,
            debt_paid=paid,
        )
    )
    expire_returned(member, left, at.occurred_at, at)
    return redemption


def spend_on_order(member: Member, redemption_id: str, order_id: str, at: Circumstances) -> None:
    """Capture a redemption with the order that it pays for (API.md, accruals)."""
    redemption = member.redemptions.find(redemption_id)
    if redemption is None:
        raise NotFound("redemption", redemption_id)
    if redemption.order_id is not None and redemption.order_id != order_id:
        raise Refusal(
            "not_eligible",
            f"Redemption {redemption_id!r} is for order {redemption.order_id!r}.",
        )
    if redemption.status == "redeemed":
        return
    redemption = _open_reservation(member, redemption_id, at)
    _spend(member, redemption, redemption.points, order_id, at)


def _open_reservation(member: Member, redemption_id: str, at: Circumstances) -> Redemption:
    redemption = member.redemptions.find(redemption_id)
    if redemption is None:
        raise NotFound("redemption", redemption_id)
    until = redemption.reserved_until
    if redemption.status != "reserved" or until is None or until <= at.now:
        status = "lapsed" if redemption.status == "reserved" else redemption.status
        raise Refusal("reservation_over", f"Reservation {redemption_id!r} is {status}.")
    return redemption
