"""A corner shop for every feature test; when the test is over, its ledger is proved by replay.

The tests of a module share a database, which is emptied before each: a new one each time would be
most of what they cost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

import psycopg2
import pytest
from psycopg2 import sql
from shop import OpenShop, Shop, rules

from ledger.programme.model import Programme
from ledger.store.database import Database

_KEPT = ("migrations", "log_head", "state_version")


@pytest.fixture(scope="module")
def shop_url(new_database: Callable[[], str]) -> str:
    """A database for the shops of a module's tests."""
    return new_database()


@pytest.fixture(scope="module")
def shop_database(shop_url: str) -> Iterator[Database]:
    """Connections for the shops of a module's tests."""
    database = Database(shop_url)
    yield database
    database.close()


@pytest.fixture
def open_shop(shop_url: str, shop_database: Database) -> Iterator[OpenShop]:
    """Opens a shop with rules of its own; 李雷 (li-lei) and 韩梅梅 (han-meimei) are its members."""
    _empty(shop_url)
    opened: list[Shop] = []

    def make(programme: Programme) -> Shop:
        shop = Shop(shop_database, programme).enrols("li-lei", "han-meimei")
        opened.append(shop)
        return shop

    yield make
    for shop in opened:
        shop.prove()


@pytest.fixture
def shop(open_shop: OpenShop) -> Shop:
    """A shop with the usual rules, at noon on 1 May 2026."""
    return open_shop(rules())


def _empty(url: str) -> None:
    """Back to the state after migrating; only the owner can, by taking the log's guard away."""
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> ALL (%s)",
            (list(_KEPT),),
        )
        tables = [name for (name,) in cursor.fetchall()]
        cursor.execute("ALTER TABLE events DISABLE TRIGGER append_only")
        for name in tables:
            cursor.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(name)))
        cursor.execute("UPDATE log_head SET position = 0, recorded_at = '-infinity'")
        cursor.execute("ALTER TABLE events ENABLE ALWAYS TRIGGER append_only")
