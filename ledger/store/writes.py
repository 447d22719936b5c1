"""What a transaction of the ledger writes beside its events: rows for all that has changed.

Pure: each function makes statements with their parameters; `ledger.store.unit_of_work` sends them
together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from typing import Any, Final

import msgspec

from ledger.events import (
    MemberEnrolled,
    PointsAccrued,
    PointsActivated,
    RecordedEvent,
    ReferrerNamed,
)
from ledger.lots import Lot
from ledger.member import Member
from ledger.parts import Redemption
from ledger.requests import Enrol
from ledger.store import statements as sql
from ledger.store.arrays import bigint_array, text_array
from ledger.store.prepared import Statement
from ledger.store.records import (
    Entry,
    KnownKey,
    Reference,
    day_text,
    entry_id,
    member_of,
    stream_of,
)

encode: Final = msgspec.json.Encoder().encode


class Changes(msgspec.Struct):
    """Everything that happened in a transaction.

    `known_entries`: what was found, or looked for in vain, of the directory. `entries` and `keys`:
    what was used here for the first time. `profiles` and `answers`: what is personal.
    """

    members: dict[str, Member] = msgspec.field(default_factory=dict)
    enrolled: set[str] = msgspec.field(default_factory=set)
    events: list[RecordedEvent] = msgspec.field(default_factory=list)
    known_entries: dict[Reference, Entry | None] = msgspec.field(default_factory=dict)
    entries: dict[Reference, Entry] = msgspec.field(default_factory=dict)
    keys: list[KnownKey] = msgspec.field(default_factory=list)
    profiles: dict[str, Enrol] = msgspec.field(default_factory=dict)
    answers: list[dict[str, Any]] = msgspec.field(default_factory=list)

    def remember(self, entry: Entry) -> None:
        """A row of the directory to be made."""
        self.entries[entry.kind, entry.id] = entry


def statements_for(changes: Changes, now: datetime) -> list[Statement]:
    """All rows to be written, in an order in which each may be."""
    return [
        *_changed_parts(changes),
        *_heads(changes),
        *_entries_to_insert(changes),
        *_changed_lots(changes),
        *_changed_pending_lots(changes),
        *_new_referrals(changes),
        *_keys_to_insert(changes, now),
        *_what_is_personal(changes),
    ]


def statements_for_rebuilt(members: Sequence[Member]) -> Iterator[Statement]:
    """All rows of members that were made anew from their events (`sql.FORGET_DERIVED` first)."""
    yield sql.UPDATE_MEMBERS, _head_rows(members)
    parts = [
        (kind, entry_id(kind, name, member.member_id), member.member_id, part)
        for member in members
        for kind, known in member.parts()
        for name, part in known.known().items()
    ]
    if parts:
        yield (
            sql.PUT_PARTS,
            {
                "kinds": text_array([kind for kind, _, _, _ in parts]),
                "ids": text_array([name for _, name, _, _ in parts]),
                "members": text_array([member_id for _, _, member_id, _ in parts]),
                "states": text_array([encode(part).decode() for _, _, _, part in parts]),
            },
        )
    lots = [(member.member_id, lot) for member in members for lot in member.lots.known()]
    if lots:
        yield sql.WRITE_LOTS, _lot_rows(lots)
    reserved = [
        (member.member_id, name, until.isoformat())
        for member in members
        for name, until in member.state.reservations.items()
    ]
    if reserved:
        yield sql.OPEN_RESERVATIONS, _dated_rows(reserved)
    pending = [
        (member.member_id, lot_id, until.isoformat())
        for member in members
        for lot_id, until in member.state.pending.items()
    ]
    if pending:
        yield sql.ADD_PENDING_LOTS, _dated_rows(pending)
    referred = [
        (member.member_id, member.state.referrer_id)
        for member in members
        if member.state.referrer_id is not None
    ]
    if referred:
        yield sql.WRITE_REFERRALS, _referral_rows(referred)


def _dated_rows(rows: Sequence[tuple[str, str, str]]) -> dict[str, Any]:
    """What of which member until when."""
    return {
        "members": text_array([member_id for member_id, _, _ in rows]),
        "ids": text_array([name for _, name, _ in rows]),
        "untils": text_array([until for _, _, until in rows]),
    }


def _referral_rows(rows: Sequence[tuple[str, str]]) -> dict[str, Any]:
    return {
        "referees": text_array([referee for referee, _ in rows]),
        "referrers": text_array([referrer for _, referrer in rows]),
    }


def _changed_parts(changes: Changes) -> Iterator[Statement]:
    """Parts that a command changed: into their new entry, or over the old one."""
    updates: list[tuple[str, str, str]] = []
    for member in changes.members.values():
        for kind, parts in member.parts():
            for name in parts.changed:
                reference = kind, entry_id(kind, name, member.member_id)
                state = encode(parts.find(name)).decode()
                new = changes.entries.get(reference)
                if new is not None:
                    new.state = state
                elif name in parts.added:
                    changes.remember(Entry(*reference, member.member_id, state=state))
                else:
                    updates.append((*reference, state))
        if "redemption" in dict(member.parts()) and member.redemptions.changed:
            yield from _changed_reservations(changes, member)
    if updates:
        yield (
            sql.UPDATE_ENTRIES,
            {
                "kinds": text_array([kind for kind, _, _ in updates]),
                "ids": text_array([name for _, name, _ in updates]),
                "states": text_array([state for _, _, state in updates]),
            },
        )


def _changed_reservations(changes: Changes, member: Member) -> Iterator[Statement]:
    opened: list[Redemption] = []
    ended: list[str] = []
    for name in member.redemptions.changed:
        redemption = member.redemptions.find(name)
        if redemption is None or redemption.reserved_until is None:
            continue
        known = changes.known_entries.get(("redemption", name)) is not None
        if redemption.status == "reserved" and not known:
            opened.append(redemption)
        elif redemption.status != "reserved" and known:
            ended.append(name)
    if opened:
        yield (
            sql.OPEN_RESERVATIONS,
            _dated_rows(
                [
                    (member.member_id, one.redemption_id, one.reserved_until.isoformat())
                    for one in opened
                    if one.reserved_until
                ]
            ),
        )
    if ended:
        yield (
            sql.END_RESERVATIONS,
            {
                "members": text_array([member.member_id] * len(ended)),
                "ids": text_array(ended),
            },
        )


def _heads(changes: Changes) -> Iterator[Statement]:
    touched = _touched(changes)
    new = [one for one in touched if one.member_id in changes.enrolled]
    old = [one for one in touched if one.member_id not in changes.enrolled]
    for statement, members in ((sql.INSERT_MEMBERS, new), (sql.UPDATE_MEMBERS, old)):
        if members:
            yield statement, _head_rows(members)


def _head_rows(members: Sequence[Member]) -> dict[str, Any]:
    return {
        "ids": text_array([one.member_id for one in members]),
        "versions": bigint_array([one.state.version for one in members]),
        "codes": text_array([one.state.referral_code for one in members]),
        "untils": text_array([_tier_until(one) for one in members]),
        "reviewed": text_array([_date_text(one.state.reviewed_on) for one in members]),
        "states": text_array([encode(one.state).decode() for one in members]),
    }


def _tier_until(member: Member) -> str | None:
    return _date_text(member.state.tier.until) if member.state.tier is not None else None


def _date_text(day: date | None) -> str | None:
    return day.isoformat() if day is not None else None


def _touched(changes: Changes) -> list[Member]:
    """Members to whom something happened."""
    streams = {event.originator_id for event in changes.events}
    return [one for one in changes.members.values() if stream_of(one.member_id) in streams]


def _entries_to_insert(changes: Changes) -> Iterator[Statement]:
    entries = list(changes.entries.values())
    if entries:
        yield (
            sql.INSERT_ENTRIES,
            {
                "kinds": text_array([entry.kind for entry in entries]),
                "ids": text_array([entry.id for entry in entries]),
                "members": text_array([entry.member_id for entry in entries]),
                "fingerprints": _fingerprints([entry.fingerprint for entry in entries]),
                "statuses": bigint_array([entry.status for entry in entries]),
                "answers": text_array([entry.answer for entry in entries]),
                "streams": text_array([entry.stream_id for entry in entries]),
                "versions": bigint_array([entry.version for entry in entries]),
                "states": text_array([entry.state for entry in entries]),
            },
        )


def _changed_lots(changes: Changes) -> Iterator[Statement]:
    lots = [
        (member.member_id, lot)
        for member in _touched(changes)
        for lot_id in member.lots.changed
        if (lot := member.lots.find(lot_id)) is not None
    ]
    if lots:
        yield sql.WRITE_LOTS, _lot_rows(lots)


def _lot_rows(lots: Sequence[tuple[str, Lot]]) -> dict[str, Any]:
    return {
        "members": text_array([member_id for member_id, _ in lots]),
        "ids": text_array([lot.lot_id for _, lot in lots]),
        "days": text_array([day_text(lot.last_day) for _, lot in lots]),
        "times": text_array([lot.earned_at.isoformat() for _, lot in lots]),
        "opens": text_array(["t" if lot.open else "f" for _, lot in lots]),
        "expireds": text_array(["t" if lot.expired else "f" for _, lot in lots]),
        "states": text_array([encode(lot).decode() for _, lot in lots]),
    }


def _changed_pending_lots(changes: Changes) -> Iterator[Statement]:
    begun: list[tuple[str, str, str]] = []
    ended: list[tuple[str, str]] = []
    for recorded in changes.events:
        event, member_id = recorded.event, member_of(recorded.originator_id)
        if isinstance(event, PointsAccrued) and event.lot and event.lot.pending_until:
            begun.append((member_id, event.lot.lot_id, event.lot.pending_until.isoformat()))
        elif isinstance(event, PointsActivated):
            ended.append((member_id, event.lot_id))
    if begun:
        yield sql.ADD_PENDING_LOTS, _dated_rows(begun)
    if ended:
        yield (
            sql.END_PENDING_LOTS,
            {
                "members": text_array([member_id for member_id, _ in ended]),
                "ids": text_array([lot_id for _, lot_id in ended]),
            },
        )


def _new_referrals(changes: Changes) -> Iterator[Statement]:
    found = [
        (member_of(recorded.originator_id), recorded.event.referrer_id)
        for recorded in changes.events
        if isinstance(recorded.event, ReferrerNamed | MemberEnrolled)
        and recorded.event.referrer_id is not None
    ]
    if found:
        yield sql.WRITE_REFERRALS, _referral_rows(found)


def _what_is_personal(changes: Changes) -> Iterator[Statement]:
    if changes.profiles:
        profiles = [
            {
                "member_id": member_id,
                "name": profile.name,
                "phone": profile.phone,
                "email": profile.email,
                "external_id": profile.external_id,
                "birthday": profile.birthday,
                "tags": profile.tags,
                "consents": profile.consents,
            }
            for member_id, profile in changes.profiles.items()
        ]
        yield sql.WRITE_PROFILES, {"profiles": encode(profiles).decode()}
    if changes.answers:
        yield sql.WRITE_ANSWERS, {"answers": encode(changes.answers).decode()}


def _keys_to_insert(changes: Changes, now: datetime) -> Iterator[Statement]:
    keys = changes.keys
    if keys:
        yield (
            sql.WRITE_KEYS,
            {
                "now": now,
                "scopes": text_array([key.scope for key in keys]),
                "keys": text_array([key.key for key in keys]),
                "fingerprints": _fingerprints([key.fingerprint for key in keys]),
                "kinds": text_array([key.entry[0] if key.entry else None for key in keys]),
                "ids": text_array([key.entry[1] if key.entry else None for key in keys]),
                "statuses": bigint_array([key.status for key in keys]),
                "answers": text_array([key.answer for key in keys]),
                "streams": text_array([key.stream_id for key in keys]),
                "versions": bigint_array([key.version for key in keys]),
            },
        )


def _fingerprints(values: Iterable[bytes | None]) -> str:
    return (
        "{"
        + ",".join(["NULL" if value is None else f'"\\\\x{value.hex()}"' for value in values])
        + "}"
    )
