"""Events that a view could not take: set aside with the reason, the rest goes on (FAILURES 26)."""

from __future__ import annotations

from typing import Final

from ledger.store.database import Cursor
from projections.view import MEMBER_STREAM

LONGEST_REASON: Final = 1000

_SET_ASIDE: Final = """
    INSERT INTO bad_events (view, position, stream_id, topic, reason)
    VALUES (%s, %s, %s, %s, %s)
    ON CONFLICT (view, position) DO UPDATE SET reason = excluded.reason
"""
_OF_STREAM: Final = "SELECT EXISTS (SELECT FROM bad_events WHERE view = %s AND stream_id = %s)"
_FORGET: Final = "DELETE FROM bad_events WHERE view = %s"
_RENAME: Final = "UPDATE bad_events SET view = %s WHERE view = %s"


def set_aside(
    cursor: Cursor, view: str, position: int, stream_id: str, topic: str, reason: str
) -> None:
    """Note that a view goes on without the event at `position`."""
    shown = reason.replace("\0", "")[:LONGEST_REASON]
    cursor.execute(_SET_ASIDE, (view, position, stream_id, topic, shown))


def is_incomplete(cursor: Cursor, view: str, member_id: str) -> bool:
    """Whether the view lacks an event of this member."""
    cursor.execute(_OF_STREAM, (view, MEMBER_STREAM + member_id))
    row = cursor.fetchone()
    return bool(row and row[0])


def forget(cursor: Cursor, view: str) -> None:
    """The view starts anew."""
    cursor.execute(_FORGET, (view,))


def hand_over(cursor: Cursor, rebuilt: str, view: str) -> None:
    """What the rebuilt view could not take is now what the view could not take."""
    forget(cursor, view)
    cursor.execute(_RENAME, (view, rebuilt))
