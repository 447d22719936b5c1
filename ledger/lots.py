"""Points lots: what one holds, the order in which lots are drawn, and how a draw is planned.

PROGRAMME 3. Planning is pure: it reads lots and answers what to take from where; nothing here
changes a lot.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime
from typing import Protocol

import msgspec

from ledger.events import LotGrant, LotSourceName

NEVER = date.max
"""Stands for "does not expire" where dates are compared."""

_BEGINNING = datetime.min.replace(tzinfo=UTC)

DrawingKey = tuple[date, datetime, str]


class Lot(msgspec.Struct, omit_defaults=True):
    """The points of one grant.

    granted = remaining + reserved + spent + expired + clawed back; the first four change here.
    `pending`: its points have not become active yet, by events alone (PROGRAMME 2.9).
    `expiries` names the recorded expiries that still stand: (version, points, occurred_at).
    `derived` are lots that restorations formed from this one (PROGRAMME 5.3).
    """

    lot_id: str
    granted: int
    remaining: int
    earned_at: datetime
    expires_on: date | None
    source: LotSourceName
    pending: bool = False
    reserved: int = 0
    expired: int = 0
    order_id: str | None = None
    funded_by: str | None = None
    pending_until: date | None = None
    parent_lot_id: str | None = None
    derived: list[str] = []
    expiries: list[tuple[int, int, datetime]] = []

    @property
    def open(self) -> bool:
        """Whether it holds points, free or reserved."""
        return self.remaining > 0 or self.reserved > 0

    @property
    def last_day(self) -> date:
        """The last day on which it is good."""
        return self.expires_on or NEVER

    @property
    def drawing_key(self) -> DrawingKey:
        """Sorts lots in drawing order: expires first, then earned first, then id (3.2)."""
        return (self.last_day, self.earned_at, self.lot_id)

    def good_on(self, day: date) -> bool:
        """Whether its points can still be used on the local date `day` (3.1, 3.3)."""
        return self.last_day >= day

    def pending_on(self, day: date) -> bool:
        """Whether its points can't be spent yet on the local date `day` (2.9)."""
        return self.pending_until is not None and day <= self.pending_until


def lot_of(grant: LotGrant) -> Lot:
    """The lot that a grant makes, all of it remaining."""
    return Lot(
        lot_id=grant.lot_id,
        granted=grant.granted,
        remaining=grant.granted,
        earned_at=grant.earned_at,
        expires_on=grant.expires_on,
        source=grant.source,
        order_id=grant.order_id,
        funded_by=grant.funded_by,
        pending_until=grant.pending_until,
        pending=grant.pending_until is not None,
        parent_lot_id=grant.parent_lot_id,
    )


class LotSource(Protocol):
    """Where the lots of a member that are not in memory yet come from."""

    def one(self, lot_id: str) -> Lot | None:
        """The lot of that id."""

    def open_after(self, key: DrawingKey | None, limit: int) -> list[Lot]:
        """The next open lots in drawing order."""

    def expired_good_on(self, day: date) -> list[Lot]:
        """Lots with expired points that were still good on `day`, in drawing order."""


class NoLots:
    """The source of a member all of whose lots are in memory."""

    def one(self, lot_id: str) -> Lot | None:
        """None."""
        return None

    def open_after(self, key: DrawingKey | None, limit: int) -> list[Lot]:
        """Nothing."""
        return []

    def expired_good_on(self, day: date) -> list[Lot]:
        """Nothing."""
        return []


class Lots:
    """The lots of one member, brought in from `source` only as far as they are needed.

    A member can hold thousands of lots; a command touches a few. What was read or made stays
    here under its id, and `changed` names what must be written.
    """

    PAGE = 64

    def __init__(self, source: LotSource) -> None:
        self._source = source
        self._known: dict[str, Lot] = {}
        self._frontier: DrawingKey | None = None
        self._all_open_known = False
        self.changed: set[str] = set()

    def find(self, lot_id: str) -> Lot | None:
        """The lot of that id, or None."""
        lot = self._known.get(lot_id)
        if lot is None:
            lot = self._source.one(lot_id)
            if lot is not None:
                self._known[lot_id] = lot
        return lot

    def change(self, lot_id: str) -> Lot | None:
        """The lot of that id, to be changed by the caller, or None."""
        lot = self.find(lot_id)
        if lot is not None:
            self.changed.add(lot_id)
        return lot

    def add(self, lot: Lot) -> None:
        """A new lot."""
        self._known[lot.lot_id] = lot
        self.changed.add(lot.lot_id)

    def learn_first_open(self, lots: list[Lot], limit: int) -> None:
        """Take the first `limit` open lots, read beforehand for many members at once."""
        self._learn_open(lots, limit)

    def known(self) -> list[Lot]:
        """The lots in memory."""
        return list(self._known.values())

    def open(self) -> Iterator[Lot]:
        """Open lots in drawing order, read page by page as the caller goes on."""
        last: DrawingKey | None = None
        while True:
            reached = [
                lot
                for lot in self._known.values()
                if lot.open
                and (last is None or lot.drawing_key > last)
                and (
                    self._all_open_known
                    or (self._frontier is not None and lot.drawing_key <= self._frontier)
                )
            ]
            for lot in sorted(reached, key=lambda lot: lot.drawing_key):
                last = lot.drawing_key
                yield lot
            if self._all_open_known:
                return
            self._learn_open(self._source.open_after(self._frontier, self.PAGE), self.PAGE)

    def due_between(self, first: date, until: date) -> tuple[int, date | None]:
        """Free points in lots whose last day is from `first` to before `until`.

        And the earliest last day of an open lot from `until` on, None if no open lot has one.
        """
        key: DrawingKey = (first, _BEGINNING, "")
        while page := self._source.open_after(key, self.PAGE):
            for lot in page:
                self._remember(lot)
            key = page[-1].drawing_key
            if len(page) < self.PAGE or key[0] >= until:
                break
        later = [lot for lot in self._known.values() if lot.open and lot.last_day >= first]
        points = sum(lot.remaining for lot in later if lot.last_day < until)
        following = min((lot.last_day for lot in later if lot.last_day >= until), default=NEVER)
        return points, None if following == NEVER else following

    def drawable(self, moment: datetime, day: date, *, expired_too: bool) -> Iterator[Lot]:
        """Lots that a draw at `moment` (local date `day`) may use, in drawing order (3.2).

        `expired_too`: also those whose recorded expiry came after the draw (3.6).
        """
        candidates: Iterator[Lot] = self.open()
        if expired_too:
            expired = [self._remember(lot) for lot in self._source.expired_good_on(day)]
            ids = {lot.lot_id for lot in expired}
            expired += [
                lot for lot in self._known.values() if lot.expired > 0 and lot.lot_id not in ids
            ]
            expired = [lot for lot in expired if lot.expired > 0 and not lot.open]
            expired.sort(key=lambda lot: lot.drawing_key)
            candidates = heapq.merge(candidates, expired, key=lambda lot: lot.drawing_key)
        for lot in candidates:
            if lot.good_on(day) and lot.earned_at <= moment:
                yield lot

    def _learn_open(self, page: list[Lot], limit: int) -> None:
        for lot in page:
            self._remember(lot)
        if page:
            self._frontier = page[-1].drawing_key
        if len(page) < limit:
            self._all_open_known = True

    def _remember(self, lot: Lot) -> Lot:
        """What is in memory is newer than what was read."""
        return self._known.setdefault(lot.lot_id, lot)


class Draw(msgspec.Struct, frozen=True):
    """What a plan takes from one lot.

    `points` leave the lot; before that `corrected` expired points come back to it, of which
    `pays_debt` pay debt (PROGRAMME 3.6, 5.6).
    """

    lot_id: str
    points: int
    corrected: int = 0
    pays_debt: int = 0


def plan_draw(
    lots: Iterable[Lot],
    points: int,
    *,
    debt: int,
    held: Callable[[Lot], int] = lambda lot: lot.remaining,
) -> tuple[list[Draw], int]:
    """Take `points` from `lots` in their order; answer the draws and the points still missing.

    Free points of a lot go first, then what expired from it. Points that come back from expiry
    pay `debt` before they can be drawn.
    """
    draws: list[Draw] = []
    missing = points
    for lot in lots:
        if missing == 0:
            break
        taken = min(held(lot), missing)
        missing -= taken
        corrected = pays = 0
        if missing and lot.expired:
            corrected = min(lot.expired, missing + debt)
            pays = min(debt, corrected)
            debt -= pays
            taken += corrected - pays
            missing -= corrected - pays
        if taken or corrected:
            draws.append(Draw(lot.lot_id, taken, corrected, pays))
    return draws, missing
