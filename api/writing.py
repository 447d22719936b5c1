"""From a command to its answer, and how every answer is written."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from flask import Response, g

from api.access import current_key, expected_version, idempotency_key
from api.problems import problem_response
from api.service import service
from ledger.requests import Command, Outcome, Request

JSON: Final = "application/json"

_encode = msgspec.json.Encoder().encode


def write(command: Command) -> Response:
    """Have the ledger carry the command out for the current caller, and answer."""
    return answer(service().committer.submit(asked(command)))


def asked(command: Command) -> Request:
    """The command with who asks, and under which idempotency key and expected version."""
    return Request(
        command=command,
        actor=g.actor,
        request_id=g.request_id,
        idempotency_key=idempotency_key(),
        key_scope=current_key().id,
        expected_version=expected_version(),
    )


def answer(outcome: Outcome) -> Response:
    """The outcome as an HTTP answer; a refusal as a problem document."""
    headers = {"Idempotent-Replayed": "true"} if outcome.replayed else {}
    if outcome.status >= 400:
        return problem_response(outcome.body, headers)
    return json_response(outcome.body, outcome.status, headers)


def json_response(
    body: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """A JSON answer; one about a member carries its version as the ETag for If-Match."""
    response = Response(_encode(body), status, content_type=JSON)
    if headers:
        response.headers.update(headers)
    if (version := body.get("version")) is not None:
        response.headers["ETag"] = f'"{version}"'
    return response
