"""Many rows in one statement: COPY in its text format."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

from ledger.store.database import Cursor

_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def text_field(value: str | None) -> str:
    """A text as a field of COPY; None is NULL."""
    if value is None:
        return "\\N"
    return value if value.isprintable() and "\\" not in value else value.translate(_ESCAPES)


def copy_lines(cursor: Cursor, table: str, columns: Sequence[str], lines: Iterable[str]) -> None:
    """Add the rows to a table; a line is its fields, as COPY wants them, separated by tabs."""
    stream = io.StringIO("\n".join(lines) + "\n")
    cursor.copy_expert(f"COPY {table} ({', '.join(columns)}) FROM STDIN", stream, size=1 << 18)
