"""The process that keeps the views: each follows the log on its own, none stops another.

    python -m projections

A second runner on the same database is a standby that helps: whoever holds a view's position row
writes that view, chunk by chunk, and a runner that dies lets go of it with its connection.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable
from typing import Final

from ledger.errors import Refusal
from ledger.log_lines import log_to
from ledger.memory import collect_seldom
from ledger.settings import Settings, SettingsError
from ledger.store.database import Database
from projections.follower import NOT_THE_EVENTS_FAULT, RETRY_PAUSE_SECONDS, Follower, Step
from projections.log import LogReader
from projections.positions import last_position, position_of
from projections.rebuilding import rebuild
from projections.schemas import prepare
from projections.view import View
from projections.views import VIEWS

__all__ = ["Runner", "catch_up", "main", "rebuild"]

logger = logging.getLogger(__name__)

# A step has a fixed cost: under load a pause lets events gather, and costs less than it saves.
LOAD_PAUSE_SECONDS: Final = 0.02
IDLE_PAUSE_SECONDS: Final = 0.1
# The views are seldom further apart; a chunk of usual events takes some 10 MB.
REMEMBERED_CHUNKS: Final = 8
FIRST_OUTAGE_PAUSE_SECONDS: Final = 0.1
LONGEST_OUTAGE_PAUSE_SECONDS: Final = 5.0


class Runner:
    """Follows the log with every view, each in a thread of its own, until it is stopped."""

    def __init__(self, database: Database, views: Iterable[View] | None = None) -> None:
        """`database` needs a connection for each view. `views`: all, if not given."""
        self._database = database
        self._views = list(VIEWS.values() if views is None else views)
        self._reader = LogReader(remembered_chunks=REMEMBERED_CHUNKS)
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin to follow; returns at once."""
        for view in self._views:
            thread = threading.Thread(target=self._follow, args=(view,), name=f"view-{view.name}")
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Finish the chunks at hand and end."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _follow(self, view: View) -> None:
        outage_pause = FIRST_OUTAGE_PAUSE_SECONDS
        while not self._stopping.is_set():
            try:
                self._follow_until_outage(view)
            except NOT_THE_EVENTS_FAULT as error:
                logger.warning("view %s waits %g s: %s", view.name, outage_pause, error)
            except Exception:
                # A fault of ours, not of the database: still no reason to stop for ever.
                logger.exception("view %s waits %g s", view.name, outage_pause)
            self._stopping.wait(outage_pause)
            outage_pause = min(outage_pause * 2, LONGEST_OUTAGE_PAUSE_SECONDS)

    def _follow_until_outage(self, view: View) -> None:
        if view in prepare(self._database):
            self._redefine(view)
        follower = Follower(self._database, view, reader=self._reader)
        pause = LOAD_PAUSE_SECONDS
        while not self._stopping.is_set():
            step = follower.step()
            if step is Step.NOTHING:
                self._stopping.wait(pause)
                pause = min(pause * 1.5, IDLE_PAUSE_SECONDS)
                continue
            pause = LOAD_PAUSE_SECONDS
            if step is not Step.WHOLE_CHUNK:
                self._stopping.wait(RETRY_PAUSE_SECONDS if step is Step.FAULT else pause)

    def _redefine(self, view: View) -> None:
        logger.info("view %s has a new definition and is rebuilt", view.name)
        try:
            rebuild(self._database, view.name)
        except Refusal as refusal:
            logger.info("view %s: %s", view.name, refusal.detail)


def catch_up(database: Database, views: Iterable[View] | None = None) -> None:
    """Bring views (all, if not given) to the end of the log as it is now, and return.

    For tests and commands that need no runner. Raises what is not an event's fault.
    """
    prepare(database)
    for view in VIEWS.values() if views is None else views:
        follower = Follower(database, view)
        end = last_position(database)
        while (position_of(database, view.name) or 0) < end:
            if follower.step() in (Step.FAULT, Step.NOTHING):
                time.sleep(RETRY_PAUSE_SECONDS)


_NICENESS: Final = 5
"""About a third of the processor time of a process that serves tills."""


def main() -> int:
    """Run until SIGTERM or SIGINT; the exit status is 2 for settings that can't be right."""
    try:
        settings = Settings.from_environment()
    except SettingsError as error:
        return _refuse(str(error))
    if settings.database_url is None:
        return _refuse(
            "JIFEN_DATABASE_URL is not set; `jifen serve` starts a database and sets it."
        )
    log_to(level=settings.log_level)
    database = Database(
        settings.database_url,
        connections=settings.connections,
        lock_timeout_seconds=settings.lock_timeout_seconds,
        application_name="jifen projections",
        derived_only=True,
    )
    # Where processors are short a till must not wait for a view: views catch up afterwards.
    os.nice(_NICENESS)
    collect_seldom()
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    runner = Runner(database)
    runner.start()
    stopping.wait()
    runner.stop()
    database.close()
    return 0


def _refuse(sentence: str) -> int:
    sys.stderr.write(f"{sentence}\n")
    return 2
