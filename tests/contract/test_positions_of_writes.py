"""Every answer to a write says where it stands in the log: repeats and no-ops too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from calling import Api
from flask import Flask

from ledger.programme import shipped_text

BESIDE_THE_LOG = {
    "/v1/batches",  # its results, each for itself: below
    "/v1/jobs/<id:name>/runs",
    "/v1/keys",
    "/v1/keys/<id:key_id>/rotate",
    "/v1/programme/check",
    "/v1/quotes",
}
ORDER = "/v1/accruals"


class Writes:
    """Writes, each sent three times: as it is, again, and again under a key of its own."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self.rules: set[str] = set()

    def send(self, path: str, body: dict[str, Any], statuses: set[int]) -> None:
        """Each answer has a position in the log and a version, unless it is a refusal."""
        key = {"Idempotency-Key": self._api.name("key")}
        for headers in ({}, {}, key, key):
            answer = self._api.post(path, body, headers=headers)
            where = f"{path} {headers}: {answer.text}"
            assert answer.status_code in statuses, where
            if answer.status_code < 300:
                self._check(answer.json or {}, where)
                assert answer.headers["ETag"] == f'"{(answer.json or {})["version"]}"'
        rule, _ = self._api.client.application.url_map.bind("").match(
            path, method="POST", return_rule=True
        )
        self.rules.add(rule.rule)

    def _check(self, body: dict[str, Any], where: str) -> None:
        assert type(body["position"]) is int, where
        assert type(body["version"]) is int, where
        assert 1 <= body["position"] <= self._api.position(), where
        assert body["version"] >= 1, where


@pytest.fixture
def writes(api: Api) -> Writes:
    """Writes to this API."""
    return Writes(api)


def test_every_write_answers_its_position_and_version(api: Api, app: Flask, writes: Writes) -> None:
    member_id, order_id = api.name("m"), api.name("o")
    of_member = f"/v1/members/{member_id}"
    writes.send("/v1/members", {"member_id": member_id, "name": "李雷"}, {201})
    writes.send("/v1/members", {}, {201})
    order = {"member_id": member_id, "order_id": order_id}
    writes.send(ORDER, {**order, "amount": "1000.00"}, {201})
    writes.send(ORDER, {**order, "order_id": api.name("o"), "amount": "0"}, {201})
    for path, body in redemptions(api, member_id):
        writes.send(path, body, {200, 201})
    for use_id in (api.name("use"), None):
        use = {"benefit": "tea", "use_id": use_id}
        writes.send(f"{of_member}/benefits", use, {201})
    activity = {"member_id": member_id, "activity": "share"}
    for activity_id in (api.name("act"), None):
        writes.send("/v1/activities", {**activity, "activity_id": activity_id}, {201})
    refund = {"refund_id": api.name("rf"), "order_id": order_id, "amount": "10.00"}
    writes.send("/v1/refunds", refund, {201})
    writes.send("/v1/refunds", {"order_id": order_id, "amount": "1.00"}, {201})
    adjustment = {"adjustment_id": api.name("a"), "points": 5, "reason": "goodwill"}
    writes.send(f"{of_member}/adjustments", adjustment, {201})
    for verb in ("approve", "reject"):
        adjustment = {"adjustment_id": api.name("a"), "points": 9000, "reason": "lost order"}
        asked = api.post(f"{of_member}/adjustments", adjustment, role="service")
        assert asked.status_code == 202
        writes.send(f"/v1/adjustments/{adjustment['adjustment_id']}/{verb}", {}, {200})
        writes.send(f"{of_member}/adjustments", adjustment, {202})
    for verb in ("unfreeze", "freeze", "freeze", "unfreeze", "unfreeze", "close", "close"):
        # A state that it has already: nothing is to be done, or it is refused; never half of both.
        writes.send(f"{of_member}/{verb}", {"reason": "as asked"}, {200, 409})
    posts = {
        rule.rule
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/v1") and "POST" in (rule.methods or set())
    }
    assert writes.rules == posts - BESIDE_THE_LOG


def redemptions(api: Api, member_id: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """One at once; one reserved and captured; one reserved and released."""
    body = {"member_id": member_id, "points": 100, "order_amount": "1000.00"}
    for verb in (None, "capture", "release"):
        redemption_id = api.name("r")
        more = {"redemption_id": redemption_id, "order_id": api.name("o")}
        yield "/v1/redemptions", {**body, **more, "reserve": verb is not None}
        if verb is not None:
            yield f"/v1/redemptions/{redemption_id}/{verb}", {}


def test_every_result_of_a_batch_has_its_position_and_version(api: Api) -> None:
    member_id, order_id = api.name("m"), api.name("o")
    redemption = {
        "member_id": member_id,
        "redemption_id": api.name("r"),
        "points": 100,
        "order_id": api.name("o"),
        "order_amount": "500.00",
    }
    order = {"member_id": member_id, "order_id": order_id, "amount": "200.00"}
    operations = [
        {"op": "enrol", "body": {"member_id": member_id}},
        {"op": "accrue", "body": order},
        {"op": "accrue", "key": api.name("k"), "body": order},
        {"op": "redeem", "body": redemption},
        {"op": "refund", "body": {"order_id": order_id, "amount": "1.00"}},
    ]
    # One refund has no id of the caller's: the batch's own key makes its repeat one.
    headers = {"Idempotency-Key": api.name("batch")}
    for _ in range(2):
        batch = api.post("/v1/batches", {"operations": operations}, headers=headers).json or {}
        assert batch["failed"] == 0, batch
        places = [
            (result["body"]["position"], result["body"]["version"]) for result in batch["results"]
        ]
        assert all(type(number) is int for place in places for number in place), places
        assert [version for _, version in places] == [1, 2, 2, 3, 5], places
        assert places[-1][0] == api.position()


def test_a_publication_answers_its_position_and_version_again(api: Api) -> None:
    text = shipped_text("retail")
    query = {"effective_at": "2026-07-01T00:00:00+08:00"}
    text = re.sub(r'rate = "1"', 'rate = "2"', text, count=1)
    found = [
        api.call(
            "PUT",
            "/v1/programme",
            data=text.encode(),
            content_type="application/toml",
            query_string=query,
        )
        for _ in range(2)
    ]
    assert [answer.status_code for answer in found] == [201, 200]
    places = [((answer.json or {})["position"], (answer.json or {})["version"]) for answer in found]
    assert places[0] == places[1] == (api.position(), 2)
