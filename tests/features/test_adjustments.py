"""Points given and taken by hand, and the second pair of eyes (PROGRAMME 4.4, 10)."""

from __future__ import annotations

from typing import Any

import pytest
from shop import DESK, OpenShop, Shop, rules

from ledger import requests as r
from ledger.events import Actor, PointsAdjusted

MANAGER = Actor(key="desk-2", role="service")


def test_a_positive_adjustment_makes_a_lot(shop: Shop) -> None:
    answer = shop.adjusts("li-lei", "a-1", 50)
    assert answer == {
        "adjustment_id": "a-1",
        "member_id": "li-lei",
        "points": 50,
        "status": "booked",
        "balance": {"available": 50, "pending": 0, "reserved": 0, "debt": 0},
        "lots_drawn": [],
        "position": 4,
        "version": 2,
    }
    (lot,) = shop.member("li-lei")["lots"]
    assert (lot["source"], lot["order_id"], lot["expires_on"]) == ("adjustment", None, "2027-05-01")
    assert shop.totals("li-lei")["adjusted"] == 50
    assert shop.totals("li-lei")["granted"] == 0


def test_a_negative_adjustment_draws_in_drawing_order(shop: Shop) -> None:
    new = shop.buys("li-lei", "o-new", "100.00")["lot"]["lot_id"]
    old = shop.buys("li-lei", "o-old", "100.00", on="2026-01-01 10:00")["lot"]["lot_id"]
    answer = shop.adjusts("li-lei", "a-1", -130)
    assert answer["lots_drawn"] == [
        {"lot_id": old, "points": 100},
        {"lot_id": new, "points": 30},
    ]
    assert shop.lots("li-lei") == [("o-new", 70, "2027-05-01")]
    assert shop.totals("li-lei")["adjusted"] == -130


def test_4_4_a_negative_adjustment_beyond_what_is_available_is_refused(shop: Shop) -> None:
    shop.buys("li-lei", "o-1", "300.00")
    shop.reserves("li-lei", "r-1", 200, "o-cot")
    with shop.refusing("insufficient_points"):
        shop.adjusts("li-lei", "a-1", -101)
    assert shop.adjusts("li-lei", "a-1", -100)["balance"]["available"] == 0


def test_5_6_a_positive_adjustment_pays_debt_first_and_shows_both_parts(shop: Shop) -> None:
    shop.buys("li-lei", "o-1", "300.00")
    shop.redeems("li-lei", "r-1", 300, "o-cot")
    shop.refunds("o-1", "f-1", "300.00")
    answer = shop.adjusts("li-lei", "a-1", 350)
    assert answer["balance"] == {"available": 50, "pending": 0, "reserved": 0, "debt": 0}
    (event,) = shop.events("li-lei", "PointsAdjusted")
    assert isinstance(event, PointsAdjusted)
    assert event.lot is not None
    assert (event.lot.granted, [paid.points for paid in event.debt_paid]) == (350, [300])


def test_an_adjustment_may_be_dated_when_it_was_due(shop: Shop) -> None:
    shop.adjusts("li-lei", "a-1", 50, on="2026-04-01 10:00")
    (lot,) = shop.member("li-lei")["lots"]
    assert lot["expires_on"] == "2027-04-01"
    assert shop.then("li-lei", "2026-04-01 10:00")["available"] == 50


def test_the_same_adjustment_twice_is_one(shop: Shop) -> None:
    first = shop.adjusts("li-lei", "a-1", 50)
    assert shop.adjusts("li-lei", "a-1", 50) == first
    assert shop.available("li-lei") == 50
    with shop.refusing("already_recorded"):
        shop.adjusts("li-lei", "a-1", 51)
    with shop.refusing("already_recorded"):
        shop.adjusts("han-meimei", "a-1", 50)


# Four eyes


@pytest.fixture
def careful(open_shop: OpenShop) -> Shop:
    """A shop where adjustments over 5000 points wait for a second person."""
    return open_shop(rules(limits={"adjustment_needs_approval_over": 5000}))


def approve(shop: Shop, adjustment_id: str, actor: Actor = MANAGER) -> dict[str, Any]:
    return shop.does(r.ApproveAdjustment(adjustment_id=adjustment_id), actor=actor)


def reject(shop: Shop, adjustment_id: str, actor: Actor = MANAGER) -> dict[str, Any]:
    return shop.does(r.RejectAdjustment(adjustment_id=adjustment_id, reason="no"), actor=actor)


def test_10_over_the_limit_it_waits_for_a_second_person(careful: Shop) -> None:
    assert careful.adjusts("li-lei", "a-small", 5000)["status"] == "booked"
    outcome = careful.ask(
        r.Adjust(member_id="li-lei", adjustment_id="a-big", points=5001, reason="goodwill"),
        actor=DESK,
    )
    assert (outcome.status, outcome.body["status"]) == (202, "waiting")
    assert careful.available("li-lei") == 5000
    careful.at("2026-05-03 09:00")
    with careful.refusing("approval_required"):
        approve(careful, "a-big", actor=DESK)  # the one who asked
    with careful.refusing("not_found"):
        approve(careful, "a-unknown")
    answer = approve(careful, "a-big")
    assert (answer["status"], answer["balance"]["available"]) == ("booked", 10_001)
    assert approve(careful, "a-big") == answer
    with careful.refusing("already_recorded"):
        reject(careful, "a-big")
    # dated when it was asked for
    assert careful.then("li-lei", "2026-05-01 12:00")["available"] == 10_001


def test_10_what_was_rejected_stays_so(careful: Shop) -> None:
    careful.adjusts("li-lei", "a-big", 9999)
    with careful.refusing("approval_required"):
        reject(careful, "a-big", actor=DESK)
    assert reject(careful, "a-big")["status"] == "rejected"
    with careful.refusing("already_recorded"):
        approve(careful, "a-big")
    assert careful.available("li-lei") == 0
    assert careful.totals("li-lei")["adjusted"] == 0


def test_10_a_large_deduction_waits_too_and_is_checked_again_at_approval(careful: Shop) -> None:
    careful.buys("li-lei", "o-1", "6000.00")
    careful.adjusts("li-lei", "a-big", -6000)
    assert careful.available("li-lei") == 6000  # nothing is set aside for it
    careful.redeems("li-lei", "r-1", 100, "o-cot")
    with careful.refusing("insufficient_points"):
        approve(careful, "a-big")
    careful.buys("li-lei", "o-2", "100.00", on="2026-05-01 11:59")
    assert approve(careful, "a-big")["balance"]["available"] == 0
