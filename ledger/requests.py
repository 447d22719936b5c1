"""What can be asked of the ledger: commands, the request around one, and its outcome.

A command holds the caller's words, normalised: points int, money Decimal with two places, times
aware in UTC. Ids may be None where the service makes one.
"""

from __future__ import annotations

import hashlib
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec

from ledger.events import Actor, OrderItem


class Command(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """What a request asks for. Two requests are the same if their commands are."""

    def fingerprint(self) -> bytes:
        """16 bytes that differ for commands of different content."""
        return hashlib.blake2b(msgspec.json.encode(self._content()), digest_size=16).digest()

    def _content(self) -> Command:
        """What is asked for, without how it is to be booked."""
        return self


class Enrol(Command, frozen=True, kw_only=True, omit_defaults=True):
    """Enrol a member; personal data goes to the profile, never to an event."""

    member_id: str | None = None
    joined_at: datetime | None = None
    name: str | None = None
    phone: str | None = None
    email: str | None = None
    external_id: str | None = None
    birthday: date | None = None
    referral_code: str | None = None
    tags: list[str] = []
    consents: dict[str, bool] = {}
    store_id: str | None = None
    channel: str | None = None


class Accrue(Command, frozen=True, kw_only=True, omit_defaults=True):
    """Record an order and grant what it earns (PROGRAMME 2)."""

    member_id: str
    order_id: str
    amount: Decimal
    occurred_at: datetime | None = None
    store_id: str | None = None
    channel: str | None = None
    items: list[OrderItem] = []
    coupon_codes: list[str] = []
    redemption_ids: list[str] = []
    funded_by: str | None = None
    referral_code: str | None = None
    attributes: dict[str, str] = {}
    enrol_unknown: bool = False
    """An import enrols an unknown member at its first row, whatever `auto_enrol` says."""

    def _content(self) -> Command:
        return msgspec.structs.replace(self, enrol_unknown=False) if self.enrol_unknown else self


class Activity(Command, frozen=True, kw_only=True, omit_defaults=True):
    """Record what a member did other than buying, and grant what it earns (PROGRAMME 2.3)."""

    member_id: str
    activity: str
    activity_id: str | None = None
    occurred_at: datetime | None = None
    reference: str | None = None
    answers: dict[str, Any] = {}
    store_id: str | None = None
    channel: str | None = None


class Redeem(Command, frozen=True, kw_only=True, omit_defaults=True):
    """Spend points, or set them aside (`reserve`), on a cash offset (PROGRAMME 4.1, 4.3)."""

    member_id: str
    redemption_id: str | None = None
    points: int | None = None
    reward_id: str | None = None
    quantity: int = 1
    order_id: str | None = None
    order_amount: Decimal | None = None
    reserve: bool = False
    reserve_seconds: int | None = None
    occurred_at: datetime | None = None


class Capture(Command, frozen=True, kw_only=True, omit_defaults=True):
    """Spend a reservation, wholly (`points` None) or the first-drawn part (4.3)."""

    redemption_id: str
    points: int | None = None


class Release(Command, frozen=True, kw_only=True, omit_defaults=True):
    """Give a reservation up (4.3)."""

    redemption_id: str


class Refund(Command, frozen=True, kw_only=True, omit_defaults=True):
    """Give back the whole or a part of an order (PROGRAMME 5).

    `member_id`, where the caller knows it, must be the order's.
    """

    refund_id: str | None = None
    order_id: str
    amount: Decimal
    occurred_at: datetime | None = None
    member_id: str | None = None

    def _content(self) -> Command:
        return msgspec.structs.replace(self, member_id=None) if self.member_id else self


class Adjust(Command, frozen=True, kw_only=True, omit_defaults=True):
    """Give (positive) or take (negative) points by hand."""

    member_id: str
    adjustment_id: str | None = None
    points: int
    reason: str
    note: str | None = None
    occurred_at: datetime | None = None


class ApproveAdjustment(Command, frozen=True, kw_only=True, omit_defaults=True):
    """The second person's yes; the key must differ from the one that asked."""

    adjustment_id: str


class RejectAdjustment(Command, frozen=True, kw_only=True, omit_defaults=True):
    """The second person's no."""

    adjustment_id: str
    reason: str | None = None


class Freeze(Command, frozen=True, kw_only=True, omit_defaults=True):
    """Stop a member's earning and redeeming (4.5)."""

    member_id: str
    reason: str


class Unfreeze(Command, frozen=True, kw_only=True, omit_defaults=True):
    """Let a frozen member earn and redeem again."""

    member_id: str
    reason: str


class Close(Command, frozen=True, kw_only=True, omit_defaults=True):
    """End a membership for good."""

    member_id: str
    reason: str


class ExpirePoints(Command, frozen=True, kw_only=True, omit_defaults=True):
    """Record every expiry of a member that is due at `as_of` (3.3)."""

    member_id: str
    as_of: datetime


class ReleasePending(Command, frozen=True, kw_only=True, omit_defaults=True):
    """Record for a member which pending points have become active by `as_of` (2.9)."""

    member_id: str
    as_of: datetime


class ReviewTiers(Command, frozen=True, kw_only=True, omit_defaults=True):
    """Record every review of a member's tier that is due at `as_of` (6.3)."""

    member_id: str
    as_of: datetime


class ReviewLevels(Command, frozen=True, kw_only=True, omit_defaults=True):
    """Record the monthly reviews of a member that are due at `as_of`, the oldest first (7).

    `most`: so many at once; 0: all.
    """

    member_id: str
    as_of: datetime
    most: int = 0


class UseBenefit(Command, frozen=True, kw_only=True, omit_defaults=True):
    """Record that a member used what tier, level or segment entitles to (6.5)."""

    member_id: str
    benefit: str
    use_id: str | None = None
    occurred_at: datetime | None = None
    note: str | None = None
    store_id: str | None = None


class LapseReservations(Command, frozen=True, kw_only=True, omit_defaults=True):
    """Record the end of every reservation of a member whose time is over at `as_of` (4.3)."""

    member_id: str
    as_of: datetime


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A command with who asks, and how the asker protects it against repetition.

    `key_scope` keeps the idempotency keys of two API keys apart.
    """

    command: Command
    actor: Actor
    request_id: str | None = None
    idempotency_key: str | None = None
    key_scope: str = ""
    expected_version: int | None = None


class Outcome(msgspec.Struct, frozen=True):
    """What came of a request: an HTTP status and a body.

    From 400 on the body is the refusal: `code`, `status`, `detail` and perhaps `errors`.
    `replayed`: the same request had been answered before, and this is that answer.
    `last_event`: stream and version of the last event behind the answer.
    """

    status: int
    body: dict[str, Any]
    replayed: bool = False
    last_event: tuple[str, int] | None = None
