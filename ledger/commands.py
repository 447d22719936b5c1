"""Each command: whose it is, what it does to the member, what it answers (API.md)."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from ledger import requests as r
from ledger.answers import (
    Answer,
    accrual_answer,
    balance_answer,
    breakdown_answer,
    drawn_answer,
    member_answer,
    redemption_answer,
    time_text,
)
from ledger.case import Case
from ledger.errors import InvalidRequest, NotFound, Refusal
from ledger.events import OrderRefunded, PointsClawedBack, PointsRestored
from ledger.member import (
    Circumstances,
    Member,
    accruing,
    adjusting,
    enrolling,
    redeeming,
    refunding,
    reserving,
    settling,
    status,
)
from ledger.money import exact, plain
from ledger.programme.model import Programme
from ledger.store.unit_of_work import Entry

_CODE_LETTERS: Final = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
_CODE_LENGTH: Final = 6

Commands = Callable[[Case, Any], tuple[int, Answer, Member]]


def _enrol(case: Case, command: r.Enrol) -> tuple[int, Answer, Member]:
    member_id = command.member_id or _new_id("m")
    if case.unit.member(member_id) is not None:
        raise Refusal("already_recorded", f"Member {member_id!r} is enrolled already.")
    at = case.at(command.joined_at)
    referrer = _referrer(case, command.referral_code)
    member = enrolling.enrol(
        member_id, _new_referral_code(), referrer, at, command.store_id, command.channel
    )
    case.unit.add_member(member, command)
    return 201, member_answer(member, at.programme, case.now), member


def _referrer(case: Case, code: str | None) -> str | None:
    if code is None:
        return None
    referrer = case.unit.member_of_referral_code(code)
    if referrer is None:
        raise InvalidRequest("referral_code", "No member has this referral code.")
    return referrer


def _new_referral_code() -> str:
    return "".join(secrets.choice(_CODE_LETTERS) for _ in range(_CODE_LENGTH))


def _new_id(prefix: str) -> str:
    return f"{prefix}-{secrets.token_hex(10)}"


def _accrue(case: Case, command: r.Accrue) -> tuple[int, Answer, Member]:
    at = case.at(command.occurred_at)
    member = case.unit.member(command.member_id)
    if member is None and (command.enrol_unknown or at.programme.auto_enrol):
        member = enrolling.enrol(
            command.member_id, _new_referral_code(), None, at, command.store_id, command.channel
        )
        case.unit.add_member(member)
    elif member is None:
        raise NotFound("member", command.member_id)
    if command.coupon_codes:
        raise NotFound("coupon", command.coupon_codes[0])
    _other_payer(case, member, command.order_id)
    event = accruing.accrue(case.as_expected(member), command, at)
    return 201, accrual_answer(event, member, at.programme, at.today), member


def quote(case: Case, command: r.Accrue) -> Answer:
    """What the order would earn and what could be redeemed on it; books nothing."""
    at = case.at(command.occurred_at)
    member = case.member(command.member_id)
    status.must_be_active(member)
    settling.lapse_due(member, at, at.now)
    earned = accruing.quote(member, command, at)
    available = member.balance(at.today).available
    used = redeeming.redeemed_value(member, command.order_id)
    points = _most_cash_offset(available, command.amount, used, at.programme)
    return {
        "points": earned.points,
        "breakdown": breakdown_answer(earned.breakdown),
        "programme_version": at.version.number,
        "usable_coupons": [],
        "cash_offset": {
            "max_points": points,
            "max_amount": plain(at.programme.points_value(points)),
        },
    }


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


def _redeem(case: Case, command: r.Redeem) -> tuple[int, Answer, Member]:
    member = case.member(command.member_id)
    order = case.unit.entry("order", command.order_id) if command.order_id else None
    if order is not None and order.member_id != member.member_id:
        raise Refusal("not_eligible", f"Order {command.order_id!r} is another member's.")
    at = case.at(command.occurred_at)
    redemption_id = command.redemption_id or _new_id("r")
    if command.order_id is not None and _other_payer(case, member, command.order_id):
        case.unit.reassign("payer", command.order_id, member.member_id)
    redeeming.redeem(member, command, redemption_id, at)
    if command.order_id is not None and case.unit.entry("payer", command.order_id) is None:
        case.unit.remember(Entry("payer", command.order_id, member.member_id))
    return 201, _redemption(member, redemption_id, at), member


def _other_payer(case: Case, member: Member, order_id: str) -> bool:
    """Whether another member had redeemed for the order, and has given it all up.

    An order is one member's: what its points are limited by and restored to (4.1, 5.3). Raises
    `Refusal` while another member's points pay, or are set aside, for it.
    """
    payer = case.unit.entry("payer", order_id)
    if payer is None or payer.member_id == member.member_id:
        return False
    for redemption in case.unit.redemptions_for(order_id, payer.member_id):
        until = redemption.reserved_until
        waits = redemption.status == "reserved" and until is not None and until > case.now
        if waits or redemption.status == "redeemed":
            raise Refusal(
                "not_eligible",
                f"Another member's points pay for order {order_id!r}: release them first.",
            )
    return True


def _redemption(member: Member, redemption_id: str, at: Circumstances) -> Answer:
    redemption = member.redemptions.find(redemption_id)
    assert redemption is not None
    # An answer shows what it did, even where late data made a reservation that is over by now;
    # its balance is that of now, as everywhere.
    answer = redemption_answer(redemption, member, at.programme, min(at.now, at.occurred_at))
    return answer | {"balance": balance_answer(member.balance(at.today))}


def _capture(case: Case, command: r.Capture) -> tuple[int, Answer, Member]:
    member = case.owner_of("redemption", command.redemption_id)
    at = case.at(None)
    redemption = member.redemptions.find(command.redemption_id)
    if redemption is None or redemption.status != "redeemed" or not redemption.reserved_points:
        reserving.capture(member, command, at)
    elif command.points not in (None, redemption.points):
        raise Refusal(
            "reservation_over", f"Reservation {command.redemption_id!r} was captured otherwise."
        )
    return 200, _redemption(member, command.redemption_id, at), member


def _release(case: Case, command: r.Release) -> tuple[int, Answer, Member]:
    member = case.owner_of("redemption", command.redemption_id)
    at = case.at(None)
    reserving.release(member, command, at)
    return 200, _redemption(member, command.redemption_id, at), member


def _not_before_order(case: Case, member: Member, order_id: str) -> datetime | None:
    """Now; or the order's own time, where a till's clock is ahead of the ledger's."""
    order = member.orders.find(order_id)
    return order.occurred_at if order is not None and order.occurred_at > case.now else None


def _refund(case: Case, command: r.Refund) -> tuple[int, Answer, Member]:
    member = case.owner_of("order", command.order_id)
    if command.member_id not in (None, member.member_id):
        raise Refusal("not_eligible", f"Order {command.order_id!r} is another member's.")
    at = case.at(command.occurred_at or _not_before_order(case, member, command.order_id))
    refund_id = command.refund_id or _new_id("rf")
    refunding.refund(member, command, refund_id, at)
    answer: Answer = {
        "refund_id": refund_id,
        "order_id": command.order_id,
        "member_id": member.member_id,
        "amount": plain(command.amount),
        "refunded": plain(command.amount),
        "occurred_at": time_text(at.occurred_at, at.programme),
        "points_clawed_back": 0,
        "points_restored": 0,
        "debt": 0,
        "waived": 0,
        "balance": balance_answer(member.balance(at.today)),
        "reinstated_coupons": [],
    }
    for event in member.new_events:
        match event:
            case OrderRefunded():
                answer["refunded"] = plain(event.refunded)
            case PointsRestored():
                answer["points_restored"] = event.points
            case PointsClawedBack():
                answer["points_clawed_back"] = event.points - event.waived
                answer["debt"] = event.debt
                answer["waived"] = event.waived
    return 201, answer, member


def _adjust(case: Case, command: r.Adjust) -> tuple[int, Answer, Member]:
    member = case.member(command.member_id)
    at = case.at(command.occurred_at)
    adjustment_id = command.adjustment_id or _new_id("a")
    limit = at.programme.limits.adjustment_needs_approval_over
    if limit and abs(command.points) > limit:
        adjusting.request_adjustment(member, command, adjustment_id, _who(case), at)
        return 202, _adjustment(member, adjustment_id, command.points, "waiting", at), member
    event = adjusting.adjust(
        member, adjustment_id, command.points, command.reason, command.note, at
    )
    answer = _adjustment(member, adjustment_id, command.points, "booked", at)
    answer["lots_drawn"] = drawn_answer(event.lots_drawn)
    return 201, answer, member


def _approve(case: Case, command: r.ApproveAdjustment) -> tuple[int, Answer, Member]:
    member = case.owner_of("adjustment", command.adjustment_id)
    waiting = adjusting.waiting_adjustment(member, command.adjustment_id, _who(case))
    at = case.at(waiting.effective_at)
    event = adjusting.adjust(
        member,
        waiting.adjustment_id,
        waiting.points,
        waiting.reason,
        waiting.note,
        at,
        approved=True,
    )
    answer = _adjustment(member, waiting.adjustment_id, waiting.points, "booked", at)
    answer["lots_drawn"] = drawn_answer(event.lots_drawn)
    return 200, answer, member


def _reject(case: Case, command: r.RejectAdjustment) -> tuple[int, Answer, Member]:
    member = case.owner_of("adjustment", command.adjustment_id)
    waiting = adjusting.waiting_adjustment(member, command.adjustment_id, _who(case))
    at = case.at(None)
    adjusting.reject_adjustment(member, command, at)
    return 200, _adjustment(member, waiting.adjustment_id, waiting.points, "rejected", at), member


def _who(case: Case) -> str:
    """The key that asks; two people have two keys."""
    return case.request.key_scope or case.request.actor.key


def _adjustment(
    member: Member, adjustment_id: str, points: int, status: str, at: Circumstances
) -> Answer:
    return {
        "adjustment_id": adjustment_id,
        "member_id": member.member_id,
        "points": points,
        "status": status,
        "balance": balance_answer(member.balance(at.today)),
    }


def _freeze(case: Case, command: r.Freeze) -> tuple[int, Answer, Member]:
    member, at = case.member(command.member_id), case.at(None)
    status.freeze(member, command, at)
    return 200, member_answer(member, at.programme, case.now), member


def _unfreeze(case: Case, command: r.Unfreeze) -> tuple[int, Answer, Member]:
    member, at = case.member(command.member_id), case.at(None)
    status.unfreeze(member, command, at)
    return 200, member_answer(member, at.programme, case.now), member


def _close(case: Case, command: r.Close) -> tuple[int, Answer, Member]:
    member, at = case.member(command.member_id), case.at(None)
    status.close(member, command, at)
    return 200, member_answer(member, at.programme, case.now), member


def _expire(case: Case, command: r.ExpirePoints) -> tuple[int, Answer, Member]:
    member, at = case.member(command.member_id), case.at(None)
    affected = settling.expire_due(member, command.as_of, at)
    return 200, {"member_id": member.member_id, "affected": affected}, member


def _lapse(case: Case, command: r.LapseReservations) -> tuple[int, Answer, Member]:
    member, at = case.member(command.member_id), case.at(None)
    affected = settling.lapse_due(member, at, command.as_of)
    return 200, {"member_id": member.member_id, "affected": affected}, member


COMMANDS: Final[dict[type[r.Command], Commands]] = {
    r.Enrol: _enrol,
    r.Accrue: _accrue,
    r.Redeem: _redeem,
    r.Capture: _capture,
    r.Release: _release,
    r.Refund: _refund,
    r.Adjust: _adjust,
    r.ApproveAdjustment: _approve,
    r.RejectAdjustment: _reject,
    r.Freeze: _freeze,
    r.Unfreeze: _unfreeze,
    r.Close: _close,
    r.ExpirePoints: _expire,
    r.LapseReservations: _lapse,
}
