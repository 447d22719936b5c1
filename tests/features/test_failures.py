"""Failures of other systems that are about the whole, not about one verb (FAILURES.md)."""

from __future__ import annotations

from decimal import Decimal

import pytest
from shop import Shop, local

from ledger import requests as r
from ledger.events import PointsClawedBack, PointsRedeemed, PointsRestored


def a_long_story(shop: Shop) -> None:
    """Everything that can happen to points, to 李雷."""
    shop.at("2026-04-30 12:00")
    shop.buys("li-lei", "o-old", "300.00", on="2025-04-30 10:00")
    shop.buys("li-lei", "o-older", "500.00", on="2025-04-30 09:00")
    shop.buys("li-lei", "o-new", "500.00", on="2026-03-01 10:00")
    shop.redeems("li-lei", "r-1", 400, "o-cot", "200.00")
    shop.reserves("li-lei", "r-2", 200, "o-bib", "200.00")
    shop.buys("li-lei", "o-cot", "160.00")
    shop.captures("r-2", 100)
    shop.reserves("li-lei", "r-3", 100, "o-hat", "200.00")
    shop.refunds("o-cot", "f-1", "80.00")
    shop.at("2026-05-01 12:00")
    shop.lapses("li-lei")
    shop.expires("li-lei")
    shop.redeems("li-lei", "r-4", 100, "o-mat", on="2026-04-30 20:00")
    shop.refunds("o-new", "f-2", "500.00")
    shop.adjusts("li-lei", "a-1", 60)
    shop.does(r.Freeze(member_id="li-lei", reason="lost card"))
    shop.does(r.Unfreeze(member_id="li-lei", reason="found"))


def test_failures_19_a_replay_decides_nothing_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_long_story(shop)
    served = [shop.member("li-lei"), shop.ledger.replay("li-lei", as_of=local("2026-04-30 20:00"))]
    assert {event.TOPIC for event in shop.events("li-lei")} >= {
        "PointsRedeemed", "PointsReserved", "ReservationCaptured", "ReservationLapsed",
        "PointsRestored", "PointsClawedBack", "PointsExpired", "PointsExpiryCorrected",
        "PointsAdjusted",
    }  # fmt: skip

    def decided_again(*_: object, **__: object) -> None:
        raise AssertionError("a replay must not decide")

    # Tomorrow's code draws, restores, claws back and earns otherwise: what was decided stands.
    for rule in (
        "drawing.plan_draw", "refunding.plan_restoration", "refunding.clawback",
        "refunding.restored_so_far", "accruing.earn_on_order",
    ):  # fmt: skip
        monkeypatch.setattr(f"ledger.member.{rule}", decided_again)
    shop.publish(shop.ledger.programmes().latest.programme, "2020-01-01 00:00")
    assert shop.ledger.replay("li-lei") == served[0]
    assert shop.ledger.replay("li-lei", as_of=local("2026-04-30 20:00")) == served[1]


def test_failures_7_every_step_of_a_long_story_can_still_be_read(shop: Shop) -> None:
    a_long_story(shop)
    recorded = list(shop.ledger.events_of("li-lei"))
    assert [one.originator_version for one in recorded] == list(range(1, len(recorded) + 1))
    positions = [one.position for one in recorded]
    assert positions == sorted(positions)  # type: ignore[type-var]
    for one in recorded:
        past = shop.ledger.replay("li-lei", version=one.originator_version)
        assert past["position"] == one.position
        assert sum(lot["remaining"] for lot in past["lots"]) == past["balance"]["available"]


def test_failures_7_the_events_of_a_refund_name_every_lot_that_they_touched(shop: Shop) -> None:
    a_long_story(shop)
    for event in shop.events("li-lei", "PointsClawedBack"):
        assert isinstance(event, PointsClawedBack)
        drawn = sum(lot.points for lot in event.lots_drawn)
        assert drawn + event.debt + event.waived == event.points
    for event in shop.events("li-lei", "PointsRestored"):
        assert isinstance(event, PointsRestored)
        assert sum(entry.points for entry in event.lots) == event.points
    for event in shop.events("li-lei", "PointsRedeemed"):
        assert isinstance(event, PointsRedeemed)
        assert sum(lot.points for lot in event.lots_drawn) == event.points


def test_failures_9_an_offline_till_redeemed_before_the_ledger_heard_of_its_orders(
    shop: Shop,
) -> None:
    shop.buys("li-lei", "o-1", "300.00", on="2026-04-29 10:00")
    # Off line on the 30th: a sale, an offset, a return. They arrive in one batch, the next day.
    offline = [
        r.Accrue(
            member_id="li-lei", order_id="o-2", amount=Decimal("50.00"),
            occurred_at=local("2026-04-30 10:00"),
        ),
        r.Redeem(
            member_id="li-lei", redemption_id="r-1", points=300, order_id="o-3",
            order_amount=Decimal("100.00"), occurred_at=local("2026-04-30 11:00"),
        ),
        r.Refund(
            refund_id="f-1", order_id="o-2", amount=Decimal("50.00"),
            occurred_at=local("2026-04-30 12:00"),
        ),
    ]  # fmt: skip
    assert [outcome.status for outcome in shop.together(*offline)] == [201, 201, 201]
    assert [outcome.replayed for outcome in shop.together(*offline)] == [True, True, True]
    for moment, available in (
        ("2026-04-30 10:00", 350),
        ("2026-04-30 11:00", 50),
        ("2026-04-30 12:00", 0),
    ):
        assert shop.then("li-lei", moment)["available"] == available
    # Two tills off line spent the same points: the second is told so, nothing is overdrawn.
    other = r.Redeem(
        member_id="li-lei", redemption_id="r-2", points=100, order_id="o-4",
        order_amount=Decimal("100.00"), occurred_at=local("2026-04-30 11:30"),
    )  # fmt: skip
    assert shop.ask(other).body["code"] == "insufficient_points"


def test_failures_12_answers_of_one_member_can_be_put_in_order_by_their_position(
    shop: Shop,
) -> None:
    answers = [
        shop.buys("li-lei", "o-1", "500.00"),
        shop.buys("han-meimei", "o-2", "500.00"),
        shop.redeems("li-lei", "r-1", 100, "o-cot"),
        shop.buys("li-lei", "o-late", "5.00", on="2026-01-01 10:00"),  # earlier, recorded later
        shop.refunds("o-1", "f-1", "500.00"),
    ]
    positions = [answer["position"] for answer in answers]
    assert positions == sorted(set(positions))
    assert shop.member("li-lei")["position"] == positions[-1]


def test_failures_13_points_of_every_abandoned_cart_come_back_and_the_books_agree(
    shop: Shop,
) -> None:
    shop.buys("li-lei", "o-1", "1000.00")
    for number in range(10):
        shop.reserves("li-lei", f"r-{number}", 100, f"o-cart-{number}", seconds=60 + number)
    assert shop.balance("li-lei")["reserved"] == 1000
    shop.at("2026-05-01 12:01:05")
    assert shop.balance("li-lei") == {"available": 600, "pending": 0, "reserved": 400, "debt": 0}
    shop.at("2026-05-01 12:02")
    assert shop.lapses("li-lei") == 10
    assert shop.balance("li-lei") == {"available": 1000, "pending": 0, "reserved": 0, "debt": 0}
    moments = [event.occurred_at for event in shop.events("li-lei", "ReservationLapsed")]
    assert moments == sorted(moments)
    assert shop.totals("li-lei")["redeemed"] == 0
