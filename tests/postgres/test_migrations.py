"""Migrations: forward only, in order, each once, whoever asks."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import pytest

from ledger.store.database import Database
from ledger.store.migrate import Migration, MigrationError, migrate, shipped_migrations

SHIPPED = [migration.name for migration in shipped_migrations()]


def extended(*sql: str) -> list[Migration]:
    """The shipped migrations and further ones."""
    further = enumerate(sql, start=9001)
    return [
        *shipped_migrations(),
        *(Migration(number, f"{number}_more", text) for number, text in further),
    ]


def run(url: str, statement: str) -> list[tuple[object, ...]]:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


def test_a_second_run_has_nothing_to_do(empty_database_url: str) -> None:
    assert migrate(empty_database_url) == SHIPPED
    assert migrate(empty_database_url) == []


def test_processes_that_migrate_at_once_apply_each_file_once(empty_database_url: str) -> None:
    program = "import sys; from ledger.store.migrate import migrate; print(*migrate(sys.argv[1]))"
    command = [sys.executable, "-c", program, empty_database_url]
    started = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    applied: list[str] = []
    for process in started:
        output, problems = process.communicate(timeout=60)
        assert process.returncode == 0, problems
        applied += output.split()
    assert sorted(applied) == SHIPPED


def test_what_comes_new_is_applied_and_can_be_used(database_url: str) -> None:
    more = extended("CREATE TABLE later (number bigint GENERATED ALWAYS AS IDENTITY, name text)")
    assert migrate(database_url, more) == [more[-1].name]
    database = Database(database_url)
    with database.transaction() as cursor:
        cursor.execute("SELECT current_user")
        assert cursor.fetchone() == ("jifen_writer",)
        cursor.execute("INSERT INTO later (name) VALUES ('a')")
        cursor.execute("UPDATE later SET name = 'b'")
        cursor.execute("DELETE FROM later")
        cursor.execute("CREATE SCHEMA view_history CREATE TABLE lines (position bigint)")
        cursor.execute("ALTER SCHEMA view_history RENAME TO view_history_old")
        cursor.execute("DROP SCHEMA view_history_old CASCADE")
    database.close()


def test_an_applied_file_that_changed_is_refused(database_url: str) -> None:
    first, *rest = shipped_migrations()
    changed = [replace(first, sql=first.sql + "\nDROP TABLE events;"), *rest]
    with pytest.raises(MigrationError, match="0001_log is not the one that was applied"):
        migrate(database_url, changed)


def test_a_database_of_a_newer_version_is_refused(database_url: str) -> None:
    migrate(database_url, extended("CREATE TABLE later ()"))
    with pytest.raises(MigrationError, match="newer version of Jifen"):
        migrate(database_url)


def test_a_file_that_fails_leaves_the_database_at_the_one_before(database_url: str) -> None:
    more = extended("CREATE TABLE good ()", "CREATE TABLE half (); SELECT 1 / 0")
    with pytest.raises(MigrationError, match=r"failed: division by zero"):
        migrate(database_url, more)
    assert run(database_url, "SELECT to_regclass('good')::text, to_regclass('half')") == [
        ("good", None)
    ]
    assert migrate(database_url, more[:-1]) == []


def test_another_encoding_than_utf8_is_refused(server_url: str) -> None:
    name = f"jifen_test_{uuid.uuid4().hex[:12]}"
    with closing(psycopg2.connect(server_url)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
        try:
            with pytest.raises(MigrationError, match="ENCODING 'UTF8'"):
                migrate(urlunsplit(urlsplit(server_url)._replace(path=f"/{name}")))
        finally:
            cursor.execute(f"DROP DATABASE {name}")


@pytest.fixture
def plain_login(empty_database_url: str) -> Iterator[str]:
    """The URL of an owner without the right to make roles, on a database of its own."""
    login = f"shop_{uuid.uuid4().hex[:8]}"
    parts = urlsplit(empty_database_url)
    name = parts.path[1:]
    run(empty_database_url, f"CREATE ROLE {login} LOGIN PASSWORD 'secret'")
    run(empty_database_url, f"ALTER DATABASE {name} OWNER TO {login}")
    host = parts.netloc.rpartition("@")[2]
    yield urlunsplit(parts._replace(netloc=f"{login}:secret@{host}"))
    run(empty_database_url, f"REASSIGN OWNED BY {login} TO current_user")
    run(empty_database_url, f"DROP OWNED BY {login}")
    run(empty_database_url, f"DROP ROLE {login}")


def test_an_owner_that_cannot_make_roles_goes_without_the_right_to_change_the_log(
    plain_login: str, database_url: str
) -> None:
    # `database_url` has made the role in this cluster, for others.
    assert migrate(plain_login) == SHIPPED
    assert migrate(plain_login) == []
    database = Database(plain_login)
    with database.transaction() as cursor:
        cursor.execute("SELECT current_user = session_user")
        assert cursor.fetchone() == (True,)
    with pytest.raises(psycopg2.errors.InsufficientPrivilege), database.transaction() as cursor:
        cursor.execute("DELETE FROM events")
    database.close()


def test_an_owner_that_may_make_roles_uses_the_role(
    plain_login: str, empty_database_url: str
) -> None:
    login = urlsplit(plain_login).username
    # On a cluster where an administrator made the role, that one has to grant it.
    run(empty_database_url, f"ALTER ROLE {login} CREATEROLE")
    run(empty_database_url, f"GRANT jifen_writer TO {login} WITH ADMIN OPTION")
    migrate(plain_login)
    database = Database(plain_login)
    with database.transaction() as cursor:
        cursor.execute("SELECT current_user::text")
        assert cursor.fetchone() == ("jifen_writer",)
    database.close()
