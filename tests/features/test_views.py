"""The views of members and lots: what they hold follows from the events, and adds up."""

from __future__ import annotations

import itertools
from collections import defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from event_log import META, START, Log, accrued, enrolled, lives

from ledger import events as e
from ledger.postings import balance_change, totals_change
from ledger.store.database import Database
from projections import status, wait_for
from projections.history import history_page
from projections.runner import catch_up

SUMS = (
    "granted", "restored", "redeemed", "expired", "clawed_back", "adjusted",
)  # fmt: skip


def members(database: Database) -> dict[str, dict[str, Any]]:
    return {row["member_id"]: row for row in _all(database, "view_members.members")}


def lots(database: Database) -> list[dict[str, Any]]:
    return _all(database, "view_lots.lots")


def _all(database: Database, table: str) -> list[dict[str, Any]]:
    with database.transaction() as cursor:
        cursor.execute(f"SELECT * FROM {table}")  # noqa: S608
        names = [column.name for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor]


def balance(
    points: int = 0, *, pending: int = 0, reserved: int = 0, debt: int = 0
) -> tuple[int, ...]:
    return (points, pending, reserved, debt)


# What an event does


def redeemed(points: int, *drawn: e.LotPoints) -> e.PointsRedeemed:
    return e.PointsRedeemed(
        occurred_at=START, meta=META, redemption_id="r-1", points=points,
        value=Decimal(points) / 10, lots_drawn=list(drawn), programme_version=1,
    )  # fmt: skip


PAID = [e.DebtPaid("lot-o-2", "o-1", 30)]

CHANGES: list[tuple[e.Event, tuple[int, ...], int]] = [
    (enrolled("m-1"), balance(), 0),
    (accrued("o-2", 100), balance(100), 100),
    (accrued("o-2", 100, debt_paid=PAID), balance(70, debt=-30), 100),
    (accrued("o-2", 0, amount="0.00"), balance(), 0),
    (redeemed(60), balance(-60), -60),
    (
        e.PointsReserved(
            occurred_at=START, meta=META, redemption_id="r-1", points=60, value=Decimal(6),
            lots_drawn=[e.LotPoints("lot-o-2", 60)], reserved_until=START, programme_version=1,
        ),
        balance(-60, reserved=60),
        0,
    ),
    (
        e.ReservationCaptured(
            occurred_at=START, meta=META, redemption_id="r-1", points=20, value=Decimal(2),
            lots_returned=[e.LotPoints("lot-o-2", 10)], debt_paid=PAID,
        ),
        balance(10, reserved=-60, debt=-30),
        -20,
    ),
    (
        e.ReservationReleased(
            occurred_at=START, meta=META, redemption_id="r-1", points=60,
            lots_returned=[e.LotPoints("lot-o-2", 30)], debt_paid=PAID,
        ),
        balance(30, reserved=-60, debt=-30),
        0,
    ),
    (
        e.ReservationLapsed(
            occurred_at=START, meta=META, redemption_id="r-1", points=60,
            lots_returned=[e.LotPoints("lot-o-2", 60)],
        ),
        balance(60, reserved=-60),
        0,
    ),
    (
        e.PointsClawedBack(
            occurred_at=START, meta=META, refund_id="f-1", order_id="o-1", points=100,
            lots_drawn=[e.LotPoints("lot-o-2", 50)], debt=30, waived=20,
        ),
        balance(-50, debt=30),
        -80,
    ),
    (
        e.PointsRestored(
            occurred_at=START, meta=META, refund_id="f-1", order_id="o-1", points=40, lots=[],
            debt_paid=PAID,
        ),
        balance(10, debt=-30),
        40,
    ),
    (
        e.PointsExpired(
            occurred_at=START, meta=META, lot_id="lot-o-2", points=5, expires_on=START.date()
        ),
        balance(-5),
        -5,
    ),
    (
        e.PointsExpiryCorrected(
            occurred_at=START, meta=META, lot_id="lot-o-2", points=40, corrects=4, debt_paid=PAID
        ),
        balance(10, debt=-30),
        40,
    ),
    (
        e.PointsAdjusted(
            occurred_at=START, meta=META, adjustment_id="a-1", points=-7, reason="wrong till",
            lots_drawn=[e.LotPoints("lot-o-2", 7)],
        ),
        balance(-7),
        -7,
    ),
    (
        e.PointsAdjusted(
            occurred_at=START, meta=META, adjustment_id="a-1", points=50, reason="goodwill",
            debt_paid=PAID,
        ),
        balance(20, debt=-30),
        50,
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("event", "change", "net"), CHANGES, ids=[type(event).__name__ for event, _, _ in CHANGES]
)
def test_11_2_what_an_event_does_to_the_balances_and_to_the_roll_forward(
    event: e.Event, change: tuple[int, ...], net: int
) -> None:
    assert balance_change(event) == change
    assert balance_change(event).net == totals_change(event).net == net


def test_2_9_a_pending_lot_comes_in_as_pending() -> None:
    lot = e.LotGrant(
        lot_id="l", granted=100, earned_at=START, expires_on=None, source="order",
        pending_until=START.date(),
    )  # fmt: skip
    event = e.PointsAccrued(
        occurred_at=START, meta=META, order_id="o", amount=Decimal(100), points=100,
        spend_points=100, unrounded_spend_points="100", breakdown=[], programme_version=1, lot=lot,
        debt_paid=[e.DebtPaid("l", "o-0", 25)],
    )  # fmt: skip
    assert balance_change(event) == balance(pending=75, debt=-25)


def test_the_totals_count_orders_until_they_are_fully_refunded() -> None:
    def refunded(fully: bool) -> e.OrderRefunded:
        return e.OrderRefunded(
            occurred_at=START, meta=META, refund_id="f", order_id="o", amount=Decimal("20.00"),
            refunded=Decimal("20.00"), fully=fully, counted=True,
        )  # fmt: skip

    assert totals_change(accrued("o", 148, amount="148.60"))[:2] == (Decimal("148.60"), 1)
    assert totals_change(accrued("o", 0, amount="0.00"))[:2] == (0, 0)
    assert totals_change(refunded(fully=False))[:2] == (Decimal("-20.00"), 0)
    assert totals_change(refunded(fully=True))[:2] == (Decimal("-20.00"), -1)


# What the views hold


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_members_hold_the_sum_of_their_events_and_their_lots_add_up(
    database: Database, seed: int
) -> None:
    events = lives(members=8, events_each=120, seed=seed)
    Log(database).add_all(events)
    catch_up(database)

    of_member: dict[str, list[e.Event]] = defaultdict(list)
    for member_id, event in events:
        of_member[member_id].append(event)
    in_lots: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for lot in lots(database):
        assert lot["remaining"] >= 0, lot
        assert lot["reserved"] >= 0, lot
        assert (lot["status"] == "active") == (lot["remaining"] + lot["reserved"] > 0)
        in_lots[lot["member_id"]][0] += lot["remaining"]
        in_lots[lot["member_id"]][1] += lot["reserved"]

    held = members(database)
    assert set(held) == set(of_member)
    for member_id, row in held.items():
        changes = [balance_change(event) for event in of_member[member_id]]
        totals = [totals_change(event) for event in of_member[member_id]]
        balances = (row["available"], row["pending"], row["reserved"], row["debt"])
        assert balances == tuple(map(sum, zip(*changes, strict=True)))
        assert row["spend"] == sum(change.spend for change in totals)
        for name in SUMS:
            assert row[name] == sum(getattr(change, name) for change in totals)
        outstanding = row["available"] + row["pending"] + row["reserved"]
        assert in_lots[member_id] == [row["available"] + row["pending"], row["reserved"]]
        assert outstanding - row["debt"] == (
            row["granted"] + row["restored"] + row["adjusted"]
            - row["redeemed"] - row["expired"] - row["clawed_back"]
        )  # fmt: skip
        assert row["version"] == len(of_member[member_id])


@pytest.mark.parametrize("seed", [4, 5])
def test_history_ends_where_the_sum_of_the_events_does(database: Database, seed: int) -> None:
    events = lives(members=4, events_each=150, seed=seed)
    Log(database).add_all(events)
    catch_up(database)
    for member_id in {member_id for member_id, _ in events}:
        entries = history_page(database, member_id, limit=1000)["entries"]
        for one, next_one in itertools.pairwise(entries):
            assert one["balance_after"] == next_one["balance_before"]
        own = [event for member, event in events if member == member_id]
        assert len(entries) == len(own)
        total = tuple(map(sum, zip(*map(balance_change, own), strict=True)))
        assert tuple(entries[-1]["balance_after"].values()) == total
        assert sum(entry["points"] for entry in entries) == total[0] + total[1] - total[3]


def test_a_member_row_says_status_tier_and_level(database: Database) -> None:
    log = Log(database)
    log.add("m-1", enrolled("m-1"))
    log.add("m-2", enrolled("m-2"))
    catch_up(database)
    log.add("m-1", e.MemberFrozen(occurred_at=START, meta=META, reason="lost card"))
    log.add("m-2", accrued("o-1", 10))
    catch_up(database)
    held = members(database)
    assert (held["m-1"]["status"], held["m-2"]["status"]) == ("frozen", "active")
    assert (held["m-1"]["tier"], held["m-1"]["level"]) == ("regular", "ordinary")
    assert held["m-1"]["joined_at"] == START
    assert (held["m-2"]["version"], held["m-2"]["position"]) == (2, 4)
    log.add("m-1", e.MemberUnfrozen(occurred_at=START, meta=META, reason="found again"))
    log.add("m-2", e.MemberClosed(occurred_at=START, meta=META, reason="moved away"))
    catch_up(database)
    held = members(database)
    assert (held["m-1"]["status"], held["m-2"]["status"]) == ("active", "closed")


def test_a_lot_row_says_where_its_points_went(database: Database) -> None:
    lot = "lot-o-1"
    Log(database).add(
        "m-1",
        enrolled("m-1"),
        accrued("o-1", 100),
        redeemed(30, e.LotPoints(lot, 30)),
        e.PointsReserved(
            occurred_at=START, meta=META, redemption_id="r-2", points=40, value=Decimal(4),
            lots_drawn=[e.LotPoints(lot, 40)], reserved_until=START, programme_version=1,
        ),
        e.ReservationCaptured(
            occurred_at=START, meta=META, redemption_id="r-2", points=25, value=Decimal("2.5"),
            lots_returned=[e.LotPoints(lot, 15)],
        ),
        e.PointsExpired(
            occurred_at=START, meta=META, lot_id=lot, points=45, expires_on=START.date()
        ),
    )  # fmt: skip
    catch_up(database)
    (row,) = lots(database)
    assert (row["granted"], row["redeemed"], row["expired"], row["reserved"]) == (100, 55, 45, 0)
    assert (row["remaining"], row["status"], row["order_id"]) == (0, "expired", "o-1")
    assert (row["earned_at"], row["source"]) == (START, "order")


# What failed elsewhere


def test_failures_12_a_reader_waits_for_the_position_of_its_own_write(database: Database) -> None:
    log = Log(database)
    log.add("m-1", enrolled("m-1"))
    catch_up(database)
    position = log.add("m-1", accrued("o-1", 100))
    assert not wait_for(database, "members", position, timeout=0)
    catch_up(database)
    assert wait_for(database, "members", position, timeout=0)
    # What says an older balance says an older position.
    assert members(database)["m-1"]["position"] == position
    assert history_page(database, "m-1")["entries"][-1]["position"] == position
    assert {each.position for each in status(database)} == {position}


def test_failures_07_a_refund_adds_to_the_history_and_takes_nothing_from_it(
    database: Database,
) -> None:
    log = Log(database)
    log.add("m-1", enrolled("m-1"), accrued("o-1", 100))
    catch_up(database)
    before = history_page(database, "m-1")["entries"]
    log.add(
        "m-1",
        e.OrderRefunded(
            occurred_at=datetime(2026, 5, 3, tzinfo=UTC), meta=META, refund_id="f-1",
            order_id="o-1", amount=Decimal("100.00"), refunded=Decimal("100.00"), fully=True,
            counted=True,
        ),
        e.PointsClawedBack(
            occurred_at=datetime(2026, 5, 3, tzinfo=UTC), meta=META, refund_id="f-1",
            order_id="o-1", points=100, lots_drawn=[e.LotPoints("lot-o-1", 100)],
        ),
    )  # fmt: skip
    catch_up(database)
    after = history_page(database, "m-1")["entries"]
    assert after[:2] == before
    assert [entry["event"] for entry in after[2:]] == ["OrderRefunded", "PointsClawedBack"]
    assert after[-1]["balance_after"]["available"] == 0
