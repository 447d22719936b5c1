"""`jifen import orders`."""

import argparse
from pathlib import Path

from jifen.commands.grammar import Commands, add_command, add_group
from ledger.memory import collect_seldom
from ledger.settings import Settings


def add_to(commands: Commands) -> None:
    """Describe the commands."""
    example = "jifen import orders orders-2026.csv.gz"
    group = add_group(commands, "import", about="book what other systems know", example=example)
    parser = add_command(
        group,
        "orders",
        orders,
        about="book a file of orders and refunds; a file imported twice books nothing twice",
        example=f"{example}\n  zcat orders.csv.gz | jifen import orders -",
    )
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="CSV, gzip'd CSV or Parquet; - for standard input"
    )
    parser.add_argument(
        "--rejects",
        type=Path,
        metavar="FILE",
        help="where rows go that are not booked, with line and reason "
        "(default: FILE.rejects.csv beside the file; for standard input, orders.rejects.csv in the "
        "working directory). A file that is there stays: the next free name is taken, such as "
        "FILE.rejects.2.csv",
    )


def orders(arguments: argparse.Namespace, settings: Settings) -> int:
    """Import a file; 1 where some rows are not in the ledger."""
    from jifen.import_progress import import_progress
    from jifen.order_files import import_orders
    from jifen.wiring import opened

    with opened(settings) as ready, import_progress() as progress:
        collect_seldom()
        result = import_orders(
            ready.ledger, arguments.file, rejects=arguments.rejects, progress=progress
        )
    print(result.summary())
    return result.exit_status
