"""A member: its state, its parts, and the events that happened to it."""

from __future__ import annotations

from datetime import date, datetime
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
    Month,
    Order,
    OrderSpending,
    PartLoader,
    Parts,
    Redemption,
    Referral,
    nothing,
)
from ledger.programme.model import Programme
from ledger.state import Balance, MemberState

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

    @cached_property
    def coupons(self) -> Parts[Coupon]:
        """The coupons, by code."""
        return Parts(partial(self._load, "coupon"))

    @cached_property
    def referrals(self) -> Parts[Referral]:
        """The rewarded referrals of this member's, by the referee's first order."""
        return Parts(partial(self._load, "referral"))

    @cached_property
    def done(self) -> Parts[Done]:
        """The activities that count once for a reference, by `activity/reference`."""
        return Parts(partial(self._load, "done"))

    @cached_property
    def months(self) -> Parts[Month]:
        """The days of months that the head does not hold any more, by `2026-03`."""
        return Parts(partial(self._load, "month"))

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
        state = self.state
        tier = programme.tiers[0].code if programme.tiers else None
        if tier is not None and state.tier is not None and state.tier.until is not None:
            tier = state.tier.code
        level = programme.levels.bands[0].code if programme.levels else None
        if level is not None:
            # The first entry is what the member was enrolled with.
            for reviewed in state.levels[1:]:
                if reviewed.since <= moment:
                    level = reviewed.code
        return Standing(
            tier=tier,
            level=level,
            segment=programme.segments.otherwise if programme.segments else None,
            lifecycle="new" if programme.lifecycle else None,
        )

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
