"""Random lives: the ledger and the oracle get the same commands, and agree after each.

The oracle (`tests/oracle.py`) is a plain model of PROGRAMME.md that shares no code with the
ledger. Members enrol, refer each other, buy, take part, redeem, give back; months pass, data come
late, reviews run on time or long after, and the programme changes in between. Compared are result
codes, points and their breakdown, what was issued, referrals and why they were refused, clawback,
restoration, debt; after every step each member's balance, lots, totals, coupons and flags, tier,
level, segment and lifecycle, with every tier event and every review. The state beside the log must
equal the replay of the events, and a quote what is then booked.

LIVES in the environment says how many lives are lived (`LIVES=2000 pytest ...`).
"""

from __future__ import annotations

import copy
import itertools
import json
import os
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import fields
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

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
from oracle import LevelReview, Oracle, Result, TierEvent, add_months

import ledger.programme
from ledger import requests as r
from ledger.errors import Refusal
from ledger.events import Actor, OrderItem
from ledger.ledger import Ledger, rebuilt
from ledger.programme import read_programme
from ledger.store.database import Database

LIVES = int(os.environ.get("LIVES", "24"))
STEPS = 80
MEMBERS_MOST = 5

TILL = Actor("till-1", "pos")
OFFICE = Actor("admin", "admin")
START = datetime(2026, 1, 30, 9, 30, tzinfo=UTC)

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
[earning.activities]
check_in = { points = 5, once_per = "day" }
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

# Everything of PROGRAMME 2 at once, with figures small enough to be reached in a short life.
BUSY = """
programme = "busy"
currency = "CNY"
time_zone = "Asia/Shanghai"
auto_enrol = true
[points]
value = "0.10"
validity = { months = 3 }
restored_min_days = 7
daily_earning_cap = 600
[earning]
rate = "1.3"
excluded_product_lines = ["tobacco"]
[earning.level_multipliers]
ordinary = "1.2"
[earning.activities]
check_in = { points = 5, once_per = "day" }
share = { points = 200, max_per_day = 2 }
review = { points = 20, once_per = "order" }
vote = { points = 7, once_per = "reference", max_per_day = 1 }
event = { coupon = "voucher", once_per = "reference" }
workshop = { gift = "notebook", max_per_day = 1 }
chat = { points = 3 }
[newcomer]
points = 50
coupon = "welcome"
[second_order]
coupon = "second"
[[spend_gifts]]
threshold = "200.00"
coupon = "small_gift"
[[spend_gifts]]
threshold = "1000.00"
coupon = "voucher"
[referral]
referrer_points = 100
referrer_coupon = "voucher"
referee_coupon = "welcome"
monthly_limit = 2
doubled_for_levels = ["loyal"]
[redemption]
step = 10
min = 20
max_order_share = "0.50"
reserve_seconds = 900
[returns]
window_days = 7
window_days_by_segment = { core = 15 }
[[tiers]]
code = "regular"
[levels]
bands = [ { code = "ordinary", from = 0 }, { code = "loyal", from = 151 } ]
[segments]
core = { spend = "5000.00" }
otherwise = "basic"
[lifecycle]
new_days = 90
[guard_rails]
refund_ratio = { over = "0.40", after_orders = 2, action = "delay" }
referees_per_phone_prefix = { digits = 8, limit = 1, action = "flag" }
[[coupons]]
code = "welcome"
kind = "amount_off"
value = "10.00"
[[coupons]]
code = "second"
kind = "percent_off"
value = "10"
[[coupons]]
code = "small_gift"
kind = "gift"
gift = "a mug"
[[coupons]]
code = "voucher"
kind = "amount_off"
value = "20.00"
[[campaigns]]
code = "member_day"
from = 2026-01-01T00:00:00+08:00
until = 2026-04-01T00:00:00+08:00
multiplier = "2"
only = { channels = ["store", "app"] }
[[campaigns]]
code = "baby"
from = 2026-01-30T12:00:00+08:00
until = 2027-01-01T00:00:00+08:00
multiplier = "1.5"
bonus = 30
only = { product_lines = ["baby"] }
[[campaigns]]
code = "all_of_us"
from = 2026-01-15T00:00:00+08:00
until = 2026-06-01T00:00:00+08:00
multiplier = "1.2"
applies_to = "both"
bonus = 11
only = { tiers = ["regular"], levels = ["ordinary"], segments = ["basic"], lifecycle = ["new"] }
[[campaigns]]
code = "acts"
from = 2026-02-01T00:00:00+08:00
until = 2026-05-01T00:00:00+08:00
multiplier = "2.5"
applies_to = "activity"
only = { stores = ["s-hamburg"] }
[[campaigns]]
code = "loyal_only"
from = 2026-01-01T00:00:00+08:00
until = 2027-01-01T00:00:00+08:00
multiplier = "9"
applies_to = "both"
only = { levels = ["loyal"] }
"""

# The same with a ladder, levels, segments and stages that are reached, kept and lost all the time,
# and what hangs on them.
LADDER = (
    BUSY[: BUSY.index("[[tiers]]")]
    + """
[[tiers]]
code = "regular"
[[tiers]]
code = "bronze"
spend = "150.00"
repurchases = 1
keep = { spend = "200.00", repurchases = 2 }
months = 3
extension = { repurchases = 2, months = 1 }
[[tiers]]
code = "silver"
spend = "600.00"
repurchases = 2
keep = { spend = "400.00", repurchases = 2 }
months = 6
extension = { repurchases = 3, months = 2 }
[[tiers]]
code = "gold"
spend = "3000.00"
repurchases = 4
months = 4
extension = { repurchases = 2, months = 2 }
[levels]
spend_per_point = "40"
points_per_activity = 20
bands = [
    { code = "ordinary", from = 0 },
    { code = "active", from = 12 },
    { code = "loyal", from = 40 },
]
[segments]
core = { spend = "1500.00", repurchases = 2, activities_30d = 1 }
potential = { spend = "300.00", repurchases = 1 }
dormant = { enrolled_months = 2, spend_below = "100.00", idle_months = 2 }
[lifecycle]
new_days = 20
won_back_days = 40
stable = { months = 4, orders = 2 }
lapsing_months = 1
dormant_months = 3
[guard_rails]
refund_ratio = { over = "0.80", after_orders = 4, action = "delay" }
"""
    + BUSY[BUSY.index("[[coupons]]") : BUSY.index("[[campaigns]]")]
    + """
[[campaigns]]
code = "core_days"
multiplier = "3"
applies_to = "both"
only = { segments = ["core", "potential"] }
from = 2026-01-01T00:00:00+08:00
until = 2036-01-01T00:00:00+08:00
[[campaigns]]
code = "back_again"
bonus = 17
applies_to = "both"
only = { lifecycle = ["won_back", "lapsing", "dormant"] }
from = 2026-01-01T00:00:00+08:00
until = 2036-01-01T00:00:00+08:00
[[campaigns]]
code = "precious"
multiplier = "1.1"
applies_to = "both"
only = { tiers = ["silver", "gold"] }
from = 2026-01-01T00:00:00+08:00
until = 2036-01-01T00:00:00+08:00
"""
).replace('ordinary = "1.2"', 'active = "1.2"\nloyal = "1.5"')

SHIPPED = Path(ledger.programme.__file__).parent


def shipped(name: str) -> dict[str, Any]:
    """A shipped programme, without what the ledger does not act on yet."""
    rules = tomllib.loads((SHIPPED / f"{name}.toml").read_text(encoding="utf-8"))
    rules["limits"] = {}  # the daily limit of redemptions, and the approval of adjustments
    rules["redemption"].pop("level_discounts", None)
    return rules


LADDERS: dict[str, tuple[dict[str, Any], datetime]] = {
    "ladder": (tomllib.loads(LADDER), START),
    "ladder, always": (
        tomllib.loads(LADDER.replace("extension = {", 'extension = { when = "always",')),
        datetime(2027, 11, 30, 18, 0, tzinfo=UTC),
    ),
    "ladder, pending": (
        tomllib.loads(
            LADDER.replace("[points]", "[points]\npending = true").replace(
                "Asia/Shanghai", "America/New_York"
            )
        ),
        START,
    ),
}

PROGRAMMES: dict[str, tuple[dict[str, Any], datetime]] = LADDERS | {
    "plain": (tomllib.loads(PLAIN), START),
    "short": (tomllib.loads(SHORT_LIVED), START),
    "waived": (tomllib.loads(WAIVED), START),
    "western": (tomllib.loads(WESTERN), START),
    "busy": (tomllib.loads(BUSY), START),
    "busy, best": (
        tomllib.loads(BUSY.replace("[earning]", '[earning]\nstacking = "best"')),
        START,
    ),
    "busy, pending": (
        tomllib.loads(BUSY.replace("[points]", '[points]\npending = true\ndebt = "waive"')),
        START,
    ),
    "retail": (shipped("retail"), START),
    "enterprise": (shipped("enterprise"), datetime(2026, 5, 9, 9, 30, tzinfo=UTC)),
}


# Changes of a programme in mid-life: what each does to the rules in force.

Change = Callable[[dict[str, Any]], None]


def setting(section: str, name: str, value: Any) -> Change:
    """One setting of a section that may not be there yet."""

    def change(rules: dict[str, Any]) -> None:
        rules.setdefault(section, {})[name] = value

    return change


def where_on(section: str, name: str, value: Any) -> Change:
    """One setting of a section, if that is there."""

    def change(rules: dict[str, Any]) -> None:
        if section in rules:
            rules[section][name] = value

    return change


def without(section: str) -> Change:
    """A section is switched off."""

    def change(rules: dict[str, Any]) -> None:
        rules.pop(section, None)

    return change


def pending_through(days: int) -> Change:
    """Order points wait for a return window."""

    def change(rules: dict[str, Any]) -> None:
        rules["points"]["pending"] = True
        rules["returns"] = {"window_days": days}

    return change


def campaign(code: str, **what: Any) -> Change:
    """A campaign more, of the whole year unless said."""

    def change(rules: dict[str, Any]) -> None:
        whole = {
            "code": code,
            "from": "2026-01-01T00:00:00+00:00",
            "until": "2027-01-01T00:00:00+00:00",
        }
        others = [one for one in rules.get("campaigns", []) if one["code"] != code]
        rules["campaigns"] = [*others, whole | what]

    return change


def each_tier(**settings: Any) -> Change:
    """Other settings of every tier above the first; None: as if it were not written."""

    def change(rules: dict[str, Any]) -> None:
        for tier in rules.get("tiers", [])[1:]:
            tier.update(settings)

    return change


def each_extension(when: str) -> Change:
    """When the tiers are prolonged."""

    def change(rules: dict[str, Any]) -> None:
        for tier in rules.get("tiers", []):
            if "extension" in tier:
                tier["extension"]["when"] = when

    return change


CHANGES: dict[str, Change] = {
    "rate 2.7": setting("earning", "rate", "2.7"),
    "rate 0.333": setting("earning", "rate", "0.333"),
    "nothing is earned": setting("earning", "rate", "0"),
    "best": setting("earning", "stacking", "best"),
    "multiply": setting("earning", "stacking", "multiply"),
    "baby excluded": setting("earning", "excluded_product_lines", ["baby"]),
    "cap of 250": setting("points", "daily_earning_cap", 250),
    "no cap": setting("points", "daily_earning_cap", 0),
    "pending": pending_through(5),
    "at once": setting("points", "pending", False),
    "pending for long": pending_through(20),
    "waive": setting("points", "debt", "waive"),
    "allow": setting("points", "debt", "allow"),
    "18 months": setting("points", "validity", {"months": 18}),
    "2 months": setting("points", "validity", {"months": 2}),
    "no expiry": setting("points", "validity", "none"),
    "to the end of the quarter": setting("points", "align_expiry", "quarter"),
    "restored for 60 days": setting("points", "restored_min_days", 60),
    "a point is worth more": setting("points", "value", "0.25"),
    "steps of 50": setting("redemption", "step", 50),
    "no gifts": without("spend_gifts"),
    "no second order": without("second_order"),
    "newcomers get 33": setting("newcomer", "points", 33),
    "one referral a month": where_on("referral", "monthly_limit", 1),
    "referrals of 40": where_on("referral", "referrer_points", 40),
    "refunds freeze": setting(
        "guard_rails", "refund_ratio", {"over": "0.10", "after_orders": 1, "action": "freeze"}
    ),
    "phones freeze": setting(
        "guard_rails",
        "referees_per_phone_prefix",
        {"digits": 6, "limit": 1, "action": "freeze"},
    ),
    "phones delay": setting(
        "guard_rails",
        "referees_per_phone_prefix",
        {"digits": 13, "limit": 0, "action": "delay"},
    ),
    "bonus of 77": campaign("a_bonus", bonus=77),
    "bonus in stores": campaign("b_bonus", bonus=13, only={"channels": ["store"]}),
    "bonus on activities": campaign("act_bonus", bonus=4, applies_to="activity"),
    "threefold food": campaign("food", multiplier="3", only={"product_lines": ["food"]}),
    "threefold baby in Hamburg": campaign(
        "hamburg", multiplier="3", only={"product_lines": ["baby"], "stores": ["s-hamburg"]}
    ),
    "half": campaign("half", multiplier="0.5", applies_to="both"),
    "double for new ones": campaign(
        "newest", multiplier="2", applies_to="both", only={"lifecycle": ["new"]}
    ),
    "tiers are kept easily": each_tier(keep={"spend": "50.00", "repurchases": 1}),
    "tiers are hardly kept": each_tier(keep={"spend": "5000.00", "repurchases": 9}),
    "tiers last for 2 months": each_tier(months=2, extension={"repurchases": 2, "months": 1}),
    "tiers last for a year": each_tier(months=12, extension={"repurchases": 4, "months": 12}),
    "extended at once": each_extension("always"),
    "extended at the end": each_extension("lapse"),
    "reviewed on the 15th": where_on("levels", "review_day", 15),
    "orders make the score": where_on("levels", "points_per_order", 20),
    "money hardly makes it": where_on("levels", "spend_per_point", "400"),
    "core for little": where_on("segments", "core", {"spend": "10.00"}),
    "nobody is core": where_on("segments", "core", {"repurchases": 10_000}),
    "won back for long": where_on("lifecycle", "won_back_days", 300),
    "stable at once": where_on("lifecycle", "stable", {"months": 1, "orders": 1}),
}


def as_json(rules: dict[str, Any]) -> str:
    """The rules in the other form that the product reads."""
    return json.dumps(rules, default=lambda moment: moment.isoformat())


# What happens

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
            "product_line": st.sampled_from(["baby", "food", "tobacco", "tools", None]),
            "amount": st.sampled_from(["0.00", "1.00", "33.33", "100.00"]).map(Decimal),
        }
    ),
    max_size=3,
)

places = st.fixed_dictionaries(
    {
        "channel": st.sampled_from([None, "store", "web", "app"]),
        "store_id": st.sampled_from([None, "s-hamburg", "s-1"]),
    }
)

PHONES = ("+8613800000001", "+8613800000002", "+4915100000003")

somebody = st.integers(0, MEMBERS_MOST - 1)
"""The place of a member, counted round where there are fewer."""

NO_CODE = "no code"
UNKNOWN_CODE = "QQQQQQ"
wishes = st.one_of(
    st.sampled_from(["all", "half"]),
    st.sampled_from(["all", "half"]),
    st.integers(1, 12).map(lambda hundreds: hundreds * 100),
    st.integers(1, 1_000),
)
"""Points that somebody wants to redeem: what there is, or what comes to mind."""

codes = st.one_of(st.just(NO_CODE), st.just(NO_CODE), somebody, somebody, st.just(UNKNOWN_CODE))


class Lives(RuleBasedStateMachine):
    """Members of one programme, in the ledger and in the oracle."""

    new_database: Callable[[], str]
    happened: ClassVar[Counter[str]]
    programmes: ClassVar[list[str]] = sorted(PROGRAMMES)

    orders = Bundle("orders")
    reservations = Bundle("reservations")

    def __init__(self) -> None:
        super().__init__()
        self.database = Database(type(self).new_database())
        self.now = START
        self.start = START
        self.ledger = Ledger(self.database, lambda: self.now)
        self.numbers = itertools.count(1)
        self.members: list[str] = []
        self.proved: dict[str, int] = {}

    def teardown(self) -> None:
        self.database.close()

    @initialize(
        target=orders,
        name=st.runner().flatmap(lambda life: st.sampled_from(life.programmes)),
        bought=st.lists(st.integers(200, 3_000), max_size=4),
    )
    def open(self, name: str, bought: list[int]) -> Any:
        """Two members, who have mostly bought something: without points little can happen."""
        self.rules, self.now = copy.deepcopy(PROGRAMMES[name])
        self.start = self.now
        self.oracle = Oracle(self.rules)
        self.ledger.publish(
            read_programme(as_json(self.rules), format="json"),
            effective_at=self.now,
            actor=OFFICE,
        )
        for phone, email in ((PHONES[0], None), (None, "li@example.com")):
            assert self.enrol_somebody(timedelta(), None, phone, email) == "ok"
        placed = []
        for place, amount in enumerate(bought):
            order_id = f"o-{next(self.numbers)}"
            placed.append(self.buys(self.member_at(place), order_id, Decimal(amount), self.now))
        return multiple(*placed)

    # Asking both

    def handle(self, command: r.Command) -> r.Outcome:
        return self.ledger.handle([r.Request(command=command, actor=TILL)])[0]

    def agree(self, outcome: r.Outcome, result: Result) -> bool:
        """Both allow it, or both refuse it for the same reason; whether they allow it."""
        code = outcome.body["code"] if outcome.status >= 400 else "ok"
        assert code == result.code, (outcome.body, result)
        self.happened[code] += 1
        return code == "ok"

    def past(self, late: timedelta) -> datetime:
        return max(self.now - late, self.start)

    def member_at(self, place: int) -> str:
        return self.members[place % len(self.members)]

    def code_of(self, whose: int | str) -> str | None:
        """The referral code of a member; or none, or one that nobody has."""
        if isinstance(whose, int):
            member = self.oracle.state.members[self.member_at(whose)]
            return member.referral_code
        return None if whose == NO_CODE else whose

    def note(self, *what: str) -> None:
        self.happened.update(what)

    # Rules

    @rule(
        passing=st.one_of(
            st.integers(1, 1_200).map(lambda seconds: timedelta(seconds=seconds)),
            st.integers(1, 45).map(lambda days: timedelta(days=days)),
            st.sampled_from([timedelta(days=365), timedelta(days=100), timedelta(minutes=15)]),
        )
    )
    def time_passes(self, passing: timedelta) -> None:
        self.now += passing

    @rule(
        late=late_by,
        whose_code=codes,
        phone=st.sampled_from([None, *PHONES, "138 0000-0001"]),
        email=st.sampled_from([None, None, "li@example.com", "LI@example.com"]),
    )
    def enrol(
        self, late: timedelta, whose_code: int | str, phone: str | None, email: str | None
    ) -> None:
        if len(self.members) < MEMBERS_MOST:
            self.enrol_somebody(late, self.code_of(whose_code), phone, email)

    def enrol_somebody(
        self, late: timedelta, code: str | None, phone: str | None, email: str | None
    ) -> str:
        member_id = f"m-{next(self.numbers)}"
        at = self.past(late)
        outcome = self.handle(
            r.Enrol(member_id=member_id, joined_at=at, referral_code=code, phone=phone, email=email)
        )
        result = self.oracle.enrol(
            self.now, member_id, occurred_at=at, referral_code=code, phone=phone, email=email
        )
        if self.agree(outcome, result):
            self.welcome(member_id)
            assert outcome.body["referral_code"] == self.code_of(len(self.members) - 1)
            self.same_issued(outcome.body, result)
            self.same_referral(outcome.body, result)
        return result.code

    def welcome(self, member_id: str) -> None:
        """The member's code is made by chance: the oracle is told."""
        self.members.append(member_id)
        code = self.ledger.member(member_id)["referral_code"]
        self.oracle.set_referral_code(member_id, code)

    @rule(
        target=orders,
        member=somebody,
        amount=amounts,
        late=late_by,
        items=item_lists,
        place=places,
        funded_by=st.sampled_from([None, None, "bank"]),
        whose_code=codes,
        unknown=st.sampled_from([False, False, False, True]),
    )
    def accrue(
        self,
        member: int,
        amount: Decimal,
        late: timedelta,
        items: list[dict[str, Any]],
        place: dict[str, Any],
        funded_by: str | None,
        whose_code: int | str,
        unknown: bool,
    ) -> Any:
        number = next(self.numbers)
        is_new = unknown and len(self.members) < MEMBERS_MOST
        member_id = f"m-{number}" if is_new else self.member_at(member)
        return self.buys(
            member_id,
            f"o-{number}",
            amount,
            self.past(late),
            items=items,
            funded_by=funded_by,
            referral_code=self.code_of(whose_code),
            **place,
        )

    def buys(
        self,
        member_id: str,
        order_id: str,
        amount: Decimal,
        at: datetime,
        *,
        items: Iterable[dict[str, Any]] = (),
        **more: Any,
    ) -> Any:
        items = list(items)
        command = r.Accrue(
            member_id=member_id,
            order_id=order_id,
            amount=amount,
            occurred_at=at,
            items=[OrderItem(**item) for item in items],
            **more,
        )
        is_known = member_id in self.members
        quoted = self.quoted(command) if is_known else None
        outcome = self.handle(command)
        result = self.oracle.accrue(
            self.now, member_id, order_id, amount, occurred_at=at, items=items, **more
        )
        if not self.agree(outcome, result):
            return multiple()
        if not is_known:
            self.welcome(member_id)
            self.note("enrolled by an order")
        self.same_points(outcome.body, result)
        self.same_issued(outcome.body, result)
        self.same_referral(outcome.body, result)
        self.same_tier(outcome.body, result, member_id, at)
        if quoted is not None:
            assert quoted["points"] == result.points
            assert _rows(quoted["breakdown"]) == _rows(outcome.body["breakdown"])
            assert sorted(quoted["issues"]) == sorted(result.issued)
        return order_id

    def quoted(self, command: r.Accrue) -> dict[str, Any] | None:
        """The quote for an order, or None where it is refused as the order will be."""
        try:
            return self.ledger.preview(r.Request(command=command, actor=TILL))
        except Refusal as refusal:
            outcome = self.handle(command)
            assert outcome.status >= 400, f"refused as a quote only: {refusal}"
            return None

    @rule(
        member=somebody,
        activity=st.sampled_from(
            ["check_in", "share", "review", "vote", "event", "workshop", "chat", "survey", "dance"]
        ),
        reference=st.sampled_from(["x-1", "x-2", "x-1", None]),
        late=late_by,
        place=places,
        again=st.integers(1, 4),
    )
    def takes_part(
        self,
        member: int,
        activity: str,
        reference: str | None,
        late: timedelta,
        place: dict[str, Any],
        again: int,
    ) -> None:
        member_id = self.member_at(member)
        at = self.past(late)
        for _ in range(again):
            activity_id = f"act-{next(self.numbers)}"
            outcome = self.handle(
                r.Activity(
                    member_id=member_id,
                    activity=activity,
                    activity_id=activity_id,
                    occurred_at=at,
                    reference=reference,
                    **place,
                )
            )
            result = self.oracle.activity(
                self.now,
                member_id,
                activity,
                activity_id,
                occurred_at=at,
                reference=reference,
                **place,
            )
            if not self.agree(outcome, result):
                return
            self.same_points(outcome.body, result)
            self.same_issued(outcome.body, result)
            assert outcome.body["reason"] == result.reason
            self.note(f"activity: {result.reason}")

    @rule(
        target=reservations,
        member=somebody,
        points=wishes,
        order=st.one_of(st.none(), orders, orders),
        is_own=st.sampled_from([True, True, True, False]),
        order_amount=st.sampled_from(["100.00", "9999.00", "99999.00"]).map(Decimal),
        reserve=st.booleans(),
        late=late_by,
    )
    def redeem(
        self,
        member: int,
        points: int | str,
        order: str | None,
        is_own: bool,
        order_amount: Decimal,
        reserve: bool,
        late: timedelta,
    ) -> Any:
        member_id = self.member_at(member)
        if order is not None and is_own:
            member_id = self.oracle.state.orders[order].member.member_id
        order_id = order or f"unknown-{next(self.numbers)}"
        wanted = self.wanted(member_id, points)
        return self.redeems(member_id, wanted, order_id, order_amount, reserve, self.past(late))

    def wanted(self, member_id: str, points: int | str) -> int:
        """So many points; or all, or half of what there is, in the programme's steps."""
        if isinstance(points, int):
            return points
        there = self.oracle.member(member_id, self.now)["balance"]["available"]
        step: int = self.rules["redemption"]["step"]
        return max(step, there // (1 if points == "all" else 2) // step * step)

    def redeems(
        self,
        member_id: str,
        points: int,
        order_id: str,
        order_amount: Decimal,
        reserve: bool,
        at: datetime,
    ) -> Any:
        redemption_id = f"r-{next(self.numbers)}"
        outcome = self.handle(
            r.Redeem(
                member_id=member_id,
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
            member_id,
            redemption_id,
            points,
            order_id,
            order_amount,
            reserve=reserve,
            occurred_at=at,
        )
        return redemption_id if self.agree(outcome, result) else multiple()

    @rule(
        target=orders,
        member=somebody,
        buyer=st.one_of(st.none(), st.none(), somebody),
        points=wishes,
        amount=amounts,
        late=late_by,
    )
    def pays_with_points(
        self, member: int, buyer: int | None, points: int | str, amount: Decimal, late: timedelta
    ) -> Any:
        """Points are set aside at the till, then the order is paid: by the same, or by another."""
        member_id = self.member_at(member)
        order_id = f"o-{next(self.numbers)}"
        at = self.past(late)
        wanted = self.wanted(member_id, points)
        reserved = self.redeems(member_id, wanted, order_id, Decimal("9000.00"), True, self.now)
        paid_with = [reserved] if isinstance(reserved, str) else []
        buyer_id = member_id if buyer is None else self.member_at(buyer)
        return self.buys(buyer_id, order_id, amount, at, redemption_ids=paid_with)

    @rule(redemption=consumes(reservations), points=st.sampled_from([None, None, 100, 200, 150]))
    def capture(self, redemption: str, points: int | None) -> None:
        outcome = self.handle(r.Capture(redemption_id=redemption, points=points))
        self.agree(outcome, self.oracle.capture(self.now, redemption, points))

    @rule(redemption=consumes(reservations))
    def release(self, redemption: str) -> None:
        outcome = self.handle(r.Release(redemption_id=redemption))
        self.agree(outcome, self.oracle.release(self.now, redemption))

    @rule(
        order=orders,
        part=st.one_of(
            st.just(Decimal(1)), st.just(Decimal(1)), st.decimals("0.00", "1.1", places=2)
        ),
        late=st.one_of(st.just(timedelta()), st.just(timedelta()), late_by),
    )
    def refund(self, order: str, part: Decimal, late: timedelta) -> None:
        paid = self.oracle.state.orders[order].amount
        amount = (paid * part).quantize(Decimal("0.01"))
        at = self.past(late)
        refund_id = f"f-{next(self.numbers)}"
        outcome = self.handle(
            r.Refund(refund_id=refund_id, order_id=order, amount=amount, occurred_at=at)
        )
        result = self.oracle.refund(self.now, refund_id, order, amount, occurred_at=at)
        if self.agree(outcome, result):
            answer = outcome.body
            assert answer["points_clawed_back"] == result.clawed_back
            assert answer["points_restored"] == result.restored
            assert answer["debt"] == result.debt
            assert answer["waived"] == result.waived
            self.note(*(name for name in ("debt", "waived", "restored") if getattr(result, name)))

    @rule(member=somebody, points=st.integers(-800, 800), late=late_by)
    def adjust(self, member: int, points: int, late: timedelta) -> None:
        if points == 0:
            return
        member_id = self.member_at(member)
        adjustment_id = f"a-{next(self.numbers)}"
        at = self.past(late)
        outcome = self.handle(
            r.Adjust(
                member_id=member_id,
                adjustment_id=adjustment_id,
                points=points,
                reason="goodwill",
                occurred_at=at,
            )
        )
        result = self.oracle.adjust(self.now, member_id, adjustment_id, points, occurred_at=at)
        self.agree(outcome, result)

    @rule(member=somebody, what=st.sampled_from(["unfreeze"] * 9 + ["freeze"] * 3 + ["close"]))
    def change_status(self, member: int, what: str) -> None:
        member_id = self.member_at(member)
        command = {"freeze": r.Freeze, "unfreeze": r.Unfreeze, "close": r.Close}[what]
        outcome = self.handle(command(member_id=member_id, reason="checking"))
        self.agree(outcome, getattr(self.oracle, what)(self.now, member_id))

    @rule()
    def run_the_jobs(self) -> None:
        self.run_jobs_for_due_members()
        assert self.run_jobs_for_due_members() == 0  # a repeat finds nothing more to do
        self.oracle.lapse(self.now)
        self.oracle.release_pending(self.now)
        self.oracle.expire(self.now)
        self.run_reviews(self.now)

    @rule(late=late_by)
    def reviews(self, late: timedelta) -> None:
        """Tiers and levels are reviewed as of now, or of a moment before."""
        self.run_reviews(self.past(late))

    def run_reviews(self, as_of: datetime) -> None:
        tiers, levels = self.run_reviews_for_due_members(as_of)
        assert tiers == self.oracle.review_tiers(as_of)
        assert levels == self.oracle.review_levels(as_of)
        assert self.run_reviews_for_due_members(as_of) == (0, 0)

    def run_reviews_for_due_members(self, as_of: datetime) -> tuple[int, int]:
        """How many reviews of tiers, and of levels."""
        affected: Counter[str] = Counter()
        for name, due, command in (
            ("tiers", self.ledger.due_for_tier_review, r.ReviewTiers),
            ("levels", self.ledger.due_for_level_review, r.ReviewLevels),
        ):
            for member_id in due(as_of, None, 100):
                outcome = self.handle(command(member_id=member_id, as_of=as_of))
                assert outcome.status == 200
                affected[name] += outcome.body["affected"]
        return affected["tiers"], affected["levels"]

    def run_jobs_for_due_members(self) -> int:
        affected = 0
        for due, command in (
            (self.ledger.due_for_lapse, r.LapseReservations),
            (self.ledger.due_for_release, r.ReleasePending),
            (self.ledger.due_for_expiry, r.ExpirePoints),
        ):
            for member_id in due(self.now, None, 100):
                outcome = self.handle(command(member_id=member_id, as_of=self.now))
                assert outcome.status == 200
                affected += outcome.body["affected"]
        return affected

    @rule(
        names=st.lists(st.sampled_from(sorted(CHANGES)), min_size=1, max_size=3),
        effective_in=st.one_of(
            st.just(timedelta()),
            st.integers(-40, 40).map(lambda days: timedelta(days=days)),
        ),
    )
    def publish(self, names: list[str], effective_in: timedelta) -> None:
        """Other rules, in force from a moment past, present or to come."""
        self.publishes([CHANGES[name] for name in names], self.now + effective_in)

    def publishes(self, changes: Iterable[Change], effective_at: datetime) -> None:
        rules = copy.deepcopy(self.rules)
        for change in changes:
            change(rules)
        outcome = self.ledger.publish(
            read_programme(as_json(rules), format="json"), effective_at=effective_at, actor=OFFICE
        )
        assert outcome.status in (200, 201), outcome.body
        self.oracle.publish(rules, effective_at, self.now)
        self.rules = rules

    # What must be the same

    def same_points(self, answer: dict[str, Any], result: Result) -> None:
        assert answer["points"] == result.points
        assert sum(row["points"] for row in answer["breakdown"]) == result.points
        assert _rows(answer["breakdown"]) == [row for row in result.breakdown if row[1] != 0]
        self.note(*(f"row {name.partition(':')[0]}" for name, points in result.breakdown if points))

    def same_issued(self, answer: dict[str, Any], result: Result) -> None:
        issued = [one.get("template") or one["gift"] for one in answer["issued"]]
        assert sorted(issued) == sorted(result.issued)
        self.note(*("something issued" for _ in issued))

    def same_referral(self, answer: dict[str, Any], result: Result) -> None:
        referral = answer["referral"]
        told = None if referral is None else (referral["status"], referral["reason"])
        assert told == result.referral
        if told is not None:
            self.note(f"referral: {told[1] or told[0]}")

    def same_tier(
        self, answer: dict[str, Any], result: Result, member_id: str, at: datetime
    ) -> None:
        """The answer tells of an upgrade, or else of the tier that held at the order's time."""
        told = answer["tier"]
        if result.tier is not None:
            assert (told["from"], told["code"], told["changed"]) == (*result.tier, True)
            return
        code = self.oracle.standing(self.oracle.state.members[member_id], "tier", at)
        assert told == (None if code is None else {"code": code, "changed": False})

    @invariant()
    def members_agree(self) -> None:
        for member_id in self.members:
            ours = self.ledger.member(member_id)
            theirs = self.oracle.member(member_id, self.now)
            balance = ours["balance"]
            assert balance == theirs["balance"], member_id
            assert ours["status"] == theirs["status"], member_id
            assert _our_lots(ours) == _their_lots(theirs), member_id
            for name, total in theirs["totals"].items():
                assert str(ours["totals"][name]) == str(total), (member_id, name)
            assert min(balance.values()) >= 0
            assert sum(lot["remaining"] for lot in ours["lots"]) == (
                balance["available"] + balance["pending"]
            )
            assert ours["flags"] == theirs["flags"], member_id
            for kind in ("level", "segment", "lifecycle"):
                assert ours[kind] == theirs[kind], (member_id, kind)
            assert ours["tier"] == _shown(theirs["tier"]), member_id
            if self.proved.get(member_id) != ours["version"]:
                self.events_agree(member_id, theirs)
                self.reviews_agree(member_id, theirs)
                self.state_equals_replay(member_id, ours)
                self.proved[member_id] = ours["version"]
            self.note(*(f"flag {name}" for name in theirs["flags"]))
            self.note(*(["pending"] if balance["pending"] else []))

    def events_agree(self, member_id: str, theirs: dict[str, Any]) -> None:
        """Coupons and refused referrals, which only the log tells of in whole."""
        coupons: dict[str, tuple[str, str]] = {}
        refusals = []
        for recorded in self.ledger.events_of(member_id):
            event: Any = recorded.event
            if event.TOPIC == "CouponIssued":
                assert event.code not in coupons
                coupons[event.code] = (event.template, "issued")
            elif event.TOPIC == "CouponVoided":
                assert coupons[event.code] == (event.template, "issued")
                coupons[event.code] = (event.template, "voided")
                self.note("coupon voided")
            elif event.TOPIC == "ReferralRefused":
                refusals.append(event.reason)
                self.note(f"refused: {event.reason}")
            elif event.TOPIC in ("ReferralRewarded", "ReferralReversed"):
                self.note(event.TOPIC)
        assert sorted(coupons.values()) == theirs["coupons"], member_id
        assert refusals == theirs["referral_refusals"], member_id

    def reviews_agree(self, member_id: str, theirs: dict[str, Any]) -> None:
        """Every upgrade and every review, in the order of recording, with what it corrects."""
        tiers: list[tuple[Any, ...]] = []
        levels = []
        places: dict[int, int] = {}
        for recorded in self.ledger.events_of(member_id):
            event: Any = recorded.event
            if event.TOPIC in TIER_EVENTS:
                places[recorded.originator_version] = len(tiers)
                corrects = getattr(event, "corrects", None)
                tiers.append(
                    (
                        TIER_EVENTS[event.TOPIC],
                        event.from_tier if event.TOPIC == "TierUpgraded" else event.tier,
                        event.tier if event.TOPIC in _SAME_TIER else event.to_tier,
                        event.occurred_at,
                        event.until,
                        None if corrects is None else places[corrects],
                    )
                )
            elif event.TOPIC == "LevelReviewed":
                assert event.occurred_at == self.oracle.midnight(event.on)
                levels.append(tuple(getattr(event, name) for name in _LEVEL_REVIEW))
        expected = [tuple(vars(one).values()) for one in theirs["tier_events"]]
        assert tiers == expected, member_id
        reviews = theirs["level_reviews"]
        assert levels == [tuple(vars(one).values()) for one in reviews], member_id
        self.note_reviews(theirs["tier_events"], reviews)

    def note_reviews(self, tiers: list[TierEvent], levels: list[LevelReview]) -> None:
        for number, event in enumerate(tiers):
            self.note(f"tier {event.kind}")
            self.note(*(["tier corrected"] if event.corrects is not None else []))
            ladder = [tier["code"] for tier in self.rules["tiers"]]
            if event.kind == "upgraded":
                steps = ladder.index(event.to_tier) - ladder.index(event.from_tier)
                self.note(*(["tier jump"] if steps > 1 else []))
                lost = [e.from_tier for e in tiers[:number] if e.kind == "downgraded"]
                self.note(*(["tier regained"] if event.to_tier in lost else []))
            elif event.kind == "extended":
                at_end = event.occurred_at == self.oracle.midnight(
                    self.oracle.local_date(event.occurred_at)
                )
                self.note(f"tier extended at {'the end' if at_end else 'once'}")
        for review in levels:
            self.note(f"level {review.level}", f"segment {review.segment}")
            self.note(f"lifecycle {review.lifecycle}")

    def state_equals_replay(self, member_id: str, served: dict[str, Any]) -> None:
        assert self.ledger.replay(member_id) == served
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


TIER_EVENTS = {
    "TierUpgraded": "upgraded",
    "TierRenewed": "renewed",
    "TierExtended": "extended",
    "TierDowngraded": "downgraded",
}
_LEVEL_REVIEW = [one.name for one in fields(LevelReview)]
_SAME_TIER = ("TierRenewed", "TierExtended")


def _shown(tier: dict[str, Any] | None) -> dict[str, Any] | None:
    """The oracle's tier as the ledger shows it."""
    if tier is None:
        return None
    return {name: v.isoformat() if isinstance(v, date) else v for name, v in tier.items()}


def _rows(breakdown: list[dict[str, Any]]) -> list[tuple[str, int]]:
    """The rows that come to something."""
    return [(row["rule"], row["points"]) for row in breakdown if row["points"] != 0]


def _our_lots(member: dict[str, Any]) -> Counter[Any]:
    """Points by origin, status and last day: how a restoration splits them is not compared."""
    lots: Counter[Any] = Counter()
    for lot in member["lots"]:
        key = (
            lot["source"],
            lot["order_id"],
            datetime.fromisoformat(lot["earned_at"]),
            lot["expires_on"],
            lot["status"],
            lot["funded_by"],
        )
        lots[key] += lot["remaining"]
    return lots


def _their_lots(member: dict[str, Any]) -> Counter[Any]:
    lots: Counter[Any] = Counter()
    for source, order_id, _granted, left, earned_at, expires_on, status, funder in member["lots"]:
        last_day = expires_on.isoformat() if expires_on else None
        lots[source, order_id, earned_at, last_day, status, funder] += left
    return lots


class LongLives(Lives):
    """Lives of years, in which tiers and levels are won, kept and lost."""

    programmes: ClassVar[list[str]] = sorted(LADDERS)

    @rule(weeks=st.integers(1, 9), reviewed=st.sampled_from(["weekly", "at the end", "never"]))
    def weeks_pass(self, weeks: int, reviewed: str) -> None:
        for week in range(weeks):
            self.now += timedelta(days=7)
            if reviewed == "weekly" or (reviewed == "at the end" and week == weeks - 1):
                self.run_reviews(self.now)

    @rule(months=st.sampled_from([3, 7, 13]), reviewed=st.booleans())
    def months_pass(self, months: int, reviewed: bool) -> None:
        """Much later: what was missed is caught up, or left for later still."""
        self.now += timedelta(days=30 * months)
        if reviewed:
            self.run_reviews(self.now)

    @rule(
        target=Lives.orders,
        member=st.integers(0, 1),
        amounts=st.lists(st.integers(1, 900), min_size=1, max_size=4),
        days_late=st.one_of(st.just(0), st.integers(0, 100), st.integers(0, 800)),
        days_apart=st.integers(0, 20),
    )
    def buys_more(self, member: int, amounts: list[int], days_late: int, days_apart: int) -> Any:
        """Several orders, now or of a time long past."""
        placed = []
        for number, amount in enumerate(amounts):
            late = timedelta(days=max(0, days_late - days_apart * number))
            order_id = f"o-{next(self.numbers)}"
            member_id = self.member_at(member)
            placed.append(self.buys(member_id, order_id, Decimal(amount), self.past(late)))
            self.members_agree()
        return multiple(*(one for one in placed if isinstance(one, str)))

    @rule(
        member=st.integers(0, 1),
        at=st.sampled_from(["the last day", "the day after", "the review day"]),
        amount=st.integers(100, 2_000),
    )
    def buys_when_a_tier_ends(self, member: int, at: str, amount: int) -> None:
        """On the very days that matter, before or after the review."""
        tier = self.oracle.member(self.member_at(member), self.now)["tier"]
        if tier is None or tier["until"] is None:
            return
        day = tier["until"] + timedelta(days={"the last day": 0}.get(at, 1))
        moment = self.oracle.midnight(day) + timedelta(hours=10)
        if not self.now <= moment <= self.now + timedelta(days=400):
            return
        self.now = moment
        if at == "the review day":
            self.run_reviews(self.now)
        self.buys(self.member_at(member), f"o-{next(self.numbers)}", Decimal(amount), moment)

    @rule(
        member=st.integers(0, 1),
        after=st.sampled_from(["joining", "the last order", "the day before the last order"]),
        months=st.integers(1, 6),
        amount=st.one_of(st.none(), st.integers(1, 900)),
    )
    def exact_months_pass(self, member: int, after: str, months: int, amount: int | None) -> None:
        """Until the very day on which idle time, or a window, ends or does not end yet."""
        account = self.oracle.state.members[self.member_at(member)]
        days = [order.day for order in account.orders]
        if after == "joining" or not days:
            day = self.oracle.local_date(account.joined_at)
        else:
            day = max(days) - timedelta(days=1 if after.startswith("the day") else 0)
        moment = self.oracle.midnight(add_months(day, months)) + timedelta(hours=11)
        if moment < self.now:
            return
        self.now = moment
        if amount is not None:
            order_id = f"o-{next(self.numbers)}"
            self.buys(account.member_id, order_id, Decimal(amount), moment)


def lives_in(
    new_database: Callable[[], str], happened: Counter[str], kind: type[Lives] = Lives
) -> type[Lives]:
    """The machine, with databases for its lives and somewhere to note what happened in them."""
    return type(
        "LivesHere",
        (kind,),
        {"new_database": staticmethod(new_database), "happened": happened},
    )


def live(new_database: Callable[[], str], lives: int, kind: type[Lives] = Lives) -> Counter[str]:
    """So many lives; what happened in them, and how often."""
    happened: Counter[str] = Counter()
    machine = lives_in(new_database, happened, kind)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=lives,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
            print_blob=True,
        ),
    )
    return happened


def test_any_life_is_the_same_in_the_ledger_and_in_the_oracle(
    new_database: Callable[[], str],
) -> None:
    assert live(new_database, LIVES)["ok"] > LIVES


def test_any_life_of_years_is_the_same_in_the_ledger_and_in_the_oracle(
    new_database: Callable[[], str],
) -> None:
    assert live(new_database, max(1, LIVES // 2), LongLives)["tier upgraded"] > LIVES // 4


@pytest.mark.slow
def test_many_lives_of_years_are_the_same_and_everything_happens_in_them(
    new_database: Callable[[], str],
) -> None:
    happened = live(new_database, max(LIVES, 300), LongLives)
    assert {
        "tier upgraded",
        "tier jump",
        "tier regained",
        "tier renewed",
        "tier extended at the end",
        "tier extended at once",
        "tier downgraded",
        "tier corrected",
        "level ordinary",
        "level active",
        "level loyal",
        "segment core",
        "segment potential",
        "segment dormant",
        "segment basic",
        "lifecycle dormant",
        "lifecycle lapsing",
        "lifecycle won_back",
        "lifecycle new",
        "lifecycle stable",
        "lifecycle growing",
    } - happened.keys() == set()


@pytest.mark.slow
def test_many_lives_are_the_same_and_everything_happens_in_them(
    new_database: Callable[[], str],
) -> None:
    happened = live(new_database, max(LIVES, 600))
    assert {
        "ok",
        "insufficient_points",
        "below_minimum",
        "not_a_multiple",
        "over_order_share",
        "not_eligible",
        "not_found",
        "invalid_request",
        "refund_exceeds_order",
        "reservation_over",
        "member_frozen",
        "member_closed",
        "debt",
        "restored",
        "pending",
        "enrolled by an order",
        "row spend",
        "row level",
        "row campaign",
        "row bonus",
        "row activity",
        "row cap",
        "something issued",
        "coupon voided",
        "activity: None",
        "activity: once_per_day",
        "activity: once_per_order",
        "activity: once_per_reference",
        "activity: max_per_day",
        "activity: daily_earning_cap",
        "referral: accepted",
        "referral: same_phone",
        "referral: same_email",
        "referral: same_member",
        "referral: already_referred",
        "referral: not_first_order",
        "ReferralRewarded",
        "flag refund_ratio",
    } - happened.keys() == set()


def test_what_chance_brings_too_seldom_is_the_same_too(new_database: Callable[[], str]) -> None:
    happened: Counter[str] = Counter()
    life = lives_in(new_database, happened)()
    at_once, hundred = timedelta(), Decimal("100.00")
    try:
        life.open("busy, pending", [])
        first = life.code_of(0)
        for number in range(3):  # m-3, m-4, m-5: two rewards a month, and one phone too many
            assert life.enrol_somebody(at_once, first, PHONES[1], f"{number}@example.com") == "ok"
            life.members_agree()
        referees = life.members[2:]
        for member_id in referees:
            life.buys(member_id, f"first-of-{member_id}", hundred, life.now)
            life.members_agree()
        # whom the first one brought can't bring the first one
        life.buys("m-1", "by-loop", hundred, life.now, referral_code=life.code_of(2))
        life.members_agree()
        life.buys("m-2", "by-m-2", hundred, life.now, referral_code=life.code_of(2))
        # the reward is spent, then the first order comes back in two parts: nothing is owed
        life.redeems("m-1", life.wanted("m-1", "all"), "spent", Decimal("9000.00"), False, life.now)
        life.members_agree()
        for part in ("0.40", "0.60"):
            life.refund(f"first-of-{referees[0]}", Decimal(part), at_once)
            life.members_agree()
        # points that waited are spent, then the order comes back
        life.time_passes(timedelta(days=9))
        life.run_the_jobs()
        life.members_agree()
        wanted = life.wanted("m-2", "all")
        life.redeems("m-2", wanted, "spent-too", Decimal("9000.00"), False, life.now)
        life.refund("by-m-2", Decimal("1"), at_once)
        life.members_agree()
        # nobody is rewarded whose account is closed
        life.change_status(0, "close")
        life.buys("m-9", "o-9", hundred, life.now, referral_code=first)
        life.members_agree()
    finally:
        life.teardown()
    assert {
        "waived",
        "referral: loop",
        "refused: monthly_limit",
        "refused: referrer_closed",
        "flag referees_per_phone_prefix",
        "ReferralReversed",
        "enrolled by an order",
    } - happened.keys() == set()


class Step:
    """What somebody does on a day of a life, counted from its beginning."""

    def __init__(self, life: LongLives) -> None:
        self.life = life

    def on(self, day: int) -> None:
        self.life.now = self.life.start + timedelta(days=day)

    def buys(self, *amounts: int, of: int | None = None) -> None:
        """Orders, now or of an earlier day."""
        life = self.life
        at = life.now if of is None else life.start + timedelta(days=of)
        for amount in amounts:
            life.buys("m-1", f"o-{next(life.numbers)}", Decimal(amount), at)
            life.members_agree()

    def reviews(self) -> None:
        self.life.run_reviews(self.life.now)
        self.life.members_agree()

    def publishes(self, change: Change) -> None:
        self.life.publishes([change], self.life.now)
        self.life.members_agree()


def a_late_order_with_none_after_it(step: Step) -> None:
    step.buys(100, 100)
    step.on(100)
    step.reviews()
    step.buys(100, 100, of=70)


def a_late_order_that_reaches_one_tier_and_later_another(step: Step) -> None:
    step.buys(20)
    step.on(10)
    step.buys(100)
    step.on(20)
    step.buys(1)
    step.buys(500, of=5)


def a_late_order_of_the_second_of_another(step: Step) -> None:
    step.buys(100)
    step.on(1)
    step.buys(40)
    step.on(2)
    step.buys(1)
    step.buys(500, of=1)


def a_late_order_of_before_other_rules(step: Step) -> None:
    step.buys(10)
    step.on(10)
    step.publishes(each_tier(months=12))
    step.buys(60)
    step.buys(90, of=5)


def a_late_order_between_two_reviews_long_past(step: Step) -> None:
    step.buys(1_000, 1_000, 1_000, 1_000, 1_000)  # gold for 4 months, silver for 6, bronze for 3
    step.on(500)
    step.reviews()
    step.buys(2_000, 900, 50, 50, of=60)
    step.buys(10, of=200)
    step.buys(10, of=201)
    step.buys(300, 300, of=330)


def the_review_day_moves(step: Step) -> None:
    step.on(45)
    step.publishes(where_on("levels", "review_day", 15))
    step.on(85)
    step.reviews()
    step.publishes(where_on("levels", "review_day", 1))
    step.on(200)
    step.reviews()


def levels_are_switched_off_before_they_are_caught_up(step: Step) -> None:
    step.buys(300)
    step.on(75)

    def nothing_of_it(rules: dict[str, Any]) -> None:
        for section in ("levels", "segments", "lifecycle", "campaigns"):
            rules.pop(section)
        rules["earning"].pop("level_multipliers")
        rules["referral"].pop("doubled_for_levels")

    step.publishes(nothing_of_it)
    step.on(120)
    step.reviews()
    step.buys(300)


def rules_change_between_a_review_and_the_late_order_that_betters_it(step: Step) -> None:
    step.buys(100, 100)
    step.on(100)
    step.reviews()
    step.life.publishes([CHANGES["tiers are hardly kept"]], step.life.start + timedelta(days=60))
    step.buys(100, 100, of=70)
    step.life.publishes([CHANGES["tiers are kept easily"]], step.life.start + timedelta(days=60))
    step.buys(1, of=71)


@pytest.mark.parametrize("programme", sorted(LADDERS))
@pytest.mark.parametrize(
    "steps",
    [
        a_late_order_with_none_after_it,
        a_late_order_that_reaches_one_tier_and_later_another,
        a_late_order_of_the_second_of_another,
        a_late_order_of_before_other_rules,
        a_late_order_between_two_reviews_long_past,
        the_review_day_moves,
        levels_are_switched_off_before_they_are_caught_up,
        rules_change_between_a_review_and_the_late_order_that_betters_it,
    ],
)
def test_what_chance_brings_too_seldom_of_reviews_is_the_same_too(
    new_database: Callable[[], str], programme: str, steps: Callable[[Step], None]
) -> None:
    life = lives_in(new_database, Counter(), LongLives)()
    assert isinstance(life, LongLives)
    try:
        life.open(programme, [])
        steps(Step(life))
        life.run_reviews(life.now)
        life.members_agree()
    finally:
        life.teardown()
