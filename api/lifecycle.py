"""What happens around every request: an id, a log line, figures, and a few headers.

The log line is JSON and holds no personal data: the route's template instead of the path, no
query string, no body, the key's id instead of the key.
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from typing import Final

import msgspec
from flask import Flask, Response, g

from api.access import current_request, given_request_id
from api.logs import REQUESTS
from api.metrics import Metrics

_UNKNOWN_ROUTE: Final = "(none)"
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"})

_log = logging.getLogger(REQUESTS)
_encode = msgspec.json.Encoder().encode


def register_lifecycle(app: Flask, metrics: Metrics) -> None:
    """Have every request of the app identified, logged and counted."""

    @app.before_request
    def begin() -> None:
        g.began = time.monotonic()
        g.request_id = given_request_id()

    @app.after_request
    def finish(response: Response) -> Response:
        seconds = time.monotonic() - g.began
        request = current_request()
        rule = request.url_rule
        route = rule.rule if rule is not None else _UNKNOWN_ROUTE
        # One that is not HTTP's must not make a label of its own.
        method = request.method if request.method in _METHODS else "OTHER"
        headers = response.headers
        headers.add("X-Request-Id", g.request_id)
        headers.add("X-Content-Type-Options", "nosniff")
        if "Cache-Control" not in headers:
            headers.add("Cache-Control", "no-store")
        metrics.count(route, method, response.status_code, seconds)
        if _log.isEnabledFor(logging.INFO):
            _log.info(_line(route, method, response.status_code, seconds))
        return response


def _line(route: str, method: str, status: int, seconds: float) -> str:
    key = g.get("key")
    line = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "request_id": g.request_id,
        "method": method,
        "route": route,
        "status": status,
        "ms": round(seconds * 1000, 2),
        "key": key.id if key is not None else None,
    }
    return _encode(line).decode()
