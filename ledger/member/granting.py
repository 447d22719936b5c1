"""The lot that a grant makes, and the debt that it pays first (PROGRAMME 3.1, 5.6)."""

from __future__ import annotations

from ledger import events as e
from ledger.debts import pay_debts
from ledger.member.aggregate import Member
from ledger.member.circumstances import Circumstances


def new_lot(
    member: Member,
    points: int,
    source: e.LotSourceName,
    at: Circumstances,
    *,
    order_id: str | None = None,
    funded_by: str | None = None,
) -> e.LotGrant:
    return e.LotGrant(
        lot_id=next_lot_id(member),
        granted=points,
        earned_at=at.occurred_at,
        expires_on=at.programme.expires_on(at.day),
        source=source,
        order_id=order_id,
        funded_by=funded_by,
    )


def next_lot_id(member: Member, number: int = 0) -> str:
    """Unique in the ledger, and sorts in the order of granting (3.2 breaks ties by it)."""
    lot_id = f"{member.member_id}.{member.state.version + 1:08d}"
    return f"{lot_id}.{number}" if number else lot_id


def debt_paid_by(member: Member, lot: e.LotGrant | None) -> list[e.DebtPaid]:
    if lot is None or not member.state.debts:
        return []
    return pay_debts(member.state.debts, [e.LotPoints(lot.lot_id, lot.granted)])[0]
