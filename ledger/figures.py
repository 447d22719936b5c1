"""Spend, orders and activities of a member in a window of local dates (PROGRAMME 6.1, 7). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal

import msgspec

from ledger.money import ZERO
from ledger.state import Day


class Figures(msgspec.Struct, frozen=True):
    """What a member did in a window.

    `repurchases`: the counting orders but the earliest counting one of the member's life.
    """

    spend: Decimal = ZERO
    orders: int = 0
    repurchases: int = 0
    activities: int = 0

    def reach(self, spend: Decimal, repurchases: int) -> bool:
        """Whether both thresholds are met."""
        return self.spend >= spend and self.repurchases >= repurchases


def figures_of(days: Iterable[tuple[date, Day]], first_counting_on: date | None) -> Figures:
    """The figures of these days, each with its date."""
    spend, orders, activities, has_first = ZERO, 0, 0, False
    for on, day in days:
        spend += day.spend
        orders += day.orders
        activities += day.active
        has_first = has_first or (on == first_counting_on and day.orders > 0)
    return Figures(spend, orders, orders - has_first, activities)
