"""One view following the log: a chunk of events, its rows and the position in one transaction."""

from __future__ import annotations

import logging
from enum import Enum
from typing import Final

import psycopg2
from eventsourcing.persistence import PersistenceError

from ledger.store.database import Cursor, Database
from projections.bad_events import set_aside
from projections.log import LogReader, identify
from projections.positions import events_behind, lock_position, move_position
from projections.view import View

logger = logging.getLogger(__name__)

CHUNK_EVENTS: Final = 4000
ATTEMPTS: Final = 3
RETRY_PAUSE_SECONDS: Final = 0.02

# A lost connection, a lock, a full disk, a missing table: the event is not to blame, and would
# come out right later. DataError and IntegrityError say that the row itself can't be written.
NOT_THE_EVENTS_FAULT: Final = (
    psycopg2.OperationalError,
    psycopg2.InterfaceError,
    psycopg2.InternalError,
    psycopg2.ProgrammingError,
    psycopg2.NotSupportedError,
    PersistenceError,
    MemoryError,
)

# Rows and position are lost together or not at all, and both follow from the log: no view needs
# to wait for the disk.
_PREPARE: Final = """
    SELECT set_config('search_path', %s || ', ' || current_setting('search_path'), true),
           set_config('synchronous_commit', 'off', true)
"""


class Step(Enum):
    """What came of one step, so that the caller knows whether to pause."""

    NOTHING = "nothing new, or another runner writes this view"
    TO_THE_END = "the end of the log was reached"
    WHOLE_CHUNK = "there may be more"
    FAULT = "a chunk could not be taken; the next step looks closer"


class Follower:
    """Keeps one view behind the log. `schema` and `key` differ from the view's in a rebuild.

    A chunk that can't be taken is read again, half as long each time, down to the one event at
    fault. That one is tried `ATTEMPTS` times, then set aside.
    """

    def __init__(
        self,
        database: Database,
        view: View,
        *,
        schema: str | None = None,
        key: str | None = None,
        reader: LogReader | None = None,
    ) -> None:
        """`reader` may be shared with other followers."""
        self.view = view
        self.key = key or view.name
        self._database = database
        self._schema = schema or view.schema
        self._reader = reader or LogReader()
        self._limit = CHUNK_EVENTS
        self._failures = 0
        self._read_after = 0

    def step(self) -> Step:
        """Take the next chunk of the log, or find out more about a bad one.

        Raises what is not an event's fault (`NOT_THE_EVENTS_FAULT`): wait, and call again.
        """
        if not events_behind(self._database, self.key):
            return Step.NOTHING
        try:
            taken = self._take_chunk()
        except NOT_THE_EVENTS_FAULT:
            raise
        except Exception as error:
            self._look_closer(error)
            return Step.FAULT
        if not taken:
            return Step.NOTHING
        whole = taken == self._limit
        self._failures = 0
        self._limit = min(self._limit * 2, CHUNK_EVENTS)
        return Step.WHOLE_CHUNK if whole else Step.TO_THE_END

    def _take_chunk(self) -> int:
        with self._database.transaction() as cursor:
            position = lock_position(cursor, self.key)
            if position is None:
                return 0
            if position != self._read_after:
                self._read_after, self._failures = position, 0
            return self.take_chunk_in(cursor, position)

    def take_chunk_in(self, cursor: Cursor, position: int) -> int:
        """Take the chunk after the locked `position` in the cursor's transaction."""
        cursor.execute(_PREPARE, (self._schema,))
        events = self._reader.read(cursor, position, self._limit)
        if events:
            self.view.apply(cursor, events)
            move_position(cursor, self.key, position + len(events))
        return len(events)

    def _look_closer(self, error: Exception) -> None:
        if self._limit > 1:
            self._limit //= 2
            return
        self._failures += 1
        if self._failures >= ATTEMPTS:
            self._failures = 0
            self._set_aside_next(f"{type(error).__name__}: {error}")

    def _set_aside_next(self, reason: str) -> None:
        with self._database.transaction() as cursor:
            position = lock_position(cursor, self.key)
            if position is None or position != self._read_after:
                return  # another runner has gone on meanwhile
            named = identify(cursor, position + 1)
            if named is None:
                return
            stream_id, topic = named
            set_aside(cursor, self.key, position + 1, stream_id, topic, reason)
            move_position(cursor, self.key, position + 1)
        logger.error(
            "view %s goes on without event %d (%s of %s): %s",
            self.key,
            position + 1,
            topic,
            stream_id,
            reason,
        )
