"""The single place where the parts are put together; everything else is handed what it needs."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import psycopg2

from jifen.embedded import EmbeddedPostgres
from jifen.rebuild_progress import rebuild_progress
from jifen.refused import Refused
from ledger.clock import system_clock
from ledger.errors import NotFound
from ledger.events import Actor
from ledger.ledger import Ledger
from ledger.log_lines import log_to
from ledger.programme import read_programme, shipped_text
from ledger.settings import Settings
from ledger.state_rebuilding import bring_state_up_to_date
from ledger.store.database import Database
from ledger.store.migrate import migrate
from scheduler.jobs import JOBS, run_job

if TYPE_CHECKING:
    from flask import Flask

OPERATOR = Actor(key="command-line", role="admin")

# Any number will do that no other application of the same database takes.
_FIRST_START_LOCK = 0x6A6966656F


@dataclass(frozen=True, slots=True)
class Opened:
    """A ledger that is ready for commands: its tables are made, its first programme published."""

    url: str
    database: Database
    ledger: Ledger


@contextmanager
def opened(settings: Settings) -> Iterator[Opened]:
    """The ledger of the settings, made ready if it is new, for the time of one command."""
    with database_url(settings) as url, prepared(settings, url) as ready:
        yield ready


@contextmanager
def database_url(settings: Settings) -> Iterator[str]:
    """The URL of the settings' database; an embedded one runs at least as long as the block."""
    if settings.database_url:
        yield settings.database_url
        return
    with EmbeddedPostgres(settings.data_dir) as url:
        yield url


@contextmanager
def prepared(settings: Settings, url: str) -> Iterator[Opened]:
    """The ledger in the database at `url`, migrated, with a programme published."""
    migrate(url)
    with closing(make_database(settings, url, "jifen command")) as database:
        with rebuild_progress("state", "members") as progress:
            bring_state_up_to_date(database, progress)
        ledger = make_ledger(database)
        publish_first_programme(settings, url, ledger)
        yield Opened(url, database, ledger)


def make_database(settings: Settings, url: str, name: str) -> Database:
    """A pool of connections to `url`; the server's own statistics show them as `name`."""
    return Database(
        url,
        connections=settings.connections,
        lock_timeout_seconds=settings.lock_timeout_seconds,
        application_name=name,
    )


def make_ledger(database: Database) -> Ledger:
    """The ledger in `database`, with the wall clock."""
    return Ledger(database, system_clock)


def make_api(settings: Settings) -> "Flask":
    """The API over the database of `JIFEN_DATABASE_URL`, for one process.

    Raises:
        Refused: the settings name no database.
    """
    if settings.database_url is None:
        raise Refused("JIFEN_DATABASE_URL is not set; `jifen serve` starts a database and sets it.")
    # Commands do not wait for Flask.
    from api.app import create_app

    log_to(level=settings.log_level)
    ledger = make_ledger(make_database(settings, settings.database_url, "jifen-api"))

    def run(name: str, as_of: datetime) -> dict[str, Any]:
        return dict(run_job(ledger, name, as_of))

    return create_app(ledger, settings=settings, run_job=run, jobs=described_jobs())


def described_jobs() -> dict[str, str]:
    """What each job of the scheduler does, by its name."""
    return {name: (job.__doc__ or name).splitlines()[0] for name, job in JOBS.items()}


def publish_first_programme(settings: Settings, url: str, ledger: Ledger) -> None:
    """Publish the settings' programme, or the shipped `retail`, where none is published yet.

    Raises:
        Refused: the file of `JIFEN_PROGRAMME` can't be read.
        ProgrammeErrors: it is not a programme; with everything that is wrong, by line.
    """
    if _has_programme(ledger):
        return
    programme = read_programme(_first_programme(settings))
    with closing(psycopg2.connect(url, connect_timeout=10)) as connection:
        # Two first starts at once take turns, and the second finds it done.
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_FIRST_START_LOCK])
        if not _has_programme(ledger):
            ledger.publish(programme, effective_at=ledger.clock(), actor=OPERATOR)


def _has_programme(ledger: Ledger) -> bool:
    try:
        ledger.programmes()
    except NotFound:
        return False
    return True


def _first_programme(settings: Settings) -> str:
    if settings.programme is None:
        return shipped_text("retail")
    try:
        return settings.programme.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise Refused(f"JIFEN_PROGRAMME: {settings.programme} can't be read: {problem}.") from None
