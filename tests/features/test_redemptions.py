"""Spending points on an order: what may be drawn, how much, and in which order (3.2, 4.1, 4.4)."""

from __future__ import annotations

from decimal import Decimal

import pytest
from shop import OpenShop, RefusedError, Shop, local, rules

from ledger import requests as r
from ledger.events import PointsRedeemed


def drawn(answer: dict[str, object], shop: Shop) -> list[tuple[str | None, int]]:
    """(order that the lot came from, points) of each lot drawn, first-drawn first."""
    origin = {
        event.lot.lot_id: event.lot.order_id
        for event in shop.events("li-lei", "PointsAccrued")
        if event.lot
    }
    lots = answer["lots_drawn"]
    assert isinstance(lots, list)
    return [(origin[lot["lot_id"]], lot["points"]) for lot in lots]


def test_4_1_a_hundred_points_are_ten_yuan_off(shop: Shop) -> None:
    accrual = shop.buys("li-lei", "o-pram", "600.00")
    answer = shop.redeems("li-lei", "r-5", 500, "o-cot", "200.00")
    assert answer == {
        "redemption_id": "r-5",
        "member_id": "li-lei",
        "status": "redeemed",
        "points": 500,
        "value": "50.00",
        "order_id": "o-cot",
        "lots_drawn": [{"lot_id": accrual["lot"]["lot_id"], "points": 500}],
        "reserved_until": None,
        "balance": {"available": 100, "pending": 0, "reserved": 0, "debt": 0},
        "position": 5,
        "version": 3,
    }
    assert shop.totals("li-lei")["redeemed"] == 500
    again = shop.ledger.redemption("r-5")
    assert {**again, "balance": answer["balance"]} == answer


def test_failures_11_points_earned_on_one_order_and_spent_on_another_are_gone(shop: Shop) -> None:
    shop.buys("li-lei", "o-pram", "300.00")
    shop.redeems("li-lei", "r-1", 300, "o-cot")
    assert shop.available("li-lei") == 0
    assert shop.lots("li-lei") == []
    with shop.refusing("insufficient_points"):
        shop.redeems("li-lei", "r-2", 100, "o-bib")


@pytest.mark.parametrize(
    ("earned", "spent", "order_of_drawing"),
    [
        # (order, when) in the order of recording; points asked; (order, points) drawn
        pytest.param(
            [("o-old", "2025-06-01 10:00"), ("o-new", "2026-04-01 10:00")],
            500,
            [("o-old", 300), ("o-new", 200)],
            id="first what expires first",
        ),
        pytest.param(
            [("o-new", "2026-04-01 10:00"), ("o-old", "2025-06-01 10:00")],
            300,
            [("o-old", 300)],
            id="whatever was recorded first",
        ),
        pytest.param(
            [("o-evening", "2026-04-01 19:00"), ("o-morning", "2026-04-01 08:00")],
            400,
            [("o-morning", 300), ("o-evening", 100)],
            id="same last day: what was earned first",
        ),
        pytest.param(
            [("o-first", "2026-04-01 08:00"), ("o-second", "2026-04-01 08:00")],
            400,
            [("o-first", 300), ("o-second", 100)],
            id="same moment: the lot that was made first",
        ),
    ],
)
def test_3_2_points_are_drawn_from_the_lot_that_expires_first(
    shop: Shop,
    earned: list[tuple[str, str]],
    spent: int,
    order_of_drawing: list[tuple[str, int]],
) -> None:
    for order_id, when in earned:
        shop.buys("li-lei", order_id, "300.00", on=when)
    answer = shop.redeems("li-lei", "r-1", spent, "o-cot")
    assert drawn(answer, shop) == order_of_drawing


def test_3_2_lots_that_never_expire_are_drawn_last(open_shop: OpenShop) -> None:
    shop = open_shop(rules(points={"validity": "none"}))
    shop.publish(rules(), "2026-03-01 00:00")
    shop.buys("li-lei", "o-forever", "200.00", on="2026-02-01 10:00")
    shop.buys("li-lei", "o-a-year", "200.00", on="2026-03-01 10:00")
    assert [day for _, _, day in shop.lots("li-lei")] == ["2027-03-01", None]
    answer = shop.redeems("li-lei", "r-1", 300, "o-cot")
    assert drawn(answer, shop) == [("o-a-year", 200), ("o-forever", 100)]


def test_3_2_a_late_redemption_cannot_draw_what_was_earned_after_it(shop: Shop) -> None:
    shop.buys("li-lei", "o-breakfast", "100.00", on="2026-04-30 08:00")
    shop.buys("li-lei", "o-supper", "500.00", on="2026-04-30 20:00")
    with shop.refusing("insufficient_points"):
        shop.redeems("li-lei", "r-lunch", 200, "o-lunch", on="2026-04-30 12:00")
    answer = shop.redeems("li-lei", "r-lunch", 100, "o-lunch", on="2026-04-30 12:00")
    assert drawn(answer, shop) == [("o-breakfast", 100)]
    assert shop.then("li-lei", "2026-04-30 12:00")["available"] == 0
    assert shop.then("li-lei", "2026-04-30 20:00")["available"] == 500


def test_a_draw_may_reach_over_a_hundred_small_lots(shop: Shop) -> None:
    for number in range(120):
        shop.buys("li-lei", f"o-{number:03d}", "10.00", on=f"2026-04-01 10:{number % 60:02d}")
    answer = shop.redeems("li-lei", "r-1", 1100, "o-cot")
    assert len(answer["lots_drawn"]) == 110
    assert shop.available("li-lei") == 100
    assert len(shop.lots("li-lei")) == 10


# How much


@pytest.mark.parametrize(
    ("points", "order_amount", "code"),
    [
        (50, "900.00", "below_minimum"),
        (99, "900.00", "below_minimum"),
        (0, "900.00", "below_minimum"),
        (-100, "900.00", "below_minimum"),
        (150, "900.00", "not_a_multiple"),
        (101, "900.00", "not_a_multiple"),
        (600, "100.00", "over_order_share"),
        (100, "0.00", "over_order_share"),
        (1000, "900.00", "insufficient_points"),
    ],
)
def test_4_1_whole_hundreds_and_at_most_half_of_the_order(
    shop: Shop, points: int, order_amount: str, code: str
) -> None:
    shop.buys("li-lei", "o-pram", "900.00")
    with shop.refusing(code):
        shop.redeems("li-lei", "r-1", points, "o-cot", order_amount)


def test_4_1_half_of_the_order_is_exact_to_the_cent(shop: Shop) -> None:
    shop.buys("li-lei", "o-pram", "900.00")
    with shop.refusing("over_order_share"):
        shop.redeems("li-lei", "r-1", 100, "o-cot", "19.99")  # half of it is 9.995
    assert shop.redeems("li-lei", "r-1", 100, "o-cot", "20.00")["value"] == "10.00"


def test_4_1_all_redemptions_of_an_order_together_pay_at_most_half(shop: Shop) -> None:
    shop.buys("li-lei", "o-pram", "2000.00")
    shop.redeems("li-lei", "r-1", 300, "o-cot", "100.00")
    shop.reserves("li-lei", "r-2", 200, "o-cot", "100.00")
    with shop.refusing("over_order_share"):
        shop.redeems("li-lei", "r-3", 100, "o-cot", "100.00")
    shop.redeems("li-lei", "r-3", 100, "o-bib", "20.00")  # another order has its own half


@pytest.mark.parametrize("ending", ["released", "lapsed", "partly captured"])
def test_4_1_what_was_given_up_no_longer_counts_towards_the_half(shop: Shop, ending: str) -> None:
    shop.buys("li-lei", "o-pram", "2000.00")
    shop.reserves("li-lei", "r-1", 500, "o-cot", "100.00")
    if ending == "released":
        shop.releases("r-1")
    elif ending == "lapsed":
        shop.at("2026-05-01 12:15")
    else:
        shop.captures("r-1", 100)
        with shop.refusing("over_order_share"):
            shop.redeems("li-lei", "r-2", 500, "o-cot", "100.00")
        shop.redeems("li-lei", "r-2", 400, "o-cot", "100.00")
        return
    shop.redeems("li-lei", "r-2", 500, "o-cot", "100.00")


def test_4_1_an_omitted_limit_is_no_limit(open_shop: OpenShop) -> None:
    shop = open_shop(rules(redemption={"step": 1, "min": 0, "max_order_share": "0"}))
    shop.buys("li-lei", "o-pram", "900.00")
    assert shop.redeems("li-lei", "r-1", 7, "o-sock", "0.70")["value"] == "0.70"
    with shop.refusing("over_order_share"):
        shop.redeems("li-lei", "r-2", 7, "o-hat", "0.69")  # never more than the order itself


def test_4_1_the_step_and_the_share_are_the_programmes(open_shop: OpenShop) -> None:
    shop = open_shop(rules(redemption={"step": 30, "min": 60, "max_order_share": "0.3"}))
    shop.buys("li-lei", "o-pram", "900.00")
    with shop.refusing("below_minimum"):
        shop.redeems("li-lei", "r-1", 30, "o-cot", "100.00")
    with shop.refusing("not_a_multiple"):
        shop.redeems("li-lei", "r-1", 100, "o-cot", "100.00")
    with shop.refusing("over_order_share"):
        shop.redeems("li-lei", "r-1", 330, "o-cot", "100.00")
    assert shop.redeems("li-lei", "r-1", 300, "o-cot", "100.00")["value"] == "30.00"


def test_failures_22_a_redemption_leaves_no_fraction_of_a_cent(open_shop: OpenShop) -> None:
    shop = open_shop(
        rules(points={"value": "0.07"}, redemption={"step": 1, "min": 1, "max_order_share": "0"})
    )
    shop.buys("li-lei", "o-pram", "900.00")
    values = [
        Decimal(shop.redeems("li-lei", f"r-{points}", points, f"o-{points}")["value"])
        for points in (1, 3, 7, 29, 100)
    ]
    assert values == [Decimal(text) for text in ("0.07", "0.21", "0.49", "2.03", "7.00")]
    # paid to the last cent: 2.03 of 2.03, which in floats is 2.0300000000000002
    shop.redeems("li-lei", "r-all", 29, "o-last", "2.03")


def test_4_1_without_a_redemption_section_there_is_no_cash_offset(open_shop: OpenShop) -> None:
    import msgspec

    shop = open_shop(msgspec.structs.replace(rules(), redemption=None))
    shop.buys("li-lei", "o-pram", "900.00")
    with shop.refusing("not_eligible"):
        shop.redeems("li-lei", "r-1", 100, "o-cot")


def test_4_4_nobody_can_redeem_more_than_is_available(shop: Shop) -> None:
    shop.buys("li-lei", "o-pram", "299.00")
    with shop.refusing("insufficient_points"):
        shop.redeems("li-lei", "r-1", 300, "o-cot")
    shop.reserves("li-lei", "r-2", 200, "o-cot")
    with shop.refusing("insufficient_points"):
        shop.redeems("li-lei", "r-3", 100, "o-cot")  # 99 are free, 200 set aside
    shop.buys("li-lei", "o-bib", "1.00")
    shop.redeems("li-lei", "r-3", 100, "o-cot")
    assert shop.balance("li-lei") == {"available": 0, "pending": 0, "reserved": 200, "debt": 0}


def test_4_4_one_members_points_are_not_anothers(shop: Shop) -> None:
    shop.buys("han-meimei", "o-piano", "9000.00")
    with shop.refusing("insufficient_points"):
        shop.redeems("li-lei", "r-1", 100, "o-cot")


def test_a_redemption_names_the_order_that_it_pays_for(shop: Shop) -> None:
    shop.buys("li-lei", "o-pram", "900.00")
    for command, field in (
        (r.Redeem(member_id="li-lei", redemption_id="r-1", points=100), "order_id"),
        (
            r.Redeem(member_id="li-lei", redemption_id="r-1", points=100, order_id="o-cot"),
            "order_amount",
        ),
        (r.Redeem(member_id="li-lei", redemption_id="r-1"), "points"),
    ):
        with shop.refusing("invalid_request"):
            shop.does(command)
        with pytest.raises(RefusedError) as refused:
            shop.does(command)
        assert list(refused.value.outcome.body["errors"]) == [field]


def test_points_cannot_pay_for_another_members_order(shop: Shop) -> None:
    shop.buys("li-lei", "o-pram", "900.00")
    shop.buys("han-meimei", "o-piano", "900.00")
    with shop.refusing("not_eligible"):
        shop.redeems("li-lei", "r-1", 100, "o-piano", "900.00")
    with shop.refusing("not_found"):
        shop.redeems("jim", "r-1", 100, "o-cot")


def test_a_redemption_without_an_id_gets_one(shop: Shop) -> None:
    shop.buys("li-lei", "o-pram", "900.00")
    made = shop.does(
        r.Redeem(member_id="li-lei", points=100, order_id="o-cot", order_amount=Decimal("100.00"))
    )
    assert shop.ledger.redemption(made["redemption_id"])["points"] == 100


# The order paid with points


def test_failures_23_what_points_paid_for_earns_no_points(shop: Shop) -> None:
    shop.buys("li-lei", "o-pram", "500.00")
    shop.reserves("li-lei", "r-1", 500, "o-cot", "200.00")
    paid = shop.buys("li-lei", "o-cot", "150.00", paid_with=["r-1"])  # 200.00 less 50.00
    assert paid["points"] == 150
    assert shop.ledger.redemption("r-1")["status"] == "redeemed"
    assert shop.balance("li-lei") == {"available": 150, "pending": 0, "reserved": 0, "debt": 0}
    (redeemed,) = (e for e in shop.events("li-lei", "ReservationCaptured"))
    assert redeemed.occurred_at == shop.clock.now


def test_an_order_names_the_redemptions_that_pay_for_it_or_is_refused(shop: Shop) -> None:
    shop.buys("li-lei", "o-pram", "900.00")
    shop.buys("han-meimei", "o-piano", "900.00")
    shop.reserves("li-lei", "r-1", 100, "o-cot", "200.00")
    shop.reserves("han-meimei", "r-hers", 100, "o-violin", "200.00")
    for redemption_id, order_id, code in (
        ("r-unknown", "o-cot", "not_found"),
        ("r-hers", "o-cot", "not_found"),
        ("r-1", "o-bib", "not_eligible"),  # it was set aside for the cot
    ):
        with shop.refusing(code):
            shop.buys("li-lei", order_id, "190.00", paid_with=[redemption_id])
    shop.at("2026-05-01 12:15")
    with shop.refusing("reservation_over"):
        shop.buys("li-lei", "o-cot", "190.00", paid_with=["r-1"])


def test_an_order_may_name_a_redemption_that_is_spent_already(shop: Shop) -> None:
    shop.buys("li-lei", "o-pram", "900.00")
    shop.redeems("li-lei", "r-1", 100, "o-cot", "200.00")
    assert shop.buys("li-lei", "o-cot", "190.00", paid_with=["r-1"])["points"] == 190
    assert len(shop.events("li-lei", "ReservationCaptured")) == 0
    assert shop.totals("li-lei")["redeemed"] == 100


def test_failures_19_the_event_holds_which_lots_were_drawn(shop: Shop) -> None:
    old = shop.buys("li-lei", "o-old", "150.00", on="2025-06-01 10:00")["lot"]["lot_id"]
    new = shop.buys("li-lei", "o-new", "150.00", on="2026-04-01 10:00")["lot"]["lot_id"]
    shop.redeems("li-lei", "r-1", 200, "o-cot", "500.00")
    (event,) = shop.events("li-lei", "PointsRedeemed")
    assert isinstance(event, PointsRedeemed)
    assert [(lot.lot_id, lot.points) for lot in event.lots_drawn] == [(old, 150), (new, 50)]
    assert (event.value, event.order_amount) == (Decimal("20.00"), Decimal("500.00"))
    # A lot recorded later that would have been drawn first changes nothing of what was decided.
    shop.buys("li-lei", "o-older", "500.00", on="2025-05-20 10:00")
    assert shop.lots("li-lei") == [("o-older", 500, "2026-05-20"), ("o-new", 100, "2027-04-01")]


def test_a_late_redemption_answers_with_the_balance_of_now(shop: Shop) -> None:
    shop.buys("li-lei", "o-old", "150.00", on="2025-04-30 10:00")  # good through 2026-04-30
    answer = shop.redeems("li-lei", "r-1", 100, "o-cot", on="2026-04-30 23:00")
    assert shop.available("li-lei") == 0  # the other 50 are past their day by now
    assert answer["balance"] == shop.balance("li-lei")


def test_4_1_an_order_is_paid_with_the_points_of_one_member(shop: Shop) -> None:
    for member_id in ("li-lei", "han-meimei"):
        shop.buys(member_id, f"o-{member_id}", "1000.00")
    shop.reserves("li-lei", "r-his", 500, "o-cot", "100.00")
    with shop.refusing("not_eligible"):
        shop.redeems("han-meimei", "r-hers", 500, "o-cot", "100.00")
    with shop.refusing("not_eligible"):
        shop.buys("han-meimei", "o-cot", "50.00")
    shop.releases("r-his")  # the wrong member's points at first: now it can be hers
    shop.redeems("han-meimei", "r-hers", 500, "o-cot", "100.00")
    with shop.refusing("not_eligible"):
        shop.redeems("li-lei", "r-again", 100, "o-cot", "100.00")
    shop.buys("han-meimei", "o-cot", "50.00")
    assert shop.refunds("o-cot", "f-1", "50.00")["points_restored"] == 500


def test_5_3_nothing_is_spent_on_an_order_that_was_given_back(shop: Shop) -> None:
    shop.buys("li-lei", "o-pram", "1000.00")
    shop.reserves("li-lei", "r-1", 300, "o-cot")
    shop.buys("li-lei", "o-cot", "70.00")
    shop.refunds("o-cot", "f-1", "70.00")
    with shop.refusing("not_eligible"):
        shop.captures("r-1")
    with shop.refusing("not_eligible"):
        shop.redeems("li-lei", "r-2", 100, "o-cot")
    assert shop.releases("r-1")["balance"]["available"] == 1000


def test_11_5_debt_that_was_not_made_then_was_not_paid_then(shop: Shop) -> None:
    shop.at("2026-05-10 12:00")
    shop.buys("li-lei", "o-1", "100.00", on="2026-05-01 12:00")
    shop.redeems("li-lei", "r-1", 100, "o-cot", on="2026-05-02 12:00")
    shop.refunds("o-1", "f-1", "100.00", on="2026-05-05 12:00")
    shop.buys("li-lei", "o-late", "50.00", on="2026-05-03 12:00")
    then = shop.ledger.replay("li-lei", as_of=local("2026-05-04 12:00"))
    assert then["balance"] == {"available": 50, "pending": 0, "reserved": 0, "debt": 0}
    assert [(lot["order_id"], lot["remaining"]) for lot in then["lots"]] == [("o-late", 50)]


def test_a_refused_redemption_takes_over_no_order_that_another_member_gave_up(shop: Shop) -> None:
    shop.buys("li-lei", "o-pram", "900.00")
    shop.reserves("li-lei", "r-1", 200, "o-cot")
    shop.releases("r-1")
    with shop.refusing("insufficient_points"):
        shop.redeems("han-meimei", "r-2", 200, "o-cot")
