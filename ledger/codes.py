"""Codes that people read aloud and type: random, without letters that look alike."""

from __future__ import annotations

import secrets
from typing import Final

LETTERS: Final = "23456789ABCDEFGHJKLMNPQRSTVWXYZ"
"""31 of them, a prime, so that the check letter finds every single mistake; no 0 O 1 I U."""

_COUPON_LENGTH: Final = 12


def new_referral_code() -> str:
    """Six letters: a member's code to give to friends (PROGRAMME 2.7)."""
    return "".join(secrets.choice(LETTERS) for _ in range(6))


def as_typed(code: str) -> str:
    """The code that somebody meant who typed it in small letters, or with blanks and hyphens."""
    return "".join(letter for letter in code.upper() if letter.isalnum())


def new_id(prefix: str) -> str:
    """An id for what the caller gave none: 80 random bits."""
    return f"{prefix}-{secrets.token_hex(10)}"


def new_coupon_code() -> str:
    """Eleven random letters (54 bits), which nobody guesses, and a check letter (8.2)."""
    body = "".join(secrets.choice(LETTERS) for _ in range(_COUPON_LENGTH - 1))
    return body + check_letter(body)


def check_letter(body: str) -> str:
    """The letter that makes the weighted sum of all letters 0 modulo 31.

    The weights differ from 0 and from their neighbours, so that one mistyped letter, or two
    swapped ones, never come out right.
    """
    weighted = sum(LETTERS.index(letter) * (place + 2) for place, letter in enumerate(body))
    return LETTERS[-weighted % len(LETTERS)]
