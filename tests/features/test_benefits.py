"""Benefits of tiers, levels and segments, and what is missing for more (PROGRAMME 6.5, 6, 7).

李雷 (li-lei) is gold since 15 April 2026, through 15 April 2027, by six orders of that morning.
"""

from __future__ import annotations

from typing import Any

import pytest
from shop import DESK, OpenShop, Shop, local, rules, shipped

from ledger import requests as r
from ledger.programme.model import Programme
from projections.history import history_page
from projections.runner import catch_up

ONE_TIER = '[[tiers]]\ncode = "regular"\n'


def offering(*benefits: dict[str, Any]) -> Programme:
    """The corner shop with one tier, everybody's, that has these benefits."""
    return rules(ONE_TIER, benefits=[{"tiers": ["regular"], **benefit} for benefit in benefits])


@pytest.fixture
def shop(open_shop: OpenShop) -> Shop:
    """A shop with retail's rules, where 李雷 is gold."""
    shop = open_shop(shipped("retail"))
    for number, amount in enumerate(["1.00"] * 5 + ["9995.00"]):
        shop.buys("li-lei", f"up-{number}", amount, on=f"2026-04-15 09:{number:02}")
    return shop


# 6.5 What is due


def test_6_5_benefits_are_due_by_tier(shop: Shop) -> None:
    due = shop.benefits("li-lei")
    assert {code: benefit["because"] for code, benefit in due.items()} == {
        "member_price": "tier:gold",
        "birthday_gift": "tier:gold",
        "priority_service": "tier:gold",
    }
    gift = due["birthday_gift"]
    assert (gift["name"], gift["name_zh"]) == ("Birthday gift", "生日礼遇")
    assert (gift["times"], gift["used"], gift["remaining"]) == (1, 0, 1)
    assert gift["period_until"] == "2026-12-31"
    price = due["member_price"]
    assert (price["times"], price["remaining"]) == (None, None)  # as often as he likes
    assert shop.benefits("han-meimei") == {}


def test_6_5_benefits_are_due_by_level(shop: Shop) -> None:
    shop.joins("lucy", on="2026-04-20 09:00")
    shop.buys("lucy", "o-1", "12500.00", on="2026-04-21 10:00")  # 0.012 × 12,500 + 3 = 153: loyal
    assert shop.benefits("lucy") == {}
    shop.reviews_levels("lucy")
    due = shop.benefits("lucy")
    assert set(due) == {"product_trial", "salon", "check_up", "lifetime_discount"}
    assert {benefit["because"] for benefit in due.values()} == {"level:loyal"}
    assert due["product_trial"]["period_until"] == "2026-05-31"


def test_6_5_benefits_are_due_by_segment(open_shop: OpenShop) -> None:
    segments = {"potential": {"spend": "100.00"}, "otherwise": "basic"}
    call = {"code": "call", "segments": ["potential"]}
    shop = open_shop(rules(segments=segments, benefits=[call]))
    shop.buys("li-lei", "o-1", "100.00", on="2026-04-21 10:00")
    shop.reviews_levels("li-lei")
    shop.reviews_levels("han-meimei")
    assert shop.benefits("li-lei")["call"]["because"] == "segment:potential"
    assert shop.benefits("han-meimei") == {}


def test_6_5_a_benefit_of_a_tier_or_a_level_is_due_by_either(open_shop: OpenShop) -> None:
    shop = open_shop(shipped("enterprise"))
    # the account manager is for the tier premier or the level strategic:
    # 0.85 × 40,000 / 200 = 170, so strategic; with one order it is no premier
    shop.buys("li-lei", "o-1", "40000.00", on="2026-04-10 10:00")
    shop.reviews_levels("li-lei")
    assert shop.member("li-lei")["tier"]["code"] == "preferred"
    assert shop.benefits("li-lei")["account_manager"]["because"] == "level:strategic"


def test_6_5_with_the_tier_its_benefits_go(shop: Shop) -> None:
    assert "birthday_gift" in shop.benefits("li-lei")
    shop.at("2027-04-16 00:00")
    assert "birthday_gift" in shop.benefits("li-lei")  # it stands until its review is recorded
    shop.reviews_tiers("li-lei")
    assert set(shop.benefits("li-lei")) == {"member_price"}
    with shop.refusing("not_eligible"):
        shop.uses_benefit("li-lei", "birthday_gift", "u-1")


@pytest.mark.parametrize(("orders", "days"), [(5, 15), (4, 7)])
def test_6_5_the_after_sales_window_is_longer_for_the_core_segment(
    shop: Shop, orders: int, days: int
) -> None:
    shop.joins("lucy", on="2026-04-02 09:00")
    assert shop.ledger.benefits("lucy")["after_sales_days"] == 7
    for number in range(orders):
        shop.buys("lucy", f"o-{number}", "2000.00", on=f"2026-04-1{number} 10:00")
    for reference in ("tea", "coffee"):
        shop.does_activity("lucy", "survey", None, reference=reference, on="2026-04-20 10:00")
    shop.reviews_levels("lucy")
    # core: 5,000, four repurchases, two activities in the last 30 days
    assert shop.ledger.benefits("lucy")["after_sales_days"] == days


def test_6_5_without_returns_in_the_rules_there_is_no_after_sales_window(
    open_shop: OpenShop,
) -> None:
    shop = open_shop(offering({"code": "tea"}))
    assert shop.ledger.benefits("li-lei")["after_sales_days"] is None


# 6.5 What is used


def test_6_5_a_use_is_recorded_with_who_did_it(shop: Shop) -> None:
    answer = shop.uses_benefit(
        "li-lei", "birthday_gift", "u-1", note="a scarf", on="2026-05-01 11:00", actor=DESK
    )
    assert (answer["use_id"], answer["member_id"]) == ("u-1", "li-lei")
    assert (answer["benefit"], answer["because"]) == ("birthday_gift", "tier:gold")
    assert (answer["used"], answer["remaining"]) == (1, 0)
    assert answer["period_until"] == "2026-12-31"
    (event,) = shop.events("li-lei", "BenefitUsed")
    assert (event.use_id, event.benefit, event.because) == ("u-1", "birthday_gift", "tier:gold")
    assert (event.note, event.programme_version) == ("a scarf", 1)
    assert event.occurred_at == local("2026-05-01 11:00")
    catch_up(shop.database)
    entry = history_page(shop.database, "li-lei")["entries"][-1]
    assert (entry["event"], entry["points"]) == ("BenefitUsed", 0)
    assert entry["actor"] == {"key": "desk-1", "role": "service"}
    assert "birthday_gift" in entry["summary"] or "Birthday gift" in entry["summary"]
    assert not entry["summary_zh"].isascii()
    assert shop.benefits("li-lei")["birthday_gift"]["remaining"] == 0


def test_6_5_the_service_makes_a_use_id_where_none_is_given(shop: Shop) -> None:
    first = shop.uses_benefit("li-lei", "member_price")
    second = shop.uses_benefit("li-lei", "member_price")
    assert first["use_id"]
    assert first["use_id"] != second["use_id"]
    assert shop.benefits("li-lei")["member_price"]["used"] == 2


def test_6_5_the_same_use_id_is_one_use(shop: Shop) -> None:
    first = shop.uses_benefit("li-lei", "birthday_gift", "u-1")
    before = shop.everything_stored()
    assert shop.uses_benefit("li-lei", "birthday_gift", "u-1") == first
    assert shop.everything_stored() == before
    with shop.refusing("already_recorded"):
        shop.uses_benefit("li-lei", "member_price", "u-1")


@pytest.mark.parametrize(
    ("every", "refused_at", "allowed_at"),
    [
        ("year", "2026-12-31 23:59", "2027-01-01 00:00"),
        ("month", "2026-05-31 23:59", "2026-06-01 00:00"),
        ("life", "2036-05-01 12:00", None),
    ],
)
def test_6_5_a_benefit_may_be_used_so_often_a_year_a_month_or_in_a_life(
    open_shop: OpenShop, every: str, refused_at: str, allowed_at: str | None
) -> None:
    shop = open_shop(offering({"code": "check_up", "times": 2, "every": every}))
    assert shop.uses_benefit("li-lei", "check_up", "u-1")["remaining"] == 1
    assert shop.uses_benefit("li-lei", "check_up", "u-2")["remaining"] == 0
    shop.at(refused_at)
    with shop.refusing("limit_reached"):
        shop.uses_benefit("li-lei", "check_up", "u-3")
    assert shop.uses_benefit("han-meimei", "check_up", "u-hers")["remaining"] == 1
    if allowed_at:
        shop.at(allowed_at)
        assert shop.uses_benefit("li-lei", "check_up", "u-3")["remaining"] == 1


def test_6_5_a_large_limit_holds_as_well(open_shop: OpenShop) -> None:
    shop = open_shop(offering({"code": "coffee", "times": 100, "every": "year"}))
    uses = [
        r.UseBenefit(member_id="li-lei", benefit="coffee", use_id=f"u-{number}")
        for number in range(101)
    ]
    assert [outcome.status for outcome in shop.together(*uses[:100])] == [201] * 100
    assert shop.benefits("li-lei")["coffee"]["remaining"] == 0
    assert shop.ask(uses[100]).body["code"] == "limit_reached"


def test_6_5_a_late_use_is_decided_by_its_own_day(shop: Shop) -> None:
    with shop.refusing("not_eligible"):  # he was not gold yet
        shop.uses_benefit("li-lei", "birthday_gift", "u-1", on="2026-04-15 09:04")
    shop.uses_benefit("li-lei", "birthday_gift", "u-2", on="2026-04-15 09:05")
    shop.at("2027-01-10 12:00")
    assert shop.uses_benefit("li-lei", "birthday_gift", "u-3")["remaining"] == 0
    with shop.refusing("limit_reached"):  # last year's is used up
        shop.uses_benefit("li-lei", "birthday_gift", "u-4", on="2026-12-31 23:59")


@pytest.mark.parametrize(
    ("member_id", "benefit", "code"),
    [
        ("li-lei", "after_sales_upgrade", "not_eligible"),  # for diamond
        ("han-meimei", "birthday_gift", "not_eligible"),
        ("li-lei", "private_jet", "not_found"),
        ("nobody", "birthday_gift", "not_found"),
    ],
)
def test_6_5_what_is_not_due_is_refused(
    shop: Shop, member_id: str, benefit: str, code: str
) -> None:
    with shop.refusing(code):
        shop.uses_benefit(member_id, benefit, "u-1")


def test_4_5_a_frozen_or_closed_member_uses_no_benefit(shop: Shop) -> None:
    shop.freezes("li-lei")
    with shop.refusing("member_frozen"):
        shop.uses_benefit("li-lei", "birthday_gift", "u-1")
    shop.unfreezes("li-lei")
    shop.does(r.Close(member_id="li-lei", reason="moved away"), actor=DESK)
    with shop.refusing("member_closed"):
        shop.uses_benefit("li-lei", "birthday_gift", "u-2")


def test_6_5_a_use_moves_no_points(shop: Shop) -> None:
    before = shop.balance("li-lei")
    answer = shop.uses_benefit("li-lei", "birthday_gift", "u-1")
    assert shop.balance("li-lei") == before
    assert answer["position"] == shop.ledger.last_position()
    assert answer["version"] == shop.member("li-lei")["version"]


# 6 What is missing to the next tier


def test_6_2_progress_says_10_40_more_and_you_are_gold(shop: Shop) -> None:
    shop.joins("lucy", on="2026-04-01 09:00")
    for number in range(5):
        shop.buys("lucy", f"o-{number}", "1000.00", on=f"2026-04-0{number + 2} 10:00")
    shop.buys("lucy", "o-last", "4900.00", on="2026-04-08 10:00")
    # 10,000 − 9,900 = 100; an order of 89.60 leaves 10.40
    upcoming = shop.progress("lucy")["next"]
    assert (upcoming["code"], upcoming["missing_spend"], upcoming["missing_repurchases"]) == (
        "gold", "100.00", 0,
    )  # fmt: skip
    assert upcoming["summary"] == "100.00 more and you are Gold"
    quoted = shop.quotes("lucy", "o-next", "89.60")["next_tier"]
    assert quoted["summary"] == "10.40 more and you are Gold"
    assert "10.40" in quoted["summary_zh"]
    assert "金卡" in quoted["summary_zh"]
    shop.buys("lucy", "o-next", "89.60")
    assert shop.progress("lucy")["next"] == quoted


def test_6_2_progress_counts_repurchases_and_what_was_given_back(shop: Shop) -> None:
    shop.joins("lucy", on="2026-04-01 09:00")
    start = shop.progress("lucy")
    assert (start["next"]["code"], start["next"]["missing_repurchases"]) == ("silver", 2)
    assert start["next"]["missing_spend"] == "2000.00"
    assert start["keep"] is None
    shop.buys("lucy", "o-1", "1500.00")
    shop.buys("lucy", "o-2", "400.00")
    assert shop.progress("lucy")["next"]["missing_spend"] == "100.00"
    assert shop.progress("lucy")["next"]["missing_repurchases"] == 1
    shop.refunds("o-2", "f-1", "400.00")
    assert shop.progress("lucy")["next"]["missing_spend"] == "500.00"
    assert shop.progress("lucy")["next"]["missing_repurchases"] == 2


def test_6_2_progress_as_of_a_past_moment_is_that_of_then(shop: Shop) -> None:
    before = shop.member_then("li-lei", "2026-04-15 09:03")["progress"]
    # four orders of 1.00: 1,996 to silver
    assert before["next"]["summary"] == "1996.00 more and you are Silver"
    assert before["keep"] is None
    after = shop.member_then("li-lei", "2026-04-15 09:05")["progress"]
    assert (after["next"]["code"], after["keep"]["by"]) == ("diamond", "2027-04-15")


def test_6_2_at_the_top_there_is_no_next_tier(shop: Shop) -> None:
    for number, amount in enumerate(["1.00"] * 12 + ["49988.00"]):
        shop.buys("han-meimei", f"up-hers-{number}", amount, on=f"2026-04-15 09:{number:02}")
    assert shop.member("han-meimei")["tier"]["code"] == "diamond"
    assert shop.progress("han-meimei")["next"] is None
    assert shop.quotes("han-meimei", "o-1", "10.00")["next_tier"] is None
    assert shop.progress("han-meimei")["keep"]["code"] == "diamond"


def test_6_2_a_lost_tier_is_missing_what_the_last_twelve_months_lack(shop: Shop) -> None:
    shop.at("2027-04-16 12:00")
    shop.reviews_tiers("li-lei")
    assert shop.tier("li-lei")[0] == "silver"
    shop.buys("li-lei", "o-1", "600.00")
    upcoming = shop.progress("li-lei")["next"]
    # his 10,600 in all do not help: gold is regained by 10,000 and 5 in twelve months
    assert (upcoming["code"], upcoming["missing_spend"], upcoming["missing_repurchases"]) == (
        "gold", "9400.00", 4,
    )  # fmt: skip
    quoted = shop.quotes("li-lei", "o-2", "400.00")["next_tier"]
    assert (quoted["code"], quoted["missing_spend"], quoted["missing_repurchases"]) == (
        "gold", "9000.00", 3,
    )  # fmt: skip


# 6.3 What keeps this one, and by when


def test_6_3_progress_says_what_keeps_the_tier_and_by_when(shop: Shop) -> None:
    shop.at("2026-06-01 12:00")
    shop.buys("li-lei", "o-1", "2500.00")
    shop.buys("li-lei", "o-2", "500.00")
    keep = shop.progress("li-lei")["keep"]
    # the orders of 15 April are before the window: 3,000 and two repurchases count
    assert (keep["code"], keep["by"]) == ("gold", "2027-04-15")
    assert (keep["missing_spend"], keep["missing_repurchases"]) == ("7000.00", 3)
    assert keep["extension"] == {"missing_repurchases": 4, "months": 3}
    for part in ("7000.00", "2027-04-15", "Gold"):
        assert part in keep["summary"]
    for part in ("7000.00", "2027-04-15", "金卡"):
        assert part in keep["summary_zh"]


def test_6_3_when_enough_is_done_nothing_is_missing(shop: Shop) -> None:
    shop.at("2026-06-01 12:00")
    for number in range(5):
        shop.buys("li-lei", f"o-{number}", "2000.00")
    keep = shop.progress("li-lei")["keep"]
    assert (keep["missing_spend"], keep["missing_repurchases"]) == ("0.00", 0)
    assert "2027-04-15" in keep["summary"]
    shop.refunds("o-1", "f-1", "0.50")
    assert shop.progress("li-lei")["keep"]["missing_spend"] == "0.50"


def test_6_3_in_an_extension_there_is_no_second_one(shop: Shop) -> None:
    shop.at("2027-04-16 00:00")
    for number in range(6):
        shop.buys("li-lei", f"o-{number}", "10.00", on=f"2027-04-0{number + 1} 10:00")
    shop.reviews_tiers("li-lei")
    assert shop.tier("li-lei") == ("gold", "2027-07-15")
    keep = shop.progress("li-lei")["keep"]
    assert (keep["by"], keep["extension"]) == ("2027-07-15", None)
    # after 15 July 2026 there are the six of April: 60.00
    assert (keep["missing_spend"], keep["missing_repurchases"]) == ("9940.00", 0)


def test_6_where_there_are_no_tiers_there_is_no_progress(open_shop: OpenShop) -> None:
    shop = open_shop(rules())
    assert shop.progress("li-lei") == {"next": None, "keep": None}


def test_6_5_a_benefit_cannot_have_been_used_before_joining(shop: Shop) -> None:
    with shop.refusing("invalid_request"):
        shop.uses_benefit("li-lei", "birthday_gift", on="2018-01-05 10:00")
