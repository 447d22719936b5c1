"""PostgreSQL array literals, to send many rows as one parameter of `unnest`.

psycopg2 adapts a list item by item, and a list of bytes slowly: for 1,000 events of 500 bytes
6.7 ms, against 2.5 ms for one literal, which the server also reads in half the time
(measured on PostgreSQL 18, psycopg2 2.9).
"""

from __future__ import annotations

from collections.abc import Iterable


def text_array(items: Iterable[str | None]) -> str:
    """The literal of a `text[]`, also of `jsonb[]`; None is NULL."""
    listed = list(items)
    try:
        joined = '","'.join(listed)  # type: ignore[arg-type]
    except TypeError:  # a NULL among them
        joined = ""
    # Ids have nothing to be quoted: then one look at all of them is enough.
    if joined and "\\" not in joined and joined.count('"') == 2 * (len(listed) - 1):
        return '{"' + joined + '"}'
    return "{" + ",".join([_quoted(item) for item in listed]) + "}"


def bigint_array(items: Iterable[int | None]) -> str:
    """The literal of a `bigint[]`; None is NULL."""
    return "{" + ",".join(["NULL" if item is None else str(item) for item in items]) + "}"


def bytea_array(items: Iterable[bytes]) -> str:
    """The literal of a `bytea[]`, in a database whose encoding is UTF-8."""
    return "{" + ",".join([_quoted_bytes(item) for item in items]) + "}"


def _quoted(item: str | None) -> str:
    if item is None:
        return "NULL"
    return '"' + item.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _quoted_bytes(item: bytes) -> str:
    try:
        text = item.decode()
    except UnicodeDecodeError:
        return '"\\\\x' + item.hex() + '"'
    if "\0" in text:
        return '"\\\\x' + item.hex() + '"'
    # Text goes in bytea's escape format, half as long as hex: JSON is nearly always text.
    return _quoted(text.replace("\\", "\\\\"))
