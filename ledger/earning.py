"""What an order earns, and why (PROGRAMME 2). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

import msgspec

from ledger.events import BreakdownRow, OrderItem
from ledger.money import cents, exact, floor_points
from ledger.programme.sections import EarningRules


class Earned(msgspec.Struct, frozen=True):
    """Points for an order with their explanation; the rows add up to `points`."""

    points: int
    spend_points: int
    unrounded_spend_points: Fraction
    breakdown: list[BreakdownRow]


def eligible_amount(rules: EarningRules, amount: Decimal, items: Sequence[OrderItem]) -> Fraction:
    """What of the amount paid earns: the paid shares of the items not excluded (2.1).

    A share is amount × item.amount / Σ item.amount, unrounded. Items whose amounts are all 0
    count as not given.
    """
    total = sum((item.amount for item in items), Decimal(0)) if items else None
    if not total:
        return exact(amount)
    kept = sum(
        (
            item.amount
            for item in items
            if item.sku not in rules.excluded_skus
            and item.product_line not in rules.excluded_product_lines
        ),
        Decimal(0),
    )
    return exact(amount) * exact(kept) / exact(total)


def earn_on_order(
    rules: EarningRules, amount: Decimal, items: Sequence[OrderItem], level: str | None
) -> Earned:
    """floor(eligible × rate × multipliers), one floor at the end (2.1, 2.2).

    A multiplier's row is floor(product with it) − floor(product before it) (2.11).
    """
    eligible = eligible_amount(rules, amount, items)
    product = eligible * exact(rules.rate) if rules.rate != 1 else eligible
    points = floor_points(product)
    rows = [
        BreakdownRow(
            rule="spend", base=cents(eligible) if items else amount, rate=rules.rate, points=points
        )
    ]
    multiplier = rules.level_multipliers.get(level) if level is not None else None
    if multiplier is not None and multiplier != 1:
        product *= exact(multiplier)
        gained = floor_points(product) - points
        points += gained
        rows.append(BreakdownRow(rule=f"level:{level}", multiplier=multiplier, points=gained))
    return Earned(
        points=points, spend_points=points, unrounded_spend_points=product, breakdown=rows
    )
