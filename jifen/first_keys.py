"""The first API keys: made at the first start, one for each role, and shown.

On a terminal every start shows them; elsewhere, where a log may be collected, only the one that
made them.

The database holds their hashes only. The keys themselves stand in `keys.json` in the data
directory, readable by its owner alone, so that a second start can show them again. Whoever has
carried them to where they belong may delete the file; nothing but the showing depends on it.
"""

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from api.keys import ROLES, ApiKey, ensure_key, find_key, list_keys
from jifen.refused import Refused
from ledger.settings import Settings
from ledger.store.database import Database

FILE_NAME = "keys.json"
CHOSEN = "JIFEN_ADMIN_KEY"


@dataclass(frozen=True, slots=True)
class FirstKeys:
    """The first key of each role, None where it can't be shown; and the roles it was new for."""

    by_role: Mapping[str, str | None]
    new: frozenset[str]


def first_keys(settings: Settings, database: Database) -> FirstKeys:
    """The key of each role; made where no key was ever made for it.

    None where it can't be shown: its file was deleted, or it was rotated or revoked since. What
    was revoked stays revoked. `JIFEN_ADMIN_KEY` is recognised besides, and never written down.

    Raises:
        Refused: the file can't be read or written.
    """
    if settings.admin_key:
        ensure_key(database, settings.admin_key, ["admin"], CHOSEN)
    path = settings.data_dir / FILE_NAME
    written = _read(path)
    made_before = {key.name for key in _all_keys(database)}
    missing = [role for role in ROLES if _name(role) not in made_before]
    new = {role: written.get(role) or _new_key() for role in missing}
    # The file first: a start that breaks off between the two then goes on with the same keys.
    if any(written.get(role) != key for role, key in new.items()):
        _write(path, {**written, **new})
    for role, key in new.items():
        ensure_key(database, key, [role], _name(role))
    known = {**written, **new}
    by_role = {role: _if_alive(database, known.get(role)) for role in ROLES}
    return FirstKeys(by_role, frozenset(new))


def _name(role: str) -> str:
    """What events and lists call the first key of a role."""
    return f"first-{role}"


def _new_key() -> str:
    return f"jf_{secrets.token_hex(6)}_{secrets.token_urlsafe(32)}"


def _if_alive(database: Database, key: str | None) -> str | None:
    return key if key and find_key(database, key) else None


def _all_keys(database: Database) -> Iterator[ApiKey]:
    after = ""
    while page := list_keys(database, after=after):
        yield from page
        after = page[-1].id


def _read(path: Path) -> dict[str, str]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {role: found[role] for role in ROLES if isinstance(found.get(role), str)}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as problem:
        raise Refused(
            f"The keys in {path} can't be read ({problem}). Put the file in order, or delete it: "
            "keys that were made before stay valid, but are not shown any more."
        ) from None


def _write(path: Path, keys: Mapping[str, str]) -> None:
    """Write the file whole or not at all, never readable by others."""
    draft = path.with_suffix(".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.unlink(missing_ok=True)
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(handle, "w", encoding="utf-8") as file:  # noqa: PTH123 - opened as private above
            json.dump(keys, file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as problem:
        raise Refused(f"The keys can't be written to {path} ({problem.strerror}).") from None
