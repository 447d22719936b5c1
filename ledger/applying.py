"""How each event changes a member's state. Never refuses, never consults a rule or a clock.

Whatever an event names that is not there (a replay up to an effective time leaves events out)
is passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, Protocol

from ledger import events as e
from ledger.days import change_day, next_counting_day
from ledger.lots import Lot, Lots, lot_of
from ledger.parts import (
    Adjustment,
    Coupon,
    Done,
    DrawnLot,
    Month,
    Order,
    OrderSpending,
    Parts,
    Redemption,
    Referral,
)
from ledger.postings import balance_change, totals_change
from ledger.state import (
    HISTORY_KEPT,
    Debt,
    MemberState,
    PastReview,
    Reviewed,
    ReviewOutcome,
    Since,
    TierStatus,
)


class Account(Protocol):
    """What events are applied to: the head of a member and its parts."""

    @property
    def state(self) -> MemberState: ...
    @property
    def lots(self) -> Lots: ...
    @property
    def orders(self) -> Parts[Order]: ...
    @property
    def spendings(self) -> Parts[OrderSpending]: ...
    @property
    def redemptions(self) -> Parts[Redemption]: ...
    @property
    def adjustments(self) -> Parts[Adjustment]: ...
    @property
    def coupons(self) -> Parts[Coupon]: ...
    @property
    def referrals(self) -> Parts[Referral]: ...
    @property
    def done(self) -> Parts[Done]: ...
    @property
    def months(self) -> Parts[Month]: ...


def enrolled_state(event: e.MemberEnrolled, version: int) -> MemberState:
    """The state of a member that has just enrolled."""
    joined_on = event.joined_on or event.occurred_at.date()
    return MemberState(
        member_id=event.member_id,
        version=version,
        status="active",
        joined_at=event.occurred_at,
        referral_code=event.referral_code,
        referrer_id=event.referrer_id,
        tier=TierStatus(event.tier, since=joined_on) if event.tier else None,
        reviewed_on=joined_on,
    )


def apply(account: Account, event: e.Event) -> None:
    """Change the account as the event says; its version grows by one."""
    state = account.state
    state.version += 1
    handler = _HANDLERS.get(type(event))
    if handler is not None:
        handler(account, event)
    change = balance_change(event)
    state.balance.available += change.available
    state.balance.pending += change.pending
    state.balance.reserved += change.reserved
    state.balance.debt += change.debt
    totals = totals_change(event)
    sums = state.totals
    sums.spend += totals.spend
    sums.orders += totals.orders
    sums.granted += totals.granted
    sums.restored += totals.restored
    sums.redeemed += totals.redeemed
    sums.expired += totals.expired
    sums.clawed_back += totals.clawed_back
    sums.adjusted += totals.adjusted


def _frozen(account: Account, _: e.MemberFrozen) -> None:
    account.state.status = "frozen"


def _unfrozen(account: Account, _: e.MemberUnfrozen) -> None:
    state = account.state
    state.status, state.flags, state.delayed = "active", [], False


def _closed(account: Account, _: e.MemberClosed) -> None:
    account.state.status = "closed"


def _flagged(account: Account, event: e.MemberFlagged) -> None:
    state = account.state
    if event.rule not in state.flags:
        state.flags = [*state.flags, event.rule]
    if event.action == "delay":
        state.delayed = True


def _newcomer_rewarded(account: Account, event: e.NewcomerRewarded) -> None:
    _add_lot(account, event.lot)


def _accrued(account: Account, event: e.PointsAccrued) -> None:
    state = account.state
    if event.lot is not None:
        _add_lot(account, event.lot)
    _pay_debts(account, event.debt_paid)
    on = event.earned_on or event.occurred_at.date()
    day = change_day(account, on)
    day.earned += event.points
    if event.amount:
        day.spend += event.amount
        day.orders += 1
        state.orders_paid += 1
        state.first_order_id = state.first_order_id or event.order_id
        state.last_order_at = max(state.last_order_at or event.occurred_at, event.occurred_at)
        state.first_counting_on = min(state.first_counting_on or on, on)
    account.orders.add(
        event.order_id,
        Order(
            order_id=event.order_id,
            amount=event.amount,
            occurred_at=event.occurred_at,
            points=event.points,
            spend_points=event.spend_points,
            unrounded_spend_points=event.unrounded_spend_points,
            lot_id=event.lot.lot_id if event.lot else None,
            day=on,
        ),
    )


def _activity_rewarded(account: Account, event: e.ActivityRewarded) -> None:
    if event.lot is not None:
        _add_lot(account, event.lot)
    _pay_debts(account, event.debt_paid)
    if event.reason is not None:
        return
    day = change_day(account, event.earned_on)
    day.earned += event.points
    day.activities[event.activity] = day.activities.get(event.activity, 0) + 1
    if event.reference is not None:
        name = f"{event.activity}/{event.reference}"
        if account.done.find(name) is None:
            account.done.add(name, Done(event.activity_id))


def _activated(account: Account, event: e.PointsActivated) -> None:
    account.state.pending.pop(event.lot_id, None)
    lot = account.lots.change(event.lot_id)
    if lot is not None:
        lot.pending = False


def _referrer_named(account: Account, event: e.ReferrerNamed) -> None:
    account.state.referrer_id = event.referrer_id


def _referral_rewarded(account: Account, event: e.ReferralRewarded) -> None:
    if event.lot is not None:
        _add_lot(account, event.lot)
    _pay_debts(account, event.debt_paid)
    change_day(account, event.earned_on).referrals += 1
    account.referrals.add(
        event.order_id,
        Referral(
            referee_id=event.referee_id,
            order_id=event.order_id,
            points=event.points,
            lot_id=event.lot.lot_id if event.lot else None,
            day=event.earned_on,
        ),
    )


def _referral_reversed(account: Account, event: e.ReferralReversed) -> None:
    referral = account.referrals.change(event.order_id)
    if referral is not None:
        referral.reversed = True
        if referral.day is not None:
            change_day(account, referral.day).reversals += 1
    _draw(account, event.lots_drawn)
    _owe(account, event.order_id, event.debt)


def _coupon_issued(account: Account, event: e.CouponIssued) -> None:
    coupon = Coupon(event.code, event.template, name_en=event.name_en, name_zh=event.name_zh)
    account.coupons.add(event.code, coupon)
    if event.order_id is None:
        return
    parts: Parts[Any] = account.referrals if event.source == "referral" else account.orders
    origin: Order | Referral | None = parts.change(event.order_id)
    if origin is not None:
        origin.coupons = [*origin.coupons, event.code]


def _coupon_voided(account: Account, event: e.CouponVoided) -> None:
    coupon = account.coupons.change(event.code)
    if coupon is not None:
        coupon.status = "voided"


def _tier_upgraded(account: Account, event: e.TierUpgraded) -> None:
    state = account.state
    state.tier = TierStatus(event.to_tier, event.since, event.until)
    state.tiers_lost.pop(event.to_tier, None)
    state.tier_reviews = []
    _change_tier(state, event.occurred_at, event.to_tier)


def _tier_renewed(account: Account, event: e.TierRenewed) -> None:
    before = _review_tier(account, event, "renewed")
    account.state.tier = TierStatus(event.tier, before.since, event.until)


def _tier_extended(account: Account, event: e.TierExtended) -> None:
    state = account.state
    if event.order_id is None:
        before = _review_tier(account, event, "extended")
    else:
        before = state.tier or TierStatus(event.tier, event.window_from)
    state.tier = TierStatus(event.tier, before.since, event.until, extended=True)


def _tier_downgraded(account: Account, event: e.TierDowngraded) -> None:
    _review_tier(account, event, "downgraded")
    state = account.state
    state.tier = TierStatus(event.to_tier, event.since, event.until)
    state.tiers_lost[event.tier] = event.since
    _change_tier(state, event.occurred_at, event.to_tier)


def _review_tier(account: Account, event: e.TierReview, outcome: ReviewOutcome) -> TierStatus:
    """Keep that a tier was reviewed; answer its status before.

    A correction starts from the status that the corrected review had before it; what was reviewed
    after it counts no more.
    """
    state = account.state
    before = state.tier or TierStatus(event.tier, event.window_from)
    if event.corrects is not None:
        corrected = next((r for r in state.tier_reviews if r.version == event.corrects), None)
        before = corrected.before if corrected is not None else before
        state.tier_reviews = [r for r in state.tier_reviews if r.at < event.occurred_at]
        lost_from = event.until_before
        state.tiers_lost = {c: on for c, on in state.tiers_lost.items() if on <= lost_from}
        _change_tier(state, event.occurred_at, event.tier)
    review = PastReview(state.version, event.occurred_at, before, outcome)
    state.tier_reviews = [*state.tier_reviews, review][-HISTORY_KEPT:]
    return before


def _change_tier(state: MemberState, since: datetime, code: str) -> None:
    state.tiers = [*state.tiers, Since(since, code)][-HISTORY_KEPT:]


def _level_reviewed(account: Account, event: e.LevelReviewed) -> None:
    state = account.state
    state.reviewed_on = event.on
    reviewed = Reviewed(event.occurred_at, event.level, event.segment, event.lifecycle)
    if not state.reviews or _what(state.reviews[-1]) != _what(reviewed):
        state.reviews = [*state.reviews, reviewed][-HISTORY_KEPT:]


def _what(reviewed: Reviewed) -> tuple[str | None, str | None, str | None]:
    return reviewed.level, reviewed.segment, reviewed.lifecycle


def _benefit_used(account: Account, event: e.BenefitUsed) -> None:
    used = account.state.benefits.setdefault(event.benefit, {})
    month = event.used_on.strftime("%Y-%m")
    used[month] = used.get(month, 0) + 1


def _reserved(account: Account, event: e.PointsReserved) -> None:
    _draw(account, event.lots_drawn)
    for drawn in event.lots_drawn:
        lot = account.lots.change(drawn.lot_id)
        if lot is not None:
            lot.reserved += drawn.points
    account.state.reservations[event.redemption_id] = event.reserved_until
    _add_redemption(account, event, "reserved")


def _redeemed(account: Account, event: e.PointsRedeemed) -> None:
    _draw(account, event.lots_drawn)
    _add_redemption(account, event, "redeemed")


def _captured(account: Account, event: e.ReservationCaptured) -> None:
    redemption = account.redemptions.change(event.redemption_id)
    if redemption is None:
        return
    if event.order_id and event.order_id != redemption.order_id:
        redemption.order_id = event.order_id
        _add_spending(account, event.order_id, event.redemption_id)
    _end_reservation(account, redemption, event.lots_returned, event.debt_paid)
    _keep_spent(redemption, event.lots_returned, event.debt_paid)
    redemption.status = "redeemed"
    redemption.points = event.points
    redemption.value = event.value


def _released(account: Account, event: e.ReservationReleased) -> None:
    redemption = account.redemptions.change(event.redemption_id)
    if redemption is not None:
        _end_reservation(account, redemption, event.lots_returned, event.debt_paid)
        redemption.status = "released"


def _lapsed(account: Account, event: e.ReservationLapsed) -> None:
    redemption = account.redemptions.change(event.redemption_id)
    if redemption is not None:
        _end_reservation(account, redemption, event.lots_returned, event.debt_paid)
        redemption.status = "lapsed"


def _refunded(account: Account, event: e.OrderRefunded) -> None:
    order = account.orders.change(event.order_id)
    if order is not None:
        order.refunded += event.amount
        order.fully_refunded = event.fully
        if order.day is not None:
            day = change_day(account, order.day)
            day.spend -= event.amount
            if event.fully and event.counted:
                day.orders -= 1
                if day.orders == 0 and account.state.first_counting_on == order.day:
                    account.state.first_counting_on = next_counting_day(account, order.day)
    account.state.refunded += event.amount


def _restored(account: Account, event: e.PointsRestored) -> None:
    order = account.orders.change(event.order_id)
    if order is not None:
        order.restored += event.points
    for entry in event.lots:
        _mark_restored(account, entry)
        if entry.new_lot is not None:
            _add_lot(account, entry.new_lot)
        else:
            _give_back(account, [e.LotPoints(entry.lot_id, entry.points)])
    _pay_debts(account, event.debt_paid)


def _mark_restored(account: Account, entry: e.RestoredLot) -> None:
    redemption = account.redemptions.change(entry.redemption_id)
    for drawn in redemption.drawn if redemption else []:
        if drawn.lot_id == entry.lot_id:
            drawn.restored += entry.points


def _clawed_back(account: Account, event: e.PointsClawedBack) -> None:
    order = account.orders.change(event.order_id)
    if order is not None:
        order.clawed_back += event.points
    _draw(account, event.lots_drawn)
    _owe(account, event.order_id, event.debt)


def _expired(account: Account, event: e.PointsExpired) -> None:
    state = account.state
    last = state.last_expired_on
    state.last_expired_on = max(last, event.expires_on) if last else event.expires_on
    lot = account.lots.change(event.lot_id)
    if lot is not None:
        _move(account, lot, -event.points)
        lot.expired += event.points
        lot.expiries = [*lot.expiries, (state.version, event.points, event.occurred_at)]


def _expiry_corrected(account: Account, event: e.PointsExpiryCorrected) -> None:
    lot = account.lots.change(event.lot_id)
    if lot is None:
        return
    lot.expired -= event.points
    _move(account, lot, event.points)
    lot.expiries = [
        (version, points - event.points if version == event.corrects else points, at)
        for version, points, at in lot.expiries
        if version != event.corrects or points > event.points
    ]
    _pay_debts(account, event.debt_paid)


def _adjustment_requested(account: Account, event: e.AdjustmentRequested) -> None:
    account.adjustments.add(
        event.adjustment_id,
        Adjustment(
            adjustment_id=event.adjustment_id,
            points=event.points,
            reason=event.reason,
            note=event.note,
            requested_by=event.requested_by,
            effective_at=event.effective_at,
        ),
    )


def _adjustment_rejected(account: Account, event: e.AdjustmentRejected) -> None:
    adjustment = account.adjustments.change(event.adjustment_id)
    if adjustment is not None:
        adjustment.status = "rejected"


def _adjusted(account: Account, event: e.PointsAdjusted) -> None:
    if event.lot is not None:
        _add_lot(account, event.lot)
    _draw(account, event.lots_drawn)
    _pay_debts(account, event.debt_paid)
    if event.approved:
        adjustment = account.adjustments.change(event.adjustment_id)
        if adjustment is not None:
            adjustment.status = "approved"


def _add_lot(account: Account, grant: e.LotGrant) -> None:
    lot = lot_of(grant)
    account.lots.add(lot)
    if lot.pending_until is not None:
        account.state.pending[lot.lot_id] = lot.pending_until
    _see_expiry(account, lot, lot.remaining)
    if grant.parent_lot_id is not None:
        parent = account.lots.change(grant.parent_lot_id)
        if parent is not None:
            parent.derived = [*parent.derived, grant.lot_id]


def _draw(account: Account, drawn: Iterable[e.LotPoints]) -> None:
    """Points leave their lots."""
    for part in drawn:
        lot = account.lots.change(part.lot_id)
        if lot is not None:
            _move(account, lot, -part.points)


def _owe(account: Account, order_id: str, points: int) -> None:
    if points:
        account.state.debts = [*account.state.debts, Debt(order_id, points)]


def _move(account: Account, lot: Lot, points: int) -> None:
    """Points come to a lot, or leave it (negative); what is known to be due follows."""
    lot.remaining += points
    _see_expiry(account, lot, points)


def _see_expiry(account: Account, lot: Lot, points: int) -> None:
    state = account.state
    if state.due_before is not None and lot.last_day < state.due_before:
        state.due_points += points
    elif lot.expires_on is not None and (
        state.next_expiry_on is None or lot.expires_on < state.next_expiry_on
    ):
        state.next_expiry_on = lot.expires_on


def _add_redemption(
    account: Account, event: e.PointsReserved | e.PointsRedeemed, status: Any
) -> None:
    reserved_until = event.reserved_until if isinstance(event, e.PointsReserved) else None
    account.redemptions.add(
        event.redemption_id,
        Redemption(
            redemption_id=event.redemption_id,
            status=status,
            points=event.points,
            value=event.value,
            drawn=[DrawnLot(drawn.lot_id, drawn.points) for drawn in event.lots_drawn],
            occurred_at=event.occurred_at,
            programme_version=event.programme_version,
            order_id=event.order_id,
            order_amount=event.order_amount,
            reserved_until=reserved_until,
            reserved_points=event.points if reserved_until else 0,
        ),
    )
    if event.order_id is not None:
        _add_spending(account, event.order_id, event.redemption_id)


def _add_spending(account: Account, order_id: str, redemption_id: str) -> None:
    spending = account.spendings.change(order_id)
    if spending is None:
        account.spendings.add(order_id, OrderSpending([redemption_id]))
    elif redemption_id not in spending.redemption_ids:
        spending.redemption_ids = [*spending.redemption_ids, redemption_id]


def _end_reservation(
    account: Account,
    redemption: Redemption,
    returned: list[e.LotPoints],
    paid: list[e.DebtPaid],
) -> None:
    """Free what was reserved: what came back is in its lots again, or has paid debt."""
    account.state.reservations.pop(redemption.redemption_id, None)
    for drawn in redemption.drawn:
        lot = account.lots.change(drawn.lot_id)
        if lot is not None:
            lot.reserved -= drawn.points
    _give_back(account, returned)
    _pay_debts_from_reserved(account, paid)


def _keep_spent(
    redemption: Redemption, returned: list[e.LotPoints], paid: list[e.DebtPaid]
) -> None:
    """Of the lots drawn, what was neither returned nor paid debt was spent."""
    gone: dict[str, int] = {}
    for entry in returned:
        gone[entry.lot_id] = gone.get(entry.lot_id, 0) + entry.points
    for part in paid:
        gone[part.lot_id] = gone.get(part.lot_id, 0) + part.points
    for drawn in redemption.drawn:
        drawn.points -= gone.get(drawn.lot_id, 0)
    redemption.drawn = [drawn for drawn in redemption.drawn if drawn.points > 0]


def _give_back(account: Account, returned: Iterable[e.LotPoints]) -> None:
    for entry in returned:
        lot = account.lots.change(entry.lot_id)
        if lot is not None:
            _move(account, lot, entry.points)


def _pay_debts(account: Account, paid: Sequence[e.DebtPaid]) -> None:
    """The points leave their lots, where they had just arrived, and the debts shrink."""
    for entry in paid:
        lot = account.lots.change(entry.lot_id)
        if lot is not None:
            _move(account, lot, -entry.points)
    _pay_debts_from_reserved(account, paid)


def _pay_debts_from_reserved(account: Account, paid: Sequence[e.DebtPaid]) -> None:
    if not paid:
        return
    debts = [Debt(debt.order_id, debt.points) for debt in account.state.debts]
    for entry in paid:
        for debt in debts:
            if debt.order_id == entry.order_id and debt.points:
                part = min(debt.points, entry.points)
                debt.points -= part
                break
    account.state.debts = [debt for debt in debts if debt.points]


_HANDLERS: dict[type[e.Event], Callable[[Any, Any], None]] = {
    e.MemberFrozen: _frozen,
    e.MemberUnfrozen: _unfrozen,
    e.MemberClosed: _closed,
    e.MemberFlagged: _flagged,
    e.NewcomerRewarded: _newcomer_rewarded,
    e.PointsAccrued: _accrued,
    e.ActivityRewarded: _activity_rewarded,
    e.PointsActivated: _activated,
    e.ReferrerNamed: _referrer_named,
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
