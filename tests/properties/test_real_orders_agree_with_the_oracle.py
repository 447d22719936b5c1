"""A year of a grocer's orders goes through the shipped `retail` programme, and the oracle agrees.

The orders are those of 2,469 households of 84.51°'s Complete Journey (tests/data/README.md); a
sample of 62 of them is part of the project. They are imported as an order file is; the oracle gets
the same rows. Compared are each household's balance, lots, totals and coupons, tier, level, segment
and lifecycle: after the last order, and again half a year and more than a year later, when points
have expired.

Then the same year is lived through day by day: every night tiers are reviewed, on the first of each
month levels, segments and lifecycle, until more than a year after the last order; once as tills
that are always in touch book it, and once with tills that send their orders once a month, and with
orders that are given back.
"""

from __future__ import annotations

import csv
import gzip
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import fields
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from oracle import LevelReview, Oracle, Result

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
TILL = Actor("till", "pos")


def moment(text: str) -> datetime:
    """A local time of the programme."""
    return datetime.fromisoformat(text + "+08:00")


LAST_ORDER_BOOKED = moment("2018-01-02 00:00")
"""Orders of the first of January 2017 have just expired by then."""

THE_YEAR = (date(2017, 1, 1), date(2018, 1, 2))
REVIEWED_UNTIL = date(2019, 7, 2)
LOOKED_AT = (date(2017, 7, 2), date(2018, 1, 2), date(2018, 8, 15), REVIEWED_UNTIL)
"""When all households are compared, in the life of day by day."""

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
        affected = self.run(self.ledger.due_for_expiry, r.ExpirePoints)
        assert self.oracle.expire(self.now) == affected
        return affected

    def review_tiers(self) -> int:
        """Both record the reviews of tiers that are due; how many."""
        affected = self.run(self.ledger.due_for_tier_review, r.ReviewTiers)
        assert self.oracle.review_tiers(self.now) == affected
        return affected

    def review_levels(self) -> int:
        """Both record the monthly reviews that are due; how many."""
        affected = self.run(self.ledger.due_for_level_review, r.ReviewLevels)
        assert self.oracle.review_levels(self.now) == affected
        return affected

    def run(self, due_at: Any, command: Any) -> int:
        """A job of the ledger, for all members for whom it is due; how much it changed."""
        affected = 0
        last = None
        while due := due_at(self.now, last, 500):
            last = due[-1]
            commands = [command(member_id=one, as_of=self.now) for one in due]
            outcomes = self.ledger.handle(
                [r.Request(command=command, actor=SCHEDULER) for command in commands]
            )
            assert all(outcome.status == 200 for outcome in outcomes)
            affected += sum(outcome.body["affected"] for outcome in outcomes)
        return affected

    def book_rows(self, rows: Sequence[dict[str, str]]) -> None:
        """What tills send in one go, to both, and both answer the same."""
        if not rows:
            return
        commands = [
            r.Accrue(
                member_id=row["member_id"],
                order_id=row["order_id"],
                amount=Decimal(row["amount"]),
                occurred_at=datetime.fromisoformat(row["occurred_at"]),
                store_id=row["store_id"],
                enrol_unknown=True,
            )
            for row in rows
        ]
        outcomes = self.ledger.handle([r.Request(command=one, actor=TILL) for one in commands])
        for command, outcome in zip(commands, outcomes, strict=True):
            answer = self.oracle.accrue(
                self.now,
                command.member_id,
                command.order_id,
                command.amount,
                occurred_at=command.occurred_at,
                store_id=command.store_id,
                enrol_unknown=True,
            )
            assert (outcome.status, answer.code) == (201, "ok"), outcome.body
            assert outcome.body["points"] == answer.points, command.order_id
            assert upgrade_in(outcome.body) == answer.tier, command.order_id

    def give_back(self, rows: Sequence[dict[str, str]]) -> None:
        """Whole orders come back."""
        for row in rows:
            refund_id, amount = "f-" + row["order_id"], Decimal(row["amount"])
            command = r.Refund(refund_id=refund_id, order_id=row["order_id"], amount=amount)
            outcome = self.ledger.handle([r.Request(command=command, actor=TILL)])[0]
            answer: Result = self.oracle.refund(self.now, refund_id, row["order_id"], amount)
            assert (outcome.status, answer.code) == (201, "ok"), outcome.body
            assert outcome.body["points_clawed_back"] == answer.clawed_back, row["order_id"]

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
            assert standing(ours) == standing(theirs), member_id
            self.reviews_agree(member_id, theirs)
            sums.update(theirs["balance"])
            sums.update({name: theirs["totals"][name] for name in ("granted", "expired", "orders")})
            sums.update(template for template, _ in theirs["coupons"])
            sums.update(f"tier {event.kind}" for event in theirs["tier_events"])
            sums.update(f"tier {event.to_tier}" for event in theirs["tier_events"])
            for review in theirs["level_reviews"]:
                sums.update([review.level, f"segment {review.segment}", review.lifecycle])
        return sums

    def reviews_agree(self, member_id: str, theirs: dict[str, Any]) -> None:
        """Every change of tier and every monthly review, in the order of recording."""
        tiers = []
        levels = []
        for recorded in self.ledger.events_of(member_id):
            event: Any = recorded.event
            if event.TOPIC in ("TierUpgraded", "TierDowngraded"):
                kind = "upgraded" if event.TOPIC == "TierUpgraded" else "downgraded"
                tiers.append((kind, event.to_tier, event.occurred_at, event.until))
            elif event.TOPIC in ("TierRenewed", "TierExtended"):
                kind = "renewed" if event.TOPIC == "TierRenewed" else "extended"
                tiers.append((kind, event.tier, event.occurred_at, event.until))
            elif event.TOPIC == "LevelReviewed":
                levels.append([getattr(event, one.name) for one in fields(LevelReview)])
        expected = [(e.kind, e.to_tier, e.occurred_at, e.until) for e in theirs["tier_events"]]
        assert tiers == expected, member_id
        reviews = [[getattr(x, f.name) for f in fields(x)] for x in theirs["level_reviews"]]
        assert levels == reviews, member_id

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


def upgrade_in(answer: dict[str, Any]) -> tuple[str, str] | None:
    """(from, to) where the answer to an order tells of an upgrade."""
    tier = answer["tier"]
    return (tier["from"], tier["code"]) if tier["changed"] else None


def standing(member: dict[str, Any]) -> tuple[Any, ...]:
    """Tier, level, segment and lifecycle, dates as text."""
    tier = {name: str(value) for name, value in member["tier"].items()}
    return tier, member["level"], member["segment"], member["lifecycle"]


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
        if is_paid(row):
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


def sent_monthly(row: dict[str, str]) -> bool:
    """Whether the till of this store is in touch only once a month."""
    return row["store_id"].endswith("6")


def comes_back(row: dict[str, str]) -> bool:
    """Whether the order is given back three weeks later."""
    return row["order_id"].endswith("7") and is_paid(row)


def is_paid(row: dict[str, str]) -> bool:
    """Whether the order is one of more than nothing."""
    return row["amount"].strip("0.") != ""


def live_day_by_day(books: Books, path: Path, *, in_touch: bool) -> Counter[str]:
    """The year and what follows: each night the day is booked, then what is due is reviewed.

    Not `in_touch`: some tills send what they have on the tenth of a month, and some orders are
    given back. Answers what all households are in the end.
    """
    by_day: defaultdict[date, list[dict[str, str]]] = defaultdict(list)
    returned: defaultdict[date, list[dict[str, str]]] = defaultdict(list)
    for row in orders(path):
        day = datetime.fromisoformat(row["occurred_at"]).astimezone(books.oracle.zone).date()
        assert THE_YEAR[0] <= day < THE_YEAR[1]
        if not in_touch and sent_monthly(row):
            day = (day.replace(day=1) + timedelta(days=31)).replace(day=10)
        by_day[day].append(row)
        if not in_touch and comes_back(row):
            returned[day + timedelta(days=21)].append(row)
    day = THE_YEAR[0]
    while day < REVIEWED_UNTIL:
        books.now = books.oracle.midnight(day + timedelta(days=1))
        books.book_rows(by_day[day])
        books.give_back(returned[day])
        books.review_tiers()
        books.review_levels()
        day += timedelta(days=1)
        if day in LOOKED_AT:
            books.expire()
            found = books.agree()
    kept = [row for rows in by_day.values() for row in rows if is_paid(row)]
    assert found["orders"] == len(kept) - sum(len(rows) for rows in returned.values())
    return found


@pytest.fixture
def books(database: Database) -> Books:
    """An empty ledger under `retail`, and an empty oracle."""
    return Books(database)


def test_a_sample_of_households_agrees_under_retail(books: Books) -> None:
    assert books.book(SAMPLE) == 4_532
    assert len(books.oracle.state.members) == 62
    agree_for_more_than_a_year(books, SAMPLE)


@pytest.mark.parametrize("in_touch", [True, False])
def test_a_sample_agrees_from_day_to_day_through_all_reviews(books: Books, in_touch: bool) -> None:
    found = live_day_by_day(books, SAMPLE, in_touch=in_touch)
    assert {
        "tier silver",
        "tier upgraded",
        "tier extended",
        "tier downgraded",
        "active",
        "core",
        "loyal",
        "stable",
        "lapsing",
        "dormant",
        "won_back",
    } - found.keys() == set()


@pytest.mark.slow
@pytest.mark.skipif(not WHOLE_FILE.exists(), reason="the whole file is not part of the project")
@pytest.mark.parametrize("in_touch", [True, False])
def test_all_households_agree_from_day_to_day_through_all_reviews(
    books: Books, in_touch: bool
) -> None:
    found = live_day_by_day(books, WHOLE_FILE, in_touch=in_touch)
    assert {"tier gold", "tier renewed", "loyal", "won_back"} - found.keys() == set()


@pytest.mark.slow
@pytest.mark.skipif(not WHOLE_FILE.exists(), reason="the whole file is not part of the project")
def test_all_households_agree_under_retail(books: Books) -> None:
    assert books.book(WHOLE_FILE) == 155_848
    assert len(books.oracle.state.members) == 2_469
    agree_for_more_than_a_year(books, WHOLE_FILE)
