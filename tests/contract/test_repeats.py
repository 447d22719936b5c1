"""Nothing is ever booked twice: idempotency keys, business ids, expected versions."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from calling import Api, Served, problem_of


def test_a_repeat_with_the_same_key_gets_the_first_answer(api: Api) -> None:
    member_id = api.member()
    order = {"member_id": member_id, "order_id": api.name("o"), "amount": "20.00"}
    headers = {"Idempotency-Key": api.name("key")}
    first = api.post("/v1/accruals", order, headers=headers)
    position = api.position()
    again = api.post("/v1/accruals", order, headers=headers)
    assert (again.status_code, again.json) == (first.status_code, first.json)
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert api.position() == position


def test_a_key_with_another_request_is_refused(api: Api) -> None:
    member_id = api.member()
    order = {"member_id": member_id, "order_id": api.name("o"), "amount": "20.00"}
    headers = {"Idempotency-Key": api.name("key")}
    api.post("/v1/accruals", order, headers=headers)
    position = api.position()
    answer = api.post("/v1/accruals", {**order, "amount": "21.00"}, headers=headers)
    assert answer.status_code == 422
    assert problem_of(answer)["code"] == "idempotency_key_reused"
    assert api.position() == position


def test_two_api_keys_may_use_the_same_idempotency_key(api: Api) -> None:
    headers = {"Idempotency-Key": api.name("key")}
    for role in ("pos", "admin"):
        member_id = api.member()
        order = {"member_id": member_id, "order_id": api.name("o"), "amount": "20.00"}
        assert api.post("/v1/accruals", order, role=role, headers=headers).status_code == 201


def test_a_refused_request_is_refused_again_under_its_key(api: Api) -> None:
    order = {"member_id": "nobody", "order_id": api.name("o"), "amount": "20.00"}
    headers = {"Idempotency-Key": api.name("key")}
    first = api.post("/v1/accruals", order, headers=headers)
    again = api.post("/v1/accruals", order, headers=headers)
    assert first.status_code == again.status_code == 404


def test_failures_08_a_network_retry_of_any_write_books_it_once(api: Api) -> None:
    member_id = api.member()
    order_id, redemption_id = api.name("o"), api.name("r")
    writes: list[tuple[str, dict[str, Any]]] = [
        ("/v1/accruals", {"member_id": member_id, "order_id": order_id, "amount": "500.00"}),
        (
            "/v1/redemptions",
            {
                "member_id": member_id,
                "redemption_id": redemption_id,
                "points": 200,
                "order_id": api.name("o"),
                "order_amount": "100.00",
                "reserve": True,
            },
        ),
        (f"/v1/redemptions/{redemption_id}/capture", {"points": 100}),
        ("/v1/refunds", {"refund_id": api.name("rf"), "order_id": order_id, "amount": "100.00"}),
        (
            f"/v1/members/{member_id}/adjustments",
            {"adjustment_id": api.name("a"), "points": 7, "reason": "goodwill"},
        ),
    ]
    for path, body in writes:
        first = api.post(path, body)
        assert first.status_code < 300, first.text
        position = api.position()
        for headers in ({}, {"Idempotency-Key": api.name("key")}):
            again = api.post(path, body, headers=headers)
            assert (again.status_code, again.json) == (first.status_code, first.json)
        assert api.position() == position


def test_failures_14_key_and_business_id_both_protect_and_answer_in_under_500_ms(
    api: Api,
) -> None:
    """A till retries under a new transaction id, or under the old one with another key."""
    member_id = api.member()
    order = {"member_id": member_id, "order_id": api.name("o"), "amount": "40.00"}
    first = api.post("/v1/accruals", order, headers={"Idempotency-Key": api.name("key")})
    began = time.monotonic()
    again = api.post("/v1/accruals", order, headers={"Idempotency-Key": api.name("key")})
    assert time.monotonic() - began < 0.5
    assert again.json == first.json
    other = api.post("/v1/accruals", {**order, "amount": "41.00"})
    assert other.status_code == 409
    assert problem_of(other)["code"] == "already_recorded"
    assert api.available(member_id) == 40


@pytest.mark.parametrize("keyed", [True, False], ids=["by key", "by order_id alone"])
def test_the_same_request_twenty_times_in_parallel_is_booked_once_and_answered_the_same(
    served: Served, api: Api, keyed: bool
) -> None:
    member_id = api.member()
    order = {"member_id": member_id, "order_id": api.name("o"), "amount": "60.00"}
    headers = {"Idempotency-Key": api.name("key")} if keyed else {}
    position = api.position()

    def send(_: int) -> tuple[int, str, bool]:
        with served.session("pos") as session:
            answer = session.post(
                f"{served.address}/v1/accruals", json=order, headers=headers, timeout=30
            )
        return answer.status_code, answer.text, "Idempotent-Replayed" in answer.headers

    with ThreadPoolExecutor(20) as tills:
        answers = list(tills.map(send, range(20)))
    assert len({(status, text) for status, text, _ in answers}) == 1
    assert answers[0][0] == 201
    assert [replayed for _, _, replayed in answers].count(False) == 1
    assert api.available(member_id) == 60
    assert api.position() == position + 1


def test_a_write_expects_the_version_that_if_match_names(api: Api) -> None:
    member_id = api.member()
    seen = api.get(f"/v1/members/{member_id}").headers["ETag"]
    order = {"member_id": member_id, "order_id": api.name("o"), "amount": "1.00"}
    assert api.post("/v1/accruals", order, headers={"If-Match": seen}).status_code == 201
    position = api.position()
    later = {**order, "order_id": api.name("o")}
    answer = api.post("/v1/accruals", later, headers={"If-Match": seen})
    assert answer.status_code == 412
    assert problem_of(answer)["code"] == "version_mismatch"
    assert api.position() == position
    assert api.post("/v1/accruals", later, headers={"If-Match": "2"}).status_code == 201
    again = {**order, "order_id": api.name("o")}
    assert api.post("/v1/accruals", again, headers={"If-Match": "*"}).status_code == 201
