"""Joining and leaving: enrol, freeze, unfreeze, close (PROGRAMME 2.4, 2.7, 4.5)."""

from __future__ import annotations

from ledger import requests as r
from ledger.answers import issued_by, member_answer
from ledger.case import Case, Decided
from ledger.codes import new_id
from ledger.commands.referrals import Judged, judge_at_enrolment, record_refusal, watch_phone
from ledger.errors import Refusal
from ledger.member import Circumstances, Member, enrolling, status
from ledger.store.records import Contacts


def enrol(case: Case, command: r.Enrol) -> Decided:
    member_id = command.member_id or new_id("m")
    if case.unit.member(member_id) is not None:
        raise Refusal("already_recorded", f"Member {member_id!r} is enrolled already.")
    at = case.at(command.joined_at)
    member, judged = enrolled(case, member_id, command, at)
    answer = member_answer(member, at.programme, case.now)
    answer |= {"issued": issued_by(member.new_events), "referral": judged and judged.answer()}
    return 201, answer, member


def enrolled(
    case: Case, member_id: str, command: r.Enrol | r.Accrue, at: Circumstances
) -> tuple[Member, Judged | None]:
    """A new member, by enrolment or by a first order, and what becomes of the code it gave."""
    profile = command if isinstance(command, r.Enrol) else None
    contacts = Contacts(profile.phone, profile.email) if profile is not None else Contacts()
    judged = judge_at_enrolment(case, member_id, contacts, command.referral_code, at)
    referrer_id = judged.referrer_id if judged is not None and judged.counts else None
    member = enrolling.enrol(member_id, referrer_id, at, command.store_id, command.channel)
    case.unit.add_member(member, profile)
    if judged is not None:
        record_refusal(member, judged, at)
        watch_phone(case, member, judged, at)
    return member, judged


def freeze(case: Case, command: r.Freeze) -> Decided:
    member, at = case.member(command.member_id), case.at(None)
    status.freeze(member, command, at)
    return 200, member_answer(member, at.programme, case.now), member


def unfreeze(case: Case, command: r.Unfreeze) -> Decided:
    member, at = case.member(command.member_id), case.at(None)
    status.unfreeze(member, command, at)
    return 200, member_answer(member, at.programme, case.now), member


def close(case: Case, command: r.Close) -> Decided:
    member, at = case.member(command.member_id), case.at(None)
    status.close(member, command, at)
    return 200, member_answer(member, at.programme, case.now), member
