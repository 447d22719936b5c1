"""The machine that the figures were measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import psycopg2


def described(database_url: str) -> dict[str, Any]:
    """Processor, cores, memory, Python, PostgreSQL with what decides about its safety."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB",
        "system": platform.system(),
        "Python": platform.python_version(),
        **_postgres(database_url),
    }


def _processor() -> str:
    with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _postgres(database_url: str) -> dict[str, str]:
    names = ("server_version", "fsync", "synchronous_commit", "shared_buffers")
    connection = psycopg2.connect(database_url)
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT name, current_setting(name) FROM unnest(%s) name", (list(names),)
            )
            found: dict[str, str] = dict(cursor.fetchall())
    finally:
        connection.close()
    return {"PostgreSQL" if name == "server_version" else name: found[name] for name in names}
