"""The API as Granian loads it: `make_app` in each worker process, after the fork."""

import signal
from typing import TYPE_CHECKING

from jifen.processes import die_with_parent

if TYPE_CHECKING:
    from flask import Flask


def make_app() -> "Flask":
    """The application of one worker, wired to the database of `JIFEN_DATABASE_URL`."""
    # A worker must not go on serving, and hold the port, when its server process is killed.
    die_with_parent()
    # Until Granian sets a handler for it, a worker has that of its parent, which does nothing
    # here: a SIGTERM while the application is being made would be lost, and the worker stay.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # Imported only now: that takes most of the time.
    from jifen.wiring import make_api
    from ledger.memory import collect_seldom
    from ledger.settings import Settings

    app = make_api(Settings.from_environment())
    collect_seldom()
    return app
