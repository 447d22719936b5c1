"""The Flask application, put together. Nothing here is made at import."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Final, cast

from flask import Flask

from api import administration, batches, service_desk, till
from api.keys import KeyRing
from api.lifecycle import register_lifecycle
from api.metrics import Metrics
from api.openapi import make_api, register_docs
from api.operations import register_operations
from api.problems import register_problems
from api.service import RunJob, Service
from ledger.committer import Committer
from ledger.ledger import Ledger
from ledger.requests import Outcome, Request
from ledger.settings import Settings

MOST_BYTES: Final = 1024 * 1024
"""The largest body, but for batches."""


class Counted:
    """The ledger as the committer sees it: what it books together is counted."""

    def __init__(self, ledger: Ledger, metrics: Metrics) -> None:
        self._ledger = ledger
        self._metrics = metrics

    def handle(self, requests: Sequence[Request]) -> list[Outcome]:
        """Hand the gathered requests on."""
        self._metrics.gathered(len(requests))
        return self._ledger.handle(requests)


def create_app(
    ledger: Ledger,
    *,
    settings: Settings,
    run_job: RunJob | None = None,
    jobs: Mapping[str, str] | None = None,
) -> Flask:
    """The WSGI application for one process; make it after a fork.

    `run_job` runs the job of a name as of a moment, and `jobs` says of each name what it does:
    the scheduler's, handed in by whoever may import both.
    """
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MOST_BYTES
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    # A path with a slash too many is another path: no redirects, which lose bodies.
    app.url_map.merge_slashes = False
    app.url_map.redirect_defaults = False
    metrics = Metrics(ledger.database)
    app.extensions["jifen"] = Service(
        ledger=ledger,
        committer=Committer(cast(Ledger, Counted(ledger, metrics)), settings.batch_size),
        keys=KeyRing(ledger.database),
        jobs=dict(jobs or {}),
        run_job=run_job,
    )
    register_lifecycle(app, metrics)
    register_problems(app)
    register_operations(app, ledger.database, metrics)
    collected = make_api(app, version("jifen"))
    for part in (till, batches, service_desk, administration):
        collected.register_blueprint(part.blueprint)
    register_docs(app, collected)
    return app
