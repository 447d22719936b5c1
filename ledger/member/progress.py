"""What is missing to the next tier, and to keep this one (PROGRAMME 6)."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from ledger.figures import Figures
from ledger.member.aggregate import Member
from ledger.member.tiers import figures_between, ladder_above, missing_to, trailing, window_of
from ledger.money import plain
from ledger.programme.model import Programme
from ledger.programme.sections import Tier


def progress_of(member: Member, programme: Programme, day: date) -> dict[str, Any]:
    """To the next tier, and what keeps this one and by when; None where there is nothing to do."""
    return {
        "next": next_tier(member, programme, day),
        "keep": _keeping(member, programme),
    }


def next_tier(
    member: Member, programme: Programme, day: date, amount: Decimal = Decimal("0.00")
) -> dict[str, Any] | None:
    """What is missing to the lowest tier not reached, once an order of `amount` is booked (6.2).

    None at the top. A lost tier is regained by the figures of the trailing window.
    """
    totals = member.state.totals
    orders = totals.orders + (amount > 0)
    lifetime = Figures(totals.spend + amount, orders, max(0, orders - 1))
    for tier in ladder_above(member, programme):
        lost = tier.code in member.state.tiers_lost
        found = _with_order(member, tier, day, amount) if lost else lifetime
        spend, repurchases = missing_to(tier, found, keep=lost)
        if spend or repurchases:
            return {
                "code": tier.code,
                "missing_spend": plain(spend),
                "missing_repurchases": repurchases,
                "summary": f"{_missing_en(spend, repurchases)} and you are {_name(tier, 'en')}",
                "summary_zh": f"再{_missing_zh(spend, repurchases)}，即可成为{_name(tier, 'zh')}",
            }
    return None


def _with_order(member: Member, tier: Tier, day: date, amount: Decimal) -> Figures:
    found = figures_between(member, *trailing(day, tier))
    counts = int(amount > 0)
    return Figures(found.spend + amount, found.orders + counts, found.repurchases + counts)


def _keeping(member: Member, programme: Programme) -> dict[str, Any] | None:
    held = member.state.tier
    tier = programme.tier(held.code) if held is not None else None
    window = window_of(held, tier) if held is not None and tier is not None else None
    if held is None or tier is None or window is None:
        return None
    found = figures_between(member, *window)
    spend, repurchases = missing_to(tier, found, keep=True)
    extension = tier.extension if not held.extended else None
    to_extend = max(0, extension.repurchases - found.repurchases) if extension else None
    by, name = window[1].isoformat(), _name(tier, "en")
    kept = not (spend or repurchases)
    return {
        "code": tier.code,
        "by": by,
        "missing_spend": plain(spend),
        "missing_repurchases": repurchases,
        "extension": {"missing_repurchases": to_extend, "months": extension.months}
        if extension
        else None,
        "summary": f"{name} will be renewed after {by}"
        if kept
        else f"{_missing_en(spend, repurchases)} by {by} and you stay {name}",
        "summary_zh": f"{by} 后{_name(tier, 'zh')}自动续期"
        if kept
        else f"{by} 前再{_missing_zh(spend, repurchases)}，即可保持{_name(tier, 'zh')}",
    }


def _name(tier: Tier, language: str) -> str:
    return tier.name.in_language(language) if tier.name else tier.code


def _missing_en(spend: Decimal, orders: int) -> str:
    parts = [f"{plain(spend)} more"] if spend else []
    parts += [f"{orders} more order{'s' if orders > 1 else ''}"] if orders else []
    return " and ".join(parts)


def _missing_zh(spend: Decimal, orders: int) -> str:
    parts = [f"消费 {plain(spend)}"] if spend else []
    parts += [f"购买 {orders} 次"] if orders else []
    return "，再".join(parts)
