"""What is recorded late is decided as of when it happened (PROGRAMME 1, 13)."""

from __future__ import annotations

from datetime import date

from shop import CORE_FROM_THE_START, OpenShop, campaign, local, rows, rules, shipped, templates


def test_13_a_late_order_is_decided_by_everything_of_its_own_day(open_shop: OpenShop) -> None:
    shop = open_shop(
        rules(
            earning={"rate": "1"},
            campaigns=[campaign("march", start="2026-03-01 00:00", end="2026-04-01 00:00",
                                multiplier="2")],
        )
    )  # fmt: skip
    shop.publish(
        rules(
            earning={"rate": "3", "excluded_skus": ["tea"]},
            points={"validity": {"months": 6}},
            campaigns=[campaign("spring", start="2026-04-01 00:00", end="2026-06-01 00:00",
                                bonus=5)],
        ),
        "2026-04-01 00:00",
    )  # fmt: skip
    march = shop.buys("li-lei", "o-march", "10.00", on="2026-03-31 23:59")
    april = shop.buys("li-lei", "o-april", "10.00", on="2026-04-01 00:00")
    assert (rows(march), march["programme_version"], march["lot"]["expires_on"]) == (
        [("spend", 10), ("campaign:march", 10)], 1, "2027-03-31",
    )  # fmt: skip
    assert (rows(april), april["programme_version"], april["lot"]["expires_on"]) == (
        [("spend", 30), ("bonus:spring", 5)], 2, "2026-10-01",
    )  # fmt: skip


def test_13_a_late_activity_is_decided_by_the_rules_of_its_own_day(open_shop: OpenShop) -> None:
    shop = open_shop(rules(earning={"activities": {"check_in": {"points": 5}}}))
    shop.publish(
        rules(earning={"activities": {"check_in": {"points": 8, "once_per": "day"}}}),
        "2026-04-01 00:00",
    )
    earned = [
        shop.does_activity("li-lei", "check_in", f"a-{number}", on=moment)["points"]
        for number, moment in enumerate(
            ("2026-03-31 10:00", "2026-03-31 11:00", "2026-04-01 10:00", "2026-04-01 11:00")
        )
    ]
    assert earned == [5, 5, 8, 0]


def test_13_a_late_activity_of_a_day_before_it_existed_is_refused(open_shop: OpenShop) -> None:
    shop = open_shop(rules())
    shop.publish(rules(earning={"activities": {"check_in": {"points": 5}}}), "2026-04-01 00:00")
    with shop.refusing("invalid_request"):
        shop.does_activity("li-lei", "check_in", "a-1", on="2026-03-31 23:59")
    assert shop.does_activity("li-lei", "check_in", "a-1", on="2026-04-01 00:00")["points"] == 5


def test_13_consequences_of_a_late_order_have_its_time(open_shop: OpenShop) -> None:
    shop = open_shop(shipped("retail"))
    shop.joins("lucy", code=shop.code_of("li-lei"), on="2026-04-01 09:00")
    answer = shop.buys("lucy", "o-late", "600.00", on="2026-04-20 21:00")
    assert templates(answer) == ["brand_gift", "second_order_90"]
    issued = [event for event in shop.events("lucy", "CouponIssued") if event.order_id == "o-late"]
    assert {event.occurred_at for event in issued} == {local("2026-04-20 21:00")}
    assert {event.valid_until for event in issued} == {date(2026, 5, 20)}
    (reward,) = shop.events("li-lei", "ReferralRewarded")
    assert reward.occurred_at == local("2026-04-20 21:00")
    assert shop.then("li-lei", "2026-04-20 21:00")["available"] == 100


def test_13_who_was_enrolled_by_a_late_order_joined_when_it_happened(open_shop: OpenShop) -> None:
    shop = open_shop(shipped("retail", auto_enrol=True))
    shop.publish(shipped("retail", auto_enrol=True, newcomer={"points": 80}), "2026-04-25 00:00")
    early = shop.buys("lucy", "o-1", "10.00", on="2026-04-20 08:00")
    assert shop.member("lucy")["joined_at"] == "2026-04-20T08:00:00+08:00"
    assert early["balance"]["available"] == 50 + 10  # the pack of that day
    later = shop.buys("lily", "o-2", "10.00", on="2026-04-26 08:00")
    assert later["balance"]["available"] == 80 + 10


def test_13_an_earlier_order_of_who_was_enrolled_by_a_later_one_is_booked_too(
    open_shop: OpenShop,
) -> None:
    shop = open_shop(rules(auto_enrol=True))
    shop.buys("lucy", "o-2", "10.00", on="2026-04-20 08:00")
    shop.buys("lucy", "o-1", "5.00", on="2026-04-19 08:00")
    assert shop.member("lucy")["joined_at"] == "2026-04-20T08:00:00+08:00"
    assert shop.lots("lucy") == [("o-1", 5, "2027-04-19"), ("o-2", 10, "2027-04-20")]


def test_13_a_rate_published_for_the_past_counts_for_what_is_recorded_afterwards(
    open_shop: OpenShop,
) -> None:
    shop = open_shop(rules())
    shop.buys("li-lei", "o-before", "10.00", on="2026-04-20 10:00")
    shop.publish(
        rules(campaigns=[campaign("sorry", start="2026-04-01 00:00", multiplier="2")]),
        "2026-04-01 00:00",
    )
    after = shop.buys("li-lei", "o-after", "10.00", on="2026-04-20 10:00")
    assert after["points"] == 20
    assert shop.available("li-lei") == 30  # what had been decided stands


def test_7_before_the_first_review_a_member_stands_where_the_deciding_rules_begin(
    open_shop: OpenShop,
) -> None:
    shop = open_shop(rules())  # without levels
    shop.publish(
        rules(CORE_FROM_THE_START, earning={"level_multipliers": {"core": "1.2"}}),
        "2026-04-01 00:00",
    )
    assert shop.buys("li-lei", "o-now", "100.00")["points"] == 120
    assert shop.buys("li-lei", "o-march", "100.00", on="2026-03-31 23:59")["points"] == 100
