"""Random lives: the ledger and the oracle get the same commands, and agree after each.

The oracle (`tests/oracle.py`) is a plain model of PROGRAMME.md that shares no code with the
ledger. Compared are result codes, points, clawback, restoration, debt, and after every step each
member's balance, lots and totals. The state beside the log must equal the replay of the events.
"""

from __future__ import annotations

import itertools
import tomllib
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from oracle import Oracle

from ledger import requests as r
from ledger.events import Actor, OrderItem
from ledger.ledger import Ledger, rebuilt
from ledger.programme import read_programme
from ledger.store.database import Database

TILL = Actor("till-1", "pos")
START = datetime(2026, 1, 30, 9, 30, tzinfo=UTC)

# What this capability brings to life: later sections are off until theirs does.
PLAIN = """
programme = "plain"
currency = "CNY"
time_zone = "Asia/Shanghai"
[points]
value = "0.10"
validity = { years = 1 }
restored_min_days = 7
[earning]
rate = "1"
excluded_skus = ["GIFT-CARD"]
excluded_product_lines = ["tobacco"]
[earning.level_multipliers]
ordinary = "1.2"
[redemption]
step = 100
min = 200
max_order_share = "0.50"
reserve_seconds = 900
[levels]
review_day = 1
bands = [ { code = "ordinary", from = 0 } ]
"""

SHORT_LIVED = PLAIN.replace("{ years = 1 }", "{ months = 1 }").replace('rate = "1"', 'rate = "1.5"')
WAIVED = SHORT_LIVED.replace("restored_min_days = 7", 'restored_min_days = 40\ndebt = "waive"')
WESTERN = (
    SHORT_LIVED.replace("Asia/Shanghai", "America/New_York")
    .replace("step = 100\nmin = 200", "step = 10\nmin = 10")
    .replace("validity = { months = 1 }", 'validity = { months = 1 }\nalign_expiry = "month"')
    .replace('"0.50"', '"1"')
)

PROGRAMMES = {"plain": PLAIN, "short": SHORT_LIVED, "waived": WAIVED, "western": WESTERN}

amounts = st.one_of(
    st.sampled_from(["0.00", "0.01", "99.99", "200.00", "500.00", "1234.56"]),
    st.integers(0, 300_000).map(lambda cents: f"{cents // 100}.{cents % 100:02d}"),
).map(Decimal)

late_by = st.one_of(
    st.just(timedelta()),
    st.just(timedelta()),
    st.integers(1, 3_600 * 30).map(lambda seconds: timedelta(seconds=seconds)),
    st.integers(1, 60).map(lambda days: timedelta(days=days)),
)

item_lists = st.lists(
    st.fixed_dictionaries(
        {
            "sku": st.sampled_from(["A1", "GIFT-CARD"]),
            "product_line": st.sampled_from(["baby", "tobacco", None]),
            "amount": st.sampled_from(["0.00", "1.00", "33.33", "100.00"]).map(Decimal),
        }
    ),
    max_size=3,
)


class Lives(RuleBasedStateMachine):
    """Members of one programme, in the ledger and in the oracle."""

    new_database: Callable[[], str]

    orders = Bundle("orders")
    reservations = Bundle("reservations")

    def __init__(self) -> None:
        super().__init__()
        self.database = Database(type(self).new_database())
        self.now = START
        self.ledger = Ledger(self.database, lambda: self.now)
        self.numbers = itertools.count(1)
        self.members: list[str] = []
        self.order_times: dict[str, datetime] = {}
        self.given_back: set[str] = set()
        self.totals_seen: Counter[str] = Counter()

    def teardown(self) -> None:
        self.database.close()

    @initialize(name=st.sampled_from(sorted(PROGRAMMES)))
    def open(self, name: str) -> None:
        self.oracle = Oracle(tomllib.loads(PROGRAMMES[name]))
        self.ledger.publish(
            read_programme(PROGRAMMES[name]), effective_at=self.now, actor=Actor("admin", "admin")
        )
        for member_id in ("m-1", "m-2"):
            outcome = self.handle(r.Enrol(member_id=member_id))
            assert outcome.status == 201
            assert self.oracle.enrol(self.now, member_id).code == "ok"
            self.members.append(member_id)

    def handle(self, command: r.Command) -> r.Outcome:
        return self.ledger.handle([r.Request(command=command, actor=TILL)])[0]

    def agree(self, outcome: r.Outcome, result: Any) -> bool:
        code = outcome.body["code"] if outcome.status >= 400 else "ok"
        assert code == result.code, (outcome.body, result)
        self.totals_seen[code] += 1
        return code == "ok"

    def past(self, late: timedelta) -> datetime:
        return max(self.now - late, START)

    @rule(
        passing=st.one_of(
            st.integers(1, 1_200).map(lambda seconds: timedelta(seconds=seconds)),
            st.integers(1, 45).map(lambda days: timedelta(days=days)),
            st.sampled_from([timedelta(days=365), timedelta(days=200), timedelta(minutes=15)]),
        )
    )
    def time_passes(self, passing: timedelta) -> None:
        self.now += passing

    @rule(
        target=orders,
        member=st.sampled_from(["m-1", "m-2"]),
        amount=amounts,
        late=late_by,
        items=item_lists,
    )
    def accrue(
        self, member: str, amount: Decimal, late: timedelta, items: list[dict[str, Any]]
    ) -> Any:
        order_id = f"o-{next(self.numbers)}"
        at = self.past(late)
        outcome = self.handle(
            r.Accrue(
                member_id=member,
                order_id=order_id,
                amount=amount,
                occurred_at=at,
                items=[OrderItem(**item) for item in items],
            )
        )
        result = self.oracle.accrue(self.now, member, order_id, amount, occurred_at=at, items=items)
        if not self.agree(outcome, result):
            return multiple()
        assert outcome.body["points"] == result.points
        assert sum(row["points"] for row in outcome.body["breakdown"]) == result.points
        self.order_times[order_id] = at
        return order_id

    @rule(
        target=reservations,
        member=st.sampled_from(["m-1", "m-2"]),
        points=st.one_of(st.integers(1, 12).map(lambda n: n * 100), st.integers(1, 1_000)),
        order=st.one_of(st.none(), orders),
        order_amount=st.sampled_from(["100.00", "1000.00", "99999.00"]).map(Decimal),
        reserve=st.booleans(),
        late=late_by,
    )
    def redeem(
        self,
        member: str,
        points: int,
        order: str | None,
        order_amount: Decimal,
        reserve: bool,
        late: timedelta,
    ) -> Any:
        number = next(self.numbers)
        order_id = order or f"{member}-unknown-{number}"
        if order is not None and self.is_anothers_or_refunded(order, member):
            return multiple()
        redemption_id = f"r-{number}"
        at = self.past(late)
        outcome = self.handle(
            r.Redeem(
                member_id=member,
                redemption_id=redemption_id,
                points=points,
                order_id=order_id,
                order_amount=order_amount,
                reserve=reserve,
                occurred_at=at,
            )
        )
        result = self.oracle.redeem(
            self.now,
            member,
            redemption_id,
            points,
            order_id,
            order_amount,
            reserve=reserve,
            occurred_at=at,
        )
        if not self.agree(outcome, result):
            return multiple()
        return redemption_id

    def is_anothers_or_refunded(self, order_id: str, member: str) -> bool:
        """Where the ledger refuses, and PROGRAMME.md, so the oracle, says nothing."""
        order = self.oracle.state.orders[order_id]
        return order.member.member_id != member or order_id in self.given_back

    @rule(redemption=consumes(reservations), points=st.sampled_from([None, None, 100, 200, 150]))
    def capture(self, redemption: str, points: int | None) -> None:
        order_id = self.oracle.state.redemptions[redemption].order_id
        if order_id in self.order_times and self.is_anothers_or_refunded(
            order_id, self.oracle.state.redemptions[redemption].member.member_id
        ):
            return
        outcome = self.handle(r.Capture(redemption_id=redemption, points=points))
        self.agree(outcome, self.oracle.capture(self.now, redemption, points))

    @rule(redemption=consumes(reservations))
    def release(self, redemption: str) -> None:
        outcome = self.handle(r.Release(redemption_id=redemption))
        self.agree(outcome, self.oracle.release(self.now, redemption))

    @rule(
        order=orders,
        part=st.one_of(st.just(Decimal(1)), st.decimals("0.01", "1.1", places=2)),
        late=late_by,
    )
    def refund(self, order: str, part: Decimal, late: timedelta) -> None:
        paid = self.oracle.state.orders[order].amount
        amount = (paid * part).quantize(Decimal("0.01"))
        if amount == 0 and paid > 0:
            return
        at = max(self.past(late), self.order_times[order])
        refund_id = f"f-{next(self.numbers)}"
        outcome = self.handle(
            r.Refund(refund_id=refund_id, order_id=order, amount=amount, occurred_at=at)
        )
        result = self.oracle.refund(self.now, refund_id, order, amount, occurred_at=at)
        if self.agree(outcome, result):
            if self.oracle.state.orders[order].refunded >= paid:
                self.given_back.add(order)
            answer = outcome.body
            assert answer["points_clawed_back"] == result.clawed_back
            assert answer["points_restored"] == result.restored
            assert answer["debt"] == result.debt
            assert answer["waived"] == result.waived

    @rule(member=st.sampled_from(["m-1", "m-2"]), points=st.integers(-800, 800), late=late_by)
    def adjust(self, member: str, points: int, late: timedelta) -> None:
        if points == 0 or self.oracle.member(member, self.now)["status"] != "active":
            return
        adjustment_id = f"a-{next(self.numbers)}"
        at = self.past(late)
        outcome = self.handle(
            r.Adjust(
                member_id=member,
                adjustment_id=adjustment_id,
                points=points,
                reason="goodwill",
                occurred_at=at,
            )
        )
        self.agree(
            outcome, self.oracle.adjust(self.now, member, adjustment_id, points, occurred_at=at)
        )

    @rule(member=st.sampled_from(["m-1", "m-2"]), freeze=st.booleans())
    def freeze_or_unfreeze(self, member: str, freeze: bool) -> None:
        command = r.Freeze if freeze else r.Unfreeze
        outcome = self.handle(command(member_id=member, reason="checking"))
        result = (self.oracle.freeze if freeze else self.oracle.unfreeze)(self.now, member)
        self.agree(outcome, result)

    @rule()
    def run_the_jobs(self) -> None:
        for due, command in (
            (self.ledger.due_for_lapse, r.LapseReservations),
            (self.ledger.due_for_expiry, r.ExpirePoints),
        ):
            for member_id in due(self.now, None, 100):
                outcome = self.handle(command(member_id=member_id, as_of=self.now))
                assert outcome.status == 200
        self.oracle.lapse(self.now)
        self.oracle.expire(self.now)

    @invariant()
    def members_agree(self) -> None:
        for member_id in self.members:
            ours = self.ledger.member(member_id)
            theirs = self.oracle.member(member_id, self.now)
            assert ours["balance"] == theirs["balance"]
            assert _our_lots(ours) == _their_lots(theirs)
            for name, total in theirs["totals"].items():
                assert str(ours["totals"][name]) == str(total), name
            balance = ours["balance"]
            assert min(balance.values()) >= 0
            assert sum(lot["remaining"] for lot in ours["lots"]) == (
                balance["available"] + balance["pending"]
            )

    @invariant()
    def state_equals_replay(self) -> None:
        for member_id in self.members:
            assert self.ledger.replay(member_id) == self.ledger.member(member_id)
            self.stored_state_equals_rebuilt(member_id)

    def stored_state_equals_rebuilt(self, member_id: str) -> None:
        member = rebuilt(list(self.ledger.events_of(member_id)))
        with self.database.transaction() as cursor:
            stored = self.ledger._read_member(cursor, member_id)
            for state in (member.state, stored.state):  # what is remembered, not recorded
                state.due_before, state.due_points, state.next_expiry_on = None, 0, None
            assert stored.state == member.state
            for lot in member.lots.known():
                assert stored.lots.find(lot.lot_id) == lot
            for order_id, order in member.orders.known().items():
                assert stored.orders.find(order_id) == order
            for name, redemption in member.redemptions.known().items():
                assert stored.redemptions.find(name) == redemption


def _our_lots(member: dict[str, Any]) -> Counter[Any]:
    """Points by origin and last day: how a restoration splits them into lots is not compared."""
    lots: Counter[Any] = Counter()
    for lot in member["lots"]:
        earned_at = datetime.fromisoformat(lot["earned_at"])
        lots[lot["source"], lot["order_id"], earned_at, lot["expires_on"]] += lot["remaining"]
    return lots


def _their_lots(member: dict[str, Any]) -> Counter[Any]:
    lots: Counter[Any] = Counter()
    for source, order_id, _granted, left, earned_at, expires_on, _status in member["lots"]:
        lots[source, order_id, earned_at, expires_on.isoformat() if expires_on else None] += left
    return lots


@pytest.mark.parametrize("count", [30])
def test_any_life_is_the_same_in_the_ledger_and_in_the_oracle(
    new_database: Callable[[], str], count: int
) -> None:
    machine = type("LivesHere", (Lives,), {"new_database": staticmethod(new_database)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=count,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
