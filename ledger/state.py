"""What a command on a member reads: the state that follows from the member's events.

It is stored beside the log in the same transaction, and can be dropped and rebuilt from the
events at any time (DESIGN 2.4). Its size does not grow with the member's history: lots, orders
and redemptions stand apart (`ledger.lots`, `ledger.parts`).
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Literal

import msgspec

from ledger.money import ZERO

MemberStatus = Literal["active", "frozen", "closed", "erased", "merged"]


class Balance(msgspec.Struct, omit_defaults=True):
    """Points of an account by events alone: a lot counts until its expiry is recorded."""

    available: int = 0
    pending: int = 0
    reserved: int = 0
    debt: int = 0


class Totals(msgspec.Struct, omit_defaults=True):
    """All that ever happened, summed: spend net of refunds, counting orders, points by kind."""

    spend: Decimal = ZERO
    orders: int = 0
    granted: int = 0
    restored: int = 0
    redeemed: int = 0
    expired: int = 0
    clawed_back: int = 0
    adjusted: int = 0


class Debt(msgspec.Struct, omit_defaults=True):
    """Points owed for the refund of an order, the oldest first in a list (PROGRAMME 5.6)."""

    order_id: str
    points: int


ReviewOutcome = Literal["downgraded", "extended", "renewed"]
"""How a review of a tier came out, the better the later."""

HISTORY_KEPT = 60
"""So many changes of tier, and of level and segment, are kept in the head: years of them."""


class Since(msgspec.Struct, omit_defaults=True):
    """A code that holds from a moment on."""

    since: datetime
    code: str


class TierStatus(msgspec.Struct, omit_defaults=True):
    """The tier in force; `until` is its last good day, None for one without an end.

    `extended`: the grace of this validity has been used (PROGRAMME 6.3).
    """

    code: str
    since: date
    until: date | None = None
    extended: bool = False


class PastReview(msgspec.Struct, omit_defaults=True):
    """A recorded review of a tier: what was reviewed, and how it came out (6.3).

    `version` is that of its event, `before` the status that was reviewed.
    """

    version: int
    at: datetime
    before: TierStatus
    outcome: ReviewOutcome


class Reviewed(msgspec.Struct, omit_defaults=True):
    """What a monthly review made of a member, from a moment on (PROGRAMME 7)."""

    since: datetime
    level: str | None = None
    segment: str | None = None
    lifecycle: str | None = None


class Day(msgspec.Struct, omit_defaults=True):
    """What a member did on a local date, as far as rules count it.

    `earned`: points of orders and activities, as granted, refunded or not (PROGRAMME 2.2).
    `activities`: how many of each kind earned, or could have (2.3). `referrals`: how many were
    rewarded, reversed or not (2.7), `reversals` how many of them were reversed.
    `spend`: paid for orders of the day, less what was ever given back of them; `orders`: those
    of which something is left (6.1).
    """

    earned: int = 0
    activities: dict[str, int] = {}
    referrals: int = 0
    reversals: int = 0
    spend: Decimal = ZERO
    orders: int = 0

    @property
    def active(self) -> int:
        """Activities that count for level, segment and lifecycle (7.1)."""
        return sum(self.activities.values()) + self.referrals - self.reversals


class MemberState(msgspec.Struct, omit_defaults=True):
    """The head of a member.

    `due_points`: free points in lots whose last day is before `due_before`, their expiry not
    recorded; no other open lot has a last day before `next_expiry_on` (None: none has one). The
    three are remembered from the last look at the lots, and can be forgotten at any time.
    `last_expired_on`: the latest last day among lots whose expiry is recorded.
    `reservations`: the open ones, with their end. `pending`: the lots whose points can't be spent
    yet, with their last pending day. `days`: the latest months; older ones stand apart
    (`ledger.days`). `first_order_id`: the first order recorded with more than 0.00.
    `last_order_at`: the latest moment of such an order; `first_counting_on`: the date of the
    earliest one of which something is left (6.1). `tiers`: every change of tier, and `reviews` of
    level and the like, in the order of recording: of those that began by a moment the last one
    held then. `tiers_lost`: since when a tier is lost that was held (6.2). `tier_reviews`: those
    since the last upgrade.
    `reviewed_on`: the date of the last monthly review; before the first, of enrolment.
    `benefits`: how often each was used, by month (`2026-03`).
    `orders_paid`, `refunded`: all such orders, and all the money ever given back.
    `flags`: the guard rails that have tripped. `delayed`: one of them lets order points pend.
    """

    member_id: str
    version: int
    status: MemberStatus
    joined_at: datetime
    referral_code: str
    referrer_id: str | None = None
    tier: TierStatus | None = None
    tiers: list[Since] = []
    tiers_lost: dict[str, date] = {}
    tier_reviews: list[PastReview] = []
    reviews: list[Reviewed] = []
    reviewed_on: date | None = None
    balance: Balance = msgspec.field(default_factory=Balance)
    totals: Totals = msgspec.field(default_factory=Totals)
    debts: list[Debt] = []
    reservations: dict[str, datetime] = {}
    due_before: date | None = None
    due_points: int = 0
    next_expiry_on: date | None = None
    last_expired_on: date | None = None
    pending: dict[str, date] = {}
    days: dict[date, Day] = {}
    first_order_id: str | None = None
    last_order_at: datetime | None = None
    first_counting_on: date | None = None
    benefits: dict[str, dict[str, int]] = {}
    orders_paid: int = 0
    refunded: Decimal = ZERO
    flags: list[str] = []
    delayed: bool = False
