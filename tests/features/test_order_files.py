"""What an order file may look like, and how its rows are read. No ledger is needed here."""

from __future__ import annotations

import gzip
import io
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from rich.console import Console

from jifen.import_progress import import_progress
from jifen.order_files import ImportResult, RowReading, RowRejected
from jifen.order_rows import ImportRefused, Row, RowFile
from ledger.requests import Accrue, Command, Refund

HEADER = "order_id,member_id,occurred_at,amount\n"
ORDER = "o-1,m-1,2026-05-01T12:00:00+08:00,148.60\n"

Written = Callable[[str | bytes], Path]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """A file with the given content."""

    def write(content: str | bytes) -> Path:
        path = tmp_path / "orders.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def rows_of(path: Path) -> tuple[list[str], list[Row]]:
    with RowFile(path) as file:
        return file.header, list(file)


def command_of(line: str, header: str = HEADER) -> Command:
    reading = RowReading(header.strip().split(","), "orders.csv")
    return reading.request(Row(2, line.rstrip("\n").split(","))).command


def accrual_of(line: str, header: str = HEADER) -> Accrue:
    command = command_of(line, header)
    assert isinstance(command, Accrue)
    return command


def refund_of(line: str, header: str) -> Refund:
    command = command_of(line, header)
    assert isinstance(command, Refund)
    return command


def rejection_of(line: str, header: str = HEADER) -> str:
    with pytest.raises(RowRejected) as rejection:
        command_of(line, header)
    return str(rejection.value)


# The form of the file


def test_a_csv_file_is_read_by_its_header(written: Written) -> None:
    header, rows = rows_of(written(HEADER + ORDER))
    assert header == ["order_id", "member_id", "occurred_at", "amount"]
    assert rows == [Row(2, ["o-1", "m-1", "2026-05-01T12:00:00+08:00", "148.60"])]


def test_a_gzipped_file_is_known_by_its_content_not_its_name(written: Written) -> None:
    assert rows_of(written(gzip.compress((HEADER + ORDER).encode()))) == rows_of(
        written(HEADER + ORDER)
    )


def test_a_byte_order_mark_and_crlf_change_nothing(written: Written) -> None:
    windows = b"\xef\xbb\xbf" + (HEADER + ORDER).replace("\n", "\r\n").encode()
    assert rows_of(written(windows)) == rows_of(written(HEADER + ORDER))


def test_quoted_fields_may_hold_commas_quotes_and_line_ends(written: Written) -> None:
    _, rows = rows_of(written('order_id,note\n1,"a, ""b""\nc"\n\n2,d\n'))
    assert rows == [Row(2, ["1", 'a, "b"\nc']), Row(5, ["2", "d"])]


def test_a_malformed_row_is_damaged_alone(written: Written) -> None:
    _, rows = rows_of(written('order_id,note\n1,"a"b\n2,c\n'))
    assert [row.line for row in rows] == [2, 3]
    assert rows[0].damage is not None and "malformed CSV" in rows[0].damage
    assert rows[0].fields == ['1,"a"b']
    assert rows[1] == Row(3, ["2", "c"])


def test_an_unclosed_quote_swallows_no_good_row(written: Written) -> None:
    good = [f"{number},a\n" for number in range(3, 1003)]
    _, rows = rows_of(written('order_id,note\n2,"a\n' + "".join(good)))
    assert rows[0] == Row(2, ['2,"a'], "malformed CSV (a quote is opened and not closed)")
    assert rows[1:] == [Row(number, [str(number), "a"]) for number in range(3, 1003)]


def test_an_unclosed_quote_near_the_end_swallows_no_good_row(written: Written) -> None:
    _, rows = rows_of(written('order_id,note\n2,"a\n3,b\n\n5,"c\nd"\n'))
    assert (rows[0].line, rows[0].fields) == (2, ['2,"a'])
    assert rows[0].damage is not None
    assert rows[1:] == [Row(3, ["3", "b"]), Row(5, ["5", "c\nd"])]


def test_a_few_endless_lines_do_not_hold_the_rest_back(written: Written) -> None:
    long = "x" * 70_000
    _, rows = rows_of(written(f'order_id,note\n2,"{long}\n3,b\n4,{long}\n'))
    assert [row.damage is None for row in rows] == [False, True, True]
    assert rows[2].fields == ["4", long]


def test_a_header_that_is_not_utf_8_is_refused_with_how_to_save_it(written: Written) -> None:
    for header in ((HEADER.strip() + ",备注\n").encode("gbk"), HEADER.encode("utf-16")):
        with pytest.raises(ImportRefused, match="not UTF-8: save the file as CSV in UTF-8"):
            RowFile(written(header))


def test_a_file_cut_off_in_the_middle_says_from_which_line_it_is_unreadable(
    written: Written,
) -> None:
    lines = HEADER + "".join(f"o-{n},m-1,2026-05-01T12:00:00Z,{n}.00\n" for n in range(20_000))
    _, rows = rows_of(written(gzip.compress(lines.encode())[:-5000]))
    assert rows[-1].damage is not None and "from here on" in rows[-1].damage
    assert [row.line for row in rows] == list(range(2, len(rows) + 2))


def test_an_empty_file_is_refused(written: Written) -> None:
    with pytest.raises(ImportRefused, match="needs a header line"):
        RowFile(written(""))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImportRefused, match=r"nowhere\.csv can't be opened: No such file"):
        RowFile(tmp_path / "nowhere.csv")


def test_a_header_without_a_required_column_is_refused_and_the_column_named() -> None:
    with pytest.raises(ImportRefused, match="has no column member_id, amount"):
        RowReading(["order_id", "occurred_at", "Amount"], "orders.csv")


def test_a_header_that_names_a_column_twice_is_refused() -> None:
    with pytest.raises(ImportRefused, match="more than one column amount"):
        RowReading([*HEADER.strip().split(","), "amount"], "orders.csv")


def test_progress_is_a_share_of_the_file(written: Written) -> None:
    with RowFile(written(HEADER + ORDER)) as file:
        list(file)
        assert file.fraction_read() == 1.0


# Parquet


def parquet(tmp_path: Path, columns: dict[str, pyarrow.Array]) -> Path:
    path = tmp_path / "orders.parquet"
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return path


def test_parquet_columns_of_any_type_read_as_a_csv_would_have_them(tmp_path: Path) -> None:
    noon = datetime(2026, 5, 1, 12, tzinfo=UTC)
    path = parquet(
        tmp_path,
        {
            "order_id": pyarrow.array([77, 78]),
            "amount": pyarrow.array([1.43, 0.0]),
            "exact": pyarrow.array([Decimal("1.500"), None]),
            "occurred_at": pyarrow.array([noon, noon], pyarrow.timestamp("ns", "UTC")),
        },
    )
    header, rows = rows_of(path)
    assert header == ["order_id", "amount", "exact", "occurred_at"]
    assert [list(row.fields) for row in rows] == [
        ["77", "1.43", "1.5", "2026-05-01T12:00:00+00:00"],
        ["78", "0", "", "2026-05-01T12:00:00+00:00"],
    ]
    assert [row.line for row in rows] == [2, 3]


def test_parquet_times_without_time_zone_are_refused(tmp_path: Path) -> None:
    path = parquet(tmp_path, {"occurred_at": pyarrow.array([datetime(2026, 5, 1)])})  # noqa: DTZ001
    with pytest.raises(ImportRefused, match=r"occurred_at .* without an offset"):
        RowFile(path)


def test_half_a_parquet_file_is_refused(written: Written) -> None:
    with pytest.raises(ImportRefused, match="not a whole Parquet file"):
        RowFile(written(b"PAR1 and then nothing"))


# The fields of a row


def test_a_row_becomes_an_accrual_that_enrols_its_member() -> None:
    assert accrual_of(ORDER) == Accrue(
        member_id="m-1",
        order_id="o-1",
        amount=Decimal("148.60"),
        occurred_at=datetime(2026, 5, 1, 4, tzinfo=UTC),
        enrol_unknown=True,
    )


def test_store_and_channel_are_fields_and_other_columns_are_kept_as_attributes() -> None:
    header = HEADER.strip() + ",store_id,channel,weather,cashier\n"
    accrual = accrual_of(ORDER.strip() + ",s-12,store,rain,\n", header)
    assert (accrual.store_id, accrual.channel) == ("s-12", "store")
    assert accrual.attributes == {"weather": "rain"}


def test_the_order_of_the_columns_does_not_make_another_order() -> None:
    one = accrual_of(ORDER.strip() + ",rain,7", HEADER.strip() + ",weather,cashier")
    two = accrual_of(ORDER.strip() + ",7,rain", HEADER.strip() + ",cashier,weather")
    assert one.fingerprint() == two.fingerprint()


def test_amounts_of_the_same_worth_are_the_same_amount() -> None:
    fingerprints = {
        accrual_of(f"o-1,m-1,2026-05-01T12:00:00Z,{amount}").fingerprint()
        for amount in ("5", "5.0", "5.00")
    }
    assert len(fingerprints) == 1


@pytest.mark.parametrize(
    "amount",
    ["", "-1.00", "+1", "1.005", "1e3", "NaN", "Infinity", " 5", "5.", ".5", "١٢", "100000000"],
)
def test_an_amount_that_is_not_plain_digits_is_rejected(amount: str) -> None:
    assert "amount:" in rejection_of(f"o-1,m-1,2026-05-01T12:00:00Z,{amount}")


@pytest.mark.parametrize(
    "moment",
    [
        "",
        "yesterday",
        "2026-05-01",
        "2026-05-01T12:00:00",
        "2026-02-30T12:00:00Z",
        "2026-05-01T25:00:00Z",
        "0001-01-01T00:00:00+08:00",
        "20260501T120000Z",
    ],
)
def test_a_time_that_does_not_exist_or_has_no_offset_is_rejected(moment: str) -> None:
    assert "occurred_at:" in rejection_of(f"o-1,m-1,{moment},5.00")


@pytest.mark.parametrize("member_id", ["", "m 1", "李雷", "m/1", "m" * 65])
def test_an_id_of_other_characters_is_rejected(member_id: str) -> None:
    assert "member_id:" in rejection_of(f"o-1,{member_id},2026-05-01T12:00:00Z,5.00")


def test_a_row_of_another_width_is_rejected() -> None:
    assert rejection_of("o-1,m-1,5.00") == "This row has 3 fields where the header has 4."


def test_an_unknown_kind_is_rejected() -> None:
    assert "neither order nor refund" in rejection_of(
        ORDER.strip() + ",return", HEADER.strip() + ",kind"
    )


def test_a_row_that_is_not_utf_8_is_rejected_alone(written: Written) -> None:
    header = HEADER.strip() + ",note\n"
    content = header.encode() + ORDER.strip().encode() + ",好\n".encode("gbk")
    _, rows = rows_of(written(content))
    with pytest.raises(RowRejected, match="not UTF-8"):
        RowReading(header.strip().split(","), "orders.csv").request(rows[0])


def test_a_control_character_is_rejected_and_chinese_punctuation_is_not() -> None:
    header = HEADER.strip() + ",note"
    assert "control character" in rejection_of(ORDER.strip() + ",a\x00b", header)
    assert accrual_of(ORDER.strip() + ",母婴　用品", header).attributes == {"note": "母婴　用品"}


REFUNDS = HEADER.strip() + ",kind,refund_id"


def test_a_refund_row_becomes_a_refund_of_its_order() -> None:
    assert refund_of("o-1,m-1,2026-05-03T12:00:00Z,48.60,refund,f-1", REFUNDS) == Refund(
        refund_id="f-1",
        order_id="o-1",
        amount=Decimal("48.60"),
        occurred_at=datetime(2026, 5, 3, 12, tzinfo=UTC),
        member_id="m-1",
    )


def test_a_refund_without_id_gets_the_same_id_every_time() -> None:
    in_utc = refund_of("o-1,m-1,2026-05-03T12:00:00Z,48.6,refund,", REFUNDS)
    in_shanghai = refund_of("o-1,m-1,2026-05-03T20:00:00+08:00,48.60,refund,", REFUNDS)
    another = refund_of("o-1,m-1,2026-05-03T12:00:01Z,48.60,refund,", REFUNDS)
    assert in_utc.refund_id == in_shanghai.refund_id != another.refund_id


# Progress


def test_without_a_terminal_progress_is_a_line_every_few_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("jifen.import_progress.SECONDS_BETWEEN_LINES", 0.0)
    output = io.StringIO()
    with import_progress(Console(file=output)) as show:
        show(ImportResult(read=1000, booked=1000, seconds=2.0, fraction=0.25))
    assert output.getvalue() == (
        "1,000 rows, 500/s, 0 already there, 0 rejected, 25%, about 6 s left\n"
    )


def test_on_a_terminal_progress_is_a_bar() -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=120, force_interactive=True)
    with import_progress(console) as show:
        show(ImportResult(read=1000, booked=1000, seconds=2.0, fraction=0.25))
    assert "1,000 rows, 500/s" in output.getvalue() and "25%" in output.getvalue()


def test_standard_input_is_read_as_a_stream(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    with written(gzip.compress((HEADER + ORDER).encode())).open() as piped:
        monkeypatch.setattr(sys, "stdin", piped)
        with RowFile(Path("-")) as file:
            assert file.header[0] == "order_id"
            assert len(list(file)) == 1
            assert file.fraction_read() is None
            assert file.name == "standard input"


def test_one_is_one_row_and_two_are_two_rows() -> None:
    one = ImportResult(read=1, booked=1, orders=1, seconds=1.0).summary()
    assert one.startswith("1 row in 1.0 s (1/s): 1 order and 0 refunds booked,")
    assert "2 rows in" in ImportResult(read=2, seconds=1.0).summary()
