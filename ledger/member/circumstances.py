"""When and by whom something is decided, and by which version of the programme."""

from __future__ import annotations

from datetime import UTC, date, datetime

import msgspec

from ledger.events import Meta
from ledger.programme.model import Programme
from ledger.programme.versions import ProgrammeHistory, ProgrammeVersion


class Circumstances(msgspec.Struct, frozen=True):
    """When and by whom something is decided, and by which version of the programme.

    `occurred_at`: when it happened; `now`: when the ledger learned it; both UTC.
    """

    occurred_at: datetime
    now: datetime
    meta: Meta
    version: ProgrammeVersion
    programmes: ProgrammeHistory

    @property
    def programme(self) -> Programme:
        """The rules in force at `occurred_at`."""
        return self.version.programme

    @property
    def day(self) -> date:
        """The local date of `occurred_at`."""
        return self.programme.local_date(self.occurred_at)

    @property
    def today(self) -> date:
        """The local date of `now`."""
        return self.programme.local_date(self.now)

    def under_rules_of(self, moment: datetime) -> Circumstances:
        """The same for what occurred at another moment, by the rules in force then."""
        return msgspec.structs.replace(
            self, occurred_at=moment.astimezone(UTC), version=self.programmes.at(moment)
        )
