"""What earns besides orders: check-ins, shares, reviews and the like (PROGRAMME 2.3)."""

from __future__ import annotations

from ledger import events as e
from ledger import requests as r
from ledger.days import day
from ledger.earning import NOTHING_EARNED, Earned, Occasion, capped, earn_on_activity
from ledger.errors import InvalidRequest
from ledger.member.accruing import left_today
from ledger.member.aggregate import Member
from ledger.member.circumstances import Circumstances
from ledger.member.granting import debt_paid_by, new_lot
from ledger.member.issuing import issue
from ledger.member.settling import settle
from ledger.member.status import must_be_active
from ledger.programme.report import suggestion
from ledger.programme.sections import ActivityRule, EarningRules


def do_activity(
    member: Member, command: r.Activity, activity_id: str, at: Circumstances
) -> e.ActivityRewarded:
    """Record an activity and grant what it earns; over a cap it earns nothing (2.3)."""
    must_be_active(member)
    rules, rule = _rule(command, at)
    settle(member, at)
    reason = _over(member, command, rule, at)
    earned = NOTHING_EARNED
    if reason is None:
        earned = _earned_by(member, command, rules, at)
        if earned.points == 0 and rule.points:
            reason = "daily_earning_cap"
    lot = new_lot(member, earned.points, "activity", at)
    event = e.ActivityRewarded(
        occurred_at=at.occurred_at,
        meta=at.meta,
        activity_id=activity_id,
        activity=command.activity,
        reference=command.reference,
        points=earned.points,
        breakdown=earned.breakdown,
        programme_version=at.version.number,
        earned_on=at.day,
        reason=reason,
        gift=rule.gift if reason is None else None,
        lot=lot,
        debt_paid=debt_paid_by(member, lot),
        store_id=command.store_id,
        channel=command.channel,
    )
    member.trigger(event)
    if reason is None:
        issue(member, rule.coupon, "activity", at)
    return event


def _rule(command: r.Activity, at: Circumstances) -> tuple[EarningRules, ActivityRule]:
    rules = at.programme.earning
    known = rules.activities if rules is not None else {}
    rule = known.get(command.activity)
    if rules is None or rule is None:
        raise InvalidRequest(
            "activity",
            f"There is no activity {command.activity!r} in this programme"
            f"{suggestion(command.activity, sorted(known))}.",
        )
    if rule.once_per in ("order", "reference") and command.reference is None:
        raise InvalidRequest(
            "reference",
            f"{command.activity} counts once for each {rule.once_per}: say which in reference.",
        )
    return rules, rule


def _over(
    member: Member, command: r.Activity, rule: ActivityRule, at: Circumstances
) -> e.ActivityCap | None:
    """Over which cap of its own the activity is, if any (2.3)."""
    done_today = day(member, at.day).activities.get(command.activity, 0)
    if rule.once_per == "day" and done_today:
        return "once_per_day"
    if rule.once_per in ("order", "reference") and member.done.find(
        f"{command.activity}/{command.reference}"
    ):
        return "once_per_order" if rule.once_per == "order" else "once_per_reference"
    if rule.max_per_day and done_today >= rule.max_per_day:
        return "max_per_day"
    return None


def _earned_by(
    member: Member, command: r.Activity, rules: EarningRules, at: Circumstances
) -> Earned:
    standing = member.standing(at.programme, at.occurred_at)
    occasion = Occasion(at.occurred_at, standing, command.channel, command.store_id)
    points = rules.activities[command.activity].points
    earned = earn_on_activity(
        command.activity, points, rules.stacking, at.programme.campaigns, occasion
    )
    return capped(earned, left_today(member, at))
