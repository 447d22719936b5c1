"""What an order would bring, before it is booked (API.md, quotes)."""

from __future__ import annotations

from decimal import Decimal

from ledger import requests as r
from ledger.answers import Answer, breakdown_answer, granted_lot_answer
from ledger.case import Case
from ledger.errors import NotFound
from ledger.events import LotGrant
from ledger.member import Circumstances, Member, accruing, enrolling, redeeming, settling, status
from ledger.member.progress import next_tier
from ledger.money import exact, plain
from ledger.programme.model import Programme
from ledger.summaries import explained


def quote(case: Case, command: r.Accrue) -> Answer:
    """What the order would earn, and what could be redeemed on it; books nothing.

    Decided by the same rules, on the same account, as the order itself would be.
    """
    at = case.at(command.occurred_at)
    member = _who_buys(case, command, at)
    status.must_be_active(member)
    settling.settle(member, at)
    earned = accruing.earned_by(member, command, at)
    lot = accruing.lot_for(member, command, earned.points, at)
    available = member.balance(at.today).available
    used = redeeming.redeemed_value(member, command.order_id)
    points = _most_cash_offset(available, command.amount, used, at.programme)
    how = explained(earned.breakdown, earned.points)
    return {
        "points": earned.points,
        "breakdown": breakdown_answer(earned.breakdown),
        "summary": how.en,
        "summary_zh": how.zh,
        "programme_version": at.version.number,
        "lot": granted_lot_answer(lot, pending=_pends(lot, at)) if lot is not None else None,
        "issues": [template for _, template in accruing.coupons_for(member, command, at)],
        "usable_coupons": [],
        "cash_offset": {
            "max_points": points,
            "max_amount": plain(at.programme.points_value(points)),
        },
        "next_tier": next_tier(member, at.programme, at.day, command.amount),
    }


def _who_buys(case: Case, command: r.Accrue, at: Circumstances) -> Member:
    """The member; a new one, kept nowhere, where the order would enrol."""
    member = case.unit.member(command.member_id)
    if member is None and at.programme.auto_enrol:
        return enrolling.enrol(command.member_id, None, at)
    if member is None:
        raise NotFound("member", command.member_id)
    return member


def _most_cash_offset(available: int, amount: Decimal, used: Decimal, programme: Programme) -> int:
    """The most further points that may pay for an order of this amount (4.1)."""
    rules = programme.redemption
    if rules is None or not programme.points.value:
        return 0
    share = exact(rules.max_order_share) if rules.max_order_share else exact(1)
    left = max(exact(0), exact(amount) * share - exact(used))
    by_order = int(left / exact(programme.points.value))
    points = min(available, by_order) // rules.step * rules.step
    return points if points >= max(rules.min, 1) else 0


def _pends(lot: LotGrant, at: Circumstances) -> bool:
    return lot.pending_until is not None and lot.pending_until >= max(at.today, at.day)
