"""What tier, level and segment entitle to, and its use (PROGRAMME 6.5)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import msgspec

from ledger import events as e
from ledger import requests as r
from ledger.earning import Standing
from ledger.errors import InvalidRequest, NotFound, Refusal
from ledger.member.aggregate import Member
from ledger.member.circumstances import Circumstances
from ledger.member.status import must_be_active
from ledger.programme.dates import end_of
from ledger.programme.sections import Benefit


class Entitlement(msgspec.Struct, frozen=True):
    """A benefit that a member has: because of what, how often used, and how often still.

    `remaining` None: without limit. `period_until`: the last day of the year or month that counts.
    """

    benefit: Benefit
    because: str
    used: int
    remaining: int | None
    period_until: date | None


def entitlements(member: Member, at: Circumstances) -> Iterator[Entitlement]:
    """All that the member is entitled to on the day of `occurred_at`."""
    standing = member.standing(at.programme, at.occurred_at)
    for benefit in at.programme.benefits:
        because = _because(benefit, standing)
        if because is not None:
            yield _entitlement(member, benefit, because, at.day)


def use(
    member: Member, command: r.UseBenefit, use_id: str, at: Circumstances
) -> tuple[e.BenefitUsed, Entitlement]:
    """Record one use; refused where the member has no right to it, or has used it up."""
    must_be_active(member)
    benefit = at.programme.benefit(command.benefit)
    if benefit is None:
        raise NotFound("benefit", command.benefit)
    if at.occurred_at < member.state.joined_at:
        raise InvalidRequest("occurred_at", "The member had not joined yet: send when it was used.")
    because = _because(benefit, member.standing(at.programme, at.occurred_at))
    if because is None:
        who = ", ".join((*benefit.tiers, *benefit.levels, *benefit.segments))
        raise Refusal("not_eligible", f"Benefit {benefit.code!r} is for {who}.")
    found = _entitlement(member, benefit, because, at.day)
    if found.remaining == 0:
        until = f" until {found.period_until}" if found.period_until else ""
        raise Refusal(
            "limit_reached", f"Benefit {benefit.code!r} is used up{until}: {found.used} times."
        )
    event = e.BenefitUsed(
        occurred_at=at.occurred_at,
        meta=at.meta,
        use_id=use_id,
        benefit=benefit.code,
        because=because,
        used_on=at.day,
        programme_version=at.version.number,
        note=command.note,
        store_id=command.store_id,
    )
    member.trigger(event)
    return event, _entitlement(member, benefit, because, at.day)


def after_sales_days(member: Member, at: Circumstances) -> int | None:
    """How many days after an order the member may return it: the segment's window (6.5)."""
    returns = at.programme.returns
    if returns is None:
        return None
    segment = member.standing(at.programme, at.occurred_at).segment
    return returns.window_days_by_segment.get(segment or "", returns.window_days)


def _because(benefit: Benefit, standing: Standing) -> str | None:
    for kind, codes, held in (
        ("tier", benefit.tiers, standing.tier),
        ("level", benefit.levels, standing.level),
        ("segment", benefit.segments, standing.segment),
    ):
        if held is not None and held in codes:
            return f"{kind}:{held}"
    return None


def _entitlement(member: Member, benefit: Benefit, because: str, day: date) -> Entitlement:
    period = {"life": "", "year": f"{day:%Y}", "month": f"{day:%Y-%m}"}[benefit.every]
    by_month = member.state.benefits.get(benefit.code, {})
    used = sum(times for month, times in by_month.items() if month.startswith(period))
    remaining = max(0, benefit.times - used) if benefit.times else None
    until = None if benefit.every == "life" else end_of(day, benefit.every)
    return Entitlement(benefit, because, used, remaining, until)
