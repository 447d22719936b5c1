"""What a till does, by the fields of API.md ("Till")."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from calling import Api, Served, problem_of

BALANCE = {"available", "pending", "reserved", "debt"}


def test_a_member_is_enrolled_and_read_back_without_personal_data(api: Api) -> None:
    member = {
        "member_id": api.name("m"),
        "name": "李雷",
        "phone": "+8613800000001",
        "email": None,
        "birthday": "1990-05-04",
        "joined_at": "2026-01-05T10:00:00+08:00",
        "tags": ["母婴"],
        "consents": {"sms": True},
        "external_id": "crm-77",
    }
    answer = api.post("/v1/members", member, role="pos")
    assert answer.status_code == 201
    enrolled = answer.json
    assert enrolled is not None
    assert enrolled["joined_at"] == "2026-01-05T10:00:00+08:00"
    assert set(enrolled["balance"]) == BALANCE
    assert {"tier", "level", "segment", "lifecycle", "lots", "totals", "referral_code"} <= set(
        enrolled
    )
    assert (enrolled["version"], enrolled["position"]) == (1, api.position())
    read = api.get(f"/v1/members/{member['member_id']}", role="pos")
    of_enrolment = {"issued": [], "referral": None}
    assert read.json is not None and read.json | of_enrolment == enrolled
    assert read.headers["ETag"] == '"1"'
    assert "李雷" not in read.text


def test_a_member_without_an_id_gets_one(api: Api) -> None:
    answer = api.post("/v1/members", {}, role="pos")
    assert answer.status_code == 201
    assert answer.json is not None
    assert re.fullmatch(r"[A-Za-z0-9._:-]{1,64}", answer.json["member_id"])


def test_null_for_an_optional_field_is_as_if_not_given(api: Api) -> None:
    member_id = api.member()
    order = {"member_id": member_id, "order_id": api.name("o"), "amount": "5.00"}
    nulls = {"occurred_at": None, "items": None, "store_id": None, "coupon_codes": None}
    first = api.post("/v1/accruals", {**order, **nulls})
    assert first.status_code == 201
    again = api.post("/v1/accruals", order)
    assert again.json == first.json
    assert again.headers["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize(
    ("field", "value"),
    [("phone", "+8613800000009"), ("email", "hanmei@example.com"), ("external_id", "crm-9")],
)
def test_members_are_found_by_what_they_gave(api: Api, field: str, value: str) -> None:
    ids = sorted(api.member(**{field: value}) for _ in range(3))
    answer = api.get("/v1/members", query_string={field: value}, role="pos")
    assert answer.json is not None
    assert [found["member_id"] for found in answer.json["members"]] == ids
    assert answer.json["next_cursor"] is None


def test_a_member_is_found_by_a_phone_number_whose_plus_is_not_escaped(api: Api) -> None:
    member_id = api.member(phone="+8613800000011")
    for plus in ("+", "%2B", "%20"):
        page = api.get(f"/v1/members?phone={plus}8613800000011", role="pos").json
        assert page is not None
        assert [found["member_id"] for found in page["members"]] == [member_id]


def test_found_members_come_by_pages(api: Api) -> None:
    ids = sorted(api.member(phone="+8613800000010") for _ in range(5))
    found: list[str] = []
    query: dict[str, str | int] | None = {"phone": "+8613800000010", "limit": 2}
    pages = 0
    while query is not None:
        page = api.get("/v1/members", query_string=query).json
        assert page is not None
        found += [member["member_id"] for member in page["members"]]
        cursor = page["next_cursor"]
        query = {**query, "cursor": cursor} if cursor is not None else None
        pages += 1
    assert found == ids
    assert pages == 3


def test_a_member_is_found_by_referral_code(api: Api) -> None:
    member_id = api.member()
    code = (api.get(f"/v1/members/{member_id}").json or {})["referral_code"]
    page = api.get("/v1/members", query_string={"referral_code": code}).json
    assert page is not None
    assert [found["member_id"] for found in page["members"]] == [member_id]


@pytest.mark.parametrize("query", ["", "?phone=1&email=2"])
def test_a_search_takes_one_of_its_four_fields(api: Api, query: str) -> None:
    answer = api.get(f"/v1/members{query}")
    assert answer.status_code == 422
    problem_of(answer)


def test_a_search_that_finds_nobody_is_an_empty_page(api: Api) -> None:
    answer = api.get("/v1/members?phone=%2B86000")
    assert (answer.status_code, answer.json) == (200, {"members": [], "next_cursor": None})


def test_an_order_earns_and_its_breakdown_adds_up(api: Api) -> None:
    member_id = api.member()
    order = {
        "member_id": member_id,
        "order_id": api.name("o"),
        "amount": "148.60",
        "occurred_at": "2026-05-01T12:00:00+08:00",
        "store_id": "s-12",
        "channel": "store",
        "items": [{"sku": "A1", "product_line": "baby", "amount": "100.00", "quantity": 2}],
        "coupon_codes": [],
        "redemption_ids": [],
        "funded_by": None,
    }
    answer = api.post("/v1/accruals", order, role="pos")
    assert answer.status_code == 201, answer.text
    earned = answer.json
    assert earned is not None
    assert earned["points"] == 148 == sum(row["points"] for row in earned["breakdown"])
    assert earned["breakdown"][0] == {"rule": "spend", "base": "148.60", "rate": "1", "points": 148}
    assert earned["occurred_at"] == "2026-05-01T12:00:00+08:00"
    assert earned["lot"]["expires_on"] == "2027-05-01"
    assert earned["balance"]["available"] == 148
    assert earned["position"] == api.position()
    assert earned["version"] == 2
    assert {"order_id", "member_id", "programme_version", "tier", "issued"} <= set(earned)


def test_a_quote_books_nothing_and_tells_the_most_that_points_can_pay(api: Api) -> None:
    member_id = api.member_with(850)
    before = api.position()
    order = {"member_id": member_id, "order_id": api.name("o"), "amount": "100.00"}
    answer = api.post("/v1/quotes", order, role="pos")
    assert answer.status_code == 200
    quote = answer.json
    assert quote is not None
    assert quote["points"] == 100
    assert quote["usable_coupons"] == []
    assert quote["cash_offset"] == {"max_points": 500, "max_amount": "50.00"}
    assert api.position() == before


def test_points_are_reserved_captured_in_part_and_read_back(api: Api) -> None:
    member_id = api.member_with(1000)
    redemption_id = api.name("r")
    body = {
        "member_id": member_id,
        "redemption_id": redemption_id,
        "points": 500,
        "order_id": api.name("o"),
        "order_amount": "200.00",
        "reserve": True,
        "reserve_seconds": 900,
    }
    reserved = api.post("/v1/redemptions", body, role="pos").json
    assert reserved is not None
    assert (reserved["status"], reserved["value"]) == ("reserved", "50.00")
    assert sum(drawn["points"] for drawn in reserved["lots_drawn"]) == 500
    assert reserved["balance"]["available"] == 500
    until = datetime.fromisoformat(reserved["reserved_until"])
    assert timedelta(minutes=14) < until - datetime.now(UTC) <= timedelta(minutes=15)

    captured = api.post(f"/v1/redemptions/{redemption_id}/capture", {"points": 300}, role="pos")
    assert captured.status_code == 200, captured.text
    assert captured.json is not None
    assert (captured.json["status"], captured.json["points"]) == ("redeemed", 300)
    assert captured.json["balance"]["available"] == 700
    read = api.get(f"/v1/redemptions/{redemption_id}", role="pos").json
    assert read is not None
    assert (read["status"], read["points"], read["value"]) == ("redeemed", 300, "30.00")


@pytest.mark.parametrize("data", [None, b"", b"{}"], ids=["no body", "empty", "an empty object"])
@pytest.mark.parametrize(("verb", "status"), [("capture", "redeemed"), ("release", "released")])
def test_a_reservation_is_ended_with_no_more_to_say(
    api: Api, verb: str, status: str, data: bytes | None
) -> None:
    redemption_id = reservation(api, api.member_with(200), 200)
    kwargs = {} if data is None else {"data": data, "content_type": "application/json"}
    answer = api.call("POST", f"/v1/redemptions/{redemption_id}/{verb}", role="pos", **kwargs)
    assert answer.status_code == 200, answer.text
    assert answer.json is not None
    assert answer.json["status"] == status


def test_a_refund_takes_back_and_gives_back(api: Api) -> None:
    member_id = api.member()
    order_id = api.name("o")
    order = {"member_id": member_id, "order_id": order_id, "amount": "300.00"}
    api.post("/v1/accruals", order)
    body = {"refund_id": api.name("rf"), "order_id": order_id, "amount": "100.00"}
    answer = api.post("/v1/refunds", body, role="pos")
    assert answer.status_code == 201
    refund = answer.json
    assert refund is not None
    assert (refund["points_clawed_back"], refund["points_restored"], refund["debt"]) == (100, 0, 0)
    assert refund["amount"] == "100.00"
    assert refund["member_id"] == member_id
    assert refund["balance"]["available"] == 200
    assert refund["reinstated_coupons"] == []
    assert refund["position"] == api.position()


def test_sixteen_tills_at_once_never_overdraw_a_member(served: Served, api: Api) -> None:
    member_id = api.member_with(1000)

    def redeem(number: int) -> int:
        body = {
            "member_id": member_id,
            "redemption_id": f"race-{number}",
            "points": 300,
            "order_id": f"race-o-{number}",
            "order_amount": "500.00",
        }
        with served.session("pos") as session:
            answer = session.post(f"{served.address}/v1/redemptions", json=body, timeout=30)
        if answer.status_code != 201:
            assert problem_of(answer)["code"] == "insufficient_points"
        return answer.status_code

    with ThreadPoolExecutor(16) as tills:
        statuses = list(tills.map(redeem, range(16)))
    assert sorted(statuses) == [201] * 3 + [409] * 13
    assert api.available(member_id) == 100


def reservation(api: Api, member_id: str, points: int, seconds: int = 900) -> str:
    """A new reservation's id."""
    redemption_id = api.name("r")
    body = {
        "member_id": member_id,
        "redemption_id": redemption_id,
        "points": points,
        "order_id": api.name("o"),
        "order_amount": "5000.00",
        "reserve": True,
        "reserve_seconds": seconds,
    }
    answer = api.post("/v1/redemptions", body)
    assert answer.status_code == 201, answer.text
    return redemption_id
