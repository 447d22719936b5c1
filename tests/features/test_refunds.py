"""Giving back: what an order earned goes back, what it spent comes back (PROGRAMME 5)."""

from __future__ import annotations

import random
from decimal import Decimal
from fractions import Fraction
from math import floor

import pytest
from shop import (
    CORE_FROM_THE_START,
    OpenShop,
    Shop,
    campaign,
    item,
    local,
    rules,
    shipped,
    templates,
)

from ledger import requests as r
from ledger.events import OrderRefunded, PointsClawedBack, PointsRestored


def test_5_1_a_full_refund_claws_back_exactly_what_was_granted(shop: Shop) -> None:
    shop.buys("li-lei", "o-pram", "148.60")
    answer = shop.refunds("o-pram", "f-1", "148.60")
    assert answer == {
        "refund_id": "f-1",
        "order_id": "o-pram",
        "member_id": "li-lei",
        "amount": "148.60",
        "refunded": "148.60",
        "occurred_at": "2026-05-01T12:00:00+08:00",
        "points_clawed_back": 148,
        "points_restored": 0,
        "debt": 0,
        "waived": 0,
        "balance": {"available": 0, "pending": 0, "reserved": 0, "debt": 0},
        "reinstated_coupons": [],
        "voided_coupons": [],
        "position": 6,
        "version": 4,
    }
    totals = shop.totals("li-lei")
    assert (totals["granted"], totals["clawed_back"]) == (148, 148)
    assert (totals["spend"], totals["orders"], totals["repurchases"]) == ("0.00", 0, 0)


@pytest.mark.parametrize(
    ("paid", "refunds", "clawed_back"),
    [
        # what is kept is floor(what was kept of the whole): 148 → 99, 49, 0
        ("148.60", ["49.53", "49.53", "49.54"], [49, 50, 49]),
        ("10.00", ["0.01"] * 3, [1, 0, 0]),
        ("10.00", ["0.50", "0.50", "0.50"], [1, 0, 1]),
        ("0.99", ["0.50", "0.49"], [0, 0]),
        ("1.50", ["0.50", "0.99", "0.01"], [0, 1, 0]),
        ("100.00", ["99.99", "0.01"], [100, 0]),
        ("100.00", ["33.33", "33.33", "33.34"], [34, 33, 33]),
    ],
)
def test_5_1_partial_refunds_never_drift(
    shop: Shop, paid: str, refunds: list[str], clawed_back: list[int]
) -> None:
    granted = shop.buys("li-lei", "o-1", paid)["points"]
    given_back = Decimal(0)
    for number, (amount, points) in enumerate(zip(refunds, clawed_back, strict=True)):
        answer = shop.refunds("o-1", f"f-{number}", amount)
        assert answer["points_clawed_back"] == points, number
        given_back += Decimal(amount)
        assert shop.available("li-lei") == floor(Fraction(paid) - Fraction(given_back))
    if given_back == Decimal(paid):
        assert sum(clawed_back) == granted


def test_5_1_a_hundred_refunds_of_one_order_leave_what_the_rest_of_it_earns(
    open_shop: OpenShop,
) -> None:
    shop = open_shop(
        rules(CORE_FROM_THE_START, earning={"level_multipliers": {"core": "1.2"}, "rate": "0.7"})
    )
    chance = random.Random(20260501)
    paid = Decimal("997.31")
    granted = shop.buys("li-lei", "o-1", str(paid))["points"]
    assert granted == floor(Fraction(paid) * Fraction("0.84"))
    left, clawed_back = paid, 0
    while left:
        amount = min(left, Decimal(chance.randint(1, 3000)).scaleb(-2))
        clawed_back += shop.refunds("o-1", f"f-{left}", str(amount))["points_clawed_back"]
        left -= amount
        assert granted - clawed_back == floor(Fraction(left) * Fraction("0.84"))
    assert clawed_back == granted


def test_failures_5_a_partial_refund_takes_the_orders_own_share(open_shop: OpenShop) -> None:
    shop = open_shop(rules(earning={"excluded_skus": ["tobacco"]}))
    goods = [item("milk", "100.00"), item("tobacco", "50.00")]
    assert shop.buys("li-lei", "o-1", "150.00", items=goods)["points"] == 100
    # a third of what was paid is given back: a third of what was earned goes
    assert shop.refunds("o-1", "f-1", "50.00")["points_clawed_back"] == 34
    assert shop.available("li-lei") == 66  # floor(100 × 100/150)
    assert shop.refunds("o-1", "f-2", "100.00")["points_clawed_back"] == 66


def test_5_1_the_rate_recorded_with_the_order_counts_not_todays(shop: Shop) -> None:
    shop.buys("li-lei", "o-1", "100.00", on="2026-04-01 10:00")
    shop.publish(rules(earning={"rate": "5"}), "2026-04-15 00:00")
    assert shop.refunds("o-1", "f-1", "50.00")["points_clawed_back"] == 50


def test_failures_1_buying_and_refunding_again_and_again_earns_nothing(shop: Shop) -> None:
    for number in range(5):
        shop.buys("li-lei", f"o-{number}", "500.00")
        shop.refunds(f"o-{number}", f"f-{number}", "500.00")
    assert shop.balance("li-lei") == {"available": 0, "pending": 0, "reserved": 0, "debt": 0}
    shop.buys("li-lei", "o-spent", "500.00")
    shop.redeems("li-lei", "r-1", 500, "o-cot")
    shop.refunds("o-spent", "f-spent", "500.00")
    assert shop.debt("li-lei") == 500  # nor does spending first
    with shop.refusing("insufficient_points"):
        shop.redeems("li-lei", "r-2", 100, "o-cot")


def test_failures_2_the_same_refund_twice_deducts_once(shop: Shop) -> None:
    shop.buys("li-lei", "o-1", "148.60")
    first = shop.refunds("o-1", "f-1", "48.60")
    before = shop.everything_stored()
    assert shop.refunds("o-1", "f-1", "48.60") == first
    assert shop.everything_stored() == before
    assert shop.available("li-lei") == 100
    with shop.refusing("already_recorded"):
        shop.refunds("o-1", "f-1", "48.61")
    shop.refunds("o-1", "f-2", "48.60")  # another refund of the same amount is another refund
    assert shop.available("li-lei") == 51


def test_failures_3_points_already_spent_become_a_debt_that_later_points_pay(shop: Shop) -> None:
    shop.buys("li-lei", "o-1", "300.00")
    shop.redeems("li-lei", "r-1", 200, "o-cot")
    answer = shop.refunds("o-1", "f-1", "300.00")
    assert (answer["points_clawed_back"], answer["debt"]) == (300, 200)
    assert answer["balance"] == {"available": 0, "pending": 0, "reserved": 0, "debt": 200}
    later = shop.buys("li-lei", "o-2", "250.00")
    assert later["points"] == 250  # the grant is whole; the debt takes its part of it
    assert later["balance"] == {"available": 50, "pending": 0, "reserved": 0, "debt": 0}
    (accrued,) = (e for e in shop.events("li-lei", "PointsAccrued") if e.order_id == "o-2")
    assert [(paid.order_id, paid.points) for paid in accrued.debt_paid] == [("o-1", 200)]
    assert shop.totals("li-lei")["granted"] == 550


def test_failures_4_points_spent_on_an_order_come_back_when_it_is_given_back(shop: Shop) -> None:
    shop.buys("li-lei", "o-earned", "500.00")
    shop.redeems("li-lei", "r-1", 300, "o-cot", "200.00")
    shop.buys("li-lei", "o-cot", "170.00")
    before = shop.lots("li-lei")
    assert before == [("o-earned", 200, "2027-05-01"), ("o-cot", 170, "2027-05-01")]
    answer = shop.refunds("o-cot", "f-1", "170.00")
    assert (answer["points_restored"], answer["points_clawed_back"]) == (300, 170)
    assert shop.lots("li-lei") == [("o-earned", 500, "2027-05-01")]
    totals = shop.totals("li-lei")
    assert (totals["redeemed"], totals["restored"], totals["clawed_back"]) == (300, 300, 170)


def test_failures_7_a_refund_adds_events_and_takes_none_away(shop: Shop) -> None:
    shop.buys("li-lei", "o-1", "148.60")
    before = shop.events("li-lei")
    shop.refunds("o-1", "f-1", "148.60")
    after = shop.events("li-lei")
    assert after[: len(before)] == before
    assert [event.TOPIC for event in after[len(before) :]] == ["OrderRefunded", "PointsClawedBack"]
    refunded, clawback = after[len(before) :]
    assert isinstance(refunded, OrderRefunded)
    assert isinstance(clawback, PointsClawedBack)
    assert (refunded.refunded, refunded.fully, refunded.counted) == (Decimal("148.60"), True, True)
    assert (clawback.points, clawback.debt, clawback.waived) == (148, 0, 0)


# Where clawed-back points come from


def test_5_2_first_the_orders_own_lot_then_others_in_drawing_order_then_debt(shop: Shop) -> None:
    shop.buys("li-lei", "o-old", "100.00", on="2025-07-01 10:00")
    shop.buys("li-lei", "o-middle", "100.00", on="2025-09-01 10:00")
    shop.buys("li-lei", "o-new", "300.00", on="2026-03-01 10:00")
    # all of "old" and "middle" and 50 of "new" are spent
    shop.reserves("li-lei", "r-hold", 200, "o-x")
    shop.redeems("li-lei", "r-1", 100, "o-cot")
    shop.releases("r-hold")
    assert shop.lots("li-lei") == [
        ("o-old", 100, "2026-07-01"),
        ("o-middle", 100, "2026-09-01"),
        ("o-new", 200, "2027-03-01"),
    ]
    answer = shop.refunds("o-new", "f-1", "300.00")  # 200 of its own, 100 of the oldest
    assert (answer["points_clawed_back"], answer["debt"]) == (300, 0)
    assert shop.lots("li-lei") == [("o-middle", 100, "2026-09-01")]
    (event,) = shop.events("li-lei", "PointsClawedBack")
    assert isinstance(event, PointsClawedBack)
    assert [lot.points for lot in event.lots_drawn] == [200, 100]


def test_5_2_a_clawback_never_takes_reserved_points(shop: Shop) -> None:
    shop.buys("li-lei", "o-1", "300.00")
    shop.reserves("li-lei", "r-1", 300, "o-cot")
    answer = shop.refunds("o-1", "f-1", "300.00")
    assert answer["balance"] == {"available": 0, "pending": 0, "reserved": 300, "debt": 300}
    released = shop.releases("r-1")
    assert released["balance"] == {"available": 0, "pending": 0, "reserved": 0, "debt": 0}


def test_5_2_what_expired_unspent_counts_as_taken_back_recorded_or_not(shop: Shop) -> None:
    for member_id, order_id in (("li-lei", "o-his"), ("han-meimei", "o-hers")):
        shop.buys(member_id, order_id, "300.00", on="2025-04-30 10:00")
        shop.redeems(member_id, f"r-{order_id}", 100, f"cot-{order_id}", on="2025-06-01 10:00")
    shop.at("2026-05-02 10:00")
    shop.expires("li-lei")  # his expiry is recorded, hers is not
    for order_id in ("o-his", "o-hers"):
        answer = shop.refunds(order_id, f"f-{order_id}", "300.00")
        # 300 granted, 200 expired: the 100 that were spent are owed
        assert (answer["points_clawed_back"], answer["debt"]) == (100, 100)
    assert shop.balance("li-lei") == shop.balance("han-meimei")


def test_5_1_a_partial_refund_after_expiry_takes_nothing_that_has_gone(shop: Shop) -> None:
    shop.buys("li-lei", "o-1", "300.00", on="2025-04-30 10:00")
    shop.redeems("li-lei", "r-1", 200, "o-cot", on="2025-06-01 10:00")
    shop.at("2026-05-02 10:00")
    # it holds 200 (100 expired) and should hold 200 after a third is given back
    assert shop.refunds("o-1", "f-1", "100.00")["points_clawed_back"] == 0
    assert shop.refunds("o-1", "f-2", "100.00")["points_clawed_back"] == 100
    assert shop.refunds("o-1", "f-3", "100.00")["points_clawed_back"] == 100
    assert shop.debt("li-lei") == 200


def test_5_2_debt_can_be_waived_by_the_programme(open_shop: OpenShop) -> None:
    shop = open_shop(rules(points={"debt": "waive"}))
    shop.buys("li-lei", "o-1", "300.00")
    shop.redeems("li-lei", "r-1", 200, "o-cot")
    part = shop.refunds("o-1", "f-1", "150.00")
    assert (part["points_clawed_back"], part["debt"], part["waived"]) == (100, 0, 50)
    whole = shop.refunds("o-1", "f-2", "150.00")  # what was waived counts as taken back
    assert (whole["points_clawed_back"], whole["debt"], whole["waived"]) == (0, 0, 150)
    assert shop.balance("li-lei") == {"available": 0, "pending": 0, "reserved": 0, "debt": 0}
    assert shop.totals("li-lei")["clawed_back"] == 100


def test_5_1_clawed_back_into_debt_is_not_clawed_back_again(shop: Shop) -> None:
    shop.buys("li-lei", "o-1", "300.00")
    shop.redeems("li-lei", "r-1", 300, "o-cot")
    first = shop.refunds("o-1", "f-1", "100.00")
    second = shop.refunds("o-1", "f-2", "200.00")
    assert (first["points_clawed_back"], first["debt"]) == (100, 100)
    assert (second["points_clawed_back"], second["debt"]) == (200, 200)
    assert shop.debt("li-lei") == 300


# Restoring


@pytest.mark.parametrize(
    ("refunds", "restored"),
    [
        (["170.00"], [300]),
        (["85.00", "85.00"], [150, 150]),
        (["0.56", "0.01", "169.43"], [0, 1, 299]),  # 300 × 0.56/170 = 0.988…
        (["56.67", "56.67", "56.66"], [100, 100, 100]),
    ],
)
def test_5_3_points_spent_are_restored_in_proportion(
    shop: Shop, refunds: list[str], restored: list[int]
) -> None:
    shop.buys("li-lei", "o-earned", "500.00")
    shop.redeems("li-lei", "r-1", 300, "o-cot", "200.00")
    shop.buys("li-lei", "o-cot", "170.00")
    for number, (amount, points) in enumerate(zip(refunds, restored, strict=True)):
        assert shop.refunds("o-cot", f"f-{number}", amount)["points_restored"] == points
    assert shop.totals("li-lei")["restored"] == sum(restored) == 300


def test_5_3_the_last_drawn_lot_is_restored_first_with_its_old_expiry(shop: Shop) -> None:
    shop.buys("li-lei", "o-old", "100.00", on="2025-07-01 10:00")
    shop.buys("li-lei", "o-new", "100.00", on="2026-03-01 10:00")
    shop.redeems("li-lei", "r-1", 200, "o-cot", "200.00")
    shop.buys(
        "li-lei", "o-cot", "0.00"
    )  # all the rest was a gift card: paid nothing, earned nothing
    shop.buys("li-lei", "o-bib", "100.00", on="2026-05-01 11:00")
    assert shop.lots("li-lei") == [("o-bib", 100, "2027-05-01")]
    assert shop.refunds("o-cot", "f-1", "0.00")["points_restored"] == 200
    assert shop.lots("li-lei") == [
        ("o-old", 100, "2026-07-01"),
        ("o-new", 100, "2027-03-01"),
        ("o-bib", 100, "2027-05-01"),
    ]


def test_5_3_half_a_refund_restores_the_last_drawn_lot(shop: Shop) -> None:
    shop.buys("li-lei", "o-old", "100.00", on="2025-07-01 10:00")
    shop.buys("li-lei", "o-new", "200.00", on="2026-03-01 10:00")
    shop.redeems("li-lei", "r-1", 100, "o-cot", "200.00")  # of "old"
    shop.redeems("li-lei", "r-2", 100, "o-cot", "200.00")  # of "new"
    shop.buys("li-lei", "o-cot", "180.00")
    shop.refunds("o-cot", "f-1", "90.00")
    assert shop.lots("li-lei") == [("o-new", 200, "2027-03-01"), ("o-cot", 90, "2027-05-01")]
    shop.refunds("o-cot", "f-2", "90.00")
    assert shop.lots("li-lei") == [("o-old", 100, "2026-07-01"), ("o-new", 200, "2027-03-01")]


@pytest.mark.parametrize(
    ("refunded_at", "good_through", "new"),
    [
        ("2026-05-13 12:00", "2026-05-20", False),  # 7 days left: the old expiry is kept
        ("2026-05-14 12:00", "2026-05-21", True),  # 6 days left: a week from the refund
        ("2026-05-20 23:59", "2026-05-27", True),
        ("2026-06-30 12:00", "2026-07-07", True),  # long expired
    ],
)
def test_5_3_restored_points_are_good_for_a_week_at_least(
    shop: Shop, refunded_at: str, good_through: str, *, new: bool
) -> None:
    shop.buys(
        "li-lei", "o-old", "150.00", on="2025-05-20 10:00", funded_by="bank-of-tea"
    )  # good through 2026-05-20
    shop.redeems("li-lei", "r-1", 100, "o-cot", "200.00", on="2026-05-01 10:00")
    shop.buys("li-lei", "o-cot", "190.00")
    shop.at(refunded_at)
    shop.refunds("o-cot", "f-1", "190.00")
    restored = shop.member("li-lei")["lots"][-1]
    assert restored["expires_on"] == good_through
    (event,) = shop.events("li-lei", "PointsRestored")
    assert isinstance(event, PointsRestored)
    assert (event.lots[0].new_lot is not None) == new
    if new:  # same source, order, funder, earned_at
        assert restored == {
            "lot_id": restored["lot_id"], "source": "order", "order_id": "o-old",
            "granted": 100, "remaining": 100, "status": "active",
            "earned_at": "2025-05-20T10:00:00+08:00", "expires_on": good_through,
            "funded_by": "bank-of-tea", "pending_until": None,
        }  # fmt: skip


def test_5_2_a_lot_formed_by_restoration_is_the_orders_own(shop: Shop) -> None:
    shop.buys("li-lei", "o-old", "100.00", on="2025-05-03 10:00")  # good through 2026-05-03
    shop.buys("li-lei", "o-other", "100.00", on="2025-05-02 10:00")
    shop.redeems("li-lei", "r-1", 200, "o-cot", "200.00")
    shop.buys("li-lei", "o-cot", "180.00")
    shop.refunds("o-cot", "f-1", "180.00")
    assert shop.lots("li-lei") == [("o-other", 100, "2026-05-08"), ("o-old", 100, "2026-05-08")]
    shop.refunds("o-old", "f-2", "100.00")
    assert shop.lots("li-lei") == [("o-other", 100, "2026-05-08")]


def test_5_3_only_what_was_captured_is_restored(shop: Shop) -> None:
    shop.buys("li-lei", "o-earned", "500.00")
    shop.reserves("li-lei", "r-1", 300, "o-cot", "200.00")
    shop.captures("r-1", 200)
    shop.reserves("li-lei", "r-2", 100, "o-cot", "200.00")
    shop.releases("r-2")
    shop.reserves("li-lei", "r-3", 100, "o-cot", "200.00")  # still held
    shop.buys("li-lei", "o-cot", "170.00")
    assert shop.refunds("o-cot", "f-1", "170.00")["points_restored"] == 200


def test_5_5_a_refund_restores_first_then_claws_back(shop: Shop) -> None:
    shop.buys("li-lei", "o-earned", "300.00")
    shop.redeems("li-lei", "r-1", 300, "o-cot", "200.00")
    shop.buys("li-lei", "o-cot", "170.00")
    shop.redeems("li-lei", "r-2", 100, "o-bib")
    # 70 left; the cot gives 300 back and takes 170: no debt on the way
    answer = shop.refunds("o-cot", "f-1", "170.00")
    assert (answer["points_restored"], answer["points_clawed_back"], answer["debt"]) == (
        300,
        170,
        0,
    )
    assert shop.available("li-lei") == 200
    assert [event.TOPIC for event in shop.events("li-lei")[-3:]] == [
        "OrderRefunded",
        "PointsRestored",
        "PointsClawedBack",
    ]


# What can't be refunded


@pytest.mark.parametrize(
    ("order_id", "amount", "on", "code"),
    [
        ("o-1", "148.61", None, "refund_exceeds_order"),
        ("o-unknown", "1.00", None, "not_found"),
        ("o-1", "0.00", None, "invalid_request"),
        ("o-free", "0.01", None, "refund_exceeds_order"),
        ("o-1", "1.00", "2026-04-30 10:00", "invalid_request"),  # before it was bought
        ("o-1", "1.00", "2026-05-01 12:06", "invalid_request"),  # in the future
    ],
)
def test_5_5_what_was_not_paid_cannot_be_given_back(
    shop: Shop, order_id: str, amount: str, on: str | None, code: str
) -> None:
    shop.buys("li-lei", "o-1", "148.60")
    shop.buys("li-lei", "o-free", "0.00")
    with shop.refusing(code):
        shop.refunds(order_id, "f-1", amount, on=on)


def test_5_5_more_than_the_rest_cannot_be_given_back(shop: Shop) -> None:
    shop.buys("li-lei", "o-1", "148.60")
    shop.refunds("o-1", "f-1", "100.00")
    with shop.refusing("refund_exceeds_order"):
        shop.refunds("o-1", "f-2", "48.61")
    shop.refunds("o-1", "f-2", "48.60")
    with shop.refusing("refund_exceeds_order"):
        shop.refunds("o-1", "f-3", "0.01")


def test_5_1_a_free_order_is_given_back_by_a_refund_of_nothing(shop: Shop) -> None:
    shop.buys("li-lei", "o-free", "0.00")
    answer = shop.refunds("o-free", "f-1", "0.00")
    assert (answer["points_clawed_back"], answer["points_restored"]) == (0, 0)
    again = shop.refunds("o-free", "f-2", "0.00")
    assert (again["points_clawed_back"], again["points_restored"]) == (0, 0)
    with shop.refusing("refund_exceeds_order"):
        shop.refunds("o-free", "f-3", "0.01")


def test_a_refund_of_an_order_that_spent_comes_in_one_request_with_others(shop: Shop) -> None:
    outcomes = shop.together(
        r.Accrue(member_id="li-lei", order_id="o-1", amount=Decimal("50.00")),
        r.Refund(refund_id="f-1", order_id="o-1", amount=Decimal("20.00")),
        r.Refund(refund_id="f-2", order_id="o-1", amount=Decimal("30.01")),
        r.Refund(refund_id="f-1", order_id="o-1", amount=Decimal("20.00")),
        r.Refund(refund_id="f-3", order_id="o-1", amount=Decimal("30.00")),
    )
    assert [outcome.status for outcome in outcomes] == [201, 201, 409, 201, 201]
    assert outcomes[3].replayed
    assert outcomes[3].body == outcomes[1].body
    assert shop.balance("li-lei")["available"] == 0


# Debt


@pytest.mark.parametrize("comes_in", ["accrual", "restoration", "release", "adjustment"])
def test_5_6_whatever_comes_in_pays_the_debt_first(shop: Shop, comes_in: str) -> None:
    shop.buys("li-lei", "o-paid-with-points", "10.00")
    shop.buys("li-lei", "o-1", "490.00")
    shop.redeems("li-lei", "r-1", 300, "o-paid-with-points", "100.00")
    shop.reserves("li-lei", "r-2", 200, "o-cot")
    shop.refunds("o-1", "f-1", "490.00")
    assert shop.balance("li-lei") == {"available": 0, "pending": 0, "reserved": 200, "debt": 490}
    if comes_in == "accrual":
        balance, left = shop.buys("li-lei", "o-2", "100.00")["balance"], 390
    elif comes_in == "restoration":  # 300 come back and pay; the order's own 10 become debt
        balance, left = shop.refunds("o-paid-with-points", "f-2", "10.00")["balance"], 200
    elif comes_in == "release":
        balance, left = shop.releases("r-2")["balance"], 290
    else:
        balance, left = shop.adjusts("li-lei", "a-1", 100)["balance"], 390
    assert (balance["available"], balance["debt"]) == (0, left)


def test_5_6_the_oldest_debt_is_paid_first_and_the_event_shows_both_parts(shop: Shop) -> None:
    for order_id in ("o-1", "o-2"):
        shop.buys("li-lei", order_id, "100.00")
    shop.redeems("li-lei", "r-1", 200, "o-cot")
    shop.refunds("o-2", "f-2", "100.00")
    shop.at("2026-05-01 12:01")
    shop.refunds("o-1", "f-1", "100.00")
    shop.buys("li-lei", "o-3", "130.00")
    accrued = shop.events("li-lei", "PointsAccrued")[-1]
    assert [(paid.order_id, paid.points) for paid in accrued.debt_paid] == [
        ("o-2", 100),
        ("o-1", 30),
    ]
    assert accrued.points == 130
    assert shop.debt("li-lei") == 70


def test_13_at_every_past_moment_points_less_debt_are_what_had_come_in_and_gone_out(
    shop: Shop,
) -> None:
    shop.buys("li-lei", "o-1", "300.00", on="2026-04-01 10:00")
    shop.redeems("li-lei", "r-1", 300, "o-cot", on="2026-04-02 10:00")
    shop.refunds("o-1", "f-1", "300.00", on="2026-04-20 10:00")
    # a late order of 10 April pays the debt that the refund of 20 April made
    shop.buys("li-lei", "o-late", "100.00", on="2026-04-10 10:00")
    assert shop.balance("li-lei") == {"available": 0, "pending": 0, "reserved": 0, "debt": 200}
    for moment, net in (
        ("2026-04-01 10:00", 300),
        ("2026-04-02 10:00", 0),
        ("2026-04-10 10:00", 100),
        ("2026-04-20 10:00", -200),
    ):
        then = shop.then("li-lei", moment)
        assert then["available"] - then["debt"] == net, moment


# Bonuses, campaigns, caps, coupons


BONUS = campaign("thanks", bonus=200)
BABY_WEEK = campaign("baby_week", multiplier="2", only={"product_lines": ["baby"]})


def test_5_1_a_bonus_stays_until_the_order_is_given_back_wholly(open_shop: OpenShop) -> None:
    shop = open_shop(rules(campaigns=[BONUS]))
    assert shop.buys("li-lei", "o-1", "100.00")["points"] == 300
    assert shop.refunds("o-1", "f-1", "50.00")["points_clawed_back"] == 50
    assert shop.refunds("o-1", "f-2", "49.99")["points_clawed_back"] == 50  # floor(0.01) is held
    assert shop.available("li-lei") == 200
    assert shop.refunds("o-1", "f-3", "0.01")["points_clawed_back"] == 200
    assert shop.available("li-lei") == 0


def test_5_1_campaigns_count_as_recorded_with_the_order(open_shop: OpenShop) -> None:
    shop = open_shop(
        rules(
            CORE_FROM_THE_START,
            earning={"level_multipliers": {"core": "1.2"}},
            campaigns=[campaign("may_day", multiplier="2", end="2026-05-02 00:00")],
        )
    )
    assert shop.buys("li-lei", "o-1", "148.60")["points"] == 356  # 148.60 × 1.2 × 2 = 356.64
    shop.publish(rules(), "2026-05-02 00:00")  # no level, no campaign any more
    shop.at("2026-05-20 12:00")
    # 98.60 are left: floor(236.64) should be held
    assert shop.refunds("o-1", "f-1", "50.00")["points_clawed_back"] == 356 - 236
    assert shop.refunds("o-1", "f-2", "98.60")["points_clawed_back"] == 236


def test_5_1_a_product_lines_campaign_is_taken_back_from_the_whole_order(
    open_shop: OpenShop,
) -> None:
    shop = open_shop(rules(campaigns=[BABY_WEEK], earning={"excluded_skus": ["tobacco"]}))
    basket = [
        item("pram", "80.00", line="baby"), item("ball", "40.00"), item("tobacco", "30.00"),
    ]  # fmt: skip
    # 80 × 2 + 40, and nothing for the tobacco
    assert shop.buys("li-lei", "o-1", "150.00", items=basket)["points"] == 200
    # a fifth of what was paid is given back, whatever goods they were: a fifth of 200
    assert shop.refunds("o-1", "f-1", "30.00")["points_clawed_back"] == 40
    assert shop.refunds("o-1", "f-2", "0.01")["points_clawed_back"] == 1  # floor(159.986…)
    assert shop.refunds("o-1", "f-3", "119.99")["points_clawed_back"] == 159


def test_5_1_what_a_cap_had_cut_is_given_back_first(open_shop: OpenShop) -> None:
    shop = open_shop(rules(points={"daily_earning_cap": 600}))
    assert shop.buys("li-lei", "o-1", "1000.00")["points"] == 600
    # min(600, 700), min(600, 600), min(600, 400), nothing
    taken = [
        shop.refunds("o-1", f"f-{number}", amount)["points_clawed_back"]
        for number, amount in enumerate(("300.00", "100.00", "200.00", "400.00"))
    ]
    assert taken == [0, 0, 200, 400]


def test_5_1_a_capped_bonus_stays_until_the_end(open_shop: OpenShop) -> None:
    shop = open_shop(rules(points={"daily_earning_cap": 250}, campaigns=[BONUS]))
    # 100 + 200, 50 of the bonus cut
    assert shop.buys("li-lei", "o-1", "100.00")["points"] == 250
    assert shop.refunds("o-1", "f-1", "40.00")["points_clawed_back"] == 40
    assert shop.refunds("o-1", "f-2", "60.00")["points_clawed_back"] == 210


def test_5_1_bonus_and_expired_points_are_one_account(open_shop: OpenShop) -> None:
    last_year = campaign("thanks", start="2025-01-01 00:00", end="2026-01-01 00:00", bonus=200)
    shop = open_shop(rules(campaigns=[last_year]))
    shop.buys("li-lei", "o-1", "100.00", on="2025-04-30 10:00")  # 300, good through 2026-04-30
    shop.redeems("li-lei", "r-1", 200, "o-cot", on="2025-06-01 10:00")
    # 100 expired: it holds 200, and should hold 50 + 200, then nothing
    assert shop.refunds("o-1", "f-1", "50.00")["points_clawed_back"] == 0
    whole = shop.refunds("o-1", "f-2", "50.00")
    assert (whole["points_clawed_back"], whole["debt"]) == (200, 200)


def test_5_2_the_oldest_of_other_lots_pays_before_the_debt_and_waived_is_not_owed(
    open_shop: OpenShop,
) -> None:
    shop = open_shop(rules(points={"debt": "waive"}, campaigns=[BONUS]))
    shop.buys("li-lei", "o-1", "100.00")  # 300
    shop.redeems("li-lei", "r-1", 300, "o-cot")
    shop.adjusts("li-lei", "a-1", 120)
    answer = shop.refunds("o-1", "f-1", "100.00")
    assert (answer["points_clawed_back"], answer["debt"], answer["waived"]) == (120, 0, 180)
    assert shop.balance("li-lei") == {"available": 0, "pending": 0, "reserved": 0, "debt": 0}
    assert shop.buys("li-lei", "o-2", "10.00")["balance"]["available"] == 210


def test_5_3_points_restored_may_be_clawed_back_by_the_refund_of_their_own_order(
    open_shop: OpenShop,
) -> None:
    shop = open_shop(rules(campaigns=[BONUS]))
    shop.buys("li-lei", "o-1", "100.00")  # 300
    shop.redeems("li-lei", "r-1", 300, "o-cot", "100.00")
    shop.buys("li-lei", "o-cot", "70.00")  # 270
    shop.refunds("o-cot", "f-1", "70.00")
    assert shop.lots("li-lei") == [("o-1", 300, "2027-05-01")]
    assert shop.refunds("o-1", "f-2", "100.00")["debt"] == 0
    assert shop.balance("li-lei") == {"available": 0, "pending": 0, "reserved": 0, "debt": 0}


def test_5_4_a_partial_refund_voids_no_coupon_and_a_full_one_only_the_orders_own(
    open_shop: OpenShop,
) -> None:
    shop = open_shop(shipped("retail"))
    first = shop.buys("li-lei", "o-1", "600.00")
    assert templates(first) == ["brand_gift", "second_order_90"]
    assert shop.refunds("o-1", "f-1", "300.00")["voided_coupons"] == []
    whole = shop.refunds("o-1", "f-2", "300.00")
    assert sorted(whole["voided_coupons"]) == sorted(one["coupon"] for one in first["issued"])
    assert shop.coupons("li-lei") == ["first_order"]  # the newcomer pack stays
    assert whole["reinstated_coupons"] == []


def test_5_4_coupons_are_voided_also_by_a_refund_in_the_same_batch(open_shop: OpenShop) -> None:
    shop = open_shop(shipped("retail"))
    bought, returned = shop.together(
        r.Accrue(member_id="li-lei", order_id="o-1", amount=Decimal("600.00")),
        r.Refund(refund_id="f-1", order_id="o-1", amount=Decimal("600.00")),
    )
    issued = [one["coupon"] for one in bought.body["issued"]]
    assert sorted(returned.body["voided_coupons"]) == sorted(issued)
    assert shop.coupons("li-lei") == ["first_order"]


def test_5_4_a_coupon_voided_by_a_refund_is_not_issued_again(open_shop: OpenShop) -> None:
    shop = open_shop(shipped("retail"))
    shop.buys("li-lei", "o-1", "600.00")
    shop.refunds("o-1", "f-1", "600.00")
    again = shop.buys("li-lei", "o-2", "600.00")
    assert templates(again) == ["brand_gift"]  # a gift for each order, the first order but once


# Late refunds


def test_13_a_late_refund_is_booked_at_the_time_it_happened(shop: Shop) -> None:
    shop.buys("li-lei", "o-1", "300.00", on="2026-04-01 10:00")
    shop.refunds("o-1", "f-1", "100.00", on="2026-04-02 10:00")
    assert shop.then("li-lei", "2026-04-02 09:59")["available"] == 300
    assert shop.then("li-lei", "2026-04-02 10:00")["available"] == 200
    (event,) = shop.events("li-lei", "PointsClawedBack")
    assert event.occurred_at == local("2026-04-02 10:00")


def test_3_6_a_late_refund_takes_from_its_lot_although_the_lot_has_expired_since(
    shop: Shop,
) -> None:
    shop.buys("li-lei", "o-1", "300.00", on="2025-04-30 10:00")
    assert shop.expires("li-lei") == 1
    answer = shop.refunds("o-1", "f-1", "100.00", on="2026-04-30 20:00")
    assert (answer["points_clawed_back"], answer["debt"]) == (100, 0)
    totals = shop.totals("li-lei")
    assert (totals["expired"], totals["clawed_back"]) == (200, 100)
