"""Points that wait until the return window has passed (PROGRAMME 2.9)."""

from __future__ import annotations

from typing import Any

import pytest
from shop import OpenShop, Shop, local, rules, shipped

from ledger.events import PointsClawedBack
from ledger.programme.model import Programme
from scheduler.jobs import run_job


def waiting(extra: str = "", **sections: Any) -> Programme:
    """The corner shop where points wait for 7 days."""
    points = {"pending": True, **sections.pop("points", {})}
    returns = {"window_days": 7, **sections.pop("returns", {})}
    return rules(extra, points=points, returns=returns, **sections)


def balance(available: int = 0, pending: int = 0, reserved: int = 0, debt: int = 0) -> Any:
    """A balance as answers write it."""
    return {"available": available, "pending": pending, "reserved": reserved, "debt": debt}


@pytest.fixture
def shop(open_shop: OpenShop) -> Shop:
    """The corner shop where points wait for 7 days."""
    return open_shop(waiting())


def test_2_9_an_order_lot_waits_until_the_return_window_has_passed(shop: Shop) -> None:
    answer = shop.buys("li-lei", "o-1", "100.00")
    assert answer["points"] == 100
    assert answer["balance"] == balance(pending=100)
    lot = answer["lot"]
    assert (lot["status"], lot["pending_until"], lot["expires_on"]) == (
        "pending", "2026-05-08", "2027-05-01",
    )  # fmt: skip
    member = shop.member("li-lei")
    assert member["balance"] == balance(pending=100)
    assert [(one["status"], one["remaining"]) for one in member["lots"]] == [("pending", 100)]
    assert member["totals"]["granted"] == 100


def test_2_9_in_retail_points_are_credited_at_once(open_shop: OpenShop) -> None:
    shop = open_shop(shipped("retail"))
    answer = shop.buys("li-lei", "o-1", "100.00")
    assert (answer["lot"]["status"], answer["balance"]) == ("active", balance(available=100))


@pytest.mark.parametrize("bought_at", ["2026-05-01 00:00", "2026-05-01 12:00"])
def test_2_9_it_becomes_active_by_the_clock_at_the_local_midnight(
    shop: Shop, bought_at: str
) -> None:
    shop.buys("li-lei", "o-1", "100.00", on=bought_at)
    shop.at("2026-05-08 23:59:59")
    assert shop.balance("li-lei") == balance(pending=100)
    shop.at("2026-05-09 00:00")
    assert shop.balance("li-lei") == balance(available=100)  # no job has run
    assert shop.member("li-lei")["lots"][0]["status"] == "active"


def test_2_9_a_segment_may_have_a_longer_window(open_shop: OpenShop) -> None:
    shop = open_shop(
        waiting(
            '[segments]\notherwise = "basic"\n', returns={"window_days_by_segment": {"basic": 15}}
        )
    )
    answer = shop.buys("li-lei", "o-1", "100.00")
    assert answer["lot"]["pending_until"] == "2026-05-16"
    shop.at("2026-05-16 23:59")
    assert shop.available("li-lei") == 0
    shop.at("2026-05-17 00:00")
    assert shop.available("li-lei") == 100


def test_2_9_enterprise_waits_14_days_by_its_own_clocks(open_shop: OpenShop) -> None:
    shop = open_shop(shipped("enterprise"))
    # noon in Shanghai is 06:00 in Berlin; 2.5 points per euro
    answer = shop.buys("li-lei", "o-1", "100.00")
    assert (answer["points"], answer["balance"]["pending"]) == (250, 250)
    assert answer["lot"]["pending_until"] == "2026-05-15"
    assert answer["lot"]["expires_on"] == "2027-12-31"
    # 00:00 on 16 May in Berlin is 06:00 in Shanghai
    shop.at("2026-05-16 05:59")
    assert shop.available("li-lei") == 0
    shop.at("2026-05-16 06:00")
    assert shop.available("li-lei") == 250


# The job


def test_2_9_the_job_records_it_dated_the_midnight(shop: Shop) -> None:
    shop.buys("li-lei", "o-1", "100.00")
    shop.at("2026-05-08 23:59")
    assert shop.activates("li-lei") == 0
    shop.at("2026-05-11 03:00")  # two nights were missed
    assert shop.activates("li-lei") == 1
    assert shop.activates("li-lei") == 0
    (event,) = shop.events("li-lei", "PointsActivated")
    assert (event.points, event.occurred_at) == (100, local("2026-05-09 00:00"))
    assert event.lot_id == shop.member("li-lei")["lots"][0]["lot_id"]
    assert shop.balance("li-lei") == balance(available=100)
    assert shop.totals("li-lei")["granted"] == 100  # it was granted long before


def test_2_9_the_job_release_pending_finds_who_is_due(shop: Shop) -> None:
    shop.buys("li-lei", "o-1", "100.00")
    shop.buys("han-meimei", "o-2", "50.00")
    shop.buys("han-meimei", "o-3", "10.00", on="2026-04-30 10:00")
    shop.at("2026-05-08 00:00")
    assert run_job(shop.ledger, "release-pending", shop.clock.now)["affected"] == 1
    shop.at("2026-05-09 00:00")
    assert run_job(shop.ledger, "release-pending", shop.clock.now)["affected"] == 2
    assert run_job(shop.ledger, "release-pending", shop.clock.now)["affected"] == 0
    assert shop.available("li-lei") == 100
    assert shop.available("han-meimei") == 60


def test_2_9_an_order_heard_of_after_its_window_is_active_at_once(shop: Shop) -> None:
    shop.at("2026-05-20 12:00")
    answer = shop.buys("li-lei", "o-late", "100.00", on="2026-05-01 12:00")
    assert answer["balance"] == balance(available=100)
    assert shop.redeems("li-lei", "r-1", 100, "o-cot")["status"] == "redeemed"
    # it was waiting then, all the same
    assert shop.then("li-lei", "2026-05-08 23:59") == balance(pending=100)


# What waits can't be spent


def test_2_9_pending_points_cannot_be_redeemed_or_reserved(shop: Shop) -> None:
    shop.buys("li-lei", "o-1", "300.00")
    with shop.refusing("insufficient_points"):
        shop.redeems("li-lei", "r-1", 100, "o-cot")
    with shop.refusing("insufficient_points"):
        shop.reserves("li-lei", "r-1", 100, "o-cot")
    shop.at("2026-05-09 00:00")
    assert shop.redeems("li-lei", "r-1", 100, "o-cot")["balance"] == balance(available=200)


def test_4_4_staff_cannot_take_points_that_are_still_pending(shop: Shop) -> None:
    shop.buys("li-lei", "o-1", "300.00")
    with shop.refusing("insufficient_points"):
        shop.adjusts("li-lei", "a-1", -100)
    shop.at("2026-05-09 00:00")
    assert shop.adjusts("li-lei", "a-1", -100)["balance"] == balance(available=200)


def test_2_9_not_even_late_when_they_were_still_pending_then(shop: Shop) -> None:
    shop.buys("li-lei", "o-1", "300.00")
    shop.at("2026-05-10 12:00")
    with shop.refusing("insufficient_points"):
        shop.redeems("li-lei", "r-1", 100, "o-cot", on="2026-05-08 20:00")
    shop.redeems("li-lei", "r-1", 100, "o-cot", on="2026-05-09 00:00")


# Debt


def test_2_9_a_pending_grant_pays_debt_first(shop: Shop) -> None:
    shop.buys("li-lei", "o-spent", "200.00", on="2026-04-01 10:00")
    shop.redeems("li-lei", "r-1", 200, "o-cot")
    shop.refunds("o-spent", "f-1", "200.00")
    assert shop.debt("li-lei") == 200
    answer = shop.buys("li-lei", "o-1", "250.00")
    assert answer["points"] == 250
    assert answer["balance"] == balance(pending=50)
    (event,) = (e for e in shop.events("li-lei", "PointsAccrued") if e.order_id == "o-1")
    assert [(paid.order_id, paid.points) for paid in event.debt_paid] == [("o-spent", 200)]
    shop.at("2026-05-09 00:00")
    assert shop.balance("li-lei") == balance(available=50)


# Clawbacks


def test_2_9_a_refund_within_the_window_takes_what_is_waiting(shop: Shop) -> None:
    shop.buys("li-lei", "o-1", "300.00")
    part = shop.refunds("o-1", "f-1", "100.00")
    assert (part["points_clawed_back"], part["balance"]) == (100, balance(pending=200))
    (event,) = shop.events("li-lei", "PointsClawedBack")
    assert isinstance(event, PointsClawedBack)
    assert event.pending == 100
    shop.at("2026-05-09 00:00")
    assert shop.balance("li-lei") == balance(available=200)
    whole = shop.refunds("o-1", "f-2", "200.00")
    assert (whole["points_clawed_back"], whole["balance"]) == (200, balance())


def test_2_9_a_clawback_takes_other_pending_lots_last(shop: Shop) -> None:
    shop.buys("li-lei", "o-spent", "200.00", on="2026-04-01 10:00")
    shop.redeems("li-lei", "r-1", 200, "o-cot")
    shop.buys("li-lei", "o-waiting", "100.00", on="2026-05-01 09:00")
    shop.adjusts("li-lei", "a-1", 150, on="2026-05-01 11:00")
    # both are good through the same day: by drawing order the waiting lot, earned first, is first
    assert [points for _, points, _ in shop.lots("li-lei")] == [100, 150]
    answer = shop.refunds("o-spent", "f-1", "200.00")
    assert (answer["points_clawed_back"], answer["debt"]) == (200, 0)
    assert answer["balance"] == balance(pending=50)
    (event,) = shop.events("li-lei", "PointsClawedBack")
    assert [drawn.points for drawn in event.lots_drawn] == [150, 50]
    assert event.pending == 50


def test_2_9_only_what_no_lot_holds_becomes_debt(shop: Shop) -> None:
    shop.buys("li-lei", "o-spent", "200.00", on="2026-04-01 10:00")
    shop.redeems("li-lei", "r-1", 200, "o-cot")
    shop.buys("li-lei", "o-waiting", "120.00")
    answer = shop.refunds("o-spent", "f-1", "200.00")
    assert (answer["debt"], answer["balance"]) == (80, balance(debt=80))


def test_2_9_a_clawback_spares_reserved_points_and_takes_pending_ones(shop: Shop) -> None:
    shop.buys("li-lei", "o-spent", "200.00", on="2026-04-01 10:00")
    shop.redeems("li-lei", "r-1", 200, "o-cot")
    shop.adjusts("li-lei", "a-1", 100)
    shop.reserves("li-lei", "r-2", 100, "o-bib")
    shop.buys("li-lei", "o-waiting", "120.00")
    answer = shop.refunds("o-spent", "f-1", "200.00")
    assert (answer["debt"], answer["balance"]) == (80, balance(reserved=100, debt=80))
    assert shop.releases("r-2")["balance"] == balance(available=20)


def test_2_9_a_late_refund_of_the_waiting_time_takes_what_is_active_by_now(shop: Shop) -> None:
    shop.buys("li-lei", "o-1", "300.00")
    shop.at("2026-05-20 12:00")
    shop.activates("li-lei")
    answer = shop.refunds("o-1", "f-1", "100.00", on="2026-05-05 10:00")
    assert (answer["points_clawed_back"], answer["balance"]) == (100, balance(available=200))
    assert shop.then("li-lei", "2026-05-05 10:00") == balance(pending=200)
    assert shop.then("li-lei", "2026-05-05 09:59") == balance(pending=300)
    assert shop.then("li-lei", "2026-05-09 00:00") == balance(available=200)


# Only order lots pend


def test_2_9_only_order_lots_pend(open_shop: OpenShop) -> None:
    shop = open_shop(
        waiting(
            earning={"activities": {"survey": {"points": 30}}},
            newcomer={"points": 50},
            referral={"referrer_points": 100},
        )
    )
    assert shop.joins("lucy", code=shop.code_of("li-lei"))["balance"] == balance(available=50)
    assert shop.does_activity("lucy", "survey", "a-1")["balance"] == balance(available=80)
    assert shop.adjusts("lucy", "adj-1", 20)["balance"] == balance(available=100)
    assert shop.buys("lucy", "o-lucy", "70.00")["balance"] == balance(available=100, pending=70)
    assert shop.balance("li-lei") == balance(available=100)  # the referral reward


def test_2_9_points_that_a_refund_gives_back_do_not_wait_again(shop: Shop) -> None:
    shop.buys("li-lei", "o-old", "200.00", on="2025-05-03 10:00")  # good through 2026-05-03
    shop.redeems("li-lei", "r-1", 200, "o-cot", "500.00")
    shop.buys("li-lei", "o-cot", "480.00")
    answer = shop.refunds("o-cot", "f-1", "480.00")
    assert answer["balance"] == balance(available=200)
    assert shop.lots("li-lei") == [("o-old", 200, "2026-05-08")]


# Expiry


def test_2_9_what_expires_while_it_waits_never_becomes_active(open_shop: OpenShop) -> None:
    shop = open_shop(waiting(points={"validity": {"months": 1}}, returns={"window_days": 60}))
    shop.buys("li-lei", "o-1", "100.00")  # good through 2026-06-01, waiting until 2026-06-30
    shop.at("2026-06-02 00:00")
    assert shop.available("li-lei") == 0
    assert shop.expires("li-lei") == 1
    shop.at("2026-07-01 00:00")
    assert shop.activates("li-lei") == 0
    assert shop.balance("li-lei") == balance()
    assert shop.totals("li-lei")["expired"] == 100


def test_2_9_an_activated_lot_expires_on_the_day_that_the_grant_named(shop: Shop) -> None:
    shop.buys("li-lei", "o-1", "100.00")
    shop.at("2027-05-01 12:00")
    assert shop.activates("li-lei") == 1
    assert shop.available("li-lei") == 100
    shop.at("2027-05-02 00:00")
    assert shop.available("li-lei") == 0
    assert shop.expires("li-lei") == 1


def test_2_9_both_jobs_may_be_late_and_run_in_either_order(shop: Shop) -> None:
    for member_id, order_id in (("li-lei", "o-his"), ("han-meimei", "o-hers")):
        shop.buys(member_id, order_id, "100.00")
    shop.at("2027-05-02 00:00")
    shop.activates("li-lei")
    assert shop.expires("li-lei") == 1
    assert shop.expires("han-meimei") == 1
    shop.activates("han-meimei")
    for member_id in ("li-lei", "han-meimei"):
        assert shop.balance(member_id) == balance()
        assert shop.totals(member_id)["expired"] == 100
        assert shop.then(member_id, "2026-05-08 23:59") == balance(pending=100)
        assert shop.then(member_id, "2026-05-09 00:00") == balance(available=100)


# As it stood


@pytest.mark.parametrize("recorded", [True, False])
def test_2_9_past_reads_show_pending_as_it_stood(shop: Shop, *, recorded: bool) -> None:
    shop.buys("li-lei", "o-1", "300.00")
    shop.at("2026-05-02 12:00")
    shop.refunds("o-1", "f-1", "100.00")
    shop.at("2026-05-20 12:00")
    if recorded:
        shop.activates("li-lei")
    shop.redeems("li-lei", "r-1", 100, "o-cot")
    for moment, then in (
        ("2026-05-01 11:59", balance()),
        ("2026-05-01 12:00", balance(pending=300)),
        ("2026-05-02 12:00", balance(pending=200)),
        ("2026-05-08 23:59", balance(pending=200)),
        ("2026-05-09 00:00", balance(available=200)),
        ("2026-05-20 12:00", balance(available=100)),
    ):
        assert shop.then("li-lei", moment) == then, moment


def test_11_5_known_at_shows_what_was_pending_by_what_was_known(shop: Shop) -> None:
    shop.at("2026-05-03 12:00").buys("li-lei", "o-1", "100.00", on="2026-05-01 12:00")
    shop.at("2026-05-12 12:00").activates("li-lei")

    def known(as_of: str | None, known_at: str) -> Any:
        replay = shop.ledger.replay
        return replay("li-lei", as_of=local(as_of) if as_of else None, known_at=local(known_at))[
            "balance"
        ]

    assert known(None, "2026-05-02 12:00") == balance()
    assert known(None, "2026-05-03 12:00") == balance(pending=100)
    assert known(None, "2026-05-12 12:00") == balance(available=100)
    # by the clock the midnight passed, although the job had not run by then
    assert known("2026-05-10 12:00", "2026-05-11 12:00") == balance(available=100)
    assert known("2026-05-08 12:00", "2026-05-12 12:00") == balance(pending=100)


def test_failures_18_new_rules_leave_what_waits_waiting_and_what_came_at_once_as_it_is(
    shop: Shop,
) -> None:
    shop.buys("li-lei", "o-waiting", "100.00")
    shop.publish(rules(), "2026-05-02 00:00")
    shop.at("2026-05-03 12:00")
    shop.buys("li-lei", "o-at-once", "10.00")
    assert shop.balance("li-lei") == balance(available=10, pending=100)
    shop.publish(waiting(returns={"window_days": 30}), "2026-05-04 00:00")
    shop.at("2026-05-05 12:00")
    shop.buys("li-lei", "o-waiting-longer", "1.00")
    assert shop.balance("li-lei") == balance(available=10, pending=101)
    shop.at("2026-05-09 00:00")
    assert shop.balance("li-lei") == balance(available=110, pending=1)


def test_11_5_points_that_pay_a_later_debt_are_active_as_of_before_it(open_shop: OpenShop) -> None:
    shop = open_shop(waiting())
    shop.at("2026-05-12 12:00").buys("li-lei", "o-1", "200.00", on="2026-05-02 10:00")
    shop.redeems("li-lei", "r-1", 200, "o-cot", on="2026-05-12 10:00")
    shop.at("2026-05-15 12:00").refunds("o-1", "f-1", "200.00")
    assert shop.debt("li-lei") == 200
    shop.at("2026-05-20 12:00")
    shop.buys("li-lei", "o-2", "300.00", on="2026-05-02 11:00")  # late; 200 of it pay the debt
    assert shop.balance("li-lei")["available"] == 100
    # On 11 May there was no debt yet, and both lots had been active for two days.
    assert shop.then("li-lei", "2026-05-11 12:00") == {
        "available": 500, "pending": 0, "reserved": 0, "debt": 0,
    }  # fmt: skip
    assert shop.then("li-lei", "2026-05-08 12:00")["pending"] == 500
