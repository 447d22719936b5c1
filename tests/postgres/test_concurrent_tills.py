"""Many tills at once on a real server: never overdrawn, nothing lost, nothing doubled."""

from __future__ import annotations

import itertools
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import psycopg2
import pytest
from shop import TILL, Shop, rules

from ledger import requests as r
from ledger.events import OrderRefunded, PointsAccrued, PointsRedeemed
from ledger.ledger import Ledger
from ledger.store.database import Database

TILLS = 16


@pytest.fixture
def ledgers(database_url: str) -> Iterator[list[Ledger]]:
    """Two ledgers with a pool of their own each, as two processes have, over one shop."""
    databases = [Database(database_url, connections=TILLS) for _ in range(2)]
    shop = Shop(databases[0], rules()).enrols("li-lei", "han-meimei")
    yield [shop.ledger, Ledger(databases[1], shop.clock)]
    shop.prove()
    for database in databases:
        database.close()


def ask(ledger: Ledger, command: r.Command, key: str | None = None) -> r.Outcome:
    request = r.Request(command=command, actor=TILL, idempotency_key=key)
    return ledger.handle([request])[0]


def order(order_id: str, amount: str, member_id: str = "li-lei") -> r.Accrue:
    return r.Accrue(member_id=member_id, order_id=order_id, amount=Decimal(amount))


def offset(redemption_id: str, points: int = 100, *, reserve: bool = False) -> r.Redeem:
    return r.Redeem(
        member_id="li-lei", redemption_id=redemption_id, points=points,
        order_id=f"o-{redemption_id}", order_amount=Decimal("900.00"), reserve=reserve,
    )  # fmt: skip


def at_once(calls: list[Callable[[], r.Outcome]]) -> list[r.Outcome]:
    """The outcomes of calls that all start at the same moment."""
    barrier = threading.Barrier(len(calls))

    def start(call: Callable[[], r.Outcome]) -> r.Outcome:
        barrier.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(start, calls))


def test_4_4_sixteen_tills_at_once_never_bring_a_member_below_zero(ledgers: list[Ledger]) -> None:
    assert ask(ledgers[0], order("o-1", "2050.00")).status == 201

    def till(number: int) -> list[r.Outcome]:
        ledger = ledgers[number % 2]
        return [
            ask(ledger, offset(f"r-{number}-{turn}", reserve=turn % 2 == 1)) for turn in range(4)
        ]

    with ThreadPoolExecutor(TILLS) as pool:
        outcomes = [one for turns in pool.map(till, range(TILLS)) for one in turns]
    booked = [outcome for outcome in outcomes if outcome.status == 201]
    refused = [outcome for outcome in outcomes if outcome.status != 201]
    assert len(booked) == 20  # of 64 that were asked: 2050 points in hundreds
    assert {outcome.body["code"] for outcome in refused} == {"insufficient_points"}
    assert min(outcome.body["balance"]["available"] for outcome in booked) == 50
    balance = ledgers[1].member("li-lei")["balance"]
    totals = ledgers[1].member("li-lei")["totals"]
    assert balance["available"] == 50
    assert balance["reserved"] + totals["redeemed"] == 2000
    # Each booked one saw the account as the one before had left it.
    left = sorted(outcome.body["balance"]["available"] for outcome in booked)
    assert left == list(range(50, 2050, 100))


@pytest.mark.parametrize("protected_by", ["key", "business id", "both"])
def test_failures_8_twenty_at_once_book_once_and_get_the_same_answer(
    ledgers: list[Ledger], protected_by: str
) -> None:
    ask(ledgers[0], order("o-1", "5000.00"))

    def call(number: int) -> r.Outcome:
        key = None if protected_by == "business id" else "k-1"
        command = offset("r-1")
        if protected_by == "key":
            command = r.Redeem(
                member_id="li-lei", points=100, order_id="o-cot", order_amount=Decimal("900.00")
            )
        return ask(ledgers[number % 2], command, key)

    outcomes = at_once([lambda number=number: call(number) for number in range(20)])  # type: ignore[misc]
    assert {outcome.status for outcome in outcomes} == {201}
    assert all(outcome.body == outcomes[0].body for outcome in outcomes)
    assert [outcome.replayed for outcome in outcomes].count(False) == 1
    member = ledgers[0].member("li-lei")
    assert (member["totals"]["redeemed"], member["version"]) == (100, 3)


def test_twenty_enrolments_at_once_make_one_member(ledgers: list[Ledger]) -> None:
    command = r.Enrol(member_id="jim", name="Jim Green")
    outcomes = at_once(
        [lambda n=n: ask(ledgers[n % 2], command) for n in range(20)]  # type: ignore[misc]
    )
    assert all(outcome.body == outcomes[0].body for outcome in outcomes)
    assert [outcome.replayed for outcome in outcomes].count(False) == 1


def test_one_order_id_for_two_members_at_once_is_one_members(ledgers: list[Ledger]) -> None:
    for turn in range(10):
        outcomes = at_once(
            [
                lambda: ask(ledgers[0], order(f"o-{turn}", "10.00", "li-lei")),  # noqa: B023
                lambda: ask(ledgers[1], order(f"o-{turn}", "10.00", "han-meimei")),  # noqa: B023
            ]
        )
        assert sorted(outcome.status for outcome in outcomes) == [201, 409]
        assert {o.body.get("code") for o in outcomes} == {None, "already_recorded"}
    granted = [ledgers[0].member(m)["totals"]["granted"] for m in ("li-lei", "han-meimei")]
    assert sum(granted) == 100


def test_batches_over_the_same_members_in_opposite_order_do_not_lock_each_other_out(
    ledgers: list[Ledger],
) -> None:
    def batch(name: str, members: tuple[str, ...]) -> list[r.Request]:
        return [
            r.Request(command=order(f"o-{name}-{number}-{m}", "1.00", m), actor=TILL)
            for number in range(10)
            for m in members
        ]

    def run(number: int) -> list[r.Outcome]:
        members = ("li-lei", "han-meimei") if number % 2 else ("han-meimei", "li-lei")
        return ledgers[number % 2].handle(batch(str(number), members))

    with ThreadPoolExecutor(8) as pool:
        outcomes = [one for batch in pool.map(run, range(8)) for one in batch]
    assert {outcome.status for outcome in outcomes} == {201}
    assert ledgers[0].member("li-lei")["balance"]["available"] == 80


# A client that is killed


def test_a_till_killed_again_and_again_loses_nothing_and_doubles_nothing(
    ledgers: list[Ledger], database_url: str
) -> None:
    acknowledged: set[str] = set()
    chance = random.Random(9)
    for _ in range(3):
        acknowledged |= _until_killed(database_url, chance.randint(5, 60))
    done = subprocess.run(
        [sys.executable, _TILL_PROCESS, database_url, "200"],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    answered = dict(line.split() for line in done.stdout.splitlines())
    assert len(answered) == 200
    accrued = [one.event for one in ledgers[0].events_of("li-lei")]
    orders = [event.order_id for event in accrued if isinstance(event, PointsAccrued)]
    assert len(orders) == len(set(orders)) == 200
    assert acknowledged <= set(orders)
    # Sent again, each is answered by the place it had had from the first.
    positions = {
        one.event.order_id: one.position
        for one in ledgers[0].events_of("li-lei")
        if isinstance(one.event, PointsAccrued)
    }
    assert {name: int(place) for name, place in answered.items()} == positions
    assert ledgers[0].member("li-lei")["balance"]["available"] == 200


_TILL_PROCESS = str(Path(__file__).with_name("till_process.py"))


def _until_killed(database_url: str, answers: int) -> set[str]:
    """Orders that a till got an answer for until it was killed, as soon as it had so many."""
    process = subprocess.Popen(
        [sys.executable, _TILL_PROCESS, database_url, "200"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    names = [process.stdout.readline().split()[0] for _ in range(answers)]
    process.send_signal(signal.SIGKILL)
    # What it had written but not yet been read counts as answered too.
    names += [line.split()[0] for line in process.stdout if line.endswith("\n")]
    process.stdout.close()
    process.wait(timeout=30)
    return set(names)


# A history in Jepsen's manner


@dataclass
class Call:
    """One call as its caller saw it."""

    name: str
    invoked: float
    completed: float
    result: str  # ok, failed, unknown
    position: int | None = None


def test_every_answered_call_is_in_the_log_once_and_no_refused_one_is(
    ledgers: list[Ledger], database_url: str
) -> None:
    for number in range(3):
        ask(ledgers[0], order(f"o-start-{number}", "300.00"))
    stop = threading.Event()
    with ThreadPoolExecutor(9) as pool:
        breaker = pool.submit(_break_connections, database_url, stop)
        workers = [pool.submit(_worker, ledgers[n % 2], n) for n in range(8)]
        history = [call for worker in workers for call in worker.result()]
        stop.set()
        breaker.result()
    logged = _logged(ledgers[0])
    assert len(history) == 8 * 40
    for call in history:
        times = logged.get(call.name, [])
        if call.result == "ok":
            assert times == [call.position], call
        elif call.result == "failed":
            assert times == [], call
        else:
            assert len(times) <= 1, call
    assert {call.result for call in history} == {"ok", "failed", "unknown"}
    _assert_real_time_order([call for call in history if call.result == "ok"])
    # Whatever was left unknown becomes known by asking again, and is booked once at most.
    for call in history:
        if call.result == "unknown":
            outcome = ask(ledgers[0], _command(call.name), call.name)
            assert outcome.status in (201, 409)
            assert len(_logged(ledgers[0]).get(call.name, [])) == (outcome.status == 201)


def _command(name: str) -> r.Command:
    kind, _, turn = name.split("-")
    if kind == "buy":
        return order(name, "70.00")
    if kind == "spend":
        return offset(name, 300)
    return r.Refund(refund_id=name, order_id=f"o-start-{int(turn) % 3}", amount=Decimal("9.00"))


def _worker(ledger: Ledger, number: int) -> list[Call]:
    history = []
    for turn in range(40):
        name = f"{('buy', 'spend', 'spend', 'refund')[turn % 4]}-{number}-{turn}"
        invoked = time.monotonic()
        result, position = "unknown", None
        try:
            outcome = ask(ledger, _command(name), name)
        except psycopg2.Error:
            pass
        else:
            assert outcome.status < 500, outcome.body
            result = "ok" if outcome.status < 300 else "failed"
            position = outcome.body.get("position")
        history.append(Call(name, invoked, time.monotonic(), result, position))
    return history


def _break_connections(database_url: str, stop: threading.Event) -> None:
    """End a connection of the ledgers' now and then, whatever it is doing."""
    connection = psycopg2.connect(database_url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        while not stop.wait(0.03):
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid() "
                "AND backend_type = 'client backend' AND state <> 'idle' "
                "ORDER BY random() LIMIT 1"
            )
    connection.close()


def _logged(ledger: Ledger) -> dict[str, list[Any]]:
    """Where in the log each call's own event stands: its last one's position, by its id."""
    places: dict[str, list[Any]] = {}
    recorded = list(ledger.events_of("li-lei"))
    for index, one in enumerate(recorded):
        event = one.event
        if isinstance(event, PointsAccrued):
            places.setdefault(event.order_id, []).append(one.position)
        elif isinstance(event, PointsRedeemed):
            places.setdefault(event.redemption_id, []).append(one.position)
        elif isinstance(event, OrderRefunded):
            last = one
            for following in recorded[index + 1 :]:
                if getattr(following.event, "refund_id", None) != event.refund_id:
                    break
                last = following
            places.setdefault(event.refund_id, []).append(last.position)
    return places


def _assert_real_time_order(calls: list[Call]) -> None:
    """What was answered before another was asked stands before it in the log."""
    by_end = sorted(calls, key=lambda call: call.completed)
    highest = 0
    ended = 0
    for call in sorted(calls, key=lambda call: call.invoked):
        while by_end[ended].completed < call.invoked:
            highest = max(highest, by_end[ended].position or 0)
            ended += 1
        assert call.position is not None
        assert call.position > highest, call


def test_reads_never_mix_two_versions_of_a_member(ledgers: list[Ledger]) -> None:
    """Balance and lots of one answer are of one moment, whatever is written meanwhile."""
    writer, reader = ledgers
    stop = threading.Event()

    def write() -> None:
        for number in itertools.count():
            if stop.is_set():
                return
            ask(writer, order(f"o-{number}", "100.00"))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(200):
            member = reader.member("li-lei")
            remaining = [lot["remaining"] for lot in member["lots"]]
            assert member["balance"]["available"] == sum(remaining)
    finally:
        stop.set()
        thread.join()


def test_a_refusal_after_a_lapse_has_one_answer_in_all_processes(ledgers: list[Ledger]) -> None:
    """The same key four times at once, where deciding records a lapse before it refuses."""
    long_ago = ledgers[0].clock() - timedelta(hours=1)
    for number in range(10):
        earned = msgspec.structs.replace(order(f"o-{number}", "300.00"), occurred_at=long_ago)
        reserved = msgspec.structs.replace(
            offset(f"r-{number}", 300, reserve=True), occurred_at=long_ago, reserve_seconds=60
        )
        assert [ask(ledgers[0], one).status for one in (earned, reserved)] == [201, 201]
        too_much = offset(f"q-{number}", 9000)
        calls = [partial(ask, ledgers[turn % 2], too_much, f"key-{number}") for turn in range(4)]
        codes = {outcome.body.get("code") for outcome in at_once(calls)}
        assert codes == {"over_order_share"} or codes == {"insufficient_points"}


def test_a_locked_member_holds_up_no_other_for_long(
    ledgers: list[Ledger], database_url: str
) -> None:
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT FROM member_states WHERE member_id = 'li-lei' FOR UPDATE")
        commands = [order("o-1", "1.00"), order("o-2", "1.00", "han-meimei"), order("o-3", "1.00")]
        requests = [r.Request(command=one, actor=TILL) for one in commands]
        started = time.monotonic()
        outcomes = ledgers[0].handle(requests)
        assert time.monotonic() - started < 5
        connection.rollback()
    assert [one.status for one in outcomes] == [409, 201, 409]
    assert outcomes[0].body["code"] == "request_in_progress"
