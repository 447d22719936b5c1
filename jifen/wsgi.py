"""The API as Granian loads it: `make_app` in each worker process, after the fork."""

from datetime import datetime
from typing import Any

from flask import Flask

from api.app import create_app
from jifen.processes import die_with_parent
from jifen.refused import Refused
from jifen.wiring import described_jobs, make_database, make_ledger
from ledger.settings import Settings
from scheduler.jobs import run_job


def make_app() -> Flask:
    """The application of one worker, wired to the database of `JIFEN_DATABASE_URL`."""
    # A worker must not go on serving, and hold the port, when its server process is killed.
    die_with_parent()
    settings = Settings.from_environment()
    if settings.database_url is None:
        raise Refused("JIFEN_DATABASE_URL is not set; `jifen serve` starts a database and sets it.")
    ledger = make_ledger(make_database(settings, settings.database_url, "jifen-api"))

    def run(name: str, as_of: datetime) -> dict[str, Any]:
        return dict(run_job(ledger, name, as_of))

    return create_app(ledger, settings=settings, run_job=run, jobs=described_jobs())
