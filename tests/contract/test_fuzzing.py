"""Schemathesis reads the served document and tries what it allows, and what it does not."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from calling import Api
from flask import Flask
from hypothesis import HealthCheck, given, settings
from schemathesis import APIOperation, GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.result import Ok
from schemathesis.generation.case import Case

from api.fields import LARGEST_POSITION

load_all_checks()

EXAMPLES_OF_EACH_OPERATION = 10

LEFT_OUT = {
    # A schema can't say all of it: a time in the future, a coupon that is not there.
    "positive_data_acceptance",
    # Those of several requests in a row: tests of their own have them.
    "use_after_free",
    "ensure_resource_availability",
    "ignored_auth",
    "object_level_authorization",
}


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_the_api_answers_as_its_document_says(app: Flask, api: Api, mode: GenerationMode) -> None:
    """No 500, no undocumented status or type, no answer that breaks its own schema."""
    document = schemathesis.openapi.from_wsgi("/openapi.json", app)
    tried = 0
    for found in document.get_all_operations():
        assert isinstance(found, Ok), found
        tried += _try(found.ok(), mode, api)
    assert tried > 200


def _try(operation: APIOperation[Any, Any, Any, Any], mode: GenerationMode, api: Api) -> int:
    headers = {"Authorization": f"Bearer {api.keys['admin']}"}
    # A bad operation in a batch fails alone: the batch itself is answered 200.
    left_out = LEFT_OUT | ({"negative_data_rejection"} if "batches" in operation.path else set())
    checks: Any = [check for check in CHECKS.get_all() if check.__name__ not in left_out]
    tried = 0

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=EXAMPLES_OF_EACH_OPERATION,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    def holds(case: Case[Any]) -> None:
        nonlocal tried
        tried += 1
        _ask_for_no_position(case)
        case.call_and_validate(headers=headers, checks=checks)

    holds()
    return tried


def _ask_for_no_position(case: Case[Any]) -> None:
    """A position that will never come would only be waited for."""
    for place, name in ((case.query, "min_position"), (case.headers, "X-Min-Position")):
        given: Any = place.get(name) if place else None
        if place is not None and str(given).isdigit() and int(given) <= LARGEST_POSITION:
            place[name] = "0"
