"""What the scheduler's jobs send: record what is due by a moment (2.9, 3.3, 4.3, 6.3, 7)."""

from __future__ import annotations

from ledger import requests as r
from ledger.case import Case, Decided
from ledger.member import Member, levels, settling, tiers


def expire(case: Case, command: r.ExpirePoints) -> Decided:
    member, at = case.member(command.member_id), case.at(None)
    return _done(member, settling.expire_due(member, command.as_of, at))


def lapse(case: Case, command: r.LapseReservations) -> Decided:
    member, at = case.member(command.member_id), case.at(None)
    return _done(member, settling.lapse_due(member, at, command.as_of))


def release_pending(case: Case, command: r.ReleasePending) -> Decided:
    member, at = case.member(command.member_id), case.at(None)
    return _done(member, settling.activate_due(member, at, command.as_of))


def review_tiers(case: Case, command: r.ReviewTiers) -> Decided:
    member, at = case.member(command.member_id), case.at(None)
    return _done(member, tiers.review_due(member, command.as_of, at))


def review_levels(case: Case, command: r.ReviewLevels) -> Decided:
    member, at = case.member(command.member_id), case.at(None)
    return _done(member, levels.review_due(member, command.as_of, at, command.most))


def _done(member: Member, affected: int) -> Decided:
    return 200, {"member_id": member.member_id, "affected": affected}, member
