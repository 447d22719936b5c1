"""Jobs record what the clock has made due, once, whenever and however often they run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg2
import pytest

from ledger.errors import InvalidRequest, NotFound
from ledger.events import Actor
from ledger.ledger import Ledger
from ledger.programme.reading import read_programme
from ledger.requests import Accrue, Command, Enrol, Redeem, Request
from ledger.store.database import Database
from projections.history import history_page
from projections.runner import catch_up
from scheduler.jobs import JOBS, run_job
from scheduler.lease import Lease
from scheduler.timetable import TIMETABLE

TILL = Actor(key="till-12", role="pos")
RULES = """
programme = "corner-shop"
currency = "CNY"
time_zone = "Asia/Shanghai"
[points]
validity = { years = 1 }
[earning]
rate = "1"
[redemption]
step = 100
max_order_share = "0.50"
"""
EARNED = datetime(2025, 5, 1, 4, 0, tzinfo=UTC)
"""A lot earned then is good through 2026-05-01, local: until 2026-05-01T16:00Z."""
LAST_DAY = datetime(2026, 5, 1, 15, 59, 59, tzinfo=UTC)
MIDNIGHT = datetime(2026, 5, 1, 16, 0, tzinfo=UTC)


class Clock:
    """A clock that a test sets."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock(MIDNIGHT + timedelta(days=1))


@pytest.fixture
def ledger(database: Database, clock: Clock) -> Ledger:
    ledger = Ledger(database, clock)
    ledger.publish(
        read_programme(RULES),
        effective_at=EARNED,
        actor=Actor(key="admin", role="admin"),
    )
    return ledger


def do(ledger: Ledger, *commands: Command) -> dict[str, Any]:
    outcomes = ledger.handle([Request(command=command, actor=TILL) for command in commands])
    for outcome in outcomes:
        assert outcome.status < 300, outcome.body
    return outcomes[-1].body


def order(member_id: str, order_id: str, amount: str, at: datetime = EARNED) -> Accrue:
    return Accrue(member_id=member_id, order_id=order_id, amount=Decimal(amount), occurred_at=at)


def joined(member_id: str) -> Enrol:
    return Enrol(member_id=member_id, joined_at=EARNED)


def expiries(ledger: Ledger, member_id: str) -> list[dict[str, Any]]:
    catch_up(ledger.database)
    entries = history_page(ledger.database, member_id)["entries"]
    return [entry for entry in entries if entry["event"] == "PointsExpired"]


def test_3_3_points_past_their_last_day_expire_dated_the_local_midnight(ledger: Ledger) -> None:
    do(ledger, joined("m-1"), order("m-1", "o-1", "148.60"))
    run = run_job(ledger, "expire-points", MIDNIGHT)
    assert {**run, "run_id": "…"} == {
        "run_id": "…",
        "job": "expire-points",
        "as_of": "2026-05-02T00:00:00+08:00",
        "status": "done",
        "affected": 1,
    }
    (entry,) = expiries(ledger, "m-1")
    assert (entry["points"], entry["occurred_at"]) == (-148, "2026-05-02T00:00:00+08:00")
    assert entry["actor"] == {"key": "scheduler", "role": "system"}
    assert entry["balance_after"]["available"] == 0


def test_3_1_nothing_expires_on_the_last_good_day(ledger: Ledger) -> None:
    do(ledger, joined("m-1"), order("m-1", "o-1", "148.60"))
    assert run_job(ledger, "expire-points", LAST_DAY)["affected"] == 0
    assert expiries(ledger, "m-1") == []


def test_a_repeated_run_does_only_what_has_become_due_since_late_data_included(
    ledger: Ledger,
) -> None:
    do(ledger, joined("m-1"), order("m-1", "o-1", "10.00"))
    assert run_job(ledger, "expire-points", MIDNIGHT)["affected"] == 1
    assert run_job(ledger, "expire-points", MIDNIGHT)["affected"] == 0
    do(ledger, order("m-1", "o-2", "20.00"))
    assert run_job(ledger, "expire-points", MIDNIGHT)["affected"] == 1
    assert [entry["points"] for entry in expiries(ledger, "m-1")] == [-10, -20]


def test_a_missed_day_is_caught_up(ledger: Ledger, clock: Clock) -> None:
    do(ledger, joined("m-1"))
    for day in range(3):
        do(ledger, order("m-1", f"o-{day}", "10.00", EARNED + timedelta(days=day)))
    clock.now = MIDNIGHT + timedelta(days=5)
    assert run_job(ledger, "expire-points", clock.now)["affected"] == 3
    assert [entry["occurred_at"][:10] for entry in expiries(ledger, "m-1")] == [
        "2026-05-02",
        "2026-05-03",
        "2026-05-04",
    ]


def test_many_members_are_taken_page_by_page(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduler.jobs.PAGE_MEMBERS", 4)
    do(
        ledger,
        *(joined(f"m-{number}") for number in range(10)),
        *(order(f"m-{number}", f"o-{number}", "10.00") for number in range(10)),
    )
    seen: list[tuple[int, int]] = []
    run = run_job(ledger, "expire-points", MIDNIGHT, lambda *done: seen.append(done))
    assert seen == [(4, 4), (8, 8), (10, 10)]
    assert run["affected"] == 10


def test_4_3_reservations_lapse_dated_the_end_of_their_time(ledger: Ledger, clock: Clock) -> None:
    clock.now = EARNED + timedelta(days=1)
    do(ledger, joined("m-1"), order("m-1", "o-1", "300.00"))
    do(
        ledger,
        Redeem(
            member_id="m-1",
            redemption_id="r-1",
            points=200,
            order_id="o-2",
            order_amount=Decimal("100.00"),
            reserve=True,
        ),
    )
    end = clock.now + timedelta(minutes=15)
    assert run_job(ledger, "lapse-reservations", clock.now)["affected"] == 0
    clock.now = end + timedelta(hours=1)
    assert run_job(ledger, "lapse-reservations", clock.now)["affected"] == 1
    assert run_job(ledger, "lapse-reservations", clock.now)["affected"] == 0
    catch_up(ledger.database)
    entry = history_page(ledger.database, "m-1", zone=UTC)["entries"][-1]
    assert (entry["event"], entry["points"]) == ("ReservationLapsed", 200)
    assert entry["occurred_at"] == end.isoformat()


@pytest.mark.parametrize("ahead", [timedelta(minutes=4), timedelta(minutes=5)])
def test_4_3_a_job_asked_for_a_time_ahead_of_the_clock_ends_nothing_that_is_still_good(
    ledger: Ledger, clock: Clock, ahead: timedelta
) -> None:
    do(ledger, joined("m-1"), order("m-1", "o-1", "300.00", clock.now))
    reservation = Redeem(
        member_id="m-1",
        redemption_id="r-1",
        points=100,
        order_id="o-2",
        order_amount=Decimal("100.00"),
        reserve=True,
        reserve_seconds=60,
    )
    do(ledger, reservation)
    run = run_job(ledger, "lapse-reservations", clock.now + ahead)
    assert run["affected"] == 0
    assert run["as_of"] == "2026-05-03T00:00:00+08:00"
    assert ledger.redemption("r-1")["status"] == "reserved"


def test_two_runs_at_once_expire_every_lot_once(ledger: Ledger) -> None:
    do(
        ledger,
        *(joined(f"m-{number}") for number in range(30)),
        *(order(f"m-{number}", f"o-{number}", "10.00") for number in range(30)),
    )
    affected: list[int] = []

    def run() -> None:
        other = Ledger(ledger.database, ledger.clock)
        affected.append(run_job(other, "expire-points", MIDNIGHT)["affected"])

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(affected) == 30
    assert all(len(expiries(ledger, f"m-{number}")) == 1 for number in (0, 17, 29))


def test_an_unknown_job_is_not_found_and_the_sentence_names_those_there_are(
    ledger: Ledger,
) -> None:
    with pytest.raises(NotFound, match="expire-points, lapse-reservations"):
        run_job(ledger, "expire-everything", MIDNIGHT)


def test_what_is_still_good_cannot_be_expired_by_asking_for_a_later_time(
    ledger: Ledger, clock: Clock
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        run_job(ledger, "expire-points", clock.now + timedelta(minutes=6))
    assert list(refused.value.errors) == ["as_of"]
    with pytest.raises(InvalidRequest):
        run_job(ledger, "expire-points", clock.now.replace(tzinfo=None))


def test_every_run_is_recorded_a_failed_one_with_its_reason(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    do(ledger, joined("m-1"), order("m-1", "o-1", "10.00"))
    run_id = run_job(ledger, "expire-points", MIDNIGHT)["run_id"]
    monkeypatch.setattr(ledger, "due_for_expiry", _unreachable)
    with pytest.raises(psycopg2.OperationalError):
        run_job(ledger, "expire-points", MIDNIGHT)
    with ledger.database.transaction() as cursor:
        cursor.execute(
            "SELECT run_id = %s, status, affected, reason, finished_at IS NOT NULL "
            "FROM job_runs ORDER BY status",
            (run_id,),
        )
        assert cursor.fetchall() == [
            (True, "done", 1, None, True),
            (False, "failed", 0, "OperationalError: the server went away", True),
        ]


def _unreachable(*_: object) -> list[str]:
    raise psycopg2.OperationalError("the server went away")


# The timetable's process


def test_one_leads_until_it_leaves_or_stops_asking(database: Database) -> None:
    first, second = Lease(database, "scheduler", 0.3), Lease(database, "scheduler", 0.3)
    assert first.hold()
    assert not second.hold()
    assert first.hold()
    first.leave()
    assert second.hold()
    assert not first.hold()
    time.sleep(0.4)
    assert first.hold()
    assert not second.hold()
    assert Lease(database, "another").hold()


def test_the_timetable_names_jobs_that_there_are() -> None:
    assert set(TIMETABLE) <= set(JOBS)


def test_the_process_does_what_was_missed_and_ends_at_sigterm(
    database: Database, database_url: str
) -> None:
    ledger = Ledger(database)
    now = datetime.now(UTC)
    programme = read_programme(RULES)
    ledger.publish(programme, effective_at=now, actor=Actor(key="admin", role="admin"))
    long_ago = now - timedelta(days=400)
    do(
        ledger,
        Enrol(member_id="m-1", joined_at=long_ago),
        order("m-1", "o-1", "10.00", long_ago),
    )
    environment = {**os.environ, "JIFEN_DATABASE_URL": database_url}
    process = subprocess.Popen(
        [sys.executable, "-m", "scheduler"], env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        _wait_until(lambda: len(expiries(ledger, "m-1")) == 1)
        process.send_signal(signal.SIGTERM)
        printed, _ = process.communicate(timeout=10)
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()
    assert Lease(database, "scheduler").hold()  # it has let go
    lines = [json.loads(line) for line in printed.splitlines()]
    assert [line["message"] for line in lines] == [
        "leads the timetable",
        "expire-points: done, 1 changed",
    ]
    assert lines[0].items() >= {"level": "info", "logger": "scheduler.runner"}.items()


def test_the_projections_log_json_lines_as_all_processes_do() -> None:
    environment = {**os.environ, "JIFEN_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing"}
    process = subprocess.Popen(
        [sys.executable, "-m", "projections"], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process, process.stdout:
        line = json.loads(process.stdout.readline())
        process.terminate()
    assert line["level"] == "warning"
    assert line["logger"] == "projections.runner"


def test_the_process_says_what_it_lacks(database_url: str) -> None:
    without_url = {**os.environ, "JIFEN_DATABASE_URL": ""}
    assert _status_and_words(without_url) == (
        2,
        "JIFEN_DATABASE_URL is not set; `jifen serve` starts a database and sets it.\n",
    )
    unpublished = {**os.environ, "JIFEN_DATABASE_URL": database_url}
    assert _status_and_words(unpublished) == (
        2,
        "No programme is published yet; `jifen programme publish FILE` does it.\n",
    )


def _status_and_words(environment: dict[str, str]) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "scheduler"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stderr


def _wait_until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.1)
