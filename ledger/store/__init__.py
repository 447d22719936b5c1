"""The append-only log in PostgreSQL, on psycopg2, under the eventsourcing library.

`database` connects, `migrate` makes the tables, `recorders` append and read, `mapper` turns events
into bytes. The library finds `Factory` here, by PERSISTENCE_MODULE=ledger.store.
"""

from ledger.store.factory import Factory

__all__ = ["Factory"]
