"""The API over a real ledger: in Flask's test client, and served by Granian where it matters."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from calling import Api, Served
from flask import Flask

from api.app import create_app
from api.keys import ROLES, create_key
from jifen.processes import die_with_parent
from ledger.events import Actor
from ledger.ledger import Ledger
from ledger.programme import read_programme, shipped_text
from ledger.settings import Settings
from ledger.store.database import Database
from projections.runner import Runner

JOBS = {"expire-points": "Records the expiry of lots past their day."}


@pytest.fixture(scope="module")
def ledger(new_database: Callable[[], str]) -> Iterator[Ledger]:
    """A ledger with the retail programme published, but for what it gives besides points on spend.

    So the tests of the contract count what they book, and nothing else.
    """
    database = Database(new_database())
    made = Ledger(database)
    sections = tomllib.loads(shipped_text("retail"))
    for gift in ("newcomer", "second_order", "spend_gifts"):
        del sections[gift]
    sections["benefits"] = [{"code": "tea", "levels": ["ordinary"]}]
    programme = read_programme(json.dumps(sections), format="json")
    made.publish(programme, effective_at=datetime.now(UTC), actor=Actor("test", "admin"))
    yield made
    database.close()


@pytest.fixture(scope="module")
def keys(ledger: Ledger) -> dict[str, str]:
    """A key for each role."""
    return {role: create_key(ledger.database, name=f"{role}-1", roles=[role])[1] for role in ROLES}


def run_job(name: str, as_of: datetime) -> dict[str, Any]:
    """Stands in for the scheduler's runner, which the API is handed."""
    return {
        "run_id": "run-1",
        "job": name,
        "as_of": as_of.isoformat(),
        "status": "done",
        "affected": 0,
    }


@pytest.fixture(scope="module")
def app(ledger: Ledger) -> Flask:
    """The application, with what it is handed from outside."""
    return create_app(ledger, settings=Settings(), run_job=run_job, jobs=JOBS)


@pytest.fixture(scope="module")
def api(app: Flask, ledger: Ledger, keys: dict[str, str]) -> Api:
    """A client of the application."""
    return Api(app.test_client(), ledger, keys)


@pytest.fixture(scope="module")
def served(
    ledger: Ledger, keys: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """The API served by Granian with two workers, over the same database as `api`."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        *(sys.executable, "-m", "granian", f"{Path(__file__).with_name('serving.py')}:make_app"),
        *("--factory", "--interface", "wsgi", "--port", str(port), "--workers", "2"),
        *("--blocking-threads", "32", "--no-ws", "--log-level", "error"),
        # A worker that is told to stop while it starts never hears it.
        *("--workers-kill-timeout", "2"),
    ]
    environment = {
        **os.environ,
        "JIFEN_DATABASE_URL": ledger.database._url,
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path_factory.mktemp("metrics")),
    }
    log_path = tmp_path_factory.mktemp("served") / "log"
    runner = Runner(ledger.database)
    runner.start()
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, preexec_fn=die_with_parent
        )
    address = f"http://127.0.0.1:{port}"
    served = Served(address, keys)
    try:
        _wait_until_alive(served, process, log_path)
        yield served
    finally:
        runner.stop()
        process.terminate()
        process.wait(20)


def _wait_until_alive(served: Served, process: subprocess.Popen[bytes], log_path: Path) -> None:
    deadline = time.monotonic() + 20
    with served.session() as session:
        while True:
            try:
                session.get(f"{served.address}/healthz", timeout=5)
            except requests.ConnectionError:
                assert process.poll() is None, log_path.read_text()
                assert time.monotonic() < deadline, log_path.read_text()
                time.sleep(0.05)
            else:
                return
