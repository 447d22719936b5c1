"""Cursors: where the next page of a list begins, as a word that callers need not understand."""

from __future__ import annotations

import base64
import binascii

from api.fields import is_storable
from ledger.errors import InvalidRequest


def cursor_after(last: str) -> str:
    """The cursor of the page after the one that ends with `last`."""
    return base64.urlsafe_b64encode(last.encode()).decode().rstrip("=")


def last_before(cursor: str) -> str:
    """What the page before ended with. Raises `InvalidRequest` for a word that is no cursor."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        last = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError, ValueError):
        last = ""
    if last and is_storable(last):
        return last
    raise InvalidRequest("cursor", "Give the next_cursor of the page before.")
