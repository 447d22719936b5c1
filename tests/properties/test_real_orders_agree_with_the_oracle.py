"""A year of a grocer's orders goes through the shipped `retail` programme, and the oracle agrees.

The orders are those of 2,469 households of 84.51°'s Complete Journey (tests/data/README.md); a
sample of 62 of them is part of the project. They are imported as an order file is; the oracle gets
the same rows. Compared are each household's balance, lots, totals and coupons: after the last
order, and again half a year and more than a year later, when points have expired.
"""

from __future__ import annotations

import csv
import gzip
import tomllib
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from oracle import Oracle

import ledger.programme
from jifen.order_files import import_orders
from ledger import requests as r
from ledger.events import Actor
from ledger.ledger import Ledger
from ledger.programme import read_programme
from ledger.store.database import Database

SAMPLE = Path(__file__).parents[1] / "data" / "complete_journey_sample.csv.gz"
WHOLE_FILE = Path(__file__).parents[3] / "shared" / "data" / "complete_journey_orders.csv.gz"
RETAIL = Path(ledger.programme.__file__).parent / "retail.toml"

SCHEDULER = Actor("scheduler", "system")


def moment(text: str) -> datetime:
    """A local time of the programme."""
    return datetime.fromisoformat(text + "+08:00")


LAST_ORDER_BOOKED = moment("2018-01-02 00:00")
"""Orders of the first of January 2017 have just expired by then."""

LATER = (moment("2018-01-02 00:00"), moment("2018-06-30 12:00"), moment("2019-01-03 00:00"))


class Books:
    """The same orders in the ledger and in the oracle, and a clock that both go by."""

    def __init__(self, database: Database) -> None:
        text = RETAIL.read_text(encoding="utf-8").replace('currency = "CNY"', 'currency = "USD"')
        self.now = LAST_ORDER_BOOKED
        self.ledger = Ledger(database, lambda: self.now)
        programme = read_programme(text)
        assert programme.currency == "USD"
        self.ledger.publish(programme, effective_at=self.now, actor=Actor("office", "admin"))
        self.oracle = Oracle(tomllib.loads(text))

    def book(self, path: Path) -> int:
        """Import a file, and tell the oracle the same; how many orders."""
        result = import_orders(self.ledger, path)
        assert (result.booked, result.rejected) == (result.read, 0)
        for row in orders(path):
            answer = self.oracle.accrue(
                self.now,
                row["member_id"],
                row["order_id"],
                Decimal(row["amount"]),
                occurred_at=datetime.fromisoformat(row["occurred_at"]),
                store_id=row["store_id"],
                enrol_unknown=True,
            )
            assert answer.code == "ok"
        return result.read

    def expire(self) -> int:
        """Both record what has expired by now; how many lots."""
        affected = 0
        last = None
        while due := self.ledger.due_for_expiry(self.now, last, 500):
            last = due[-1]
            commands = [r.ExpirePoints(member_id=one, as_of=self.now) for one in due]
            outcomes = self.ledger.handle(
                [r.Request(command=command, actor=SCHEDULER) for command in commands]
            )
            assert all(outcome.status == 200 for outcome in outcomes)
            affected += sum(outcome.body["affected"] for outcome in outcomes)
        assert self.oracle.expire(self.now) == affected
        return affected

    def agree(self) -> Counter[str]:
        """Every household is the same in both; the sums over all of them, for a look from afar."""
        sums: Counter[str] = Counter()
        for member_id in self.oracle.state.members:
            ours = self.ledger.member(member_id)
            theirs = self.oracle.member(member_id, self.now)
            assert ours["balance"] == theirs["balance"], member_id
            assert our_lots(ours) == their_lots(theirs), member_id
            totals = {name: str(total) for name, total in theirs["totals"].items()}
            assert {name: str(total) for name, total in ours["totals"].items()} == totals, member_id
            assert self.coupons(member_id) == theirs["coupons"], member_id
            sums.update(theirs["balance"])
            sums.update({name: theirs["totals"][name] for name in ("granted", "expired", "orders")})
            sums.update(template for template, _ in theirs["coupons"])
        return sums

    def coupons(self, member_id: str) -> list[tuple[str, str]]:
        """Template and status of all that the log says were issued to a household."""
        status: dict[str, tuple[str, str]] = {}
        for recorded in self.ledger.events_of(member_id):
            event: Any = recorded.event
            if event.TOPIC == "CouponIssued":
                status[event.code] = (event.template, "issued")
            elif event.TOPIC == "CouponVoided":
                status[event.code] = (event.template, "voided")
        return sorted(status.values())


def orders(path: Path) -> Iterator[dict[str, str]]:
    """The rows of an order file, read without the product."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
        yield from csv.DictReader(lines)


def our_lots(member: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The lots, in drawing order."""
    return [
        (
            lot["source"],
            lot["order_id"],
            lot["granted"],
            lot["remaining"],
            datetime.fromisoformat(lot["earned_at"]),
            lot["expires_on"],
            lot["status"],
        )
        for lot in member["lots"]
    ]


def their_lots(member: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The same of the oracle."""
    return [
        (source, order_id, granted, left, earned_at, expires_on.isoformat(), status)
        for source, order_id, granted, left, earned_at, expires_on, status, _ in member["lots"]
    ]


def by_hand(path: Path) -> dict[str, int]:
    """What `retail` says of the file, counted from its digits without product or oracle.

    Whole units of each amount, 50 for each household; a coupon at enrolment, one for the first
    order above nothing, a gift for each order of 500 or more.
    """
    households: set[str] = set()
    buyers: set[str] = set()
    counts = Counter(granted=0, brand_gift=0)
    for row in orders(path):
        units = int(row["amount"].partition(".")[0])
        households.add(row["member_id"])
        if row["amount"].strip("0.") != "":
            buyers.add(row["member_id"])
        counts.update(granted=units, brand_gift=units >= 500)
    return {
        "granted": counts["granted"] + 50 * len(households),
        "first_order": len(households),
        "second_order_90": len(buyers),
        "brand_gift": counts["brand_gift"],
    }


def agree_for_more_than_a_year(books: Books, path: Path) -> None:
    """After the last order, and as points expire, until none are left."""
    expected = by_hand(path)
    for now in LATER:
        books.now = now
        before = books.agree()  # by the clock, before the expiries are recorded
        assert {name: before[name] for name in expected} == expected
        assert books.expire() > 0
        after = books.agree()
        assert after["available"] == before["available"]
        assert after["granted"] == after["expired"] + after["available"]
    assert (after["available"], after["expired"]) == (0, expected["granted"])


@pytest.fixture
def books(database: Database) -> Books:
    """An empty ledger under `retail`, and an empty oracle."""
    return Books(database)


def test_a_sample_of_households_agrees_under_retail(books: Books) -> None:
    assert books.book(SAMPLE) == 4_532
    assert len(books.oracle.state.members) == 62
    agree_for_more_than_a_year(books, SAMPLE)


@pytest.mark.slow
@pytest.mark.skipif(not WHOLE_FILE.exists(), reason="the whole file is not part of the project")
def test_all_households_agree_under_retail(books: Books) -> None:
    assert books.book(WHOLE_FILE) == 155_848
    assert len(books.oracle.state.members) == 2_469
    agree_for_more_than_a_year(books, WHOLE_FILE)
