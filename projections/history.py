"""History: the whole life of an account, every change with its before and after, and why."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from datetime import datetime, tzinfo
from typing import Any, Final, Literal, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from ledger.errors import InvalidRequest, Refusal
from ledger.events import MEMBER_EVENTS, Event, RecordedEvent
from ledger.postings import BalanceChange, balance_change
from ledger.store.arrays import text_array
from ledger.store.database import Cursor, Database
from ledger.summaries import summary_of
from projections.bad_events import is_incomplete
from projections.view import View, member_of
from projections.writing import copy_lines, text_field

Order = Literal["asc", "desc"]
KINDS: Final = frozenset(event_class.TOPIC for event_class in MEMBER_EVENTS)
MOST_ENTRIES: Final = 1000

_NOTHING: Final = BalanceChange()
_REFERENCES: Final = (
    "order_id", "activity_id", "code", "redemption_id", "refund_id", "adjustment_id", "lot_id",
)  # fmt: skip
_COLUMNS: Final = (
    "member_id", "version", "position", "kind", "occurred_at", "recorded_at", "points",
    "available_before", "pending_before", "reserved_before", "debt_before",
    "available_after", "pending_after", "reserved_after", "debt_after",
    *_REFERENCES,
    "summary", "summary_zh", "breakdown", "actor_key", "actor_role",
    "channel", "request_id", "corrects",
)  # fmt: skip

_LAST_BALANCES: Final = """
    SELECT asked.member_id, last.*
    FROM unnest(%s::text[]) AS asked (member_id)
    CROSS JOIN LATERAL (
        SELECT available_after, pending_after, reserved_after, debt_after
        FROM entries WHERE entries.member_id = asked.member_id
        ORDER BY version DESC LIMIT 1
    ) AS last
"""

_encode_json = msgspec.json.Encoder().encode


# Writing


def _apply(cursor: Cursor, events: Sequence[RecordedEvent]) -> None:
    of_members = [(member_id, event) for event in events if (member_id := member_of(event))]
    if not of_members:
        return
    balances = _last_balances(cursor, {member_id for member_id, _ in of_members})
    lines: list[str] = []
    for member_id, recorded in of_members:
        before = balances.get(member_id, _NOTHING)
        change = balance_change(recorded.event)
        after = _added(before, change)
        balances[member_id] = after
        lines.append(_line(member_id, recorded, change, before, after))
    copy_lines(cursor, "entries", _COLUMNS, lines)


def _last_balances(cursor: Cursor, member_ids: set[str]) -> dict[str, BalanceChange]:
    cursor.execute(_LAST_BALANCES, (text_array(sorted(member_ids)),))
    return {member_id: BalanceChange(*balance) for member_id, *balance in cursor}


def _added(before: BalanceChange, change: BalanceChange) -> BalanceChange:
    return BalanceChange(
        before.available + change.available,
        before.pending + change.pending,
        before.reserved + change.reserved,
        before.debt + change.debt,
    )


class _Shape(NamedTuple):
    """Which of the row's fields a class of events has, found out once."""

    references: tuple[str | None, ...]
    has_breakdown: bool
    has_channel: bool
    has_corrects: bool


def _shape_of(event_class: type[Event]) -> _Shape:
    fields = event_class.__struct_fields__
    return _Shape(
        tuple(name if name in fields else None for name in _REFERENCES),
        "breakdown" in fields,
        "channel" in fields,
        "corrects" in fields,
    )


_SHAPES: Final = {event_class: _shape_of(event_class) for event_class in MEMBER_EVENTS}


def _line(
    member_id: str,
    recorded: RecordedEvent,
    change: BalanceChange,
    before: BalanceChange,
    after: BalanceChange,
) -> str:
    """The entry as a line of COPY, its fields in the order of `_COLUMNS`."""
    event: Any = recorded.event
    shape = _SHAPES[type(event)]
    sentence = summary_of(event)
    breakdown = _encode_json(event.breakdown).decode() if shape.has_breakdown else None
    meta = event.meta
    return "\t".join(
        (
            text_field(member_id),
            str(recorded.originator_version),
            str(recorded.position),
            event.TOPIC,
            event.occurred_at.isoformat(),
            recorded.recorded_at.isoformat() if recorded.recorded_at else "\\N",
            str(change.available + change.pending - change.debt),
            _balance_fields(before),
            _balance_fields(after),
            *(text_field(getattr(event, name)) if name else "\\N" for name in shape.references),
            text_field(sentence.en),
            text_field(sentence.zh),
            text_field(breakdown),
            text_field(meta.actor.key),
            text_field(meta.actor.role),
            text_field(event.channel) if shape.has_channel else "\\N",
            text_field(meta.request_id),
            str(event.corrects) if shape.has_corrects and event.corrects is not None else "\\N",
        )
    )


def _balance_fields(balance: BalanceChange) -> str:
    return f"{balance.available}\t{balance.pending}\t{balance.reserved}\t{balance.debt}"


VIEW: Final = View("history", _apply)


# Reading


def history_page(
    database: Database,
    member_id: str,
    *,
    order: Order = "asc",
    limit: int = 100,
    cursor: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    kind: str | None = None,
    zone: tzinfo | None = None,
) -> dict[str, Any]:
    """A page of a member's history in version order, and the cursor of the next (API.md).

    `start` ≤ occurred_at < `end`. Times are in `zone`, by default the programme's. `incomplete`
    says that the view lacks an event of this member: its balances here are then not to be trusted
    until the view has been rebuilt. Empty for an unknown member. All of it is as of one moment.

    Raises `InvalidRequest` for a limit, order, kind or cursor that can't be right, and `Refusal`
    `view_behind` before the view exists.
    """
    _check(order, limit, kind)
    after = _version_of(cursor, order) if cursor is not None else None
    parameters = {
        "member_id": member_id, "after": after, "start": start, "end": end, "kind": kind,
        "limit": limit + 1,
    }  # fmt: skip
    for _ in range(_ATTEMPTS):
        with database.snapshot() as query:
            table = _table(query)
            incomplete = is_incomplete(query, VIEW.name, member_id)
            zone = zone or _programme_zone(query)
            query.execute(_PAGE[order], parameters)
            rows = query.fetchall()
            if table == _table_by_now(query):
                break
    else:
        raise _not_there()
    entries = [_entry(row, zone) for row in rows[:limit]]
    more = len(rows) > limit
    return {
        "entries": entries,
        "next_cursor": _cursor_after(entries[-1]["version"], order) if more else None,
        "incomplete": incomplete,
    }


# A condition that is not asked for is left out by the planner: the parameters are constants to it.
_SELECT: Final = f"""
    SELECT {", ".join(_COLUMNS[1:])}
    FROM {VIEW.schema}.entries
    WHERE member_id = %(member_id)s
      AND (%(after)s::bigint IS NULL OR version {{beyond}} %(after)s::bigint)
      AND (%(start)s::timestamptz IS NULL OR occurred_at >= %(start)s::timestamptz)
      AND (%(end)s::timestamptz IS NULL OR occurred_at < %(end)s::timestamptz)
      AND (%(kind)s::text IS NULL OR kind = %(kind)s::text)
    ORDER BY version {{direction}}
    LIMIT %(limit)s
"""  # noqa: S608 - the columns and the schema are constants above
_PAGE: Final[dict[str, str]] = {
    "asc": _SELECT.format(beyond=">", direction="ASC"),
    "desc": _SELECT.format(beyond="<", direction="DESC"),
}


def _check(order: str, limit: int, kind: str | None) -> None:
    if order not in _PAGE:
        raise InvalidRequest("order", "Give asc (oldest first) or desc (newest first).")
    if not 1 <= limit <= MOST_ENTRIES:
        raise InvalidRequest("limit", f"Give a whole number from 1 to {MOST_ENTRIES}.")
    if kind is not None and kind not in KINDS:
        raise InvalidRequest("kind", f"There is no such event; give one of {sorted(KINDS)}.")


def _cursor_after(version: int, order: str) -> str:
    return base64.urlsafe_b64encode(f"{order}.{version}".encode()).decode().rstrip("=")


def _version_of(cursor: str, order: str) -> int:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        asked, _, version = (
            base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii").partition(".")
        )
        if asked == order and version.isdecimal() and len(version) < 19:
            return int(version)
    except (binascii.Error, UnicodeError, ValueError):
        pass
    raise InvalidRequest("cursor", "Give the next_cursor of the page before, with the same order.")


# A query's names are looked up as of now, its rows as of the snapshot. Where a rebuilt view has
# taken the place of the one in the snapshot, its last rows are not in the snapshot.
_TABLE: Final = """
    SELECT pg_class.oid FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname = %s AND relname = 'entries'
"""
_ATTEMPTS: Final = 5


def _table(query: Cursor) -> int:
    """Which table the view was at the moment of the snapshot."""
    query.execute(_TABLE, (VIEW.schema,))
    row: tuple[int] | None = query.fetchone()
    if row is None:
        raise _not_there()
    return row[0]


def _table_by_now(query: Cursor) -> int | None:
    """Which table the view's name leads to by now."""
    query.execute("SELECT to_regclass(%s)::oid", (f"{VIEW.schema}.entries",))
    row: tuple[int | None] | None = query.fetchone()
    return row[0] if row else None


def _not_there() -> Refusal:
    return Refusal("view_behind", "The history is being made; ask again in a moment.")


class _Rules(msgspec.Struct):
    time_zone: str = "UTC"


class _Published(msgspec.Struct):
    rules: str


def _programme_zone(query: Cursor) -> tzinfo:
    """The time zone of the programme published last; UTC before the first."""
    query.execute(
        "SELECT state FROM events WHERE stream_id = 'programme' ORDER BY version DESC LIMIT 1"
    )
    row = query.fetchone()
    if row is None:
        return ZoneInfo("UTC")
    published = msgspec.json.decode(bytes(row[0]), type=_Published)
    return ZoneInfo(msgspec.json.decode(published.rules, type=_Rules).time_zone)


def _entry(row: Sequence[Any], zone: tzinfo) -> dict[str, Any]:
    fields = dict(zip(_COLUMNS[1:], row, strict=True))
    breakdown = fields["breakdown"]
    return {
        "position": fields["position"],
        "version": fields["version"],
        "event": fields["kind"],
        "occurred_at": fields["occurred_at"].astimezone(zone).isoformat(),
        "recorded_at": fields["recorded_at"].astimezone(zone).isoformat(),
        "points": fields["points"],
        "balance_before": _balance(fields, "before"),
        "balance_after": _balance(fields, "after"),
        **{name: fields[name] for name in _REFERENCES},
        "summary": fields["summary"],
        "summary_zh": fields["summary_zh"],
        "breakdown": msgspec.json.decode(breakdown) if breakdown is not None else [],
        "actor": {"key": fields["actor_key"], "role": fields["actor_role"]},
        "channel": fields["channel"],
        "request_id": fields["request_id"],
        "corrects": fields["corrects"],
    }


def _balance(fields: dict[str, Any], moment: str) -> dict[str, int]:
    return {
        name: fields[f"{name}_{moment}"] for name in ("available", "pending", "reserved", "debt")
    }
