"""Connections to PostgreSQL: a pool, transactions, and the library's names for errors."""

from __future__ import annotations

import select
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, TypeAlias

import psycopg2
import psycopg2.extensions
from eventsourcing import persistence

Connection: TypeAlias = psycopg2.extensions.connection
Cursor: TypeAlias = psycopg2.extensions.cursor

WRITER_ROLE: Final = "jifen_writer"

# A login without the role works with its own rights: the migrations then took UPDATE and DELETE
# on the log from it (migrations/writer_role.sql). CREATE on the database is granted last there,
# so it says that all other grants were made in this database.
_PREPARE_SESSION: Final = """
    SELECT set_config('TimeZone', 'UTC', false),
           set_config('application_name', %(application_name)s, false),
           set_config('default_transaction_isolation', 'read committed', false),
           set_config('lock_timeout', %(lock_timeout)s, false),
           set_config('plan_cache_mode', 'force_generic_plan', false),
           set_config('synchronous_commit', %(synchronous_commit)s, false),
           set_config('idle_in_transaction_session_timeout', %(idle_timeout)s, false);
    SELECT set_config('role', rolname, false)
    FROM pg_roles
    WHERE rolname = %(role)s
      AND pg_has_role(session_user, oid, CASE
            WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET'
            ELSE 'MEMBER' END)
      AND has_database_privilege(oid, current_database(), 'CREATE')
"""


class Database:
    """A pool of connections to one PostgreSQL database, for all threads of one process.

    Make it after a fork, not before. Connections act as the role `jifen_writer`, in UTC, in READ
    COMMITTED. A transaction costs its own statements, one BEGIN and one COMMIT, nothing else.
    """

    def __init__(
        self,
        url: str,
        *,
        connections: int = 10,
        wait_seconds: float = 30.0,
        lock_timeout_seconds: float = 5.0,
        idle_in_transaction_seconds: float = 60.0,
        application_name: str = "jifen",
        derived_only: bool = False,
    ) -> None:
        """`connections` at most; who finds all in use waits up to `wait_seconds`.

        The server ends a session that is idle in a transaction for `idle_in_transaction_seconds`:
        a frozen process must not hold the log's lock for ever. `derived_only`: what is written can
        be made again from the log, rows and position in one transaction, so a commit need not wait
        for the disk, and does not keep the log's commits from it.
        """
        self._url = url
        self._wait_seconds = wait_seconds
        self._session = {
            "application_name": application_name,
            "synchronous_commit": "off" if derived_only else "on",
            "lock_timeout": f"{round(lock_timeout_seconds * 1000)}ms",
            "idle_timeout": f"{round(idle_in_transaction_seconds * 1000)}ms",
            "role": WRITER_ROLE,
        }
        self._room = threading.Condition()
        self._idle: deque[Connection] = deque()
        self._places = connections
        self._closed = False

    @contextmanager
    def transaction(self) -> Iterator[Cursor]:
        """A cursor whose statements are committed together, or rolled back if an error leaves.

        Raises psycopg2's errors as they are; see `connection` for those of the pool.
        """
        with self.connection() as connection, connection.cursor() as cursor:
            yield cursor

    @contextmanager
    def snapshot(self) -> Iterator[Cursor]:
        """A cursor that only reads, and whose statements all see the database at one moment."""
        with self.transaction() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield cursor

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection, committed at the end of the block, or rolled back if an error leaves.

        Raises `psycopg2.OperationalError` where the server can't be reached, the library's
        `ConnectionUnavailableError` where all connections stay in use.
        """
        connection = self._take()
        try:
            yield connection
            connection.commit()
        except BaseException:
            _roll_back(connection)
            raise
        finally:
            self._give_back(connection)

    def close(self) -> None:
        """Close the idle connections now, those in use when they come back."""
        with self._room:
            self._closed = True
            idle, self._idle = self._idle, deque()
            self._places += len(idle)
            self._room.notify_all()
        for connection in idle:
            connection.close()

    def _take(self) -> Connection:
        while (connection := self._take_idle()) is not None:
            if not _has_unread_input(connection):
                return connection
            # The server has spoken to an idle connection: it has most likely gone, or restarted.
            self._discard(connection)
        try:
            return self._connect()
        except BaseException:
            self._free_place()
            raise

    def _take_idle(self) -> Connection | None:
        """An idle connection, or None and a place for a new one."""
        deadline = time.monotonic() + self._wait_seconds
        with self._room:
            while not self._closed:
                if self._idle:
                    # The one used last: the others can rest, and are found dead without a query.
                    return self._idle.pop()
                if self._places:
                    self._places -= 1
                    return None
                if not self._room.wait(deadline - time.monotonic()):
                    raise persistence.ConnectionUnavailableError(
                        f"No database connection came free within {self._wait_seconds:g} s; "
                        "raise JIFEN_CONNECTIONS, or look for slow queries."
                    )
        raise persistence.InterfaceError("The database pool is closed.")

    def _connect(self) -> Connection:
        connection = psycopg2.connect(
            self._url,
            connect_timeout=10,
            keepalives_idle=30,
            keepalives_interval=10,
            keepalives_count=3,
        )
        try:
            with connection.cursor() as cursor:
                cursor.execute(_PREPARE_SESSION, self._session)
            connection.commit()
        except BaseException:
            connection.close()
            raise
        return connection

    def _give_back(self, connection: Connection) -> None:
        with self._room:
            if not self._closed and not connection.closed:
                self._idle.append(connection)
                self._room.notify()
                return
        self._discard(connection)

    def _discard(self, connection: Connection) -> None:
        connection.close()
        self._free_place()

    def _free_place(self) -> None:
        with self._room:
            self._places += 1
            self._room.notify()


@contextmanager
def library_errors() -> Iterator[None]:
    """Inside the block psycopg2's errors become those of `eventsourcing.persistence`."""
    try:
        yield
    except psycopg2.Error as error:
        raise library_error(error) from error


def library_error(error: psycopg2.Error) -> persistence.PersistenceError:
    """The error of `eventsourcing.persistence` that says the same."""
    for theirs, ours in _LIBRARY_ERRORS:
        if isinstance(error, theirs):
            return ours(str(error).strip())
    return persistence.PersistenceError(str(error).strip())


_LIBRARY_ERRORS: Final[
    tuple[tuple[type[psycopg2.Error], type[persistence.PersistenceError]], ...]
] = (
    (psycopg2.IntegrityError, persistence.IntegrityError),
    (psycopg2.OperationalError, persistence.OperationalError),
    (psycopg2.ProgrammingError, persistence.ProgrammingError),
    (psycopg2.DataError, persistence.DataError),
    (psycopg2.InternalError, persistence.InternalError),
    (psycopg2.NotSupportedError, persistence.NotSupportedError),
    (psycopg2.DatabaseError, persistence.DatabaseError),
    (psycopg2.InterfaceError, persistence.InterfaceError),
)


def _has_unread_input(connection: Connection) -> bool:
    """Whether anything has arrived since the last answer was read: a look at the socket only."""
    if connection.closed:
        return True
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _roll_back(connection: Connection) -> None:
    if connection.closed:
        return
    try:
        connection.rollback()
    except psycopg2.Error:
        # The connection is lost, and with it the transaction: the first error is the one to tell.
        connection.close()
