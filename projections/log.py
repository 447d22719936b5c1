"""Reading the log onward: `position > n` misses nothing, as positions are dense and committed in
their order (DESIGN 7, FAILURES 25)."""

from __future__ import annotations

import threading
from typing import Final

from ledger.events import RecordedEvent
from ledger.store.database import Cursor
from ledger.store.mapper import EventMapper

_READ: Final = """
    SELECT position, stream_id, version, topic, state, recorded_at
    FROM events WHERE position > %s ORDER BY position LIMIT %s
"""
_IDENTIFY: Final = "SELECT stream_id, topic FROM events WHERE position = %s"
_HEAD: Final = "SELECT position FROM log_head"


class UnreadableEvent(Exception):  # noqa: N818 - a fact about the log, caught in one place
    """The bytes at a position are no event that this version of the service knows."""


class LogReader:
    """Reads the log in chunks, for views that follow it side by side.

    What is once in the log stays as it is, so a chunk that one view has read serves the others:
    reading and decoding is a third of a view's work.
    """

    def __init__(self, mapper: EventMapper | None = None, *, remembered_chunks: int = 0) -> None:
        """`remembered_chunks`: how many of the last chunks are kept for the others."""
        self._decode = (mapper or EventMapper()).decode
        self._most = remembered_chunks
        self._chunks: dict[int, list[RecordedEvent]] = {}
        self._reading = threading.Lock()

    def read(self, cursor: Cursor, after: int, limit: int) -> list[RecordedEvent]:
        """Up to `limit` events after a position, in order; none only at the end of the log.

        Raises `UnreadableEvent` where one of them is none.
        """
        if not self._most:
            return self._read(cursor, after, limit)
        with self._reading:  # who comes second finds what the first has read
            events = self._chunks.get(after)
            if events is None:
                events = self._read(cursor, after, limit)
                self._remember(after, events)
        return events[:limit]

    def _remember(self, after: int, events: list[RecordedEvent]) -> None:
        if events:
            self._chunks[after] = events
        while len(self._chunks) > self._most:
            del self._chunks[next(iter(self._chunks))]

    def _read(self, cursor: Cursor, after: int, limit: int) -> list[RecordedEvent]:
        cursor.execute(_READ, (after, limit))
        events: list[RecordedEvent] = []
        for position, stream_id, version, topic, state, recorded_at in cursor:
            try:
                event = self._decode(topic, bytes(state))
            except Exception as error:
                raise UnreadableEvent(f"{topic} can't be read: {error}") from error
            events.append(RecordedEvent(stream_id, version, event, position, recorded_at))
        return events


def identify(cursor: Cursor, position: int) -> tuple[str, str] | None:
    """Stream and topic of the event at a position, whatever its bytes."""
    cursor.execute(_IDENTIFY, (position,))
    row: tuple[str, str] | None = cursor.fetchone()
    return row


def head(cursor: Cursor) -> int:
    """The position of the last event, 0 before the first."""
    cursor.execute(_HEAD)
    row = cursor.fetchone()
    return int(row[0]) if row else 0
