"""A programme: one loyalty scheme with its currency, its time zone and all its rules.

The rules are data (`sections.py`); what stands here besides belongs to every programme alike:
what a local date is, when a lot expires, what points are worth. Where a section is None, what it
rules is off; `points`, `limits`, `accounting` and `guard_rails` are always there, and their
defaults are "nothing special".
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated
from zoneinfo import ZoneInfo

from ledger.programme import dates
from ledger.programme.sections import (
    Accounting,
    Benefit,
    Campaign,
    CouponTemplate,
    EarningRules,
    FollowUpRules,
    GuardRails,
    LevelRules,
    LifecycleRules,
    Limits,
    MessageRules,
    NewcomerPack,
    PointsRules,
    RedemptionRules,
    ReferralRules,
    ReturnRules,
    Reward,
    SecondOrder,
    Section,
    SegmentRules,
    SpendGift,
    Texts,
    Tier,
)
from ledger.programme.setting import About, Code, Kind

LIFECYCLE_STAGES = ("new", "growing", "stable", "lapsing", "dormant", "won_back")
"""The stages of PROGRAMME 7.3, wherever the lifecycle is on."""


class Programme(Section, frozen=True, kw_only=True, rename={"code": "programme"}):
    """A whole rule set, as one version of the programme has it (PROGRAMME 1).

    Two rule sets are the same if `rules_to_json` says the same of both.
    """

    code: Annotated[Code, About("The programme's name for integrators.", example="retail")]
    name: Annotated[
        Texts | None,
        About(
            "Its name for people.",
            omitted="the code",
            example={"zh": "零售会员", "en": "Retail rewards"},
        ),
    ] = None
    currency: Annotated[
        str,
        Kind.CURRENCY,
        About("Currency of all its money: an ISO 4217 code with two decimals.", example="CNY"),
    ]
    time_zone: Annotated[
        str,
        Kind.TIME_ZONE,
        About("Time zone of all its dates: an IANA name.", example="Asia/Shanghai"),
    ]
    auto_enrol: Annotated[bool, About("An order of an unknown member enrols them.", rule="1")] = (
        False
    )
    points: Annotated[PointsRules, About("Worth and validity of points.", rule="3")] = PointsRules()
    earning: Annotated[
        EarningRules | None, About("Earning by orders and activities.", rule="2", omitted="off")
    ] = None
    newcomer: Annotated[
        NewcomerPack | None, About("Newcomer pack 新手礼包.", rule="2.4", omitted="off")
    ] = None
    second_order: Annotated[
        SecondOrder | None, About("Second purchase.", rule="2.5", omitted="off")
    ] = None
    spend_gifts: Annotated[tuple[SpendGift, ...], About("Spend gifts 满赠.", rule="2.6")] = ()
    referral: Annotated[
        ReferralRules | None, About("Referral 推荐有礼.", rule="2.7", omitted="off")
    ] = None
    redemption: Annotated[
        RedemptionRules | None, About("Cash offset 抵现.", rule="4.1", omitted="off")
    ] = None
    returns: Annotated[ReturnRules | None, About("Return window.", rule="2.9", omitted="off")] = (
        None
    )
    tiers: Annotated[tuple[Tier, ...], About("Tiers 等级, lowest first.", rule="6")] = ()
    levels: Annotated[LevelRules | None, About("Levels 价值层级.", rule="7.1", omitted="off")] = (
        None
    )
    segments: Annotated[
        SegmentRules | None, About("Segments 客户分层.", rule="7.2", omitted="off")
    ] = None
    lifecycle: Annotated[LifecycleRules | None, About("Lifecycle.", rule="7.3", omitted="off")] = (
        None
    )
    benefits: Annotated[
        tuple[Benefit, ...], About("Benefits of tiers, levels and segments.", rule="6.5")
    ] = ()
    coupons: Annotated[tuple[CouponTemplate, ...], About("Coupon templates 优惠券.", rule="8")] = ()
    rewards: Annotated[tuple[Reward, ...], About("Redemption catalogue.", rule="4.2")] = ()
    campaigns: Annotated[tuple[Campaign, ...], About("Campaigns 活动.", rule="2.8")] = ()
    messages: Annotated[
        MessageRules | None, About("Messages to members.", rule="9", omitted="off")
    ] = None
    follow_ups: Annotated[
        FollowUpRules | None, About("Follow-up tasks.", rule="9.3", omitted="off")
    ] = None
    limits: Annotated[Limits, About("Limits.", rule="10")] = Limits()
    accounting: Annotated[Accounting, About("Estimates for the books.", rule="11")] = Accounting()
    guard_rails: Annotated[GuardRails, About("Guard rails.", rule="10")] = GuardRails()

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of every date of the programme."""
        return ZoneInfo(self.time_zone)

    def local_time(self, moment: datetime) -> datetime:
        """The moment as the programme's clocks show it, with its offset from UTC."""
        return dates.with_fixed_offset(moment, self.zone)

    def local_date(self, moment: datetime) -> date:
        """The date in the programme's time zone, whatever zone the moment came in."""
        return moment.astimezone(self.zone).date()

    def local_midnight(self, day: date) -> datetime:
        """The first instant of a local date (see `dates.start_of` for clock changes)."""
        return dates.start_of(day, self.zone)

    def expires_on(self, earned_on: date) -> date | None:
        """The last good day of points earned on a local date; None if they never expire.

        PROGRAMME 3.1: the validity, then prolonged to the end of the aligned period.
        """
        validity = self.points.validity
        if validity == "none":
            return None
        last_day = dates.add_months(earned_on, validity.in_months)
        return dates.end_of(last_day, self.points.align_expiry)

    def expiry_moment(self, expires_on: date) -> datetime:
        """When points expire whose last good day this is: the local midnight after it."""
        return self.local_midnight(expires_on + timedelta(days=1))

    def points_value(self, points: int) -> Decimal:
        """What points are worth when redeemed: money with two decimals, exact."""
        return points * self.points.value

    def tier(self, code: str) -> Tier | None:
        """The tier of this code, if the programme has it."""
        return next((tier for tier in self.tiers if tier.code == code), None)

    def benefit(self, code: str) -> Benefit | None:
        """The benefit of this code, if the programme has it."""
        return next((benefit for benefit in self.benefits if benefit.code == code), None)

    def coupon(self, code: str) -> CouponTemplate | None:
        """The coupon template of this code, if the programme has it."""
        return next((coupon for coupon in self.coupons if coupon.code == code), None)

    def reward(self, reward_id: str) -> Reward | None:
        """The reward of this id, if the programme has it."""
        return next((reward for reward in self.rewards if reward.reward_id == reward_id), None)
