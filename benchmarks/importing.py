"""(a) A year of real orders, from the command's start to views that have seen all of it."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any, Final

import psycopg2

from benchmarks.orders import WHOLE_FILE_ROWS, count_rows
from benchmarks.report import Figure
from benchmarks.service import Service

IMPORT_TARGET_SECONDS: Final = 30.0
CAUGHT_UP_TARGET_SECONDS: Final = 60.0
MEMORY_TARGET_MB: Final = 300.0
GIVE_UP_SECONDS: Final = 600.0

_LAG: Final = """
    SELECT (SELECT position FROM log_head),
           (SELECT min(position) FROM view_positions)
"""


def measure(service: Service, database_url: str, path: Path) -> tuple[list[Figure], dict[str, Any]]:
    """Import `path` with the service running, its projections following.

    Targets are those of the whole file; a smaller one has them in proportion.

    Raises:
        RuntimeError: the import did not end with status 0, or the views never caught up.
    """
    rows = count_rows(path)
    share = rows / WHOLE_FILE_ROWS
    started = time.monotonic()
    status, memory_mb, processor = _ended(service.command("import", "orders", str(path)))
    imported = time.monotonic() - started
    if status != 0:
        raise RuntimeError(f"the import ended with status {status}")
    events = _wait_for_views(database_url)
    caught_up = time.monotonic() - started
    repeat_started = time.monotonic()
    _ended(service.command("import", "orders", str(path)))
    repeated = time.monotonic() - repeat_started
    figures = [
        Figure(
            "import of a year of orders",
            imported,
            "s",
            round(IMPORT_TARGET_SECONDS * share, 2),
            note=f"{rows:,} rows, {rows / imported:,.0f} rows/s, {events / imported:,.0f} events/s",
        ),
        Figure(
            "views caught up, from its start",
            caught_up,
            "s",
            round(CAUGHT_UP_TARGET_SECONDS * share, 2),
        ),
        Figure("importer's peak memory", memory_mb, "MB", MEMORY_TARGET_MB),
        Figure(
            "the same import again",
            repeated,
            "s",
            note="books nothing",
        ),
    ]
    details = {
        "file": path.name,
        "rows": rows,
        "events": events,
        "importer_processor_seconds": processor,
    }
    return figures, details


def _ended(process: subprocess.Popen[bytes]) -> tuple[int, float, float]:
    """Exit status, peak resident memory (MB), processor seconds of a command, when it ends."""
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, used.ru_maxrss / 1024, used.ru_utime + used.ru_stime


def _wait_for_views(database_url: str) -> int:
    """Wait until every view has seen the whole log; the log's last position."""
    give_up_at = time.monotonic() + GIVE_UP_SECONDS
    connection = psycopg2.connect(database_url)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            while time.monotonic() < give_up_at:
                cursor.execute(_LAG)
                row = cursor.fetchone()
                assert row is not None
                head, seen = row
                if seen is not None and seen >= head:
                    return int(head)
                time.sleep(0.1)
    finally:
        connection.close()
    raise RuntimeError("the views did not catch up")
