"""What PostgreSQL alone does: pgbench, one transaction for each accrual, rows of the same size.

Two ways. `unordered`: member's state locked and read, idempotency row, event row, state written.
`gapless`: the same, and the log's head advanced as the last step, which puts events in commit
order and makes transactions take turns. The service gives the order of `gapless`.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import psycopg2

from benchmarks.report import Figure

CLIENTS: Final = (1, 8, 32)
DATABASE: Final = "jifen_bare"

_TABLES: Final = """
    CREATE TABLE events (position bigint UNIQUE, stream_id text COLLATE "C", version bigint,
        topic text COLLATE "C", state bytea, recorded_at timestamptz,
        PRIMARY KEY (stream_id, version));
    CREATE TABLE states (stream_id text COLLATE "C" PRIMARY KEY, version bigint, state bytea)
        WITH (fillfactor = 50);
    CREATE TABLE requests (id text COLLATE "C" PRIMARY KEY, stream_id text, answer bytea);
    CREATE TABLE log_head (only_row boolean PRIMARY KEY, position bigint) WITH (fillfactor = 10);
    CREATE SEQUENCE positions CACHE 100;
    INSERT INTO log_head VALUES (true, 0);
    INSERT INTO states SELECT 'member/m-' || n, 0, %(state)s FROM generate_series(1, 2000) n;
"""

_SCRIPT: Final = r"""
\set member random(1, 2000)
BEGIN;
SELECT version AS version FROM states WHERE stream_id = 'member/m-' || :member FOR UPDATE \gset
INSERT INTO requests VALUES (gen_random_uuid()::text, 'member/m-' || :member,
    decode(repeat('ab', {answer}), 'hex'));
UPDATE states SET version = version + 1, state = decode(repeat('cd', {state}), 'hex')
    WHERE stream_id = 'member/m-' || :member;
{position}
INSERT INTO events VALUES (:position, 'member/m-' || :member, :version + 1, 'PointsAccrued',
    decode(repeat('ef', {event}), 'hex'), now());
COMMIT;
"""

_POSITIONS: Final = {
    "unordered": r"SELECT nextval('positions') AS position \gset",
    "gapless": r"UPDATE log_head SET position = position + 1 RETURNING position \gset",
}


def measure(
    pgbench: Path, database_url: str, folder: Path, *, seconds: int
) -> tuple[list[Figure], dict[str, Any]]:
    """Run pgbench on a scratch database of the same server, rows as big as the service's own."""
    sizes = _sizes(database_url)
    figures: list[Figure] = []
    with _scratch_database(database_url) as url:
        for way, position in _POSITIONS.items():
            script = folder / f"{way}.sql"
            script.write_text(_SCRIPT.format(position=position, **sizes), encoding="utf-8")
            for clients in CLIENTS:
                _execute(url, _TABLES, {"state": b"x" * sizes["state"]}, anew=True)
                rate = _run(pgbench, url, script, clients, seconds)
                name = f"pgbench, {way}, {clients} client{'s' if clients > 1 else ''}"
                figures.append(Figure(name, rate, "/s", better="higher"))
    return figures, {"bytes_per_row": sizes}


def _sizes(database_url: str) -> dict[str, int]:
    """How many bytes the service keeps for an accrual: event, state, answer."""
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT avg(length(state))::int FROM events WHERE topic = 'PointsAccrued'")
        event = cursor.fetchone()
    return {"event": (event[0] if event else None) or 400, "state": 500, "answer": 700}


@contextmanager
def _scratch_database(database_url: str) -> Iterator[str]:
    parts = urlsplit(database_url)
    _execute(database_url, f"DROP DATABASE IF EXISTS {DATABASE}")
    _execute(database_url, f"CREATE DATABASE {DATABASE}")
    try:
        yield urlunsplit(parts._replace(path=f"/{DATABASE}"))
    finally:
        _execute(database_url, f"DROP DATABASE {DATABASE}")


def _execute(url: str, statements: str, values: Any = None, *, anew: bool = False) -> None:
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            if anew:
                cursor.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
            cursor.execute(statements, values)


def _run(pgbench: Path, url: str, script: Path, clients: int, seconds: int) -> float:
    command = [
        *(str(pgbench), "--no-vacuum", "--protocol=prepared", f"--file={script}"),
        *(f"--client={clients}", f"--jobs={min(clients, 2)}", f"--time={seconds}", url),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"^tps = ([0-9.]+)", done.stdout, re.MULTILINE)
    if done.returncode != 0 or found is None:
        raise RuntimeError(f"pgbench failed: {done.stderr[-1000:]}")
    return float(found.group(1))
