"""How the subcommands describe themselves to argparse, all in the same form."""

import argparse
from collections.abc import Callable
from datetime import datetime
from typing import TypeAlias

from ledger.settings import Settings

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
Run: TypeAlias = Callable[[argparse.Namespace, Settings], int]


def add_command(
    commands: Commands, name: str, run: Run | None, *, about: str, example: str
) -> argparse.ArgumentParser:
    """Add a subcommand with its one-line help and an example; `run` is None for a group."""
    parser = commands.add_parser(
        name,
        help=about,
        description=about[0].upper() + about[1:] + ".",
        epilog=f"Example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if run is not None:
        parser.set_defaults(run=run)
    return parser


def add_group(
    commands: Commands, name: str, *, about: str, example: str, run: Run | None = None
) -> Commands:
    """Add a subcommand that has subcommands of its own; `run` is what it does without any."""
    parser = add_command(commands, name, run, about=about, example=example)
    return parser.add_subparsers(title="commands", metavar="COMMAND", required=run is None)


def moment(text: str) -> datetime:
    """A time of the command line: RFC 3339 with offset."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        when = None
    if when is None or when.tzinfo is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time with offset, such as 2026-05-01T12:00:00+08:00"
        )
    return when
