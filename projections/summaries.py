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


def _label(rule: str) -> Summary:
    """A breakdown row's rule in words: "level:core" → core level, 核心等级."""
    kind, _, code = rule.partition(":")
    if kind == "level":
        return Summary(f"{code} level", f"{_LEVELS_ZH.get(code, code)}等级")
    if kind == "campaign":
        return Summary(f"campaign {code}", f"活动 {code}")
    if kind == "bonus":
        return Summary(f"bonus {code}", f"奖励 {code}")
    if kind == "cap":
        return Summary("daily cap", "每日上限")
    return Summary(rule, rule)


def _explained(rows: Sequence[e.BreakdownRow], points: int) -> Summary:
    """From the first row to the grant, step by step: "148 points, core level ×1.2: 178"."""
    if len(rows) < 2:
        return Summary(_points_en(points), f"{points} 积分")
    sum_so_far = rows[0].points
    en, zh = [_points_en(sum_so_far)], [f"{sum_so_far} 积分"]
    for row in rows[1:]:
        sum_so_far += row.points
        label = _label(row.rule)
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
    if event.store_id:
        return Summary(f"Enrolled at {event.store_id}", f"在 {event.store_id} 入会")
    return Summary("Enrolled", "入会")


def _accrued(event: e.PointsAccrued) -> Summary:
    amount = _money(event.amount)
    rows = event.breakdown
    base = rows[0].base if rows else None
    eligible = Summary("", "")
    if base is not None and base != event.amount:
        eligible = Summary(f", {_money(base)} of it earns", f"（计分 {_money(base)}）")
    place = Summary(f" at {event.store_id}", f"在 {event.store_id} ") if event.store_id else None
    how = _explained(rows, event.points)
    sentence = Summary(
        f"{amount} paid{place.en if place else ''}{eligible.en}: {how.en}",
        f"{place.zh if place else ''}消费 {amount}{eligible.zh}：{how.zh}",
    )
    return _and_debt(sentence, event.debt_paid) if event.debt_paid else sentence


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
    en = f"{_points_en(event.points)} of order {event.order_id} taken back for its refund"
    zh = f"订单 {event.order_id} 退款，收回 {event.points} 积分"
    if event.debt:
        en, zh = f"{en}, {event.debt} of them became debt", f"{zh}，其中 {event.debt} 记为欠分"
    if event.waived:
        en, zh = f"{en}, {event.waived} of them waived", f"{zh}，其中 {event.waived} 免除"
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
    e.PointsAccrued: _accrued,
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
