"""Members: one row per member with status, balances and totals by events alone, for lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from ledger.events import (
    Event,
    LevelReviewed,
    MemberClosed,
    MemberEnrolled,
    MemberFrozen,
    MemberUnfrozen,
    RecordedEvent,
    TierDowngraded,
    TierExtended,
    TierRenewed,
    TierUpgraded,
)
from ledger.postings import balance_change, totals_change
from ledger.store.arrays import bigint_array, text_array
from ledger.store.database import Cursor
from projections.view import View, member_of

_STATUS_AFTER: Final[dict[type[Event], str]] = {
    MemberEnrolled: "active",
    MemberFrozen: "frozen",
    MemberUnfrozen: "active",
    MemberClosed: "closed",
}

_SUMS: Final = (
    "available", "pending", "reserved", "debt", "orders", "granted", "restored", "redeemed",
    "expired", "clawed_back", "adjusted",
)  # fmt: skip

# Sums are added, facts replaced where the chunk knows a new one; the status is "active" at first.
_UPSERT: Final = f"""
    INSERT INTO members AS held (
        member_id, status, joined_at, tier, level, segment, spend, {", ".join(_SUMS)},
        version, position)
    SELECT member_id, coalesce(status, 'active'), joined_at, tier, level, segment, spend,
           {", ".join(_SUMS)}, version, position
    FROM unnest(
        %(member_ids)s::text[], %(statuses)s::text[], %(joined_at)s::timestamptz[],
        %(tiers)s::text[], %(levels)s::text[], %(segments)s::text[], %(spend)s::numeric[],
        {", ".join(f"%({name})s::bigint[]" for name in _SUMS)},
        %(versions)s::bigint[], %(positions)s::bigint[]
    ) AS new (member_id, status, joined_at, tier, level, segment, spend, {", ".join(_SUMS)},
              version, position)
    ON CONFLICT (member_id) DO UPDATE SET
        status = CASE WHEN excluded.member_id = ANY (%(restated)s::text[])
                      THEN excluded.status ELSE held.status END,
        joined_at = coalesce(excluded.joined_at, held.joined_at),
        tier = coalesce(excluded.tier, held.tier),
        level = CASE WHEN excluded.member_id = ANY (%(reviewed)s::text[])
                     THEN excluded.level ELSE held.level END,
        segment = CASE WHEN excluded.member_id = ANY (%(reviewed)s::text[])
                       THEN excluded.segment ELSE held.segment END,
        spend = held.spend + excluded.spend,
        {", ".join(f"{name} = held.{name} + excluded.{name}" for name in _SUMS)},
        version = excluded.version,
        position = excluded.position
"""  # noqa: S608 - the names are constants above


@dataclass
class _Change:
    """What a chunk changes about one member."""

    status: str | None = None
    joined_at: str | None = None
    tier: str | None = None
    level: str | None = None
    segment: str | None = None
    reviewed: bool = False
    spend: Decimal = Decimal("0.00")
    sums: list[int] = field(default_factory=lambda: [0] * len(_SUMS))
    version: int = 0
    position: int = 0

    def add(self, recorded: RecordedEvent) -> None:
        event: Any = recorded.event
        self.version = recorded.originator_version
        self.position = recorded.position or 0
        self.status = _STATUS_AFTER.get(type(event), self.status)
        match event:
            case MemberEnrolled():
                self.joined_at = event.occurred_at.isoformat()
                self.tier, self.level, self.segment = event.tier, event.level, event.segment
            case TierUpgraded() | TierDowngraded():
                self.tier = event.to_tier
            case TierRenewed() | TierExtended():
                self.tier = event.tier  # a correction may take a downgrade back
            case LevelReviewed():
                self.level, self.segment, self.reviewed = event.level, event.segment, True
        spend, *totals = totals_change(event)
        self.spend += spend
        changes = (*balance_change(event), *totals)
        self.sums = [total + change for total, change in zip(self.sums, changes, strict=True)]


def _apply(cursor: Cursor, events: Sequence[RecordedEvent]) -> None:
    changes: dict[str, _Change] = {}
    for event in events:
        member_id = member_of(event)
        if member_id is not None:
            changes.setdefault(member_id, _Change()).add(event)
    if changes:
        cursor.execute(_UPSERT, _parameters(dict(sorted(changes.items()))))


def _parameters(changes: dict[str, _Change]) -> dict[str, str]:
    rows = list(changes.values())
    sums = {
        name: bigint_array([row.sums[place] for row in rows]) for place, name in enumerate(_SUMS)
    }
    return {
        "member_ids": text_array(changes),
        "statuses": text_array([row.status for row in rows]),
        "reviewed": text_array([member for member, row in changes.items() if row.reviewed]),
        "restated": text_array([member for member, row in changes.items() if row.status]),
        "joined_at": text_array([row.joined_at for row in rows]),
        "tiers": text_array([row.tier for row in rows]),
        "levels": text_array([row.level for row in rows]),
        "segments": text_array([row.segment for row in rows]),
        "spend": text_array([str(row.spend) for row in rows]),
        "versions": bigint_array([row.version for row in rows]),
        "positions": bigint_array([row.position for row in rows]),
        **sums,
    }


VIEW: Final = View("members", _apply, revision=2)
