"""What may come in: one schema per body and per query string, made once.

A field that is not named here is refused: a misspelt `as_off` must not answer for today.
null for an optional field means: not given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import marshmallow as ma
from marshmallow.decorators import VALIDATES_SCHEMA

from api.fields import (
    LARGEST_POINTS,
    LARGEST_POSITION,
    Answers,
    Choice,
    Day,
    Flag,
    Flags,
    Id,
    Instant,
    Money,
    OperationKey,
    QueryInstant,
    QueryPhone,
    QueryWhole,
    Several,
    Text,
    Whole,
)
from api.keys import ROLES
from ledger.errors import Refusal
from ledger.events import MEMBER_EVENTS, OrderItem
from ledger.rehearsal import MOST_REHEARSED

MOST_OPERATIONS: Final = 10_000
_MOST_ERRORS: Final = 20
_LONGEST_NAME: Final = 64


class Input(ma.Schema):
    """An object whose every field is named.

    `read` is `load` for what is right: it asks each field that is there, once, and leaves
    whatever is wrong to `load`, which finds all the errors. Some 10 µs against 50, for each order.
    """

    class Meta:
        unknown = ma.RAISE

    error_messages = {  # noqa: RUF012
        "unknown": "There is no such field here; take it out, or mend its name.",
        "type": "Give a JSON object.",
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._by_name = {
            field.data_key or name: (name, field) for name, field in self.load_fields.items()
        }
        self._required = {name for name, (_, field) in self._by_name.items() if field.required}
        self._has_more = bool(self._hooks[VALIDATES_SCHEMA]) or any(
            field.load_default is not ma.missing for field in self.load_fields.values()
        )

    def read(self, data: Any) -> Any:
        """The same as `load`, sooner. Raises `ValidationError` with every error."""
        if self._has_more or type(data) is not dict or not self._required <= data.keys():
            return self.load(data)
        found: dict[str, Any] = {}
        try:
            for name, value in data.items():
                attribute, field = self._by_name[name]
                if value is not None:
                    found[attribute] = field.deserialize(value)
                elif not field.allow_none:
                    return self.load(data)
        except (KeyError, ma.ValidationError):
            return self.load(data)
        return self.made_of(found)

    @ma.post_load
    def drop_nulls(self, data: dict[str, Any], **_: Any) -> Any:
        """null is: not given."""
        return self.made_of({name: value for name, value in data.items() if value is not None})

    def made_of(self, found: dict[str, Any]) -> Any:
        """What the fields that were given become."""
        return found


class EnrolmentSchema(Input):
    """A new member; everything is optional."""

    member_id = Id(allow_none=True)
    name = Text(200, allow_none=True)
    phone = Text(32, allow_none=True)
    email = Text(254, allow_none=True)
    external_id = Text(128, allow_none=True)
    birthday = Day(allow_none=True)
    joined_at = Instant(allow_none=True)
    referral_code = Text(
        32, allow_none=True, metadata={"description": "The code of the member who referred them."}
    )
    tags = Several(Text(64), 50, allow_none=True)
    consents = Flags(50, allow_none=True)
    store_id = Text(64, allow_none=True)
    channel = Text(64, allow_none=True)


class ItemSchema(Input):
    """A line of an order; `amount` is the line's total."""

    sku = Text(128, allow_none=True)
    product_line = Text(128, allow_none=True)
    amount = Money(allow_none=True)
    quantity = Whole(1, 1_000_000, allow_none=True)

    def made_of(self, found: dict[str, Any]) -> OrderItem:
        """The domain's own item."""
        return OrderItem(**found)


class AccrualSchema(Input):
    """An order that was paid."""

    member_id = Id(required=True)
    order_id = Id(required=True)
    amount = Money(required=True, metadata={"description": "What was paid for the order."})
    occurred_at = Instant(allow_none=True)
    store_id = Text(64, allow_none=True)
    channel = Text(64, allow_none=True)
    items = Several(ma.fields.Nested(ItemSchema), 1000, allow_none=True)
    coupon_codes = Several(Text(64), 100, allow_none=True)
    redemption_ids = Several(Id(), 100, allow_none=True)
    funded_by = Id(allow_none=True)
    referral_code = Text(32, allow_none=True)


class ActivitySchema(Input):
    """What a member did other than buying."""

    member_id = Id(required=True)
    activity = Id(required=True, metadata={"description": "Its name in the programme."})
    activity_id = Id(allow_none=True)
    occurred_at = Instant(allow_none=True)
    reference = Text(
        128,
        allow_none=True,
        metadata={"description": "What it is about: the order reviewed, the survey, the event."},
    )
    answers = Answers(
        allow_none=True,
        metadata={"description": "What the member answered; kept apart from the ledger."},
    )
    store_id = Text(64, allow_none=True)
    channel = Text(64, allow_none=True)


class BenefitUseSchema(Input):
    """One use of a benefit."""

    benefit = Id(required=True)
    use_id = Id(allow_none=True)
    occurred_at = Instant(allow_none=True)
    note = Text(500, allow_none=True)
    store_id = Text(64, allow_none=True)


class RedemptionSchema(Input):
    """Points to spend: `points` as a cash offset on an order, or a `reward_id`."""

    member_id = Id(required=True)
    redemption_id = Id(allow_none=True)
    points = Whole(1, LARGEST_POINTS, allow_none=True)
    reward_id = Id(allow_none=True)
    quantity = Whole(1, 1_000_000, allow_none=True)
    order_id = Id(allow_none=True)
    order_amount = Money(
        allow_none=True, metadata={"description": "Due after coupons, before the offset."}
    )
    reserve = Flag(allow_none=True)
    reserve_seconds = Whole(1, 7 * 24 * 3600, allow_none=True)
    occurred_at = Instant(allow_none=True)

    @ma.validates_schema
    def points_or_reward(self, data: dict[str, Any], **_: Any) -> None:
        """Either points off an order, or a reward."""
        points, reward_id = data.get("points"), data.get("reward_id")
        if (points is None) == (reward_id is None):
            raise ma.ValidationError("Give either points or reward_id.", "points")
        if points is None:
            return
        missing = [name for name in ("order_id", "order_amount") if data.get(name) is None]
        if missing:
            raise ma.ValidationError({name: ["Give it together with points."] for name in missing})


class CaptureSchema(Input):
    """How much of a reservation to spend: all of it, if not said."""

    points = Whole(1, LARGEST_POINTS, allow_none=True)


class EmptySchema(Input):
    """Nothing to say."""


class RefundSchema(Input):
    """The whole or a part of an order, given back."""

    refund_id = Id(allow_none=True)
    order_id = Id(required=True)
    amount = Money(required=True)
    occurred_at = Instant(allow_none=True)


class AdjustmentSchema(Input):
    """Points given (positive) or taken (negative) by hand."""

    adjustment_id = Id(allow_none=True)
    points = Whole(-LARGEST_POINTS, LARGEST_POINTS, required=True)
    reason = Text(500, required=True)
    note = Text(2000, allow_none=True)
    occurred_at = Instant(allow_none=True)

    @ma.validates_schema
    def not_zero(self, data: dict[str, Any], **_: Any) -> None:
        """An adjustment of nothing is a mistake."""
        if data.get("points") == 0:
            raise ma.ValidationError("Give a number other than 0.", "points")


class ReasonSchema(Input):
    """Why staff did it."""

    reason = Text(500, required=True)


class DecisionSchema(Input):
    """Why, if there is more to say than yes or no."""

    reason = Text(500, allow_none=True)


class OperationSchema(Input):
    """One operation of a batch; `body` is that of the endpoint of the same name."""

    op = Choice("enrol", "accrue", "activity", "redeem", "refund", required=True)
    key = OperationKey(
        allow_none=True, metadata={"description": "That operation's idempotency key."}
    )
    body = ma.fields.Raw(
        required=True,
        metadata={"type": "object"},
        error_messages={"required": "Give this field."},
    )


class Operations(Several):
    """A list whose entries are judged one by one, each for itself."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[Any]:
        if type(value) is list and len(value) <= self.most:
            return value
        raise ma.ValidationError(f"Give a list of at most {self.most} operations.")


class BatchSchema(Input):
    """Operations, each of which stands alone."""

    operations = Operations(ma.fields.Nested(OperationSchema), MOST_OPERATIONS, required=True)


class JobRunSchema(Input):
    """The moment as of which the job does what is due: now, if not said."""

    as_of = Instant(allow_none=True)


class KeySchema(Input):
    """A new API key."""

    name = Text(64, required=True)
    roles = Several(Choice(*ROLES), len(ROLES), required=True)


# Query strings


class Query(Input):
    """What every GET takes."""

    min_position = QueryWhole(
        0,
        LARGEST_POSITION,
        metadata={"description": "Answer only from what has seen this place in the log."},
    )


class PageQuery(Query):
    """What every list takes."""

    limit = QueryWhole(1, 1000, load_default=100)
    cursor = Text(200)


class MemberQuery(Query):
    """The moment a member is asked for."""

    as_of = QueryInstant(metadata={"description": "As it stood at this moment."})
    known_at = QueryInstant(metadata={"description": "As far as was known at this moment."})


class MemberSearch(PageQuery):
    """How a member is found: by one of these."""

    phone = QueryPhone(32)
    email = Text(254)
    external_id = Text(128)
    referral_code = Text(32)

    @ma.validates_schema
    def by_one(self, data: dict[str, Any], **_: Any) -> None:
        """A list of all members is not offered to tills."""
        if len(data.keys() & {"phone", "email", "external_id", "referral_code"}) != 1:
            raise ma.ValidationError(
                "Give one of phone, email, external_id, referral_code.", "phone"
            )


class HistoryQuery(PageQuery):
    """Which part of a member's history."""

    order = Choice("asc", "desc", load_default="asc")
    start = QueryInstant(data_key="from", metadata={"description": "occurred_at ≥ this."})
    end = QueryInstant(data_key="to", metadata={"description": "occurred_at < this."})
    kind = Choice(*(event.TOPIC for event in MEMBER_EVENTS))


class ReplayQuery(Query):
    """The version to rebuild."""

    version = QueryWhole(1, LARGEST_POSITION, required=True)


class ProgrammeQuery(Query):
    """The moment whose rules are asked for: now, if not said."""

    at = QueryInstant()


class PublishQuery(Input):
    """From when the rules hold: now, if not said."""

    effective_at = QueryInstant()


class CheckQuery(PublishQuery):
    """From when the rules would hold, and on how many orders and activities they are tried."""

    orders = QueryWhole(0, MOST_REHEARSED, load_default=1000)


def invalid_request(messages: Any) -> Refusal:
    """The refusal for what marshmallow found: each field by its dotted path."""
    errors: dict[str, list[str]] = {}
    _flatten(messages, "", errors)
    return Refusal("invalid_request", f"Mend {', '.join(errors)}; see errors.", errors)


def _flatten(messages: Any, path: str, errors: dict[str, list[str]]) -> None:
    if len(errors) >= _MOST_ERRORS:
        return
    if isinstance(messages, Mapping):
        for name, inner in messages.items():
            if name == "_schema":
                _flatten(inner, path, errors)
            else:
                # A name comes from outside: it may be long, and even unsayable in UTF-8.
                shown = str(name)[:_LONGEST_NAME].encode("utf-8", "replace").decode("utf-8")
                _flatten(inner, f"{path}.{shown}" if path else shown, errors)
    else:
        sentences = [messages] if isinstance(messages, str) else [str(each) for each in messages]
        errors.setdefault(path or "body", []).extend(sentences)
