"""How far each view has come: kept in the transaction that writes the rows, so never wrong."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from ledger.store.database import Cursor, Database
from projections.log import head
from projections.views import VIEWS

# Who holds the row writes the view; a second runner passes over it and looks again later.
_LOCK: Final = "SELECT position FROM view_positions WHERE view = %s FOR UPDATE SKIP LOCKED"
_LOCK_WAITING: Final = "SELECT position FROM view_positions WHERE view = %s FOR UPDATE"
_MOVE: Final = "UPDATE view_positions SET position = %s WHERE view = %s"
_BEHIND: Final = """
    SELECT log_head.position - view_positions.position
    FROM log_head, view_positions WHERE view = %s
"""
_POSITION: Final = "SELECT position FROM view_positions WHERE view = %s"
_STATUS: Final = """
    SELECT name, coalesce(view_positions.position, 0), log_head.position,
           (SELECT count(*) FROM bad_events WHERE bad_events.view = name)
    FROM log_head, unnest(%s::text[]) WITH ORDINALITY AS asked (name, place)
    LEFT JOIN view_positions ON view_positions.view = name
    ORDER BY place
"""

_FIRST_PAUSE_SECONDS: Final = 0.002
_LONGEST_PAUSE_SECONDS: Final = 0.02


@dataclass(frozen=True)
class ViewStatus:
    """How far a view has come: `lag` is the number of events it has still to read."""

    view: str
    position: int
    lag: int
    bad_events: int


def lock_position(cursor: Cursor, view: str, *, wait: bool = False) -> int | None:
    """The view's position, locked until the transaction ends.

    None where another holds it (unless `wait`) or where there is no such view.
    """
    cursor.execute(_LOCK_WAITING if wait else _LOCK, (view,))
    row = cursor.fetchone()
    return int(row[0]) if row else None


def move_position(cursor: Cursor, view: str, position: int) -> None:
    """Say that the view has taken everything up to `position`."""
    cursor.execute(_MOVE, (position, view))


def events_behind(database: Database, view: str) -> int:
    """How many events the view has still to read; 0 for a view that is not there."""
    with database.transaction() as cursor:
        cursor.execute(_BEHIND, (view,))
        row = cursor.fetchone()
    return max(0, int(row[0])) if row else 0


def position_of(database: Database, view: str) -> int | None:
    """Up to where the view has taken the log; None for a view that is not there."""
    with database.transaction() as cursor:
        cursor.execute(_POSITION, (view,))
        row = cursor.fetchone()
    return int(row[0]) if row else None


def last_position(database: Database) -> int:
    """The position of the last event of the log, 0 before the first."""
    with database.transaction() as cursor:
        return head(cursor)


def status(database: Database) -> list[ViewStatus]:
    """Position, lag and bad events of every view, for `/readyz` and `/metrics`."""
    with database.transaction() as cursor:
        cursor.execute(_STATUS, (list(VIEWS),))
        return [
            ViewStatus(view, position, max(0, log_position - position), bad_events)
            for view, position, log_position, bad_events in cursor
        ]


def wait_for(database: Database, view: str, position: int, timeout: float) -> bool:
    """Whether the view has seen `position`, waiting up to `timeout` seconds for it."""
    deadline = time.monotonic() + timeout
    pause = _FIRST_PAUSE_SECONDS
    while (position_of(database, view) or 0) < position:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            return False
        time.sleep(min(pause, remaining))
        pause = min(pause * 1.5, _LONGEST_PAUSE_SECONDS)
    return True
