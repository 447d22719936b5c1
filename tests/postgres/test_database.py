"""The pool: transactions, threads, lost connections, and what a transaction costs."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg2
import pytest
from eventsourcing import persistence

from ledger.store.database import Database, library_errors


def make_notes(url: str) -> None:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE notes (id int PRIMARY KEY)")
        cursor.execute("GRANT ALL ON notes TO jifen_writer")


def count_notes(database: Database) -> int:
    with database.transaction() as cursor:
        cursor.execute("SELECT count(*) FROM notes")
        row = cursor.fetchone()
    assert row is not None
    return int(row[0])


def end_all_sessions(url: str) -> None:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_a_transaction_commits_unless_an_error_leaves_it(
    database: Database, database_url: str
) -> None:
    make_notes(database_url)
    with database.transaction() as cursor:
        cursor.execute("INSERT INTO notes VALUES (1)")
    with pytest.raises(ZeroDivisionError), database.transaction() as cursor:
        cursor.execute("INSERT INTO notes VALUES (2)")
        raise ZeroDivisionError
    assert count_notes(database) == 1


def test_a_session_is_in_utc_read_committed_and_acts_as_the_writer(database: Database) -> None:
    with database.transaction() as cursor:
        cursor.execute(
            "SELECT current_setting('TimeZone'), current_setting('transaction_isolation'), "
            "current_setting('synchronous_commit'), current_setting('lock_timeout'), "
            "current_setting('application_name'), current_user::text"
        )
        assert cursor.fetchone() == ("UTC", "read committed", "on", "5s", "jifen", "jifen_writer")


def test_sessions_that_the_server_ended_are_replaced_unnoticed(
    database: Database, database_url: str
) -> None:
    make_notes(database_url)
    with database.connection(), database.connection():
        pass
    end_all_sessions(database_url)
    assert count_notes(database) == 0
    assert count_notes(database) == 0


def test_a_session_lost_in_the_middle_is_one_error_and_then_over(
    database: Database, database_url: str
) -> None:
    make_notes(database_url)
    with pytest.raises(psycopg2.OperationalError), database.transaction() as cursor:
        cursor.execute("INSERT INTO notes VALUES (1)")
        end_all_sessions(database_url)
        cursor.execute("INSERT INTO notes VALUES (2)")
    assert count_notes(database) == 0


def test_a_session_frozen_in_a_transaction_is_ended(database_url: str) -> None:
    make_notes(database_url)
    database = Database(database_url, idle_in_transaction_seconds=0.2)
    with pytest.raises(psycopg2.Error), database.transaction() as cursor:
        cursor.execute("INSERT INTO notes VALUES (1)")
        threading.Event().wait(0.6)
        cursor.execute("INSERT INTO notes VALUES (2)")
    assert count_notes(database) == 0
    database.close()


def test_threads_share_the_connections_and_wait_for_them(database_url: str) -> None:
    make_notes(database_url)
    database = Database(database_url, connections=2)

    def insert(number: int) -> None:
        with database.transaction() as cursor:
            cursor.execute("INSERT INTO notes VALUES (%s)", [number])

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(insert, range(100)))
    assert count_notes(database) == 100
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE application_name = 'jifen' AND datname = current_database()"
        )
        assert cursor.fetchone() == (2,)
    database.close()


def test_who_gets_no_connection_in_time_is_told(database_url: str) -> None:
    database = Database(database_url, connections=1, wait_seconds=0.1)
    with (
        database.connection(),
        pytest.raises(persistence.ConnectionUnavailableError, match="JIFEN_CONNECTIONS"),
        database.connection(),
    ):
        pass
    database.close()


def test_a_server_that_is_not_there_is_an_error_each_time_and_takes_no_place() -> None:
    nowhere = Database("postgresql://nobody@127.0.0.1:1/none", connections=1, wait_seconds=0.1)
    for _ in range(3):
        with pytest.raises(psycopg2.OperationalError), nowhere.connection():
            pass


def test_a_closed_pool_says_so(database_url: str) -> None:
    database = Database(database_url)
    with database.connection():
        database.close()
    with pytest.raises(persistence.InterfaceError, match="closed"), database.connection():
        pass


def test_errors_have_the_librarys_names_where_it_expects_them(database: Database) -> None:
    with (
        pytest.raises(persistence.ProgrammingError),
        library_errors(),
        database.transaction() as cursor,
    ):
        cursor.execute("SELECT * FROM no_such_table")


def test_a_transaction_costs_nothing_but_its_statements(
    database: Database, database_url: str
) -> None:
    make_notes(database_url)
    count_notes(database)
    with closing(psycopg2.connect(database_url)) as watching, watching.cursor() as cursor:
        with database.transaction() as own:
            own.execute("SELECT 1")
        cursor.execute(
            "SELECT query FROM pg_stat_activity "
            "WHERE application_name = 'jifen' AND datname = current_database()"
        )
        assert cursor.fetchall() == [("COMMIT",)]
