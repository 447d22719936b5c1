"""Benefits: what a member has, and using it (PROGRAMME 6.5)."""

from __future__ import annotations

from ledger import requests as r
from ledger.answers import Answer, time_text
from ledger.case import Case, Decided
from ledger.codes import new_id
from ledger.member import Circumstances, Member, benefits


def use_benefit(case: Case, command: r.UseBenefit) -> Decided:
    member = case.member(command.member_id)
    at = case.at(command.occurred_at)
    use_id = command.use_id or new_id("use")
    event, left = benefits.use(member, command, use_id, at)
    answer = {
        "use_id": use_id,
        "member_id": member.member_id,
        "occurred_at": time_text(event.occurred_at, at.programme),
        **_entitlement(left),
    }
    return 201, answer, member


def benefits_answer(member: Member, at: Circumstances) -> Answer:
    """The answer to `GET /v1/members/{member_id}/benefits`."""
    return {
        "member_id": member.member_id,
        "benefits": [_entitlement(each) for each in benefits.entitlements(member, at)],
        "after_sales_days": benefits.after_sales_days(member, at),
        "next_cursor": None,
    }


def _entitlement(found: benefits.Entitlement) -> Answer:
    name = found.benefit.name
    return {
        "benefit": found.benefit.code,
        "name": name.in_language("en") if name else found.benefit.code,
        "name_zh": name.in_language("zh") if name else found.benefit.code,
        "because": found.because,
        "times": found.benefit.times or None,
        "every": found.benefit.every,
        "used": found.used,
        "remaining": found.remaining,
        "period_until": found.period_until.isoformat() if found.period_until else None,
    }
