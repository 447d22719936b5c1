"""What an order would bring, before it is booked (API.md, quotes)."""

from __future__ import annotations

from decimal import Decimal

from ledger import requests as r
from ledger.answers import Answer, accrual_answer, issued_by
from ledger.case import Case
from ledger.commands.orders import place
from ledger.errors import Refusal
from ledger.member import Circumstances, redeeming, settling
from ledger.member.progress import next_tier
from ledger.money import exact, plain
from ledger.programme.model import Programme
from ledger.summaries import explained


def quote(case: Case, command: r.Accrue) -> Answer:
    """What the order would earn, and what could be redeemed on it; books nothing.

    The order is placed as it would be booked, on an account that nobody writes back; so the quote
    is what is then booked, and refused for what the order would be refused for.
    """
    at = case.at(command.occurred_at)
    offset = _cash_offset(case, command, at)
    _must_be_new(case, command)
    member, event, judged = place(case, command, at)
    answer = accrual_answer(event, member, at.programme, at.today)
    lot = answer["lot"]
    how = explained(event.breakdown, event.points)
    return {
        "points": event.points,
        "breakdown": answer["breakdown"],
        "summary": how.en,
        "summary_zh": how.zh,
        "programme_version": at.version.number,
        "lot": {key: lot[key] for key in lot if key != "lot_id"} if lot is not None else None,
        "tier": answer["tier"],
        "issues": [one["template"] for one in issued_by(member.new_events)],
        "referral": judged and judged.answer(),
        "usable_coupons": [],
        "cash_offset": offset,
        "next_tier": next_tier(member, at.programme, at.day),
    }


def _must_be_new(case: Case, command: r.Accrue) -> None:
    if case.unit.entry("order", command.order_id) is not None:
        raise Refusal(
            "already_recorded",
            f"The order {command.order_id!r} is recorded already: quote under a new id.",
        )


def _cash_offset(case: Case, command: r.Accrue, at: Circumstances) -> Answer:
    """How much of the order the points that the member has now could pay (4.1)."""
    member, points = case.unit.member(command.member_id), 0
    if member is not None:
        settling.settle(member, at)
        available = member.balance(at.today).available
        used = redeeming.redeemed_value(member, command.order_id)
        points = _most_cash_offset(available, command.amount, used, at.programme)
    return {"max_points": points, "max_amount": plain(at.programme.points_value(points))}


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
