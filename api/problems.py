"""Every error in one shape: a problem document (RFC 9457) with a stable code.

Codes and statuses are the ledger's (`ledger.errors.STATUS_OF_CODE`); here they get a title and
a type, and what Flask or the database raises gets a code.
"""

from __future__ import annotations

import logging
from typing import Any, Final

import msgspec
import psycopg2
from eventsourcing import persistence
from flask import Flask, Response, g
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from ledger.errors import STATUS_OF_CODE, Refusal

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:jifen:problem:"

TITLES: Final[dict[str, str]] = {
    "already_recorded": "Already recorded with different content",
    "approval_required": "A second person must approve",
    "below_minimum": "Below the minimum",
    "coupon_expired": "The coupon has expired",
    "coupon_not_applicable": "The coupon does not apply",
    "coupon_spent": "The coupon has been used",
    "forbidden": "The key lacks the role",
    "idempotency_key_reused": "The idempotency key belongs to another request",
    "insufficient_points": "Not enough points",
    "internal_error": "The service failed",
    "invalid_request": "The request can't be right",
    "limit_reached": "A limit is reached",
    "malformed_json": "The body can't be read",
    "member_closed": "The membership has ended",
    "member_frozen": "The member is frozen",
    "method_not_allowed": "This path does not take that method",
    "not_a_multiple": "Not a whole multiple",
    "not_eligible": "The member is not eligible",
    "not_found": "Not found",
    "not_on_sale": "Not on sale now",
    "not_stackable": "The coupons can't be combined",
    "out_of_stock": "Out of stock",
    "over_capacity": "The service can't take more now",
    "over_order_share": "Over the share of the order",
    "rate_limited": "Too many requests",
    "refund_exceeds_order": "More than is left of the order",
    "request_in_progress": "The first request is still running",
    "reservation_over": "The reservation is over",
    "too_large": "The body is too large",
    "unauthenticated": "No valid key",
    "unsupported_media_type": "The body has the wrong type",
    "version_mismatch": "The member has changed",
    "view_behind": "The view has not caught up",
}

_CODE_OF_STATUS: Final[dict[int, str]] = {
    400: "malformed_json",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
}
_DETAIL_OF_CODE: Final[dict[str, str]] = {
    "malformed_json": "The request can't be read; send it again as valid HTTP with valid JSON.",
    "method_not_allowed": "Use one of the methods that the Allow header names.",
    "not_found": "There is nothing at this path; compare it with /openapi.json.",
    "too_large": "Send a smaller body: 1 MiB at most, batches 32 MiB; NDJSON has no limit.",
    "unsupported_media_type": "Send the body as one of the types that /openapi.json names.",
}
_UNREACHABLE: Final = (
    "The database can't be reached just now; repeat the request, with the same Idempotency-Key."
)
_RETRY_AFTER_SECONDS: Final[dict[str, str]] = {
    "over_capacity": "1",
    "rate_limited": "1",
    "request_in_progress": "1",
    "view_behind": "1",
}

_log = logging.getLogger("jifen.api")


def problem_body(refusal: dict[str, Any], request_id: str) -> dict[str, Any]:
    """The problem document for a refusal's `code`, `status`, `detail` and perhaps `errors`."""
    code = refusal["code"]
    document = {
        "type": TYPE_PREFIX + code,
        "title": TITLES[code],
        "status": refusal["status"],
        "detail": refusal["detail"],
        "code": code,
        "request_id": request_id,
    }
    if errors := refusal.get("errors"):
        document["errors"] = errors
    return document


def problem_response(refusal: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    """The answer that carries the problem document of a refusal's body."""
    document = problem_body(refusal, g.get("request_id", ""))
    response = Response(msgspec.json.encode(document), refusal["status"], content_type=MEDIA_TYPE)
    if (seconds := _RETRY_AFTER_SECONDS.get(refusal["code"])) is not None:
        response.headers["Retry-After"] = seconds
    if refusal["code"] == "unauthenticated":
        response.headers["WWW-Authenticate"] = 'Bearer realm="jifen"'
    response.headers.update(headers or {})
    return response


def register_problems(app: Flask) -> None:
    """Whatever is raised in a view leaves the app as a problem document."""
    app.register_error_handler(Refusal, lambda refusal: problem_response(refusal.body()))
    app.register_error_handler(HTTPException, _http_problem)
    app.register_error_handler(psycopg2.OperationalError, _unreachable)
    app.register_error_handler(persistence.ConnectionUnavailableError, _unreachable)
    app.register_error_handler(Exception, _internal_error)


def _http_problem(error: HTTPException) -> Response:
    code = _CODE_OF_STATUS.get(error.code or 500)
    if code is None:
        # Nothing here raises other statuses; werkzeug's own are faults of the request's form.
        code = "malformed_json" if 400 <= (error.code or 500) < 500 else "internal_error"
    headers = {}
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        headers["Allow"] = ", ".join(sorted(error.valid_methods))
    body = {
        "code": code,
        "status": STATUS_OF_CODE[code],
        "detail": _DETAIL_OF_CODE.get(code, _internal_detail()),
    }
    return problem_response(body, headers)


def _unreachable(error: Exception) -> Response:
    _log.error("request %s: the database can't be reached", g.get("request_id"), exc_info=error)
    return problem_response(Refusal("over_capacity", _UNREACHABLE).body())


def _internal_error(error: Exception) -> Response:
    # The log has the traceback under the request's id; the answer has the id alone.
    _log.error("request %s failed", g.get("request_id"), exc_info=error)
    return problem_response(Refusal("internal_error", _internal_detail()).body())


def _internal_detail() -> str:
    return (
        "Something failed on our side; repeat the request with the same Idempotency-Key, and "
        "tell us the request_id if it fails again."
    )
