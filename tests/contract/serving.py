"""The application as Granian loads it in `served`."""

from __future__ import annotations

import os

from flask import Flask

from api.app import create_app
from api.logs import log_to
from jifen.processes import die_with_parent
from ledger.ledger import Ledger
from ledger.settings import Settings
from ledger.store.database import Database


def make_app() -> Flask:
    """One worker's application over the database of the test."""
    die_with_parent()
    log_to()
    return create_app(Ledger(Database(os.environ["JIFEN_DATABASE_URL"])), settings=Settings())
