"""The state beside the log follows from the events: it can be lost, and made anew."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from shop import OpenShop, Shop, shipped

from jifen.cli import main
from ledger import requests as r
from ledger.state_rebuilding import bring_state_up_to_date, rebuild_state
from ledger.store.database import Database
from ledger.store.migrate import migrate


def a_busy_year(shop: Shop) -> None:
    """Something of every kind of state: lots, orders, coupons, referrals, months, reservations."""
    shop.joins("lucy", code=shop.code_of("li-lei"), phone="+8613800000001", on="2025-05-01 09:00")
    for month in range(5, 13):
        shop.buys("li-lei", f"o-{month}", "600.00", on=f"2025-{month:02d}-03 10:00")
    shop.buys("lucy", "o-lucy", "80.00", on="2025-06-01 10:00")
    shop.does_activity("li-lei", "review", "a-1", reference="o-5", on="2025-06-02 10:00")
    shop.at("2026-05-01 12:00")
    shop.reserves("li-lei", "r-1", 200, "o-cot", "900.00")
    shop.redeems("li-lei", "r-2", 300, "o-5", "600.00")
    shop.refunds("o-5", "f-1", "600.00")
    shop.refunds("o-lucy", "f-2", "80.00")
    shop.expires("li-lei")


@pytest.mark.parametrize("name", ["retail", "enterprise"])
def test_lost_state_is_made_anew_from_the_events(open_shop: OpenShop, name: str) -> None:
    shop = open_shop(shipped(name))
    if name == "retail":
        a_busy_year(shop)
    else:
        shop.buys("li-lei", "o-1", "900.00")
        shop.buys("li-lei", "o-2", "40.00", on="2026-02-01 10:00")
    served = {member_id: shop.member(member_id) for member_id in shop.members()}
    with shop.database.transaction() as cursor:
        cursor.execute("UPDATE member_states SET state = '{}'")
        cursor.execute("UPDATE lot_states SET open = NOT open, state = '{}'")
        cursor.execute("DELETE FROM directory WHERE answer IS NULL AND kind <> 'payer'")
        cursor.execute("UPDATE directory SET state = NULL")
        for table in ("open_reservations", "pending_lots", "referrals"):
            cursor.execute(f"DELETE FROM {table}")  # noqa: S608
    pages: list[tuple[int, int]] = []
    count = rebuild_state(shop.database, lambda done, all_: pages.append((done, all_)))
    assert count == len(served)
    assert pages == [(count, count)]
    assert {member_id: shop.member(member_id) for member_id in shop.members()} == served
    shop.prove()


def test_state_that_is_as_it_should_be_is_left_alone(shop: Shop) -> None:
    shop.buys("li-lei", "o-1", "148.60")
    rebuild_state(shop.database)
    before = shop.everything_stored()
    assert bring_state_up_to_date(shop.database) == 0
    rebuild_state(shop.database)
    assert shop.everything_stored() == before


def test_state_of_an_older_version_is_made_anew_when_the_database_is_migrated(
    shop: Shop, shop_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:  # fmt: skip
    shop.buys("li-lei", "o-1", "148.60")
    with shop.database.transaction() as cursor:
        # As a version wrote it that knew nothing of first orders.
        cursor.execute(
            "UPDATE member_states SET state = ((state::jsonb) - 'first_order_id' - 'days')::text"
        )
        cursor.execute("UPDATE state_version SET version = 1")
    monkeypatch.setenv("JIFEN_DATABASE_URL", shop_url)
    monkeypatch.setenv("JIFEN_DATA_DIR", str(tmp_path))
    assert main(["migrate"]) == 0
    assert "The state of 2 members was made anew from the log." in capsys.readouterr().out
    assert main(["migrate"]) == 0
    assert "made anew" not in capsys.readouterr().out
    assert main(["rebuild", "state"]) == 0
    assert "Rebuilt: the state of 2 members." in capsys.readouterr().out
    shop.prove()


def test_many_members_are_made_anew_page_by_page(database_url: str, database: Database) -> None:
    migrate(database_url)
    shop = Shop(database, shipped("retail"))
    shop.together(*[r.Enrol(member_id=f"m-{number:03d}") for number in range(230)])
    shop.together(
        *[
            r.Accrue(member_id=f"m-{number:03d}", order_id=f"o-{number}", amount=Decimal("5.00"))
            for number in range(230)
        ]
    )
    pages: list[tuple[int, int]] = []
    assert rebuild_state(database, lambda done, all_: pages.append((done, all_))) == 230
    assert pages == [(100, 230), (200, 230), (230, 230)]
    assert shop.member("m-229")["totals"]["spend"] == "5.00"
