"""Views behind a real log: bad events, lost connections, two runners, rebuilding meanwhile."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg2
import pytest
from event_log import Life, Log, accrued, enrolled, lives

from ledger.errors import NotFound, Refusal
from ledger.events import PointsAccrued, RecordedEvent
from ledger.store.database import Cursor, Database
from projections import last_position, status, wait_for
from projections.follower import ATTEMPTS, Follower
from projections.history import history_page
from projections.log import LogReader
from projections.positions import position_of
from projections.rebuilding import rebuild
from projections.runner import Runner, catch_up
from projections.view import View
from projections.views import VIEWS

TABLES = {"history": ("entries",), "members": ("members",), "lots": ("lots", "drawn")}


@contextmanager
def running(runner: Runner) -> Iterator[Runner]:
    runner.start()
    try:
        yield runner
    finally:
        runner.stop()


def rows(database: Database, view: str) -> list[str]:
    """Every row of a view as text, in the order of its text."""
    found = []
    with database.transaction() as cursor:
        for table in TABLES[view]:
            cursor.execute(f"SELECT t::text FROM view_{view}.{table} AS t ORDER BY 1")  # noqa: S608
            found += [row[0] for row in cursor]
    return found


def bad_events(database: Database) -> list[tuple[str, int, str, str, str]]:
    with database.transaction() as cursor:
        cursor.execute(
            "SELECT view, position, stream_id, topic, reason FROM bad_events ORDER BY 1, 2"
        )
        return cursor.fetchall()


def test_every_view_reaches_the_end_of_the_log(database: Database) -> None:
    Log(database).add_all(lives(members=5, events_each=40))
    with running(Runner(database)):
        assert all(wait_for(database, view, 200, timeout=10) for view in VIEWS)
    assert [(each.view, each.position, each.lag) for each in status(database)] == [
        (view, 200, 0) for view in VIEWS
    ]
    assert last_position(database) == 200


def test_before_any_runner_the_views_lag_by_the_whole_log(database: Database) -> None:
    Log(database).add("m-1", enrolled("m-1"))
    assert {each.lag for each in status(database)} == {1}
    assert not wait_for(database, "history", 1, timeout=0.05)
    with pytest.raises(Refusal) as refused:
        history_page(database, "m-1")
    assert refused.value.code == "view_behind"


@pytest.mark.parametrize(
    ("topic", "state", "reason"),
    [
        ("PointsForgotten", b"{}", "PointsForgotten can't be read"),
        ("PointsAccrued", b"\xff\x00 no event", "PointsAccrued can't be read"),
        ("PointsAccrued", b'{"points": "many"}', "PointsAccrued can't be read"),
    ],
)
def test_failures_26_an_event_that_cannot_be_read_is_set_aside_and_the_rest_goes_on(
    database: Database, topic: str, state: bytes, reason: str
) -> None:
    log = Log(database)
    log.add("m-1", enrolled("m-1"), accrued("o-1", 100))
    bad = log.add_raw("member/m-1", topic, state)
    log.add("m-1", accrued("o-2", 50))
    end = log.add("m-2", enrolled("m-2"), accrued("o-3", 7))

    with running(Runner(database)):
        assert all(wait_for(database, view, end, timeout=10) for view in VIEWS)

    assert [(each.bad_events, each.lag) for each in status(database)] == [(1, 0)] * len(VIEWS)
    assert {(found[1], found[2], found[3]) for found in bad_events(database)} == {
        (bad, "member/m-1", topic)
    }
    assert all(reason in found[4] for found in bad_events(database))
    of_the_member = history_page(database, "m-1")
    assert [entry["version"] for entry in of_the_member["entries"]] == [1, 2, 4]
    assert of_the_member["incomplete"] is True
    assert history_page(database, "m-2")["incomplete"] is False


def test_failures_26_a_handler_that_raises_is_tried_again_then_passed_over(
    database: Database,
) -> None:
    met: list[int] = []

    def apply(cursor: Cursor, events: Sequence[RecordedEvent]) -> None:
        VIEWS["members"].apply(cursor, events)
        for event in events:
            if isinstance(event.event, PointsAccrued) and event.event.order_id == "o-13":
                met.append(len(events))
                raise RuntimeError("thirteen")

    log = Log(database)
    log.add("m-1", enrolled("m-1"), *(accrued(f"o-{number}", 1) for number in range(30)))
    catch_up(database, [View("members", apply), VIEWS["history"]])

    assert [(found[0], found[1], found[4]) for found in bad_events(database)] == [
        ("members", 15, "RuntimeError: thirteen")
    ]
    assert met[-ATTEMPTS:] == [1] * ATTEMPTS
    with database.transaction() as cursor:
        cursor.execute("SELECT available, orders, version FROM view_members.members")
        # What the failed attempts had written is gone with them.
        assert cursor.fetchall() == [(29, 29, 31)]
    assert len(history_page(database, "m-1")["entries"]) == 31


def test_failures_26_a_mended_handler_gets_the_event_back_by_a_rebuild(database: Database) -> None:
    def apply(cursor: Cursor, events: Sequence[RecordedEvent]) -> None:
        if any(event.position == 2 for event in events):
            raise RuntimeError("not yet understood")
        VIEWS["history"].apply(cursor, events)

    log = Log(database)
    log.add("m-1", enrolled("m-1"), accrued("o-1", 100), accrued("o-2", 1))
    catch_up(database, [View("history", apply)])
    assert history_page(database, "m-1")["entries"][-1]["balance_after"]["available"] == 1

    rebuild(database, "history")
    page = history_page(database, "m-1")
    assert page["entries"][-1]["balance_after"]["available"] == 101
    assert page["incomplete"] is False
    assert bad_events(database) == []


def test_failures_26_a_view_whose_tables_are_gone_waits_and_stops_no_other(
    database: Database,
) -> None:
    catch_up(database)
    with database.transaction() as cursor:
        cursor.execute("DROP TABLE view_lots.lots")
    log = Log(database)
    end = log.add("m-1", enrolled("m-1"), accrued("o-1", 100))
    with running(Runner(database)):
        assert wait_for(database, "history", end, timeout=10)
        assert wait_for(database, "members", end, timeout=10)
        assert not wait_for(database, "lots", end, timeout=0.3)
    # No event is to blame, so none is given up.
    assert bad_events(database) == []
    rebuild(database, "lots")
    assert position_of(database, "lots") == end


def test_a_lost_connection_is_no_bad_event(database: Database) -> None:
    log = Log(database)
    with running(Runner(database)):
        for number in range(5):
            end = log.add(f"m-{number}", enrolled(f"m-{number}"), accrued(f"o-{number}", 10))
            _cut_other_connections(database)
        assert all(wait_for(database, view, end, timeout=20) for view in VIEWS)
    assert bad_events(database) == []
    assert len(rows(database, "members")) == 5


def _cut_other_connections(database: Database) -> None:
    with database.transaction() as cursor:
        cursor.execute("RESET ROLE")
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        cursor.execute("SET ROLE jifen_writer")


def test_two_runners_at_once_take_every_event_once(database: Database) -> None:
    log = Log(database)
    with running(Runner(database)), running(Runner(database)):
        for number in range(40):
            end = log.add(f"m-{number}", enrolled(f"m-{number}"), accrued(f"o-{number}", 10))
        assert all(wait_for(database, view, end, timeout=10) for view in VIEWS)
    served = {view: rows(database, view) for view in VIEWS}
    assert len(served["history"]) == 80
    for view in VIEWS:
        rebuild(database, view)
    assert {view: rows(database, view) for view in VIEWS} == served


def test_a_runner_that_is_held_up_lets_another_pass_over_its_view(database: Database) -> None:
    end = Log(database).add("m-1", enrolled("m-1"))
    catch_up(database, [])
    with database.transaction() as holder:
        holder.execute("SELECT FROM view_positions WHERE view = 'history' FOR UPDATE")
        with running(Runner(database)):
            assert wait_for(database, "members", end, timeout=10)
            assert position_of(database, "history") == 0


def test_rebuilt_views_equal_the_followed_ones_while_writes_go_on(database: Database) -> None:
    log = Log(database)
    events = lives(members=12, events_each=150, seed=7)
    log.add_all(events[:900])
    written = threading.Event()

    def write() -> None:
        for first in range(900, len(events), 9):
            log.add_all(events[first : first + 9])
        written.set()

    writer = threading.Thread(target=write)
    with running(Runner(database)):
        writer.start()
        rebuilds = 0
        while not written.is_set() or rebuilds < 3:
            for view in VIEWS:
                rebuild(database, view)
                rebuilds += 1
        writer.join()
        assert all(wait_for(database, view, len(events), timeout=20) for view in VIEWS)

    swapped = {view: rows(database, view) for view in VIEWS}
    assert len(swapped["history"]) == len(events)
    assert bad_events(database) == []
    for view in VIEWS:
        rebuild(database, view)
    assert {view: rows(database, view) for view in VIEWS} == swapped


def test_the_old_view_serves_until_the_new_one_has_caught_up(database: Database) -> None:
    log = Log(database)
    log.add_all(lives(members=3, events_each=50))
    catch_up(database)
    served: list[int] = []
    reported: list[tuple[int, int]] = []

    def look(done: int, total: int) -> None:
        served.append(len(history_page(database, "m-1")["entries"]))
        reported.append((done, total))

    rebuild(database, "history", look)
    assert served == [50] * len(served)
    assert reported[0] == (0, 150)
    assert reported[-1] == (150, 150)
    assert _schemas(database) == ["view_history", "view_lots", "view_members"]


def _schemas(database: Database) -> list[str]:
    with database.transaction() as cursor:
        cursor.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'view%' ORDER BY 1")
        return [row[0] for row in cursor]


def test_two_rebuilds_of_a_view_at_once_are_refused(database: Database) -> None:
    Log(database).add_all(lives(members=2, events_each=20))
    catch_up(database)
    refusals: list[str] = []

    def rebuild_again(done: int, total: int) -> None:
        if not refusals:
            with pytest.raises(Refusal, match="already") as refused:
                rebuild(database, "lots")
            refusals.append(refused.value.code)
            rebuild(database, "members")  # another view may

    rebuild(database, "lots", rebuild_again)
    assert refusals == ["request_in_progress"]


def test_an_interrupted_rebuild_leaves_the_view_and_can_be_repeated(database: Database) -> None:
    log = Log(database)
    log.add_all(lives(members=2, events_each=20))
    catch_up(database)
    before = rows(database, "history")

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rebuild(database, "history", interrupt)
    assert rows(database, "history") == before
    rebuild(database, "history")
    assert rows(database, "history") == before
    assert _schemas(database) == ["view_history", "view_lots", "view_members"]


def test_a_bad_event_just_before_the_swap_does_not_hold_a_rebuild_up(database: Database) -> None:
    log = Log(database)
    log.add("m-1", enrolled("m-1"), accrued("o-1", 100))
    catch_up(database)
    came: list[int] = []

    def one_comes(done: int, total: int) -> None:
        if not came:
            came.append(log.add_raw("member/m-1", "PointsForgotten", b"{}"))
            catch_up(database)

    rebuild(database, "members", one_comes)
    assert [(found[0], found[1]) for found in bad_events(database)] == [
        (view, *came) for view in sorted(VIEWS)
    ]
    assert {each.position for each in status(database)} == set(came)


def test_an_unknown_view_cannot_be_rebuilt(database: Database) -> None:
    with pytest.raises(NotFound, match="history, members, lots"):
        rebuild(database, "balances")


def test_a_view_with_a_new_definition_is_rebuilt_by_the_runner(database: Database) -> None:
    Log(database).add_all(lives(members=2, events_each=20))
    catch_up(database)
    served = rows(database, "members")
    with database.transaction() as cursor:
        cursor.execute("UPDATE view_positions SET definition = 'older' WHERE view = 'members'")
        cursor.execute("DROP TABLE view_members.members; CREATE TABLE view_members.members ()")
    with running(Runner(database)):
        deadline = time.monotonic() + 10
        while not _is_current(database) and time.monotonic() < deadline:
            time.sleep(0.02)
    assert rows(database, "members") == served


def _is_current(database: Database) -> bool:
    with database.transaction() as cursor:
        cursor.execute("SELECT bool_and(definition <> 'older') FROM view_positions")
        row = cursor.fetchone()
    return bool(row and row[0])


def test_failures_25_views_that_race_writers_miss_no_event(database: Database) -> None:
    log_of = [Log(database) for _ in range(4)]

    def write(number: int) -> None:
        life = Life(f"m-{number}", random.Random(number))
        for event in life.events(60):
            log_of[number].add(life.member_id, event)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    with running(Runner(database)):
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert wait_for(database, "history", 240, timeout=10)
    with database.transaction() as cursor:
        cursor.execute("SELECT count(*), min(position), max(position) FROM view_history.entries")
        assert cursor.fetchone() == (240, 1, 240)


def test_the_process_follows_and_ends_at_sigterm(database: Database, database_url: str) -> None:
    end = Log(database).add("m-1", enrolled("m-1"), accrued("o-1", 100))
    environment = {**os.environ, "JIFEN_DATABASE_URL": database_url}
    process = subprocess.Popen([sys.executable, "-m", "projections"], env=environment)
    try:
        assert all(wait_for(database, view, end, timeout=20) for view in VIEWS)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    finally:
        process.kill()
        process.wait()


def test_a_killed_runner_loses_nothing_and_doubles_nothing(
    database: Database, database_url: str
) -> None:
    log = Log(database)
    events = lives(members=10, events_each=100, seed=3)
    environment = {**os.environ, "JIFEN_DATABASE_URL": database_url}
    for first in range(0, len(events), 250):
        process = subprocess.Popen([sys.executable, "-m", "projections"], env=environment)
        log.add_all(events[first : first + 250])
        wait_for(database, "history", first + 1, timeout=20)
        process.kill()
        process.wait()
    catch_up(database)
    followed = {view: rows(database, view) for view in VIEWS}
    assert len(followed["history"]) == len(events)
    for view in VIEWS:
        rebuild(database, view)
    assert {view: rows(database, view) for view in VIEWS} == followed


def test_a_follower_takes_the_log_in_chunks(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("projections.follower.CHUNK_EVENTS", 7)
    Log(database).add_all(lives(members=3, events_each=40, seed=5))
    catch_up(database)
    chunked = {view: rows(database, view) for view in VIEWS}
    monkeypatch.setattr("projections.follower.CHUNK_EVENTS", 4000)
    for view in VIEWS:
        rebuild(database, view)
    assert {view: rows(database, view) for view in VIEWS} == chunked


def test_views_side_by_side_read_a_chunk_of_the_log_once(database: Database) -> None:
    Log(database).add_all(lives(members=2, events_each=20))
    reader = LogReader(remembered_chunks=2)
    with database.transaction() as cursor:
        first = reader.read(cursor, 0, 30)
        assert [event.position for event in first] == list(range(1, 31))
        cursor.execute("SET LOCAL search_path = pg_catalog")  # the log is out of sight
        assert reader.read(cursor, 0, 30) == first
        assert reader.read(cursor, 0, 1) == first[:1]
        with pytest.raises(psycopg2.ProgrammingError):
            reader.read(cursor, 30, 30)


def test_the_end_of_the_log_is_not_remembered(database: Database) -> None:
    log = Log(database)
    log.add("m-1", enrolled("m-1"))
    reader = LogReader(remembered_chunks=2)
    with database.transaction() as cursor:
        assert len(reader.read(cursor, 0, 30)) == 1
        assert reader.read(cursor, 1, 30) == []
    log.add("m-1", accrued("o-1", 10))
    with database.transaction() as cursor:
        assert [event.position for event in reader.read(cursor, 1, 30)] == [2]


def test_an_idle_follower_writes_nothing(database: Database) -> None:
    catch_up(database)
    follower = Follower(database, VIEWS["history"])
    with database.transaction() as cursor:
        cursor.execute("SELECT xmin, ctid FROM view_positions ORDER BY view")
        before = cursor.fetchall()
    follower.step()
    with database.transaction() as cursor:
        cursor.execute("SELECT xmin, ctid FROM view_positions ORDER BY view")
        assert cursor.fetchall() == before


def test_the_writer_role_owns_the_views_and_still_cannot_change_the_log(
    database: Database,
) -> None:
    Log(database).add("m-1", enrolled("m-1"))
    catch_up(database)
    with database.transaction() as cursor, pytest.raises(psycopg2.Error):
        cursor.execute("DELETE FROM events")
