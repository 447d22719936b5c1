"""`jifen migrate`."""

import argparse

from jifen.commands.grammar import Commands, add_command
from ledger.settings import Settings


def add_to(commands: Commands) -> None:
    """Describe the command."""
    add_command(
        commands,
        "migrate",
        migrate,
        about="bring the database to the tables and the state of this version; safe to repeat",
        example="JIFEN_DATABASE_URL=postgresql://jifen@db/jifen jifen migrate",
    )


def migrate(arguments: argparse.Namespace, settings: Settings) -> int:
    """Apply the migrations that are missing."""
    from contextlib import closing

    from jifen.rebuild_progress import rebuild_progress
    from jifen.wiring import database_url, make_database
    from ledger.state_rebuilding import bring_state_up_to_date
    from ledger.store import migrate as migrations

    with database_url(settings) as url:
        applied = migrations.migrate(url)
        with (
            closing(make_database(settings, url, "jifen migrate")) as database,
            rebuild_progress("state", "members") as progress,
        ):
            rebuilt = bring_state_up_to_date(database, progress)
    print(f"Applied: {', '.join(applied)}." if applied else "Nothing to do: all is there.")
    if rebuilt:
        print(f"The state of {rebuilt} members was made anew from the log.")
    return 0
