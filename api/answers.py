"""How the answers look: what the OpenAPI document says of them. Nothing here runs.

The bodies come ready from the ledger and the views (API.md).
"""

from __future__ import annotations

from typing import Any, Final

import marshmallow as ma
from marshmallow import fields

from ledger.errors import STATUS_OF_CODE

_MONEY: Final = {"pattern": r"^-?[0-9]+\.[0-9]{2}$", "examples": ["148.60"]}


class Answer(ma.Schema):
    """An object of an answer; more fields may be added to it."""

    class Meta:
        unknown = ma.INCLUDE


def text(required: bool = True, **kwargs: Any) -> fields.String:
    """A string that is always there."""
    return fields.String(required=required, **kwargs)


def text_or_null(required: bool = True, **kwargs: Any) -> fields.String:
    """A string or null."""
    return fields.String(required=required, allow_none=True, **kwargs)


def whole(required: bool = True) -> fields.Integer:
    """An integer."""
    return fields.Integer(required=required)


def money() -> fields.String:
    """An amount, always with two decimals."""
    return fields.String(required=True, metadata=_MONEY)


def moment() -> fields.String:
    """A time in the programme's time zone."""
    return fields.String(required=True, metadata={"format": "date-time"})


def moment_or_null() -> fields.String:
    """A time in the programme's time zone, or null."""
    return fields.String(required=True, allow_none=True, metadata={"format": "date-time"})


def day_or_null() -> fields.String:
    """A local date, or null."""
    return fields.String(required=True, allow_none=True, metadata={"format": "date"})


class Problem(Answer):
    """Why a request was not carried out (RFC 9457). A refused request changed nothing."""

    type = text(metadata={"description": "A name for the kind of problem, by its code."})
    title = text()
    status = whole()
    detail = text(metadata={"description": "What to do about it."})
    code = text(metadata={"enum": sorted(STATUS_OF_CODE), "description": "Stable; decide by it."})
    errors = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.String()),
        metadata={"description": "Field by dotted path, and what to mend in it."},
    )
    request_id = text()


class Balance(Answer):
    """What an account holds, in points."""

    available = whole()
    pending = whole()
    reserved = whole()
    debt = whole()


class Lot(Answer):
    """The points of one grant, with one expiry."""

    lot_id = text()
    source = text()
    order_id = text_or_null()
    granted = whole()
    remaining = whole()
    status = text()
    earned_at = moment()
    expires_on = day_or_null()
    funded_by = text_or_null()
    pending_until = day_or_null()


class Tier(Answer):
    """A member's tier."""

    code = text()
    since = day_or_null()
    until = day_or_null()
    extended = fields.Boolean(required=True)


class Totals(Answer):
    """A member's life in sums, by events alone."""

    spend = money()
    orders = whole()
    repurchases = whole()
    granted = whole()
    restored = whole()
    redeemed = whole()
    expired = whole()
    clawed_back = whole()
    adjusted = whole()


class MissingToTier(Answer):
    """What is missing to the next tier."""

    code = text()
    missing_spend = money()
    missing_repurchases = whole()
    summary = text()
    summary_zh = text()


class GraceExtension(Answer):
    """What is missing so that the tier is prolonged at least."""

    missing_repurchases = whole()
    months = whole()


class KeepingTier(MissingToTier):
    """What is missing to keep the tier, and by when."""

    by = day_or_null()
    extension = fields.Nested(GraceExtension, required=True, allow_none=True)


class Progress(Answer):
    """To the next tier, and to keep this one; null where there is nothing to do."""

    next = fields.Nested(MissingToTier, required=True, allow_none=True)
    keep = fields.Nested(KeepingTier, required=True, allow_none=True)


class MemberAnswer(Answer):
    """A member with points account."""

    member_id = text()
    status = text()
    joined_at = moment()
    referral_code = text()
    tier = fields.Nested(Tier, required=True, allow_none=True)
    level = text_or_null()
    segment = text_or_null()
    lifecycle = text_or_null()
    progress = fields.Nested(Progress, required=True)
    balance = fields.Nested(Balance, required=True)
    lots = fields.List(fields.Nested(Lot), required=True)
    totals = fields.Nested(Totals, required=True)
    flags = fields.List(
        fields.String(),
        required=True,
        metadata={"description": "Guard rails that have tripped, by the names of their settings."},
    )
    version = whole()
    position = whole()


class Benefit(Answer):
    """A benefit that the member has, and how often it may still be used."""

    benefit = text()
    name = text()
    name_zh = text()
    because = text(metadata={"description": "The tier, level or segment that has it."})
    times = fields.Integer(required=True, allow_none=True)
    every = text(metadata={"enum": ["year", "month", "life"]})
    used = whole()
    remaining = fields.Integer(
        required=True, allow_none=True, metadata={"description": "null: without limit."}
    )
    period_until = day_or_null()


class BenefitsAnswer(Answer):
    """All that a member is entitled to now."""

    member_id = text()
    benefits = fields.List(fields.Nested(Benefit), required=True)
    after_sales_days = fields.Integer(
        required=True, allow_none=True, metadata={"description": "Days to return an order."}
    )
    next_cursor = text_or_null()


class BenefitUseAnswer(Benefit):
    """A benefit after one more use."""

    use_id = text()
    member_id = text()
    occurred_at = moment()
    position = whole()
    version = whole()


class ReferralJudged(Answer):
    """What became of the referral code that was given."""

    status = text(metadata={"enum": ["accepted", "refused"]})
    reason = text_or_null(metadata={"description": "Why it was refused, or brought no reward."})


def judged_referral() -> fields.Nested:
    """What became of the code; null where none was given."""
    return fields.Nested(ReferralJudged, required=True, allow_none=True)


class EnrolmentAnswer(MemberAnswer):
    """The new member, and what joining brought."""

    issued = fields.List(fields.Dict(), required=True)
    referral = judged_referral()


class MembersAnswer(Answer):
    """A page of members."""

    members = fields.List(fields.Nested(MemberAnswer), required=True)
    next_cursor = text_or_null()


class BreakdownRow(Answer):
    """One row of the explanation of a grant."""

    rule = text()
    points = whole()
    base = fields.String(metadata=_MONEY)
    rate = fields.String()
    multiplier = fields.String()
    name = fields.String(allow_none=True, metadata={"description": "A campaign's name."})
    name_zh = fields.String(allow_none=True)


class GrantedLot(Answer):
    """The lot that a grant made."""

    lot_id = text()
    granted = whole()
    expires_on = day_or_null()
    status = text(metadata={"enum": ["pending", "active"]})
    pending_until = day_or_null()


class QuotedLot(Answer):
    """The lot that a grant would make."""

    granted = whole()
    expires_on = day_or_null()
    status = text(metadata={"enum": ["pending", "active"]})
    pending_until = day_or_null()


class TierAfter(Answer):
    """The tier after a write, and whether it changed it."""

    code = text()
    changed = fields.Boolean(required=True)
    from_ = text_or_null(required=False, data_key="from")


class CashOffset(Answer):
    """How much of the order points could pay."""

    max_points = whole()
    max_amount = money()


class QuoteAnswer(Answer):
    """What an order would earn."""

    points = whole()
    breakdown = fields.List(fields.Nested(BreakdownRow), required=True)
    usable_coupons = fields.List(fields.Dict(), required=True)
    cash_offset = fields.Nested(CashOffset, required=True)
    programme_version = whole()
    lot = fields.Nested(QuotedLot, required=True, allow_none=True)
    issues = fields.List(
        fields.String(),
        required=True,
        metadata={"description": "Templates of the coupons that the order would bring."},
    )
    tier = fields.Nested(TierAfter, required=True, allow_none=True)
    referral = judged_referral()
    next_tier = fields.Nested(MissingToTier, required=True, allow_none=True)
    summary = text(metadata={"description": "How the points come about, in English."})
    summary_zh = text(metadata={"description": "The same in Chinese."})


class AccrualAnswer(Answer):
    """What an order earned, and why."""

    order_id = text()
    member_id = text()
    points = whole()
    occurred_at = moment()
    breakdown = fields.List(fields.Nested(BreakdownRow), required=True)
    programme_version = whole()
    lot = fields.Nested(GrantedLot, required=True, allow_none=True)
    balance = fields.Nested(Balance, required=True)
    tier = fields.Nested(TierAfter, required=True, allow_none=True)
    issued = fields.List(fields.Dict(), required=True)
    referral = judged_referral()
    summary = text(metadata={"description": "The entry's sentence in English."})
    summary_zh = text(metadata={"description": "The same in Chinese."})
    position = whole()
    version = whole()


class ActivityAnswer(Answer):
    """What an activity earned, and why; over a cap `reason` says which."""

    activity_id = text()
    member_id = text()
    activity = text()
    reference = text_or_null()
    occurred_at = moment()
    points = whole()
    reason = text_or_null()
    breakdown = fields.List(fields.Nested(BreakdownRow), required=True)
    programme_version = whole()
    lot = fields.Nested(GrantedLot, required=True, allow_none=True)
    balance = fields.Nested(Balance, required=True)
    issued = fields.List(fields.Dict(), required=True)
    summary = text()
    summary_zh = text()
    position = whole()
    version = whole()


class DrawnLot(Answer):
    """Points drawn from one lot."""

    lot_id = text()
    points = whole()


class RedemptionAnswer(Answer):
    """Points spent, or set aside."""

    redemption_id = text()
    member_id = text()
    status = text(metadata={"enum": ["reserved", "redeemed", "released", "lapsed"]})
    points = whole()
    value = money()
    lots_drawn = fields.List(fields.Nested(DrawnLot), required=True)
    reserved_until = moment_or_null()
    balance = fields.Nested(Balance, required=True)
    position = whole()
    version = whole()


class RefundAnswer(Answer):
    """What a refund took back and gave back."""

    refund_id = text()
    order_id = text()
    member_id = text()
    amount = money()
    points_clawed_back = whole()
    points_restored = whole()
    debt = whole()
    balance = fields.Nested(Balance, required=True)
    reinstated_coupons = fields.List(fields.String(), required=True)
    voided_coupons = fields.List(fields.String(), required=True)
    position = whole()
    version = whole()


class OperationResult(Answer):
    """What came of one operation: the status and body that the endpoint would answer."""

    key = text_or_null()
    status = whole()
    body = fields.Dict(required=True)
    replayed = fields.Boolean(metadata={"description": "true: the first answer again."})


class BatchAnswer(Answer):
    """What came of each operation, in the order of the request."""

    results = fields.List(fields.Nested(OperationResult), required=True)
    succeeded = whole()
    failed = whole()


class ActorAnswer(Answer):
    """Who did it: the name of the API key, and the role it acted in."""

    key = text()
    role = text()


class HistoryEntry(Answer):
    """One change of an account, with before and after."""

    position = whole()
    version = whole()
    event = text()
    occurred_at = moment()
    recorded_at = moment()
    points = whole()
    balance_before = fields.Nested(Balance, required=True)
    balance_after = fields.Nested(Balance, required=True)
    order_id = text_or_null()
    activity_id = text_or_null()
    code = text_or_null(metadata={"description": "A coupon's."})
    redemption_id = text_or_null()
    refund_id = text_or_null()
    adjustment_id = text_or_null()
    lot_id = text_or_null()
    summary = text_or_null()
    summary_zh = text_or_null()
    breakdown = fields.List(fields.Nested(BreakdownRow), required=True)
    actor = fields.Nested(ActorAnswer, required=True)
    channel = text_or_null()
    request_id = text_or_null()
    corrects = fields.Integer(required=True, allow_none=True)


class HistoryAnswer(Answer):
    """A page of a member's history."""

    entries = fields.List(fields.Nested(HistoryEntry), required=True)
    next_cursor = text_or_null()
    incomplete = fields.Boolean(
        metadata={"description": "true: an event was set aside; rebuild the view, then trust it."}
    )


class AdjustmentAnswer(Answer):
    """What an adjustment did, or that it waits for a second person."""

    adjustment_id = text()
    member_id = text()
    points = whole()
    status = text(metadata={"enum": ["booked", "waiting", "rejected"]})
    balance = fields.Nested(Balance, required=True)
    position = whole()
    version = whole()


class AdjustmentRead(Answer):
    """An adjustment: what was asked for, by whom, and what a second person decided."""

    adjustment_id = text()
    member_id = text()
    points = whole()
    reason = text()
    note = text_or_null()
    occurred_at = moment()
    status = text(metadata={"enum": ["booked", "waiting", "rejected"]})
    requested_by = text(metadata={"description": "The name of the API key that asked."})
    requested_at = moment()
    decided_by = text_or_null(
        metadata={"description": "The name of the key that decided; null: nobody had to, or yet."}
    )
    decided_at = moment_or_null()
    decision_reason = text_or_null()
    position = whole()
    version = whole()


class ProgrammeAnswer(Answer):
    """A version of the programme: when it counts, and its whole rule set."""

    version = whole()
    effective_at = moment()
    recorded_at = moment()
    programme = fields.Dict(required=True)


class PublishedAnswer(Answer):
    """A version of the programme that was published."""

    version = whole()
    effective_at = moment()
    programme = text()
    position = whole()


class ChangedSetting(Answer):
    """A setting that differs between two rule sets; null where it is not there."""

    path = text()
    old = fields.Raw(required=True, allow_none=True)
    new = fields.Raw(required=True, allow_none=True)


class RehearsedExample(Answer):
    """An order or activity that would earn differently."""

    member_id = text()
    id = text()
    about = text()
    points_before = whole()
    points_after = whole()
    summary_before = text()
    summary_after = text()


class Rehearsed(Answer):
    """What orders or activities would earn, before and after."""

    rehearsed = whole()
    first_at = moment_or_null()
    last_at = moment_or_null()
    points_before = whole()
    points_after = whole()
    members = whole()
    members_with_more = whole()
    members_with_less = whole()
    examples = fields.List(fields.Nested(RehearsedExample), required=True)


class BeforeAndAfter(Answer):
    """A date by the rules in force, and by the new ones."""

    before = day_or_null()
    after = day_or_null()


class CheckAnswer(Answer):
    """What a rule set would change."""

    programme = text()
    compared_with = fields.Integer(
        required=True, metadata={"description": "The version in force then."}
    )
    effective_at = moment()
    changes = fields.List(fields.Nested(ChangedSetting), required=True)
    orders = fields.Nested(Rehearsed, required=True)
    activities = fields.Nested(Rehearsed, required=True)
    earned_then_is_good_through = fields.Nested(BeforeAndAfter, required=True)


class Job(Answer):
    """A job of the timetable."""

    name = text()
    description = text()


class JobsAnswer(Answer):
    """The jobs."""

    jobs = fields.List(fields.Nested(Job), required=True)
    next_cursor = text_or_null()


class JobRunAnswer(Answer):
    """One run of a job; `affected` counts the items changed."""

    run_id = text()
    job = text()
    as_of = moment()
    status = text()
    affected = whole()


class KeyAnswer(Answer):
    """An API key; `key` itself is in the answer that made it, and never again."""

    id = text()
    name = text()
    roles = fields.List(fields.String(), required=True)
    created_at = moment()
    revoked_at = moment_or_null()


class NewKeyAnswer(KeyAnswer):
    """An API key with its secret, which is shown this once: a repeat answers without it."""

    key = text(required=False)


class KeysAnswer(Answer):
    """A page of API keys."""

    keys = fields.List(fields.Nested(KeyAnswer), required=True)
    next_cursor = text_or_null()
