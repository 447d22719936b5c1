"""One leader among several processes: a leased row, which also holds through a pooler (2.9)."""

from __future__ import annotations

import os
import socket
import uuid
from typing import Final

from ledger.store.database import Database

# By the database's clock: processes on several machines need not agree on the time.
_HOLD: Final = """
    INSERT INTO leases AS lease (name, holder, leased_until)
    VALUES (%(name)s, %(holder)s, now() + make_interval(secs => %(seconds)s))
    ON CONFLICT (name) DO UPDATE SET
        holder = excluded.holder, leased_until = excluded.leased_until
    WHERE lease.holder = excluded.holder OR lease.leased_until < now()
"""
_LEAVE: Final = "DELETE FROM leases WHERE name = %s AND holder = %s"


class Lease:
    """A right that one process at a time has, until it stops asking for it."""

    def __init__(self, database: Database, name: str, seconds: float = 30.0) -> None:
        """The holder must `hold` again within `seconds`, or another may take over."""
        self._database = database
        self._name = name
        self._seconds = seconds
        self._holder = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"

    def hold(self) -> bool:
        """Take the lease or prolong it; False: another holds it."""
        asked = {"name": self._name, "holder": self._holder, "seconds": self._seconds}
        with self._database.transaction() as cursor:
            cursor.execute(_HOLD, asked)
            return cursor.rowcount == 1

    def leave(self) -> None:
        """Let the next one in at once."""
        with self._database.transaction() as cursor:
            cursor.execute(_LEAVE, (self._name, self._holder))
