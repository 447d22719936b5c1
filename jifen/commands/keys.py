"""`jifen keys`."""

import argparse
import sys
from typing import TYPE_CHECKING

from jifen.commands.grammar import Commands, add_command, add_group
from ledger.settings import Settings

if TYPE_CHECKING:
    from ledger.store.database import Database

ROLES = ("pos", "service", "finance", "admin")


def add_to(commands: Commands) -> None:
    """Describe the commands."""
    example = "jifen keys create till-12 --role pos"
    group = add_group(commands, "keys", about="manage API keys", example=example)
    parser = add_command(
        group, "create", create, about="make a key and print it, this once", example=example
    )
    parser.add_argument("name", metavar="NAME", help="what events and lists call it")
    parser.add_argument(
        "--role",
        action="append",
        required=True,
        choices=ROLES,
        help="what it may do; may be repeated; admin includes all",
    )
    add_command(
        group, "list", list_all, about="list all keys, without secrets", example="jifen keys list"
    )
    rotate_parser = add_command(
        group,
        "rotate",
        rotate,
        about="give a key a new secret and print it, this once; the old one ends within 5 seconds",
        example="jifen keys rotate till-12",
    )
    revoke_parser = add_command(
        group,
        "revoke",
        revoke,
        about="end a key for good, within 5 seconds",
        example="jifen keys revoke till-12",
    )
    for parser in (rotate_parser, revoke_parser):
        parser.add_argument("key", metavar="KEY", help="its id or its name")


def create(arguments: argparse.Namespace, settings: Settings) -> int:
    """Make a key; the only time that it can be seen."""
    from api.keys import create_key
    from jifen.wiring import opened

    with opened(settings) as ready:
        key_id, key = create_key(ready.database, name=arguments.name, roles=arguments.role)
    print(key)
    print(f"Made key {key_id}, {arguments.name}. It is not shown again.", file=sys.stderr)
    return 0


def list_all(arguments: argparse.Namespace, settings: Settings) -> int:
    """List the keys by id, revoked ones too."""
    from api.keys import list_keys
    from jifen.wiring import opened

    with opened(settings) as ready:
        after = ""
        while page := list_keys(ready.database, after=after):
            for key in page:
                ended = f", revoked {key.revoked_at:%Y-%m-%d}" if key.revoked_at else ""
                roles = ",".join(key.roles)
                print(f"{key.id:24} {key.name:24} {roles}, made {key.created_at:%Y-%m-%d}{ended}")
            after = page[-1].id
    return 0


def rotate(arguments: argparse.Namespace, settings: Settings) -> int:
    """Make a new secret for a key, named by its id or its name; the only time it can be seen."""
    from api.keys import rotate_key
    from jifen.wiring import opened

    with opened(settings) as ready:
        key_id = _id_of(ready.database, arguments.key)
        with ready.database.transaction() as cursor:
            key, plain = rotate_key(cursor, key_id)
    print(plain)
    print(
        f"Rotated key {key.id}, {key.name}. It is not shown again; the old one ends within "
        "5 seconds.",
        file=sys.stderr,
    )
    return 0


def revoke(arguments: argparse.Namespace, settings: Settings) -> int:
    """End a key, named by its id or by the name of a live one."""
    from api.keys import revoke_key
    from jifen.wiring import opened

    with opened(settings) as ready:
        key = revoke_key(ready.database, _id_of(ready.database, arguments.key))
    print(f"Revoked key {key.id}, {key.name}. Within 5 seconds nothing accepts it any more.")
    return 0


def _id_of(database: "Database", wanted: str) -> str:
    from api.keys import list_keys

    after = ""
    while page := list_keys(database, after=after):
        for key in page:
            if key.name == wanted and key.revoked_at is None:
                return key.id
        after = page[-1].id
    return wanted
