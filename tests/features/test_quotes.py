"""A quote says what an order would bring, and that is what is then booked (PROGRAMME 2)."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from shop import (
    CORE_FROM_THE_START,
    TILL,
    OpenShop,
    RefusedError,
    Shop,
    campaign,
    item,
    rules,
    shipped,
    templates,
)

from ledger import requests as r
from ledger.errors import Refusal
from ledger.programme.model import Programme
from ledger.summaries import summary_of


class Situation(NamedTuple):
    """A shop's rules, what happened before, and the order that is quoted and then booked."""

    programme: Programme
    before: Callable[[Shop], Any]
    amount: str
    order: dict[str, Any]
    points: int


def nothing(shop: Shop) -> None:
    """Nothing happened before."""


BASKET = [item("pram", "100.00", line="baby"), item("tobacco", "50.00", line="smoke")]

SITUATIONS = {
    "a usual order": Situation(rules(), nothing, "148.60", {}, 148),
    "an order of nothing": Situation(rules(), nothing, "0.00", {}, 0),
    "a core member's": Situation(
        rules(CORE_FROM_THE_START, earning={"level_multipliers": {"core": "1.2"}}),
        nothing, "148.60", {}, 178,
    ),
    "goods that are excluded": Situation(
        rules(earning={"excluded_skus": ["tobacco"]}), nothing, "120.00", {"items": BASKET}, 80,
    ),
    "a product line's campaign": Situation(
        rules(campaigns=[campaign("b", multiplier="2", only={"product_lines": ["baby"]})]),
        nothing, "120.00", {"items": BASKET}, 200,
    ),
    "campaigns and bonuses by channel": Situation(
        rules(
            campaigns=[
                campaign("a", multiplier="1.5", only={"channels": ["store"]}),
                campaign("b", bonus=30, only={"stores": ["s-12"]}),
                campaign("c", bonus=500, only={"channels": ["web"]}),
            ]
        ),
        nothing, "10.00", {"channel": "store", "store_id": "s-12"}, 45,
    ),
    "the best multiplier": Situation(
        rules(
            CORE_FROM_THE_START,
            earning={"level_multipliers": {"core": "1.2"}, "stacking": "best"},
            campaigns=[campaign("a", multiplier="1.5")],
        ),
        nothing, "10.00", {}, 15,
    ),
    "a campaign that is over, by a late order": Situation(
        rules(
            campaigns=[
                campaign("a", start="2026-04-01 00:00", end="2026-05-01 00:00", multiplier="3")
            ]
        ),
        nothing, "10.00", {"on": "2026-04-30 20:00"}, 30,
    ),
    "a day's cap": Situation(
        rules(points={"daily_earning_cap": 100}, campaigns=[campaign("b", bonus=30)]),
        lambda shop: shop.buys("li-lei", "o-before", "20.00"),  # 50 of the 100
        "90.00", {}, 50,
    ),
    "a day whose cap is used up": Situation(
        rules(points={"daily_earning_cap": 100}),
        lambda shop: shop.buys("li-lei", "o-before", "200.00"), "90.00", {}, 0,
    ),
    "debt to be paid": Situation(
        rules(),
        lambda shop: (
            shop.buys("li-lei", "o-before", "100.00"),
            shop.redeems("li-lei", "r-1", 100, "o-cot"),
            shop.refunds("o-before", "f-1", "100.00"),
        ),
        "130.00", {}, 130,
    ),
    "points that wait": Situation(
        rules(points={"pending": True}, returns={"window_days": 7}), nothing, "60.00", {}, 60,
    ),
    "points that waited long enough": Situation(
        rules(points={"pending": True}, returns={"window_days": 7}),
        nothing, "60.00", {"on": "2026-04-20 10:00"}, 60,
    ),
    "a partner's points": Situation(rules(), nothing, "60.00", {"funded_by": "bank-of-tea"}, 60),
    "retail, a large first order": Situation(shipped("retail"), nothing, "600.00", {}, 600),
    "retail, a second order": Situation(
        shipped("retail"),
        lambda shop: shop.buys("li-lei", "o-before", "1.00"), "499.99", {}, 499,
    ),
    "enterprise": Situation(shipped("enterprise"), nothing, "5000.00", {}, 12_500),
    "enterprise's tools": Situation(
        shipped("enterprise"), nothing, "100.00",
        {"items": [item("drill", "100.00", line="tools")]}, 437,  # 100 × 2.5 × 1.75 = 437.5
    ),
}  # fmt: skip


@pytest.mark.parametrize("situation", SITUATIONS.values(), ids=list(SITUATIONS))
def test_2_a_quote_equals_what_is_then_booked(open_shop: OpenShop, situation: Situation) -> None:
    shop = open_shop(situation.programme)
    situation.before(shop)
    quoted = shop.quotes("li-lei", "o-1", situation.amount, **situation.order)
    booked = shop.buys("li-lei", "o-1", situation.amount, **situation.order)
    assert quoted["points"] == booked["points"] == situation.points
    for part in ("breakdown", "programme_version"):
        assert quoted[part] == booked[part], part
    for sentence in ("summary", "summary_zh"):  # nothing is paid yet: only how the points come
        assert quoted[sentence] in booked[sentence], sentence
    assert without_id(quoted["lot"]) == without_id(booked["lot"])
    assert sorted(quoted["issues"]) == templates(booked)


def without_id(lot: dict[str, Any] | None) -> dict[str, Any] | None:
    """A lot as answers show it, without the id that it has only once it is booked."""
    return lot and {name: value for name, value in lot.items() if name != "lot_id"}


def test_2_a_quote_knows_that_an_order_completes_a_friends_referral_and_books_nothing(
    open_shop: OpenShop,
) -> None:
    shop = open_shop(shipped("retail"))
    shop.joins("lucy", code=shop.code_of("li-lei"))
    quoted = shop.quotes("lucy", "o-1", "80.00")
    assert (quoted["points"], quoted["issues"]) == (80, ["second_order_90"])
    assert shop.available("li-lei") == 0


def test_2_a_quote_for_who_would_be_enrolled_by_the_order_equals_it_too(
    open_shop: OpenShop,
) -> None:
    shop = open_shop(shipped("retail", auto_enrol=True))
    quoted = shop.quotes("lucy", "o-1", "600.00", on="2026-04-20 08:00")
    booked = shop.buys("lucy", "o-1", "600.00", on="2026-04-20 08:00")
    assert (quoted["points"], quoted["breakdown"]) == (booked["points"], booked["breakdown"])
    assert without_id(quoted["lot"]) == without_id(booked["lot"])
    # the order's own coupons; the newcomer pack comes with the enrolment
    assert {"brand_gift", "second_order_90"} <= set(quoted["issues"])


def test_2_a_quote_is_refused_where_the_order_would_be(open_shop: OpenShop) -> None:
    shop = open_shop(rules())
    shop.freezes("li-lei")
    for member_id, code in (("li-lei", "member_frozen"), ("nobody", "not_found")):
        with pytest.raises(Refusal) as refused:
            shop.quotes(member_id, "o-1", "10.00")
        assert refused.value.code == code


@pytest.mark.parametrize(
    ("amount", "max_points", "max_amount"),
    [
        ("148.60", 700, "70.00"),  # half is 74.30: 743 points, in whole hundreds 700
        ("200.00", 1000, "100.00"),
        ("19.99", 0, "0.00"),  # half is less than 100 points are worth
        ("9000.00", 1200, "120.00"),  # no more than there is
    ],
)
def test_4_1_a_quote_says_how_much_of_the_order_points_may_pay(
    open_shop: OpenShop, amount: str, max_points: int, max_amount: str
) -> None:
    shop = open_shop(rules())
    shop.buys("li-lei", "o-before", "1234.00")
    quoted = shop.quotes("li-lei", "o-1", amount)
    assert quoted["cash_offset"] == {"max_points": max_points, "max_amount": max_amount}


def test_6_a_quote_says_what_is_missing_for_the_next_tier(open_shop: OpenShop) -> None:
    shop = open_shop(shipped("retail"))
    # silver: 2,000 and 2 repurchases
    shop.buys("li-lei", "o-1", "1000.00")
    shop.buys("li-lei", "o-2", "900.00")
    tier = shop.quotes("li-lei", "o-3", "89.60")["next_tier"]
    assert (tier["code"], tier["missing_spend"], tier["missing_repurchases"]) == (
        "silver", "10.40", 0,
    )  # fmt: skip
    assert tier["summary"].lower() == "10.40 more and you are silver"
    assert "10.40" in tier["summary_zh"]
    assert "银卡" in tier["summary_zh"]


def test_6_a_quote_counts_missing_repurchases_too(open_shop: OpenShop) -> None:
    shop = open_shop(shipped("retail"))
    tier = shop.quotes("li-lei", "o-1", "3000.00")["next_tier"]
    assert (tier["code"], tier["missing_spend"], tier["missing_repurchases"]) == (
        "silver", "0.00", 2,
    )  # fmt: skip


def test_6_where_there_are_no_tiers_a_quote_names_none(open_shop: OpenShop) -> None:
    shop = open_shop(rules())
    assert shop.quotes("li-lei", "o-1", "10.00")["next_tier"] is None


# Every grant in both languages (2.11)


def test_2_11_every_kind_of_grant_can_be_read_out_in_both_languages(open_shop: OpenShop) -> None:
    shop = open_shop(shipped("retail"))
    shop.joins("lucy", code=shop.code_of("li-lei"))
    order = shop.buys("lucy", "o-1", "600.00")
    review = shop.does_activity("lucy", "review", "a-1", reference="o-1")
    again = shop.does_activity("lucy", "review", "a-2", reference="o-1")
    for answer, figure in ((order, "600"), (review, "20")):
        assert figure in answer["summary"]
        assert figure in answer["summary_zh"]
    for answer in (order, review, again):
        assert answer["summary"].replace("×", "x").isascii()
        assert not answer["summary_zh"].isascii()
    grants = [
        ("lucy", "NewcomerRewarded", "50"),
        ("lucy", "PointsAccrued", "600"),
        ("lucy", "ActivityRewarded", "20"),
        ("li-lei", "ReferralRewarded", "100"),
    ]
    for member_id, topic, figure in grants:
        sentence = summary_of(shop.events(member_id, topic)[0])
        assert figure in sentence.en, topic
        assert figure in sentence.zh, topic
        assert not sentence.zh.isascii(), topic
        assert topic not in (sentence.en, sentence.zh)


def test_2_7_a_quote_says_whether_a_code_would_count(open_shop: OpenShop) -> None:
    shop = open_shop(rules("[referral]\nreferrer_points = 100\n"))
    quoted = shop.quotes("han-meimei", "o-1", "10.00", code=shop.code_of("li-lei"))
    assert quoted["referral"] == {"status": "accepted", "reason": None}
    own = shop.quotes("li-lei", "o-1", "10.00", code=shop.code_of("li-lei"))
    assert own["referral"] == {"status": "refused", "reason": "same_member"}
    with shop.refusing("not_found"):
        quoted_or_refused(shop, "li-lei", "o-1", referral_code="NOBODY")


def test_a_quote_is_refused_for_what_the_order_would_be_refused_for(shop: Shop) -> None:
    shop.buys("li-lei", "o-old", "900.00")
    shop.buys("han-meimei", "o-hers", "9.00")
    for more, code in (
        ({"order_id": "o-old"}, "already_recorded"),
        ({"order_id": "o-hers"}, "already_recorded"),
        ({"redemption_ids": ["r-nowhere"]}, "not_found"),
        ({"coupon_codes": ["NOWHERE"]}, "not_found"),
    ):
        with shop.refusing(code):
            quoted_or_refused(shop, "li-lei", **{"order_id": "o-1", **more})


def quoted_or_refused(shop: Shop, member_id: str, order_id: str, **more: Any) -> None:
    """Ask for a quote; a refusal comes as a till's would."""
    command = r.Accrue(member_id=member_id, order_id=order_id, amount=Decimal("10.00"), **more)
    try:
        shop.ledger.preview(r.Request(command=command, actor=TILL))
    except Refusal as refusal:
        raise RefusedError(r.Outcome(refusal.status, refusal.body())) from refusal


def test_a_quote_expects_the_version_that_was_read_also_while_a_lapse_is_due(shop: Shop) -> None:
    shop.buys("li-lei", "o-old", "900.00")
    shop.reserves("li-lei", "r-1", 200, "o-cot")
    version = shop.member("li-lei")["version"]
    shop.at("2026-05-01 13:00")  # the reservation is over, and nobody has recorded it
    command = r.Accrue(member_id="li-lei", order_id="o-1", amount=Decimal("10.00"))
    asked = r.Request(command=command, actor=TILL, expected_version=version)
    assert shop.ledger.preview(asked)["points"] == 10
    with pytest.raises(Refusal) as refused:
        shop.ledger.preview(r.Request(command=command, actor=TILL, expected_version=version + 1))
    assert refused.value.code == "version_mismatch"
