"""Reading the log onward: `position > n` misses nothing, as positions are dense and committed in
their order (DESIGN 7, FAILURES 25)."""

from __future__ import annotations

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


def read_log(cursor: Cursor, mapper: EventMapper, after: int, limit: int) -> list[RecordedEvent]:
    """Up to `limit` events after a position, in order. Raises `UnreadableEvent`."""
    cursor.execute(_READ, (after, limit))
    decode = mapper.decode
    events: list[RecordedEvent] = []
    for position, stream_id, version, topic, state, recorded_at in cursor:
        try:
            event = decode(topic, bytes(state))
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
