"""The served OpenAPI document: valid, complete, and true."""

from __future__ import annotations

import re
from typing import Any

import pytest
from calling import Api
from flask import Flask

METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture(scope="module")
def document(api: Api) -> dict[str, Any]:
    """The served document."""
    served = api.get("/openapi.json", role=None).json
    assert isinstance(served, dict)
    return served


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Path, method and description of every operation."""
    return [
        (path, method, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    ]


def test_it_is_openapi_3_1(document: dict[str, Any]) -> None:
    import jsonschema_rs

    assert document["openapi"] == "3.1.0"
    for name, schema in document["components"]["schemas"].items():
        jsonschema_rs.meta.validate({"$defs": {name: schema}})


def test_every_endpoint_is_described(app: Flask, document: dict[str, Any]) -> None:
    served = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.rule.startswith("/v1")
    }
    assert {(path, method) for path, method, _ in operations(document)} == served


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    def references(node: Any) -> list[str]:
        if isinstance(node, dict):
            own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
            return own + [found for value in node.values() for found in references(value)]
        if isinstance(node, list):
            return [found for value in node for found in references(value)]
        return []

    for reference in references(document):
        node: Any = document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]


def test_every_operation_says_who_may_call_it_and_how_it_refuses(
    document: dict[str, Any],
) -> None:
    for path, method, operation in operations(document):
        where = f"{method} {path}"
        assert operation["summary"], where
        assert operation["x-roles"][-1] == "admin", where
        assert operation["security"] == [{"key": []}], where
        refusals = {status for status in operation["responses"] if int(status) >= 400}
        assert {"401", "403", "500", "503"} <= refusals, where
        for status in refusals:
            response = operation["responses"][status]
            assert list(response["content"]) == ["application/problem+json"], where
            assert "`" in response["description"], where


def test_every_post_that_writes_takes_an_idempotency_key(document: dict[str, Any]) -> None:
    parameters = {
        path: operation.get("parameters", [])
        for path, method, operation in operations(document)
        if method == "post"
    }
    key = {"$ref": "#/components/parameters/IdempotencyKey"}
    without = {path for path, listed in parameters.items() if key not in listed}
    assert without == {"/v1/quotes", "/v1/programme/check"}  # they write nothing


def test_money_is_a_patterned_string_and_points_are_integers(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    amount = schemas["Accrual"]["properties"]["amount"]
    assert amount["type"] == "string"
    assert re.fullmatch(amount["pattern"], "148.60")
    assert not re.fullmatch(amount["pattern"], "-1.00")
    assert schemas["Redemption"]["properties"]["points"]["type"] == ["integer", "null"]
    assert schemas["Problem"]["properties"]["code"]["type"] == "string"
    assert schemas["Accrual"]["additionalProperties"] is False


def test_the_docs_page_loads_nothing_from_other_hosts(api: Api) -> None:
    page = api.get("/docs", role=None)
    assert page.status_code == 200
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "http" not in policy
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(loaded) == 5
    for relative in loaded:
        assert "//" not in relative
        with api.get(f"/{relative}", role=None) as file:
            assert file.status_code == 200
            assert file.data


@pytest.mark.parametrize("path", ["/", "/docs/"])
def test_a_person_at_the_front_door_is_led_to_the_docs(api: Api, path: str) -> None:
    answer = api.get(path, role=None)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/docs")
    assert answer.headers["Cache-Control"] == "no-store"


def test_the_docs_page_serves_only_its_own_files(api: Api) -> None:
    for path in ("/docs/index.html", "/docs/../app.py", "/docs/%2e%2e/app.py", "/static/docs.js"):
        assert api.get(path, role=None).status_code == 404
