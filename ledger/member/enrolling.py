"""A customer joins (PROGRAMME 1, 2.4, 2.7)."""

from __future__ import annotations

from ledger import events as e
from ledger.member.aggregate import Member
from ledger.member.circumstances import Circumstances


def enrol(
    member_id: str,
    referral_code: str,
    referrer_id: str | None,
    at: Circumstances,
    store_id: str | None = None,
    channel: str | None = None,
) -> Member:
    """A new member, joined at `occurred_at`, in the first tier and the first level."""
    programme = at.programme
    event = e.MemberEnrolled(
        occurred_at=at.occurred_at,
        meta=at.meta,
        member_id=member_id,
        referral_code=referral_code,
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
    return member
