"""The oracle against examples worked out by hand from PROGRAMME.md."""

from __future__ import annotations

import copy
import random
import sys
import tomllib
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from oracle import AMBIGUITIES, Oracle, expiry_date

RULES = """
programme = "retail"
currency = "CNY"
time_zone = "Asia/Shanghai"
[points]
value = "0.10"
validity = { years = 1 }
restored_min_days = 7
[earning]
rate = "1"
[earning.level_multipliers]
core = "1.2"
loyal = "1.2"
[earning.activities]
check_in = { points = 5, once_per = "day" }
share = { points = 10, max_per_day = 3 }
review = { points = 20, once_per = "order" }
vote = { points = 5, once_per = "reference" }
[second_order]
coupon = "second_order_90"
[[spend_gifts]]
threshold = "500.00"
coupon = "brand_gift"
[redemption]
step = 100
min = 100
max_order_share = "0.50"
reserve_seconds = 900
[returns]
window_days = 7
[levels]
bands = [ { code = "ordinary", from = 0 }, { code = "active", from = 51 } ]
"""

REFERRAL = """
[newcomer]
points = 50
coupon = "first_order"
[referral]
referrer_points = 100
referrer_coupon = "referral_20"
referee_coupon = "referee_80"
monthly_limit = 2
doubled_for_levels = ["loyal"]
"""


def at(text: str) -> datetime:
    """A local time of the programme."""
    return datetime.fromisoformat(text + "+08:00")


def money(text: str) -> Decimal:
    """An amount."""
    return Decimal(text)


def start(extra: str = "", **points: Any) -> Oracle:
    """An oracle with member m (enrolled 2024-01-01), with changes to [points]."""
    rules = tomllib.loads(RULES + extra)
    rules["points"].update(points)
    oracle = Oracle(rules)
    assert oracle.enrol(at("2024-01-01 00:00"), "m").code == "ok"
    return oracle


def balance(oracle: Oracle, now: str, member: str = "m") -> tuple[int, int, int, int]:
    """(available, pending, reserved, debt)."""
    found = oracle.member(member, at(now))["balance"]
    return found["available"], found["pending"], found["reserved"], found["debt"]


def total(oracle: Oracle, kind: str, member: str = "m") -> Any:
    """A total, by events only."""
    return oracle.member(member, at("2024-01-01 00:00"))["totals"][kind]


def buy(oracle: Oracle, when: str, order: str, amount: str, **more: Any) -> Any:
    """An order of member m, recorded when it happened."""
    return oracle.accrue(at(when), more.pop("member", "m"), order, money(amount), **more)


def offset(oracle: Oracle, when: str, name: str, points: int, **more: Any) -> Any:
    """A cash offset of member m on a large order named like the redemption."""
    order = more.pop("order", "on-" + name)
    amount = money(more.pop("amount", "10000.00"))
    return oracle.redeem(at(when), "m", name, points, order, amount, **more)


# ---------------------------------------------------------------------------------- 2 earning


def test_the_grant_of_178_points_explains_itself() -> None:
    oracle = start()
    oracle.set_level("m", at("2024-02-01 00:00"), "core")
    # 148.60 × 1.2 = 178.32: 178; the level's row is 178 − 148
    result = buy(oracle, "2024-05-01 12:00", "o1", "148.60")
    assert (result.points, result.breakdown) == (178, (("spend", 148), ("level:core", 30)))
    # as of its own time, when the level was not yet core
    late = buy(oracle, "2024-05-01 12:00", "o0", "148.60", occurred_at=at("2024-01-31 23:59"))
    assert late.points == 148


SCOPED = """
[[campaigns]]
code = "baby"
multiplier = "2"
only = { product_lines = ["baby"] }
"""
ITEMS = (
    {"sku": "A", "product_line": "baby", "amount": "200.00"},
    {"sku": "B", "product_line": "food", "amount": "100.00"},
)


@pytest.mark.parametrize(
    ("stacking", "rows"),
    [
        # shares 66.67 and 33.33; level: 120; campaign: 66.67 × 2.4 + 33.33 × 1.2 = 200
        ("multiply", (("spend", 100), ("level:core", 20), ("campaign:baby", 80))),
        # best: food 33.33 × 1.2 = 40, so 106.67 so far; baby 133.33: 173.33
        ("best", (("spend", 100), ("level:core", 6), ("campaign:baby", 67))),
    ],
)
def test_a_scoped_campaign_acts_on_shares(stacking: str, rows: tuple[tuple[str, int], ...]) -> None:
    oracle = start(SCOPED)
    oracle.versions[0][1]["earning"]["stacking"] = stacking
    oracle.set_level("m", at("2024-01-01 00:00"), "core")
    assert buy(oracle, "2024-05-01 12:00", "o1", "100.00", items=ITEMS).breakdown == rows
    assert buy(oracle, "2024-05-01 12:00", "o2", "100.00").points == 120
    free = tuple({**line, "amount": "0.00"} for line in ITEMS)
    assert buy(oracle, "2024-05-01 12:00", "o3", "100.00", items=free).points == 120


def test_excluded_lines_take_their_share_away() -> None:
    oracle = start()
    oracle.versions[0][1]["earning"]["excluded_product_lines"] = ["food"]
    # 99.99 × 200/300 = 66.66
    assert buy(oracle, "2024-05-01 12:00", "o1", "99.99", items=ITEMS).points == 66
    assert buy(oracle, "2024-05-01 12:00", "o2", "0.00").points == 0


CAMPAIGNS = """
[[campaigns]]
code = "gift"
bonus = 100
from = 2024-05-01T00:00:00+08:00
until = 2024-05-02T00:00:00+08:00
[[campaigns]]
code = "acts"
multiplier = "2"
applies_to = "activity"
from = 2024-05-01T00:00:00+08:00
until = 2024-05-02T00:00:00+08:00
"""


def test_the_daily_cap_cuts_bonuses_first_and_stays_consumed() -> None:
    oracle = start(CAMPAIGNS, daily_earning_cap=200)
    result = buy(oracle, "2024-05-01 12:00", "o1", "150.00")
    assert result.breakdown == (("spend", 150), ("bonus:gift", 100), ("cap", -50))
    # half refunded: should hold 75 + the bonus of 50
    half = oracle.refund(at("2024-05-01 13:00"), "f1", "o1", money("75.00"))
    assert half.clawed_back == 75
    assert buy(oracle, "2024-05-01 14:00", "o2", "10.00").points == 0
    rest = oracle.refund(at("2024-05-01 15:00"), "f2", "o1", money("75.00"))
    assert rest.clawed_back == 125
    assert buy(oracle, "2024-05-01 16:00", "o3", "10.00").points == 0
    assert buy(oracle, "2024-05-02 00:00", "o4", "10.00").points == 10


def test_activities_have_their_limits() -> None:
    oracle = start(CAMPAIGNS)

    def act(when: str, name: str, key: str, **more: Any) -> Any:
        return oracle.activity(at(when), "m", name, key, **more)

    assert act("2024-04-01 23:59", "check_in", "a1").points == 5
    over = act("2024-04-01 23:59", "check_in", "a2")
    assert (over.code, over.points) == ("ok", 0)
    assert over.reason is not None
    assert act("2024-04-02 00:00", "check_in", "a3").points == 5
    assert [act("2024-04-02 09:00", "share", f"s{i}").points for i in range(4)] == [10, 10, 10, 0]
    assert act("2024-04-02 09:00", "review", "r1", reference="o1").points == 20
    assert act("2024-04-09 09:00", "review", "r2", reference="o1").points == 0
    assert act("2024-04-09 09:00", "review", "r3", reference="o2").points == 20
    assert act("2024-04-09 09:00", "dance", "d1").code == "invalid_request"
    doubled = act("2024-05-01 09:00", "check_in", "a4")
    assert doubled.breakdown == (("activity:check_in", 5), ("campaign:acts", 5))
    assert total(oracle, "granted") == 5 + 5 + 30 + 20 + 20 + 10


def test_a_bonus_is_given_once_and_never_for_nothing() -> None:
    oracle = start(
        """
[[campaigns]]
code = "all"
bonus = 7
[[campaigns]]
code = "baby"
bonus = 40
multiplier = "2"
only = { product_lines = ["baby"] }
"""
    )
    oracle.versions[0][1]["earning"]["excluded_product_lines"] = ["food"]
    # baby's share of 90.00 is 60; doubled 120; rows in the order of 2.11
    assert buy(oracle, "2024-05-01 12:00", "o1", "90.00", items=ITEMS).breakdown == (
        ("spend", 60),
        ("campaign:baby", 60),
        ("bonus:all", 7),
        ("bonus:baby", 40),
    )
    # without items a product-scoped campaign does not apply at all
    assert buy(oracle, "2024-05-01 12:00", "o2", "90.00").breakdown == (
        ("spend", 90),
        ("bonus:all", 7),
    )
    # nothing of it is eligible: no share for baby's bonus, but the order is still an order
    food = (ITEMS[1],)
    assert buy(oracle, "2024-05-01 12:00", "o3", "90.00", items=food).points == 7
    assert buy(oracle, "2024-05-01 12:00", "o4", "0.00").points == 0


@pytest.mark.parametrize(
    ("scope", "fits"),
    [
        ('channels = ["store"]', True),
        ('channels = ["web"]', False),
        ('stores = ["s-1", "s-2"]', True),
        ('stores = ["s-2"]', False),
        ('tiers = ["regular"]', True),
        ('tiers = ["gold"]', False),
        ('levels = ["ordinary"]', True),
        ('levels = ["active"]', False),
        ('segments = ["basic"]', True),
        ('segments = ["core"]', False),
        ('lifecycle = ["new"]', True),
        ('lifecycle = ["dormant"]', False),
        ('channels = ["store"], stores = ["s-1"], lifecycle = ["new"]', True),
        ('channels = ["store"], stores = ["s-2"], lifecycle = ["new"]', False),
        ("channels = [], stores = []", True),
    ],
)
def test_every_list_of_a_scope_must_hold(scope: str, fits: bool) -> None:
    sections = f"""
[[tiers]]
code = "regular"
[segments]
otherwise = "basic"
[lifecycle]
new_days = 90
[[campaigns]]
code = "c"
multiplier = "3"
applies_to = "both"
only = {{ {scope} }}
"""
    oracle = start(sections)
    place = {"channel": "store", "store_id": "s-1"}
    assert buy(oracle, "2024-05-01 12:00", "o1", "10.00", **place).points == (30 if fits else 10)
    done = oracle.activity(at("2024-05-01 12:00"), "m", "check_in", "a1", **place)
    assert done.points == (15 if fits else 5)


def test_standings_are_those_of_the_moment() -> None:
    oracle = start(
        """
[segments]
otherwise = "basic"
[[campaigns]]
code = "c"
bonus = 5
only = { segments = ["core"] }
"""
    )
    oracle.set_standing("m", "segment", at("2024-05-01 00:00"), "core")
    late = {"occurred_at": at("2024-04-30 23:59")}
    assert buy(oracle, "2024-05-02 12:00", "o1", "10.00", **late).points == 10
    assert buy(oracle, "2024-05-02 12:00", "o2", "10.00").points == 15


TWO_CAMPAIGNS = """
[[campaigns]]
code = "b"
multiplier = "1.5"
applies_to = "both"
[[campaigns]]
code = "a"
multiplier = "1.3"
applies_to = "both"
bonus = 3
"""


def test_multipliers_multiply_or_the_largest_alone_counts() -> None:
    oracle = start(TWO_CAMPAIGNS)
    oracle.set_level("m", at("2024-01-01 00:00"), "core")
    # 99 → × 1.2 = 118.8 → × 1.3 = 154.44 → × 1.5 = 231.66, and 3
    assert buy(oracle, "2024-05-01 12:00", "o1", "99.00").breakdown == (
        ("spend", 99),
        ("level:core", 19),
        ("campaign:a", 36),
        ("campaign:b", 77),
        ("bonus:a", 3),
    )
    # 20 → 26 → 39, and 3: a level multiplies spend only
    done = oracle.activity(at("2024-05-01 12:00"), "m", "review", "r1", reference="o1")
    assert done.breakdown == (
        ("activity:review", 20),
        ("campaign:a", 6),
        ("campaign:b", 13),
        ("bonus:a", 3),
    )
    oracle.versions[0][1]["earning"]["stacking"] = "best"
    # 99 × 1.5 = 148.5; the bonus is added all the same
    assert buy(oracle, "2024-05-01 12:00", "o2", "99.00").breakdown == (
        ("spend", 99),
        ("campaign:b", 49),
        ("bonus:a", 3),
    )
    done = oracle.activity(at("2024-05-01 12:00"), "m", "review", "r2", reference="o2")
    assert done.breakdown == (("activity:review", 20), ("campaign:b", 10), ("bonus:a", 3))


def test_the_cap_is_that_of_the_local_day_on_which_it_happened() -> None:
    oracle = start(daily_earning_cap=100)
    assert buy(oracle, "2024-05-02 12:00", "o1", "90.00").points == 90
    # recorded on the 2nd, but it happened on the 1st
    late = {"occurred_at": at("2024-05-01 23:59")}
    assert buy(oracle, "2024-05-02 12:00", "o2", "70.00", **late).points == 70
    now = at("2024-05-02 13:00")
    done = oracle.activity(now, "m", "review", "r1", reference="o1")
    assert done.breakdown == (("activity:review", 20), ("cap", -10))
    assert (done.points, done.reason) == (10, None)  # cut, but not to nothing: it counts
    done = oracle.activity(now, "m", "vote", "v1", reference="x")
    assert (done.points, done.reason) == (0, "daily_earning_cap")
    # what the cap left nothing of used up nothing
    assert oracle.activity(at("2024-05-03 00:00"), "m", "vote", "v2", reference="x").points == 5
    assert oracle.activity(at("2024-05-03 00:00"), "m", "review", "r2", reference="o1").points == 0


def test_an_activity_may_give_a_coupon_or_a_gift_instead() -> None:
    oracle = start(
        """
[earning.activities.event]
coupon = "voucher"
once_per = "reference"
[earning.activities.workshop]
gift = "notebook"
max_per_day = 1
"""
    )
    now = at("2024-05-01 12:00")
    first = oracle.activity(now, "m", "event", "e1", reference="x")
    assert (first.points, first.issued, first.reason) == (0, ("voucher",), None)
    again = oracle.activity(now, "m", "event", "e2", reference="x")
    assert (again.issued, again.reason) == ((), "once_per_reference")
    assert oracle.activity(now, "m", "event", "e3").code == "invalid_request"
    assert oracle.activity(now, "m", "workshop", "w1").issued == ("notebook",)
    assert oracle.activity(now, "m", "workshop", "w2").reason == "max_per_day"
    assert oracle.member("m", now)["coupons"] == [("voucher", "issued")]


# ------------------------------------------------------------------------------ 2.5–2.7 rewards


def test_the_first_order_and_the_spend_gift_issue_coupons() -> None:
    oracle = start()
    assert buy(oracle, "2024-05-01 12:00", "o0", "0.00").issued == ()
    assert buy(oracle, "2024-05-01 12:00", "o1", "500.00").issued == (
        "second_order_90",
        "brand_gift",
    )
    oracle.use_coupon("m", "brand_gift")
    assert oracle.refund(at("2024-05-02 12:00"), "f1", "o1", money("500.00")).code == "ok"
    assert oracle.member("m", at("2024-05-02 12:00"))["coupons"] == [
        ("brand_gift", "used"),
        ("second_order_90", "voided"),
    ]
    assert buy(oracle, "2024-05-03 12:00", "o2", "499.99").issued == ()


def refer(oracle: Oracle, name: str, **more: Any) -> Any:
    """A new member with m's code."""
    return oracle.enrol(at("2024-05-01 09:00"), name, referral_code="code-m", **more)


def test_a_referral_rewards_both_until_the_limit_and_is_reversed() -> None:
    oracle = start(REFERRAL)  # m has 50 newcomer points
    assert refer(oracle, "a").issued == ("first_order", "referee_80")
    assert refer(oracle, "b").code == refer(oracle, "c").code == "ok"
    assert refer(oracle, "d").code == "ok"
    buy(oracle, "2024-05-01 10:00", "oa", "10.00", member="a")
    assert balance(oracle, "2024-05-01 10:00") == (150, 0, 0, 0)
    buy(oracle, "2024-05-01 10:00", "oa2", "10.00", member="a")
    oracle.set_level("m", at("2024-05-02 00:00"), "loyal")
    buy(oracle, "2024-05-02 10:00", "ob", "10.00", member="b")
    assert balance(oracle, "2024-05-02 10:00") == (350, 0, 0, 0)
    coupons = oracle.member("m", at("2024-05-02 10:00"))["coupons"]
    assert coupons.count(("referral_20", "issued")) == 3
    # ob fully refunded: 200 points and two coupons go; the month's limit of 2 stays used
    oracle.refund(at("2024-05-03 10:00"), "f1", "ob", money("10.00"))
    assert balance(oracle, "2024-05-03 10:00") == (150, 0, 0, 0)
    coupons = oracle.member("m", at("2024-05-03 10:00"))["coupons"]
    assert coupons.count(("referral_20", "issued")) == 1
    assert coupons.count(("referral_20", "voided")) == 2
    buy(oracle, "2024-05-31 23:59", "oc", "10.00", member="c")
    assert balance(oracle, "2024-05-31 23:59") == (150, 0, 0, 0)
    buy(oracle, "2024-06-01 00:00", "od", "10.00", member="d")
    assert balance(oracle, "2024-06-01 00:00") == (350, 0, 0, 0)
    assert total(oracle, "clawed_back") == 200


def test_a_referral_that_is_none() -> None:
    oracle = start(REFERRAL)
    now = at("2024-05-01 09:00")
    phone = "+8613800000001"
    oracle.enrol(now, "n", phone=phone, email="n@x")
    assert oracle.enrol(now, "a", referral_code="code-n", phone=phone).issued == ("first_order",)
    assert oracle.enrol(now, "b", referral_code="code-n", email="n@x").issued == ("first_order",)
    assert oracle.enrol(now, "c", referral_code="code-c").issued == ("first_order",)
    assert oracle.enrol(now, "d", referral_code="nobody").code == "not_found"
    # with the first order: the reward, but not the coupon of an enrolment
    oracle.enrol(now, "e")
    first = buy(oracle, "2024-05-01 10:00", "oe", "10.00", member="e", referral_code="code-n")
    assert first.issued == ("second_order_90",)
    assert balance(oracle, "2024-05-01 10:00", "n") == (150, 0, 0, 0)
    # one referrer, and only with the first order
    buy(oracle, "2024-05-01 10:00", "oe2", "10.00", member="e", referral_code="code-m")
    assert balance(oracle, "2024-05-01 10:00", "m") == (50, 0, 0, 0)


def test_a_referral_is_refused_for_a_reason() -> None:
    oracle = start(REFERRAL)
    now = at("2024-05-01 09:00")

    def join(name: str, **more: Any) -> Any:
        return oracle.enrol(now, name, **more).referral

    def first(name: str, code: str, order: str) -> Any:
        return oracle.accrue(now, name, order, money("10.00"), referral_code=code).referral

    assert join("n", phone="+8613800000001", email="n@x") is None
    for number, phone in enumerate(("+8613800000001", "138-0000-0001", "013800000001")):
        told = join(f"a{number}", referral_code="Code n", phone=phone)
        assert told == ("refused", "same_phone")
    assert join("b", referral_code="code-n", email="N@x") == ("refused", "same_email")
    assert join("c", referral_code="code-n", phone="3800000001 2") == ("accepted", None)
    assert join("d", referral_code="code-c") == ("accepted", None)
    assert first("n", "code-n", "o1") == ("refused", "same_member")
    assert first("c", "code-m", "o2") == ("refused", "already_referred")
    assert first("n", "code-m", "o3") == ("refused", "not_first_order")
    assert oracle.member("n", now)["referral_refusals"] == ["same_member", "not_first_order"]
    # d was brought by c, and c by e: e may not be brought by d, nor by c
    assert join("e") is None
    assert join("f", referral_code="code-e") == ("accepted", None)
    assert join("g", referral_code="code-f") == ("accepted", None)
    loop = oracle.accrue(now, "e", "o4", money("0.00"), referral_code="code-g")
    assert loop.referral == ("refused", "loop")
    assert first("e", "code-f", "o5") == ("refused", "loop")
    assert balance(oracle, "2024-05-01 09:00", "f") == (50, 0, 0, 0)


def test_a_link_stands_though_the_first_order_rewards_nobody() -> None:
    oracle = start(REFERRAL.replace("monthly_limit = 2", "monthly_limit = 1"))
    now = at("2024-05-01 09:00")
    for name in ("a", "b", "c"):
        assert oracle.enrol(now, name, referral_code="code-m").referral == ("accepted", None)
    oracle.enrol(now, "d")
    buy(oracle, "2024-05-01 10:00", "oa", "10.00", member="a")
    buy(oracle, "2024-05-01 10:00", "ob", "10.00", member="b")
    assert oracle.member("b", now)["referral_refusals"] == ["monthly_limit"]
    told = buy(oracle, "2024-05-01 10:00", "od", "10.00", member="d", referral_code="code-m")
    assert told.referral == ("accepted", "monthly_limit")  # whose referee she is, and why none
    assert oracle.member("d", now)["referral_refusals"] == ["monthly_limit"]
    oracle.freeze(now, "m")
    buy(oracle, "2024-06-01 10:00", "oc", "10.00", member="c")
    assert oracle.member("c", now)["referral_refusals"] == ["referrer_frozen"]
    assert balance(oracle, "2024-06-01 10:00") == (150, 0, 0, 0)
    oracle.unfreeze(now, "m")
    buy(oracle, "2024-06-01 10:00", "oc2", "10.00", member="c")  # too late
    assert balance(oracle, "2024-06-01 10:00") == (150, 0, 0, 0)


def test_a_partial_refund_leaves_the_referrer_alone_and_a_spent_reward_becomes_debt() -> None:
    oracle = start(REFERRAL)
    assert refer(oracle, "a").code == "ok"
    buy(oracle, "2024-05-01 10:00", "oa", "10.00", member="a")
    assert offset(oracle, "2024-05-01 11:00", "r1", 100).lots == (
        ("enrolment", None, 50),
        ("referral", None, 50),
    )
    oracle.refund(at("2024-05-02 10:00"), "f1", "oa", money("9.99"))
    assert balance(oracle, "2024-05-02 10:00") == (50, 0, 0, 0)
    oracle.refund(at("2024-05-02 10:00"), "f2", "oa", money("0.01"))
    assert balance(oracle, "2024-05-02 10:00") == (0, 0, 0, 50)
    assert oracle.member("m", at("2024-05-02 10:00"))["debts"] == [("oa", 50)]


def test_an_order_enrols_where_the_programme_says_so() -> None:
    oracle = start(REFERRAL)
    assert buy(oracle, "2024-05-01 10:00", "o1", "10.00", member="new").code == "not_found"
    oracle.versions[0][1]["auto_enrol"] = True
    late = {"occurred_at": at("2024-04-30 10:00"), "referral_code": "code-m"}
    first = buy(oracle, "2024-05-01 10:00", "o1", "10.00", member="new", **late)
    assert (first.points, first.referral) == (10, ("accepted", None))
    assert first.issued == ("first_order", "referee_80", "second_order_90")
    assert oracle.state.members["new"].joined_at == at("2024-04-30 10:00")
    lots = oracle.member("new", at("2024-05-01 10:00"))["lots"]
    assert [(lot[0], lot[3], lot[4]) for lot in lots] == [
        ("enrolment", 50, at("2024-04-30 10:00")),
        ("order", 10, at("2024-04-30 10:00")),
    ]
    assert balance(oracle, "2024-05-01 10:00") == (150, 0, 0, 0)
    # the newcomer pack stays when the order goes; what the order issued is void
    oracle.refund(at("2024-05-02 10:00"), "f1", "o1", money("10.00"))
    seen = oracle.member("new", at("2024-05-02 10:00"))
    assert seen["balance"]["available"] == 50
    assert seen["coupons"] == [
        ("first_order", "issued"),
        ("referee_80", "issued"),
        ("second_order_90", "voided"),
    ]
    # given once: the next order is no first order
    assert buy(oracle, "2024-05-03 10:00", "o2", "10.00", member="new").issued == ()


# -------------------------------------------------------------------------------- 10 guard rails


def test_many_referees_on_one_phone_prefix_are_flagged() -> None:
    rail = "referees_per_phone_prefix = { digits = 5, limit = 2, action = 'freeze' }"
    oracle = start(REFERRAL + "[guard_rails]\n" + rail)
    now = at("2024-05-01 09:00")
    phones = {"a": "+86 1380", "b": "+86-138-1", "c": "+861391", "d": "+861389", "e": None}
    for name, phone in phones.items():
        assert refer(oracle, name, phone=phone).referral == ("accepted", None)
    flags = {name: oracle.member(name, now)["flags"] for name in phones}
    assert flags == {"a": [], "b": [], "c": [], "d": ["referees_per_phone_prefix"], "e": []}
    assert oracle.member("d", now)["status"] == "frozen"
    # counted for each referrer
    other = oracle.enrol(now, "f", referral_code="code-a", phone="+861388")
    assert other.referral == ("accepted", None)
    assert oracle.member("f", now)["flags"] == []


def test_a_refund_ratio_flags_once_and_may_delay() -> None:
    rail = "refund_ratio = { over = '0.50', after_orders = 2, action = 'delay' }"
    oracle = start("[guard_rails]\n" + rail)
    buy(oracle, "2024-05-01 10:00", "o0", "0.00")  # does not count among the two
    buy(oracle, "2024-05-01 10:00", "o1", "100.00")
    oracle.refund(at("2024-05-01 11:00"), "f1", "o1", money("100.00"))
    assert oracle.member("m", at("2024-05-01 11:00"))["flags"] == []
    buy(oracle, "2024-05-01 12:00", "o2", "100.00")
    assert balance(oracle, "2024-05-01 12:00") == (100, 0, 0, 0)
    # 100.01 of 200.00 is more than a half
    oracle.refund(at("2024-05-01 13:00"), "f2", "o2", money("0.01"))
    assert oracle.member("m", at("2024-05-01 13:00"))["flags"] == ["refund_ratio"]
    oracle.refund(at("2024-05-01 13:00"), "f3", "o2", money("0.01"))
    assert oracle.member("m", at("2024-05-01 13:00"))["flags"] == ["refund_ratio"]
    # from now on order points wait, through 1 May + 7 days; others don't
    buy(oracle, "2024-05-01 14:00", "o3", "30.00")
    oracle.activity(at("2024-05-01 14:00"), "m", "check_in", "a1")
    assert balance(oracle, "2024-05-01 14:00") == (104, 30, 0, 0)
    assert balance(oracle, "2024-05-09 00:00") == (134, 0, 0, 0)


def test_unfreezing_ends_flags_and_delay_and_the_rail_watches_anew() -> None:
    rails = """
[guard_rails]
refund_ratio = { over = "0.50", after_orders = 1, action = "delay" }
"""
    oracle = start(rails)
    now = at("2024-05-02 10:00")
    for number in (1, 2):
        buy(oracle, "2024-05-02 10:00", f"o{number}", "100.00")
        oracle.refund(now, f"f{number}", f"o{number}", money("100.00"))
        assert oracle.member("m", now)["flags"] == ["refund_ratio"]
        buy(oracle, "2024-05-02 10:00", f"p{number}", "1.00")  # waits
        assert oracle.unfreeze(now, "m").code == "ok"
        assert oracle.member("m", now)["flags"] == []
        buy(oracle, "2024-05-02 10:00", f"q{number}", "1.00")  # does not
        assert balance(oracle, "2024-05-02 10:00") == (number, number, 0, 0)


# ------------------------------------------------------------------------------------- 3 lots


@pytest.mark.parametrize(
    ("rules", "earned", "last"),
    [
        ({}, "2024-02-29", "2025-02-28"),
        ({}, "2023-02-28", "2024-02-28"),
        ({"validity": {"months": 18}}, "2024-08-31", "2026-02-28"),
        ({"align_expiry": "month"}, "2024-02-10", "2025-02-28"),
        ({"align_expiry": "quarter"}, "2024-04-01", "2025-06-30"),
        ({"align_expiry": "year"}, "2024-12-31", "2025-12-31"),
        ({"validity": "none"}, "2024-02-10", None),
    ],
)
def test_expiry_dates(rules: dict[str, Any], earned: str, last: str | None) -> None:
    found = expiry_date(rules, date.fromisoformat(earned))
    assert found == (None if last is None else date.fromisoformat(last))


def test_points_expire_at_the_local_midnight_recorded_or_not() -> None:
    oracle = start()
    buy(oracle, "2024-02-29 10:00", "o1", "300.00")
    assert balance(oracle, "2025-02-28 23:59") == (300, 0, 0, 0)
    assert balance(oracle, "2025-03-01 00:00") == (0, 0, 0, 0)
    assert offset(oracle, "2025-03-01 00:00", "r0", 100).code == "insufficient_points"
    assert total(oracle, "expired") == 0  # totals count events only
    assert oracle.expire(at("2025-02-28 23:59")) == 0
    assert oracle.expire(at("2025-03-03 09:00")) == 1
    assert oracle.expire(at("2025-03-03 09:00")) == 0
    assert total(oracle, "expired") == 300
    # late data: 100 of it had been spent before, so 200 expired
    late = offset(oracle, "2025-03-04 09:00", "r1", 100, occurred_at=at("2025-02-28 23:59"))
    assert (late.code, late.lots) == ("ok", (("order", "o1", 100),))
    assert (total(oracle, "expired"), total(oracle, "redeemed")) == (200, 100)
    assert oracle.expire(at("2025-03-04 09:00")) == 0


def test_drawing_order_and_what_can_be_drawn_late() -> None:
    oracle = start()
    buy(oracle, "2024-03-02 10:00", "o2", "100.00")
    buy(oracle, "2024-03-03 10:00", "o3", "100.00")
    buy(oracle, "2024-03-04 10:00", "o1", "50.00", occurred_at=at("2024-03-01 10:00"))
    drawn = offset(oracle, "2024-03-05 10:00", "r1", 100).lots
    assert drawn == (("order", "o1", 50), ("order", "o2", 50))
    # on 3 March at 09:00 only o1 and o2 had been earned: 50 are left of them now
    before_o3 = {"occurred_at": at("2024-03-03 09:00")}
    assert offset(oracle, "2024-03-05 11:00", "r2", 100, **before_o3).code == "insufficient_points"
    lots = oracle.member("m", at("2024-03-05 11:00"))["lots"]
    assert [(lot[1], lot[2], lot[3], lot[5]) for lot in lots] == [
        ("o2", 100, 50, date(2025, 3, 2)),
        ("o3", 100, 100, date(2025, 3, 3)),
    ]


def test_pending_lots() -> None:
    oracle = start(pending=True)
    buy(oracle, "2024-03-01 10:00", "o1", "100.00")  # pending through 8 March
    assert balance(oracle, "2024-03-08 23:59") == (0, 100, 0, 0)
    assert offset(oracle, "2024-03-08 23:59", "r1", 100).code == "insufficient_points"
    assert balance(oracle, "2024-03-09 00:00") == (100, 0, 0, 0)
    assert oracle.release_pending(at("2024-03-08 23:59")) == 0
    assert oracle.release_pending(at("2024-03-09 00:00")) == 1
    assert oracle.release_pending(at("2024-03-09 00:00")) == 0
    oracle.activity(at("2024-03-09 08:00"), "m", "check_in", "a1")
    assert balance(oracle, "2024-03-09 08:00") == (105, 0, 0, 0)  # only order lots pend
    # a clawback takes other pending lots last: o1 is spent, so the 5 first, then 95 pending
    assert offset(oracle, "2024-03-09 09:00", "r2", 100).code == "ok"
    buy(oracle, "2024-03-09 10:00", "o2", "98.00")
    result = oracle.refund(at("2024-03-10 10:00"), "f1", "o1", money("100.00"))
    assert (result.clawed_back, result.debt) == (100, 0)
    assert balance(oracle, "2024-03-10 10:00") == (0, 3, 0, 0)


def test_the_window_is_the_segments_and_a_pending_grant_pays_debt() -> None:
    oracle = start(
        """
[returns.window_days_by_segment]
core = 15
[segments]
otherwise = "basic"
""",
        pending=True,
    )
    oracle.set_standing("m", "segment", at("2024-03-01 00:00"), "core")
    buy(oracle, "2024-03-01 10:00", "o1", "100.00")
    assert balance(oracle, "2024-03-16 23:59") == (0, 100, 0, 0)
    assert balance(oracle, "2024-03-17 00:00") == (100, 0, 0, 0)
    assert offset(oracle, "2024-03-17 10:00", "r1", 100).code == "ok"
    assert oracle.refund(at("2024-03-17 11:00"), "f1", "o1", money("100.00")).debt == 100
    assert buy(oracle, "2024-03-17 12:00", "o2", "130.00").debt_paid == 100
    assert balance(oracle, "2024-03-17 12:00") == (0, 30, 0, 0)
    # its own lot is taken first, pending or not
    oracle.adjust(at("2024-03-17 12:00"), "m", "j1", 50)
    half = oracle.refund(at("2024-03-17 13:00"), "f2", "o2", money("65.00"))
    assert (half.clawed_back, half.debt) == (65, 0)
    assert balance(oracle, "2024-03-17 13:00") == (15, 0, 0, 0)


def test_a_partner_stays_with_the_points_it_funded() -> None:
    oracle = start()
    buy(oracle, "2024-03-01 10:00", "o1", "300.00", funded_by="bank")
    offset(oracle, "2024-03-02 10:00", "r1", 200, order="o2", amount="100.00")
    buy(oracle, "2024-03-02 10:00", "o2", "80.00")
    oracle.expire(at("2025-06-01 00:00"))
    oracle.refund(at("2025-06-01 10:00"), "f1", "o2", money("80.00"))
    lots = oracle.member("m", at("2025-06-01 10:00"))["lots"]
    assert [(lot[1], lot[3], lot[7]) for lot in lots] == [("o1", 200, "bank")]


# --------------------------------------------------------------------------------- 4 redeeming


def test_the_limits_of_a_cash_offset() -> None:
    oracle = start()
    buy(oracle, "2024-03-01 10:00", "o1", "1000.00")
    now = "2024-03-01 11:00"
    assert offset(oracle, now, "r1", 50).code == "below_minimum"
    assert offset(oracle, now, "r1", 150).code == "not_a_multiple"
    assert offset(oracle, now, "r1", 0).code == "invalid_request"
    assert offset(oracle, now, "r1", 1100).code == "insufficient_points"
    # 1000 points are 100 CNY, at most half of 200.00: all redemptions of the order together
    assert offset(oracle, now, "r1", 600, order="x", amount="200.00", reserve=True).code == "ok"
    assert offset(oracle, now, "r2", 500, order="x", amount="200.00").code == "over_order_share"
    assert offset(oracle, now, "r2", 400, order="x", amount="200.00").code == "ok"
    assert offset(oracle, "2024-03-01 11:15", "r3", 600, order="x", amount="200.00").code == "ok"
    assert balance(oracle, "2024-03-01 11:15") == (0, 0, 0, 0)


def test_a_reservation_is_captured_in_part_released_or_lapses() -> None:
    oracle = start()
    buy(oracle, "2024-03-01 10:00", "o1", "250.00")
    buy(oracle, "2024-03-02 10:00", "o2", "250.00")
    assert offset(oracle, "2024-03-02 11:00", "r1", 400, reserve=True).status == "reserved"
    assert balance(oracle, "2024-03-02 11:00") == (100, 0, 400, 0)
    assert oracle.capture(at("2024-03-02 11:01"), "r1", 150).code == "not_a_multiple"
    assert oracle.capture(at("2024-03-02 11:01"), "r1", 500).code == "insufficient_points"
    taken = oracle.capture(at("2024-03-02 11:01"), "r1", 300)
    assert taken.lots == (("order", "o1", 250), ("order", "o2", 50))
    assert oracle.capture(at("2024-03-02 12:00"), "r1", 300) == taken
    assert oracle.capture(at("2024-03-02 12:00"), "r1").code == "reservation_over"
    assert balance(oracle, "2024-03-02 11:01") == (200, 0, 0, 0)
    offset(oracle, "2024-03-02 13:00", "r2", 100, reserve=True)
    assert oracle.release(at("2024-03-02 13:01"), "r2").status == "released"
    assert oracle.release(at("2024-03-02 13:02"), "r2").status == "released"
    offset(oracle, "2024-03-02 14:00", "r3", 100, reserve=True, reserve_seconds=60)
    assert balance(oracle, "2024-03-02 14:00") == (100, 0, 100, 0)
    assert balance(oracle, "2024-03-02 14:01") == (200, 0, 0, 0)
    assert oracle.capture(at("2024-03-02 14:01"), "r3").code == "reservation_over"
    assert oracle.release(at("2024-03-02 14:01"), "r3").code == "reservation_over"
    assert oracle.lapse(at("2024-03-02 14:00")) == 0
    assert oracle.lapse(at("2024-03-02 14:01")) == 1
    assert (total(oracle, "redeemed"), total(oracle, "expired")) == (300, 0)


def test_reserved_points_stay_good_when_their_lot_expires() -> None:
    oracle = start()
    buy(oracle, "2024-03-01 10:00", "o1", "500.00")
    week = {"reserve": True, "reserve_seconds": 7 * 24 * 3600}
    offset(oracle, "2025-03-01 10:00", "r1", 200, **week)
    offset(oracle, "2025-03-01 10:00", "r2", 200, **week)
    assert oracle.expire(at("2025-03-02 00:00")) == 1  # the 100 that are not reserved
    assert oracle.capture(at("2025-03-02 10:00"), "r1").code == "ok"
    assert oracle.release(at("2025-03-02 10:00"), "r2").code == "ok"
    assert balance(oracle, "2025-03-02 10:00") == (0, 0, 0, 0)
    assert (total(oracle, "redeemed"), total(oracle, "expired")) == (200, 300)
    # a refund of 09:00, told of at noon: what was released at 10:00 counts as expired with its lot,
    # so the order holds the 200 that were spent. Told of in time it would have been a debt of 400,
    # of which the release had paid 200: the same.
    early = {"occurred_at": at("2025-03-02 09:00")}
    result = oracle.refund(at("2025-03-02 12:00"), "f1", "o1", money("500.00"), **early)
    assert (result.clawed_back, result.debt) == (200, 200)


def test_a_refund_while_points_are_reserved_past_their_day() -> None:
    oracle = start()
    buy(oracle, "2024-03-01 10:00", "o1", "500.00")
    week = {"reserve": True, "reserve_seconds": 7 * 24 * 3600}
    offset(oracle, "2025-03-01 10:00", "r1", 200, **week)
    offset(oracle, "2025-03-01 10:00", "r2", 200, **week)
    oracle.expire(at("2025-03-02 00:00"))
    result = oracle.refund(at("2025-03-02 09:00"), "f1", "o1", money("500.00"))
    assert (result.clawed_back, result.debt) == (400, 400)
    oracle.release(at("2025-03-02 10:00"), "r2")
    assert balance(oracle, "2025-03-02 10:00") == (0, 0, 200, 200)


def test_an_order_captures_its_reservations() -> None:
    oracle = start()
    buy(oracle, "2024-03-01 10:00", "o1", "300.00")
    offset(oracle, "2024-03-02 10:00", "r1", 200, order="o2", amount="100.00", reserve=True)
    assert buy(oracle, "2024-03-02 10:05", "o2", "80.00", redemption_ids=["r1"]).points == 80
    assert balance(oracle, "2024-03-02 10:05") == (180, 0, 0, 0)
    assert total(oracle, "redeemed") == 200
    over = buy(oracle, "2024-03-02 10:06", "o3", "80.00", redemption_ids=["r1"])
    assert over.code == "not_eligible"
    assert (
        buy(oracle, "2024-03-02 10:06", "o3", "80.00", redemption_ids=["nothing"]).code
        == "not_found"
    )


def test_an_order_is_paid_with_the_points_of_one_member_while_it_stands() -> None:
    oracle = start()
    oracle.enrol(at("2024-01-01 00:00"), "n")
    buy(oracle, "2024-03-01 10:00", "o1", "500.00")
    buy(oracle, "2024-03-01 10:00", "p1", "500.00", member="n")
    now, due = at("2024-03-01 11:00"), money("900.00")
    assert offset(oracle, "2024-03-01 11:00", "r0", 100, order="p1").code == "not_eligible"
    assert offset(oracle, "2024-03-01 11:00", "r1", 100, order="x", reserve=True).code == "ok"
    assert oracle.redeem(now, "n", "r2", 100, "x", due).code == "not_eligible"
    assert oracle.accrue(now, "n", "x", due).code == "not_eligible"
    assert oracle.release(now, "r1").code == "ok"
    assert oracle.redeem(now, "n", "r2", 100, "x", due, reserve=True).code == "ok"
    assert oracle.redeem(now, "n", "r3", 100, "p1", due, reserve=True).code == "ok"
    assert oracle.refund(now, "f1", "p1", money("500.00")).code == "ok"
    assert oracle.redeem(now, "n", "r4", 100, "p1", due).code == "not_eligible"
    assert oracle.capture(now, "r3").code == "not_eligible"
    assert oracle.release(now, "r3").code == "ok"


def test_points_are_worth_what_they_were_when_they_were_redeemed() -> None:
    oracle = start()
    buy(oracle, "2024-03-01 10:00", "o1", "900.00")
    now = "2024-03-01 11:00"
    assert offset(oracle, now, "r1", 400, order="x", amount="100.00").code == "ok"  # 40.00
    dearer = tomllib.loads(RULES)
    dearer["points"]["value"] = "0.20"
    oracle.publish(dearer, at("2024-03-02 00:00"), at("2024-03-01 12:00"))
    later = "2024-03-02 11:00"
    # 40.00 and 20.00 are more than half of 100.00; of 120.00 they are not
    assert offset(oracle, later, "r2", 100, order="x", amount="119.99").code == "over_order_share"
    assert offset(oracle, later, "r2", 100, order="x", amount="120.00").code == "ok"


def test_a_refused_order_captures_nothing() -> None:
    oracle = start(REFERRAL)
    buy(oracle, "2024-03-01 10:00", "o1", "300.00")
    assert offset(oracle, "2024-03-02 10:00", "r1", 200, order="o2", reserve=True).code == "ok"
    assert offset(oracle, "2024-03-02 10:00", "r2", 100, order="o9", reserve=True).code == "ok"
    before = oracle.member("m", at("2024-03-02 10:01"))
    for paid_with, code in ((["r1", "r2"], "not_eligible"), (["r1", "r9"], "not_found")):
        refused = buy(oracle, "2024-03-02 10:01", "o2", "80.00", redemption_ids=paid_with)
        assert refused.code == code
    unknown = buy(
        oracle, "2024-03-02 10:01", "o2", "8.00", redemption_ids=["r1"], referral_code="nobody"
    )
    assert unknown.code == "not_found"
    assert oracle.member("m", at("2024-03-02 10:01")) == before
    assert oracle.capture(at("2024-03-02 10:02"), "r1").code == "ok"


# ----------------------------------------------------------------------------------- 5 refunds


def test_partial_refunds_never_drift() -> None:
    oracle = start()
    buy(oracle, "2024-03-01 10:00", "o1", "99.99")  # 99; then floor(66.66), floor(33.33), 0
    now = at("2024-03-02 10:00")
    clawed = [oracle.refund(now, f"f{i}", "o1", money("33.33")).clawed_back for i in range(3)]
    assert clawed == [33, 33, 33]
    assert oracle.refund(now, "f9", "o1", money("0.01")).code == "refund_exceeds_order"
    assert oracle.refund(now, "f9", "nowhere", money("0.01")).code == "not_found"
    assert oracle.refund(now, "f1", "o1", money("33.33")).clawed_back == 33  # the same refund
    assert oracle.refund(now, "f1", "o1", money("1.00")).code == "already_recorded"
    totals = oracle.member("m", now)["totals"]
    assert (totals["clawed_back"], totals["spend"], totals["orders"]) == (99, Decimal(0), 0)


def test_a_refund_of_nothing_or_before_its_order_is_a_mistake() -> None:
    oracle = start()
    buy(oracle, "2024-03-01 10:00", "o1", "100.00")
    now = at("2024-03-02 10:00")
    assert oracle.refund(now, "f1", "o1", money("0.00")).code == "invalid_request"
    early = {"occurred_at": at("2024-03-01 09:59")}
    assert oracle.refund(now, "f1", "o1", money("1.00"), **early).code == "invalid_request"
    assert oracle.refund(now, "f1", "o1", money("1.00")).code == "ok"


def test_bonuses_stay_until_the_whole_order_is_given_back() -> None:
    oracle = start(CAMPAIGNS + SCOPED)
    oracle.versions[0][1]["earning"]["excluded_product_lines"] = ["food"]
    # baby's share of 99.99 is 66.66; doubled 133.32; and 100
    result = buy(oracle, "2024-05-01 12:00", "o1", "99.99", items=ITEMS)
    assert result.breakdown == (("spend", 66), ("campaign:baby", 67), ("bonus:gift", 100))
    now = at("2024-05-02 12:00")
    # should hold floor(133.32 × 66.66/99.99) = 88, floor(133.32 × 0.01/99.99) = 0, and 100
    assert oracle.refund(now, "f1", "o1", money("33.33")).clawed_back == 45
    assert oracle.refund(now, "f2", "o1", money("66.65")).clawed_back == 88
    assert oracle.refund(now, "f3", "o1", money("0.01")).clawed_back == 100


def test_a_capped_grant_is_taken_back_from_below() -> None:
    oracle = start(daily_earning_cap=60)
    assert buy(oracle, "2024-05-01 12:00", "o1", "100.00").points == 60
    now = at("2024-05-02 12:00")
    # should hold min(60, floor(100 × 0.7)) = 60, then min(60, 50) = 50, then 0
    clawed = [
        oracle.refund(now, f"f{i}", "o1", money(amount)).clawed_back
        for i, amount in enumerate(("30.00", "20.00", "50.00"))
    ]
    assert clawed == [0, 10, 50]


def test_a_refund_restores_last_drawn_first_then_claws_back() -> None:
    oracle = start()
    buy(oracle, "2024-03-01 10:00", "o1", "200.00")
    buy(oracle, "2024-03-02 10:00", "o2", "300.00")
    offset(oracle, "2024-03-03 10:00", "r1", 300, order="o3", amount="130.00")  # 200 + 100
    buy(oracle, "2024-03-03 10:00", "o3", "100.00")
    # R/A = 0.55: restored floor(165) = 165: 100 to o2's lot, 65 to o1's; should hold 45
    result = oracle.refund(at("2024-03-04 10:00"), "f1", "o3", money("55.00"))
    assert (result.restored, result.clawed_back, result.debt) == (165, 55, 0)
    lots = oracle.member("m", at("2024-03-04 10:00"))["lots"]
    assert [(lot[1], lot[3]) for lot in lots] == [("o1", 65), ("o2", 300), ("o3", 45)]
    result = oracle.refund(at("2024-03-04 10:00"), "f2", "o3", money("45.00"))
    assert (result.restored, result.clawed_back) == (135, 45)
    assert (total(oracle, "restored"), total(oracle, "redeemed")) == (300, 300)


@pytest.mark.parametrize(
    ("refunded", "last"),
    [
        ("2025-02-22", "2025-03-01"),  # 22 February + 7 days = 1 March: the old expiry stays
        ("2025-02-23", "2025-03-02"),
        ("2025-06-01", "2025-06-08"),
    ],
)
def test_restored_points_are_good_for_seven_days(refunded: str, last: str) -> None:
    oracle = start()
    buy(oracle, "2024-03-01 10:00", "o1", "300.00")
    offset(oracle, "2024-03-02 10:00", "r1", 200, order="o2", amount="100.00")
    buy(oracle, "2024-03-02 10:00", "o2", "80.00")
    oracle.expire(at(refunded + " 00:00"))
    result = oracle.refund(at(refunded + " 10:00"), "f1", "o2", money("80.00"))
    assert result.restored == 200
    lots = [lot for lot in oracle.member("m", at(refunded + " 10:00"))["lots"] if lot[1] == "o1"]
    same = last == "2025-03-01"
    granted, remaining = (300, 300) if same else (200, 200)
    assert (lots[-1][2], lots[-1][3]) == (granted, remaining)
    assert lots[-1][4] == at("2024-03-01 10:00")
    assert lots[-1][5] == date.fromisoformat(last)


def test_debt_is_paid_first_by_what_comes_later() -> None:
    oracle = start()
    buy(oracle, "2024-03-01 10:00", "o1", "300.00")
    offset(oracle, "2024-03-01 11:00", "r1", 200)
    offset(oracle, "2024-03-01 11:00", "r2", 100, reserve=True)
    # everything is spent or reserved, and reserved points are not taken
    result = oracle.refund(at("2024-03-01 11:01"), "f1", "o1", money("300.00"))
    assert (result.clawed_back, result.debt) == (300, 300)
    assert oracle.release(at("2024-03-01 11:02"), "r2").code == "ok"
    assert balance(oracle, "2024-03-01 11:02") == (0, 0, 0, 200)
    assert buy(oracle, "2024-03-01 12:00", "o2", "50.00").debt_paid == 50
    assert oracle.adjust(at("2024-03-01 12:00"), "m", "j1", 60).debt_paid == 60
    assert balance(oracle, "2024-03-01 12:00") == (0, 0, 0, 90)
    # o2's points went into the debt: nothing is left to take, it becomes debt again
    assert oracle.refund(at("2024-03-01 13:00"), "f2", "o2", money("50.00")).debt == 50
    assert oracle.member("m", at("2024-03-01 13:00"))["debts"] == [("o1", 90), ("o2", 50)]
    buy(oracle, "2024-03-01 14:00", "o3", "100.00")
    assert oracle.member("m", at("2024-03-01 14:00"))["debts"] == [("o2", 40)]
    assert total(oracle, "granted") == 450
    assert total(oracle, "clawed_back") == 350


def test_a_shortfall_can_be_waived() -> None:
    oracle = start(debt="waive")
    buy(oracle, "2024-03-01 10:00", "o1", "300.00")
    offset(oracle, "2024-03-01 11:00", "r1", 200)
    half = oracle.refund(at("2024-03-02 10:00"), "f1", "o1", money("150.00"))
    assert (half.clawed_back, half.waived, half.debt) == (100, 50, 0)
    buy(oracle, "2024-03-03 10:00", "o2", "500.00")
    rest = oracle.refund(at("2024-03-04 10:00"), "f2", "o1", money("150.00"))
    assert (rest.clawed_back, rest.waived) == (150, 0)


def test_expired_unspent_counts_as_taken_back() -> None:
    for run_the_job in (True, False):
        oracle = start()
        buy(oracle, "2024-03-01 10:00", "o1", "300.00")
        offset(oracle, "2024-03-01 11:00", "r1", 100)
        if run_the_job:
            assert oracle.expire(at("2025-03-02 00:00")) == 1
        result = oracle.refund(at("2025-03-02 10:00"), "f1", "o1", money("300.00"))
        assert (result.clawed_back, result.debt) == (100, 100)  # 300 − 200 expired
        # 300.00 of which 120.00 is given back should hold 180: 300 − 200 is below that
        oracle = start()
        buy(oracle, "2024-03-01 10:00", "o1", "300.00")
        offset(oracle, "2024-03-01 11:00", "r1", 100)
        if run_the_job:
            oracle.expire(at("2025-03-02 00:00"))
        part = oracle.refund(at("2025-03-02 10:00"), "f1", "o1", money("120.00"))
        assert part.clawed_back == 0


def test_a_late_refund_takes_back_what_had_not_yet_expired() -> None:
    oracle = start()
    buy(oracle, "2024-03-01 10:00", "o1", "300.00")
    oracle.expire(at("2025-03-02 00:00"))
    result = oracle.refund(
        at("2025-03-02 10:00"), "f1", "o1", money("100.00"), occurred_at=at("2025-03-01 10:00")
    )
    assert (result.clawed_back, result.debt) == (100, 0)
    assert (total(oracle, "expired"), total(oracle, "clawed_back")) == (200, 100)


def test_an_expiry_correction_pays_debt_first() -> None:
    oracle = start()
    buy(oracle, "2024-03-01 10:00", "o1", "300.00")
    assert oracle.expire(at("2025-03-02 00:00")) == 1
    buy(oracle, "2025-03-02 09:00", "o2", "100.00")
    offset(oracle, "2025-03-02 09:30", "r0", 100)
    assert oracle.refund(at("2025-03-02 10:00"), "f1", "o2", money("100.00")).debt == 100
    before = {"occurred_at": at("2025-03-01 10:00")}
    assert offset(oracle, "2025-03-03 10:00", "r1", 300, **before).code == "insufficient_points"
    assert offset(oracle, "2025-03-03 10:00", "r1", 200, **before).code == "ok"
    assert balance(oracle, "2025-03-03 10:00") == (0, 0, 0, 0)
    assert total(oracle, "expired") == 0


def test_a_zero_order_is_fully_refunded_by_nothing() -> None:
    oracle = start()
    buy(oracle, "2024-03-01 10:00", "o1", "100.00")
    offset(oracle, "2024-03-01 11:00", "r1", 100, order="o2", amount="20.00")
    buy(oracle, "2024-03-01 11:00", "o2", "0.00")
    result = oracle.refund(at("2024-03-01 12:00"), "f1", "o2", money("0.00"))
    assert (result.restored, result.clawed_back) == (100, 0)


# -------------------------------------------------------------------------------------- 6 tiers

RETAIL = tomllib.loads(
    (Path(__file__).resolve().parents[2] / "ledger" / "programme" / "retail.toml").read_text(
        "utf-8"
    )
)


def shop(joined: str = "2024-01-01 00:00", **changes: dict[str, Any]) -> Oracle:
    """An oracle under `retail` with member m; `changes` by tier: keys of that tier."""
    rules = copy.deepcopy(RETAIL)
    for tier in rules["tiers"]:
        tier.update(changes.get(tier["code"], {}))
    oracle = Oracle(rules)
    assert oracle.enrol(at(joined), "m").code == "ok"
    return oracle


def buys(oracle: Oracle, *days: str, each: str) -> Any:
    """An order of the same amount on each day, at noon, recorded then; the last answer."""
    for day in days:
        result = buy(oracle, day + " 12:00", f"o{len(oracle.state.orders)}", each)
        assert result.code == "ok"
    return result


def late(oracle: Oracle, now: str, day: str, amount: str) -> Any:
    """An order of noon of a day, recorded later."""
    happened = at(day + " 12:00")
    name = f"o{len(oracle.state.orders)}"
    return buy(oracle, now, name, amount, occurred_at=happened)


def silver(oracle: Oracle) -> None:
    """2,000.00 and 2 repurchases on 2 March 2024: silver until 2 March 2025."""
    buys(oracle, "2024-03-01", "2024-03-01", each="900.00")
    assert buys(oracle, "2024-03-02", each="200.00").tier == ("regular", "silver")


def tier(oracle: Oracle) -> tuple[str, str | None]:
    """(code, until) as it stands."""
    shown = oracle.member("m", at("2024-01-02 00:00"))["tier"]
    return shown["code"], shown["until"] and shown["until"].isoformat()


def tier_events(oracle: Oracle, since: int = 1) -> list[tuple[str, str, str, str]]:
    """(kind, to, occurred_at, until) of tier events, without the first upgrade."""
    return [
        (
            event.kind,
            event.to_tier,
            event.occurred_at.astimezone(oracle.zone).strftime("%Y-%m-%d %H:%M"),
            str(event.until),
        )
        for event in oracle.state.members["m"].tier_events[since:]
    ]


def review(oracle: Oracle, now: str) -> int:
    """The tier reviews that are due; how many."""
    return oracle.review_tiers(at(now))


def test_6_1_what_was_given_back_is_not_spent_and_does_not_count() -> None:
    oracle = shop()
    buys(oracle, "2024-03-01", "2024-03-02", each="1500.00")
    assert oracle.refund(at("2024-03-02 13:00"), "f0", "o0", money("1500.00")).code == "ok"
    # 1,500 and no repurchase; then 2,000 and 1: the refunded one does not count as the first
    assert buys(oracle, "2024-03-03", each="500.00").tier is None
    assert buys(oracle, "2024-03-04", each="0.00").tier is None
    assert buys(oracle, "2024-03-05", each="0.01").tier == ("regular", "silver")


def test_6_1_a_partly_refunded_order_counts_with_what_is_left() -> None:
    oracle = shop()
    buys(oracle, "2024-03-01", "2024-03-02", each="1000.00")
    oracle.refund(at("2024-03-02 13:00"), "f0", "o0", money("999.99"))
    assert buys(oracle, "2024-03-03", each="999.98").tier is None  # 1,999.99
    assert buys(oracle, "2024-03-04", each="0.01").tier == ("regular", "silver")


@pytest.mark.parametrize(("refunded", "kind"), [("o3", "downgraded"), ("o2", "renewed")])
def test_6_1_a_refund_belongs_to_its_orders_date(refunded: str, kind: str) -> None:
    oracle = shop()
    silver(oracle)
    buys(oracle, "2025-03-01", "2025-03-02", each="1000.00")  # o3, o4: what keeps it
    # after the end of the validity, but before its review: it takes from the order's date
    oracle.refund(at("2025-04-01 12:00"), "f", refunded, money("0.01"))
    review(oracle, "2025-04-02 00:00")
    assert tier_events(oracle)[0][0] == kind


def test_6_2_both_thresholds_must_be_reached() -> None:
    oracle = shop()
    assert buys(oracle, "2024-03-01", "2024-03-02", each="5000.00").tier is None  # 1 repurchase
    assert tier(oracle) == ("regular", None)
    assert buys(oracle, "2024-03-03", each="0.01").tier == ("regular", "silver")
    assert buys(oracle, "2024-03-04", "2024-03-05", each="0.01").tier is None  # 4
    assert buys(oracle, "2024-03-06", each="0.01").tier == ("silver", "gold")  # 5


def test_6_2_an_upgrade_may_jump_several_tiers() -> None:
    oracle = shop()
    assert buys(oracle, *["2024-03-01"] * 12, each="1.00").tier is None
    assert buys(oracle, "2024-03-02", each="49988.00").tier == ("regular", "diamond")
    assert tier(oracle) == ("diamond", "2025-03-02")
    assert len(oracle.state.members["m"].tier_events) == 1


@pytest.mark.parametrize(
    ("when", "until"),
    [
        ("2024-02-28 12:00", "2025-02-28"),
        ("2024-02-29 12:00", "2025-02-28"),  # 29 February → 28 February
        ("2024-03-01 00:00", "2025-03-01"),
        ("2024-03-31 23:59", "2025-03-31"),  # in UTC it is still the same day
        ("2024-12-31 07:59", "2025-12-31"),  # in UTC the day before
        ("2023-02-28 12:00", "2024-02-28"),
    ],
)
def test_6_2_it_is_valid_for_12_months_from_the_local_date(when: str, until: str) -> None:
    oracle = shop()
    for name in ("a", "b", "c"):
        result = buy(oracle, when, name, "700.00")
    assert result.tier == ("regular", "silver")
    assert tier(oracle) == ("silver", until)


@pytest.mark.parametrize(
    ("day", "months", "until"),
    [
        ("2024-08-31", 6, "2025-02-28"),
        ("2023-08-31", 6, "2024-02-29"),
        ("2024-05-31", 1, "2024-06-30"),
    ],
)
def test_6_2_a_month_without_that_day_ends_with_its_last(day: str, months: int, until: str) -> None:
    oracle = shop(silver={"months": months})
    buys(oracle, day, day, day, each="700.00")
    assert tier(oracle) == ("silver", until)


def test_6_2_an_orders_own_upgrade_does_not_raise_its_points() -> None:
    oracle = shop()
    campaign = {"code": "c", "multiplier": "2", "only": {"tiers": ["silver"]}}
    oracle.versions[0][1]["campaigns"] = [campaign]
    buys(oracle, "2024-03-01", "2024-03-02", each="900.00")
    reaches = buys(oracle, "2024-03-03", each="200.00")
    assert (reaches.points, reaches.tier) == (200, ("regular", "silver"))
    assert buys(oracle, "2024-03-03", each="100.00").points == 200  # the next one does
    assert late(oracle, "2024-03-05 10:00", "2024-03-02", "100.00").points == 100
    assert late(oracle, "2024-03-05 10:00", "2024-03-04", "100.00").points == 200


def test_6_2_a_late_order_dates_the_upgrade_by_the_first_that_reaches() -> None:
    oracle = shop()
    buys(oracle, "2024-03-01", each="900.00")
    buys(oracle, "2024-03-05", each="600.00")
    buys(oracle, "2024-03-09", "2024-03-10", each="10.00")
    # 3 March: 1,400; 5 March: 2,000 and 2
    assert late(oracle, "2024-03-20 10:00", "2024-03-03", "500.00").tier == ("regular", "silver")
    assert tier_events(oracle, 0) == [("upgraded", "silver", "2024-03-05 12:00", "2025-03-05")]
    # what the tier was by then decides what is recorded later of that time
    assert oracle.standing(oracle.state.members["m"], "tier", at("2024-03-05 11:59")) == "regular"
    assert oracle.standing(oracle.state.members["m"], "tier", at("2024-03-05 12:00")) == "silver"


def test_6_2_a_late_order_that_reaches_by_itself_dates_it_too() -> None:
    oracle = shop()
    buys(oracle, "2024-03-01", "2024-03-02", "2024-03-08", each="10.00")
    late(oracle, "2024-03-20 10:00", "2024-03-05", "1990.00")
    assert tier_events(oracle, 0) == [("upgraded", "silver", "2024-03-05 12:00", "2025-03-05")]


def lost_silver(oracle: Oracle) -> None:
    """Silver, and lost for want of orders: regular from 3 March 2025."""
    silver(oracle)
    assert review(oracle, "2025-03-03 00:00") == 1
    assert tier(oracle) == ("regular", None)


def test_6_2_a_lost_tier_is_regained_by_its_keep_figures_only() -> None:
    oracle = shop(silver={"keep": {"spend": "1000.00", "repurchases": 3}})
    lost_silver(oracle)
    # lifetime 2,000 and 2 is long reached
    assert buys(oracle, "2025-04-01", "2025-04-02", each="600.00").tier is None  # 1,200 and 2
    assert buys(oracle, "2025-04-03", each="0.01").tier == ("regular", "silver")
    assert tier(oracle) == ("silver", "2026-04-03")


@pytest.mark.parametrize(
    ("last", "upgrade"), [("2026-03-31", ("regular", "silver")), ("2026-04-01", None)]
)
def test_6_2_the_trailing_months_begin_the_day_after_the_same_date(
    last: str, upgrade: tuple[str, str] | None
) -> None:
    oracle = shop()
    lost_silver(oracle)
    buys(oracle, "2025-04-01", each="1999.99")  # 12 months before 1 April 2026: outside
    assert buys(oracle, last, each="0.01").tier == upgrade


def test_6_2_a_lost_tier_does_not_bar_a_higher_one_never_held() -> None:
    oracle = shop()
    lost_silver(oracle)  # lifetime: 2,000 and 2
    assert buys(oracle, "2026-06-01", "2027-09-01", each="1.00").tier is None
    assert buys(oracle, "2029-01-01", each="7998.00").tier == ("regular", "gold")


def test_6_2_before_the_loss_a_lost_tier_is_not_regained() -> None:
    oracle = shop()
    lost_silver(oracle)
    # of before its window (the window begins on 3 March 2024): neither regained nor decided again
    late(oracle, "2025-03-10 10:00", "2024-03-02", "5000.00")
    late(oracle, "2025-03-10 10:00", "2024-03-02", "100.00")
    assert tier(oracle) == ("regular", None)


@pytest.mark.parametrize(
    ("day", "kind"),
    [
        ("2024-03-02", "downgraded"),  # until − 12 months: the day of the upgrade is outside
        ("2024-03-03", "renewed"),
        ("2025-03-02", "renewed"),  # until: the last good day is inside
        ("2025-03-03", "downgraded"),
    ],
)
def test_6_3_the_review_looks_at_the_dates_after_until_minus_12_months(day: str, kind: str) -> None:
    oracle = shop()
    silver(oracle)
    for name in ("x", "y"):
        buy(oracle, day + " 23:59", name, "1000.00")
    review(oracle, "2025-03-04 00:00")
    assert tier_events(oracle)[0][0] == kind


def test_6_3_the_review_is_due_when_until_has_passed_and_dated_the_midnight_after() -> None:
    oracle = shop()
    silver(oracle)
    buys(oracle, "2024-07-01", "2024-08-01", each="1000.00")
    assert review(oracle, "2025-03-02 23:59") == 0
    assert review(oracle, "2025-03-03 00:00") == 1
    assert tier_events(oracle) == [("renewed", "silver", "2025-03-03 00:00", "2026-03-02")]
    assert review(oracle, "2025-03-03 00:00") == 0
    shown = oracle.member("m", at("2025-03-03 00:00"))["tier"]
    assert (shown["since"], shown["extended"]) == (date(2024, 3, 2), False)


@pytest.mark.parametrize(
    ("spend", "orders", "kind"),
    [
        ("1000.00", 2, "renewed"),
        ("999.99", 2, "downgraded"),
        ("2000.00", 1, "downgraded"),
        ("1.00", 5, "downgraded"),
        ("1.00", 6, "extended"),
        ("400.00", 6, "renewed"),  # keeping it comes before prolonging it
    ],
)
def test_6_3_kept_or_prolonged_or_one_tier_down(spend: str, orders: int, kind: str) -> None:
    oracle = shop()
    silver(oracle)
    buys(oracle, *["2024-09-01"] * orders, each=spend)
    review(oracle, "2025-03-03 00:00")
    until = {"renewed": "2026-03-02", "extended": "2025-06-02", "downgraded": "None"}[kind]
    to = "regular" if kind == "downgraded" else "silver"
    assert tier_events(oracle) == [(kind, to, "2025-03-03 00:00", until)]
    assert oracle.member("m", at("2025-03-03 00:00"))["tier"]["extended"] is (kind == "extended")


def test_6_3_at_the_end_of_an_extension_there_is_no_grace() -> None:
    oracle = shop()
    silver(oracle)
    buys(oracle, *["2024-09-01"] * 6, each="1.00")
    review(oracle, "2025-03-03 00:00")
    buys(oracle, "2025-05-01", each="1.00")
    assert review(oracle, "2025-06-03 00:00") == 1
    # 7 repurchases in (2 June 2024, 2 June 2025], and still
    assert tier_events(oracle)[1] == ("downgraded", "regular", "2025-06-03 00:00", "None")


def test_6_3_at_the_end_of_an_extension_the_window_ends_with_it() -> None:
    oracle = shop()
    silver(oracle)
    buys(oracle, *["2024-09-01"] * 6, each="1.00")
    review(oracle, "2025-03-03 00:00")
    buys(oracle, "2025-06-02", each="1994.00")
    review(oracle, "2025-06-03 00:00")
    assert tier_events(oracle)[1] == ("renewed", "silver", "2025-06-03 00:00", "2026-06-02")
    # a new validity has a grace of its own
    buys(oracle, *["2025-09-01"] * 6, each="1.00")
    review(oracle, "2026-06-03 00:00")
    assert tier_events(oracle)[2] == ("extended", "silver", "2026-06-03 00:00", "2026-09-02")


def test_6_3_a_review_long_overdue_catches_up_step_by_step() -> None:
    oracle = shop()
    buys(oracle, *["2024-03-01"] * 13, each="4000.00")
    assert tier(oracle) == ("diamond", "2025-03-01")
    buys(oracle, *["2025-02-01"] * 6, each="1.00")
    assert tier(oracle) == ("diamond", "2025-03-01")
    # until its review is recorded it stands
    assert oracle.standing(oracle.state.members["m"], "tier", at("2027-01-01 00:00")) == "diamond"
    assert review(oracle, "2027-07-01 00:00") == 4
    assert tier_events(oracle, -4) == [
        ("extended", "diamond", "2025-03-02 00:00", "2025-06-01"),
        ("downgraded", "gold", "2025-06-02 00:00", "2026-06-01"),
        ("downgraded", "silver", "2026-06-02 00:00", "2027-06-01"),
        ("downgraded", "regular", "2027-06-02 00:00", "None"),
    ]
    standing = oracle.standing(oracle.state.members["m"], "tier", at("2026-01-01 00:00"))
    assert standing == "gold"


def test_6_3_a_soft_landing_is_one_tier_down_for_12_months() -> None:
    oracle = shop()
    buys(oracle, *["2024-02-29"] * 6, each="2000.00")
    assert tier(oracle) == ("gold", "2025-02-28")
    buys(oracle, "2024-06-01", "2024-06-02", each="1000.00")
    review(oracle, "2025-03-01 00:00")
    # the window holds 29 February 2024 (28 February 2025 − 12 months = 28 February 2024)
    assert tier_events(oracle, -1) == [("renewed", "gold", "2025-03-01 00:00", "2026-02-28")]
    review(oracle, "2026-03-01 00:00")
    assert tier_events(oracle, -1) == [("downgraded", "silver", "2026-03-01 00:00", "2027-02-28")]


ALWAYS = {"extension": {"repurchases": 3, "months": 3, "when": "always"}}


def test_6_3_always_gives_the_months_on_top_as_soon_as_reached_once_a_validity() -> None:
    oracle = shop(silver=ALWAYS)
    silver(oracle)
    buys(oracle, "2024-05-01", "2024-06-01", each="1.00")
    assert tier(oracle) == ("silver", "2025-03-02")
    buys(oracle, "2024-07-01", each="1.00")
    assert tier_events(oracle) == [("extended", "silver", "2024-07-01 12:00", "2025-06-02")]
    buys(oracle, *["2024-07-02"] * 3, each="1.00")
    assert len(tier_events(oracle)) == 1
    # at its end the grace has been used
    review(oracle, "2025-06-03 00:00")
    assert tier_events(oracle)[1] == ("downgraded", "regular", "2025-06-03 00:00", "None")


def test_6_3_always_holds_for_each_new_validity() -> None:
    oracle = shop(silver=ALWAYS)
    silver(oracle)
    buys(oracle, "2024-07-01", "2024-07-01", "2024-07-01", each="700.00")
    assert tier(oracle) == ("silver", "2025-06-02")
    review(oracle, "2025-06-03 00:00")
    assert tier(oracle) == ("silver", "2026-06-02")
    buys(oracle, "2025-06-02", "2025-06-04", "2025-06-05", each="1.00")  # the first is outside
    assert tier(oracle) == ("silver", "2026-06-02")
    buys(oracle, "2025-06-06", each="1.00")
    assert tier(oracle) == ("silver", "2026-09-02")


def test_6_3_always_is_given_at_the_end_where_no_order_could_give_it() -> None:
    oracle = shop(silver=ALWAYS)
    silver(oracle)
    buys(oracle, "2024-07-01", "2024-07-01", "2024-07-01", each="700.00")  # until 2 June 2025
    buys(oracle, "2025-07-01", "2025-07-02", "2025-07-03", each="1.00")  # before the review
    review(oracle, "2026-06-03 00:00")
    assert [event[0] for event in tier_events(oracle)] == ["extended", "renewed", "extended"]
    assert tier_events(oracle)[2][2:] == ("2026-06-03 00:00", "2026-09-02")


def test_6_4_an_upgrade_starts_a_new_12_months() -> None:
    oracle = shop()
    silver(oracle)
    buys(oracle, "2024-09-01", "2024-09-02", each="100.00")
    assert buys(oracle, "2024-09-03", each="7800.00").tier == ("silver", "gold")
    assert tier(oracle) == ("gold", "2025-09-03")
    assert review(oracle, "2025-09-03 23:59") == 0


def test_6_4_an_upgrade_in_an_extension_starts_a_new_12_months_too() -> None:
    oracle = shop()
    silver(oracle)
    buys(oracle, *["2024-09-01"] * 6, each="1.00")
    review(oracle, "2025-03-03 00:00")
    assert buys(oracle, "2025-05-31", each="7994.00").tier == ("silver", "gold")
    shown = oracle.member("m", at("2025-05-31 13:00"))["tier"]
    assert shown == {
        "code": "gold",
        "since": date(2025, 5, 31),
        "until": date(2026, 5, 31),
        "extended": False,
    }


@pytest.mark.parametrize("is_reviewed", [True, False])
def test_6_4_a_review_due_on_the_day_of_an_upgrade(is_reviewed: bool) -> None:
    """The tier stands until its review is recorded: an order before that upgrades from it."""
    oracle = shop()
    silver(oracle)
    buys(oracle, "2024-03-02", "2024-03-02", each="1.00")
    if is_reviewed:
        review(oracle, "2025-03-03 00:00")
    upgrade = buys(oracle, "2025-03-03", each="7998.00").tier
    assert upgrade == ("regular" if is_reviewed else "silver", "gold")
    assert tier(oracle) == ("gold", "2026-03-03")
    assert review(oracle, "2025-03-03 23:59") == 0
    kinds = [event[0] for event in tier_events(oracle)]
    assert kinds == ["downgraded", "upgraded"] if is_reviewed else ["upgraded"]


def test_6_4_on_its_last_day_an_upgrade_leaves_nothing_to_review() -> None:
    oracle = shop()
    silver(oracle)
    buys(oracle, "2024-03-02", "2024-03-02", each="1.00")
    assert buys(oracle, "2025-03-02", each="7998.00").tier == ("silver", "gold")
    assert review(oracle, "2025-03-03 00:00") == 0


def test_6_4_a_refund_takes_no_tier_away_before_its_end() -> None:
    oracle = shop()
    silver(oracle)
    for order in ("o0", "o1"):
        oracle.refund(at("2024-03-03 12:00"), "f" + order, order, money("900.00"))
    assert tier(oracle) == ("silver", "2025-03-02")
    totals = oracle.member("m", at("2024-03-03 12:00"))["totals"]
    assert (totals["spend"], totals["repurchases"]) == (Decimal("200.00"), 0)
    assert review(oracle, "2025-03-03 00:00") == 1
    assert tier(oracle) == ("regular", None)


def test_6_4_a_late_order_betters_the_review_by_a_correction() -> None:
    oracle = shop()
    lost_silver(oracle)
    late(oracle, "2025-03-10 10:00", "2025-02-01", "1999.00")
    assert tier(oracle) == ("regular", None)
    assert late(oracle, "2025-03-10 10:00", "2025-02-02", "1.00").tier is None
    event = oracle.state.members["m"].tier_events[-1]
    assert tier_events(oracle)[1:] == [("renewed", "silver", "2025-03-03 00:00", "2026-03-02")]
    assert event.corrects == 1
    # nothing better than renewed: once more changes nothing
    late(oracle, "2025-03-11 10:00", "2025-02-02", "1.00")
    assert len(tier_events(oracle)) == 2


def test_6_4_a_correction_may_be_corrected_again() -> None:
    oracle = shop()
    lost_silver(oracle)
    for _ in range(6):
        late(oracle, "2025-03-10 10:00", "2025-02-01", "1.00")
    assert tier(oracle) == ("silver", "2025-06-02")
    late(oracle, "2025-03-11 10:00", "2025-02-01", "1994.00")
    assert tier_events(oracle) == [
        ("downgraded", "regular", "2025-03-03 00:00", "None"),
        ("extended", "silver", "2025-03-03 00:00", "2025-06-02"),
        ("renewed", "silver", "2025-03-03 00:00", "2026-03-02"),
    ]
    events = oracle.state.members["m"].tier_events
    assert [event.corrects for event in events] == [None, None, 1, 2]


def test_6_4_reviews_that_are_due_after_a_correction_are_recorded_anew() -> None:
    oracle = shop()
    lost_silver(oracle)
    for _ in range(6):
        late(oracle, "2025-07-01 10:00", "2025-02-01", "1.00")
    # extended to 2 June, which by 1 July has passed: 6 repurchases, but no second grace
    assert tier_events(oracle)[1:] == [
        ("extended", "silver", "2025-03-03 00:00", "2025-06-02"),
        ("downgraded", "regular", "2025-06-03 00:00", "None"),
    ]
    # the latest review whose window holds 1 February 2025 is now that of June
    late(oracle, "2025-07-02 10:00", "2025-02-01", "1994.00")
    assert tier_events(oracle)[3:] == [("renewed", "silver", "2025-06-03 00:00", "2026-06-02")]
    assert oracle.state.members["m"].tier_events[-1].corrects == 3


def test_6_4_an_earlier_review_is_decided_again_where_only_its_window_holds_the_order() -> None:
    oracle = shop()
    buys(oracle, *["2024-03-01"] * 6, each="2000.00")  # gold until 1 March 2025
    review(oracle, "2026-03-02 00:00")
    assert [event[1] for event in tier_events(oracle, -2)] == ["silver", "regular"]
    for _ in range(5):
        late(oracle, "2026-03-05 10:00", "2024-08-01", "2000.00")
    assert tier_events(oracle, -2) == [
        ("renewed", "gold", "2025-03-02 00:00", "2026-03-01"),
        ("downgraded", "silver", "2026-03-02 00:00", "2027-03-01"),
    ]


def test_6_4_after_an_upgrade_no_review_is_decided_again() -> None:
    oracle = shop()
    lost_silver(oracle)
    buys(oracle, "2025-04-01", "2025-04-02", each="1000.00")  # regained until 2 April 2026
    late(oracle, "2025-04-10 10:00", "2025-02-01", "2000.00")
    late(oracle, "2025-04-10 10:00", "2025-02-01", "2000.00")
    assert tier(oracle) == ("silver", "2026-04-02")
    assert [event[0] for event in tier_events(oracle)] == ["downgraded", "upgraded"]


def test_6_4_an_order_decides_by_the_tier_that_held_at_its_time() -> None:
    """An as-of question must not be answered with today's tier (FAILURES 21)."""
    oracle = shop()
    campaign = {"code": "c", "multiplier": "2", "only": {"tiers": ["silver"]}}
    oracle.versions[0][1]["campaigns"] = [campaign]
    lost_silver(oracle)
    now = "2025-03-20 10:00"
    assert late(oracle, now, "2024-03-01", "10.00").points == 10
    assert late(oracle, now, "2025-03-02", "10.00").points == 20
    assert late(oracle, now, "2025-03-03", "10.00").points == 10


# --------------------------------------------------------------- 7 levels, segments, lifecycle


def month(oracle: Oracle, on: str, member: str = "m") -> Any:
    """The review of the first of a month, recorded with those before it."""
    oracle.review_levels(at(on + " 00:00"))
    found = oracle.state.members[member].level_reviews[-1]
    assert found.on == date.fromisoformat(on)
    return found


def check_ins(oracle: Oracle, *days: str) -> None:
    """One a day, each recorded then."""
    for day in days:
        name = f"a{len(oracle.state.members['m'].activities)}"
        assert oracle.activity(at(day + " 12:00"), "m", "check_in", name).code == "ok"


def test_7_the_reviews_are_on_the_first_of_each_month_and_missed_ones_are_caught_up() -> None:
    oracle = shop("2024-01-31 23:59")
    assert oracle.review_levels(at("2024-01-31 23:59")) == 0
    assert oracle.review_levels(at("2024-02-01 00:00")) == 1
    assert oracle.review_levels(at("2024-02-29 23:59")) == 0
    assert oracle.review_levels(at("2024-06-15 00:00")) == 4
    days = [review.on for review in oracle.state.members["m"].level_reviews]
    assert days == [date(2024, number, 1) for number in range(2, 7)]
    # whoever joined on the first has the first review a month later
    assert (
        oracle.enrol(at("2024-06-15 12:00"), "n", occurred_at=at("2024-06-01 00:00")).code == "ok"
    )
    assert oracle.review_levels(at("2024-06-15 12:00")) == 0


def test_7_before_the_first_review_ordinary_basic_and_new_and_null_where_off() -> None:
    seen = shop().member("m", at("2024-01-01 00:00"))
    assert (seen["level"], seen["segment"], seen["lifecycle"]) == ("ordinary", "basic", "new")
    rules = {
        k: v for k, v in RETAIL.items() if k not in ("levels", "segments", "lifecycle", "tiers")
    }
    oracle = Oracle(rules)
    oracle.enrol(at("2024-01-01 00:00"), "m")
    seen = oracle.member("m", at("2025-01-01 00:00"))
    kinds = ("tier", "level", "segment", "lifecycle")
    assert [seen[kind] for kind in kinds] == [None] * 4
    assert oracle.review_levels(at("2025-01-01 00:00")) == 0


@pytest.mark.parametrize(
    ("amount", "activities", "score", "level"),
    [
        # 0.6 × (125 / 50 + 5) = 4.5
        ("125.00", 0, 5, "ordinary"),
        ("124.99", 0, 4, "ordinary"),
        # 0.6 × (375 / 50 + 5) = 7.5
        ("375.00", 0, 8, "ordinary"),
        ("375.00", 1, 10, "ordinary"),  # and 0.4 × 5
        # 0.6 × (3,958.34 / 50 + 5) = 50.50008
        ("3958.33", 0, 50, "ordinary"),
        ("3958.34", 0, 51, "active"),
        ("8125.00", 0, 101, "core"),  # 100.5
        ("8124.99", 0, 100, "active"),
        ("12291.67", 0, 151, "loyal"),  # 150.50004
        ("12291.66", 0, 150, "core"),
        ("11625.00", 4, 151, "loyal"),  # 142.5 + 8
    ],
)
def test_7_1_the_score_is_rounded_half_up_and_sorted_into_bands(
    amount: str, activities: int, score: int, level: str
) -> None:
    oracle = shop()
    buys(oracle, "2024-03-02", each=amount)
    check_ins(oracle, *[f"2024-03-{day:02d}" for day in range(1, 1 + activities)])
    found = month(oracle, "2024-04-01")
    assert (found.score, found.level) == (score, level)


@pytest.mark.parametrize(
    ("day", "counts"),
    [("2024-03-31", 0), ("2024-04-01", 1), ("2025-03-31", 1), ("2025-04-01", 0)],
)
def test_7_the_window_is_the_12_months_before_the_first(day: str, counts: int) -> None:
    oracle = shop()
    buys(oracle, day, each="500.00")
    check_ins(oracle, day)
    found = month(oracle, "2025-04-01")
    assert (found.orders, found.activities) == (counts, counts)
    assert (found.spend, found.score) == (500 * counts, 11 * counts)


def test_7_1_what_was_given_back_does_not_count() -> None:
    oracle = shop()
    buys(oracle, "2024-03-01", "2024-03-02", each="100.00")
    oracle.refund(at("2024-03-05 10:00"), "f0", "o0", money("100.00"))
    oracle.refund(at("2024-03-05 10:00"), "f1", "o1", money("50.00"))
    found = month(oracle, "2024-04-01")
    assert (found.spend, found.orders, found.repurchases) == (50, 1, 0)
    assert found.score == 4  # 0.6 × (1 + 5) = 3.6


def test_7_1_an_activity_over_a_cap_does_not_count() -> None:
    oracle = shop()
    check_ins(oracle, "2024-03-01", "2024-03-01", "2024-03-02")
    assert month(oracle, "2024-04-01").activities == 2


def test_7_1_a_rewarded_referral_is_an_activity_of_the_referrer_until_it_is_given_back() -> None:
    oracle = shop()
    for name, day in (("n", "2024-03-30"), ("p", "2024-04-01")):
        oracle.enrol(at("2024-03-05 10:00"), name, referral_code="code-m")
        buy(oracle, day + " 10:00", "first-of-" + name, "10.00", member=name)
    found = month(oracle, "2024-04-01")
    assert (found.activities, found.score) == (1, 2)  # that of 1 April comes with May
    oracle.refund(at("2024-04-02 10:00"), "f", "first-of-n", money("10.00"))
    assert month(oracle, "2024-05-01").activities == 1
    assert oracle.state.members["n"].level_reviews[-1].activities == 0


def test_7_1_late_data_never_correct_a_review() -> None:
    oracle = shop()
    before = month(oracle, "2024-04-01")
    late(oracle, "2024-04-02 10:00", "2024-03-20", "9000.00")
    assert oracle.review_levels(at("2024-04-02 10:00")) == 0
    assert oracle.state.members["m"].level_reviews[-1] == before
    assert month(oracle, "2024-05-01").level == "core"


def test_7_1_the_level_that_held_at_an_orders_time_decides_it() -> None:
    oracle = shop()
    buys(oracle, "2024-03-20", each="9000.00")
    month(oracle, "2024-04-01")  # 111: core
    month(oracle, "2025-04-01")  # nothing in 12 months: ordinary
    now = "2025-04-02 10:00"
    assert late(oracle, now, "2024-03-31", "100.00").points == 100
    assert late(oracle, now, "2024-04-01", "100.00").points == 120
    assert late(oracle, now, "2025-03-31", "100.00").points == 120
    assert late(oracle, now, "2025-04-01", "100.00").points == 100


def test_7_1_a_loyal_referrer_is_so_by_the_review_in_force() -> None:
    oracle = shop()
    buys(oracle, "2024-03-20", each="20000.00")
    for name, when in (("n", "2024-03-31 23:59"), ("p", "2024-04-01 00:00")):
        oracle.enrol(at("2024-03-05 10:00"), name, referral_code="code-m")
        month(oracle, "2024-04-01")
        before = total(oracle, "granted")
        buy(oracle, "2024-04-03 10:00", "o" + name, "1.00", member=name, occurred_at=at(when))
        assert total(oracle, "granted") - before == (100 if name == "n" else 200)


@pytest.mark.parametrize(
    ("orders", "each", "acts", "segment"),
    [
        (5, "1000.00", ["2024-03-31", "2024-03-02"], "core"),
        (5, "1000.00", ["2024-03-31", "2024-03-01"], "potential"),  # 31 days before
        (5, "999.99", ["2024-03-31", "2024-03-02"], "potential"),
        (4, "2000.00", ["2024-03-31", "2024-03-02"], "potential"),  # 3 repurchases
        (3, "666.67", ["2024-03-02"], "potential"),
        (3, "666.66", ["2024-03-02"], "basic"),
        (2, "1000.00", ["2024-03-02"], "basic"),
        (3, "1000.00", [], "basic"),
        (3, "1000.00", ["2024-04-01"], "basic"),
    ],
)
def test_7_2_core_and_potential(orders: int, each: str, acts: list[str], segment: str) -> None:
    oracle = shop()
    buys(oracle, *["2024-02-29"] * orders, each=each)
    check_ins(oracle, *acts)
    assert month(oracle, "2024-04-01").segment == segment


def test_7_2_the_first_order_of_the_life_is_no_repurchase_in_a_later_window() -> None:
    oracle = shop()
    buys(oracle, "2024-03-31", each="1.00")
    buys(oracle, *["2024-05-01"] * 2, each="1000.00")
    check_ins(oracle, "2025-03-31")
    assert month(oracle, "2025-04-01").segment == "potential"  # both are repurchases
    oracle.refund(at("2025-04-02 10:00"), "f", "o0", money("1.00"))
    check_ins(oracle, "2025-04-30")
    assert month(oracle, "2025-05-01").segment == "basic"  # now only one is


@pytest.mark.parametrize(
    ("joined", "bought", "each", "acts", "segment"),
    [
        ("2024-01-01", [], "0.00", [], "dormant"),
        ("2024-01-02", [], "0.00", [], "basic"),  # not yet enrolled for 6 months
        ("2023-06-01", ["2023-12-31"], "499.99", ["2023-12-31"], "dormant"),
        ("2023-06-01", ["2023-12-31"], "500.00", [], "basic"),
        ("2023-06-01", ["2024-01-01"], "1.00", [], "basic"),
        ("2023-06-01", [], "0.00", ["2024-01-01"], "basic"),
        ("2022-06-01", ["2023-06-30"], "9000.00", [], "dormant"),  # more than 12 months ago
    ],
)
def test_7_2_dormant(
    joined: str, bought: list[str], each: str, acts: list[str], segment: str
) -> None:
    oracle = shop(joined + " 10:00")
    for day in bought:
        buys(oracle, day, each=each)
    check_ins(oracle, *acts)
    assert month(oracle, "2024-07-01").segment == segment


@pytest.mark.parametrize(
    ("joined", "bought", "acts", "stage"),
    [
        # dormant: idle for 6 months, that is since before 1 January
        ("2023-12-31", [], [], "dormant"),
        ("2024-01-01", [], [], "lapsing"),
        ("2023-01-01", ["2023-12-31"], ["2023-12-31"], "dormant"),
        ("2023-01-01", ["2024-01-01"], [], "lapsing"),
        ("2023-01-01", [], ["2024-01-01"], "lapsing"),
        # lapsing: no order for 3 months, whatever the activities
        ("2024-03-31", [], ["2024-06-30"], "lapsing"),
        ("2024-04-01", [], [], "growing"),  # 91 days
        ("2024-04-02", [], [], "growing"),  # 90 days: no longer new
        ("2024-04-03", [], [], "new"),  # 89 days
        ("2023-10-01", ["2024-03-31"], [], "lapsing"),
        # won back: an order after 3 idle months, for 90 days
        ("2023-12-31", ["2024-04-02"], [], "won_back"),
        ("2023-12-31", ["2024-04-01"], [], "growing"),  # 91 days ago
        ("2024-02-01", ["2024-05-01"], [], "growing"),  # idle for just 3 months
        ("2024-01-31", ["2024-05-01"], [], "won_back"),
        ("2023-06-01", ["2024-01-15", "2024-05-01"], [], "won_back"),
        ("2023-06-01", ["2024-02-01", "2024-05-01"], [], "growing"),
        ("2023-06-01", ["2024-01-15", "2024-05-01", "2024-05-02"], ["2024-03-01"], "won_back"),
        # stable: 12 months and 4 orders in them
        ("2023-07-01", ["2023-07-02", "2023-10-01", "2024-01-01", "2024-04-01"], [], "stable"),
        ("2023-07-02", ["2023-07-02", "2023-10-01", "2024-01-01", "2024-04-01"], [], "growing"),
        ("2023-07-01", ["2023-10-01", "2024-01-01", "2024-04-01"], [], "growing"),
        # 4 orders, but one of them before 1 July 2023
        ("2023-06-01", ["2023-06-30", "2023-09-30", "2023-12-30", "2024-03-30"], [], "lapsing"),
        (
            "2023-06-01",
            ["2023-06-30", "2023-09-30", "2023-12-30", "2024-03-30", "2024-06-30"],
            [],
            "stable",
        ),
    ],
)
def test_7_3_the_first_stage_that_matches(
    joined: str, bought: list[str], acts: list[str], stage: str
) -> None:
    oracle = shop(joined + " 10:00")
    for day in bought:
        buys(oracle, day, each="10.00")
    check_ins(oracle, *acts)
    assert month(oracle, "2024-07-01").lifecycle == stage


def test_7_3_a_refunded_order_wins_nobody_back() -> None:
    oracle = shop("2023-10-01 10:00")
    buys(oracle, "2024-06-01", each="10.00")
    assert month(oracle, "2024-07-01").lifecycle == "won_back"
    oracle.refund(at("2024-07-02 10:00"), "f", "o0", money("10.00"))
    assert month(oracle, "2024-08-01").lifecycle == "dormant"


def test_7_3_the_ends_of_months_and_leap_days() -> None:
    """Review days up to the 28th always exist; idle months end on the last day there is."""
    oracle = shop("2023-08-29 10:00")
    oracle.versions[0][1]["levels"]["review_day"] = 28
    # 28 February 2024 − 6 months = 28 August: enrolled the day after, idle for less
    assert oracle.review_levels(at("2024-02-28 00:00")) == 6
    reviews = oracle.state.members["m"].level_reviews
    assert [str(found.on)[5:] for found in reviews][-2:] == ["01-28", "02-28"]
    assert [found.lifecycle for found in reviews][-2:] == ["lapsing", "lapsing"]
    assert month(oracle, "2024-03-28").lifecycle == "dormant"


# ----------------------------------------------------------------- adjustments, status, identity


def test_adjustments() -> None:
    oracle = start()
    now = at("2024-03-01 10:00")
    assert oracle.adjust(now, "m", "j1", 30).code == "ok"
    assert oracle.adjust(now, "m", "j2", -31).code == "insufficient_points"
    assert oracle.adjust(now, "m", "j2", -20).code == "ok"
    assert oracle.adjust(now, "m", "j2", -20).code == "ok"
    assert oracle.adjust(now, "m", "j3", 0).code == "invalid_request"
    assert balance(oracle, "2024-03-01 10:00") == (10, 0, 0, 0)
    assert total(oracle, "adjusted") == 10


def test_an_adjustment_is_refused_for_a_closed_member_only() -> None:
    oracle = start()
    now = at("2024-03-01 10:00")
    oracle.freeze(now, "m")
    assert oracle.adjust(now, "m", "j1", 30).code == "ok"
    assert oracle.adjust(now, "m", "j2", -30).code == "ok"
    oracle.close(now, "m")
    assert oracle.adjust(now, "m", "j3", 30).code == "member_closed"


def test_a_frozen_or_closed_member_neither_earns_nor_redeems() -> None:
    oracle = start()
    buy(oracle, "2024-03-01 10:00", "o1", "300.00")
    offset(oracle, "2024-03-01 10:00", "r1", 100, reserve=True)
    now = "2024-03-01 10:01"
    assert oracle.freeze(at(now), "m").code == "ok"
    assert buy(oracle, now, "o2", "1.00").code == "member_frozen"
    assert offset(oracle, now, "r2", 100).code == "member_frozen"
    assert oracle.capture(at(now), "r1").code == "member_frozen"
    assert buy(oracle, "2024-03-01 10:00", "o1", "300.00").points == 300  # a repeat
    assert oracle.release(at(now), "r1").code == "ok"
    assert oracle.refund(at(now), "f1", "o1", money("100.00")).clawed_back == 100
    assert oracle.unfreeze(at(now), "m").code == "ok"
    assert buy(oracle, now, "o2", "1.00").code == "ok"
    assert oracle.close(at(now), "m").code == "ok"
    assert oracle.activity(at(now), "m", "check_in", "a1").code == "member_closed"
    assert oracle.unfreeze(at(now), "m").code == "member_closed"


def test_what_a_request_must_look_like() -> None:
    oracle = start()
    now = at("2024-03-01 10:00")
    soon, too_late = now + timedelta(minutes=5), now + timedelta(minutes=5, seconds=1)
    assert oracle.accrue(now, "m", "o1", money("1.00"), occurred_at=soon).code == "ok"
    for amount in ("-1.00", "1.001", "100000000.00", "NaN"):
        assert oracle.accrue(now, "m", "o2", money(amount)).code == "invalid_request"
    assert oracle.accrue(now, "m", "o2", money("1"), occurred_at=too_late).code == "invalid_request"
    assert oracle.accrue(now, "m", "o 2", money("1")).code == "invalid_request"
    assert oracle.accrue(now, "nobody", "o2", money("1")).code == "not_found"
    assert oracle.accrue(now, "m", "o1", money("1.00")).code == "already_recorded"
    assert oracle.enrol(now, "m").code == "ok"
    assert oracle.enrol(now, "m", phone="+861").code == "already_recorded"


def test_a_version_decides_from_its_effective_time_on() -> None:
    oracle = start()
    double = tomllib.loads(RULES)
    double["earning"]["rate"] = "2"
    oracle.publish(double, at("2024-06-01 00:00"), at("2024-06-15 00:00"))
    late = {"occurred_at": at("2024-05-31 23:59")}
    assert buy(oracle, "2024-06-16 10:00", "o1", "10.00").points == 20
    assert buy(oracle, "2024-06-16 10:00", "o2", "10.00", **late).points == 10


def test_the_ambiguities_are_written_down() -> None:
    assert all(a.rule and a.choice and a.alternative for a in AMBIGUITIES)


@pytest.mark.parametrize("seed", range(6))
def test_a_random_life_balances(seed: int) -> None:
    """PROGRAMME 11.2: the totals come to outstanding − debt, whatever happened; jobs settle it."""
    chance = random.Random(seed)
    oracle = start(CAMPAIGNS, pending=seed % 2 == 1, daily_earning_cap=800)
    now = at("2024-01-01 00:00").astimezone(UTC)
    codes = set()
    for i in range(60):
        now += timedelta(days=chance.choice([0, 0, 1, 20, 80]), minutes=chance.randrange(30))
        then = now - timedelta(days=chance.choice([0, 0, 0, 3, 100]))
        n = chance.randrange(i + 1)
        amount = money(f"{chance.randrange(40000)}.00")
        operation = chance.randrange(8)
        if operation <= 1:
            amount = min(amount, money("400.00"))
            result = oracle.accrue(now, "m", f"o{i}", amount, occurred_at=then)
        elif operation == 2:
            points = 100 * chance.randrange(1, 4)
            reserve = chance.random() < 0.6
            result = oracle.redeem(
                now, "m", f"r{i}", points, f"o{n}", amount, reserve=reserve, occurred_at=then
            )
        elif operation == 3:
            result = oracle.capture(now, f"r{n}", chance.choice([None, 100]))
        elif operation == 4:
            result = oracle.refund(now, f"f{i}", f"o{n}", amount / 100, occurred_at=then)
        elif operation == 5:
            result = oracle.adjust(now, "m", f"j{i}", chance.randrange(-90, 90), occurred_at=then)
        elif operation == 6:
            result = oracle.release(now, f"r{n}")
        else:
            oracle.lapse(now)
            oracle.expire(now)
            continue
        codes.add(result.code)
        seen = oracle.member("m", now)
        totals, held = seen["settled_totals"], seen["balance"]
        closing = totals["granted"] + totals["restored"] + totals["adjusted"]
        closing -= totals["redeemed"] + totals["expired"] + totals["clawed_back"]
        assert closing == held["available"] + held["pending"] + held["reserved"] - held["debt"]
        assert min(held.values()) >= 0
    oracle.lapse(now)
    oracle.expire(now)
    seen = oracle.member("m", now)
    assert seen["totals"] == seen["settled_totals"]
    assert {"ok", "not_found"} <= codes
