"""What happened, in a sentence that staff can read out, in English and Chinese (PROGRAMME 2.11)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

from ledger import events as e


class Summary(NamedTuple):
    """One sentence in each language of the programme."""

    en: str
    zh: str


def summary_of(event: e.Event) -> Summary:
    """The sentence for an event; for one without a rule here its name."""
    rule = _SENTENCES.get(type(event))
    return rule(event) if rule else Summary(event.TOPIC, event.TOPIC)


_LEVELS_ZH: Final = {
    "ordinary": "普通",
    "active": "活跃",
    "core": "核心",
    "loyal": "忠诚",
}


def _money(amount: Decimal) -> str:
    return format(amount, "f")


def _points_en(points: int) -> str:
    return "1 point" if points == 1 else f"{points} points"


def _multiplier(row: e.BreakdownRow) -> str:
    if row.multiplier is None:
        return f"{row.points:+d}"
    return f"×{format(row.multiplier.normalize(), 'f')}"


_ACTIVITIES: Final = {
    "check_in": Summary("check-in", "签到"),
    "share": Summary("share", "分享"),
    "review": Summary("review", "评价"),
    "survey": Summary("survey", "问卷"),
    "quiz": Summary("quiz", "问答"),
    "feedback": Summary("feedback", "建议"),
    "event": Summary("event", "活动"),
    "vote": Summary("vote", "投票"),
}

_CAPS: Final = {
    "once_per_day": Summary("it counts once a day", "每天计一次"),
    "once_per_order": Summary("it counts once an order", "每单计一次"),
    "once_per_reference": Summary("it has counted for this one", "此项已计"),
    "max_per_day": Summary("it has counted often enough that day", "当天次数已满"),
    "daily_earning_cap": Summary("the day's cap on points is reached", "当天积分已达上限"),
}

_REFUSED: Final = {
    "same_member": Summary("it is the member's own code", "为本人推荐码"),
    "same_phone": Summary("both have the same phone", "双方手机号相同"),
    "same_email": Summary("both have the same e-mail", "双方邮箱相同"),
    "loop": Summary("the referrer came through this member", "推荐人由该会员带来"),
    "already_referred": Summary("the member has a referrer", "已有推荐人"),
    "not_first_order": Summary("it came after the first order", "非首单"),
    "monthly_limit": Summary("the referrer's month is full", "推荐人当月已满额"),
    "referrer_frozen": Summary("the referrer is frozen", "推荐人已冻结"),
    "referrer_closed": Summary("the referrer has left", "推荐人已注销"),
    "referee_frozen": Summary("the member is frozen", "该会员已冻结"),
}

_GIVEN_FOR: Final = {
    "newcomer": Summary("Newcomer pack", "新手礼包"),
    "referee": Summary("Referral welcome", "受邀入会"),
    "second_order": Summary("First order", "首单后赠"),
    "spend_gift": Summary("Spend gift", "满赠"),
    "referral": Summary("Referral reward", "推荐奖励"),
    "activity": Summary("Activity reward", "互动奖励"),
}

_FLAGS: Final = {
    "refund_ratio": Summary("much of what was bought was given back", "退款占比偏高"),
    "referees_per_phone_prefix": Summary(
        "many referees of one referrer have phone numbers that begin alike",
        "同一推荐人的多名受邀者手机号段相同",
    ),
}

_ACTIONS: Final = {
    "flag": Summary("flagged", "标记"),
    "delay": Summary("flagged, order points wait from now on", "标记，此后订单积分待生效"),
    "freeze": Summary("flagged and frozen", "标记并冻结"),
}


def _label(row: e.BreakdownRow) -> Summary:
    """A breakdown row's rule in words: "level:core" → core level, 核心等级."""
    kind, _, code = row.rule.partition(":")
    if row.name_en is not None:
        return Summary(row.name_en, row.name_zh or row.name_en)
    if kind == "level":
        return Summary(f"{code} level", f"{_LEVELS_ZH.get(code, code)}等级")
    if kind == "campaign":
        return Summary(f"campaign {code}", f"活动 {code}")
    if kind == "bonus":
        return Summary(f"bonus {code}", f"奖励 {code}")
    if kind == "activity":
        return _ACTIVITIES.get(code, Summary(code, code))
    if kind == "referral":
        return Summary("referral", "推荐")
    if kind == "newcomer":
        return Summary("newcomer pack", "新手礼包")
    if kind == "cap":
        return Summary("daily cap", "每日上限")
    return Summary(row.rule, row.rule)


def explained(rows: Sequence[e.BreakdownRow], points: int) -> Summary:
    """From the first row to the grant, step by step: "148 points, core level ×1.2: 178"."""
    if len(rows) < 2:
        return Summary(_points_en(points), f"{points} 积分")
    sum_so_far = rows[0].points
    en, zh = [_points_en(sum_so_far)], [f"{sum_so_far} 积分"]
    for row in rows[1:]:
        sum_so_far += row.points
        label = _label(row)
        step = f" {_multiplier(row)}: {sum_so_far}"
        en.append(label.en + step)
        zh.append(f"{label.zh} {_multiplier(row)}：{sum_so_far}")
    return Summary(", ".join(en), "，".join(zh))


def _and_debt(sentence: Summary, paid: Sequence[e.DebtPaid]) -> Summary:
    """The sentence, and how much of the points paid debt, if any did (5.6)."""
    if not paid:
        return sentence
    points = sum(part.points for part in paid)
    return Summary(
        f"{sentence.en}, {points} of them paid debt", f"{sentence.zh}，其中 {points} 抵欠"
    )


def _for_order(order_id: str | None) -> Summary:
    return Summary(f" on order {order_id}", f"，订单 {order_id}") if order_id else Summary("", "")


def _enrolled(event: e.MemberEnrolled) -> Summary:
    en, zh = "Enrolled", "入会"
    if event.store_id:
        en, zh = f"Enrolled at {event.store_id}", f"在 {event.store_id} 入会"
    if event.referrer_id:
        en, zh = f"{en}, brought by {event.referrer_id}", f"{zh}，由 {event.referrer_id} 推荐"
    return Summary(en, zh)


def _accrued(event: e.PointsAccrued) -> Summary:
    amount = _money(event.amount)
    rows = event.breakdown
    base = rows[0].base if rows else None
    eligible = Summary("", "")
    if base is not None and base != event.amount:
        eligible = Summary(f", {_money(base)} of it earns", f"（计分 {_money(base)}）")
    place = Summary(f" at {event.store_id}", f"在 {event.store_id} ") if event.store_id else None
    how = explained(rows, event.points)
    sentence = Summary(
        f"{amount} paid{place.en if place else ''}{eligible.en}: {how.en}",
        f"{place.zh if place else ''}消费 {amount}{eligible.zh}：{how.zh}",
    )
    funded_by = event.lot.funded_by if event.lot is not None else None
    if funded_by is not None:
        sentence = Summary(
            f"{sentence.en}, funded by {funded_by}", f"{sentence.zh}，由 {funded_by} 出资"
        )
    return _and_debt(sentence, event.debt_paid) if event.debt_paid else sentence


def _newcomer_rewarded(event: e.NewcomerRewarded) -> Summary:
    return Summary(f"Welcome: {_points_en(event.points)}", f"新手礼包：{event.points} 积分")


def _activity_rewarded(event: e.ActivityRewarded) -> Summary:
    name = _ACTIVITIES.get(event.activity, Summary(event.activity, event.activity))
    about = f" {event.reference}" if event.reference else ""
    what = Summary(f"{name.en[:1].upper()}{name.en[1:]}{about}", f"{name.zh}{about}")
    if event.reason is not None:
        why = _CAPS[event.reason]
        return Summary(f"{what.en}: 0 points, {why.en}", f"{what.zh}：0 积分，{why.zh}")
    how = explained(event.breakdown, event.points)
    if event.gift is not None:
        how = Summary(f"{how.en}, gift: {event.gift}", f"{how.zh}，礼品：{event.gift}")
    return _and_debt(Summary(f"{what.en}: {how.en}", f"{what.zh}：{how.zh}"), event.debt_paid)


def _activated(event: e.PointsActivated) -> Summary:
    return Summary(
        f"{_points_en(event.points)} can be spent: the return window has passed",
        f"{event.points} 积分生效：已过退货期",
    )


def _referrer_named(event: e.ReferrerNamed) -> Summary:
    return Summary(
        f"Came through {event.referrer_id}, with first order {event.order_id}",
        f"由 {event.referrer_id} 推荐，首单 {event.order_id}",
    )


def _referral_refused(event: e.ReferralRefused) -> Summary:
    why = _REFUSED[event.reason]
    return Summary(
        f"Referral by {event.referrer_id} does not count: {why.en}",
        f"{event.referrer_id} 的推荐不计：{why.zh}",
    )


def _referral_rewarded(event: e.ReferralRewarded) -> Summary:
    how = explained(event.breakdown, event.points)
    sentence = Summary(
        f"{event.referee_id} completed the first order {event.order_id}: {how.en}",
        f"推荐的 {event.referee_id} 完成首单 {event.order_id}：{how.zh}",
    )
    return _and_debt(sentence, event.debt_paid)


def _referral_reversed(event: e.ReferralReversed) -> Summary:
    sentence = Summary(
        f"{event.referee_id} gave back the first order {event.order_id}: "
        f"{_points_en(event.points)} of the referral taken back",
        f"推荐的 {event.referee_id} 首单 {event.order_id} 全额退款，"
        f"收回推荐奖励 {event.points} 积分",
    )
    return _owed_or_waived(sentence, event.debt, event.waived)


def _coupon_issued(event: e.CouponIssued) -> Summary:
    why, until = _GIVEN_FOR[event.source], event.valid_until.isoformat()
    en, zh = event.name_en or event.template, event.name_zh or event.template
    return Summary(
        f"{why.en}: coupon {event.code}, {en}, good through {until}",
        f"{why.zh}：{zh}（{event.code}），有效期至 {until}",
    )


def _coupon_voided(event: e.CouponVoided) -> Summary:
    en, zh = event.name_en or event.template, event.name_zh or event.template
    return Summary(
        f"Coupon {event.code}, {en}, voided: order {event.order_id} was refunded",
        f"订单 {event.order_id} 全额退款，{zh}（{event.code}）作废",
    )


def _flagged(event: e.MemberFlagged) -> Summary:
    what = _FLAGS.get(event.rule, Summary(event.rule, event.rule))
    done = _ACTIONS[event.action]
    return Summary(
        f"{what.en[0].upper()}{what.en[1:]} ({event.found}, over {event.limit}): {done.en}",
        f"{what.zh}（{event.found.replace(' of ', ' / ')}，超过 {event.limit}）：{done.zh}",
    )


_TIERS_ZH: Final = {"regular": "普通", "silver": "银卡", "gold": "金卡", "diamond": "钻石"}

_SEGMENTS_ZH: Final = {"core": "核心", "potential": "潜力", "basic": "基础", "dormant": "沉睡"}

_STAGES_ZH: Final = {
    "new": "新客",
    "growing": "成长",
    "stable": "稳定",
    "lapsing": "预流失",
    "dormant": "沉睡",
    "won_back": "召回",
}


def _tier_zh(code: str) -> str:
    return _TIERS_ZH.get(code, code)


def _tier_upgraded(event: e.TierUpgraded) -> Summary:
    found = f"{_money(event.spend)}, {event.repurchases}"
    until = event.until.isoformat()
    return Summary(
        f"{event.to_tier} through {until}: {_money(event.spend)} spent, "
        f"{event.repurchases} repurchases ({_money(event.needed_spend)} and "
        f"{event.needed_repurchases} needed)",
        f"升为{_tier_zh(event.to_tier)}，有效期至 {until}：消费与复购 {found}"
        f"（需 {_money(event.needed_spend)}，{event.needed_repurchases}）",
    )


def _review_figures(event: e.TierReview) -> Summary:
    spend, needed = _money(event.spend), _money(event.needed_spend)
    return Summary(
        f"{spend} spent and {event.repurchases} repurchases from {event.window_from} to "
        f"{event.window_to}, {needed} and {event.needed_repurchases} needed",
        f"{event.window_from} 至 {event.window_to} 消费 {spend}、复购 {event.repurchases} 次，"
        f"需 {needed}、{event.needed_repurchases} 次",
    )


def _tier_renewed(event: e.TierRenewed) -> Summary:
    how = _review_figures(event)
    return Summary(
        f"{event.tier} renewed through {event.until}: {how.en}",
        f"{_tier_zh(event.tier)}续期至 {event.until}：{how.zh}",
    )


def _tier_extended(event: e.TierExtended) -> Summary:
    how = _review_figures(event)
    return Summary(
        f"{event.tier} extended through {event.until}: {how.en}",
        f"{_tier_zh(event.tier)}延保至 {event.until}：{how.zh}",
    )


def _tier_downgraded(event: e.TierDowngraded) -> Summary:
    how = _review_figures(event)
    return Summary(
        f"{event.tier} ended, {event.to_tier} from {event.since}: {how.en}",
        f"{_tier_zh(event.tier)}到期，{event.since} 起为{_tier_zh(event.to_tier)}：{how.zh}",
    )


def _level_reviewed(event: e.LevelReviewed) -> Summary:
    en = [f"level {event.level} (score {event.score})"] if event.level else []
    zh = (
        [f"层级{_LEVELS_ZH.get(event.level, event.level)}（{event.score} 分）"]
        if event.level
        else []
    )
    if event.segment:
        en.append(f"segment {event.segment}")
        zh.append(f"分层{_SEGMENTS_ZH.get(event.segment, event.segment)}")
    if event.lifecycle:
        en.append(f"lifecycle {event.lifecycle}")
        zh.append(f"生命周期{_STAGES_ZH.get(event.lifecycle, event.lifecycle)}")
    figures = (
        f"{_money(event.spend)} spent, {event.orders} orders, {event.activities} activities "
        "in 12 months",
        f"12 个月消费 {_money(event.spend)}，{event.orders} 单，{event.activities} 次互动",
    )
    return Summary(
        f"Review of {event.on}: {', '.join(en)}: {figures[0]}",
        f"{event.on} 评定：{'，'.join(zh)}：{figures[1]}",
    )


def _benefit_used(event: e.BenefitUsed) -> Summary:
    note = f": {event.note}" if event.note else ""
    return Summary(
        f"Benefit {event.benefit} used, by {event.because}{note}",
        f"使用权益 {event.benefit}，依据 {event.because}{note}",
    )


_UNITS: Final = ((86_400, "d", "天"), (3600, "h", "小时"), (60, "min", "分钟"), (1, "s", "秒"))


def _duration(seconds: int) -> Summary:
    """In the largest unit that comes out whole: 15 min, 7 d."""
    length, en, zh = next(unit for unit in _UNITS if seconds % unit[0] == 0)
    return Summary(f"{seconds // length} {en}", f"{seconds // length} {zh}")


def _reserved(event: e.PointsReserved) -> Summary:
    time = _duration(round((event.reserved_until - event.occurred_at).total_seconds()))
    order, value = _for_order(event.order_id), _money(event.value)
    return Summary(
        f"{_points_en(event.points)} set aside for {time.en}, worth {value}{order.en}",
        f"预留 {event.points} 积分 {time.zh}，价值 {value}{order.zh}",
    )


def _captured(event: e.ReservationCaptured) -> Summary:
    order, value = _for_order(event.order_id), _money(event.value)
    returned = sum(lot.points for lot in event.lots_returned)
    returned += sum(part.points for part in event.debt_paid)
    rest = (
        Summary(f", {returned} given back", f"，退回 {returned}") if returned else Summary("", "")
    )
    sentence = Summary(
        f"{_points_en(event.points)} of the reservation spent, worth {value}{order.en}{rest.en}",
        f"使用预留的 {event.points} 积分，价值 {value}{order.zh}{rest.zh}",
    )
    return _and_debt(sentence, event.debt_paid)


def _released(event: e.ReservationReleased) -> Summary:
    sentence = Summary(
        f"Reservation given up: {_points_en(event.points)} back",
        f"预留取消：退回 {event.points} 积分",
    )
    return _and_debt(sentence, event.debt_paid)


def _lapsed(event: e.ReservationLapsed) -> Summary:
    sentence = Summary(
        f"Reservation ran out of time: {_points_en(event.points)} back",
        f"预留超时：退回 {event.points} 积分",
    )
    return _and_debt(sentence, event.debt_paid)


def _redeemed(event: e.PointsRedeemed) -> Summary:
    order, value = _for_order(event.order_id), _money(event.value)
    return Summary(
        f"{_points_en(event.points)} spent, worth {value}{order.en}",
        f"使用 {event.points} 积分，价值 {value}{order.zh}",
    )


def _refunded(event: e.OrderRefunded) -> Summary:
    amount, so_far = _money(event.amount), _money(event.refunded)
    return Summary(
        f"{amount} of order {event.order_id} refunded, {so_far} in all",
        f"订单 {event.order_id} 退款 {amount}，累计 {so_far}",
    )


def _restored(event: e.PointsRestored) -> Summary:
    sentence = Summary(
        f"{_points_en(event.points)} spent on order {event.order_id} given back for its refund",
        f"订单 {event.order_id} 退款，退还其使用的 {event.points} 积分",
    )
    return _and_debt(sentence, event.debt_paid)


def _clawed_back(event: e.PointsClawedBack) -> Summary:
    sentence = Summary(
        f"{_points_en(event.points)} of order {event.order_id} taken back for its refund",
        f"订单 {event.order_id} 退款，收回 {event.points} 积分",
    )
    return _owed_or_waived(sentence, event.debt, event.waived)


def _owed_or_waived(sentence: Summary, debt: int, waived: int) -> Summary:
    """The sentence, and what of the points was not there to be taken (5.2)."""
    en, zh = sentence
    if debt:
        en, zh = f"{en}, {debt} of them became debt", f"{zh}，其中 {debt} 记为欠分"
    if waived:
        en, zh = f"{en}, {waived} of them waived", f"{zh}，其中 {waived} 免除"
    return Summary(en, zh)


def _expired(event: e.PointsExpired) -> Summary:
    day = event.expires_on.isoformat()
    if event.released_late:
        return Summary(
            f"{_points_en(event.points)} came back after their last day, {day}, and expired",
            f"{event.points} 积分退回时已过有效期 {day}，过期",
        )
    return Summary(
        f"{_points_en(event.points)} expired, good through {day}",
        f"{event.points} 积分过期，有效期至 {day}",
    )


def _expiry_corrected(event: e.PointsExpiryCorrected) -> Summary:
    sentence = Summary(
        f"Expiry of {_points_en(event.points)} taken back: used before it, recorded after it",
        f"更正过期 {event.points} 积分：过期前已使用，事后入账",
    )
    return _and_debt(sentence, event.debt_paid)


def _adjustment_requested(event: e.AdjustmentRequested) -> Summary:
    return Summary(
        f"Adjustment by {event.points:+d} points waits for approval: {event.reason}",
        f"调整 {event.points:+d} 积分待审批：{event.reason}",
    )


def _adjustment_rejected(event: e.AdjustmentRejected) -> Summary:
    reason = f": {event.reason}" if event.reason else ""
    return Summary(f"Adjustment rejected{reason}", f"调整被驳回{reason}")


def _adjusted(event: e.PointsAdjusted) -> Summary:
    sentence = Summary(
        f"Adjusted by {event.points:+d} points: {event.reason}",
        f"调整 {event.points:+d} 积分：{event.reason}",
    )
    return _and_debt(sentence, event.debt_paid)


# Any: each rule takes its own event class, which the key beside it says.
_SENTENCES: Final[dict[type[e.Event], Callable[[Any], Summary]]] = {
    e.MemberEnrolled: _enrolled,
    e.MemberFrozen: lambda event: Summary(f"Frozen: {event.reason}", f"冻结：{event.reason}"),
    e.MemberUnfrozen: lambda event: Summary(f"Unfrozen: {event.reason}", f"解冻：{event.reason}"),
    e.MemberClosed: lambda event: Summary(f"Closed: {event.reason}", f"注销：{event.reason}"),
    e.MemberFlagged: _flagged,
    e.NewcomerRewarded: _newcomer_rewarded,
    e.PointsAccrued: _accrued,
    e.ActivityRewarded: _activity_rewarded,
    e.PointsActivated: _activated,
    e.ReferrerNamed: _referrer_named,
    e.ReferralRefused: _referral_refused,
    e.ReferralRewarded: _referral_rewarded,
    e.ReferralReversed: _referral_reversed,
    e.CouponIssued: _coupon_issued,
    e.CouponVoided: _coupon_voided,
    e.TierUpgraded: _tier_upgraded,
    e.TierRenewed: _tier_renewed,
    e.TierExtended: _tier_extended,
    e.TierDowngraded: _tier_downgraded,
    e.LevelReviewed: _level_reviewed,
    e.BenefitUsed: _benefit_used,
    e.PointsReserved: _reserved,
    e.ReservationCaptured: _captured,
    e.ReservationReleased: _released,
    e.ReservationLapsed: _lapsed,
    e.PointsRedeemed: _redeemed,
    e.OrderRefunded: _refunded,
    e.PointsRestored: _restored,
    e.PointsClawedBack: _clawed_back,
    e.PointsExpired: _expired,
    e.PointsExpiryCorrected: _expiry_corrected,
    e.AdjustmentRequested: _adjustment_requested,
    e.AdjustmentRejected: _adjustment_rejected,
    e.PointsAdjusted: _adjusted,
}
