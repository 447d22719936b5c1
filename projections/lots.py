"""Lots: one row per points lot, what it got and where its points went, by events alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ledger.events import (
    ActivityRewarded,
    DebtPaid,
    Event,
    LotGrant,
    LotPoints,
    NewcomerRewarded,
    PointsAccrued,
    PointsActivated,
    PointsAdjusted,
    PointsClawedBack,
    PointsExpired,
    PointsExpiryCorrected,
    PointsRedeemed,
    PointsReserved,
    PointsRestored,
    RecordedEvent,
    ReferralReversed,
    ReferralRewarded,
    ReservationCaptured,
    ReservationLapsed,
    ReservationReleased,
)
from ledger.store.arrays import bigint_array, text_array
from ledger.store.database import Cursor
from projections.view import View, member_of

_FACTS: Final = {
    "source": "text",
    "order_id": "text",
    "funded_by": "text",
    "parent_lot_id": "text",
    "earned_at": "timestamptz",
    "expires_on": "date",
    "pending_until": "date",
}
_SUMS: Final = (
    "granted", "restored", "redeemed", "expired", "clawed_back", "adjusted", "paid_debt",
    "reserved", "activated",
)  # fmt: skip
_NAMES: Final = ", ".join(("member_id", "lot_id", *_FACTS, *_SUMS))

_UPSERT: Final = f"""
    INSERT INTO lots AS held ({_NAMES})
    SELECT {_NAMES} FROM unnest(
        %(member_id)s::text[], %(lot_id)s::text[],
        {", ".join(f"%({name})s::{sql_type}[]" for name, sql_type in _FACTS.items())},
        {", ".join(f"%({name})s::bigint[]" for name in _SUMS)}
    ) AS new ({_NAMES})
    ON CONFLICT (member_id, lot_id) DO UPDATE SET
        {", ".join(f"{name} = coalesce(excluded.{name}, held.{name})" for name in _FACTS)},
        {", ".join(f"{name} = held.{name} + excluded.{name}" for name in _SUMS)}
"""  # noqa: S608 - the names are constants above
_SELECT_DRAWN: Final = """
    SELECT member_id, redemption_id, drawn.lot_id, drawn.points
    FROM drawn
    JOIN unnest(%s::text[], %s::text[]) AS asked (member_id, redemption_id)
    USING (member_id, redemption_id)
"""
_DELETE_DRAWN: Final = """
    DELETE FROM drawn USING unnest(%s::text[], %s::text[]) AS over (member_id, redemption_id)
    WHERE drawn.member_id = over.member_id AND drawn.redemption_id = over.redemption_id
"""
_INSERT_DRAWN: Final = """
    INSERT INTO drawn (member_id, redemption_id, lot_id, points)
    SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[])
"""

_Reservation = tuple[str, str]


@dataclass
class _LotChange:
    """What a chunk changes about one lot."""

    grant: LotGrant | None = None
    granted: int = 0
    restored: int = 0
    redeemed: int = 0
    expired: int = 0
    clawed_back: int = 0
    adjusted: int = 0
    paid_debt: int = 0
    reserved: int = 0
    activated: int = 0

    def fact(self, name: str) -> str | None:
        """A field of the grant, if this chunk made the lot, as text."""
        value = getattr(self.grant, name) if self.grant else None
        return value if value is None or isinstance(value, str) else value.isoformat()


@dataclass
class _Chunk:
    """The changes of one chunk: lots, reservations begun in it, reservations over in it."""

    lots: dict[tuple[str, str], _LotChange] = field(default_factory=dict)
    drawn: dict[_Reservation, dict[str, int]] = field(default_factory=dict)
    over: set[_Reservation] = field(default_factory=set)

    def lot(self, member_id: str, lot_id: str) -> _LotChange:
        """The change of one lot, none at first."""
        return self.lots.setdefault((member_id, lot_id), _LotChange())

    def grant(self, member_id: str, grant: LotGrant | None) -> None:
        """A new lot, if the event made one."""
        if grant is not None:
            change = self.lot(member_id, grant.lot_id)
            change.grant = grant
            change.granted += grant.granted

    def pay_debt(self, member_id: str, paid: Iterable[DebtPaid]) -> None:
        """Points that left their lot as soon as they came."""
        for part in paid:
            self.lot(member_id, part.lot_id).paid_debt += part.points

    def end_reservation(self, member_id: str, redemption_id: str) -> dict[str, int]:
        """What the reservation had drawn from each lot, all of it no longer reserved."""
        drawn = self.drawn.pop((member_id, redemption_id), {})
        self.over.add((member_id, redemption_id))
        for lot_id, points in drawn.items():
            self.lot(member_id, lot_id).reserved -= points
        return drawn


def _newcomer_rewarded(chunk: _Chunk, member_id: str, event: NewcomerRewarded) -> None:
    chunk.grant(member_id, event.lot)


def _earned(
    chunk: _Chunk, member_id: str, event: PointsAccrued | ActivityRewarded | ReferralRewarded
) -> None:
    chunk.grant(member_id, event.lot)
    chunk.pay_debt(member_id, event.debt_paid)


def _activated(chunk: _Chunk, member_id: str, event: PointsActivated) -> None:
    chunk.lot(member_id, event.lot_id).activated += 1


def _reserved(chunk: _Chunk, member_id: str, event: PointsReserved) -> None:
    drawn = chunk.drawn.setdefault((member_id, event.redemption_id), {})
    for part in event.lots_drawn:
        drawn[part.lot_id] = drawn.get(part.lot_id, 0) + part.points
        chunk.lot(member_id, part.lot_id).reserved += part.points


def _reservation_over(
    chunk: _Chunk,
    member_id: str,
    event: ReservationCaptured | ReservationReleased | ReservationLapsed,
) -> None:
    spent = dict(chunk.end_reservation(member_id, event.redemption_id))
    back: tuple[LotPoints | DebtPaid, ...] = (*event.lots_returned, *event.debt_paid)
    for part in back:
        spent[part.lot_id] = spent.get(part.lot_id, 0) - part.points
    for lot_id, points in spent.items():
        chunk.lot(member_id, lot_id).redeemed += points
    chunk.pay_debt(member_id, event.debt_paid)


def _redeemed(chunk: _Chunk, member_id: str, event: PointsRedeemed) -> None:
    for part in event.lots_drawn:
        chunk.lot(member_id, part.lot_id).redeemed += part.points


def _restored(chunk: _Chunk, member_id: str, event: PointsRestored) -> None:
    for part in event.lots:
        if part.new_lot is not None:
            chunk.grant(member_id, part.new_lot)
        else:
            chunk.lot(member_id, part.lot_id).restored += part.points
    chunk.pay_debt(member_id, event.debt_paid)


def _clawed_back(chunk: _Chunk, member_id: str, event: PointsClawedBack | ReferralReversed) -> None:
    for part in event.lots_drawn:
        chunk.lot(member_id, part.lot_id).clawed_back += part.points


def _expired(chunk: _Chunk, member_id: str, event: PointsExpired) -> None:
    chunk.lot(member_id, event.lot_id).expired += event.points


def _expiry_corrected(chunk: _Chunk, member_id: str, event: PointsExpiryCorrected) -> None:
    chunk.lot(member_id, event.lot_id).expired -= event.points
    chunk.pay_debt(member_id, event.debt_paid)


def _adjusted(chunk: _Chunk, member_id: str, event: PointsAdjusted) -> None:
    chunk.grant(member_id, event.lot)
    chunk.pay_debt(member_id, event.debt_paid)
    for part in event.lots_drawn:
        chunk.lot(member_id, part.lot_id).adjusted -= part.points


# Any: each rule takes its own event class, which the key beside it says.
_RULES: Final[dict[type[Event], Callable[[_Chunk, str, Any], None]]] = {
    NewcomerRewarded: _newcomer_rewarded,
    PointsAccrued: _earned,
    ActivityRewarded: _earned,
    PointsActivated: _activated,
    ReferralRewarded: _earned,
    ReferralReversed: _clawed_back,
    PointsReserved: _reserved,
    ReservationCaptured: _reservation_over,
    ReservationReleased: _reservation_over,
    ReservationLapsed: _reservation_over,
    PointsRedeemed: _redeemed,
    PointsRestored: _restored,
    PointsClawedBack: _clawed_back,
    PointsExpired: _expired,
    PointsExpiryCorrected: _expiry_corrected,
    PointsAdjusted: _adjusted,
}
_ENDS: Final = (ReservationCaptured, ReservationReleased, ReservationLapsed)


def _apply(cursor: Cursor, events: Sequence[RecordedEvent]) -> None:
    chunk = _Chunk(drawn=_drawn_before(cursor, events))
    known_before = set(chunk.drawn)
    for recorded in events:
        rule = _RULES.get(type(recorded.event))
        member_id = member_of(recorded)
        if rule is not None and member_id is not None:
            rule(chunk, member_id, recorded.event)
    if chunk.lots:
        cursor.execute(_UPSERT, _parameters(dict(sorted(chunk.lots.items()))))
    if chunk.over & known_before:
        cursor.execute(_DELETE_DRAWN, _pairs(chunk.over & known_before))
    begun = {key: drawn for key, drawn in chunk.drawn.items() if key not in known_before}
    if begun:
        cursor.execute(_INSERT_DRAWN, _drawn_rows(begun))


def _drawn_before(
    cursor: Cursor, events: Sequence[RecordedEvent]
) -> dict[_Reservation, dict[str, int]]:
    """What reservations that end in this chunk had drawn in earlier chunks."""
    ending = {
        (member_id, recorded.event.redemption_id)
        for recorded in events
        if isinstance(recorded.event, _ENDS) and (member_id := member_of(recorded))
    }
    drawn: dict[_Reservation, dict[str, int]] = {}
    if ending:
        cursor.execute(_SELECT_DRAWN, _pairs(ending))
        for member_id, redemption_id, lot_id, points in cursor:
            drawn.setdefault((member_id, redemption_id), {})[lot_id] = points
    return drawn


def _pairs(reservations: Iterable[_Reservation]) -> tuple[str, str]:
    in_order = sorted(reservations)
    return (
        text_array([member_id for member_id, _ in in_order]),
        text_array([redemption_id for _, redemption_id in in_order]),
    )


def _drawn_rows(drawn: dict[_Reservation, dict[str, int]]) -> tuple[str, str, str, str]:
    rows = [
        (*key, lot_id, points) for key, lots in drawn.items() for lot_id, points in lots.items()
    ]
    return (
        text_array([row[0] for row in rows]),
        text_array([row[1] for row in rows]),
        text_array([row[2] for row in rows]),
        bigint_array([row[3] for row in rows]),
    )


def _parameters(changes: dict[tuple[str, str], _LotChange]) -> dict[str, str]:
    rows = list(changes.values())
    return {
        "member_id": text_array([member_id for member_id, _ in changes]),
        "lot_id": text_array([lot_id for _, lot_id in changes]),
        **{name: text_array([row.fact(name) for row in rows]) for name in _FACTS},
        **{name: bigint_array([getattr(row, name) for row in rows]) for name in _SUMS},
    }


VIEW: Final = View("lots", _apply)
