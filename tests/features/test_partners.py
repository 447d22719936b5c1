"""Points that a partner pays for stay that partner's wherever they go (PROGRAMME 2.10)."""

from __future__ import annotations

from collections import Counter

import pytest
from shop import OpenShop, Shop, rules

TEA, RAIL = "bank-of-tea", "night-rail"


def funder_of_each_lot(shop: Shop, member_id: str) -> dict[str, str | None]:
    """Every lot that the member ever had, by the events, and who funds it."""
    funders: dict[str, str | None] = {}
    for event in shop.events(member_id, "PointsAccrued"):
        if event.lot is not None:
            funders[event.lot.lot_id] = event.lot.funded_by
    for event in shop.events(member_id, "PointsRestored"):
        for entry in event.lots:
            if entry.new_lot is not None:
                funders[entry.new_lot.lot_id] = entry.new_lot.funded_by
    return funders


def granted_and_spent(shop: Shop, member_id: str) -> dict[str | None, tuple[int, int]]:
    """By funder: points granted, and points spent less points restored; from the lots alone."""
    funders = funder_of_each_lot(shop, member_id)
    granted: Counter[str | None] = Counter()
    spent: Counter[str | None] = Counter()
    for event in shop.events(member_id, "PointsAccrued"):
        if event.lot is not None:
            granted[event.lot.funded_by] += event.lot.granted
    for event in shop.events(member_id, "PointsRedeemed"):
        for drawn in event.lots_drawn:
            spent[funders[drawn.lot_id]] += drawn.points
    for event in shop.events(member_id, "PointsRestored"):
        for entry in event.lots:
            spent[funders[entry.lot_id]] -= entry.points
    return {funder: (granted[funder], spent[funder]) for funder in granted}


def three_lots(shop: Shop) -> None:
    """Lots of a bank, a railway and the shop itself; drawn in this order."""
    shop.buys("li-lei", "o-tea", "300.00", on="2025-06-01 10:00", funded_by=TEA)
    shop.buys("li-lei", "o-rail", "200.00", on="2025-07-01 10:00", funded_by=RAIL)
    shop.buys("li-lei", "o-own", "100.00", on="2025-08-01 10:00")


def test_2_10_a_grant_may_be_funded_by_a_partner_and_its_lot_says_so(shop: Shop) -> None:
    three_lots(shop)
    assert [(lot["order_id"], lot["funded_by"]) for lot in shop.member("li-lei")["lots"]] == [
        ("o-tea", TEA),
        ("o-rail", RAIL),
        ("o-own", None),
    ]


def test_2_10_what_was_granted_and_spent_by_partner_adds_up_from_the_lots(shop: Shop) -> None:
    three_lots(shop)
    shop.redeems("li-lei", "r-1", 400, "o-cot", "900.00")
    assert granted_and_spent(shop, "li-lei") == {TEA: (300, 300), RAIL: (200, 100), None: (100, 0)}
    # what is left in the lots is the difference
    left = {lot["funded_by"]: lot["remaining"] for lot in shop.member("li-lei")["lots"]}
    assert left == {RAIL: 100, None: 100}
    totals = shop.totals("li-lei")
    assert (totals["granted"], totals["redeemed"]) == (600, 400)


def test_2_10_restored_points_are_their_partners_again(shop: Shop) -> None:
    three_lots(shop)
    shop.redeems("li-lei", "r-1", 400, "o-cot", "900.00")
    shop.buys("li-lei", "o-cot", "860.00")
    # half given back restores 200, the last-drawn first: the railway's 100, then the bank's 100
    shop.refunds("o-cot", "f-1", "430.00")
    assert granted_and_spent(shop, "li-lei") == {
        TEA: (300, 200), RAIL: (200, 0), None: (960, 0),
    }  # fmt: skip


def test_2_10_a_lot_formed_by_restoration_keeps_its_partner(shop: Shop) -> None:
    shop.buys("li-lei", "o-tea", "300.00", on="2025-05-03 10:00", funded_by=TEA)
    shop.redeems("li-lei", "r-1", 300, "o-cot", "900.00")
    shop.buys("li-lei", "o-cot", "0.00")
    shop.refunds("o-cot", "f-1", "0.00")
    (lot,) = shop.member("li-lei")["lots"]
    assert (lot["order_id"], lot["remaining"], lot["funded_by"]) == ("o-tea", 300, TEA)
    assert lot["expires_on"] == "2026-05-08"  # a new lot: the old one ended on 3 May


def test_2_10_a_refund_takes_the_partners_points_back_from_the_partners_lot(shop: Shop) -> None:
    three_lots(shop)
    shop.refunds("o-rail", "f-1", "50.00")
    left = {lot["funded_by"]: lot["remaining"] for lot in shop.member("li-lei")["lots"]}
    assert left == {TEA: 300, RAIL: 150, None: 100}
    (event,) = shop.events("li-lei", "PointsClawedBack")
    funders = funder_of_each_lot(shop, "li-lei")
    assert [(funders[drawn.lot_id], drawn.points) for drawn in event.lots_drawn] == [(RAIL, 50)]


def test_2_10_a_partners_grant_is_capped_and_multiplied_like_any_other(
    open_shop: OpenShop,
) -> None:
    shop = open_shop(rules(points={"daily_earning_cap": 100}))
    shop.buys("li-lei", "o-own", "60.00")
    answer = shop.buys("li-lei", "o-tea", "60.00", funded_by=TEA)
    assert (answer["points"], answer["lot"]["granted"]) == (40, 40)


def test_2_10_a_partners_points_pay_debt_like_any_other(shop: Shop) -> None:
    shop.buys("li-lei", "o-1", "100.00")
    shop.redeems("li-lei", "r-1", 100, "o-cot")
    shop.refunds("o-1", "f-1", "100.00")
    shop.buys("li-lei", "o-tea", "130.00", funded_by=TEA)
    (lot,) = shop.member("li-lei")["lots"]
    assert (lot["granted"], lot["remaining"], lot["funded_by"]) == (130, 30, TEA)


def test_2_10_the_same_order_funded_by_another_is_another_order(shop: Shop) -> None:
    first = shop.buys("li-lei", "o-1", "10.00", funded_by=TEA)
    assert shop.buys("li-lei", "o-1", "10.00", funded_by=TEA) == first
    for other in (RAIL, None):
        with shop.refusing("already_recorded"):
            shop.buys("li-lei", "o-1", "10.00", funded_by=other)


@pytest.mark.parametrize("funder", [TEA, None])
def test_2_10_expired_points_were_their_partners(shop: Shop, funder: str | None) -> None:
    shop.buys("li-lei", "o-1", "80.00", on="2025-04-30 10:00", funded_by=funder)
    assert shop.expires("li-lei") == 1
    (event,) = shop.events("li-lei", "PointsExpired")
    assert funder_of_each_lot(shop, "li-lei")[event.lot_id] == funder
