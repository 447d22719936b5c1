"""Each bad input gets the right status and problem document, and nothing is written."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from calling import Api, Served, problem_of

ORDER = {"member_id": "m-bad", "order_id": "o-bad", "amount": "10.00"}
OFFSET = {
    "member_id": "m-bad",
    "redemption_id": "r-bad",
    "points": 100,
    "order_id": "o-bad",
    "order_amount": "100.00",
}
JSON = "application/json"
DEEP = "[" * 100_000 + "]" * 100_000


@pytest.fixture(scope="module", autouse=True)
def member(api: Api) -> None:
    """A member on whom each of the requests would succeed but for what is wrong with it."""
    api.post("/v1/members", {"member_id": "m-bad"})
    order = {"member_id": "m-bad", "order_id": "o-earned", "amount": "1000.00"}
    assert api.post("/v1/accruals", order).status_code == 201


MALFORMED = {
    "empty": "",
    "blank": " \n",
    "not JSON": "member_id=m-1",
    "cut off": '{"member_id": "m-bad", "order_id": ',
    "single quotes": "{'member_id': 'm-bad'}",
    "trailing comma": '{"member_id": "m-bad",}',
    "two values": "{} {}",
    "NaN": '{"member_id": "m-bad", "order_id": "o", "amount": NaN}',
    "Infinity": '{"member_id": "m-bad", "order_id": "o", "amount": Infinity}',
    "-Infinity": '{"member_id": "m-bad", "order_id": "o", "amount": -Infinity}',
    "1e400": '{"member_id": "m-bad", "order_id": "o", "amount": 1e400}',
    "5000 digits": '{"member_id": "m-bad", "order_id": "o", "amount": ' + "9" * 5000 + "}",
    "a name twice": '{"member_id": "m-bad", "order_id": "o", "amount": "1.00", "amount": "2.00"}',
    "nested too deeply": DEEP,
    "objects nested too deeply": '{"a":' * 50_000 + "1" + "}" * 50_000,
    "not UTF-8": b'{"member_id": "\xff"}',
    "UTF-16": '{"member_id": "m-bad"}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "a control character in a string": '{"member_id": "a\nb"}',
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
@pytest.mark.parametrize("path", ["/v1/accruals", "/v1/batches"])
def test_a_body_that_is_not_json_is_refused_as_malformed(
    api: Api, path: str, body: str | bytes
) -> None:
    before = api.position()
    answer = api.call("POST", path, data=body, content_type=JSON)
    assert answer.status_code == 400
    assert problem_of(answer)["code"] == "malformed_json"
    assert api.position() == before


BAD_AMOUNTS = {
    "a number": 10,
    "a float": 10.5,
    "true": True,
    "null": None,
    "a list": ["10.00"],
    "an object": {"amount": "10.00"},
    "empty": "",
    "a word": "ten",
    "NaN as text": "NaN",
    "Infinity as text": "Infinity",
    "negative": "-1.00",
    "a plus sign": "+1.00",
    "three decimals": "1.001",
    "no digit before the point": ".50",
    "no digit after the point": "1.",
    "an exponent": "1e2",
    "blank before": " 1.00",
    "blank after": "1.00 ",
    "a line end": "1.00\n",
    "a comma": "1,00",
    "thousands": "1,000.00",
    "underscore": "1_000",
    "hexadecimal": "0x10",
    "Arabic digits": "١٠",
    "full-width digits": "１０",
    "superscript": "1²",
    "too large": "100000000.00",
    "huge": "9" * 400,
    "NUL": "1.00\x00",
}


@pytest.mark.parametrize("amount", BAD_AMOUNTS.values(), ids=BAD_AMOUNTS.keys())
@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/accruals", ORDER, "amount"),
        ("/v1/refunds", {"refund_id": "rf-bad", "order_id": "o-earned"}, "amount"),
        ("/v1/redemptions", OFFSET, "order_amount"),
        ("/v1/quotes", ORDER, "amount"),
    ],
    ids=["accrual", "refund", "redemption", "quote"],
)
def test_an_amount_that_is_not_money_is_refused(
    api: Api, path: str, body: dict[str, Any], field: str, amount: object
) -> None:
    refused(api, path, {**body, field: amount}, field)


@pytest.mark.parametrize(
    "amount", ["0", "0.0", "0.00", "1", "1.5", "148.60", "99999999.99", "00000001.00"]
)
def test_an_amount_of_digits_with_at_most_two_decimals_is_taken(api: Api, amount: str) -> None:
    answer = api.post("/v1/quotes", {**ORDER, "amount": amount})
    assert answer.status_code == 200, answer.text


BAD_IDS = {
    "a number": 1,
    "true": True,
    "a list": ["m-bad"],
    "empty": "",
    "65 characters": "a" * 65,
    "a blank": "m 1",
    "a slash": "m/1",
    "a quote": "m'1",
    "SQL": "'; DROP TABLE events; --",
    "a percent sign": "m%1",
    "Chinese": "会员",
    "a line end": "m-bad\n",
    "NUL": "m\x00",
    "half of an emoji": "\ud83d",
    "a combining letter": "é",
}


@pytest.mark.parametrize("bad", BAD_IDS.values(), ids=BAD_IDS.keys())
@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/members", {}, "member_id"),
        ("/v1/accruals", ORDER, "member_id"),
        ("/v1/accruals", ORDER, "order_id"),
        ("/v1/redemptions", OFFSET, "redemption_id"),
        ("/v1/refunds", {"order_id": "o-earned", "amount": "1.00"}, "refund_id"),
        ("/v1/members/m-bad/adjustments", {"points": 1, "reason": "x"}, "adjustment_id"),
    ],
    ids=["member", "accrual", "order", "redemption", "refund", "adjustment"],
)
def test_an_id_of_odd_characters_is_refused(
    api: Api, path: str, body: dict[str, Any], field: str, bad: object
) -> None:
    refused(api, path, {**body, field: bad}, field)


@pytest.mark.parametrize("path", ["m%20bad", "m%00", "%E4%BC%9A", "a" * 65, "..", "m%2Fbad"])
def test_a_path_with_what_cannot_be_an_id_is_not_found(api: Api, path: str) -> None:
    answer = api.get(f"/v1/members/{path}")
    assert answer.status_code == 404
    assert problem_of(answer)["code"] == "not_found"


BAD_TIMES = {
    "a number": 1767225600,
    "no offset": "2026-01-01T00:00:00",
    "no time": "2026-01-01",
    "no seconds": "2026-01-01T00:00+08:00",
    "a blank for the T": "2026-01-01 00:00:00+08:00",
    "basic form": "20260101T000000+0800",
    "a short offset": "2026-01-01T00:00:00+08",
    "a zone's name": "2026-01-01T00:00:00 Asia/Shanghai",
    "a week date": "2026-W01-1T00:00:00+08:00",
    "30 February": "2026-02-30T00:00:00+08:00",
    "hour 24": "2026-01-01T24:00:00+08:00",
    "an offset of 25 hours": "2026-01-01T00:00:00+25:00",
    "before 1970": "1969-12-31T23:59:59Z",
    "the year 1": "0001-01-01T00:00:00+14:00",
    "the far future": "2999-01-01T00:00:00Z",
    "the last year": "9999-12-31T23:59:59-14:00",
    "full-width digits": "２０２６-01-01T00:00:00Z",
    "words": "yesterday",
    "empty": "",
}


@pytest.mark.parametrize("time", BAD_TIMES.values(), ids=BAD_TIMES.keys())
@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/members", {}, "joined_at"),
        ("/v1/accruals", ORDER, "occurred_at"),
        ("/v1/redemptions", OFFSET, "occurred_at"),
        ("/v1/refunds", {"order_id": "o-earned", "amount": "1.00"}, "occurred_at"),
        ("/v1/members/m-bad/adjustments", {"points": 1, "reason": "x"}, "occurred_at"),
    ],
    ids=["enrolment", "accrual", "redemption", "refund", "adjustment"],
)
def test_a_time_without_offset_or_in_the_far_future_is_refused(
    api: Api, path: str, body: dict[str, Any], field: str, time: object
) -> None:
    # The ledger itself, which knows only one moment of an event, calls it occurred_at.
    refused(api, path, {**body, field: time}, field, "occurred_at")


BAD_POINTS = {
    "a float": 100.0,
    "a fraction": 100.5,
    "text": "100",
    "true": True,
    "zero": 0,
    "negative": -100,
    "huge": 10**30,
    "an exponent": 1e2,
    "a list": [100],
}


@pytest.mark.parametrize("points", BAD_POINTS.values(), ids=BAD_POINTS.keys())
def test_points_that_are_not_a_positive_integer_are_refused(api: Api, points: object) -> None:
    refused(api, "/v1/redemptions", {**OFFSET, "points": points}, "points")


@pytest.mark.parametrize("points", [0, 1.0, True, "5", 10**12, None])
def test_an_adjustment_of_no_points_is_refused(api: Api, points: object) -> None:
    body = {"adjustment_id": "a-bad", "points": points, "reason": "goodwill"}
    refused(api, "/v1/members/m-bad/adjustments", body, "points")


@pytest.mark.parametrize("field", ["member_id", "order_id", "amount"])
def test_a_required_field_must_be_there(api: Api, field: str) -> None:
    refused(api, "/v1/accruals", {k: v for k, v in ORDER.items() if k != field}, field)


@pytest.mark.parametrize(
    "name", ["amuont", "", "x" * 5000, "\x00", "\ud800", "__proto__", "amount ", "AMOUNT"]
)
def test_an_unknown_field_is_refused_by_name(api: Api, name: str) -> None:
    before = api.position()
    body = json.dumps({**ORDER, name: "1"})
    answer = api.call("POST", "/v1/accruals", data=body, content_type=JSON)
    assert answer.status_code == 422
    assert len(problem_of(answer)["errors"]) == 1
    assert api.position() == before


def test_a_thousand_unknown_fields_make_a_short_answer(api: Api) -> None:
    answer = api.post("/v1/accruals", {f"field_{n}": n for n in range(1000)})
    assert answer.status_code == 422
    assert len(problem_of(answer)["errors"]) <= 20


@pytest.mark.parametrize("body", [[], [ORDER], "text", 1, 1.5, True, None])
def test_a_body_that_is_no_object_is_refused(api: Api, body: object) -> None:
    before = api.position()
    answer = api.call("POST", "/v1/accruals", data=json.dumps(body), content_type=JSON)
    assert answer.status_code == 422
    assert problem_of(answer)["errors"] == {"body": ["Give a JSON object."]}
    assert api.position() == before


BAD_FIELDS: list[tuple[str, dict[str, Any], str]] = [
    ("/v1/members", {"name": "a\x00b"}, "name"),
    ("/v1/members", {"name": "\udfff"}, "name"),
    ("/v1/members", {"name": "x" * 201}, "name"),
    ("/v1/members", {"name": 5}, "name"),
    ("/v1/members", {"birthday": "1990-5-4"}, "birthday"),
    ("/v1/members", {"birthday": "19900504"}, "birthday"),
    ("/v1/members", {"birthday": "1990-02-30"}, "birthday"),
    ("/v1/members", {"birthday": "1990-05-04T00:00:00Z"}, "birthday"),
    ("/v1/members", {"tags": "母婴"}, "tags"),
    ("/v1/members", {"tags": ["x"] * 51}, "tags"),
    ("/v1/members", {"tags": [1]}, "tags.0"),
    ("/v1/members", {"consents": {"sms": "yes"}}, "consents"),
    ("/v1/members", {"consents": {"sms": 1}}, "consents"),
    ("/v1/members", {"consents": {"\x00": True}}, "consents"),
    ("/v1/members", {"consents": ["sms"]}, "consents"),
    ("/v1/accruals", {**ORDER, "items": {}}, "items"),
    ("/v1/accruals", {**ORDER, "items": [1]}, "items.0"),
    ("/v1/accruals", {**ORDER, "items": [{"sku": "A", "amount": 1}]}, "items.0.amount"),
    ("/v1/accruals", {**ORDER, "items": [{"quantity": 0}]}, "items.0.quantity"),
    ("/v1/accruals", {**ORDER, "items": [{"price": "1.00"}]}, "items.0.price"),
    ("/v1/accruals", {**ORDER, "items": [{}] * 1001}, "items"),
    ("/v1/accruals", {**ORDER, "redemption_ids": ["r 1"]}, "redemption_ids.0"),
    ("/v1/redemptions", {**OFFSET, "reserve": "yes"}, "reserve"),
    ("/v1/redemptions", {**OFFSET, "reserve": 1}, "reserve"),
    ("/v1/redemptions", {**OFFSET, "reserve": True, "reserve_seconds": 0}, "reserve_seconds"),
    ("/v1/redemptions", {**OFFSET, "reserve": True, "reserve_seconds": 604801}, "reserve_seconds"),
    ("/v1/redemptions", {**OFFSET, "reward_id": "charity"}, "points"),
    ("/v1/redemptions", {"member_id": "m-bad"}, "points"),
    ("/v1/redemptions", {"member_id": "m-bad", "points": 100}, "order_id"),
    ("/v1/members/m-bad/adjustments", {"points": 5}, "reason"),
    ("/v1/members/m-bad/freeze", {"reason": ""}, "reason"),
    ("/v1/members/m-bad/freeze", {}, "reason"),
    ("/v1/keys", {"name": "x", "roles": []}, "roles"),
    ("/v1/keys", {"name": "x", "roles": ["root"]}, "roles.0"),
]


@pytest.mark.parametrize(("path", "body", "field"), BAD_FIELDS)
def test_a_field_of_the_wrong_kind_is_refused(
    api: Api, path: str, body: dict[str, Any], field: str
) -> None:
    refused(api, path, body, field)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?as_off=2026-01-01T00:00:00Z", "as_off"),
        ("?as_of=2026-01-01", "as_of"),
        ("?as_of=", "as_of"),
        ("?as_of=2026-01-01T00:00:00Z&as_of=2026-02-01T00:00:00Z", "as_of"),
        ("?known_at=now", "known_at"),
        ("?min_position=-1", "min_position"),
        ("?min_position=x", "min_position"),
        ("?min_position=99999999999999999999", "min_position"),
    ],
)
def test_a_misspelt_or_wrong_query_parameter_is_refused(api: Api, query: str, field: str) -> None:
    """FAILURES 27: a filter that is not understood must not answer for everything."""
    answer = api.get(f"/v1/members/m-bad{query}")
    assert answer.status_code == 422
    assert field in problem_of(answer)["errors"]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "limit=x",
        "limit=１",
        "cursor=%00",
        "cursor=%F0%9F",
        "cursor=!",
        "order=up",
        "kind=PointsStolen",
        "from=yesterday",
    ],
)
def test_a_wrong_page_is_refused(api: Api, query: str) -> None:
    answer = api.get(f"/v1/members/m-bad/history?{query}")
    assert answer.status_code == 422
    assert list(problem_of(answer)["errors"]) == [query.split("=")[0]]


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "text/json", ""],
)
def test_a_wrong_content_type_is_refused(api: Api, content_type: str) -> None:
    before = api.position()
    for path in ("/v1/accruals", "/v1/batches"):
        answer = api.call("POST", path, data=json.dumps(ORDER), content_type=content_type)
        assert answer.status_code == 415
        assert problem_of(answer)["code"] == "unsupported_media_type"
    assert api.position() == before


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip", "x-unknown"])
@pytest.mark.parametrize(
    ("method", "path", "content_type"),
    [
        ("POST", "/v1/accruals", JSON),
        ("POST", "/v1/members/m-bad/freeze", JSON),
        ("POST", "/v1/batches", JSON),
        ("POST", "/v1/batches", "application/x-ndjson"),
        ("PUT", "/v1/programme", "application/toml"),
    ],
)
def test_an_encoded_body_is_refused_as_a_whole(
    api: Api, method: str, path: str, content_type: str, encoding: str
) -> None:
    before = api.position()
    body = gzip.compress(b'{"op": "enrol", "body": {}}\n' * 100)
    headers = {"Content-Encoding": encoding}
    answer = api.call(method, path, data=body, content_type=content_type, headers=headers)
    assert answer.status_code == 415
    problem = problem_of(answer)
    assert problem["code"] == "unsupported_media_type"
    assert "Content-Encoding" in problem["detail"]
    assert api.position() == before


def test_the_encoding_identity_is_none(api: Api) -> None:
    for encoding in ("identity", "Identity", ""):
        answer = api.post("/v1/quotes", ORDER, headers={"Content-Encoding": encoding})
        assert answer.status_code == 200


@pytest.mark.parametrize("content_type", [JSON, "application/json; charset=utf-8"])
def test_json_in_utf_8_is_taken(api: Api, content_type: str) -> None:
    answer = api.call("POST", "/v1/quotes", data=json.dumps(ORDER), content_type=content_type)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("path", "mebibytes"), [("/v1/accruals", 1), ("/v1/programme", 1), ("/v1/batches", 32)]
)
def test_a_body_over_the_limit_is_refused(api: Api, path: str, mebibytes: int) -> None:
    before = api.position()
    body = b" " * (mebibytes * 1024 * 1024 + 1)
    method = "PUT" if path == "/v1/programme" else "POST"
    answer = api.call(method, path, data=body, content_type=JSON)
    assert answer.status_code == 413
    assert problem_of(answer)["code"] == "too_large"
    assert api.position() == before


@pytest.mark.parametrize("path", ["/v1/accruals", "/v1/batches", "/v1/nothing"])
@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
def test_a_body_of_50_mb_is_refused_without_being_read(
    served: Served, api: Api, path: str, chunked: bool
) -> None:
    before = api.position()
    megabyte = b" " * 1_000_000
    body = (megabyte for _ in range(50)) if chunked else megabyte * 50
    with served.session() as session:
        answer = session.post(
            served.address + path, data=body, headers={"Content-Type": JSON}, timeout=30
        )
    assert answer.status_code == (404 if path == "/v1/nothing" else 413)
    problem_of(answer)
    assert api.position() == before


@pytest.mark.parametrize(("more", "status"), [(0, 200), (1, 413)], ids=["the limit", "one more"])
@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
def test_a_body_of_exactly_the_limit_is_taken(
    served: Served, chunked: bool, more: int, status: int
) -> None:
    order = json.dumps(ORDER).encode()
    body = order + b" " * (1024 * 1024 + more - len(order))
    with served.session() as session:
        answer = session.post(
            f"{served.address}/v1/quotes",
            data=iter((body[:1000], body[1000:])) if chunked else body,
            headers={"Content-Type": JSON},
            timeout=30,
        )
    assert answer.status_code == status, answer.text
    if status != 200:
        assert problem_of(answer)["code"] == "too_large"


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "schlüssel", "tab\t"])
def test_an_idempotency_key_must_be_visible_characters(api: Api, key: str) -> None:
    before = api.position()
    answer = api.post("/v1/accruals", ORDER, headers={"Idempotency-Key": key})
    assert answer.status_code == 422
    assert list(problem_of(answer)["errors"]) == ["Idempotency-Key"]
    assert api.position() == before


@pytest.mark.parametrize("version", ["abc", '"x"', "1.0", "-1", 'W/"1"', '"1", "2"'])
def test_if_match_must_be_a_version(api: Api, version: str) -> None:
    before = api.position()
    answer = api.post("/v1/accruals", ORDER, headers={"If-Match": version})
    assert answer.status_code == 422
    assert list(problem_of(answer)["errors"]) == ["If-Match"]
    assert api.position() == before


@pytest.mark.parametrize(
    "path",
    ["/v1/members/", "/v1/accruals/", "//v1/members", "/v1", "/v1/", "/v1/coupons", "/V1/jobs"],
)
def test_an_unknown_path_is_a_problem_and_no_redirect(api: Api, path: str) -> None:
    answer = api.get(path)
    assert answer.status_code == 404
    assert problem_of(answer)["code"] == "not_found"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/accruals", "POST"),
        ("DELETE", "/v1/members", "GET, HEAD, POST"),
        ("OPTIONS", "/v1/accruals", "POST"),
        ("POST", "/healthz", "GET, HEAD"),
        ("BREW", "/v1/accruals", "POST"),
    ],
)
def test_another_method_is_refused_with_those_allowed(
    api: Api, method: str, path: str, allowed: str
) -> None:
    answer = api.call(method, path)
    assert answer.status_code == 405
    assert problem_of(answer)["code"] == "method_not_allowed"
    assert answer.headers["Allow"] == allowed


def refused(api: Api, path: str, body: dict[str, Any], *fields: str) -> None:
    """The body is refused for one of the fields, and nothing is written."""
    before = api.position()
    answer = api.call("POST", path, data=json.dumps(body), content_type=JSON)
    assert answer.status_code == 422, answer.text
    problem = problem_of(answer)
    assert problem["code"] == "invalid_request"
    assert set(fields) & set(problem["errors"]), problem["errors"]
    assert api.position() == before
