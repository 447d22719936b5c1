"""An independent oracle for the points ledger: plain, slow, and written from the text alone.

It is written from PROGRAMME.md (sections 1–7, the daily cap of 2.2, late data of 3.6, the guard
rails of 10 on referees and refunds), API.md (result codes) and retail.toml (the form of the
rules), and knows nothing of the product's code. What a lot holds is recomputed from all its
movements. Every change goes through `change`, `append` or `put`, which write down how to undo it:
so a refused operation leaves nothing behind, and a read can try what the clock would do. Exact
arithmetic is `Fraction`; each function cites its rule.

Where the text is silent it follows docs/decisions.md; where neither speaks, `AMBIGUITIES` says
what was chosen.

Not modelled (it comes later or lies elsewhere): the rewards catalogue, coupon use and limits,
benefits of tiers (6.5), merges, the guard rails on redemptions, approval, finance. Hooks
(`set_level` and its kin) put a member where no review has: for examples that are about points.
"""

from __future__ import annotations

import functools
import math
import re
from calendar import monthrange
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Concatenate, NamedTuple, ParamSpec
from zoneinfo import ZoneInfo

P = ParamSpec("P")
Rules = Mapping[str, Any]


class Ambiguity(NamedTuple):
    """A place where the text leaves a choice: what this oracle does, what else it could mean."""

    rule: str
    choice: str
    alternative: str


AMBIGUITIES: tuple[Ambiguity, ...] = (
    # ---- time, versions, identity
    Ambiguity(
        "PROGRAMME 1 time: what a late decision sees",
        "level, segment, rules, campaigns, pending status and expiry dates are taken at "
        "occurred_at; balances, debts, member status (frozen, closed) and reservations are "
        "those known when recorded",
        "member status as of occurred_at: a late order from before a freeze would be accepted",
    ),
    Ambiguity(
        "API idempotency: 'same content'",
        "the request as given is compared: an omitted occurred_at is not equal to a given one; "
        "money is compared as a number (10 = 10.00); items in order",
        "compare after defaults are filled in, or leave occurred_at out of the content",
    ),
    Ambiguity(
        "API idempotency: enrolment",
        "a known member_id with the same content answers as the first time, else "
        "already_recorded; a member enrolled by an order has different content",
        "a repeat is always already_recorded, or always answers with the member",
    ),
    Ambiguity(
        "API: order of refusals",
        "invalid_request, known id, not_found, another member's order (not_eligible), "
        "member_closed / member_frozen, business rule; for a cash offset: redemption off, "
        "below_minimum, not_a_multiple, order fully refunded, over_order_share, limit_reached, "
        "insufficient_points; for a capture: reservation_over before member_frozen; for an "
        "activity: what the programme does not know comes after member_frozen",
        "any other order among the business rules",
    ),
    Ambiguity(
        "API: an id that breaks the form",
        "in a body: invalid_request; in a path (capture, release, freeze, adjust's member): "
        "unknown, so not_found",
        "invalid_request in both",
    ),
    Ambiguity(
        "PROGRAMME 1 joined_at",
        "an order, activity or redemption that happened before joined_at is accepted",
        "refuse it",
    ),
    Ambiguity(
        "API: occurred_at in the future (up to 5 minutes)",
        "a current read shows what has been recorded, also with occurred_at a little after now; "
        "but it can't be drawn by something that occurred before it (3.2)",
        "a current read hides it until its time",
    ),
    # ---- earning
    Ambiguity(
        "PROGRAMME 2.1/2.11 rows and names of the breakdown",
        "rows are spend, level:CODE, campaign:CODE, bonus:CODE, activity:NAME, cap; a row that "
        "comes to 0 is kept; compare rows that are not 0",
        "rows of 0 are left out; other names",
    ),
    Ambiguity(
        "PROGRAMME 2.2 best, with scoped campaigns",
        "each item share takes its own largest multiplier (ties: level, then campaign code); only "
        "the multipliers that win somewhere have a row",
        "one largest multiplier for the whole order; rows for the losers too",
    ),
    Ambiguity(
        "PROGRAMME 2.1 zero order",
        "amount 0 earns nothing at all, no bonus either; an order with amount > 0 of which "
        "nothing is eligible still gets an unscoped bonus",
        "bonuses only where something is eligible",
    ),
    Ambiguity(
        "PROGRAMME 2.1 scoped bonus",
        "a bonus with product lines is given once if an eligible item of those lines has a share "
        "greater than 0",
        "in proportion to the share, or also for excluded or free items",
    ),
    Ambiguity(
        "PROGRAMME 2.8 campaign period and default scope",
        "from ≤ occurred_at < until; applies_to defaults to 'order'; an empty list restricts "
        "nothing; a value that the event lacks (no channel) does not match a given list",
        "until inclusive; default 'both'",
    ),
    Ambiguity(
        "PROGRAMME 2.3 what uses up an activity's limit",
        "activities that were not over a cap; one left with 0 by the daily earning cap was over "
        "a cap too, so it uses up nothing",
        "an activity that the daily earning cap cut to 0 still uses up its once/max_per_day",
    ),
    Ambiguity(
        "PROGRAMME 2.3 missing reference, unknown activity",
        "once_per order or reference without a reference is invalid_request; so is an activity "
        "that the programme does not know",
        "a missing reference counts as one value; an unknown activity is not_found",
    ),
    Ambiguity(
        "PROGRAMME 2.6 several spend gifts",
        "every gift whose threshold is met is issued",
        "only the highest",
    ),
    Ambiguity(
        "PROGRAMME 2.7 code with the first order",
        "accepted while no order with amount > 0 is recorded (a zero order may carry it); no "
        "referee coupon then, except that an automatic enrolment counts as 'at enrolment'",
        "only with the very first order; coupon also then",
    ),
    Ambiguity(
        "PROGRAMME 2.7 monthly limit",
        "20 rewarded referrals by calendar month (local) of the first order's occurred_at; beyond "
        "it neither points nor coupons, and for good; a frozen or closed referrer gets nothing",
        "month of recording; coupons still; a frozen referrer is rewarded later",
    ),
    Ambiguity(
        "PROGRAMME 2.7 several bars at once",
        "the first of same_member, already_referred, not_first_order, same_phone, same_email, "
        "loop; e-mails are compared without regard to case, phones and codes without what stands "
        "between, phones also without the country's code; a code that comes with the first order "
        "is accepted also where it rewards nobody, and then the answer says why",
        "any other order; the answer tells of the link only",
    ),
    Ambiguity(
        "PROGRAMME 2.7 a code where [referral] is omitted",
        "not looked at, and not_offered is the answer",
        "an unknown code is not_found there too; or the link is made for later",
    ),
    Ambiguity(
        "PROGRAMME 2.3 a coupon beside points that the daily cap cut to 0",
        "over a cap: neither points nor coupon nor gift",
        "the coupon still",
    ),
    Ambiguity(
        "PROGRAMME 2.8 bonus on an activity that gives a coupon instead of points",
        "none: there are no points to add to",
        "the bonus alone",
    ),
    Ambiguity(
        "PROGRAMME 10 refund ratio",
        "looked at when a refund is recorded, with that refund, over all orders recorded so far; "
        "flags once, until the member is unfrozen, which ends flags and delay",
        "also when an order reaches after_orders; at the occurred_at of the refund",
    ),
    Ambiguity(
        "PROGRAMME 10 delay",
        "order lots recorded after the flag pend, window of [returns], or 7 days where it is "
        "omitted",
        "those with occurred_at after the flag's",
    ),
    Ambiguity(
        "PROGRAMME 2.7 source of the referrer's lot",
        "source 'referral', without order_id; its clawback leaves out what of it expired unspent, "
        "and a shortfall becomes the referrer's debt under the refunded order",
        "order_id of the referee's order",
    ),
    # ---- lots, drawing, late data
    Ambiguity(
        "PROGRAMME 3.2/3.6 correction while there is debt",
        "a correction pays debt first (5.6), so a late draw of n corrects n + debt, and may find "
        "insufficient_points although n had expired; the lot's held points are drawn before its "
        "expired ones",
        "correct exactly n and leave the debt",
    ),
    Ambiguity(
        "PROGRAMME 3.6 late negative adjustment",
        "draws like a redemption, with corrections (3.2 names every drawing)",
        "3.6 names only redemptions, reservations and clawbacks",
    ),
    Ambiguity(
        "PROGRAMME 3.5 released after the date, with debt",
        "the release pays debt first, and the rest expires dated at the release",
        "all of it expires",
    ),
    Ambiguity(
        "PROGRAMME 4.3 at reserved_until exactly",
        "lapsed (an as-of read includes what occurred at that very moment)",
        "still good",
    ),
    Ambiguity(
        "PROGRAMME 2.9 release job",
        "counts every lot whose pending time has passed, even with nothing remaining",
        "only lots with something remaining",
    ),
    # ---- redeeming
    Ambiguity(
        "PROGRAMME 4.1 order share",
        "points × value (each at its own time's) of all redeemed and live reserved redemptions "
        "with that order_id, without taking off restored points, against this call's order_amount",
        "net of restored points; all at today's value",
    ),
    Ambiguity(
        "PROGRAMME 4.1 [redemption] omitted",
        "cash offset is off: not_eligible",
        "no limits",
    ),
    Ambiguity(
        "retail.toml limits.redemptions_per_day",
        "limit_reached when that many redemptions or reservations of the member have the local "
        "day of occurred_at, whatever became of them",
        "released and lapsed ones do not count",
    ),
    Ambiguity(
        "PROGRAMME 4.3 capture",
        "repeat is judged by the points (none = all of it), also after a capture by an accrual; "
        "more than reserved: insufficient_points; a part must be a multiple of the step but may "
        "be below the minimum; capturing a redemption that never was reserved: reservation_over",
        "more than reserved: invalid_request; the minimum holds too",
    ),
    Ambiguity(
        "PROGRAMME 4.5 frozen or closed and a reservation",
        "capture is refused; release and lapse work",
        "a capture completes what was reserved before",
    ),
    Ambiguity(
        "API freeze / unfreeze / close",
        "repeats are ok and change nothing; freeze or unfreeze of a closed member: member_closed; "
        "close leaves the points alone",
        "a repeat is refused; a close forfeits",
    ),
    Ambiguity(
        "API accruals: redemption_ids",
        "unknown or of another member: not_found; made for another order: not_eligible; lapsed "
        "or released: reservation_over; the share limit is not tested again",
        "a reservation made for another order is moved to this one",
    ),
    # ---- refunds
    Ambiguity(
        "PROGRAMME 5.2 'the order's own lot'",
        "also the lots formed by restoring points of it (same source and order); of an own lot "
        "3.2 holds too: expired at the refund's date means not taken",
        "the accrual's lot only",
    ),
    Ambiguity(
        "PROGRAMME 5.1/5.2 expired unspent",
        "all that expired from a lot past its day on the refund's date, or is still in it; points "
        "in a reservation have not expired, but those released by now count, whenever it was",
        "expiries dated by the refund's occurred_at only: points released late would count as held",
    ),
    Ambiguity(
        "PROGRAMME 5.3 new lot",
        "one new lot per draw given back; its granted is all restored into it, debt payment "
        "included",
        "one per refund and lot drawn from",
    ),
    Ambiguity(
        "PROGRAMME 5.3 last-drawn",
        "by the recording of the redemptions (a reservation draws when made), within one by the "
        "order drawn",
        "by occurred_at, or by capture",
    ),
    Ambiguity(
        "PROGRAMME 5.3 redeemed after a refund",
        "restored at the order's next refund, if any",
        "-",
    ),
    Ambiguity(
        "PROGRAMME 5.2 waived points",
        "neither in points_clawed_back nor in totals.clawed_back; later refunds of the order "
        "count them as taken back (5.1)",
        "shown as clawed back",
    ),
    Ambiguity(
        "PROGRAMME 5.6 oldest debt",
        "by the occurred_at of the refund that made it, then by recording; 'later' means recorded "
        "later",
        "by recording only",
    ),
    # ---- tiers
    Ambiguity(
        "PROGRAMME 6.2 which moments are tested",
        "those of counting orders, ties together, each by the version in force at it (API: what is "
        "recorded with occurred_at from effective_at on); an order of amount 0 tests nothing",
        "of all orders; all by the version of the order just recorded",
    ),
    Ambiguity(
        "PROGRAMME 6.2 a late order that reaches one tier, and at a later moment another",
        "both upgrades, each dated by the first moment that reaches, as in time",
        "only the first",
    ),
    Ambiguity(
        "PROGRAMME 6.2 a late order of before the tier was lost",
        "at a moment before the day of the loss a lost tier can't be reached, neither by lifetime "
        "totals nor by keep figures",
        "lifetime totals still count for those moments",
    ),
    Ambiguity(
        "PROGRAMME 6.3 always",
        "given with an order of the validity, dated by it (1: consequences share the write's "
        "occurred_at), for all orders known of the validity; a validity that a late review begins "
        "is tested at its next order; at its end the grace rule holds if still unused",
        "a late order: dated by the earliest order with which they are reached",
    ),
    Ambiguity(
        "PROGRAMME 6.4 re-examination",
        "by any order recorded after the review whose date its window holds; of the review that "
        "stands (a correction replaces what it corrects, and what came after); by the version in "
        "force at its time as known now; not where an upgrade has been recorded since",
        "only by an order that is older than another; by the version known at the review",
    ),
    Ambiguity(
        "API tier.since",
        "the local date of the upgrade or downgrade to it, the enrolment's for the first; renewals "
        "and extensions leave it",
        "the first day of the validity",
    ),
    # ---- levels, segments, lifecycle
    Ambiguity(
        "PROGRAMME 7 review day changed from one version to another",
        "every day that is the review day of the version in force at its midnight is one",
        "one a calendar month",
    ),
    Ambiguity(
        "PROGRAMME 7 a section switched on after reviews without it",
        "until the next review a member stands where everybody starts",
        "null until then",
    ),
    Ambiguity(
        "API adjustments over the limit",
        "approval_required, nothing booked (the product answers 202 and waits)",
        "-",
    ),
)


class RefusedError(Exception):
    """A business refusal: carries the API's code."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


# ------------------------------------------------------------------------------- what is answered


@dataclass(frozen=True)
class Result:
    """What an operation answers: a code, and what it did."""

    code: str
    points: int = 0
    breakdown: tuple[tuple[str, int], ...] = ()
    clawed_back: int = 0  # includes `debt`, as the API's points_clawed_back
    restored: int = 0
    debt: int = 0  # what this refund turned into debt
    waived: int = 0
    debt_paid: int = 0  # of a grant: the part that paid debt
    lots: tuple[tuple[str, str | None, int], ...] = ()  # drawn: (source, order_id, points)
    issued: tuple[str, ...] = ()  # coupon templates issued to this member
    status: str | None = None  # of a redemption
    reason: str | None = None  # of an activity over a cap
    referral: tuple[str, str | None] | None = None  # (accepted or refused, why) of a code sent
    tier: tuple[str, str] | None = None  # (from, to) where the order brought an upgrade


# ---------------------------------------------------------------------------------- the history


@dataclass
class Lot:
    """PROGRAMME 1: the points of one grant, with one expiry."""

    number: int
    source: str
    order_id: str | None
    funded_by: str | None
    granted: int
    earned_at: datetime
    expires_on: date | None
    pending_until: datetime | None = None
    release_recorded: bool = False
    formed_from: Lot | None = None  # the lot whose points were restored into this new one
    moves: list[Move] = field(default_factory=list)

    @property
    def root(self) -> Lot:
        """The lot of the grant that these points came from (PROGRAMME 5.3)."""
        return self if self.formed_from is None else self.formed_from.root

    def remaining(self) -> int:
        """What it holds now, by its movements (points in a reservation are not in it)."""
        return sum(m.in_lot for m in self.moves)

    def expired(self) -> int:
        """What has expired from it, net of corrections."""
        return sum(m.counts for m in self.moves if m.kind == "expired")


TOTAL_SIGN = {
    "granted": 1,
    "restored": 1,
    "adjusted": 1,
    "redeemed": -1,
    "expired": -1,
    "clawed_back": -1,
}


@dataclass
class Move:
    """One posting on a member's account. `kind` counts `counts` in the totals, if it is a total."""

    kind: str
    counts: int
    lot: Lot | None
    in_lot: int
    in_reserve: int
    in_debt: int
    occurred_at: datetime
    recorded_at: datetime


@dataclass
class Debt:
    """PROGRAMME 5.2: points owed, of one refunded order."""

    order_id: str | None
    owed_at: datetime
    left: int


@dataclass
class Coupon:
    """An issued coupon, as a template name only."""

    template: str
    issued_by: str | None  # the order that issued it
    status: str = "issued"


@dataclass
class Earned:
    """PROGRAMME 2.2: a gross grant that the daily cap counts, on its local day."""

    day: date
    points: int


@dataclass
class ActivityRecord:
    """PROGRAMME 2.3: an activity, with whether it was over a cap."""

    activity: str
    reference: str | None
    day: date
    over_cap: bool


@dataclass
class Reward:
    """PROGRAMME 2.7: what a referral gave the referrer."""

    referrer: Member
    lot: Lot | None
    points: int
    day: date
    reversed: bool = False

    @property
    def month(self) -> tuple[int, int]:
        """The calendar month that it counts in."""
        return (self.day.year, self.day.month)


@dataclass(frozen=True)
class TierHeld:
    """PROGRAMME 6: where a member stands on the ladder, and which tiers were lost when."""

    code: str
    since: date
    until: date | None  # the last good day; the first tier has none
    extended: bool = False  # this validity has had its grace extension
    lost: Mapping[str, date] = field(default_factory=dict)


@dataclass(frozen=True)
class TierEvent:
    """PROGRAMME 6: upgraded, renewed, extended or downgraded."""

    kind: str
    from_tier: str
    to_tier: str
    occurred_at: datetime
    until: date | None
    corrects: int | None = None  # the place of the event that it corrects


@dataclass(frozen=True)
class TierReview:
    """PROGRAMME 6.3: a review that stands, with all that 6.4 needs to decide it again."""

    event: int  # its place among the member's tier events
    at: datetime
    before: TierHeld
    outcome: str


OUTCOMES = ("downgraded", "extended", "renewed")  # from worst to best


@dataclass(frozen=True)
class LevelReview:
    """PROGRAMME 7: what the review of one day found; None where a section is off."""

    on: date
    level: str | None
    score: int | None
    segment: str | None
    lifecycle: str | None
    spend: Decimal
    orders: int
    repurchases: int
    activities: int
    activities_30d: int


@dataclass
class Member:
    """A member with the whole history of the account."""

    member_id: str
    joined_at: datetime
    phone: str | None
    email: str | None
    status: str = "active"
    referral_code: str = ""
    referrer: Member | None = None
    flags: list[str] = field(default_factory=list)  # PROGRAMME 10, in the order of tripping
    delayed: bool = False
    refusals: list[str] = field(default_factory=list)  # why referrals of this referee were refused
    lots: list[Lot] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    debts: list[Debt] = field(default_factory=list)
    coupons: list[Coupon] = field(default_factory=list)
    earned: list[Earned] = field(default_factory=list)
    activities: list[ActivityRecord] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)  # in the order of recording
    redemptions: list[Redemption] = field(default_factory=list)  # in the order of recording
    # (since, kind, code) of tier, level, segment, lifecycle, in the order of recording
    standings: list[tuple[datetime, str, str]] = field(default_factory=list)
    tier: TierHeld | None = None  # none before the first tier event
    tier_events: list[TierEvent] = field(default_factory=list)
    tier_reviews: list[TierReview] = field(default_factory=list)  # those that stand
    level_reviews: list[LevelReview] = field(default_factory=list)

    def reserved(self) -> int:
        """Points in reservations."""
        return sum(m.in_reserve for m in self.moves)

    def debt(self) -> int:
        """Points owed."""
        return sum(m.in_debt for m in self.moves)


@dataclass
class Order:
    """A recorded order, with what decided its points (PROGRAMME 5.1 needs it again)."""

    order_id: str
    member: Member
    amount: Decimal
    occurred_at: datetime
    day: date  # the local date of occurred_at
    exact: Fraction  # eligible × rate × multipliers, unrounded
    spend_granted: int
    bonus_granted: int
    lot: Lot | None
    first: bool
    refunded: Decimal = Decimal(0)
    taken_back: int = 0  # clawed back before, debt and waived included
    reward: Reward | None = None

    fully_refunded: bool = False

    @property
    def net(self) -> Decimal:
        """PROGRAMME 6.1: amount less refunds, which belong to the order's date."""
        return self.amount - self.refunded

    @property
    def granted(self) -> int:
        """All points granted for the order."""
        return self.spend_granted + self.bonus_granted


@dataclass
class Draw:
    """Points that a redemption drew from one lot."""

    lot: Lot
    points: int
    restored: int = 0


@dataclass
class Redemption:
    """A cash offset: reserved, redeemed, released or lapsed."""

    redemption_id: str
    member: Member
    order_id: str
    points: int
    occurred_at: datetime
    reserved_until: datetime | None
    status: str
    draws: list[Draw]
    point_value: Fraction  # what one point was worth when it was decided
    spent: list[Draw] = field(default_factory=list)  # the draws that were redeemed
    was_reserved: bool = False
    answer: Result | None = None  # of its capture or release

    def holds(self, now: datetime) -> bool:
        """Whether points are spent by it, or set aside."""
        return self.status == "redeemed" or (self.status == "reserved" and not self.lapsed_by(now))

    def lapsed_by(self, now: datetime) -> bool:
        """PROGRAMME 4.3: past its time it counts as lapsed, recorded or not."""
        return (
            self.status == "reserved"
            and self.reserved_until is not None
            and now >= self.reserved_until
        )


@dataclass
class State:
    """Everything that happened."""

    members: dict[str, Member] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    redemptions: dict[str, Redemption] = field(default_factory=dict)
    rewards: list[Reward] = field(default_factory=list)
    answers: dict[tuple[str, str], tuple[object, Result]] = field(default_factory=dict)
    lots_made: int = 0


# ------------------------------------------------------------------------------------- plain tools

ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
MOST_MONEY = Decimal("99999999.99")


def exact(value: object) -> Fraction:
    """An exact rational from a figure of the configuration (PROGRAMME, preamble)."""
    return Fraction(str(value))


def add_months(day: date, months: int) -> date:
    """The same day of the month, so many months on; the month's last day where there is none."""
    index = day.year * 12 + day.month - 1 + months
    year, month = divmod(index, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def end_of(period: str, day: date) -> date:
    """The last day of the day's month, quarter or year (PROGRAMME 3.1)."""
    if period == "day":
        return day
    month = {"month": day.month, "quarter": (day.month + 2) // 3 * 3, "year": 12}[period]
    return date(day.year, month, monthrange(day.year, month)[1])


def expiry_date(points_rules: Rules, earned_on: date) -> date | None:
    """PROGRAMME 3.1: the last good day of a lot earned on a local date; 29 Feb → 28 Feb."""
    validity = points_rules.get("validity", {"years": 1})
    if validity == "none":
        return None
    months = 12 * int(validity.get("years", 0)) + int(validity.get("months", 0))
    last = add_months(earned_on, months) + timedelta(days=int(validity.get("days", 0)))
    return end_of(points_rules.get("align_expiry", "day"), last)


def need(condition: bool) -> None:
    """A request that breaks its shape is invalid_request."""
    if not condition:
        raise RefusedError("invalid_request")


def need_id(value: object) -> None:
    """API conventions: 1–64 of A–Z a–z 0–9 . _ : -"""
    need(isinstance(value, str) and ID.fullmatch(value) is not None)


def need_money(value: object) -> None:
    """API conventions: not negative, at most two decimals, at most 99,999,999.99."""
    need(isinstance(value, Decimal) and value.is_finite())
    assert isinstance(value, Decimal)
    exponent = value.as_tuple().exponent
    need(isinstance(exponent, int) and exponent >= -2)
    need(not value.is_signed() and value <= MOST_MONEY)


def need_points(value: object) -> None:
    """Points are integers."""
    need(isinstance(value, int) and not isinstance(value, bool))


def drawing_order(lot: Lot) -> tuple[bool, date, datetime, int]:
    """PROGRAMME 3.2: expires first, then earned_at, then lot id; what never expires comes last."""
    return (lot.expires_on is None, lot.expires_on or date.max, lot.earned_at, lot.number)


def digits_of(phone: str | None) -> str:
    """The digits of a phone number."""
    return "".join(sign for sign in phone or "" if sign.isdigit())


def meets(found: tuple[Decimal, int], needed: Rules) -> bool:
    """PROGRAMME 6: both figures, spend and repurchases, are reached."""
    spend, repurchases = found
    return exact(spend) >= exact(needed.get("spend", "0")) and repurchases >= int(
        needed.get("repurchases", 0)
    )


def keep_figures(tier: Rules) -> Rules:
    """PROGRAMME 6.3: what keeps a tier; omitted, what reaches it."""
    figures: Rules = tier.get("keep", tier)
    return figures


def score_of(levels: Rules, spend: Decimal, orders: int, activities: int) -> int:
    """PROGRAMME 7.1: round_half_up(0.6 × S + 0.4 × I)."""
    s = exact(spend) / exact(levels.get("spend_per_point", "50"))
    s += orders * int(levels.get("points_per_order", 5))
    i = activities * int(levels.get("points_per_activity", 5))
    weighed = exact(levels.get("spend_weight", "0.6")) * s
    weighed += exact(levels.get("activity_weight", "0.4")) * i
    return math.floor(weighed + Fraction(1, 2))


def level_of(levels: Rules, score: int) -> str:
    """PROGRAMME 7.1: the highest band that the score reaches."""
    reached = [band for band in levels["bands"] if int(band["from"]) <= score]
    return str(max(reached, key=lambda band: int(band["from"]))["code"])


def segment_of(
    segments: Rules,
    on: date,
    joined: date,
    spend: Decimal,
    repurchases: int,
    activities_30d: int,
    idle: bool,
) -> str:
    """PROGRAMME 7.2: the first that matches; an omitted one matches nobody."""
    for name in ("core", "potential"):
        figures = segments.get(name)
        if (
            figures is not None
            and meets((spend, repurchases), figures)
            and activities_30d >= int(figures.get("activities_30d", 0))
        ):
            return name
    figures = segments.get("dormant")
    if (
        figures is not None
        and joined <= add_months(on, -int(figures.get("enrolled_months", 6)))
        and exact(spend) < exact(figures.get("spend_below", "500"))
        and idle
    ):
        return "dormant"
    return str(segments.get("otherwise", "basic"))


def lifecycle_of(
    lifecycle: Rules,
    on: date,
    joined: date,
    counting: Sequence[date],
    acts: Sequence[date],
    orders: int,
) -> str:
    """PROGRAMME 7.3: the first that matches, from the days of counting orders and activities.

    Idle time counts from enrolment where there was no order or activity.
    """
    lapsing_months = int(lifecycle.get("lapsing_months", 3))
    dormant_since = add_months(on, -int(lifecycle.get("dormant_months", 6)))
    lapsing_since = add_months(on, -lapsing_months)
    won_back_since = on - timedelta(days=int(lifecycle.get("won_back_days", 90)))
    stable = lifecycle.get("stable", {})

    def came_back(order_day: date) -> bool:
        """An order after so long without one that the member was lapsing, or dormant."""
        idle_since = add_months(order_day, -lapsing_months)
        bought = any(idle_since <= d < order_day for d in counting)
        return not bought and min(joined, *counting) < idle_since

    if joined < dormant_since and not any(d >= dormant_since for d in [*counting, *acts]):
        return "dormant"
    if joined < lapsing_since and not any(d >= lapsing_since for d in counting):
        return "lapsing"
    if any(won_back_since <= d and came_back(d) for d in counting):
        return "won_back"
    if on < joined + timedelta(days=int(lifecycle.get("new_days", 90))):
        return "new"
    if joined <= add_months(on, -int(stable.get("months", 12))) and orders >= int(
        stable.get("orders", 4)
    ):
        return "stable"
    return "growing"


def same_phone(one: str | None, other: str | None) -> bool:
    """docs/decisions.md: the shorter, of eight digits or more, ends the longer."""
    short, long = sorted((digits_of(p).lstrip("0") for p in (one, other)), key=len)
    return len(short) >= 8 and long.endswith(short)


def plain_code(code: str) -> str:
    """docs/decisions.md: as somebody types it, without regard to case, blanks and hyphens."""
    return "".join(sign for sign in code.upper() if sign.isalnum())


class Item(NamedTuple):
    """One line of an order."""

    sku: str | None
    product_line: str | None
    amount: Fraction
    quantity: object


def read_items(items: Iterable[Mapping[str, Any]]) -> tuple[Item, ...]:
    """The lines of an order; `amount` is the line total (PROGRAMME 2.1)."""
    lines = []
    for line in items:
        amount = Decimal(str(line.get("amount", "0")))
        need_money(amount)
        lines.append(
            Item(line.get("sku"), line.get("product_line"), Fraction(amount), line.get("quantity"))
        )
    return tuple(lines)


def all_or_nothing(
    operation: Callable[Concatenate[Oracle, P], Result],
) -> Callable[Concatenate[Oracle, P], Result]:
    """API: a refused request changes nothing."""

    @functools.wraps(operation)
    def whole(self: Oracle, /, *args: P.args, **kwargs: P.kwargs) -> Result:
        self.undo.clear()
        try:
            return operation(self, *args, **kwargs)
        except RefusedError as refusal:
            self.undo_all()
            return Result(code=refusal.code)

    return whole


# -------------------------------------------------------------------------------------- the oracle


class Oracle:
    """The rules, written straight down."""

    def __init__(self, rules: Rules) -> None:
        """Start with one version of the rules; the first version covers all earlier time."""
        self.versions: list[tuple[datetime, Rules]] = [(datetime.min.replace(tzinfo=UTC), rules)]
        self.zone = ZoneInfo(rules["time_zone"])
        self.state = State()
        self.undo: list[Callable[[], object]] = []

    # ------------------------------------------------------------------- changes, and their undoing

    def change(self, thing: Any, name: str, value: Any) -> None:
        """Set a field."""
        before = getattr(thing, name)
        self.undo.append(lambda: setattr(thing, name, before))
        setattr(thing, name, value)

    def append(self, things: list[Any], thing: Any) -> None:
        """Add to the end of a list."""
        self.undo.append(things.pop)
        things.append(thing)

    def put(self, things: dict[Any, Any], key: Any, thing: Any) -> None:
        """Add under a key that is new."""
        assert key not in things
        self.undo.append(lambda: things.pop(key))
        things[key] = thing

    def undo_all(self) -> None:
        """Everything since the operation began is as it was, the last change undone first."""
        self.undo_to(0)

    def undo_to(self, mark: int) -> None:
        """Everything since there were so many changes is as it was then."""
        while len(self.undo) > mark:
            self.undo.pop()()

    def publish(self, rules: Rules, effective_at: datetime, now: datetime) -> None:
        """API PUT /v1/programme: decides what is recorded afterwards, from effective_at on."""
        del now  # only what is recorded afterwards is decided by it, which calls in order give
        self.versions.append((effective_at.astimezone(UTC), rules))

    # ------------------------------------------------------------------------------ rules and time

    def rules_at(self, moment: datetime) -> Rules:
        """PROGRAMME 1: the version in force at occurred_at, as known; the last published wins."""
        in_force = [v for v in enumerate(self.versions) if v[1][0] <= moment]
        return max(in_force, key=lambda v: (v[1][0], v[0]))[1][1]

    def points_rules(self, moment: datetime) -> Rules:
        """The [points] section in force."""
        section: Rules = self.rules_at(moment).get("points", {})
        return section

    def local_date(self, moment: datetime) -> date:
        """PROGRAMME 1: dates are local dates of the programme."""
        return moment.astimezone(self.zone).date()

    def midnight(self, day: date) -> datetime:
        """The local midnight at which a date begins."""
        return datetime.combine(day, time(0), tzinfo=self.zone).astimezone(UTC)

    def times(self, now: datetime, occurred_at: datetime | None) -> tuple[datetime, datetime]:
        """(now, occurred_at): defaults to now; at most 5 minutes in the future (API)."""
        need(now.tzinfo is not None)
        at = now if occurred_at is None else occurred_at
        need(at.tzinfo is not None)
        now, at = now.astimezone(UTC), at.astimezone(UTC)
        need(at <= now + timedelta(minutes=5))
        return now, at

    # -------------------------------------------------------------------------------- standings

    def standing(self, member: Member, kind: str, moment: datetime) -> str | None:
        """PROGRAMME 1, 6, 7: tier, level, segment or lifecycle that held at a moment.

        The last recorded since that moment or before; before the first, where everybody starts;
        where the section is off, null.
        """
        rules = self.rules_at(moment)
        starts: dict[str, str | None] = {
            "level": rules["levels"]["bands"][0]["code"] if "levels" in rules else None,
            "segment": rules["segments"].get("otherwise", "basic") if "segments" in rules else None,
            "lifecycle": "new" if "lifecycle" in rules else None,
            "tier": rules["tiers"][0]["code"] if rules.get("tiers") else None,
        }
        code = starts[kind]
        if code is not None:
            for since, of_kind, value in member.standings:
                if of_kind == kind and since <= moment:
                    code = value
        return code

    def stands(self, member: Member, kind: str, since: datetime, code: str | None) -> None:
        """From a moment on the member is this; what was there before stays in the history."""
        if code is not None:
            self.append(member.standings, (since, kind, code))

    def set_standing(self, member_id: str, kind: str, since: datetime, code: str) -> None:
        """Hook: what a review would have decided (kind: level, segment, lifecycle, tier)."""
        self.stands(self.state.members[member_id], kind, since.astimezone(UTC), code)

    def set_level(self, member_id: str, since: datetime, code: str) -> None:
        """Hook: the member's level from a moment on."""
        self.set_standing(member_id, "level", since, code)

    def set_referral_code(self, member_id: str, code: str) -> None:
        """Hook: the code that the product made for a member (default: `code-` + member_id)."""
        self.state.members[member_id].referral_code = code

    def use_coupon(self, member_id: str, template: str) -> None:
        """Hook: the member's first unused coupon of a template is used."""
        coupons = self.state.members[member_id].coupons
        next(c for c in coupons if c.template == template and c.status == "issued").status = "used"

    # ---------------------------------------------------------------------------------- identity

    def known(self, kind: str, key: str, content: object) -> Result | None:
        """API idempotency: the same content answers as the first time, other content is refused."""
        if (kind, key) not in self.state.answers:
            return None
        first_content, first_answer = self.state.answers[kind, key]
        if first_content != content:
            raise RefusedError("already_recorded")
        return first_answer

    def remember(self, kind: str, key: str, content: object, answer: Result) -> Result:
        """Business ids are remembered for ever."""
        self.put(self.state.answers, (kind, key), (content, answer))
        return answer

    def find_member(self, member_id: str) -> Member:
        """API: unknown id 404."""
        if member_id not in self.state.members:
            raise RefusedError("not_found")
        return self.state.members[member_id]

    def need_active(self, member: Member) -> None:
        """PROGRAMME 4.5: a frozen or closed member can't earn or redeem."""
        if member.status != "active":
            raise RefusedError("member_" + member.status)

    # ---------------------------------------------------------------------------------- postings

    def book(
        self,
        member: Member,
        kind: str,
        *,
        counts: int = 0,
        lot: Lot | None = None,
        in_lot: int = 0,
        in_reserve: int = 0,
        in_debt: int = 0,
        at: datetime,
        now: datetime,
    ) -> None:
        """One posting. PROGRAMME 11.2 holds for each: closing = lots + reserved − debt."""
        assert TOTAL_SIGN.get(kind, 0) * counts == in_lot + in_reserve - in_debt, kind
        move = Move(kind, counts, lot, in_lot, in_reserve, in_debt, at, now)
        self.append(member.moves, move)
        if lot is not None:
            self.append(lot.moves, move)
            assert lot.remaining() >= 0
        assert in_reserve >= 0 or member.reserved() >= 0
        assert in_debt >= 0 or member.debt() >= 0

    def pay_debt(self, member: Member, lot: Lot, points: int, at: datetime, now: datetime) -> int:
        """PROGRAMME 5.6: of points just put into a lot, debt is paid first, oldest debt first."""
        paid = 0
        for debt in sorted(member.debts, key=lambda d: d.owed_at):  # a stable sort
            part = min(debt.left, points - paid)
            if part > 0:
                self.change(debt, "left", debt.left - part)
                paid += part
                self.book(member, "debt_paid", lot=lot, in_lot=-part, in_debt=-part, at=at, now=now)
        return paid

    def new_lot(
        self,
        member: Member,
        source: str,
        points: int,
        earned_at: datetime,
        expires_on: date | None,
        *,
        order_id: str | None = None,
        funded_by: str | None = None,
        formed_from: Lot | None = None,
    ) -> Lot:
        """A lot, still without points in it."""
        self.change(self.state, "lots_made", self.state.lots_made + 1)
        lot = Lot(self.state.lots_made, source, order_id, funded_by, points, earned_at, expires_on)
        lot.formed_from = formed_from
        self.append(member.lots, lot)
        return lot

    def grant(
        self,
        member: Member,
        source: str,
        points: int,
        at: datetime,
        now: datetime,
        *,
        order_id: str | None = None,
        funded_by: str | None = None,
        kind: str = "granted",
        may_pend: bool = False,
    ) -> tuple[Lot | None, int]:
        """A grant makes one lot (PROGRAMME 3.1) and pays debt first (5.6): (lot, debt paid)."""
        if points == 0:
            return None, 0
        rules = self.points_rules(at)
        expires_on = expiry_date(rules, self.local_date(at))
        lot = self.new_lot(
            member, source, points, at, expires_on, order_id=order_id, funded_by=funded_by
        )
        if may_pend and (rules.get("pending", False) or member.delayed):
            lot.pending_until = self.pending_end(member, at)
        self.book(member, kind, counts=points, lot=lot, in_lot=points, at=at, now=now)
        return lot, self.pay_debt(member, lot, points, at, now)

    def pending_end(self, member: Member, at: datetime) -> datetime | None:
        """PROGRAMME 2.9: until the local midnight after date + window days."""
        returns = self.rules_at(at).get("returns")
        if returns is None and not member.delayed:
            return None
        returns = returns or {}
        window = returns.get("window_days_by_segment", {}).get(
            self.standing(member, "segment", at), returns.get("window_days", 7)
        )
        return self.midnight(self.local_date(at) + timedelta(days=int(window) + 1))

    def past_its_day(self, lot: Lot, day: date) -> bool:
        """PROGRAMME 3.1: expires_on is the last good day."""
        return lot.expires_on is not None and lot.expires_on < day

    def pending_at(self, lot: Lot, moment: datetime) -> bool:
        """PROGRAMME 2.9: pending by the clock."""
        return lot.pending_until is not None and moment < lot.pending_until

    def drawable(self, member: Member, at: datetime, *, pending: bool) -> list[Lot]:
        """PROGRAMME 3.2: earned by then, good on that date; pending ones apart (2.9)."""
        day = self.local_date(at)
        return sorted(
            (
                lot
                for lot in member.lots
                if lot.earned_at <= at
                and not self.past_its_day(lot, day)
                and self.pending_at(lot, at) == pending
            ),
            key=drawing_order,
        )

    def draw(
        self,
        member: Member,
        lots: Sequence[Lot],
        points: int,
        kind: str,
        at: datetime,
        now: datetime,
    ) -> list[Draw]:
        """PROGRAMME 3.2 and 3.6: up to what each lot holds now plus what has expired from it.

        Draws what it can and leaves it to the caller what a shortfall means.
        """
        drawn = []
        missing = points
        for lot in lots:
            take = min(missing, lot.remaining())
            expired = lot.expired()
            if missing > take and expired > 0:
                # 3.6: the expiry is corrected, as far as needed; 5.6: which pays debt first
                corrected = min(expired, missing - take + member.debt())
                take += self.correct_expiry(member, lot, corrected, now)
            if take > 0:
                self.book_draw(member, lot, take, kind, at, now)
                drawn.append(Draw(lot, take))
                missing -= take
        return drawn

    def correct_expiry(self, member: Member, lot: Lot, points: int, now: datetime) -> int:
        """PROGRAMME 3.6: negative expired, dated at the expiry; what debt leaves of it."""
        left = points
        paid = 0
        dates = sorted({m.occurred_at for m in lot.moves if m.kind == "expired"})
        for expired_at in dates:
            there = sum(
                m.counts for m in lot.moves if m.kind == "expired" and m.occurred_at == expired_at
            )
            part = min(there, left)
            if part > 0:
                self.book(
                    member, "expired", counts=-part, lot=lot, in_lot=part, at=expired_at, now=now
                )
                paid += self.pay_debt(member, lot, part, expired_at, now)
                left -= part
        assert left == 0
        return points - paid

    def book_draw(
        self, member: Member, lot: Lot, points: int, kind: str, at: datetime, now: datetime
    ) -> None:
        """Take points out of a lot: reserve, redeemed, clawed_back, or adjusted (negative)."""
        if kind == "reserve":
            self.book(member, kind, lot=lot, in_lot=-points, in_reserve=points, at=at, now=now)
        elif kind == "adjusted":
            self.book(member, kind, counts=-points, lot=lot, in_lot=-points, at=at, now=now)
        else:
            self.book(member, kind, counts=points, lot=lot, in_lot=-points, at=at, now=now)

    def give_back(self, member: Member, draws: Sequence[Draw], at: datetime, now: datetime) -> None:
        """PROGRAMME 4.3: to the same lots; 5.6: debt first; 3.5: after the date it expires."""
        for draw in draws:
            lot, points = draw.lot, draw.points
            self.book(member, "release", lot=lot, in_lot=points, in_reserve=-points, at=at, now=now)
            left = points - self.pay_debt(member, lot, points, at, now)
            if left > 0 and self.past_its_day(lot, self.local_date(at)):
                self.book(member, "expired", counts=left, lot=lot, in_lot=-left, at=at, now=now)

    def book_lapses(self, member: Member, now: datetime) -> int:
        """PROGRAMME 4.3: past its time it lapses, dated reserved_until, in every decision."""
        due = [r for r in member.redemptions if r.lapsed_by(now) and r.reserved_until is not None]
        for redemption in sorted(due, key=lambda r: r.reserved_until or r.occurred_at):
            assert redemption.reserved_until is not None
            self.change(redemption, "status", "lapsed")
            self.give_back(member, redemption.draws, redemption.reserved_until, now)
        return len(due)

    def book_expiries(self, member: Member, as_of: datetime) -> int:
        """PROGRAMME 3.3: per lot that still holds points, dated the midnight it expired."""
        count = 0
        for lot in sorted(member.lots, key=drawing_order):
            if not self.past_its_day(lot, self.local_date(as_of)):
                continue
            left = lot.remaining()
            if left > 0:
                assert lot.expires_on is not None
                at = self.midnight(lot.expires_on + timedelta(days=1))
                self.book(member, "expired", counts=left, lot=lot, in_lot=-left, at=at, now=as_of)
                count += 1
        return count

    def issue(self, member: Member, template: str | None, order_id: str | None) -> tuple[str, ...]:
        """A coupon is issued; here a template name."""
        if not template:
            return ()
        self.append(member.coupons, Coupon(template, order_id))
        return (template,)

    # ---------------------------------------------------------------------------------- enrolment

    @all_or_nothing
    def enrol(
        self,
        now: datetime,
        member_id: str,
        *,
        occurred_at: datetime | None = None,
        referral_code: str | None = None,
        phone: str | None = None,
        email: str | None = None,
    ) -> Result:
        """PROGRAMME 2.4 and 2.7: a new member, with the newcomer pack."""
        given_at = occurred_at
        now, at = self.times(now, occurred_at)
        need_id(member_id)
        content = (member_id, given_at, referral_code, phone, email)
        answer = self.known("member", member_id, content)
        if answer is not None:
            return answer
        answer = self.enrol_now(member_id, at, now, referral_code, phone, email)
        return self.remember("member", member_id, content, answer)

    def enrol_now(
        self,
        member_id: str,
        at: datetime,
        now: datetime,
        referral_code: str | None,
        phone: str | None,
        email: str | None,
    ) -> Result:
        """PROGRAMME 2.4: newcomer points and coupon; 2.7: the referee's coupon."""
        member = Member(member_id, at, phone, email, referral_code="code-" + member_id)
        self.put(self.state.members, member_id, member)
        rules = self.rules_at(at)
        issued: tuple[str, ...] = ()
        newcomer = rules.get("newcomer", {})
        points = int(newcomer.get("points", 0))
        self.grant(member, "enrolment", points, at, now)
        issued += self.issue(member, newcomer.get("coupon"), None)
        referral = self.refer(member, referral_code, at)
        if referral == ("accepted", None):
            issued += self.issue(member, rules["referral"].get("referee_coupon"), None)
            self.look_at_phones(member, at)
        rows = (("newcomer", points),) if points else ()
        return Result("ok", points, rows, issued=issued, referral=referral)

    def refer(
        self, referee: Member, code: str | None, at: datetime
    ) -> tuple[str, str | None] | None:
        """PROGRAMME 2.7: one referrer per referee, no self-referral, no loop; makes the link."""
        if code is None:
            return None
        if "referral" not in self.rules_at(at):  # an omitted section is off
            return ("refused", "not_offered")
        typed = plain_code(code)
        owners = [m for m in self.state.members.values() if plain_code(m.referral_code) == typed]
        if not owners:
            raise RefusedError("not_found")
        referrer = owners[0]
        bar = self.bar_of(referee, referrer)
        if bar is not None:
            self.append(referee.refusals, bar)
            return ("refused", bar)
        self.change(referee, "referrer", referrer)
        return ("accepted", None)

    def bar_of(self, referee: Member, referrer: Member) -> str | None:
        """PROGRAMME 2.7: why this member may not be this one's referee."""
        if referrer is referee:
            return "same_member"
        if referee.referrer is not None:
            return "already_referred"
        if self.first_order_of(referee) is not None:
            return "not_first_order"
        if same_phone(referee.phone, referrer.phone):
            return "same_phone"
        if (referee.email or "").lower() == (referrer.email or "").lower() != "":
            return "same_email"
        above = referrer.referrer  # a loop: the referee stands somewhere above the referrer
        while above is not None:
            if above is referee:
                return "loop"
            above = above.referrer
        return None

    def first_order_of(self, member: Member) -> Order | None:
        """PROGRAMME 2.5: the first recorded with amount > 0, even if refunded later."""
        return next((order for order in member.orders if order.amount > 0), None)

    # -------------------------------------------------------------------------------- guard rails

    def guard_rail(self, name: str, at: datetime) -> Rules | None:
        """PROGRAMME 10: a guard rail in force."""
        rail: Rules | None = self.rules_at(at).get("guard_rails", {}).get(name)
        return rail

    def look_at_phones(self, referee: Member, at: datetime) -> None:
        """PROGRAMME 10: more of one referrer's referees on one phone prefix than the limit."""
        rail = self.guard_rail("referees_per_phone_prefix", at)
        if rail is None or not int(rail.get("limit", 0)):
            return
        count = int(rail["digits"])
        prefix = digits_of(referee.phone)[:count]
        alike = [
            m
            for m in self.state.members.values()
            if m.referrer is referee.referrer and digits_of(m.phone)[:count] == prefix
        ]
        if len(prefix) == count and len(alike) > int(rail["limit"]):
            self.trip(referee, "referees_per_phone_prefix", rail)

    def look_at_refunds(self, member: Member, at: datetime) -> None:
        """PROGRAMME 10: the refunded part of all that the member ever paid."""
        rail = self.guard_rail("refund_ratio", at)
        if rail is None or "refund_ratio" in member.flags:
            return
        paid = [order for order in member.orders if order.amount > 0]
        if not paid or len(paid) < int(rail.get("after_orders", 0)):
            return
        refunded = sum((exact(order.refunded) for order in paid), Fraction(0))
        if refunded / sum(exact(order.amount) for order in paid) > exact(rail["over"]):
            self.trip(member, "refund_ratio", rail)

    def trip(self, member: Member, name: str, rail: Rules) -> None:
        """PROGRAMME 10: flag by default; delay (pending) or freeze by configuration."""
        self.append(member.flags, name)
        action = rail.get("action", "flag")
        if action == "delay":
            self.change(member, "delayed", True)
        elif action == "freeze" and member.status == "active":
            self.change(member, "status", "frozen")

    # ------------------------------------------------------------------------------------- orders

    @all_or_nothing
    def accrue(
        self,
        now: datetime,
        member_id: str,
        order_id: str,
        amount: Decimal,
        *,
        occurred_at: datetime | None = None,
        items: Iterable[Mapping[str, Any]] = (),
        redemption_ids: Sequence[str] = (),
        channel: str | None = None,
        store_id: str | None = None,
        funded_by: str | None = None,
        referral_code: str | None = None,
        enrol_unknown: bool = False,
    ) -> Result:
        """PROGRAMME 2.1, 2.2, 2.5–2.10: an order. An import enrols whom it does not know."""
        given_at = occurred_at
        now, at = self.times(now, occurred_at)
        need_id(member_id)
        need_id(order_id)
        need_money(amount)
        for redemption_id in redemption_ids:
            need_id(redemption_id)
        lines = read_items(items)
        content = (
            member_id,
            amount,
            given_at,
            lines,
            tuple(redemption_ids),
            channel,
            store_id,
            funded_by,
            referral_code,
        )
        answer = self.known("order", order_id, content)
        if answer is not None:
            return answer
        rules = self.rules_at(at)
        issued: tuple[str, ...] = ()
        referral = None
        may_enrol = enrol_unknown or rules.get("auto_enrol", False)
        if member_id not in self.state.members and may_enrol:
            # PROGRAMME 1: an auto-enrolment takes the order's time
            enrolment = self.enrol_now(member_id, at, now, referral_code, None, None)
            self.remember("member", member_id, ("enrolled by", order_id), enrolment)
            issued += enrolment.issued
            referral = enrolment.referral
            referral_code = None
        member = self.find_member(member_id)
        self.need_own_order(member, order_id, now)
        self.need_active(member)
        self.book_lapses(member, now)
        self.capture_for_order(member, order_id, redemption_ids, now)
        if referral_code is not None:
            referral = self.refer(member, referral_code, at)
        first = amount > 0 and self.first_order_of(member) is None

        rows, whole, bonus = self.order_points(member, amount, lines, channel, store_id, at)
        spend = math.floor(whole)
        cut = self.cap_cut(member, spend + bonus, at)
        if cut > 0:
            rows.append(("cap", -cut))
        bonus_granted = bonus - min(bonus, cut)  # 2.2: cutting bonuses first
        spend_granted = spend - (cut - min(bonus, cut))
        points = spend_granted + bonus_granted
        assert points == sum(value for _, value in rows)

        lot, paid = self.grant(
            member,
            "order",
            points,
            at,
            now,
            order_id=order_id,
            funded_by=funded_by,
            may_pend=True,
        )
        self.append(member.earned, Earned(self.local_date(at), points))
        day = self.local_date(at)
        order = Order(
            order_id, member, amount, at, day, whole, spend_granted, bonus_granted, lot, first
        )
        self.put(self.state.orders, order_id, order)
        self.append(member.orders, order)

        if first:  # PROGRAMME 2.5
            template = rules.get("second_order", {}).get("coupon")
            issued += self.issue(member, template, order_id)
        for gift in rules.get("spend_gifts", []):  # PROGRAMME 2.6
            if amount > 0 and exact(amount) >= exact(gift["threshold"]):
                issued += self.issue(member, gift["coupon"], order_id)
        if referral_code is not None and referral == ("accepted", None):
            self.look_at_phones(member, at)  # as of now: what was just granted stands
        if first and member.referrer is not None:
            bar = self.reward_referrer(order, member.referrer, at, now)
            if bar is not None:
                self.append(member.refusals, bar)
                if referral == ("accepted", None):
                    referral = ("accepted", bar)
        upgrade = self.upgrade(order)  # last: an order's own upgrade does not raise its points
        self.decide_review_again(order, now)
        self.extend_at_once(order)
        answer = Result(
            "ok",
            points,
            tuple(rows),
            debt_paid=paid,
            issued=issued,
            referral=referral,
            tier=upgrade,
        )
        return self.remember("order", order_id, content, answer)

    def order_points(
        self,
        member: Member,
        amount: Decimal,
        lines: Sequence[Item],
        channel: str | None,
        store_id: str | None,
        at: datetime,
    ) -> tuple[list[tuple[str, int]], Fraction, int]:
        """PROGRAMME 2.1, 2.2, 2.8, 2.11: (rows, points of the spend unrounded, bonuses)."""
        rules = self.rules_at(at)
        earning = rules.get("earning")
        if earning is None or amount == 0:  # 2.1: a zero order earns 0
            return [("spend", 0)], Fraction(0), 0
        rate = exact(earning.get("rate", "1"))
        total = sum((line.amount for line in lines), Fraction(0))
        have_items = total != 0  # 2.1: if all are 0, items count as not given
        # the eligible shares: (product line, paid share)
        shares: list[tuple[str | None, Fraction]] = []
        if have_items:
            for line in lines:
                if line.sku in earning.get("excluded_skus", []):
                    continue
                if line.product_line in earning.get("excluded_product_lines", []):
                    continue
                shares.append((line.product_line, exact(amount) * line.amount / total))
        else:
            shares.append((None, exact(amount)))

        # multipliers in the order of their rows: level, campaigns by code; for each which share
        multipliers: list[tuple[str, Fraction, list[bool]]] = []
        level = self.standing(member, "level", at)
        if level in earning.get("level_multipliers", {}):
            factor = exact(earning["level_multipliers"][level])
            multipliers.append((f"level:{level}", factor, [True] * len(shares)))
        bonuses: list[tuple[str, int]] = []
        for campaign in self.campaigns(member, "order", channel, store_id, at):
            only_lines = campaign.get("only", {}).get("product_lines", [])
            if only_lines and not have_items:
                continue  # 2.1: without items, product-scoped campaigns don't apply
            inside = [not only_lines or line in only_lines for line, _ in shares]
            if "multiplier" in campaign:
                factor = exact(campaign["multiplier"])
                multipliers.append((f"campaign:{campaign['code']}", factor, inside))
            in_scope = not only_lines or any(
                ok and share > 0 for ok, (_, share) in zip(inside, shares, strict=True)
            )
            if "bonus" in campaign and in_scope:
                bonuses.append((f"bonus:{campaign['code']}", int(campaign["bonus"])))
        if earning.get("stacking", "multiply") == "best":
            multipliers = self.largest_alone(multipliers, len(shares))

        values = [share * rate for _, share in shares]
        product = sum(values, Fraction(0))
        rows = [("spend", math.floor(product))]
        for name, factor, inside in multipliers:
            values = [v * factor if ok else v for v, ok in zip(values, inside, strict=True)]
            after = sum(values, Fraction(0))
            rows.append((name, math.floor(after) - math.floor(product)))  # 2.11
            product = after
        rows.extend(bonuses)
        return rows, product, sum(points for _, points in bonuses)

    def largest_alone(
        self, multipliers: Sequence[tuple[str, Fraction, list[bool]]], shares: int
    ) -> list[tuple[str, Fraction, list[bool]]]:
        """PROGRAMME 2.2 best: on each share the largest alone counts."""
        wins = [[False] * shares for _ in multipliers]
        for share in range(shares):
            candidates = [i for i, m in enumerate(multipliers) if m[2][share]]
            if candidates:
                best = max(candidates, key=lambda i: (multipliers[i][1], -i))
                wins[best][share] = True
        return [
            (name, factor, won)
            for (name, factor, _), won in zip(multipliers, wins, strict=True)
            if any(won)
        ]

    def campaigns(
        self,
        member: Member,
        applies_to: str,
        channel: str | None,
        store_id: str | None,
        at: datetime,
    ) -> list[Mapping[str, Any]]:
        """PROGRAMME 2.8: those in force and in scope, by code (product lines are seen to later)."""
        found = []
        for campaign in self.rules_at(at).get("campaigns", []):
            if "from" in campaign and at < self.config_time(campaign["from"]):
                continue
            if "until" in campaign and at >= self.config_time(campaign["until"]):
                continue
            if campaign.get("applies_to", "order") not in (applies_to, "both"):
                continue
            only = campaign.get("only", {})
            facts = [
                ("channels", channel),
                ("stores", store_id),
                ("tiers", self.standing(member, "tier", at)),
                ("levels", self.standing(member, "level", at)),
                ("segments", self.standing(member, "segment", at)),
                ("lifecycle", self.standing(member, "lifecycle", at)),
            ]
            if all(not only.get(scope) or value in only[scope] for scope, value in facts):
                found.append(campaign)
        return sorted(found, key=lambda c: str(c["code"]))

    def config_time(self, value: Any) -> datetime:
        """A TOML time; a local one, or a date, is the programme's."""
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        if not isinstance(moment, datetime):
            return self.midnight(moment)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=self.zone)
        return moment.astimezone(UTC)

    def cap_cut(self, member: Member, points: int, at: datetime) -> int:
        """PROGRAMME 2.2 and 10: what the daily cap cuts off; once consumed it stays consumed."""
        cap = int(self.points_rules(at).get("daily_earning_cap", 0))
        if cap == 0:
            return 0
        day = self.local_date(at)
        used = sum(e.points for e in member.earned if e.day == day)
        return points - min(points, max(0, cap - used))

    def capture_for_order(
        self, member: Member, order_id: str, redemption_ids: Sequence[str], now: datetime
    ) -> None:
        """API accruals: captures reserved redemptions, counts them as spent on this order."""
        for redemption_id in redemption_ids:
            redemption = self.state.redemptions.get(redemption_id)
            if redemption is None or redemption.member is not member:
                raise RefusedError("not_found")
            if redemption.order_id != order_id:
                raise RefusedError("not_eligible")
            if redemption.status == "redeemed":
                continue
            if redemption.status != "reserved" or redemption.lapsed_by(now):
                raise RefusedError("reservation_over")
            self.capture_now(redemption, redemption.points, now)

    # ---------------------------------------------------------------------------------- referrals

    def reward_referrer(
        self, order: Order, referrer: Member, at: datetime, now: datetime
    ) -> str | None:
        """PROGRAMME 2.7: on the referee's first order; twice for a loyal-level referrer.

        Answers why there is none, if there is none.
        """
        referral = self.rules_at(at).get("referral")
        if referral is None:
            return None
        if order.member.status != "active":  # a guard rail has just seen to that
            return "referee_frozen"
        if referrer.status != "active":
            return "referrer_" + referrer.status
        day = self.local_date(at)
        month = (day.year, day.month)
        limit = int(referral.get("monthly_limit", 0))
        so_far = sum(1 for r in self.state.rewards if r.referrer is referrer and r.month == month)
        if limit and so_far >= limit:
            return "monthly_limit"
        level = self.standing(referrer, "level", at)
        times = 2 if level in referral.get("doubled_for_levels", []) else 1
        points = times * int(referral.get("referrer_points", 0))
        self.book_lapses(referrer, now)
        lot, _ = self.grant(referrer, "referral", points, at, now)
        for _ in range(times):
            self.issue(referrer, referral.get("referrer_coupon"), order.order_id)
        self.change(order, "reward", Reward(referrer, lot, points, day))
        self.append(self.state.rewards, order.reward)
        return None

    def reverse_reward(self, order: Order, at: datetime, now: datetime) -> None:
        """PROGRAMME 2.7: the first order fully refunded: points back, unused coupons voided."""
        reward = order.reward
        if reward is None or reward.reversed:
            return
        self.change(reward, "reversed", True)
        referrer = reward.referrer
        if reward.lot is not None:
            self.book_lapses(referrer, now)
            holds = reward.points - self.expired_unspent(reward.lot, referrer, at)
            self.claw_back(referrer, reward.lot, holds, order.order_id, at, now)
        self.void_coupons(referrer, order.order_id)

    def void_coupons(self, member: Member, order_id: str) -> None:
        """PROGRAMME 5.4: unused coupons that the order issued; used ones stay."""
        for coupon in member.coupons:
            if coupon.issued_by == order_id and coupon.status == "issued":
                self.change(coupon, "status", "voided")

    # --------------------------------------------------------------------------------- activities

    @all_or_nothing
    def activity(
        self,
        now: datetime,
        member_id: str,
        activity: str,
        activity_id: str,
        *,
        occurred_at: datetime | None = None,
        reference: str | None = None,
        channel: str | None = None,
        store_id: str | None = None,
    ) -> Result:
        """PROGRAMME 2.3: a non-purchase act that earns."""
        given_at = occurred_at
        now, at = self.times(now, occurred_at)
        need_id(member_id)
        need_id(activity_id)
        content = (member_id, activity, given_at, reference, channel, store_id)
        answer = self.known("activity", activity_id, content)
        if answer is not None:
            return answer
        member = self.find_member(member_id)
        self.need_active(member)
        table = self.rules_at(at).get("earning", {}).get("activities", {})
        need(activity in table)
        rule = table[activity]
        need(rule.get("once_per") not in ("order", "reference") or reference is not None)
        self.book_lapses(member, now)

        reason = self.activity_limit(member, activity, rule, reference, at)
        rows: list[tuple[str, int]] = []
        issued: tuple[str, ...] = ()
        points = 0
        paid = 0
        if reason is None:
            rows, before_cap = self.activity_points(member, activity, rule, channel, store_id, at)
            cut = self.cap_cut(member, before_cap, at)
            if cut > 0:
                rows.append(("cap", -cut))
            points = before_cap - cut
            if before_cap > 0 and points == 0:
                reason = "daily_earning_cap"
        if reason is None:
            _, paid = self.grant(member, "activity", points, at, now)
            issued += self.issue(member, rule.get("coupon"), None)
            if rule.get("gift"):  # a thing in words, not a coupon
                issued += (rule["gift"],)
        day = self.local_date(at)
        self.append(member.activities, ActivityRecord(activity, reference, day, reason is not None))
        self.append(member.earned, Earned(day, points))
        answer = Result("ok", points, tuple(rows), debt_paid=paid, issued=issued, reason=reason)
        return self.remember("activity", activity_id, content, answer)

    def activity_limit(
        self,
        member: Member,
        activity: str,
        rule: Rules,
        reference: str | None,
        at: datetime,
    ) -> str | None:
        """PROGRAMME 2.3: the cap it is over, if any."""
        before = [a for a in member.activities if a.activity == activity and not a.over_cap]
        day = self.local_date(at)
        that_day = [a for a in before if a.day == day]
        once_per = rule.get("once_per")
        if once_per == "day" and that_day:
            return "once_per_day"
        if once_per in ("order", "reference") and any(a.reference == reference for a in before):
            return f"once_per_{once_per}"
        most = int(rule.get("max_per_day", 0))
        if most and len(that_day) >= most:
            return "max_per_day"
        return None

    def activity_points(
        self,
        member: Member,
        activity: str,
        rule: Rules,
        channel: str | None,
        store_id: str | None,
        at: datetime,
    ) -> tuple[list[tuple[str, int]], int]:
        """PROGRAMME 2.2, 2.8: levels multiply spend only; campaigns by the stacking rule."""
        base = int(rule.get("points", 0))
        rows = [(f"activity:{activity}", base)]
        if base == 0:  # a coupon or gift instead of points
            return rows, 0
        campaigns = [
            c
            for c in self.campaigns(member, "activity", channel, store_id, at)
            if not c.get("only", {}).get("product_lines", [])  # an activity has no items
        ]
        multipliers = [
            (f"campaign:{c['code']}", exact(c["multiplier"]), [True])
            for c in campaigns
            if "multiplier" in c
        ]
        if self.rules_at(at)["earning"].get("stacking", "multiply") == "best":
            multipliers = self.largest_alone(multipliers, 1)
        product = Fraction(base)
        for name, factor, _ in multipliers:
            after = product * factor
            rows.append((name, math.floor(after) - math.floor(product)))
            product = after
        rows.extend((f"bonus:{c['code']}", int(c["bonus"])) for c in campaigns if "bonus" in c)
        return rows, sum(points for _, points in rows)

    # ---------------------------------------------------------------------------------- redeeming

    @all_or_nothing
    def redeem(
        self,
        now: datetime,
        member_id: str,
        redemption_id: str,
        points: int,
        order_id: str,
        order_amount: Decimal,
        *,
        reserve: bool = False,
        reserve_seconds: int | None = None,
        occurred_at: datetime | None = None,
    ) -> Result:
        """PROGRAMME 4.1, 4.3, 4.4: a cash offset, at once or reserved."""
        given_at = occurred_at
        now, at = self.times(now, occurred_at)
        need_id(member_id)
        need_id(redemption_id)
        need_id(order_id)
        need_points(points)
        need(points > 0)
        need_money(order_amount)
        if reserve_seconds is not None:
            need_points(reserve_seconds)
            need(1 <= reserve_seconds <= 7 * 24 * 3600)  # 4.3: 1 s to 7 days
        content = (
            member_id,
            points,
            order_id,
            order_amount,
            reserve,
            reserve_seconds,
            given_at,
        )
        answer = self.known("redemption", redemption_id, content)
        if answer is not None:
            return answer
        member = self.find_member(member_id)
        self.need_own_order(member, order_id, now)
        self.need_active(member)
        self.book_lapses(member, now)
        self.check_offset(member, points, order_id, order_amount, at, now)

        kind = "reserve" if reserve else "redeemed"
        draws = self.draw(member, self.drawable(member, at, pending=False), points, kind, at, now)
        if sum(d.points for d in draws) < points:  # 4.4: never below zero
            raise RefusedError("insufficient_points")
        until = None
        if reserve:
            rules = self.rules_at(at)["redemption"]
            seconds = int(reserve_seconds or rules.get("reserve_seconds", 900))
            until = at + timedelta(seconds=seconds)
        status = "reserved" if reserve else "redeemed"
        redemption = Redemption(
            redemption_id,
            member,
            order_id,
            points,
            at,
            until,
            status,
            draws,
            self.point_value(at),
            was_reserved=reserve,
        )
        if not reserve:
            redemption.spent = [Draw(d.lot, d.points) for d in draws]
        self.put(self.state.redemptions, redemption_id, redemption)
        self.append(member.redemptions, redemption)
        drawn = tuple((d.lot.source, d.lot.order_id, d.points) for d in draws)
        answer = Result("ok", points, lots=drawn, status=status)
        return self.remember("redemption", redemption_id, content, answer)

    def need_own_order(self, member: Member, order_id: str, now: datetime) -> None:
        """An order is paid with the points of one member, its own (docs/decisions.md)."""
        order = self.state.orders.get(order_id)
        if order is not None and order.member is not member:
            raise RefusedError("not_eligible")
        for redemption in self.state.redemptions.values():
            if (
                redemption.order_id == order_id
                and redemption.member is not member
                and redemption.holds(now)
            ):
                raise RefusedError("not_eligible")

    def need_not_refunded(self, order_id: str) -> None:
        """Nothing can be redeemed on a fully refunded order: it could never be restored."""
        order = self.state.orders.get(order_id)
        if order is not None and order.fully_refunded:
            raise RefusedError("not_eligible")

    def point_value(self, at: datetime) -> Fraction:
        """PROGRAMME 4.1: what a point is worth when redeemed."""
        return exact(self.points_rules(at).get("value", "0.10"))

    def check_offset(
        self,
        member: Member,
        points: int,
        order_id: str,
        order_amount: Decimal,
        at: datetime,
        now: datetime,
    ) -> None:
        """PROGRAMME 4.1: minimum, multiples, at most the share of the order, all together."""
        rules = self.rules_at(at)
        offset = rules.get("redemption")
        if offset is None:
            raise RefusedError("not_eligible")
        if points < int(offset.get("min", 0)):
            raise RefusedError("below_minimum")
        self.check_multiple(points, at)
        self.need_not_refunded(order_id)
        share = exact(offset.get("max_order_share", "0"))
        if share:
            together = points * self.point_value(at)
            for r in member.redemptions:
                if r.order_id == order_id and r.holds(now):
                    spent = sum(d.points for d in r.spent)
                    held = spent if r.status == "redeemed" else r.points
                    together += held * r.point_value
            if together > share * exact(order_amount):
                raise RefusedError("over_order_share")
        most = int(rules.get("limits", {}).get("redemptions_per_day", 0))
        day = self.local_date(at)
        that_day = [r for r in member.redemptions if self.local_date(r.occurred_at) == day]
        if most and len(that_day) >= most:
            raise RefusedError("limit_reached")

    def check_multiple(self, points: int, at: datetime) -> None:
        """PROGRAMME 4.1: whole multiples of the step."""
        step = int(self.rules_at(at).get("redemption", {}).get("step", 0))
        if step and points % step != 0:
            raise RefusedError("not_a_multiple")

    @all_or_nothing
    def capture(self, now: datetime, redemption_id: str, points: int | None = None) -> Result:
        """PROGRAMME 4.3: spend a reservation wholly, or the first-drawn part."""
        now, _ = self.times(now, None)
        if points is not None:
            need_points(points)
            need(points > 0)
        redemption = self.find_redemption(redemption_id)
        wanted = redemption.points if points is None else points
        if redemption.status == "redeemed" and redemption.was_reserved:
            # API: repeating a capture with the same points answers as the first time
            assert redemption.answer is not None
            if redemption.answer.points == wanted:
                return redemption.answer
        if redemption.status != "reserved" or redemption.lapsed_by(now):
            raise RefusedError("reservation_over")
        self.need_active(redemption.member)
        self.need_not_refunded(redemption.order_id)
        if wanted > redemption.points:
            raise RefusedError("insufficient_points")
        if wanted < redemption.points:
            self.check_multiple(wanted, now)
        self.book_lapses(redemption.member, now)
        return self.capture_now(redemption, wanted, now)

    def find_redemption(self, redemption_id: str) -> Redemption:
        """API: unknown id 404."""
        if redemption_id not in self.state.redemptions:
            raise RefusedError("not_found")
        return self.state.redemptions[redemption_id]

    def capture_now(self, redemption: Redemption, points: int, now: datetime) -> Result:
        """PROGRAMME 4.3: the first-drawn part is spent, the rest is released."""
        member = redemption.member
        left = points
        rest = []
        for draw in redemption.draws:
            part = min(left, draw.points)
            left -= part
            if part > 0:
                self.book(
                    member,
                    "redeemed",
                    counts=part,
                    lot=draw.lot,
                    in_reserve=-part,
                    at=now,
                    now=now,
                )
                self.append(redemption.spent, Draw(draw.lot, part))
            if draw.points > part:
                rest.append(Draw(draw.lot, draw.points - part))
        self.change(redemption, "status", "redeemed")
        self.give_back(member, rest, now, now)
        spent = tuple((d.lot.source, d.lot.order_id, d.points) for d in redemption.spent)
        answer = Result("ok", points, lots=spent, status="redeemed")
        self.change(redemption, "answer", answer)
        return answer

    @all_or_nothing
    def release(self, now: datetime, redemption_id: str) -> Result:
        """PROGRAMME 4.3: give a reservation back; 4.5: works for a frozen member too."""
        now, _ = self.times(now, None)
        redemption = self.find_redemption(redemption_id)
        if redemption.status == "released":
            assert redemption.answer is not None
            return redemption.answer
        if redemption.status != "reserved" or redemption.lapsed_by(now):
            raise RefusedError("reservation_over")
        self.book_lapses(redemption.member, now)
        self.change(redemption, "status", "released")
        self.give_back(redemption.member, redemption.draws, now, now)
        answer = Result("ok", redemption.points, status="released")
        self.change(redemption, "answer", answer)
        return answer

    # -------------------------------------------------------------------------------------- tiers

    def spend_and_repurchases(
        self, member: Member, chosen: Callable[[Order], bool]
    ) -> tuple[Decimal, int]:
        """PROGRAMME 6.1, of chosen orders: spend net of refunds, and the repurchases.

        The earliest counting order of the member's life is no repurchase; all others are.
        """
        counting = [order for order in member.orders if order.net > 0]
        earliest = min(counting, key=lambda o: o.occurred_at, default=None)  # ties: the first one
        inside = [order for order in counting if chosen(order)]
        spend = sum((order.net for order in inside), Decimal("0.00"))
        return spend, sum(1 for order in inside if order is not earliest)

    def in_window(self, member: Member, months: int, last: date) -> tuple[Decimal, int]:
        """The same, of the local dates after last − months, to last (6.2, 6.3)."""
        after = add_months(last, -months)
        return self.spend_and_repurchases(member, lambda o: after < o.day <= last)

    def rung(self, ladder: Sequence[Rules], code: str) -> int | None:
        """The place of a tier on the ladder, from 0."""
        return next((i for i, tier in enumerate(ladder) if tier["code"] == code), None)

    def tier_of(self, member: Member, ladder: Sequence[Rules]) -> TierHeld:
        """What the member holds now: the first tier, if nothing has ever been recorded."""
        if member.tier is not None:
            return member.tier
        return TierHeld(ladder[0]["code"], self.local_date(member.joined_at), None)

    def record_tier(
        self,
        member: Member,
        kind: str,
        at: datetime,
        before: TierHeld,
        after: TierHeld,
        corrects: int | None = None,
    ) -> int:
        """A tier event, and what the member holds by it; its place among the tier events."""
        event = TierEvent(kind, before.code, after.code, at, after.until, corrects)
        self.append(member.tier_events, event)
        self.change(member, "tier", after)
        self.stands(member, "tier", at, after.code)
        return len(member.tier_events) - 1

    def upgrade(self, order: Order) -> tuple[str, str] | None:
        """PROGRAMME 6.2: at once, on the order that reaches; dated by the first that does.

        A late order tests the totals at its own and each later recorded order's occurred_at.
        Answers (from, to).
        """
        member = order.member
        if order.amount == 0:
            return None
        counting = {o.occurred_at for o in member.orders if o.net > 0}
        codes = []
        for moment in sorted(m for m in counting if m >= order.occurred_at):
            ladder = self.rules_at(moment).get("tiers", [])
            tier = self.tier_reached(member, ladder, moment)
            if tier is not None:
                held = self.tier_of(member, ladder)
                day = self.local_date(moment)
                until = add_months(day, int(tier.get("months", 12)))
                new = TierHeld(tier["code"], day, until, lost=held.lost)
                self.record_tier(member, "upgraded", moment, held, new)
                codes += [held.code, new.code]
        return (codes[0], codes[-1]) if codes else None

    def tier_reached(
        self, member: Member, ladder: Sequence[Rules], moment: datetime
    ) -> Rules | None:
        """PROGRAMME 6.2: the highest tier above the member's own that is reached at a moment."""
        if not ladder:
            return None
        held = self.tier_of(member, ladder)
        own = self.rung(ladder, held.code)
        if own is None:
            return None
        day = self.local_date(moment)
        spend, repurchases = self.spend_and_repurchases(member, lambda o: o.occurred_at <= moment)
        for tier in reversed(ladder[own + 1 :]):
            if tier["code"] not in held.lost:
                needed: Rules = tier
                found = (spend, repurchases)
            elif day >= held.lost[tier["code"]]:  # once lost: its keep figures, trailing
                needed = keep_figures(tier)
                found = self.in_window(member, int(tier.get("months", 12)), day)
            else:
                continue
            if meets(found, needed):
                return tier
        return None

    def extend_at_once(self, order: Order) -> None:
        """PROGRAMME 6.3 always: on top, as soon as the repurchases are reached, once a validity."""
        member = order.member
        held = member.tier
        if order.amount == 0 or held is None or held.until is None or held.extended:
            return
        ladder = self.rules_at(order.occurred_at).get("tiers", [])
        own = self.rung(ladder, held.code)
        extension = None if own is None else ladder[own].get("extension")
        if own is None or extension is None or extension.get("when", "lapse") != "always":
            return
        months = int(ladder[own].get("months", 12))
        if not add_months(held.until, -months) < order.day <= held.until:
            return
        _, repurchases = self.in_window(member, months, held.until)
        if repurchases >= int(extension["repurchases"]):
            until = add_months(held.until, int(extension["months"]))
            new = replace(held, until=until, extended=True)
            self.record_tier(member, "extended", order.occurred_at, held, new)

    def reviewed(
        self, member: Member, held: TierHeld, ladder: Sequence[Rules]
    ) -> tuple[str, TierHeld]:
        """PROGRAMME 6.3: how the review at the end of `held` comes out, with what is known."""
        assert held.until is not None
        own = self.rung(ladder, held.code)
        assert own is not None
        assert own > 0
        tier, lower = ladder[own], ladder[own - 1]
        months = int(tier.get("months", 12))
        found = self.in_window(member, months, held.until)
        if meets(found, keep_figures(tier)):
            until = add_months(held.until, months)
            return "renewed", replace(held, until=until, extended=False)
        extension = tier.get("extension")
        if extension and not held.extended and found[1] >= int(extension["repurchases"]):
            until = add_months(held.until, int(extension["months"]))
            return "extended", replace(held, until=until, extended=True)
        lost_on = held.until + timedelta(days=1)
        below = add_months(held.until, int(lower.get("months", 12))) if own > 1 else None
        lost = {**held.lost, held.code: lost_on}
        return "downgraded", TierHeld(lower["code"], lost_on, below, lost=lost)

    def review_tiers(self, as_of: datetime, member_id: str | None = None) -> int:
        """PROGRAMME 6.3: the review of every tier that is past its day, as often as it is due."""
        self.undo.clear()
        return sum(self.review_tier(m, as_of.astimezone(UTC)) for m in self.chosen(member_id))

    def chosen(self, member_id: str | None) -> list[Member]:
        """One member, or all."""
        if member_id is not None:
            return [self.find_member(member_id)]
        return list(self.state.members.values())

    def review_tier(self, member: Member, as_of: datetime) -> int:
        """PROGRAMME 6.3: of one member, the oldest first; how many reviews."""
        count = 0
        while (
            (held := member.tier) is not None
            and held.until is not None
            and held.until < self.local_date(as_of)
        ):
            at = self.midnight(held.until + timedelta(days=1))
            ladder = self.rules_at(at).get("tiers", [])
            if self.rung(ladder, held.code) is None:
                break
            outcome, after = self.reviewed(member, held, ladder)
            event = self.record_tier(member, outcome, at, held, after)
            self.append(member.tier_reviews, TierReview(event, at, held, outcome))
            count += 1
        return count

    def decide_review_again(self, order: Order, now: datetime) -> None:
        """PROGRAMME 6.4: a late order, and the latest review whose window holds it."""
        member = order.member
        if order.amount == 0:
            return
        holding = [r for r in member.tier_reviews if self.looked_at(r, order.day)]
        if not holding:
            return
        review = holding[-1]
        since = member.tier_events[review.event + 1 :]
        if any(event.kind == "upgraded" for event in since):
            return
        outcome, after = self.reviewed(member, review.before, self.rules_at(review.at)["tiers"])
        if OUTCOMES.index(outcome) <= OUTCOMES.index(review.outcome):
            return
        # 6.4: only what is better in the end, whatever else is due by now
        mark = len(self.undo)
        self.review_tier(member, now)
        without = self.height(member, order)
        self.undo_to(mark)
        event = self.record_tier(member, outcome, review.at, review.before, after, review.event)
        new = TierReview(event, review.at, review.before, outcome)
        before = member.tier_reviews[: member.tier_reviews.index(review)]
        self.change(member, "tier_reviews", [*before, new])
        self.review_tier(member, now)  # what is due after it, anew
        if self.height(member, order) < without:
            self.undo_to(mark)

    def height(self, member: Member, order: Order) -> tuple[int, date]:
        """How high the member stands on the order's ladder, and for how long."""
        assert member.tier is not None
        rung = self.rung(self.rules_at(order.occurred_at).get("tiers", []), member.tier.code)
        return (-1 if rung is None else rung), member.tier.until or date.max

    def looked_at(self, review: TierReview, day: date) -> bool:
        """PROGRAMME 6.3: whether the window of a review holds a date."""
        ladder = self.rules_at(review.at).get("tiers", [])
        last = review.before.until
        own = self.rung(ladder, review.before.code)
        if own is None or last is None:
            return False
        return add_months(last, -int(ladder[own].get("months", 12))) < day <= last

    # ---------------------------------------------------------------- levels, segments, lifecycle

    def review_levels(self, as_of: datetime, member_id: str | None = None) -> int:
        """PROGRAMME 7: the monthly reviews that are due, missed ones too; how many."""
        self.undo.clear()
        return sum(self.review_level(m, as_of.astimezone(UTC)) for m in self.chosen(member_id))

    def review_level(self, member: Member, as_of: datetime) -> int:
        """PROGRAMME 7: every review day after enrolment that has not had its review."""
        count = 0
        seen = member.level_reviews
        day = (seen[-1].on if seen else self.local_date(member.joined_at)) + timedelta(days=1)
        while self.midnight(day) <= as_of:
            rules = self.rules_at(self.midnight(day))
            is_on = any(section in rules for section in ("levels", "segments", "lifecycle"))
            if is_on and day.day == int(rules.get("levels", {}).get("review_day", 1)):
                review = self.level_review(member, day, rules)
                self.append(member.level_reviews, review)
                for kind in ("level", "segment", "lifecycle"):
                    self.stands(member, kind, self.midnight(day), getattr(review, kind))
                count += 1
            day += timedelta(days=1)
        return count

    def level_review(self, member: Member, on: date, rules: Rules) -> LevelReview:
        """PROGRAMME 7: as of the local midnight at which `on` begins, over the 12 months before."""
        a_year_ago = add_months(on, -12)
        counting = [o.day for o in member.orders if o.net > 0 and o.day < on]
        acts = [d for d in self.days_of_activities(member) if d < on]
        spend, repurchases = self.spend_and_repurchases(member, lambda o: a_year_ago <= o.day < on)
        orders = sum(1 for d in counting if d >= a_year_ago)
        activities = sum(1 for d in acts if d >= a_year_ago)
        activities_30d = sum(1 for d in acts if d >= on - timedelta(days=30))
        joined = self.local_date(member.joined_at)

        level = score = segment = lifecycle = None
        if "levels" in rules:
            score = score_of(rules["levels"], spend, orders, activities)
            level = level_of(rules["levels"], score)
        if "segments" in rules:
            months = int(rules["segments"].get("dormant", {}).get("idle_months", 6))
            idle = not any(d >= add_months(on, -months) for d in counting + acts)
            segment = segment_of(
                rules["segments"], on, joined, spend, repurchases, activities_30d, idle
            )
        if "lifecycle" in rules:
            lifecycle = lifecycle_of(rules["lifecycle"], on, joined, counting, acts, orders)
        return LevelReview(
            on,
            level,
            score,
            segment,
            lifecycle,
            spend,
            orders,
            repurchases,
            activities,
            activities_30d,
        )

    def days_of_activities(self, member: Member) -> list[date]:
        """PROGRAMME 2.3, 7.1: those not over a cap, and the referrals that were rewarded."""
        acts = [a.day for a in member.activities if not a.over_cap]
        rewards = [r.day for r in self.state.rewards if r.referrer is member and not r.reversed]
        return acts + rewards

    # ------------------------------------------------------------------------------------ refunds

    @all_or_nothing
    def refund(
        self,
        now: datetime,
        refund_id: str,
        order_id: str,
        amount: Decimal,
        *,
        occurred_at: datetime | None = None,
    ) -> Result:
        """PROGRAMME 5: restores first, then claws back."""
        given_at = occurred_at
        now, at = self.times(now, occurred_at)
        need_id(refund_id)
        need_id(order_id)
        need_money(amount)
        content = (order_id, amount, given_at)
        answer = self.known("refund", refund_id, content)
        if answer is not None:
            return answer
        if order_id not in self.state.orders:
            raise RefusedError("not_found")
        order = self.state.orders[order_id]
        if given_at is None:
            at = max(at, order.occurred_at)
        need(at >= order.occurred_at)  # docs/decisions.md: a till's mistake, as the next
        need(amount > 0 or order.amount == 0)
        if order.refunded + amount > order.amount:  # 5.5
            raise RefusedError("refund_exceeds_order")
        self.change(order, "refunded", order.refunded + amount)
        full = order.refunded == order.amount
        self.change(order, "fully_refunded", full)
        self.book_lapses(order.member, now)

        restored = self.restore(order, at, now)
        wanted = self.clawback_of(order, at)
        taken, owed, waived = 0, 0, 0
        if wanted > 0:
            assert order.lot is not None
            taken, owed, waived = self.claw_back(order.member, order.lot, wanted, order_id, at, now)
            self.change(order, "taken_back", order.taken_back + wanted)
        if full:
            self.void_coupons(order.member, order_id)
            self.reverse_reward(order, at, now)
        self.look_at_refunds(order.member, at)
        answer = Result("ok", clawed_back=taken + owed, restored=restored, debt=owed, waived=waived)
        return self.remember("refund", refund_id, content, answer)

    def restore(self, order: Order, at: datetime, now: datetime) -> int:
        """PROGRAMME 5.3: restored so far = floor(spent × R/A), last-drawn lot first."""
        draws = [
            draw
            for redemption in order.member.redemptions  # in the order of recording
            if redemption.order_id == order.order_id
            for draw in redemption.spent
        ]
        spent = sum(draw.points for draw in draws)
        before = sum(draw.restored for draw in draws)
        if order.refunded == order.amount:
            target = spent
        else:
            target = math.floor(spent * exact(order.refunded) / exact(order.amount))
        left = max(0, target - before)
        total = left
        for draw in reversed(draws):
            part = min(left, draw.points - draw.restored)
            if part > 0:
                self.change(draw, "restored", draw.restored + part)
                self.put_back(order.member, draw.lot, part, at, now)
                left -= part
        assert left == 0
        return total

    def put_back(self, member: Member, lot: Lot, points: int, at: datetime, now: datetime) -> None:
        """PROGRAMME 5.3: with the old expiry, or a new lot good through the date + 7 days."""
        days = int(self.points_rules(at).get("restored_min_days", 7))
        least = self.local_date(at) + timedelta(days=days)
        if lot.expires_on is not None and lot.expires_on < least:
            into = self.new_lot(
                member,
                lot.source,
                points,
                lot.earned_at,
                least,
                order_id=lot.order_id,
                funded_by=lot.funded_by,
                formed_from=lot,
            )
        else:
            into = lot
        self.book(member, "restored", counts=points, lot=into, in_lot=points, at=at, now=now)
        self.pay_debt(member, into, points, at, now)  # 5.6

    def expired_unspent(self, lot: Lot, member: Member, at: datetime) -> int:
        """PROGRAMME 5.1, 5.2: of a grant's points, those expired unspent.

        A lot past its day counts as expired, recorded or not: with what came back from a
        reservation later, so that a refund recorded late takes no more than it would have in time.
        """
        day = self.local_date(at)
        own = [x for x in member.lots if x.root is lot and self.past_its_day(x, day)]
        return sum(x.expired() + x.remaining() for x in own)

    def clawback_of(self, order: Order, at: datetime) -> int:
        """PROGRAMME 5.1: what the order holds above what it should hold."""
        if order.lot is None:
            return 0
        if order.refunded == order.amount:
            should_hold = 0
        else:
            kept = (exact(order.amount) - exact(order.refunded)) / exact(order.amount)
            spend = min(order.spend_granted, math.floor(order.exact * kept))
            should_hold = spend + order.bonus_granted
        holds = order.granted - order.taken_back - self.expired_unspent(order.lot, order.member, at)
        return max(0, holds - should_hold)

    def claw_back(
        self,
        member: Member,
        own_lot: Lot,
        points: int,
        order_id: str,
        at: datetime,
        now: datetime,
    ) -> tuple[int, int, int]:
        """PROGRAMME 5.2, 2.9: own lot, other lots, other pending lots, then debt or waived.

        Answers (taken from lots, turned into debt, waived).
        """
        if points <= 0:
            return 0, 0, 0
        active = self.drawable(member, at, pending=False)
        pending = self.drawable(member, at, pending=True)
        own = sorted((x for x in active + pending if x.root is own_lot), key=drawing_order)
        others = [x for x in active + pending if x.root is not own_lot]
        draws = self.draw(member, own + others, points, "clawed_back", at, now)
        taken = sum(d.points for d in draws)
        short = points - taken
        if short == 0:
            return taken, 0, 0
        if self.points_rules(at).get("debt", "allow") == "waive":
            return taken, 0, short
        self.book(member, "clawed_back", counts=short, in_debt=short, at=at, now=now)
        self.append(member.debts, Debt(order_id, at, short))
        return taken, short, 0

    # -------------------------------------------------------------------------------- service desk

    @all_or_nothing
    def adjust(
        self,
        now: datetime,
        member_id: str,
        adjustment_id: str,
        points: int,
        *,
        occurred_at: datetime | None = None,
    ) -> Result:
        """API adjustments, PROGRAMME 4.4: positive makes a lot, negative draws."""
        given_at = occurred_at
        now, at = self.times(now, occurred_at)
        need_id(adjustment_id)
        need_points(points)
        need(points != 0)
        content = (member_id, points, given_at)
        answer = self.known("adjustment", adjustment_id, content)
        if answer is not None:
            return answer
        member = self.find_member(member_id)
        if member.status == "closed":  # a frozen one neither earns nor redeems by it (4.5)
            raise RefusedError("member_closed")
        limit = int(self.rules_at(at).get("limits", {}).get("adjustment_needs_approval_over", 0))
        if limit and abs(points) > limit:
            raise RefusedError("approval_required")
        self.book_lapses(member, now)
        paid = 0
        drawn: tuple[tuple[str, str | None, int], ...] = ()
        if points > 0:
            _, paid = self.grant(member, "adjustment", points, at, now, kind="adjusted")
        else:
            lots = self.drawable(member, at, pending=False)
            draws = self.draw(member, lots, -points, "adjusted", at, now)
            if sum(d.points for d in draws) < -points:
                raise RefusedError("insufficient_points")
            drawn = tuple((d.lot.source, d.lot.order_id, d.points) for d in draws)
        answer = Result("ok", points, debt_paid=paid, lots=drawn)
        return self.remember("adjustment", adjustment_id, content, answer)

    @all_or_nothing
    def freeze(self, now: datetime, member_id: str) -> Result:
        """PROGRAMME 4.5."""
        return self.set_status(now, member_id, "frozen")

    @all_or_nothing
    def unfreeze(self, now: datetime, member_id: str) -> Result:
        """PROGRAMME 4.5; docs/decisions.md: somebody has looked, so flags and delay end (10)."""
        answer = self.set_status(now, member_id, "active")
        member = self.find_member(member_id)
        self.change(member, "flags", [])
        self.change(member, "delayed", False)
        return answer

    @all_or_nothing
    def close(self, now: datetime, member_id: str) -> Result:
        """PROGRAMME 4.5."""
        return self.set_status(now, member_id, "closed")

    def set_status(self, now: datetime, member_id: str, status: str) -> Result:
        """A closed member stays closed; a repeat changes nothing."""
        now, _ = self.times(now, None)
        member = self.find_member(member_id)
        if member.status == "closed" and status != "closed":
            raise RefusedError("member_closed")
        self.book_lapses(member, now)
        self.change(member, "status", status)
        return Result("ok", status=status)

    # --------------------------------------------------------------------------------------- jobs

    def expire(self, as_of: datetime) -> int:
        """PROGRAMME 3.3: the expiry job; how many lots expired (due lapses are booked first)."""
        as_of = as_of.astimezone(UTC)
        for member in self.state.members.values():
            self.book_lapses(member, as_of)
        return sum(self.book_expiries(m, as_of) for m in self.state.members.values())

    def lapse(self, as_of: datetime) -> int:
        """PROGRAMME 4.3: the lapse job; how many reservations lapsed."""
        as_of = as_of.astimezone(UTC)
        return sum(self.book_lapses(m, as_of) for m in self.state.members.values())

    def release_pending(self, as_of: datetime) -> int:
        """PROGRAMME 2.9: pending lots become active; the clock does it anyway. How many."""
        as_of = as_of.astimezone(UTC)
        due = [
            lot
            for member in self.state.members.values()
            for lot in member.lots
            if lot.pending_until is not None
            and not lot.release_recorded
            and not self.pending_at(lot, as_of)
        ]
        for lot in due:
            self.change(lot, "release_recorded", True)
        return len(due)

    # -------------------------------------------------------------------------------------- reading

    def member(self, member_id: str, now: datetime) -> dict[str, Any]:
        """API GET member: balance and lots with the clock applied, totals by events only.

        `settled_totals` are the totals as they would be had the lapse and expiry jobs run at `now`.
        """
        now = now.astimezone(UTC)
        member = self.find_member(member_id)
        totals = self.totals(member)
        self.undo.clear()
        try:
            self.book_lapses(member, now)  # 4.3: recorded or not
            self.book_expiries(member, now)  # 3.3: by date, recorded or not
            lots = []
            available = pending = 0
            for lot in sorted(member.lots, key=drawing_order):
                left = lot.remaining()
                if left == 0:
                    continue
                if self.pending_at(lot, now):
                    status = "pending"
                    pending += left
                else:
                    status = "active"
                    available += left
                lots.append(
                    (
                        lot.source,
                        lot.order_id,
                        lot.granted,
                        left,
                        lot.earned_at,
                        lot.expires_on,
                        status,
                        lot.funded_by,
                    )
                )
            assert member.debt() == sum(d.left for d in member.debts)
            return {
                "status": member.status,
                "balance": {
                    "available": available,
                    "pending": pending,
                    "reserved": member.reserved(),
                    "debt": member.debt(),
                },
                "lots": lots,
                "totals": totals,
                "settled_totals": self.totals(member),
                "debts": [
                    (d.order_id, d.left)
                    for d in sorted(member.debts, key=lambda d: d.owed_at)
                    if d.left
                ],
                "coupons": sorted((c.template, c.status) for c in member.coupons),
                "flags": list(member.flags),
                "referral_refusals": list(member.refusals),
                "tier": self.shown_tier(member, now),
                "level": self.standing(member, "level", now),
                "segment": self.standing(member, "segment", now),
                "lifecycle": self.standing(member, "lifecycle", now),
                "tier_events": list(member.tier_events),
                "level_reviews": list(member.level_reviews),
            }
        finally:
            self.undo_all()

    def shown_tier(self, member: Member, now: datetime) -> dict[str, Any] | None:
        """API: the tier as it stands: until its review is recorded (6.3)."""
        ladder = self.rules_at(now).get("tiers", [])
        if not ladder:
            return None
        held = self.tier_of(member, ladder)
        return {
            "code": held.code,
            "since": held.since,
            "until": held.until,
            "extended": held.extended,
        }

    def totals(self, member: Member) -> dict[str, Any]:
        """API totals, PROGRAMME 6.1 and 11.2: events only."""
        orders = member.orders
        counting = [o for o in orders if o.amount - o.refunded > 0]
        totals: dict[str, Any] = {
            "spend": sum((o.amount - o.refunded for o in orders), Decimal("0.00")),
            "orders": len(counting),
            "repurchases": max(0, len(counting) - 1),
        }
        for kind in TOTAL_SIGN:
            totals[kind] = sum(m.counts for m in member.moves if m.kind == kind)
        return totals
