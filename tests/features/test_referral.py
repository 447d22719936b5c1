"""Bringing a friend: who is rewarded, who is not, and what a refund takes back (PROGRAMME 2.7).

李雷 (li-lei) recommends; 露西 (lucy), 莉莉 (lily) and others follow his code.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from shop import DESK, TILL, OpenShop, Shop, local, order, rows, rules, shipped, templates

from ledger import requests as r
from ledger.events import ReferralReversed, ReferralRewarded
from ledger.ledger import Ledger
from ledger.programme.model import Programme
from ledger.summaries import summary_of

COUPONS = [
    {"code": "referral_20", "kind": "amount_off", "value": "20.00", "valid_days": 30},
    {
        "code": "referee_80", "kind": "percent_off", "value": "20", "valid_days": 30,
        "first_order_only": True,
    },
]  # fmt: skip
REFERRAL = {
    "referrer_points": 100,
    "referrer_coupon": "referral_20",
    "referee_coupon": "referee_80",
    "monthly_limit": 20,
}
ACCEPTED = {"status": "accepted", "reason": None}
PREFIX_RULE = {"digits": 8, "limit": 5}


def recommending(
    referral: dict[str, Any] | None = None, extra: str = "", **sections: Any
) -> Programme:
    """The corner shop with referral, as retail has it, and changes."""
    return rules(extra, referral={**REFERRAL, **(referral or {})}, coupons=COUPONS, **sections)


def refused(reason: str) -> dict[str, str]:
    """What an answer says of a referral that was not made."""
    return {"status": "refused", "reason": reason}


@pytest.fixture
def shop(open_shop: OpenShop) -> Shop:
    """The corner shop, where recommending it is rewarded."""
    return open_shop(recommending())


def lucy_comes_by_li_leis_code_and_buys(shop: Shop, amount: str = "80.00") -> dict[str, Any]:
    """露西 joins with 李雷's code and completes her first order, o-lucy."""
    shop.joins("lucy", code=shop.code_of("li-lei"))
    return shop.buys("lucy", "o-lucy", amount)


# What both get


def test_2_7_the_referee_gets_an_80_coupon_at_enrolment(shop: Shop) -> None:
    answer = shop.joins("lucy", code=shop.code_of("li-lei"))
    assert answer["referral"] == ACCEPTED
    assert templates(answer) == ["referee_80"]
    (coupon,) = shop.events("lucy", "CouponIssued")
    assert (coupon.source, coupon.kind, coupon.value) == ("referee", "percent_off", Decimal("20"))
    assert (coupon.valid_from, coupon.valid_until) == (date(2026, 5, 1), date(2026, 5, 31))
    (enrolled,) = shop.events("lucy", "MemberEnrolled")
    assert enrolled.referrer_id == "li-lei"
    # the referrer has to wait for the first order
    assert (shop.available("li-lei"), shop.coupons("li-lei")) == (0, [])


def test_2_7_without_a_code_nobody_is_a_referee(shop: Shop) -> None:
    answer = shop.joins("lucy")
    assert (answer["referral"], answer["issued"]) == (None, [])
    assert shop.buys("lucy", "o-1", "80.00")["referral"] is None


def test_2_7_the_first_order_brings_the_referrer_points_and_a_coupon(shop: Shop) -> None:
    answer = lucy_comes_by_li_leis_code_and_buys(shop)
    assert answer["issued"] == []  # hers; his is on his account
    assert answer["referral"] is None  # no code came with this order
    assert answer["balance"]["available"] == shop.available("lucy") == 80
    assert shop.available("li-lei") == 100
    assert shop.coupons("li-lei") == ["referral_20"]
    (lot,) = shop.member("li-lei")["lots"]
    assert (lot["source"], lot["granted"], lot["expires_on"]) == ("referral", 100, "2027-05-01")
    (event,) = shop.events("li-lei", "ReferralRewarded")
    assert isinstance(event, ReferralRewarded)
    assert (event.referee_id, event.order_id, event.points) == ("lucy", "o-lucy", 100)
    assert [(row.rule, row.points) for row in event.breakdown] == [("referral", 100)]
    (coupon,) = shop.events("li-lei", "CouponIssued")
    assert (coupon.source, coupon.value) == ("referral", Decimal("20.00"))
    # the order's answer points behind everything that it wrote, his account included
    assert answer["position"] == shop.ledger.last_position()


def test_2_7_retail_as_shipped_rewards_both(open_shop: OpenShop) -> None:
    shop = open_shop(shipped("retail"))
    joined = shop.joins("lucy", code=shop.code_of("li-lei"))
    assert templates(joined) == ["first_order", "referee_80"]
    shop.buys("lucy", "o-lucy", "80.00")
    assert shop.available("lucy") == 50 + 80
    assert shop.available("li-lei") == 100
    assert shop.coupons("li-lei") == ["first_order", "referral_20"]


def test_2_7_only_the_first_order_rewards(shop: Shop) -> None:
    lucy_comes_by_li_leis_code_and_buys(shop)
    shop.buys("lucy", "o-second", "500.00")
    assert shop.available("li-lei") == 100
    assert shop.coupons("li-lei") == ["referral_20"]


def test_2_7_an_order_of_nothing_does_not_complete_a_first_order(shop: Shop) -> None:
    shop.joins("lucy", code=shop.code_of("li-lei"))
    shop.buys("lucy", "o-gift", "0.00")
    assert shop.available("li-lei") == 0
    shop.buys("lucy", "o-1", "0.01")
    assert shop.available("li-lei") == 100


def test_2_7_the_reward_happens_when_the_first_order_did(shop: Shop) -> None:
    shop.joins("lucy", code=shop.code_of("li-lei"), on="2026-04-10 10:00")
    shop.buys("lucy", "o-late", "80.00", on="2026-04-12 10:00")
    assert shop.then("li-lei", "2026-04-12 09:59")["available"] == 0
    assert shop.then("li-lei", "2026-04-12 10:00")["available"] == 100
    assert shop.lots("li-lei") == [(None, 100, "2027-04-12")]
    (coupon,) = shop.events("li-lei", "CouponIssued")
    assert coupon.valid_until == date(2026, 5, 12)


# The code with the first order


def test_2_7_the_code_may_come_with_the_first_order(shop: Shop) -> None:
    shop.joins("lucy")
    answer = shop.buys("lucy", "o-lucy", "80.00", code=shop.code_of("li-lei"))
    assert answer["referral"] == ACCEPTED
    assert answer["issued"] == []  # the 80 coupon is for a code at enrolment
    assert (shop.available("li-lei"), shop.coupons("li-lei")) == (100, ["referral_20"])
    (named,) = shop.events("lucy", "ReferrerNamed")
    assert (named.referrer_id, named.order_id) == ("li-lei", "o-lucy")


def test_2_7_who_is_enrolled_by_the_order_gives_the_code_at_enrolment(
    open_shop: OpenShop,
) -> None:
    shop = open_shop(shipped("retail", auto_enrol=True))
    answer = shop.buys("lucy", "o-lucy", "80.00", code=shop.code_of("li-lei"))
    assert answer["referral"] == ACCEPTED
    assert shop.coupons("lucy") == ["first_order", "referee_80", "second_order_90"]
    assert shop.available("li-lei") == 100


def test_2_7_a_code_that_came_with_an_order_of_nothing_counts_for_the_first(shop: Shop) -> None:
    shop.joins("lucy")
    answer = shop.buys("lucy", "o-gift", "0.00", code=shop.code_of("li-lei"))
    assert answer["referral"] == ACCEPTED
    assert shop.available("li-lei") == 0
    shop.buys("lucy", "o-1", "80.00")
    assert shop.available("li-lei") == 100


def test_2_7_after_the_first_order_a_code_is_too_late(shop: Shop) -> None:
    shop.joins("lucy")
    shop.buys("lucy", "o-1", "80.00")
    answer = shop.buys("lucy", "o-2", "90.00", code=shop.code_of("li-lei"))
    assert (answer["points"], answer["referral"]) == (90, refused("not_first_order"))
    assert shop.available("li-lei") == 0
    (event,) = shop.events("lucy", "ReferralRefused")
    assert (event.referrer_id, event.reason, event.order_id) == (
        "li-lei", "not_first_order", "o-2",
    )  # fmt: skip


def test_2_7_an_unknown_code_is_not_found_and_books_nothing(shop: Shop) -> None:
    with shop.refusing("not_found"):
        shop.joins("lucy", code="NOBODY")
    shop.joins("lucy")
    with shop.refusing("not_found"):
        shop.buys("lucy", "o-1", "80.00", code="NOBODY")
    assert shop.buys("lucy", "o-1", "80.00", code=shop.code_of("li-lei"))["referral"] == ACCEPTED


def test_2_7_without_a_referral_section_a_known_code_brings_nothing(open_shop: OpenShop) -> None:
    shop = open_shop(rules())
    shop.joins("lucy", code=shop.code_of("li-lei"))
    shop.buys("lucy", "o-1", "80.00")
    assert shop.available("li-lei") == 0
    assert shop.coupons("lucy") == []


# Twice for loyal referrers


def test_2_7_a_loyal_referrer_gets_twice_the_points_and_two_coupons(open_shop: OpenShop) -> None:
    loyal_from_the_start = {"bands": [{"code": "loyal", "from": 0}, {"code": "star", "from": 151}]}
    shop = open_shop(recommending({"doubled_for_levels": ["loyal"]}, levels=loyal_from_the_start))
    lucy_comes_by_li_leis_code_and_buys(shop)
    assert shop.available("li-lei") == 200
    assert shop.coupons("li-lei") == ["referral_20", "referral_20"]
    (event,) = shop.events("li-lei", "ReferralRewarded")
    assert [(row.rule, row.points) for row in event.breakdown] == [
        ("referral", 100),
        ("level:loyal", 100),
    ]
    assert event.points == 200
    # and loses twice as much
    shop.refunds("o-lucy", "f-1", "80.00")
    assert (shop.available("li-lei"), shop.coupons("li-lei")) == (0, [])


def test_2_7_a_referrer_of_another_level_gets_it_once(open_shop: OpenShop) -> None:
    bands = {"bands": [{"code": "ordinary", "from": 0}, {"code": "loyal", "from": 151}]}
    shop = open_shop(recommending({"doubled_for_levels": ["loyal"]}, levels=bands))
    lucy_comes_by_li_leis_code_and_buys(shop)
    assert (shop.available("li-lei"), shop.coupons("li-lei")) == (100, ["referral_20"])


# Who can't be referred


def test_2_7_nobody_refers_oneself(shop: Shop) -> None:
    answer = shop.buys("li-lei", "o-1", "80.00", code=shop.code_of("li-lei"))
    assert (answer["points"], answer["referral"]) == (80, refused("same_member"))
    assert (shop.available("li-lei"), shop.coupons("li-lei")) == (80, [])


@pytest.mark.parametrize(
    ("his", "hers", "reason"),
    [
        ({"phone": "+8613800000001"}, {"phone": "+8613800000001"}, "same_phone"),
        ({"email": "lucy@example.com"}, {"email": "Lucy@Example.com"}, "same_email"),
    ],
)
def test_2_7_a_second_account_of_the_same_person_is_no_referee(
    shop: Shop, his: dict[str, str], hers: dict[str, str], reason: str
) -> None:
    code = shop.joins("lucy-the-first", **his)["referral_code"]
    answer = shop.joins("lucy-again", code=code, **hers)
    assert answer["status"] == "active"  # the enrolment stands
    assert (answer["referral"], answer["issued"]) == (refused(reason), [])
    shop.buys("lucy-again", "o-1", "80.00")
    assert (shop.available("lucy-the-first"), shop.coupons("lucy-the-first")) == (0, [])
    (event,) = shop.events("lucy-again", "ReferralRefused")
    assert (event.referrer_id, event.reason) == ("lucy-the-first", reason)


def test_2_7_the_same_phone_is_seen_with_the_first_order_too(shop: Shop) -> None:
    code = shop.joins("lucy-the-first", phone="+8613800000001")["referral_code"]
    shop.joins("lucy-again", phone="+8613800000001")
    answer = shop.buys("lucy-again", "o-1", "80.00", code=code)
    assert (answer["points"], answer["referral"]) == (80, refused("same_phone"))
    assert shop.available("lucy-the-first") == 0


@pytest.mark.parametrize("others", [[], ["lily"], ["lily", "jim"]])
def test_2_7_a_loop_of_referrals_is_refused(shop: Shop, others: list[str]) -> None:
    chain = ["lucy", *others, "kate"]
    shop.joins("lucy")
    for referrer, referee in pairwise(chain):
        shop.joins(referee, code=shop.code_of(referrer))
    # lucy → … → kate; now lucy's first order names kate
    answer = shop.buys("lucy", "o-lucy", "80.00", code=shop.code_of("kate"))
    assert (answer["points"], answer["referral"]) == (80, refused("loop"))
    assert shop.available("kate") == 0


def test_2_7_a_referee_has_one_referrer(shop: Shop) -> None:
    shop.joins("lucy", code=shop.code_of("li-lei"))
    answer = shop.buys("lucy", "o-lucy", "80.00", code=shop.code_of("han-meimei"))
    assert answer["referral"] == refused("already_referred")
    assert (shop.available("li-lei"), shop.available("han-meimei")) == (100, 0)


# The month's limit


def a_friend_buys(shop: Shop, friend: str, on: str | None = None) -> None:
    """One more friend of 李雷 joins and completes a first order."""
    shop.joins(friend, code=shop.code_of("li-lei"), on="2026-01-01 09:00")
    shop.buys(friend, f"o-{friend}", "10.00", on=on)


def test_2_7_twenty_rewarded_referrals_a_month_and_no_more(open_shop: OpenShop) -> None:
    shop = open_shop(shipped("retail"))
    code = shop.code_of("li-lei")
    friends = [f"friend-{number}" for number in range(1, 22)]
    joining = [r.Enrol(member_id=friend, referral_code=code) for friend in friends]
    buying = [order(friend, f"o-{friend}", "10.00") for friend in friends]
    assert {outcome.status for outcome in shop.together(*joining, *buying)} == {201}
    assert shop.available("li-lei") == 2000
    assert shop.coupons("li-lei").count("referral_20") == 20
    (event,) = shop.events("friend-21", "ReferralRefused")
    assert (event.referrer_id, event.reason) == ("li-lei", "monthly_limit")
    assert shop.coupons("friend-21") == ["first_order", "referee_80", "second_order_90"]
    # the next month has a limit of its own, and a late order counts in its own month
    shop.at("2026-06-01 00:00")
    a_friend_buys(shop, "friend-of-june")
    assert shop.available("li-lei") == 2100
    a_friend_buys(shop, "friend-of-may", on="2026-05-31 23:59")
    assert shop.available("li-lei") == 2100
    a_friend_buys(shop, "friend-of-april", on="2026-04-30 23:59")
    assert shop.available("li-lei") == 2200


def test_2_7_beyond_the_limit_the_reward_is_lost_for_good(open_shop: OpenShop) -> None:
    shop = open_shop(recommending({"monthly_limit": 1}))
    a_friend_buys(shop, "lucy")
    a_friend_buys(shop, "lily")
    shop.at("2026-06-01 00:00")
    shop.buys("lily", "o-second", "10.00")
    assert (shop.available("li-lei"), shop.coupons("li-lei")) == (100, ["referral_20"])


def test_2_7_a_month_long_past_still_has_its_limit(open_shop: OpenShop) -> None:
    shop = open_shop(recommending({"monthly_limit": 1}))
    for month in range(1, 6):
        a_friend_buys(shop, f"friend-{month}", on=f"2026-{month:02}-01 10:00")
    assert shop.available("li-lei") == 500
    a_friend_buys(shop, "late-friend", on="2026-02-28 10:00")
    assert shop.available("li-lei") == 500


def test_2_7_the_same_order_twice_rewards_once(shop: Shop) -> None:
    first = lucy_comes_by_li_leis_code_and_buys(shop)
    before = shop.everything_stored()
    assert shop.buys("lucy", "o-lucy", "80.00") == first
    assert shop.everything_stored() == before
    assert shop.available("li-lei") == 100


def test_2_7_joining_buying_and_returning_may_come_in_one_batch(shop: Shop) -> None:
    outcomes = shop.together(
        r.Enrol(member_id="lucy", referral_code=shop.code_of("li-lei")),
        order("lucy", "o-lucy", "80.00"),
        r.Refund(refund_id="f-1", order_id="o-lucy", amount=Decimal("80.00")),
        order("li-lei", "o-his", "30.00"),
    )
    assert [outcome.status for outcome in outcomes] == [201] * 4
    assert (shop.available("li-lei"), shop.coupons("li-lei")) == (30, [])
    topics = [event.TOPIC for event in shop.events("li-lei")]
    assert topics.index("ReferralRewarded") < topics.index("ReferralReversed")


def test_2_7_two_who_name_each_other_in_one_batch_make_no_loop(shop: Shop) -> None:
    shop.joins("lucy")
    shop.joins("kate")
    outcomes = shop.together(
        order("lucy", "o-lucy", "80.00", code=shop.code_of("kate")),
        order("kate", "o-kate", "80.00", code=shop.code_of("lucy")),
    )
    assert [outcome.body["referral"] for outcome in outcomes] == [ACCEPTED, refused("loop")]
    assert (shop.available("lucy"), shop.available("kate")) == (80, 180)


def test_2_7_a_second_account_in_the_same_batch_is_seen(shop: Shop) -> None:
    code = shop.joins("lucy-the-first", phone="+8613800000001")["referral_code"]
    outcomes = shop.together(
        r.Enrol(member_id="lucy-again", phone="+8613800000001"),
        order("lucy-again", "o-1", "80.00", code=code),
    )
    assert outcomes[1].body["referral"] == refused("same_phone")


def everyone_at_once(shop: Shop, commands: Sequence[r.Command]) -> list[r.Outcome]:
    """Each command at a till of its own, all at the same moment."""
    ready = threading.Barrier(len(commands))

    def at_a_till(command: r.Command) -> r.Outcome:
        till = Ledger(shop.database, shop.clock)
        ready.wait()
        return till.handle([r.Request(command=command, actor=TILL)])[0]

    with ThreadPoolExecutor(len(commands)) as tills:
        return list(tills.map(at_a_till, commands))


def test_2_7_the_limit_holds_however_many_friends_buy_at_once(open_shop: OpenShop) -> None:
    shop = open_shop(recommending({"monthly_limit": 3}))
    code = shop.code_of("li-lei")
    friends = [f"friend-{number}" for number in range(6)]
    for friend in friends:
        shop.joins(friend, code=code)
    outcomes = everyone_at_once(shop, [order(friend, f"o-{friend}", "10.00") for friend in friends])
    assert [outcome.status for outcome in outcomes] == [201] * 6
    assert shop.available("li-lei") == 300
    assert shop.coupons("li-lei") == ["referral_20"] * 3


def test_2_7_two_who_name_each_other_at_once_make_no_loop(shop: Shop) -> None:
    shop.joins("lucy")
    shop.joins("kate")
    outcomes = everyone_at_once(
        shop,
        [
            order("lucy", "o-lucy", "80.00", code=shop.code_of("kate")),
            order("kate", "o-kate", "80.00", code=shop.code_of("lucy")),
        ],
    )
    assert [outcome.status for outcome in outcomes] == [201, 201]
    answers = [outcome.body["referral"]["status"] for outcome in outcomes]
    assert sorted(answers) == ["accepted", "refused"]
    assert shop.available("lucy") + shop.available("kate") == 80 + 80 + 100


def test_2_7_a_whole_chain_buys_and_returns_at_once(shop: Shop) -> None:
    chain = [f"friend-{number}" for number in range(6)]
    for referrer, referee in pairwise(["li-lei", *chain]):
        shop.joins(referee, code=shop.code_of(referrer))
    for round_ in ("first", "second"):
        orders = [order(friend, f"{round_}-{friend}", "50.00") for friend in chain]
        outcomes = everyone_at_once(shop, [*orders, order("li-lei", f"{round_}-his", "10.00")])
        assert [outcome.status for outcome in outcomes] == [201] * 7
    assert [shop.available(friend) for friend in chain] == [200] * 5 + [100]
    assert shop.available("li-lei") == 120
    returns = [
        r.Refund(refund_id=f"f-{friend}", order_id=f"first-{friend}", amount=Decimal("50.00"))
        for friend in chain
    ]
    assert [outcome.status for outcome in everyone_at_once(shop, returns)] == [201] * 6
    assert [shop.available(friend) for friend in chain] == [50] * 6
    assert shop.available("li-lei") == 20


# Referrers who can't earn


def test_2_7_a_frozen_referrer_gets_nothing_also_not_later(shop: Shop) -> None:
    shop.joins("lucy", code=shop.code_of("li-lei"))
    shop.freezes("li-lei")
    assert shop.buys("lucy", "o-lucy", "80.00")["points"] == 80
    shop.unfreezes("li-lei")
    shop.buys("lucy", "o-second", "80.00")
    assert (shop.available("li-lei"), shop.coupons("li-lei")) == (0, [])
    (event,) = shop.events("lucy", "ReferralRefused")
    assert (event.referrer_id, event.reason) == ("li-lei", "referrer_frozen")


def test_2_7_a_closed_referrer_gets_nothing(shop: Shop) -> None:
    shop.joins("lucy", code=shop.code_of("li-lei"))
    shop.does(r.Close(member_id="li-lei", reason="moved away"), actor=DESK)
    assert shop.buys("lucy", "o-lucy", "80.00")["points"] == 80
    (event,) = shop.events("lucy", "ReferralRefused")
    assert event.reason == "referrer_closed"
    assert shop.available("li-lei") == 0


# The refund of the first order


def test_2_7_referrer_loses_the_reward_when_the_first_order_is_fully_refunded(shop: Shop) -> None:
    lucy_comes_by_li_leis_code_and_buys(shop)
    shop.at("2026-05-02 12:00")
    answer = shop.refunds("o-lucy", "f-1", "80.00")
    assert answer["points_clawed_back"] == 80  # hers alone
    assert answer["voided_coupons"] == []
    assert (shop.available("li-lei"), shop.debt("li-lei")) == (0, 0)
    assert shop.coupons("li-lei") == []
    totals = shop.totals("li-lei")
    assert (totals["granted"], totals["clawed_back"]) == (100, 100)
    (event,) = shop.events("li-lei", "ReferralReversed")
    assert isinstance(event, ReferralReversed)
    assert (event.referee_id, event.order_id, event.refund_id) == ("lucy", "o-lucy", "f-1")
    assert (event.points, event.debt, event.waived) == (100, 0, 0)
    assert [drawn.points for drawn in event.lots_drawn] == [100]
    assert event.occurred_at == local("2026-05-02 12:00")
    (voided,) = shop.events("li-lei", "CouponVoided")
    assert voided.template == "referral_20"
    assert shop.coupons("lucy") == ["referee_80"]  # that came with the enrolment
    assert answer["position"] == shop.ledger.last_position()


def test_2_7_a_partial_refund_reverses_nothing_until_it_is_whole(shop: Shop) -> None:
    lucy_comes_by_li_leis_code_and_buys(shop)
    for number, amount in enumerate(("20.00", "59.99")):
        shop.refunds("o-lucy", f"f-{number}", amount)
        assert (shop.available("li-lei"), shop.coupons("li-lei")) == (100, ["referral_20"])
    shop.refunds("o-lucy", "f-last", "0.01")
    assert (shop.available("li-lei"), shop.coupons("li-lei")) == (0, [])


def test_2_7_the_refund_of_a_later_order_reverses_nothing(shop: Shop) -> None:
    lucy_comes_by_li_leis_code_and_buys(shop)
    shop.buys("lucy", "o-second", "500.00")
    shop.refunds("o-second", "f-1", "500.00")
    assert (shop.available("li-lei"), shop.coupons("li-lei")) == (100, ["referral_20"])


def test_2_7_the_order_after_a_refunded_first_one_rewards_nobody(shop: Shop) -> None:
    lucy_comes_by_li_leis_code_and_buys(shop)
    shop.refunds("o-lucy", "f-1", "80.00")
    shop.buys("lucy", "o-second", "500.00")
    assert (shop.available("li-lei"), shop.coupons("li-lei")) == (0, [])


def test_5_5_the_same_refund_twice_reverses_once(shop: Shop) -> None:
    lucy_comes_by_li_leis_code_and_buys(shop)
    a_friend_buys(shop, "lily")
    first = shop.refunds("o-lucy", "f-1", "80.00")
    before = shop.everything_stored()
    assert shop.refunds("o-lucy", "f-1", "80.00") == first
    assert shop.everything_stored() == before
    assert shop.available("li-lei") == 100


def test_2_7_a_reversed_referral_stays_in_the_months_limit(open_shop: OpenShop) -> None:
    shop = open_shop(recommending({"monthly_limit": 1}))
    lucy_comes_by_li_leis_code_and_buys(shop)
    shop.refunds("o-lucy", "f-1", "80.00")
    a_friend_buys(shop, "lily")
    assert (shop.available("li-lei"), shop.coupons("li-lei")) == (0, [])


def test_2_7_points_that_the_referrer_has_spent_become_his_debt(shop: Shop) -> None:
    lucy_comes_by_li_leis_code_and_buys(shop)
    shop.redeems("li-lei", "r-1", 100, "o-cot")
    answer = shop.refunds("o-lucy", "f-1", "80.00")
    assert (answer["points_clawed_back"], answer["debt"]) == (80, 0)  # hers: no debt
    assert shop.balance("li-lei") == {"available": 0, "pending": 0, "reserved": 0, "debt": 100}
    (event,) = shop.events("li-lei", "ReferralReversed")
    assert (event.points, event.debt, event.lots_drawn) == (100, 100, [])
    shop.buys("li-lei", "o-his", "130.00")
    assert shop.balance("li-lei") == {"available": 30, "pending": 0, "reserved": 0, "debt": 0}


def test_2_7_other_lots_of_the_referrer_pay_before_there_is_debt(shop: Shop) -> None:
    lucy_comes_by_li_leis_code_and_buys(shop)
    shop.redeems("li-lei", "r-1", 100, "o-cot")
    shop.buys("li-lei", "o-his", "60.00")
    shop.refunds("o-lucy", "f-1", "80.00")
    assert shop.balance("li-lei") == {"available": 0, "pending": 0, "reserved": 0, "debt": 40}


def test_2_7_where_shortfalls_are_waived_the_referrer_owes_nothing(open_shop: OpenShop) -> None:
    shop = open_shop(recommending(points={"debt": "waive"}))
    lucy_comes_by_li_leis_code_and_buys(shop)
    shop.redeems("li-lei", "r-1", 100, "o-cot")
    shop.refunds("o-lucy", "f-1", "80.00")
    assert shop.balance("li-lei") == {"available": 0, "pending": 0, "reserved": 0, "debt": 0}
    (event,) = shop.events("li-lei", "ReferralReversed")
    assert (event.debt, event.waived) == (0, 100)


def test_2_7_a_frozen_referrer_loses_the_reward_as_well(shop: Shop) -> None:
    lucy_comes_by_li_leis_code_and_buys(shop)
    shop.freezes("li-lei")
    shop.refunds("o-lucy", "f-1", "80.00")  # refunds still work (4.5)
    assert (shop.available("li-lei"), shop.coupons("li-lei")) == (0, [])


def test_5_1_a_referral_reward_that_expired_unspent_counts_as_taken_back(shop: Shop) -> None:
    shop.joins("lucy", code=shop.code_of("li-lei"), on="2025-04-01 09:00")
    shop.buys("lucy", "o-lucy", "80.00", on="2025-04-01 10:00")  # good through 2026-04-01
    shop.refunds("o-lucy", "f-1", "80.00")
    assert shop.balance("li-lei") == {"available": 0, "pending": 0, "reserved": 0, "debt": 0}
    assert shop.expires("li-lei") == 1
    assert shop.totals("li-lei")["expired"] == 100


def test_2_7_a_closed_referrer_loses_the_reward_as_well(shop: Shop) -> None:
    lucy_comes_by_li_leis_code_and_buys(shop)
    shop.does(r.Close(member_id="li-lei", reason="moved away"), actor=DESK)
    shop.refunds("o-lucy", "f-1", "80.00")
    assert (shop.available("li-lei"), shop.coupons("li-lei")) == (0, [])


def test_2_7_the_refund_of_an_order_of_nothing_that_brought_the_code_reverses_nothing(
    shop: Shop,
) -> None:
    shop.joins("lucy")
    shop.buys("lucy", "o-gift", "0.00", code=shop.code_of("li-lei"))
    shop.buys("lucy", "o-first", "80.00")
    shop.refunds("o-gift", "f-1", "0.00")
    assert (shop.available("li-lei"), shop.coupons("li-lei")) == (100, ["referral_20"])
    shop.refunds("o-first", "f-2", "80.00")
    assert (shop.available("li-lei"), shop.coupons("li-lei")) == (0, [])


def test_2_7_reserved_points_of_the_reward_are_spared_and_become_debt(shop: Shop) -> None:
    lucy_comes_by_li_leis_code_and_buys(shop)
    shop.reserves("li-lei", "r-1", 100, "o-cot")
    shop.refunds("o-lucy", "f-1", "80.00")
    assert shop.balance("li-lei") == {"available": 0, "pending": 0, "reserved": 100, "debt": 100}
    assert shop.releases("r-1")["balance"] == {
        "available": 0, "pending": 0, "reserved": 0, "debt": 0,
    }  # fmt: skip


def test_2_7_a_late_refund_reverses_at_its_own_time(shop: Shop) -> None:
    shop.joins("lucy", code=shop.code_of("li-lei"), on="2026-04-01 09:00")
    shop.buys("lucy", "o-lucy", "80.00", on="2026-04-02 10:00")
    shop.refunds("o-lucy", "f-1", "80.00", on="2026-04-05 10:00")
    assert shop.then("li-lei", "2026-04-05 09:59")["available"] == 100
    assert shop.then("li-lei", "2026-04-05 10:00")["available"] == 0


def test_5_6_a_referral_reward_pays_the_referrers_debt_first(shop: Shop) -> None:
    shop.buys("li-lei", "o-his", "70.00")
    shop.adjusts("li-lei", "a-1", 30)
    shop.redeems("li-lei", "r-1", 100, "o-cot")
    shop.refunds("o-his", "f-1", "70.00")
    assert shop.debt("li-lei") == 70
    lucy_comes_by_li_leis_code_and_buys(shop)
    assert shop.balance("li-lei") == {"available": 30, "pending": 0, "reserved": 0, "debt": 0}
    (event,) = shop.events("li-lei", "ReferralRewarded")
    assert [(paid.order_id, paid.points) for paid in event.debt_paid] == [("o-his", 70)]


# Many referees on one phone prefix (10)


def test_10_the_sixth_to_the_hundredth_referee_of_one_phone_prefix_are_flagged(
    open_shop: OpenShop,
) -> None:
    shop = open_shop(
        recommending(guard_rails={"referees_per_phone_prefix": {**PREFIX_RULE, "action": "flag"}})
    )
    code = shop.code_of("li-lei")
    numbers = range(1, 101)
    joining = [
        r.Enrol(member_id=f"sim-{n}", phone=f"+861380000{n:04}", referral_code=code)
        for n in numbers
    ]
    outcomes = shop.together(*joining)
    assert {outcome.status for outcome in outcomes} == {201}
    flagged = [n for n in numbers if shop.flags(f"sim-{n}") == ["referees_per_phone_prefix"]]
    assert flagged == list(range(6, 101))
    assert all(shop.flags(f"sim-{n}") == [] for n in range(1, 6))
    (event,) = shop.events("sim-6", "MemberFlagged")
    assert (event.rule, event.action) == ("referees_per_phone_prefix", "flag")
    assert (event.found, event.limit) == ("6", "5")
    # another prefix, or another referrer, is another matter
    shop.joins("kate", phone="+8615900000001", code=code)
    shop.joins("jim", phone="+8613800000101", code=shop.code_of("han-meimei"))
    assert (shop.flags("kate"), shop.flags("jim"), shop.flags("li-lei")) == ([], [], [])
    # a flag is no punishment
    assert shop.buys("sim-6", "o-1", "80.00")["points"] == 80
    assert shop.available("li-lei") == 100


def six_referees(shop: Shop) -> None:
    """Six people with numbers that begin alike follow 李雷's code."""
    for number in range(1, 7):
        shop.joins(f"sim-{number}", phone=f"+861380000000{number}", code=shop.code_of("li-lei"))


def test_10_the_sixth_referee_of_one_phone_prefix_can_be_frozen(open_shop: OpenShop) -> None:
    shop = open_shop(
        recommending(guard_rails={"referees_per_phone_prefix": {**PREFIX_RULE, "action": "freeze"}})
    )
    six_referees(shop)
    assert shop.member("sim-5")["status"] == "active"
    assert shop.member("sim-6")["status"] == "frozen"
    assert shop.flags("sim-6") == ["referees_per_phone_prefix"]
    (flag,) = shop.events("sim-6", "MemberFlagged")
    assert flag.action == "freeze"
    (frozen,) = shop.events("sim-6", "MemberFrozen")
    assert frozen.reason
    with shop.refusing("member_frozen"):
        shop.buys("sim-6", "o-1", "80.00")
    assert shop.buys("sim-5", "o-2", "80.00")["points"] == 80


def test_10_the_sixth_referee_of_one_phone_prefix_can_be_made_to_wait(open_shop: OpenShop) -> None:
    shop = open_shop(
        recommending(guard_rails={"referees_per_phone_prefix": {**PREFIX_RULE, "action": "delay"}})
    )
    six_referees(shop)
    assert shop.buys("sim-5", "o-5", "80.00")["lot"]["status"] == "active"
    waiting = shop.buys("sim-6", "o-6", "80.00")
    # the usual return window: 7 days
    assert (waiting["lot"]["status"], waiting["lot"]["pending_until"]) == ("pending", "2026-05-08")
    assert waiting["balance"] == {"available": 0, "pending": 80, "reserved": 0, "debt": 0}
    shop.at("2026-05-09 00:00")
    assert shop.available("sim-6") == 80


def test_2_7_the_reward_can_be_read_out(shop: Shop) -> None:
    lucy_comes_by_li_leis_code_and_buys(shop)
    shop.refunds("o-lucy", "f-1", "80.00")
    for topic in ("ReferralRewarded", "ReferralReversed"):
        (event,) = shop.events("li-lei", topic)
        sentence = summary_of(event)
        assert "100" in sentence.en
        assert "100" in sentence.zh
        assert sentence.en.isascii()
        assert not sentence.zh.isascii()


def test_2_7_rows_of_the_referees_own_order_are_untouched(shop: Shop) -> None:
    assert rows(lucy_comes_by_li_leis_code_and_buys(shop)) == [("spend", 80)]


@pytest.mark.parametrize(
    "written",
    ["+8613800001111", "13800001111", "+86 138 0000 1111", "0086-138-0000-1111", "013800001111"],
)
def test_2_7_the_same_phone_is_known_however_it_is_written(
    open_shop: OpenShop, written: str
) -> None:
    shop = open_shop(recommending())
    code = shop.joins("lucy", phone="+8613800001111")["referral_code"]
    assert shop.joins("lily", code=code, phone=written)["referral"] == refused("same_phone")
    assert shop.joins("kate", code=code, phone="+8613800001112")["referral"] == ACCEPTED


def test_2_7_the_same_email_is_known_with_blanks_and_capitals(shop: Shop) -> None:
    code = shop.joins("lucy", email="lucy@example.cn")["referral_code"]
    answer = shop.joins("lily", code=code, email=" Lucy@Example.CN ")
    assert answer["referral"] == refused("same_email")


def test_2_7_a_code_is_understood_as_people_type_it(shop: Shop) -> None:
    code = shop.code_of("li-lei")
    assert (
        shop.joins("lucy", code=f" {code[:3].lower()}-{code[3:].lower()} ")["referral"] == ACCEPTED
    )
    shop.joins("lily")
    assert shop.buys("lily", "o-lily", "5.00", code=code.lower())["referral"] == ACCEPTED


def test_2_7_a_code_that_counts_but_rewards_nobody_says_why(open_shop: OpenShop) -> None:
    shop = open_shop(recommending({"monthly_limit": 1}))
    lucy_comes_by_li_leis_code_and_buys(shop)
    shop.joins("lily")
    answer = shop.buys("lily", "o-lily", "80.00", code=shop.code_of("li-lei"))
    assert answer["referral"] == {"status": "accepted", "reason": "monthly_limit"}


@pytest.mark.parametrize("with_order", [False, True])
def test_10_the_phone_prefix_counts_alike_at_enrolment_and_with_the_order(
    open_shop: OpenShop, with_order: bool
) -> None:
    rule = {"digits": 8, "limit": 2, "action": "freeze"}
    shop = open_shop(recommending(guard_rails={"referees_per_phone_prefix": rule}))
    code = shop.code_of("li-lei")
    for number in range(1, 4):
        name, phone = f"friend-{number}", f"+861380000000{number}"
        if with_order:
            shop.joins(name, phone=phone)
            shop.buys(name, f"o-{number}", "10.00", code=code)
        else:
            shop.joins(name, code=code, phone=phone)
    flagged = [shop.flags(f"friend-{number}") for number in range(1, 4)]
    assert flagged == [[], [], ["referees_per_phone_prefix"]]
    assert shop.member("friend-3")["status"] == "frozen"
    if with_order:  # and the one whom it froze brought no reward
        assert len(shop.events("li-lei", "ReferralRewarded")) == 2


def test_a_code_with_an_order_expects_the_version_that_the_caller_read(shop: Shop) -> None:
    shop.joins("lucy")
    version = shop.member("lucy")["version"]
    command = order("lucy", "o-lucy", "80.00", code=shop.code_of("li-lei"))
    assert shop.ask(command, version=version + 1).status == 412
    assert shop.ask(command, version=version).status == 201


def counting_transactions(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the batches that are decided from now on, those decided again too."""
    sizes: list[int] = []
    transact = Ledger._transact

    def counted(ledger: Ledger, requests: Sequence[r.Request], *more: Any) -> list[r.Outcome]:
        sizes.append(len(requests))
        return transact(ledger, requests, *more)

    monkeypatch.setattr(Ledger, "_transact", counted)
    return sizes


def test_a_batch_with_many_referrers_is_decided_again_only_once(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = [shop.joins(f"referrer-{n}")["referral_code"] for n in range(12)]
    sizes = counting_transactions(shop, monkeypatch)
    commands: list[r.Command] = []
    for number, code in enumerate(codes):
        commands.append(r.Enrol(member_id=f"friend-{number}", referral_code=code))
        commands.append(order(f"friend-{number}", f"o-{number}", "10.00"))
    assert {outcome.status for outcome in shop.together(*commands)} == {201}
    assert len(sizes) == 2
    sizes.clear()
    later = [order(f"friend-{n}", f"o-later-{n}", "10.00") for n in range(12)]
    refunds = [
        r.Refund(refund_id=f"f-{n}", order_id=f"o-later-{n}", amount=Decimal("10.00"))
        for n in range(12)
    ]
    shop.together(*later)
    assert {outcome.status for outcome in shop.together(*refunds)} == {201}
    assert len(sizes) == 2  # one each: those orders brought no reward
    firsts = [
        r.Refund(refund_id=f"ff-{n}", order_id=f"o-{n}", amount=Decimal("10.00")) for n in range(12)
    ]
    shop.together(*firsts)
    assert len(sizes) == 3
    assert all(shop.available(f"referrer-{n}") == 0 for n in range(12))


def test_2_7_two_who_name_each_other_with_free_orders_at_once_make_no_loop(shop: Shop) -> None:
    for number in range(8):
        one, two = f"one-{number}", f"two-{number}"
        codes = {name: shop.joins(name)["referral_code"] for name in (one, two)}
        outcomes = everyone_at_once(
            shop,
            [
                order(one, f"o-{one}", "0.00", code=codes[two]),
                order(two, f"o-{two}", "0.00", code=codes[one]),
            ],
        )
        said = sorted(str(outcome.body["referral"]["reason"]) for outcome in outcomes)
        assert said == ["None", "loop"]
