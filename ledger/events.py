"""Everything that can have happened, as staff would say it.

An event holds all that was decided: points, lots, breakdown, programme version. Applying it
consults no rule, no clock and no chance. Every class names its `TOPIC` and `SCHEMA`; a stored
event is read for ever, an older schema through an upcaster (`ledger.store.mapper`).

No event holds personal data: that stands apart and can be erased (PROGRAMME 13).
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any, ClassVar, Final, Literal

import msgspec


class Actor(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who asked: the API key's name and the role it acted in, or a command or job of our own."""

    key: str
    role: str


class Meta(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where an event comes from: who, over which request."""

    actor: Actor
    request_id: str | None = None


class BreakdownRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """One row of the explanation of a grant; the rows' points add up to it (PROGRAMME 2.11).

    A campaign's has its name for people, where the programme gives it one.
    """

    rule: str
    points: int
    base: Decimal | None = None
    rate: Decimal | None = None
    multiplier: Decimal | None = None
    name_en: str | None = None
    name_zh: str | None = None


LotSourceName = Literal["order", "enrolment", "activity", "referral", "adjustment", "reward"]
ActivityCap = Literal[
    "once_per_day", "once_per_order", "once_per_reference", "max_per_day", "daily_earning_cap"
]
ReferralReason = Literal[
    "same_member",
    "same_phone",
    "same_email",
    "loop",
    "already_referred",
    "not_first_order",
    "monthly_limit",
    "referrer_frozen",
    "referrer_closed",
    "referee_frozen",
]
CouponSource = Literal["newcomer", "referee", "second_order", "spend_gift", "referral", "activity"]
LifecycleStage = Literal["new", "growing", "stable", "lapsing", "dormant", "won_back"]
GuardAction = Literal["flag", "delay", "freeze"]


class LotGrant(msgspec.Struct, frozen=True, omit_defaults=True):
    """The lot that a grant makes (PROGRAMME 3.1): points, and the last day they are good.

    `granted` includes what pays debt. `expires_on` None: never. `pending_until` is the last local
    day on which its points can't be spent yet (2.9); None: they can at once.
    """

    lot_id: str
    granted: int
    earned_at: datetime
    expires_on: date | None
    source: LotSourceName
    order_id: str | None = None
    funded_by: str | None = None
    pending_until: date | None = None
    parent_lot_id: str | None = None


class LotPoints(msgspec.Struct, frozen=True):
    """Points taken from, or given back to, one lot."""

    lot_id: str
    points: int


class DebtPaid(msgspec.Struct, frozen=True):
    """Points that paid debt: the lot they came from, the order whose refund made the debt."""

    lot_id: str
    order_id: str
    points: int


class OrderItem(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of an order; `amount` is the line's total."""

    sku: str | None = None
    product_line: str | None = None
    amount: Decimal = Decimal("0.00")
    quantity: int = 1


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What every event has: when it happened in the world (UTC), and who asked."""

    TOPIC: ClassVar[str]
    SCHEMA: ClassVar[int] = 1

    occurred_at: datetime
    meta: Meta


# Members


class MemberEnrolled(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A customer joined the programme; `occurred_at` is `joined_at` (PROGRAMME 1)."""

    TOPIC = "MemberEnrolled"
    member_id: str
    referral_code: str
    programme_version: int
    joined_on: date | None = None
    tier: str | None = None
    level: str | None = None
    segment: str | None = None
    lifecycle: str | None = None
    referrer_id: str | None = None
    store_id: str | None = None
    channel: str | None = None


class MemberFrozen(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The member can't earn or redeem until unfrozen (PROGRAMME 4.5)."""

    TOPIC = "MemberFrozen"
    reason: str


class MemberUnfrozen(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The member can earn and redeem again."""

    TOPIC = "MemberUnfrozen"
    reason: str


class MemberClosed(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The member left: no earning, no redeeming, for good (PROGRAMME 4.5)."""

    TOPIC = "MemberClosed"
    reason: str


class MemberFlagged(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A guard rail says that somebody should look (PROGRAMME 10); `rule` is its setting's name.

    `action`: flag (nothing else), delay (order points pend from now on), freeze (`MemberFrozen`
    follows). `found` is what was counted or computed, `limit` what the programme allows.
    """

    TOPIC = "MemberFlagged"
    rule: str
    action: GuardAction
    found: str
    limit: str
    programme_version: int
    order_id: str | None = None


class NewcomerRewarded(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Points for joining (PROGRAMME 2.4)."""

    TOPIC = "NewcomerRewarded"
    points: int
    breakdown: list[BreakdownRow]
    programme_version: int
    lot: LotGrant


# Earning


class PointsAccrued(Event, frozen=True, kw_only=True, omit_defaults=True):
    """An order was recorded and earned `points` (0 is possible; then there is no lot).

    `unrounded_spend_points` is eligible × rate × multipliers as an exact fraction ("4458/25"),
    from which a refund computes what the order should still hold (PROGRAMME 5.1). What is
    granted beyond `spend_points` are its bonuses; both are after the daily cap (2.2).
    `earned_on` is the local date of `occurred_at`, on which the cap counts the points.
    `first`: the first order recorded with more than 0.00 (2.5).
    """

    TOPIC = "PointsAccrued"
    order_id: str
    amount: Decimal
    points: int
    spend_points: int
    unrounded_spend_points: str
    breakdown: list[BreakdownRow]
    programme_version: int
    lot: LotGrant | None = None
    debt_paid: list[DebtPaid] = []
    redemption_ids: list[str] = []
    store_id: str | None = None
    channel: str | None = None
    items: list[OrderItem] = []
    attributes: dict[str, str] = {}
    earned_on: date | None = None
    first: bool = False


class ActivityRewarded(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A member did something other than buying, and earned `points` for it (PROGRAMME 2.3).

    `reason` says over which cap it was, and then it earns nothing. `gift` is what it earns in
    words. What a member answered in a survey stands apart from the log: it can be personal.
    """

    TOPIC = "ActivityRewarded"
    activity_id: str
    activity: str
    points: int
    breakdown: list[BreakdownRow]
    programme_version: int
    earned_on: date
    reference: str | None = None
    reason: ActivityCap | None = None
    gift: str | None = None
    lot: LotGrant | None = None
    debt_paid: list[DebtPaid] = []
    store_id: str | None = None
    channel: str | None = None


class PointsActivated(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A lot's return window has passed: its points can be spent (PROGRAMME 2.9).

    Dated the local midnight after the lot's last pending day, whenever it is recorded.
    """

    TOPIC = "PointsActivated"
    lot_id: str
    points: int


# Referral


class ReferrerNamed(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A member gave the code of a referrer with the first order (PROGRAMME 2.7).

    One given at enrolment stands in `MemberEnrolled`.
    """

    TOPIC = "ReferrerNamed"
    referrer_id: str
    order_id: str


class ReferralRefused(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A referral that does not count, or does not reward, and why (PROGRAMME 2.7)."""

    TOPIC = "ReferralRefused"
    referrer_id: str
    reason: ReferralReason
    order_id: str | None = None


class ReferralRewarded(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The referrer's reward: `referee_id` completed the first order (PROGRAMME 2.7).

    `earned_on` is the local date in whose month the referral counts.
    """

    TOPIC = "ReferralRewarded"
    referee_id: str
    order_id: str
    points: int
    breakdown: list[BreakdownRow]
    programme_version: int
    earned_on: date
    lot: LotGrant | None = None
    debt_paid: list[DebtPaid] = []


class ReferralReversed(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The referee's first order was fully refunded: the reward is taken back (PROGRAMME 2.7).

    points = Σ lots_drawn + debt + waived, as in `PointsClawedBack`.
    """

    TOPIC = "ReferralReversed"
    referee_id: str
    order_id: str
    refund_id: str
    points: int
    lots_drawn: list[LotPoints] = []
    debt: int = 0
    waived: int = 0
    pending: int = 0


# Coupons


class CouponIssued(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A member got a coupon (PROGRAMME 8); its other terms are the template's, in that version.

    `source` says which rule gave it, `order_id` which order it came of.
    `value` is money, or for percent_off the percentage; good from `valid_from` through
    `valid_until`, local dates.
    """

    TOPIC = "CouponIssued"
    code: str
    template: str
    kind: str
    source: CouponSource
    valid_from: date
    valid_until: date
    programme_version: int
    value: Decimal = Decimal("0.00")
    threshold: Decimal = Decimal("0.00")
    name_en: str | None = None
    name_zh: str | None = None
    order_id: str | None = None


class CouponVoided(Event, frozen=True, kw_only=True, omit_defaults=True):
    """An unused coupon is good for nothing any more: what it was given for was given back (5.4)."""

    TOPIC = "CouponVoided"
    code: str
    template: str
    reason: str
    order_id: str | None = None
    refund_id: str | None = None
    name_en: str | None = None
    name_zh: str | None = None


# Tiers, levels, benefits


class TierUpgraded(Event, frozen=True, kw_only=True, omit_defaults=True):
    """An order reached a higher tier, valid through `until` (PROGRAMME 6.2).

    `basis`: lifetime figures, or those of the window that regains a lost tier; `spend` and
    `repurchases` reached what was needed. `since` is the local date of the order.
    """

    TOPIC = "TierUpgraded"
    from_tier: str | None
    to_tier: str
    since: date
    until: date
    spend: Decimal
    repurchases: int
    needed_spend: Decimal
    needed_repurchases: int
    basis: Literal["lifetime", "regained"]
    programme_version: int
    order_id: str
    window_from: date | None = None
    window_to: date | None = None


class TierReview(Event, frozen=True, kw_only=True, omit_defaults=True):
    """What a review of a tier found in its window, both days included (PROGRAMME 6.3).

    `tier` is what was reviewed, good through `until_before`. `corrects` is the version, in this
    member's stream, of the review that late data bettered (6.4).
    """

    tier: str
    until_before: date
    window_from: date
    window_to: date
    spend: Decimal
    repurchases: int
    needed_spend: Decimal
    needed_repurchases: int
    programme_version: int
    corrects: int | None = None


class TierRenewed(TierReview, frozen=True, kw_only=True, omit_defaults=True):
    """The figures that keep the tier were met: it is valid anew, through `until`."""

    TOPIC = "TierRenewed"
    until: date


class TierExtended(TierReview, frozen=True, kw_only=True, omit_defaults=True):
    """Grace extension 等级延保: the tier is prolonged, once in its validity, through `until`.

    `order_id`: given at once, on the order that reached the repurchases (`when = "always"`).
    """

    TOPIC = "TierExtended"
    until: date
    order_id: str | None = None


class TierDowngraded(TierReview, frozen=True, kw_only=True, omit_defaults=True):
    """One tier down (soft landing), from `since` on; `until` None: the first tier has no end."""

    TOPIC = "TierDowngraded"
    to_tier: str
    since: date
    until: date | None = None


class LevelReviewed(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The monthly review, dated the local midnight of `on`, with its figures (PROGRAMME 7).

    All but `activities_30d` are of the 12 months before. None: the programme has none of it.
    """

    TOPIC = "LevelReviewed"
    on: date
    level: str | None
    score: int | None
    segment: str | None
    lifecycle: LifecycleStage | None
    spend: Decimal
    orders: int
    repurchases: int
    activities: int
    activities_30d: int
    programme_version: int


class BenefitUsed(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A member used what the tier, level or segment `because` entitles to (PROGRAMME 6.5)."""

    TOPIC = "BenefitUsed"
    use_id: str
    benefit: str
    because: str
    used_on: date
    programme_version: int
    note: str | None = None
    store_id: str | None = None


# Redeeming


class PointsReserved(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Points set aside until `reserved_until`, drawn from these lots in this order (4.3)."""

    TOPIC = "PointsReserved"
    redemption_id: str
    points: int
    value: Decimal
    lots_drawn: list[LotPoints]
    reserved_until: datetime
    programme_version: int
    step: int = 0
    min: int = 0
    order_id: str | None = None
    order_amount: Decimal | None = None


class ReservationCaptured(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A reservation was spent: `points` of it, the first-drawn; the rest went back (4.3).

    `value` is what was spent, in money; `lots_returned` excludes what paid debt.
    """

    TOPIC = "ReservationCaptured"
    redemption_id: str
    points: int
    value: Decimal
    order_id: str | None = None
    lots_returned: list[LotPoints] = []
    debt_paid: list[DebtPaid] = []


class ReservationReleased(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A reservation was given up; its points went back to their lots, after paying debt."""

    TOPIC = "ReservationReleased"
    redemption_id: str
    points: int
    lots_returned: list[LotPoints]
    debt_paid: list[DebtPaid] = []


class ReservationLapsed(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A reservation's time ran out, at `occurred_at` = `reserved_until` (4.3)."""

    TOPIC = "ReservationLapsed"
    redemption_id: str
    points: int
    lots_returned: list[LotPoints]
    debt_paid: list[DebtPaid] = []


class PointsRedeemed(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Points spent at once, drawn from these lots in this order (4.1)."""

    TOPIC = "PointsRedeemed"
    redemption_id: str
    points: int
    value: Decimal
    lots_drawn: list[LotPoints]
    programme_version: int
    order_id: str | None = None
    order_amount: Decimal | None = None


# Refunds


class OrderRefunded(Event, frozen=True, kw_only=True, omit_defaults=True):
    """`amount` of an order was given back; `refunded` is all given back so far (PROGRAMME 5).

    `fully`: nothing of it is left. `counted`: it had been a counting order until now (6.1).
    """

    TOPIC = "OrderRefunded"
    refund_id: str
    order_id: str
    amount: Decimal
    refunded: Decimal
    fully: bool = False
    counted: bool = False


class RestoredLot(msgspec.Struct, frozen=True, omit_defaults=True):
    """Points that a refund gave back: what was spent from `lot_id`, in redemption `redemption_id`.

    `points` returned to that lot or, where `new_lot` is given, to a new one (5.3).
    Includes what paid debt.
    """

    redemption_id: str
    lot_id: str
    points: int
    new_lot: LotGrant | None = None


class PointsRestored(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Points that the order had spent came back, last-drawn first, debt paid first (5.3, 5.6)."""

    TOPIC = "PointsRestored"
    refund_id: str
    order_id: str
    points: int
    lots: list[RestoredLot]
    debt_paid: list[DebtPaid] = []


class PointsClawedBack(Event, frozen=True, kw_only=True, omit_defaults=True):
    """What the order earned was taken back: from these lots, then as debt or waived (5.1, 5.2).

    points = Σ lots_drawn + debt + waived; `pending` of those drawn had not become active yet.
    """

    TOPIC = "PointsClawedBack"
    refund_id: str
    order_id: str
    points: int
    lots_drawn: list[LotPoints]
    debt: int = 0
    waived: int = 0
    pending: int = 0


# Expiry


class PointsExpired(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A lot's remaining points expired, dated the local midnight after its last day (3.3).

    `released_late`: points that came back after that day expire dated at their release (3.5).
    """

    TOPIC = "PointsExpired"
    lot_id: str
    points: int
    expires_on: date
    released_late: bool = False


class PointsExpiryCorrected(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Late data used points that had been recorded as expired (3.6).

    `corrects` is the version, in this member's stream, of the `PointsExpired` it takes back;
    `points` includes what paid debt.
    """

    TOPIC = "PointsExpiryCorrected"
    lot_id: str
    points: int
    corrects: int
    debt_paid: list[DebtPaid] = []


# Adjustments


class AdjustmentRequested(Event, frozen=True, kw_only=True, omit_defaults=True):
    """An adjustment over the programme's limit waits for a second person (PROGRAMME 10)."""

    TOPIC = "AdjustmentRequested"
    adjustment_id: str
    points: int
    reason: str
    note: str | None = None
    effective_at: datetime
    requested_by: str


class AdjustmentRejected(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The second person said no."""

    TOPIC = "AdjustmentRejected"
    adjustment_id: str
    reason: str | None = None


class PointsAdjusted(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Staff gave points (a lot) or took points (drawn from lots), with a reason."""

    TOPIC = "PointsAdjusted"
    adjustment_id: str
    points: int
    reason: str
    note: str | None = None
    lot: LotGrant | None = None
    lots_drawn: list[LotPoints] = []
    debt_paid: list[DebtPaid] = []
    approved: bool = False


# The programme


class ProgrammePublished(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A whole rule set, in force from `effective_at` (PROGRAMME 1); `rules` is its JSON."""

    TOPIC = "ProgrammePublished"
    version: int
    effective_at: datetime
    rules: str


MEMBER_EVENTS: Final[tuple[type[Event], ...]] = (
    MemberEnrolled,
    MemberFrozen,
    MemberUnfrozen,
    MemberClosed,
    MemberFlagged,
    NewcomerRewarded,
    PointsAccrued,
    ActivityRewarded,
    PointsActivated,
    ReferrerNamed,
    ReferralRefused,
    ReferralRewarded,
    ReferralReversed,
    CouponIssued,
    CouponVoided,
    TierUpgraded,
    TierRenewed,
    TierExtended,
    TierDowngraded,
    LevelReviewed,
    BenefitUsed,
    PointsReserved,
    ReservationCaptured,
    ReservationReleased,
    ReservationLapsed,
    PointsRedeemed,
    OrderRefunded,
    PointsRestored,
    PointsClawedBack,
    PointsExpired,
    PointsExpiryCorrected,
    AdjustmentRequested,
    AdjustmentRejected,
    PointsAdjusted,
)

ALL_EVENTS: Final[tuple[type[Event], ...]] = (*MEMBER_EVENTS, ProgrammePublished)

TOPICS: Final[dict[str, type[Event]]] = {cls.TOPIC: cls for cls in ALL_EVENTS}


class RecordedEvent(msgspec.Struct, frozen=True):
    """An event in its place: stream and version (from 1), and, once stored, position and time.

    Has the names that the eventsourcing library asks of a domain event.
    """

    originator_id: str
    originator_version: int
    event: Any
    position: int | None = None
    recorded_at: datetime | None = None
