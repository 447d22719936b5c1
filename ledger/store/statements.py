"""The SQL of a transaction of the ledger: what it reads at its start and writes at its end.

Prepared once for each connection; every lookup is by key, a few rows at a time.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from ledger.store.prepared import Prepared

FIRST_LOTS: Final = 16
"""Open lots read beforehand of each member who is about to draw."""

PUBLISHING: Final = 7_405_231
"""Advisory lock: shared by every transaction that decides, exclusive to a publication."""

BEGIN: Final = Prepared(
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
def lock_members(owners: bool) -> Prepared:
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
def load_named(owners: bool, keys: bool, drawing: bool) -> Prepared:
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


INSERT_MEMBERS: Final = Prepared(
    "insert_members",
    """
    INSERT INTO member_states (member_id, version, referral_code, tier_until, reviewed_on, state)
    SELECT * FROM unnest(%(ids)s, %(versions)s, %(codes)s, %(untils)s, %(reviewed)s, %(states)s)
    """,
    ids="text[]",
    versions="bigint[]",
    codes="text[]",
    untils="date[]",
    reviewed="date[]",
    states="text[]",
)

UPDATE_MEMBERS: Final = Prepared(
    "update_members",
    """
    UPDATE member_states
    SET version = changed.version, tier_until = changed.tier_until,
        reviewed_on = changed.reviewed_on, state = changed.state
    FROM unnest(%(ids)s, %(versions)s, %(untils)s, %(reviewed)s, %(states)s)
         AS changed (member_id, version, tier_until, reviewed_on, state)
    WHERE member_states.member_id = changed.member_id
    """,
    ids="text[]",
    versions="bigint[]",
    untils="date[]",
    reviewed="date[]",
    states="text[]",
)

INSERT_ENTRIES: Final = Prepared(
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

WRITE_LOTS: Final = Prepared(
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

PUT_PARTS: Final = Prepared(
    "put_parts",
    """
    INSERT INTO directory (kind, id, member_id, state)
    SELECT * FROM unnest(%(kinds)s, %(ids)s, %(members)s, %(states)s)
    ON CONFLICT (kind, id) DO UPDATE SET state = excluded.state
    """,
    kinds="text[]",
    ids="text[]",
    members="text[]",
    states="text[]",
)

UPDATE_ENTRIES: Final = Prepared(
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

WRITE_KEYS: Final = Prepared(
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

OPEN_RESERVATIONS: Final = Prepared(
    "open_reservations",
    """
    INSERT INTO open_reservations (member_id, redemption_id, reserved_until)
    SELECT * FROM unnest(%(members)s, %(ids)s, %(untils)s)
    """,
    members="text[]",
    ids="text[]",
    untils="timestamptz[]",
)

END_RESERVATIONS: Final = Prepared(
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

ADD_PENDING_LOTS: Final = Prepared(
    "add_pending_lots",
    """
    INSERT INTO pending_lots (member_id, lot_id, pending_until)
    SELECT * FROM unnest(%(members)s, %(ids)s, %(untils)s)
    """,
    members="text[]",
    ids="text[]",
    untils="date[]",
)

END_PENDING_LOTS: Final = Prepared(
    "end_pending_lots",
    """
    DELETE FROM pending_lots USING unnest(%(members)s, %(ids)s) AS ended (member_id, lot_id)
    WHERE pending_lots.member_id = ended.member_id AND pending_lots.lot_id = ended.lot_id
    """,
    members="text[]",
    ids="text[]",
)

WRITE_REFERRALS: Final = Prepared(
    "write_referrals",
    """
    INSERT INTO referrals (referee_id, referrer_id)
    SELECT * FROM unnest(%(referees)s, %(referrers)s)
    """,
    referees="text[]",
    referrers="text[]",
)

WRITE_ANSWERS: Final = Prepared(
    "write_answers",
    """
    INSERT INTO activity_answers (activity_id, member_id, answers)
    SELECT activity_id, member_id, answers
    FROM jsonb_to_recordset(%(answers)s) AS given (activity_id text, member_id text, answers jsonb)
    """,
    answers="jsonb",
)

WRITE_PROFILES: Final = Prepared(
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

CONTACTS: Final = "SELECT phone, email FROM profiles WHERE member_id = %s"

REFERRER: Final = "SELECT referrer_id FROM referrals WHERE referee_id = %s"

REFEREES_ALIKE: Final = r"""
    SELECT referee_id FROM referrals JOIN profiles ON profiles.member_id = referrals.referee_id
    WHERE referrals.referrer_id = %s
      AND left(regexp_replace(profiles.phone, '[^0-9]', '', 'g'), %s) = %s
"""

LOCK_REFERRALS: Final = "SELECT pg_advisory_xact_lock(7405232)"

LOT: Final = "SELECT state FROM lot_states WHERE member_id = %s AND lot_id = %s"

FIRST_OPEN_LOTS: Final = """
    SELECT state FROM lot_states WHERE member_id = %s AND open
    ORDER BY expires_on, earned_at, lot_id LIMIT %s
"""

NEXT_OPEN_LOTS: Final = """
    SELECT state FROM lot_states
    WHERE member_id = %s AND open AND (expires_on, earned_at, lot_id) > (%s::date, %s, %s)
    ORDER BY expires_on, earned_at, lot_id LIMIT %s
"""

EXPIRED_LOTS: Final = """
    SELECT state FROM lot_states WHERE member_id = %s AND has_expired AND expires_on >= %s
    ORDER BY expires_on, earned_at, lot_id
"""

ENTRY: Final = """
    SELECT d.kind, d.id, d.member_id, d.fingerprint, d.status, d.answer, d.stream_id, d.version,
           d.state,
           (SELECT e.position FROM events e
            WHERE e.stream_id = d.stream_id AND e.version = d.version)
    FROM directory d WHERE d.kind = %s AND d.id = %s
"""

ENTRIES_OF_KIND: Final = """
    SELECT d.kind, d.id, d.member_id, d.fingerprint, d.status, d.answer, d.stream_id, d.version,
           d.state, NULL
    FROM directory d WHERE d.kind = %s AND d.id = ANY (%s)
"""

EVENTS_OF_STREAM: Final = """
    SELECT version, topic, state, position, recorded_at
    FROM events WHERE stream_id = %s ORDER BY version
"""

REASSIGN: Final = """
    UPDATE directory SET member_id = %s WHERE kind = %s AND id = %s AND member_id = %s
"""

FORGET_DERIVED: Final = (
    "DELETE FROM open_reservations WHERE member_id = ANY (%s)",
    "DELETE FROM pending_lots WHERE member_id = ANY (%s)",
    "DELETE FROM referrals WHERE referee_id = ANY (%s)",
)
"""Rows that follow from a member's events, and are made anew with the state."""
