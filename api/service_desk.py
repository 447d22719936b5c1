"""History, replay, adjustments, freezing: what the service desk does (role `service`)."""

from __future__ import annotations

from typing import Any, Final

from flask import Response

from api import answers, schemas
from api.access import remaining_wait, required_position
from api.adjustments import adjustment
from api.blueprint import Blueprint, contract
from api.service import service
from api.writing import json_response, write
from ledger.errors import Refusal
from ledger.requests import (
    Adjust,
    ApproveAdjustment,
    Close,
    Freeze,
    RejectAdjustment,
    Unfreeze,
)
from projections.history import VIEW, history_page
from projections.positions import wait_for

blueprint = Blueprint(
    "service desk", __name__, url_prefix="/v1", description="What the service desk does."
)

_DECIDING: Final = ["not_found", "already_recorded", "approval_required", "insufficient_points"]


@blueprint.get("/members/<id:member_id>/history")
@contract(roles=["service"], refuses=["not_found"])
@blueprint.arguments(schemas.HistoryQuery, location="query")
@blueprint.response(200, answers.HistoryAnswer)
def history(query: dict[str, Any], member_id: str) -> Response:
    """The whole life of an account: every change with its before and after, in version order.

    The answer has seen what the member's account held when it was asked, or, if the view is too
    far behind, what it has seen so far; with `min_position` it never answers with less.
    """
    ledger = service().ledger
    query.pop("min_position", None)
    required = required_position()
    own: int = ledger.member(member_id)["position"]
    wanted = max(required, own)
    seen = wait_for(ledger.database, VIEW.name, wanted, remaining_wait())
    if required and not seen:
        raise Refusal(
            "view_behind", f"The history has not seen position {wanted} yet; ask again in a moment."
        )
    return json_response(history_page(ledger.database, member_id, **query))


@blueprint.get("/members/<id:member_id>/replay")
@contract(roles=["service"], refuses=["not_found"])
@blueprint.arguments(schemas.ReplayQuery, location="query")
@blueprint.response(200, answers.MemberAnswer)
def replay(query: dict[str, Any], member_id: str) -> Response:
    """The member as of a version, rebuilt from events alone."""
    return json_response(service().ledger.replay(member_id, version=query["version"]))


@blueprint.post("/members/<id:member_id>/adjustments")
@contract(
    roles=["service"],
    refuses=["not_found", "already_recorded", "insufficient_points", "member_closed"],
    keyed=True,
)
@blueprint.arguments(schemas.AdjustmentSchema)
@blueprint.response(201, answers.AdjustmentAnswer)
@blueprint.response(202, answers.AdjustmentAnswer)
def adjust(body: dict[str, Any], member_id: str) -> Response:
    """Give or take points by hand, with a reason.

    Over the programme's limit it answers 202 and waits for the approval of a second person.
    """
    return write(Adjust(member_id=member_id, **body))


@blueprint.get("/adjustments/<id:adjustment_id>")
@contract(roles=["service"], refuses=["not_found"])
@blueprint.arguments(schemas.Query, location="query")
@blueprint.response(200, answers.AdjustmentRead)
def read_adjustment(query: dict[str, Any], adjustment_id: str) -> Response:
    """An adjustment, booked, waiting or rejected: what a second person decides on."""
    return json_response(adjustment(service().ledger, adjustment_id))


@blueprint.post("/adjustments/<id:adjustment_id>/approve")
@contract(roles=["service"], refuses=_DECIDING, keyed=True)
@blueprint.arguments(schemas.EmptySchema)
@blueprint.response(200, answers.AdjustmentAnswer)
def approve(body: dict[str, Any], adjustment_id: str) -> Response:
    """The second person's yes; the key must not be the one that asked."""
    return write(ApproveAdjustment(adjustment_id=adjustment_id))


@blueprint.post("/adjustments/<id:adjustment_id>/reject")
@contract(roles=["service"], refuses=_DECIDING, keyed=True)
@blueprint.arguments(schemas.DecisionSchema)
@blueprint.response(200, answers.AdjustmentAnswer)
def reject(body: dict[str, Any], adjustment_id: str) -> Response:
    """The second person's no."""
    return write(RejectAdjustment(adjustment_id=adjustment_id, **body))


@blueprint.post("/members/<id:member_id>/freeze")
@contract(roles=["service"], refuses=["not_found", "member_frozen", "member_closed"], keyed=True)
@blueprint.arguments(schemas.ReasonSchema)
@blueprint.response(200, answers.MemberAnswer)
def freeze(body: dict[str, Any], member_id: str) -> Response:
    """Stop a member's earning and redeeming; refunds, releases and expiry still work."""
    return write(Freeze(member_id=member_id, **body))


@blueprint.post("/members/<id:member_id>/unfreeze")
@contract(roles=["service"], refuses=["not_found", "member_closed"], keyed=True)
@blueprint.arguments(schemas.ReasonSchema)
@blueprint.response(200, answers.MemberAnswer)
def unfreeze(body: dict[str, Any], member_id: str) -> Response:
    """Let a frozen member earn and redeem again."""
    return write(Unfreeze(member_id=member_id, **body))


@blueprint.post("/members/<id:member_id>/close")
@contract(roles=["service"], refuses=["not_found", "member_closed"], keyed=True)
@blueprint.arguments(schemas.ReasonSchema)
@blueprint.response(200, answers.MemberAnswer)
def close(body: dict[str, Any], member_id: str) -> Response:
    """End a membership for good."""
    return write(Close(member_id=member_id, **body))
