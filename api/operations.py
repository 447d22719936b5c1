"""Is it alive, is it ready, what are its figures: asked without a key."""

from __future__ import annotations

import logging
from typing import Any, Final

from flask import Flask, Response

from api.metrics import CONTENT_TYPE, Metrics
from api.writing import json_response
from ledger.store.database import Database
from projections.positions import ViewStatus, status

LONGEST_LAG_SECONDS: Final = 60
"""How long an event may wait for a view that still counts as ready."""

_WAITING_SECONDS: Final = """
    SELECT extract(epoch FROM now() - recorded_at) FROM events WHERE position = %s
"""

_log = logging.getLogger("jifen.api")


def register_operations(app: Flask, database: Database, metrics: Metrics) -> None:
    """Serve /healthz, /readyz and /metrics."""

    @app.get("/healthz")
    def healthz() -> Response:
        return json_response({"status": "alive"})

    @app.get("/readyz")
    def readyz() -> Response:
        parts = _parts(database)
        ready = all(part["ready"] for part in parts)
        return json_response({"ready": ready, "parts": parts}, 200 if ready else 503)

    @app.get("/metrics")
    def metrics_text() -> Response:
        return Response(metrics.text(), content_type=CONTENT_TYPE)


def _waiting(database: Database, view: ViewStatus) -> float:
    """For how many seconds the first event that the view has not seen has been waiting."""
    with database.transaction() as cursor:
        cursor.execute(_WAITING_SECONDS, (view.position + 1,))
        row = cursor.fetchone()
    return float(row[0]) if row else 0.0


def _parts(database: Database) -> list[dict[str, Any]]:
    """The database and each view: whether it is ready, and if not, what to do."""
    try:
        views = status(database)
    except Exception:
        _log.exception("the database can't be asked")
        return [
            {"part": "database", "ready": False, "detail": "Can't be reached; see the log."},
        ]
    parts: list[dict[str, Any]] = [{"part": "database", "ready": True, "detail": None}]
    for view in views:
        detail = None
        if view.bad_events:
            detail = (
                f"{view.bad_events} events are set aside; mend the cause, then "
                f"`jifen rebuild {view.view}`."
            )
        elif view.lag and (seconds := _waiting(database, view)) > LONGEST_LAG_SECONDS:
            detail = (
                f"{view.lag} events behind, the first for {seconds:.0f} s; is the projection "
                "process running?"
            )
        parts.append(
            {
                "part": f"view {view.view}",
                "ready": detail is None,
                "detail": detail,
                "position": view.position,
                "lag": view.lag,
                "bad_events": view.bad_events,
            }
        )
    return parts
