"""Who is asking, and how: key, role, request id, idempotency key, expected version, position."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Sequence
from typing import Final

from flask import Request, g
from flask.globals import request_ctx

from api.fields import LARGEST_POSITION, is_visible
from api.keys import ApiKey
from api.schemas import invalid_request
from api.service import service
from ledger.errors import InvalidRequest, Refusal
from ledger.events import Actor

LONGEST_WAIT_SECONDS: Final = 2.0

_VERSION: Final = re.compile(r'"([0-9]{1,18})"|([0-9]{1,18})')
_PAUSE_SECONDS: Final = 0.02


def current_request() -> Request:
    """The request itself: every access through Flask's proxy costs a look-up."""
    return request_ctx.request


def authorise(roles: Sequence[str]) -> None:
    """Recognise the key and require one of the roles. Raises `Refusal`."""
    scheme, _, plain = current_request().headers.get("Authorization", "").partition(" ")
    key = None
    if scheme.lower() == "bearer" and plain:
        key = service().keys.recognise(plain.strip())
    if key is None:
        raise Refusal(
            "unauthenticated", "Send Authorization: Bearer <key>, with a key that is in use."
        )
    g.key = key
    role = key.role_among(roles)
    if role is None:
        wanted = dict.fromkeys((*roles, "admin"))
        raise Refusal("forbidden", f"Use a key with the role {' or '.join(wanted)}.")
    g.actor = Actor(key=key.name, role=role)


def current_key() -> ApiKey:
    """The key of the current request."""
    key: ApiKey = g.key
    return key


def given_request_id() -> str:
    """The caller's X-Request-Id, or one made here where it has none that can be used."""
    given = current_request().headers.get("X-Request-Id")
    if given is not None and is_visible(given, 64):
        return given
    return uuid.uuid4().hex


def idempotency_key() -> str | None:
    """The Idempotency-Key, if given. Raises `InvalidRequest`."""
    given = current_request().headers.get("Idempotency-Key")
    if given is None or is_visible(given, 255):
        return given
    raise InvalidRequest("Idempotency-Key", "Give 1 to 255 visible ASCII characters.")


def expected_version() -> int | None:
    """The version that If-Match names, if given. Raises `InvalidRequest`."""
    given = current_request().headers.get("If-Match")
    if given is None or given.strip() == "*":
        return None
    if match := _VERSION.fullmatch(given.strip()):
        return int(match[1] or match[2])
    raise InvalidRequest("If-Match", 'Give the version that you have seen, such as "32".')


def required_position() -> int:
    """The position that the answer must have seen: `min_position` or X-Min-Position, else 0."""
    request = current_request()
    return max(
        _position(request.args.get("min_position"), "min_position"),
        _position(request.headers.get("X-Min-Position"), "X-Min-Position"),
    )


def require_position() -> None:
    """Wait until the log has the position asked for. Raises `Refusal` view_behind after 2 s."""
    position = required_position()
    if not position:
        return
    while (last := service().ledger.last_position()) < position:
        if remaining_wait() <= 0:
            raise Refusal(
                "view_behind", f"The log ends at position {last} so far; ask again in a moment."
            )
        time.sleep(_PAUSE_SECONDS)


def remaining_wait() -> float:
    """How many seconds the current request may still wait for a position."""
    began: float = g.began
    return max(0.0, LONGEST_WAIT_SECONDS - (time.monotonic() - began))


def _position(given: str | None, name: str) -> int:
    if given is None:
        return 0
    # 19 digits are the longest position; Python refuses to read thousands of them.
    if given.isascii() and given.isdigit() and len(given) <= 19:
        position = int(given)
        if position <= LARGEST_POSITION:
            return position
    raise invalid_request({name: [f"Give an integer from 0 to {LARGEST_POSITION}."]})
