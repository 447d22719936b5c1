"""The database itself refuses to change the log."""

from __future__ import annotations

from contextlib import closing

import psycopg2
import pytest
from eventsourcing.persistence import InternalError, StoredEvent

from ledger.store.database import Database
from ledger.store.recorders import LogRecorder

CHANGES = [
    "UPDATE events SET state = state",
    "UPDATE events SET topic = 'Other' WHERE position = 1",
    "DELETE FROM events",
    "DELETE FROM events WHERE position < 0",
    "TRUNCATE events",
]


@pytest.fixture(autouse=True)
def one_event(database: Database) -> None:
    LogRecorder(database).insert_events([StoredEvent("member/m-1", 1, "MemberEnrolled", b"{}")])


@pytest.mark.parametrize("change", CHANGES)
def test_failures_7_the_service_has_no_right_to_change_the_log(
    database: Database, change: str
) -> None:
    with pytest.raises(psycopg2.errors.InsufficientPrivilege), database.transaction() as cursor:
        cursor.execute(change)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("session", ["", "SET session_replication_role = replica"])
def test_failures_7_a_trigger_refuses_even_the_owner(
    database_url: str, change: str, session: str
) -> None:
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        if session:
            cursor.execute(session)
        with pytest.raises(psycopg2.errors.ObjectNotInPrerequisiteState) as refused:
            cursor.execute(change)
    assert "the log is append-only" in str(refused.value)
    assert "further event that corrects" in str(refused.value)


def test_the_service_cannot_forget_where_the_log_ends(database: Database) -> None:
    with pytest.raises(psycopg2.errors.InsufficientPrivilege), database.transaction() as cursor:
        cursor.execute("DELETE FROM log_head")


def test_the_service_cannot_rewrite_which_migrations_were_applied(database: Database) -> None:
    with pytest.raises(psycopg2.errors.InsufficientPrivilege), database.transaction() as cursor:
        cursor.execute("DELETE FROM migrations")


def test_a_lost_head_is_said_and_nothing_is_appended(database: Database, database_url: str) -> None:
    with closing(psycopg2.connect(database_url)) as connection, connection:
        connection.cursor().execute("DELETE FROM log_head")
    recorder = LogRecorder(database)
    with pytest.raises(InternalError, match="log_head has lost its row"):
        recorder.insert_events([StoredEvent("member/m-1", 2, "MemberFrozen", b"{}")])
    assert len(recorder.select_events("member/m-1")) == 1
