"""What an order would bring, before it is booked (API.md, quotes)."""

from __future__ import annotations

from decimal import Decimal

from ledger import requests as r
from ledger.answers import Answer, breakdown_answer, granted_lot_answer
from ledger.case import Case
from ledger.errors import NotFound
from ledger.events import LotGrant
from ledger.member import Circumstances, Member, accruing, enrolling, redeeming, settling, status
from ledger.money import ZERO, exact, plain
from ledger.programme.model import Programme
from ledger.programme.sections import Tier
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
        "next_tier": _next_tier(member, command.amount, at),
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


def _next_tier(member: Member, amount: Decimal, at: Circumstances) -> Answer | None:
    """What is missing to the next tier once the order is booked (6.2); None at the top."""
    programme, totals = at.programme, member.state.totals
    codes = [tier.code for tier in programme.tiers]
    now = member.standing(programme, at.occurred_at).tier
    spend = totals.spend + amount
    repurchases = max(0, totals.orders + (amount > 0) - 1)
    for tier in programme.tiers[codes.index(now) + 1 if now in codes else 0 :]:
        missing_spend = max(ZERO, tier.spend - spend)
        missing_orders = max(0, tier.repurchases - repurchases)
        if missing_spend or missing_orders:
            return {
                "code": tier.code,
                "missing_spend": plain(missing_spend),
                "missing_repurchases": missing_orders,
                "summary": _missing_en(tier, missing_spend, missing_orders),
                "summary_zh": _missing_zh(tier, missing_spend, missing_orders),
            }
    return None


def _missing_en(tier: Tier, spend: Decimal, orders: int) -> str:
    name = tier.name.in_language("en") if tier.name else tier.code
    parts = [f"{plain(spend)} more"] if spend else []
    parts += [f"{orders} more order{'s' if orders > 1 else ''}"] if orders else []
    return f"{' and '.join(parts)} and you are {name}"


def _missing_zh(tier: Tier, spend: Decimal, orders: int) -> str:
    name = tier.name.in_language("zh") if tier.name else tier.code
    parts = [f"消费 {plain(spend)}"] if spend else []
    parts += [f"购买 {orders} 次"] if orders else []
    return f"再{'并再'.join(parts)}，即可成为{name}"
