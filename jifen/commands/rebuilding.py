"""`jifen rebuild`."""

import argparse

from jifen.commands.grammar import Commands, add_command
from ledger.settings import Settings


def add_to(commands: Commands) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "rebuild",
        rebuild,
        about="build a view anew from the log, or all; the old one serves meanwhile",
        example="jifen rebuild history",
    )
    parser.add_argument("name", metavar="NAME", nargs="?", help="the view (default: all)")


def rebuild(arguments: argparse.Namespace, settings: Settings) -> int:
    """Rebuild one view or all, with a progress bar."""
    from jifen.rebuild_progress import rebuild_progress
    from jifen.wiring import opened
    from projections.rebuilding import rebuild
    from projections.views import VIEWS, view_named

    names = [view_named(arguments.name).name] if arguments.name else list(VIEWS)
    with opened(settings) as ready:
        for name in names:
            with rebuild_progress(name) as progress:
                rebuild(ready.database, name, progress)
            print(f"Rebuilt: {name}.")
    return 0
