"""Idempotency keys of the writes that are no commands to the ledger: job runs and API keys.

They are kept in the table where the ledger keeps its own, so a key means one request, whichever
of the two it went to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec
import psycopg2.errors
from flask import Response

from api.access import current_key, current_request, idempotency_key
from api.service import service
from api.writing import answer
from ledger.errors import Refusal
from ledger.requests import Outcome
from ledger.store.database import Cursor

# Held while the work is done, by a transaction that has written nothing yet: it keeps no dead
# rows from being cleaned however long a job runs, and it goes with the process. A job may run
# for longer than a transaction may be idle.
_CLAIM: Final = """
    SELECT set_config('idle_in_transaction_session_timeout', '0', true),
           pg_advisory_xact_lock(hashtext('jifen.idempotency_key'), hashtext(%s))
"""
_FIND: Final = """
    SELECT fingerprint, status, answer FROM idempotency_keys WHERE scope = %s AND key = %s
"""
_KEEP: Final = """
    INSERT INTO idempotency_keys (scope, key, fingerprint, status, answer, recorded_at)
    VALUES (%s, %s, %s, %s, %s, now())
    ON CONFLICT DO NOTHING
"""


class Done(NamedTuple):
    """What a piece of work answers. `secret` is in the first answer only and is never stored."""

    status: int
    body: dict[str, Any]
    secret: dict[str, Any] | None = None


Work = Callable[[Cursor], Done]
"""Does it in the transaction of the cursor, or in others; raises `Refusal` having done nothing."""


def once(given: dict[str, Any], work: Work) -> Response:
    """Do the work of the current request, whose body is `given`, once for its Idempotency-Key.

    A repeat gets the first answer again, a refusal too, but never the secret. One that comes
    while the work is being done waits for it, for as long as for any lock (5 s), then it is
    refused with `request_in_progress`. Work that fails, or whose process ends, is not
    remembered: the repeat does it, or the rest of it.

    Raises `Refusal` for a key that belongs to another request.
    """
    key = idempotency_key()
    with service().ledger.database.transaction() as cursor:
        if key is None:
            return answer(_first(work(cursor)))
        return answer(_once(cursor, current_key().id, key, _fingerprint(given), work))


def _once(cursor: Cursor, scope: str, key: str, fingerprint: bytes, work: Work) -> Outcome:
    try:
        cursor.execute(_CLAIM, (f"{scope} {key}",))
    except psycopg2.errors.LockNotAvailable:
        raise Refusal(
            "request_in_progress",
            "The first request is still running: repeat it with the same Idempotency-Key.",
        ) from None
    cursor.execute(_FIND, (scope, key))
    if (row := cursor.fetchone()) is not None:
        return _again(fingerprint, *row)
    try:
        done = work(cursor)
    except Refusal as refusal:
        done = Done(refusal.status, refusal.body())
    cursor.execute(_KEEP, (scope, key, fingerprint, done.status, _encode(done.body)))
    if not cursor.rowcount:
        # A command to the ledger took the key meanwhile; what stands in this transaction goes.
        raise _reused()
    return _first(done)


def _first(done: Done) -> Outcome:
    return Outcome(done.status, {**done.body, **(done.secret or {})})


def _again(asked: bytes, fingerprint: bytes, status: int, body: str) -> Outcome:
    if bytes(fingerprint) != asked:
        raise _reused()
    return Outcome(status, msgspec.json.decode(body), replayed=True)


def _reused() -> Refusal:
    return Refusal(
        "idempotency_key_reused",
        "This Idempotency-Key was used for another request: use a new one.",
    )


def _fingerprint(given: dict[str, Any]) -> bytes:
    request = current_request()
    asked = (request.method, request.path, given)
    content = msgspec.json.encode(asked, order="deterministic")
    return hashlib.blake2b(content, digest_size=16).digest()


def _encode(body: dict[str, Any]) -> str:
    return msgspec.json.encode(body).decode()
