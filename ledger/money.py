"""Exact arithmetic for money and points: Decimal and rationals in, one rounding out."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from math import floor

CENT = Decimal("0.01")
ZERO = Decimal("0.00")


@lru_cache(maxsize=4096)
def exact(value: Decimal | int) -> Fraction:
    """The value as a rational number. Remembered: rates and prices come again and again."""
    return Fraction(value)


def floor_points(value: Fraction) -> int:
    """Whole points: the one rounding of earning and clawback (PROGRAMME 2.1, 5.1)."""
    return floor(value)


def round_half_up(value: Fraction) -> int:
    """The nearest whole number, halves up."""
    return floor(value + Fraction(1, 2))


def cents(value: Fraction) -> Decimal:
    """Money to the cent, halves up: the one rounding of money (PROGRAMME, preface)."""
    return Decimal(round_half_up(value * 100)).scaleb(-2)


def plain(value: Decimal) -> str:
    """Digits without exponent: "148.60"."""
    return format(value, "f")


def fraction_text(value: Fraction) -> str:
    """A rational number as stored in events: "4458/25" or "178"."""
    return str(value)
