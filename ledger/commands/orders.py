"""Orders, activities, refunds: what earns, and what takes it back (PROGRAMME 2, 5)."""

from __future__ import annotations

from datetime import datetime

import msgspec

from ledger import requests as r
from ledger.answers import (
    Answer,
    accrual_answer,
    activity_answer,
    balance_answer,
    issued_by,
    time_text,
)
from ledger.case import Case, Decided
from ledger.codes import new_id
from ledger.commands.members import enrolled
from ledger.commands.redemptions import other_payer
from ledger.commands.referrals import (
    Judged,
    refer_with_order,
    reverse_reward,
    reward_referrer,
    watch_phone,
)
from ledger.errors import NotFound, Refusal
from ledger.events import (
    CouponVoided,
    OrderRefunded,
    PointsAccrued,
    PointsClawedBack,
    PointsRestored,
)
from ledger.member import Circumstances, Member, accruing, activities, refunding
from ledger.money import plain


def accrue(case: Case, command: r.Accrue) -> Decided:
    at = case.at(command.occurred_at)
    member, event, judged = place(case, command, at)
    if event.first and member.state.referrer_id is not None:
        why = reward_referrer(case, member, member.state.referrer_id, command.order_id, at)
        if judged is not None and judged.counts:
            judged = msgspec.structs.replace(judged, unrewarded=why)
    answer = accrual_answer(event, member, at.programme, at.today)
    answer |= {"issued": issued_by(member.new_events), "referral": judged and judged.answer()}
    return 201, answer, member


def place(
    case: Case, command: r.Accrue, at: Circumstances
) -> tuple[Member, PointsAccrued, Judged | None]:
    """Everything that an order does to the member's own account; a quote does the same."""
    member = case.unit.member(command.member_id)
    judged = None
    if member is None and (command.enrol_unknown or at.programme.auto_enrol):
        member, judged = enrolled(case, command.member_id, command, at)
    elif member is None:
        raise NotFound("member", command.member_id)
    else:
        case.as_expected(member)
        if command.referral_code is not None:
            judged = refer_with_order(case, member, command, at)
    if command.coupon_codes:
        raise NotFound("coupon", command.coupon_codes[0])
    other_payer(case, member, command.order_id)
    event = accruing.accrue(member, command, at)
    if judged is not None:
        watch_phone(case, member, judged, at)
    return member, event, judged


def do_activity(case: Case, command: r.Activity) -> Decided:
    member = case.member(command.member_id)
    at = case.at(command.occurred_at)
    activity_id = command.activity_id or new_id("act")
    event = activities.do_activity(member, command, activity_id, at)
    if command.answers:
        case.unit.keep_answers(activity_id, member.member_id, command.answers)
    answer = activity_answer(event, member, at.programme, at.today)
    return 201, answer | {"issued": issued_by(member.new_events)}, member


def _not_before_order(case: Case, member: Member, order_id: str) -> datetime | None:
    """Now; or the order's own time, where a till's clock is ahead of the ledger's."""
    order = member.orders.find(order_id)
    return order.occurred_at if order is not None and order.occurred_at > case.now else None


def refund(case: Case, command: r.Refund) -> Decided:
    member = case.owner_of("order", command.order_id)
    if command.member_id not in (None, member.member_id):
        raise Refusal("not_eligible", f"Order {command.order_id!r} is another member's.")
    at = case.at(command.occurred_at or _not_before_order(case, member, command.order_id))
    refund_id = command.refund_id or new_id("rf")
    refunding.refund(member, command, refund_id, at)
    reverse_reward(case, member, command.order_id, refund_id, at)
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
        "voided_coupons": [],
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
            case CouponVoided():
                answer["voided_coupons"].append(event.code)
    return 201, answer, member
