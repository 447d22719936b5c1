"""`import orders`: a file of real orders becomes members, lots and balances, exactly once."""

from __future__ import annotations

import csv
import gzip
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from jifen.order_files import ImportResult, import_orders
from jifen.order_rows import ImportRefused
from ledger.events import Actor
from ledger.ledger import Ledger
from ledger.programme.reading import read_programme
from ledger.store.database import Database

DATA = Path(__file__).parents[1] / "data"
SAMPLE = DATA / "complete_journey_sample.csv.gz"
WHOLE_FILE = Path(__file__).parents[3] / "shared" / "data" / "complete_journey_orders.csv.gz"
NEW_YEAR = datetime.fromisoformat("2018-01-01T12:30:00+08:00")
HEADER = "order_id,member_id,occurred_at,amount,kind,refund_id,note\n"


@pytest.fixture
def ledger(database: Database) -> Ledger:
    """A ledger whose programme earns on spend alone."""
    ledger = Ledger(database)
    programme = read_programme((DATA / "spend_alone.toml").read_text(encoding="utf-8"))
    ledger.publish(programme, effective_at=ledger.clock(), actor=Actor(key="test", role="admin"))
    return ledger


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    """Where a test writes its order file."""
    return tmp_path / "orders.csv"


def rejected_rows(result: ImportResult) -> list[dict[str, str]]:
    assert result.rejects is not None
    with result.rejects.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def real_orders(path: Path) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
        yield from csv.DictReader(lines)


def available_at_new_year(ledger: Ledger, path: Path) -> int:
    """Every member of the file, rebuilt from its events, as it stood after the last order."""
    members = {row["member_id"] for row in real_orders(path)}
    balances = (ledger.replay(member, as_of=NEW_YEAR)["balance"] for member in members)
    return sum(balance["available"] for balance in balances)


def points_by_hand(path: Path) -> int:
    """Σ floor(amount), without the product: the digits before the point."""
    return sum(int(row["amount"].partition(".")[0]) for row in real_orders(path))


# Real orders


def test_a_sample_of_real_orders_balances_and_a_second_import_changes_nothing(
    ledger: Ledger,
) -> None:
    assert points_by_hand(SAMPLE) == 126_164
    first = import_orders(ledger, SAMPLE)
    assert (first.read, first.booked, first.rejected) == (4_532, 4_532, 0)
    assert first.exit_status == 0 and first.rejects is None
    assert available_at_new_year(ledger, SAMPLE) == 126_164

    position = ledger.last_position()
    second = import_orders(ledger, SAMPLE)
    assert (second.read, second.booked, second.repeated) == (4_532, 0, 4_532)
    assert second.exit_status == 0
    assert ledger.last_position() == position
    assert available_at_new_year(ledger, SAMPLE) == 126_164


@pytest.mark.slow
@pytest.mark.skipif(not WHOLE_FILE.exists(), reason="the whole file is not part of the project")
def test_a_year_of_real_orders_balances_and_a_second_import_changes_nothing(
    ledger: Ledger,
) -> None:
    assert points_by_hand(WHOLE_FILE) == 4_519_934
    first = import_orders(ledger, WHOLE_FILE)
    assert (first.read, first.booked, first.rejected) == (155_848, 155_848, 0)
    assert available_at_new_year(ledger, WHOLE_FILE) == 4_519_934

    position = ledger.last_position()
    second = import_orders(ledger, WHOLE_FILE)
    assert (second.booked, second.repeated) == (0, 155_848)
    assert ledger.last_position() == position
    assert available_at_new_year(ledger, WHOLE_FILE) == 4_519_934


def test_a_member_is_enrolled_at_the_time_of_its_first_row(ledger: Ledger, orders: Path) -> None:
    orders.write_text(
        "order_id,member_id,occurred_at,amount\n"
        "o-1,m-1,2026-03-01T12:00:00+08:00,0.00\n"
        "o-2,m-1,2026-03-02T12:00:00+08:00,19.99\n"
    )
    import_orders(ledger, orders)
    member = ledger.member("m-1")
    assert member["joined_at"] == "2026-03-01T12:00:00+08:00"
    assert member["balance"]["available"] == 19
    assert member["totals"]["orders"] == 1


# Refunds


def test_a_refund_row_takes_back_what_its_order_earned_once(ledger: Ledger, orders: Path) -> None:
    orders.write_text(
        HEADER + "o-1,m-1,2026-03-01T12:00:00+08:00,100.00,order,,\n"
        "o-1,m-1,2026-03-02T12:00:00+08:00,30.00,refund,,\n"
        "o-1,m-1,2026-03-03T12:00:00+08:00,20.00,refund,f-2,\n"
    )
    first = import_orders(ledger, orders)
    assert (first.orders, first.refunds, first.rejected) == (1, 2, 0)
    assert ledger.member("m-1")["balance"]["available"] == 50

    second = import_orders(ledger, orders)
    assert (second.booked, second.repeated) == (0, 3)
    assert ledger.member("m-1")["balance"]["available"] == 50


def test_a_refund_row_that_names_another_member_is_rejected(ledger: Ledger, orders: Path) -> None:
    orders.write_text(
        HEADER + "o-1,m-1,2026-03-01T12:00:00+08:00,100.00,order,,\n"
        "o-2,m-2,2026-03-01T12:00:00+08:00,50.00,order,,\n"
        "o-1,m-2,2026-03-02T12:00:00+08:00,30.00,refund,f-1,\n"
    )
    result = import_orders(ledger, orders)
    assert (result.orders, result.refunds, result.rejected) == (2, 0, 1)
    assert rejected_rows(result)[0]["reject_code"] == "not_eligible"
    assert ledger.member("m-1")["balance"]["available"] == 100


# Bad rows


def test_a_reject_file_in_somebody_s_hands_is_never_overwritten(
    ledger: Ledger, orders: Path
) -> None:
    orders.write_text(HEADER + "o-1,m-1,today,1.00,,,\n")
    first = import_orders(ledger, orders).rejects
    assert first == orders.with_name("orders.csv.rejects.csv")
    first.write_text("being mended")
    for number in (2, 3):
        again = import_orders(ledger, orders)
        assert again.rejects == orders.with_name(f"orders.csv.rejects.{number}.csv")
        assert again.older_rejects == first
        assert f"{first} was there before and stays as it is" in again.summary()
    assert first.read_text() == "being mended"
    chosen = import_orders(ledger, orders, rejects=first)
    assert chosen.rejects == orders.with_name("orders.csv.rejects.4.csv")


def test_a_clean_import_says_that_an_older_reject_file_is_still_there(
    ledger: Ledger, orders: Path
) -> None:
    orders.write_text(HEADER + "o-1,m-1,2026-03-01T12:00:00+08:00,1.00,,,\n")
    older = orders.with_name("orders.csv.rejects.csv")
    older.write_text("of a time before")
    result = import_orders(ledger, orders)
    assert result.rejects is None
    assert f"{older} was there before" in result.summary()
    older.unlink()
    assert "there before" not in import_orders(ledger, orders).summary()


def test_a_file_whose_name_is_not_utf_8_is_imported(ledger: Ledger, tmp_path: Path) -> None:
    orders = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xb6\xa9\xb5\xa5.csv"))
    orders.write_text(HEADER + "o-1,m-1,2026-03-01T12:00:00+08:00,1.00,,,\no-2,m-1,today,1.00,,,\n")
    result = import_orders(ledger, orders)
    assert (result.booked, result.rejected) == (1, 1)
    assert "????.csv.rejects.csv" in result.summary()
    request_ids = {event.event.meta.request_id for event in ledger.events_of("m-1")}
    assert request_ids == {"????.csv:2"}


def test_a_reason_is_said_once_with_the_field_at_fault(ledger: Ledger, orders: Path) -> None:
    orders.write_text(HEADER + "o-1,m-1,2099-03-01T12:00:00+08:00,5.00,,,\n")
    (row,) = rejected_rows(import_orders(ledger, orders))
    field, _, sentence = row["reject_reason"].partition(": ")
    assert field == "occurred_at"
    assert row["reject_reason"].count(sentence) == 1


def test_bad_rows_go_to_the_reject_file_and_the_rest_is_booked(
    ledger: Ledger, orders: Path
) -> None:
    orders.write_text(
        HEADER + "o-1,m-1,2026-03-01T12:00:00+08:00,100.00,,,good\n"
        "o-2,m-1,2026-03-01T12:00:00,5.00,,,no offset\n"
        "o-3,m-1,2026-03-01T12:00:00+08:00,-5.00,,,negative\n"
        "o-4,m-1,2026-03-01T12:00:00+08:00,5.00\n"
        "o-9,m-1,2026-03-01T12:00:00+08:00,5.00,refund,f-1,unknown order\n"
        "o-1,m-1,2026-03-01T12:00:00+08:00,101.00,,,another amount\n"
        "o-5,m-1,2099-03-01T12:00:00+08:00,5.00,,,in the future\n"
        "o-6,m-2,2026-03-01T12:00:00+08:00,7.00,,,good\n"
    )
    result = import_orders(ledger, orders)
    assert (result.read, result.booked, result.rejected) == (8, 2, 6)
    assert result.exit_status == 1
    assert result.rejects == orders.with_name("orders.csv.rejects.csv")
    rows = rejected_rows(result)
    assert [(row["reject_line"], row["reject_code"]) for row in rows] == [
        ("3", "invalid_request"),
        ("4", "invalid_request"),
        ("5", "invalid_request"),
        ("6", "not_found"),
        ("7", "already_recorded"),
        ("8", "invalid_request"),
    ]
    assert (
        "occurred_at: '2026-03-01T12:00:00' is not a time with offset" in (rows[0]["reject_reason"])
    )
    assert (rows[1]["order_id"], rows[1]["amount"], rows[1]["note"]) == (
        "o-3",
        "-5.00",
        "negative",
    )
    assert ledger.member("m-1")["balance"]["available"] == 100
    assert ledger.member("m-2")["balance"]["available"] == 7


def test_a_mended_reject_file_is_imported_as_it_is(ledger: Ledger, orders: Path) -> None:
    orders.write_text(HEADER + "o-1,m-1,2026-03-01T12:00:00+08:00,1e2,,,\n")
    rejects = import_orders(ledger, orders).rejects
    assert rejects is not None
    rejects.write_text(rejects.read_text().replace(",1e2,", ",100.00,"))
    assert import_orders(ledger, rejects).booked == 1
    orders.write_text(HEADER + "o-1,m-1,2026-03-01T12:00:00+08:00,100.00,,,\n")
    assert import_orders(ledger, orders).repeated == 1


def test_the_reject_file_may_stand_elsewhere_but_never_in_the_order_files_place(
    ledger: Ledger, orders: Path, tmp_path: Path
) -> None:
    orders.write_text(HEADER + "o-1,m-1,today,1.00,,,\n")
    elsewhere = tmp_path / "bad.csv"
    assert import_orders(ledger, orders, rejects=elsewhere).rejects == elsewhere
    with pytest.raises(ImportRefused, match="must not be the order file"):
        import_orders(ledger, orders, rejects=orders)


# Lanes

TWO_THREADS_READ_A_PROGRAMME = """
import sys, threading
from pathlib import Path
from ledger.programme.reading import programme_from_json, read_programme, rules_to_json
sys.setswitchinterval(1e-5)
rules = rules_to_json(read_programme(Path(sys.argv[1]).read_text(encoding="utf-8")))
both = threading.Barrier(2)
def read():
    both.wait()
    programme_from_json(rules)
threads = [threading.Thread(target=read) for _ in range(2)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def test_two_threads_may_be_the_first_to_read_the_programme() -> None:
    command = [sys.executable, "-c", TWO_THREADS_READ_A_PROGRAMME, DATA / "spend_alone.toml"]
    ended = [subprocess.run(command, check=False).returncode for _ in range(3)]
    assert ended == [0, 0, 0]


def test_a_members_rows_are_booked_in_file_order(ledger: Ledger, orders: Path) -> None:
    members = [f"m-{n}" for n in range(20)]
    lines = [
        f"o-{member}-{n},{member},2026-03-01T12:00:00+08:00,10.00,{kind},,\n"
        for n in range(5)
        for kind in ("order", "refund")
        for member in members
    ]
    orders.write_text(HEADER + "".join(lines))
    result = import_orders(ledger, orders)
    assert (result.orders, result.refunds, result.rejected) == (100, 100, 0)
    for member in members:
        kinds = [type(event.event).__name__ for event in ledger.events_of(member)]
        assert kinds == ["MemberEnrolled"] + 5 * [
            "PointsAccrued",
            "OrderRefunded",
            "PointsClawedBack",
        ]


# Interruption


def test_ctrl_c_finishes_the_batch_in_flight_and_the_next_import_goes_on(
    ledger: Ledger, orders: Path
) -> None:
    lines = [f"o-{n},m-{n % 7},2026-03-01T12:00:00+08:00,10.00,,,\n" for n in range(100)]
    orders.write_text(HEADER + "".join(lines))

    def press_ctrl_c(result: ImportResult) -> None:
        if result.read == 20:
            signal.raise_signal(signal.SIGINT)

    broken_off = import_orders(ledger, orders, progress=press_ctrl_c, batch_size=10)
    assert broken_off.interrupted and broken_off.exit_status == 1
    assert (broken_off.booked, broken_off.last_line) == (20, 21)
    assert "Broken off after line 21" in broken_off.summary()

    whole = import_orders(ledger, orders)
    assert (whole.booked, whole.repeated, whole.exit_status) == (80, 20, 0)


def test_ctrl_c_means_ctrl_c_again_after_an_import(ledger: Ledger, orders: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    orders.write_text(HEADER)
    assert import_orders(ledger, orders).read == 0
    assert signal.getsignal(signal.SIGINT) is before
