"""The sections of a programme: every rule and figure that a business may set (PROGRAMME 2-11).

Each section is a frozen struct; each of its fields is one key of the programme file, with what it
is for, its limits and its default beside it. Where a limit is 0 there is none. Keys may be added,
each with a default that changes nothing for the rule sets stored before it; no key is renamed.
"""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Struct

from ledger.programme.dates import Alignment
from ledger.programme.setting import About, Amount, Code, Kind, Money, Rate, Text

YEARS_MOST = 100
MONTHS_MOST = 1200
DAYS_MOST = 3660

Channel = Annotated[str, Kind.CODE]
Stacking = Literal["multiply", "best"]
CouponKind = Literal["amount_off", "percent_off", "ladder", "gift", "service"]
RewardKind = Literal["goods", "service", "coupon", "charity", "tier_upgrade"]
LifecycleStage = Literal["new", "growing", "stable", "lapsing", "dormant", "won_back"]
GuardAction = Literal["flag", "delay", "freeze"]


class Section(Struct, frozen=True, kw_only=True):
    """A part of a programme; two with the same settings are equal."""


class Texts(Section, frozen=True, kw_only=True):
    """A display text in the languages of the programme."""

    zh: Annotated[
        Text | None, About("In Chinese.", omitted="the other language", example="金卡会员")
    ] = None
    en: Annotated[
        Text | None, About("In English.", omitted="the other language", example="Gold")
    ] = None

    def in_language(self, language: str) -> str:
        """The text in "zh" or "en"; in the other one, where this one is not given."""
        first, second = (self.zh, self.en) if language == "zh" else (self.en, self.zh)
        return first or second or ""


# Points


class Validity(Section, frozen=True, kw_only=True):
    """How long points stay good: years and months together, at least one month."""

    years: Annotated[int, About("Years.", "years", "3.1", least=0, most=YEARS_MOST)] = 0
    months: Annotated[int, About("Months.", "months", "3.1", least=0, most=MONTHS_MOST)] = 0

    @property
    def in_months(self) -> int:
        """Years and months together, in months."""
        return self.years * 12 + self.months


class PointsRules(Section, frozen=True, kw_only=True):
    """What points are worth and how long they stay good (PROGRAMME 3, 5). Never off."""

    value: Annotated[Money, About("What one point is worth when redeemed.", "money", "4.1")] = (
        Decimal("0.10")
    )
    validity: Annotated[
        Validity | Literal["none"],
        About(
            'How long earned points are good: years, months, or "none" for ever.',
            rule="3.1",
            example={"years": 1},
        ),
    ] = Validity(years=1)
    align_expiry: Annotated[
        Alignment, About("Validity is prolonged to the end of this period.", rule="3.1")
    ] = "day"
    remind_days_before: Annotated[
        int,
        About(
            "A member is reminded so long before points expire; 0: not at all.",
            "days",
            "3.4",
            least=0,
            most=DAYS_MOST,
        ),
    ] = 30
    pending: Annotated[
        bool, About("Order points wait until the return window has passed.", rule="2.9")
    ] = False
    debt: Annotated[
        Literal["allow", "waive"],
        About("What becomes of a clawback that finds too few points.", rule="5.2"),
    ] = "allow"
    restored_min_days: Annotated[
        int,
        About(
            "Points that a refund gives back stay good at least so long.",
            "days",
            "5.3",
            least=0,
            most=DAYS_MOST,
        ),
    ] = 7
    daily_earning_cap: Annotated[
        int, About("Most points a member earns on a local day; 0: no cap.", "points", "2.2", 0)
    ] = 0


# Earning


class ActivityRule(Section, frozen=True, kw_only=True):
    """What one kind of activity earns and how often."""

    points: Annotated[int, About("Points for it.", "points", "2.3", least=0)] = 0
    once_per: Annotated[
        Literal["day", "order", "reference"] | None,
        About(
            "It earns once a local day, once an order, or once a reference.",
            rule="2.3",
            omitted="every time",
            example="day",
        ),
    ] = None
    max_per_day: Annotated[
        int, About("It earns so often a local day; 0: no limit.", "times", "2.3", least=0)
    ] = 0
    coupon: Annotated[
        Code | None, About("Coupon issued for it.", rule="2.3", names="coupon", omitted="none")
    ] = None
    gift: Annotated[Text | None, About("Gift for it, in words.", rule="2.3", omitted="none")] = None


class EarningRules(Section, frozen=True, kw_only=True):
    """What orders and activities earn (PROGRAMME 2). Omitted: nothing is earned by them."""

    rate: Annotated[Rate, About("Points per currency unit paid.", "points", "2.1", least=0)] = (
        Decimal(1)
    )
    stacking: Annotated[
        Stacking,
        About(
            "Level and campaign multipliers multiply each other, or the largest alone counts.",
            rule="2.2",
        ),
    ] = "multiply"
    excluded_skus: Annotated[
        tuple[Text, ...], About("SKUs that earn nothing.", rule="2.1", example=["GIFT-CARD"])
    ] = ()
    excluded_product_lines: Annotated[
        tuple[Text, ...], About("Product lines that earn nothing.", rule="2.1", example=["tobacco"])
    ] = ()
    level_multipliers: Annotated[
        dict[str, Rate],
        About("Multiplier on spend, by level.", "times", "2.2", above=0, names="level"),
    ] = {}
    activities: Annotated[
        dict[str, ActivityRule],
        About("What earns besides orders, by the name that tills send.", rule="2.3"),
    ] = {}


class NewcomerPack(Section, frozen=True, kw_only=True):
    """What a member gets on enrolment (PROGRAMME 2.4). Omitted: nothing."""

    points: Annotated[int, About("Points on enrolment.", "points", "2.4", least=0)] = 0
    coupon: Annotated[
        Code | None,
        About("Coupon issued on enrolment.", rule="2.4", names="coupon", omitted="none"),
    ] = None


class SecondOrder(Section, frozen=True, kw_only=True):
    """What the first order brings for the second (PROGRAMME 2.5). Omitted: nothing."""

    coupon: Annotated[
        Code,
        About(
            "Coupon issued with the first order.",
            example="second_order_90",
            rule="2.5",
            names="coupon",
        ),
    ]


class SpendGift(Section, frozen=True, kw_only=True):
    """What an order of a certain size brings (PROGRAMME 2.6)."""

    threshold: Annotated[Money, About("Amount that an order must reach.", "money", "2.6", above=0)]
    coupon: Annotated[
        Code, About("Coupon issued with it.", example="brand_gift", rule="2.6", names="coupon")
    ]


class ReferralRules(Section, frozen=True, kw_only=True):
    """What bringing a new member brings (PROGRAMME 2.7). Omitted: nothing."""

    referrer_points: Annotated[int, About("Points for the referrer.", "points", "2.7", least=0)] = 0
    referrer_coupon: Annotated[
        Code | None, About("Coupon for the referrer.", rule="2.7", names="coupon", omitted="none")
    ] = None
    referee_coupon: Annotated[
        Code | None,
        About(
            "Coupon for the new member, on enrolment.", rule="2.7", names="coupon", omitted="none"
        ),
    ] = None
    monthly_limit: Annotated[
        int,
        About("Rewarded referrals per referrer and month; 0: no limit.", "referrals", "2.7", 0),
    ] = 0
    doubled_for_levels: Annotated[
        tuple[Code, ...],
        About("Referrers of these levels get twice both.", rule="2.7", names="level"),
    ] = ()


# Redeeming and returning


class RedemptionRules(Section, frozen=True, kw_only=True):
    """Points as money off an order (PROGRAMME 4). Omitted: no cash offset."""

    step: Annotated[
        int, About("Cash offset goes in whole multiples of this.", "points", "4.1", least=1)
    ] = 100
    min: Annotated[
        int, About("Least points of a cash offset; 0: no limit.", "points", "4.1", least=0)
    ] = 0
    max_order_share: Annotated[
        Rate,
        About(
            "Largest part of an order's amount that points may pay; 0: no limit.",
            "share",
            "4.1",
            least=0,
            most=1,
        ),
    ] = Decimal(0)
    reserve_seconds: Annotated[
        int,
        About("How long a reservation holds.", "seconds", "4.3", least=1, most=604_800),
    ] = 900
    level_discounts: Annotated[
        dict[str, Rate],
        About(
            "Part of the points that members of a level are let off.",
            "share",
            "4.1",
            least=0,
            below=1,
            names="level",
        ),
    ] = {}


class ReturnRules(Section, frozen=True, kw_only=True):
    """How long orders may be returned (PROGRAMME 2.9, 6.5). Omitted: no return window."""

    window_days: Annotated[
        int, About("Days after the order's date.", "days", "2.9", least=0, most=DAYS_MOST)
    ] = 7
    window_days_by_segment: Annotated[
        dict[str, int],
        About(
            "The same for members of a segment.",
            "days",
            "2.9",
            least=0,
            most=DAYS_MOST,
            names="segment",
        ),
    ] = {}


# Tiers, levels, segments, lifecycle


class KeepFigures(Section, frozen=True, kw_only=True):
    """What keeps a tier, within its validity (PROGRAMME 6.3)."""

    spend: Annotated[Money, About("Spend net of refunds.", "money", "6.3")] = Decimal("0.00")
    repurchases: Annotated[int, About("Repurchases.", "orders", "6.3", least=0)] = 0


class Extension(Section, frozen=True, kw_only=True):
    """Grace extension 等级延保 (PROGRAMME 6.3)."""

    repurchases: Annotated[
        int, About("Repurchases within the validity that earn it.", "orders", "6.3", least=1)
    ]
    months: Annotated[
        int,
        About(
            "How long it prolongs the tier; not longer than the tier's validity.",
            "months",
            "6.3",
            least=1,
            most=MONTHS_MOST,
        ),
    ]
    when: Annotated[
        Literal["lapse", "always"],
        About("Only when the tier would lapse, or on top as soon as reached.", rule="6.3"),
    ] = "lapse"


class Tier(Section, frozen=True, kw_only=True):
    """One rung of the ladder, lowest first; the first is everybody's (PROGRAMME 6)."""

    code: Annotated[Code, About("Its name for rules and integrators.", example="gold", rule="6")]
    name: Annotated[
        Texts | None, About("Its name for people.", omitted="the code", example={"en": "Gold"})
    ] = None
    spend: Annotated[Money, About("Lifetime spend that reaches it.", "money", "6.2")] = Decimal(
        "0.00"
    )
    repurchases: Annotated[
        int, About("Repurchases that reach it, besides the spend.", "orders", "6.2", least=0)
    ] = 0
    keep: Annotated[
        KeepFigures | None,
        About("What keeps it.", rule="6.3", omitted="the same spend and repurchases"),
    ] = None
    months: Annotated[
        int, About("How long it is valid.", "months", "6.2", least=1, most=MONTHS_MOST)
    ] = 12
    extension: Annotated[
        Extension | None, About("Its grace extension.", rule="6.3", omitted="none")
    ] = None

    @property
    def to_keep(self) -> KeepFigures:
        """The figures that keep the tier: `keep`, or those that reach it."""
        return self.keep or KeepFigures(spend=self.spend, repurchases=self.repurchases)


class Band(Section, frozen=True, kw_only=True, rename={"from_": "from"}):
    """One level and the score from which it holds."""

    code: Annotated[Code, About("The level.", example="active", rule="7.1")]
    from_: Annotated[
        int, About("Score from which it holds, up to the next band.", "score", "7.1", least=0)
    ]


class LevelRules(Section, frozen=True, kw_only=True):
    """Monthly value score (PROGRAMME 7.1). Omitted: members have no level."""

    review_day: Annotated[
        int, About("Day of the month of the review.", "day", "7", least=1, most=28)
    ] = 1
    spend_weight: Annotated[
        Rate, About("Weight of spending; the two add up to 1.", "share", "7.1", least=0, most=1)
    ] = Decimal("0.6")
    activity_weight: Annotated[
        Rate, About("Weight of activities; the two add up to 1.", "share", "7.1", least=0, most=1)
    ] = Decimal("0.4")
    spend_per_point: Annotated[
        Rate, About("Spend that makes one point of score.", "money", "7.1", above=0)
    ] = Decimal(50)
    points_per_order: Annotated[int, About("Score of an order.", "score", "7.1", least=0)] = 5
    points_per_activity: Annotated[int, About("Score of an activity.", "score", "7.1", least=0)] = 5
    bands: Annotated[
        tuple[Band, ...], About("The levels, lowest first; the first from 0.", rule="7.1")
    ]


class SegmentFigures(Section, frozen=True, kw_only=True):
    """What a member of a segment has reached in 12 months (PROGRAMME 7.2)."""

    spend: Annotated[Money, About("Spend, at least.", "money", "7.2")] = Decimal("0.00")
    repurchases: Annotated[int, About("Repurchases, at least.", "orders", "7.2", least=0)] = 0
    activities_30d: Annotated[
        int, About("Activities in the last 30 days, at least.", "activities", "7.2", least=0)
    ] = 0


class DormantFigures(Section, frozen=True, kw_only=True):
    """Who is dormant as a segment (PROGRAMME 7.2)."""

    enrolled_months: Annotated[
        int, About("Enrolled for, at least.", "months", "7.2", least=0, most=MONTHS_MOST)
    ] = 6
    spend_below: Annotated[Money, About("Spend in 12 months, below.", "money", "7.2")] = Decimal(
        "500.00"
    )
    idle_months: Annotated[
        int,
        About("No order and no activity for.", "months", "7.2", least=1, most=MONTHS_MOST),
    ] = 6


class SegmentRules(Section, frozen=True, kw_only=True):
    """Behavioural classes, first match of core, potential, dormant (PROGRAMME 7.2).

    Omitted: members have no segment.
    """

    core: Annotated[SegmentFigures | None, About("Who is core.", rule="7.2", omitted="nobody")] = (
        None
    )
    potential: Annotated[
        SegmentFigures | None, About("Who is potential.", rule="7.2", omitted="nobody")
    ] = None
    dormant: Annotated[
        DormantFigures | None, About("Who is dormant.", rule="7.2", omitted="nobody")
    ] = None
    otherwise: Annotated[Code, About("The segment of all others.", rule="7.2")] = "basic"


class StableFigures(Section, frozen=True, kw_only=True):
    """Who is stable in the lifecycle (PROGRAMME 7.3)."""

    months: Annotated[
        int, About("Enrolled for, at least.", "months", "7.3", least=0, most=MONTHS_MOST)
    ] = 12
    orders: Annotated[int, About("Orders, at least.", "orders", "7.3", least=0)] = 4


class LifecycleRules(Section, frozen=True, kw_only=True):
    """The stages new, growing, stable, lapsing, dormant, won_back (PROGRAMME 7.3).

    Omitted: members have no stage.
    """

    new_days: Annotated[int, About("New for.", "days", "7.3", least=0, most=DAYS_MOST)] = 90
    won_back_days: Annotated[
        int, About("Won back for, after an order.", "days", "7.3", least=0, most=DAYS_MOST)
    ] = 90
    stable: Annotated[StableFigures, About("Who is stable.", rule="7.3")] = StableFigures()
    lapsing_months: Annotated[
        int, About("Lapsing after, without an order.", "months", "7.3", least=1, most=MONTHS_MOST)
    ] = 3
    dormant_months: Annotated[
        int,
        About(
            "Dormant after, without order or activity.", "months", "7.3", least=1, most=MONTHS_MOST
        ),
    ] = 6


class Benefit(Section, frozen=True, kw_only=True):
    """What members of some tiers, levels or segments are entitled to (PROGRAMME 6.5)."""

    code: Annotated[
        Code, About("Its name for rules and integrators.", example="birthday_gift", rule="6.5")
    ]
    name: Annotated[
        Texts | None, About("Its name for people.", omitted="the code", example={"en": "Salon"})
    ] = None
    tiers: Annotated[tuple[Code, ...], About("Tiers that have it.", rule="6.5", names="tier")] = ()
    levels: Annotated[
        tuple[Code, ...], About("Levels that have it.", rule="6.5", names="level")
    ] = ()
    segments: Annotated[
        tuple[Code, ...], About("Segments that have it.", rule="6.5", names="segment")
    ] = ()
    times: Annotated[
        int, About("It may be used so often; 0: no limit.", "times", "6.5", least=0)
    ] = 0
    every: Annotated[
        Literal["year", "month", "life"],
        About("The calendar year or month, or the membership, that `times` is for.", rule="6.5"),
    ] = "year"


# Coupons, rewards, campaigns


class LadderStep(Section, frozen=True, kw_only=True):
    """One step of a ladder coupon: from a threshold on, so much off."""

    threshold: Annotated[Money, About("Amount that an order must reach.", "money", "8.1", above=0)]
    value: Annotated[Money, About("What it takes off.", "money", "8.1", above=0)]


class CouponTemplate(Section, frozen=True, kw_only=True):
    """A kind of coupon that can be issued (PROGRAMME 8)."""

    code: Annotated[
        Code, About("Its name for rules and integrators.", example="welcome_10", rule="8.1")
    ]
    name: Annotated[Texts | None, About("Its name for people.", omitted="the code")] = None
    kind: Annotated[CouponKind, About("What it is.", rule="8.1")]
    value: Annotated[
        Amount,
        About(
            "What it takes off: money for amount_off, percent for percent_off; not for others.",
            "money or percent",
            "8.1",
        ),
    ] = Decimal("0.00")
    threshold: Annotated[
        Money, About("Amount that an order must reach 满; 0: none.", "money", "8.1")
    ] = Decimal("0.00")
    cap: Annotated[
        Money, About("Most that percent_off takes off; 0: no limit.", "money", "8.1")
    ] = Decimal("0.00")
    steps: Annotated[
        tuple[LadderStep, ...],
        About("Steps of a ladder, rising; the highest one met applies.", rule="8.1"),
    ] = ()
    gift: Annotated[Text | None, About("What a gift is, in words.", rule="8.1", omitted="-")] = None
    service: Annotated[
        Text | None, About("What a service is, in words.", rule="8.1", omitted="-")
    ] = None
    valid_days: Annotated[
        int,
        About(
            "Good so many days from issue; not beside valid_until.",
            "days",
            "8.3",
            least=1,
            most=DAYS_MOST,
        ),
    ] = 7
    valid_from: Annotated[
        date | None, About("First good day.", "date", "8.1", omitted="the day of issue")
    ] = None
    valid_until: Annotated[
        date | None, About("Last good day.", "date", "8.1", omitted="by valid_days")
    ] = None
    channels: Annotated[
        tuple[Channel, ...], About("Where it can be used.", rule="8.1", example=["online"])
    ] = ("online", "offline")
    skus: Annotated[
        tuple[Text, ...], About("Only for these SKUs; empty: for all.", rule="8.1")
    ] = ()
    product_lines: Annotated[
        tuple[Text, ...], About("Only for these product lines; empty: for all.", rule="8.1")
    ] = ()
    first_order_only: Annotated[bool, About("Only for a member's first order.", rule="2.4")] = False
    stackable: Annotated[bool, About("May be used together with another.", rule="8.4")] = False
    per_member: Annotated[
        int, About("Most issued to one member; 0: no limit.", "coupons", "8.1", least=0)
    ] = 0
    budget: Annotated[
        Money, About("Most that all of them take off together; 0: no limit.", "money", "8.1")
    ] = Decimal("0.00")
    standing: Annotated[
        str | None,
        Kind.TRIGGER,
        About(
            "The scheduler issues it: birthday, a lifecycle stage, or segment:, level:, tier: "
            "with its code, on entering it.",
            rule="8.5",
            omitted="not by itself",
            example="birthday",
        ),
    ] = None
    days_before: Annotated[
        int,
        About("A birthday coupon comes so long before.", "days", "8.5", least=0, most=364),
    ] = 7


class RewardGate(Section, frozen=True, kw_only=True):
    """Who may redeem a reward; an empty list sets no condition."""

    tiers: Annotated[tuple[Code, ...], About("Tiers.", rule="4.2", names="tier")] = ()
    levels: Annotated[tuple[Code, ...], About("Levels.", rule="4.2", names="level")] = ()
    segments: Annotated[tuple[Code, ...], About("Segments.", rule="4.2", names="segment")] = ()


class Reward(Section, frozen=True, kw_only=True, rename={"from_": "from"}):
    """An entry of the redemption catalogue (PROGRAMME 4.2)."""

    reward_id: Annotated[
        Code, About("Its name for rules and integrators.", example="gift_box", rule="4.2")
    ]
    name: Annotated[Texts | None, About("Its name for people.", omitted="the reward_id")] = None
    kind: Annotated[RewardKind, About("What it is.", rule="4.2")]
    points: Annotated[int, About("Its price.", "points", "4.2", least=1)]
    any_multiple: Annotated[bool, About("Any multiple of the price may be given.", rule="4.2")] = (
        False
    )
    coupon: Annotated[
        Code | None,
        About("Coupon issued, for kind coupon.", rule="4.2", names="coupon", omitted="-"),
    ] = None
    months: Annotated[
        int,
        About("How long a tier_upgrade lasts.", "months", "4.2", least=1, most=MONTHS_MOST),
    ] = 12
    up_to: Annotated[
        Code | None,
        About("A tier_upgrade goes no higher.", rule="4.2", names="tier", omitted="no limit"),
    ] = None
    stock: Annotated[int, About("How many there are; 0: no limit.", "pieces", "4.2", least=0)] = 0
    per_member: Annotated[
        int, About("Most for one member; 0: no limit.", "pieces", "4.2", least=0)
    ] = 0
    only: Annotated[RewardGate, About("Who may redeem it.", rule="4.2")] = RewardGate()
    from_: Annotated[datetime | None, About("On sale from.", "time", "4.2", omitted="at once")] = (
        None
    )
    until: Annotated[
        datetime | None, About("On sale until, not including.", "time", "4.2", omitted="no end")
    ] = None


class CampaignScope(Section, frozen=True, kw_only=True):
    """Where a campaign counts; every list given must hold, an empty one sets no condition."""

    channels: Annotated[tuple[Channel, ...], About("Channels.", rule="2.8")] = ()
    stores: Annotated[tuple[Code, ...], About("Stores.", rule="2.8")] = ()
    product_lines: Annotated[tuple[Text, ...], About("Product lines.", rule="2.8")] = ()
    tiers: Annotated[tuple[Code, ...], About("Tiers.", rule="2.8", names="tier")] = ()
    levels: Annotated[tuple[Code, ...], About("Levels.", rule="2.8", names="level")] = ()
    segments: Annotated[tuple[Code, ...], About("Segments.", rule="2.8", names="segment")] = ()
    lifecycle: Annotated[
        tuple[Code, ...], About("Lifecycle stages.", rule="2.8", names="lifecycle")
    ] = ()


class Campaign(Section, frozen=True, kw_only=True, rename={"from_": "from"}):
    """A dated change of earning: multiplier or bonus (PROGRAMME 2.8)."""

    code: Annotated[
        Code, About("Its name for rules and integrators.", example="member_day", rule="2.8")
    ]
    name: Annotated[Texts | None, About("Its name for people.", omitted="the code")] = None
    from_: Annotated[datetime, About("In force from.", "time", "2.8")]
    until: Annotated[datetime, About("In force until, not including.", "time", "2.8")]
    multiplier: Annotated[
        Rate, About("Points are multiplied by.", "times", "2.8", above=0, most=1000)
    ] = Decimal(1)
    bonus: Annotated[int, About("Points added.", "points", "2.8", least=0)] = 0
    applies_to: Annotated[
        Literal["order", "activity", "both"], About("What it is for.", rule="2.8")
    ] = "order"
    only: Annotated[CampaignScope, About("Where it counts.", rule="2.8")] = CampaignScope()

    def in_force(self, moment: datetime) -> bool:
        """Whether the campaign runs at this moment: from `from`, before `until`."""
        return self.from_ <= moment < self.until


# Messages, follow-ups, limits, accounting, guard rails


class MarketingCap(Section, frozen=True, kw_only=True):
    """Most marketing messages for a member within some days (PROGRAMME 9.2)."""

    messages: Annotated[int, About("Messages; 0: no limit.", "messages", "9.2", least=0)] = 3
    days: Annotated[int, About("Within.", "days", "9.2", least=1, most=DAYS_MOST)] = 7


class MessageRules(Section, frozen=True, kw_only=True):
    """How members are written to (PROGRAMME 9). Omitted: they are not."""

    languages: Annotated[
        tuple[Literal["zh", "en"], ...], About("Languages, the preferred first.", rule="9")
    ] = ("zh", "en")
    quiet_hours: Annotated[
        tuple[time, time],
        About("No message from … to …, local time; the same twice: no quiet hours.", rule="9.2"),
    ] = (time(22), time(8))
    marketing_cap: Annotated[
        MarketingCap | None,
        About(
            "Cap on marketing messages.",
            rule="9.2",
            omitted="no limit",
            example={"messages": 3, "days": 7},
        ),
    ] = None


class FollowUpRules(Section, frozen=True, kw_only=True):
    """Tasks for staff after an order (PROGRAMME 9.3). Omitted: none."""

    core_days: Annotated[
        int, About("Members of the core segment are called within.", "days", "9.3", 0)
    ] = 3
    other_days: Annotated[int, About("Others get a survey within.", "days", "9.3", least=0)] = 7


class Limits(Section, frozen=True, kw_only=True):
    """Limits on redemptions and adjustments. Omitted: none."""

    redemptions_per_day: Annotated[
        int, About("Redemptions of a member a local day; 0: no limit.", "redemptions", "10", 0)
    ] = 0
    adjustment_needs_approval_over: Annotated[
        int,
        About("A larger adjustment needs a second person; 0: none does.", "points", "10", 0),
    ] = 0


class Accounting(Section, frozen=True, kw_only=True):
    """Estimates for the books (PROGRAMME 11). Omitted: no breakage is expected."""

    breakage_rate: Annotated[
        Rate,
        About(
            "Part of the granted points expected never to be redeemed.",
            "share",
            "11.3",
            least=0,
            most=1,
        ),
    ] = Decimal(0)


class RedemptionsPerHour(Section, frozen=True, kw_only=True):
    """More redemptions of one member within an hour than usual."""

    limit: Annotated[
        int, About("Redemptions within an hour, over; 0: no limit.", "redemptions", "10", least=0)
    ] = 0
    action: Annotated[GuardAction, About("What follows.", rule="10")] = "flag"


class RefundRatio(Section, frozen=True, kw_only=True):
    """A member who gives back an unusual part of what was bought."""

    over: Annotated[
        Rate, About("Refunded part of all spend, over.", "share", "10", least=0, most=1)
    ]
    after_orders: Annotated[int, About("Only after so many orders.", "orders", "10", least=0)] = 0
    action: Annotated[GuardAction, About("What follows.", rule="10")] = "flag"


class EarnAndRedeemWithin(Section, frozen=True, kw_only=True):
    """A member who enrols, earns and redeems within minutes."""

    minutes: Annotated[int, About("Within.", "minutes", "10", least=1)]
    min_points: Annotated[int, About("At least so many points.", "points", "10", least=0)] = 0
    action: Annotated[GuardAction, About("What follows.", rule="10")] = "flag"


class RefereesPerPhonePrefix(Section, frozen=True, kw_only=True):
    """Many referees whose phone numbers begin alike."""

    digits: Annotated[int, About("Digits that are alike.", "digits", "10", least=1, most=15)]
    limit: Annotated[
        int, About("Referees with them, over; 0: no limit.", "referees", "10", least=0)
    ] = 0
    action: Annotated[GuardAction, About("What follows.", rule="10")] = "flag"


class GuardRails(Section, frozen=True, kw_only=True):
    """Rules that flag, delay or freeze (PROGRAMME 10). Omitted: none."""

    redemptions_per_hour: Annotated[
        RedemptionsPerHour | None, About("Redemption velocity.", rule="10", omitted="off")
    ] = None
    refund_ratio: Annotated[
        RefundRatio | None, About("Refund ratio.", rule="10", omitted="off")
    ] = None
    earn_and_redeem_within: Annotated[
        EarnAndRedeemWithin | None,
        About("Earning and redeeming at once.", rule="10", omitted="off"),
    ] = None
    referees_per_phone_prefix: Annotated[
        RefereesPerPhonePrefix | None,
        About("Referees on one phone prefix.", rule="10", omitted="off"),
    ] = None
