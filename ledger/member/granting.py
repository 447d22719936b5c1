"""The lot that a grant makes, and the debt that it pays first (PROGRAMME 3.1, 5.6)."""

from __future__ import annotations

from datetime import date, timedelta

from ledger import events as e
from ledger.debts import pay_debts
from ledger.member.aggregate import Member
from ledger.member.circumstances import Circumstances
from ledger.programme.sections import ReturnRules


def new_lot(
    member: Member,
    points: int,
    source: e.LotSourceName,
    at: Circumstances,
    *,
    order_id: str | None = None,
    funded_by: str | None = None,
) -> e.LotGrant | None:
    """The lot of a grant of so many points; None for 0. Only order lots pend (2.9)."""
    if not points:
        return None
    expires_on = at.programme.expires_on(at.day)
    return e.LotGrant(
        lot_id=next_lot_id(member),
        granted=points,
        earned_at=at.occurred_at,
        expires_on=expires_on,
        source=source,
        order_id=order_id,
        funded_by=funded_by,
        pending_until=_pending_until(member, at, expires_on) if source == "order" else None,
    )


def _pending_until(member: Member, at: Circumstances, expires_on: date | None) -> date | None:
    """The last day of the member's return window, or None where points are credited at once (2.9).

    Points that expire within the window never become active.
    """
    returns = at.programme.returns
    if member.state.delayed:
        returns = returns or ReturnRules()
    elif not at.programme.points.pending:
        return None
    if returns is None:
        return None
    segment = member.standing(at.programme, at.occurred_at).segment
    days = returns.window_days
    if segment is not None:
        days = returns.window_days_by_segment.get(segment, days)
    until = at.day + timedelta(days=days)
    return until if expires_on is None else min(until, expires_on)


def next_lot_id(member: Member, number: int = 0) -> str:
    """Unique in the ledger, and sorts in the order of granting (3.2 breaks ties by it)."""
    lot_id = f"{member.member_id}.{member.state.version + 1:08d}"
    return f"{lot_id}.{number}" if number else lot_id


def debt_paid_by(member: Member, lot: e.LotGrant | None) -> list[e.DebtPaid]:
    """What the grant pays of the member's debt, the oldest first; a pending one too (5.6, 2.9)."""
    if lot is None or not member.state.debts:
        return []
    return pay_debts(member.state.debts, [e.LotPoints(lot.lot_id, lot.granted)])[0]
