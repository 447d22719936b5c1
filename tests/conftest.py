"""A real PostgreSQL for every test that asks for one: `database_url` is a fresh, migrated database.

The server is the embedded one, shared by all workers of a run, or that of JIFEN_DATABASE_URL
(whose user must be allowed to create databases).
"""

from __future__ import annotations

import itertools
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import pytest
from psycopg2 import sql

from jifen.embedded import EmbeddedPostgres
from ledger.store.database import Database
from ledger.store.migrate import migrate

# A test cluster does not outlive the run, so nothing is lost with the machine's power. Killing
# processes, which tests do, loses nothing either: what was written is with the operating system.
TEST_SETTINGS = {"fsync": "off", "full_page_writes": "off"}


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server where databases can be created."""
    own_server = os.environ.get("JIFEN_DATABASE_URL")
    if own_server:
        yield own_server
        return
    with EmbeddedPostgres(
        _shared_folder(tmp_path_factory), settings=TEST_SETTINGS, throwaway=True
    ) as url:
        yield url


def _shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.getbasetemp()
    # With pytest-xdist every worker has a folder of its own below the run's.
    return (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "embedded"


@pytest.fixture(scope="session")
def _migrated_template(server_url: str) -> Iterator[str]:
    name = f"jifen_test_{uuid.uuid4().hex[:12]}"
    _administer(server_url, "CREATE DATABASE {} ENCODING 'UTF8' TEMPLATE template0", name)
    migrate(url_of_database(server_url, name))
    yield name
    _administer(server_url, "DROP DATABASE {} WITH (FORCE)", name)


@pytest.fixture(scope="session")
def new_database(server_url: str, _migrated_template: str) -> Iterator[Callable[[], str]]:
    """Makes a fresh migrated database and returns its URL; for tests that need more than one."""
    made: list[str] = []
    numbers = itertools.count(1)

    def make() -> str:
        name = f"{_migrated_template}_{next(numbers)}"
        _administer(server_url, "CREATE DATABASE {} TEMPLATE {}", name, _migrated_template)
        made.append(name)
        url = url_of_database(server_url, name)
        migrate(url)  # rights on a database are not copied with it
        return url

    yield make
    for name in made:
        _administer(server_url, "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)


@pytest.fixture
def database_url(server_url: str, new_database: Callable[[], str]) -> Iterator[str]:
    """The URL of a fresh migrated database, dropped after the test."""
    url = new_database()
    yield url
    _administer(server_url, "DROP DATABASE {} WITH (FORCE)", urlsplit(url).path[1:])


@pytest.fixture
def empty_database_url(server_url: str) -> Iterator[str]:
    """The URL of a fresh database without any table."""
    name = f"jifen_test_{uuid.uuid4().hex[:12]}"
    _administer(server_url, "CREATE DATABASE {} ENCODING 'UTF8' TEMPLATE template0", name)
    yield url_of_database(server_url, name)
    _administer(server_url, "DROP DATABASE {} WITH (FORCE)", name)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A pool of connections to a fresh migrated database."""
    database = Database(database_url)
    yield database
    database.close()


def url_of_database(server_url: str, name: str) -> str:
    """The server's URL with another database."""
    return urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))


def _administer(url: str, statement: str, *names: str) -> None:
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
