"""Positions are dense and in commit order; time in the log never goes back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest
from eventsourcing.persistence import IntegrityError, StoredEvent

from ledger.store.database import Database
from ledger.store.recorders import LogEntry, LogRecorder, append

WRITERS = 8
WRITES = 60
NOON = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


def events(stream: str, first: int, count: int, state: bytes = b"{}") -> list[StoredEvent]:
    versions = range(first, first + count)
    return [StoredEvent(stream, version, "PointsAccrued", state) for version in versions]


class TailReader(threading.Thread):
    """Follows the log by `position > last` while it is being written."""

    def __init__(self, recorder: LogRecorder) -> None:
        super().__init__()
        self.recorder = recorder
        self.entries: list[LogEntry] = []
        self.writers_are_done = threading.Event()

    def run(self) -> None:
        last_round = False
        while not last_round:
            last_round = self.writers_are_done.is_set()
            while page := self.recorder.select_notifications(
                self.last_position, 100, inclusive_of_start=False
            ):
                self.entries.extend(page)

    @property
    def last_position(self) -> int | None:
        return self.entries[-1].id if self.entries else None


def write_beside_tail_readers(database: Database, write: Callable[[int], None]) -> list[TailReader]:
    readers = [TailReader(LogRecorder(database)) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        with ThreadPoolExecutor(WRITERS) as writers:
            list(writers.map(write, range(WRITERS)))
    finally:
        for reader in readers:
            reader.writers_are_done.set()
        for reader in readers:
            reader.join()
    return readers


def test_failures_25_a_tail_reader_racing_writers_misses_nothing(database: Database) -> None:
    recorder = LogRecorder(database)
    acknowledged: list[int] = []

    def write(writer: int) -> None:
        version = 1
        for count in range(1, WRITES + 1):
            size = 1 + (count * (writer + 3)) % 5
            positions = recorder.insert_events(events(f"member/m-{writer}", version, size))
            assert positions is not None
            assert positions == list(range(positions[0], positions[0] + size))
            acknowledged.extend(positions)
            version += size

    readers = write_beside_tail_readers(database, write)

    everything = list(range(1, len(acknowledged) + 1))
    assert sorted(acknowledged) == everything
    for reader in readers:
        assert [entry.id for entry in reader.entries] == everything
        times = [entry.recorded_at for entry in reader.entries]
        assert times == sorted(times)


def test_failures_25_writers_that_fail_leave_no_gap(database: Database) -> None:
    recorder = LogRecorder(database)

    def write(writer: int) -> None:
        for count in range(1, WRITES + 1):
            if count % 3 == 0:
                with pytest.raises(IntegrityError):  # this version exists
                    recorder.insert_events(events(f"member/m-{writer}", count - 1, 2))
            elif count % 3 == 1:
                recorder.insert_events(events(f"member/m-{writer}", count, 2))

    readers = write_beside_tail_readers(database, write)

    written = WRITERS * WRITES // 3 * 2
    for reader in readers:
        assert [entry.id for entry in reader.entries] == list(range(1, written + 1))


def test_failures_25_a_late_commit_holds_up_those_behind_it(database: Database) -> None:
    recorder = LogRecorder(database)
    with ThreadPoolExecutor(1) as other:
        with database.transaction() as cursor:
            append(cursor, events("member/m-1", 1, 3), NOON)
            later = other.submit(recorder.insert_events, events("member/m-2", 1, 1))
            with pytest.raises(TimeoutError):
                later.result(timeout=0.3)
            assert recorder.select_notifications(None, 10) == []
        assert later.result(timeout=5) == [4]
    assert [entry.id for entry in recorder.select_notifications(None, 10)] == [1, 2, 3, 4]


def test_a_writer_that_waits_too_long_for_the_log_gives_up(database_url: str) -> None:
    database = Database(database_url, lock_timeout_seconds=0.2)
    with database.transaction() as cursor:
        append(cursor, events("member/m-1", 1, 1), NOON)
        with pytest.raises(psycopg2.errors.LockNotAvailable), database.transaction() as waiting:
            append(waiting, events("member/m-2", 1, 1), NOON)
    assert LogRecorder(database).insert_events(events("member/m-2", 1, 1)) == [2]
    database.close()


def test_recorded_at_never_goes_back_even_when_the_clock_does(database: Database) -> None:
    clock = iter([NOON, NOON - timedelta(hours=1), NOON + timedelta(seconds=1)])
    recorder = LogRecorder(database, clock=lambda: next(clock))
    for version in (1, 2, 3):
        recorder.insert_events(events("member/m-1", version, 1))
    times = [entry.recorded_at for entry in recorder.select_notifications(None, 10)]
    assert times == [NOON, NOON, NOON + timedelta(seconds=1)]


def test_an_append_says_where_it_ended_and_when(database: Database) -> None:
    with database.transaction() as cursor:
        assert append(cursor, events("member/m-1", 1, 2), NOON) == (2, NOON)
    earlier = NOON - timedelta(days=1)
    with database.transaction() as cursor:
        appended = append(cursor, events("member/m-2", 1, 1), earlier)
    assert appended.last_position == 3
    assert appended.recorded_at == NOON


def test_an_append_of_nothing_is_a_mistake(database: Database) -> None:
    with database.transaction() as cursor, pytest.raises(ValueError, match="at least one event"):
        append(cursor, [], NOON)


def test_a_stream_cannot_have_a_version_twice(database: Database) -> None:
    recorder = LogRecorder(database)
    recorder.insert_events(events("member/m-1", 1, 2))
    with pytest.raises(IntegrityError), database.transaction() as cursor:
        append(cursor, [*events("member/m-2", 1, 1), *events("member/m-1", 2, 1)], NOON)
    assert recorder.max_notification_id() == 2
    assert recorder.insert_events(events("member/m-1", 3, 1)) == [3]


def test_events_join_the_transaction_of_a_given_cursor(database: Database) -> None:
    recorder = LogRecorder(database)
    with pytest.raises(ZeroDivisionError), database.transaction() as cursor:
        assert recorder.insert_events(events("member/m-1", 1, 1), cursor=cursor) == [1]
        raise ZeroDivisionError
    assert recorder.max_notification_id() is None


@pytest.mark.parametrize(
    "state",
    [
        b"",
        b'{"name":"\xe6\x9d\x8e\xe9\x9b\xb7","note":"a\\"b\\\\c\\n\'d{},"}',
        b"\\x41",
        b"\\101",
        b"NULL",
        b"with a NUL \x00 inside",
        bytes(range(256)),
    ],
)
def test_any_bytes_are_kept_as_they_are(database: Database, state: bytes) -> None:
    recorder = LogRecorder(database)
    recorder.insert_events([*events("member/m-1", 1, 1, state), *events("member/m-2", 1, 1)])
    assert recorder.select_events("member/m-1")[0].state == state


@pytest.mark.parametrize("stream", ['member/a"b', "member/a\\b{},", "member/会员", "NULL", "a'b"])
def test_any_text_can_name_a_stream(database: Database, stream: str) -> None:
    recorder = LogRecorder(database)
    recorder.insert_events(events(stream, 1, 2))
    assert [event.originator_id for event in recorder.select_events(stream)] == [stream] * 2


def test_a_subscription_sees_what_another_process_appends(
    database: Database, database_url: str
) -> None:
    with LogRecorder(database).subscribe() as subscription:
        other = Database(database_url)
        LogRecorder(other).insert_events(events("member/m-1", 1, 2))
        other.close()
        assert [next(subscription).id for _ in range(2)] == [1, 2]
