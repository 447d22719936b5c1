"""A member: the aggregate that decides (PROGRAMME 2 to 5).

A command checks every rule first and then triggers events; what an event changes stands in
`ledger.applying`. A refused command may have triggered events before it refused: then nothing
of its transaction is kept (`ledger.ledger`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cached_property, partial
from math import floor
from typing import Any

import msgspec

from ledger import events as e
from ledger import requests as r
from ledger.applying import apply, enrolled_state
from ledger.debts import pay_debts
from ledger.earning import Earned, earn_on_order
from ledger.errors import InvalidRequest, NotFound, Refusal
from ledger.lots import Draw, Lot, Lots, LotSource, NoLots, plan_draw
from ledger.money import ZERO, cents, exact, fraction_text
from ledger.parts import (
    Adjustment,
    Order,
    OrderSpending,
    PartLoader,
    Parts,
    Redemption,
    nothing,
)
from ledger.programme.model import Programme
from ledger.programme.sections import RedemptionRules
from ledger.programme.versions import ProgrammeVersion
from ledger.refunds import clawback, expired_unspent, plan_restoration, restored_so_far
from ledger.state import Balance, MemberState


class Circumstances(msgspec.Struct, frozen=True):
    """When and by whom something is decided, and by which version of the programme.

    `occurred_at`: when it happened; `now`: when the ledger learned it; both UTC.
    """

    occurred_at: datetime
    now: datetime
    meta: e.Meta
    version: ProgrammeVersion

    @property
    def programme(self) -> Programme:
        """The rules in force at `occurred_at`."""
        return self.version.programme

    @property
    def day(self) -> date:
        """The local date of `occurred_at`."""
        return self.programme.local_date(self.occurred_at)

    @property
    def today(self) -> date:
        """The local date of `now`."""
        return self.programme.local_date(self.now)


class Member:
    """One member with lots, orders and redemptions; `new_events` are those not stored yet."""

    def __init__(
        self, state: MemberState, *, lots: LotSource | None = None, load: PartLoader = nothing
    ) -> None:
        """`lots` and `load` bring in what is not in memory; without them all of it is."""
        self.state = state
        self.lots = Lots(lots or NoLots())
        self._load = load
        self.new_events: list[e.Event] = []

    # Made when first asked for: most commands need one or two kinds of parts.

    @cached_property
    def orders(self) -> Parts[Order]:
        """The orders, by id."""
        return Parts(partial(self._load, "order"))

    @cached_property
    def spendings(self) -> Parts[OrderSpending]:
        """The redemptions for an order, by the order's id."""
        return Parts(partial(self._load, "spending"))

    @cached_property
    def redemptions(self) -> Parts[Redemption]:
        """The redemptions and reservations, by id."""
        return Parts(partial(self._load, "redemption"))

    @cached_property
    def adjustments(self) -> Parts[Adjustment]:
        """The adjustments that wait, or waited, for approval, by id."""
        return Parts(partial(self._load, "adjustment"))

    def parts(self) -> list[tuple[str, Parts[Any]]]:
        """The parts that were asked for, with the name of their kind."""
        kinds = (
            ("order", "orders"),
            ("spending", "spendings"),
            ("redemption", "redemptions"),
            ("adjustment", "adjustments"),
        )
        return [(kind, self.__dict__[name]) for kind, name in kinds if name in self.__dict__]

    @classmethod
    def enrol(
        cls,
        member_id: str,
        referral_code: str,
        referrer_id: str | None,
        at: Circumstances,
        store_id: str | None = None,
        channel: str | None = None,
    ) -> Member:
        """A new member, joined at `occurred_at`, in the first tier and the first level."""
        programme = at.programme
        event = e.MemberEnrolled(
            occurred_at=at.occurred_at,
            meta=at.meta,
            member_id=member_id,
            referral_code=referral_code,
            programme_version=at.version.number,
            joined_on=at.day,
            tier=programme.tiers[0].code if programme.tiers else None,
            level=programme.levels.bands[0].code if programme.levels else None,
            segment=programme.segments.otherwise if programme.segments else None,
            lifecycle="new" if programme.lifecycle else None,
            referrer_id=referrer_id,
            store_id=store_id,
            channel=channel,
        )
        member = cls.replayed(event)
        member.new_events.append(event)
        return member

    @classmethod
    def replayed(cls, event: e.MemberEnrolled) -> Member:
        """The member as the first event of a stream makes it, with all parts in memory."""
        return cls(enrolled_state(event, version=1))

    @property
    def member_id(self) -> str:
        """The caller's id of the member."""
        return self.state.member_id

    def trigger(self, event: e.Event) -> None:
        """Record that something happened."""
        apply(self, event)
        self.new_events.append(event)

    def replay(self, event: e.Event) -> None:
        """What was recorded before."""
        apply(self, event)

    # Reading

    def balance(self, today: date) -> Balance:
        """The balance with the clock applied: a lot past its day does not count (3.3)."""
        held = self.state.balance
        available = held.available - self._due_points(today)
        return Balance(available, held.pending, held.reserved, held.debt)

    def _due_points(self, today: date) -> int:
        """Free points in lots past their day whose expiry is not recorded.

        Remembered in the state, so that the lots are looked at once a day at most, however many
        there are, and not at all while nothing can be due.
        """
        state = self.state
        known = state.due_before
        if known is None or known > today:
            points, following = self.lots.due_between(date.min, today)
        elif known == today or (state.next_expiry_on or date.max) >= today:
            return state.due_points
        else:
            points, following = self.lots.due_between(known, today)
            points += state.due_points
        state.due_before, state.due_points, state.next_expiry_on = today, points, following
        return points

    def due_lots(self, today: date) -> list[Lot]:
        """Open lots past their day, whose expiry is not recorded yet."""
        due: list[Lot] = []
        for lot in self.lots.open():
            if lot.good_on(today):
                break
            due.append(lot)
        return due

    # Enrolment, status

    def freeze(self, command: r.Freeze, at: Circumstances) -> None:
        """No earning and no redeeming from now on (4.5); a second time changes nothing."""
        self._must_not_be_closed()
        self.lapse_due(at, at.now)
        if self.state.status == "active":
            self.trigger(
                e.MemberFrozen(occurred_at=at.occurred_at, meta=at.meta, reason=command.reason)
            )

    def unfreeze(self, command: r.Unfreeze, at: Circumstances) -> None:
        """Earning and redeeming again; a second time changes nothing."""
        self._must_not_be_closed()
        self.lapse_due(at, at.now)
        if self.state.status == "frozen":
            self.trigger(
                e.MemberUnfrozen(occurred_at=at.occurred_at, meta=at.meta, reason=command.reason)
            )

    def close(self, command: r.Close, at: Circumstances) -> None:
        """The end of the membership (4.5); a second time changes nothing."""
        self.lapse_due(at, at.now)
        if self.state.status in ("active", "frozen"):
            self.trigger(
                e.MemberClosed(occurred_at=at.occurred_at, meta=at.meta, reason=command.reason)
            )

    # Earning

    def quote(self, command: r.Accrue, at: Circumstances) -> Earned:
        """What the order would earn (PROGRAMME 2.1)."""
        rules = at.programme.earning
        if rules is None:
            return Earned(0, 0, Fraction(0), [])
        level = self.state.level_at(at.occurred_at)
        return earn_on_order(rules, command.amount, command.items, level)

    def accrue(self, command: r.Accrue, at: Circumstances) -> e.PointsAccrued:
        """Record an order: capture its redemptions, grant its points, pay debt first."""
        self.must_be_active()
        self.lapse_due(at, at.now)
        for redemption_id in command.redemption_ids:
            self._spend_on_order(redemption_id, command.order_id, at)
        earned = self.quote(command, at)
        lot = None
        if earned.points:
            lot = self._grant(
                earned.points, "order", at, order_id=command.order_id, funded_by=command.funded_by
            )
        event = e.PointsAccrued(
            occurred_at=at.occurred_at,
            meta=at.meta,
            order_id=command.order_id,
            amount=command.amount,
            points=earned.points,
            spend_points=earned.spend_points,
            unrounded_spend_points=fraction_text(earned.unrounded_spend_points),
            breakdown=earned.breakdown,
            programme_version=at.version.number,
            lot=lot,
            debt_paid=self._debt_paid_by(lot),
            redemption_ids=command.redemption_ids,
            store_id=command.store_id,
            channel=command.channel,
            items=command.items,
            attributes=command.attributes,
        )
        self.trigger(event)
        return event

    def _grant(
        self,
        points: int,
        source: e.LotSourceName,
        at: Circumstances,
        *,
        order_id: str | None = None,
        funded_by: str | None = None,
    ) -> e.LotGrant:
        return e.LotGrant(
            lot_id=self._next_lot_id(),
            granted=points,
            earned_at=at.occurred_at,
            expires_on=at.programme.expires_on(at.day),
            source=source,
            order_id=order_id,
            funded_by=funded_by,
        )

    def _next_lot_id(self, number: int = 0) -> str:
        """Unique in the ledger, and sorts in the order of granting (3.2 breaks ties by it)."""
        lot_id = f"{self.member_id}.{self.state.version + 1:08d}"
        return f"{lot_id}.{number}" if number else lot_id

    def _debt_paid_by(self, lot: e.LotGrant | None) -> list[e.DebtPaid]:
        if lot is None or not self.state.debts:
            return []
        return pay_debts(self.state.debts, [e.LotPoints(lot.lot_id, lot.granted)])[0]

    # Redeeming

    def redeem(
        self, command: r.Redeem, redemption_id: str, at: Circumstances
    ) -> e.PointsReserved | e.PointsRedeemed:
        """Spend points on an order, or set them aside for it (4.1, 4.3, 4.4)."""
        self.must_be_active()
        self.lapse_due(at, at.now)
        points, order_id, amount = _cash_offset(command)
        rules = at.programme.redemption
        if rules is None:
            raise Refusal("not_eligible", "This programme has no cash offset.")
        _check_multiple(points, rules)
        value = at.programme.points_value(points)
        self._must_not_be_refunded(order_id)
        self._check_order_share(value, order_id, amount, rules)
        draws = self._plan_redemption(points, at)
        self._correct_expiries(draws, at)
        drawn = [e.LotPoints(draw.lot_id, draw.points) for draw in draws if draw.points]
        event: e.PointsReserved | e.PointsRedeemed
        if command.reserve:
            seconds = command.reserve_seconds or rules.reserve_seconds
            event = e.PointsReserved(
                occurred_at=at.occurred_at,
                meta=at.meta,
                redemption_id=redemption_id,
                points=points,
                value=value,
                lots_drawn=drawn,
                reserved_until=at.occurred_at + timedelta(seconds=seconds),
                programme_version=at.version.number,
                order_id=order_id,
                order_amount=amount,
            )
        else:
            event = e.PointsRedeemed(
                occurred_at=at.occurred_at,
                meta=at.meta,
                redemption_id=redemption_id,
                points=points,
                value=value,
                lots_drawn=drawn,
                programme_version=at.version.number,
                order_id=order_id,
                order_amount=amount,
            )
        self.trigger(event)
        return event

    def _check_order_share(
        self, value: Decimal, order_id: str, amount: Decimal, rules: RedemptionRules
    ) -> None:
        """All redemptions of an order together pay at most a share of it (4.1)."""
        share = exact(rules.max_order_share) if rules.max_order_share else exact(1)
        # Down to the cent: a cent rounded up would let points pay more than the share.
        limit = Decimal(floor(exact(amount) * share * 100)).scaleb(-2)
        value += self.redeemed_value(order_id)
        if value > limit:
            raise Refusal(
                "over_order_share",
                f"Points can pay at most {limit} of this order of {amount}; "
                f"with this redemption they would pay {value}.",
            )

    def _must_not_be_refunded(self, order_id: str | None) -> None:
        """What is spent on an order given back could never be restored (5.3)."""
        order = self.orders.find(order_id) if order_id is not None else None
        if order is not None and order.fully_refunded:
            raise Refusal(
                "not_eligible", f"Order {order_id!r} is fully refunded: release the points."
            )

    def redeemed_value(self, order_id: str) -> Decimal:
        """Money that the member's points pay, or are set aside to pay, for an order."""
        spending = self.spendings.find(order_id)
        value = ZERO
        for redemption_id in spending.redemption_ids if spending else []:
            redemption = self.redemptions.find(redemption_id)
            if redemption is not None and redemption.status in ("reserved", "redeemed"):
                value += redemption.value
        return value

    def _plan_redemption(self, points: int, at: Circumstances) -> list[Draw]:
        draws, missing = plan_draw(self._drawable(at), points, debt=self.state.balance.debt)
        if missing:
            raise Refusal(
                "insufficient_points",
                f"{points} points are asked for, {points - missing} are available.",
            )
        return draws

    def _drawable(self, at: Circumstances) -> Iterable[Lot]:
        """Lots that may be drawn at `occurred_at`, in drawing order (3.2, 3.6)."""
        last_expired = self.state.last_expired_on
        return self.lots.drawable(
            at.occurred_at,
            at.day,
            expired_too=last_expired is not None and last_expired >= at.day,
        )

    def _correct_expiries(self, draws: Sequence[Draw], at: Circumstances) -> None:
        """Take back the expiry of points that late data uses (3.6)."""
        for draw in draws:
            points = draw.corrected
            lot = self.lots.find(draw.lot_id)
            while points and lot is not None:
                version, expired, occurred_at = lot.expiries[-1]
                part = min(points, expired)
                paid, _ = pay_debts(self.state.debts, [e.LotPoints(lot.lot_id, part)])
                self.trigger(
                    e.PointsExpiryCorrected(
                        occurred_at=occurred_at,
                        meta=at.meta,
                        lot_id=lot.lot_id,
                        points=part,
                        corrects=version,
                        debt_paid=paid,
                    )
                )
                points -= part

    # Reservations

    def capture(self, command: r.Capture, at: Circumstances) -> Redemption:
        """Spend a reservation: all of it, or the first-drawn part (4.3)."""
        redemption = self._open_reservation(command.redemption_id, at)
        self.must_be_active()
        self._must_not_be_refunded(redemption.order_id)
        points = redemption.points if command.points is None else command.points
        if points > redemption.points:
            raise Refusal(
                "insufficient_points",
                f"The reservation holds {redemption.points} points, not {points}.",
            )
        rules = at.programme.redemption
        if points < redemption.points and rules is not None:
            _check_step(points, rules)
        self.lapse_due(at, at.now)
        self._capture(redemption, points, redemption.order_id, at)
        return redemption

    def _capture(
        self, redemption: Redemption, points: int, order_id: str | None, at: Circumstances
    ) -> None:
        value = cents(exact(redemption.value) * points / redemption.points)
        returned = _left_of(redemption, redemption.points - points)
        paid, left = pay_debts(self.state.debts, returned)
        # A late order may have happened before its reservation; the capture can't have.
        moment = max(at.occurred_at, redemption.occurred_at)
        self.trigger(
            e.ReservationCaptured(
                occurred_at=moment,
                meta=at.meta,
                redemption_id=redemption.redemption_id,
                points=points,
                value=value,
                order_id=order_id,
                lots_returned=left,
                debt_paid=paid,
            )
        )
        self._expire_returned(left, moment, at)

    def release(self, command: r.Release, at: Circumstances) -> Redemption:
        """Give a reservation up; its points go back to their lots (4.3)."""
        redemption = self._open_reservation(command.redemption_id, at)
        self.lapse_due(at, at.now)
        returned = _left_of(redemption, redemption.points)
        paid, left = pay_debts(self.state.debts, returned)
        self.trigger(
            e.ReservationReleased(
                occurred_at=at.occurred_at,
                meta=at.meta,
                redemption_id=redemption.redemption_id,
                points=redemption.points,
                lots_returned=left,
                debt_paid=paid,
            )
        )
        self._expire_returned(left, at.occurred_at, at)
        return redemption

    def lapse_due(self, at: Circumstances, as_of: datetime) -> int:
        """Record the end of every reservation whose time is over; answer how many (4.3)."""
        due = sorted(
            (until, redemption_id)
            for redemption_id, until in self.state.reservations.items()
            if until <= as_of
        )
        for until, redemption_id in due:
            redemption = self.redemptions.find(redemption_id)
            if redemption is None:
                continue
            returned = _left_of(redemption, redemption.points)
            paid, left = pay_debts(self.state.debts, returned)
            self.trigger(
                e.ReservationLapsed(
                    occurred_at=until,
                    meta=at.meta,
                    redemption_id=redemption_id,
                    points=redemption.points,
                    lots_returned=left,
                    debt_paid=paid,
                )
            )
            self._expire_returned(left, until, at)
        return len(due)

    def _spend_on_order(self, redemption_id: str, order_id: str, at: Circumstances) -> None:
        """Capture a redemption with the order that it pays for (API.md, accruals)."""
        redemption = self.redemptions.find(redemption_id)
        if redemption is None:
            raise NotFound("redemption", redemption_id)
        if redemption.order_id is not None and redemption.order_id != order_id:
            raise Refusal(
                "not_eligible",
                f"Redemption {redemption_id!r} is for order {redemption.order_id!r}.",
            )
        if redemption.status == "redeemed":
            return
        redemption = self._open_reservation(redemption_id, at)
        self._capture(redemption, redemption.points, order_id, at)

    def _open_reservation(self, redemption_id: str, at: Circumstances) -> Redemption:
        redemption = self.redemptions.find(redemption_id)
        if redemption is None:
            raise NotFound("redemption", redemption_id)
        until = redemption.reserved_until
        if redemption.status != "reserved" or until is None or until <= at.now:
            status = "lapsed" if redemption.status == "reserved" else redemption.status
            raise Refusal("reservation_over", f"Reservation {redemption_id!r} is {status}.")
        return redemption

    def _expire_returned(
        self, returned: Iterable[e.LotPoints], moment: datetime, at: Circumstances
    ) -> None:
        """Points that come back after their lot's last day expire at that moment (3.5)."""
        day = at.programme.local_date(moment)
        for entry in returned:
            lot = self.lots.find(entry.lot_id)
            if lot is None or lot.expires_on is None or lot.good_on(day):
                continue
            self.trigger(
                e.PointsExpired(
                    occurred_at=moment,
                    meta=at.meta,
                    lot_id=lot.lot_id,
                    points=entry.points,
                    expires_on=lot.expires_on,
                    released_late=True,
                )
            )

    # Refunds

    def refund(self, command: r.Refund, refund_id: str, at: Circumstances) -> None:
        """Give back a part of an order: restore first, then claw back (PROGRAMME 5)."""
        order = self.orders.find(command.order_id)
        if order is None:
            raise NotFound("order", command.order_id)
        refunded = _check_refund(order, command.amount, at.occurred_at)
        self.lapse_due(at, at.now)
        fully = refunded >= order.amount
        self.trigger(
            e.OrderRefunded(
                occurred_at=at.occurred_at,
                meta=at.meta,
                refund_id=refund_id,
                order_id=order.order_id,
                amount=command.amount,
                refunded=refunded,
                fully=fully,
                counted=fully and order.amount > 0,
            )
        )
        self._restore(order, refund_id, at)
        self._claw_back(order, refund_id, at)

    def _restore(self, order: Order, refund_id: str, at: Circumstances) -> None:
        """Points that the order spent come back to their lots, or to new ones (5.3)."""
        spent_by = self._redeemed_for(order.order_id)
        spent = sum(redemption.points for redemption in spent_by)
        points = restored_so_far(spent, order.amount, order.refunded) - order.restored
        if points <= 0:
            return
        good_until = at.day + timedelta(days=at.programme.points.restored_min_days)
        entries: list[e.RestoredLot] = []
        for redemption in reversed(spent_by):
            for drawn, part in plan_restoration(redemption.drawn, points):
                points -= part
                entries.append(
                    e.RestoredLot(
                        redemption_id=redemption.redemption_id,
                        lot_id=drawn.lot_id,
                        points=part,
                        new_lot=self._new_lot(drawn.lot_id, part, good_until, len(entries) + 1),
                    )
                )
        arriving = [
            e.LotPoints(entry.new_lot.lot_id if entry.new_lot else entry.lot_id, entry.points)
            for entry in entries
        ]
        paid, _ = pay_debts(self.state.debts, arriving)
        self.trigger(
            e.PointsRestored(
                occurred_at=at.occurred_at,
                meta=at.meta,
                refund_id=refund_id,
                order_id=order.order_id,
                points=sum(entry.points for entry in entries),
                lots=entries,
                debt_paid=paid,
            )
        )

    def _redeemed_for(self, order_id: str) -> list[Redemption]:
        spending = self.spendings.find(order_id)
        found = [
            self.redemptions.find(one) for one in (spending.redemption_ids if spending else [])
        ]
        return [one for one in found if one is not None and one.status == "redeemed"]

    def _new_lot(
        self, lot_id: str, points: int, good_until: date, number: int
    ) -> e.LotGrant | None:
        """A new lot for points whose old expiry is too near; same origin, good until then (5.3)."""
        old = self.lots.find(lot_id)
        if old is None or old.last_day >= good_until:
            return None
        return e.LotGrant(
            lot_id=self._next_lot_id(number),
            granted=points,
            earned_at=old.earned_at,
            expires_on=good_until,
            source=old.source,
            order_id=old.order_id,
            funded_by=old.funded_by,
            parent_lot_id=old.lot_id,
        )

    def _claw_back(self, order: Order, refund_id: str, at: Circumstances) -> None:
        """Take back what the order holds above what it should: own lots, others, debt (5.2)."""
        own = self._own_lots(order)
        points = clawback(order, order.refunded, expired_unspent(own, at.day))
        if points == 0:
            return
        draws = self._plan_clawback(own, points, at)
        self._correct_expiries(draws, at)
        drawn = [e.LotPoints(draw.lot_id, draw.points) for draw in draws if draw.points]
        missing = points - sum(draw.points for draw in drawn)
        waive = at.programme.points.debt == "waive"
        self.trigger(
            e.PointsClawedBack(
                occurred_at=at.occurred_at,
                meta=at.meta,
                refund_id=refund_id,
                order_id=order.order_id,
                points=points,
                lots_drawn=drawn,
                debt=0 if waive else missing,
                waived=missing if waive else 0,
            )
        )

    def _plan_clawback(self, own: Sequence[Lot], points: int, at: Circumstances) -> list[Draw]:
        own_ids = {lot.lot_id for lot in own}
        own_good = sorted(
            (lot for lot in own if lot.good_on(at.day) and lot.earned_at <= at.occurred_at),
            key=lambda lot: lot.drawing_key,
        )
        debt = self.state.balance.debt
        draws, missing = plan_draw(own_good, points, debt=debt)
        if missing:
            debt -= sum(draw.pays_debt for draw in draws)
            others = (lot for lot in self._drawable(at) if lot.lot_id not in own_ids)
            more, _ = plan_draw(others, missing, debt=debt)
            draws += more
        return draws

    def _own_lots(self, order: Order) -> list[Lot]:
        """The lot of the order's grant, and those that restorations formed from it."""
        found: list[Lot] = []
        ids = [order.lot_id] if order.lot_id else []
        while ids:
            lot = self.lots.find(ids.pop())
            if lot is not None:
                found.append(lot)
                ids.extend(lot.derived)
        return found

    # Adjustments

    def request_adjustment(
        self, command: r.Adjust, adjustment_id: str, requested_by: str, at: Circumstances
    ) -> None:
        """An adjustment over the limit waits for a second person (PROGRAMME 10)."""
        self._must_not_be_closed()
        self.lapse_due(at, at.now)
        self.trigger(
            e.AdjustmentRequested(
                occurred_at=at.now,
                meta=at.meta,
                adjustment_id=adjustment_id,
                points=command.points,
                reason=command.reason,
                note=command.note,
                effective_at=at.occurred_at,
                requested_by=requested_by,
            )
        )

    def adjust(
        self,
        adjustment_id: str,
        points: int,
        reason: str,
        note: str | None,
        at: Circumstances,
        *,
        approved: bool = False,
    ) -> e.PointsAdjusted:
        """Give points as a lot, or take them in drawing order, never below zero (4.4)."""
        self._must_not_be_closed()
        self.lapse_due(at, at.now)
        lot = None
        drawn: list[e.LotPoints] = []
        if points > 0:
            lot = self._grant(points, "adjustment", at)
        else:
            draws = self._plan_redemption(-points, at)
            self._correct_expiries(draws, at)
            drawn = [e.LotPoints(draw.lot_id, draw.points) for draw in draws if draw.points]
        event = e.PointsAdjusted(
            occurred_at=at.occurred_at,
            meta=at.meta,
            adjustment_id=adjustment_id,
            points=points,
            reason=reason,
            note=note,
            lot=lot,
            lots_drawn=drawn,
            debt_paid=self._debt_paid_by(lot),
            approved=approved,
        )
        self.trigger(event)
        return event

    def waiting_adjustment(self, adjustment_id: str, decided_by: str) -> Adjustment:
        """The adjustment that this second person may approve or reject."""
        adjustment = self.adjustments.find(adjustment_id)
        if adjustment is None:
            raise NotFound("adjustment", adjustment_id)
        if adjustment.status != "waiting":
            raise Refusal(
                "already_recorded", f"Adjustment {adjustment_id!r} is {adjustment.status}."
            )
        if adjustment.requested_by == decided_by:
            raise Refusal(
                "approval_required",
                "Another person decides on an adjustment: approve or reject it with another key.",
            )
        return adjustment

    def reject_adjustment(self, command: r.RejectAdjustment, at: Circumstances) -> None:
        """The second person's no."""
        self.lapse_due(at, at.now)
        self.trigger(
            e.AdjustmentRejected(
                occurred_at=at.occurred_at,
                meta=at.meta,
                adjustment_id=command.adjustment_id,
                reason=command.reason,
            )
        )

    # Time

    def expire_due(self, as_of: datetime, at: Circumstances) -> int:
        """Record the expiry of every lot past its day; answer how many lots (3.3)."""
        self.lapse_due(at, as_of)
        due = [lot for lot in self.due_lots(at.programme.local_date(as_of)) if lot.remaining]
        for lot in due:
            assert lot.expires_on is not None
            self.trigger(
                e.PointsExpired(
                    occurred_at=at.programme.expiry_moment(lot.expires_on),
                    meta=at.meta,
                    lot_id=lot.lot_id,
                    points=lot.remaining,
                    expires_on=lot.expires_on,
                )
            )
        return len(due)

    # Status

    def must_be_active(self) -> None:
        """Refuse a member who can't earn or redeem (4.5)."""
        self._must_not_be_closed()
        if self.state.status == "frozen":
            raise Refusal(
                "member_frozen",
                f"Member {self.member_id!r} is frozen: unfreeze the member to earn or redeem.",
            )

    def _must_not_be_closed(self) -> None:
        if self.state.status not in ("active", "frozen"):
            raise Refusal("member_closed", f"Member {self.member_id!r} is {self.state.status}.")


def _cash_offset(command: r.Redeem) -> tuple[int, str, Decimal]:
    if command.reward_id is not None:
        raise Refusal("not_on_sale", f"Reward {command.reward_id!r} is not on sale.")
    if command.points is None:
        raise InvalidRequest("points", "Give either points (cash offset) or reward_id.")
    if command.order_id is None:
        raise InvalidRequest("order_id", "A cash offset needs the order_id that it pays for.")
    if command.order_amount is None:
        raise InvalidRequest("order_amount", "A cash offset needs the order_amount due.")
    return command.points, command.order_id, command.order_amount


def _check_multiple(points: int, rules: RedemptionRules) -> None:
    """Not below the minimum, and whole multiples of the step (4.1)."""
    if points < rules.min:
        raise Refusal("below_minimum", f"Redeem {rules.min} points or more, not {points}.")
    _check_step(points, rules)


def _check_step(points: int, rules: RedemptionRules) -> None:
    if points % rules.step:
        raise Refusal(
            "not_a_multiple", f"Redeem whole multiples of {rules.step} points, not {points}."
        )


def _check_refund(order: Order, amount: Decimal, occurred_at: datetime) -> Decimal:
    """All that is refunded of the order with this refund (5.1, 5.5)."""
    if occurred_at < order.occurred_at:
        raise InvalidRequest("occurred_at", "A refund can't have happened before its order.")
    if amount == 0 and order.amount > 0:
        raise InvalidRequest("amount", "Refund more than 0.00: the order was not free.")
    refunded = order.refunded + amount
    if refunded > order.amount:
        left = order.amount - order.refunded
        raise Refusal(
            "refund_exceeds_order",
            f"{left} of order {order.order_id!r} is left to refund, not {amount}.",
        )
    return refunded


def _left_of(redemption: Redemption, points: int) -> list[e.LotPoints]:
    """What is left of a redemption's lots when the first-drawn part is spent, first-drawn first."""
    plan = plan_restoration(redemption.drawn, points)
    return [e.LotPoints(drawn.lot_id, part) for drawn, part in reversed(plan)]
