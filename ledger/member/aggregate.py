"""A member: its state, its parts, and the events that happened to it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import cached_property, partial
from typing import Any, Final

from ledger import events as e
from ledger.applying import apply, enrolled_state
from ledger.earning import Standing
from ledger.lots import Lot, Lots, LotSource, NoLots
from ledger.parts import (
    Adjustment,
    Coupon,
    Done,
    Memory,
    Month,
    NoMemory,
    Order,
    OrderSpending,
    Parts,
    Redemption,
    Referral,
)
from ledger.programme.model import Programme
from ledger.state import Balance, MemberState, Reviewed

_KINDS: Final = (
    ("order", "orders"),
    ("spending", "spendings"),
    ("redemption", "redemptions"),
    ("adjustment", "adjustments"),
    ("coupon", "coupons"),
    ("referral", "referrals"),
    ("done", "done"),
    ("month", "months"),
)


_NEVER_REVIEWED: Final = Reviewed(since=datetime.min.replace(tzinfo=UTC))


class Member:
    """One member with lots, orders and redemptions; `new_events` are those not stored yet."""

    def __init__(
        self, state: MemberState, *, lots: LotSource | None = None, memory: Memory | None = None
    ) -> None:
        """`lots` and `memory` bring in what is not here yet; without them all of it is."""
        self.state = state
        self.lots = Lots(lots or NoLots())
        self._memory = memory or NoMemory()
        self.new_events: list[e.Event] = []

    # Made when first asked for: most commands need one or two kinds of parts.

    @cached_property
    def orders(self) -> Parts[Order]:
        """The orders, by id."""
        return self._parts("order")

    @cached_property
    def spendings(self) -> Parts[OrderSpending]:
        """The redemptions for an order, by the order's id."""
        return self._parts("spending")

    @cached_property
    def redemptions(self) -> Parts[Redemption]:
        """The redemptions and reservations, by id."""
        return self._parts("redemption")

    @cached_property
    def adjustments(self) -> Parts[Adjustment]:
        """The adjustments that wait, or waited, for approval, by id."""
        return self._parts("adjustment")

    @cached_property
    def coupons(self) -> Parts[Coupon]:
        """The coupons, by code."""
        return self._parts("coupon")

    @cached_property
    def referrals(self) -> Parts[Referral]:
        """The rewarded referrals of this member's, by the referee's first order."""
        return self._parts("referral")

    @cached_property
    def done(self) -> Parts[Done]:
        """The activities that count once for a reference, by `activity/reference`."""
        return self._parts("done")

    @cached_property
    def months(self) -> Parts[Month]:
        """The days of months that the head does not hold any more, by `2026-03`."""
        return self._parts("month")

    def _parts(self, kind: str) -> Parts[Any]:
        memory = self._memory
        return Parts(partial(memory.part, kind), partial(memory.fetch, kind))

    def events(self) -> list[e.Event]:
        """Every event of the member, those not stored yet too; for the rare look far back."""
        return [*self._memory.events(), *self.new_events]

    def parts(self) -> list[tuple[str, Parts[Any]]]:
        """The parts that were asked for, with the name of their kind."""
        return [(kind, self.__dict__[name]) for kind, name in _KINDS if name in self.__dict__]

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

    def standing(self, programme: Programme, moment: datetime) -> Standing:
        """Tier, level, segment and lifecycle at a moment, by the rules that decide it.

        Before a first review a member stands where the programme puts everybody (PROGRAMME 7).
        """
        reviewed = self._reviewed(moment)
        return Standing(
            tier=self._tier(programme, moment),
            level=(reviewed.level or programme.levels.bands[0].code) if programme.levels else None,
            segment=(reviewed.segment or programme.segments.otherwise)
            if programme.segments
            else None,
            lifecycle=(reviewed.lifecycle or "new") if programme.lifecycle else None,
        )

    def _tier(self, programme: Programme, moment: datetime) -> str | None:
        if not programme.tiers:
            return None
        for change in reversed(self.state.tiers):
            if change.since <= moment:
                if programme.tier(change.code) is not None:
                    return change.code
                break
        return programme.tiers[0].code

    def _reviewed(self, moment: datetime) -> Reviewed:
        for reviewed in reversed(self.state.reviews):
            if reviewed.since <= moment:
                return reviewed
        return _NEVER_REVIEWED

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
