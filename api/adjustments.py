"""An adjustment as its events tell it: for the second person who decides on it (PROGRAMME 10)."""

from __future__ import annotations

from typing import Any, Final

from ledger.errors import NotFound
from ledger.events import AdjustmentRejected, AdjustmentRequested, PointsAdjusted
from ledger.ledger import Ledger

_MEMBER: Final = "SELECT member_id FROM directory WHERE kind = 'adjustment' AND id = %s"
_STATUS: Final = {
    AdjustmentRequested: "waiting",
    AdjustmentRejected: "rejected",
    PointsAdjusted: "booked",
}


def adjustment(ledger: Ledger, adjustment_id: str) -> dict[str, Any]:
    """What was asked for, by whom, and what became of it; raises `NotFound`.

    `position` and `version` are the member's, as those of a redemption are.
    """
    member_id = _member_of(ledger, adjustment_id)
    local_time = ledger.programmes().latest.programme.local_time
    life = list(ledger.events_of(member_id))
    told = [
        (recorded.event, local_time(recorded.recorded_at or recorded.event.occurred_at))
        for recorded in life
        if isinstance(recorded.event, AdjustmentRequested | AdjustmentRejected | PointsAdjusted)
        and recorded.event.adjustment_id == adjustment_id
    ]
    asked, requested_at = told[0]
    last, decided_at = told[-1]
    assert not isinstance(asked, AdjustmentRejected)
    occurred_at = asked.occurred_at
    if isinstance(asked, AdjustmentRequested):
        occurred_at = asked.effective_at
    decided = last is not asked
    return {
        "adjustment_id": adjustment_id,
        "member_id": member_id,
        "points": asked.points,
        "reason": asked.reason,
        "note": asked.note,
        "occurred_at": local_time(occurred_at).isoformat(),
        "status": _STATUS[type(last)],
        "requested_by": asked.meta.actor.key,
        "requested_at": requested_at.isoformat(),
        "decided_by": last.meta.actor.key if decided else None,
        "decided_at": decided_at.isoformat() if decided else None,
        "decision_reason": last.reason if isinstance(last, AdjustmentRejected) else None,
        "version": life[-1].originator_version,
        "position": life[-1].position,
    }


def _member_of(ledger: Ledger, adjustment_id: str) -> str:
    with ledger.database.transaction() as cursor:
        cursor.execute(_MEMBER, (adjustment_id,))
        row: tuple[str] | None = cursor.fetchone()
    if row is None:
        raise NotFound("adjustment", adjustment_id)
    return row[0]
