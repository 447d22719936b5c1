"""How the tests call the API, and what they expect of every refusal."""

from __future__ import annotations

import itertools
import re
from typing import Any

import jsonschema_rs
import requests
from flask.testing import FlaskClient
from werkzeug.exceptions import HTTPException
from werkzeug.test import TestResponse

from ledger.ledger import Ledger
from projections.runner import catch_up


class Document:
    """The served OpenAPI document, by which every answer to a test is checked."""

    def __init__(self, client: FlaskClient) -> None:
        self._app = client.application
        self._document = client.get("/openapi.json").json or {}
        self._validators: dict[str, jsonschema_rs.Validator] = {}

    def check(self, answer: TestResponse) -> None:
        """The status, the content type and the body are those that the document names."""
        rule = self._app.url_map.bind("").match
        request = answer.request
        try:
            found, _ = rule(request.path, method=request.method, return_rule=True)
        except HTTPException:
            return
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", found.rule)
        operation = self._document["paths"].get(path, {}).get(request.method.lower())
        if operation is None:
            return
        where = f"{request.method} {path}"
        responses = operation["responses"]
        assert str(answer.status_code) in responses, f"{where}: {answer.status_code}"
        content = responses[str(answer.status_code)]["content"]
        media_type = str(answer.mimetype)
        assert media_type in content, f"{where}: {media_type}"
        if media_type in ("application/json", "application/problem+json"):
            body = answer.json or {}
            self._validator(content[media_type]["schema"]).validate(body)
            if answer.status_code >= 400:
                described = responses[str(answer.status_code)]["description"]
                assert f"`{body['code']}`" in described, f"{where}: {body['code']}"

    def _validator(self, schema: dict[str, Any]) -> jsonschema_rs.Validator:
        name = str(schema)
        if name not in self._validators:
            whole = {**schema, "components": self._document["components"]}
            self._validators[name] = jsonschema_rs.Draft202012Validator(whole)
        return self._validators[name]


class Api:
    """A client with a key for each role, and a view of the log behind the API."""

    def __init__(self, client: FlaskClient, ledger: Ledger, keys: dict[str, str]) -> None:
        self.client = client
        self.ledger = ledger
        self.keys = keys
        self._numbers = itertools.count(1)
        self._document = Document(client)

    def call(
        self, method: str, path: str, *, role: str | None = "admin", **kwargs: Any
    ) -> TestResponse:
        """A request with the role's key; `headers` are added to it."""
        headers = dict(kwargs.pop("headers", {}))
        if role is not None:
            headers.setdefault("Authorization", f"Bearer {self.keys[role]}")
        answer = self.client.open(path, method=method, headers=headers, **kwargs)
        self._document.check(answer)
        return answer

    def get(self, path: str, role: str | None = "admin", **kwargs: Any) -> TestResponse:
        """GET with the role's key."""
        return self.call("GET", path, role=role, **kwargs)

    def post(
        self, path: str, body: Any = None, role: str | None = "admin", **kwargs: Any
    ) -> TestResponse:
        """POST `body` as JSON with the role's key."""
        if body is not None:
            kwargs["json"] = body
        return self.call("POST", path, role=role, **kwargs)

    def position(self) -> int:
        """The last position of the log."""
        return self.ledger.last_position()

    def name(self, prefix: str) -> str:
        """An id that no other test has."""
        return f"{prefix}-{next(self._numbers)}"

    def member(self, **more: Any) -> str:
        """A new member's id."""
        member_id = self.name("m")
        answer = self.post("/v1/members", {"member_id": member_id, **more})
        assert answer.status_code == 201, answer.text
        return member_id

    def member_with(self, points: int) -> str:
        """A new member who has earned so many points."""
        member_id = self.member()
        order = {"member_id": member_id, "order_id": self.name("o"), "amount": f"{points}.00"}
        assert self.post("/v1/accruals", order).status_code == 201
        return member_id

    def available(self, member_id: str) -> int:
        """A member's available points."""
        answer = self.get(f"/v1/members/{member_id}").json
        assert answer is not None
        return int(answer["balance"]["available"])

    def catch_up(self) -> None:
        """Have the views see the whole log."""
        catch_up(self.ledger.database)


class Served:
    """The API on a port of its own."""

    def __init__(self, address: str, keys: dict[str, str]) -> None:
        self.address = address
        self.keys = keys

    def session(self, role: str = "admin") -> requests.Session:
        """A connection of its own, with the role's key; no proxy stands between."""
        session = requests.Session()
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer {self.keys[role]}"
        return session


def problem_of(response: TestResponse | requests.Response) -> dict[str, Any]:
    """The problem document of a refused request, checked for its form (RFC 9457)."""
    assert response.headers["Content-Type"] == "application/problem+json"
    found = response.json() if isinstance(response, requests.Response) else response.json
    assert isinstance(found, dict)
    assert found["status"] == response.status_code
    assert found["type"] == f"urn:jifen:problem:{found['code']}"
    assert found["request_id"] == response.headers["X-Request-Id"]
    assert found["title"]
    assert found["detail"]
    assert set(found) <= {"type", "title", "status", "detail", "code", "errors", "request_id"}
    for word in ("Traceback", "SELECT", "INSERT", "psycopg2"):
        assert word not in response.text
    return found
