"""Buying: what an order earns, to the point, and how it explains itself (PROGRAMME 2)."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest
from shop import CORE_FROM_THE_START, DESK, TILL, OpenShop, Shop, item, local, rows, rules

from ledger import requests as r
from ledger.events import OrderItem, PointsAccrued


def test_2_1_a_yuan_is_a_point_rounded_down_once(shop: Shop) -> None:
    held = 0
    for paid, points in (
        ("148.60", 148),
        ("148.00", 148),
        ("148.99", 148),
        ("0.99", 0),
        ("1.00", 1),
        ("0.00", 0),
        ("99999999.99", 99_999_999),
    ):
        answer = shop.buys("li-lei", f"o-{paid}", paid)
        assert answer["points"] == points
        assert rows(answer) == [("spend", points)]
        held += points
        assert answer["balance"]["available"] == shop.available("li-lei") == held


@pytest.mark.parametrize(
    ("rate", "paid", "points"),
    [
        ("0.1", "0.30", 0),  # 0.1 × 3 in floats is 0.30000000000000004
        ("0.1", "10.00", 1),
        ("1.1", "10.00", 11),  # 1.1 × 10 in floats is 11.000000000000002
        ("0.29", "100.00", 29),  # 0.29 × 100 in floats is 28.999999999999996
        ("0.57", "100.00", 57),  # 56.99999999999999
        ("1.15", "100.00", 115),  # 114.99999999999999
        ("0.0001", "10000.00", 1),
    ],
)
def test_failures_22_no_float_turns_a_point_into_none(
    open_shop: OpenShop, rate: str, paid: str, points: int
) -> None:
    shop = open_shop(rules(earning={"rate": rate}))
    assert shop.buys("li-lei", "o-1", paid)["points"] == points


def test_2_1_excluded_goods_take_their_share_of_what_was_paid(open_shop: OpenShop) -> None:
    shop = open_shop(
        rules(earning={"excluded_skus": ["tobacco"], "excluded_product_lines": ["alcohol"]})
    )
    table: list[tuple[list[OrderItem], str, int]] = [
        # 120.00 paid for goods of 150.00: the milk's share of it is 80.00
        ([item("milk", "100.00"), item("tobacco", "50.00")], "80.00", 80),
        ([item("tobacco", "150.00")], "0.00", 0),
        ([item("milk", "150.00")], "120.00", 120),
        # a third of 120.00 is 40 exactly, although 1/3 of the goods has no end in decimals
        ([item("milk", "0.01"), item("tobacco", "0.02")], "40.00", 40),
        # 120 × 1/7 = 17.142857…, shown as 17.14
        ([item("milk", "1.00"), item("tobacco", "6.00")], "17.14", 17),
        # all of it is free: as if no items were given
        ([item("milk", "0.00"), item("tobacco", "0.00")], "120.00", 120),
        ([], "120.00", 120),
        # a product line is excluded as well as a SKU
        ([item("milk", "30.00"), item("wine", "30.00", line="alcohol")], "60.00", 60),
        ([item("tobacco", "1.00"), item("wine", "9.00", line="alcohol")], "0.00", 0),
    ]
    for number, (items, base, points) in enumerate(table):
        answer = shop.buys("li-lei", f"o-{number}", "120.00", items=items)
        assert (answer["points"], answer["breakdown"][0]["base"]) == (points, base), items


def test_2_1_a_share_is_not_rounded_before_the_end(open_shop: OpenShop) -> None:
    shop = open_shop(rules(earning={"excluded_skus": ["tobacco"], "rate": "3"}))
    goods = [item("milk", "1.00"), item("tobacco", "2.00")]
    # a third of 100.00, three points each: exactly 100; with the share rounded to 33.33 it were 99
    assert shop.buys("li-lei", "o-1", "100.00", items=goods)["points"] == 100


def test_2_1_a_zero_order_is_recorded_and_earns_nothing(shop: Shop) -> None:
    answer = shop.buys("li-lei", "o-gift", "0.00")
    assert (answer["points"], answer["lot"], rows(answer)) == (0, None, [("spend", 0)])
    assert shop.totals("li-lei")["orders"] == 0
    with shop.refusing("already_recorded"):
        shop.buys("li-lei", "o-gift", "1.00")


def test_2_1_without_an_earning_section_orders_are_recorded_and_earn_nothing(
    open_shop: OpenShop,
) -> None:
    shop = open_shop(msgspec.structs.replace(rules(), earning=None))
    assert shop.buys("li-lei", "o-1", "100.00")["points"] == 0
    assert shop.totals("li-lei")["spend"] == "100.00"


def test_2_2_core_members_earn_more_and_2_11_the_rows_add_up(open_shop: OpenShop) -> None:
    shop = open_shop(
        rules(CORE_FROM_THE_START, earning={"level_multipliers": {"core": "1.2", "loyal": "1.2"}})
    )
    for paid, spend, level, points in (
        ("148.60", 148, 30, 178),  # 178.32: API.md's own example
        ("0.99", 0, 1, 1),  # 1.188
        ("4.17", 4, 1, 5),  # 5.004
        ("4.16", 4, 0, 4),  # 4.992
        ("100.00", 100, 20, 120),
    ):
        answer = shop.buys("li-lei", f"o-{paid}", paid)
        assert answer["points"] == points
        assert answer["breakdown"] == [
            {"rule": "spend", "base": paid, "rate": "1", "points": spend},
            {"rule": "level:core", "multiplier": "1.2", "points": level},
        ]


LOYAL_SOON = """
[levels]
bands = [ { code = "core", from = 0 }, { code = "loyal", from = 15 } ]
"""


def test_2_2_the_level_is_the_one_of_the_orders_moment_not_of_today(open_shop: OpenShop) -> None:
    shop = open_shop(rules(LOYAL_SOON, earning={"level_multipliers": {"loyal": "2"}}))
    shop.buys("li-lei", "o-march", "1000.00", on="2026-03-10 12:00")
    # On 1 April: 0.6 × (1000 / 50 + 1 × 5) = 15.
    shop.does(r.ReviewLevels(member_id="li-lei", as_of=local("2026-04-01 00:00")))
    before = shop.buys("li-lei", "o-late", "10.00", on="2026-03-31 23:59")
    after = shop.buys("li-lei", "o-april", "10.00", on="2026-04-01 00:00")
    assert rows(before) == [("spend", 10)]
    assert rows(after) == [("spend", 10), ("level:loyal", 10)]


def test_2_11_the_event_itself_holds_the_whole_explanation(open_shop: OpenShop) -> None:
    shop = open_shop(rules(CORE_FROM_THE_START, earning={"level_multipliers": {"core": "1.2"}}))
    answer = shop.buys("li-lei", "o-1", "148.60", store_id="s-12", channel="store")
    (event,) = shop.events("li-lei", "PointsAccrued")
    assert isinstance(event, PointsAccrued)
    assert (event.points, event.spend_points, event.programme_version) == (178, 178, 1)
    assert event.unrounded_spend_points == "4458/25"  # 178.32
    assert [
        (row.rule, row.base, row.rate, row.multiplier, row.points) for row in event.breakdown
    ] == [
        ("spend", Decimal("148.60"), Decimal("1"), None, 148),
        ("level:core", None, None, Decimal("1.2"), 30),
    ]
    assert sum(row["points"] for row in answer["breakdown"]) == answer["points"]
    assert (event.store_id, event.channel, event.meta.actor) == ("s-12", "store", TILL)


def test_2_9_points_are_credited_at_once_and_the_answer_says_all(shop: Shop) -> None:
    answer = shop.buys("li-lei", "o-pram", "148.60")
    lot_id = answer["lot"]["lot_id"]
    assert answer == {
        "order_id": "o-pram",
        "member_id": "li-lei",
        "points": 148,
        "occurred_at": "2026-05-01T12:00:00+08:00",
        "breakdown": [{"rule": "spend", "base": "148.60", "rate": "1", "points": 148}],
        "programme_version": 1,
        "lot": {
            "lot_id": lot_id, "granted": 148, "expires_on": "2027-05-01", "status": "active",
            "pending_until": None,
        },
        "summary": "148.60 paid: 148 points",
        "summary_zh": "消费 148.60：148 积分",
        "referral": None,
        "balance": {"available": 148, "pending": 0, "reserved": 0, "debt": 0},
        "tier": None,
        "issued": [],
        "position": 4,  # after the programme and two enrolments
        "version": 2,
    }  # fmt: skip
    assert shop.member("li-lei")["lots"] == [
        {
            "lot_id": lot_id, "source": "order", "order_id": "o-pram",
            "granted": 148, "remaining": 148, "status": "active",
            "earned_at": "2026-05-01T12:00:00+08:00", "expires_on": "2027-05-01",
            "funded_by": None, "pending_until": None,
        }
    ]  # fmt: skip


def test_2_10_a_lot_remembers_who_funds_it(shop: Shop) -> None:
    shop.buys("li-lei", "o-1", "10.00", funded_by="bank-of-tea")
    assert shop.member("li-lei")["lots"][0]["funded_by"] == "bank-of-tea"


# Late data, versions, time


def test_13_late_data_is_booked_at_the_time_it_happened(shop: Shop) -> None:
    shop.buys("li-lei", "o-today", "10.00")
    answer = shop.buys("li-lei", "o-last-week", "20.00", on="2026-04-24 18:30")
    assert answer["occurred_at"] == "2026-04-24T18:30:00+08:00"
    assert answer["lot"]["expires_on"] == "2027-04-24"
    assert shop.lots("li-lei") == [
        ("o-last-week", 20, "2027-04-24"),
        ("o-today", 10, "2027-05-01"),
    ]
    assert shop.then("li-lei", "2026-04-24 18:29")["available"] == 0
    assert shop.then("li-lei", "2026-04-24 18:30")["available"] == 20  # that very moment counts


def test_13_an_order_that_happened_before_its_lot_expired_may_come_after_it_has(shop: Shop) -> None:
    answer = shop.buys("li-lei", "o-forgotten", "70.00", on="2025-04-30 12:00")
    assert answer["lot"]["expires_on"] == "2026-04-30"
    assert answer["balance"]["available"] == 0
    assert shop.available("li-lei") == 0
    assert shop.then("li-lei", "2026-04-30 23:59")["available"] == 70
    assert shop.expires("li-lei") == 1
    assert shop.totals("li-lei")["expired"] == 70


def test_failures_9_a_till_that_was_offline_brings_its_orders_in_any_order(shop: Shop) -> None:
    shop.buys("li-lei", "o-3", "30.00", on="2026-05-01 11:00")
    shop.buys("li-lei", "o-1", "10.00", on="2026-04-30 09:00")
    shop.buys("li-lei", "o-2", "20.00", on="2026-04-30 17:00")
    assert shop.available("li-lei") == 60
    assert [points for _, points, _ in shop.lots("li-lei")] == [10, 20, 30]
    for moment, available in (
        ("2026-04-30 08:59", 0),
        ("2026-04-30 09:00", 10),
        ("2026-04-30 17:00", 30),
        ("2026-05-01 11:00", 60),
    ):
        assert shop.then("li-lei", moment)["available"] == available


def test_1_the_rules_of_the_orders_day_decide_not_those_of_today(shop: Shop) -> None:
    shop.publish(rules(earning={"rate": "2"}), "2026-04-01 00:00")
    march = shop.buys("li-lei", "o-march", "10.00", on="2026-03-31 23:59")
    april = shop.buys("li-lei", "o-april", "10.00", on="2026-04-01 00:00")
    assert (march["points"], march["programme_version"]) == (10, 1)
    assert (april["points"], april["programme_version"]) == (20, 2)


def test_1_rules_of_the_future_do_not_count_yet(shop: Shop) -> None:
    shop.publish(rules(earning={"rate": "5"}), "2026-06-01 00:00")
    assert shop.buys("li-lei", "o-may", "10.00")["points"] == 10
    shop.at("2026-06-01 00:00")
    assert shop.buys("li-lei", "o-june", "10.00")["points"] == 50


def test_1_rules_published_for_the_past_leave_recorded_decisions_as_they_stand(shop: Shop) -> None:
    first = shop.buys("li-lei", "o-1", "10.00", on="2026-04-10 12:00")
    shop.publish(rules(earning={"rate": "3"}), "2026-04-01 00:00")
    second = shop.buys("li-lei", "o-2", "10.00", on="2026-04-10 12:00")
    assert (first["points"], second["points"]) == (10, 30)
    assert shop.available("li-lei") == 40


@pytest.mark.parametrize(
    ("zone", "expires_on"),
    [
        (None, "2027-05-02"),  # 2026-05-01T17:00Z is already 2 May in Shanghai
        ("-08:00", "2027-05-02"),  # the till's own offset decides nothing
        ("+14:00", "2027-05-02"),
    ],
)
def test_failures_17_the_programmes_day_decides_whatever_offset_the_till_sends(
    shop: Shop, zone: str | None, expires_on: str
) -> None:
    shop.at("2026-05-02 12:00")
    moment = datetime(2026, 5, 1, 17, 0, tzinfo=UTC)
    if zone:
        moment = moment.astimezone(datetime.fromisoformat(f"2026-01-01T00:00:00{zone}").tzinfo)
    order = r.Accrue(
        member_id="li-lei", order_id="o-1", amount=Decimal("10.00"), occurred_at=moment
    )
    assert shop.does(order)["lot"]["expires_on"] == expires_on


@pytest.mark.parametrize(
    ("occurred_at", "allowed"),
    [
        ("2026-05-01 12:05:00", True),
        ("2026-05-01 12:05:01", False),
        ("2999-01-01 00:00", False),
    ],
)
def test_a_tills_clock_may_be_five_minutes_fast_and_no_more(
    shop: Shop, occurred_at: str, *, allowed: bool
) -> None:
    if allowed:
        assert shop.buys("li-lei", "o-1", "10.00", on=occurred_at)["points"] == 10
    else:
        with shop.refusing("invalid_request"):
            shop.buys("li-lei", "o-1", "10.00", on=occurred_at)


# Quotes


def test_a_quote_books_nothing_and_says_what_the_order_would_earn(shop: Shop) -> None:
    shop.buys("li-lei", "o-1", "1000.00")
    before = shop.everything_stored()
    command = r.Accrue(member_id="li-lei", order_id="o-2", amount=Decimal("148.60"))
    answer = shop.ledger.preview(r.Request(command=command, actor=TILL))
    assert answer["points"] == 148
    assert answer["breakdown"] == [{"rule": "spend", "base": "148.60", "rate": "1", "points": 148}]
    # half of 148.60 is 74.30: 700 points in whole hundreds
    assert answer["cash_offset"] == {"max_points": 700, "max_amount": "70.00"}
    assert shop.everything_stored() == before


# Unknown members


def test_an_order_of_an_unknown_member_is_not_found_unless_the_programme_enrols(shop: Shop) -> None:
    with shop.refusing("not_found"):
        shop.buys("lucy", "o-1", "10.00")
    enrolling = msgspec.structs.replace(rules(), auto_enrol=True)
    shop.publish(enrolling, "2026-04-01 00:00")
    answer = shop.buys("lucy", "o-1", "10.00", on="2026-04-20 08:00")
    assert answer["points"] == 10
    assert shop.member("lucy")["joined_at"] == "2026-04-20T08:00:00+08:00"  # the order's moment


def test_the_actor_is_written_down_with_every_event(shop: Shop) -> None:
    shop.buys("li-lei", "o-1", "10.00")
    shop.adjusts("li-lei", "a-1", 5)
    assert [event.meta.actor for event in shop.events("li-lei")] == [TILL, TILL, DESK]
