"""A corner shop for every feature test; when the test is over, its ledger is proved by replay."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from shop import OpenShop, Shop, rules

from ledger.programme.model import Programme
from ledger.store.database import Database


@pytest.fixture
def open_shop(database: Database) -> Iterator[OpenShop]:
    """Opens a shop with rules of its own; 李雷 (li-lei) and 韩梅梅 (han-meimei) are its members."""
    opened: list[Shop] = []

    def make(programme: Programme) -> Shop:
        shop = Shop(database, programme).enrols("li-lei", "han-meimei")
        opened.append(shop)
        return shop

    yield make
    for shop in opened:
        shop.prove()


@pytest.fixture
def shop(open_shop: OpenShop) -> Shop:
    """A shop with the usual rules, at noon on 1 May 2026."""
    return open_shop(rules())
