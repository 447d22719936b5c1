"""Points given or taken by hand, over a limit by two people (PROGRAMME 10)."""

from __future__ import annotations

from ledger import requests as r
from ledger.answers import Answer, balance_answer, drawn_answer
from ledger.case import Case, Decided
from ledger.codes import new_id
from ledger.member import Circumstances, Member, adjusting


def adjust(case: Case, command: r.Adjust) -> Decided:
    member = case.member(command.member_id)
    at = case.at(command.occurred_at)
    adjustment_id = command.adjustment_id or new_id("a")
    limit = at.programme.limits.adjustment_needs_approval_over
    if limit and abs(command.points) > limit:
        adjusting.request_adjustment(member, command, adjustment_id, _who(case), at)
        return 202, _adjustment(member, adjustment_id, command.points, "waiting", at), member
    event = adjusting.adjust(
        member, adjustment_id, command.points, command.reason, command.note, at
    )
    answer = _adjustment(member, adjustment_id, command.points, "booked", at)
    answer["lots_drawn"] = drawn_answer(event.lots_drawn)
    return 201, answer, member


def approve(case: Case, command: r.ApproveAdjustment) -> Decided:
    member = case.owner_of("adjustment", command.adjustment_id)
    waiting = adjusting.waiting_adjustment(member, command.adjustment_id, _who(case))
    at = case.at(waiting.effective_at)
    event = adjusting.adjust(
        member,
        waiting.adjustment_id,
        waiting.points,
        waiting.reason,
        waiting.note,
        at,
        approved=True,
    )
    answer = _adjustment(member, waiting.adjustment_id, waiting.points, "booked", at)
    answer["lots_drawn"] = drawn_answer(event.lots_drawn)
    return 200, answer, member


def reject(case: Case, command: r.RejectAdjustment) -> Decided:
    member = case.owner_of("adjustment", command.adjustment_id)
    waiting = adjusting.waiting_adjustment(member, command.adjustment_id, _who(case))
    at = case.at(None)
    adjusting.reject_adjustment(member, command, at)
    return 200, _adjustment(member, waiting.adjustment_id, waiting.points, "rejected", at), member


def _who(case: Case) -> str:
    """The key that asks; two people have two keys."""
    return case.request.key_scope or case.request.actor.key


def _adjustment(
    member: Member, adjustment_id: str, points: int, status: str, at: Circumstances
) -> Answer:
    return {
        "adjustment_id": adjustment_id,
        "member_id": member.member_id,
        "points": points,
        "status": status,
        "balance": balance_answer(member.balance(at.today)),
    }
