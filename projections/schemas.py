"""The tables of the views: made where they are missing, each view in a schema of its own."""

from __future__ import annotations

from typing import Final

from psycopg2 import sql

from ledger.store.database import Cursor, Database
from projections.view import View
from projections.views import VIEWS

_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtext('jifen.views'))"
_KNOWN: Final = "SELECT view, definition FROM view_positions"
_ADD: Final = "INSERT INTO view_positions (view, position, definition) VALUES (%s, 0, %s)"
_DROP: Final = sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE")
_CREATE: Final = sql.SQL("CREATE SCHEMA {}")
_USE: Final = "SELECT set_config('search_path', %s, true)"


def prepare(database: Database) -> list[View]:
    """Make the tables of views that have none; answer the views that a new release redefines.

    Safe to run twice, and from several processes at once.
    """
    with database.transaction() as cursor:
        cursor.execute(_LOCK)
        cursor.execute(_KNOWN)
        known: dict[str, str] = dict(cursor.fetchall())
        for view in VIEWS.values():
            if view.name not in known:
                create(cursor, view, view.schema, view.name)
    return [
        view
        for view in VIEWS.values()
        if known.get(view.name, view.fingerprint) != view.fingerprint
    ]


def create(cursor: Cursor, view: View, schema: str, key: str) -> None:
    """Make the view's tables, empty, in that schema; nothing of the log is in them yet."""
    drop(cursor, schema)
    cursor.execute("SELECT current_setting('search_path')")
    path = cursor.fetchone()
    cursor.execute(_CREATE.format(sql.Identifier(schema)))
    cursor.execute(_USE, (schema,))
    cursor.execute(view.definition)
    cursor.execute(_USE, path)
    cursor.execute(_ADD, (key, view.fingerprint))


def drop(cursor: Cursor, schema: str) -> None:
    """Remove a schema and all that is in it, if it is there."""
    cursor.execute(_DROP.format(sql.Identifier(schema)))
