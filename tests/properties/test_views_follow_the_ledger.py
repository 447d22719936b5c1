"""What the views hold is what the ledger says by events alone, whatever tills and staff do."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from ledger.events import Actor
from ledger.ledger import Ledger
from ledger.programme import shipped_text
from ledger.programme.reading import read_programme
from ledger.requests import (
    Accrue,
    Adjust,
    Capture,
    Command,
    Enrol,
    ExpirePoints,
    LapseReservations,
    Redeem,
    Refund,
    Release,
    Request,
)
from ledger.store.database import Database
from projections.history import history_page
from projections.positions import position_of
from projections.runner import catch_up

STAFF = Actor(key="desk-1", role="service")
START = datetime(2024, 1, 1, tzinfo=UTC)


class Days:
    """Months of a few members: orders, redemptions, refunds, late data, by chance."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.now = START
        self.number = 0
        self.orders: dict[str, list[tuple[str, Decimal]]] = {m: [] for m in self.members()}
        self.redemptions: dict[str, list[str]] = {m: [] for m in self.members()}

    def clock(self) -> datetime:
        return self.now

    def members(self) -> list[str]:
        return ["m-1", "m-2", "m-3"]

    def next_command(self) -> Command:
        self.now += timedelta(hours=self.chance.choice((0, 0, 0, 1, 5, 300)))
        self.number += 1
        member_id = self.chance.choice(self.members())
        late = self.now - timedelta(hours=self.chance.choice((0, 0, 30, 3000)))
        occurred_at = max(late, START)
        verbs = (
            self._order, self._order, self._redeem, self._redeem, self._refund, self._refund,
            self._end, self._end, self._adjust, self._expire,
        )  # fmt: skip
        return self.chance.choice(verbs)(member_id, occurred_at)

    def _order(self, member_id: str, occurred_at: datetime) -> Command:
        cents = self.chance.randint(0, 90_000)
        order_id, amount = f"o-{self.number}", Decimal(cents).scaleb(-2)
        self.orders[member_id].append((order_id, amount))
        reserved = self.redemptions[member_id]
        spent = [reserved.pop()] if reserved and self.number % 3 == 0 else []
        return Accrue(
            member_id=member_id, order_id=order_id, amount=amount, occurred_at=occurred_at,
            redemption_ids=spent,
        )  # fmt: skip

    def _redeem(self, member_id: str, occurred_at: datetime) -> Command:
        redemption_id, reserve = f"r-{self.number}", self.chance.random() < 0.6
        if reserve:
            self.redemptions[member_id].append(redemption_id)
        orders = self.orders[member_id]
        known = self.chance.choice(orders)[0] if orders else "o-first"
        return Redeem(
            member_id=member_id, redemption_id=redemption_id,
            points=self.chance.choice((100, 300, 600, 1200, 2000)), order_id=known,
            order_amount=Decimal("900.00"), reserve=reserve,
            reserve_seconds=self.chance.choice((900, 604_800, 604_800, 604_800)),
            occurred_at=None if reserve else occurred_at,
        )  # fmt: skip

    def _refund(self, member_id: str, occurred_at: datetime) -> Command:
        if not self.orders[member_id]:
            return self._adjust(member_id, occurred_at)
        order_id, amount = self.chance.choice(self.orders[member_id])
        part = amount if self.chance.random() < 0.5 else (amount / 3).quantize(Decimal("0.01"))
        return Refund(refund_id=f"f-{self.number}", order_id=order_id, amount=part)

    def _end(self, member_id: str, occurred_at: datetime) -> Command:
        reserved = self.redemptions[member_id]
        if not reserved:
            return LapseReservations(member_id=member_id, as_of=self.now)
        redemption_id = reserved.pop()
        if self.chance.random() < 0.3:
            return Release(redemption_id=redemption_id)
        points = 100 if self.chance.random() < 0.5 else None
        return Capture(redemption_id=redemption_id, points=points)

    def _adjust(self, member_id: str, occurred_at: datetime) -> Command:
        return Adjust(
            member_id=member_id, adjustment_id=f"a-{self.number}",
            points=self.chance.choice((-20, 50)), reason="goodwill", occurred_at=occurred_at,
        )  # fmt: skip

    def _expire(self, member_id: str, occurred_at: datetime) -> Command:
        return ExpirePoints(member_id=member_id, as_of=self.now)


@pytest.mark.parametrize("seed", range(4))
def test_balances_totals_lots_and_history_are_the_ledgers(database: Database, seed: int) -> None:
    days = Days(seed)
    ledger = Ledger(database, days.clock)
    programme = read_programme(shipped_text("retail"))
    ledger.publish(programme, effective_at=START, actor=Actor(key="admin", role="admin"))
    for member_id in days.members():
        _do(ledger, Enrol(member_id=member_id, joined_at=START))
    booked = 0
    for number in range(300):
        booked += _do(ledger, days.next_command())
        if number % 50 == 0:
            catch_up(database)
    catch_up(database)
    assert booked > 150
    assert position_of(database, "lots") == ledger.last_position()
    for member_id in days.members():
        version = ledger.member(member_id)["version"]
        _compare(database, member_id, ledger.replay(member_id, version=version))


def _do(ledger: Ledger, command: Command) -> bool:
    (outcome,) = ledger.handle([Request(command=command, actor=STAFF)])
    assert outcome.status < 500, outcome.body
    return outcome.status < 300


def _compare(database: Database, member_id: str, replayed: dict[str, object]) -> None:
    totals = replayed["totals"]
    assert isinstance(totals, dict)
    with database.transaction() as cursor:
        cursor.execute(
            "SELECT available, pending, reserved, debt, version, spend::text, orders, granted,"
            " restored, redeemed, expired, clawed_back, adjusted"
            " FROM view_members.members WHERE member_id = %s",
            (member_id,),
        )
        row = cursor.fetchone()
        assert row is not None
        cursor.execute(
            "SELECT lot_id, remaining FROM view_lots.lots WHERE member_id = %s AND remaining > 0",
            (member_id,),
        )
        lots = dict(cursor.fetchall())
        cursor.execute("SELECT count(*) FROM view_lots.lots WHERE remaining < 0 OR reserved < 0")
        assert cursor.fetchone() == (0,)
    balance = dict(zip(("available", "pending", "reserved", "debt"), row, strict=False))
    assert balance == replayed["balance"]
    assert row[4] == replayed["version"]
    names = (
        "spend", "orders", "granted", "restored", "redeemed", "expired", "clawed_back", "adjusted",
    )  # fmt: skip
    assert dict(zip(names, row[5:], strict=True)) == {name: totals[name] for name in names}
    listed = replayed["lots"]
    assert isinstance(listed, list)
    assert lots == {lot["lot_id"]: lot["remaining"] for lot in listed if lot["remaining"]}
    last = history_page(database, member_id, order="desc", limit=1)["entries"][0]
    assert last["balance_after"] == replayed["balance"]
