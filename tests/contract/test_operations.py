"""Alive, ready, figures, ids and log lines."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from calling import Api, Served
from prometheus_client.parser import text_string_to_metric_families

from api.app import create_app
from api.logs import REQUESTS, JsonLines, log_to
from ledger.events import Actor
from ledger.ledger import Ledger
from ledger.programme import read_programme, shipped_text
from ledger.settings import Settings
from ledger.store.database import Database


def test_a_process_that_answers_is_alive(api: Api) -> None:
    answer = api.get("/healthz", role=None)
    assert (answer.status_code, answer.json) == (200, {"status": "alive"})


def test_ready_names_the_database_and_every_view(api: Api) -> None:
    api.catch_up()
    answer = api.get("/readyz", role=None)
    assert answer.status_code == 200
    ready = answer.json
    assert ready is not None
    assert ready["ready"] is True
    names = [part["part"] for part in ready["parts"]]
    assert names == ["database", "view history", "view members", "view lots"]
    assert all(part["lag"] == 0 for part in ready["parts"][1:])


def test_an_event_set_aside_is_an_alarm_in_readyz_and_metrics(
    new_database: Callable[[], str],
) -> None:
    database = Database(new_database())
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO bad_events (view, position, stream_id, topic, reason) "
            "VALUES ('history', 1, 'member/m-1', 'Unknown', 'test')"
        )
    client = create_app(Ledger(database), settings=Settings()).test_client()
    ready = client.get("/readyz")
    assert ready.status_code == 503
    assert ready.json is not None
    (part,) = [part for part in ready.json["parts"] if not part["ready"]]
    assert (part["part"], part["bad_events"]) == ("view history", 1)
    assert "jifen rebuild history" in part["detail"]
    assert 'jifen_view_bad_events{view="history"} 1.0' in client.get("/metrics").text
    database.close()


@pytest.mark.parametrize(("minutes", "status"), [(0, 200), (2, 503)])
def test_a_view_that_leaves_an_event_waiting_for_a_minute_is_not_ready(
    new_database: Callable[[], str], minutes: int, status: int
) -> None:
    database = Database(new_database())
    ledger = Ledger(database, lambda: datetime.now(UTC) - timedelta(minutes=minutes))
    programme = read_programme(shipped_text("retail"))
    ledger.publish(programme, effective_at=datetime.now(UTC), actor=Actor("test", "admin"))
    ready = create_app(ledger, settings=Settings()).test_client().get("/readyz")
    assert ready.status_code == status
    assert [part["lag"] for part in (ready.json or {})["parts"][1:]] == [1, 1, 1]
    database.close()


def test_without_a_database_it_is_alive_but_not_ready() -> None:
    database = Database("postgresql://nobody@127.0.0.1:1/nothing")
    client = create_app(Ledger(database), settings=Settings()).test_client()
    assert client.get("/healthz").status_code == 200
    ready = client.get("/readyz")
    assert ready.status_code == 503
    assert ready.json is not None
    assert ready.json["parts"][0]["part"] == "database"
    assert ready.json["ready"] is False
    assert "jifen_database_up 0.0" in client.get("/metrics").text
    database.close()


def test_metrics_count_requests_by_route_and_status(api: Api) -> None:
    def count() -> float:
        return sum(
            sample.value
            for family in text_string_to_metric_families(api.get("/metrics", role=None).text)
            for sample in family.samples
            if sample.name == "jifen_http_requests_total"
            and sample.labels
            == {"route": "/v1/members/<id:member_id>", "method": "GET", "status": "404"}
        )

    before = count()
    for number in range(3):
        api.get(f"/v1/members/nobody-{number}")
    assert count() == before + 3


def test_metrics_have_latency_batch_size_lag_and_bad_events(api: Api) -> None:
    api.member()
    families = {
        family.name: family
        for family in text_string_to_metric_families(api.get("/metrics", role=None).text)
    }
    assert {
        "jifen_http_requests",
        "jifen_http_request_seconds",
        "jifen_gathered_requests",
        "jifen_view_lag_events",
        "jifen_view_bad_events",
        "jifen_database_up",
    } <= set(families)
    gathered = {sample.name: sample.value for sample in families["jifen_gathered_requests"].samples}
    assert gathered["jifen_gathered_requests_count"] >= 1


def test_metrics_of_all_workers_are_one_answer(served: Served) -> None:
    for _ in range(40):
        # A new connection each: the kernel spreads them over the workers.
        requests.post(f"{served.address}/v1/quotes", timeout=10)
    text = requests.get(f"{served.address}/metrics", timeout=10).text
    counted = [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "jifen_http_requests_total"
        and sample.labels == {"route": "/v1/quotes", "method": "POST", "status": "401"}
    ]
    assert counted == [40]


@pytest.mark.parametrize("given", ["req-1", "x" * 64, "0HN7:A/b+c="])
def test_a_request_id_is_taken_over(api: Api, given: str) -> None:
    answer = api.get("/v1/jobs", headers={"X-Request-Id": given})
    assert answer.headers["X-Request-Id"] == given


@pytest.mark.parametrize("given", [None, "", "x" * 65, "a b", "ü", "tab\tbed"])
def test_a_request_id_that_cannot_be_used_is_replaced(api: Api, given: str | None) -> None:
    headers = {} if given is None else {"X-Request-Id": given}
    made = api.get("/v1/jobs", headers=headers).headers["X-Request-Id"]
    assert made != given
    assert len(made) == 32


def test_a_request_is_one_log_line_of_json_without_personal_data(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    member = {"name": "李雷", "phone": "+8613800001234", "email": "lilei@example.com"}
    with caplog.at_level(logging.INFO, "jifen.requests"):
        member_id = (api.post("/v1/members", member, role="pos").json or {})["member_id"]
        api.get("/v1/members", query_string={"phone": member["phone"]}, role="pos")
        api.get(f"/v1/members/{member_id}", role="pos")
        api.get("/v1/nothing/lilei@example.com")
    lines = [json.loads(record.message) for record in caplog.records]
    assert [(line["method"], line["route"], line["status"]) for line in lines] == [
        ("POST", "/v1/members", 201),
        ("GET", "/v1/members", 200),
        ("GET", "/v1/members/<id:member_id>", 200),
        ("GET", "(none)", 404),
    ]
    for line in lines:
        assert set(line) == {"time", "request_id", "method", "route", "status", "ms", "key"}
        assert datetime.fromisoformat(line["time"]).tzinfo == UTC
    for personal in ("李雷", "1380000", "lilei", member_id, api.keys["pos"]):
        assert personal not in caplog.text


def test_the_log_is_json_lines_whoever_writes_to_it() -> None:
    record = logging.LogRecord("ledger", logging.ERROR, "", 0, "%s failed", ("it",), None)
    line = json.loads(JsonLines().format(record))
    assert (line["level"], line["logger"], line["message"]) == ("error", "ledger", "it failed")
    try:
        raise RuntimeError("why")
    except RuntimeError:
        record.exc_info = sys.exc_info()
    assert "RuntimeError: why" in json.loads(JsonLines().format(record))["traceback"]
    request = logging.LogRecord(REQUESTS, logging.INFO, "", 0, '{"status":200}', (), None)
    assert JsonLines().format(request) == '{"status":200}'


class Writes(io.RawIOBase):
    """What stands behind a process's output: it keeps what each call of write brought."""

    def __init__(self) -> None:
        self.calls: list[bytes] = []

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: Any, /) -> int:
        """Keep it."""
        self.calls.append(bytes(data))
        return len(data)


@pytest.fixture
def logging_as_it_was() -> Iterator[None]:
    """What a test does to the root logger is undone."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


@pytest.mark.parametrize("line_buffering", [False, True], ids=["a file", "a terminal"])
@pytest.mark.usefixtures("logging_as_it_was")
def test_a_log_line_is_one_call_of_write(api: Api, line_buffering: bool) -> None:
    """Lines of several workers don't mix, and a request waits for one system call, no more."""
    writes = Writes()
    buffered = io.BufferedWriter(writes)
    log_to(io.TextIOWrapper(buffered, "utf-8", line_buffering=line_buffering))
    for _ in range(5):
        api.get("/v1/jobs")
    logging.getLogger("jifen.api").error("long %s", "x" * 100_000)
    assert [line.count(b"\n") for line in writes.calls] == [1] * 6
    assert all(json.loads(line) for line in writes.calls)
    assert all(line.endswith(b"}\n") for line in writes.calls)


def test_answers_are_not_cached_by_anybody_on_the_way(api: Api) -> None:
    answer = api.get("/v1/jobs")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
