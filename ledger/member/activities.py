"""What earns besides orders: check-ins, shares, reviews and the like (PROGRAMME 2.3)."""

from __future__ import annotations

from datetime import datetime

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
from ledger.programme.model import Programme
from ledger.programme.sections import ActivityRule


def do_activity(
    member: Member, command: r.Activity, activity_id: str, at: Circumstances
) -> e.ActivityRewarded:
    """Record an activity and grant what it earns; over a cap it earns nothing (2.3)."""
    must_be_active(member)
    rule = _rule(command, at)
    settle(member, at)
    reason = _over(member, command, rule, at)
    earned = NOTHING_EARNED
    if reason is None:
        earned = earned_before_cap(member, command, at.programme, at.occurred_at)
        earned = capped(earned, left_today(member, at))
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


def _rule(command: r.Activity, at: Circumstances) -> ActivityRule:
    known = at.programme.earning.activities if at.programme.earning is not None else {}
    rule = known.get(command.activity)
    if rule is None:
        raise InvalidRequest(
            "activity",
            f"There is no activity {command.activity!r} in this programme; give one of: "
            f"{', '.join(sorted(known)) or '(it has none)'}.",
        )
    if rule.once_per in ("order", "reference") and command.reference is None:
        raise InvalidRequest(
            "reference",
            f"{command.activity} counts once for each {rule.once_per}: say which in reference.",
        )
    return rule


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


def earned_before_cap(
    member: Member, command: r.Activity, programme: Programme, moment: datetime
) -> Earned:
    """What the activity would earn by these rules at a moment, but for every cap."""
    rules = programme.earning
    rule = rules.activities.get(command.activity) if rules is not None else None
    if rules is None or rule is None:
        return NOTHING_EARNED
    standing = member.standing(programme, moment)
    occasion = Occasion(moment, standing, command.channel, command.store_id)
    return earn_on_activity(
        command.activity, rule.points, rules.stacking, programme.campaigns, occasion
    )
