"""The orders that are imported: the whole file where it is at hand, else the sample, many times."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
WHOLE_FILE: Final = ROOT.parent / "shared" / "data" / "complete_journey_orders.csv.gz"
SAMPLE: Final = ROOT / "tests" / "data" / "complete_journey_sample.csv.gz"
SPEND_ALONE: Final = ROOT / "tests" / "data" / "spend_alone.toml"
WHOLE_FILE_ROWS: Final = 155_848
COPIES_OF_SAMPLE: Final = 34
"""34 × 4,532 rows are about as many as the whole file has."""
COPIES_WHEN_QUICK: Final = 7


def order_file(folder: Path, *, quick: bool) -> Path:
    """A file of real orders in `folder` or elsewhere: about 155,000 rows, or 32,000 if `quick`."""
    if WHOLE_FILE.exists() and not quick:
        return WHOLE_FILE
    path = folder / "orders.csv.gz"
    _multiply(SAMPLE, path, COPIES_WHEN_QUICK if quick else COPIES_OF_SAMPLE)
    return path


def count_rows(path: Path) -> int:
    """How many orders a gzip'd CSV file holds."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
        return sum(1 for _ in csv.reader(lines)) - 1


def _multiply(source: Path, target: Path, copies: int) -> None:
    """Write every row `copies` times, each time as another household's, in order of time."""
    with (
        gzip.open(source, "rt", encoding="utf-8", newline="") as lines,
        gzip.open(target, "wt", encoding="utf-8", newline="", compresslevel=1) as written,
    ):
        rows = csv.DictReader(lines)
        writer = csv.DictWriter(written, rows.fieldnames or [])
        writer.writeheader()
        for row in rows:
            for copy in range(copies):
                ids = {name: f"{row[name]}-{copy}" for name in ("order_id", "member_id")}
                writer.writerow({**row, **ids})
