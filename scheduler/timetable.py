"""When each job runs, in the programme's time zone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

TIMETABLE: Final[Mapping[str, Mapping[str, Any]]] = {
    "expire-points": {"hour": 0, "minute": 5},
    "lapse-reservations": {"second": 0},
    "release-pending": {"hour": 0, "minute": 1},
}
"""Job → fields of a cron entry; a field not given is any, a smaller one than given its first."""
