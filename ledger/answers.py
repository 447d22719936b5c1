"""What the ledger answers: the objects of API.md, JSON-ready.

Money is text with two decimals, times are in the programme's zone. `position` and `version` are
added by `ledger.ledger`, which knows them only after the append.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from ledger.events import BreakdownRow, LotGrant, LotPoints, PointsAccrued
from ledger.lots import Lot
from ledger.member import Member
from ledger.money import plain
from ledger.parts import Redemption
from ledger.programme.model import Programme
from ledger.state import Balance

Answer = dict[str, Any]


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
        answer.append(shown)
    return answer


def accrual_answer(
    event: PointsAccrued, member: Member, programme: Programme, today: date
) -> Answer:
    """The answer to `POST /v1/accruals`."""
    tier = member.state.tier
    return {
        "order_id": event.order_id,
        "member_id": member.member_id,
        "points": event.points,
        "occurred_at": time_text(event.occurred_at, programme),
        "breakdown": breakdown_answer(event.breakdown),
        "programme_version": event.programme_version,
        "lot": _granted_lot(event.lot),
        "balance": balance_answer(member.balance(today)),
        "tier": {"code": tier.code, "changed": False} if tier else None,
        "issued": [],
    }


def _granted_lot(grant: LotGrant | None) -> dict[str, Any] | None:
    if grant is None:
        return None
    return {
        "lot_id": grant.lot_id,
        "granted": grant.granted,
        "expires_on": _day_text(grant.expires_on),
        "status": "pending" if grant.pending_until else "active",
    }


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


def member_answer(member: Member, programme: Programme, now: datetime | None) -> Answer:
    """The member object; with `now` the clock is applied, without it events alone count (3.3)."""
    state = member.state
    today = programme.local_date(now) if now is not None else date.min
    totals = state.totals
    return {
        "member_id": state.member_id,
        "status": state.status,
        "joined_at": time_text(state.joined_at, programme),
        "referral_code": state.referral_code,
        "tier": _tier(member),
        "level": state.levels[-1].code if state.levels else None,
        "segment": state.segment,
        "lifecycle": state.lifecycle,
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
        "version": state.version,
    }


def _tier(member: Member) -> dict[str, Any] | None:
    tier = member.state.tier
    if tier is None:
        return None
    return {
        "code": tier.code,
        "since": tier.since.isoformat(),
        "until": _day_text(tier.until),
        "extended": tier.extended,
    }


def _lot(lot: Lot, programme: Programme) -> dict[str, Any]:
    return {
        "lot_id": lot.lot_id,
        "source": lot.source,
        "order_id": lot.order_id,
        "granted": lot.granted,
        "remaining": lot.remaining,
        "status": "pending" if lot.pending_until else "active",
        "earned_at": time_text(lot.earned_at, programme),
        "expires_on": _day_text(lot.expires_on),
        "funded_by": lot.funded_by,
    }


def time_text(moment: datetime, programme: Programme) -> str:
    """RFC 3339 in the programme's time zone."""
    return programme.local_time(moment).isoformat()


def _day_text(day: date | None) -> str | None:
    return day.isoformat() if day else None
