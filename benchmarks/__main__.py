"""`python -m benchmarks [--quick]`: measure everything that has a target.

Starts the service itself, on data that is thrown away afterwards; loopback only, bounded in time.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from benchmarks import bare_postgres, importing, long_history, machine, report, reviews, tills
from benchmarks.orders import ROOT, order_file
from benchmarks.report import Figure
from benchmarks.service import Service, running_service
from jifen.embedded import EmbeddedPostgres
from jifen.postgres_home import open_home
from ledger.ledger import Ledger
from ledger.store.database import Database

PARTS: Final = ("import", "tills", "pgbench", "history", "reviews")
DEFAULT_JSON: Final = ROOT / "var" / "benchmarks.json"


def main() -> int:
    """Run the parts asked for, print the table, write the JSON; 1 if a target is not reached."""
    options = _options()
    console = Console(width=None if Console().is_terminal else 160)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="jifen-bench-") as name:
        folder = Path(name)
        figures, details, described = _measured(folder, options, console)
    described["minutes taken"] = round((time.monotonic() - started) / 60, 1)
    report.show(figures, described, console)
    report.write(figures, described, details, options.json)
    console.print(f"Written to {options.json}", highlight=False)
    return 1 if any(figure.reached is False for figure in figures) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a fifth of the orders, short runs")
    parser.add_argument("--only", choices=PARTS, action="append", help="one part; may be repeated")
    parser.add_argument("--orders", type=Path, help="an order file to import instead of our own")
    parser.add_argument("--json", type=Path, default=DEFAULT_JSON, help="where the figures go")
    return parser.parse_args()


def _measured(
    folder: Path, options: argparse.Namespace, console: Console
) -> tuple[list[Figure], dict[str, Any], dict[str, Any]]:
    figures: list[Figure] = []
    details: dict[str, Any] = {}
    with running_service(folder) as service, EmbeddedPostgres(service.data_dir) as url:
        described = machine.described(url)
        for part in options.only or PARTS:
            console.print(f"measuring: {part} …", highlight=False)
            new, details[part] = _part(part, folder, service, url, options)
            figures += new
    return figures, details, described


def _part(
    part: str, folder: Path, service: Service, url: str, options: argparse.Namespace
) -> tuple[list[Figure], Any]:
    if part == "import":
        path = options.orders or order_file(folder, quick=options.quick)
        return importing.measure(service, url, path)
    if part == "tills":
        return tills.measure(service, seconds=4 if options.quick else 15)
    if part == "pgbench":
        pgbench = open_home(service.data_dir).programs / "pgbench"
        return bare_postgres.measure(pgbench, url, folder, seconds=3 if options.quick else 10)
    if part == "reviews":
        return reviews.measure(url, members=5_000 if options.quick else 100_000)
    database = Database(url, application_name="jifen benchmark")
    try:
        return long_history.measure(Ledger(database), rounds=100 if options.quick else 300)
    finally:
        database.close()


if __name__ == "__main__":
    raise SystemExit(main())
