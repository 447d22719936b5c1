"""What the service desk and the programme's owners do, by the fields of API.md."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from calling import Api, problem_of

from ledger.programme import shipped_text
from projections.runner import Runner

TOML = "application/toml"


def test_history_tells_every_change_with_before_and_after(api: Api) -> None:
    member_id = api.member()
    order = {
        "member_id": member_id,
        "order_id": api.name("o"),
        "amount": "148.60",
        "occurred_at": "2026-05-01T12:00:00+08:00",
        "store_id": "s-12",
        "channel": "store",
    }
    api.post("/v1/accruals", order, role="pos", headers={"X-Request-Id": "till-12-0001"})
    api.catch_up()
    answer = api.get(f"/v1/members/{member_id}/history", role="service")
    assert answer.status_code == 200
    page = answer.json
    assert page is not None
    assert page["next_cursor"] is None
    assert [entry["event"] for entry in page["entries"]] == ["MemberEnrolled", "PointsAccrued"]
    entry = page["entries"][1]
    assert entry["points"] == 148
    assert entry["balance_before"]["available"] == 0
    assert entry["balance_after"]["available"] == 148
    assert entry["occurred_at"] == "2026-05-01T12:00:00+08:00"
    assert entry["order_id"] == order["order_id"]
    assert entry["actor"] == {"key": "pos-1", "role": "pos"}
    assert (entry["channel"], entry["request_id"]) == ("store", "till-12-0001")
    assert entry["corrects"] is None
    assert entry["summary"].startswith("148.60 paid at s-12")
    assert sum(row["points"] for row in entry["breakdown"]) == 148


def test_history_comes_by_pages_from_either_end(api: Api) -> None:
    member_id = api.member()
    for _ in range(6):
        order = {"member_id": member_id, "order_id": api.name("o"), "amount": "10.00"}
        api.post("/v1/accruals", order)
    api.catch_up()
    for order_by, expected in (("asc", [1, 2, 3, 4, 5, 6, 7]), ("desc", [7, 6, 5, 4, 3, 2, 1])):
        versions: list[int] = []
        query: dict[str, Any] | None = {"order": order_by, "limit": 3}
        while query is not None:
            page = api.get(f"/v1/members/{member_id}/history", query_string=query).json
            assert page is not None
            versions += [entry["version"] for entry in page["entries"]]
            cursor = page["next_cursor"]
            query = {**query, "cursor": cursor} if cursor else None
        assert versions == expected


def test_history_is_filtered_by_kind_and_time(api: Api) -> None:
    member_id = api.member()
    for day in (1, 2, 3):
        order = {
            "member_id": member_id,
            "order_id": api.name("o"),
            "amount": "10.00",
            "occurred_at": f"2026-03-0{day}T12:00:00+08:00",
        }
        api.post("/v1/accruals", order)
    api.catch_up()
    query = {
        "kind": "PointsAccrued",
        "from": "2026-03-02T12:00:00+08:00",
        "to": "2026-03-03T12:00:00+08:00",
    }
    page = api.get(f"/v1/members/{member_id}/history", query_string=query).json
    assert page is not None
    assert [entry["occurred_at"][:10] for entry in page["entries"]] == ["2026-03-02"]


def test_an_unescaped_plus_in_a_time_is_understood(api: Api) -> None:
    """A + in a query string is a blank; there is only one thing it can have meant."""
    member_id = api.member()
    answer = api.get(f"/v1/members/{member_id}?as_of=2999-01-01T00:00:00+08:00")
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("path", ["history", "replay?version=1"])
def test_the_life_of_an_unknown_member_is_not_found(api: Api, path: str) -> None:
    answer = api.get(f"/v1/members/nobody/{path}")
    assert answer.status_code == 404
    assert problem_of(answer)["code"] == "not_found"


def test_who_writes_finds_it_in_the_history(api: Api) -> None:
    member_id = api.member()
    runner = Runner(api.ledger.database)
    runner.start()
    try:
        for number in range(1, 6):
            order = {"member_id": member_id, "order_id": api.name("o"), "amount": "1.00"}
            api.post("/v1/accruals", order)
            page = api.get(f"/v1/members/{member_id}/history").json
            assert page is not None
            assert len(page["entries"]) == number + 1
    finally:
        runner.stop()


def test_a_history_that_is_behind_says_so_only_to_who_asks_for_a_position(api: Api) -> None:
    member_id = api.member()
    api.catch_up()
    order = {"member_id": member_id, "order_id": api.name("o"), "amount": "1.00"}
    position = (api.post("/v1/accruals", order).json or {})["position"]
    without = api.get(f"/v1/members/{member_id}/history")
    assert without.status_code == 200
    assert without.json is not None
    assert len(without.json["entries"]) == 1
    asking = api.get(f"/v1/members/{member_id}/history?min_position={position}")
    assert asking.status_code == 503
    assert problem_of(asking)["code"] == "view_behind"
    assert asking.headers["Retry-After"] == "1"
    api.catch_up()
    assert api.get(f"/v1/members/{member_id}/history?min_position={position}").status_code == 200


def test_a_position_that_does_not_come_is_waited_for_two_seconds(api: Api) -> None:
    began = time.monotonic()
    late = api.get("/v1/keys", query_string={"min_position": api.position() + 1})
    assert 1.9 < time.monotonic() - began < 4
    assert late.status_code == 503
    assert problem_of(late)["code"] == "view_behind"


@pytest.mark.parametrize("place", ["query", "header"])
@pytest.mark.parametrize("path", ["/v1/members/{}", "/v1/members?phone=1", "/v1/keys", "/v1/jobs"])
def test_any_get_waits_for_the_position_it_names(api: Api, path: str, place: str) -> None:
    member_id = api.member()
    path = path.format(member_id)
    beyond = api.position() + 1

    def get() -> Any:
        if place == "header":
            return api.get(path, headers={"X-Min-Position": str(beyond)})
        return api.get(f"{path}{'&' if '?' in path else '?'}min_position={beyond}")

    writer = threading.Timer(0.3, api.member)
    writer.start()
    answer = get()
    writer.join()
    assert answer.status_code == 200


def test_a_member_as_it_stood_goes_by_when_it_happened_or_by_when_it_was_known(api: Api) -> None:
    member_id = api.member(joined_at="2026-01-01T00:00:00+08:00")
    order = {
        "member_id": member_id,
        "order_id": api.name("o"),
        "amount": "100.00",
        "occurred_at": "2026-02-01T10:00:00+08:00",
    }
    api.post("/v1/accruals", order)

    def available(**query: str) -> int:
        answer = api.get(f"/v1/members/{member_id}", query_string=query, role="finance")
        assert answer.status_code == 200, answer.text
        return int((answer.json or {})["balance"]["available"])

    assert available(as_of="2026-01-31T00:00:00+08:00") == 0
    assert available(as_of="2026-02-01T10:00:00+08:00") == 100
    assert available(known_at=datetime.now(UTC).isoformat()) == 100
    before = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    unknown = api.get(f"/v1/members/{member_id}", query_string={"known_at": before})
    assert unknown.status_code == 404


def test_a_member_is_replayed_to_any_version(api: Api) -> None:
    member_id = api.member_with(500)
    replayed = api.get(f"/v1/members/{member_id}/replay?version=1", role="service").json
    assert replayed is not None
    assert (replayed["version"], replayed["balance"]["available"]) == (1, 0)
    now = api.get(f"/v1/members/{member_id}/replay?version=2").json
    assert now == api.get(f"/v1/members/{member_id}").json
    beyond = api.get(f"/v1/members/{member_id}/replay?version=3")
    assert beyond.status_code == 404


def test_an_adjustment_is_booked_at_once_within_the_limit(api: Api) -> None:
    member_id = api.member()
    body = {"adjustment_id": api.name("a"), "points": 50, "reason": "goodwill", "note": "late"}
    answer = api.post(f"/v1/members/{member_id}/adjustments", body, role="service")
    assert answer.status_code == 201
    assert api.available(member_id) == 50
    taken = {"adjustment_id": api.name("a"), "points": -51, "reason": "mistake"}
    refused = api.post(f"/v1/members/{member_id}/adjustments", taken)
    assert refused.status_code == 409
    assert problem_of(refused)["code"] == "insufficient_points"


@pytest.mark.parametrize(("verb", "available"), [("approve", 9000), ("reject", 0)])
def test_an_adjustment_over_the_limit_waits_for_another_key(
    api: Api, verb: str, available: int
) -> None:
    member_id, adjustment_id = api.member(), api.name("a")
    body = {"adjustment_id": adjustment_id, "points": 9000, "reason": "lost order"}
    answer = api.post(f"/v1/members/{member_id}/adjustments", body, role="service")
    assert answer.status_code == 202
    assert api.available(member_id) == 0
    own = api.post(f"/v1/adjustments/{adjustment_id}/{verb}", role="service")
    assert own.status_code == 409
    assert problem_of(own)["code"] == "approval_required"
    other = api.post(f"/v1/adjustments/{adjustment_id}/{verb}", role="admin")
    assert other.status_code == 200, other.text
    assert api.available(member_id) == available


@pytest.mark.parametrize("decision", ["approve", "reject"])
def test_who_is_to_decide_on_an_adjustment_reads_what_was_asked_and_by_whom(
    api: Api, decision: str
) -> None:
    member_id, adjustment_id = api.member(), api.name("a")
    body = {
        "adjustment_id": adjustment_id,
        "points": 9000,
        "reason": "lost order",
        "note": "slip 77",
        "occurred_at": "2026-05-01T12:00:00+08:00",
    }
    path = f"/v1/adjustments/{adjustment_id}"
    asked = api.post(f"/v1/members/{member_id}/adjustments", body, role="service").json or {}
    answer = api.get(path, role="service")
    assert answer.status_code == 200, answer.text
    waiting = answer.json or {}
    assert datetime.fromisoformat(waiting.pop("requested_at")).utcoffset() == timedelta(hours=8)
    assert waiting == {
        **body,
        "member_id": member_id,
        "status": "waiting",
        "requested_by": "service-1",
        "decided_by": None,
        "decided_at": None,
        "decision_reason": None,
        "version": asked["version"],
        "position": asked["position"],
    }
    assert answer.headers["ETag"] == f'"{asked["version"]}"'
    reason = {"reason": "found again"} if decision == "reject" else {}
    decided = api.post(f"{path}/{decision}", reason).json or {}
    read = api.get(path).json or {}
    assert datetime.fromisoformat(read["decided_at"]) <= datetime.now(UTC)
    assert (read["status"], read["decided_by"]) == (decided["status"], "admin-1")
    assert read["decision_reason"] == reason.get("reason")
    assert (read["requested_by"], read["points"], read["note"]) == ("service-1", 9000, "slip 77")
    assert (read["version"], read["position"]) == (decided["version"], decided["position"])


def test_an_adjustment_booked_at_once_was_decided_by_nobody_else(api: Api) -> None:
    member_id = api.member()
    body = {"points": 50, "reason": "goodwill"}
    made = api.post(f"/v1/members/{member_id}/adjustments", body, role="service").json or {}
    api.post(f"/v1/members/{member_id}/adjustments", body)
    read = api.get(f"/v1/adjustments/{made['adjustment_id']}").json or {}
    assert (read["status"], read["points"], read["reason"]) == ("booked", 50, "goodwill")
    assert (read["requested_by"], read["decided_by"], read["note"]) == ("service-1", None, None)
    assert read["version"] == made["version"] + 1


def test_an_unknown_adjustment_is_not_found(api: Api) -> None:
    answer = api.get("/v1/adjustments/nothing")
    assert answer.status_code == 404
    assert problem_of(answer)["code"] == "not_found"


def test_a_frozen_member_neither_earns_nor_redeems_until_unfrozen(api: Api) -> None:
    member_id = api.member_with(200)
    frozen = api.post(f"/v1/members/{member_id}/freeze", {"reason": "fraud?"}, role="service")
    assert frozen.status_code == 200
    order = {"member_id": member_id, "order_id": api.name("o"), "amount": "1.00"}
    refused = api.post("/v1/accruals", order)
    assert refused.status_code == 409
    assert problem_of(refused)["code"] == "member_frozen"
    api.post(f"/v1/members/{member_id}/unfreeze", {"reason": "cleared"}, role="service")
    assert api.post("/v1/accruals", order).status_code == 201


def test_a_closed_member_is_told_so(api: Api) -> None:
    member_id = api.member_with(200)
    assert api.post(f"/v1/members/{member_id}/close", {"reason": "left"}).status_code == 200
    order = {"member_id": member_id, "order_id": api.name("o"), "amount": "1.00"}
    refused = api.post("/v1/accruals", order)
    assert refused.status_code == 409
    assert problem_of(refused)["code"] == "member_closed"


# Running the programme


def test_the_programme_in_force_is_read(api: Api) -> None:
    answer = api.get("/v1/programme")
    assert answer.status_code == 200
    found = answer.json
    assert found is not None
    assert found["version"] >= 1
    assert found["programme"]["currency"] == "CNY"
    assert found["effective_at"].endswith("+08:00")


def test_a_published_programme_can_be_put_back_as_it_is_read(api: Api) -> None:
    rules = (api.get("/v1/programme").json or {})["programme"]
    effective_at = datetime.now(UTC).isoformat()
    first = api.call(
        "PUT", "/v1/programme", json=rules, query_string={"effective_at": effective_at}
    )
    assert first.status_code in (200, 201), first.text
    position = api.position()
    again = api.call(
        "PUT", "/v1/programme", json=rules, query_string={"effective_at": effective_at}
    )
    assert again.json == first.json
    assert api.position() == position


def test_a_new_rate_decides_from_its_effective_time_on(api: Api) -> None:
    member_id = api.member()
    text = shipped_text("retail").replace('rate = "1"', 'rate = "3"', 1)
    effective_at = "2026-03-01T00:00:00+08:00"
    answer = api.call(
        "PUT",
        "/v1/programme",
        data=text.encode(),
        content_type=TOML,
        query_string={"effective_at": effective_at},
    )
    assert answer.status_code == 201, answer.text
    assert answer.json is not None
    assert answer.json["effective_at"] == effective_at
    assert answer.json["position"] == api.position()
    before = api.get("/v1/programme", query_string={"at": "2026-02-28T00:00:00Z"}).json
    after = api.get("/v1/programme", query_string={"at": effective_at}).json
    assert before is not None
    assert after is not None
    assert (before["programme"]["earning"]["rate"], after["programme"]["earning"]["rate"]) == (
        "1",
        "3",
    )
    for day, points in (("2026-02-28", 10), ("2026-03-01", 30)):
        order = {
            "member_id": member_id,
            "order_id": api.name("o"),
            "amount": "10.00",
            "occurred_at": f"{day}T12:00:00+08:00",
        }
        earned = api.post("/v1/accruals", order).json
        assert earned is not None
        assert earned["points"] == points


def test_a_wrong_programme_is_refused_with_lines_and_mends(api: Api) -> None:
    text = shipped_text("retail").replace('rate = "1"', 'rate = "fast"', 1) + "\nshape = 1\n"
    position = api.position()
    answer = api.call("PUT", "/v1/programme", data=text.encode(), content_type=TOML)
    assert answer.status_code == 422
    errors = problem_of(answer)["errors"]
    assert errors["earning.rate"][0].startswith("line ")
    assert len(errors) == 2
    assert api.position() == position


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        (TOML, b"= 5", 422),
        (TOML, b"\xff\xfe", 400),
        (TOML, b"", 422),
        ("application/json", b"{", 422),
        ("application/json", b'{"programme": NaN}', 422),
        ("application/json", b"[]", 422),
        ("text/plain", b"x", 415),
    ],
)
def test_what_is_no_programme_at_all_is_refused(
    api: Api, content_type: str, body: bytes, status: int
) -> None:
    position = api.position()
    answer = api.call("PUT", "/v1/programme", data=body, content_type=content_type)
    assert answer.status_code == status, answer.text
    problem_of(answer)
    assert api.position() == position


def test_a_programme_is_tried_on_real_orders_and_not_published(api: Api) -> None:
    member_id = api.member()
    order = {"member_id": member_id, "order_id": api.name("o"), "amount": "10.00"}
    earned = api.post("/v1/accruals", order).json
    assert earned is not None
    text = shipped_text("retail").replace('rate = "1"', 'rate = "7"', 1)
    position = api.position()
    for query, rehearsed in (({"orders": 1}, 1), ({"orders": 0}, 0)):
        answer = api.call(
            "POST",
            "/v1/programme/check",
            data=text.encode(),
            content_type=TOML,
            query_string=query,
        )
        assert answer.status_code == 200, answer.text
        assert answer.json is not None
        assert answer.json["orders"]["rehearsed"] == rehearsed
        changed = {change["path"]: change["new"] for change in answer.json["changes"]}
        assert changed["earning.rate"] == "7"
    assert api.position() == position
    too_many = {"orders": 10_001}
    answer = api.call(
        "POST", "/v1/programme/check", data=text.encode(), content_type=TOML, query_string=too_many
    )
    assert answer.status_code == 422
    assert list(problem_of(answer)["errors"]) == ["orders"]


def test_the_currency_cannot_change_once_there_are_members(api: Api) -> None:
    api.member()
    text = shipped_text("retail").replace('currency = "CNY"', 'currency = "EUR"', 1)
    answer = api.call("PUT", "/v1/programme", data=text.encode(), content_type=TOML)
    assert answer.status_code == 422
    assert list(problem_of(answer)["errors"]) == ["currency"]


def test_jobs_are_listed_and_run_as_of_a_moment(api: Api) -> None:
    listed = api.get("/v1/jobs").json
    assert listed is not None
    assert [job["name"] for job in listed["jobs"]] == ["expire-points"]
    body = {"as_of": "2026-05-01T00:00:00+08:00"}
    answer = api.post("/v1/jobs/expire-points/runs", body)
    assert answer.status_code == 200
    run = answer.json
    assert run is not None
    assert {"run_id", "job", "as_of", "status", "affected"} <= set(run)
    assert datetime.fromisoformat(run["as_of"]) == datetime(2026, 4, 30, 16, tzinfo=UTC)


def test_an_unknown_job_is_not_found(api: Api) -> None:
    answer = api.post("/v1/jobs/make-coffee/runs", {})
    assert answer.status_code == 404
    assert problem_of(answer)["code"] == "not_found"
