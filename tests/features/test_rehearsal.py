"""What a rule set would change is tried on real orders, before anything is published."""

from __future__ import annotations

from typing import Any

import pytest
from shop import OpenShop, Shop, local, rules

from ledger.errors import Refusal
from ledger.programme.model import Programme
from ledger.rehearsal import rehearse


def tried(shop: Shop, programme: Programme, on: str = "2026-05-01 12:00", count: int = 100) -> Any:
    """The rehearsal, which leaves every byte as it was."""
    before = shop.everything_stored()
    trial = rehearse(shop.ledger, programme, effective_at=local(on), count=count)
    assert shop.everything_stored() == before
    return trial


def test_a_new_rate_is_tried_on_the_latest_orders_of_real_members(shop: Shop) -> None:
    shop.buys("li-lei", "o-tea", "19.90")
    shop.buys("li-lei", "o-pram", "148.60")
    shop.buys("han-meimei", "o-milk", "0.40")
    trial = tried(shop, rules(earning={"rate": "1.5"}))
    assert trial["changes"] == [{"path": "earning.rate", "old": "1", "new": "1.5"}]
    orders = trial["orders"]
    # 19 + 148 + 0; floor(29.85) + floor(222.90) + floor(0.60)
    assert (orders["points_before"], orders["points_after"]) == (167, 251)
    assert (orders["rehearsed"], orders["members"]) == (3, 2)
    assert (orders["members_with_more"], orders["members_with_less"]) == (1, 0)
    assert orders["examples"][0] == {
        "member_id": "li-lei", "id": "o-pram", "about": "148.60",
        "points_before": 148, "points_after": 222,
        "summary_before": "148 points", "summary_after": "222 points",
    }  # fmt: skip


def test_only_the_latest_orders_are_tried_as_many_as_asked_for(shop: Shop) -> None:
    for number in range(5):
        shop.buys("li-lei", f"o-{number}", f"{number + 1}0.00")
    orders = tried(shop, rules(earning={"rate": "2"}), count=2)["orders"]
    assert (orders["rehearsed"], orders["points_before"]) == (2, 40 + 50)
    assert tried(shop, rules(earning={"rate": "2"}), count=0)["orders"]["rehearsed"] == 0


def test_a_campaign_to_come_is_tried_at_a_moment_within_it(shop: Shop) -> None:
    shop.buys("li-lei", "o-pram", "148.60")
    member_day = rules("""
[[campaigns]]
code = "member_day"
from = 2026-08-08T00:00:00+08:00
until = 2026-08-09T00:00:00+08:00
multiplier = "2"
""")
    assert tried(shop, member_day)["orders"]["points_after"] == 148
    within = tried(shop, member_day, "2026-08-08 10:00")["orders"]
    assert within["points_after"] == 297
    assert within["examples"][0]["summary_after"] == "148 points, campaign member_day ×2: 297"


def test_a_daily_cap_is_tried_on_the_orders_of_each_day_together(shop: Shop) -> None:
    for order_id, on in (("o-1", "2026-04-01 09:00"), ("o-2", "2026-04-01 20:00"),
                         ("o-3", "2026-04-02 09:00")):  # fmt: skip
        shop.buys("li-lei", order_id, "80.00", on=on)
    orders = tried(shop, rules(points={"daily_earning_cap": 100}))["orders"]
    assert orders["points_after"] == (80 + 20) + 80
    assert orders["members_with_less"] == 1


def test_activities_are_tried_as_well_and_those_over_a_cap_left_out(
    open_shop: OpenShop,
) -> None:
    shop = open_shop(rules("[earning.activities]\ncheck_in = { points = 5, once_per = 'day' }\n"))
    shop.does_activity("li-lei", "check_in", "a-1")
    shop.does_activity("li-lei", "check_in", "a-2")
    dearer = rules("[earning.activities]\ncheck_in = { points = 8, once_per = 'day' }\n")
    activities = tried(shop, dearer)["activities"]
    assert activities["rehearsed"] == 1
    assert (activities["points_before"], activities["points_after"]) == (5, 8)


def test_another_validity_is_shown_by_the_last_day_of_what_is_earned_then(shop: Shop) -> None:
    trial = tried(shop, rules(points={"align_expiry": "year"}))
    assert trial["earned_then_is_good_through"] == {"before": "2027-05-01", "after": "2027-12-31"}


def test_the_same_rules_change_nothing(shop: Shop) -> None:
    shop.buys("li-lei", "o-pram", "148.60")
    trial = tried(shop, rules())
    assert trial["changes"] == []
    assert trial["orders"]["points_before"] == trial["orders"]["points_after"] == 148
    assert trial["orders"]["examples"] == []


def test_what_could_not_be_published_is_refused_here_too(shop: Shop) -> None:
    with pytest.raises(Refusal) as refused:
        tried(shop, rules(currency="EUR"))
    assert refused.value.errors == {"currency": ["is 'CNY' and stays so"]}
