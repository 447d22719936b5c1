"""What joining, the first order and a large order bring (PROGRAMME 2.4, 2.5, 2.6)."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from shop import OpenShop, Shop, local, order, rules, shipped, templates


@pytest.fixture
def shop(open_shop: OpenShop) -> Shop:
    """A shop with the programme `retail` as it is shipped."""
    return open_shop(shipped("retail"))


def codes(answer: dict[str, Any]) -> list[str]:
    """The codes of the coupons that an answer says were issued."""
    return [issued["coupon"] for issued in answer["issued"]]


# 2.4 Newcomer pack


def test_2_4_a_newcomer_gets_50_points_and_a_first_order_coupon(shop: Shop) -> None:
    answer = shop.joins("lucy")
    assert templates(answer) == ["first_order"]
    assert answer["balance"] == {"available": 50, "pending": 0, "reserved": 0, "debt": 0}
    (lot,) = answer["lots"]
    assert (lot["source"], lot["granted"], lot["order_id"]) == ("enrolment", 50, None)
    assert lot["expires_on"] == "2027-05-01"
    assert shop.totals("lucy")["granted"] == 50
    (pack,) = shop.events("lucy", "NewcomerRewarded")
    assert pack.points == 50
    assert [(row.rule, row.points) for row in pack.breakdown] == [("newcomer", 50)]
    (coupon,) = shop.events("lucy", "CouponIssued")
    assert [coupon.code] == codes(answer)
    assert (coupon.source, coupon.order_id, coupon.kind) == ("newcomer", None, "amount_off")
    assert (coupon.value, coupon.threshold) == (Decimal("10.00"), Decimal("50.00"))
    assert (coupon.valid_from, coupon.valid_until) == (date(2026, 5, 1), date(2026, 5, 31))


def test_2_4_the_pack_is_given_once(shop: Shop) -> None:
    first = shop.joins("lucy")
    assert shop.joins("lucy") == first
    assert shop.available("lucy") == 50
    assert shop.coupons("lucy") == ["first_order"]


def test_2_4_an_enrolment_heard_of_late_gives_the_pack_of_its_own_day(shop: Shop) -> None:
    answer = shop.joins("lucy", on="2026-04-10 23:30")
    assert answer["lots"][0]["expires_on"] == "2027-04-10"
    assert answer["lots"][0]["earned_at"] == "2026-04-10T23:30:00+08:00"
    (coupon,) = shop.events("lucy", "CouponIssued")
    assert (coupon.valid_from, coupon.valid_until) == (date(2026, 4, 10), date(2026, 5, 10))
    assert shop.then("lucy", "2026-04-10 23:30")["available"] == 50


def test_2_4_who_is_enrolled_by_an_order_gets_the_pack_at_the_orders_time(
    open_shop: OpenShop,
) -> None:
    shop = open_shop(shipped("retail", auto_enrol=True))
    answer = shop.buys("lucy", "o-1", "80.00", on="2026-04-20 08:00")
    assert answer["points"] == 80
    member = shop.member("lucy")
    assert member["joined_at"] == "2026-04-20T08:00:00+08:00"
    assert sorted((lot["source"], lot["remaining"]) for lot in member["lots"]) == [
        ("enrolment", 50),
        ("order", 80),
    ]
    assert {lot["expires_on"] for lot in member["lots"]} == {"2027-04-20"}
    assert {event.occurred_at for event in shop.events("lucy")} == {local("2026-04-20 08:00")}
    assert shop.coupons("lucy") == ["first_order", "second_order_90"]


def test_2_4_without_a_newcomer_section_joining_brings_nothing(open_shop: OpenShop) -> None:
    shop = open_shop(rules())
    answer = shop.joins("lucy")
    assert (answer["issued"], answer["balance"]["available"]) == ([], 0)


def test_2_4_a_pack_of_points_alone_has_no_coupon(open_shop: OpenShop) -> None:
    shop = open_shop(shipped("enterprise"))
    answer = shop.joins("lucy")
    assert (answer["issued"], answer["balance"]["available"]) == ([], 500)
    assert answer["balance"]["pending"] == 0  # only order lots wait


# 2.5 Second purchase


def test_2_5_the_first_order_issues_a_90_coupon_for_the_second(shop: Shop) -> None:
    answer = shop.buys("li-lei", "o-1", "100.00", on="2026-04-30 23:59")
    assert templates(answer) == ["second_order_90"]
    coupon = shop.events("li-lei", "CouponIssued")[-1]
    assert [coupon.code] == codes(answer)
    assert (coupon.source, coupon.order_id) == ("second_order", "o-1")
    assert (coupon.kind, coupon.value) == ("percent_off", Decimal("10"))
    assert (coupon.valid_from, coupon.valid_until) == (date(2026, 4, 30), date(2026, 5, 30))
    assert coupon.occurred_at == local("2026-04-30 23:59")
    assert shop.buys("li-lei", "o-2", "100.00")["issued"] == []


def test_2_5_the_first_order_stays_the_first_even_if_it_is_refunded_later(shop: Shop) -> None:
    shop.buys("li-lei", "o-1", "100.00")
    shop.refunds("o-1", "f-1", "100.00")
    assert shop.buys("li-lei", "o-2", "100.00")["issued"] == []
    assert [event.first for event in shop.events("li-lei", "PointsAccrued")] == [True, False]


def test_2_5_an_order_of_nothing_is_not_the_first(shop: Shop) -> None:
    assert shop.buys("li-lei", "o-gift", "0.00")["issued"] == []
    assert templates(shop.buys("li-lei", "o-1", "0.01")) == ["second_order_90"]
    assert shop.buys("li-lei", "o-2", "9.00")["issued"] == []


def test_2_5_the_first_is_the_one_recorded_first(shop: Shop) -> None:
    assert templates(shop.buys("li-lei", "o-today", "10.00")) == ["second_order_90"]
    assert shop.buys("li-lei", "o-last-week", "10.00", on="2026-04-24 10:00")["issued"] == []


def test_2_5_two_first_orders_in_one_batch_are_one_first_order(shop: Shop) -> None:
    outcomes = shop.together(*(order("li-lei", f"o-{number}", "10.00") for number in range(3)))
    assert [templates(outcome.body) for outcome in outcomes] == [["second_order_90"], [], []]


# 2.6 Spend gift


def test_2_6_an_order_of_500_or_more_issues_a_gift_coupon(shop: Shop) -> None:
    shop.buys("li-lei", "o-first", "1.00")
    assert shop.buys("li-lei", "o-1", "499.99")["issued"] == []
    for number, paid in enumerate(("500.00", "500.01", "90000.00")):  # each time
        answer = shop.buys("li-lei", f"o-big-{number}", paid)
        assert templates(answer) == ["brand_gift"]
    gifts = [one for one in shop.events("li-lei", "CouponIssued") if one.template == "brand_gift"]
    assert [gift.order_id for gift in gifts] == ["o-big-0", "o-big-1", "o-big-2"]
    assert {(gift.kind, gift.source) for gift in gifts} == {("gift", "spend_gift")}
    assert len({gift.code for gift in gifts}) == 3


def test_2_6_a_large_first_order_brings_both_coupons(shop: Shop) -> None:
    answer = shop.buys("li-lei", "o-1", "500.00")
    assert templates(answer) == ["brand_gift", "second_order_90"]


def test_2_6_every_gift_whose_threshold_is_met_is_given(open_shop: OpenShop) -> None:
    shop = open_shop(shipped("enterprise"))
    shop.buys("li-lei", "o-first", "1.00")
    assert templates(shop.buys("li-lei", "o-1", "999.99")) == []
    assert templates(shop.buys("li-lei", "o-2", "1000.00")) == ["site_visit"]
    assert templates(shop.buys("li-lei", "o-3", "5000.00")) == ["event_voucher", "site_visit"]


# 5.4 What a refund does to them


def test_5_4_a_full_refund_voids_unused_coupons_that_the_order_issued(shop: Shop) -> None:
    pack = shop.joins("lucy")
    bought = shop.buys("lucy", "o-1", "600.00")
    assert shop.coupons("lucy") == ["brand_gift", "first_order", "second_order_90"]
    part = shop.refunds("o-1", "f-1", "599.99")
    assert part["voided_coupons"] == []
    whole = shop.refunds("o-1", "f-2", "0.01")
    assert sorted(whole["voided_coupons"]) == sorted(codes(bought))
    # the newcomer pack stays: its coupon, and its points
    assert shop.coupons("lucy") == ["first_order"]
    assert shop.available("lucy") == 50
    voided = shop.events("lucy", "CouponVoided")
    assert {(event.order_id, event.refund_id) for event in voided} == {("o-1", "f-2")}
    assert all(event.reason for event in voided)
    assert codes(pack)[0] not in whole["voided_coupons"]


def test_5_4_a_refund_voids_nothing_that_another_order_issued(shop: Shop) -> None:
    shop.buys("li-lei", "o-1", "600.00")
    second = shop.buys("li-lei", "o-2", "700.00")
    answer = shop.refunds("o-2", "f-1", "700.00")
    assert answer["voided_coupons"] == codes(second)
    assert shop.coupons("li-lei") == ["brand_gift", "first_order", "second_order_90"]
