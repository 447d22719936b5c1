"""Points given or taken by hand, over a limit by two people (PROGRAMME 4.4, 10)."""

from __future__ import annotations

from ledger import events as e
from ledger import requests as r
from ledger.errors import NotFound, Refusal
from ledger.member.aggregate import Member
from ledger.member.circumstances import Circumstances
from ledger.member.drawing import correct_expiries, drawn_from, plan_redemption
from ledger.member.granting import debt_paid_by, new_lot
from ledger.member.settling import settle
from ledger.member.status import must_not_be_closed
from ledger.parts import Adjustment


def request_adjustment(
    member: Member, command: r.Adjust, adjustment_id: str, requested_by: str, at: Circumstances
) -> None:
    """An adjustment over the limit waits for a second person (PROGRAMME 10)."""
    must_not_be_closed(member)
    settle(member, at)
    member.trigger(
        e.AdjustmentRequested(
            occurred_at=at.now,
            meta=at.meta,
            adjustment_id=adjustment_id,
            points=command.points,
            reason=command.reason,
            note=command.note,
            effective_at=at.occurred_at,
            requested_by=requested_by,
        )
    )


def adjust(
    member: Member,
    adjustment_id: str,
    points: int,
    reason: str,
    note: str | None,
    at: Circumstances,
    *,
    approved: bool = False,
) -> e.PointsAdjusted:
    """Give points as a lot, or take them in drawing order, never below zero (4.4)."""
    must_not_be_closed(member)
    settle(member, at)
    lot = None
    drawn: list[e.LotPoints] = []
    if points > 0:
        lot = new_lot(member, points, "adjustment", at)
    else:
        draws = plan_redemption(member, -points, at)
        correct_expiries(member, draws, at)
        drawn = drawn_from(draws)
    event = e.PointsAdjusted(
        occurred_at=at.occurred_at,
        meta=at.meta,
        adjustment_id=adjustment_id,
        points=points,
        reason=reason,
        note=note,
        lot=lot,
        lots_drawn=drawn,
        debt_paid=debt_paid_by(member, lot),
        approved=approved,
    )
    member.trigger(event)
    return event


def waiting_adjustment(member: Member, adjustment_id: str, decided_by: str) -> Adjustment:
    """The adjustment that this second person may approve or reject."""
    adjustment = member.adjustments.find(adjustment_id)
    if adjustment is None:
        raise NotFound("adjustment", adjustment_id)
    if adjustment.status != "waiting":
        raise Refusal("already_recorded", f"Adjustment {adjustment_id!r} is {adjustment.status}.")
    if adjustment.requested_by == decided_by:
        raise Refusal(
            "approval_required",
            "Another person decides on an adjustment: approve or reject it with another key.",
        )
    return adjustment


def reject_adjustment(member: Member, command: r.RejectAdjustment, at: Circumstances) -> None:
    """The second person's no."""
    settle(member, at)
    member.trigger(
        e.AdjustmentRejected(
            occurred_at=at.occurred_at,
            meta=at.meta,
            adjustment_id=command.adjustment_id,
            reason=command.reason,
        )
    )
