"""The API as Granian loads it: `make_app` in each worker process."""

from flask import Flask

from api.app import create_app
from jifen.processes import die_with_parent
from jifen.wiring import make_database, make_ledger
from ledger.settings import Settings
from scheduler.jobs import run_job


def make_app() -> Flask:
    """The application of one worker, wired to the database of `JIFEN_DATABASE_URL`."""
    # A worker must not go on serving, and hold the port, when the server process is killed.
    die_with_parent()
    settings = Settings.from_environment()
    if settings.database_url is None:
        raise RuntimeError("JIFEN_DATABASE_URL is missing: start the API by `jifen serve`.")
    database = make_database(settings, settings.database_url, "jifen api")
    return create_app(make_ledger(database), database, settings, run_job)
