"""Which rules of a programme are read, checked and kept, but decide nothing in this version yet.

The one list of them: whoever brings a rule to life takes it out here, and out of the
operator's guide, which a test compares with it.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ledger.programme.model import Programme

IDLE: Final = (
    "points.remind_days_before",
    "redemption.level_discounts",
    "coupons",
    "rewards",
    "messages",
    "follow_ups",
    "limits.redemptions_per_day",
    "accounting",
    "guard_rails.redemptions_per_hour",
    "guard_rails.earn_and_redeem_within",
)
"""Sections, or keys of one that is live otherwise."""


def idle_sections(programme: Programme) -> list[str]:
    """Those of `IDLE` about which this programme says something of its own."""
    return [path for path in IDLE if _says_something(programme, path.split("."))]


def _says_something(section: Any, path: list[str]) -> bool:
    for name in path:
        if section is None:
            return False
        default, section = _default(section, name), getattr(section, name)
    return bool(section != default)


def _default(section: Any, name: str) -> Any:
    (field,) = (each for each in msgspec.structs.fields(section) if each.name == name)
    if field.default is not msgspec.NODEFAULT:
        return field.default
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return msgspec.NODEFAULT
