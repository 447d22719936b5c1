"""Many operations in one request: for tills that were offline, and for imports (API.md).

Each operation stands alone: one that can't be read, or that the ledger refuses, fails alone.
Operations on one member take effect in the order of the request.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple, Protocol

import marshmallow as ma
import msgspec
from flask import Response, g, request

from api import answers, schemas
from api.access import current_key, idempotency_key
from api.blueprint import JSON, Blueprint, contract, read_body, require_no_encoding
from api.problems import problem_body
from api.service import service
from api.spool import Spool
from api.strict_json import read_json
from api.writing import json_response
from ledger.errors import Refusal
from ledger.events import Actor
from ledger.ledger import Ledger
from ledger.requests import Accrue, Activity, Command, Enrol, Outcome, Redeem, Refund, Request

blueprint = Blueprint("batches", __name__, url_prefix="/v1", description="Many at once.")

NDJSON: Final = "application/x-ndjson"
MOST_BYTES: Final = 32 * 1024 * 1024
LONGEST_LINE: Final = 1024 * 1024

_CHUNK_BYTES: Final = 64 * 1024
_BATCH: Final = schemas.BatchSchema()
_OPERATION: Final = schemas.OperationSchema()

_encode = msgspec.json.Encoder().encode
_log = logging.getLogger("jifen.api")


class Operation(NamedTuple):
    """How the body of an operation is read, and the command it makes."""

    schema: schemas.Input
    command: Callable[..., Command]


OPERATIONS: Final[dict[str, Operation]] = {
    "enrol": Operation(schemas.EnrolmentSchema(), Enrol),
    "accrue": Operation(schemas.AccrualSchema(), Accrue),
    "activity": Operation(schemas.ActivitySchema(), Activity),
    "redeem": Operation(schemas.RedemptionSchema(), Redeem),
    "refund": Operation(schemas.RefundSchema(), Refund),
}

_DOCUMENTATION: Final = {
    "parameters": ["IdempotencyKey", "RequestId"],
    "requestBody": {
        "required": True,
        "content": {
            JSON: {"schema": "Batch"},
            NDJSON: {
                "schema": {"type": "string"},
                "examples": {
                    "lines": {
                        "summary": "One operation a line",
                        "value": '{"op": "accrue", "key": "till-12-7001", "body": '
                        '{"member_id": "m-1001", "order_id": "o-77", "amount": "148.60"}}\n',
                    }
                },
            },
        },
    },
}


@blueprint.post("/batches")
@contract(
    roles=["pos"],
    refuses=["malformed_json", "too_large", "unsupported_media_type", "invalid_request"],
)
@blueprint.response(200, answers.BatchAnswer)
@blueprint.response(200, {"type": "string"}, content_type=NDJSON)
@blueprint.doc(**_DOCUMENTATION)
def batch() -> Response:
    """Up to 10,000 operations as JSON, or any number as NDJSON, one a line.

    Each stands alone, and answers as its endpoint would. `key` is the operation's idempotency
    key; an operation without one takes the request's Idempotency-Key and its place.

    As `application/x-ndjson` it is a stream: one operation a line in, one result a line out.
    """
    asker = Asker(g.actor, g.request_id, current_key().id, idempotency_key())
    if request.mimetype == NDJSON:
        require_no_encoding(request)
        # None would mean the app's own limit.
        request.max_content_length = sys.maxsize
        stream: Readable = request.stream
        return Response(_stream(service().ledger, asker, stream), content_type=NDJSON)
    if request.mimetype != JSON:
        raise Refusal("unsupported_media_type", f"Send the body as {JSON} or {NDJSON}.")
    request.max_content_length = MOST_BYTES
    try:
        operations = _BATCH.load(read_json(read_body(request)))["operations"]
    except ma.ValidationError as error:
        raise schemas.invalid_request(error.messages) from None
    results = carry_out(service().ledger, asker, operations)
    succeeded = sum(result["status"] < 400 for result in results)
    return json_response(
        {"results": results, "succeeded": succeeded, "failed": len(results) - succeeded}
    )


class Asker(NamedTuple):
    """Who sends the operations: also outside the request's own thread."""

    actor: Actor
    request_id: str
    key_id: str
    idempotency_key: str | None

    def request(self, command: Command, key: str | None, place: int) -> Request:
        """The command under its own key, or under the batch's key and its place in it."""
        scope = self.key_id
        if key is None and self.idempotency_key is not None:
            key, scope = str(place), f"{self.key_id}/{self.idempotency_key}"
        return Request(
            command=command,
            actor=self.actor,
            request_id=self.request_id,
            idempotency_key=key,
            key_scope=scope,
        )


class Readable(Protocol):
    """A body that is still arriving."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; none at the end."""


def carry_out(
    ledger: Ledger, asker: Asker, operations: Sequence[Any], first_place: int = 0
) -> list[dict[str, Any]]:
    """The result of each operation, in their order. An operation may be a `Refusal` already."""
    keys: list[str | None] = []
    requests: list[Request] = []
    answered: dict[int, Outcome] = {}
    for place, operation in enumerate(operations):
        keys.append(_key_of(operation))
        try:
            command = _command_of(operation)
        except Refusal as refusal:
            answered[place] = Outcome(refusal.status, refusal.body())
        else:
            requests.append(asker.request(command, keys[-1], first_place + place))
    outcomes = iter(ledger.handle(requests))
    return [
        _result(key, answered[place] if place in answered else next(outcomes), asker.request_id)
        for place, key in enumerate(keys)
    ]


def _key_of(operation: Any) -> str | None:
    """The key to answer under, even where the operation is refused for something else."""
    key = operation.get("key") if isinstance(operation, dict) else None
    return key if isinstance(key, str) and key.isascii() and len(key) <= 255 else None


def _command_of(operation: Any) -> Command:
    if isinstance(operation, Refusal):
        raise operation
    try:
        loaded = _OPERATION.read(operation)
    except ma.ValidationError as error:
        raise schemas.invalid_request(error.messages) from None
    reader = OPERATIONS[loaded["op"]]
    try:
        return reader.command(**reader.schema.read(loaded["body"]))
    except ma.ValidationError as error:
        raise schemas.invalid_request({"body": error.messages}) from None


def _result(key: str | None, outcome: Outcome, request_id: str) -> dict[str, Any]:
    body = outcome.body
    if outcome.status >= 400:
        body = problem_body(body, request_id)
    result = {"key": key, "status": outcome.status, "body": body}
    if outcome.replayed:
        result["replayed"] = True
    return result


# NDJSON


def _stream(ledger: Ledger, asker: Asker, stream: Readable) -> Iterator[bytes]:
    spool = Spool()
    thread = threading.Thread(
        target=_carry_out_lines, args=(ledger, asker, stream, spool), name="ndjson", daemon=True
    )
    thread.start()
    yield from spool


def _carry_out_lines(ledger: Ledger, asker: Asker, stream: Readable, spool: Spool) -> None:
    place = 0
    try:
        for lines in _lines(stream):
            operations = [_read_line(line) for line in lines]
            results = _carry_out_or_say_why(ledger, asker, operations, place)
            place += len(operations)
            if not spool.write(b"".join(_encode(result) + b"\n" for result in results)):
                return
    except Exception:
        # What is left of the body can't be read, mostly because the client has gone.
        _log.warning("request %s: the lines ended early", asker.request_id, exc_info=True)
    finally:
        spool.end()


def _carry_out_or_say_why(
    ledger: Ledger, asker: Asker, operations: Sequence[Any], place: int
) -> list[dict[str, Any]]:
    """Every line gets a result, also when the database is gone: the client repeats by the keys."""
    try:
        return carry_out(ledger, asker, operations, place)
    except Exception:
        _log.exception("request %s: lines from %s on failed", asker.request_id, place + 1)
        refusal = Refusal(
            "over_capacity",
            "It is not known whether this was booked; send the operation again, with its key.",
        )
        failed = Outcome(refusal.status, refusal.body())
        return [_result(_key_of(each), failed, asker.request_id) for each in operations]


def _read_line(line: bytes | None) -> Any:
    if line is None:
        return Refusal("too_large", f"Send lines of at most {LONGEST_LINE} bytes.")
    try:
        return read_json(line)
    except Refusal as refusal:
        return refusal


def _lines(stream: Readable) -> Iterator[list[bytes | None]]:
    """The lines that are not blank, as they arrive; None for one that is too long."""
    rest, skipping = b"", False
    while chunk := stream.read(_CHUNK_BYTES):
        *whole, rest = (rest + chunk).split(b"\n")
        lines: list[bytes | None] = []
        if whole and skipping:
            whole, skipping = whole[1:], False
        lines.extend(line for line in whole if line.strip())
        if skipping:
            rest = b""
        elif len(rest) > LONGEST_LINE:
            lines.append(None)
            rest, skipping = b"", True
        if lines:
            yield lines
    if rest.strip() and not skipping:
        yield [rest]
