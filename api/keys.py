"""API keys: made, listed, rotated, revoked, and recognised on each request.

A key reads `jf_<id>_<secret>`; the secret has 256 random bits, so a plain SHA-256 of the key is
safe to store: a slow hash (bcrypt) protects guessable passwords, and would cost every request
some 100 ms here for nothing. A key chosen by hand (JIFEN_ADMIN_KEY) should be as random.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Final

import msgspec

from ledger.errors import InvalidRequest, NotFound, Refusal
from ledger.store.database import Cursor, Database

ROLES: Final = ("pos", "service", "finance", "admin")

CACHE_SECONDS: Final = 4.0
"""How long a process trusts what it has read: a revoked key is refused within 5 s."""

_MOST_CACHED: Final = 10_000
_OWN_FORM: Final = re.compile(r"jf_([A-Za-z0-9-]{1,40})_.+")

_COLUMNS: Final = "id, name, roles, created_at, revoked_at"
_INSERT: Final = f"""
    INSERT INTO api_keys (id, name, roles, hash) VALUES (%s, %s, %s, %s)
    ON CONFLICT DO NOTHING RETURNING {_COLUMNS}
"""  # noqa: S608
_LIST: Final = f"SELECT {_COLUMNS} FROM api_keys WHERE id > %s ORDER BY id LIMIT %s"  # noqa: S608
_FIND: Final = f"SELECT {_COLUMNS}, hash FROM api_keys WHERE id = %s AND revoked_at IS NULL"  # noqa: S608
_ROTATE: Final = f"""
    UPDATE api_keys SET hash = %s WHERE id = %s AND revoked_at IS NULL RETURNING {_COLUMNS}
"""  # noqa: S608
_REVOKE: Final = f"""
    UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE id = %s RETURNING {_COLUMNS}
"""  # noqa: S608
_RETIRE_PREDECESSORS: Final = """
    UPDATE api_keys SET revoked_at = now() WHERE name = %s AND id <> %s AND revoked_at IS NULL
"""
_ENSURE: Final = """
    INSERT INTO api_keys (id, name, roles, hash) VALUES (%s, %s, %s, %s)
    ON CONFLICT (id) DO UPDATE
    SET name = excluded.name, roles = excluded.roles, hash = excluded.hash, revoked_at = NULL
"""


class ApiKey(msgspec.Struct, frozen=True):
    """Who may ask: an id, the name that events show, and roles. Never the secret."""

    id: str
    name: str
    roles: list[str]
    created_at: datetime
    revoked_at: datetime | None = None

    def role_among(self, wanted: Iterable[str]) -> str | None:
        """The role it may act in where one of `wanted` is asked for; `admin` includes all."""
        for role in wanted:
            if role in self.roles:
                return role
        return "admin" if "admin" in self.roles else None


def create_key(database: Database, *, name: str, roles: Iterable[str]) -> tuple[str, str]:
    """A new key in a transaction of its own, as by `make_key`: its id, and the key itself."""
    with database.transaction() as cursor:
        key, plain = make_key(cursor, name=name, roles=roles)
    return key.id, plain


def make_key(cursor: Cursor, *, name: str, roles: Iterable[str]) -> tuple[ApiKey, str]:
    """A new key: what is known of it, and the key itself, which can't be read again.

    Raises `InvalidRequest` for a role that does not exist, `Refusal` already_recorded where a
    live key has the name: history and four eyes tell keys apart by it.
    """
    key_id = secrets.token_hex(6)
    plain = _make(key_id)
    cursor.execute(_INSERT, (key_id, name, _checked(roles), _digest(plain)))
    row = cursor.fetchone()
    if row is None:
        raise Refusal(
            "already_recorded",
            f"There is a key named {name!r}; choose another name, or rotate that key.",
        )
    return ApiKey(*row), plain


def list_keys(database: Database, *, limit: int = 1000, after: str = "") -> list[ApiKey]:
    """The keys by id, revoked ones too, from the one after `after` on."""
    with database.transaction() as cursor:
        cursor.execute(_LIST, (after, limit))
        return [ApiKey(*row) for row in cursor]


def rotate_key(cursor: Cursor, key_id: str) -> tuple[ApiKey, str]:
    """A new secret for a live key: the old one ends at once. Raises `NotFound`."""
    plain = _make(key_id)
    cursor.execute(_ROTATE, (_digest(plain), key_id))
    return _one(cursor, key_id), plain


def revoke_key(database: Database, key_id: str) -> ApiKey:
    """End a key for good; a second time changes nothing. Raises `NotFound`."""
    with database.transaction() as cursor:
        cursor.execute(_REVOKE, (key_id,))
        return _one(cursor, key_id)


def ensure_key(database: Database, plain: str, roles: Iterable[str], name: str) -> str:
    """Have a key chosen beforehand recognised; returns its id.

    It takes the place of an earlier key of that name, which is revoked.
    """
    key_id = _id_of(plain)
    with database.transaction() as cursor:
        cursor.execute(_RETIRE_PREDECESSORS, (name, key_id))
        cursor.execute(_ENSURE, (key_id, name, _checked(roles), _digest(plain)))
    return key_id


def find_key(database: Database, plain: str) -> ApiKey | None:
    """The live key that `plain` is, or None."""
    with database.transaction() as cursor:
        cursor.execute(_FIND, (_id_of(plain),))
        row = cursor.fetchone()
    if row is None or not hmac.compare_digest(bytes(row[-1]), _digest(plain)):
        return None
    return ApiKey(*row[:-1])


class KeyRing:
    """Recognises keys for one process, remembering each for `CACHE_SECONDS`."""

    def __init__(self, database: Database, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._known: dict[bytes, tuple[ApiKey, float]] = {}

    def recognise(self, plain: str) -> ApiKey | None:
        """The live key that `plain` is, or None."""
        digest = _digest(plain)
        known = self._known.get(digest)
        if known is not None and self._monotonic() < known[1]:
            return known[0]
        # Read before the query: what is remembered is never older than CACHE_SECONDS.
        until = self._monotonic() + CACHE_SECONDS
        key = find_key(self._database, plain)
        with self._lock:
            if key is None:
                self._known.pop(digest, None)
            else:
                if len(self._known) >= _MOST_CACHED:
                    self._known.clear()
                self._known[digest] = (key, until)
        return key

    def forget(self, key_id: str) -> None:
        """Read this key anew at its next use."""
        with self._lock:
            self._known = {
                digest: known for digest, known in self._known.items() if known[0].id != key_id
            }


def _make(key_id: str) -> str:
    return f"jf_{key_id}_{secrets.token_urlsafe(32)}"


def _id_of(plain: str) -> str:
    if match := _OWN_FORM.fullmatch(plain):
        return match[1]
    return f"chosen-{_digest('id of ' + plain).hex()[:16]}"


def _digest(plain: str) -> bytes:
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).digest()


def _checked(roles: Iterable[str]) -> list[str]:
    asked = set(roles)
    if not asked or not asked <= set(ROLES):
        raise InvalidRequest("roles", f"Give one or more of: {', '.join(ROLES)}.")
    return [role for role in ROLES if role in asked]


def _one(cursor: Cursor, key_id: str) -> ApiKey:
    row: tuple[Any, ...] | None = cursor.fetchone()
    if row is None:
        raise NotFound("live key", key_id)
    return ApiKey(*row)
