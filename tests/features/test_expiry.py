"""Expiry: the last good day, what is recorded of it and when, and late data (PROGRAMME 3)."""

from __future__ import annotations

import pytest
from shop import OpenShop, Shop, local, rules

from ledger.events import PointsExpired, PointsExpiryCorrected, PointsRedeemed


@pytest.mark.parametrize(
    ("settings", "earned", "expires_on"),
    [
        ({}, "2026-05-01 00:00", "2027-05-01"),
        ({}, "2026-05-01 23:59:59", "2027-05-01"),
        ({}, "2024-02-29 12:00", "2025-02-28"),
        ({"validity": {"months": 18}}, "2026-01-31 12:00", "2027-07-31"),
        ({"validity": {"months": 1}}, "2026-01-31 12:00", "2026-02-28"),
        ({"align_expiry": "month"}, "2026-02-10 12:00", "2027-02-28"),
        ({"align_expiry": "quarter"}, "2026-02-10 12:00", "2027-03-31"),
        ({"align_expiry": "year"}, "2026-02-10 12:00", "2027-12-31"),
        ({"validity": "none"}, "2026-02-10 12:00", None),
    ],
)
def test_3_1_expires_on_is_the_last_good_day(
    open_shop: OpenShop, settings: dict[str, object], earned: str, expires_on: str | None
) -> None:
    shop = open_shop(rules(points=settings)).at("2026-12-31 12:00")
    answer = shop.buys("li-lei", "o-1", "10.00", on=earned)
    assert answer["lot"]["expires_on"] == expires_on


def test_3_1_points_are_good_to_the_last_second_of_the_day(shop: Shop) -> None:
    shop.buys("li-lei", "o-1", "100.00", on="2025-05-01 09:00")
    shop.at("2026-05-01 23:59:59.999999")
    assert shop.available("li-lei") == 100
    assert shop.expires("li-lei") == 0
    shop.at("2026-05-02 00:00")
    assert shop.available("li-lei") == 0
    assert shop.expires("li-lei") == 1


def test_failures_16_an_expired_balance_cannot_be_spent_even_if_no_job_has_run(shop: Shop) -> None:
    shop.buys("li-lei", "o-1", "500.00", on="2025-05-01 09:00")
    shop.at("2026-05-02 00:00")
    assert shop.member("li-lei")["lots"] == []
    for verb in (shop.redeems, shop.reserves):
        with shop.refusing("insufficient_points"):
            verb("li-lei", "r-1", 100, "o-cot")
    with shop.refusing("insufficient_points"):
        shop.adjusts("li-lei", "a-1", -1)
    assert shop.events("li-lei", "PointsExpired") == []
    # and a lot that is still good is all there is to draw from
    shop.buys("li-lei", "o-2", "100.00")
    with shop.refusing("insufficient_points"):
        shop.redeems("li-lei", "r-1", 200, "o-cot")
    assert shop.redeems("li-lei", "r-1", 100, "o-cot")["balance"]["available"] == 0


def test_3_3_expiry_is_an_event_per_lot_dated_the_midnight_whenever_recorded(shop: Shop) -> None:
    shop.buys("li-lei", "o-1", "100.00", on="2025-05-01 09:00")
    shop.buys("li-lei", "o-2", "200.00", on="2025-05-03 09:00")
    shop.buys("li-lei", "o-3", "300.00", on="2025-05-03 18:00")
    shop.redeems("li-lei", "r-1", 100, "o-cot")  # all of the first
    shop.at("2026-08-08 15:00")
    answers = [shop.member("li-lei")["balance"], shop.then("li-lei", "2026-06-01 00:00")]
    assert shop.expires("li-lei") == 2
    expired = shop.events("li-lei", "PointsExpired")
    assert [(event.points, event.occurred_at) for event in expired] == [
        (200, local("2026-05-04 00:00")),
        (300, local("2026-05-04 00:00")),
    ]
    assert [shop.member("li-lei")["balance"], shop.then("li-lei", "2026-06-01 00:00")] == answers
    assert shop.expires("li-lei") == 0
    assert shop.totals("li-lei")["expired"] == 500


def test_3_3_a_lot_past_its_day_does_not_count_recorded_or_not_at_any_moment(shop: Shop) -> None:
    shop.buys("li-lei", "o-1", "100.00", on="2025-05-01 09:00")
    shop.buys("li-lei", "o-2", "50.00", on="2025-06-01 09:00")
    shop.at("2026-07-01 09:00")
    table = [
        ("2025-05-01 08:59:59", 0),
        ("2025-05-01 09:00", 100),
        ("2025-06-01 09:00", 150),
        ("2026-05-01 23:59:59", 150),
        ("2026-05-02 00:00", 50),
        ("2026-06-02 00:00", 0),
    ]
    for _ in ("unrecorded", "recorded"):
        for moment, available in table:
            assert shop.then("li-lei", moment)["available"] == available, moment
        shop.expires("li-lei")


def test_3_3_history_by_version_counts_a_lot_until_its_expiry_is_recorded(shop: Shop) -> None:
    shop.buys("li-lei", "o-1", "100.00", on="2025-04-01 09:00")
    version = shop.member("li-lei")["version"]
    assert shop.available("li-lei") == 0
    by_events = shop.ledger.replay("li-lei", version=version)
    assert by_events["balance"]["available"] == 100
    shop.expires("li-lei")
    assert shop.ledger.replay("li-lei", version=version + 1)["balance"]["available"] == 0


def test_failures_18_a_change_of_policy_leaves_points_already_granted_as_they_are(
    shop: Shop,
) -> None:
    shop.buys("li-lei", "o-before", "100.00", on="2026-03-31 10:00")
    shop.publish(rules(points={"validity": {"months": 1}}), "2026-04-01 00:00")
    shop.buys("li-lei", "o-after", "100.00", on="2026-04-02 10:00")
    assert shop.lots("li-lei") == [
        ("o-after", 100, "2026-05-02"),
        ("o-before", 100, "2027-03-31"),
    ]
    shop.at("2026-06-01 10:00")
    assert shop.expires("li-lei") == 1
    assert shop.lots("li-lei") == [("o-before", 100, "2027-03-31")]
    # and a policy published for the past does not either
    shop.publish(rules(points={"validity": {"months": 2}}), "2026-03-01 00:00")
    assert shop.lots("li-lei") == [("o-before", 100, "2027-03-31")]


# Late data


def test_3_6_a_late_redemption_draws_what_had_expired(shop: Shop) -> None:
    shop.buys("li-lei", "o-1", "300.00", on="2025-04-30 10:00")  # good through 2026-04-30
    assert shop.expires("li-lei") == 1
    answer = shop.redeems("li-lei", "r-1", 200, "o-cot", on="2026-04-30 21:00")
    assert [lot["points"] for lot in answer["lots_drawn"]] == [200]
    expired, corrected, redeemed = shop.events("li-lei")[-3:]
    assert isinstance(expired, PointsExpired)
    assert isinstance(corrected, PointsExpiryCorrected)
    assert isinstance(redeemed, PointsRedeemed)
    assert corrected.occurred_at == expired.occurred_at == local("2026-05-01 00:00")
    assert corrected.corrects == shop.member("li-lei")["version"] - 2
    assert corrected.points == 200
    totals = shop.totals("li-lei")
    assert (totals["expired"], totals["redeemed"]) == (100, 200)
    assert shop.balance("li-lei") == {"available": 0, "pending": 0, "reserved": 0, "debt": 0}
    # at every moment the account is what it would have been, had the till been on line
    for moment, available in (
        ("2026-04-30 20:59", 300),
        ("2026-04-30 21:00", 100),
        ("2026-05-01 00:00", 0),
    ):
        assert shop.then("li-lei", moment)["available"] == available


def test_3_6_only_up_to_what_the_lot_holds_and_what_expired_from_it(shop: Shop) -> None:
    shop.buys("li-lei", "o-1", "300.00", on="2025-04-30 10:00")
    shop.redeems("li-lei", "r-0", 100, "o-bib", on="2026-04-01 10:00")
    shop.expires("li-lei")
    with shop.refusing("insufficient_points"):
        shop.redeems("li-lei", "r-1", 300, "o-cot", on="2026-04-30 21:00")
    shop.redeems("li-lei", "r-1", 100, "o-cot", on="2026-04-30 21:00")
    shop.redeems("li-lei", "r-2", 100, "o-hat", on="2026-04-30 22:00")
    with shop.refusing("insufficient_points"):
        shop.redeems("li-lei", "r-3", 100, "o-mat", on="2026-04-30 23:00")
    assert shop.totals("li-lei")["expired"] == 0


def test_3_6_what_happened_after_the_expiry_finds_nothing(shop: Shop) -> None:
    shop.buys("li-lei", "o-1", "300.00", on="2025-04-30 10:00")
    shop.expires("li-lei")
    with shop.refusing("insufficient_points"):
        shop.redeems("li-lei", "r-1", 100, "o-cot", on="2026-05-01 00:00")


def test_3_6_expired_and_open_lots_are_drawn_in_one_order(shop: Shop) -> None:
    shop.buys("li-lei", "o-1", "100.00", on="2025-04-28 10:00")
    shop.buys("li-lei", "o-2", "100.00", on="2025-04-29 10:00")
    shop.buys("li-lei", "o-3", "100.00", on="2026-04-01 10:00")
    assert shop.expires("li-lei") == 2
    # on 29 April 2026 the second is good, the first is not
    answer = shop.redeems("li-lei", "r-1", 200, "o-cot", on="2026-04-29 12:00")
    by_id = {event.lot.lot_id: event.order_id for event in shop.events("li-lei", "PointsAccrued")}
    assert [(by_id[lot["lot_id"]], lot["points"]) for lot in answer["lots_drawn"]] == [
        ("o-2", 100),
        ("o-3", 100),
    ]
    assert shop.totals("li-lei")["expired"] == 100


@pytest.mark.parametrize("verb", ["reservation", "adjustment"])
def test_3_6_late_reservations_and_negative_adjustments_are_honoured_too(
    shop: Shop, verb: str
) -> None:
    shop.buys("li-lei", "o-1", "300.00", on="2025-04-30 10:00")
    shop.expires("li-lei")
    if verb == "reservation":
        shop.reserves("li-lei", "r-1", 200, "o-cot", on="2026-04-30 21:00", seconds=86_400)
        assert shop.balance("li-lei")["reserved"] == 200
        shop.captures("r-1")
    else:
        shop.adjusts("li-lei", "a-1", -200, on="2026-04-30 21:00")
    totals = shop.totals("li-lei")
    assert (totals["expired"], totals["redeemed"] - totals["adjusted"]) == (100, 200)
    assert shop.then("li-lei", "2026-04-30 23:00")["available"] == 100


def test_3_6_a_correction_of_two_expiries_of_one_lot_names_each(shop: Shop) -> None:
    shop.at("2026-04-30 23:50")
    shop.buys("li-lei", "o-1", "300.00", on="2025-04-30 10:00")
    shop.reserves("li-lei", "r-1", 100, "o-cot")
    shop.at("2026-05-01 00:03")
    shop.expires("li-lei")  # 200, dated midnight
    shop.releases("r-1")  # 100, dated the release
    first, second = shop.events("li-lei", "PointsExpired")
    assert (first.points, second.points) == (200, 100)
    shop.redeems("li-lei", "r-2", 200, "o-bib", on="2026-04-30 12:00")
    corrections = shop.events("li-lei", "PointsExpiryCorrected")
    assert sum(correction.points for correction in corrections) == 200
    assert {correction.occurred_at for correction in corrections} <= {
        first.occurred_at,
        second.occurred_at,
    }
    assert shop.totals("li-lei")["expired"] == 100


def test_3_6_and_5_6_a_correction_pays_debt_before_it_can_be_drawn(shop: Shop) -> None:
    shop.buys("li-lei", "o-old", "300.00", on="2025-04-30 10:00")
    shop.buys("li-lei", "o-new", "100.00", on="2026-04-29 10:00")
    shop.expires("li-lei")
    shop.redeems("li-lei", "r-1", 100, "o-bib")
    shop.refunds("o-new", "f-1", "100.00")
    assert shop.debt("li-lei") == 100
    shop.redeems("li-lei", "r-2", 200, "o-cot", on="2026-04-30 12:00")
    (corrected,) = shop.events("li-lei", "PointsExpiryCorrected")
    assert isinstance(corrected, PointsExpiryCorrected)
    assert corrected.points == 300
    assert [(paid.order_id, paid.points) for paid in corrected.debt_paid] == [("o-new", 100)]
    assert shop.balance("li-lei") == {"available": 0, "pending": 0, "reserved": 0, "debt": 0}


def test_3_6_late_data_before_an_unrecorded_expiry_needs_no_correction(shop: Shop) -> None:
    shop.buys("li-lei", "o-1", "300.00", on="2025-04-30 10:00")
    shop.redeems("li-lei", "r-1", 200, "o-cot", on="2026-04-30 21:00")
    assert shop.events("li-lei", "PointsExpiryCorrected") == []
    assert shop.expires("li-lei") == 1
    assert shop.totals("li-lei")["expired"] == 100


def test_a_lot_corrected_and_given_back_expires_again(shop: Shop) -> None:
    shop.buys("li-lei", "o-1", "300.00", on="2025-04-30 10:00")
    shop.expires("li-lei")
    shop.reserves("li-lei", "r-1", 200, "o-cot", on="2026-04-30 23:55", seconds=86_400)
    shop.releases("r-1")
    assert shop.balance("li-lei") == {"available": 0, "pending": 0, "reserved": 0, "debt": 0}
    assert shop.expires("li-lei") == 0
    assert shop.totals("li-lei")["expired"] == 300
