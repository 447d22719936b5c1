"""What time it is, as a value that is passed in."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def system_clock() -> datetime:
    """The wall clock, aware, in UTC."""
    return datetime.now(UTC)
