"""What a view is: a name, its tables, and what a chunk of the log does to their rows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ledger.events import RecordedEvent
from ledger.store.database import Cursor

MEMBER_STREAM: Final = "member/"

Apply = Callable[[Cursor, Sequence[RecordedEvent]], None]


@dataclass(frozen=True)
class View:
    """A set of tables that follows from the log alone.

    `apply` writes what a chunk of events, in the order of the log, changes; it names the tables
    without a schema, and either takes the whole chunk or raises. It reads no clock and nothing but
    the view's own rows, so that a rebuild comes out the same.
    """

    name: str
    apply: Apply
    revision: int = 1
    """To be raised when `apply` comes to write something else: the view is then rebuilt."""

    @property
    def schema(self) -> str:
        """The database schema that holds the view's tables."""
        return f"view_{self.name}"

    @property
    def definition(self) -> str:
        """The statements that make its tables."""
        return Path(__file__).with_name(f"{self.name}.sql").read_text(encoding="utf-8")

    @property
    def fingerprint(self) -> str:
        """Differs for views whose tables or rows differ."""
        text = f"{self.revision}\n{self.definition}"
        return hashlib.sha256(text.encode()).hexdigest()


def member_of(event: RecordedEvent) -> str | None:
    """The member whose stream the event is in, or None."""
    if event.originator_id.startswith(MEMBER_STREAM):
        return event.originator_id[len(MEMBER_STREAM) :]
    return None
