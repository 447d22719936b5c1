"""Guard rails on earning and orders: they flag, delay or freeze, and say why (PROGRAMME 10).

Many referees on one phone prefix are with the referrals, in test_referral.py.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from shop import OpenShop, Shop, local, rows, rules, shipped

from ledger.programme.model import Programme


def watching(action: str = "flag", **more: Any) -> Programme:
    """The corner shop, where giving back more than half of everything is noticed."""
    ratio = {"over": "0.50", "after_orders": 5, "action": action}
    return rules(guard_rails={"refund_ratio": ratio}, **more)


def five_orders(shop: Shop) -> None:
    """500.00 paid, in five orders."""
    for number in range(1, 6):
        shop.buys("li-lei", f"o-{number}", "100.00")


def test_10_more_than_half_given_back_is_flagged_once(open_shop: OpenShop) -> None:
    shop = open_shop(watching())
    five_orders(shop)
    shop.refunds("o-1", "f-1", "100.00")
    shop.refunds("o-2", "f-2", "100.00")
    shop.refunds("o-3", "f-3", "50.00")
    assert shop.flags("li-lei") == []  # half is not more than half
    shop.at("2026-05-01 12:30")
    shop.refunds("o-3", "f-4", "0.01")
    assert shop.flags("li-lei") == ["refund_ratio"]
    (event,) = shop.events("li-lei", "MemberFlagged")
    assert (event.rule, event.action) == ("refund_ratio", "flag")
    assert Decimal(event.limit) == Decimal("0.5")
    assert event.occurred_at == local("2026-05-01 12:30")
    shop.refunds("o-4", "f-5", "100.00")
    assert len(shop.events("li-lei", "MemberFlagged")) == 1
    # a flag is no punishment
    assert shop.buys("li-lei", "o-6", "10.00")["points"] == 10
    assert shop.flags("han-meimei") == []


def test_10_the_refund_ratio_waits_for_the_fifth_order(open_shop: OpenShop) -> None:
    shop = open_shop(watching())
    for number in range(1, 5):
        shop.buys("li-lei", f"o-{number}", "100.00")
    shop.buys("li-lei", "o-gift", "0.00")  # counts for nothing
    for number in range(1, 5):
        shop.refunds(f"o-{number}", f"f-{number}", "100.00")
    assert shop.flags("li-lei") == []
    shop.buys("li-lei", "o-5", "100.00")
    shop.refunds("o-5", "f-5", "1.00")  # 401.00 of 500.00
    assert shop.flags("li-lei") == ["refund_ratio"]


def test_10_the_ratio_is_of_what_was_ever_paid_not_of_what_is_left(open_shop: OpenShop) -> None:
    shop = open_shop(watching())
    five_orders(shop)
    shop.refunds("o-1", "f-1", "100.00")
    shop.refunds("o-2", "f-2", "100.00")
    shop.buys("li-lei", "o-6", "100.00")
    shop.refunds("o-3", "f-3", "100.00")  # 300.00 of 600.00; of the 400.00 left it were 75 %
    assert shop.flags("li-lei") == []


def test_10_a_refund_ratio_may_freeze(open_shop: OpenShop) -> None:
    shop = open_shop(watching("freeze"))
    five_orders(shop)
    for number in range(1, 4):
        shop.refunds(f"o-{number}", f"f-{number}", "100.00")
    assert shop.member("li-lei")["status"] == "frozen"
    assert shop.flags("li-lei") == ["refund_ratio"]
    (flag,) = shop.events("li-lei", "MemberFlagged")
    assert flag.action == "freeze"
    (frozen,) = shop.events("li-lei", "MemberFrozen")
    assert frozen.reason
    with shop.refusing("member_frozen"):
        shop.buys("li-lei", "o-6", "10.00")
    with shop.refusing("member_frozen"):
        shop.redeems("li-lei", "r-1", 100, "o-cot")
    # what is the customer's right still works
    assert shop.refunds("o-4", "f-4", "100.00")["points_clawed_back"] == 100
    # and staff can end it: they have looked, and the flag is gone until the rule trips anew
    shop.unfreezes("li-lei")
    assert (shop.member("li-lei")["status"], shop.flags("li-lei")) == ("active", [])
    shop.buys("li-lei", "o-6", "9000.00")
    shop.refunds("o-5", "f-5", "1.00")  # 401.00 of 9500.00
    assert shop.member("li-lei")["status"] == "active"


def test_10_unfreezing_ends_a_flag_and_a_delay_of_who_is_not_frozen(open_shop: OpenShop) -> None:
    shop = open_shop(watching("delay", returns={"window_days": 10}))
    five_orders(shop)
    for number in range(1, 4):
        shop.refunds(f"o-{number}", f"f-{number}", "100.00")
    assert shop.buys("li-lei", "o-6", "9000.00")["lot"]["status"] == "pending"
    shop.unfreezes("li-lei")
    assert shop.flags("li-lei") == []
    assert shop.buys("li-lei", "o-7", "10.00")["lot"]["status"] == "active"
    events = len(shop.events("li-lei"))
    shop.unfreezes("li-lei")  # nothing is left to end
    assert len(shop.events("li-lei")) == events


def test_10_a_refund_ratio_may_make_points_wait(open_shop: OpenShop) -> None:
    shop = open_shop(watching("delay", returns={"window_days": 10}))
    five_orders(shop)
    for number in range(1, 4):
        shop.refunds(f"o-{number}", f"f-{number}", "100.00")
    assert shop.available("li-lei") == 200  # what had come in stays as it is
    answer = shop.buys("li-lei", "o-6", "50.00")
    assert (answer["lot"]["status"], answer["lot"]["pending_until"]) == ("pending", "2026-05-11")
    assert answer["balance"] == {"available": 200, "pending": 50, "reserved": 0, "debt": 0}
    with shop.refusing("insufficient_points"):
        shop.redeems("li-lei", "r-1", 300, "o-cot")
    shop.at("2026-05-12 00:00")
    assert shop.available("li-lei") == 250
    assert shop.buys("han-meimei", "o-hers", "50.00")["lot"]["status"] == "active"


def test_10_a_repeated_refund_trips_nothing(open_shop: OpenShop) -> None:
    shop = open_shop(watching())
    five_orders(shop)
    shop.refunds("o-1", "f-1", "100.00")
    shop.refunds("o-2", "f-2", "100.00")
    for _ in range(3):
        shop.refunds("o-3", "f-3", "50.00")
    assert shop.flags("li-lei") == []


def test_10_without_guard_rails_nobody_is_flagged(shop: Shop) -> None:
    five_orders(shop)
    for number in range(1, 6):
        shop.refunds(f"o-{number}", f"f-{number}", "100.00")
    assert shop.flags("li-lei") == []


def test_10_flags_stand_in_the_order_in_which_they_were_raised(open_shop: OpenShop) -> None:
    shop = open_shop(
        rules(
            referral={"referrer_points": 100},
            guard_rails={
                "refund_ratio": {"over": "0.50", "after_orders": 1},
                "referees_per_phone_prefix": {"digits": 8, "limit": 1},
            },
        )
    )
    code = shop.code_of("li-lei")
    shop.joins("sim-1", phone="+8613800000001", code=code)
    shop.joins("sim-2", phone="+8613800000002", code=code)
    shop.buys("sim-2", "o-1", "100.00")
    shop.refunds("o-1", "f-1", "100.00")
    assert shop.flags("sim-2") == ["referees_per_phone_prefix", "refund_ratio"]


@pytest.mark.parametrize("paid", ["100000.00", "150000.00"])
def test_10_retail_caps_what_is_earned_on_a_day(open_shop: OpenShop, paid: str) -> None:
    shop = open_shop(shipped("retail"))
    answer = shop.buys("li-lei", "o-1", paid)
    assert answer["points"] == 100_000
    assert (("cap", -50_000) in rows(answer)) == (paid == "150000.00")


def test_10_a_flag_can_be_read_as_of_then(open_shop: OpenShop) -> None:
    shop = open_shop(watching())
    five_orders(shop)
    shop.at("2026-05-03 12:00")
    for number in range(1, 4):
        shop.refunds(f"o-{number}", f"f-{number}", "100.00")
    assert shop.ledger.replay("li-lei", as_of=local("2026-05-02 12:00"))["flags"] == []
    assert shop.ledger.replay("li-lei", as_of=local("2026-05-03 12:00"))["flags"] == [
        "refund_ratio"
    ]
