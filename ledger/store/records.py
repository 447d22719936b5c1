"""What a transaction of the ledger names, finds and keeps, apart from the members themselves."""

from __future__ import annotations

import re
from datetime import date
from typing import Final

import msgspec

Reference = tuple[str, str]
"""(kind, id) of a directory entry, or (scope, key) of an idempotency key."""

OF_A_MEMBER: Final = frozenset({"spending", "done", "month"})
"""Kinds of parts whose ids are a member's own: in the directory they are followed by the member."""


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


def stream_of(member_id: str) -> str:
    """The name of a member's stream in the log; no caller's id has a slash."""
    return f"member/{member_id}"


def member_of(stream_id: str) -> str:
    """The member whose stream this is."""
    return stream_id.removeprefix("member/")


def entry_id(kind: str, name: str, member_id: str) -> str:
    """Some ids are a member's own; the others are the whole ledger's."""
    return f"{name}/{member_id}" if kind in OF_A_MEMBER else name


def day_text(day: date) -> str:
    return "infinity" if day == date.max else day.isoformat()


_SHORTEST_PHONE: Final = 8


def same_phone(one: str | None, other: str | None) -> bool:
    """Whether two phone numbers are the same, however they are written.

    With or without blanks, hyphens and the country's code: the shorter ends the longer.
    """
    short, long = sorted(
        (_digits(one or "").lstrip("0"), _digits(other or "").lstrip("0")), key=len
    )
    return len(short) >= _SHORTEST_PHONE and long.endswith(short)


def same_email(one: str | None, other: str | None) -> bool:
    """Whether two e-mail addresses are the same, but for capitals and blanks around them."""
    return bool(one and other) and (one or "").strip().lower() == (other or "").strip().lower()


def _digits(phone: str) -> str:
    return re.sub(r"[^0-9]", "", phone)


def phone_prefix(phone: str, digits: int) -> str:
    """The first so many digits of a phone number, whatever stands between them."""
    return _digits(phone)[:digits]
