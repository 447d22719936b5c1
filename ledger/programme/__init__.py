"""The rules of a loyalty programme as data: model, reading, versions, reference page.

Pure: no database, no clock. May import nothing of the project but `ledger.programme`.
"""

from __future__ import annotations

from importlib.resources import files

from ledger.programme.model import Programme
from ledger.programme.reading import programme_from_json, read_programme, rules_to_json
from ledger.programme.report import ProgrammeError, ProgrammeErrors

__all__ = [
    "SHIPPED",
    "Programme",
    "ProgrammeError",
    "ProgrammeErrors",
    "programme_from_json",
    "read_programme",
    "rules_to_json",
    "shipped_text",
]

SHIPPED = ("retail", "enterprise")
"""The programmes that come with the product."""


def shipped_text(name: str) -> str:
    """The TOML text of a shipped programme. Raises KeyError for another name."""
    if name not in SHIPPED:
        raise KeyError(f"no programme {name!r} is shipped; there are {', '.join(SHIPPED)}")
    return files("ledger.programme").joinpath(f"{name}.toml").read_text(encoding="utf-8")
