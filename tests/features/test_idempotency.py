"""Nothing is ever booked twice: the key and the caller's own id both protect (API.md)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from shop import DESK, TILL, Shop

from ledger import requests as r
from ledger.events import Actor
from ledger.ledger import Ledger


def order(order_id: str = "o-1", amount: str = "148.60", member_id: str = "li-lei") -> r.Accrue:
    return r.Accrue(member_id=member_id, order_id=order_id, amount=Decimal(amount))


def offset(redemption_id: str | None, points: int = 100) -> r.Redeem:
    return r.Redeem(
        member_id="li-lei", redemption_id=redemption_id, points=points, order_id="o-cot",
        order_amount=Decimal("900.00"),
    )  # fmt: skip


COMMANDS: dict[str, Callable[[], r.Command]] = {
    "enrolment": lambda: r.Enrol(member_id="jim", name="Jim"),
    "enrolment without an id": lambda: r.Enrol(name="Jim"),
    "accrual": lambda: order("o-new"),
    "redemption": lambda: offset("r-new"),
    "redemption without an id": lambda: offset(None),
    "reservation": lambda: r.Redeem(
        member_id="li-lei", redemption_id="r-new", points=100, order_id="o-cot",
        order_amount=Decimal("900.00"), reserve=True,
    ),
    "capture": lambda: r.Capture(redemption_id="r-held"),
    "capture of a part": lambda: r.Capture(redemption_id="r-held", points=100),
    "release": lambda: r.Release(redemption_id="r-held"),
    "refund": lambda: r.Refund(refund_id="f-new", order_id="o-first", amount=Decimal("10.00")),
    "refund without an id": lambda: r.Refund(order_id="o-first", amount=Decimal("10.00")),
    "adjustment": lambda: r.Adjust(
        member_id="li-lei", adjustment_id="a-new", points=7, reason="goodwill"
    ),
    "adjustment without an id": lambda: r.Adjust(member_id="li-lei", points=-7, reason="goodwill"),
    "freeze": lambda: r.Freeze(member_id="li-lei", reason="lost card"),
    "close": lambda: r.Close(member_id="li-lei", reason="moved away"),
}  # fmt: skip


@pytest.fixture
def busy(shop: Shop) -> Shop:
    """A shop where 李雷 has 1000 points and 200 set aside."""
    shop.buys("li-lei", "o-first", "1000.00")
    shop.reserves("li-lei", "r-held", 200, "o-x")
    return shop


@pytest.mark.parametrize("name", COMMANDS)
def test_failures_8_a_retry_under_the_same_key_gets_the_first_answer(busy: Shop, name: str) -> None:
    first = busy.ask(COMMANDS[name](), key="k-1")
    assert first.status < 300, first.body
    assert not first.replayed
    before = busy.everything_stored()
    busy.clock.now += timedelta(days=3)
    for ledger in (busy.ledger, Ledger(busy.database, busy.clock)):
        (again,) = ledger.handle(
            [r.Request(command=COMMANDS[name](), actor=TILL, idempotency_key="k-1",
                       key_scope=TILL.key)]
        )  # fmt: skip
        assert again.replayed
        assert (again.status, again.body) == (first.status, first.body)
        assert busy.everything_stored() == before


@pytest.mark.parametrize(
    "name", [name for name in COMMANDS if "without" not in name and name not in ("freeze", "close")]
)
def test_failures_14_a_retry_under_a_new_key_is_known_by_its_business_id(
    busy: Shop, name: str
) -> None:
    first = busy.ask(COMMANDS[name](), key="k-1")
    before = busy.everything_stored()
    busy.clock.now += timedelta(days=400)
    for key in ("k-2", None):
        again = busy.ask(COMMANDS[name](), key=key)
        assert again.replayed
        assert (again.status, again.body) == (first.status, first.body)
        assert busy.everything_stored() == before


def test_failures_14_a_refund_under_the_old_key_and_an_order_under_a_new_one(busy: Shop) -> None:
    """What Toast's tills do: each kind of retry has its own habit; none may book twice."""
    refund = r.Refund(refund_id="f-1", order_id="o-first", amount=Decimal("100.00"))
    answers = {
        "accrual": [busy.ask(order(), key=key).body for key in ("k-1", "k-2", "k-3")],
        "refund": [busy.ask(refund, key="k-9").body for _ in range(3)],
        "redemption": [busy.ask(offset("r-1"), key=None).body for _ in range(3)],
    }
    for same in answers.values():
        assert same[0] == same[1] == same[2]
    totals = busy.totals("li-lei")
    assert (totals["granted"], totals["clawed_back"], totals["redeemed"]) == (1148, 100, 100)


def test_the_same_key_for_another_request_is_refused(busy: Shop) -> None:
    first = busy.ask(order(), key="k-1")
    before = busy.everything_stored()
    for other in (
        order("o-2"),
        order(amount="148.61"),
        order(member_id="han-meimei"),
        offset("r-1"),
    ):
        refused = busy.ask(other, key="k-1")
        assert (refused.status, refused.body["code"]) == (422, "idempotency_key_reused")
        assert busy.everything_stored() == before
    assert busy.ask(order(), key="k-1").body == first.body


def test_two_api_keys_may_use_the_same_idempotency_key(busy: Shop) -> None:
    assert busy.ask(order("o-1"), key="k-1", actor=TILL).status == 201
    assert busy.ask(order("o-2"), key="k-1", actor=Actor(key="till-13", role="pos")).status == 201


def test_a_refusal_is_an_answer_too_and_stays_so_under_its_key(busy: Shop) -> None:
    first = busy.ask(offset("r-1", points=900), key="k-1")
    assert (first.status, first.body["code"]) == (409, "insufficient_points")
    busy.buys("li-lei", "o-2", "500.00")
    again = busy.ask(offset("r-1", points=900), key="k-1")
    assert (again.status, again.body, again.replayed) == (409, first.body, True)
    assert busy.ask(offset("r-1", points=900), key="k-2").status == 201  # asked anew: yes


def test_a_refusal_after_a_lapse_is_kept_under_its_key_and_books_nothing(busy: Shop) -> None:
    busy.at("2026-05-01 12:15")  # 200 points lapse in the course of deciding
    before = busy.everything_stored()
    first = busy.ask(offset("r-1", points=1100), key="k-1")
    assert first.body["code"] == "insufficient_points"
    assert busy.everything_stored() == before
    busy.buys("li-lei", "o-2", "500.00")
    assert busy.ask(offset("r-1", points=1100), key="k-1").body == first.body


@pytest.mark.parametrize(
    ("first", "other"),
    [
        (order("o-1"), order("o-1", amount="148.61")),
        (order("o-1"), order("o-1", member_id="han-meimei")),
        (order("o-1"), r.Accrue(member_id="li-lei", order_id="o-1", amount=Decimal("148.60"),
                                store_id="s-12")),
        (offset("r-1"), offset("r-1", points=200)),
        (r.Refund(refund_id="f-1", order_id="o-first", amount=Decimal("1.00")),
         r.Refund(refund_id="f-1", order_id="o-first", amount=Decimal("2.00"))),
        (r.Adjust(member_id="li-lei", adjustment_id="a-1", points=1, reason="goodwill"),
         r.Adjust(member_id="li-lei", adjustment_id="a-1", points=1, reason="other")),
        (r.Enrol(member_id="jim", name="Jim"), r.Enrol(member_id="jim", name="James")),
    ],
)  # fmt: skip
def test_the_same_id_with_other_content_is_already_recorded(
    busy: Shop, first: r.Command, other: r.Command
) -> None:
    assert busy.ask(first).status == 201
    with busy.refusing("already_recorded"):
        busy.does(other)


def test_the_same_id_of_another_kind_is_another_thing(busy: Shop) -> None:
    assert busy.buys("li-lei", "x-1", "10.00")["points"] == 10
    assert busy.redeems("li-lei", "x-1", 100, "x-1", "100.00")["points"] == 100
    assert busy.refunds("x-1", "x-1", "10.00")["points_restored"] == 100
    assert busy.adjusts("li-lei", "x-1", 5)["points"] == 5


def test_repeats_within_one_batch_get_the_first_answer(busy: Shop) -> None:
    outcomes = busy.together(order(), offset("r-1"), order(), offset("r-1"), order(amount="1.00"))
    assert [outcome.status for outcome in outcomes] == [201, 201, 201, 201, 409]
    assert outcomes[2].body == outcomes[0].body
    assert outcomes[3].body == outcomes[1].body
    assert [outcome.replayed for outcome in outcomes] == [False, False, True, True, False]


def test_one_key_twice_in_one_batch_books_once(busy: Shop) -> None:
    request = r.Request(command=offset(None), actor=TILL, idempotency_key="k-1")
    first, again = busy.ledger.handle([request, request])
    assert first.body == again.body
    assert again.replayed
    assert busy.totals("li-lei")["redeemed"] == 100


def test_one_bad_operation_fails_alone(busy: Shop) -> None:
    outcomes = busy.together(
        order("o-1", "10.00"),
        order("o-2", member_id="nobody"),
        offset("r-1", points=150),
        r.Refund(refund_id="f-1", order_id="o-nothing", amount=Decimal("1.00")),
        order("o-3", "20.00"),
        offset("r-2", points=2000),
        order("o-4", "30.00"),
    )
    assert [outcome.status for outcome in outcomes] == [201, 404, 422, 404, 201, 409, 201]
    assert [o.body["balance"]["available"] for o in outcomes if o.status == 201] == [810, 830, 860]
    assert [o.body["position"] for o in outcomes if o.status == 201] == [6, 7, 8]


def test_one_that_lapses_and_then_is_refused_fails_alone_in_a_batch(busy: Shop) -> None:
    busy.at("2026-05-01 12:15")
    outcomes = busy.together(
        order("o-1", "10.00", member_id="han-meimei"),
        offset("r-1", points=2000),
        order("o-2", "10.00"),
        offset("r-2", points=2000),
        order("o-3", "20.00"),
    )
    assert [outcome.status for outcome in outcomes] == [201, 409, 201, 409, 201]
    assert busy.available("li-lei") == 1030
    assert len(busy.events("li-lei", "ReservationLapsed")) == 1


def test_a_batch_of_more_than_one_transaction_keeps_its_order(busy: Shop) -> None:
    commands = [order(f"o-{number}", "1.00") for number in range(1, 601)]
    outcomes = busy.together(*commands, r.Close(member_id="li-lei", reason="done"), order("o-x"))
    assert [outcome.status for outcome in outcomes] == [201] * 600 + [200, 409]
    positions = [outcome.body["position"] for outcome in outcomes[:600]]
    assert positions == list(range(positions[0], positions[0] + 600))
    assert busy.available("li-lei") == 800 + 600


def test_desk_and_till_see_the_same_first_answer(busy: Shop) -> None:
    first = busy.ask(order(), actor=TILL, key="k-1")
    again = busy.ask(order(), actor=DESK, key="k-1")
    assert again.body == first.body
    assert [event.meta.actor for event in busy.events("li-lei", "PointsAccrued")][-1] == TILL
