"""Referral 推荐有礼: who brought whom, the reward, and taking it back (PROGRAMME 2.7)."""

from __future__ import annotations

from ledger import events as e
from ledger.days import referrals_in_month
from ledger.earning import earn_on_referral
from ledger.member.aggregate import Member
from ledger.member.circumstances import Circumstances
from ledger.member.drawing import own_lots, take_back
from ledger.member.granting import debt_paid_by, new_lot
from ledger.member.issuing import issue
from ledger.member.refunding import void_coupons
from ledger.member.settling import settle
from ledger.parts import Referral
from ledger.refunds import expired_unspent


def name_referrer(member: Member, referrer_id: str, order_id: str, at: Circumstances) -> None:
    """Record by whose code a member came who gives it with the first order."""
    member.trigger(
        e.ReferrerNamed(
            occurred_at=at.occurred_at,
            meta=at.meta,
            referrer_id=referrer_id,
            order_id=order_id,
        )
    )


def refuse_referral(
    member: Member,
    referrer_id: str,
    reason: e.ReferralReason,
    at: Circumstances,
    order_id: str | None = None,
) -> None:
    """Record that a referral does not count or does not reward; the rest stands."""
    member.trigger(
        e.ReferralRefused(
            occurred_at=at.occurred_at,
            meta=at.meta,
            referrer_id=referrer_id,
            reason=reason,
            order_id=order_id,
        )
    )


def why_unrewarded(referrer: Member, at: Circumstances) -> e.ReferralReason | None:
    """Why the referrer gets nothing for a first order at `occurred_at`; None: there is a reward."""
    rules, status = at.programme.referral, referrer.state.status
    if status == "frozen":
        return "referrer_frozen"
    if status != "active":
        return "referrer_closed"
    limit = rules.monthly_limit if rules is not None else 0
    if limit and referrals_in_month(referrer, at.day) >= limit:
        return "monthly_limit"
    return None


def reward(referrer: Member, referee_id: str, order_id: str, at: Circumstances) -> None:
    """Points and coupons for a referee's first order, twice for some levels."""
    rules = at.programme.referral
    if rules is None:
        return
    settle(referrer, at)
    level = referrer.standing(at.programme, at.occurred_at).level
    doubled = level in rules.doubled_for_levels
    earned = earn_on_referral(rules.referrer_points, level, doubled=doubled)
    lot = new_lot(referrer, earned.points, "referral", at)
    referrer.trigger(
        e.ReferralRewarded(
            occurred_at=at.occurred_at,
            meta=at.meta,
            referee_id=referee_id,
            order_id=order_id,
            points=earned.points,
            breakdown=earned.breakdown,
            programme_version=at.version.number,
            earned_on=at.day,
            lot=lot,
            debt_paid=debt_paid_by(referrer, lot),
        )
    )
    for _ in range(2 if doubled else 1):
        issue(referrer, rules.referrer_coupon, "referral", at, order_id)


def reverse(referrer: Member, referral: Referral, refund_id: str, at: Circumstances) -> None:
    """The first order was fully refunded: points are clawed back, unused coupons voided.

    What expired unspent of the reward counts as taken back, as with an order's points (5.2).
    """
    if referral.reversed:
        return
    settle(referrer, at)
    expired = expired_unspent(own_lots(referrer, referral.lot_id), at.day)
    points = max(0, referral.points - expired)
    taken = take_back(referrer, referral.lot_id, points, at)
    referrer.trigger(
        e.ReferralReversed(
            occurred_at=at.occurred_at,
            meta=at.meta,
            referee_id=referral.referee_id,
            order_id=referral.order_id,
            refund_id=refund_id,
            points=points,
            lots_drawn=taken.lots_drawn,
            debt=taken.debt,
            waived=taken.waived,
            pending=taken.pending,
        )
    )
    void_coupons(referrer, referral.coupons, referral.order_id, refund_id, at)
