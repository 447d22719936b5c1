"""Campaigns: dated multipliers and bonuses, and where they count (PROGRAMME 2.8)."""

from __future__ import annotations

from typing import Any

import pytest
from shop import OpenShop, Shop, campaign, item, rows, rules

from ledger.programme.model import Programme

STANDING = """
[[tiers]]
code = "regular"
[[tiers]]
code = "silver"
spend = "2000.00"
repurchases = 2

[levels]
bands = [ { code = "ordinary", from = 0 }, { code = "active", from = 51 } ]

[segments]
core = { spend = "5000.00", repurchases = 4, activities_30d = 2 }
otherwise = "basic"

[lifecycle]
"""
"""Before the first review a member is regular, ordinary, basic and new."""

CHECK_IN = {"check_in": {"points": 5, "once_per": "day"}}


def with_campaigns(*campaigns: dict[str, Any], **earning: Any) -> Programme:
    """The corner shop with standings, check-ins and these campaigns."""
    return rules(STANDING, earning={"activities": CHECK_IN, **earning}, campaigns=list(campaigns))


def test_2_8_member_day_doubles_the_points(open_shop: OpenShop) -> None:
    shop = open_shop(with_campaigns(campaign("member_day", multiplier="2")))
    answer = shop.buys("li-lei", "o-1", "148.60")
    assert answer["breakdown"] == [
        {"rule": "spend", "base": "148.60", "rate": "1", "points": 148},
        {"rule": "campaign:member_day", "multiplier": "2", "points": 149},  # 297.2
    ]
    assert answer["points"] == 297


def test_2_8_a_campaign_runs_from_its_first_moment_until_before_its_end(
    open_shop: OpenShop,
) -> None:
    member_day = campaign(
        "member_day", start="2026-04-08 00:00", end="2026-04-09 00:00", multiplier="2"
    )
    shop = open_shop(with_campaigns(member_day))
    for moment, points in (
        ("2026-04-07 23:59:59", 10),
        ("2026-04-08 00:00:00", 20),
        ("2026-04-08 23:59:59", 20),
        ("2026-04-09 00:00:00", 10),
    ):
        assert (
            shop.buys("li-lei", f"o-{moment[8:10]}-{moment[11:13]}", "10.00", on=moment)["points"]
            == points
        ), moment


@pytest.mark.parametrize(
    ("only", "counts"),
    [
        ({}, True),
        ({"channels": ["store"]}, True),
        ({"channels": ["web", "store"]}, True),
        ({"channels": ["web"]}, False),
        ({"stores": ["s-12"]}, True),
        ({"stores": ["s-13"]}, False),
        ({"tiers": ["regular"]}, True),
        ({"tiers": ["silver"]}, False),
        ({"levels": ["ordinary", "active"]}, True),
        ({"levels": ["active"]}, False),
        ({"segments": ["basic"]}, True),
        ({"segments": ["core"]}, False),
        ({"lifecycle": ["new"]}, True),
        ({"lifecycle": ["lapsing", "dormant"]}, False),
        # every list that is given must hold
        ({"channels": ["store"], "stores": ["s-12"], "levels": ["ordinary"]}, True),
        ({"channels": ["store"], "stores": ["s-12"], "levels": ["active"]}, False),
        ({"channels": ["web"], "stores": ["s-12"]}, False),
    ],
)
def test_2_8_a_campaign_counts_where_its_scope_says(
    open_shop: OpenShop, only: dict[str, list[str]], *, counts: bool
) -> None:
    shop = open_shop(
        with_campaigns(
            campaign("pilot", multiplier="3", bonus=7, applies_to="both", only=only),
        )
    )
    bought = shop.buys("li-lei", "o-1", "10.00", channel="store", store_id="s-12")
    assert bought["points"] == (37 if counts else 10)
    acted = shop.does_activity("li-lei", "check_in", "a-1", channel="store", store_id="s-12")
    assert acted["points"] == (22 if counts else 5)


@pytest.mark.parametrize("only", [{"channels": ["store"]}, {"stores": ["s-12"]}])
def test_2_8_who_does_not_say_where_is_nowhere(
    open_shop: OpenShop, only: dict[str, list[str]]
) -> None:
    shop = open_shop(with_campaigns(campaign("pilot", multiplier="3", only=only)))
    assert rows(shop.buys("li-lei", "o-1", "10.00")) == [("spend", 10)]


def test_2_8_a_pilot_may_be_limited_to_product_lines(open_shop: OpenShop) -> None:
    pilot = campaign("pilot", multiplier="3", only={"product_lines": ["tea", "coffee"]})
    shop = open_shop(with_campaigns(pilot))
    basket = [
        item("oolong", "20.00", line="tea"),
        item("arabica", "10.00", line="coffee"),
        item("kettle", "70.00", line="kitchen"),
        item("bag", "0.00"),
    ]
    # 30 × 3 + 70
    answer = shop.buys("li-lei", "o-1", "100.00", items=basket)
    assert rows(answer) == [("spend", 100), ("campaign:pilot", 60)]
    without = shop.buys("li-lei", "o-2", "70.00", items=[item("kettle", "70.00", line="kitchen")])
    assert without["points"] == 70


@pytest.mark.parametrize(
    ("applies_to", "on_orders", "on_activities"),
    [
        (None, [("spend", 10), ("campaign:double", 10)], [("activity:check_in", 5)]),
        ("order", [("spend", 10), ("campaign:double", 10)], [("activity:check_in", 5)]),
        ("activity", [("spend", 10)], [("activity:check_in", 5), ("campaign:double", 5)]),
        (
            "both",
            [("spend", 10), ("campaign:double", 10)],
            [("activity:check_in", 5), ("campaign:double", 5)],
        ),
    ],
)
def test_2_8_a_campaign_is_for_orders_for_activities_or_for_both(
    open_shop: OpenShop,
    applies_to: str | None,
    on_orders: list[tuple[str, int]],
    on_activities: list[tuple[str, int]],
) -> None:
    said = {"applies_to": applies_to} if applies_to else {}
    shop = open_shop(with_campaigns(campaign("double", multiplier="2", **said)))
    assert rows(shop.buys("li-lei", "o-1", "10.00")) == on_orders
    assert rows(shop.does_activity("li-lei", "check_in", "a-1")) == on_activities


def test_2_8_an_activity_is_rounded_once_like_an_order(open_shop: OpenShop) -> None:
    shop = open_shop(
        with_campaigns(
            campaign("a", multiplier="1.5", applies_to="activity"),
            campaign("b", multiplier="1.2", applies_to="both", bonus=3),
        )
    )
    # 5 × 1.5 = 7.5, × 1.2 = 9 exactly (rounded between it were 7 × 1.2 = 8.4)
    assert rows(shop.does_activity("li-lei", "check_in", "a-1")) == [
        ("activity:check_in", 5), ("campaign:a", 2), ("campaign:b", 2), ("bonus:b", 3),
    ]  # fmt: skip


def test_2_8_an_activity_over_its_limit_gets_no_bonus(open_shop: OpenShop) -> None:
    shop = open_shop(with_campaigns(campaign("thanks", bonus=10, applies_to="activity")))
    assert shop.does_activity("li-lei", "check_in", "a-1")["points"] == 15
    over = shop.does_activity("li-lei", "check_in", "a-2")
    assert (over["points"], over["reason"]) == (0, "once_per_day")


def test_2_8_an_activity_has_no_product_line(open_shop: OpenShop) -> None:
    tea = campaign("tea", multiplier="2", applies_to="both", only={"product_lines": ["tea"]})
    shop = open_shop(with_campaigns(tea))
    assert shop.does_activity("li-lei", "check_in", "a-1")["points"] == 5


def test_2_8_a_bonus_is_given_once_an_order_whatever_its_size(open_shop: OpenShop) -> None:
    shop = open_shop(with_campaigns(campaign("thanks", bonus=200)))
    for number, (paid, points) in enumerate((("0.50", 200), ("10.00", 210), ("900.00", 1100))):
        answer = shop.buys("li-lei", f"o-{number}", paid)
        assert answer["points"] == points
        assert rows(answer)[-1] == ("bonus:thanks", 200)


def test_2_8_a_product_lines_bonus_needs_goods_of_that_line(open_shop: OpenShop) -> None:
    tea = campaign("tea", bonus=50, only={"product_lines": ["tea"]})
    shop = open_shop(with_campaigns(tea))
    kettle, oolong = item("kettle", "70.00", line="kitchen"), item("oolong", "20.00", line="tea")
    assert shop.buys("li-lei", "o-1", "70.00", items=[kettle])["points"] == 70
    # two sorts of tea are one bonus
    mixed = shop.buys("li-lei", "o-2", "110.00", items=[kettle, oolong, oolong])
    assert rows(mixed) == [("spend", 110), ("bonus:tea", 50)]
    assert shop.buys("li-lei", "o-3", "90.00")["points"] == 90


@pytest.mark.parametrize(
    ("stacking", "explained"),
    [
        # 10 × 2 × 1.5 = 30; both bonuses
        (
            "multiply",
            [
                ("spend", 10), ("campaign:a_double", 10), ("campaign:b_half_more", 10),
                ("bonus:b_half_more", 4), ("bonus:c_gift", 7),
            ],
        ),
        # the larger multiplier alone; bonuses are no multipliers, so both are given
        (
            "best",
            [
                ("spend", 10), ("campaign:a_double", 10),
                ("bonus:b_half_more", 4), ("bonus:c_gift", 7),
            ],
        ),
    ],
)  # fmt: skip
def test_2_8_several_campaigns_combine_by_the_stacking_rule(
    open_shop: OpenShop, stacking: str, explained: list[tuple[str, int]]
) -> None:
    shop = open_shop(
        with_campaigns(
            campaign("c_gift", bonus=7),
            campaign("b_half_more", multiplier="1.5", bonus=4),
            campaign("a_double", multiplier="2"),
            stacking=stacking,
        )
    )
    answer = shop.buys("li-lei", "o-1", "10.00")
    assert [row for row in rows(answer) if row[1]] == explained


def test_2_8_a_late_order_gets_the_campaigns_of_its_own_day(open_shop: OpenShop) -> None:
    shop = open_shop(
        with_campaigns(
            campaign("april", start="2026-04-08 00:00", end="2026-04-09 00:00", multiplier="2"),
            campaign("may", multiplier="5"),
        )
    )
    late = shop.buys("li-lei", "o-late", "10.00", on="2026-04-08 10:00")
    assert rows(late) == [("spend", 10), ("campaign:april", 10)]
    between = shop.buys("li-lei", "o-between", "10.00", on="2026-04-20 10:00")
    assert rows(between) == [("spend", 10)]
    now = shop.buys("li-lei", "o-now", "10.00")
    assert rows(now) == [("spend", 10), ("campaign:may", 40)]


def test_2_8_an_orders_own_upgrade_does_not_raise_its_own_points(open_shop: OpenShop) -> None:
    silver = campaign("silver_only", multiplier="2", only={"tiers": ["silver"]})
    shop = open_shop(with_campaigns(silver))
    for number in range(3):
        answer = shop.buys("li-lei", f"o-{number}", "2000.00")
        assert rows(answer) == [("spend", 2000)]


def test_2_8_a_campaign_can_be_read_out(open_shop: OpenShop) -> None:
    shop: Shop = open_shop(
        with_campaigns(campaign("member_day", multiplier="2", bonus=50, applies_to="both"))
    )
    for answer, figures in (
        (shop.buys("li-lei", "o-1", "148.60"), ("148", "297", "347")),
        (shop.does_activity("li-lei", "check_in", "a-1"), ("5", "10", "60")),
    ):
        for sentence in (answer["summary"], answer["summary_zh"]):
            assert all(figure in sentence for figure in figures), sentence
        assert not answer["summary_zh"].isascii()
