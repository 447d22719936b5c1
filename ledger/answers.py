"""What the ledger answers: the objects of API.md, JSON-ready.

Money is text with two decimals, times are in the programme's zone. `position` and `version` are
added by `ledger.ledger`, which knows them only after the append.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any, Final

from ledger.events import (
    ActivityRewarded,
    BreakdownRow,
    CouponIssued,
    Event,
    LotGrant,
    LotPoints,
    PointsAccrued,
    TierUpgraded,
)
from ledger.lots import Lot
from ledger.member import Member
from ledger.member.progress import progress_of
from ledger.money import plain
from ledger.parts import Redemption
from ledger.programme.model import Programme
from ledger.state import Balance
from ledger.summaries import summary_of

Answer = dict[str, Any]

LATEST: Final = datetime(9000, 1, 1, tzinfo=UTC)
"""Stands for now where events alone count: after all of them."""


def balance_answer(balance: Balance) -> dict[str, int]:
    """available, pending, reserved, debt."""
    return {
        "available": balance.available,
        "pending": balance.pending,
        "reserved": balance.reserved,
        "debt": balance.debt,
    }


def breakdown_answer(rows: list[BreakdownRow]) -> list[dict[str, Any]]:
    """The rows of a grant's explanation; a row shows what it was computed from."""
    answer = []
    for row in rows:
        shown: dict[str, Any] = {"rule": row.rule}
        if row.base is not None:
            shown["base"] = plain(row.base)
        if row.rate is not None:
            shown["rate"] = plain(row.rate)
        if row.multiplier is not None:
            shown["multiplier"] = plain(row.multiplier)
        shown["points"] = row.points
        if row.name_en is not None:
            shown["name"], shown["name_zh"] = row.name_en, row.name_zh
        answer.append(shown)
    return answer


def issued_by(events: Sequence[Event]) -> list[Answer]:
    """The coupons and gifts among what just happened to a member."""
    issued: list[Answer] = []
    for event in events:
        if isinstance(event, CouponIssued):
            issued.append({"coupon": event.code, "template": event.template})
        elif isinstance(event, ActivityRewarded) and event.gift is not None:
            issued.append({"gift": event.gift})
    return issued


def accrual_answer(
    event: PointsAccrued, member: Member, programme: Programme, today: date
) -> Answer:
    """The answer to `POST /v1/accruals`; what was issued is added to it."""
    tier = member.standing(programme, event.occurred_at).tier
    how = summary_of(event)
    return {
        "order_id": event.order_id,
        "member_id": member.member_id,
        "points": event.points,
        "occurred_at": time_text(event.occurred_at, programme),
        "breakdown": breakdown_answer(event.breakdown),
        "programme_version": event.programme_version,
        "summary": how.en,
        "summary_zh": how.zh,
        "lot": _made_lot(event.lot, member),
        "balance": balance_answer(member.balance(today)),
        "tier": _tier_after(member, tier),
        "issued": [],
        "referral": None,
    }


def _tier_after(member: Member, tier: str | None) -> Answer | None:
    """The tier after an order, and from which it came, if it did so now."""
    if tier is None:
        return None
    upgrades = [event for event in member.new_events if isinstance(event, TierUpgraded)]
    if upgrades:  # a late order may bring several
        return {"code": upgrades[-1].to_tier, "changed": True, "from": upgrades[0].from_tier}
    return {"code": tier, "changed": False}


def activity_answer(
    event: ActivityRewarded, member: Member, programme: Programme, today: date
) -> Answer:
    """The answer to `POST /v1/activities`; what was issued is added to it."""
    how = summary_of(event)
    return {
        "activity_id": event.activity_id,
        "member_id": member.member_id,
        "activity": event.activity,
        "reference": event.reference,
        "occurred_at": time_text(event.occurred_at, programme),
        "points": event.points,
        "reason": event.reason,
        "breakdown": breakdown_answer(event.breakdown),
        "programme_version": event.programme_version,
        "summary": how.en,
        "summary_zh": how.zh,
        "lot": _made_lot(event.lot, member),
        "balance": balance_answer(member.balance(today)),
        "issued": [],
    }


def granted_lot_answer(grant: LotGrant, *, pending: bool) -> Answer:
    """The lot of a grant; a late order's may have become active before it was recorded."""
    return {
        "granted": grant.granted,
        "expires_on": _day_text(grant.expires_on),
        "status": "pending" if pending else "active",
        "pending_until": _day_text(grant.pending_until) if pending else None,
    }


def _made_lot(grant: LotGrant | None, member: Member) -> Answer | None:
    if grant is None:
        return None
    pending = grant.lot_id in member.state.pending
    return {"lot_id": grant.lot_id, **granted_lot_answer(grant, pending=pending)}


def redemption_answer(
    redemption: Redemption, member: Member, programme: Programme, now: datetime
) -> Answer:
    """A redemption or reservation; one past its time shows as lapsed, recorded or not (4.3)."""
    status = redemption.status
    until = redemption.reserved_until
    if status == "reserved" and until is not None and until <= now:
        status = "lapsed"
    return {
        "redemption_id": redemption.redemption_id,
        "member_id": member.member_id,
        "status": status,
        "points": redemption.points,
        "value": plain(redemption.value),
        "order_id": redemption.order_id,
        "lots_drawn": [
            {"lot_id": drawn.lot_id, "points": drawn.points} for drawn in redemption.drawn
        ],
        "reserved_until": time_text(until, programme) if until else None,
        "balance": balance_answer(member.balance(programme.local_date(now))),
    }


def drawn_answer(drawn: list[LotPoints]) -> list[dict[str, Any]]:
    """Points by lot."""
    return [{"lot_id": entry.lot_id, "points": entry.points} for entry in drawn]


def member_answer(
    member: Member, programme: Programme, now: datetime | None, day: date | None = None
) -> Answer:
    """The member object; with `now` the clock is applied, without it events alone count (3.3).

    `day`: the local date for which progress is told; by default that of `now`.
    """
    state = member.state
    today = programme.local_date(now) if now is not None else date.min
    totals = state.totals
    standing = member.standing(programme, now or LATEST)
    return {
        "member_id": state.member_id,
        "status": state.status,
        "joined_at": time_text(state.joined_at, programme),
        "referral_code": state.referral_code,
        "tier": _tier(member, standing.tier, programme),
        "level": standing.level,
        "segment": standing.segment,
        "lifecycle": standing.lifecycle,
        "progress": progress_of(member, programme, day or programme.local_date(now or LATEST)),
        "balance": balance_answer(member.balance(today)),
        "lots": [
            _lot(lot, programme)
            for lot in member.lots.open()
            if lot.remaining > 0 and lot.good_on(today)
        ],
        "totals": {
            "spend": plain(totals.spend),
            "orders": totals.orders,
            "repurchases": max(0, totals.orders - 1),
            "granted": totals.granted,
            "restored": totals.restored,
            "redeemed": totals.redeemed,
            "expired": totals.expired,
            "clawed_back": totals.clawed_back,
            "adjusted": totals.adjusted,
        },
        "flags": list(state.flags),
        "version": state.version,
    }


def _tier(member: Member, code: str | None, programme: Programme) -> dict[str, Any] | None:
    if code is None:
        return None
    held = member.state.tier
    if held is None or held.code != code:
        joined_on = programme.local_date(member.state.joined_at)
        return {"code": code, "since": joined_on.isoformat(), "until": None, "extended": False}
    return {
        "code": code,
        "since": held.since.isoformat(),
        "until": _day_text(held.until),
        "extended": held.extended,
    }


def _lot(lot: Lot, programme: Programme) -> dict[str, Any]:
    return {
        "lot_id": lot.lot_id,
        "source": lot.source,
        "order_id": lot.order_id,
        "granted": lot.granted,
        "remaining": lot.remaining,
        "status": "pending" if lot.pending else "active",
        "pending_until": _day_text(lot.pending_until) if lot.pending else None,
        "earned_at": time_text(lot.earned_at, programme),
        "expires_on": _day_text(lot.expires_on),
        "funded_by": lot.funded_by,
    }


def time_text(moment: datetime, programme: Programme) -> str:
    """RFC 3339 in the programme's time zone."""
    return programme.local_time(moment).isoformat()


def _day_text(day: date | None) -> str | None:
    return day.isoformat() if day else None
