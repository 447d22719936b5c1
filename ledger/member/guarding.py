"""Guard rails on earning and refunds: flag, delay or freeze, with the reason (PROGRAMME 10)."""

from __future__ import annotations

from ledger import events as e
from ledger.member.aggregate import Member
from ledger.member.circumstances import Circumstances
from ledger.money import ZERO, exact, plain
from ledger.programme.sections import RefereesPerPhonePrefix


def watch_refunds(member: Member, at: Circumstances) -> None:
    """Flag a member who gives back an unusual part of all that was ever bought."""
    rule, state = at.programme.guard_rails.refund_ratio, member.state
    if rule is None or state.orders_paid < max(rule.after_orders, 1):
        return
    bought = state.totals.spend + state.refunded
    if bought > ZERO and state.refunded > exact(rule.over) * exact(bought):
        found = f"{plain(state.refunded)} of {plain(bought)}"
        _trip(member, "refund_ratio", rule.action, found, plain(rule.over), at)


def watch_referees(
    member: Member, rule: RefereesPerPhonePrefix, referees: int, at: Circumstances
) -> None:
    """Flag a new referee whose phone number begins like those of many others of one referrer."""
    if rule.limit and referees > rule.limit:
        _trip(
            member,
            "referees_per_phone_prefix",
            rule.action,
            str(referees),
            str(rule.limit),
            at,
        )


def _trip(
    member: Member,
    rule: str,
    action: e.GuardAction,
    found: str,
    limit: str,
    at: Circumstances,
) -> None:
    """Once for each rule: a flag stays until somebody has looked."""
    if rule in member.state.flags:
        return
    member.trigger(
        e.MemberFlagged(
            occurred_at=at.occurred_at,
            meta=at.meta,
            rule=rule,
            action=action,
            found=found,
            limit=limit,
            programme_version=at.version.number,
        )
    )
    if action == "freeze" and member.state.status == "active":
        member.trigger(
            e.MemberFrozen(occurred_at=at.occurred_at, meta=at.meta, reason=f"guard rail {rule}")
        )
