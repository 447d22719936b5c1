"""Brings a database to the tables of this version: numbered SQL files, forward only."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Final

import psycopg2

from ledger.store.database import Connection, Cursor

_FOLDER: Final = resources.files(__package__).joinpath("migrations")
_FILE_NAME: Final = re.compile(r"(\d{4})_\w+\.sql")

# Any number will do that no other application of the same database takes.
_LOCK: Final = 0x6A6966656E

_CREATE_TABLE: Final = """
    CREATE TABLE IF NOT EXISTS migrations (
        number     int         PRIMARY KEY,
        name       text        NOT NULL,
        checksum   text        NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT now()
    )
"""


class MigrationError(Exception):
    """The database can't be migrated; the sentence says why and what to do."""


@dataclass(frozen=True)
class Migration:
    """One numbered SQL file. `name` is its name without ending: `0001_log`."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, in hex."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def shipped_migrations() -> list[Migration]:
    """The migrations of this version, in the order of their numbers."""
    found = []
    for entry in _FOLDER.iterdir():
        if match := _FILE_NAME.fullmatch(entry.name):
            name = entry.name.removesuffix(".sql")
            found.append(Migration(int(match[1]), name, entry.read_text(encoding="utf-8")))
    found.sort(key=lambda migration: migration.number)
    if len({migration.number for migration in found}) < len(found):
        names = ", ".join(migration.name for migration in found)
        raise MigrationError(f"Two migrations have the same number; give one the next: {names}.")
    return found


def migrate(url: str, migrations: Sequence[Migration] | None = None) -> list[str]:
    """Apply what the database lacks, each file in its own transaction; returns their names.

    Safe to run twice, and from several processes at once: they take turns, and each file is
    applied once. The URL's user must own the database, or be allowed to create tables in it.

    Raises `MigrationError` where an applied file has changed since, where the database is newer
    than this version, or where a file fails (the database then stands at the one before it).
    """
    pending = shipped_migrations() if migrations is None else migrations
    connection = psycopg2.connect(url, connect_timeout=10, application_name="jifen migrate")
    applied: list[str] = []
    try:
        while (name := _apply_next(connection, pending)) is not None:
            applied.append(name)
    finally:
        connection.close()
    return applied


def _apply_next(connection: Connection, migrations: Sequence[Migration]) -> str | None:
    """Apply the first file that the database lacks; with none left, settle the role's rights."""
    with connection, connection.cursor() as cursor:
        # Held until commit, and so behind a pooler too, where sessions are shared.
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        cursor.execute("RESET ROLE")
        _require_utf8(cursor)
        cursor.execute(_CREATE_TABLE)
        next_one = _first_pending(cursor, migrations)
        if next_one is None:
            cursor.execute(_FOLDER.joinpath("writer_role.sql").read_text(encoding="utf-8"))
            return None
        _apply(cursor, next_one)
        return next_one.name


def _require_utf8(cursor: Cursor) -> None:
    cursor.execute("SHOW server_encoding")
    row = cursor.fetchone()
    if row is None or row[0] != "UTF8":
        raise MigrationError(
            "The database's encoding must be UTF8: create it with ENCODING 'UTF8'."
        )


def _first_pending(cursor: Cursor, migrations: Sequence[Migration]) -> Migration | None:
    cursor.execute("SELECT number, name, checksum FROM migrations ORDER BY number")
    applied = {number: (name, checksum) for number, name, checksum in cursor}
    for migration in migrations:
        if migration.number not in applied:
            return migration
        name, checksum = applied.pop(migration.number)
        if checksum != migration.checksum:
            raise MigrationError(
                f"Migration {name} is not the one that was applied to this database: it has been "
                "changed since. Restore the file, and put the change in a new migration."
            )
    if applied:
        names = ", ".join(name for name, _ in applied.values())
        raise MigrationError(
            f"The database has been migrated by a newer version of Jifen ({names}): "
            "run that version, or restore a backup made before."
        )
    return None


def _apply(cursor: Cursor, migration: Migration) -> None:
    try:
        cursor.execute(migration.sql)
    except psycopg2.Error as error:
        raise MigrationError(f"Migration {migration.name} failed: {error}".strip()) from error
    cursor.execute(
        "INSERT INTO migrations (number, name, checksum) VALUES (%s, %s, %s)",
        [migration.number, migration.name, migration.checksum],
    )
