"""Failures of other systems that are about the whole, not about one verb (FAILURES.md)."""

from __future__ import annotations

from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest
from shop import OpenShop, Shop, campaign, item, local, rows, rules, shipped, templates

from ledger import requests as r
from ledger.events import PointsClawedBack, PointsRedeemed, PointsRestored
from projections.history import history_page
from projections.runner import catch_up


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


def test_failures_7_the_history_of_everything_that_earns_balances_step_by_step(
    open_shop: OpenShop,
) -> None:
    shop = open_shop(
        shipped("retail", points={"pending": True}, campaigns=[campaign("thanks", bonus=20)])
    )
    shop.joins("lucy", code=shop.code_of("li-lei"), on="2026-04-01 09:00")
    shop.does_activity("lucy", "check_in", "a-1")
    shop.does_activity("lucy", "check_in", "a-2")
    shop.buys("lucy", "o-1", "600.00")
    shop.buys("lucy", "o-late", "70.00", on="2026-04-10 10:00")
    shop.refunds("o-1", "f-1", "200.00")
    shop.at("2026-05-09 08:00")
    shop.activates("lucy")
    shop.redeems("lucy", "r-1", 400, "o-cot")
    shop.refunds("o-1", "f-2", "400.00")
    shop.does_activity("lucy", "survey", "a-3", reference="tea")
    catch_up(shop.database)
    for member_id in ("lucy", "li-lei"):
        entries = history_page(shop.database, member_id)["entries"]
        versions = [entry["version"] for entry in entries]
        assert versions == list(range(1, len(shop.events(member_id)) + 1))
        before = {"available": 0, "pending": 0, "reserved": 0, "debt": 0}
        for entry in entries:
            assert entry["balance_before"] == before
            before = entry["balance_after"]
            assert before == shop.ledger.replay(member_id, version=entry["version"])["balance"]
            assert entry["summary"] not in ("", entry["event"])
            assert not entry["summary_zh"].isascii()


# Refunds, with everything that an order can bring


GENEROUS: dict[str, Any] = {
    "campaigns": [campaign("double", multiplier="2"), campaign("thanks", bonus=200)],
}
"""Double points and a bonus on every order, besides what retail gives."""


def test_failures_1_buy_refund_repeat_leaves_no_points_no_coupons_and_no_referral_reward(
    open_shop: OpenShop,
) -> None:
    shop = open_shop(shipped("retail", **GENEROUS))
    shop.joins("lucy", code=shop.code_of("li-lei"))
    pack = shop.coupons("lucy")
    for number in range(5):
        bought = shop.buys("lucy", f"o-{number}", "600.00")
        assert bought["points"] == 1400  # 600 × 2 + 200
        shop.refunds(f"o-{number}", f"f-{number}", "600.00")
    assert shop.balance("lucy") == {"available": 50, "pending": 0, "reserved": 0, "debt": 0}
    assert shop.coupons("lucy") == pack == ["first_order", "referee_80"]
    assert (shop.available("li-lei"), shop.coupons("li-lei")) == (0, ["first_order"])
    assert shop.totals("lucy")["spend"] == "0.00"


def test_failures_2_a_refund_repeated_takes_nothing_a_second_time(open_shop: OpenShop) -> None:
    shop = open_shop(shipped("retail", **GENEROUS))
    shop.joins("lucy", code=shop.code_of("li-lei"))
    shop.buys("lucy", "o-1", "600.00")
    part = shop.refunds("o-1", "f-1", "300.00")
    whole = shop.refunds("o-1", "f-2", "300.00")
    before = shop.everything_stored()
    assert shop.refunds("o-1", "f-1", "300.00") == part
    assert shop.refunds("o-1", "f-2", "300.00") == whole
    assert shop.everything_stored() == before
    assert (part["points_clawed_back"], whole["points_clawed_back"]) == (600, 800)
    assert shop.totals("li-lei")["clawed_back"] == 100  # the referrer's reward, once


def test_failures_3_a_bonus_already_spent_is_taken_back_as_well(open_shop: OpenShop) -> None:
    shop = open_shop(rules(**GENEROUS))
    shop.buys("li-lei", "o-1", "100.00")  # 400
    shop.redeems("li-lei", "r-1", 300, "o-cot")
    answer = shop.refunds("o-1", "f-1", "100.00")
    assert (answer["points_clawed_back"], answer["debt"]) == (400, 300)
    assert shop.balance("li-lei") == {"available": 0, "pending": 0, "reserved": 0, "debt": 300}


def test_failures_4_points_spent_come_back_with_each_part_of_a_refund(open_shop: OpenShop) -> None:
    shop = open_shop(rules(**GENEROUS))
    shop.buys("li-lei", "o-1", "100.00")  # 400
    shop.redeems("li-lei", "r-1", 300, "o-cot", "80.00")
    shop.buys("li-lei", "o-cot", "50.00")  # 300
    part = shop.refunds("o-cot", "f-1", "20.00")
    # floor(300 × 20/50) come back; 50 × 2 were earned for the money, 60 of them stay
    assert (part["points_restored"], part["points_clawed_back"]) == (120, 40)
    whole = shop.refunds("o-cot", "f-2", "30.00")
    assert (whole["points_restored"], whole["points_clawed_back"]) == (180, 260)
    assert shop.available("li-lei") == 400


@pytest.mark.parametrize(
    ("refunds", "clawed_back"),
    [
        (["40.00", "40.00", "40.00"], [67, 67, 266]),
        (["40.00", "80.00"], [67, 333]),
        (["120.00"], [400]),
        (["0.01", "119.99"], [1, 399]),
    ],
)
def test_failures_5_everybody_can_say_how_a_partial_refund_is_prorated(
    open_shop: OpenShop, refunds: list[str], clawed_back: list[int]
) -> None:
    baby_week = campaign("baby_week", multiplier="2", only={"product_lines": ["baby"]})
    shop = open_shop(rules(campaigns=[baby_week, campaign("thanks", bonus=200)]))
    basket = [item("pram", "80.00", line="baby"), item("ball", "40.00", line="toys")]
    # 80 × 2 + 40 for the money, and 200: 120.00, 80.00, 40.00, 0.00 left hold
    # 200 + 200, floor(133.33…) + 200, floor(66.66…) + 200, 0
    assert shop.buys("li-lei", "o-1", "120.00", items=basket)["points"] == 400
    taken = [
        shop.refunds("o-1", f"f-{number}", amount)["points_clawed_back"]
        for number, amount in enumerate(refunds)
    ]
    assert taken == clawed_back


def test_failures_6_a_return_reverses_the_totals_and_caps_stay_consumed(
    open_shop: OpenShop,
) -> None:
    shop = open_shop(rules(points={"daily_earning_cap": 1000}))
    for number in range(1, 4):
        shop.buys("li-lei", f"o-{number}", "300.00")

    def counted() -> tuple[str, int, int]:
        totals = shop.totals("li-lei")
        return totals["spend"], totals["orders"], totals["repurchases"]

    assert counted() == ("900.00", 3, 2)
    shop.refunds("o-2", "f-1", "100.00")
    assert counted() == ("800.00", 3, 2)  # an order counts while something of it is left
    shop.refunds("o-2", "f-2", "200.00")
    assert counted() == ("600.00", 2, 1)
    shop.refunds("o-1", "f-3", "300.00")
    shop.refunds("o-3", "f-4", "300.00")
    assert counted() == ("0.00", 0, 0)
    # of the day's 1000 points 900 have been earned, whatever became of them
    assert shop.buys("li-lei", "o-4", "300.00")["points"] == 100
    assert counted() == ("300.00", 1, 0)


# Tiers and levels


def test_failures_6_a_return_reverses_the_progress_to_the_next_tier(open_shop: OpenShop) -> None:
    shop = open_shop(shipped("retail"))
    shop.buys("li-lei", "o-1", "1500.00", on="2026-04-01 10:00")
    shop.buys("li-lei", "o-2", "499.00", on="2026-04-02 10:00")

    def missing() -> tuple[str, int]:
        upcoming = shop.progress("li-lei")["next"]
        return upcoming["missing_spend"], upcoming["missing_repurchases"]

    assert missing() == ("1.00", 1)
    shop.refunds("o-1", "f-1", "1000.00")
    assert missing() == ("1001.00", 1)
    shop.refunds("o-1", "f-2", "500.00")
    assert missing() == ("1501.00", 2)  # the order of 499.00 is now his first
    # 2,600.00 were paid in three orders; 1,100.00 and one repurchase are left of them
    assert shop.buys("li-lei", "o-3", "601.00")["tier"]["code"] == "regular"
    assert missing() == ("900.00", 1)
    assert shop.buys("li-lei", "o-4", "900.00")["tier"]["code"] == "silver"
    # and what keeps the tier, from the next day on, is reversed as well
    shop.at("2026-05-02 12:00")
    shop.buys("li-lei", "o-5", "800.00")
    keep = shop.progress("li-lei")["keep"]
    assert (keep["missing_spend"], keep["missing_repurchases"]) == ("1200.00", 1)
    shop.refunds("o-5", "f-3", "800.00")
    keep = shop.progress("li-lei")["keep"]
    assert (keep["missing_spend"], keep["missing_repurchases"]) == ("2000.00", 2)


def test_failures_6_a_tier_is_not_kept_by_orders_that_were_given_back(open_shop: OpenShop) -> None:
    shop = open_shop(shipped("retail"))
    for member_id in ("li-lei", "han-meimei"):
        for number, amount in enumerate(("1.00", "1.00", "1998.00")):
            on = f"2025-06-15 09:0{number}"
            shop.buys(member_id, f"up-{member_id}-{number}", amount, on=on)
        for number in range(3):
            on = f"2026-04-0{number + 1} 10:00"
            shop.buys(member_id, f"keep-{member_id}-{number}", "1000.00", on=on)
    for number in range(2):
        shop.refunds(f"keep-li-lei-{number}", f"f-{number}", "1000.00")
    shop.at("2026-06-16 00:00")
    assert shop.reviews_tiers("li-lei") == shop.reviews_tiers("han-meimei") == 1
    assert shop.tier("li-lei") == ("regular", None)
    assert shop.tier("han-meimei") == ("silver", "2027-06-15")


def test_failures_21_an_as_of_balance_comes_with_the_tier_and_the_level_of_then(
    open_shop: OpenShop,
) -> None:
    shop = open_shop(shipped("retail"))
    shop.joins("lucy", on="2026-03-10 09:00")
    shop.buys("lucy", "o-1", "4000.00", on="2026-03-15 10:00")
    shop.buys("lucy", "o-2", "100.00", on="2026-03-16 10:00")
    shop.buys("lucy", "o-3", "25.00", on="2026-04-10 10:00")
    shop.at("2027-04-15 12:00")
    shop.reviews_levels("lucy")
    shop.reviews_tiers("lucy")
    # 4,100 × 0.012 + 6 = 55.2 on 1 April; silver on 10 April, for a year
    story = {
        "2026-03-31 23:59": ("regular", None, "ordinary", "new", 50 + 4100),
        "2026-04-01 00:00": ("regular", None, "active", "new", 50 + 4100),
        "2026-04-10 09:59": ("regular", None, "active", "new", 50 + 4100),
        "2026-04-10 10:00": ("silver", "2027-04-10", "active", "new", 50 + 4125),
        "2027-04-01 00:00": ("silver", "2027-04-10", "ordinary", "dormant", 25),
        "2027-04-10 23:59": ("silver", "2027-04-10", "ordinary", "dormant", 25),
        "2027-04-11 00:00": ("regular", None, "ordinary", "dormant", 0),
    }
    for moment, (tier, until, level, stage, available) in story.items():
        then = shop.member_then("lucy", moment)
        assert (then["tier"]["code"], then["tier"]["until"]) == (tier, until), moment
        assert (then["level"], then["lifecycle"]) == (level, stage), moment
        assert then["balance"]["available"] == available, moment
    # what was then stays so, whatever becomes of her
    shop.buys("lucy", "o-4", "60000.00")
    for moment, (tier, until, level, _, _) in story.items():
        then = shop.member_then("lucy", moment)
        assert (then["tier"]["code"], then["tier"]["until"]) == (tier, until), moment
        assert then["level"] == level, moment


@pytest.mark.parametrize("recorded", list(permutations(range(4))), ids=str)
def test_failures_24_the_tier_is_the_same_in_whatever_order_the_orders_are_heard_of(
    open_shop: OpenShop, recorded: tuple[int, ...]
) -> None:
    shop = open_shop(shipped("retail"))
    # 600, 1,400 with one repurchase, 1,999.99 with two, and 2,000 with the last: silver
    amounts = ("600.00", "800.00", "599.99", "0.01")
    for number in recorded:
        shop.buys("li-lei", f"o-{number}", amounts[number], on=f"2026-04-0{number + 1} 10:00")
    assert shop.member("li-lei")["tier"] == {
        "code": "silver", "since": "2026-04-04", "until": "2027-04-04", "extended": False,
    }  # fmt: skip


def test_failures_24_every_tier_is_found_by_figures_that_just_reach_it(
    open_shop: OpenShop,
) -> None:
    shop = open_shop(shipped("retail"))
    for member_id, repurchases, spend, tier in (
        ("anna", 2, "1999.99", "regular"),
        ("bob", 1, "2000.00", "regular"),
        ("cleo", 2, "2000.00", "silver"),
        ("dan", 5, "9999.99", "silver"),
        ("eve", 4, "10000.00", "silver"),
        ("fay", 5, "10000.00", "gold"),
        ("gus", 12, "49999.99", "gold"),
        ("hal", 11, "50000.00", "gold"),
        ("ida", 12, "50000.00", "diamond"),
    ):
        shop.joins(member_id, on="2026-04-01 09:00")
        for number in range(repurchases):
            on = f"2026-04-02 10:{number:02}"
            shop.buys(member_id, f"o-{member_id}-{number}", "0.01", on=on)
        rest = Decimal(spend) - Decimal("0.01") * repurchases
        answer = shop.buys(member_id, f"o-{member_id}-last", str(rest), on="2026-04-03 10:00")
        assert answer["tier"]["code"] == tier, member_id
        assert shop.member(member_id)["tier"]["code"] == tier, member_id


# Policies, cents, rewards


def test_failures_18_new_rules_touch_nothing_that_was_decided(open_shop: OpenShop) -> None:
    shop = open_shop(shipped("retail", **GENEROUS))
    shop.joins("lucy", code=shop.code_of("li-lei"))
    shop.buys("lucy", "o-1", "600.00")
    lots, coupons = shop.lots("lucy"), shop.events("lucy", "CouponIssued")
    member, referrer = shop.member("lucy"), shop.member("li-lei")
    # everything is changed, also for the past
    stingy = shipped(
        "retail",
        points={"validity": {"months": 1}, "align_expiry": "month", "debt": "waive"},
        earning={"rate": "0.1"},
        newcomer={"points": 1},
        referral={"referrer_points": 1},
    )
    shop.publish(stingy, "2026-05-01 12:00:01")
    shop.publish(stingy, "2020-01-01 00:00")
    assert shop.lots("lucy") == lots == [
        (None, 50, "2027-05-01"),
        ("o-1", 1400, "2027-05-01"),
    ]  # fmt: skip
    assert shop.events("lucy", "CouponIssued") == coupons
    assert shop.member("lucy")["balance"] == member["balance"]
    assert shop.member("li-lei")["balance"] == referrer["balance"]
    # a refund uses the rate and the campaigns that were recorded: 300.00 left hold 600 + 200
    shop.at("2026-05-10 12:00")
    assert shop.refunds("o-1", "f-1", "300.00")["points_clawed_back"] == 600
    assert shop.refunds("o-1", "f-2", "300.00")["points_clawed_back"] == 800
    # the whole reward that the order had brought goes, although it would be 1 point today
    assert shop.available("li-lei") == 0
    shop.at("2026-06-30 12:00")
    assert shop.available("lucy") == 50
    assert rows(shop.buys("lucy", "o-2", "600.00")) == [("spend", 60)]


@pytest.mark.parametrize(
    ("multiplier", "paid", "points"),
    [
        ("1.1", "10.00", 11),  # 11.000000000000002 in floats
        ("1.15", "100.00", 115),  # 114.99999999999999
        ("1.005", "1000.00", 1005),  # 1004.9999999999999
        ("0.29", "100.00", 29),  # 28.999999999999996
        ("0.07", "14.29", 1),  # 1.0003
    ],
)
def test_failures_22_no_multiplier_makes_or_loses_a_point_by_a_float(
    open_shop: OpenShop, multiplier: str, paid: str, points: int
) -> None:
    shop = open_shop(rules(campaigns=[campaign("odd", multiplier=multiplier)]))
    assert shop.buys("li-lei", "o-1", paid)["points"] == points


def test_failures_22_shares_of_thirds_and_sevenths_are_exact(open_shop: OpenShop) -> None:
    baby_week = campaign("baby_week", multiplier="3", only={"product_lines": ["baby"]})
    shop = open_shop(rules(campaigns=[baby_week]))
    for number, whole in enumerate((3, 7, 9, 11, 13)):
        # one part in `whole` counts three times: 77.00 × (1 + 2/whole)
        basket = [item("a", "1.00", line="baby"), item("b", f"{whole - 1}.00", line="toys")]
        answer = shop.buys("li-lei", f"o-{number}", "77.00", items=basket)
        assert answer["points"] == 77 * (whole + 2) // whole


def test_failures_23_the_part_of_an_order_that_points_paid_earns_nothing(
    open_shop: OpenShop,
) -> None:
    shop = open_shop(rules(campaigns=[campaign("double", multiplier="2")]))
    shop.buys("li-lei", "o-1", "500.00", on="2026-04-01 10:00")  # 500
    # goods of 200.00: 500 points pay 50.00 of them, the customer pays 150.00
    shop.reserves("li-lei", "r-1", 500, "o-2", "200.00")
    goods = [item("pram", "120.00", line="baby"), item("ball", "80.00", line="toys")]
    answer = shop.buys("li-lei", "o-2", "150.00", items=goods, paid_with=["r-1"])
    assert rows(answer) == [("spend", 150), ("campaign:double", 150)]
    assert answer["breakdown"][0]["base"] == "150.00"
    assert answer["balance"]["available"] == 300


def test_failures_23_an_order_that_points_paid_wholly_earns_nothing_and_is_no_first_order(
    open_shop: OpenShop,
) -> None:
    shop = open_shop(shipped("retail", redemption={"max_order_share": "1"}))
    shop.adjusts("li-lei", "a-1", 500)
    shop.redeems("li-lei", "r-1", 500, "o-1", "50.00")
    answer = shop.buys("li-lei", "o-1", "0.00", items=[item("kettle", "50.00")])
    assert (answer["points"], templates(answer)) == (0, [])
    assert shop.available("li-lei") == 0
