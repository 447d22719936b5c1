"""A customer joins, and gets the newcomer pack (PROGRAMME 1, 2.4, 2.7)."""

from __future__ import annotations

from ledger import events as e
from ledger.codes import new_referral_code
from ledger.earning import earn_on_enrolment
from ledger.member.aggregate import Member
from ledger.member.circumstances import Circumstances
from ledger.member.granting import new_lot
from ledger.member.issuing import issue


def enrol(
    member_id: str,
    referrer_id: str | None,
    at: Circumstances,
    store_id: str | None = None,
    channel: str | None = None,
) -> Member:
    """A new member, joined at `occurred_at`, in the first tier and the first level.

    `referrer_id`: the member by whose code they came, where the referral counts (2.7).
    """
    programme = at.programme
    event = e.MemberEnrolled(
        occurred_at=at.occurred_at,
        meta=at.meta,
        member_id=member_id,
        referral_code=new_referral_code(),
        programme_version=at.version.number,
        joined_on=at.day,
        tier=programme.tiers[0].code if programme.tiers else None,
        level=programme.levels.bands[0].code if programme.levels else None,
        segment=programme.segments.otherwise if programme.segments else None,
        lifecycle="new" if programme.lifecycle else None,
        referrer_id=referrer_id,
        store_id=store_id,
        channel=channel,
    )
    member = Member.replayed(event)
    member.new_events.append(event)
    _reward_newcomer(member, at)
    if referrer_id is not None and programme.referral is not None:
        issue(member, programme.referral.referee_coupon, "referee", at)
    return member


def _reward_newcomer(member: Member, at: Circumstances) -> None:
    pack = at.programme.newcomer
    if pack is None:
        return
    lot = new_lot(member, pack.points, "enrolment", at)
    if lot is not None:
        earned = earn_on_enrolment(pack.points)
        member.trigger(
            e.NewcomerRewarded(
                occurred_at=at.occurred_at,
                meta=at.meta,
                points=earned.points,
                breakdown=earned.breakdown,
                programme_version=at.version.number,
                lot=lot,
            )
        )
    issue(member, pack.coupon, "newcomer", at)
