"""The members' state beside the log, made anew from the events (DESIGN 2.4).

Needed where a version of the code keeps more in the state than the one before. Members are made
anew page by page, each page in its own transaction, under the same locks as a command takes; so it
may be interrupted, repeated, and run while commands go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Final

from ledger.events import RecordedEvent
from ledger.ledger import rebuilt
from ledger.member import Member
from ledger.store import statements as sql
from ledger.store.database import Cursor, Database
from ledger.store.mapper import EventMapper
from ledger.store.prepared import execute_together
from ledger.store.recorders import LogEntry
from ledger.store.records import stream_of
from ledger.store.writes import statements_for_rebuilt

STATE_VERSION: Final = 3
"""Raised whenever the state keeps something that it did not keep before."""

PAGE_MEMBERS: Final = 100

Progress = Callable[[int, int], None]
"""Called after each page with the members done and all there are."""

_PAGE: Final = """
    SELECT member_id FROM member_states WHERE member_id > %s
    ORDER BY member_id LIMIT %s FOR UPDATE
"""

_EVENTS: Final = """
    SELECT stream_id, version, topic, state, position, recorded_at
    FROM events WHERE stream_id = ANY (%s) ORDER BY stream_id, version
"""


def bring_state_up_to_date(database: Database, progress: Progress | None = None) -> int:
    """Make the state anew if an older version of the code made it; answer how many members."""
    with database.transaction() as cursor:
        cursor.execute("SELECT version FROM state_version")
        row = cursor.fetchone()
    if row is not None and row[0] >= STATE_VERSION:
        return 0
    return rebuild_state(database, progress)


def rebuild_state(database: Database, progress: Progress | None = None) -> int:
    """Make the state of every member anew; answer how many there are."""
    mapper = EventMapper()
    count, done, after = _count(database), 0, ""
    while True:
        with database.transaction() as cursor:
            cursor.execute(_PAGE, (after, PAGE_MEMBERS))
            member_ids = [member_id for (member_id,) in cursor.fetchall()]
            if not member_ids:
                break
            _write(cursor, member_ids, list(_members(cursor, mapper, member_ids)))
        done, after = done + len(member_ids), member_ids[-1]
        if progress is not None:
            progress(done, max(done, count))
    with database.transaction() as cursor:
        cursor.execute("UPDATE state_version SET version = %s", (STATE_VERSION,))
    return done


def _count(database: Database) -> int:
    with database.transaction() as cursor:
        cursor.execute("SELECT count(*) FROM member_states")
        row = cursor.fetchone()
    return row[0] if row else 0


def _members(cursor: Cursor, mapper: EventMapper, member_ids: Sequence[str]) -> Iterator[Member]:
    cursor.execute(_EVENTS, ([stream_of(member_id) for member_id in member_ids],))
    recorded = (
        mapper.to_domain_event(LogEntry(stream, version, topic, bytes(state), position, at))
        for stream, version, topic, state, position, at in cursor.fetchall()
    )
    for _, events in groupby(recorded, key=_stream):
        yield rebuilt(list(events))


def _stream(recorded: RecordedEvent) -> str:
    return recorded.originator_id


def _write(cursor: Cursor, member_ids: Sequence[str], members: Sequence[Member]) -> None:
    for statement in sql.FORGET_DERIVED:
        cursor.execute(statement, (list(member_ids),))
    if members:
        execute_together(cursor, list(statements_for_rebuilt(members)))
