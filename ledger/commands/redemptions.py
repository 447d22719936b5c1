"""Points spent or set aside: redeem, capture, release (PROGRAMME 4)."""

from __future__ import annotations

from ledger import requests as r
from ledger.answers import Answer, balance_answer, redemption_answer
from ledger.case import Case, Decided
from ledger.codes import new_id
from ledger.errors import Refusal
from ledger.member import Circumstances, Member, redeeming, reserving
from ledger.store.records import Entry


def redeem(case: Case, command: r.Redeem) -> Decided:
    member = case.member(command.member_id)
    order = case.unit.entry("order", command.order_id) if command.order_id else None
    if order is not None and order.member_id != member.member_id:
        raise Refusal("not_eligible", f"Order {command.order_id!r} is another member's.")
    at = case.at(command.occurred_at)
    redemption_id = command.redemption_id or new_id("r")
    takes_over = command.order_id is not None and other_payer(case, member, command.order_id)
    redeeming.redeem(member, command, redemption_id, at)
    if takes_over and command.order_id is not None:
        case.unit.reassign("payer", command.order_id, member.member_id)
    if command.order_id is not None and case.unit.entry("payer", command.order_id) is None:
        case.unit.remember(Entry("payer", command.order_id, member.member_id))
    return 201, _redemption(member, redemption_id, at), member


def other_payer(case: Case, member: Member, order_id: str) -> bool:
    """Whether another member had redeemed for the order, and has given it all up.

    An order is one member's: what its points are limited by and restored to (4.1, 5.3). Raises
    `Refusal` while another member's points pay, or are set aside, for it.
    """
    payer = case.unit.entry("payer", order_id)
    if payer is None or payer.member_id == member.member_id:
        return False
    for redemption in case.unit.redemptions_for(order_id, payer.member_id):
        until = redemption.reserved_until
        waits = redemption.status == "reserved" and until is not None and until > case.now
        if waits or redemption.status == "redeemed":
            raise Refusal(
                "not_eligible",
                f"Another member's points pay for order {order_id!r}: release them first.",
            )
    return True


def _redemption(member: Member, redemption_id: str, at: Circumstances) -> Answer:
    redemption = member.redemptions.find(redemption_id)
    assert redemption is not None
    # An answer shows what it did, even where late data made a reservation that is over by now;
    # its balance is that of now, as everywhere.
    answer = redemption_answer(redemption, member, at.programme, min(at.now, at.occurred_at))
    return answer | {"balance": balance_answer(member.balance(at.today))}


def capture(case: Case, command: r.Capture) -> Decided:
    member = case.owner_of("redemption", command.redemption_id)
    at = case.at(None)
    redemption = member.redemptions.find(command.redemption_id)
    if redemption is None or redemption.status != "redeemed" or not redemption.reserved_points:
        reserving.capture(member, command, at)
    elif command.points not in (None, redemption.points):
        raise Refusal(
            "reservation_over", f"Reservation {command.redemption_id!r} was captured otherwise."
        )
    return 200, _redemption(member, command.redemption_id, at), member


def release(case: Case, command: r.Release) -> Decided:
    member = case.owner_of("redemption", command.redemption_id)
    at = case.at(None)
    reserving.release(member, command, at)
    return 200, _redemption(member, command.redemption_id, at), member
