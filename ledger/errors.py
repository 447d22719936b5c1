"""Why the ledger refuses.

A refusal is an answer: it has a stable code (API.md, "Codes"), an HTTP status, and a sentence
that says what to do. Whatever is refused has written nothing.

    Refusal
    ├── InvalidRequest          the request itself can't be right          422
    ├── NotFound                the named thing does not exist             404
    └── (any other code)        a business rule says no             409 or 422
"""

from __future__ import annotations

from typing import Any, Final

STATUS_OF_CODE: Final[dict[str, int]] = {
    "already_recorded": 409,
    "approval_required": 409,
    "below_minimum": 422,
    "coupon_expired": 409,
    "coupon_not_applicable": 409,
    "coupon_spent": 409,
    "forbidden": 403,
    "idempotency_key_reused": 422,
    "insufficient_points": 409,
    "internal_error": 500,
    "invalid_request": 422,
    "limit_reached": 409,
    "malformed_json": 400,
    "member_closed": 409,
    "member_frozen": 409,
    "method_not_allowed": 405,
    "not_a_multiple": 422,
    "not_eligible": 409,
    "not_found": 404,
    "not_on_sale": 409,
    "not_stackable": 409,
    "out_of_stock": 409,
    "over_capacity": 503,
    "over_order_share": 422,
    "rate_limited": 429,
    "refund_exceeds_order": 409,
    "request_in_progress": 409,
    "reservation_over": 409,
    "too_large": 413,
    "unauthenticated": 401,
    "unsupported_media_type": 415,
    "version_mismatch": 412,
    "view_behind": 503,
}


class Refusal(Exception):  # noqa: N818 - an answer, not a fault
    """A request that the ledger does not carry out.

    `code` is stable and listed in API.md; `detail` says what to do about it; `errors` names
    fields (dotted path → sentences), where fields are at fault.
    """

    def __init__(self, code: str, detail: str, errors: dict[str, list[str]] | None = None) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.errors = errors or {}

    @property
    def status(self) -> int:
        """The HTTP status that belongs to the code."""
        return STATUS_OF_CODE[self.code]

    def body(self) -> dict[str, Any]:
        """The refusal as the part of a problem document that depends on nothing else."""
        body: dict[str, Any] = {"code": self.code, "status": self.status, "detail": self.detail}
        if self.errors:
            body["errors"] = self.errors
        return body


class InvalidRequest(Refusal):
    """A field of the request can't be right, whatever the ledger holds."""

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__("invalid_request", sentence, {field: [sentence]})


class NotFound(Refusal):
    """What the request names does not exist: `kind` and `name` say what, `but` what there is."""

    def __init__(self, kind: str, name: str, but: str = "") -> None:
        super().__init__("not_found", f"There is no {kind} {name!r}{but}.")
