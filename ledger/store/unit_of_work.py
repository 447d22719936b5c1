"""One transaction of the ledger: what it reads at its start, and what it writes at its end.

All members that the requests name are locked first, in the order of their ids, so that two
transactions never wait for each other in a ring; then everything is read with one statement,
under those locks. At the end all rows are written and the events appended, in one round trip;
the log's own lock is taken last and held for the shortest time (`ledger.store.recorders`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import date, datetime
from typing import Any, Final

import msgspec
from psycopg2.errors import SerializationFailure

from ledger.events import Event, RecordedEvent
from ledger.lots import DrawingKey, Lot
from ledger.member import Member
from ledger.parts import (
    Adjustment,
    Coupon,
    Done,
    Month,
    Order,
    OrderSpending,
    Redemption,
    Referral,
)
from ledger.requests import Enrol
from ledger.state import MemberState
from ledger.store import statements as sql
from ledger.store.arrays import text_array
from ledger.store.database import Cursor
from ledger.store.mapper import EventMapper
from ledger.store.prepared import execute_together
from ledger.store.recorders import LogEntry, append
from ledger.store.records import (
    Contacts,
    Entry,
    KnownKey,
    Needs,
    Reference,
    day_text,
    entry_id,
    phone_prefix,
    stream_of,
)
from ledger.store.writes import Changes, statements_for

_decode_lot = msgspec.json.Decoder(Lot).decode
_decode_member = msgspec.json.Decoder(MemberState).decode

_DECODE_PART: Final[dict[str, Callable[[str], Any]]] = {
    "order": msgspec.json.Decoder(Order).decode,
    "spending": msgspec.json.Decoder(OrderSpending).decode,
    "redemption": msgspec.json.Decoder(Redemption).decode,
    "adjustment": msgspec.json.Decoder(Adjustment).decode,
    "coupon": msgspec.json.Decoder(Coupon).decode,
    "referral": msgspec.json.Decoder(Referral).decode,
    "done": msgspec.json.Decoder(Done).decode,
    "month": msgspec.json.Decoder(Month).decode,
}


class MemberLots:
    """Reads the lots of one member; see `ledger.lots.LotSource`."""

    def __init__(self, cursor: Cursor, member_id: str) -> None:
        self._cursor = cursor
        self._member_id = member_id

    def one(self, lot_id: str) -> Lot | None:
        """The lot of that id."""
        found = self._select(sql.LOT, (self._member_id, lot_id))
        return found[0] if found else None

    def open_after(self, key: DrawingKey | None, limit: int) -> list[Lot]:
        """The next open lots in drawing order."""
        if key is None:
            return self._select(sql.FIRST_OPEN_LOTS, (self._member_id, limit))
        day, earned_at, lot_id = key
        return self._select(
            sql.NEXT_OPEN_LOTS, (self._member_id, day_text(day), earned_at, lot_id, limit)
        )

    def expired_good_on(self, day: date) -> list[Lot]:
        """Lots with expired points that were still good on `day`."""
        return self._select(sql.EXPIRED_LOTS, (self._member_id, day))

    def _select(self, statement: str, parameters: tuple[Any, ...]) -> list[Lot]:
        self._cursor.execute(statement, parameters)
        return [_decode_lot(state) for (state,) in self._cursor.fetchall()]


class MemberMemory:
    """What a transaction knows of one member beyond the head; see `ledger.parts.Memory`."""

    def __init__(self, unit: UnitOfWork, member_id: str) -> None:
        self._unit = unit
        self._member_id = member_id

    def part(self, kind: str, name: str) -> Any:
        """The part of that kind and id, or None."""
        return self._unit.part(self._member_id, kind, name)

    def fetch(self, kind: str, names: Collection[str]) -> None:
        """Read many parts with one statement."""
        self._unit.fetch(kind, [entry_id(kind, name, self._member_id) for name in names])

    def events(self) -> list[Event]:
        """Every event of the member so far, those of this transaction too."""
        return self._unit.events_of(self._member_id)


class UnitOfWork:
    """Members, entries and keys of one transaction, and what is to be written of them."""

    def __init__(self, cursor: Cursor, mapper: EventMapper) -> None:
        self._cursor = cursor
        self._mapper = mapper
        self._changes = Changes()
        self._members = self._changes.members
        self._keys: dict[Reference, KnownKey] = {}
        self._locks = True
        self.programme_version: int | None = None

    # Reading

    def load(
        self, needs: Needs, *, lock: bool = True, lock_timeout_seconds: float | None = None
    ) -> None:
        """Lock the members named, and read all that is named, as of after the locks.

        `lock_timeout_seconds`: wait so long for each lock, instead of what the session says.
        """
        self._locks = lock
        wait = None if lock_timeout_seconds is None else f"{round(lock_timeout_seconds * 1000)}ms"
        parameters = {
            "lock_timeout": wait,
            "publishing": sql.PUBLISHING,
            "members": text_array(needs.members),
            "kinds": text_array([kind for kind, _ in needs.entries]),
            "ids": text_array([name for _, name in needs.entries]),
            "scopes": text_array([scope for scope, _ in needs.keys]),
            "keys": text_array([key for _, key in needs.keys]),
            "drawing": text_array(needs.drawing),
            "first_lots": sql.FIRST_LOTS,
        }
        load = sql.load_named(needs.owners, bool(needs.keys), bool(needs.drawing))
        steps = (sql.BEGIN, sql.lock_members(needs.owners), load) if lock else (load,)
        execute_together(self._cursor, [(step, parameters) for step in steps])
        self._changes.known_entries = dict.fromkeys(needs.entries)
        lots: dict[str, list[Lot]] = {member_id: [] for member_id in needs.drawing}
        for (
            source,
            a,
            b,
            c,
            fingerprint,
            status,
            answer,
            stream,
            version,
            state,
            position,
        ) in self._cursor.fetchall():
            if source == "member":
                self._members[a] = self._member(_decode_member(state))
            elif source == "entry":
                self._changes.known_entries[a, b] = Entry(
                    a, b, c, _bytes(fingerprint), status, answer, stream, version, state, position
                )
            elif source == "lot":
                lots[a].append(_decode_lot(state))
            elif source == "key":
                self._keys[a, b] = KnownKey(
                    a,
                    b,
                    bytes(fingerprint),
                    status,
                    (c, state) if c else None,
                    answer,
                    stream,
                    version,
                    position,
                )
            else:
                self.programme_version = version
        for member_id, first in lots.items():
            if member_id in self._members:
                self._members[member_id].lots.learn_first_open(first, sql.FIRST_LOTS)

    def member(self, member_id: str) -> Member | None:
        """A member that was locked, or enrolled here."""
        return self._members.get(member_id)

    def entry(self, kind: str, name: str) -> Entry | None:
        """What a caller's id means, if anything."""
        reference = (kind, name)
        if reference in self._changes.entries:
            return self._changes.entries[reference]
        if reference not in self._changes.known_entries:
            self._cursor.execute(sql.ENTRY, reference)
            row = self._cursor.fetchone()
            if row is not None:
                row = (*row[:3], _bytes(row[3]), *row[4:])
            self._changes.known_entries[reference] = Entry(*row) if row else None
        return self._changes.known_entries[reference]

    def key(self, scope: str, key: str) -> KnownKey | None:
        """What an idempotency key stands for, if it was used before."""
        return self._keys.get((scope, key))

    def redemptions_for(self, order_id: str, member_id: str) -> list[Redemption]:
        """All redemptions of a member, who may not be locked, for an order."""
        spending: OrderSpending | None = self.part(member_id, "spending", order_id)
        names = spending.redemption_ids if spending is not None else []
        found = [self.part(member_id, "redemption", name) for name in names]
        return [redemption for redemption in found if redemption is not None]

    def reassign(self, kind: str, name: str, member_id: str) -> None:
        """Give an entry to another member; whoever wants it too waits for this transaction."""
        entry = self.entry(kind, name)
        if entry is None:
            return
        self._cursor.execute(sql.REASSIGN, (member_id, kind, name, entry.member_id))
        if self._cursor.rowcount != 1:
            raise SerializationFailure("the entry was given to another member")
        entry.member_id = member_id

    def member_of_referral_code(self, code: str) -> str | None:
        """The member whose referral code this is."""
        for member_id in self._changes.enrolled:
            if self._members[member_id].state.referral_code == code:
                return member_id
        self._cursor.execute(
            "SELECT member_id FROM member_states WHERE referral_code = %s", (code,)
        )
        row = self._cursor.fetchone()
        return row[0] if row else None

    def contacts(self, member_id: str) -> Contacts:
        """Phone and e-mail of a member, as far as they are known."""
        enrolling = self._changes.profiles.get(member_id)
        if enrolling is not None:
            return Contacts(enrolling.phone, enrolling.email)
        self._cursor.execute(sql.CONTACTS, (member_id,))
        row = self._cursor.fetchone()
        return Contacts(*row) if row else Contacts()

    def referrer_of(self, member_id: str) -> str | None:
        """By whom a member, who may not be locked, was brought."""
        member = self._members.get(member_id)
        if member is not None:
            return member.state.referrer_id
        self._cursor.execute(sql.REFERRER, (member_id,))
        row = self._cursor.fetchone()
        return row[0] if row else None

    def referees_alike(self, referrer_id: str, phone: str, digits: int) -> int:
        """How many referees of a referrer have a phone number that begins like this one."""
        prefix = phone_prefix(phone, digits)
        self._cursor.execute(sql.REFEREES_ALIKE, (referrer_id, digits, prefix))
        alike = {referee_id for (referee_id,) in self._cursor.fetchall()}
        for member_id, member in self._members.items():  # those who were named here
            if member.state.referrer_id == referrer_id and member_id not in alike:
                own = self.contacts(member_id).phone or ""
                if phone_prefix(own, digits) == prefix:
                    alike.add(member_id)
        return len(alike)

    def lock_referrals(self) -> None:
        """Let nobody else name a referrer until this transaction ends: no loop is made by two."""
        if self._locks:
            self._cursor.execute(sql.LOCK_REFERRALS)

    def _member(self, state: MemberState) -> Member:
        member_id = state.member_id
        return Member(
            state,
            lots=MemberLots(self._cursor, member_id),
            memory=MemberMemory(self, member_id),
        )

    def part(self, member_id: str, kind: str, name: str) -> Any:
        """A part of a member, from its entry; nothing where the id is another member's."""
        entry = self.entry(kind, entry_id(kind, name, member_id))
        if entry is None or entry.state is None or entry.member_id != member_id:
            return None
        return _DECODE_PART[kind](entry.state)

    def fetch(self, kind: str, names: Iterable[str]) -> None:
        """Read entries that are about to be asked for with one statement."""
        missing = [name for name in names if (kind, name) not in self._changes.known_entries]
        self._changes.known_entries.update(dict.fromkeys((kind, name) for name in missing))
        self._cursor.execute(sql.ENTRIES_OF_KIND, (kind, missing))
        for row in self._cursor.fetchall():
            values = (*row[:3], _bytes(row[3]), *row[4:])
            entry = Entry(*values)
            self._changes.known_entries[entry.kind, entry.id] = entry

    def events_of(self, member_id: str) -> list[Event]:
        """Every event of a member so far, in the order of recording."""
        stream = stream_of(member_id)
        self._cursor.execute(sql.EVENTS_OF_STREAM, (stream,))
        stored = [
            self._mapper.to_domain_event(
                LogEntry(stream, version, topic, bytes(state), position, recorded_at)
            ).event
            for version, topic, state, position, recorded_at in self._cursor.fetchall()
        ]
        here = [one.event for one in self._changes.events if one.originator_id == stream]
        return stored + here

    # Writing

    def add_member(self, member: Member, profile: Enrol | None = None) -> None:
        """A member who enrolled in this transaction."""
        self._members[member.member_id] = member
        self._changes.enrolled.add(member.member_id)
        if profile is not None:
            self._changes.profiles[member.member_id] = profile

    def keep_answers(self, activity_id: str, member_id: str, answers: dict[str, Any]) -> None:
        """What a member answered, apart from the log."""
        self._changes.answers.append(
            {"activity_id": activity_id, "member_id": member_id, "answers": answers}
        )

    def take_events(self, member: Member) -> int:
        """Take over what a command triggered; answer how many events."""
        version = member.state.version - len(member.new_events)
        for event in member.new_events:
            version += 1
            self._changes.events.append(RecordedEvent(stream_of(member.member_id), version, event))
        taken = len(member.new_events)
        member.new_events = []
        return taken

    def has_untaken_events(self) -> bool:
        """Whether a command triggered events and then refused."""
        return any(member.new_events for member in self._members.values())

    @property
    def events(self) -> Sequence[RecordedEvent]:
        """What is to be appended, in order."""
        return self._changes.events

    def remember(self, entry: Entry) -> None:
        """A caller's id that was used here for the first time."""
        self._changes.remember(entry)

    def remember_key(self, key: KnownKey) -> None:
        """An idempotency key that was used here for the first time."""
        self._keys[key.scope, key.key] = key
        self._changes.keys.append(key)

    def write(self, now: datetime) -> dict[tuple[str, int] | None, int]:
        """Write everything and append the events; answer each one's position.

        Keys are stream and version.

        Raises psycopg2's `UniqueViolation` where another transaction was faster with an id.
        """
        statements = statements_for(self._changes, now)
        if not self._changes.events:
            if statements:
                execute_together(self._cursor, statements)
            return {}
        stored = [self._mapper.to_stored_event(event) for event in self._changes.events]
        last = append(self._cursor, stored, now, before=statements).last_position
        first = last - len(stored) + 1
        return {
            (event.originator_id, event.originator_version): first + place
            for place, event in enumerate(self._changes.events)
        }

    def forget(self) -> None:
        """Let go of the members, who know this transaction: no ring is left to the collector."""
        self._members.clear()


def lock_publishing(cursor: Cursor) -> None:
    """Wait until nobody is deciding, and keep everybody from it until the transaction ends."""
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", (sql.PUBLISHING,))


def _bytes(value: Any) -> bytes | None:
    return None if value is None else bytes(value)
