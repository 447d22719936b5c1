"""The log in PostgreSQL, behind the eventsourcing library's recorder interfaces.

    StreamRecorder(AggregateRecorder)          streams: insert and select by stream
    └── LogRecorder(ApplicationRecorder)       the log: positions, reading onward, subscribing
        └── LogProcessRecorder(ProcessRecorder)    the log and tracking in one transaction
    LogTrackingRecorder(TrackingRecorder)      how far a reader has come

All write one log: a stream is the log's events with one `stream_id`.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import psycopg2
from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    IntegrityError,
    InternalError,
    Notification,
    ProcessRecorder,
    StoredEvent,
    Subscription,
    Tracking,
    TrackingRecorder,
)

from ledger.clock import Clock, system_clock
from ledger.store.arrays import bigint_array, bytea_array, text_array
from ledger.store.database import Cursor, Database, library_error, library_errors
from ledger.store.prepared import Prepared, Statement, execute_together

# The row of log_head stays locked until the transaction ends. So positions are dense, in commit
# order, never seen out of order (FAILURES 25), and recorded_at never goes back with them, even
# when the wall clock does.
_APPEND: Final = Prepared(
    "append",
    """
    WITH head AS (
        UPDATE log_head
        SET position = position + %(count)s,
            recorded_at = greatest(recorded_at, %(recorded_at)s)
        RETURNING position, recorded_at
    ), appended AS (
        INSERT INTO events (position, stream_id, version, topic, state, recorded_at)
        SELECT head.position - %(count)s + new.place, new.stream_id, new.version, new.topic,
               new.state, head.recorded_at
        FROM head, unnest(
            %(stream_ids)s, %(versions)s, %(topics)s, %(states)s
        ) WITH ORDINALITY AS new (stream_id, version, topic, state, place)
    )
    SELECT position, recorded_at FROM head
    """,
    count="bigint",
    recorded_at="timestamptz",
    stream_ids="text[]",
    versions="bigint[]",
    topics="text[]",
    states="bytea[]",
)

_SELECT_STREAM: Final = """
    SELECT stream_id, version, topic, state
    FROM events
    WHERE stream_id = %(stream_id)s
      AND (%(gt)s IS NULL OR version > %(gt)s)
      AND (%(lte)s IS NULL OR version <= %(lte)s)
    ORDER BY version {direction}
    LIMIT %(limit)s
"""
_SELECT_FORWARD: Final = _SELECT_STREAM.format(direction="ASC")
_SELECT_BACKWARD: Final = _SELECT_STREAM.format(direction="DESC")

_SELECT_LOG: Final = """
    SELECT stream_id, version, topic, state, position, recorded_at
    FROM events
    WHERE position > %(after)s
      AND (%(stop)s IS NULL OR position <= %(stop)s)
      AND (%(topics)s IS NULL OR topic = ANY (%(topics)s::text[]))
    ORDER BY position
    LIMIT %(limit)s
"""

_SELECT_HEAD: Final = "SELECT position FROM log_head WHERE position > 0"

_TRACK: Final = """
    INSERT INTO tracking (application, position) VALUES (%(application)s, %(position)s)
    ON CONFLICT (application) DO UPDATE SET position = excluded.position
    WHERE tracking.position < excluded.position
"""

_SELECT_TRACKING: Final = "SELECT position FROM tracking WHERE application = %s"


class Appended(NamedTuple):
    """Where an append ended: its last event's position, and the time all its events have."""

    last_position: int
    recorded_at: datetime


@dataclass(frozen=True)
class LogEntry(Notification):
    """A stored event in its place in the log (`id` is the position), and when it was recorded."""

    recorded_at: datetime


def append(
    cursor: Cursor,
    stored_events: Sequence[StoredEvent],
    recorded_at: datetime,
    *,
    before: Sequence[Statement] = (),
) -> Appended:
    """Append events, at least one, to the log in the cursor's transaction, with one statement.

    `before` are statements that belong to it, and go with it in one round trip.

    From here to the end of the transaction every other writer waits: let it be the last statement
    before the commit. `recorded_at` is the time now; an earlier one than the log's is raised to it.
    The library's `IntegrityError` says that a stream already has such a version; the transaction
    is then over.
    """
    if not stored_events:
        raise ValueError("append() needs at least one event.")
    parameters = {
        "count": len(stored_events),
        "recorded_at": recorded_at,
        "stream_ids": text_array([str(event.originator_id) for event in stored_events]),
        "versions": bigint_array([event.originator_version for event in stored_events]),
        "topics": text_array([event.topic for event in stored_events]),
        "states": bytea_array([event.state for event in stored_events]),
    }
    try:
        execute_together(cursor, [*before, (_APPEND, parameters)])
    except psycopg2.IntegrityError as error:
        raise library_error(error) from error
    head = cursor.fetchone()
    if head is None:
        raise InternalError("log_head has lost its row: nothing can be appended; restore it.")
    return Appended(*head)


class StreamRecorder(AggregateRecorder):
    """Inserts into and selects from streams of the log."""

    def __init__(self, database: Database, clock: Clock = system_clock) -> None:
        self.database = database
        self.clock = clock

    def insert_events(
        self,
        stored_events: Sequence[StoredEvent],
        *,
        cursor: Cursor | None = None,
        recorded_at: datetime | None = None,
        **kwargs: Any,
    ) -> Sequence[int] | None:
        """Append in the cursor's transaction, or in one of its own if none is given.

        All are written or none; the library's `IntegrityError` if a stream has such a version.
        """
        self._insert(stored_events, cursor, recorded_at, **kwargs)
        return None

    def _insert(
        self,
        stored_events: Sequence[StoredEvent],
        cursor: Cursor | None,
        recorded_at: datetime | None,
        **kwargs: Any,
    ) -> Sequence[int]:
        if cursor is not None:
            return self._write(cursor, stored_events, recorded_at, **kwargs)
        with library_errors(), self.database.transaction() as own_cursor:
            return self._write(own_cursor, stored_events, recorded_at, **kwargs)

    def _write(
        self,
        cursor: Cursor,
        stored_events: Sequence[StoredEvent],
        recorded_at: datetime | None,
        **kwargs: Any,
    ) -> Sequence[int]:
        if not stored_events:
            return []
        last, _ = append(cursor, stored_events, recorded_at or self.clock())
        return range(last - len(stored_events) + 1, last + 1)

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """The events of one stream in version order (`desc`: the newest first)."""
        statement = _SELECT_BACKWARD if desc else _SELECT_FORWARD
        parameters = {"stream_id": str(originator_id), "gt": gt, "lte": lte, "limit": limit}
        with library_errors(), self.database.transaction() as cursor:
            cursor.execute(statement, parameters)
            return [
                StoredEvent(stream_id, version, topic, bytes(state))
                for stream_id, version, topic, state in cursor
            ]


class LogRecorder(StreamRecorder, ApplicationRecorder):
    """The whole log: what is appended gets a position, and can be read from any position on."""

    def insert_events(
        self,
        stored_events: Sequence[StoredEvent],
        *,
        cursor: Cursor | None = None,
        recorded_at: datetime | None = None,
        **kwargs: Any,
    ) -> Sequence[int] | None:
        """As `StreamRecorder.insert_events`; returns the events' positions."""
        return list(self._insert(stored_events, cursor, recorded_at, **kwargs))

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[LogEntry]:
        """Up to `limit` entries from `start` (or after it) to `stop`, in the order of positions.

        Nothing is ever committed below a position that has been seen, so reading on after the
        last one seen misses nothing (FAILURES 25).
        """
        parameters = {
            "after": (start or 0) - (1 if inclusive_of_start and start else 0),
            "stop": stop,
            "topics": text_array(topics) if topics else None,
            "limit": limit,
        }
        with library_errors(), self.database.transaction() as cursor:
            cursor.execute(_SELECT_LOG, parameters)
            return [
                LogEntry(stream_id, version, topic, bytes(state), position, recorded_at)
                for stream_id, version, topic, state, position, recorded_at in cursor
            ]

    def max_notification_id(self) -> int | None:
        """The last position, None for an empty log."""
        with library_errors(), self.database.transaction() as cursor:
            cursor.execute(_SELECT_HEAD)
            head = cursor.fetchone()
        return None if head is None else int(head[0])

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> LogSubscription:
        """Iterate over all entries after `gt`, then over new ones as they are appended."""
        return LogSubscription(self, gt=gt, topics=topics)


class LogSubscription(Subscription[LogRecorder]):
    """Follows the log by asking again every 50 ms when it has come to the end.

    Not by LISTEN and NOTIFY: PostgreSQL commits transactions that notify one at a time, under one
    lock for the whole cluster, and writers would pay for it; nor does LISTEN pass a PgBouncer in
    transaction mode. An idle subscription costs 20 small index look-ups a second.
    """

    POLL_SECONDS: Final = 0.05
    PAGE: Final = 500

    def __init__(
        self, recorder: LogRecorder, gt: int | None = None, topics: Sequence[str] = ()
    ) -> None:
        super().__init__(recorder, gt, topics)
        self._page: deque[LogEntry] = deque()
        self._stopping = threading.Event()

    def stop(self) -> None:
        """End the iteration, from any thread; a wait for new entries ends at once."""
        super().stop()
        self._stopping.set()

    def __next__(self) -> LogEntry:
        while not self._stopping.is_set():
            if self._page:
                return self._page.popleft()
            if not self._read_on():
                self._stopping.wait(self.POLL_SECONDS)
        raise StopIteration

    def _read_on(self) -> bool:
        entries = self._recorder.select_notifications(
            self._last_notification_id, self.PAGE, topics=self._topics, inclusive_of_start=False
        )
        if entries:
            self._page.extend(entries)
            self._last_notification_id = entries[-1].id
        return bool(entries)


class LogTrackingRecorder(TrackingRecorder):
    """How far each reader of a log has come: a position that only rises."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def insert_tracking(self, tracking: Tracking) -> None:
        """Record a position; the library's `IntegrityError` if it is not above the last one."""
        with library_errors(), self.database.transaction() as cursor:
            track(cursor, tracking)

    def max_tracking_id(self, application_name: str) -> int | None:
        """The last recorded position, None if there is none."""
        with library_errors(), self.database.transaction() as cursor:
            cursor.execute(_SELECT_TRACKING, [application_name])
            row = cursor.fetchone()
        return None if row is None else int(row[0])


class LogProcessRecorder(LogRecorder, LogTrackingRecorder, ProcessRecorder):
    """Appends events and records, in the same transaction, what they were made from."""

    def __init__(self, database: Database, clock: Clock = system_clock) -> None:
        LogRecorder.__init__(self, database, clock)

    def _write(
        self,
        cursor: Cursor,
        stored_events: Sequence[StoredEvent],
        recorded_at: datetime | None,
        **kwargs: Any,
    ) -> Sequence[int]:
        # Tracking first: the append must be the last statement before the commit.
        tracking: Tracking | None = kwargs.get("tracking")
        if tracking is not None:
            track(cursor, tracking)
        return super()._write(cursor, stored_events, recorded_at)


def track(cursor: Cursor, tracking: Tracking) -> None:
    """Record a position in the cursor's transaction; `IntegrityError` if it does not rise."""
    name, position = tracking.application_name, tracking.notification_id
    cursor.execute(_TRACK, {"application": name, "position": position})
    if cursor.rowcount == 0:
        raise IntegrityError(f"{name!r} has already been tracked to {position} or beyond.")
