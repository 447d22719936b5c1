"""Programme, jobs, API keys: what runs the programme (role `admin`)."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import msgspec
from flask import Response, g, request

from api import answers, schemas
from api.blueprint import JSON, Blueprint, contract, read_body
from api.keys import ApiKey, list_keys, make_key, revoke_key, rotate_key
from api.paging import cursor_after, last_before
from api.remembering import Done, once
from api.service import service
from api.writing import answer, json_response
from ledger.errors import NotFound, Refusal
from ledger.programme import Programme, ProgrammeErrors, read_programme, rules_to_json
from ledger.rehearsal import rehearse
from ledger.store.database import Cursor

blueprint = Blueprint(
    "administration", __name__, url_prefix="/v1", description="What runs the programme."
)

TOML: Final = "application/toml"

_MOST_SHOWN: Final = 50
_PROGRAMME_BODY: Final = {
    "requestBody": {
        "required": True,
        "description": "A whole rule set, in the form of the shipped `retail`.",
        "content": {
            TOML: {"schema": {"type": "string"}},
            JSON: {"schema": {"type": "object"}},
        },
    }
}


@blueprint.get("/programme")
@contract(roles=["admin"])
@blueprint.arguments(schemas.ProgrammeQuery, location="query")
@blueprint.response(200, answers.ProgrammeAnswer)
def programme(query: dict[str, Any]) -> Response:
    """The version of the programme that decides what happens now, or at a moment."""
    ledger = service().ledger
    version = ledger.programmes().at(query.get("at") or ledger.clock())
    local_time = version.programme.local_time
    return json_response(
        {
            "version": version.number,
            "effective_at": local_time(version.effective_at).isoformat(),
            "recorded_at": local_time(version.recorded_at).isoformat(),
            "programme": msgspec.json.decode(rules_to_json(version.programme)),
        }
    )


@blueprint.put("/programme")
@contract(
    roles=["admin"],
    refuses=["malformed_json", "too_large", "unsupported_media_type", "invalid_request"],
)
@blueprint.arguments(schemas.PublishQuery, location="query")
@blueprint.response(201, answers.PublishedAnswer)
@blueprint.response(200, answers.PublishedAnswer, description="Published before")
@blueprint.doc(**_PROGRAMME_BODY)
def publish(query: dict[str, Any]) -> Response:
    """Publish a whole rule set, in force from `effective_at`.

    Recorded decisions stand, whatever is published. The same set at the same `effective_at`
    answers as the first time.
    """
    rules = _read_rules()
    ledger = service().ledger
    effective_at = query.get("effective_at") or ledger.clock()
    return answer(ledger.publish(rules, effective_at=effective_at, actor=g.actor))


@blueprint.post("/programme/check")
@contract(
    roles=["admin"],
    refuses=["malformed_json", "too_large", "unsupported_media_type", "invalid_request"],
)
@blueprint.arguments(schemas.CheckQuery, location="query")
@blueprint.response(200, answers.CheckAnswer)
@blueprint.doc(**_PROGRAMME_BODY)
def check(query: dict[str, Any]) -> Response:
    """What a rule set would change, tried on the latest real orders and activities.

    Each is decided twice as if it came at `effective_at`: by the rules in force then, and by these.
    Nothing is booked and nothing published; what was decided before stays as it is in any case.
    """
    rules = _read_rules()
    ledger = service().ledger
    effective_at = query.get("effective_at") or ledger.clock()
    return json_response(rehearse(ledger, rules, effective_at=effective_at, count=query["orders"]))


@blueprint.get("/jobs")
@contract(roles=["admin"])
@blueprint.arguments(schemas.Query, location="query")
@blueprint.response(200, answers.JobsAnswer)
def jobs(query: dict[str, Any]) -> Response:
    """The jobs that can be run."""
    listed = [{"name": name, "description": does} for name, does in service().jobs.items()]
    return json_response({"jobs": listed, "next_cursor": None})


@blueprint.post("/jobs/<id:name>/runs")
@contract(roles=["admin"], refuses=["not_found"], once=True)
@blueprint.arguments(schemas.JobRunSchema)
@blueprint.response(200, answers.JobRunAnswer)
def run_job(body: dict[str, Any], name: str) -> Response:
    """Do what is due as of a moment; a repeated run does only what has become due since.

    The same Idempotency-Key is the same run: its answer comes again, and nothing runs.
    """

    def run(_: Cursor) -> Done:
        run_job = service().run_job
        if run_job is None or name not in service().jobs:
            raise NotFound("job", name)
        as_of: datetime = body.get("as_of") or service().ledger.clock()
        return Done(200, run_job(name, as_of))

    return once(body, run)


@blueprint.get("/keys")
@contract(roles=["admin"])
@blueprint.arguments(schemas.PageQuery, location="query")
@blueprint.response(200, answers.KeysAnswer)
def keys(query: dict[str, Any]) -> Response:
    """The API keys, revoked ones too; never the keys themselves."""
    limit, cursor = query["limit"], query.get("cursor")
    after = last_before(cursor) if cursor is not None else ""
    found = list_keys(service().ledger.database, limit=limit + 1, after=after)
    page = found[:limit]
    return json_response(
        {
            "keys": [_shown(key) for key in page],
            "next_cursor": cursor_after(page[-1].id) if len(found) > limit else None,
        }
    )


@blueprint.post("/keys")
@contract(roles=["admin"], refuses=["already_recorded"], once=True)
@blueprint.arguments(schemas.KeySchema)
@blueprint.response(201, answers.NewKeyAnswer)
def new_key(body: dict[str, Any]) -> Response:
    """Make a key. `key` is in this answer and nowhere else: only its hash is kept.

    A repeat under the same Idempotency-Key gets the same answer without `key`; names of live
    keys are unique, so that one without it makes no second key either. If the first answer was
    lost, rotate the key.
    """

    def make(cursor: Cursor) -> Done:
        key, plain = make_key(cursor, name=body["name"], roles=body["roles"])
        return Done(201, _shown(key), secret={"key": plain})

    return once(body, make)


@blueprint.post("/keys/<id:key_id>/rotate")
@contract(roles=["admin"], refuses=["not_found"], once=True)
@blueprint.arguments(schemas.EmptySchema)
@blueprint.response(200, answers.NewKeyAnswer)
def rotate(body: dict[str, Any], key_id: str) -> Response:
    """Give a key a new secret; the old one is refused within 5 s.

    A repeat under the same Idempotency-Key gets the same answer without `key`, and leaves the
    secret as it is. If the first answer was lost, rotate again under another.
    """

    def renew(cursor: Cursor) -> Done:
        key, plain = rotate_key(cursor, key_id)
        return Done(200, _shown(key), secret={"key": plain})

    response = once(body, renew)
    service().keys.forget(key_id)
    return response


@blueprint.delete("/keys/<id:key_id>")
@contract(roles=["admin"], refuses=["not_found"])
@blueprint.response(200, answers.KeyAnswer)
def revoke(key_id: str) -> Response:
    """Revoke a key; it is refused within 5 s."""
    revoked = revoke_key(service().ledger.database, key_id)
    service().keys.forget(key_id)
    return json_response(_shown(revoked))


def _read_rules() -> Programme:
    body = read_body(request)
    if request.mimetype not in (TOML, JSON):
        raise Refusal("unsupported_media_type", f"Send the body as {TOML} or {JSON}.")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise Refusal("malformed_json", "Send the rule set in UTF-8.") from None
    try:
        return read_programme(text, format="toml" if request.mimetype == TOML else "json")
    except ProgrammeErrors as found:
        raise _mend_programme(found) from None


def _mend_programme(found: ProgrammeErrors) -> Refusal:
    errors: dict[str, list[str]] = {}
    for error in found.errors[:_MOST_SHOWN]:
        line = f"line {error.line}: " if error.line else ""
        errors.setdefault(error.path or "programme", []).append(line + error.message)
    count = len(found.errors)
    return Refusal(
        "invalid_request", f"Mend the programme in {count} places; nothing is published.", errors
    )


def _shown(key: ApiKey) -> dict[str, Any]:
    ledger = service().ledger
    local_time = ledger.programmes().at(ledger.clock()).programme.local_time
    revoked_at = key.revoked_at
    return {
        "id": key.id,
        "name": key.name,
        "roles": key.roles,
        "created_at": local_time(key.created_at).isoformat(),
        "revoked_at": local_time(revoked_at).isoformat() if revoked_at else None,
    }
