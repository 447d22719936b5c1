"""What every endpoint has: who may call it, how its input is read, what its page in OpenAPI says.

    @blueprint.post("/accruals")
    @contract(roles=["pos"], refuses=["member_frozen", ...])
    @blueprint.arguments(AccrualSchema)
    @blueprint.response(201, AccrualAnswer)
    def accrue(body: dict[str, Any]) -> Response: ...

A view answers with a ready `Response`: the response schema is documentation, never run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any, Final, TypeVar, cast

import flask_smorest  # type: ignore[import-untyped]
import marshmallow as ma
from flask import Request
from werkzeug.exceptions import RequestEntityTooLarge

from api.access import authorise, current_request, require_position
from api.problems import MEDIA_TYPE
from api.schemas import Input, invalid_request
from api.strict_json import read_json
from ledger.errors import STATUS_OF_CODE, Refusal

View = TypeVar("View", bound=Callable[..., Any])

JSON: Final = "application/json"

_ALWAYS: Final = ("unauthenticated", "forbidden", "internal_error", "over_capacity")
_WITH_BODY: Final = ("malformed_json", "too_large", "unsupported_media_type", "invalid_request")
_ONCE: Final = ("invalid_request", "idempotency_key_reused", "request_in_progress")
_READING: Final = ("invalid_request", "view_behind")


def read_input(schema: Input, location: str) -> Any:
    """What the schema makes of the current request's body or query string. Raises `Refusal`."""
    given = _read_json_body(schema) if location == "json" else _read_query()
    try:
        return schema.read(given)
    except ma.ValidationError as error:
        raise invalid_request(error.messages) from None


def read_body(request: Request) -> bytes:
    """The whole body, within the limit for this request. Raises `Refusal`.

    A declared length over the limit is refused before anything is read.
    """
    require_no_encoding(request)
    limit = request.max_content_length
    if limit is None or request.content_length is not None:
        return request.get_data(cache=False)
    # A body of undeclared length is cut off without a word: one byte more tells that it was.
    request.max_content_length = limit + 1
    body = request.get_data(cache=False)
    if len(body) > limit:
        raise RequestEntityTooLarge
    return body


def require_no_encoding(request: Request) -> None:
    """Raises `Refusal` for a body that is compressed: nothing here unpacks it."""
    encoding = request.headers.get("Content-Encoding")
    if encoding and encoding.strip().lower() != "identity":
        raise Refusal("unsupported_media_type", "Send the body without a Content-Encoding.")


class Blueprint(flask_smorest.Blueprint):  # type: ignore[misc]
    """A blueprint whose documentation follows the conventions of API.md."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._prepare_doc_cbks.append(self._prepare_conventions_doc)

    def get(self, rule: str, **options: Any) -> Callable[[View], View]:
        """Route GET, documented."""
        return self._route("GET", rule, options)

    def post(self, rule: str, **options: Any) -> Callable[[View], View]:
        """Route POST, documented."""
        return self._route("POST", rule, options)

    def put(self, rule: str, **options: Any) -> Callable[[View], View]:
        """Route PUT, documented."""
        return self._route("PUT", rule, options)

    def delete(self, rule: str, **options: Any) -> Callable[[View], View]:
        """Route DELETE, documented."""
        return self._route("DELETE", rule, options)

    def arguments(
        self, schema: type[Input], *, location: str = "json", **kwargs: Any
    ) -> Callable[[View], View]:
        """Hand the view what `schema` reads at `location` ("json" or "query").

        The schema is made here, once. flask-smorest documents; the reading is ours.
        """
        made = schema()
        document = super().arguments(made, location=location, **kwargs)

        def decorate(view: View) -> View:
            @wraps(view)
            def reading(*args: Any, **kwargs: Any) -> Any:
                return view(read_input(made, location), *args, **kwargs)

            return cast(View, _documented(reading, document(view)))

        return decorate

    def response(
        self, status_code: int, schema: Any = None, **kwargs: Any
    ) -> Callable[[View], View]:
        """Document the answer of success."""
        document = super().response(status_code, schema, **kwargs)
        return lambda view: _documented(view, document(view))

    def doc(self, **kwargs: Any) -> Callable[[View], View]:
        """Add to the operation's documentation as it is."""
        document = super().doc(**kwargs)
        return lambda view: _documented(view, document(view))

    def _route(self, method: str, rule: str, options: dict[str, Any]) -> Callable[[View], View]:
        made: Callable[[View], View] = self.route(rule, methods=[method], **options)
        return made

    def _prepare_conventions_doc(
        self, doc: dict[str, Any], doc_info: dict[str, Any], *, method: str, **_: Any
    ) -> dict[str, Any]:
        """Headers, errors and access of an operation, by what its `contract` says."""
        told = doc_info.get("contract")
        if told is None:
            return doc
        writes = method != "get"
        codes = [*_ALWAYS, *told["refuses"]]
        codes += (*_ONCE, "version_mismatch") if told["keyed"] else _ONCE if told["once"] else ()
        codes += _WITH_BODY if "requestBody" in doc else ()
        codes += () if writes else _READING
        responses = doc.setdefault("responses", {})
        # flask-smorest's own errors are generic; ours list the codes.
        for generic in (422, "default"):
            responses.pop(generic, None)
        responses.update(_error_responses(codes))
        if writes:
            doc.setdefault("parameters", []).append("RequestId")
            if told["keyed"] or told["once"]:
                doc["parameters"].append("IdempotencyKey")
            if told["keyed"]:
                doc["parameters"].append("IfMatch")
        else:
            doc.setdefault("parameters", []).extend(["MinPosition", "RequestId"])
        doc["security"] = [{"key": []}]
        doc["x-roles"] = [*told["roles"], "admin"] if "admin" not in told["roles"] else ["admin"]
        return doc


def contract(
    *,
    roles: Sequence[str],
    refuses: Iterable[str] = (),
    keyed: bool = False,
    once: bool = False,
) -> Callable[[View], View]:
    """Who may call the view, and what it may refuse beyond what every endpoint may.

    `roles` in order of preference: an event names the first that the key has; `admin` includes
    all. `keyed`: it writes to the log, under an Idempotency-Key and an If-Match if given. Any
    other waits until the log has the position that the request asks for. `once`: it writes
    beside the log, once for an Idempotency-Key (`remembering.once`).
    """
    told = {"roles": tuple(roles), "refuses": tuple(refuses), "keyed": keyed, "once": once}

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            authorise(roles)
            if not keyed:
                require_position()
            return view(*args, **kwargs)

        guarded._apidoc = {**getattr(view, "_apidoc", {}), "contract": told}  # type: ignore[attr-defined]
        return cast(View, guarded)

    return decorate


def _documented(view: Callable[..., Any], documented: Any) -> Any:
    """The view with the documentation of the other, whose wrapping would cost each request."""
    view._apidoc = documented._apidoc  # type: ignore[attr-defined]
    return view


def _read_json_body(schema: Input) -> Any:
    request = current_request()
    body = read_body(request)
    if not body and not _requires_anything(schema):
        return {}
    if request.mimetype != JSON:
        raise Refusal("unsupported_media_type", f"Send the body as Content-Type: {JSON}.")
    return read_json(body)


def _read_query() -> dict[str, str]:
    """The query string, each name once."""
    given = current_request().args
    if twice := [name for name, values in given.lists() if len(values) > 1]:
        raise invalid_request({name: ["Give this once."] for name in twice})
    return given.to_dict()


def _requires_anything(schema: ma.Schema) -> bool:
    return any(field.required for field in schema.fields.values())


def _error_responses(codes: Iterable[str]) -> dict[int, dict[str, Any]]:
    by_status: dict[int, list[str]] = defaultdict(list)
    for code in dict.fromkeys(codes):
        by_status[STATUS_OF_CODE[code]].append(code)
    return {
        status: {
            "description": "code: " + ", ".join(f"`{code}`" for code in sorted(found)),
            "content": {MEDIA_TYPE: {"schema": "Problem"}},
        }
        for status, found in sorted(by_status.items())
    }
