"""Whether a member may earn and redeem: active, frozen, closed (PROGRAMME 4.5)."""

from __future__ import annotations

from ledger import events as e
from ledger import requests as r
from ledger.errors import Refusal
from ledger.member.aggregate import Member
from ledger.member.circumstances import Circumstances
from ledger.member.settling import settle


def freeze(member: Member, command: r.Freeze, at: Circumstances) -> None:
    """No earning and no redeeming from now on (4.5); a second time changes nothing."""
    must_not_be_closed(member)
    settle(member, at)
    if member.state.status == "active":
        member.trigger(
            e.MemberFrozen(occurred_at=at.occurred_at, meta=at.meta, reason=command.reason)
        )


def unfreeze(member: Member, command: r.Unfreeze, at: Circumstances) -> None:
    """Earning and redeeming again; a second time changes nothing.

    Somebody has looked: flags of guard rails, and the delay of points, end with it (10).
    """
    must_not_be_closed(member)
    settle(member, at)
    if member.state.status == "frozen" or member.state.flags:
        member.trigger(
            e.MemberUnfrozen(occurred_at=at.occurred_at, meta=at.meta, reason=command.reason)
        )


def close(member: Member, command: r.Close, at: Circumstances) -> None:
    """The end of the membership (4.5); a second time changes nothing."""
    settle(member, at)
    if member.state.status in ("active", "frozen"):
        member.trigger(
            e.MemberClosed(occurred_at=at.occurred_at, meta=at.meta, reason=command.reason)
        )


def must_be_active(member: Member) -> None:
    """Refuse a member who can't earn or redeem (4.5)."""
    must_not_be_closed(member)
    if member.state.status == "frozen":
        raise Refusal(
            "member_frozen",
            f"Member {member.member_id!r} is frozen: unfreeze the member to earn or redeem.",
        )


def must_not_be_closed(member: Member) -> None:
    if member.state.status not in ("active", "frozen"):
        raise Refusal("member_closed", f"Member {member.member_id!r} is {member.state.status}.")
