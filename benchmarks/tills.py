"""(b) Single accruals over HTTP, and beside them what PostgreSQL alone does with the same rows."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any, Final

from benchmarks.report import Figure
from benchmarks.service import Service

CLIENTS: Final = (1, 8, 32)
TARGET_PER_SECOND: Final = 2000.0
TARGET_CLIENTS: Final = 32
MEMBERS: Final = 2000


def measure(service: Service, *, seconds: float) -> tuple[list[Figure], list[dict[str, Any]]]:
    """Load the running service with 1, 8 and 32 keep-alive clients, `seconds` each."""
    members = _enrol(service)
    figures: list[Figure] = []
    runs: list[dict[str, Any]] = []
    for clients in CLIENTS:
        run = _load(service, members, clients, seconds)
        runs.append(run)
        note = f"p50 {run['p50_ms']} ms, p99 {run['p99_ms']} ms, max {run['max_ms']} ms"
        if run["not_booked"]:
            note += f"; NOT BOOKED: {run['not_booked']}"
        figures.append(
            Figure(
                f"accruals over HTTP, {clients} client{'s' if clients > 1 else ''}",
                run["per_second"],
                "/s",
                TARGET_PER_SECOND if clients == TARGET_CLIENTS else None,
                "higher",
                note,
            )
        )
    return figures, runs


def _enrol(service: Service) -> list[str]:
    members = [f"till-{number}" for number in range(MEMBERS)]
    operations = [
        {"op": "enrol", "key": f"enrol-{member}", "body": {"member_id": member}}
        for member in members
    ]
    status, body = service.post("/v1/batches", {"operations": operations})
    if status != 200 or body["failed"]:
        raise RuntimeError(f"enrolment of the benchmark's members failed: {status} {body}")
    return members


def _load(service: Service, members: list[str], clients: int, seconds: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.load", "--port", str(service.port)]
    options = [f"--clients={clients}", f"--seconds={seconds}", f"--members={','.join(members)}"]
    done = subprocess.run(
        [*command, *options], input=service.key, capture_output=True, text=True, check=True
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result
