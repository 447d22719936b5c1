"""A referral code: whose it is, whether it counts, and what it brings (PROGRAMME 2.7)."""

from __future__ import annotations

import msgspec

from ledger import requests as r
from ledger.answers import Answer
from ledger.case import Case
from ledger.codes import as_typed
from ledger.errors import NotFound
from ledger.events import ReferralReason
from ledger.member import Circumstances, Member, guarding, referring, status
from ledger.store.records import Contacts, phone_prefix, same_email, same_phone

_LONGEST_CHAIN = 1000


class Judged(msgspec.Struct, frozen=True):
    """What becomes of a code: whose it is, and why it does not count (None: it does).

    `referrer_id` None: the programme has no referral, and nobody was looked for.
    `unrewarded`: why a code that counts brought the referrer nothing.
    """

    referrer_id: str | None
    reason: ReferralReason | None = None
    unrewarded: ReferralReason | None = None

    @property
    def counts(self) -> bool:
        """Whether a referral comes of it."""
        return self.referrer_id is not None and self.reason is None

    def answer(self) -> Answer:
        """What the till is told."""
        return {
            "status": "accepted" if self.counts else "refused",
            "reason": (self.reason or self.unrewarded) if self.referrer_id else "not_offered",
        }


def judge_at_enrolment(
    case: Case, member_id: str, contacts: Contacts, code: str | None, at: Circumstances
) -> Judged | None:
    """Whether a code given at enrolment counts; None if none was given."""
    if code is None:
        return None
    if at.programme.referral is None:
        return Judged(None)
    referrer_id = _owner_of(case, code)
    return Judged(referrer_id, _why_barred(case, member_id, contacts, referrer_id))


def judge_at_order(case: Case, member: Member, command: r.Accrue, at: Circumstances) -> Judged:
    """Whether a code given with an order counts: with the first one, for who has no referrer."""
    if at.programme.referral is None or command.referral_code is None:
        return Judged(None)
    referrer_id = _owner_of(case, command.referral_code)
    reason: ReferralReason | None
    if referrer_id == member.member_id:
        reason = "same_member"
    elif member.state.referrer_id is not None:
        reason = "already_referred"
    elif member.state.first_order_id is not None:
        reason = "not_first_order"
    else:
        case.unit.lock_referrals()
        contacts = case.unit.contacts(member.member_id)
        reason = _why_barred(case, member.member_id, contacts, referrer_id)
    return Judged(referrer_id, reason)


def refer_with_order(case: Case, member: Member, command: r.Accrue, at: Circumstances) -> Judged:
    """Judge a code that came with an order, and record by whose the member came, or why not."""
    status.must_be_active(member)
    judged = judge_at_order(case, member, command, at)
    if judged.counts and judged.referrer_id is not None:
        referring.name_referrer(member, judged.referrer_id, command.order_id, at)
    record_refusal(member, judged, at, command.order_id)
    return judged


def record_refusal(
    member: Member, judged: Judged, at: Circumstances, order_id: str | None = None
) -> None:
    """Keep why a code does not count."""
    if judged.referrer_id is not None and judged.reason is not None:
        referring.refuse_referral(member, judged.referrer_id, judged.reason, at, order_id)


def watch_phone(case: Case, member: Member, judged: Judged, at: Circumstances) -> None:
    """Flag a new referee whose phone number begins like those of many others (10)."""
    rule = at.programme.guard_rails.referees_per_phone_prefix
    if rule is None or not judged.counts or judged.referrer_id is None:
        return
    contacts = case.unit.contacts(member.member_id)
    if contacts.phone and len(phone_prefix(contacts.phone, rule.digits)) == rule.digits:
        alike = case.unit.referees_alike(judged.referrer_id, contacts.phone, rule.digits)
        guarding.watch_referees(member, rule, alike, at)


def reward_referrer(
    case: Case, member: Member, referrer_id: str, order_id: str, at: Circumstances
) -> ReferralReason | None:
    """The member completed the first order: the referrer gets the reward, or why there is none."""
    if at.programme.referral is None:
        return None
    referrer = case.other(referrer_id)
    reason: ReferralReason | None = "referee_frozen"
    if member.state.status == "active":
        reason = referring.why_unrewarded(referrer, at)
    if reason is None:
        referring.reward(referrer, member.member_id, order_id, at)
    else:
        referring.refuse_referral(member, referrer_id, reason, at, order_id)
    return reason


def reverse_reward(
    case: Case, member: Member, order_id: str, refund_id: str, at: Circumstances
) -> None:
    """If the order is fully refunded, and brought a referrer a reward, that is taken back."""
    order, referrer_id = member.orders.find(order_id), member.state.referrer_id
    if order is None or not order.fully_refunded or referrer_id is None:
        return
    rewarded_before = case.unit.entry("referral", order_id) is not None
    if not rewarded_before and case.unit.member(referrer_id) is None:
        return  # and none was rewarded in this transaction
    referrer = case.other(referrer_id)
    referral = referrer.referrals.find(order_id)
    if referral is not None:
        referring.reverse(referrer, referral, refund_id, at)


def _owner_of(case: Case, code: str) -> str:
    referrer_id = case.unit.member_of_referral_code(as_typed(code))
    if referrer_id is None:
        raise NotFound("referral code", code)
    return referrer_id


def _why_barred(
    case: Case, member_id: str, contacts: Contacts, referrer_id: str
) -> ReferralReason | None:
    """No self-referral, under another id neither, and no loop (2.7)."""
    theirs = case.unit.contacts(referrer_id)
    if same_phone(contacts.phone, theirs.phone):
        return "same_phone"
    if same_email(contacts.email, theirs.email):
        return "same_email"
    return "loop" if _is_brought_by(case, referrer_id, member_id) else None


def _is_brought_by(case: Case, member_id: str, by: str) -> bool:
    """Whether a member was brought by another one, directly or through others."""
    for _ in range(_LONGEST_CHAIN):
        referrer_id = case.unit.referrer_of(member_id)
        if referrer_id is None or referrer_id == by:
            return referrer_id == by
        member_id = referrer_id
    return True
