"""The OpenAPI 3.1 document, generated from the schemas, and the page that shows it.

The page is Swagger UI from the package flask-swagger-ui, served from here: it loads nothing
from other hosts, and its Content-Security-Policy forbids it to.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import flask_smorest  # type: ignore[import-untyped]
import msgspec
from flask import Flask, Response, redirect, render_template, send_from_directory
from werkzeug.routing import BaseConverter
from werkzeug.wrappers import Response as WerkzeugResponse

from api import answers, schemas
from api.fields import ID_PATTERN, LARGEST_POSITION

_UI_FILES: Final = ("swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png")
_OWN_FILES: Final = ("docs.js",)
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'"
)
_DAY_SECONDS: Final = 24 * 3600

_DESCRIPTION: Final = """The ledger of a loyalty programme: members, points, orders, redemptions.

Points are integers; money is a string of digits with at most two decimals. Times are RFC 3339
with their offset. Every POST that writes takes an `Idempotency-Key`; every error is a problem
document (RFC 9457) with a stable `code`.
"""

_HEADERS: Final[dict[str, dict[str, Any]]] = {
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "description": "Sent again with the same request, it gets the first answer again.",
        "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
    },
    "IfMatch": {
        "name": "If-Match",
        "description": "Refuse, unless the member still has this version.",
        "schema": {"type": "string", "pattern": '^("[0-9]{1,18}"|[0-9]{1,18}|\\*)$'},
    },
    "MinPosition": {
        "name": "X-Min-Position",
        "description": "The same as `min_position`.",
        "schema": {"type": "integer", "minimum": 0, "maximum": LARGEST_POSITION},
    },
    "RequestId": {
        "name": "X-Request-Id",
        "description": "Up to 64 visible characters; answered, logged, and kept with the events.",
        "schema": {"type": "string"},
    },
}


class IdConverter(BaseConverter):
    """An id in a path; what can't be an id is not found."""

    regex = ID_PATTERN


class Api(flask_smorest.Api):  # type: ignore[misc]
    """flask-smorest's collector of endpoints, with our errors instead of its own."""

    ERROR_SCHEMA = answers.Problem

    def _register_error_handlers(self) -> None:
        """Ours stand in `problems`."""

    def _register_responses(self) -> None:
        """Each operation names its own errors (`blueprint.contract`)."""


def make_api(app: Flask, version: str) -> Api:
    """The collector, to which the blueprints are then registered."""
    app.url_map.converters["id"] = IdConverter
    spec_kwargs = {
        "title": "Jifen",
        "version": version,
        "openapi_version": "3.1.0",
        "info": {"description": _DESCRIPTION},
    }
    api = Api(app, spec_kwargs=spec_kwargs)
    api.register_converter(IdConverter, lambda _: {"type": "string", "pattern": f"^{ID_PATTERN}$"})
    components = api.spec.components
    components.security_scheme("key", {"type": "http", "scheme": "bearer"})
    components.schema("Problem", schema=answers.Problem)
    components.schema("Batch", schema=schemas.BatchSchema)
    for name, header in _HEADERS.items():
        components.parameter(name, "header", {"required": False, **header})
    return api


def register_docs(app: Flask, api: Api) -> None:
    """Serve /openapi.json and /docs, once every blueprint is registered."""
    document = msgspec.json.encode(api.spec.to_dict())
    ui_folder = Path(str(files("flask_swagger_ui"))) / "dist"
    own_folder = Path(__file__).with_name("static")

    @app.get("/openapi.json")
    def openapi() -> Response:
        return Response(document, content_type="application/json")

    # Only these two lead elsewhere: a person types them, and has no body to lose on the way.
    @app.get("/")
    @app.get("/docs/")
    def to_docs() -> WerkzeugResponse:
        return redirect("/docs")

    @app.get("/docs")
    def docs() -> Response:
        response = Response(render_template("docs.html"), content_type="text/html; charset=utf-8")
        response.headers["Content-Security-Policy"] = _POLICY
        return response

    @app.get(f"/docs/<any({', '.join(repr(name) for name in (*_UI_FILES, *_OWN_FILES))}):name>")
    def docs_file(name: str) -> Response:
        folder = ui_folder if name in _UI_FILES else own_folder
        return send_from_directory(folder, name, max_age=_DAY_SECONDS)
