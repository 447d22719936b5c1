"""The parts of a member that a command needs only when it names them.

A member's orders and redemptions grow without bound; a command names the one it is about. So
they are kept one by one, found by id, and only what was changed is written (DESIGN 2.4).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Generic, Literal, Protocol, TypeVar

import msgspec

from ledger.events import Event
from ledger.state import Day

T = TypeVar("T")


class Parts(Generic[T]):
    """Parts of one kind, by id; `load` finds one that is not in memory yet."""

    def __init__(
        self,
        load: Callable[[str], T | None],
        fetch: Callable[[Collection[str]], None] | None = None,
    ) -> None:
        """`fetch` makes many ready at once, so that `load` need not look for each."""
        self._load = load
        self._fetch = fetch
        self._known: dict[str, T | None] = {}
        self.changed: set[str] = set()
        self.added: set[str] = set()

    def find(self, part_id: str) -> T | None:
        """The part of that id, or None."""
        if part_id not in self._known:
            self._known[part_id] = self._load(part_id)
        return self._known[part_id]

    def fetch(self, part_ids: Iterable[str]) -> None:
        """Make parts ready that are about to be looked for."""
        missing = [part_id for part_id in part_ids if part_id not in self._known]
        if self._fetch is not None and len(missing) > 1:
            self._fetch(missing)

    def change(self, part_id: str) -> T | None:
        """The part of that id, to be changed by the caller, or None."""
        part = self.find(part_id)
        if part is not None:
            self.changed.add(part_id)
        return part

    def add(self, part_id: str, part: T) -> None:
        """A new part; there is none of that id."""
        self._known[part_id] = part
        self.changed.add(part_id)
        self.added.add(part_id)

    def learn(self, part_id: str, part: T | None) -> None:
        """What was read beforehand, or that there is none."""
        self._known.setdefault(part_id, part)

    def known(self) -> dict[str, T]:
        """The parts in memory."""
        return {part_id: part for part_id, part in self._known.items() if part is not None}


class Memory(Protocol):
    """Where what is known of a member comes from, beyond its head."""

    def part(self, kind: str, name: str) -> Any:
        """The part of that kind and id, or None."""

    def fetch(self, kind: str, names: Collection[str]) -> None:
        """Make parts ready that are about to be asked for."""

    def events(self) -> list[Event]:
        """Every event of the member, in the order of recording."""


class NoMemory:
    """For a member all of whose parts are in memory, and who decides nothing."""

    def part(self, kind: str, name: str) -> None:
        """None."""

    def fetch(self, kind: str, names: Collection[str]) -> None:
        """Nothing is to be made ready."""

    def events(self) -> list[Event]:
        """None are at hand."""
        return []


class Order(msgspec.Struct, omit_defaults=True):
    """What must be known of an order to refund it (PROGRAMME 5)."""

    order_id: str
    amount: Decimal
    occurred_at: datetime
    points: int
    spend_points: int
    unrounded_spend_points: str
    lot_id: str | None = None
    refunded: Decimal = Decimal("0.00")
    fully_refunded: bool = False
    clawed_back: int = 0
    restored: int = 0
    coupons: list[str] = []
    """Codes of the coupons that it brought the member (5.4)."""
    day: date | None = None
    """Its local date, to which its refunds belong (6.1)."""


class DrawnLot(msgspec.Struct, omit_defaults=True):
    """Points that a redemption drew from one lot, and how many of them a refund gave back."""

    lot_id: str
    points: int
    restored: int = 0


class Redemption(msgspec.Struct, omit_defaults=True):
    """A redemption or a reservation, with the lots it drew, first-drawn first."""

    redemption_id: str
    status: Literal["reserved", "redeemed", "released", "lapsed"]
    points: int
    value: Decimal
    drawn: list[DrawnLot]
    occurred_at: datetime
    programme_version: int
    order_id: str | None = None
    order_amount: Decimal | None = None
    reserved_until: datetime | None = None
    reserved_points: int = 0


class OrderSpending(msgspec.Struct, omit_defaults=True):
    """The redemptions of one member for one order, in the order in which they were made.

    Known before the order is: a till reserves first.
    """

    redemption_ids: list[str] = []


class Coupon(msgspec.Struct, omit_defaults=True):
    """A coupon of the member, by its code."""

    code: str
    template: str
    status: Literal["issued", "voided"] = "issued"
    name_en: str | None = None
    name_zh: str | None = None


class Referral(msgspec.Struct, omit_defaults=True):
    """What a referrer was given for a referee, by the referee's first order (PROGRAMME 2.7)."""

    referee_id: str
    order_id: str
    points: int
    lot_id: str | None = None
    coupons: list[str] = []
    reversed: bool = False
    day: date | None = None


class Done(msgspec.Struct, omit_defaults=True):
    """An activity that counts once for its reference, by `activity/reference` (2.3)."""

    activity_id: str


class Month(msgspec.Struct, omit_defaults=True):
    """The days of a month that the head does not hold any more, by `2026-03` (`ledger.days`)."""

    days: dict[date, Day] = {}


class Adjustment(msgspec.Struct, omit_defaults=True):
    """A manual adjustment that waits, or waited, for a second person."""

    adjustment_id: str
    points: int
    reason: str
    requested_by: str
    effective_at: datetime
    status: Literal["waiting", "approved", "rejected"] = "waiting"
    note: str | None = None
