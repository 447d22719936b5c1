"""What an order, an activity, a referral or joining earns, and why (PROGRAMME 2). Pure.

Every grant explains itself: its rows stand in the order spend, level, campaigns by code, bonuses by
code, cap, and add up to its points (2.11).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

import msgspec

from ledger.events import BreakdownRow, OrderItem
from ledger.money import cents, exact, floor_points
from ledger.programme.sections import Campaign, EarningRules, Stacking, Texts

NOTHING = Decimal(0)


class Standing(msgspec.Struct, frozen=True):
    """What a member is when something is decided; None where the programme has none of it."""

    tier: str | None = None
    level: str | None = None
    segment: str | None = None
    lifecycle: str | None = None


class Occasion(msgspec.Struct, frozen=True):
    """Under what circumstances something is earned: when, where, by what kind of member."""

    moment: datetime
    standing: Standing
    channel: str | None = None
    store_id: str | None = None


class Earned(msgspec.Struct, frozen=True):
    """Points with their explanation; the rows add up to `points`.

    `spend_points` of them are for the amount paid, `unrounded_spend_points` is that before its
    floor and before any cap; the rest are bonuses.
    """

    points: int
    spend_points: int
    unrounded_spend_points: Fraction
    breakdown: list[BreakdownRow]


NOTHING_EARNED = Earned(0, 0, Fraction(0), [])


class Share(msgspec.Struct, frozen=True):
    """A part of an order that earns alike: all its eligible items of one product line."""

    product_line: str | None
    paid: Fraction


class Multiplier(msgspec.Struct, frozen=True):
    """A multiplier on spend, and for which of the shares."""

    rule: str
    factor: Decimal
    shares: frozenset[int]
    name: Texts | None = None

    def row(self, points: int) -> BreakdownRow:
        """The row of the points that it adds."""
        return _row(self.rule, points, self.name, multiplier=self.factor)


def earn_on_order(
    rules: EarningRules,
    campaigns: Sequence[Campaign],
    amount: Decimal,
    items: Sequence[OrderItem],
    occasion: Occasion,
) -> Earned:
    """floor(eligible × rate × multipliers), one floor at the end, then the bonuses (2.1, 2.2).

    A multiplier's row is floor(product with it) − floor(product before it) (2.11).
    """
    itemised = any(item.amount for item in items)
    applying = _applying(campaigns, "order", occasion, itemised) if amount else []
    shares = _shares(rules, amount, items if itemised else (), applying)
    paid = [share.paid for share in shares]
    eligible = _sum(paid)
    earned = paid if rules.rate == 1 else [part * exact(rules.rate) for part in paid]
    product = _sum(earned)
    points = floor_points(product)
    rows = [
        BreakdownRow(
            rule="spend",
            base=cents(eligible) if itemised else amount,
            rate=rules.rate,
            points=points,
        )
    ]
    for multiplier in _multipliers(rules, applying, shares, occasion.standing.level):
        factor = exact(multiplier.factor)
        earned = [
            part * factor if number in multiplier.shares else part
            for number, part in enumerate(earned)
        ]
        product = _sum(earned)
        gained = floor_points(product) - points
        points += gained
        rows.append(multiplier.row(gained))
    bonuses = _bonuses(applying, shares)
    return Earned(
        points=points + sum(row.points for row in bonuses),
        spend_points=points,
        unrounded_spend_points=product,
        breakdown=rows + bonuses,
    )


def earn_on_activity(
    activity: str,
    points: int,
    stacking: Stacking,
    campaigns: Sequence[Campaign],
    occasion: Occasion,
) -> Earned:
    """The points of an activity, with the campaigns that are for it (2.3, 2.8).

    One that gives no points gives none with a campaign either. Levels multiply spend only (2.2).
    """
    rows = [BreakdownRow(rule=f"activity:{activity}", points=points)]
    applying = _applying(campaigns, "activity", occasion, itemised=False) if points else []
    whole = (Share(None, Fraction(points)),)
    factors = [_of_campaign(campaign, whole) for campaign in applying if campaign.multiplier != 1]
    product = Fraction(points)
    for multiplier in _stacked(factors, stacking, 1):
        product *= exact(multiplier.factor)
        gained = floor_points(product) - sum(row.points for row in rows)
        rows.append(multiplier.row(gained))
    rows += _bonuses(applying, whole)
    return Earned(sum(row.points for row in rows), 0, Fraction(0), rows)


def earn_on_referral(points: int, level: str | None, *, doubled: bool) -> Earned:
    """The referrer's points, twice for a level that doubles them (2.7)."""
    rows = [BreakdownRow(rule="referral", points=points)]
    if doubled:
        rows.append(BreakdownRow(rule=f"level:{level}", multiplier=Decimal(2), points=points))
    return Earned(sum(row.points for row in rows), 0, Fraction(0), rows)


def earn_on_enrolment(points: int) -> Earned:
    """The points of the newcomer pack (2.4)."""
    return Earned(points, 0, Fraction(0), [BreakdownRow(rule="newcomer", points=points)])


def capped(earned: Earned, left: int | None) -> Earned:
    """At most `left` points (None: no cap): bonuses are cut first (2.2)."""
    if left is None or earned.points <= left:
        return earned
    cut = earned.points - max(left, 0)
    bonus = earned.points - earned.spend_points
    return Earned(
        points=earned.points - cut,
        spend_points=earned.spend_points - max(0, cut - bonus),
        unrounded_spend_points=earned.unrounded_spend_points,
        breakdown=[*earned.breakdown, BreakdownRow(rule="cap", points=-cut)],
    )


def _sum(parts: Sequence[Fraction]) -> Fraction:
    """Nearly always there is one part, and adding fractions is slow."""
    return parts[0] if len(parts) == 1 else sum(parts, Fraction(0))


def _applying(
    campaigns: Iterable[Campaign], kind: str, occasion: Occasion, itemised: bool
) -> list[Campaign]:
    """The campaigns in force and in scope, by code (2.8); of the lines the shares tell.

    Without items, campaigns scoped by product line don't apply (2.1).
    """
    standing = occasion.standing
    found = []
    for campaign in campaigns:
        only = campaign.only
        if (
            campaign.in_force(occasion.moment)
            and campaign.applies_to in (kind, "both")
            and (itemised or not only.product_lines)
            and _within(only.channels, occasion.channel)
            and _within(only.stores, occasion.store_id)
            and _within(only.tiers, standing.tier)
            and _within(only.levels, standing.level)
            and _within(only.segments, standing.segment)
            and _within(only.lifecycle, standing.lifecycle)
        ):
            found.append(campaign)
    return sorted(found, key=lambda campaign: campaign.code)


def _within(scope: Sequence[str], value: str | None) -> bool:
    return not scope or value in scope


def _shares(
    rules: EarningRules,
    amount: Decimal,
    items: Sequence[OrderItem],
    campaigns: Sequence[Campaign],
) -> list[Share]:
    """What of the amount paid earns, by product line where a campaign asks for lines (2.1).

    An item's paid share is amount × item.amount / Σ item.amount, unrounded; excluded SKUs and
    product lines are left out.
    """
    if not items:
        return [Share(None, exact(amount))]
    by_line = any(campaign.only.product_lines for campaign in campaigns)
    total = sum((item.amount for item in items), NOTHING)
    kept: dict[str | None, Decimal] = {}
    for item in items:
        if (
            item.sku not in rules.excluded_skus
            and item.product_line not in rules.excluded_product_lines
        ):
            line = item.product_line if by_line else None
            kept[line] = kept.get(line, NOTHING) + item.amount
    ratio = exact(amount) / exact(total)
    return [Share(line, ratio * exact(part)) for line, part in kept.items()]


def _multipliers(
    rules: EarningRules,
    campaigns: Sequence[Campaign],
    shares: Sequence[Share],
    level: str | None,
) -> list[Multiplier]:
    """The multipliers that count, in the order of their rows: level, campaigns by code (2.2)."""
    found = []
    factor = rules.level_multipliers.get(level) if level is not None else None
    if factor is None and not campaigns:
        return []
    if factor is not None and factor != 1:
        found.append(Multiplier(f"level:{level}", factor, frozenset(range(len(shares)))))
    found += [_of_campaign(campaign, shares) for campaign in campaigns if campaign.multiplier != 1]
    return _stacked(found, rules.stacking, len(shares))


def _of_campaign(campaign: Campaign, shares: Sequence[Share]) -> Multiplier:
    lines = campaign.only.product_lines
    inside = frozenset(
        number for number, share in enumerate(shares) if not lines or share.product_line in lines
    )
    return Multiplier(f"campaign:{campaign.code}", campaign.multiplier, inside, campaign.name)


def _stacked(
    multipliers: Sequence[Multiplier], stacking: Stacking, shares: int
) -> list[Multiplier]:
    """All of them, or ("best") on each share the largest alone; ties: the first (2.2)."""
    if stacking == "multiply" or not multipliers:
        return [multiplier for multiplier in multipliers if multiplier.shares]
    won: dict[int, set[int]] = {}
    for share in range(shares):
        inside = [n for n, multiplier in enumerate(multipliers) if share in multiplier.shares]
        if inside:
            best = max(inside, key=lambda n: multipliers[n].factor)
            won.setdefault(best, set()).add(share)
    return [
        msgspec.structs.replace(multiplier, shares=frozenset(won[number]))
        for number, multiplier in enumerate(multipliers)
        if number in won
    ]


def _bonuses(campaigns: Iterable[Campaign], shares: Sequence[Share]) -> list[BreakdownRow]:
    """The fixed points of campaigns, by code (2.2, 2.8).

    One with product lines is given once, if something of its lines was paid for and earns.
    """
    rows = []
    for campaign in campaigns:
        lines = campaign.only.product_lines
        if campaign.bonus and (
            not lines or any(share.paid and share.product_line in lines for share in shares)
        ):
            rows.append(_row(f"bonus:{campaign.code}", campaign.bonus, campaign.name))
    return rows


def _row(
    rule: str, points: int, name: Texts | None, multiplier: Decimal | None = None
) -> BreakdownRow:
    if name is None:
        return BreakdownRow(rule=rule, points=points, multiplier=multiplier)
    return BreakdownRow(
        rule=rule,
        points=points,
        multiplier=multiplier,
        name_en=name.in_language("en"),
        name_zh=name.in_language("zh"),
    )
