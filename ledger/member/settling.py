"""What happens because time has passed: reservations lapse, pending points become active, points
expire (PROGRAMME 2.9, 3.3, 3.5, 4.3).

A command settles the account before it decides about points. Only expiry is left to the job: what
is past its day is neither drawn nor counted, recorded or not.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from ledger import events as e
from ledger.debts import pay_debts
from ledger.member.aggregate import Member
from ledger.member.circumstances import Circumstances
from ledger.parts import Redemption
from ledger.refunds import plan_restoration


def settle(member: Member, at: Circumstances) -> None:
    """Record what has come of itself by now, so that the command decides on what holds."""
    lapse_due(member, at, at.now)
    # A till's clock may be ahead of ours, over a midnight too.
    activate_due(member, at, max(at.now, at.occurred_at))


def activate_due(member: Member, at: Circumstances, as_of: datetime) -> int:
    """Record that pending points became active; answer how many lots (2.9)."""
    if not member.state.pending:
        return 0
    today = at.programme.local_date(as_of)
    due = sorted((until, lot_id) for lot_id, until in member.state.pending.items() if until < today)
    for until, lot_id in due:
        lot = member.lots.find(lot_id)
        member.trigger(
            e.PointsActivated(
                occurred_at=at.programme.local_midnight(until + timedelta(days=1)),
                meta=at.meta,
                lot_id=lot_id,
                points=lot.remaining if lot is not None else 0,
            )
        )
    return len(due)


def lapse_due(member: Member, at: Circumstances, as_of: datetime) -> int:
    """Record the end of every reservation whose time is over; answer how many (4.3)."""
    if not member.state.reservations:
        return 0
    due = sorted(
        (until, redemption_id)
        for redemption_id, until in member.state.reservations.items()
        if until <= as_of
    )
    for until, redemption_id in due:
        redemption = member.redemptions.find(redemption_id)
        if redemption is None:
            continue
        returned = left_of(redemption, redemption.points)
        paid, left = pay_debts(member.state.debts, returned)
        member.trigger(
            e.ReservationLapsed(
                occurred_at=until,
                meta=at.meta,
                redemption_id=redemption_id,
                points=redemption.points,
                lots_returned=left,
                debt_paid=paid,
            )
        )
        expire_returned(member, left, until, at)
    return len(due)


def expire_due(member: Member, as_of: datetime, at: Circumstances) -> int:
    """Record the expiry of every lot past its day; answer how many lots (3.3)."""
    lapse_due(member, at, as_of)
    activate_due(member, at, as_of)
    due = [lot for lot in member.due_lots(at.programme.local_date(as_of)) if lot.remaining]
    for lot in due:
        assert lot.expires_on is not None
        member.trigger(
            e.PointsExpired(
                occurred_at=at.programme.expiry_moment(lot.expires_on),
                meta=at.meta,
                lot_id=lot.lot_id,
                points=lot.remaining,
                expires_on=lot.expires_on,
            )
        )
    return len(due)


def expire_returned(
    member: Member, returned: Iterable[e.LotPoints], moment: datetime, at: Circumstances
) -> None:
    """Points that come back after their lot's last day expire at that moment (3.5)."""
    day = at.programme.local_date(moment)
    for entry in returned:
        lot = member.lots.find(entry.lot_id)
        if lot is None or lot.expires_on is None or lot.good_on(day):
            continue
        member.trigger(
            e.PointsExpired(
                occurred_at=moment,
                meta=at.meta,
                lot_id=lot.lot_id,
                points=entry.points,
                expires_on=lot.expires_on,
                released_late=True,
            )
        )


def left_of(redemption: Redemption, points: int) -> list[e.LotPoints]:
    """What is left of a redemption's lots when the first-drawn part is spent, first-drawn first."""
    plan = plan_restoration(redemption.drawn, points)
    return [e.LotPoints(drawn.lot_id, part) for drawn, part in reversed(plan)]
