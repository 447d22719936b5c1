"""`jifen import orders FILE`: rows become commands, booked in batches (API.md, Order files).

Every row is booked under its business id (order or refund), so a file imported twice, or an
import broken off and begun again, books nothing twice. A member's rows go to the ledger in file
order, in the same way as a batch over HTTP; one that is refused stands alone in the reject file.

A refund row without `refund_id` gets one made of its order, time and amount: the same row again
is the same refund. Two refunds of one order at the same second over the same amount therefore
need ids of their own.
"""

from __future__ import annotations

import csv
import hashlib
import os
import re
import signal
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count, islice
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Final, Protocol, TextIO

from jifen.order_rows import STANDARD_INPUT, ImportRefused, Row, RowFile, shown_path
from ledger.events import Actor
from ledger.requests import Accrue, Command, Outcome, Refund, Request

REQUIRED_COLUMNS: Final = ("order_id", "member_id", "occurred_at", "amount")
OPTIONAL_COLUMNS: Final = ("kind", "refund_id", "store_id", "channel")
REJECT_COLUMNS: Final = ("reject_line", "reject_code", "reject_reason")
"""Stand before the row's own columns; an import passes over them, so that a mended reject file
can be imported as it is."""

ACTOR: Final = Actor(key="import", role="admin")
BATCH_SIZE: Final = 2000
LANES: Final = 2
"""Threads that book: while one waits for the database the other decides. Measured on two cores:
1.4 times as fast as one; a second process of Python would cost more memory than it saves time."""

ATTRIBUTE_LENGTH: Final = 1000

_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_AMOUNT: Final = re.compile(r"[0-9]{1,8}(\.[0-9]{1,2})?")
_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_UNWRITABLE: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_CENTS: Final = Decimal("0.01")


class Books(Protocol):
    """What an import needs of the ledger."""

    def handle(self, requests: Sequence[Request]) -> list[Outcome]:
        """Book each request by itself; outcomes in the same order."""


@dataclass(slots=True)
class ImportResult:
    """How far an import is, or came: rows by what became of them.

    `read` = `booked` + `repeated` + `rejected`. `orders` and `refunds` are the kinds of `booked`.
    `last_line` is the line of the last row dealt with; `fraction` of the file read, if known.
    `older_rejects` is a reject file of an import before, at the name that this one would have used.
    """

    read: int = 0
    booked: int = 0
    repeated: int = 0
    rejected: int = 0
    orders: int = 0
    refunds: int = 0
    last_line: int = 1
    seconds: float = 0.0
    fraction: float | None = None
    interrupted: bool = False
    rejects: Path | None = None
    older_rejects: Path | None = None

    @property
    def exit_status(self) -> int:
        """0: every row is in the ledger; 1: some are not (rejected, or broken off before)."""
        return 1 if self.rejected or self.interrupted else 0

    @property
    def rows_per_second(self) -> float:
        """Rows dealt with per second of wall time."""
        return self.read / self.seconds if self.seconds > 0 else 0.0

    def summary(self) -> str:
        """The result in words, for people."""
        text = (
            f"{counted(self.read, 'row')} in {self.seconds:,.1f} s "
            f"({self.rows_per_second:,.0f}/s): "
            f"{counted(self.orders, 'order')} and {counted(self.refunds, 'refund')} booked, "
            f"{self.repeated:,} already there, {self.rejected:,} rejected."
        )
        if self.rejects is not None:
            text += f" Rejected rows, with line and reason: {shown_path(self.rejects)}"
        if self.older_rejects is not None:
            older = shown_path(self.older_rejects)
            text += f" ({older} was there before and stays as it is.)"
        if self.interrupted:
            text += (
                f" Broken off after line {self.last_line}: all up to there is dealt with; "
                "the same command again goes on, and books nothing twice."
            )
        return text


def counted(number: int, noun: str) -> str:
    """`1 row`, `2 rows`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


class RowRejected(Exception):  # noqa: N818 - the row is at fault, not the program
    """A row that can't become a command."""


def import_orders(
    ledger: Books,
    path: Path,
    *,
    rejects: Path | None = None,
    progress: Callable[[ImportResult], None] | None = None,
    batch_size: int = BATCH_SIZE,
) -> ImportResult:
    """Book the orders and refunds of `path` (`-`: standard input).

    Args:
        ledger: takes the commands, `batch_size` at a time.
        path: CSV, gzip'd CSV or Parquet.
        rejects: where bad rows go; by default FILE.rejects.csv beside the file. Made only when
            there is one. A file that is there already may be in somebody's hands, who mends it: it
            stays, and the next free name is taken (FILE.rejects.2.csv).
        progress: called after every batch with the result so far.
        batch_size: rows read, booked and reported at once, in all lanes together.

    Raises:
        ImportRefused: the file as a whole can't be imported; nothing was booked.
    """
    result = ImportResult()
    started = time.monotonic()
    with RowFile(path) as file, _reject_file(path, rejects, file.header) as reject_file:
        result.older_rejects = reject_file.older
        reading = RowReading(file.header, file.name)
        rows = iter(file)
        with Lanes(ledger) as lanes, _interrupts() as interrupted:
            while batch := list(islice(rows, batch_size)):
                _book(lanes, reading, batch, result, reject_file)
                result.seconds = time.monotonic() - started
                result.fraction = file.fraction_read()
                if progress is not None:
                    progress(result)
                if interrupted.is_set():
                    # Asking a pipe whether more will come could wait for ever.
                    result.interrupted = result.fraction is None or next(rows, None) is not None
                    break
    result.seconds = time.monotonic() - started
    return result


class Lanes:
    """Books in several threads; all requests of one member in one lane, so in their order."""

    def __init__(self, ledger: Books) -> None:
        self._ledger = ledger
        self._threads = ThreadPoolExecutor(LANES, thread_name_prefix="import")

    def __enter__(self) -> Lanes:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._threads.shutdown()

    def handle(self, requests: Sequence[Request], member_ids: Sequence[str]) -> list[Outcome]:
        """Book the requests, each about the member of the same place; outcomes in that order."""
        places: list[list[int]] = [[] for _ in range(LANES)]
        for place, member_id in enumerate(member_ids):
            places[zlib.crc32(member_id.encode()) % LANES].append(place)
        started = [
            self._threads.submit(self._ledger.handle, [requests[place] for place in lane])
            for lane in places
        ]
        outcome_of = {
            place: outcome
            for lane, future in zip(places, started, strict=True)
            for place, outcome in zip(lane, future.result(), strict=True)
        }
        return [outcome_of[place] for place in range(len(requests))]


def _book(
    lanes: Lanes,
    reading: RowReading,
    batch: list[Row],
    result: ImportResult,
    reject_file: RejectFile,
) -> None:
    """Book one batch of rows, and count and put aside what became of them, in file order."""
    refused: list[tuple[Row, str, str]] = []
    sent: list[Row] = []
    requests: list[Request] = []
    for row in batch:
        try:
            requests.append(reading.request(row))
        except RowRejected as rejection:
            refused.append((row, "invalid_request", str(rejection)))
        else:
            sent.append(row)
    outcomes = lanes.handle(requests, [reading.member_id(row) for row in sent])
    for row, request, outcome in zip(sent, requests, outcomes, strict=True):
        if outcome.status >= 400:
            refused.append((row, outcome.body["code"], _reason(outcome.body)))
        elif outcome.replayed:
            result.repeated += 1
        else:
            result.booked += 1
            result.orders += isinstance(request.command, Accrue)
            result.refunds += isinstance(request.command, Refund)
    for entry in sorted(refused, key=lambda entry: entry[0].line):
        reject_file.write(*entry)
    result.rejected += len(refused)
    result.rejects = reject_file.written
    result.read += len(batch)
    result.last_line = batch[-1].line


def _reason(body: Mapping[str, Any]) -> str:
    """A refusal's sentence, with the fields at fault where it names any."""
    detail: str = body["detail"]
    fields = {field: " ".join(said) for field, said in body.get("errors", {}).items()}
    if detail in fields.values():
        return " ".join(f"{field}: {said}" for field, said in fields.items())
    return " ".join(
        [detail, *(f"{field}: {said}" for field, said in fields.items() if said not in detail)]
    )


class RowReading:
    """How the columns of one file become commands.

    Raises:
        ImportRefused: a required column is missing, or a name stands twice.
    """

    def __init__(self, header: Sequence[str], file_name: str) -> None:
        _check_header(header, file_name)
        place = {name: index for index, name in enumerate(header)}
        self._width = len(header)
        self._file_name = Path(file_name).name[:60]
        self._order_id, self._member_id, self._occurred_at, self._amount = (
            place[name] for name in REQUIRED_COLUMNS
        )
        self._kind, self._refund_id, self._store_id, self._channel = (
            place.get(name) for name in OPTIONAL_COLUMNS
        )
        known = {*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS, *REJECT_COLUMNS}
        # Sorted: the same order from a file with other column order is still the same order.
        self._attributes = [(name, place[name]) for name in sorted(place.keys() - known)]

    def request(self, row: Row) -> Request:
        """The command of a row, as the import asks for it.

        Raises:
            RowRejected: a field can't be right; the sentence says which and why.
        """
        if row.damage is not None:
            raise RowRejected(f"This row can't be read: {row.damage}.")
        return Request(
            command=self._command(row.fields),
            actor=ACTOR,
            request_id=f"{self._file_name}:{row.line}",
        )

    def member_id(self, row: Row) -> str:
        """The member that a row names, of a row that became a request."""
        return row.fields[self._member_id]

    def _command(self, fields: Sequence[str]) -> Command:
        if len(fields) != self._width:
            raise RowRejected(
                f"This row has {len(fields)} fields where the header has {self._width}."
            )
        _check_text(fields)
        kind = self._optional(fields, self._kind)
        if kind in (None, "order"):
            return self._accrue(fields)
        if kind == "refund":
            return self._refund(fields)
        raise RowRejected(f"kind: {_shown(kind)} is neither order nor refund.")

    def _accrue(self, fields: Sequence[str]) -> Accrue:
        return Accrue(
            member_id=_identifier("member_id", fields[self._member_id]),
            order_id=_identifier("order_id", fields[self._order_id]),
            amount=_amount(fields[self._amount]),
            occurred_at=_moment(fields[self._occurred_at]),
            store_id=_label("store_id", self._optional(fields, self._store_id)),
            channel=_label("channel", self._optional(fields, self._channel)),
            attributes=self._kept(fields),
            enrol_unknown=True,
        )

    def _refund(self, fields: Sequence[str]) -> Refund:
        member_id = _identifier("member_id", fields[self._member_id])
        order_id = _identifier("order_id", fields[self._order_id])
        amount = _amount(fields[self._amount])
        occurred_at = _moment(fields[self._occurred_at])
        given = self._optional(fields, self._refund_id)
        return Refund(
            refund_id=(
                _refund_id_of(order_id, occurred_at, amount)
                if given is None
                else _identifier("refund_id", given)
            ),
            order_id=order_id,
            amount=amount,
            occurred_at=occurred_at,
            member_id=member_id,
        )

    def _kept(self, fields: Sequence[str]) -> dict[str, str]:
        kept = {name: fields[index] for name, index in self._attributes if fields[index]}
        for name, value in kept.items():
            if len(value) > ATTRIBUTE_LENGTH:
                raise RowRejected(f"{name}: longer than {ATTRIBUTE_LENGTH} characters.")
        return kept

    @staticmethod
    def _optional(fields: Sequence[str], index: int | None) -> str | None:
        return (fields[index] or None) if index is not None else None


def _check_header(header: Sequence[str], file_name: str) -> None:
    missing = [name for name in REQUIRED_COLUMNS if name not in header]
    if missing:
        found = ", ".join(name or "(no name)" for name in header)[:200]
        raise ImportRefused(
            f"{file_name} has no column {', '.join(missing)}. Its header, read as separated by "
            f"commas, names: {found}."
        )
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise ImportRefused(f"{file_name} has more than one column {', '.join(twice)}.")


def _check_text(fields: Sequence[str]) -> None:
    text = "".join(fields)
    if not text.isprintable() and (found := _UNWRITABLE.search(text)):
        if "\ud800" <= found.group() <= "\udfff":
            raise RowRejected("This row is not UTF-8: save the file in UTF-8.")
        raise RowRejected(f"This row holds the control character {found.group()!r}.")


def _identifier(name: str, text: str) -> str:
    if _ID.fullmatch(text) is None:
        raise RowRejected(f"{name}: {_shown(text)} is not 1 to 64 of A–Z a–z 0–9 . _ : -")
    return text


def _label(name: str, text: str | None) -> str | None:
    if text is not None and len(text) > 64:
        raise RowRejected(f"{name}: longer than 64 characters.")
    return text


def _amount(text: str) -> Decimal:
    if _AMOUNT.fullmatch(text) is None:
        raise RowRejected(
            f"amount: {_shown(text)} is not an amount from 0 to 99999999.99: digits, and at most "
            "two decimals after a point."
        )
    return Decimal(text).quantize(_CENTS)


def _moment(text: str) -> datetime:
    if _TIME.fullmatch(text) is None:
        raise RowRejected(
            f"occurred_at: {_shown(text)} is not a time with offset, such as "
            "2026-05-01T12:00:00+08:00."
        )
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise RowRejected(f"occurred_at: there is no time {_shown(text)}.") from error


def _refund_id_of(order_id: str, occurred_at: datetime, amount: Decimal) -> str:
    """The id of a refund whose row has none: the same for the same order, time and amount."""
    content = f"{order_id}\n{occurred_at.isoformat()}\n{amount}".encode()
    return "refund-" + hashlib.blake2b(content, digest_size=16).hexdigest()


def _shown(text: str) -> str:
    """A value as a message quotes it: short, and safe to print."""
    return repr(text if len(text) <= 80 else text[:77] + "...")


class RejectFile:
    """The rows that were not booked, as CSV: line, code, reason, then the row as it was."""

    def __init__(self, path: Path, header: Sequence[str]) -> None:
        self._path = path
        self.older = path if path.is_file() else None
        # Of a reject file imported again, the old reasons give way to the new ones.
        self._kept = [index for index, name in enumerate(header) if name not in REJECT_COLUMNS]
        self._header = [header[index] for index in self._kept]
        self._width = len(header)
        self._stream: TextIO | None = None
        self.written: Path | None = None

    def write(self, row: Row, code: str, reason: str) -> None:
        """Put a row aside."""
        if self._stream is None:
            self.written, self._stream = _open_free(self._path)
            self._writer = csv.writer(self._stream)
            self._writer.writerow([*REJECT_COLUMNS, *self._header])
        whole = len(row.fields) == self._width
        fields = [row.fields[index] for index in self._kept] if whole else row.fields
        self._writer.writerow([row.line, code, reason, *fields])
        self._stream.flush()

    def close(self) -> None:
        """Finish the file, if there is one."""
        if self._stream is not None:
            self._stream.close()


def _open_free(path: Path) -> tuple[Path, TextIO]:
    """The file of that name, or of the next one that is free: NAME.2.csv, NAME.3.csv ..."""
    if path.exists() and not path.is_file():
        # A device or a pipe was named: it holds nothing to be overwritten.
        return path, path.open("w", encoding="utf-8", errors="surrogateescape", newline="")
    for number in count(1):
        free = path if number == 1 else path.with_name(f"{path.stem}.{number}{path.suffix}")
        with suppress(FileExistsError):
            return free, free.open("x", encoding="utf-8", errors="surrogateescape", newline="")
    raise AssertionError("numbers do not end")


@contextmanager
def _reject_file(path: Path, chosen: Path | None, header: Sequence[str]) -> Iterator[RejectFile]:
    where = chosen or _rejects_beside(path)
    if path != STANDARD_INPUT and where.resolve() == path.resolve():
        raise ImportRefused(f"The reject file {where} must not be the order file itself.")
    if not where.parent.is_dir():
        raise ImportRefused(f"There is no folder {where.parent} for the reject file.")
    if not os.access(where.parent, os.W_OK) and not where.exists():
        raise ImportRefused(f"The reject file {where} can't be made: choose one with --rejects.")
    rejects = RejectFile(where, header)
    try:
        yield rejects
    finally:
        rejects.close()


def _rejects_beside(path: Path) -> Path:
    """FILE.rejects.csv beside the file, or in the working directory if that can't be written."""
    if path == STANDARD_INPUT:
        return Path("orders.rejects.csv")
    name = path.name + ".rejects.csv"
    return path.with_name(name) if os.access(path.parent, os.W_OK) else Path(name)


@contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """While open, Ctrl-C or a stop signal asks to finish the batch in flight; a second one breaks.

    Elsewhere than in the main thread signals are not ours to catch.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
