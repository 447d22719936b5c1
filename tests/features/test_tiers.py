"""Tiers: reached at once, kept for a year, prolonged, lost step by step, corrected (PROGRAMME 6).

The ladder is retail's: silver 2,000 and 2 repurchases, gold 10,000 and 5, diamond 50,000 and 12;
the same figures within twelve months keep them; 6 repurchases prolong them by three months.
李雷 (li-lei) usually reaches his tier on 15 June 2025: it is good through 15 June 2026, and its
review is dated the midnight after, 2026-06-16 00:00, over the dates after 2025-06-15.
"""

from __future__ import annotations

import json
import tomllib
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from shop import OpenShop, Shop, campaign, local, order, rows, rules, shipped

from ledger import requests as r
from ledger.ledger import Ledger
from ledger.programme import read_programme, shipped_text
from ledger.programme.model import Programme
from projections.history import history_page
from projections.members import VIEW as MEMBERS
from projections.runner import catch_up
from scheduler.jobs import MONTHS_AT_ONCE, run_job

REACHING = {
    "silver": ["1.00"] * 2 + ["1998.00"],
    "gold": ["1.00"] * 5 + ["9995.00"],
    "diamond": ["1.00"] * 12 + ["49988.00"],
}
"""Orders that reach a tier with the last of them, from nothing: none lower before it."""

TIER_TOPICS = ("TierUpgraded", "TierRenewed", "TierExtended", "TierDowngraded")
REVIEW_TOPICS = TIER_TOPICS[1:]


def ladder(**gold: Any) -> list[dict[str, Any]]:
    """Retail's tiers, gold with other settings."""
    tiers: list[dict[str, Any]] = tomllib.loads(shipped_text("retail"))["tiers"]
    return [{**tier, **gold} if tier["code"] == "gold" else tier for tier in tiers]


def always() -> Programme:
    """Retail, where the grace extension comes on top, as soon as it is reached."""
    tiers = ladder()
    for tier in tiers:
        if "extension" in tier:
            tier["extension"]["when"] = "always"
    return shipped("retail", tiers=tiers)


@pytest.fixture
def shop(open_shop: OpenShop) -> Shop:
    """A shop with retail's rules, at noon on 1 May 2026."""
    return open_shop(shipped("retail"))


def buys(shop: Shop, *orders: tuple[str, str], member_id: str = "li-lei") -> dict[str, Any]:
    """Orders of these days (at ten, unless the time is given) and amounts; the last answer."""
    answer: dict[str, Any] = {}
    for day, amount in orders:
        moment = day if " " in day else f"{day} 10:00"
        answer = shop.buys(member_id, order_of(day), amount, on=moment)
    return answer


def order_of(day: str) -> str:
    """The id of the order that `buys` makes on a day."""
    return f"o-{day.replace(' ', '-')}"


def small(month: str, count: int, amount: str = "10.00") -> list[tuple[str, str]]:
    """So many orders of a small amount, one on each of the first days of a month."""
    return [(f"{month}-{number:02}", amount) for number in range(1, count + 1)]


def becomes(shop: Shop, tier: str, day: str = "2025-06-15", member_id: str = "li-lei") -> None:
    """Orders of one morning, the last of which reaches a tier from nothing."""
    for number, amount in enumerate(REACHING[tier]):
        on = f"{day} 09:{number:02}"
        shop.buys(member_id, f"up-{day}-{number}-{member_id}", amount, on=on)
    assert shop.member(member_id)["tier"]["code"] == tier


def changes(shop: Shop, *topics: str, member_id: str = "li-lei") -> list[tuple[str, Any, Any]]:
    """(kind, when, good through) of every change of the tier, as recorded."""
    return [
        (event.TOPIC.removeprefix("Tier"), event.occurred_at, event.until)
        for event in shop.events(member_id, *(topics or TIER_TOPICS))
    ]


def midnight(day: str) -> Any:
    """The local midnight with which a date begins."""
    return local(f"{day} 00:00")


def version_of(shop: Shop, topic: str) -> int:
    """The version of the last event of a kind in 李雷's stream."""
    return max(
        one.originator_version
        for one in shop.ledger.events_of("li-lei")
        if one.event.TOPIC in (topic,)
    )


# 6.1 What counts


def test_6_1_spend_is_net_of_refunds_and_the_earliest_order_that_counts_is_no_repurchase(
    shop: Shop,
) -> None:
    buys(shop, ("2026-04-01", "1000.00"), ("2026-04-02", "500.00"))
    shop.refunds(order_of("2026-04-01"), "f-1", "1000.00")
    # 500 + 1500 = 2000, but the order of the 2nd is now the earliest: one repurchase
    assert buys(shop, ("2026-04-03", "1500.00"))["tier"]["code"] == "regular"
    assert buys(shop, ("2026-04-04", "0.00"))["tier"]["code"] == "regular"
    assert buys(shop, ("2026-04-05", "0.01"))["tier"]["code"] == "silver"
    (event,) = shop.events("li-lei", "TierUpgraded")
    assert (event.spend, event.repurchases) == (Decimal("2000.01"), 2)


def test_6_1_an_order_counts_while_a_cent_of_it_is_left(shop: Shop) -> None:
    buys(shop, ("2026-04-01", "1000.00"))
    shop.refunds(order_of("2026-04-01"), "f-1", "999.99")
    buys(shop, ("2026-04-02", "1000.00"))
    # 0.01 + 1000 + 999.99 = 2000 with the first, a second and a third order
    assert buys(shop, ("2026-04-03", "999.99"))["tier"]["code"] == "silver"


@pytest.mark.parametrize(
    ("refunded", "refunded_on", "kind"),
    [
        # given back after the window, but bought in it: 10,000.00 − 0.01 do not keep gold
        ("o-2026-06-01", "2026-06-20 10:00", "Downgraded"),
        # given back in the window, but bought before it, on the day of the upgrade
        ("up-2025-06-15-5-li-lei", "2026-06-10 10:00", "Renewed"),
    ],
)
def test_6_1_a_refund_belongs_to_its_orders_date(
    shop: Shop, refunded: str, refunded_on: str, kind: str
) -> None:
    becomes(shop, "gold")
    shop.at("2026-06-20 12:00")
    buys(shop, *small("2026-05", 4), ("2026-06-01", "9960.00"))
    shop.refunds(refunded, "f-1", "0.01", on=refunded_on)
    assert shop.reviews_tiers("li-lei") == 1
    assert [change[0] for change in changes(shop, *REVIEW_TOPICS)] == [kind]


def test_6_1_when_the_first_orders_are_given_back_the_next_is_no_repurchase(shop: Shop) -> None:
    becomes(shop, "silver")
    buys(shop, *small("2026-01", 2, "1000.00"))
    for number, amount in enumerate(REACHING["silver"]):
        shop.refunds(f"up-2025-06-15-{number}-li-lei", f"f-{number}", amount)
    shop.at("2026-06-16 00:00")
    assert shop.reviews_tiers("li-lei") == 1
    # 2,000 in the window, but the first of the two is now the earliest of his life
    (event,) = shop.events("li-lei", *REVIEW_TOPICS)
    assert (event.spend, event.repurchases) == (Decimal("2000.00"), 1)
    assert shop.tier("li-lei") == ("regular", None)


# 6.2 Upgrades


@pytest.mark.parametrize(
    ("amounts", "tier"),
    [
        (["1000.00", "500.00", "499.99"], "regular"),
        (["1000.00", "500.00", "500.00"], "silver"),
        (["5000.00", "4000.00"], "regular"),  # one repurchase
        (["2000.00", "0.01", "0.01"], "silver"),
        (["1000.00"] * 5 + ["4999.99"], "silver"),
        (["1000.00"] * 5 + ["5000.00"], "gold"),
        (["2000.00"] * 5, "silver"),  # 10,000, but four repurchases
        (["1000.00"] * 12 + ["37999.99"], "gold"),
        (["1000.00"] * 12 + ["38000.00"], "diamond"),
        (["5000.00"] * 12, "gold"),  # 60,000, but eleven repurchases
    ],
)
def test_6_2_a_tier_needs_its_spend_and_its_repurchases(
    shop: Shop, amounts: list[str], tier: str
) -> None:
    for number, amount in enumerate(amounts, 1):
        shop.buys("li-lei", f"o-{number}", amount, on=f"2026-04-{number:02} 10:00")
    assert shop.member("li-lei")["tier"]["code"] == tier


def test_6_2_upgrade_at_once_on_the_order_that_reaches_both_thresholds(shop: Shop) -> None:
    before = buys(shop, ("2026-04-01", "1000.00"), ("2026-04-02", "500.00"))
    assert (before["tier"]["code"], before["tier"]["changed"]) == ("regular", False)
    answer = buys(shop, ("2026-04-03", "500.00"))
    assert (answer["tier"]["code"], answer["tier"]["changed"]) == ("silver", True)
    assert answer["tier"]["from"] == "regular"
    assert shop.member("li-lei")["tier"] == {
        "code": "silver", "since": "2026-04-03", "until": "2027-04-03", "extended": False,
    }  # fmt: skip
    after = buys(shop, ("2026-04-04", "10.00"))
    assert (after["tier"]["code"], after["tier"]["changed"]) == ("silver", False)


def test_6_2_the_event_carries_the_figures_that_decided(shop: Shop) -> None:
    buys(shop, ("2026-04-01", "1000.00"), ("2026-04-02", "500.00"), ("2026-04-03", "600.00"))
    (event,) = shop.events("li-lei", "TierUpgraded")
    assert (event.from_tier, event.to_tier, event.basis) == ("regular", "silver", "lifetime")
    assert (event.spend, event.repurchases) == (Decimal("2100.00"), 2)
    assert (event.needed_spend, event.needed_repurchases) == (Decimal("2000.00"), 2)
    assert (event.since, event.until) == (date(2026, 4, 3), date(2027, 4, 3))
    assert (event.programme_version, event.order_id) == (1, "o-2026-04-03")
    assert event.occurred_at == local("2026-04-03 10:00")
    topics = [one.TOPIC for one in shop.events("li-lei")]
    assert topics.index("TierUpgraded") > topics.index("PointsAccrued")


@pytest.mark.parametrize(("tier", "orders"), [("gold", 6), ("diamond", 13)])
def test_6_2_one_order_may_jump_several_tiers(shop: Shop, tier: str, orders: int) -> None:
    becomes(shop, tier)
    (event,) = shop.events("li-lei", "TierUpgraded")
    assert (event.from_tier, event.to_tier) == ("regular", tier)
    assert event.repurchases == orders - 1
    assert shop.tier("li-lei") == (tier, "2026-06-15")


def test_6_2_an_orders_own_upgrade_does_not_raise_its_own_points_but_the_next_ones(
    open_shop: OpenShop,
) -> None:
    silver = campaign("silver_days", start="2026-04-01 00:00", multiplier="2",
                      only={"tiers": ["silver"]})  # fmt: skip
    shop = open_shop(shipped("retail", campaigns=[silver]))
    buys(shop, ("2026-04-01", "1000.00"), ("2026-04-02", "500.00"))
    assert rows(buys(shop, ("2026-04-03", "500.00"))) == [("spend", 500)]
    assert rows(buys(shop, ("2026-04-04", "10.00"))) == [
        ("spend", 10), ("campaign:silver_days", 10),
    ]  # fmt: skip


def test_6_2_the_rules_of_the_orders_day_say_what_reaches_a_tier(open_shop: OpenShop) -> None:
    shop = open_shop(shipped("retail"))
    tiers = ladder()
    tiers[1] = {**tiers[1], "spend": "100.00", "repurchases": 0}
    shop.publish(shipped("retail", tiers=tiers), "2026-04-10 00:00")
    assert buys(shop, ("2026-04-09 23:59", "100.00"))["tier"]["code"] == "regular"
    assert buys(shop, ("2026-04-10 00:00", "0.01"))["tier"]["code"] == "silver"
    (event,) = shop.events("li-lei", "TierUpgraded")
    assert (event.programme_version, event.needed_spend) == (2, Decimal("100.00"))


def test_6_without_tiers_nobody_has_one_and_none_is_reviewed(open_shop: OpenShop) -> None:
    shop = open_shop(rules())
    assert buys(shop, *small("2026-04", 3, "9000.00"))["tier"] is None
    assert shop.member("li-lei")["tier"] is None
    assert shop.reviews_tiers("li-lei") == 0
    assert changes(shop) == []


def test_6_2_where_tiers_are_new_what_was_spent_before_them_counts(open_shop: OpenShop) -> None:
    shop = open_shop(rules())
    shop.publish(rules(tiers=ladder()), "2026-04-01 00:00")
    buys(shop, *small("2026-03", 3, "1000.00"))
    assert shop.tier("li-lei") == ("regular", None)
    assert buys(shop, ("2026-04-01", "0.01"))["tier"]["code"] == "silver"
    (event,) = shop.events("li-lei", "TierUpgraded")
    assert (event.spend, event.repurchases) == (Decimal("3000.01"), 3)


# 6.2 A tier once lost


def gold_lost_with_nine_thousand(shop: Shop) -> None:
    """Gold of 15 June 2025; 9,000 and 4 repurchases on 10 June 2026 do not keep it."""
    becomes(shop, "gold")
    shop.at("2026-06-16 09:00")
    buys(
        shop,
        *((f"2026-06-10 {hour}:00", "1000.00") for hour in (10, 11, 12)),
        ("2026-06-10 13:00", "6000.00"),
    )
    assert shop.reviews_tiers("li-lei") == 1
    assert shop.tier("li-lei") == ("silver", "2027-06-15")


def test_6_2_a_lost_tier_is_not_regained_by_what_was_spent_long_ago(shop: Shop) -> None:
    becomes(shop, "gold")
    shop.at("2026-06-16 09:00")
    shop.reviews_tiers("li-lei")
    shop.at("2026-07-10 12:00")
    # more than 10,000 in his life, and as many orders: only the twelve months count now
    lacking = buys(shop, *small("2026-07", 4, "1000.00"), ("2026-07-05", "5999.99"))
    assert (lacking["tier"]["code"], lacking["tier"]["changed"]) == ("silver", False)
    enough = buys(shop, ("2026-07-06", "0.01"))
    assert (enough["tier"]["code"], enough["tier"]["changed"]) == ("gold", True)
    event = shop.events("li-lei", "TierUpgraded")[-1]
    assert (event.from_tier, event.to_tier, event.basis) == ("silver", "gold", "regained")
    assert (event.spend, event.repurchases) == (Decimal("10000.00"), 6)
    assert (event.needed_spend, event.needed_repurchases) == (Decimal("10000.00"), 5)
    assert (event.window_from, event.window_to) == (date(2025, 7, 7), date(2026, 7, 6))
    assert shop.tier("li-lei") == ("gold", "2027-07-06")


def test_6_2_a_tier_may_be_regained_on_the_day_of_its_loss(shop: Shop) -> None:
    gold_lost_with_nine_thousand(shop)
    # the twelve months to 16 June hold the 9,000 as well
    assert buys(shop, ("2026-06-16 08:00", "1000.00"))["tier"]["code"] == "gold"
    assert shop.tier("li-lei") == ("gold", "2027-06-16")


@pytest.mark.parametrize(
    ("day", "tier"),
    [
        ("2027-06-09", "gold"),  # after 2026-06-09: the 9,000 of 10 June are in it
        ("2027-06-10", "silver"),  # after 2026-06-10: they are not
    ],
)
def test_6_2_the_trailing_twelve_months_end_to_the_day(shop: Shop, day: str, tier: str) -> None:
    gold_lost_with_nine_thousand(shop)
    shop.at(f"{day} 12:00")
    assert buys(shop, (day, "1000.00"))["tier"]["code"] == tier


def test_6_2_what_keeps_a_tier_may_be_less_than_what_reaches_it(open_shop: OpenShop) -> None:
    tiers = ladder(keep={"spend": "3000.00", "repurchases": 1})
    shop = open_shop(shipped("retail", tiers=tiers))
    becomes(shop, "gold")
    shop.at("2026-07-01 12:00")
    shop.reviews_tiers("li-lei")
    assert shop.tier("li-lei")[0] == "silver"
    assert buys(shop, ("2026-06-20", "2999.99"))["tier"]["code"] == "silver"
    assert buys(shop, ("2026-06-21", "0.01"))["tier"]["code"] == "gold"


def test_6_2_a_tier_never_held_is_reached_by_the_whole_life_also_after_a_loss(shop: Shop) -> None:
    becomes(shop, "silver")
    buys(shop, *small("2025-07", 3, "0.01"))
    shop.at("2026-07-15 12:00")
    assert shop.reviews_tiers("li-lei") == 1
    assert shop.tier("li-lei") == ("regular", None)
    # 2,000 + 0.03 + 7,999.97 with six repurchases: gold. In the last twelve months there is but
    # this one, so that silver alone would not be regained.
    assert buys(shop, ("2026-07-15", "7999.97"))["tier"]["code"] == "gold"
    event = shop.events("li-lei", "TierUpgraded")[-1]
    assert (event.from_tier, event.to_tier, event.basis) == ("regular", "gold", "lifetime")


# 6.2 Late orders


def test_6_2_a_late_order_may_reach_a_tier_at_its_own_time(shop: Shop) -> None:
    buys(shop, ("2026-01-10", "1000.00"), ("2026-01-20", "1.00"), ("2026-03-10", "1.00"))
    answer = buys(shop, ("2026-02-01", "999.00"))  # 2,000 with two repurchases, that day
    assert (answer["tier"]["code"], answer["tier"]["changed"]) == ("silver", True)
    assert changes(shop) == [("Upgraded", local("2026-02-01 10:00"), date(2027, 2, 1))]
    assert shop.member("li-lei")["tier"]["since"] == "2026-02-01"


def test_6_2_a_late_order_lets_a_later_recorded_one_date_the_upgrade(shop: Shop) -> None:
    buys(shop, ("2026-01-10", "1000.00"), ("2026-02-10", "500.00"), ("2026-03-10", "400.00"))
    assert shop.tier("li-lei")[0] == "regular"
    # 1,100 on 1 February, 1,600 on 10 February, 2,000 on 10 March
    buys(shop, ("2026-02-01", "100.00"))
    assert changes(shop) == [("Upgraded", local("2026-03-10 10:00"), date(2027, 3, 10))]
    (event,) = shop.events("li-lei", "TierUpgraded")
    assert (event.spend, event.repurchases) == (Decimal("2000.00"), 3)


def test_6_2_a_late_first_order_makes_a_repurchase_of_the_one_that_was_first(shop: Shop) -> None:
    buys(shop, ("2026-01-10", "1000.00"), ("2026-02-10", "1000.00"))
    assert shop.tier("li-lei")[0] == "regular"
    buys(shop, ("2025-12-31", "0.01"))
    assert changes(shop) == [("Upgraded", local("2026-02-10 10:00"), date(2027, 2, 10))]


def test_6_2_a_late_order_that_reaches_two_tiers_dates_each_of_them(shop: Shop) -> None:
    buys(shop, *((f"2026-03-{day}", "1.00") for day in (10, 12, 13, 14, 15, 16)))
    # Five small repurchases, and now 9,999 after the first: 2,000 and 2 repurchases are reached
    # on the 12th, 10,000 and 5 on the 15th.
    buys(shop, ("2026-03-11", "9999.00"))
    assert shop.tier("li-lei") == ("gold", "2027-03-15")
    assert shop.member("li-lei")["tier"]["since"] == "2026-03-15"
    assert shop.member_then("li-lei", "2026-03-12 10:00")["tier"]["code"] == "silver"
    assert shop.member_then("li-lei", "2026-03-12 09:59")["tier"]["code"] == "regular"


def test_6_2_what_a_late_upgrade_brings_counts_from_its_day_for_what_is_recorded_then(
    open_shop: OpenShop,
) -> None:
    silver = campaign("silver_days", start="2026-01-01 00:00", multiplier="2",
                      only={"tiers": ["silver"]})  # fmt: skip
    shop = open_shop(shipped("retail", campaigns=[silver]))
    buys(shop, ("2026-01-10", "1000.00"), ("2026-01-20", "1.00"))
    assert buys(shop, ("2026-03-10", "1.00"))["points"] == 1
    buys(shop, ("2026-02-01", "999.00"))
    assert buys(shop, ("2026-02-01 09:59", "10.00"))["points"] == 10
    assert buys(shop, ("2026-02-01 10:01", "10.00"))["points"] == 20
    assert shop.available("li-lei") == 1000 + 1 + 1 + 999 + 10 + 20  # what was decided stands


def test_6_2_the_rules_of_the_order_that_reaches_decide_a_late_upgrade(shop: Shop) -> None:
    stricter = ladder()
    stricter[1] = {**stricter[1], "spend": "5000.00"}
    shop.publish(shipped("retail", tiers=stricter), "2026-03-01 00:00")
    buys(shop, ("2026-01-10", "1000.00"), ("2026-02-10", "500.00"), ("2026-03-10", "400.00"))
    # 2,000 are there on 10 March only, when silver needs 5,000
    buys(shop, ("2026-02-01", "100.00"))
    assert changes(shop) == []
    assert shop.tier("li-lei") == ("regular", None)


def test_6_2_a_late_upgrade_whose_year_is_over_stands_until_its_review(shop: Shop) -> None:
    buys(shop, ("2025-01-10", "1000.00"), ("2025-02-10", "500.00"))
    buys(shop, ("2025-01-20", "500.00"))
    assert shop.tier("li-lei") == ("silver", "2026-02-10")
    assert shop.reviews_tiers("li-lei") == 1
    assert shop.tier("li-lei") == ("regular", None)
    assert shop.member_then("li-lei", "2026-02-10 12:00")["tier"]["code"] == "silver"
    assert shop.member_then("li-lei", "2026-02-11 00:00")["tier"]["code"] == "regular"


# 6.2 Validity, 6.3 reviews: dates as before, do, after

DATES = [
    # upgraded, last good day, reviewed at the midnight of, extended to, renewed to
    ("2026-05-31", "2027-05-31", "2027-06-01", "2027-08-31", "2028-05-31"),
    ("2027-01-31", "2028-01-31", "2028-02-01", "2028-04-30", "2029-01-31"),
    ("2026-11-30", "2027-11-30", "2027-12-01", "2028-02-29", "2028-11-30"),
    ("2026-12-31", "2027-12-31", "2028-01-01", "2028-03-31", "2028-12-31"),
    ("2027-02-28", "2028-02-28", "2028-02-29", "2028-05-28", "2029-02-28"),
    ("2027-03-01", "2028-03-01", "2028-03-02", "2028-06-01", "2029-03-01"),
]


@pytest.mark.parametrize(("upgraded", "until", "reviewed", "extended", "renewed"), DATES)
def test_6_3_the_dates_of_a_tier_to_the_day(
    shop: Shop, upgraded: str, until: str, reviewed: str, extended: str, renewed: str
) -> None:
    shop.at(f"{upgraded} 12:00")
    becomes(shop, "gold", upgraded)
    becomes(shop, "gold", upgraded, "han-meimei")
    assert shop.tier("li-lei") == ("gold", until)
    shop.at(f"{until} 23:59")
    for number in range(6):  # his are 6 for 60.00, hers 6 for 10,000.00
        shop.buys("li-lei", f"his-{number}", "10.00", on=f"{until} 10:0{number}")
        shop.buys("han-meimei", f"hers-{number}", "2000.00", on=f"{until} 10:0{number}")
    assert (shop.reviews_tiers("li-lei"), shop.reviews_tiers("han-meimei")) == (0, 0)
    shop.at(f"{reviewed} 00:00")
    assert (shop.reviews_tiers("li-lei"), shop.reviews_tiers("han-meimei")) == (1, 1)
    assert (shop.tier("li-lei"), shop.tier("han-meimei")) == (("gold", extended), ("gold", renewed))
    for member_id, topic in (("li-lei", "TierExtended"), ("han-meimei", "TierRenewed")):
        (event,) = shop.events(member_id, topic)
        assert event.occurred_at == midnight(reviewed)
        assert event.until_before == date.fromisoformat(until)


def test_6_3_a_tier_of_29_february_is_kept_by_the_orders_of_that_day(shop: Shop) -> None:
    shop.at("2028-02-29 12:00")
    becomes(shop, "gold", "2028-02-29")
    assert shop.tier("li-lei") == ("gold", "2029-02-28")
    shop.at("2029-02-28 23:59")
    assert shop.reviews_tiers("li-lei") == 0
    shop.at("2029-03-01 00:00")
    # The window holds the dates after 2029-02-28 less 12 months, 2028-02-28: the 29th is in it.
    assert shop.reviews_tiers("li-lei") == 1
    assert changes(shop, *REVIEW_TOPICS) == [
        ("Renewed", midnight("2029-03-01"), date(2030, 2, 28)),
    ]


@pytest.mark.parametrize(
    ("zone", "reached", "since", "until", "reviewed"),
    [
        # all times are Shanghai's: UTC+8. Los Angeles has UTC−7 in May, Auckland UTC+12
        ("America/Los_Angeles", "2026-05-02 14:59", "2026-05-01", "2027-05-01", "2027-05-02 15:00"),
        ("UTC", "2026-05-02 07:59", "2026-05-01", "2027-05-01", "2027-05-02 08:00"),
        ("Asia/Shanghai", "2026-05-02 07:59", "2026-05-02", "2027-05-02", "2027-05-03 00:00"),
        ("Pacific/Auckland", "2026-05-02 20:00", "2026-05-03", "2027-05-03", "2027-05-03 20:00"),
    ],
)
def test_6_2_dates_are_those_of_the_programme(
    open_shop: OpenShop, zone: str, reached: str, since: str, until: str, reviewed: str
) -> None:
    shop = open_shop(shipped("retail", time_zone=zone))
    shop.at("2026-05-03 12:00")
    buys(shop, ("2026-04-01", "1.00"), ("2026-04-02", "1.00"), (reached, "1998.00"))
    tier = shop.member("li-lei")["tier"]
    assert (tier["code"], tier["since"], tier["until"]) == ("silver", since, until)
    shop.clock.now = local(reviewed) - timedelta(minutes=1)
    assert shop.reviews_tiers("li-lei") == 0
    shop.at(reviewed)
    assert shop.reviews_tiers("li-lei") == 1
    (event,) = shop.events("li-lei", "TierDowngraded")
    assert event.occurred_at == local(reviewed)


@pytest.mark.parametrize("day", ["2026-06-15", "2026-06-16"])
@pytest.mark.parametrize("reviewed_first", [False, True])
def test_6_3_a_review_due_on_the_day_of_an_upgrade(
    shop: Shop, day: str, *, reviewed_first: bool
) -> None:
    becomes(shop, "silver")
    buys(shop, *small("2025-07", 3, "0.01"))
    shop.at(f"{day} 10:00")
    if reviewed_first:
        # on the last good day nothing is due yet; the day after, silver is lost at midnight
        assert shop.reviews_tiers("li-lei") == (0 if day == "2026-06-15" else 1)
    # 2,000 + 0.03 + 7,999.97 with six repurchases reach gold
    assert buys(shop, (day, "7999.97"))["tier"]["code"] == "gold"
    until = f"2027{day[4:]}"
    assert shop.tier("li-lei") == ("gold", until)
    shop.at("2026-06-17 10:00")
    assert shop.reviews_tiers("li-lei") == 0  # the upgrade has begun twelve months of its own
    assert shop.tier("li-lei") == ("gold", until)


# 6.3 Reviews


@pytest.mark.parametrize(
    ("moment", "kind"),
    [
        ("2025-06-15 23:59", "Downgraded"),
        ("2025-06-16 00:00", "Renewed"),
        ("2026-06-15 23:59", "Renewed"),
        ("2026-06-16 00:00", "Downgraded"),
    ],
)
def test_6_3_the_window_of_a_review_to_the_day(shop: Shop, moment: str, kind: str) -> None:
    becomes(shop, "gold")
    shop.at("2026-06-16 00:00")
    # four repurchases are in the window anyhow; with this one they are five, and 10,000
    orders = [*small("2026-01", 4, "1.00"), (moment, "9996.00")]
    buys(shop, *sorted(orders))
    assert shop.reviews_tiers("li-lei") == 1
    assert [change[0] for change in changes(shop, *REVIEW_TOPICS)] == [kind]


@pytest.mark.parametrize(
    ("orders", "kind"),
    [
        ([*small("2026-01", 4), ("2026-02-01", "9960.00")], "Renewed"),  # 10,000 and 5
        ([*small("2026-01", 4), ("2026-02-01", "9959.99")], "Downgraded"),
        ([*small("2026-01", 3), ("2026-02-01", "9970.00")], "Downgraded"),  # 10,000, but 4
        ([*small("2026-01", 5), ("2026-02-01", "9949.99")], "Extended"),  # 9,999.99 and 6
        (small("2026-01", 6, "0.01"), "Extended"),
        (small("2026-01", 5, "0.01"), "Downgraded"),
        ([], "Downgraded"),
    ],
)
def test_6_3_renewed_or_extended_or_one_tier_down(
    shop: Shop, orders: list[tuple[str, str]], kind: str
) -> None:
    becomes(shop, "gold")
    buys(shop, *orders)
    shop.at("2026-06-16 00:00")
    assert shop.reviews_tiers("li-lei") == 1
    until = {"Renewed": date(2027, 6, 15), "Extended": date(2026, 9, 15)}
    assert changes(shop, *REVIEW_TOPICS) == [
        (kind, midnight("2026-06-16"), until.get(kind, date(2027, 6, 15))),
    ]
    held = "silver" if kind == "Downgraded" else "gold"
    assert shop.member("li-lei")["tier"]["code"] == held


def test_6_3_renewal_carries_the_figures_that_decided(shop: Shop) -> None:
    becomes(shop, "gold")
    buys(shop, *small("2026-01", 4, "2000.00"), ("2026-02-01", "2500.00"))
    shop.at("2026-07-01 12:00")
    shop.reviews_tiers("li-lei")
    (event,) = shop.events("li-lei", "TierRenewed")
    assert event.tier == "gold"
    assert (event.spend, event.repurchases) == (Decimal("10500.00"), 5)
    assert (event.needed_spend, event.needed_repurchases) == (Decimal("10000.00"), 5)
    assert (event.until_before, event.until) == (date(2026, 6, 15), date(2027, 6, 15))
    assert event.window_to == date(2026, 6, 15)
    assert (event.programme_version, event.corrects) == (1, None)
    assert event.occurred_at == midnight("2026-06-16")
    assert shop.member("li-lei")["tier"]["extended"] is False


def test_6_3_soft_landing_one_tier_down_and_the_event_says_why(shop: Shop) -> None:
    becomes(shop, "diamond")
    buys(shop, *small("2026-01", 2, "300.00"))
    shop.at("2026-06-16 00:00")
    assert shop.reviews_tiers("li-lei") == 1
    (event,) = shop.events("li-lei", "TierDowngraded")
    assert (event.tier, event.to_tier) == ("diamond", "gold")
    assert (event.window_from, event.window_to) == (date(2025, 6, 16), date(2026, 6, 15))
    assert (event.spend, event.repurchases) == (Decimal("600.00"), 2)
    assert (event.needed_spend, event.needed_repurchases) == (Decimal("50000.00"), 12)
    assert (event.until_before, event.until) == (date(2026, 6, 15), date(2027, 6, 15))
    assert shop.tier("li-lei") == ("gold", "2027-06-15")


def test_6_3_grace_extension_keeps_gold_three_months(shop: Shop) -> None:
    becomes(shop, "gold")
    buys(shop, *small("2026-01", 6))
    shop.at("2026-06-16 00:00")
    assert shop.reviews_tiers("li-lei") == 1
    tier = shop.member("li-lei")["tier"]
    assert (tier["code"], tier["until"], tier["extended"]) == ("gold", "2026-09-15", True)
    (event,) = shop.events("li-lei", "TierExtended")
    assert event.tier == "gold"
    assert (event.spend, event.repurchases) == (Decimal("60.00"), 6)
    assert event.needed_repurchases == 6
    assert (event.until_before, event.until) == (date(2026, 6, 15), date(2026, 9, 15))
    shop.at("2026-09-15 23:59")
    assert shop.reviews_tiers("li-lei") == 0
    shop.at("2026-09-16 00:00")
    assert shop.reviews_tiers("li-lei") == 1
    assert shop.tier("li-lei") == ("silver", "2027-09-15")


def test_6_3_the_grace_rule_works_once_in_a_validity(shop: Shop) -> None:
    becomes(shop, "gold")
    buys(shop, *small("2026-01", 6))
    shop.at("2026-06-16 00:00")
    shop.reviews_tiers("li-lei")
    shop.at("2026-09-16 00:00")
    buys(shop, *small("2026-08", 7))  # again six and more, now within the extension
    assert shop.reviews_tiers("li-lei") == 1
    assert changes(shop, *REVIEW_TOPICS) == [
        ("Extended", midnight("2026-06-16"), date(2026, 9, 15)),
        ("Downgraded", midnight("2026-09-16"), date(2027, 9, 15)),
    ]


def test_6_3_the_end_of_an_extension_may_renew(shop: Shop) -> None:
    becomes(shop, "gold")
    buys(shop, *small("2026-01", 6))
    shop.at("2026-06-16 00:00")
    shop.reviews_tiers("li-lei")
    shop.at("2026-09-16 00:00")
    # the twelve months before 15 September hold the 60.00 of January as well: 10,000
    buys(shop, ("2026-08-01", "9940.00"))
    assert shop.reviews_tiers("li-lei") == 1
    assert changes(shop, *REVIEW_TOPICS)[-1] == (
        "Renewed", midnight("2026-09-16"), date(2027, 9, 15),
    )  # fmt: skip
    tier = shop.member("li-lei")["tier"]
    assert (tier["code"], tier["until"], tier["extended"]) == ("gold", "2027-09-15", False)


@pytest.mark.parametrize(("day", "kind"), [("2025-09-15", "Downgraded"), ("2025-09-16", "Renewed")])
def test_6_3_the_window_at_the_end_of_an_extension_begins_a_year_before_it(
    shop: Shop, day: str, kind: str
) -> None:
    becomes(shop, "gold")
    buys(shop, (day, "9000.00"), *small("2026-01", 6))
    shop.at("2026-06-16 00:00")
    shop.reviews_tiers("li-lei")  # 9,060 and 7: extended
    shop.at("2026-09-16 00:00")
    buys(shop, ("2026-08-01", "940.00"))
    shop.reviews_tiers("li-lei")
    assert [change[0] for change in changes(shop, *REVIEW_TOPICS)] == ["Extended", kind]


def test_6_3_a_renewed_tier_and_a_lower_one_have_a_grace_of_their_own(shop: Shop) -> None:
    becomes(shop, "gold")
    buys(shop, *small("2026-01", 4), ("2026-02-01", "9960.00"))
    shop.at("2026-06-16 00:00")
    shop.reviews_tiers("li-lei")
    shop.at("2027-06-16 00:00")
    buys(shop, *small("2027-01", 6))
    shop.reviews_tiers("li-lei")
    shop.at("2027-09-16 00:00")
    shop.reviews_tiers("li-lei")
    shop.at("2028-09-16 00:00")
    buys(shop, *small("2028-01", 6))
    shop.reviews_tiers("li-lei")
    assert changes(shop, *REVIEW_TOPICS) == [
        ("Renewed", midnight("2026-06-16"), date(2027, 6, 15)),
        ("Extended", midnight("2027-06-16"), date(2027, 9, 15)),
        ("Downgraded", midnight("2027-09-16"), date(2028, 9, 15)),
        ("Extended", midnight("2028-09-16"), date(2028, 12, 15)),
    ]
    assert shop.tier("li-lei") == ("silver", "2028-12-15")


def test_6_3_without_an_extension_in_the_rules_there_is_no_grace(open_shop: OpenShop) -> None:
    tiers = ladder()
    del tiers[2]["extension"]
    shop = open_shop(shipped("retail", tiers=tiers))
    becomes(shop, "gold")
    buys(shop, *small("2026-01", 9))
    shop.at("2026-06-16 00:00")
    shop.reviews_tiers("li-lei")
    assert shop.tier("li-lei") == ("silver", "2027-06-15")


def test_6_3_a_tier_stands_until_its_review_is_recorded(open_shop: OpenShop) -> None:
    gold = campaign("gold_days", start="2026-06-01 00:00", end="2026-07-01 00:00",
                    multiplier="2", only={"tiers": ["gold"]})  # fmt: skip
    shop = open_shop(shipped("retail", campaigns=[gold]))
    becomes(shop, "gold")
    shop.at("2026-06-20 12:00")
    assert shop.tier("li-lei") == ("gold", "2026-06-15")
    assert buys(shop, ("2026-06-18", "100.00"))["points"] == 200
    assert shop.reviews_tiers("li-lei") == 1
    # now it is known that he was silver from the 16th on
    assert shop.member_then("li-lei", "2026-06-15 23:59")["tier"]["code"] == "gold"
    assert shop.member_then("li-lei", "2026-06-16 00:00")["tier"]["code"] == "silver"
    assert buys(shop, ("2026-06-15 20:00", "100.00"))["points"] == 200
    assert buys(shop, ("2026-06-16 00:00", "100.00"))["points"] == 100
    assert buys(shop, ("2026-06-20 11:00", "100.00"))["points"] == 100
    assert [event.points for event in shop.events("li-lei", "PointsAccrued")][6:] == [
        200, 200, 100, 100,
    ]  # fmt: skip


def test_6_3_several_missed_reviews_are_caught_up_in_order(shop: Shop) -> None:
    becomes(shop, "diamond")
    becomes(shop, "gold", "2025-09-01", "han-meimei")
    buys(shop, *small("2026-03", 6), member_id="han-meimei")
    shop.at("2029-07-01 12:00")
    assert shop.reviews_tiers("li-lei") == 3
    assert changes(shop, *REVIEW_TOPICS) == [
        ("Downgraded", midnight("2026-06-16"), date(2027, 6, 15)),
        ("Downgraded", midnight("2027-06-16"), date(2028, 6, 15)),
        ("Downgraded", midnight("2028-06-16"), None),
    ]
    assert shop.tier("li-lei") == ("regular", None)
    assert shop.reviews_tiers("han-meimei") == 3
    assert changes(shop, *REVIEW_TOPICS, member_id="han-meimei") == [
        ("Extended", midnight("2026-09-02"), date(2026, 12, 1)),
        ("Downgraded", midnight("2026-12-02"), date(2027, 12, 1)),
        ("Downgraded", midnight("2027-12-02"), None),
    ]
    for then, tier in (("2026-06-15", "diamond"), ("2027-06-15", "gold"), ("2028-06-15", "silver")):
        assert shop.member_then("li-lei", f"{then} 12:00")["tier"]["code"] == tier


def test_6_3_a_repeated_review_changes_nothing(shop: Shop) -> None:
    becomes(shop, "gold")
    shop.at("2026-06-16 00:00")
    assert shop.reviews_tiers("li-lei") == 1
    before = shop.everything_stored()
    assert shop.reviews_tiers("li-lei") == 0
    shop.at("2027-06-15 23:59")
    assert shop.reviews_tiers("li-lei") == 0
    assert shop.everything_stored() == before


def test_6_3_the_job_finds_who_is_due(shop: Shop) -> None:
    becomes(shop, "gold")
    becomes(shop, "silver", "2025-06-16", "han-meimei")
    shop.joins("lucy", on="2025-06-01 09:00")
    shop.at("2026-06-16 00:00")
    assert run_job(shop.ledger, "review-tiers", shop.clock.now)["affected"] == 1
    shop.at("2027-07-01 00:00")
    # his second, from silver to regular, and hers
    assert run_job(shop.ledger, "review-tiers", shop.clock.now)["affected"] == 2
    assert run_job(shop.ledger, "review-tiers", shop.clock.now)["affected"] == 0
    assert [shop.tier(one)[0] for one in ("li-lei", "han-meimei", "lucy")] == ["regular"] * 3


def test_6_3_a_run_for_an_earlier_moment_does_what_was_due_then(shop: Shop) -> None:
    becomes(shop, "diamond")
    shop.at("2028-07-01 12:00")
    for as_of, due, tier in (
        ("2026-06-15 23:59", 0, "diamond"),
        ("2027-06-15 23:59", 1, "gold"),
        ("2027-06-16 00:00", 1, "silver"),
    ):
        answer = shop.does(r.ReviewTiers(member_id="li-lei", as_of=local(as_of)))
        assert (answer["affected"], shop.tier("li-lei")[0]) == (due, tier)


def test_6_3_reviews_in_time_and_caught_up_find_the_same(shop: Shop) -> None:
    together = ("li-lei", "han-meimei")
    for member_id in together:
        becomes(shop, "diamond", member_id=member_id)
    for month in (f"20{25 + n // 12}-{n % 12 + 1:02}" for n in range(6, 48)):  # from July 2025
        if month >= "2026-05":
            shop.at(f"{month}-28 12:00")
        for member_id in together:
            shop.buys(member_id, f"o-{month}-{member_id}", "170.00", on=f"{month}-20 10:00")
        if month >= "2026-05":
            shop.reviews_tiers("li-lei")  # hers are forgotten, until the end
    shop.at("2029-07-01 12:00")
    for member_id in together:
        shop.reviews_tiers(member_id)
    in_time, caught_up = (changes(shop, *REVIEW_TOPICS, member_id=one) for one in together)
    # twelve orders a year of 170.00: 2,040 keep silver, and six repurchases prolong the others
    assert (
        in_time
        == caught_up
        == [
            ("Extended", midnight("2026-06-16"), date(2026, 9, 15)),
            ("Downgraded", midnight("2026-09-16"), date(2027, 9, 15)),
            ("Extended", midnight("2027-09-16"), date(2027, 12, 15)),
            ("Downgraded", midnight("2027-12-16"), date(2028, 12, 15)),
            ("Renewed", midnight("2028-12-16"), date(2029, 12, 15)),
        ]
    )


@pytest.mark.parametrize(
    ("effective", "kind", "version", "needed"),
    [
        ("2026-06-16 00:00", "Downgraded", 2, "12000.00"),
        ("2026-06-16 00:01", "Renewed", 1, "10000.00"),
    ],
)
def test_6_3_the_rules_in_force_at_its_midnight_decide_a_review(
    shop: Shop, effective: str, kind: str, version: int, needed: str
) -> None:
    becomes(shop, "gold")
    buys(shop, *small("2026-01", 5, "2000.00"))
    stricter = ladder(keep={"spend": "12000.00", "repurchases": 5})
    shop.publish(shipped("retail", tiers=stricter), effective)
    shop.at("2026-12-01 12:00")  # recorded late, which makes no difference
    shop.reviews_tiers("li-lei")
    (event,) = shop.events("li-lei", *REVIEW_TOPICS)
    assert [change[0] for change in changes(shop, *REVIEW_TOPICS)] == [kind]
    assert (event.programme_version, event.needed_spend) == (version, Decimal(needed))


# 6.3 extension.when = "always"


def test_6_3_always_gives_the_months_on_the_sixth_repurchase(open_shop: OpenShop) -> None:
    shop = open_shop(always())
    becomes(shop, "gold")
    buys(shop, *small("2026-01", 5))
    assert shop.tier("li-lei") == ("gold", "2026-06-15")
    buys(shop, ("2026-01-06", "10.00"))
    tier = shop.member("li-lei")["tier"]
    assert (tier["code"], tier["until"], tier["extended"]) == ("gold", "2026-09-15", True)
    (event,) = shop.events("li-lei", "TierExtended")
    assert (event.occurred_at, event.order_id) == (local("2026-01-06 10:00"), "o-2026-01-06")
    assert (event.until_before, event.until) == (date(2026, 6, 15), date(2026, 9, 15))
    assert (event.repurchases, event.needed_repurchases) == (6, 6)


def test_6_3_always_gives_them_once_in_a_validity_and_no_grace_after_it(
    open_shop: OpenShop,
) -> None:
    shop = open_shop(always())
    becomes(shop, "gold")
    buys(shop, *small("2026-01", 14))
    assert shop.tier("li-lei") == ("gold", "2026-09-15")
    shop.at("2026-06-16 00:00")
    assert shop.reviews_tiers("li-lei") == 0
    shop.at("2026-09-16 00:00")
    assert shop.reviews_tiers("li-lei") == 1  # 140.00 and 14: no second grace
    assert changes(shop, *REVIEW_TOPICS) == [
        ("Extended", local("2026-01-06 10:00"), date(2026, 9, 15)),
        ("Downgraded", midnight("2026-09-16"), date(2027, 9, 15)),
    ]


def test_6_3_always_counts_the_repurchases_of_the_validity_only(open_shop: OpenShop) -> None:
    shop = open_shop(always())
    becomes(shop, "gold")
    # the rest of the day of the upgrade is not after 2026-06-15 less 12 months
    buys(shop, *((f"2025-06-15 1{hour}:00", "10.00") for hour in range(7)))
    assert shop.tier("li-lei") == ("gold", "2026-06-15")
    shop.at("2026-06-16 10:00")
    buys(shop, *small("2026-01", 5))
    # nor is the 16th of June in it, although the review is not recorded yet
    buys(shop, ("2026-06-16 09:00", "10.00"))
    assert shop.tier("li-lei") == ("gold", "2026-06-15")
    assert shop.reviews_tiers("li-lei") == 1
    assert shop.tier("li-lei") == ("silver", "2027-06-15")


def test_6_3_always_gives_them_again_after_a_renewal(open_shop: OpenShop) -> None:
    shop = open_shop(always())
    becomes(shop, "gold")
    buys(shop, *small("2026-01", 5), ("2026-01-06", "9950.00"))
    assert shop.tier("li-lei") == ("gold", "2026-09-15")
    shop.at("2026-09-16 00:00")
    shop.reviews_tiers("li-lei")
    assert shop.tier("li-lei") == ("gold", "2027-09-15")
    shop.at("2027-02-01 00:00")
    buys(shop, *small("2027-01", 6))
    assert shop.tier("li-lei") == ("gold", "2027-12-15")


def test_6_3_enterprise_has_two_years_and_half_a_year_on_top(open_shop: OpenShop) -> None:
    shop = open_shop(shipped("enterprise"))
    shop.at("2026-06-01 12:00")
    buys(shop, ("2026-05-31 18:00", "5000.00"))
    assert shop.tier("li-lei") == ("preferred", "2028-05-31")
    shop.at("2026-08-01 12:00")
    buys(shop, *small("2026-07", 4))
    assert shop.tier("li-lei") == ("preferred", "2028-11-30")
    shop.at("2028-12-01 06:59")  # Berlin's midnight is 07:00 in Shanghai, in winter
    assert shop.reviews_tiers("li-lei") == 0
    shop.at("2028-12-01 07:00")
    assert shop.reviews_tiers("li-lei") == 1
    assert shop.tier("li-lei") == ("partner", None)


# 6.4 Upgrades, refunds and late orders within a validity


def test_6_4_an_upgrade_during_a_validity_starts_twelve_new_months(shop: Shop) -> None:
    becomes(shop, "silver")
    # 2,000 + 1 + 1 + 7,998 with five repurchases
    buys(shop, ("2026-01-10", "1.00"), ("2026-01-11", "1.00"), ("2026-02-01", "7998.00"))
    assert shop.tier("li-lei") == ("gold", "2027-02-01")
    shop.at("2026-06-16 00:00")
    assert shop.reviews_tiers("li-lei") == 0


def test_6_4_an_upgrade_during_an_extension_starts_twelve_new_months(shop: Shop) -> None:
    becomes(shop, "gold")
    buys(shop, *small("2026-01", 6))
    shop.at("2026-06-16 00:00")
    shop.reviews_tiers("li-lei")
    shop.at("2026-08-01 12:00")
    # 10,000 + 60 + 39,940 with twelve repurchases
    buys(shop, ("2026-08-01", "39940.00"))
    assert shop.member("li-lei")["tier"] == {
        "code": "diamond", "since": "2026-08-01", "until": "2027-08-01", "extended": False,
    }  # fmt: skip
    shop.at("2026-09-16 00:00")
    assert shop.reviews_tiers("li-lei") == 0


def test_6_4_a_refund_lowers_the_totals_but_takes_no_tier_before_its_end(shop: Shop) -> None:
    becomes(shop, "silver")
    shop.refunds("up-2025-06-15-2-li-lei", "f-1", "1998.00")
    assert shop.tier("li-lei") == ("silver", "2026-06-15")
    assert shop.totals("li-lei")["spend"] == "2.00"
    # 8,002 and five repurchases: the way to gold is longer again by what was given back
    buys(shop, *small("2025-07", 3, "1000.00"), ("2025-07-04", "5000.00"))
    assert shop.tier("li-lei") == ("silver", "2026-06-15")
    buys(shop, ("2025-07-05", "1997.99"))
    assert shop.tier("li-lei") == ("silver", "2026-06-15")
    assert buys(shop, ("2025-07-06", "0.01"))["tier"]["code"] == "gold"


def test_6_4_what_a_refund_took_is_missing_at_the_end(shop: Shop) -> None:
    becomes(shop, "gold")
    buys(shop, *small("2026-01", 5, "2000.00"))
    shop.refunds("o-2026-01-05", "f-1", "0.01")
    assert shop.tier("li-lei") == ("gold", "2026-06-15")
    shop.at("2026-06-16 00:00")
    shop.reviews_tiers("li-lei")
    assert shop.tier("li-lei") == ("silver", "2027-06-15")


def test_6_4_a_late_order_turns_a_downgrade_into_a_renewal(shop: Shop) -> None:
    gold_lost_with_nine_thousand(shop)
    shop.at("2026-06-20 12:00")
    answer = buys(shop, ("2026-06-09", "1000.00"))
    (event,) = shop.events("li-lei", "TierRenewed")
    assert (event.occurred_at, event.until) == (midnight("2026-06-16"), date(2027, 6, 15))
    assert event.corrects == version_of(shop, "TierDowngraded")
    assert (event.spend, event.repurchases) == (Decimal("10000.00"), 5)
    assert shop.tier("li-lei") == ("gold", "2027-06-15")
    assert answer["tier"]["code"] == "gold"
    assert shop.member_then("li-lei", "2026-06-16 00:00")["tier"]["code"] == "gold"
    shop.at("2027-06-15 12:00")
    assert shop.reviews_tiers("li-lei") == 0


def test_6_4_a_late_order_may_be_the_latest_of_all_and_still_corrects_the_review(
    shop: Shop,
) -> None:
    gold_lost_with_nine_thousand(shop)
    shop.at("2026-06-20 12:00")
    # after every other order, and before the end of the window that has been reviewed
    buys(shop, ("2026-06-11", "1000.00"))
    assert [change[0] for change in changes(shop, *REVIEW_TOPICS)] == ["Downgraded", "Renewed"]
    assert shop.tier("li-lei") == ("gold", "2027-06-15")


def test_6_4_an_upgrade_that_a_late_order_brings_comes_before_a_correction(shop: Shop) -> None:
    gold_lost_with_nine_thousand(shop)
    shop.at("2026-06-20 12:00")
    buys(shop, ("2026-06-18", "0.01"))
    # the twelve months to the order of the 18th hold 10,000.01 now: it regains gold
    buys(shop, ("2026-06-11", "1000.00"))
    event = shop.events("li-lei", "TierUpgraded")[-1]
    assert (event.occurred_at, event.basis) == (local("2026-06-18 10:00"), "regained")
    assert [change[0] for change in changes(shop, *REVIEW_TOPICS)] == ["Downgraded"]
    assert shop.tier("li-lei") == ("gold", "2027-06-18")


def test_6_4_a_late_order_turns_a_downgrade_into_an_extension(shop: Shop) -> None:
    becomes(shop, "gold")
    buys(shop, *small("2026-01", 5))
    shop.at("2026-06-20 12:00")
    shop.reviews_tiers("li-lei")
    assert shop.tier("li-lei") == ("silver", "2027-06-15")
    buys(shop, ("2025-12-31", "10.00"))
    (event,) = shop.events("li-lei", "TierExtended")
    assert (event.occurred_at, event.until) == (midnight("2026-06-16"), date(2026, 9, 15))
    assert event.corrects == version_of(shop, "TierDowngraded")
    tier = shop.member("li-lei")["tier"]
    assert (tier["code"], tier["until"], tier["extended"]) == ("gold", "2026-09-15", True)
    # the validity's grace is used with it
    shop.at("2026-09-16 00:00")
    buys(shop, *small("2026-08", 6))
    assert shop.reviews_tiers("li-lei") == 1
    assert shop.tier("li-lei") == ("silver", "2027-09-15")


def test_6_4_a_late_order_turns_an_extension_into_a_renewal(shop: Shop) -> None:
    becomes(shop, "gold")
    buys(shop, *small("2026-01", 6))
    shop.at("2026-06-20 12:00")
    shop.reviews_tiers("li-lei")
    buys(shop, ("2025-12-31", "9940.00"))
    (event,) = shop.events("li-lei", "TierRenewed")
    assert (event.occurred_at, event.until) == (midnight("2026-06-16"), date(2027, 6, 15))
    assert event.corrects == version_of(shop, "TierExtended")
    tier = shop.member("li-lei")["tier"]
    assert (tier["code"], tier["until"], tier["extended"]) == ("gold", "2027-06-15", False)


@pytest.mark.parametrize(
    ("orders", "late"),
    [
        ([], "500.00"),  # downgraded; still is
        (small("2026-01", 6), "10.00"),  # extended; still is
        (small("2026-01", 5, "2000.00"), "10.00"),  # renewed: nothing is better
    ],
)
def test_6_4_only_a_better_outcome_is_recorded(
    shop: Shop, orders: list[tuple[str, str]], late: str
) -> None:
    becomes(shop, "gold")
    buys(shop, *orders)
    shop.at("2026-06-20 12:00")
    shop.reviews_tiers("li-lei")
    before = changes(shop)
    buys(shop, ("2025-12-31", late))
    assert changes(shop) == before


@pytest.mark.parametrize(
    ("moment", "tier"), [("2025-06-15 23:59", "silver"), ("2025-06-16 00:00", "gold")]
)
def test_6_4_a_late_order_re_examines_the_review_whose_window_holds_it(
    shop: Shop, moment: str, tier: str
) -> None:
    gold_lost_with_nine_thousand(shop)
    shop.at("2026-06-20 12:00")
    buys(shop, (moment, "1000.00"))
    assert shop.tier("li-lei") == (tier, "2027-06-15")


def test_6_4_reviews_due_after_a_correction_are_recorded_at_once(shop: Shop) -> None:
    becomes(shop, "silver")
    buys(shop, ("2026-01-10", "1000.00"))
    shop.at("2027-12-01 12:00")
    shop.reviews_tiers("li-lei")
    assert shop.tier("li-lei") == ("regular", None)
    buys(shop, ("2026-01-05", "1000.00"))  # 2,000 and 2 in the window, after all
    assert changes(shop, *REVIEW_TOPICS) == [
        ("Downgraded", midnight("2026-06-16"), None),
        ("Renewed", midnight("2026-06-16"), date(2027, 6, 15)),
        ("Downgraded", midnight("2027-06-16"), None),
    ]
    assert shop.tier("li-lei") == ("regular", None)
    assert shop.member_then("li-lei", "2027-06-15 12:00")["tier"]["code"] == "silver"
    assert shop.reviews_tiers("li-lei") == 0


def test_6_4_an_upgrade_since_then_leaves_the_review_as_it_was(shop: Shop) -> None:
    gold_lost_with_nine_thousand(shop)
    shop.at("2026-06-20 12:00")
    buys(shop, ("2026-06-17", "1000.00"))  # regained
    assert shop.tier("li-lei") == ("gold", "2027-06-17")
    before = changes(shop)
    buys(shop, ("2026-06-11", "1000.00"))
    assert changes(shop) == before
    assert shop.tier("li-lei") == ("gold", "2027-06-17")


def extended_and_then_lost(shop: Shop) -> None:
    """Gold, extended to 15 September by six repurchases of January, and lost then."""
    becomes(shop, "gold")
    buys(shop, *small("2026-01", 6))
    shop.at("2026-09-20 12:00")
    assert shop.reviews_tiers("li-lei") == 2
    assert shop.tier("li-lei") == ("silver", "2027-09-15")


def test_6_4_of_two_reviews_whose_windows_hold_it_the_latest_is_re_examined(shop: Shop) -> None:
    extended_and_then_lost(shop)
    buys(shop, ("2025-12-31", "9940.00"))
    (event,) = shop.events("li-lei", "TierRenewed")
    assert event.corrects == version_of(shop, "TierDowngraded")
    assert (event.occurred_at, event.until) == (midnight("2026-09-16"), date(2027, 9, 15))
    assert shop.tier("li-lei") == ("gold", "2027-09-15")


def test_6_4_a_correction_of_an_earlier_review_replaces_those_after_it(shop: Shop) -> None:
    extended_and_then_lost(shop)
    # 1 August 2025 is in the first window (after 2025-06-15), not in the second (2025-09-15)
    buys(shop, ("2025-08-01", "9940.00"))
    (event,) = shop.events("li-lei", "TierRenewed")
    assert event.corrects == version_of(shop, "TierExtended")
    assert (event.occurred_at, event.until) == (midnight("2026-06-16"), date(2027, 6, 15))
    assert shop.tier("li-lei") == ("gold", "2027-06-15")
    shop.at("2026-10-02 12:00")
    assert shop.reviews_tiers("li-lei") == 0
    assert shop.member_then("li-lei", "2026-10-01 12:00")["tier"]["code"] == "gold"


def test_6_4_the_rules_that_decided_a_review_decide_it_again(shop: Shop) -> None:
    gold_lost_with_nine_thousand(shop)
    stricter = ladder(keep={"spend": "12000.00", "repurchases": 5})
    shop.publish(shipped("retail", tiers=stricter), "2026-06-17 00:00")
    shop.at("2026-06-20 12:00")
    buys(shop, ("2026-06-09", "1000.00"))
    (event,) = shop.events("li-lei", "TierRenewed")
    assert (event.programme_version, event.needed_spend) == (1, Decimal("10000.00"))


def test_6_4_a_late_order_repeated_corrects_once(shop: Shop) -> None:
    gold_lost_with_nine_thousand(shop)
    shop.at("2026-06-20 12:00")
    first = buys(shop, ("2026-06-09", "1000.00"))
    before = shop.everything_stored()
    assert buys(shop, ("2026-06-09", "1000.00")) == first
    assert shop.everything_stored() == before


def test_6_upgrades_and_reviews_come_right_within_one_batch(shop: Shop) -> None:
    outcomes = shop.together(
        *(
            order("li-lei", f"o-{number}", amount, on=f"2026-04-{number + 1:02} 10:00")
            for number, amount in enumerate(REACHING["gold"])
        )
    )
    assert [outcome.body["tier"]["code"] for outcome in outcomes] == ["regular"] * 5 + ["gold"]
    assert changes(shop) == [("Upgraded", local("2026-04-06 10:00"), date(2027, 4, 6))]


# What the service desk can read


def test_6_4_what_was_known_before_a_correction_can_still_be_asked(shop: Shop) -> None:
    gold_lost_with_nine_thousand(shop)
    shop.at("2026-06-20 12:00")
    buys(shop, ("2026-06-09", "1000.00"))
    then = local("2026-06-17 12:00")
    assert shop.ledger.replay("li-lei", as_of=then)["tier"]["code"] == "gold"
    known = shop.ledger.replay("li-lei", as_of=then, known_at=local("2026-06-19 12:00"))
    assert known["tier"]["code"] == "silver"


def test_6_every_change_of_a_tier_can_be_read_out_in_both_languages(shop: Shop) -> None:
    becomes(shop, "gold")
    buys(shop, *small("2026-01", 6))
    shop.at("2026-09-20 12:00")
    shop.reviews_tiers("li-lei")  # extended, and then lost
    buys(shop, ("2025-12-31", "9940.00"))  # no, renewed
    catch_up(shop.database)
    entries = history_page(shop.database, "li-lei")["entries"]
    said = {entry["event"]: entry for entry in entries if entry["event"] in TIER_TOPICS}
    assert list(said) == ["TierUpgraded", "TierExtended", "TierDowngraded", "TierRenewed"]
    for topic, figures in (
        ("TierUpgraded", ("gold", "10000.00", "2026-06-15")),
        ("TierExtended", ("gold", "2026-09-15", "6")),
        ("TierDowngraded", ("gold", "silver", "60.00")),
        ("TierRenewed", ("gold", "10000.00", "2027-09-15")),
    ):
        for figure in figures:
            assert figure in said[topic]["summary"].lower(), said[topic]["summary"]
        assert not said[topic]["summary_zh"].isascii()
        assert said[topic]["points"] == 0
        assert said[topic]["balance_before"] == said[topic]["balance_after"]
    assert said["TierRenewed"]["corrects"] == said["TierDowngraded"]["version"]
    assert said["TierDowngraded"]["occurred_at"] == "2026-09-16T00:00:00+08:00"


def test_6_3_always_counts_a_late_repurchase_as_well(open_shop: OpenShop) -> None:
    shop = open_shop(always())
    becomes(shop, "gold")
    buys(shop, *small("2026-01", 5))
    buys(shop, ("2025-12-31", "10.00"))
    assert shop.tier("li-lei") == ("gold", "2026-09-15")


# Reads of tiers and levels, as two workers and the lists see them


def listed(shop: Shop, member_id: str = "li-lei") -> tuple[str | None, str | None, str | None]:
    """Tier, level and segment as the view of members has them."""
    catch_up(shop.database)
    with shop.database.transaction() as cursor:
        cursor.execute(
            f"SELECT tier, level, segment FROM {MEMBERS.schema}.members WHERE member_id = %s",  # noqa: S608
            (member_id,),
        )
        ((tier, level, segment),) = cursor.fetchall()
    return tier, level, segment


def test_6_4_lists_show_the_tier_that_a_correction_gave_back(open_shop: OpenShop) -> None:
    shop = open_shop(shipped("retail"))
    becomes(shop, "gold")
    buys(shop, *small("2025-09", 5))
    shop.at("2026-06-17 12:00").reviews_tiers("li-lei")
    assert listed(shop)[0] == "silver"
    buys(shop, ("2026-05-01", "10.00"))  # the sixth repurchase: the extension after all
    assert shop.member("li-lei")["tier"]["code"] == "gold"
    assert listed(shop)[0] == "gold"


def test_7_lists_show_no_level_once_levels_are_off(open_shop: OpenShop) -> None:
    shop = open_shop(shipped("retail"))
    shop.reviews_levels("li-lei")
    assert listed(shop)[1:] == ("ordinary", "dormant")
    without = tomllib.loads(shipped_text("retail"))
    for section in ("levels", "benefits"):
        del without[section]
    without["earning"].pop("level_multipliers")
    without["referral"].pop("doubled_for_levels")
    shop.publish(read_programme(json.dumps(without), format="json"), "2026-05-01 12:00")
    shop.at("2026-06-01 12:00").reviews_levels("li-lei")
    assert listed(shop)[1:] == (None, "dormant")


def test_11_5_a_past_moment_is_read_by_the_rules_of_now_in_every_process(
    open_shop: OpenShop,
) -> None:
    shop = open_shop(shipped("retail"))
    other = Ledger(shop.database, shop.clock)
    assert other.member("li-lei")["segment"] == "basic"
    without = tomllib.loads(shipped_text("retail"))
    del without["segments"]
    without["returns"].pop("window_days_by_segment")
    without["coupons"] = [c for c in without["coupons"] if "segment:" not in c.get("standing", "")]
    shop.publish(read_programme(json.dumps(without), format="json"), "2026-01-01 00:00")
    assert other.replay("li-lei", as_of=shop.clock.now)["segment"] is None


def test_6_2_progress_of_a_version_is_that_of_its_day(open_shop: OpenShop) -> None:
    shop = open_shop(shipped("retail"))
    becomes(shop, "gold")
    shop.at("2026-06-17 12:00").reviews_tiers("li-lei")
    shop.at("2026-07-01 12:00")
    buys(shop, ("2026-06-30", "4000.00"))
    now = shop.member("li-lei")
    assert now["progress"]["next"]["missing_spend"] == "6000.00"
    by_version = shop.ledger.replay("li-lei", version=now["version"])
    assert by_version["progress"] == now["progress"]


def test_7_years_of_reviews_are_caught_up_a_few_months_of_each_member_at_a_time(
    open_shop: OpenShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = open_shop(shipped("retail"))
    at_once: list[int] = []
    handle = Ledger.handle

    def counted(ledger: Ledger, requests: Any) -> Any:
        outcomes = handle(ledger, requests)
        at_once.extend(outcome.body["affected"] for outcome in outcomes)
        return outcomes

    monkeypatch.setattr(Ledger, "handle", counted)
    run = run_job(shop.ledger, "review-levels", shop.clock.now)
    # Both joined on 2 January 2024: February 2024 to May 2026.
    assert run["affected"] == 2 * 28 == sum(at_once)
    assert max(at_once) == MONTHS_AT_ONCE
    days = [event.on for event in shop.events("li-lei", "LevelReviewed")]
    assert days == sorted(days) and len(set(days)) == 28


def test_6_4_a_late_order_never_costs_the_tier_that_a_later_review_renewed(
    open_shop: OpenShop,
) -> None:
    shop = open_shop(shipped("retail"))
    becomes(shop, "gold")
    buys(shop, *small("2025-09", 5))
    shop.at("2026-06-17 12:00").reviews_tiers("li-lei")  # gold to silver, through 2027-06-15
    shop.at("2026-07-03 12:00")
    buys(shop, ("2026-07-01", "1000.00"), ("2026-07-02", "1000.00"))
    shop.at("2027-06-17 12:00").reviews_tiers("li-lei")  # silver renewed, through 2028-06-15
    shop.at("2027-10-01 12:00")
    events = len(shop.events("li-lei"))
    # The sixth repurchase would have extended gold by three months; but then the two orders of
    # July would fall out of every window that follows, and silver with them.
    buys(shop, ("2026-05-01", "10.00"))
    tier = shop.member("li-lei")["tier"]
    assert (tier["code"], tier["until"]) == ("silver", "2028-06-15")
    assert len(shop.events("li-lei")) == events + 1
