"""Levels, segments, lifecycle: what the monthly review finds, to the day (PROGRAMME 7).

The figures are retail's. 露西 (lucy) is reviewed at the midnight of the 1st of each month after she
joined; most tests look at the review of 1 May 2026, over 1 May 2025 to 30 April 2026. Her score is
0.6 × (spend / 50 + 5 × orders) + 0.4 × 5 × activities: 0.012 for each yuan, 3 for each order, 2 for
each activity.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from shop import OpenShop, Shop, campaign, local, rows, rules, shipped

from projections.history import history_page
from projections.runner import catch_up
from scheduler.jobs import run_job

LOWEST = {"code": "ordinary", "from": 0}


@pytest.fixture
def shop(open_shop: OpenShop) -> Shop:
    """A shop with retail's rules, at noon on 1 May 2026."""
    return open_shop(shipped("retail"))


def buys(shop: Shop, *orders: tuple[str, str], member_id: str = "lucy") -> dict[str, Any]:
    """Orders of these days (at ten, unless the time is given) and amounts; the last answer."""
    answer: dict[str, Any] = {}
    for number, (day, amount) in enumerate(orders):
        moment = day if " " in day else f"{day} 10:00"
        order_id = f"o-{member_id}-{day.replace(' ', '-')}-{number}"
        answer = shop.buys(member_id, order_id, amount, on=moment)
    return answer


def acts(shop: Shop, *days: str, member_id: str = "lucy") -> None:
    """An activity on each of these days: she answers a survey of that day."""
    for number, day in enumerate(days):
        moment = day if " " in day else f"{day} 11:00"
        reference = f"s-{day.replace(' ', '-')}-{number}"
        activity_id = f"a-{member_id}-{reference}"
        answer = shop.does_activity(
            member_id, "survey", activity_id, on=moment, reference=reference
        )
        assert answer["reason"] is None


def reviewed(shop: Shop, member_id: str = "lucy") -> Any:
    """What the last review found, once all that are due have been recorded."""
    shop.reviews_levels(member_id)
    return shop.events(member_id, "LevelReviewed")[-1]


# 7 When


def test_7_before_the_first_review_she_is_ordinary_basic_and_new(shop: Shop) -> None:
    shop.joins("lucy", on="2026-04-10 09:00")
    buys(shop, ("2026-04-11", "20000.00"))
    assert shop.standing("lucy") == ("ordinary", "basic", "new")


def test_7_the_review_is_dated_the_midnight_of_the_first(shop: Shop) -> None:
    shop.joins("lucy", on="2026-05-01 09:00")
    buys(shop, ("2026-05-01", "100.00"))
    shop.at("2026-05-31 23:59:59")
    assert shop.reviews_levels("lucy") == 0
    shop.at("2026-06-01 00:00")
    assert shop.reviews_levels("lucy") == 1
    (event,) = shop.events("lucy", "LevelReviewed")
    assert event.occurred_at == local("2026-06-01 00:00")
    assert event.on.isoformat() == "2026-06-01"
    assert (event.spend, event.orders, event.programme_version) == (Decimal("100.00"), 1, 1)


@pytest.mark.parametrize(
    ("joined", "first"),
    [
        ("2026-04-30 23:59", "2026-05-01"),
        ("2026-05-01 00:00", "2026-06-01"),  # she joined at that very moment, not before it
    ],
)
def test_7_the_first_review_is_the_first_of_a_month_after_enrolment(
    shop: Shop, joined: str, first: str
) -> None:
    shop.joins("lucy", on=joined)
    shop.at("2026-06-15 12:00")
    shop.reviews_levels("lucy")
    assert shop.events("lucy", "LevelReviewed")[0].on.isoformat() == first


def test_7_missed_months_are_caught_up_in_order_each_as_of_its_own_day(shop: Shop) -> None:
    shop.joins("lucy", on="2025-12-15 09:00")
    buys(shop, ("2025-12-20", "4000.00"), ("2026-02-10", "4000.00"), ("2026-04-30", "4000.00"))
    assert shop.reviews_levels("lucy") == 5
    # 48 + 3, 96 + 6, 144 + 9
    assert [
        (event.on.isoformat(), event.score, event.level, event.occurred_at)
        for event in shop.events("lucy", "LevelReviewed")
    ] == [
        ("2026-01-01", 51, "active", local("2026-01-01 00:00")),
        ("2026-02-01", 51, "active", local("2026-02-01 00:00")),
        ("2026-03-01", 102, "core", local("2026-03-01 00:00")),
        ("2026-04-01", 102, "core", local("2026-04-01 00:00")),
        ("2026-05-01", 153, "loyal", local("2026-05-01 00:00")),
    ]


def test_7_reviews_in_time_and_caught_up_find_the_same(shop: Shop) -> None:
    together = ("lucy", "lily")
    for member_id in together:
        shop.joins(member_id, on="2025-12-15 09:00")
    for count, month in enumerate(f"20{26 + n // 12}-{n % 12 + 1:02}" for n in range(36)):
        if month >= "2026-05":
            shop.at(f"{month}-28 12:00")
        for member_id in together:
            if count % 7 < 3:  # three months of buying, four of silence
                amount = f"{900 + 130 * (count % 11)}.50"
                buys(shop, (f"{month}-20", amount), (f"{month}-22", "20.00"), member_id=member_id)
            if count % 3 == 0:
                acts(shop, f"{month}-25", f"{month}-26", member_id=member_id)
        if month >= "2026-05":
            shop.reviews_levels("lucy")  # lily is forgotten, until the end
    shop.at("2029-01-15 12:00")
    found = []
    for member_id in together:
        shop.reviews_levels(member_id)
        events = shop.events(member_id, "LevelReviewed")
        assert len(events) == 37
        found.append(
            [
                (e.on, e.level, e.score, e.segment, e.lifecycle, e.spend, e.orders, e.activities)
                for e in events
            ]
        )
    assert found[0] == found[1]
    assert len({one[1] for one in found[0]}) > 2
    assert {one[4] for one in found[0]} >= {"new", "growing", "lapsing", "won_back", "stable"}


def test_7_a_new_review_day_counts_from_when_the_rules_say_so(shop: Shop) -> None:
    shop.joins("lucy", on="2026-04-20 09:00")
    shop.joins("lily", on="2026-04-20 09:00")
    shop.publish(shipped("retail", levels={"review_day": 15}), "2026-06-10 00:00")
    for now in ("2026-05-05", "2026-06-05", "2026-06-20", "2026-07-20"):
        shop.at(f"{now} 12:00")
        shop.reviews_levels("lucy")  # in time
    shop.reviews_levels("lily")  # caught up
    days = [
        [event.on.isoformat() for event in shop.events(member_id, "LevelReviewed")]
        for member_id in ("lucy", "lily")
    ]
    assert days[0] == days[1] == ["2026-05-01", "2026-06-01", "2026-06-15", "2026-07-15"]


def test_7_a_repeated_review_changes_nothing(shop: Shop) -> None:
    shop.joins("lucy", on="2026-04-10 09:00")
    assert shop.reviews_levels("lucy") == 1
    before = shop.everything_stored()
    assert shop.reviews_levels("lucy") == 0
    # an order heard of after the review does not change what it found
    buys(shop, ("2026-04-12", "20000.00"))
    assert shop.reviews_levels("lucy") == 0
    assert len(shop.everything_stored()) == len(before)
    assert shop.standing("lucy")[0] == "ordinary"
    shop.at("2026-06-01 00:00")
    assert reviewed(shop).level == "loyal"


def test_7_the_job_reviews_every_member(shop: Shop) -> None:
    shop.joins("lucy", on="2026-04-10 09:00")
    shop.joins("lily", on="2026-05-01 00:00")
    # 李雷 and 韩梅梅 joined on 2 January 2024: 28 first days of a month each, to 1 May 2026
    assert run_job(shop.ledger, "review-levels", shop.clock.now)["affected"] == 2 * 28 + 1
    assert run_job(shop.ledger, "review-levels", shop.clock.now)["affected"] == 0
    shop.at("2026-06-01 00:00")
    assert run_job(shop.ledger, "review-levels", shop.clock.now)["affected"] == 4


@pytest.mark.parametrize(
    ("moment", "counts"),
    [
        ("2025-04-30 23:59", False),
        ("2025-05-01 00:00", True),
        ("2026-04-30 23:59", True),
        ("2026-05-01 00:00", False),
    ],
)
def test_7_the_twelve_months_before_the_review_to_the_day(
    shop: Shop, moment: str, *, counts: bool
) -> None:
    shop.joins("lucy", on="2025-04-01 09:00")
    buys(shop, (moment, "4000.00"))
    acts(shop, moment)
    event = reviewed(shop)
    assert event.on.isoformat() == "2026-05-01"
    assert (event.orders, event.activities) == ((1, 1) if counts else (0, 0))
    assert event.level == ("active" if counts else "ordinary")  # 48 + 3 + 2


@pytest.mark.parametrize(
    ("moment", "counts"),
    [
        ("2027-02-28 23:59", False),
        ("2027-03-01 00:00", True),  # 12 months before 1 March 2028; 29 February is before it
        ("2028-02-29 23:59", True),
    ],
)
def test_7_a_leap_day_is_in_the_window_of_1_march(shop: Shop, moment: str, *, counts: bool) -> None:
    shop.joins("lucy", on="2026-04-01 09:00")
    shop.at("2028-03-01 00:00")
    buys(shop, (moment, "4000.00"))
    assert (reviewed(shop).score > 0) == counts


# 7.1 Score and bands


@pytest.mark.parametrize(
    ("spend", "activities", "score", "level"),
    [
        ("3624.99", 2, 50, "ordinary"),  # 43.49988 + 3 + 4
        ("3625.00", 2, 51, "active"),  # 43.5 + 3 + 4 = 50.5, half up
        ("8124.99", 0, 100, "active"),  # 97.49988 + 3
        ("8125.00", 0, 101, "core"),  # 97.5 + 3
        ("12124.99", 1, 150, "core"),  # 145.49988 + 3 + 2
        ("12125.00", 1, 151, "loyal"),  # 145.5 + 3 + 2
        ("0.01", 23, 49, "ordinary"),  # 0.00012 + 3 + 46
        ("0.01", 24, 51, "active"),  # activities alone bring a level too
    ],
)
def test_7_1_the_score_is_rounded_half_up_and_finds_its_band(
    shop: Shop, spend: str, activities: int, score: int, level: str
) -> None:
    shop.joins("lucy", on="2026-04-10 09:00")
    buys(shop, ("2026-04-11", spend))
    acts(shop, *["2026-04-12"] * activities)
    event = reviewed(shop)
    assert (event.score, event.level) == (score, level)
    assert (event.spend, event.orders, event.activities) == (Decimal(spend), 1, activities)
    assert shop.member("lucy")["level"] == level


def test_7_1_refunds_lower_the_score_at_their_orders_date(shop: Shop) -> None:
    shop.joins("lucy", on="2025-04-01 09:00")
    # one before the window, one in it; each is given back in part, in the window
    buys(shop, ("2025-04-20", "5000.00"), ("2026-04-20", "8125.00"))
    shop.refunds("o-lucy-2025-04-20-0", "f-1", "5000.00", on="2026-04-21 10:00")
    shop.refunds("o-lucy-2026-04-20-1", "f-2", "0.01", on="2026-04-21 11:00")
    event = reviewed(shop)
    assert (event.spend, event.orders, event.score) == (Decimal("8124.99"), 1, 100)


def test_7_1_a_fully_refunded_order_is_no_order(shop: Shop) -> None:
    shop.joins("lucy", on="2026-04-10 09:00")
    buys(shop, ("2026-04-11", "100.00"), ("2026-04-12", "200.00"), ("2026-04-13", "0.00"))
    shop.refunds("o-lucy-2026-04-11-0", "f-1", "100.00")
    event = reviewed(shop)
    assert (event.spend, event.orders, event.repurchases) == (Decimal("200.00"), 1, 0)


def test_7_1_an_activity_over_its_cap_does_not_count(shop: Shop) -> None:
    shop.joins("lucy", on="2026-04-10 09:00")
    for number in range(5):  # three shares a day earn
        shop.does_activity("lucy", "share", f"a-{number}", on="2026-04-11 10:00")
    for number in range(2):  # one check-in a day
        shop.does_activity("lucy", "check_in", f"b-{number}", on="2026-04-11 10:00")
    event = reviewed(shop)
    assert (event.activities, event.score) == (4, 8)


def test_7_1_an_activity_that_the_daily_cap_left_nothing_does_not_count(
    open_shop: OpenShop,
) -> None:
    shop = open_shop(shipped("retail", points={"daily_earning_cap": 100}))
    shop.joins("lucy", on="2026-04-10 09:00")
    buys(shop, ("2026-04-11", "100.00"))
    over = shop.does_activity("lucy", "share", "a-1", on="2026-04-11 11:00")
    assert over["reason"] == "daily_earning_cap"
    assert reviewed(shop).activities == 0


def test_7_1_an_activity_that_gives_no_points_counts_as_one(open_shop: OpenShop) -> None:
    gifts = {"workshop": {"gift": "notebook set", "max_per_day": 1}}
    shop = open_shop(shipped("retail", earning={"activities": gifts}))
    shop.joins("lucy", on="2026-04-10 09:00")
    for number in range(2):
        shop.does_activity("lucy", "workshop", f"a-{number}", on="2026-04-11 10:00")
    assert reviewed(shop).activities == 1


def test_7_1_a_rewarded_referral_is_an_activity_of_the_referrer(shop: Shop) -> None:
    shop.joins("lucy", on="2026-03-10 09:00")
    code = shop.code_of("lucy")
    shop.joins("lily", code=code, on="2026-03-15 09:00")
    shop.joins("kate", code=code, on="2026-03-15 09:00")
    # in the month of the first order, which is when it is rewarded; kate buys nothing
    buys(shop, ("2026-04-10", "10.00"), member_id="lily")
    shop.reviews_levels("lucy")
    assert [
        (event.activities, event.activities_30d, event.score)
        for event in shop.events("lucy", "LevelReviewed")
    ] == [(0, 0, 0), (1, 1, 2)]
    assert reviewed(shop, "lily").activities == 0


def test_7_1_a_reversed_referral_stops_counting(shop: Shop) -> None:
    shop.joins("lucy", on="2026-03-10 09:00")
    shop.joins("lily", code=shop.code_of("lucy"), on="2026-03-15 09:00")
    buys(shop, ("2026-04-10", "10.00"), member_id="lily")
    assert reviewed(shop).activities == 1
    shop.refunds("o-lily-2026-04-10-0", "f-1", "10.00")
    shop.at("2026-06-01 00:00")
    assert reviewed(shop).activities == 0
    # what the review of May had found stands
    assert [event.activities for event in shop.events("lucy", "LevelReviewed")] == [0, 1, 0]


def test_7_1_enterprise_is_reviewed_on_the_15th_by_its_own_figures(open_shop: OpenShop) -> None:
    shop = open_shop(shipped("enterprise"))
    # 23:59 of 14 April in Berlin is 05:59 of the 15th in Shanghai, in summer
    shop.joins("lucy", on="2026-04-15 05:59")
    shop.joins("lily", on="2026-04-15 06:00")
    buys(shop, ("2026-04-15 05:59", "8894.11"))
    buys(shop, ("2026-04-15 06:00", "8894.12"), member_id="lily")
    # 0.85 × (8894.12 / 200 + 2) = 39.50001; one cent less is 39.49997
    assert shop.reviews_levels("lily") == 0
    event = reviewed(shop)
    assert event.occurred_at == local("2026-04-15 06:00")
    assert (event.score, event.level) == (39, "standard")
    shop.at("2026-05-15 06:00")
    event = reviewed(shop, "lily")
    assert event.occurred_at == local("2026-05-15 06:00")
    assert (event.score, event.level) == (40, "key")


def test_7_the_rules_in_force_at_its_midnight_decide_a_review(shop: Shop) -> None:
    shop.joins("lucy", on="2026-03-10 09:00")
    buys(shop, ("2026-03-11", "4000.00"))  # 51
    shop.publish(
        shipped(
            "retail",
            levels={"bands": [LOWEST, {"code": "core", "from": 50}, {"code": "loyal", "from": 51}]},
        ),
        "2026-05-01 00:00",
    )
    shop.reviews_levels("lucy")
    assert [
        (event.level, event.programme_version) for event in shop.events("lucy", "LevelReviewed")
    ] == [("active", 1), ("loyal", 2)]


# 7.2 Segments


def orders_worth(total: str, count: int) -> list[tuple[str, str]]:
    """So many orders of April 2026, of ten each and the last one of the rest."""
    rest = Decimal(total) - 10 * (count - 1)
    return [*((f"2026-04-{day:02}", "10.00") for day in range(11, 10 + count)), (
        "2026-04-20", str(rest),
    )]  # fmt: skip


APRIL_1 = "2026-04-01 00:00"
"""30 days before 1 May: the first moment of the last 30 days."""
MARCH_31 = "2026-03-31 23:59"


@pytest.mark.parametrize(
    ("total", "orders", "activities", "segment"),
    [
        ("5000.00", 5, [APRIL_1, "2026-04-30 23:59"], "core"),
        ("4999.99", 5, [APRIL_1, APRIL_1], "potential"),
        ("5000.00", 4, [APRIL_1, APRIL_1], "potential"),  # three repurchases
        ("5000.00", 5, [APRIL_1], "potential"),
        ("5000.00", 5, [MARCH_31, APRIL_1], "potential"),
        ("5000.00", 5, [MARCH_31, MARCH_31], "basic"),
        ("2000.00", 3, [APRIL_1], "potential"),
        ("1999.99", 3, [APRIL_1], "basic"),
        ("2000.00", 2, [APRIL_1], "basic"),  # one repurchase
        ("2000.00", 3, [], "basic"),
        ("2000.00", 3, ["2026-05-01 00:00"], "basic"),  # not before the review
    ],
)
def test_7_2_core_and_potential_to_the_last_figure(
    shop: Shop, total: str, orders: int, activities: list[str], segment: str
) -> None:
    shop.joins("lucy", on="2026-03-10 09:00")
    buys(shop, *orders_worth(total, orders))
    acts(shop, *activities)
    event = reviewed(shop)
    assert event.segment == segment == shop.member("lucy")["segment"]
    assert (event.spend, event.repurchases) == (Decimal(total), orders - 1)


def test_7_2_the_earliest_order_of_the_life_is_no_repurchase_those_of_the_year_all_are(
    shop: Shop,
) -> None:
    shop.joins("lucy", on="2025-04-01 09:00")
    buys(shop, ("2025-04-20", "1.00"), *orders_worth("2000.00", 2))
    acts(shop, APRIL_1)
    event = reviewed(shop)
    # two orders in the year, and both are repurchases
    assert (event.orders, event.repurchases, event.segment) == (2, 2, "potential")


def test_7_2_a_rewarded_referral_counts_for_the_segment(shop: Shop) -> None:
    shop.joins("lucy", on="2026-03-10 09:00")
    buys(shop, *orders_worth("2000.00", 3))
    shop.joins("lily", code=shop.code_of("lucy"), on="2026-04-02 09:00")
    buys(shop, ("2026-04-03", "10.00"), member_id="lily")
    assert reviewed(shop).segment == "potential"


@pytest.mark.parametrize(
    ("joined", "orders", "activities", "segment"),
    [
        ("2025-11-01 23:59", [], [], "dormant"),  # six months, to the day
        ("2025-11-02 00:00", [], [], "basic"),
        ("2025-01-10 09:00", [("2025-10-31 23:59", "499.99")], [], "dormant"),
        ("2025-01-10 09:00", [("2025-10-31 23:59", "500.00")], [], "basic"),
        ("2025-01-10 09:00", [("2025-11-01 00:00", "10.00")], [], "basic"),
        ("2025-01-10 09:00", [], ["2025-10-31 23:59"], "dormant"),
        ("2025-01-10 09:00", [], ["2025-11-01 00:00"], "basic"),
        # the spend of more than 12 months ago is forgotten
        ("2025-01-10 09:00", [("2025-04-30 23:59", "9000.00")], [], "dormant"),
    ],
)
def test_7_2_dormant_to_the_day_and_the_cent(
    shop: Shop, joined: str, orders: list[tuple[str, str]], activities: list[str], segment: str
) -> None:
    shop.joins("lucy", on=joined)
    buys(shop, *orders)
    acts(shop, *activities)
    assert reviewed(shop).segment == segment


def test_7_2_a_refunded_order_and_an_activity_over_its_cap_do_not_wake_her(shop: Shop) -> None:
    shop.joins("lucy", on="2025-01-10 09:00")
    shop.does_activity("lucy", "review", "a-1", reference="o-old", on="2025-10-20 10:00")
    shop.does_activity("lucy", "review", "a-2", reference="o-old", on="2026-02-20 10:00")
    buys(shop, ("2026-03-20", "10.00"))
    shop.refunds("o-lucy-2026-03-20-0", "f-1", "10.00", on="2026-03-21 10:00")
    event = reviewed(shop)
    assert (event.segment, event.lifecycle) == ("dormant", "dormant")


def test_7_2_the_first_match_wins(open_shop: OpenShop) -> None:
    nothing = {"spend": "0.00", "repurchases": 0, "activities_30d": 0}
    shop = open_shop(shipped("retail", segments={"core": nothing, "potential": nothing}))
    shop.joins("lucy", on="2025-01-10 09:00")
    assert reviewed(shop).segment == "core"


def test_7_2_a_segment_that_the_rules_leave_out_is_nobodys(open_shop: OpenShop) -> None:
    shop = open_shop(rules('[segments]\npotential = { spend = "100.00" }\notherwise = "all"\n'))
    shop.joins("lucy", on="2025-01-10 09:00")
    shop.joins("lily", on="2025-01-10 09:00")
    buys(shop, ("2026-04-11", "100.00"))
    assert (reviewed(shop).segment, reviewed(shop, "lily").segment) == ("potential", "all")


# 7.3 Lifecycle

REGULAR_BUYER = [(f"2025-{month:02}-20", "10.00") for month in range(6, 13)]
"""An order on the 20th of each month, June to December 2025."""


@pytest.mark.parametrize(
    ("joined", "orders", "activities", "stage"),
    [
        # dormant: nothing at all from 1 November on, and enrolled before it
        ("2025-10-31", [], [], "dormant"),
        ("2025-11-01", [], [], "lapsing"),
        ("2025-06-01", [("2025-10-31 23:59", "10.00")], [], "dormant"),
        ("2025-06-01", [("2025-11-01 00:00", "10.00")], [], "lapsing"),
        ("2025-06-01", [], ["2025-10-31 23:59"], "dormant"),
        ("2025-06-01", [], ["2025-11-01 00:00"], "lapsing"),
        # lapsing: no order from 1 February on, and enrolled before it
        ("2026-01-31", [], ["2026-04-30"], "lapsing"),
        ("2026-02-01", [], [], "new"),
        ("2025-06-01", [*REGULAR_BUYER, ("2026-01-31 23:59", "10.00")], [], "lapsing"),
        ("2025-06-01", [*REGULAR_BUYER, ("2026-02-01 00:00", "10.00")], [], "growing"),
        # won back: an order since 31 January, 90 days ago, after three months without one
        ("2025-06-01", [("2025-06-10", "10.00"), ("2026-02-10", "10.00")], [], "won_back"),
        ("2025-06-01", [("2025-11-09", "10.00"), ("2026-02-10", "10.00")], [], "won_back"),
        ("2025-06-01", [("2025-11-10", "10.00"), ("2026-02-10", "10.00")], [], "growing"),
        (
            "2025-06-01",
            [("2025-06-10", "10.00"), ("2026-01-31 00:00", "10.00"), ("2026-02-20", "10.00")],
            [],
            "won_back",
        ),
        (
            "2025-06-01",
            [("2025-06-10", "10.00"), ("2026-01-30 23:59", "10.00"), ("2026-02-20", "10.00")],
            [],
            "growing",
        ),
        # the idle time before a first order counts from enrolment
        ("2025-11-09", [("2026-02-10", "10.00")], [], "won_back"),
        ("2025-11-10", [("2026-02-10", "10.00")], [], "growing"),
        # new for 90 days
        ("2026-02-01", [("2026-04-10", "10.00")], [], "new"),
        ("2026-01-31", [("2026-04-10", "10.00")], [], "growing"),
        # stable: 12 months and four orders in them
        (
            "2025-05-01",
            [*REGULAR_BUYER[-1:], *((f"2026-0{month}-15", "10.00") for month in (1, 2, 3))],
            [],
            "stable",
        ),
        (
            "2025-05-02",
            [*REGULAR_BUYER[-1:], *((f"2026-0{month}-15", "10.00") for month in (1, 2, 3))],
            [],
            "growing",
        ),
        (
            "2025-05-01",
            [*((f"2026-0{month}-15", "10.00") for month in (1, 2, 3))],
            [],
            "growing",
        ),
    ],
)
def test_7_3_lifecycle_to_the_day(
    shop: Shop, joined: str, orders: list[tuple[str, str]], activities: Sequence[str], stage: str
) -> None:
    shop.joins("lucy", on=f"{joined} 09:00")
    buys(shop, *orders)
    acts(shop, *activities)
    assert reviewed(shop).lifecycle == stage
    assert shop.member("lucy")["lifecycle"] == stage


def test_7_3_a_life_from_new_to_won_back(shop: Shop) -> None:
    shop.joins("lucy", on="2025-01-10 09:00")
    buys(
        shop,
        *((f"2025-{month:02}-05", "10.00") for month in (2, 4, 5, 7, 9, 11)),
        ("2026-03-05", "10.00"),  # four months after the last one
    )
    shop.at("2027-01-15 12:00")
    shop.reviews_levels("lucy")
    stages = {
        event.on.isoformat(): event.lifecycle for event in shop.events("lucy", "LevelReviewed")
    }
    assert stages["2025-04-01"] == "new"  # 90 days are through on 10 April
    assert stages["2025-05-01"] == "growing"
    assert stages["2026-01-01"] == "growing"  # not quite 12 months
    assert stages["2026-02-01"] == "stable"  # orders of April, May, July, September, November
    assert stages["2026-03-01"] == "lapsing"  # the last order was on 5 November
    assert stages["2026-04-01"] == "won_back"
    assert stages["2026-06-01"] == "won_back"  # the 5th of March is 88 days ago
    assert stages["2026-07-01"] == "lapsing"
    assert stages["2026-09-01"] == "lapsing"
    assert stages["2026-10-01"] == "dormant"  # six months and more


# Sections that are off


def sections_without(off: set[str]) -> str:
    """Levels, segments and lifecycle, less some."""
    sections = {
        "levels": 'bands = [ { code = "ordinary", from = 0 } ]',
        "segments": 'otherwise = "basic"',
        "lifecycle": "new_days = 90",
    }
    return "".join(f"[{name}]\n{text}\n" for name, text in sections.items() if name not in off)


@pytest.mark.parametrize(
    ("off", "standing"),
    [
        ({"levels"}, (None, "basic", "new")),
        ({"segments"}, ("ordinary", None, "new")),
        ({"lifecycle"}, ("ordinary", "basic", None)),
        ({"levels", "segments"}, (None, None, "new")),
    ],
)
def test_7_where_a_section_is_off_there_is_null(
    open_shop: OpenShop, off: set[str], standing: tuple[str | None, str | None, str | None]
) -> None:
    shop = open_shop(rules(sections_without(off)))
    shop.joins("lucy", on="2026-04-10 09:00")
    assert shop.standing("lucy") == standing
    event = reviewed(shop)
    assert event.on.isoformat() == "2026-05-01"
    assert (event.level, event.segment, event.lifecycle) == standing
    assert (event.score is None) == ("levels" in off)
    assert shop.standing("lucy") == standing


def test_7_where_all_are_off_nobody_is_reviewed(open_shop: OpenShop) -> None:
    shop = open_shop(rules())
    assert shop.reviews_levels("li-lei") == 0
    assert run_job(shop.ledger, "review-levels", shop.clock.now)["affected"] == 0
    assert shop.standing("li-lei") == (None, None, None)


# What a review changes


def lucy_is_core_since_april(shop: Shop) -> None:
    """8,125 in March make 101 on 1 April, and still on 1 May."""
    shop.joins("lucy", on="2026-03-10 09:00")
    buys(shop, ("2026-03-20", "8125.00"))
    assert reviewed(shop).level == "core"


def test_7_the_level_in_force_at_its_moment_decides_an_order(shop: Shop) -> None:
    lucy_is_core_since_april(shop)
    before = buys(shop, ("2026-03-31 23:59", "100.00"))
    assert rows(before) == [("spend", 100)]
    after = buys(shop, ("2026-04-01 00:00", "100.00"))
    assert rows(after) == [("spend", 100), ("level:core", 20)]
    assert rows(buys(shop, ("2026-05-01 11:00", "148.60"))) == [("spend", 148), ("level:core", 30)]


def test_7_a_level_lost_counts_no_more_and_a_late_order_still_has_it(shop: Shop) -> None:
    lucy_is_core_since_april(shop)
    shop.at("2027-04-02 12:00")
    assert reviewed(shop).level == "ordinary"  # March 2026 is over
    assert buys(shop, ("2027-04-01 00:00", "100.00"))["points"] == 100
    assert buys(shop, ("2027-03-31 23:59", "100.00"))["points"] == 120


def test_7_an_order_before_its_review_is_recorded_is_decided_by_the_one_before(shop: Shop) -> None:
    shop.joins("lucy", on="2026-03-10 09:00")
    buys(shop, ("2026-03-20", "8125.00"))
    # the scheduler has not run since
    assert buys(shop, ("2026-04-15", "100.00"))["points"] == 100
    shop.reviews_levels("lucy")
    assert buys(shop, ("2026-04-15 10:01", "100.00"))["points"] == 120


@pytest.mark.parametrize(
    ("only", "before", "after"),
    [
        ({"levels": ["active"]}, False, True),
        ({"levels": ["ordinary"]}, True, False),
        ({"segments": ["potential"]}, False, True),
        ({"segments": ["basic"]}, True, False),
        ({"lifecycle": ["growing"]}, False, True),
        ({"lifecycle": ["new"]}, True, False),
        ({"tiers": ["silver"]}, True, True),
        ({"levels": ["active"], "segments": ["potential"], "lifecycle": ["growing"]}, False, True),
        ({"levels": ["active"], "segments": ["core"]}, False, False),
    ],
)
def test_2_8_a_campaign_is_for_those_whom_the_review_found(
    open_shop: OpenShop, only: dict[str, list[str]], *, before: bool, after: bool
) -> None:
    pilot = campaign("pilot", start="2026-04-25 00:00", multiplier="3", only=only)
    shop = open_shop(shipped("retail", campaigns=[pilot]))
    shop.joins("lucy", on="2026-01-31 09:00")  # 90 days are over on 1 May
    # 4,000 and two repurchases, and an activity: 48 + 9 + 2 = 59 on 1 May; silver since 12 April.
    # The reviews before it found an ordinary, basic, new (or lapsing) member.
    buys(shop, ("2026-04-10", "10.00"), ("2026-04-11", "10.00"), ("2026-04-12", "3980.00"))
    acts(shop, "2026-04-13")
    assert shop.reviews_levels("lucy") == 4
    assert buys(shop, ("2026-04-30 23:59", "10.00"))["points"] == (30 if before else 10)
    assert buys(shop, ("2026-05-01 00:00", "10.00"))["points"] == (30 if after else 10)


def test_2_8_an_activity_counts_double_for_those_who_have_not_bought_for_long(
    open_shop: OpenShop,
) -> None:
    wake_up = campaign("wake_up", multiplier="2", applies_to="activity",
                       only={"lifecycle": ["lapsing", "dormant"]})  # fmt: skip
    shop = open_shop(shipped("retail", campaigns=[wake_up]))
    shop.joins("lucy", on="2026-01-31 09:00")
    shop.joins("lily", on="2026-02-01 09:00")
    shop.reviews_levels("lucy")
    shop.reviews_levels("lily")
    assert shop.does_activity("lucy", "share", "a-1")["points"] == 20
    assert shop.does_activity("lily", "share", "a-2")["points"] == 10


def test_2_7_a_referrer_who_is_loyal_at_that_time_gets_twice_as_much(shop: Shop) -> None:
    shop.joins("lucy", on="2026-03-10 09:00")
    buys(shop, ("2026-03-20", "12125.00"))
    acts(shop, "2026-03-21")
    assert reviewed(shop).level == "loyal"  # since 1 April
    code, before = shop.code_of("lucy"), shop.available("lucy")
    for friend, moment, points in (
        ("lily", "2026-03-31 23:59", 100),
        ("kate", "2026-04-01 00:00", 200),
    ):
        shop.joins(friend, code=code, on="2026-03-25 09:00")
        buys(shop, (moment, "10.00"), member_id=friend)
        assert shop.events("lucy", "ReferralRewarded")[-1].points == points
    assert shop.available("lucy") == before + 300
    assert shop.coupons("lucy").count("referral_20") == 3


def test_2_9_points_of_the_core_segment_wait_fifteen_days(open_shop: OpenShop) -> None:
    shop = open_shop(shipped("retail", points={"pending": True}))
    shop.joins("lucy", on="2026-03-10 09:00")
    buys(shop, *orders_worth("5000.00", 5))
    acts(shop, "2026-04-21", "2026-04-22")
    assert reviewed(shop).segment == "core"
    core = buys(shop, ("2026-05-01 00:00", "100.00"))
    basic = buys(shop, ("2026-04-30 23:59", "100.00"))
    assert core["lot"]["pending_until"] == "2026-05-16"
    assert basic["lot"]["pending_until"] == "2026-05-07"


def test_7_history_keeps_old_levels_segments_and_stages(shop: Shop) -> None:
    shop.joins("lucy", on="2026-01-31 09:00")
    buys(shop, ("2026-04-10", "10.00"), ("2026-04-11", "10.00"), ("2026-04-12", "3980.00"))
    acts(shop, "2026-04-13")
    shop.at("2026-12-02 12:00")
    shop.reviews_levels("lucy")
    then = {
        moment: tuple(
            shop.member_then("lucy", moment)[part] for part in ("level", "segment", "lifecycle")
        )
        for moment in (
            "2026-02-01 00:00", "2026-04-30 23:59", "2026-05-01 00:00", "2026-08-01 00:00",
            "2026-12-01 00:00",
        )
    }  # fmt: skip
    assert then == {
        "2026-02-01 00:00": ("ordinary", "basic", "new"),
        "2026-04-30 23:59": ("ordinary", "basic", "new"),
        "2026-05-01 00:00": ("active", "potential", "growing"),
        # no activity in July any more, and the last order was on 12 April
        "2026-08-01 00:00": ("active", "basic", "lapsing"),
        # nothing since 1 June; 4,000 is too much for the segment "dormant"
        "2026-12-01 00:00": ("active", "basic", "dormant"),
    }


def test_7_a_review_can_be_read_out_in_both_languages(shop: Shop) -> None:
    lucy_is_core_since_april(shop)
    catch_up(shop.database)
    entries = history_page(shop.database, "lucy")["entries"]
    entry = next(one for one in entries if one["event"] == "LevelReviewed")
    assert entry["occurred_at"] == "2026-04-01T00:00:00+08:00"
    for figure in ("core", "101"):
        assert figure in entry["summary"], entry["summary"]
    assert "101" in entry["summary_zh"]
    assert not entry["summary_zh"].isascii()
    assert (entry["points"], entry["balance_before"]) == (0, entry["balance_after"])
