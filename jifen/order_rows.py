"""Order files as rows of text: CSV, gzip'd CSV, Parquet, or standard input (API.md, Order files).

The form is told by the first bytes, never by the file's name. Nothing here knows what a column
means; `jifen.order_files` does. A file is read as a stream: memory does not grow with it.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import sys
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple

STANDARD_INPUT: Final = Path("-")
GZIP_MAGIC: Final = b"\x1f\x8b"
PARQUET_MAGIC: Final = b"PAR1"
PARQUET_ROWS_AT_ONCE: Final = 4096
LONGEST_RECORD_LINES: Final = 20
LONGEST_RECORD_LENGTH: Final = 64 * 1024
"""Characters. A record of several lines that is longer has a quote that was never closed."""

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_PLAIN_DECIMAL: Final = re.compile(r"[0-9]+(\.[0-9]+)?")


class ImportRefused(Exception):  # noqa: N818 - an answer to the caller, like ledger.errors.Refusal
    """The file as a whole can't be imported; the sentence says what to do. Nothing was booked."""


class Row(NamedTuple):
    """One record of a file.

    `line` is the line it begins on, the header being line 1; in Parquet, the row's number plus
    one. `damage` says why it can't be read at all; `fields` then hold what could be saved of it.
    """

    line: int
    fields: Sequence[str]
    damage: str | None = None


class RowFile:
    """An order file that is being read: `header`, then its rows by iteration.

    `name` is what to call it before people.

    Use as a context manager. `fraction_read()` is 0..1, or None where the size is not known.

    Raises:
        ImportRefused: no such file, no header, not one of the known forms.
    """

    header: list[str]

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = "standard input" if path == STANDARD_INPUT else shown_path(path)
        self._closing = ExitStack()
        self._size: int | None = None
        self._rows_total: int | None = None
        self._rows_read = 0
        try:
            self._open()
        except BaseException:
            self._closing.close()
            raise

    def __enter__(self) -> RowFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.close()

    def __iter__(self) -> Iterator[Row]:
        return self._rows

    def fraction_read(self) -> float | None:
        """How much of the file has been read, 0..1; None for standard input."""
        if self._rows_total is not None:
            return self._rows_read / max(self._rows_total, 1)
        if self._size is None:
            return None
        return min(self._raw.tell() / max(self._size, 1), 1.0)

    def _open(self) -> None:
        self._raw = self._open_bytes()
        # A raw file's position is what has been taken from disk, a progress to show; only the
        # buffer above it can look ahead, which a pipe needs.
        buffered = self._closing.enter_context(io.BufferedReader(self._raw, 1 << 16))
        first = buffered.peek(4)[:4]
        if first.startswith(PARQUET_MAGIC):
            self._open_parquet()
        elif first.startswith(GZIP_MAGIC):
            self._open_csv(gzip.GzipFile(fileobj=buffered))
        else:
            self._open_csv(buffered)

    def _open_bytes(self) -> io.FileIO:
        if self.path == STANDARD_INPUT:
            return io.FileIO(sys.stdin.fileno(), "rb", closefd=False)
        try:
            raw = self._closing.enter_context(io.FileIO(self.path, "rb"))
            self._size = self.path.stat().st_size
        except OSError as error:
            reason = error.strerror or str(error)
            raise ImportRefused(f"{self.name} can't be opened: {reason}.") from error
        return raw

    def _open_csv(self, binary: Any) -> None:
        # Bytes that are not UTF-8 survive as surrogates: their row is refused alone, and stands
        # in the reject file byte for byte.
        text = io.TextIOWrapper(binary, encoding="utf-8-sig", errors="surrogateescape", newline="")
        self._closing.enter_context(text)
        records = _csv_records(text)
        header = next(records, None)
        if header is None:
            raise ImportRefused(f"{self.name} is empty: it needs a header line that names columns.")
        if header.damage is not None:
            raise ImportRefused(f"The header of {self.name} can't be read: {header.damage}.")
        if not _is_utf_8(header.fields):
            raise ImportRefused(
                f"The header of {self.name} is not UTF-8: save the file as CSV in UTF-8."
            )
        self.header = [name.strip() for name in header.fields]
        self._rows = records

    def _open_parquet(self) -> None:
        if self.path == STANDARD_INPUT:
            raise ImportRefused("Parquet can't be read from standard input: name the file instead.")
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            raise ImportRefused(
                f"{self.name} is a Parquet file, and reading Parquet needs the package pyarrow: "
                'pip install "jifen[parquet]".'
            ) from error
        try:
            file = self._closing.enter_context(pyarrow.parquet.ParquetFile(self.path))
        except pyarrow.ArrowException as error:
            raise ImportRefused(f"{self.name} is not a whole Parquet file: {error}.") from error
        for field in file.schema_arrow:
            if pyarrow.types.is_timestamp(field.type) and field.type.tz is None:
                raise ImportRefused(
                    f"Column {field.name} of {self.name} holds times without an offset: "
                    "give the column a time zone, or write the times as text with offset."
                )
        self.header = list(file.schema_arrow.names)
        self._rows_total = file.metadata.num_rows
        self._rows = self._parquet_rows(file)

    def _parquet_rows(self, file: Any) -> Iterator[Row]:
        for batch in file.iter_batches(batch_size=PARQUET_ROWS_AT_ONCE):
            columns = [[_text(value) for value in column] for column in _columns(batch)]
            for fields in zip(*columns, strict=True):
                self._rows_read += 1
                yield Row(self._rows_read + 1, fields)


def shown_path(path: Path) -> str:
    """A path as text that can be printed and stored, whatever bytes its name is made of."""
    return str(path).encode("utf-8", "replace").decode()


def _is_utf_8(fields: Sequence[str]) -> bool:
    return not _SURROGATE.search("".join(fields))


class _Lines:
    """The lines of a CSV stream as its reader takes them; those of a bad record can be given back.

    Raises:
        csv.Error: the record at hand has run on for so long that its quote can't be meant.
    """

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text
        self._given_back: deque[str] = deque()
        self._taken: list[str] = []
        self._length = 0
        self.next_number = 1

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if self._taken and (
            len(self._taken) >= LONGEST_RECORD_LINES or self._length > LONGEST_RECORD_LENGTH
        ):
            raise csv.Error("a quote is opened and not closed")
        line = self._given_back.popleft() if self._given_back else next(self._text)
        self._taken.append(line)
        self._length += len(line)
        self.next_number += 1
        return line

    def begin_record(self) -> int:
        """Forget the lines of the record before; the number of the line that comes next."""
        self._taken.clear()
        self._length = 0
        return self.next_number

    def give_up_record(self) -> str:
        """The first line of the record at hand; the others will be taken again."""
        first, *others = self._taken
        self._given_back.extendleft(reversed(others))
        self.next_number -= len(others)
        return first


def _csv_records(text: io.TextIOWrapper) -> Iterator[Row]:
    """The records of a CSV stream; of a malformed one the first line alone is damaged.

    What follows it is read anew: a quote that was not closed must not swallow good rows.
    """
    lines = _Lines(text)
    reader = csv.reader(lines, strict=True)
    while True:
        number = lines.begin_record()
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Row(number, [lines.give_up_record().rstrip("\r\n")], f"malformed CSV ({error})")
        except (EOFError, OSError, zlib.error) as error:
            yield Row(number, [], f"the file can't be read from here on ({error})")
            return
        else:
            if fields:
                yield Row(number, fields)


def _columns(batch: Any) -> Iterator[list[Any]]:
    """A record batch's columns as lists of Python values; times with the precision kept here."""
    import pyarrow

    for column in batch.columns:
        if pyarrow.types.is_timestamp(column.type):
            column = column.cast(pyarrow.timestamp("us", column.type.tz), safe=False)
        yield column.to_pylist()


def _text(value: Any) -> str:
    """A typed value as a CSV would have it; a float as its shortest exact form."""
    if value is None:
        return ""
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    text = str(value)
    # "1.500" as a decimal of scale 3 is the amount 1.50, not one of three decimals.
    if not isinstance(value, str) and "." in text and _PLAIN_DECIMAL.fullmatch(text):
        return text.rstrip("0").rstrip(".")
    return text
