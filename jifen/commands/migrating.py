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
        about="bring the database to the tables of this version; safe to repeat",
        example="JIFEN_DATABASE_URL=postgresql://jifen@db/jifen jifen migrate",
    )


def migrate(arguments: argparse.Namespace, settings: Settings) -> int:
    """Apply the migrations that are missing."""
    from jifen.wiring import database_url
    from ledger.store import migrate as migrations

    with database_url(settings) as url:
        applied = migrations.migrate(url)
    print(f"Applied: {', '.join(applied)}." if applied else "Nothing to do: all is there.")
    return 0
