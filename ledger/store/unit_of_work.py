"""One transaction of the ledger: what it reads at its start, and what it writes at its end.

All members that the requests name are locked first, in the order of their ids, so that two
transactions never wait for each other in a ring; then everything is read with one statement,
under those locks. At the end all rows are written and the events appended, in one round trip;
the log's own lock is taken last and held for the shortest time (`ledger.store.recorders`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime
from functools import cache, partial
from typing import Any, Final

import msgspec
from psycopg2.errors import SerializationFailure

from ledger.events import (
    MemberEnrolled,
    PointsAccrued,
    PointsActivated,
    RecordedEvent,
    ReferrerNamed,
)
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
from ledger.store.arrays import bigint_array, text_array
from ledger.store.database import Cursor
from ledger.store.mapper import EventMapper
from ledger.store.prepared import Prepared, Statement, execute_together
from ledger.store.recorders import append

FIRST_LOTS: Final = 16
"""Open lots read beforehand of each member who is about to draw."""

_PUBLISHING: Final = 7_405_231
"""Advisory lock: shared by every transaction that decides, exclusive to a publication."""

_BEGIN: Final = Prepared(
    "begin",
    """
    SELECT set_config(
               'lock_timeout',
               coalesce(%(lock_timeout)s, current_setting('lock_timeout')), true),
           pg_advisory_xact_lock_shared(%(publishing)s)
    """,
    lock_timeout="text",
    publishing="bigint",
)

_NAMED_MEMBERS: Final = "%(members)s"

# Where a request names an order or a redemption only, its member is looked up.
_MEMBERS_AND_OWNERS: Final = """ARRAY(
        SELECT unnest(%(members)s)
        UNION
        SELECT directory.member_id
        FROM unnest(%(kinds)s, %(ids)s) AS named (kind, id)
        JOIN directory USING (kind, id)
    )"""

_LOCK_MEMBERS: Final = """
    SELECT FROM member_states WHERE member_id = ANY ({members}) ORDER BY member_id FOR UPDATE
"""

_PROGRAMME: Final = """
    SELECT 'programme', NULL::text, NULL::text, NULL::text, NULL::bytea, NULL::int, NULL::text,
           NULL::text, max(number)::bigint, NULL::text, NULL::bigint
    FROM programme_versions
"""

_MEMBERS: Final = """
    SELECT 'member', member_id, NULL, NULL, NULL, NULL, NULL, NULL, version, state, NULL
    FROM member_states WHERE member_id = ANY ({members})
"""

_ENTRIES: Final = """
    SELECT 'entry', d.kind, d.id, d.member_id, d.fingerprint, d.status, d.answer, d.stream_id,
           d.version, d.state,
           (SELECT e.position FROM events e
            WHERE e.stream_id = d.stream_id AND e.version = d.version)
    FROM unnest(%(kinds)s, %(ids)s) AS named (kind, id)
    JOIN directory d USING (kind, id)
"""

_KEYS: Final = """
    SELECT 'key', k.scope, k.key, k.kind, k.fingerprint, k.status, k.answer, k.stream_id,
           k.version, k.id,
           (SELECT e.position FROM events e
            WHERE e.stream_id = k.stream_id AND e.version = k.version)
    FROM unnest(%(scopes)s, %(keys)s) AS named (scope, key)
    JOIN idempotency_keys k USING (scope, key)
"""

_LOTS: Final = """
    SELECT 'lot', drawing.member_id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, lot.state, NULL
    FROM unnest(%(drawing)s) AS drawing (member_id)
    CROSS JOIN LATERAL (
        SELECT state FROM lot_states
        WHERE lot_states.member_id = drawing.member_id AND open
        ORDER BY expires_on, earned_at, lot_id
        LIMIT %(first_lots)s
    ) AS lot
"""


@cache
def _lock(owners: bool) -> Prepared:
    """Locks the members named, in the order of their ids; `owners`: and the entries' owners."""
    if not owners:
        return Prepared("lock", _LOCK_MEMBERS.format(members=_NAMED_MEMBERS), members="text[]")
    return Prepared(
        "lock_owners",
        _LOCK_MEMBERS.format(members=_MEMBERS_AND_OWNERS),
        members="text[]",
        kinds="text[]",
        ids="text[]",
    )


@cache
def _load(owners: bool, keys: bool, drawing: bool) -> Prepared:
    """Reads what is named with one statement; an arm that is not needed costs time, too."""
    arms = [
        _PROGRAMME,
        _MEMBERS.format(members=_MEMBERS_AND_OWNERS if owners else _NAMED_MEMBERS),
        _ENTRIES,
    ]
    types = {"members": "text[]", "kinds": "text[]", "ids": "text[]"}
    if keys:
        arms.append(_KEYS)
        types |= {"scopes": "text[]", "keys": "text[]"}
    if drawing:
        arms.append(_LOTS)
        types |= {"drawing": "text[]", "first_lots": "int"}
    return Prepared(f"load_{owners:d}{keys:d}{drawing:d}", " UNION ALL ".join(arms), **types)


_INSERT_MEMBERS: Final = Prepared(
    "insert_members",
    """
    INSERT INTO member_states (member_id, version, referral_code, state)
    SELECT * FROM unnest(%(ids)s, %(versions)s, %(codes)s, %(states)s)
    """,
    ids="text[]",
    versions="bigint[]",
    codes="text[]",
    states="text[]",
)

_UPDATE_MEMBERS: Final = Prepared(
    "update_members",
    """
    UPDATE member_states SET version = changed.version, state = changed.state
    FROM unnest(%(ids)s, %(versions)s, %(states)s) AS changed (member_id, version, state)
    WHERE member_states.member_id = changed.member_id
    """,
    ids="text[]",
    versions="bigint[]",
    states="text[]",
)

_INSERT_ENTRIES: Final = Prepared(
    "insert_entries",
    """
    INSERT INTO directory (kind, id, member_id, fingerprint, status, answer, stream_id, version,
                           state)
    SELECT * FROM unnest(%(kinds)s, %(ids)s, %(members)s, %(fingerprints)s, %(statuses)s,
                         %(answers)s, %(streams)s, %(versions)s, %(states)s)
    """,
    kinds="text[]",
    ids="text[]",
    members="text[]",
    fingerprints="bytea[]",
    statuses="smallint[]",
    answers="text[]",
    streams="text[]",
    versions="bigint[]",
    states="text[]",
)

_WRITE_LOTS: Final = Prepared(
    "write_lots",
    """
    INSERT INTO lot_states (member_id, lot_id, expires_on, earned_at, open, has_expired, state)
    SELECT * FROM unnest(%(members)s, %(ids)s, %(days)s, %(times)s, %(opens)s, %(expireds)s,
                         %(states)s)
    ON CONFLICT (member_id, lot_id) DO UPDATE
    SET open = excluded.open, has_expired = excluded.has_expired, state = excluded.state
    """,
    members="text[]",
    ids="text[]",
    days="date[]",
    times="timestamptz[]",
    opens="boolean[]",
    expireds="boolean[]",
    states="text[]",
)

_UPDATE_ENTRIES: Final = Prepared(
    "update_entries",
    """
    UPDATE directory SET state = changed.state
    FROM unnest(%(kinds)s, %(ids)s, %(states)s)
         AS changed (kind, id, state)
    WHERE directory.kind = changed.kind AND directory.id = changed.id
    """,
    kinds="text[]",
    ids="text[]",
    states="text[]",
)

_WRITE_KEYS: Final = Prepared(
    "write_keys",
    """
    INSERT INTO idempotency_keys (scope, key, fingerprint, kind, id, status, answer, stream_id,
                                  version, recorded_at)
    SELECT *, %(now)s
    FROM unnest(%(scopes)s, %(keys)s, %(fingerprints)s, %(kinds)s,
                %(ids)s, %(statuses)s, %(answers)s,
                %(streams)s, %(versions)s)
    """,
    now="timestamptz",
    scopes="text[]",
    keys="text[]",
    fingerprints="bytea[]",
    kinds="text[]",
    ids="text[]",
    statuses="smallint[]",
    answers="text[]",
    streams="text[]",
    versions="bigint[]",
)

_OPEN_RESERVATIONS: Final = Prepared(
    "open_reservations",
    """
    INSERT INTO open_reservations (member_id, redemption_id, reserved_until)
    SELECT * FROM unnest(%(members)s, %(ids)s, %(untils)s)
    """,
    members="text[]",
    ids="text[]",
    untils="timestamptz[]",
)

_END_RESERVATIONS: Final = Prepared(
    "end_reservations",
    """
    DELETE FROM open_reservations USING unnest(%(members)s, %(ids)s)
        AS ended (member_id, redemption_id)
    WHERE open_reservations.member_id = ended.member_id
      AND open_reservations.redemption_id = ended.redemption_id
    """,
    members="text[]",
    ids="text[]",
)

_ADD_PENDING_LOTS: Final = Prepared(
    "add_pending_lots",
    """
    INSERT INTO pending_lots (member_id, lot_id, pending_until)
    SELECT * FROM unnest(%(members)s, %(ids)s, %(untils)s)
    """,
    members="text[]",
    ids="text[]",
    untils="date[]",
)

_END_PENDING_LOTS: Final = Prepared(
    "end_pending_lots",
    """
    DELETE FROM pending_lots USING unnest(%(members)s, %(ids)s) AS ended (member_id, lot_id)
    WHERE pending_lots.member_id = ended.member_id AND pending_lots.lot_id = ended.lot_id
    """,
    members="text[]",
    ids="text[]",
)

_WRITE_REFERRALS: Final = Prepared(
    "write_referrals",
    """
    INSERT INTO referrals (referee_id, referrer_id)
    SELECT * FROM unnest(%(referees)s, %(referrers)s)
    """,
    referees="text[]",
    referrers="text[]",
)

_WRITE_ANSWERS: Final = Prepared(
    "write_answers",
    """
    INSERT INTO activity_answers (activity_id, member_id, answers)
    SELECT activity_id, member_id, answers
    FROM jsonb_to_recordset(%(answers)s) AS given (activity_id text, member_id text, answers jsonb)
    """,
    answers="jsonb",
)

_WRITE_PROFILES: Final = Prepared(
    "write_profiles",
    """
    INSERT INTO profiles (member_id, name, phone, email, external_id, birthday, tags, consents)
    SELECT member_id, name, phone, email, external_id, birthday, tags, consents
    FROM jsonb_to_recordset(%(profiles)s) AS profile (
        member_id text, name text, phone text, email text, external_id text, birthday date,
        tags jsonb, consents jsonb)
    """,
    profiles="jsonb",
)

_CONTACTS: Final = "SELECT phone, email FROM profiles WHERE member_id = %s"

_REFERRER: Final = "SELECT referrer_id FROM referrals WHERE referee_id = %s"

_REFEREES_ALIKE: Final = r"""
    SELECT count(*) FROM referrals JOIN profiles ON profiles.member_id = referrals.referee_id
    WHERE referrals.referrer_id = %s
      AND left(regexp_replace(profiles.phone, '[^0-9]', '', 'g'), %s) = %s
"""

_LOT: Final = "SELECT state FROM lot_states WHERE member_id = %s AND lot_id = %s"

_FIRST_OPEN_LOTS: Final = """
    SELECT state FROM lot_states WHERE member_id = %s AND open
    ORDER BY expires_on, earned_at, lot_id LIMIT %s
"""

_NEXT_OPEN_LOTS: Final = """
    SELECT state FROM lot_states
    WHERE member_id = %s AND open AND (expires_on, earned_at, lot_id) > (%s::date, %s, %s)
    ORDER BY expires_on, earned_at, lot_id LIMIT %s
"""

_EXPIRED_LOTS: Final = """
    SELECT state FROM lot_states WHERE member_id = %s AND has_expired AND expires_on >= %s
    ORDER BY expires_on, earned_at, lot_id
"""

_ENTRY: Final = """
    SELECT d.kind, d.id, d.member_id, d.fingerprint, d.status, d.answer, d.stream_id, d.version,
           d.state,
           (SELECT e.position FROM events e
            WHERE e.stream_id = d.stream_id AND e.version = d.version)
    FROM directory d WHERE d.kind = %s AND d.id = %s
"""

_REASSIGN: Final = """
    UPDATE directory SET member_id = %s WHERE kind = %s AND id = %s AND member_id = %s
"""

_encode = msgspec.json.Encoder().encode
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

_OF_A_MEMBER: Final = frozenset({"spending", "done", "month"})
"""Kinds of parts whose ids are a member's own: in the directory they are followed by the member."""

Reference = tuple[str, str]
"""(kind, id) of a directory entry, or (scope, key) of an idempotency key."""


class Entry(msgspec.Struct):
    """A row of the directory; `position` is that of the first answer's last event."""

    kind: str
    id: str
    member_id: str
    fingerprint: bytes | None = None
    status: int | None = None
    answer: str | None = None
    stream_id: str | None = None
    version: int | None = None
    state: str | None = None
    position: int | None = None


class KnownKey(msgspec.Struct):
    """What an idempotency key stands for: an answer, or the entry that holds it."""

    scope: str
    key: str
    fingerprint: bytes
    status: int
    entry: Reference | None = None
    answer: str | None = None
    stream_id: str | None = None
    version: int | None = None
    position: int | None = None


class Needs(msgspec.Struct):
    """What the requests of one transaction name.

    `owners`: the members to whom entries belong are needed, too.
    """

    members: set[str] = msgspec.field(default_factory=set)
    entries: set[Reference] = msgspec.field(default_factory=set)
    keys: set[Reference] = msgspec.field(default_factory=set)
    drawing: set[str] = msgspec.field(default_factory=set)
    owners: bool = False


class Contacts(msgspec.Struct, frozen=True):
    """By what a member can be reached."""

    phone: str | None = None
    email: str | None = None


class MemberLots:
    """Reads the lots of one member; see `ledger.lots.LotSource`."""

    def __init__(self, cursor: Cursor, member_id: str) -> None:
        self._cursor = cursor
        self._member_id = member_id

    def one(self, lot_id: str) -> Lot | None:
        """The lot of that id."""
        found = self._select(_LOT, (self._member_id, lot_id))
        return found[0] if found else None

    def open_after(self, key: DrawingKey | None, limit: int) -> list[Lot]:
        """The next open lots in drawing order."""
        if key is None:
            return self._select(_FIRST_OPEN_LOTS, (self._member_id, limit))
        day, earned_at, lot_id = key
        return self._select(
            _NEXT_OPEN_LOTS, (self._member_id, _day_text(day), earned_at, lot_id, limit)
        )

    def expired_good_on(self, day: date) -> list[Lot]:
        """Lots with expired points that were still good on `day`."""
        return self._select(_EXPIRED_LOTS, (self._member_id, day))

    def _select(self, statement: str, parameters: tuple[Any, ...]) -> list[Lot]:
        self._cursor.execute(statement, parameters)
        return [_decode_lot(state) for (state,) in self._cursor.fetchall()]


class UnitOfWork:
    """Members, entries and keys of one transaction, and what is to be written of them."""

    def __init__(self, cursor: Cursor, mapper: EventMapper) -> None:
        self._cursor = cursor
        self._mapper = mapper
        self._members: dict[str, Member] = {}
        self._enrolled: set[str] = set()
        self._entries: dict[Reference, Entry | None] = {}
        self._keys: dict[Reference, KnownKey] = {}
        self._new_entries: dict[Reference, Entry] = {}
        self._new_keys: list[KnownKey] = []
        self._profiles: dict[str, Enrol] = {}
        self._answers: list[dict[str, Any]] = []
        self._appending: list[RecordedEvent] = []
        self.programme_version: int | None = None

    # Reading

    def load(
        self, needs: Needs, *, lock: bool = True, lock_timeout_seconds: float | None = None
    ) -> None:
        """Lock the members named, and read all that is named, as of after the locks.

        `lock_timeout_seconds`: wait so long for each lock, instead of what the session says.
        """
        wait = None if lock_timeout_seconds is None else f"{round(lock_timeout_seconds * 1000)}ms"
        parameters = {
            "lock_timeout": wait,
            "publishing": _PUBLISHING,
            "members": text_array(needs.members),
            "kinds": text_array([kind for kind, _ in needs.entries]),
            "ids": text_array([name for _, name in needs.entries]),
            "scopes": text_array([scope for scope, _ in needs.keys]),
            "keys": text_array([key for _, key in needs.keys]),
            "drawing": text_array(needs.drawing),
            "first_lots": FIRST_LOTS,
        }
        load = _load(needs.owners, bool(needs.keys), bool(needs.drawing))
        steps = (_BEGIN, _lock(needs.owners), load) if lock else (load,)
        execute_together(self._cursor, [(step, parameters) for step in steps])
        self._entries = dict.fromkeys(needs.entries)
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
                self._entries[a, b] = Entry(
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
                self._members[member_id].lots.learn_first_open(first, FIRST_LOTS)

    def member(self, member_id: str) -> Member | None:
        """A member that was locked, or enrolled here."""
        return self._members.get(member_id)

    def entry(self, kind: str, name: str) -> Entry | None:
        """What a caller's id means, if anything."""
        reference = (kind, name)
        if reference in self._new_entries:
            return self._new_entries[reference]
        if reference not in self._entries:
            self._cursor.execute(_ENTRY, reference)
            row = self._cursor.fetchone()
            if row is not None:
                row = (*row[:3], _bytes(row[3]), *row[4:])
            self._entries[reference] = Entry(*row) if row else None
        return self._entries[reference]

    def key(self, scope: str, key: str) -> KnownKey | None:
        """What an idempotency key stands for, if it was used before."""
        return self._keys.get((scope, key))

    def redemptions_for(self, order_id: str, member_id: str) -> list[Redemption]:
        """All redemptions of a member, who may not be locked, for an order."""
        spending: OrderSpending | None = self._part(member_id, "spending", order_id)
        names = spending.redemption_ids if spending is not None else []
        found = [self._part(member_id, "redemption", name) for name in names]
        return [redemption for redemption in found if redemption is not None]

    def reassign(self, kind: str, name: str, member_id: str) -> None:
        """Give an entry to another member; whoever wants it too waits for this transaction."""
        entry = self.entry(kind, name)
        if entry is None:
            return
        self._cursor.execute(_REASSIGN, (member_id, kind, name, entry.member_id))
        if self._cursor.rowcount != 1:
            raise SerializationFailure("the entry was given to another member")
        entry.member_id = member_id

    def member_of_referral_code(self, code: str) -> str | None:
        """The member whose referral code this is."""
        for member_id in self._enrolled:
            if self._members[member_id].state.referral_code == code:
                return member_id
        self._cursor.execute(
            "SELECT member_id FROM member_states WHERE referral_code = %s", (code,)
        )
        row = self._cursor.fetchone()
        return row[0] if row else None

    def contacts(self, member_id: str) -> Contacts:
        """Phone and e-mail of a member, as far as they are known."""
        enrolling = self._profiles.get(member_id)
        if enrolling is not None:
            return Contacts(enrolling.phone, enrolling.email)
        self._cursor.execute(_CONTACTS, (member_id,))
        row = self._cursor.fetchone()
        return Contacts(*row) if row else Contacts()

    def referrer_of(self, member_id: str) -> str | None:
        """By whom a member, who may not be locked, was brought."""
        member = self._members.get(member_id)
        if member is not None:
            return member.state.referrer_id
        self._cursor.execute(_REFERRER, (member_id,))
        row = self._cursor.fetchone()
        return row[0] if row else None

    def referees_alike(self, referrer_id: str, phone: str, digits: int) -> int:
        """How many referees of a referrer have a phone number that begins like this one."""
        prefix = phone_prefix(phone, digits)
        self._cursor.execute(_REFEREES_ALIKE, (referrer_id, digits, prefix))
        row = self._cursor.fetchone()
        return (row[0] if row else 0) + sum(
            self._members[referee_id].state.referrer_id == referrer_id
            and phone_prefix(profile.phone or "", digits) == prefix
            for referee_id, profile in self._profiles.items()
        )

    def _member(self, state: MemberState) -> Member:
        member_id = state.member_id
        return Member(
            state,
            lots=MemberLots(self._cursor, member_id),
            load=partial(self._part, member_id),
        )

    def _part(self, member_id: str, kind: str, name: str) -> Any:
        """A part of a member, from its entry; nothing where the id is another member's."""
        entry = self.entry(kind, _entry_id(kind, name, member_id))
        if entry is None or entry.state is None or entry.member_id != member_id:
            return None
        return _DECODE_PART[kind](entry.state)

    # Writing

    def add_member(self, member: Member, profile: Enrol | None = None) -> None:
        """A member who enrolled in this transaction."""
        self._members[member.member_id] = member
        self._enrolled.add(member.member_id)
        if profile is not None:
            self._profiles[member.member_id] = profile

    def keep_answers(self, activity_id: str, member_id: str, answers: dict[str, Any]) -> None:
        """What a member answered, apart from the log."""
        self._answers.append(
            {"activity_id": activity_id, "member_id": member_id, "answers": answers}
        )

    def take_events(self, member: Member) -> int:
        """Take over what a command triggered; answer how many events."""
        version = member.state.version - len(member.new_events)
        for event in member.new_events:
            version += 1
            self._appending.append(RecordedEvent(stream_of(member.member_id), version, event))
        taken = len(member.new_events)
        member.new_events = []
        return taken

    def has_untaken_events(self) -> bool:
        """Whether a command triggered events and then refused."""
        return any(member.new_events for member in self._members.values())

    @property
    def events(self) -> Sequence[RecordedEvent]:
        """What is to be appended, in order."""
        return self._appending

    def remember(self, entry: Entry) -> None:
        """A caller's id that was used here for the first time."""
        self._new_entries[entry.kind, entry.id] = entry

    def remember_key(self, key: KnownKey) -> None:
        """An idempotency key that was used here for the first time."""
        self._keys[key.scope, key.key] = key
        self._new_keys.append(key)

    def write(self, now: datetime) -> dict[tuple[str, int] | None, int]:
        """Write everything and append the events; answer each one's position.

        Keys are stream and version.

        Raises psycopg2's `UniqueViolation` where another transaction was faster with an id.
        """
        statements = [
            *self._changed_parts(),
            *self._heads(),
            *self._entries_to_insert(),
            *self._changed_lots(),
            *self._changed_pending_lots(),
            *self._new_referrals(),
            *self._keys_to_insert(now),
            *self._what_is_personal(),
        ]
        if not self._appending:
            if statements:
                execute_together(self._cursor, statements)
            return {}
        stored = [self._mapper.to_stored_event(event) for event in self._appending]
        last = append(self._cursor, stored, now, before=statements).last_position
        first = last - len(stored) + 1
        return {
            (event.originator_id, event.originator_version): first + place
            for place, event in enumerate(self._appending)
        }

    def forget(self) -> None:
        """Let go of the members, who know this transaction: no ring is left to the collector."""
        self._members.clear()

    def _changed_parts(self) -> Iterator[Statement]:
        """Parts that a command changed: into their new entry, or over the old one."""
        updates: list[tuple[str, str, str]] = []
        for member in self._members.values():
            for kind, parts in member.parts():
                for name in parts.changed:
                    entry_id = _entry_id(kind, name, member.member_id)
                    state = _encode(parts.find(name)).decode()
                    new = self._new_entries.get((kind, entry_id))
                    if new is not None:
                        new.state = state
                    elif name in parts.added:
                        self.remember(Entry(kind, entry_id, member.member_id, state=state))
                    else:
                        updates.append((kind, entry_id, state))
            if "redemption" in dict(member.parts()) and member.redemptions.changed:
                yield from self._changed_reservations(member)
        if updates:
            yield (
                _UPDATE_ENTRIES,
                {
                    "kinds": text_array([kind for kind, _, _ in updates]),
                    "ids": text_array([name for _, name, _ in updates]),
                    "states": text_array([state for _, _, state in updates]),
                },
            )

    def _changed_reservations(self, member: Member) -> Iterator[Statement]:
        opened: list[Redemption] = []
        ended: list[str] = []
        for name in member.redemptions.changed:
            redemption = member.redemptions.find(name)
            if redemption is None or redemption.reserved_until is None:
                continue
            known = self._entries.get(("redemption", name)) is not None
            if redemption.status == "reserved" and not known:
                opened.append(redemption)
            elif redemption.status != "reserved" and known:
                ended.append(name)
        if opened:
            yield (
                _OPEN_RESERVATIONS,
                {
                    "members": text_array([member.member_id] * len(opened)),
                    "ids": text_array([one.redemption_id for one in opened]),
                    "untils": text_array(
                        [one.reserved_until.isoformat() for one in opened if one.reserved_until]
                    ),
                },
            )
        if ended:
            yield (
                _END_RESERVATIONS,
                {
                    "members": text_array([member.member_id] * len(ended)),
                    "ids": text_array(ended),
                },
            )

    def _heads(self) -> Iterator[Statement]:
        touched = self._touched()
        new = [one for one in touched if one.member_id in self._enrolled]
        old = [one for one in touched if one.member_id not in self._enrolled]
        for statement, members in ((_INSERT_MEMBERS, new), (_UPDATE_MEMBERS, old)):
            if members:
                yield (
                    statement,
                    {
                        "ids": text_array([one.member_id for one in members]),
                        "versions": bigint_array([one.state.version for one in members]),
                        "codes": text_array([one.state.referral_code for one in members]),
                        "states": text_array([_encode(one.state).decode() for one in members]),
                    },
                )

    def _touched(self) -> list[Member]:
        """Members to whom something happened."""
        streams = {event.originator_id for event in self._appending}
        return [one for one in self._members.values() if stream_of(one.member_id) in streams]

    def _entries_to_insert(self) -> Iterator[Statement]:
        entries = list(self._new_entries.values())
        if entries:
            yield (
                _INSERT_ENTRIES,
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

    def _changed_lots(self) -> Iterator[Statement]:
        lots = [
            (member.member_id, lot)
            for member in self._touched()
            for lot_id in member.lots.changed
            if (lot := member.lots.find(lot_id)) is not None
        ]
        if lots:
            yield (
                _WRITE_LOTS,
                {
                    "members": text_array([member_id for member_id, _ in lots]),
                    "ids": text_array([lot.lot_id for _, lot in lots]),
                    "days": text_array([_day_text(lot.last_day) for _, lot in lots]),
                    "times": text_array([lot.earned_at.isoformat() for _, lot in lots]),
                    "opens": text_array(["t" if lot.open else "f" for _, lot in lots]),
                    "expireds": text_array(["t" if lot.expired else "f" for _, lot in lots]),
                    "states": text_array([_encode(lot).decode() for _, lot in lots]),
                },
            )

    def _changed_pending_lots(self) -> Iterator[Statement]:
        begun: list[tuple[str, str, date]] = []
        ended: list[tuple[str, str]] = []
        for recorded in self._appending:
            event, member_id = recorded.event, member_of(recorded.originator_id)
            if isinstance(event, PointsAccrued) and event.lot and event.lot.pending_until:
                begun.append((member_id, event.lot.lot_id, event.lot.pending_until))
            elif isinstance(event, PointsActivated):
                ended.append((member_id, event.lot_id))
        if begun:
            yield (
                _ADD_PENDING_LOTS,
                {
                    "members": text_array([member_id for member_id, _, _ in begun]),
                    "ids": text_array([lot_id for _, lot_id, _ in begun]),
                    "untils": text_array([until.isoformat() for _, _, until in begun]),
                },
            )
        if ended:
            yield (
                _END_PENDING_LOTS,
                {
                    "members": text_array([member_id for member_id, _ in ended]),
                    "ids": text_array([lot_id for _, lot_id in ended]),
                },
            )

    def _new_referrals(self) -> Iterator[Statement]:
        found = [
            (member_of(recorded.originator_id), recorded.event.referrer_id)
            for recorded in self._appending
            if isinstance(recorded.event, ReferrerNamed | MemberEnrolled)
            and recorded.event.referrer_id is not None
        ]
        if found:
            yield (
                _WRITE_REFERRALS,
                {
                    "referees": text_array([referee for referee, _ in found]),
                    "referrers": text_array([referrer for _, referrer in found]),
                },
            )

    def _what_is_personal(self) -> Iterator[Statement]:
        if self._profiles:
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
                for member_id, profile in self._profiles.items()
            ]
            yield _WRITE_PROFILES, {"profiles": _encode(profiles).decode()}
        if self._answers:
            yield _WRITE_ANSWERS, {"answers": _encode(self._answers).decode()}

    def _keys_to_insert(self, now: datetime) -> Iterator[Statement]:
        keys = self._new_keys
        if keys:
            yield (
                _WRITE_KEYS,
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


def lock_publishing(cursor: Cursor) -> None:
    """Wait until nobody is deciding, and keep everybody from it until the transaction ends."""
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_PUBLISHING,))


def stream_of(member_id: str) -> str:
    """The name of a member's stream in the log; no caller's id has a slash."""
    return f"member/{member_id}"


def member_of(stream_id: str) -> str:
    """The member whose stream this is."""
    return stream_id.removeprefix("member/")


def phone_prefix(phone: str, digits: int) -> str:
    """The first so many digits of a phone number, whatever stands between them."""
    return re.sub(r"[^0-9]", "", phone)[:digits]


def _entry_id(kind: str, name: str, member_id: str) -> str:
    """Some ids are a member's own; the others are the whole ledger's."""
    return f"{name}/{member_id}" if kind in _OF_A_MEMBER else name


def _day_text(day: date) -> str:
    return "infinity" if day == date.max else day.isoformat()


def _bytes(value: Any) -> bytes | None:
    return None if value is None else bytes(value)


def _fingerprints(values: Iterable[bytes | None]) -> str:
    return (
        "{"
        + ",".join(["NULL" if value is None else f'"\\\\x{value.hex()}"' for value in values])
        + "}"
    )
