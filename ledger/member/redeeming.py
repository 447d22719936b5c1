"""Points spent on an order, or set aside for it (PROGRAMME 4.1, 4.3, 4.4)."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from math import floor

from ledger import events as e
from ledger import requests as r
from ledger.errors import InvalidRequest, Refusal
from ledger.member.aggregate import Member
from ledger.member.circumstances import Circumstances
from ledger.member.drawing import correct_expiries, drawn_from, plan_redemption
from ledger.member.settling import settle
from ledger.member.status import must_be_active
from ledger.money import ZERO, exact
from ledger.programme.sections import RedemptionRules


def redeem(
    member: Member, command: r.Redeem, redemption_id: str, at: Circumstances
) -> e.PointsReserved | e.PointsRedeemed:
    """Spend points on an order, or set them aside for it (4.1, 4.3, 4.4)."""
    must_be_active(member)
    settle(member, at)
    points, order_id, amount = _cash_offset(command)
    rules = at.programme.redemption
    if rules is None:
        raise Refusal("not_eligible", "This programme has no cash offset.")
    _check_multiple(points, rules)
    value = at.programme.points_value(points)
    must_not_be_refunded(member, order_id)
    _check_order_share(member, value, order_id, amount, rules)
    draws = plan_redemption(member, points, at)
    correct_expiries(member, draws, at)
    drawn = drawn_from(draws)
    event: e.PointsReserved | e.PointsRedeemed
    if command.reserve:
        seconds = command.reserve_seconds or rules.reserve_seconds
        event = e.PointsReserved(
            occurred_at=at.occurred_at,
            meta=at.meta,
            redemption_id=redemption_id,
            points=points,
            value=value,
            lots_drawn=drawn,
            reserved_until=at.occurred_at + timedelta(seconds=seconds),
            programme_version=at.version.number,
            order_id=order_id,
            order_amount=amount,
        )
    else:
        event = e.PointsRedeemed(
            occurred_at=at.occurred_at,
            meta=at.meta,
            redemption_id=redemption_id,
            points=points,
            value=value,
            lots_drawn=drawn,
            programme_version=at.version.number,
            order_id=order_id,
            order_amount=amount,
        )
    member.trigger(event)
    return event


def _check_order_share(
    member: Member, value: Decimal, order_id: str, amount: Decimal, rules: RedemptionRules
) -> None:
    """All redemptions of an order together pay at most a share of it (4.1)."""
    share = exact(rules.max_order_share) if rules.max_order_share else exact(1)
    # Down to the cent: a cent rounded up would let points pay more than the share.
    limit = Decimal(floor(exact(amount) * share * 100)).scaleb(-2)
    value += redeemed_value(member, order_id)
    if value > limit:
        raise Refusal(
            "over_order_share",
            f"Points can pay at most {limit} of this order of {amount}; "
            f"with this redemption they would pay {value}.",
        )


def must_not_be_refunded(member: Member, order_id: str | None) -> None:
    """What is spent on an order given back could never be restored (5.3)."""
    order = member.orders.find(order_id) if order_id is not None else None
    if order is not None and order.fully_refunded:
        raise Refusal("not_eligible", f"Order {order_id!r} is fully refunded: release the points.")


def redeemed_value(member: Member, order_id: str) -> Decimal:
    """Money that the member's points pay, or are set aside to pay, for an order."""
    spending = member.spendings.find(order_id)
    value = ZERO
    for redemption_id in spending.redemption_ids if spending else []:
        redemption = member.redemptions.find(redemption_id)
        if redemption is not None and redemption.status in ("reserved", "redeemed"):
            value += redemption.value
    return value


def _cash_offset(command: r.Redeem) -> tuple[int, str, Decimal]:
    if command.reward_id is not None:
        raise Refusal("not_on_sale", f"Reward {command.reward_id!r} is not on sale.")
    if command.points is None:
        raise InvalidRequest("points", "Give either points (cash offset) or reward_id.")
    if command.order_id is None:
        raise InvalidRequest("order_id", "A cash offset needs the order_id that it pays for.")
    if command.order_amount is None:
        raise InvalidRequest("order_amount", "A cash offset needs the order_amount due.")
    return command.points, command.order_id, command.order_amount


def _check_multiple(points: int, rules: RedemptionRules) -> None:
    """Not below the minimum, and whole multiples of the step (4.1)."""
    if points < rules.min:
        raise Refusal("below_minimum", f"Redeem {rules.min} points or more, not {points}.")
    check_step(points, rules)


def check_step(points: int, rules: RedemptionRules) -> None:
    if points % rules.step:
        raise Refusal(
            "not_a_multiple", f"Redeem whole multiples of {rules.step} points, not {points}."
        )
