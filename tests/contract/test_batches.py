"""Many operations in one request: each stands alone, in order, as JSON or streamed as NDJSON."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from calling import Api, Served, problem_of
from werkzeug.test import TestResponse

from api.batches import LONGEST_LINE
from api.schemas import MOST_OPERATIONS

NDJSON = "application/x-ndjson"


def accrual(member_id: str, order_id: str, amount: str = "10.00", **more: Any) -> dict[str, Any]:
    """An operation that accrues, without a key unless given."""
    body = {"member_id": member_id, "order_id": order_id, "amount": amount}
    return {"op": "accrue", "body": body, **more}


def lines_of(operations: list[Any]) -> bytes:
    """Operations as NDJSON."""
    return b"".join(json.dumps(operation).encode() + b"\n" for operation in operations)


def results_of(answer: TestResponse) -> list[Any]:
    """The results of an NDJSON answer."""
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == NDJSON
    return [json.loads(line) for line in answer.data.splitlines()]


def test_operations_take_effect_in_order_and_answer_as_their_endpoints(api: Api) -> None:
    member_id, order_id = api.name("m"), api.name("o")
    redemption = {
        "member_id": member_id,
        "redemption_id": api.name("r"),
        "points": 100,
        "order_id": api.name("o"),
        "order_amount": "100.00",
    }
    operations = [
        {"op": "enrol", "key": api.name("k"), "body": {"member_id": member_id}},
        accrual(member_id, order_id, "150.00", key=api.name("k")),
        {"op": "redeem", "key": api.name("k"), "body": redemption},
        {"op": "refund", "key": api.name("k"), "body": {"order_id": order_id, "amount": "150.00"}},
    ]
    answer = api.post("/v1/batches", {"operations": operations}, role="pos")
    assert answer.status_code == 200
    batch = answer.json
    assert batch is not None
    assert (batch["succeeded"], batch["failed"]) == (4, 0)
    assert [result["key"] for result in batch["results"]] == [each["key"] for each in operations]
    assert [result["status"] for result in batch["results"]] == [201, 201, 201, 201]
    accrued, refunded = batch["results"][1]["body"], batch["results"][3]["body"]
    assert accrued["balance"]["available"] == 150
    assert (refunded["points_clawed_back"], refunded["debt"]) == (150, 100)
    assert refunded["position"] == api.position()
    direct = api.post("/v1/accruals", operations[1]["body"])
    assert direct.json == accrued


BAD_OPERATIONS: list[Any] = [
    None,
    5,
    "accrue",
    [],
    {},
    {"op": "steal", "body": {}},
    {"op": ["accrue"], "body": {}},
    {"op": "accrue"},
    {"op": "accrue", "body": None},
    {"op": "accrue", "body": []},
    {"op": "accrue", "body": {"member_id": "m", "order_id": "o", "amount": 5}},
    {"op": "accrue", "body": {"member_id": "m", "order_id": "o", "amount": "5.00", "x": 1}},
    {"op": "accrue", "key": 5, "body": {"member_id": "m", "order_id": "o", "amount": "5.00"}},
    {"op": "accrue", "key": "", "body": {"member_id": "m", "order_id": "o", "amount": "5.00"}},
    {"op": "accrue", "key": "ü", "body": {"member_id": "m", "order_id": "o", "amount": "5.00"}},
    {"op": "accrue", "body": {"member_id": "m", "order_id": "o", "amount": "5.00"}, "more": 1},
]


@pytest.mark.parametrize("bad", BAD_OPERATIONS, ids=json.dumps)
@pytest.mark.parametrize("ndjson", [False, True], ids=["JSON", "NDJSON"])
def test_one_bad_operation_fails_alone(api: Api, bad: object, ndjson: bool) -> None:
    member_id = api.member()
    operations = [accrual(member_id, api.name("o")), bad, accrual(member_id, api.name("o"))]
    if ndjson:
        answer = api.call("POST", "/v1/batches", data=lines_of(operations), content_type=NDJSON)
        results = results_of(answer)
    else:
        results = (api.post("/v1/batches", {"operations": operations}).json or {})["results"]
    assert [result["status"] for result in results] == [201, 422, 201]
    problem = results[1]["body"]
    assert problem["code"] == "invalid_request"
    assert problem["request_id"]
    assert problem["errors"]
    assert api.available(member_id) == 20


def test_a_refused_operation_fails_alone(api: Api) -> None:
    member_id = api.member()
    order_id = api.name("o")
    operations = [
        accrual(member_id, order_id),
        accrual("nobody", api.name("o"), key="k-nobody"),
        accrual(member_id, order_id, "11.00"),
        accrual(member_id, api.name("o")),
    ]
    batch = api.post("/v1/batches", {"operations": operations}).json
    assert batch is not None
    assert [result["status"] for result in batch["results"]] == [201, 404, 409, 201]
    assert batch["results"][1]["key"] == "k-nobody"
    assert batch["results"][1]["body"]["code"] == "not_found"
    assert batch["results"][2]["body"]["code"] == "already_recorded"
    assert (batch["succeeded"], batch["failed"]) == (2, 2)


def test_failures_09_an_offline_tills_batch_can_be_sent_again_whole(api: Api) -> None:
    member_id = api.member()
    operations = [
        accrual(member_id, api.name("o"), occurred_at=None, key=api.name("k")) for _ in range(5)
    ]
    for operation in operations:
        operation.pop("occurred_at")
        operation["body"]["occurred_at"] = "2026-05-01T12:00:00+08:00"
    first = api.post("/v1/batches", {"operations": operations}).json
    position = api.position()
    again = api.post("/v1/batches", {"operations": operations}).json
    assert first is not None
    assert again is not None
    assert [result["body"] for result in again["results"]] == [
        result["body"] for result in first["results"]
    ]
    assert all(result["replayed"] for result in again["results"])
    assert api.position() == position


def test_operations_without_a_key_are_protected_by_the_batchs_own(api: Api) -> None:
    member_id = api.member()
    adding = {"op": "enrol", "body": {"name": "a member without an id"}}
    headers = {"Idempotency-Key": api.name("batch")}
    body = {"operations": [adding, accrual(member_id, api.name("o")), adding]}
    first = api.post("/v1/batches", body, headers=headers).json
    position = api.position()
    again = api.post("/v1/batches", body, headers=headers).json
    assert first is not None
    assert again is not None
    ids = [result["body"].get("member_id") for result in first["results"]]
    assert ids == [result["body"].get("member_id") for result in again["results"]]
    assert ids[0] != ids[2]
    assert api.position() == position


def test_the_same_key_twice_in_a_batch_is_one_operation(api: Api) -> None:
    member_id = api.member()
    operation = accrual(member_id, api.name("o"), key=api.name("k"))
    batch = api.post("/v1/batches", {"operations": [operation, operation]}).json
    assert batch is not None
    assert batch["results"][0]["body"]["points"] == batch["results"][1]["body"]["points"]
    assert batch["results"][1]["replayed"]
    assert api.available(member_id) == 10


@pytest.mark.parametrize("body", [{}, {"operations": None}, {"operations": {}}, {"ops": []}, []])
def test_a_batch_that_is_no_list_of_operations_is_refused(api: Api, body: object) -> None:
    answer = api.post("/v1/batches", body)
    assert answer.status_code == 422
    assert problem_of(answer)["code"] == "invalid_request"


def test_a_batch_may_be_empty(api: Api) -> None:
    answer = api.post("/v1/batches", {"operations": []})
    assert (answer.status_code, answer.json) == (200, {"results": [], "succeeded": 0, "failed": 0})


def test_a_batch_has_at_most_ten_thousand_operations(api: Api) -> None:
    position = api.position()
    answer = api.post("/v1/batches", {"operations": [5] * (MOST_OPERATIONS + 1)})
    assert answer.status_code == 422
    assert list(problem_of(answer)["errors"]) == ["operations"]
    full = api.post("/v1/batches", {"operations": [5] * MOST_OPERATIONS}).json
    assert full is not None
    assert full["failed"] == MOST_OPERATIONS
    assert api.position() == position


# NDJSON


def test_lines_are_answered_in_order_with_their_keys(api: Api) -> None:
    member_id = api.member()
    operations = [accrual(member_id, api.name("o"), key=f"line-{n}") for n in range(1000)]
    answer = api.call(
        "POST", "/v1/batches", role="pos", data=lines_of(operations), content_type=NDJSON
    )
    results = results_of(answer)
    assert [result["key"] for result in results] == [f"line-{n}" for n in range(1000)]
    assert api.available(member_id) == 10_000


def test_lines_that_cannot_be_read_fail_alone(api: Api) -> None:
    member_id = api.member()
    good = json.dumps(accrual(member_id, api.name("o"))).encode()
    long = b'"' + b"x" * (LONGEST_LINE + 200_000) + b'"'
    last = json.dumps(accrual(member_id, api.name("o"))).encode()
    body = b"\n".join([good, b"{", b"", b"  ", b"\xff", b'{"op": NaN}', long, b"[]\r", last])
    answer = api.call("POST", "/v1/batches", data=body, content_type=NDJSON)
    results = results_of(answer)
    assert [result["status"] for result in results] == [201, 400, 400, 400, 413, 422, 201]
    assert [result["body"]["code"] for result in results[1:6]] == [
        *["malformed_json"] * 3,
        "too_large",
        "invalid_request",
    ]
    assert api.available(member_id) == 20


@pytest.mark.parametrize("body", [b"", b"\n", b" \n\n"])
def test_no_lines_are_no_results(api: Api, body: bytes) -> None:
    assert results_of(api.call("POST", "/v1/batches", data=body, content_type=NDJSON)) == []


def test_lines_without_keys_are_protected_by_the_requests_own_key(api: Api) -> None:
    member_id = api.member()
    body = lines_of([{"op": "enrol", "body": {}}, accrual(member_id, api.name("o"))])
    headers = {"Idempotency-Key": api.name("stream")}

    def send() -> list[Any]:
        answer = api.call("POST", "/v1/batches", data=body, content_type=NDJSON, headers=headers)
        return results_of(answer)

    first = send()
    position = api.position()
    assert [result["body"] for result in send()] == [result["body"] for result in first]
    assert api.position() == position


def test_a_client_that_reads_nothing_before_it_has_sent_all_is_not_left_waiting(
    served: Served, api: Api
) -> None:
    """The answer is larger than what fits between the two."""
    bad = b'{"op": "accrue", "key": "' + b"k" * 200 + b'", "body": {}}\n'
    count = 40_000

    def body() -> Iterator[bytes]:
        for _ in range(count // 1000):
            yield bad * 1000

    with served.session("pos") as session:
        answer = session.post(
            f"{served.address}/v1/batches",
            data=body(),
            headers={"Content-Type": NDJSON},
            stream=True,
            timeout=60,
        )
        assert answer.status_code == 200
        results = sum(1 for _ in answer.iter_lines(chunk_size=1 << 16))
    assert results == count


def test_results_come_while_lines_are_still_being_sent(served: Served, api: Api) -> None:
    member_id = api.member()
    where = urlsplit(served.address)
    with socket.create_connection((where.hostname, where.port), timeout=20) as connection:
        connection.sendall(
            b"POST /v1/batches HTTP/1.1\r\nHost: jifen\r\nContent-Type: application/x-ndjson\r\n"
            b"Authorization: Bearer " + served.keys["pos"].encode() + b"\r\n"
            b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        )
        operations = [accrual(member_id, api.name("o")) for _ in range(1500)]
        _send_chunk(connection, lines_of(operations[:1400]))
        received = connection.recv(1 << 16)
        while b'"status":201' not in received:
            received += connection.recv(1 << 16)
        _send_chunk(connection, lines_of(operations[1400:]))
        connection.sendall(b"0\r\n\r\n")
        while part := connection.recv(1 << 16):
            received += part
    assert received.count(b'"status":201') == 1500
    assert api.available(member_id) == 15_000


def test_a_client_that_goes_away_leaves_what_was_booked_booked(served: Served, api: Api) -> None:
    member_id = api.member()
    where = urlsplit(served.address)
    operations = [accrual(member_id, api.name("o"), key=api.name("k")) for _ in range(800)]
    with socket.create_connection((where.hostname, where.port), timeout=20) as connection:
        connection.sendall(
            b"POST /v1/batches HTTP/1.1\r\nHost: jifen\r\nContent-Type: application/x-ndjson\r\n"
            b"Authorization: Bearer " + served.keys["pos"].encode() + b"\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        _send_chunk(connection, lines_of(operations))
        received = b""
        while b'"status":201' not in received:
            received += connection.recv(1 << 16)
    with served.session("pos") as session:
        again = session.post(
            f"{served.address}/v1/batches",
            data=lines_of(operations),
            headers={"Content-Type": NDJSON},
            timeout=30,
        )
    statuses = [json.loads(line)["status"] for line in again.content.splitlines()]
    assert statuses == [201] * 800
    assert api.available(member_id) == 8000


def _send_chunk(connection: socket.socket, data: bytes) -> None:
    connection.sendall(f"{len(data):x}\r\n".encode() + data + b"\r\n")
