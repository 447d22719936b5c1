"""A view made anew from the whole log while the old one serves, then put in its place."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import psycopg2.errors
from psycopg2 import sql

from ledger.errors import Refusal
from ledger.store.database import Cursor, Database
from projections.bad_events import forget, hand_over
from projections.follower import NOT_THE_EVENTS_FAULT, RETRY_PAUSE_SECONDS, Follower, Step
from projections.positions import last_position, lock_position, position_of
from projections.schemas import create, drop, prepare
from projections.view import View
from projections.views import view_named

Progress = Callable[[int, int], None]
"""Called with the events taken and the events there are."""

SWAP_WITHIN_EVENTS: Final = 1000

# Held in a transaction that does nothing else, so that it also holds through a pooler that gives
# each transaction another session. It keeps no snapshot, and goes with the process.
_ONLY_ONE: Final = """
    SELECT set_config('idle_in_transaction_session_timeout', '0', true),
           pg_try_advisory_xact_lock(hashtext('jifen.rebuild'), hashtext(%s))
"""
_RENAME: Final = sql.SQL("ALTER SCHEMA {} RENAME TO {}")
_TAKE_PLACE: Final = """
    UPDATE view_positions SET position = rebuilt.position, definition = rebuilt.definition
    FROM view_positions AS rebuilt
    WHERE view_positions.view = %s AND rebuilt.view = %s
"""
_REMOVE: Final = "DELETE FROM view_positions WHERE view = %s"


def rebuild(database: Database, name: str, progress: Progress | None = None) -> None:
    """Make the view `name` anew; readers see the old one until the new one has caught up.

    An interrupted rebuild leaves the old view as it is; the next one starts over. Raises
    `NotFound` for an unknown view, and `Refusal` `request_in_progress` where it is being rebuilt.
    """
    view = view_named(name)
    prepare(database)
    report = progress or _ignore
    with _only_one(database, view):
        follower = _start(database, view)
        while True:
            _catch_up(database, follower, report)
            if _swap(database, view, follower):
                break
        with database.transaction() as cursor:
            drop(cursor, _old(view))
    end = last_position(database)
    report(end, end)


def _ignore(done: int, total: int) -> None:
    """Nobody wants to know."""


def _key(view: View) -> str:
    return f"{view.name}_rebuild"


def _new(view: View) -> str:
    return f"{view.schema}_rebuild"


def _old(view: View) -> str:
    return f"{view.schema}_old"


@contextmanager
def _only_one(database: Database, view: View) -> Iterator[None]:
    with database.transaction() as cursor:
        cursor.execute(_ONLY_ONE, (view.name,))
        row = cursor.fetchone()
        if not row or not row[1]:
            raise Refusal(
                "request_in_progress",
                f"The view {view.name} is being rebuilt already; wait until that has ended.",
            )
        yield


def _start(database: Database, view: View) -> Follower:
    with database.transaction() as cursor:
        cursor.execute(_REMOVE, (_key(view),))
        forget(cursor, _key(view))
        drop(cursor, _old(view))
        create(cursor, view, _new(view), _key(view))
    return Follower(database, view, schema=_new(view), key=_key(view))


def _catch_up(database: Database, follower: Follower, report: Progress) -> None:
    """Follow the log until little is left, so that the swap holds the old view up briefly."""
    while True:
        end = last_position(database)
        while (position := _position(database, follower)) < end:
            report(position, end)
            if follower.step() in (Step.FAULT, Step.NOTHING):
                time.sleep(RETRY_PAUSE_SECONDS)
        if last_position(database) - end <= SWAP_WITHIN_EVENTS:
            return


def _position(database: Database, follower: Follower) -> int:
    position = position_of(database, follower.key)
    if position is None:
        raise Refusal("not_found", "The half-made view has been removed; start the rebuild again.")
    return position


def _swap(database: Database, view: View, follower: Follower) -> bool:
    """Put the new view in place of the old one; False: not yet, follow the log on and try again."""
    try:
        with database.transaction() as cursor:
            live = lock_position(cursor, view.name, wait=True) or 0
            position = lock_position(cursor, follower.key, wait=True) or 0
            while position < live:
                position += follower.take_chunk_in(cursor, position)
            _exchange(cursor, view, follower.key)
    except psycopg2.errors.LockNotAvailable:
        return False
    except NOT_THE_EVENTS_FAULT:
        raise
    except Exception:  # a bad event among the last ones: following the log sets it aside
        return False
    return True


def _exchange(cursor: Cursor, view: View, key: str) -> None:
    names = sql.Identifier
    cursor.execute(_RENAME.format(names(view.schema), names(_old(view))))
    cursor.execute(_RENAME.format(names(_new(view)), names(view.schema)))
    cursor.execute(_TAKE_PLACE, (view.name, key))
    cursor.execute(_REMOVE, (key,))
    hand_over(cursor, key, view.name)
