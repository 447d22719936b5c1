"""Members, orders, redemptions, refunds: what a till does (role `pos`)."""

from __future__ import annotations

from typing import Any, Final

from flask import Response, g

from api import answers, schemas
from api.blueprint import Blueprint, contract
from api.paging import cursor_after, last_before
from api.service import service
from api.writing import asked, json_response, write
from ledger.errors import Refusal
from ledger.requests import Accrue, Activity, Capture, Enrol, Redeem, Refund, Release, UseBenefit

blueprint = Blueprint("till", __name__, url_prefix="/v1", description="What a till does.")

_EARNING: Final = ["not_found", "already_recorded", "member_frozen", "member_closed"]
_ENDING: Final = ["not_found", "reservation_over"]


@blueprint.post("/members")
@contract(roles=["pos"], refuses=["already_recorded", "not_found", "not_eligible"], keyed=True)
@blueprint.arguments(schemas.EnrolmentSchema)
@blueprint.response(201, answers.EnrolmentAnswer)
def enrol(body: dict[str, Any]) -> Response:
    """Enrol a member.

    Everything is optional; without a `member_id` the service makes one. Names, phone numbers and
    the like are kept apart from the ledger, where they can be erased.

    `referral_code` is the referrer's. One that nobody has is `not_found`; with one that does not
    count (`referral.reason` says why) the member is enrolled all the same.
    """
    return write(Enrol(**body))


@blueprint.get("/members")
@contract(roles=["pos", "service", "finance"])
@blueprint.arguments(schemas.MemberSearch, location="query")
@blueprint.response(200, answers.MembersAnswer)
def find_members(query: dict[str, Any]) -> Response:
    """Find members by phone, e-mail, external id or referral code."""
    ledger = service().ledger
    limit, cursor = query.pop("limit"), query.pop("cursor", None)
    query.pop("min_position", None)
    after = last_before(cursor) if cursor is not None else None
    found = ledger.find_members(**query, limit=limit + 1, after=after)
    page = found[:limit]
    more = len(found) > limit
    return json_response(
        {
            "members": [ledger.member(member_id) for member_id in page],
            "next_cursor": cursor_after(page[-1]) if more else None,
        }
    )


@blueprint.get("/members/<id:member_id>")
@contract(roles=["service", "finance", "pos"], refuses=["not_found"])
@blueprint.arguments(schemas.MemberQuery, location="query")
@blueprint.response(200, answers.MemberAnswer)
def member(query: dict[str, Any], member_id: str) -> Response:
    """A member, now or as it stood.

    `as_of` goes by when things happened, `known_at` by when the ledger learned them. Role `pos`
    may ask only for now.
    """
    as_of, known_at = query.get("as_of"), query.get("known_at")
    ledger = service().ledger
    if as_of is None and known_at is None:
        return json_response(ledger.member(member_id))
    if g.actor.role == "pos":
        raise Refusal(
            "forbidden", "Leave out as_of and known_at, or use a key with the role service."
        )
    return json_response(ledger.replay(member_id, as_of=as_of, known_at=known_at))


@blueprint.post("/quotes")
@contract(roles=["pos"], refuses=_EARNING)
@blueprint.arguments(schemas.AccrualSchema)
@blueprint.response(200, answers.QuoteAnswer)
def quote(body: dict[str, Any]) -> Response:
    """What an order would earn, and how much of it points could pay. Books nothing."""
    return json_response(service().ledger.preview(asked(Accrue(**body))))


@blueprint.post("/accruals")
@contract(roles=["pos"], refuses=[*_EARNING, "not_eligible", "reservation_over"], keyed=True)
@blueprint.arguments(
    schemas.AccrualSchema,
    example={
        "member_id": "m-1001",
        "order_id": "o-77",
        "amount": "148.60",
        "store_id": "s-12",
        "channel": "store",
    },
)
@blueprint.response(201, answers.AccrualAnswer)
def accrue(body: dict[str, Any]) -> Response:
    """Record an order and grant what it earns.

    The points of the breakdown's rows add up to `points`: it can be read out to a customer.
    `issued` names the coupons that the order brought.
    """
    return write(Accrue(**body))


@blueprint.post("/activities")
@contract(roles=["pos"], refuses=_EARNING, keyed=True)
@blueprint.arguments(
    schemas.ActivitySchema,
    example={"member_id": "m-1001", "activity": "check_in", "activity_id": "a-1"},
)
@blueprint.response(201, answers.ActivityAnswer)
def do_activity(body: dict[str, Any]) -> Response:
    """Record a check-in, a share, a review or the like, and grant what it earns.

    Over a cap it is recorded and earns 0; `reason` says over which.
    """
    return write(Activity(**body))


@blueprint.get("/members/<id:member_id>/benefits")
@contract(roles=["pos", "service"], refuses=["not_found"])
@blueprint.arguments(schemas.Query, location="query")
@blueprint.response(200, answers.BenefitsAnswer)
def benefits(query: dict[str, Any], member_id: str) -> Response:
    """What the member is entitled to by tier, level and segment, and how often still."""
    return json_response(service().ledger.benefits(member_id))


@blueprint.post("/members/<id:member_id>/benefits")
@contract(
    roles=["pos", "service"], refuses=[*_EARNING, "not_eligible", "limit_reached"], keyed=True
)
@blueprint.arguments(schemas.BenefitUseSchema)
@blueprint.response(201, answers.BenefitUseAnswer)
def use_benefit(body: dict[str, Any], member_id: str) -> Response:
    """Record that the member used a benefit."""
    return write(UseBenefit(member_id=member_id, **body))


@blueprint.post("/redemptions")
@contract(
    roles=["pos"],
    refuses=[
        *_EARNING,
        "insufficient_points",
        "below_minimum",
        "not_a_multiple",
        "over_order_share",
        "limit_reached",
        "not_eligible",
    ],
    keyed=True,
)
@blueprint.arguments(schemas.RedemptionSchema)
@blueprint.response(201, answers.RedemptionAnswer)
def redeem(body: dict[str, Any]) -> Response:
    """Spend points, or set them aside with `reserve` until the payment is complete."""
    return write(Redeem(**body))


@blueprint.get("/redemptions/<id:redemption_id>")
@contract(roles=["pos", "service"], refuses=["not_found"])
@blueprint.arguments(schemas.Query, location="query")
@blueprint.response(200, answers.RedemptionAnswer)
def redemption(query: dict[str, Any], redemption_id: str) -> Response:
    """A redemption; a reservation past its time shows as lapsed, recorded or not."""
    return json_response(service().ledger.redemption(redemption_id))


@blueprint.post("/redemptions/<id:redemption_id>/capture")
@contract(roles=["pos"], refuses=[*_ENDING, "not_a_multiple", "below_minimum"], keyed=True)
@blueprint.arguments(schemas.CaptureSchema)
@blueprint.response(200, answers.RedemptionAnswer)
def capture(body: dict[str, Any], redemption_id: str) -> Response:
    """Spend a reservation: all of it, or the first-drawn `points`; the rest goes back."""
    return write(Capture(redemption_id=redemption_id, **body))


@blueprint.post("/redemptions/<id:redemption_id>/release")
@contract(roles=["pos"], refuses=_ENDING, keyed=True)
@blueprint.arguments(schemas.EmptySchema)
@blueprint.response(200, answers.RedemptionAnswer)
def release(body: dict[str, Any], redemption_id: str) -> Response:
    """Give a reservation up: its points go back to the lots they came from."""
    return write(Release(redemption_id=redemption_id))


@blueprint.post("/refunds")
@contract(
    roles=["pos"], refuses=["not_found", "already_recorded", "refund_exceeds_order"], keyed=True
)
@blueprint.arguments(schemas.RefundSchema)
@blueprint.response(201, answers.RefundAnswer)
def refund(body: dict[str, Any]) -> Response:
    """Give back the whole or a part of an order: restores what it spent, takes what it earned."""
    return write(Refund(**body))
