"""Job runs and API keys are written once for an Idempotency-Key, as commands to the ledger are."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pytest
from calling import Api, problem_of
from werkzeug.test import TestResponse

from api.app import create_app
from api.keys import list_keys
from ledger.ledger import Ledger
from ledger.settings import Settings
from ledger.store.database import Database

RUNS = "/v1/jobs/expire-points/runs"


class Jobs:
    """A job runner that counts, and that waits or fails where it is told to."""

    def __init__(self) -> None:
        self.runs: list[datetime] = []
        self.began = threading.Event()
        self.may_end = threading.Event()
        self.may_end.set()
        self.error: Exception | None = None

    def run(self, name: str, as_of: datetime) -> dict[str, Any]:
        """Run the job."""
        self.runs.append(as_of)
        self.began.set()
        assert self.may_end.wait(20)
        if self.error is not None:
            raise self.error
        run_id = f"run-{len(self.runs)}"
        as_of_text = as_of.isoformat()
        return {"run_id": run_id, "job": name, "as_of": as_of_text, "status": "done", "affected": 3}


@pytest.fixture
def jobs() -> Jobs:
    """What runs jobs here."""
    return Jobs()


@pytest.fixture
def api(
    ledger: Ledger, keys: dict[str, str], jobs: Jobs, new_database: Callable[[], str]
) -> Iterator[Api]:
    """An app with these jobs, whose locks are waited for half a second."""
    database = Database(ledger.database._url, lock_timeout_seconds=0.5)
    app = create_app(
        Ledger(database), settings=Settings(), run_job=jobs.run, jobs={"expire-points": "Expires."}
    )
    yield Api(app.test_client(), ledger, keys)
    database.close()


_numbers = iter(range(1, 10_000))


def key() -> dict[str, str]:
    """The header with an Idempotency-Key that no other test has."""
    return {"Idempotency-Key": f"remembered-{next(_numbers)}"}


def as_first(again: TestResponse, first: TestResponse) -> bool:
    """Whether it is the first answer again."""
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    return (again.status_code, again.json) == (first.status_code, first.json)


# Jobs


def test_failures_08_a_repeated_job_run_is_one_run(api: Api, jobs: Jobs) -> None:
    for body in ({"as_of": "2026-05-01T00:00:00+08:00"}, {}):
        headers, before = key(), len(jobs.runs)
        first = api.post(RUNS, body, headers=headers)
        again = api.post(RUNS, body, headers=headers)
        assert first.status_code == 200
        assert as_first(again, first)
        assert len(jobs.runs) == before + 1


def test_without_a_key_a_job_runs_each_time(api: Api, jobs: Jobs) -> None:
    assert [api.post(RUNS, {}).status_code for _ in range(2)] == [200, 200]
    assert len(jobs.runs) == 2


def test_a_key_means_one_request_whatever_it_was_sent_to(api: Api, jobs: Jobs) -> None:
    headers = key()
    assert api.post(RUNS, {}, headers=headers).status_code == 200
    others: list[tuple[str, dict[str, Any]]] = [
        (RUNS, {"as_of": "2026-05-01T00:00:00+08:00"}),
        ("/v1/jobs/lapse-reservations/runs", {}),
        ("/v1/keys", {"name": "key-of-another-request", "roles": ["pos"]}),
        ("/v1/members", {"member_id": "m-of-another-request"}),
    ]
    for path, body in others:
        answer = api.post(path, body, headers=headers)
        assert answer.status_code == 422, path
        assert problem_of(answer)["code"] == "idempotency_key_reused"
    assert len(jobs.runs) == 1
    headers = key()
    assert api.post("/v1/members", {}, headers=headers).status_code == 201
    assert problem_of(api.post(RUNS, {}, headers=headers))["code"] == "idempotency_key_reused"
    assert len(jobs.runs) == 1


def test_a_job_asked_for_eight_times_at_once_runs_once(api: Api, jobs: Jobs) -> None:
    headers = key()
    headers["Authorization"] = f"Bearer {api.keys['admin']}"

    def send(_: int) -> TestResponse:
        return api.client.application.test_client().post(RUNS, json={}, headers=headers)

    with ThreadPoolExecutor(8) as admins:
        found = list(admins.map(send, range(8)))
    assert {(answer.status_code, answer.text) for answer in found} == {(200, found[0].text)}
    assert sum("Idempotent-Replayed" not in answer.headers for answer in found) == 1
    assert len(jobs.runs) == 1


def test_a_repeat_of_a_job_that_goes_on_is_told_so_and_later_gets_its_answer(
    api: Api, jobs: Jobs
) -> None:
    headers = key()
    jobs.may_end.clear()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(api.post, RUNS, {}, headers=headers)
        assert jobs.began.wait(10)
        early = api.client.application.test_client().post(
            RUNS, json={}, headers={**headers, "Authorization": f"Bearer {api.keys['admin']}"}
        )
        jobs.may_end.set()
        first = running.result(20)
    assert early.status_code == 409
    assert problem_of(early)["code"] == "request_in_progress"
    assert early.headers["Retry-After"] == "1"
    assert first.status_code == 200
    assert as_first(api.post(RUNS, {}, headers=headers), first)
    assert len(jobs.runs) == 1


def test_a_job_that_failed_on_our_side_runs_again_under_its_key(api: Api, jobs: Jobs) -> None:
    headers = key()
    jobs.error = RuntimeError("the disk is full")
    assert api.post(RUNS, {}, headers=headers).status_code == 500
    jobs.error = None
    answer = api.post(RUNS, {}, headers=headers)
    assert answer.status_code == 200
    assert "Idempotent-Replayed" not in answer.headers
    assert len(jobs.runs) == 2


def test_a_refused_run_is_refused_again_under_its_key(api: Api) -> None:
    headers = key()
    first = api.post("/v1/jobs/make-coffee/runs", {}, headers=headers)
    again = api.post("/v1/jobs/make-coffee/runs", {}, headers=headers)
    assert (first.status_code, again.status_code) == (404, 404)
    assert problem_of(first)["detail"] == problem_of(again)["detail"]
    assert again.headers["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize("path", [RUNS, "/v1/keys", "/v1/keys/nobody/rotate"])
def test_a_key_that_is_none_is_refused_here_too(api: Api, jobs: Jobs, path: str) -> None:
    body = {"name": "never", "roles": ["pos"]} if path == "/v1/keys" else {}
    answer = api.post(path, body, headers={"Idempotency-Key": "a b"})
    assert answer.status_code == 422
    assert list(problem_of(answer)["errors"]) == ["Idempotency-Key"]
    assert not jobs.runs


# API keys


def test_a_repeated_new_key_is_the_same_key_without_its_secret(api: Api) -> None:
    headers, body = key(), {"name": "till-1", "roles": ["pos"]}
    before = len(list_keys(api.ledger.database))
    first = api.post("/v1/keys", body, headers=headers)
    assert first.status_code == 201
    made = first.json or {}
    again = api.post("/v1/keys", body, headers=headers)
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")
    assert again.json == {name: value for name, value in made.items() if name != "key"}
    assert len(list_keys(api.ledger.database)) == before + 1
    with api.ledger.database.transaction() as cursor:
        cursor.execute("SELECT idempotency_keys::text FROM idempotency_keys")
        assert made["key"].rpartition("_")[2] not in str(cursor.fetchall())
    assert works(api, made["key"])


def test_a_name_that_is_taken_is_refused_again_under_its_key(api: Api) -> None:
    headers, body = key(), {"name": "till-2", "roles": ["pos"]}
    made = api.post("/v1/keys", body).json or {}
    first = api.post("/v1/keys", body, headers=headers)
    assert first.status_code == 409
    assert api.call("DELETE", f"/v1/keys/{made['id']}").status_code == 200
    again = api.post("/v1/keys", body, headers=headers)
    assert problem_of(again)["code"] == "already_recorded"


def test_a_repeated_rotation_leaves_the_secret_of_the_first(api: Api) -> None:
    made = api.post("/v1/keys", {"name": "till-3", "roles": ["pos"]}).json or {}
    path, headers = f"/v1/keys/{made['id']}/rotate", key()
    rotated = api.post(path, headers=headers)
    assert rotated.status_code == 200
    secret = (rotated.json or {})["key"]
    again = api.post(path, {}, headers=headers)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json == {k: v for k, v in (rotated.json or {}).items() if k != "key"}
    assert works(api, secret)
    assert not works(api, made["key"])
    other = (api.post(path, headers=key()).json or {})["key"]
    assert (works(api, other), works(api, secret)) == (True, False)


def works(api: Api, plain: str) -> bool:
    """Whether the key is recognised."""
    headers = {"Authorization": f"Bearer {plain}"}
    return api.get("/v1/members?phone=1", role=None, headers=headers).status_code == 200
