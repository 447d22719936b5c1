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
        about="build a view anew from the log, or all; the old one serves meanwhile. "
        "With the name `state`: the members' state beside the log",
        example="jifen rebuild history",
    )
    parser.add_argument("name", metavar="NAME", nargs="?", help="the view (default: all)")


def rebuild(arguments: argparse.Namespace, settings: Settings) -> int:
    """Rebuild one view or all, with a progress bar."""
    from jifen.rebuild_progress import rebuild_progress
    from jifen.wiring import opened
    from ledger.state_rebuilding import rebuild_state
    from projections.rebuilding import rebuild
    from projections.views import VIEWS, view_named

    if arguments.name == "state":
        with opened(settings) as ready, rebuild_progress("state", "members") as progress:
            count = rebuild_state(ready.database, progress)
        print(f"Rebuilt: the state of {count} members.")
        return 0
    names = [view_named(arguments.name).name] if arguments.name else list(VIEWS)
    with opened(settings) as ready:
        for name in names:
            with rebuild_progress(name) as progress:
                rebuild(ready.database, name, progress)
            print(f"Rebuilt: {name}.")
    return 0
