"""From a request to its outcome: whose it is, and what repeats it.

A command with an id of the caller's is protected by that id for ever, and any command by its
idempotency key: the same content gets the first answer, other content a refusal (API.md).
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from ledger import requests as r
from ledger.answers import Answer
from ledger.case import Case
from ledger.codes import as_typed
from ledger.commands import COMMANDS
from ledger.days import months_before
from ledger.errors import Refusal
from ledger.store.records import Entry, KnownKey, Needs, Reference, stream_of
from ledger.store.unit_of_work import UnitOfWork


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
            # With it comes the referrer whom a full refund takes the reward from (2.7).
            entries += [("order", command.order_id), ("referral", command.order_id)]
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
        case r.ReviewTiers() | r.ReviewLevels():
            entries += [("month", f"{name}/{member_id}") for name in months_before(command.as_of)]
    return entries


def referrers_missing(unit: UnitOfWork, requests: Iterable[r.Request]) -> set[str]:
    """Referrers whom first orders among the requests reward, as far as they are not locked (2.7).

    Found for all requests at once, so that a batch of them is decided again only once.
    """
    found: set[str] = set()
    codes_at_enrolment: dict[str | None, str] = {}
    for request in requests:
        command = request.command
        if isinstance(command, r.Enrol) and command.referral_code is not None:
            codes_at_enrolment[command.member_id] = command.referral_code
        if not isinstance(command, r.Accrue):
            continue
        member = unit.member(command.member_id)
        if member is not None and member.state.first_order_id is not None:
            continue
        referrer = member.state.referrer_id if member is not None else None
        code = command.referral_code or codes_at_enrolment.get(command.member_id)
        if referrer is None and code is not None:
            referrer = unit.member_of_referral_code(as_typed(code))
        if referrer is not None and unit.member(referrer) is None:
            found.add(referrer)
    return found


def business_id(command: r.Command) -> Reference | None:
    """The id of the caller's that protects the command for ever."""
    match command:
        case r.Enrol() if command.member_id is not None:
            return ("member", command.member_id)
        case r.Accrue():
            return ("order", command.order_id)
        case r.Activity() if command.activity_id is not None:
            return ("activity", command.activity_id)
        case r.UseBenefit() if command.use_id is not None:
            return ("use", command.use_id)
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
    status, body, member = COMMANDS[type(command)](case, command)
    count = case.unit.take_events(member)
    for other in case.others:
        case.unit.take_events(other)
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
        case r.Activity():
            return ("activity", body["activity_id"])
        case r.UseBenefit():
            return ("use", body["use_id"])
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
