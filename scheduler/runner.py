"""The process that starts the jobs by the timetable: `python -m scheduler`.

Several may run; one leads. Who comes to lead runs every job at once, which makes good whatever was
missed while nobody led.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
from typing import Final

import psycopg2
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from eventsourcing.persistence import PersistenceError

from ledger.errors import NotFound
from ledger.ledger import Ledger
from ledger.log_lines import log_to
from ledger.settings import Settings, SettingsError
from ledger.store.database import Database
from scheduler.jobs import run_job
from scheduler.lease import Lease
from scheduler.timetable import TIMETABLE

logger = logging.getLogger(__name__)

TEND_SECONDS: Final = 5.0


class Stopping(Exception):  # noqa: N818 - no fault: the process was told to stop
    """A run is broken off between two pages; the next run goes on."""


class Runner:
    """Runs the timetable's jobs while it leads."""

    def __init__(self, ledger: Ledger, lease: Lease) -> None:
        self._ledger = ledger
        self._lease = lease
        self._stopping = threading.Event()
        self._leads = False

    def run(self) -> None:
        """Lead, or stand by, until `stop`."""
        clockwork = self._clockwork()
        clockwork.start()
        try:
            while not self._stopping.is_set():
                if self._comes_to_lead():
                    for name in TIMETABLE:
                        self._run_if_leading(name)
                self._stopping.wait(TEND_SECONDS)
        finally:
            self._stopping.set()
            clockwork.shutdown(wait=True)
            self._leave()

    def stop(self) -> None:
        """End soon: a run breaks off after the page at hand."""
        self._stopping.set()

    def _clockwork(self) -> BackgroundScheduler:
        zone = self._ledger.programmes().latest.programme.zone
        # One missed minute or ten: the next run does all that is due.
        defaults = {"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        clockwork = BackgroundScheduler(timezone=zone, job_defaults=defaults)
        for name, fields in TIMETABLE.items():
            trigger = CronTrigger(**fields, timezone=zone)
            clockwork.add_job(self._run_if_leading, trigger, args=[name], id=name)
        return clockwork

    def _comes_to_lead(self) -> bool:
        """Whether this process leads now and did not before."""
        led = self._leads
        try:
            self._leads = self._lease.hold()
        except (psycopg2.Error, PersistenceError) as error:
            self._leads = False
            logger.warning("no database to lead with: %s", error)
        if self._leads and not led:
            logger.info("leads the timetable")
        return self._leads and not led

    def _run_if_leading(self, name: str) -> None:
        if not self._leads or self._stopping.is_set():
            return
        try:
            run = run_job(self._ledger, name, self._ledger.clock(), self._look_around)
        except Stopping:
            logger.info("%s breaks off: told to stop", name)
        except Exception:
            logger.exception("%s failed; its next run does what is left", name)
        else:
            if run["affected"] or run["status"] != "done":
                logger.info("%s: %s, %d changed", name, run["status"], run["affected"])

    def _look_around(self, members: int, affected: int) -> None:
        if self._stopping.is_set():
            raise Stopping

    def _leave(self) -> None:
        try:
            self._lease.leave()
        except (psycopg2.Error, PersistenceError) as error:
            logger.warning("the lease runs out by itself: %s", error)


def main() -> int:
    """Run until SIGTERM or SIGINT; 2 for settings that can't be right, or without a programme."""
    try:
        settings = Settings.from_environment()
    except SettingsError as error:
        return _refuse(str(error))
    if settings.database_url is None:
        return _refuse(
            "JIFEN_DATABASE_URL is not set; `jifen serve` starts a database and sets it."
        )
    log_to(level=settings.log_level)
    logging.getLogger("apscheduler").setLevel(logging.WARNING)
    database = Database(
        settings.database_url,
        connections=settings.connections,
        lock_timeout_seconds=settings.lock_timeout_seconds,
        application_name="jifen scheduler",
    )
    runner = Runner(Ledger(database), Lease(database, "scheduler"))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: runner.stop())
    try:
        runner.run()
    except NotFound:
        return _refuse("No programme is published yet; `jifen programme publish FILE` does it.")
    finally:
        database.close()
    return 0


def _refuse(sentence: str) -> int:
    sys.stderr.write(f"{sentence}\n")
    return 2
