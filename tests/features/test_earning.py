"""Earning on orders: shares of what was paid, multipliers, bonuses, the daily cap (2.1, 2.2, 2.11).

Every figure is worked out by hand: floor(eligible × rate × multipliers), one floor at the end.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from shop import CORE_FROM_THE_START, OpenShop, Shop, campaign, item, rows, rules

from ledger.events import PointsAccrued
from ledger.programme.model import Programme

CORE_MULTIPLIER = {"level_multipliers": {"core": "1.2", "loyal": "1.2"}}


def capped(cap: int, **sections: Any) -> Programme:
    """The usual rules with a daily cap on earning."""
    return rules(points={"daily_earning_cap": cap}, **sections)


# 2.1 What is eligible


def test_2_1_excluded_skus_and_product_lines_earn_nothing_of_their_share(
    open_shop: OpenShop,
) -> None:
    shop = open_shop(
        rules(earning={"excluded_skus": ["tobacco"], "excluded_product_lines": ["alcohol"]})
    )
    basket = [
        item("milk", "100.00"),
        item("wine", "60.00", line="alcohol"),
        item("tobacco", "40.00"),
    ]
    # 150.00 paid for goods of 200.00 (a coupon took 50.00 off): the milk's share is 75.00
    answer = shop.buys("li-lei", "o-1", "150.00", items=basket)
    assert answer["breakdown"] == [{"rule": "spend", "base": "75.00", "rate": "1", "points": 75}]


def test_2_1_a_product_line_campaign_acts_on_the_share_of_its_goods(open_shop: OpenShop) -> None:
    baby_week = campaign("baby_week", multiplier="2", only={"product_lines": ["baby"]})
    shop = open_shop(rules(campaigns=[baby_week]))
    basket = [item("pram", "100.00", line="baby"), item("ball", "50.00", line="toys")]
    # of 120.00 the pram's share is 80.00: 80 × 2 + 40
    answer = shop.buys("li-lei", "o-1", "120.00", items=basket)
    assert rows(answer) == [("spend", 120), ("campaign:baby_week", 80)]
    # without items nobody knows what it was
    assert rows(shop.buys("li-lei", "o-2", "120.00")) == [("spend", 120)]
    # items that all cost nothing count as not given
    free = [item("pram", "0.00", line="baby")]
    assert rows(shop.buys("li-lei", "o-3", "120.00", items=free)) == [("spend", 120)]


def test_2_1_shares_are_added_up_before_the_one_rounding(open_shop: OpenShop) -> None:
    baby_week = campaign("baby_week", multiplier="2", only={"product_lines": ["baby"]})
    shop = open_shop(rules(campaigns=[baby_week]))
    basket = [item("dummy", "1.00", line="baby"), item("ball", "2.00", line="toys")]
    # 10/3 × 2 + 20/3 = 13.33…: 13; rounded share by share it were 6 + 6
    answer = shop.buys("li-lei", "o-1", "10.00", items=basket)
    assert rows(answer) == [("spend", 10), ("campaign:baby_week", 3)]


def test_2_1_an_excluded_article_of_a_promoted_line_stays_excluded(open_shop: OpenShop) -> None:
    baby_week = campaign("baby_week", multiplier="2", only={"product_lines": ["baby"]})
    shop = open_shop(rules(campaigns=[baby_week], earning={"excluded_skus": ["formula"]}))
    basket = [item("pram", "60.00", line="baby"), item("formula", "40.00", line="baby")]
    answer = shop.buys("li-lei", "o-1", "100.00", items=basket)
    assert rows(answer) == [("spend", 60), ("campaign:baby_week", 60)]


def test_2_1_a_zero_order_earns_no_bonus_either(open_shop: OpenShop) -> None:
    shop = open_shop(rules(campaigns=[campaign("thanks", bonus=200)]))
    answer = shop.buys("li-lei", "o-gift", "0.00")
    assert (answer["points"], answer["lot"]) == (0, None)
    assert shop.totals("li-lei")["granted"] == 0


# 2.2 Multipliers, bonuses


@pytest.mark.parametrize(
    ("stacking", "multiplier", "explained"),
    [
        # 148.60 × 1.2 = 178.32, × 2 = 356.64
        ("multiply", "2", [("spend", 148), ("level:core", 30), ("campaign:sale", 178)]),
        # 148.60 × 2 = 297.2: the level's 1.2 is the smaller one
        ("best", "2", [("spend", 148), ("campaign:sale", 149)]),
        # 148.60 × 1.2 = 178.32: the campaign's 1.1 is the smaller one
        ("best", "1.1", [("spend", 148), ("level:core", 30)]),
    ],
)
def test_2_2_level_and_campaign_multiply_each_other_or_the_largest_alone_counts(
    open_shop: OpenShop, stacking: str, multiplier: str, explained: list[tuple[str, int]]
) -> None:
    shop = open_shop(
        rules(
            CORE_FROM_THE_START,
            earning={**CORE_MULTIPLIER, "stacking": stacking},
            campaigns=[campaign("sale", multiplier=multiplier)],
        )
    )
    answer = shop.buys("li-lei", "o-1", "148.60")
    assert [row for row in rows(answer) if row[1]] == explained


def test_2_2_the_best_multiplier_is_found_for_each_share(open_shop: OpenShop) -> None:
    shop = open_shop(
        rules(
            CORE_FROM_THE_START,
            earning={**CORE_MULTIPLIER, "stacking": "best"},
            campaigns=[campaign("baby_week", multiplier="2", only={"product_lines": ["baby"]})],
        )
    )
    basket = [item("pram", "100.00", line="baby"), item("ball", "50.00", line="toys")]
    # shares 80.00 and 40.00: 80 × 2 (the campaign's) + 40 × 1.2 (the level's) = 208
    answer = shop.buys("li-lei", "o-1", "120.00", items=basket)
    assert answer["points"] == 208
    assert sorted(rows(answer)) == [("campaign:baby_week", 80), ("level:core", 8), ("spend", 120)]


def test_2_2_rounding_happens_once_after_all_multipliers(open_shop: OpenShop) -> None:
    shop = open_shop(
        rules(
            CORE_FROM_THE_START,
            earning=CORE_MULTIPLIER,
            campaigns=[campaign("a", multiplier="1.5"), campaign("b", multiplier="1.1")],
        )
    )
    # 4.99 × 1.2 × 1.5 × 1.1 = 9.8802; step by step: 4, 5 (5.988), 8 (8.982), 9
    answer = shop.buys("li-lei", "o-1", "4.99")
    assert rows(answer) == [
        ("spend", 4), ("level:core", 1), ("campaign:a", 3), ("campaign:b", 1),
    ]  # fmt: skip


def test_2_2_bonuses_are_added_after_the_multipliers(open_shop: OpenShop) -> None:
    shop = open_shop(
        rules(campaigns=[campaign("double", multiplier="2"), campaign("thanks", bonus=200)])
    )
    answer = shop.buys("li-lei", "o-1", "100.00")
    assert rows(answer) == [("spend", 100), ("campaign:double", 100), ("bonus:thanks", 200)]


def test_2_2_levels_multiply_spend_only_not_activities(open_shop: OpenShop) -> None:
    shop = open_shop(
        rules(
            CORE_FROM_THE_START,
            earning={**CORE_MULTIPLIER, "activities": {"review": {"points": 20}}},
        )
    )
    assert rows(shop.does_activity("li-lei", "review", "a-1")) == [("activity:review", 20)]


# 2.2 The daily cap


def test_2_2_the_daily_cap_acts_last_and_then_nothing_more_is_earned(open_shop: OpenShop) -> None:
    shop = open_shop(capped(1000))
    assert rows(shop.buys("li-lei", "o-1", "900.00")) == [("spend", 900)]
    second = shop.buys("li-lei", "o-2", "300.00")
    assert rows(second) == [("spend", 300), ("cap", -200)]
    assert second["lot"]["granted"] == 100
    third = shop.buys("li-lei", "o-3", "50.00")
    assert rows(third) == [("spend", 50), ("cap", -50)]
    assert third["lot"] is None
    assert shop.available("li-lei") == 1000
    assert shop.totals("li-lei")["spend"] == "1250.00"
    assert shop.buys("han-meimei", "o-hers", "300.00")["points"] == 300  # a cap of her own


def test_2_2_the_cap_cuts_bonuses_first(open_shop: OpenShop) -> None:
    shop = open_shop(capped(1000, campaigns=[campaign("thanks", bonus=200)]))
    answer = shop.buys("li-lei", "o-1", "900.00")
    assert rows(answer) == [("spend", 900), ("bonus:thanks", 200), ("cap", -100)]
    (event,) = shop.events("li-lei", "PointsAccrued")
    assert isinstance(event, PointsAccrued)
    assert (event.points, event.spend_points) == (1000, 900)  # 100 of the bonus are left
    # half given back: min(900, 450) for spend + 100 of bonus = 550 should be held
    assert shop.refunds("o-1", "f-1", "450.00")["points_clawed_back"] == 450


def test_2_2_a_cap_below_the_spend_leaves_no_bonus(open_shop: OpenShop) -> None:
    shop = open_shop(capped(500, campaigns=[campaign("thanks", bonus=200)]))
    answer = shop.buys("li-lei", "o-1", "900.00")
    assert rows(answer) == [("spend", 900), ("bonus:thanks", 200), ("cap", -600)]
    (event,) = shop.events("li-lei", "PointsAccrued")
    assert (event.points, event.spend_points) == (500, 500)


def test_2_2_a_cap_once_consumed_stays_consumed_after_a_refund(open_shop: OpenShop) -> None:
    shop = open_shop(capped(1000))
    shop.buys("li-lei", "o-1", "1000.00")
    shop.refunds("o-1", "f-1", "1000.00")
    assert shop.available("li-lei") == 0
    assert rows(shop.buys("li-lei", "o-2", "80.00")) == [("spend", 80), ("cap", -80)]
    shop.at("2026-05-02 00:00")
    assert rows(shop.buys("li-lei", "o-3", "80.00")) == [("spend", 80)]


def test_2_2_late_data_is_capped_on_its_own_local_day(open_shop: OpenShop) -> None:
    shop = open_shop(capped(1000))
    shop.buys("li-lei", "o-today", "1000.00")
    # yesterday's cap is untouched by what was earned today
    assert shop.buys("li-lei", "o-late-1", "700.00", on="2026-04-30 23:59")["points"] == 700
    assert shop.buys("li-lei", "o-late-2", "500.00", on="2026-04-30 00:00")["points"] == 300
    assert shop.buys("li-lei", "o-before", "500.00", on="2026-04-29 23:59")["points"] == 500
    assert shop.buys("li-lei", "o-early", "1.00", on="2026-05-01 00:00")["points"] == 0


def test_2_2_the_cap_counts_orders_and_activities_together(open_shop: OpenShop) -> None:
    shop = open_shop(capped(1000, earning={"activities": {"survey": {"points": 30}}}))
    shop.buys("li-lei", "o-1", "980.00")
    cut = shop.does_activity("li-lei", "survey", "a-1")
    assert rows(cut) == [("activity:survey", 30), ("cap", -10)]
    assert (cut["reason"], cut["lot"]["granted"]) == (None, 20)
    over = shop.does_activity("li-lei", "survey", "a-2")
    assert (over["points"], over["reason"], over["lot"]) == (0, "daily_earning_cap", None)
    assert shop.buys("li-lei", "o-2", "10.00")["points"] == 0


def test_2_2_an_activity_that_the_cap_left_with_nothing_may_be_done_again(
    open_shop: OpenShop,
) -> None:
    activities = {"review": {"points": 20, "once_per": "order"}}
    shop = open_shop(capped(100, earning={"activities": activities}))
    shop.buys("li-lei", "o-1", "100.00")
    over = shop.does_activity("li-lei", "review", "a-1", reference="o-1")
    assert (over["points"], over["reason"]) == (0, "daily_earning_cap")
    shop.at("2026-05-02 12:00")
    assert shop.does_activity("li-lei", "review", "a-2", reference="o-1")["points"] == 20


def test_2_2_the_cap_does_not_limit_what_neither_orders_nor_activities_bring(
    open_shop: OpenShop,
) -> None:
    shop = open_shop(capped(100, newcomer={"points": 50}))
    shop.joins("lucy")
    assert shop.buys("lucy", "o-1", "150.00")["points"] == 100
    shop.adjusts("lucy", "a-1", 40)
    assert shop.available("lucy") == 50 + 100 + 40


def test_2_2_a_day_long_past_still_has_its_cap(open_shop: OpenShop) -> None:
    shop = open_shop(capped(1000))
    for month in range(6, 13):  # a busy year: every month's first three days
        for day in (1, 2, 3):
            shop.buys("li-lei", f"o-{month}-{day}", "800.00", on=f"2025-{month:02}-0{day} 10:00")
    for month in (6, 9, 12):
        late = shop.buys("li-lei", f"o-late-{month}", "800.00", on=f"2025-{month:02}-02 11:00")
        assert late["points"] == 200
    assert shop.buys("li-lei", "o-free-day", "800.00", on="2025-06-04 11:00")["points"] == 800
    assert shop.buys("li-lei", "o-over", "800.00", on="2025-06-02 12:00")["points"] == 0


# 2.11 Every grant explains itself


def test_2_11_rows_stand_in_order_and_add_up_to_the_grant(open_shop: OpenShop) -> None:
    shop = open_shop(
        capped(
            600,
            levels={"bands": [{"code": "core", "from": 0}]},
            earning={"level_multipliers": {"core": "1.2"}},
            campaigns=[
                campaign("member_day", multiplier="2"),
                campaign("gift_day", bonus=200),
                campaign("anniversary", multiplier="1.5", bonus=50),
            ],
        )
    )
    # 148.60 → 148; ×1.2 = 178.32; ×1.5 = 267.48; ×2 = 534.96; + 50 + 200 = 784; at most 600
    answer = shop.buys("li-lei", "o-1", "148.60")
    assert rows(answer) == [
        ("spend", 148), ("level:core", 30),
        ("campaign:anniversary", 89), ("campaign:member_day", 267),
        ("bonus:anniversary", 50), ("bonus:gift_day", 200),
        ("cap", -184),
    ]  # fmt: skip
    assert answer["points"] == 600
    (event,) = shop.events("li-lei", "PointsAccrued")
    assert isinstance(event, PointsAccrued)
    assert [(row.rule, row.points) for row in event.breakdown] == rows(answer)
    multipliers = {row.rule: row.multiplier for row in event.breakdown if row.multiplier}
    assert multipliers == {
        "level:core": Decimal("1.2"),
        "campaign:anniversary": Decimal("1.5"),
        "campaign:member_day": Decimal("2"),
    }
    assert event.unrounded_spend_points == "13374/25"  # 534.96
    assert event.programme_version == answer["programme_version"] == 1


@pytest.mark.parametrize("cents", [1, 99, 417, 833, 14_860, 33_333, 99_999])
def test_2_11_rows_add_up_whatever_is_paid(open_shop: OpenShop, cents: int) -> None:
    shop = open_shop(
        rules(
            CORE_FROM_THE_START,
            earning={"level_multipliers": {"core": "1.3"}, "rate": "0.7"},
            campaigns=[campaign("a", multiplier="1.7"), campaign("b", multiplier="0.9")],
        )
    )
    amount = Decimal(cents).scaleb(-2)
    answer = shop.buys("li-lei", "o-1", str(amount))
    rows(answer)  # they add up
    # 0.7 × 1.3 × 1.7 × 0.9 = 1.3923 points for each yuan
    assert answer["points"] == cents * 13_923 // 1_000_000


def test_2_11_service_desk_can_read_out_why_it_is_178_and_not_148(open_shop: OpenShop) -> None:
    shop = open_shop(rules(CORE_FROM_THE_START, earning=CORE_MULTIPLIER))
    answer = shop.buys("li-lei", "o-77", "148.60", store_id="s-12")
    assert answer["summary"] == "148.60 paid at s-12: 148 points, core level ×1.2: 178"
    assert answer["summary_zh"] == "在 s-12 消费 148.60：148 积分，核心等级 ×1.2：178"


def test_2_11_an_order_without_anything_special_has_one_row(shop: Shop) -> None:
    answer = shop.buys("li-lei", "o-1", "10.00")
    assert rows(answer) == [("spend", 10)]
