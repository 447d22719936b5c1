"""One shape for every error, one stable code for every reason, and a page that names them all."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from calling import Api, problem_of
from eventsourcing.persistence import ConnectionUnavailableError

from api.app import create_app
from api.problems import TITLES
from ledger.errors import STATUS_OF_CODE, Refusal
from ledger.events import Actor
from ledger.ledger import Ledger
from ledger.programme import read_programme, shipped_text
from ledger.settings import Settings
from ledger.store.database import Database

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "errors.md"

OF_LATER_CAPABILITIES = {
    "coupon_expired",
    "coupon_not_applicable",
    "coupon_spent",
    "limit_reached",
    "not_on_sale",
    "not_stackable",
    "out_of_stock",
    "rate_limited",
}
"""Listed in API.md, and not answered yet."""


def _post(path: str, body: Any = None, **kwargs: Any) -> Callable[[Api], Any]:
    return lambda api: api.post(path, body, **kwargs)


def _accrual(member_id: str, **more: Any) -> dict[str, Any]:
    return {"member_id": member_id, "order_id": "o-problem", "amount": "10.00", **more}


def _offset(api: Api, points: int, order_amount: str = "1000.00") -> dict[str, Any]:
    return {
        "member_id": api.member_with(350),
        "redemption_id": api.name("r"),
        "points": points,
        "order_id": api.name("o"),
        "order_amount": order_amount,
    }


def _own_approval(api: Api) -> Any:
    body = {"adjustment_id": api.name("a"), "points": 9000, "reason": "lost order"}
    api.post(f"/v1/members/{api.member()}/adjustments", body, role="service")
    return api.post(f"/v1/adjustments/{body['adjustment_id']}/approve", role="service")


def _reused_key(api: Api) -> Any:
    headers = {"Idempotency-Key": api.name("key")}
    api.post("/v1/members", {}, headers=headers)
    return api.post("/v1/members", {"name": "another"}, headers=headers)


def _recorded_otherwise(api: Api) -> Any:
    member_id = api.member()
    api.post("/v1/accruals", _accrual(member_id))
    return api.post("/v1/accruals", _accrual(member_id, amount="11.00"))


def _after(verb: str) -> Callable[[Api], Any]:
    def ask(api: Api) -> Any:
        member_id = api.member()
        api.post(f"/v1/members/{member_id}/{verb}", {"reason": "test"})
        return api.post("/v1/accruals", _accrual(member_id, order_id=api.name("o")))

    return ask


def _reservation_over(api: Api) -> Any:
    body = _offset(api, 300)
    api.post("/v1/redemptions", {**body, "reserve": True})
    api.post(f"/v1/redemptions/{body['redemption_id']}/release")
    return api.post(f"/v1/redemptions/{body['redemption_id']}/capture")


def _too_large_refund(api: Api) -> Any:
    order = _accrual(api.member(), order_id=api.name("o"))
    api.post("/v1/accruals", order)
    return api.post("/v1/refunds", {"order_id": order["order_id"], "amount": "10.01"})


def _another_members_order(api: Api) -> Any:
    order = _accrual(api.member(), order_id=api.name("o"))
    api.post("/v1/accruals", order)
    return api.post("/v1/redemptions", {**_offset(api, 100), "order_id": order["order_id"]})


def _changed_member(api: Api) -> Any:
    order = _accrual(api.member(), order_id=api.name("o"))
    return api.post("/v1/accruals", order, headers={"If-Match": '"7"'})


REFUSED: dict[str, Callable[[Api], Any]] = {
    "malformed_json": lambda api: api.call(
        "POST", "/v1/accruals", data=b"{", content_type="application/json"
    ),
    "too_large": lambda api: api.call(
        "POST", "/v1/accruals", data=b" " * 2**21, content_type="application/json"
    ),
    "unsupported_media_type": lambda api: api.call("POST", "/v1/accruals", data=b"{}"),
    "method_not_allowed": lambda api: api.get("/v1/accruals"),
    "invalid_request": _post("/v1/accruals", {}),
    "unauthenticated": _post("/v1/accruals", {}, role=None),
    "approval_required": _own_approval,
    "forbidden": _post("/v1/accruals", {}, role="finance"),
    "not_found": _post("/v1/accruals", _accrual("nobody")),
    "already_recorded": _recorded_otherwise,
    "idempotency_key_reused": _reused_key,
    "insufficient_points": lambda api: api.post("/v1/redemptions", _offset(api, 400)),
    "below_minimum": lambda api: api.post("/v1/redemptions", _offset(api, 50)),
    "not_a_multiple": lambda api: api.post("/v1/redemptions", _offset(api, 150)),
    "over_order_share": lambda api: api.post("/v1/redemptions", _offset(api, 300, "20.00")),
    "member_frozen": _after("freeze"),
    "member_closed": _after("close"),
    "reservation_over": _reservation_over,
    "refund_exceeds_order": _too_large_refund,
    "not_eligible": _another_members_order,
    "version_mismatch": _changed_member,
    "view_behind": lambda api: api.get("/v1/jobs?min_position=999999999"),
}

ELSEWHERE = {"internal_error", "over_capacity", "request_in_progress"}
"""Tested below: they need something to go wrong."""


@pytest.mark.parametrize("code", REFUSED)
def test_a_refusal_has_its_code_and_status_and_writes_nothing(api: Api, code: str) -> None:
    answer = REFUSED[code](api)
    problem = problem_of(answer)
    assert problem["code"] == code
    assert answer.status_code == STATUS_OF_CODE[code]
    assert problem["title"] == TITLES[code]
    assert problem["detail"].endswith(".")
    position = api.position()
    api.get("/healthz")
    assert api.position() == position


def test_every_code_is_tested_or_belongs_to_a_later_capability() -> None:
    assert set(REFUSED) | ELSEWHERE | OF_LATER_CAPABILITIES == set(STATUS_OF_CODE)
    assert not set(REFUSED) & OF_LATER_CAPABILITIES


def test_every_code_has_a_title() -> None:
    assert set(TITLES) == set(STATUS_OF_CODE)


def test_the_reference_names_every_code_with_its_status_and_title() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| ([^|]+) \|", REFERENCE.read_text(), re.MULTILINE)
    assert [code for code, _, _ in rows] == sorted(STATUS_OF_CODE)
    assert {code: int(status) for code, status, _ in rows} == STATUS_OF_CODE
    assert {code: title.strip() for code, _, title in rows} == TITLES


def test_a_fault_of_ours_tells_the_id_and_nothing_else(
    ledger: Ledger, keys: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(ledger, settings=Settings(), run_job=_fail, jobs={"fail": "Fails."})
    api = Api(app.test_client(), ledger, keys)
    with caplog.at_level(logging.ERROR):
        answer = api.post("/v1/jobs/fail/runs", {}, headers={"X-Request-Id": "req-42"})
    assert answer.status_code == 500
    problem = problem_of(answer)
    assert (problem["code"], problem["request_id"]) == ("internal_error", "req-42")
    assert "secret" not in answer.text
    assert "req-42" in caplog.text
    assert "the secret reason" in caplog.text


def _fail(name: str, as_of: datetime) -> dict[str, Any]:
    raise RuntimeError("the secret reason")


@pytest.mark.parametrize(
    "error", [psycopg2.OperationalError("server closed"), ConnectionUnavailableError("pool")]
)
def test_a_database_that_cannot_be_reached_is_503_and_asks_for_a_repeat(
    ledger: Ledger, keys: dict[str, str], error: Exception
) -> None:
    def unreachable(name: str, as_of: datetime) -> dict[str, Any]:
        raise error

    app = create_app(ledger, settings=Settings(), run_job=unreachable, jobs={"any": "Any."})
    answer = Api(app.test_client(), ledger, keys).post("/v1/jobs/any/runs", {})
    assert answer.status_code == 503
    assert problem_of(answer)["code"] == "over_capacity"
    assert answer.headers["Retry-After"] == "1"


def test_a_member_locked_for_too_long_is_request_in_progress(
    new_database: Callable[[], str], api: Api
) -> None:
    """The first request never ends, within the time that a repeat waits."""
    url = new_database()
    database = Database(url, lock_timeout_seconds=0.3)
    own = Ledger(database)
    programme = read_programme(shipped_text("retail"))
    own.publish(programme, effective_at=datetime.now(UTC), actor=Actor("test", "admin"))
    app = create_app(own, settings=Settings())
    from api.keys import create_key

    keys = {"admin": create_key(database, name="admin", roles=["admin"])[1]}
    client = Api(app.test_client(), own, keys)
    member_id = client.member()
    with database.transaction() as cursor:
        cursor.execute("SELECT FROM member_states WHERE member_id = %s FOR UPDATE", (member_id,))
        answer = client.post("/v1/accruals", _accrual(member_id))
    assert answer.status_code == 409
    assert problem_of(answer)["code"] == "request_in_progress"
    assert client.post("/v1/accruals", _accrual(member_id)).status_code == 201
    database.close()


def test_what_is_raised_in_a_view_keeps_its_code() -> None:
    refusal = Refusal("limit_reached", "Wait until tomorrow.")
    assert refusal.status == STATUS_OF_CODE["limit_reached"]
