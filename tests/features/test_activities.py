"""Activities: what members earn without buying, and how often (PROGRAMME 2.3)."""

from __future__ import annotations

import pytest
from shop import OpenShop, Shop, rows, rules, shipped, templates

from ledger import requests as r
from ledger.events import ActivityRewarded

ACTIVITIES = {
    "check_in": {"points": 5, "once_per": "day"},
    "share": {"points": 10, "max_per_day": 3},
    "review": {"points": 20, "once_per": "order"},
    "survey": {"points": 30, "once_per": "reference"},
    "quiz": {"points": 10, "once_per": "reference"},
}


@pytest.fixture
def shop(open_shop: OpenShop) -> Shop:
    """The corner shop, where some acts earn points."""
    return open_shop(rules(earning={"activities": ACTIVITIES}))


@pytest.mark.parametrize(
    ("activity", "reference", "points"),
    [
        ("check_in", None, 5),
        ("share", None, 10),
        ("review", "o-1", 20),
        ("survey", "spring-2026", 30),
        ("event", "opening-night", 50),
        ("quiz", "tea-quiz", 10),
        ("vote", "new-logo", 5),
        ("feedback", "idea-7", 50),
    ],
)
def test_2_3_each_activity_of_retail_earns_its_points(
    open_shop: OpenShop, activity: str, reference: str | None, points: int
) -> None:
    shop = open_shop(shipped("retail"))
    answer = shop.does_activity("li-lei", activity, "a-1", reference=reference)
    assert rows(answer) == [(f"activity:{activity}", points)]
    assert (answer["activity_id"], answer["member_id"]) == ("a-1", "li-lei")
    assert (answer["activity"], answer["reason"], answer["issued"]) == (activity, None, [])
    assert answer["programme_version"] == 1
    assert answer["balance"] == {"available": points, "pending": 0, "reserved": 0, "debt": 0}
    (lot,) = (one for one in shop.member("li-lei")["lots"] if one["source"] == "activity")
    assert (lot["granted"], lot["order_id"], lot["funded_by"]) == (points, None, None)
    assert lot["expires_on"] == answer["lot"]["expires_on"] == "2027-05-01"
    assert lot["lot_id"] == answer["lot"]["lot_id"]
    assert shop.totals("li-lei")["orders"] == 0


@pytest.mark.parametrize(
    ("activity", "earns", "reason"),
    [
        ("check_in", 1, "once_per_day"),
        ("share", 3, "max_per_day"),
        ("review", 1, "once_per_order"),
        ("survey", 1, "once_per_reference"),
        ("event", 1, "once_per_reference"),
        ("quiz", 1, "once_per_reference"),
        ("vote", 1, "once_per_reference"),
        ("feedback", 1, "once_per_reference"),
    ],
)
def test_2_3_each_activity_of_retail_has_its_limit(
    open_shop: OpenShop, activity: str, earns: int, reason: str
) -> None:
    shop = open_shop(shipped("retail"))
    answers = [
        shop.does_activity("li-lei", activity, f"a-{number}", reference="o-1")
        for number in range(5)
    ]
    assert [answer["points"] > 0 for answer in answers] == [True] * earns + [False] * (5 - earns)
    assert {answer["reason"] for answer in answers[:earns]} == {None}
    assert {answer["reason"] for answer in answers[earns:]} == {reason}


def test_2_3_a_check_in_counts_once_a_local_day(shop: Shop) -> None:
    shop.at("2026-05-03 12:00")
    earned = {
        moment: shop.does_activity("li-lei", "check_in", f"a-{number}", on=moment)["points"]
        for number, moment in enumerate(
            (
                "2026-05-01 00:00",
                "2026-05-01 08:30",  # UTC's new day began at 08:00: nobody cares
                "2026-05-01 23:59",
                "2026-05-02 00:00",
                "2026-04-30 23:59",  # heard of late, on a day of its own
                "2026-04-30 12:00",
            )
        )
    }
    assert list(earned.values()) == [5, 0, 0, 5, 5, 0]
    assert shop.does_activity("han-meimei", "check_in", "a-hers", on="2026-05-01 08:30")["points"]
    assert shop.available("li-lei") == 15


def test_2_3_three_shares_a_day_and_three_more_tomorrow(shop: Shop) -> None:
    shared = [shop.does_activity("li-lei", "share", f"a-{n}")["points"] for n in range(4)]
    assert shared == [10, 10, 10, 0]
    shop.at("2026-05-02 00:00")
    shared = [shop.does_activity("li-lei", "share", f"b-{n}")["points"] for n in range(4)]
    assert shared == [10, 10, 10, 0]


def test_2_3_a_day_long_past_still_knows_what_was_done_on_it(shop: Shop) -> None:
    for month in range(1, 5):
        for day in range(1, 4):
            on = f"2026-{month:02}-0{day} 09:00"
            shop.does_activity("li-lei", "check_in", f"in-{month}-{day}", on=on)
            shop.does_activity("li-lei", "share", f"share-{month}-{day}", on=on)
    again = shop.does_activity("li-lei", "check_in", "in-again", on="2026-01-02 20:00")
    assert (again["points"], again["reason"]) == (0, "once_per_day")
    shared = [
        shop.does_activity("li-lei", "share", f"again-{n}", on="2026-01-02 20:00")["points"]
        for n in range(3)
    ]
    assert shared == [10, 10, 0]
    assert shop.does_activity("li-lei", "check_in", "in-new", on="2026-01-05 20:00")["points"] == 5


def test_2_3_a_review_counts_once_an_order_however_late(shop: Shop) -> None:
    assert shop.does_activity("li-lei", "review", "a-1", reference="o-1")["points"] == 20
    assert shop.does_activity("li-lei", "review", "a-2", reference="o-2")["points"] == 20
    shop.at("2026-09-01 12:00")
    again = shop.does_activity("li-lei", "review", "a-3", reference="o-1")
    assert (again["points"], again["reason"]) == (0, "once_per_order")


def test_2_3_a_reference_is_one_activitys_and_one_members(shop: Shop) -> None:
    assert shop.does_activity("li-lei", "survey", "a-1", reference="tea")["points"] == 30
    assert shop.does_activity("li-lei", "quiz", "a-2", reference="tea")["points"] == 10
    assert shop.does_activity("han-meimei", "survey", "a-3", reference="tea")["points"] == 30
    assert shop.does_activity("li-lei", "survey", "a-4", reference="coffee")["points"] == 30
    assert shop.does_activity("li-lei", "survey", "a-5", reference="tea")["points"] == 0


def test_2_3_over_a_cap_it_is_recorded_with_no_points_and_the_reason(shop: Shop) -> None:
    shop.does_activity("li-lei", "check_in", "a-1")
    over = shop.does_activity("li-lei", "check_in", "a-2")
    assert (over["points"], over["reason"], over["lot"]) == (0, "once_per_day", None)
    rows(over)  # what there is of them adds up to 0
    assert over["balance"]["available"] == 5
    assert shop.totals("li-lei")["granted"] == 5
    first, second = shop.events("li-lei", "ActivityRewarded")
    assert isinstance(first, ActivityRewarded)
    assert isinstance(second, ActivityRewarded)
    assert (first.activity_id, first.points, first.reason) == ("a-1", 5, None)
    assert (second.activity_id, second.points, second.reason) == ("a-2", 0, "once_per_day")
    assert (second.activity, second.lot) == ("check_in", None)


def test_2_3_an_activity_may_give_a_coupon_instead_of_points(open_shop: OpenShop) -> None:
    shop = open_shop(shipped("enterprise"))
    answer = shop.does_activity("li-lei", "event", "a-1", reference="fair-2026")
    assert (answer["points"], answer["lot"], answer["reason"]) == (0, None, None)
    assert templates(answer) == ["event_voucher"]
    (issued,) = shop.events("li-lei", "CouponIssued")
    assert (issued.template, issued.source, issued.kind) == ("event_voucher", "activity", "service")
    assert issued.code == answer["issued"][0]["coupon"]
    again = shop.does_activity("li-lei", "event", "a-2", reference="fair-2026")
    assert (again["points"], again["reason"]) == (0, "once_per_reference")
    assert again["issued"] == []
    assert shop.coupons("li-lei") == ["event_voucher"]


def test_2_3_an_activity_may_give_a_gift_instead_of_points(open_shop: OpenShop) -> None:
    shop = open_shop(shipped("enterprise"))
    answer = shop.does_activity("li-lei", "workshop", "a-1")
    assert (answer["points"], answer["issued"]) == (0, [{"gift": "notebook set"}])
    assert answer["reason"] is None
    (event,) = shop.events("li-lei", "ActivityRewarded")
    assert event.gift == "notebook set"
    again = shop.does_activity("li-lei", "workshop", "a-2")
    assert (again["issued"], again["reason"]) == ([], "max_per_day")


@pytest.mark.parametrize(
    ("activity", "reference"),
    [
        ("dance", "o-1"),  # the programme knows no such thing
        ("review", None),  # of which order?
        ("survey", None),  # which survey?
    ],
)
def test_2_3_an_unknown_activity_or_a_missing_reference_is_refused(
    shop: Shop, activity: str, reference: str | None
) -> None:
    with shop.refusing("invalid_request"):
        shop.does_activity("li-lei", activity, "a-1", reference=reference)
    # nothing was used up
    assert shop.does_activity("li-lei", "review", "a-1", reference="o-1")["points"] == 20


def test_2_3_without_an_earning_section_there_are_no_activities(open_shop: OpenShop) -> None:
    shop = open_shop(rules())
    with shop.refusing("invalid_request"):
        shop.does_activity("li-lei", "check_in", "a-1")


def test_2_3_the_same_activity_id_is_one_activity(shop: Shop) -> None:
    first = shop.does_activity("li-lei", "share", "a-1")
    before = shop.everything_stored()
    assert shop.does_activity("li-lei", "share", "a-1") == first
    assert shop.everything_stored() == before
    with shop.refusing("already_recorded"):
        shop.does_activity("li-lei", "check_in", "a-1")
    with shop.refusing("already_recorded"):
        shop.does_activity("han-meimei", "share", "a-1")
    shop.does_activity("li-lei", "share", "a-2")
    assert shop.available("li-lei") == 20


def test_2_3_the_service_makes_an_activity_id_where_none_is_given(shop: Shop) -> None:
    first = shop.does_activity("li-lei", "share", None)
    second = shop.does_activity("li-lei", "share", None)
    assert first["activity_id"]
    assert first["activity_id"] != second["activity_id"]
    assert shop.available("li-lei") == 20


def test_2_3_answers_of_a_survey_stay_out_of_the_log(shop: Shop) -> None:
    shop.does_activity(
        "li-lei", "survey", "a-1", reference="tea", answers={"why": "my neighbour 王芳 said so"}
    )
    with shop.database.transaction() as cursor:
        cursor.execute("SELECT string_agg(convert_from(state, 'UTF8'), ' ') FROM events")
        ((log,),) = cursor.fetchall()
    assert "王芳" not in log
    assert "neighbour" not in log


def test_2_3_a_late_activity_earns_from_its_own_day(shop: Shop) -> None:
    answer = shop.does_activity("li-lei", "share", "a-1", on="2026-04-20 18:00")
    assert answer["lot"]["expires_on"] == "2027-04-20"
    assert shop.then("li-lei", "2026-04-20 17:59")["available"] == 0
    assert shop.then("li-lei", "2026-04-20 18:00")["available"] == 10
    with shop.refusing("invalid_request"):
        shop.does_activity("li-lei", "share", "a-2", on="2026-05-01 12:06")  # the future


def test_4_5_a_frozen_closed_or_unknown_member_cannot_earn_by_activities(shop: Shop) -> None:
    shop.freezes("li-lei")
    with shop.refusing("member_frozen"):
        shop.does_activity("li-lei", "check_in", "a-1")
    shop.does(r.Close(member_id="han-meimei", reason="moved away"))
    with shop.refusing("member_closed"):
        shop.does_activity("han-meimei", "check_in", "a-1")
    with shop.refusing("not_found"):
        shop.does_activity("nobody", "check_in", "a-1")


def test_5_6_points_of_an_activity_pay_debt_first(shop: Shop) -> None:
    shop.buys("li-lei", "o-1", "100.00")
    shop.redeems("li-lei", "r-1", 100, "o-cot")
    shop.refunds("o-1", "f-1", "100.00")
    answer = shop.does_activity("li-lei", "survey", "a-1", reference="tea")
    assert answer["points"] == 30
    assert answer["balance"] == {"available": 0, "pending": 0, "reserved": 0, "debt": 70}
    (event,) = shop.events("li-lei", "ActivityRewarded")
    assert [(paid.order_id, paid.points) for paid in event.debt_paid] == [("o-1", 30)]


def test_2_3_activities_come_in_batches_too(shop: Shop) -> None:
    outcomes = shop.together(
        r.Activity(member_id="li-lei", activity="check_in", activity_id="a-1"),
        r.Activity(member_id="li-lei", activity="check_in", activity_id="a-2"),
        r.Activity(member_id="li-lei", activity="dance", activity_id="a-3"),
        r.Activity(member_id="li-lei", activity="share", activity_id="a-4"),
    )
    assert [outcome.status for outcome in outcomes] == [201, 201, 422, 201]
    assert [outcome.body.get("points") for outcome in outcomes] == [5, 0, None, 10]


def test_2_3_limits_hold_within_a_batch(shop: Shop) -> None:
    reviews = [
        r.Activity(member_id="li-lei", activity="review", activity_id=f"a-{n}", reference=reference)
        for n, reference in enumerate(("o-1", "o-1", "o-2", "o-2"))
    ]
    assert [outcome.body["points"] for outcome in shop.together(*reviews)] == [20, 0, 20, 0]
    shares = [r.Activity(member_id="li-lei", activity="share") for _ in range(5)]
    assert [outcome.body["points"] for outcome in shop.together(*shares)] == [10, 10, 10, 0, 0]
