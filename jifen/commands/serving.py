"""`jifen serve`."""

import argparse

from jifen.commands.grammar import Commands, add_command
from ledger.settings import Settings

PARTS = ("api", "projections", "scheduler")


def add_to(commands: Commands) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "serve",
        serve,
        about="run the service: database if embedded, API, projections and scheduler",
        example="jifen serve\n  jifen serve --without scheduler --without projections",
    )
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        choices=PARTS,
        help="leave this part out, to run it elsewhere; may be repeated",
    )


def serve(arguments: argparse.Namespace, settings: Settings) -> int:
    """Run the service until it is told to stop."""
    from jifen import serve as supervisor

    return supervisor.serve(settings, arguments.without)
