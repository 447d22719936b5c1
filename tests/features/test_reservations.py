"""Points set aside before payment completes: captured, released, or lapsed (PROGRAMME 4.3, 3.5)."""

from __future__ import annotations

from decimal import Decimal

import pytest
from shop import OpenShop, Shop, rules

from ledger import requests as r
from ledger.events import PointsExpired, ReservationCaptured, ReservationLapsed

NOON = "2026-05-01 12:00"


def balances(shop: Shop) -> tuple[int, int]:
    """(available, reserved) of 李雷."""
    balance = shop.balance("li-lei")
    return balance["available"], balance["reserved"]


def test_4_3_reserve_draws_the_lots_and_holds_them_for_fifteen_minutes(shop: Shop) -> None:
    lot_id = shop.buys("li-lei", "o-pram", "500.00")["lot"]["lot_id"]
    answer = shop.reserves("li-lei", "r-1", 300, "o-cot", "200.00")
    assert answer == {
        "redemption_id": "r-1",
        "member_id": "li-lei",
        "status": "reserved",
        "points": 300,
        "value": "30.00",
        "order_id": "o-cot",
        "lots_drawn": [{"lot_id": lot_id, "points": 300}],
        "reserved_until": "2026-05-01T12:15:00+08:00",
        "balance": {"available": 200, "pending": 0, "reserved": 300, "debt": 0},
        "position": 5,
        "version": 3,
    }
    assert shop.lots("li-lei") == [("o-pram", 200, "2027-05-01")]
    assert shop.totals("li-lei")["redeemed"] == 0


@pytest.mark.parametrize(
    ("seconds", "still_held", "lapsed"),
    [
        (1, NOON, "2026-05-01 12:00:01"),
        (60, "2026-05-01 12:00:59", "2026-05-01 12:01"),
        (604_800, "2026-05-08 11:59:59", "2026-05-08 12:00"),
        (None, "2026-05-01 12:14:59", "2026-05-01 12:15"),
    ],
)
def test_4_3_the_call_says_how_long(
    shop: Shop, seconds: int | None, still_held: str, lapsed: str
) -> None:
    shop.buys("li-lei", "o-pram", "500.00")
    shop.reserves("li-lei", "r-1", 300, "o-cot", seconds=seconds)
    shop.at(still_held)
    assert balances(shop) == (200, 300)
    shop.at(lapsed)
    assert balances(shop) == (500, 0)


def test_4_3_the_programme_says_how_long_where_the_call_does_not(open_shop: OpenShop) -> None:
    shop = open_shop(rules(redemption={"reserve_seconds": 120}))
    shop.buys("li-lei", "o-pram", "500.00")
    answer = shop.reserves("li-lei", "r-1", 300, "o-cot")
    assert answer["reserved_until"] == "2026-05-01T12:02:00+08:00"


# Capture


def test_4_3_capture_spends_the_whole(shop: Shop) -> None:
    shop.buys("li-lei", "o-pram", "500.00")
    reserved = shop.reserves("li-lei", "r-1", 300, "o-cot")
    shop.at("2026-05-01 12:14:59")
    captured = shop.captures("r-1")
    assert captured["status"] == "redeemed"
    for name in ("points", "value", "lots_drawn", "order_id", "reserved_until"):
        assert captured[name] == reserved[name]
    assert balances(shop) == (200, 0)
    assert shop.totals("li-lei")["redeemed"] == 300
    shop.at("2026-05-01 13:00")
    assert balances(shop) == (200, 0)  # what was captured can't lapse
    assert shop.ledger.redemption("r-1")["status"] == "redeemed"


def test_4_3_capture_of_a_part_spends_the_first_drawn_and_releases_the_rest(shop: Shop) -> None:
    old = shop.buys("li-lei", "o-old", "150.00", on="2025-06-01 10:00")["lot"]["lot_id"]
    new = shop.buys("li-lei", "o-new", "300.00", on="2026-04-01 10:00")["lot"]["lot_id"]
    reserved = shop.reserves("li-lei", "r-1", 400, "o-cot")
    assert reserved["lots_drawn"] == [
        {"lot_id": old, "points": 150},
        {"lot_id": new, "points": 250},
    ]
    captured = shop.captures("r-1", 200)
    assert (captured["points"], captured["value"]) == (200, "20.00")
    assert captured["lots_drawn"] == [
        {"lot_id": old, "points": 150},
        {"lot_id": new, "points": 50},
    ]
    assert shop.lots("li-lei") == [("o-new", 250, "2027-04-01")]
    assert shop.totals("li-lei")["redeemed"] == 200
    (event,) = shop.events("li-lei", "ReservationCaptured")
    assert isinstance(event, ReservationCaptured)
    assert [(lot.lot_id, lot.points) for lot in event.lots_returned] == [(new, 200)]


@pytest.mark.parametrize(
    ("points", "code"),
    [(150, "not_a_multiple"), (250, "not_a_multiple"), (400, "insufficient_points")],
)
def test_4_3_a_partial_cash_offset_obeys_the_multiples(shop: Shop, points: int, code: str) -> None:
    shop.buys("li-lei", "o-pram", "500.00")
    shop.reserves("li-lei", "r-1", 300, "o-cot")
    with shop.refusing(code):
        shop.captures("r-1", points)
    assert balances(shop) == (200, 300)


@pytest.mark.parametrize("first", [None, 300, 100])
def test_4_3_a_repeated_capture_answers_as_the_first_time(shop: Shop, first: int | None) -> None:
    shop.buys("li-lei", "o-pram", "500.00")
    shop.reserves("li-lei", "r-1", 300, "o-cot")
    answer = shop.captures("r-1", first)
    before = shop.everything_stored()
    shop.at("2026-05-01 18:00")
    assert shop.captures("r-1", first) == answer
    assert shop.everything_stored() == before
    for other in {None, 300, 200, 100} - {first}:
        if first in (None, 300) and other in (None, 300):
            assert shop.captures("r-1", other)["points"] == 300  # the whole, said otherwise
            continue
        with shop.refusing("reservation_over"):
            shop.captures("r-1", other)


# Release


def test_failures_13_points_of_an_abandoned_cart_come_back(shop: Shop) -> None:
    old = shop.buys("li-lei", "o-old", "150.00", on="2025-06-01 10:00")
    shop.buys("li-lei", "o-new", "300.00", on="2026-04-01 10:00")
    before = shop.lots("li-lei")
    shop.reserves("li-lei", "r-1", 200, "o-cot")
    assert shop.lots("li-lei") == [("o-new", 250, "2027-04-01")]
    answer = shop.releases("r-1")
    assert (answer["status"], answer["balance"]["available"]) == ("released", 450)
    assert shop.lots("li-lei") == before  # to the same lots, with their old expiry
    assert old["lot"]["lot_id"] == shop.member("li-lei")["lots"][0]["lot_id"]
    # … and without a release they come back by themselves
    shop.reserves("li-lei", "r-2", 200, "o-cot")
    shop.at("2026-05-01 12:15")
    assert shop.lots("li-lei") == before
    shop.redeems("li-lei", "r-3", 400, "o-cot")


def test_4_3_a_repeated_release_answers_as_the_first_time(shop: Shop) -> None:
    shop.buys("li-lei", "o-pram", "500.00")
    shop.reserves("li-lei", "r-1", 300, "o-cot")
    answer = shop.releases("r-1")
    before = shop.everything_stored()
    assert shop.releases("r-1") == answer
    assert shop.everything_stored() == before


def test_4_3_released_shows_the_same_object_that_was_reserved(shop: Shop) -> None:
    shop.buys("li-lei", "o-pram", "500.00")
    reserved = shop.reserves("li-lei", "r-1", 300, "o-cot")
    released = shop.releases("r-1")
    for name in ("points", "value", "order_id", "lots_drawn", "reserved_until"):
        assert released[name] == reserved[name]
    assert shop.ledger.redemption("r-1")["lots_drawn"] == reserved["lots_drawn"]


def test_what_is_over_is_over(shop: Shop) -> None:
    shop.buys("li-lei", "o-pram", "900.00")
    shop.reserves("li-lei", "r-captured", 100, "o-1")
    shop.captures("r-captured")
    shop.reserves("li-lei", "r-released", 100, "o-2")
    shop.releases("r-released")
    shop.reserves("li-lei", "r-lapsed", 100, "o-3")
    shop.redeems("li-lei", "r-redeemed", 100, "o-4")
    shop.at("2026-05-01 12:15")
    for redemption_id, verb in (
        ("r-captured", shop.releases),
        ("r-released", shop.captures),
        ("r-lapsed", shop.captures),
        ("r-lapsed", shop.releases),
        ("r-redeemed", shop.captures),
        ("r-redeemed", shop.releases),
    ):
        with shop.refusing("reservation_over"):
            verb(redemption_id)
    shop.lapses("li-lei")
    for verb in (shop.captures, shop.releases):
        with shop.refusing("reservation_over"):
            verb("r-lapsed")
        with shop.refusing("not_found"):
            verb("r-unknown")


# Lapse


def test_4_3_a_reservation_past_its_time_counts_as_lapsed_recorded_or_not(shop: Shop) -> None:
    shop.buys("li-lei", "o-old", "150.00", on="2025-06-01 10:00")
    shop.buys("li-lei", "o-pram", "350.00", on="2026-04-01 10:00")
    shop.reserves("li-lei", "r-1", 300, "o-cot")
    shop.at("2026-05-02 09:00")
    unrecorded = {**shop.member("li-lei"), "version": 0, "position": 0}
    redemption = {**shop.ledger.redemption("r-1"), "version": 0, "position": 0}
    as_of = shop.then("li-lei", "2026-05-01 12:15")
    assert (redemption["status"], balances(shop)) == ("lapsed", (500, 0))
    assert as_of == unrecorded["balance"]
    assert shop.then("li-lei", "2026-05-01 12:14:59")["reserved"] == 300
    assert shop.events("li-lei", "ReservationLapsed") == []

    assert shop.lapses("li-lei") == 1

    (lapse,) = shop.events("li-lei", "ReservationLapsed")
    assert shop.ledger.programmes().latest.programme.local_time(lapse.occurred_at).isoformat() == (
        "2026-05-01T12:15:00+08:00"  # dated reserved_until, whenever recorded
    )
    assert {**shop.member("li-lei"), "version": 0, "position": 0} == unrecorded
    assert {**shop.ledger.redemption("r-1"), "version": 0, "position": 0} == redemption
    assert shop.then("li-lei", "2026-05-01 12:15") == as_of
    assert shop.then("li-lei", "2026-05-01 12:14:59")["reserved"] == 300
    assert shop.lapses("li-lei") == 0


def test_4_3_what_lapsed_can_be_spent_before_the_lapse_is_recorded(shop: Shop) -> None:
    shop.buys("li-lei", "o-pram", "300.00")
    shop.reserves("li-lei", "r-1", 300, "o-cot")
    shop.at("2026-05-01 12:15")
    shop.redeems("li-lei", "r-2", 300, "o-cot")
    (lapse,) = shop.events("li-lei", "ReservationLapsed")
    assert isinstance(lapse, ReservationLapsed)
    assert lapse.points == 300
    assert balances(shop) == (0, 0)


def test_4_3_a_late_reservation_may_be_over_before_it_is_known(shop: Shop) -> None:
    shop.buys("li-lei", "o-pram", "300.00", on="2026-04-01 10:00")
    answer = shop.reserves("li-lei", "r-1", 300, "o-cot", on="2026-05-01 11:00")
    assert (answer["status"], answer["reserved_until"]) == (
        "reserved",
        "2026-05-01T11:15:00+08:00",
    )
    assert balances(shop) == (300, 0)
    assert shop.then("li-lei", "2026-05-01 11:10")["reserved"] == 300
    assert shop.then("li-lei", "2026-05-01 11:15")["reserved"] == 0
    with shop.refusing("reservation_over"):
        shop.captures("r-1")


# Expiry meanwhile


def test_3_5_points_in_a_reservation_stay_good_for_it(shop: Shop) -> None:
    shop.at("2026-04-30 23:50")
    shop.buys("li-lei", "o-old", "300.00", on="2025-04-30 10:00")  # good through 2026-04-30
    shop.reserves("li-lei", "r-1", 200, "o-cot")
    shop.at("2026-05-01 00:01")
    assert balances(shop) == (0, 200)
    assert shop.expires("li-lei") == 1  # the 100 that were free
    captured = shop.captures("r-1")
    assert (captured["status"], captured["points"]) == ("redeemed", 200)
    totals = shop.totals("li-lei")
    assert (totals["expired"], totals["redeemed"]) == (100, 200)


@pytest.mark.parametrize("ending", ["release", "lapse", "capture a half", "recorded late"])
def test_3_5_released_after_the_date_they_expire_dated_at_the_release(
    shop: Shop, ending: str
) -> None:
    shop.at("2026-04-30 23:50")
    shop.buys("li-lei", "o-old", "200.00", on="2025-04-30 10:00")  # good through 2026-04-30
    shop.reserves("li-lei", "r-1", 200, "o-cot")
    spent, released_at = 0, "2026-05-01T00:03:00+08:00"
    shop.at("2026-05-01 00:03")
    if ending == "release":
        assert shop.releases("r-1")["balance"]["available"] == 0
    elif ending == "capture a half":
        shop.captures("r-1", 100)
        spent = 100
    else:
        released_at = "2026-05-01T00:05:00+08:00"
        shop.at("2026-05-01 00:05" if ending == "lapse" else "2026-07-01 09:00")
        shop.lapses("li-lei")
    (expiry,) = shop.events("li-lei", "PointsExpired")
    assert isinstance(expiry, PointsExpired)
    local_time = shop.ledger.programmes().latest.programme.local_time
    assert local_time(expiry.occurred_at).isoformat() == released_at
    assert (expiry.points, expiry.released_late) == (200 - spent, True)
    assert shop.totals("li-lei")["expired"] == 200 - spent
    assert balances(shop) == (0, 0)
    assert shop.expires("li-lei") == 0


def test_totals_count_events_only_even_where_a_lapse_is_not_recorded_yet(shop: Shop) -> None:
    shop.at("2026-04-30 23:50")
    shop.buys("li-lei", "o-old", "200.00", on="2025-04-30 10:00")
    shop.reserves("li-lei", "r-1", 200, "o-cot")
    shop.at("2026-06-01 12:00")
    assert balances(shop) == (0, 0)
    assert shop.totals("li-lei")["expired"] == 0
    shop.lapses("li-lei")
    assert shop.totals("li-lei")["expired"] == 200


# Debt


def test_5_6_points_that_come_back_from_a_reservation_pay_debt_first(shop: Shop) -> None:
    shop.buys("li-lei", "o-pram", "300.00")
    shop.reserves("li-lei", "r-1", 200, "o-cot")
    shop.refunds("o-pram", "f-1", "300.00")  # 100 are free, 200 set aside: a debt of 200
    assert shop.balance("li-lei") == {"available": 0, "pending": 0, "reserved": 200, "debt": 200}
    captured = shop.captures("r-1", 100)
    assert captured["balance"] == {"available": 0, "pending": 0, "reserved": 0, "debt": 100}
    (event,) = shop.events("li-lei", "ReservationCaptured")
    assert isinstance(event, ReservationCaptured)
    assert [(paid.order_id, paid.points) for paid in event.debt_paid] == [("o-pram", 100)]
    assert event.lots_returned == []


def test_5_6_a_lapse_pays_debt_first_too_recorded_or_not(shop: Shop) -> None:
    shop.buys("li-lei", "o-pram", "300.00")
    shop.reserves("li-lei", "r-1", 200, "o-cot")
    shop.refunds("o-pram", "f-1", "150.00")  # claws back 150: 100 free, 50 owed
    shop.at("2026-05-01 12:15")
    assert shop.balance("li-lei") == {"available": 150, "pending": 0, "reserved": 0, "debt": 0}
    shop.lapses("li-lei")
    assert shop.balance("li-lei") == {"available": 150, "pending": 0, "reserved": 0, "debt": 0}


def test_an_accrual_that_captures_cannot_be_dated_before_what_it_captures(shop: Shop) -> None:
    shop.buys("li-lei", "o-pram", "300.00", on="2026-04-01 10:00")
    shop.reserves("li-lei", "r-1", 200, "o-cot")
    shop.at("2026-05-01 12:05")
    # The order's till is slow: by its clock it sold the cot before the points were set aside.
    shop.buys("li-lei", "o-cot", "30.00", on="2026-05-01 11:55", paid_with=["r-1"])
    for moment in ("2026-05-01 11:54", "2026-05-01 11:57", "2026-05-01 12:00", "2026-05-01 12:05"):
        assert all(points >= 0 for points in shop.then("li-lei", moment).values()), moment


def test_reservations_of_a_batch_take_effect_in_its_order(shop: Shop) -> None:
    def reserve(name: str, points: int) -> r.Redeem:
        return r.Redeem(
            member_id="li-lei", redemption_id=name, points=points, order_id="o-cot",
            order_amount=Decimal("9000.00"), reserve=True,
        )  # fmt: skip

    shop.buys("li-lei", "o-pram", "300.00")
    outcomes = shop.together(
        reserve("r-1", 200), reserve("r-2", 200), r.Release(redemption_id="r-1"),
        reserve("r-3", 200), r.Capture(redemption_id="r-3"), reserve("r-4", 100),
    )  # fmt: skip
    assert [outcome.status for outcome in outcomes] == [201, 409, 200, 201, 200, 201]
    assert balances(shop) == (0, 100)
