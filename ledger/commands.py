"""Each command, from the request to the answer: whose it is, what repeats it, what it answers.

A command with an id of the caller's is protected by that id for ever, and any command by its
idempotency key: the same content gets the first answer, other content a refusal (API.md).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import msgspec

from ledger import requests as r
from ledger.answers import (
    Answer,
    accrual_answer,
    balance_answer,
    breakdown_answer,
    drawn_answer,
    member_answer,
    redemption_answer,
    time_text,
)
from ledger.errors import InvalidRequest, NotFound, Refusal
from ledger.events import Meta, OrderRefunded, PointsClawedBack, PointsRestored
from ledger.member import Circumstances, Member
from ledger.money import exact, plain
from ledger.programme.model import Programme
from ledger.programme.versions import ProgrammeHistory
from ledger.store.unit_of_work import Entry, KnownKey, Needs, Reference, UnitOfWork, stream_of

CLOCK_SKEW: Final = timedelta(minutes=5)
"""How far ahead of the ledger's clock a till's may be (API.md, conventions)."""

EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""Nothing that a till reports happened before."""

_CODE_LETTERS: Final = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
_CODE_LENGTH: Final = 6

Commands = Callable[["Case", Any], tuple[int, Answer, Member]]


class Elsewhere(Exception):  # noqa: N818
    """The command is about a member who was not locked in this transaction: decide it again."""


class Case:
    """One request being decided, with all that deciding may ask for."""

    def __init__(
        self, unit: UnitOfWork, request: r.Request, programmes: ProgrammeHistory, now: datetime
    ) -> None:
        self.unit = unit
        self.request = request
        self.programmes = programmes
        self.now = now

    def at(self, occurred_at: datetime | None) -> Circumstances:
        """The circumstances of something that occurred then (None: now)."""
        if occurred_at is None:
            occurred_at = self.now
        elif occurred_at > self.now + CLOCK_SKEW:
            raise InvalidRequest(
                "occurred_at", "The time lies in the future: send when it happened."
            )
        elif occurred_at < EARLIEST:
            raise InvalidRequest("occurred_at", "The time lies before 1970: send when it happened.")
        meta = Meta(self.request.actor, self.request.request_id)
        return Circumstances(occurred_at, self.now, meta, self.programmes.at(occurred_at))

    def member(self, member_id: str) -> Member:
        """The member, in the version that the caller expects."""
        member = self.unit.member(member_id)
        if member is None:
            raise NotFound("member", member_id)
        return self.as_expected(member)

    def owner_of(self, kind: str, name: str) -> Member:
        """The member to whom an order, redemption or adjustment belongs."""
        entry = self.unit.entry(kind, name)
        if entry is None:
            raise NotFound(kind, name)
        member = self.unit.member(entry.member_id)
        if member is None:
            raise Elsewhere
        return self.as_expected(member)

    def as_expected(self, member: Member) -> Member:
        """The member, if it stands at the version that If-Match names."""
        expected = self.request.expected_version
        if expected is not None and member.state.version != expected:
            raise Refusal(
                "version_mismatch",
                f"Member {member.member_id!r} is at version {member.state.version}, "
                f"not {expected}: read it again.",
            )
        return member


def needs_of(requests: list[r.Request]) -> Needs:
    """All that these requests name, to be locked and read at once."""
    needs = Needs()
    for request in requests:
        command = request.command
        if isinstance(command, r.Refund):
            needs.owners = True
        if request.idempotency_key is not None:
            needs.keys.add((request.key_scope, request.idempotency_key))
        member_id = getattr(command, "member_id", None)
        if member_id is not None:
            needs.members.add(member_id)
        needs.entries.update(_entries_of(command, member_id))
        needs.owners = needs.owners or member_id is None
        if isinstance(command, r.Redeem | r.Adjust) and member_id is not None:
            needs.drawing.add(member_id)
    return needs


def _entries_of(command: r.Command, member_id: str | None) -> list[Reference]:
    entries = []
    business = business_id(command)
    if business is not None:
        entries.append(business)
    match command:
        case r.Refund():
            entries.append(("order", command.order_id))
        case r.Accrue():
            entries += [("redemption", name) for name in command.redemption_ids]
            entries.append(("payer", command.order_id))
        case r.Redeem() if command.order_id is not None:
            entries.append(("spending", f"{command.order_id}/{member_id}"))
            entries.append(("order", command.order_id))
            entries.append(("payer", command.order_id))
        case r.Capture() | r.Release():
            entries.append(("redemption", command.redemption_id))
        case r.ApproveAdjustment() | r.RejectAdjustment():
            entries.append(("adjustment", command.adjustment_id))
    return entries


def business_id(command: r.Command) -> Reference | None:
    """The id of the caller's that protects the command for ever."""
    match command:
        case r.Enrol() if command.member_id is not None:
            return ("member", command.member_id)
        case r.Accrue():
            return ("order", command.order_id)
        case r.Redeem() if command.redemption_id is not None:
            return ("redemption", command.redemption_id)
        case r.Refund() if command.refund_id is not None:
            return ("refund", command.refund_id)
        case r.Adjust() if command.adjustment_id is not None:
            return ("adjustment", command.adjustment_id)
        case r.Capture():
            return ("capture", command.redemption_id)
        case r.Release():
            return ("release", command.redemption_id)
        case r.ApproveAdjustment() | r.RejectAdjustment():
            return ("decision", command.adjustment_id)
    return None


def decide(case: Case) -> r.Outcome:
    """Answer a request: again, if it was answered before; else by its command.

    Raises `Elsewhere`, and `Refusal` only if events were triggered before the refusal: the
    transaction must then be given up.
    """
    request = case.request
    known = known_answer(case)
    if known is not None:
        return known
    fingerprint = request.command.fingerprint()
    try:
        outcome = _decide_once(case, fingerprint)
    except Refusal as refusal:
        if case.unit.has_untaken_events():
            raise
        outcome = r.Outcome(refusal.status, refusal.body())
    remember_key(case, outcome, fingerprint)
    return outcome


def known_answer(case: Case) -> r.Outcome | None:
    """The first answer to the request's idempotency key, if it was used before."""
    request = case.request
    if request.idempotency_key is None:
        return None
    key = case.unit.key(request.key_scope, request.idempotency_key)
    if key is None:
        return None
    if key.fingerprint != request.command.fingerprint():
        refusal = Refusal(
            "idempotency_key_reused",
            "This Idempotency-Key was used for another request: use a new one.",
        )
        return r.Outcome(refusal.status, refusal.body())
    if key.entry is not None:
        entry = case.unit.entry(*key.entry)
        if entry is not None:
            return _first_answer(entry)
    return _first_answer(key)


def remember_key(case: Case, outcome: r.Outcome, fingerprint: bytes) -> None:
    """Keep the answer under the request's idempotency key, a refusal too.

    Whatever was decided is an answer; only what the caller can mend without a new decision (a
    changed version) is not.
    """
    request = case.request
    if request.idempotency_key is None or outcome.status == 412:
        return
    key = KnownKey(request.key_scope, request.idempotency_key, fingerprint, outcome.status)
    business = business_id(request.command)
    entry = case.unit.entry(*business) if business is not None else None
    if outcome.status < 400 and entry is not None and entry.fingerprint == fingerprint:
        key.entry = business
    else:
        key.answer = msgspec.json.encode(outcome.body).decode()
        if outcome.last_event is not None:
            key.stream_id, key.version = outcome.last_event
    case.unit.remember_key(key)


def _decide_once(case: Case, fingerprint: bytes) -> r.Outcome:
    command = case.request.command
    business = business_id(command)
    if business is not None:
        entry = case.unit.entry(*business)
        if entry is not None and entry.answer is not None:
            if entry.fingerprint == fingerprint:
                return _first_answer(entry)
            return _other_content(case, entry)
    status, body, member = _COMMANDS[type(command)](case, command)
    count = case.unit.take_events(member)
    body["version"] = member.state.version
    if business is None:
        business = _own_id(command, body)
    if not count:
        # Nothing changed: the answer's place is that of the member's last event.
        return r.Outcome(
            status, body, last_event=(stream_of(member.member_id), member.state.version)
        )
    last = case.unit.events[-1]
    if business is not None:
        case.unit.remember(
            Entry(
                kind=business[0],
                id=business[1],
                member_id=member.member_id,
                fingerprint=fingerprint,
                status=status,
                answer=msgspec.json.encode(body).decode(),
                stream_id=last.originator_id,
                version=last.originator_version,
            )
        )
    return r.Outcome(status, body, last_event=(last.originator_id, last.originator_version))


def _own_id(command: r.Command, body: Answer) -> Reference | None:
    """The id that the service made for an object of the caller's."""
    match command:
        case r.Enrol():
            return ("member", body["member_id"])
        case r.Redeem():
            return ("redemption", body["redemption_id"])
        case r.Refund():
            return ("refund", body["refund_id"])
        case r.Adjust():
            return ("adjustment", body["adjustment_id"])
    return None


def _other_content(case: Case, entry: Entry) -> r.Outcome:
    """The same id with other content: refused; a capture or release as its reservation is."""
    command = case.request.command
    if isinstance(command, r.Capture):
        redemption = case.owner_of("redemption", command.redemption_id).redemptions.find(
            command.redemption_id
        )
        if redemption is not None and command.points in (None, redemption.points):
            whole = redemption.points == redemption.reserved_points
            if whole or command.points is not None:
                return _first_answer(entry)
        raise Refusal(
            "reservation_over", f"Reservation {command.redemption_id!r} was captured otherwise."
        )
    raise Refusal(
        "already_recorded",
        f"The {entry.kind} {entry.id!r} is recorded with other content: send it as the first time, "
        "or under a new id.",
    )


def _first_answer(known: Entry | KnownKey) -> r.Outcome:
    body: Answer = msgspec.json.decode(known.answer or "{}")
    last_event = None
    if known.stream_id is not None and known.version is not None:
        last_event = (known.stream_id, known.version)
        body["position"] = known.position
    return r.Outcome(known.status or 200, body, replayed=True, last_event=last_event)


# The commands


def _enrol(case: Case, command: r.Enrol) -> tuple[int, Answer, Member]:
    member_id = command.member_id or _new_id("m")
    if case.unit.member(member_id) is not None:
        raise Refusal("already_recorded", f"Member {member_id!r} is enrolled already.")
    at = case.at(command.joined_at)
    referrer = _referrer(case, command.referral_code)
    member = Member.enrol(
        member_id, _new_referral_code(), referrer, at, command.store_id, command.channel
    )
    case.unit.add_member(member, command)
    return 201, member_answer(member, at.programme, case.now), member


def _referrer(case: Case, code: str | None) -> str | None:
    if code is None:
        return None
    referrer = case.unit.member_of_referral_code(code)
    if referrer is None:
        raise InvalidRequest("referral_code", "No member has this referral code.")
    return referrer


def _new_referral_code() -> str:
    return "".join(secrets.choice(_CODE_LETTERS) for _ in range(_CODE_LENGTH))


def _new_id(prefix: str) -> str:
    return f"{prefix}-{secrets.token_hex(10)}"


def _accrue(case: Case, command: r.Accrue) -> tuple[int, Answer, Member]:
    at = case.at(command.occurred_at)
    member = case.unit.member(command.member_id)
    if member is None and (command.enrol_unknown or at.programme.auto_enrol):
        member = Member.enrol(
            command.member_id, _new_referral_code(), None, at, command.store_id, command.channel
        )
        case.unit.add_member(member)
    elif member is None:
        raise NotFound("member", command.member_id)
    if command.coupon_codes:
        raise NotFound("coupon", command.coupon_codes[0])
    _other_payer(case, member, command.order_id)
    event = case.as_expected(member).accrue(command, at)
    return 201, accrual_answer(event, member, at.programme, at.today), member


def quote(case: Case, command: r.Accrue) -> Answer:
    """What the order would earn and what could be redeemed on it; books nothing."""
    at = case.at(command.occurred_at)
    member = case.member(command.member_id)
    member.must_be_active()
    member.lapse_due(at, at.now)
    earned = member.quote(command, at)
    available = member.balance(at.today).available
    used = member.redeemed_value(command.order_id)
    points = _most_cash_offset(available, command.amount, used, at.programme)
    return {
        "points": earned.points,
        "breakdown": breakdown_answer(earned.breakdown),
        "programme_version": at.version.number,
        "usable_coupons": [],
        "cash_offset": {
            "max_points": points,
            "max_amount": plain(at.programme.points_value(points)),
        },
    }


def _most_cash_offset(available: int, amount: Decimal, used: Decimal, programme: Programme) -> int:
    """The most further points that may pay for an order of this amount (4.1)."""
    rules = programme.redemption
    if rules is None or not programme.points.value:
        return 0
    share = exact(rules.max_order_share) if rules.max_order_share else exact(1)
    left = max(exact(0), exact(amount) * share - exact(used))
    by_order = int(left / exact(programme.points.value))
    points = min(available, by_order) // rules.step * rules.step
    return points if points >= max(rules.min, 1) else 0


def _redeem(case: Case, command: r.Redeem) -> tuple[int, Answer, Member]:
    member = case.member(command.member_id)
    order = case.unit.entry("order", command.order_id) if command.order_id else None
    if order is not None and order.member_id != member.member_id:
        raise Refusal("not_eligible", f"Order {command.order_id!r} is another member's.")
    at = case.at(command.occurred_at)
    redemption_id = command.redemption_id or _new_id("r")
    if command.order_id is not None and _other_payer(case, member, command.order_id):
        case.unit.reassign("payer", command.order_id, member.member_id)
    member.redeem(command, redemption_id, at)
    if command.order_id is not None and case.unit.entry("payer", command.order_id) is None:
        case.unit.remember(Entry("payer", command.order_id, member.member_id))
    return 201, _redemption(member, redemption_id, at), member


def _other_payer(case: Case, member: Member, order_id: str) -> bool:
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


def _capture(case: Case, command: r.Capture) -> tuple[int, Answer, Member]:
    member = case.owner_of("redemption", command.redemption_id)
    at = case.at(None)
    redemption = member.redemptions.find(command.redemption_id)
    if redemption is None or redemption.status != "redeemed" or not redemption.reserved_points:
        member.capture(command, at)
    elif command.points not in (None, redemption.points):
        raise Refusal(
            "reservation_over", f"Reservation {command.redemption_id!r} was captured otherwise."
        )
    return 200, _redemption(member, command.redemption_id, at), member


def _release(case: Case, command: r.Release) -> tuple[int, Answer, Member]:
    member = case.owner_of("redemption", command.redemption_id)
    at = case.at(None)
    member.release(command, at)
    return 200, _redemption(member, command.redemption_id, at), member


def _not_before_order(case: Case, member: Member, order_id: str) -> datetime | None:
    """Now; or the order's own time, where a till's clock is ahead of the ledger's."""
    order = member.orders.find(order_id)
    return order.occurred_at if order is not None and order.occurred_at > case.now else None


def _refund(case: Case, command: r.Refund) -> tuple[int, Answer, Member]:
    member = case.owner_of("order", command.order_id)
    if command.member_id not in (None, member.member_id):
        raise Refusal("not_eligible", f"Order {command.order_id!r} is another member's.")
    at = case.at(command.occurred_at or _not_before_order(case, member, command.order_id))
    refund_id = command.refund_id or _new_id("rf")
    member.refund(command, refund_id, at)
    answer: Answer = {
        "refund_id": refund_id,
        "order_id": command.order_id,
        "member_id": member.member_id,
        "amount": plain(command.amount),
        "refunded": plain(command.amount),
        "occurred_at": time_text(at.occurred_at, at.programme),
        "points_clawed_back": 0,
        "points_restored": 0,
        "debt": 0,
        "waived": 0,
        "balance": balance_answer(member.balance(at.today)),
        "reinstated_coupons": [],
    }
    for event in member.new_events:
        match event:
            case OrderRefunded():
                answer["refunded"] = plain(event.refunded)
            case PointsRestored():
                answer["points_restored"] = event.points
            case PointsClawedBack():
                answer["points_clawed_back"] = event.points - event.waived
                answer["debt"] = event.debt
                answer["waived"] = event.waived
    return 201, answer, member


def _adjust(case: Case, command: r.Adjust) -> tuple[int, Answer, Member]:
    member = case.member(command.member_id)
    at = case.at(command.occurred_at)
    adjustment_id = command.adjustment_id or _new_id("a")
    limit = at.programme.limits.adjustment_needs_approval_over
    if limit and abs(command.points) > limit:
        member.request_adjustment(command, adjustment_id, _who(case), at)
        return 202, _adjustment(member, adjustment_id, command.points, "waiting", at), member
    event = member.adjust(adjustment_id, command.points, command.reason, command.note, at)
    answer = _adjustment(member, adjustment_id, command.points, "booked", at)
    answer["lots_drawn"] = drawn_answer(event.lots_drawn)
    return 201, answer, member


def _approve(case: Case, command: r.ApproveAdjustment) -> tuple[int, Answer, Member]:
    member = case.owner_of("adjustment", command.adjustment_id)
    waiting = member.waiting_adjustment(command.adjustment_id, _who(case))
    at = case.at(waiting.effective_at)
    event = member.adjust(
        waiting.adjustment_id, waiting.points, waiting.reason, waiting.note, at, approved=True
    )
    answer = _adjustment(member, waiting.adjustment_id, waiting.points, "booked", at)
    answer["lots_drawn"] = drawn_answer(event.lots_drawn)
    return 200, answer, member


def _reject(case: Case, command: r.RejectAdjustment) -> tuple[int, Answer, Member]:
    member = case.owner_of("adjustment", command.adjustment_id)
    waiting = member.waiting_adjustment(command.adjustment_id, _who(case))
    at = case.at(None)
    member.reject_adjustment(command, at)
    return 200, _adjustment(member, waiting.adjustment_id, waiting.points, "rejected", at), member


def _who(case: Case) -> str:
    """The key that asks; two people have two keys."""
    return case.request.key_scope or case.request.actor.key


def _adjustment(
    member: Member, adjustment_id: str, points: int, status: str, at: Circumstances
) -> Answer:
    return {
        "adjustment_id": adjustment_id,
        "member_id": member.member_id,
        "points": points,
        "status": status,
        "balance": balance_answer(member.balance(at.today)),
    }


def _freeze(case: Case, command: r.Freeze) -> tuple[int, Answer, Member]:
    member, at = case.member(command.member_id), case.at(None)
    member.freeze(command, at)
    return 200, member_answer(member, at.programme, case.now), member


def _unfreeze(case: Case, command: r.Unfreeze) -> tuple[int, Answer, Member]:
    member, at = case.member(command.member_id), case.at(None)
    member.unfreeze(command, at)
    return 200, member_answer(member, at.programme, case.now), member


def _close(case: Case, command: r.Close) -> tuple[int, Answer, Member]:
    member, at = case.member(command.member_id), case.at(None)
    member.close(command, at)
    return 200, member_answer(member, at.programme, case.now), member


def _expire(case: Case, command: r.ExpirePoints) -> tuple[int, Answer, Member]:
    member, at = case.member(command.member_id), case.at(None)
    affected = member.expire_due(command.as_of, at)
    return 200, {"member_id": member.member_id, "affected": affected}, member


def _lapse(case: Case, command: r.LapseReservations) -> tuple[int, Answer, Member]:
    member, at = case.member(command.member_id), case.at(None)
    affected = member.lapse_due(at, command.as_of)
    return 200, {"member_id": member.member_id, "affected": affected}, member


_COMMANDS: Final[dict[type[r.Command], Commands]] = {
    r.Enrol: _enrol,
    r.Accrue: _accrue,
    r.Redeem: _redeem,
    r.Capture: _capture,
    r.Release: _release,
    r.Refund: _refund,
    r.Adjust: _adjust,
    r.ApproveAdjustment: _approve,
    r.RejectAdjustment: _reject,
    r.Freeze: _freeze,
    r.Unfreeze: _unfreeze,
    r.Close: _close,
    r.ExpirePoints: _expire,
    r.LapseReservations: _lapse,
}
