"""The quick way of reading a body accepts and refuses exactly what marshmallow does."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import marshmallow as ma
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api import schemas
from api.schemas import Input, invalid_request
from ledger.events import OrderItem

SCHEMAS = [
    schemas.EnrolmentSchema(),
    schemas.AccrualSchema(),
    schemas.RedemptionSchema(),
    schemas.RefundSchema(),
    schemas.AdjustmentSchema(),
    schemas.OperationSchema(),
    schemas.CaptureSchema(),
]
NAMES = sorted({name for schema in SCHEMAS for name in schema.fields} | {"unknown", ""})

values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 10**12),
    st.floats(allow_nan=False),
    st.text(max_size=5),
    st.sampled_from(["m-1", "148.60", "2026-05-01T12:00:00+08:00", "1990-05-04", "accrue"]),
    st.lists(st.one_of(st.integers(), st.sampled_from(["m-1", {"sku": "A1", "amount": "1.00"}]))),
    st.dictionaries(st.sampled_from(["sms", "amount"]), st.one_of(st.booleans(), st.text())),
)
bodies = st.one_of(values, st.dictionaries(st.sampled_from(NAMES), values, max_size=6))
GOOD = {
    "member_id": "m-1",
    "order_id": "o-1",
    "amount": "148.60",
    "reason": "goodwill",
    "points": 5,
    "op": "accrue",
    "body": {},
}


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: type(schema).__name__)
@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(body=bodies, over=st.dictionaries(st.sampled_from(NAMES), values, max_size=2))
def test_both_ways_of_reading_accept_and_refuse_the_same(
    schema: Input, body: Any, over: dict[str, Any]
) -> None:
    for tried in (body, {**only(schema, GOOD), **only(schema, over)}):
        assert outcome(schema.read, tried) == outcome(schema.load, tried)


def test_what_is_read_is_as_the_domain_wants_it() -> None:
    item = {"sku": "A1", "amount": "100", "quantity": None}
    read = schemas.AccrualSchema().read({**only(schemas.AccrualSchema(), GOOD), "items": [item]})
    assert str(read["amount"]) == "148.60"
    assert read["items"] == [OrderItem(sku="A1", amount=Decimal("100.00"))]
    assert str(read["items"][0].amount) == "100.00"


def only(schema: Input, body: dict[str, Any]) -> dict[str, Any]:
    """What of the body the schema knows."""
    return {name: value for name, value in body.items() if name in schema.fields}


def outcome(read: Any, body: Any) -> Any:
    """What a way of reading makes of the body, or refuses it for."""
    try:
        return read(body)
    except ma.ValidationError as error:
        return invalid_request(error.messages).errors
